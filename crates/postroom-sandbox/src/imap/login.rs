//! CAPABILITY, ID, NAMESPACE, LOGIN and AUTHENTICATE (RFC 3501 §6.1, §6.2, RFC 2342, 2971).

use crate::imap::session::ImapDialogue;
use crate::token;
use crate::wire::ClientLine;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;

/// The longest line of a SASL exchange.
const LINE_BYTES_MAX: usize = 12288;

impl ImapDialogue {
    /// CAPABILITY.
    pub(crate) fn capability(&mut self) -> String {
        let line = format!("* CAPABILITY {}\r\n", self.capabilities().join(" "));
        self.peer.wire.push(line.as_bytes());
        "OK said".to_owned()
    }

    /// ID.
    pub(crate) fn id(&mut self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let line = format!("* ID (\"name\" \"Postroom sandbox\" \"version\" \"{version}\")\r\n");
        self.peer.wire.push(line.as_bytes());
        "OK pleased to meet you".to_owned()
    }

    /// NAMESPACE: one personal namespace without prefix.
    pub(crate) fn namespace(&mut self) -> String {
        let line = format!("* NAMESPACE ((\"\" \"{}\")) NIL NIL\r\n", self.peer.house.delimiter);
        self.peer.wire.push(line.as_bytes());
        "OK said".to_owned()
    }

    /// LOGIN.
    pub(crate) fn login(&mut self, user: &str, password: &str) -> String {
        if self.offers("LOGINDISABLED") {
            return "NO [PRIVACYREQUIRED] LOGIN is disabled".to_owned();
        }
        self.check(user, password)
    }

    /// AUTHENTICATE: PLAIN (RFC 4616), and tokens where the capabilities offer them.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&str>,
    ) -> io::Result<String> {
        let is_known = matches!(mechanism, "PLAIN" | "XOAUTH2" | "OAUTHBEARER");
        if !is_known || !self.offers(&format!("AUTH={mechanism}")) {
            return Ok("NO [CANNOT] mechanism not offered".to_owned());
        }
        if initial.is_some() && !self.offers("SASL-IR") {
            return Ok("BAD no initial response, please".to_owned());
        }
        let answer = match initial {
            Some("=") => Some(Vec::new()),
            Some(initial) => Some(initial.as_bytes().to_vec()),
            None => self.prompt("").await?,
        };
        let Some(answer) = answer else {
            return Ok("BAD line too long".to_owned());
        };
        if answer == b"*" {
            return Ok("BAD as you like".to_owned());
        }
        let decoded = STANDARD.decode(answer).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if mechanism != "PLAIN" {
            return self.authenticate_token(mechanism, &decoded.unwrap_or_default()).await;
        }
        let mut parts = decoded.as_deref().unwrap_or_default().split('\0').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(user), Some(password), None) => Ok(self.check(user, password)),
            _ => Ok("BAD cannot be decoded".to_owned()),
        }
    }

    /// A refused token is explained, and the client has to answer before the refusal.
    async fn authenticate_token(&mut self, mechanism: &str, message: &str) -> io::Result<String> {
        let Some((user, token)) = token::credentials(mechanism, message) else {
            return Ok("BAD cannot be decoded".to_owned());
        };
        let is_let_in = self.peer.house.shared.lets_in_by_token(&user, &token);
        let said = self.welcome(&user, is_let_in);
        if said.starts_with("NO") {
            self.prompt(&STANDARD.encode(token::REFUSED)).await?;
        }
        Ok(said)
    }

    /// Asks for a line. `None`: it is too long.
    async fn prompt(&mut self, challenge: &str) -> io::Result<Option<Vec<u8>>> {
        self.peer.wire.push(format!("+ {challenge}\r\n").as_bytes());
        self.peer.wire.flush().await?;
        Ok(match self.peer.wire.line(LINE_BYTES_MAX).await? {
            ClientLine::Text(line) => Some(line),
            ClientLine::TooLong => None,
        })
    }

    fn check(&mut self, user: &str, password: &str) -> String {
        let is_let_in = self.peer.house.shared.edit(|state| state.lets_in(user, password));
        self.welcome(user, is_let_in)
    }

    fn welcome(&mut self, user: &str, is_let_in: bool) -> String {
        if !is_let_in {
            return "NO [AUTHENTICATIONFAILED] wrong user or password".to_owned();
        }
        self.heard_count = self.peer.house.shared.look(|state| state.said_since(user, 0).len());
        self.peer.logged_in(user);
        format!("OK [CAPABILITY {}] welcome", self.capabilities().join(" "))
    }
}

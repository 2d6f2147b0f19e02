//! CAPABILITY, ID, NAMESPACE, LOGIN and AUTHENTICATE (RFC 3501 §6.1, §6.2, RFC 2342, 2971).

use crate::imap::session::ImapDialogue;
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

    /// AUTHENTICATE PLAIN (RFC 4616).
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<&str>,
    ) -> io::Result<String> {
        if mechanism != "PLAIN" || !self.offers("AUTH=PLAIN") {
            return Ok("NO [CANNOT] mechanism not offered".to_owned());
        }
        if initial.is_some() && !self.offers("SASL-IR") {
            return Ok("BAD no initial response, please".to_owned());
        }
        let answer = match initial {
            Some("=") => Vec::new(),
            Some(initial) => initial.as_bytes().to_vec(),
            None => {
                self.peer.wire.push(b"+ \r\n");
                self.peer.wire.flush().await?;
                match self.peer.wire.line(LINE_BYTES_MAX).await? {
                    ClientLine::Text(line) => line,
                    ClientLine::TooLong => return Ok("BAD line too long".to_owned()),
                }
            }
        };
        if answer == b"*" {
            return Ok("BAD as you like".to_owned());
        }
        let decoded = STANDARD.decode(answer).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let mut parts = decoded.as_deref().unwrap_or_default().split('\0').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(user), Some(password), None) => Ok(self.check(user, password)),
            _ => Ok("BAD cannot be decoded".to_owned()),
        }
    }

    fn check(&mut self, user: &str, password: &str) -> String {
        let shared = &self.peer.house.shared;
        if !shared.edit(|state| state.lets_in(user, password)) {
            return "NO [AUTHENTICATIONFAILED] wrong user or password".to_owned();
        }
        self.heard_count = shared.look(|state| state.said_since(user, 0).len());
        self.peer.logged_in(user);
        format!("OK [CAPABILITY {}] welcome", self.capabilities().join(" "))
    }
}

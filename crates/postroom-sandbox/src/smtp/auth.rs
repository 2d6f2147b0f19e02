//! AUTH PLAIN and AUTH LOGIN (RFC 4954, RFC 4616).

use crate::smtp::reply::ServerReply;
use crate::smtp::session::SmtpDialogue;
use crate::token;
use crate::wire::ClientLine;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io;

/// The longest line of a SASL exchange (RFC 4954 §4).
const LINE_BYTES_MAX: usize = 12288;

/// Why there are no credentials.
enum NoCredentials {
    /// The client took it back.
    Canceled,
    /// The answer is not base64, or does not have the form of the mechanism.
    Malformed,
}

impl SmtpDialogue {
    /// Carries out AUTH with its prompts.
    ///
    /// # Errors
    ///
    /// The connection is lost.
    pub(crate) async fn auth(&mut self, argument: &str) -> io::Result<ServerReply> {
        if !self.greeted || !self.offers("AUTH") {
            return Ok(ServerReply::new(502, "5.5.1", "AUTH is not offered"));
        }
        if self.peer.user.is_some() || self.transaction.is_some() {
            return Ok(ServerReply::new(503, "5.5.1", "not now"));
        }
        let (mechanism, initial) = argument.split_once(' ').unwrap_or((argument, ""));
        let credentials = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => self.plain(initial).await?,
            "LOGIN" => self.login(initial).await?,
            token @ ("XOAUTH2" | "OAUTHBEARER") => return self.token(token, initial).await,
            _ => return Ok(ServerReply::new(504, "5.5.4", "mechanism not known")),
        };
        Ok(match credentials {
            Err(NoCredentials::Canceled) => ServerReply::new(501, "5.7.0", "as you like"),
            Err(NoCredentials::Malformed) => ServerReply::new(501, "5.5.2", "cannot be decoded"),
            Ok((user, password)) => self.check(&user, &password),
        })
    }

    async fn plain(
        &mut self,
        initial: &str,
    ) -> io::Result<Result<(String, String), NoCredentials>> {
        let answer = match initial {
            "" => self.prompt("").await?,
            initial => decoded(initial.as_bytes()),
        };
        Ok(answer.and_then(|text| {
            let mut parts = text.split('\0').skip(1);
            match (parts.next(), parts.next(), parts.next()) {
                (Some(user), Some(password), None) => Ok((user.to_owned(), password.to_owned())),
                _ => Err(NoCredentials::Malformed),
            }
        }))
    }

    /// A refused token is explained, and the client has to answer before the refusal.
    async fn token(&mut self, mechanism: &str, initial: &str) -> io::Result<ServerReply> {
        let answer = match initial {
            "" => self.prompt("").await?,
            initial => decoded(initial.as_bytes()),
        };
        let answer = answer.ok().and_then(|text| token::credentials(mechanism, &text));
        let Some((user, token)) = answer else {
            return Ok(ServerReply::new(501, "5.5.2", "cannot be decoded"));
        };
        let is_let_in = self.peer.house.shared.lets_in_by_token(&user, &token);
        let reply = self.welcome(&user, is_let_in);
        if self.peer.user.is_none() {
            // Whatever the client answers, it is refused.
            let _ = self.prompt(token::REFUSED).await?;
        }
        Ok(reply)
    }

    async fn login(
        &mut self,
        initial: &str,
    ) -> io::Result<Result<(String, String), NoCredentials>> {
        let user = match initial {
            "" => self.prompt("Username:").await?,
            initial => decoded(initial.as_bytes()),
        };
        let user = match user {
            Ok(user) => user,
            Err(refused) => return Ok(Err(refused)),
        };
        Ok(self.prompt("Password:").await?.map(|password| (user, password)))
    }

    async fn prompt(&mut self, text: &str) -> io::Result<Result<String, NoCredentials>> {
        let wire = &mut self.peer.wire;
        wire.push(format!("334 {}\r\n", STANDARD.encode(text)).as_bytes());
        wire.flush().await?;
        Ok(match wire.line(LINE_BYTES_MAX).await? {
            ClientLine::Text(line) if line == b"*" => Err(NoCredentials::Canceled),
            ClientLine::Text(line) => decoded(&line),
            ClientLine::TooLong => Err(NoCredentials::Malformed),
        })
    }

    fn check(&mut self, user: &str, password: &str) -> ServerReply {
        let is_let_in = self.peer.house.shared.edit(|state| state.lets_in(user, password));
        self.welcome(user, is_let_in)
    }

    fn welcome(&mut self, user: &str, is_let_in: bool) -> ServerReply {
        if !is_let_in {
            return ServerReply::new(535, "5.7.8", "wrong user or password");
        }
        self.peer.logged_in(user);
        ServerReply::new(235, "2.7.0", "welcome")
    }
}

/// The text in a base64 line. A single `=` is the empty text (RFC 4954 §4).
fn decoded(line: &[u8]) -> Result<String, NoCredentials> {
    if line == b"=" {
        return Ok(String::new());
    }
    let bytes = STANDARD.decode(line).map_err(|_| NoCredentials::Malformed)?;
    String::from_utf8(bytes).map_err(|_| NoCredentials::Malformed)
}

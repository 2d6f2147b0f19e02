//! Logging in.
//!
//! Standards: RFC 3501 §6.2.2 and §6.2.3, RFC 2971 (ID), RFC 4959 (SASL-IR), RFC 4616 (PLAIN).

use crate::capabilities::Capabilities;
use crate::command::Command;
use crate::connection::ImapConnection;
use crate::error::Error;
use crate::error::Refusal;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::sasl;
use std::sync::Arc;

impl ImapConnection {
    /// Logs in, asks for the capabilities again unless the server sent them, and sends ID. If the
    /// server greeted with PREAUTH, it does only the last two.
    ///
    /// A password is sent by AUTHENTICATE PLAIN if the server offers it, otherwise by LOGIN. A
    /// token is sent by XOAUTH2. If the server refuses the form of the command and not the login,
    /// the plainer form is tried once.
    ///
    /// # Errors
    ///
    /// [`Error::NoMechanism`], [`Error::Refused`], or what ended the connection.
    pub async fn login(&mut self, credentials: &Credentials) -> Result<(), Error> {
        if !self.is_logged_in {
            let before = std::mem::take(&mut self.capabilities);
            let logged_in = self.authenticate(&before, credentials).await;
            let logged_in = logged_in.map_err(|error| discreet(error, credentials));
            self.is_logged_in = logged_in.is_ok();
            // The server sent no new capabilities, and the old ones may no longer hold.
            if Arc::ptr_eq(&self.capabilities, &before) || self.capabilities.is_empty() {
                self.capabilities = before;
                logged_in?;
                self.ask(Command::capability()).await?;
            } else {
                logged_in?;
            }
        }
        self.identify().await
    }

    async fn authenticate(
        &mut self,
        offers: &Capabilities,
        credentials: &Credentials,
    ) -> Result<(), Error> {
        let no_mechanism = || no_mechanism(offers, &credentials.secret);
        let password = match &credentials.secret {
            Secret::OAuth2(_) if !offers.has("AUTH=XOAUTH2") => return Err(no_mechanism()),
            Secret::OAuth2(_) => {
                // The server says what is wrong with the token in a continuation request, and
                // expects an empty answer.
                let message = sasl::xoauth2(credentials);
                let command = Command::authenticate(offers, "XOAUTH2", &message, b"\r\n");
                return match self.ask(command).await {
                    Err(Error::Refused { refusal: Refusal::Bad, .. }) if offers.has("SASL-IR") => {
                        let plainer = offers.without("SASL-IR");
                        let command = Command::authenticate(&plainer, "XOAUTH2", &message, b"\r\n");
                        self.ask(command).await.map(drop)
                    }
                    result => result.map(drop),
                };
            }
            Secret::Password(password) => password,
        };
        let can_login = !offers.has("LOGINDISABLED");
        if offers.has("AUTH=PLAIN") {
            let message = sasl::plain(credentials);
            let command = Command::authenticate(offers, "PLAIN", &message, b"*\r\n");
            match self.ask(command).await {
                // QUIRK: servers offer PLAIN and then refuse the mechanism with NO.
                Err(error) if can_login && error.is_of_the_form() => {}
                result => return result.map(drop),
            }
        } else if !can_login {
            return Err(no_mechanism());
        }
        let command = Command::login(offers, &credentials.login, password)?;
        self.ask(command).await.map(drop)
    }

    /// Sends ID, because some providers refuse clients that do not. A refusal has no consequence.
    async fn identify(&mut self) -> Result<(), Error> {
        if !self.capabilities.has("ID") || self.options.client_id.is_empty() {
            return Ok(());
        }
        let command = Command::id(&self.capabilities, &self.options.client_id)?;
        match self.ask(command).await {
            Ok(_) => Ok(()),
            Err(error) if error.leaves_connection_open() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// What a person can change if the server accepts neither our password nor our token.
fn no_mechanism(offers: &Capabilities, secret: &Secret) -> Error {
    let (secret, advice) = match secret {
        Secret::OAuth2(_) => ("OAuth2 token", "set `auth` of the profile to `password`"),
        Secret::Password(_) if offers.has("AUTH=XOAUTH2") || offers.has("AUTH=OAUTHBEARER") => (
            "password",
            "set `auth` of the profile to `oauth2`, and store an access token as the account's \
             password",
        ),
        Secret::Password(_) if offers.has("STARTTLS") => {
            ("password", "set `imapSecurity` of the profile to `starttls` or `tls`")
        }
        Secret::Password(_) => {
            ("password", "check port and security, or ask its operator how other programs log in")
        }
    };
    Error::NoMechanism { secret, advice, offered: offers.to_string() }
}

/// The error without the server's text, if that echoes what we sent, such as `BAD unknown command:
/// LOGIN anna secret`.
fn discreet(mut error: Error, credentials: &Credentials) -> Error {
    if let Error::Refused { text, .. } | Error::Bye { text, .. } = &mut error
        && credentials.is_echoed_in(text)
    {
        *text = "(not shown)".to_owned();
    }
    error
}

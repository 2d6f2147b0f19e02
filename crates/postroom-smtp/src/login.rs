//! Logging in. No error shows a login or a secret.
//!
//! Standards: RFC 4954, RFC 4616 (PLAIN), RFC 5802 (SCRAM), RFC 7628
//! (OAUTHBEARER).

use crate::connection::SmtpConnection;
use crate::error::Error;
use crate::extensions::Extensions;
use crate::login_forms::LoginForm;
use crate::login_refusal::LoginRefusal;
use crate::reply::Reply;
use postroom_model::options::MechanismChoice;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::bearer;
use postroom_net::sasl;
use postroom_net::sasl::Mechanism;
use postroom_net::sasl::SaslExchange;
use postroom_net::sasl::SaslLink;
use secrecy::ExposeSecret;
use secrecy::SecretString;

/// How many challenges of one login are answered.
const CHALLENGES_MAX: usize = 5;

/// A login by one mechanism that failed.
struct FailedMechanism {
    mechanism: Mechanism,
    /// Whether the server had our proof of the password.
    has_proved: bool,
    error: Error,
}

impl FailedMechanism {
    /// Whether another mechanism may be tried now.
    fn gives_way_to(&self, next: Mechanism, link: &SaslLink<'_>) -> bool {
        if matches!(self.error, Error::Login(_)) {
            return true;
        }
        let Error::Credentials { reply, .. } = &self.error else {
            return false;
        };
        match self.mechanism {
            // The server refuses the mechanism after all, or says that it is too weak for this
            // login (RFC 4954 §6).
            Mechanism::Plain | Mechanism::Login | Mechanism::CramMd5 => {
                reply.is_of_the_command() || reply.code == 534
            }
            Mechanism::ScramPlus | Mechanism::Scram => match reply.login_refusal() {
                LoginRefusal::Limit | LoginRefusal::Unavailable => false,
                LoginRefusal::Password
                | LoginRefusal::Encryption
                | LoginRefusal::Policy
                | LoginRefusal::Command
                | LoginRefusal::Missing => self.mechanism.gives_way_to(next, self.has_proved, link),
            },
        }
    }
}

impl SmtpConnection {
    /// Logs in. A password goes by the mechanisms that the options and the server allow: by SCRAM,
    /// which does not send it, otherwise by PLAIN or LOGIN. What ended a former connection is left
    /// out. An access token goes by XOAUTH2 or OAUTHBEARER.
    ///
    /// # Errors
    ///
    /// [`Error::Credentials`] if the server refuses them, [`Error::Login`] if it proved to be a
    /// wrong server. No error shows them.
    pub async fn login(&mut self, credentials: &Credentials) -> Result<(), Error> {
        self.idle = false;
        let logged_in = match &credentials.secret {
            Secret::OAuth2(_) => self.by_token(credentials).await,
            Secret::Password(_) => self.by_password(credentials).await,
        };
        self.idle = logged_in.is_ok();
        logged_in.map_err(|error| discreet(error, credentials))
    }

    async fn by_token(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let (mechanism, message, answer) = if self.extensions.offers("XOAUTH2") {
            ("XOAUTH2", Some(sasl::xoauth2(credentials)), "")
        } else {
            ("OAUTHBEARER", bearer::oauthbearer(credentials), bearer::ABORT)
        };
        let message = message.filter(|_| self.extensions.offers(mechanism));
        let message = message.ok_or_else(|| self.no_mechanism())?;
        let mut reply = self.begin(mechanism, &message).await?;
        if reply.code == 334 {
            // The server says what is wrong with the token, and expects this answer.
            let words = reply.lines.last().and_then(|line| bearer::refusal(line));
            reply = self.answer(&SecretString::from(answer)).await?;
            if !reply.is_success() {
                reply.lines.extend(words);
            }
        }
        let_in(reply)
    }

    async fn by_password(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let offered = self.extensions.clone();
        let is_offered = |mechanism: Mechanism| offered.offers(mechanism.name());
        let binding = self.wire.channel_binding();
        let link = SaslLink { binding: &binding, offers: &is_offered };
        let mut failed: Option<FailedMechanism> = None;
        let forms = self.login_forms.clone();
        let mut mechanisms = link.mechanisms(self.mechanism);
        if !mechanisms.iter().any(|mechanism| forms.allow_any(*mechanism)) {
            forms.forget();
        }
        mechanisms.retain(|mechanism| forms.allow_any(*mechanism));
        for mechanism in mechanisms {
            if failed.as_ref().is_some_and(|failed| !failed.gives_way_to(mechanism, &link)) {
                continue;
            }
            let mut has_proved = None;
            let result = match mechanism.begin(credentials, &link) {
                Ok(Some(exchange)) => {
                    has_proved = Some(exchange.mark());
                    // What we break off leaves the connection in the middle of a login.
                    let result = self.converse(mechanism, exchange).await;
                    let has_proved = has_proved.as_ref().is_some_and(|mark| mark.is_set());
                    // Otherwise whoever cuts connections could have the password sent as it is.
                    if result.is_ok() || mechanism.gives_way_to(Mechanism::Plain, has_proved, &link)
                    {
                        for form in LoginForm::of(mechanism) {
                            forms.answered(*form, &result);
                        }
                    }
                    if let Err(error @ Error::Login(_)) = result {
                        return Err(error);
                    }
                    result
                }
                Ok(None) if mechanism == Mechanism::Login => {
                    let answers =
                        [sasl::login_name(credentials), sasl::login_password(credentials)];
                    let result = self.recite("LOGIN", &SecretString::default(), &answers).await;
                    forms.answered(LoginForm::Login, &result);
                    result
                }
                Ok(None) => self.by_plain(credentials).await,
                Err(error) => Err(Error::Login(error)),
            };
            match result {
                Ok(()) => return Ok(()),
                Err(error) => {
                    let has_proved = has_proved.is_some_and(|mark| mark.is_set());
                    failed = Some(FailedMechanism { mechanism, has_proved, error });
                }
            }
        }
        Err(failed.map_or_else(|| self.no_mechanism(), |failed| failed.error))
    }

    /// AUTH PLAIN. A server that ignores the initial response asks for it again. One that does not
    /// understand the command with it is asked without.
    async fn by_plain(&mut self, credentials: &Credentials) -> Result<(), Error> {
        let (message, forms) = (sasl::plain(credentials), self.login_forms.clone());
        let answers = std::slice::from_ref(&message);
        if forms.allow(LoginForm::PlainAtOnce) {
            let result = self.recite("PLAIN", &message, answers).await;
            forms.answered(LoginForm::PlainAtOnce, &result);
            let is_of_form = |reply: &Reply| matches!(reply.code, 500 | 501);
            if !matches!(&result, Err(Error::Credentials { reply, .. }) if is_of_form(reply)) {
                return result;
            }
        }
        let result = self.recite("PLAIN", &SecretString::default(), answers).await;
        forms.answered(LoginForm::Plain, &result);
        result
    }

    /// AUTH with an initial response, and answers whatever the challenges say.
    async fn recite(
        &mut self,
        mechanism: &str,
        initial: &SecretString,
        answers: &[SecretString],
    ) -> Result<(), Error> {
        let mut reply = self.begin(mechanism, initial).await?;
        for answer in answers {
            if reply.code != 334 {
                break;
            }
            reply = self.answer(answer).await?;
        }
        let_in(reply)
    }

    /// AUTH by a mechanism that answers challenges.
    async fn converse(
        &mut self,
        mechanism: Mechanism,
        mut exchange: SaslExchange,
    ) -> Result<(), Error> {
        let initial = exchange.initial().unwrap_or_default();
        let mut reply = self.begin(mechanism.name(), &initial).await?;
        for _ in 0..CHALLENGES_MAX {
            if reply.code != 334 {
                break;
            }
            let answer = exchange.answer(&reply.lines.concat()).map_err(Error::Login)?;
            reply = self.answer(&answer).await?;
        }
        let_in(reply)?;
        exchange.finish().map_err(Error::Login)
    }

    async fn begin(&mut self, mechanism: &str, initial: &SecretString) -> Result<Reply, Error> {
        let blank = if initial.expose_secret().is_empty() { "" } else { " " };
        let line = secret_line(&["AUTH ", mechanism, blank, initial.expose_secret()]);
        self.command("AUTH", line.expose_secret()).await
    }

    async fn answer(&mut self, answer: &SecretString) -> Result<Reply, Error> {
        let line = secret_line(&[answer.expose_secret()]);
        self.command("AUTH", line.expose_secret()).await
    }

    fn no_mechanism(&self) -> Error {
        Error::Unsupported { reason: no_mechanism(&self.extensions, self.mechanism) }
    }
}

fn let_in(reply: Reply) -> Result<(), Error> {
    let refused = |reply| Error::Credentials { command: "AUTH", reply };
    if reply.is_success() { Ok(()) } else { Err(refused(reply)) }
}

/// A line with a secret in it: its memory is overwritten when it is dropped.
fn secret_line(parts: &[&str]) -> SecretString {
    let octets = parts.iter().map(|part| part.len()).sum::<usize>() + 2;
    let mut line = String::with_capacity(octets);
    line.extend(parts.iter().chain(&["\r\n"]).copied());
    SecretString::from(line)
}

/// The error without secrets, because some servers echo the command that they refuse.
fn discreet(mut error: Error, credentials: &Credentials) -> Error {
    let not_shown = || "(not shown)".to_owned();
    if let Error::Credentials { reply, .. } | Error::Reply { reply, .. } = &mut error
        && credentials.is_echoed_in(&reply.lines.concat())
    {
        reply.lines = vec![not_shown()];
    }
    if let Error::Protocol { reason } = &mut error
        && credentials.is_echoed_in(reason)
    {
        *reason = not_shown();
    }
    error
}

/// What to tell a person if the server offers no way to log in.
fn no_mechanism(extensions: &Extensions, choice: MechanismChoice) -> String {
    let known = extensions.auth.join(", ");
    match choice {
        _ if !extensions.offers_auth() => {
            "the account has a login for sending, but the server offers none (no AUTH): check \
             smtpPort and smtpSecurity; for a server without logins, remove smtpLogin and \
             smtpPassword"
                .to_owned()
        }
        MechanismChoice::Best => {
            format!("the server offers only ways to log in that Postroom does not support: {known}")
        }
        MechanismChoice::Scram | MechanismChoice::Plain | MechanismChoice::CramMd5 => format!(
            "the option `mechanism` names a way to log in that the server does not offer: set it \
             to `best` (it offers: {known})"
        ),
    }
}

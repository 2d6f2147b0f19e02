//! Logging in.
//!
//! Standards: RFC 3501 §6.2.2 and §6.2.3, RFC 2971 (ID), RFC 4959 (SASL-IR), RFC 4616 (PLAIN), RFC
//! 5802 (SCRAM), RFC 7628 (OAUTHBEARER).

use crate::capabilities::Capabilities;
use crate::command::Command;
use crate::connection::ImapConnection;
use crate::error::Error;
use crate::error::ImapVerdict;
use crate::error::Refusal;
use crate::login_ways;
use crate::newer_forms::NewerForm;
use postroom_model::options::MechanismChoice;
use postroom_net::Credentials;
use postroom_net::SaslError;
use postroom_net::Secret;
use postroom_net::bearer;
use postroom_net::sasl;
use postroom_net::sasl::LoginWay;
use postroom_net::sasl::LoginWays;
use postroom_net::sasl::Mechanism;
use postroom_net::sasl::SaslLink;
use secrecy::SecretString;
use std::sync::Arc;

impl ImapConnection {
    /// Logs in, asks for the capabilities again unless the server sent them, and sends ID. If the
    /// server greeted with PREAUTH, it does only the last two.
    ///
    /// A password goes by the mechanisms that the options and the server allow: by SCRAM, which
    /// does not send it, otherwise by AUTHENTICATE PLAIN, otherwise by LOGIN. A token is sent by
    /// XOAUTH2, otherwise by OAUTHBEARER.
    /// If the server refuses the form of the command and not the login, the plainer form is tried
    /// once. A way that it refused, or that ended a former connection, is left out. The way that it
    /// took last is the first.
    ///
    /// # Errors
    ///
    /// [`Error::NoMechanism`], [`Error::Refused`], [`Error::Login`] if the server proved to be a
    /// wrong one, or what ended the connection.
    pub async fn login(&mut self, credentials: &Credentials) -> Result<(), Error> {
        if !self.login.is_done {
            let before = std::mem::take(&mut self.capabilities);
            let logged_in = self.authenticate(&before, credentials).await;
            let logged_in = logged_in.map_err(|error| discreet(error, credentials));
            self.login.is_done = logged_in.is_ok();
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
        match &credentials.secret {
            Secret::OAuth2(_) => self.by_token(offers, credentials).await,
            Secret::Password(password) => self.by_password(offers, credentials, password).await,
        }
    }

    async fn by_token(
        &mut self,
        offers: &Capabilities,
        credentials: &Credentials,
    ) -> Result<(), Error> {
        let no_mechanism = || no_mechanism(offers, &credentials.secret, self.options.mechanism);
        let form = TokenForm::of(offers, credentials).ok_or_else(no_mechanism)?;
        let (known, plainer) = (self.options.login_ways.clone(), offers.without("SASL-IR"));
        let mut refused = None;
        for way in known.taken_first(login_ways::of_token(offers.has("SASL-IR"))) {
            let offers = if way == LoginWay::TokenAtOnce { offers } else { &plainer };
            match self.ask(form.command(offers)).await {
                Ok(_) => {
                    known.took(way);
                    return Ok(());
                }
                Err(error @ Error::Refused { refusal: Refusal::Bad, .. }) => {
                    known.leave_out(way);
                    refused = Some(error);
                }
                // What was refused before is the reason.
                Err(error) if has_ended(&error) && refused.is_some() => break,
                Err(error) => {
                    if has_ended(&error) {
                        known.ended(way);
                    }
                    return Err(error);
                }
            }
        }
        Err(refused.unwrap_or(Error::Ended))
    }

    async fn by_password(
        &mut self,
        offers: &Capabilities,
        credentials: &Credentials,
        password: &SecretString,
    ) -> Result<(), Error> {
        let choice = self.options.mechanism;
        let is_offered = |mechanism: Mechanism| match mechanism {
            // Here it is a command of its own.
            Mechanism::Login => !offers.has("LOGINDISABLED"),
            Mechanism::ScramPlus | Mechanism::Scram | Mechanism::CramMd5 | Mechanism::Plain => {
                offers.has(&format!("AUTH={}", mechanism.name()))
            }
        };
        let binding = self.login.binding.clone();
        let link = SaslLink { binding: &binding, offers: &is_offered };
        let known = self.options.login_ways.clone();
        let ways = login_ways::of_password(&link.mechanisms(choice), offers.has("SASL-IR"));
        let mut failed: Option<FailedLogin> = None;
        for way in known.taken_first(&ways) {
            let Some(mechanism) = way.mechanism() else { continue };
            if failed.as_ref().is_some_and(|failed| !failed.gives_way_to(mechanism, &link)) {
                continue;
            }
            let plainer = offers.without("SASL-IR");
            let offers = if way == LoginWay::PlainAsked { &plainer } else { offers };
            let mut has_proved = None;
            let result = match mechanism.begin(credentials, &link) {
                Ok(Some(exchange)) => {
                    has_proved = Some(exchange.mark());
                    self.ask(Command::converse(offers, mechanism, exchange)).await
                }
                Ok(None) if mechanism == Mechanism::Plain => {
                    let message = sasl::plain(credentials);
                    self.ask(Command::authenticate(offers, "PLAIN", &message, b"*\r\n")).await
                }
                Ok(None) => self.ask(Command::login(offers, &credentials.login, password)?).await,
                Err(error) => Err(Error::Login(error)),
            };
            let Err(error) = result else {
                known.took(way);
                return Ok(());
            };
            if has_ended(&error)
                && let Some(former) = failed.take_if(|former| former.is_refusal())
            {
                // The server ended the session because of that refusal.
                return Err(former.error);
            }
            let has_proved = has_proved.is_some_and(|mark| mark.is_set());
            let tried = FailedLogin { mechanism, has_proved, error };
            tried.note(way, &known, &link);
            failed = Some(tried);
        }
        let no_mechanism = || no_mechanism(offers, &credentials.secret, choice);
        Err(failed.map_or_else(no_mechanism, |failed| failed.error))
    }

    /// Sends ID, because some providers refuse clients that do not. A refusal has no consequence.
    async fn identify(&mut self) -> Result<(), Error> {
        let is_allowed = self.options.newer_forms.allow(NewerForm::Id);
        if !self.capabilities.has("ID") || self.options.client_id.is_empty() || !is_allowed {
            return Ok(());
        }
        self.send_id().await
    }

    /// Sends ID although the server does not offer it, because it refused a command until it knows
    /// the client. Gives whether the command may succeed now.
    ///
    /// # Errors
    ///
    /// What ended the connection.
    pub(crate) async fn identifies_for(&mut self, refused: &Error) -> Result<bool, Error> {
        let is_known = self.login.is_identified || self.options.client_id.is_empty();
        if is_known || !refused.asks_for_id() {
            return Ok(false);
        }
        self.send_id().await?;
        Ok(true)
    }

    async fn send_id(&mut self) -> Result<(), Error> {
        self.login.is_identified = true;
        let command = Command::id(&self.capabilities, &self.options.client_id)?;
        match self.ask_newer(Some(NewerForm::Id), command).await {
            Ok(_) => Ok(()),
            Err(error) if error.leaves_connection_open() => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// A login by one mechanism that failed.
struct FailedLogin {
    mechanism: Mechanism,
    /// Whether the server had our proof of the password.
    has_proved: bool,
    error: Error,
}

impl FailedLogin {
    /// Whether another mechanism may be tried now.
    fn gives_way_to(&self, next: Mechanism, link: &SaslLink<'_>) -> bool {
        match (&self.error, self.mechanism) {
            (Error::Login(SaslError::Unpreparable { .. }), _) => true,
            // QUIRK: servers offer PLAIN and then refuse the mechanism with NO.
            (error, Mechanism::Plain) => error.is_of_the_form(),
            (Error::Refused { .. }, mechanism) => {
                !is_busy(&self.error) && mechanism.gives_way_to(next, self.has_proved, link)
            }
            (_, _) => false,
        }
    }

    fn is_refusal(&self) -> bool {
        matches!(self.error, Error::Refused { .. })
    }

    /// Notes what happened for the next connections, unless no other way may follow there.
    fn note(&self, way: LoginWay, known: &LoginWays, link: &SaslLink<'_>) {
        let may_follow = self.mechanism.may_be_left_out(self.has_proved, link);
        if !may_follow || matches!(self.error, Error::Login(_)) {
            return;
        }
        if self.error.verdict() == ImapVerdict::Credentials {
            known.leave_out(way);
        } else if has_ended(&self.error) {
            known.ended(way);
        } else if self.is_refusal() {
            known.answered(way);
        }
    }
}

/// Whether the server asks to come back later.
fn is_busy(error: &Error) -> bool {
    matches!(error.verdict(), ImapVerdict::RetryLater { .. })
}

/// Whether the server ended the session, or is silent, and does not say that it is busy.
fn has_ended(error: &Error) -> bool {
    // A login that we broke off is no end of the server's.
    let is_ours = matches!(error, Error::Login(_));
    !error.leaves_connection_open() && !is_ours && !is_busy(error)
}

/// How a token is sent.
struct TokenForm {
    mechanism: &'static str,
    message: SecretString,
    /// The server says what is wrong with the token in a continuation request, and expects this.
    last_answer: &'static [u8],
}

impl TokenForm {
    /// The form that the server offers. `None`: none.
    fn of(offers: &Capabilities, credentials: &Credentials) -> Option<Self> {
        if offers.has("AUTH=XOAUTH2") {
            let message = sasl::xoauth2(credentials);
            return Some(Self { mechanism: "XOAUTH2", message, last_answer: b"\r\n" });
        }
        let message = bearer::oauthbearer(credentials)?;
        let last_answer = b"AQ==\r\n";
        offers.has("AUTH=OAUTHBEARER").then_some(Self {
            mechanism: "OAUTHBEARER",
            message,
            last_answer,
        })
    }

    fn command(&self, offers: &Capabilities) -> Command {
        Command::authenticate(offers, self.mechanism, &self.message, self.last_answer)
    }
}

/// What a person can change if the server accepts neither our password nor our token.
fn no_mechanism(offers: &Capabilities, secret: &Secret, choice: MechanismChoice) -> Error {
    let is_chosen = matches!(choice, MechanismChoice::Scram | MechanismChoice::CramMd5);
    let (secret, advice) = match secret {
        Secret::Password(_) if is_chosen => (
            "password",
            "the option `mechanism` names one that it does not offer: set it to `best` or `plain`",
        ),
        Secret::OAuth2(_) => (
            "OAuth2 token",
            "give the account a `password` and no `oauthApp_id` (and set `auth` of the profile to \
             `password`, if it is `oauth2`)",
        ),
        Secret::Password(_) if offers.has("AUTH=XOAUTH2") || offers.has("AUTH=OAUTHBEARER") => (
            "password",
            "give the account an OAuth app (`oauthApp_id`), by which it gets access tokens",
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

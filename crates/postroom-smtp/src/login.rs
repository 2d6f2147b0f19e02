//! Logging in. No error shows a login or a secret.
//!
//! Standards: RFC 4954, RFC 4616 (PLAIN), RFC 5802 (SCRAM), RFC 7628
//! (OAUTHBEARER).

use crate::connection::SmtpConnection;
use crate::error::Error;
use crate::extensions::Extensions;
use crate::login_refusal::LoginRefusal;
use crate::reply::Reply;
use postroom_model::options::MechanismChoice;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::bearer;
use postroom_net::sasl;
use postroom_net::sasl::LoginWay;
use postroom_net::sasl::LoginWays;
use postroom_net::sasl::Mechanism;
use postroom_net::sasl::SaslExchange;
use postroom_net::sasl::SaslLink;
use secrecy::ExposeSecret;
use secrecy::SecretString;

/// How many challenges of one login are answered.
const CHALLENGES_MAX: usize = 5;

/// A login by one way that failed.
struct FailedWay {
    way: LoginWay,
    /// Whether the server had our proof of the password.
    has_proved: bool,
    error: Error,
}

impl FailedWay {
    /// Whether another way may be tried now.
    fn gives_way_to(&self, next: LoginWay, link: &SaslLink<'_>) -> bool {
        if matches!(self.error, Error::Login(_)) {
            return true;
        }
        let Error::Credentials { reply, .. } = &self.error else {
            return false;
        };
        let (Some(tried), Some(follows)) = (self.way.mechanism(), next.mechanism()) else {
            return false;
        };
        match tried {
            // The server does not understand the command with the response.
            Mechanism::Plain if next == LoginWay::PlainAsked => matches!(reply.code, 500 | 501),
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
                | LoginRefusal::Missing => tried.gives_way_to(follows, self.has_proved, link),
            },
        }
    }

    /// Notes what happened for the next connections, unless no other way may follow there. A
    /// refusal leaves nothing out, because the other ways follow on the same connection.
    fn note(&self, known: &LoginWays, link: &SaslLink<'_>) {
        let Some(mechanism) = self.way.mechanism() else { return };
        if !mechanism.may_be_left_out(self.has_proved, link) {
            return;
        }
        if matches!(self.error, Error::Credentials { .. }) {
            known.answered(self.way);
        } else if self.error.ended_at_login() {
            // A message waits for the next login. No way is weaker than one that sends the
            // password.
            if mechanism.sends_password() {
                known.leave_out(self.way);
            } else {
                known.ended(self.way);
            }
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
        let known = self.login_ways.clone();
        let mut failed: Option<FailedWay> = None;
        for way in known.to_try(&ways(&link.mechanisms(self.mechanism))) {
            let Some(mechanism) = way.mechanism() else { continue };
            if failed.as_ref().is_some_and(|failed| !failed.gives_way_to(way, &link)) {
                continue;
            }
            let mut has_proved = None;
            let mut is_broken_off = false;
            let result = match mechanism.begin(credentials, &link) {
                Ok(Some(exchange)) => {
                    has_proved = Some(exchange.mark());
                    let result = self.converse(mechanism, exchange).await;
                    is_broken_off = matches!(result, Err(Error::Login(_)));
                    result
                }
                Ok(None) => self.by_itself(way, credentials).await,
                Err(error) => Err(Error::Login(error)),
            };
            let Err(error) = result else {
                known.took(way);
                return Ok(());
            };
            if is_broken_off {
                // That leaves the connection in the middle of a login.
                return Err(error);
            }
            let has_proved = has_proved.is_some_and(|mark| mark.is_set());
            let tried = FailedWay { way, has_proved, error };
            tried.note(&known, &link);
            failed = Some(tried);
        }
        Err(failed.map_or_else(|| self.no_mechanism(), |failed| failed.error))
    }

    /// AUTH by a way that sends the password as it is. A server that ignores the initial response
    /// of PLAIN asks for it again.
    async fn by_itself(&mut self, way: LoginWay, credentials: &Credentials) -> Result<(), Error> {
        let nothing = SecretString::default();
        if way == LoginWay::Login {
            let answers = [sasl::login_name(credentials), sasl::login_password(credentials)];
            return self.recite("LOGIN", &nothing, &answers).await;
        }
        let message = sasl::plain(credentials);
        let initial = if way == LoginWay::PlainAsked { &nothing } else { &message };
        self.recite("PLAIN", initial, std::slice::from_ref(&message)).await
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

/// The ways of some mechanisms, in the order in which they are tried.
fn ways(mechanisms: &[Mechanism]) -> Vec<LoginWay> {
    let mut ways = vec![];
    for mechanism in mechanisms {
        ways.push(LoginWay::of(*mechanism));
        if *mechanism == Mechanism::Plain {
            ways.push(LoginWay::PlainAsked);
        }
    }
    ways
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

#[cfg(test)]
mod tests {
    use super::*;
    use LoginWay::*;
    use postroom_net::ChannelBinding;

    /// The ways that the next connection tries after some connections ended by a way, at `command`.
    fn left_after(
        known: &LoginWays,
        way: LoginWay,
        has_proved: bool,
        command: &'static str,
    ) -> Vec<LoginWay> {
        let binding = ChannelBinding::ClearText;
        let link = SaslLink { binding: &binding, offers: &|_| true };
        let error = Error::Timeout { command };
        FailedWay { way, has_proved, error }.note(known, &link);
        known.to_try(&ways(&link.mechanisms(MechanismChoice::Best)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_way_that_ended_the_connection_is_left_out_for_a_day() {
        let known = LoginWays::default();
        let left = left_after(&known, Plain, false, "AUTH");
        assert_eq!(left, [Scram, PlainAsked, Login]);
        assert_eq!(left_after(&known, Login, false, "MAIL"), left);
        assert_eq!(left_after(&known.clone(), PlainAsked, false, "AUTH"), [Scram, Login]);
        tokio::time::advance(std::time::Duration::from_secs(24 * 3600)).await;
        let left = known.to_try(&[Scram, Plain, PlainAsked, Login]);
        assert_eq!(left, [Scram, Plain, PlainAsked, Login]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_end_by_chance_does_not_have_the_password_sent_as_it_is() {
        let known = LoginWays::default();
        let all = [Scram, Plain, PlainAsked, Login];
        for _ in 0..3 {
            // Nor does any end after our proof.
            assert_eq!(left_after(&known, Scram, true, "AUTH"), all);
        }
        assert_eq!(left_after(&known, Scram, false, "AUTH"), all);
        known.took(Scram);
        assert_eq!(left_after(&known, Scram, false, "AUTH"), all);
        assert_eq!(left_after(&known, Scram, false, "AUTH"), [Plain, PlainAsked, Login]);
    }
}

//! The argument `--fail`: what goes wrong in a sandbox.
//!
//! `KIND=WHAT` is a rule of the script that holds all the time, or an event after some time.

use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use std::time::Duration;
use tokio::time::Instant;

/// The longest time that an argument may name: a day.
const SECONDS_MAX: f64 = 86_400.0;
/// An example of a reply.
const REPLY_EXAMPLE: &str = "full@shop.example:452 4.2.2 the mailbox is full";
/// The first UID after a renumbering.
const UID_FIRST: u32 = 1001;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fail {
    /// The recipient is refused for good.
    Refuse(Who),
    /// The recipient is deferred.
    Defer(Who, Option<u32>),
    /// The recipient is answered with this reply.
    Reply(Who, String),
    /// The recipient is answered late.
    Slow(Who, Duration),
    /// The message to this recipient is refused after its last byte.
    RefuseData(Who),
    /// The message is accepted, but the connection ends before the answer.
    Cut(Who, Option<u32>),
    /// The login is refused.
    Login(Who, Option<u32>),
    /// Nothing listens for SMTP.
    SmtpDown(Duration),
    /// IMAP connections are closed at once.
    ImapDown(Duration),
    /// INBOX is renumbered.
    Renumber(String, Duration),
}

/// Whom it is about.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Who {
    /// All.
    All,
    /// This address.
    One(String),
}

/// Reads the arguments.
///
/// # Errors
///
/// The argument, what is wrong with it, and what is accepted.
pub(super) fn parse(given: &[String], users: &[(String, String)]) -> anyhow::Result<Vec<Fail>> {
    let parsed = |text: &String| {
        let fail = one(text).with_context(|| format!("--fail {text}"))?;
        if let Fail::Renumber(address, _) = &fail {
            let is_user = users.iter().any(|(user, _)| user.eq_ignore_ascii_case(address));
            ensure!(
                is_user,
                "--fail {text}: {address} is not a user of the sandbox; add it with \
                              --user"
            );
        }
        Ok(fail)
    };
    given.iter().map(parsed).collect()
}

fn one(text: &str) -> anyhow::Result<Fail> {
    let Some((kind, what)) = text.split_once('=') else {
        bail!("it is not of the form KIND=WHAT, such as refuse=gone@shop.example");
    };
    Ok(match kind {
        "refuse" => Fail::Refuse(who(what)?),
        "refuse-data" => Fail::RefuseData(who(what)?),
        "defer" => {
            let (who, times) = who_times(what)?;
            Fail::Defer(who, times)
        }
        "cut" => {
            let (who, times) = who_times(what)?;
            Fail::Cut(who, times)
        }
        "login" => {
            let (who, times) = who_times(what)?;
            Fail::Login(who, times)
        }
        "reply" => {
            let (address, reply) = what.split_once(':').with_context(|| {
                format!("`{what}` is not of the form ADDRESS:REPLY, such as {REPLY_EXAMPLE}")
            })?;
            ensure!(
                is_reply(reply),
                "`{reply}` is not a reply that refuses: it must be one line that begins with a \
                 code from 400 to 599, such as {REPLY_EXAMPLE}"
            );
            Fail::Reply(who(address)?, reply.to_owned())
        }
        "slow" => {
            let (address, after) = address_seconds(what)?;
            Fail::Slow(who(address)?, after)
        }
        "renumber" => {
            let (address, after) = address_seconds(what)?;
            ensure!(is_address(address), "`{address}` is not an address");
            Fail::Renumber(address.to_owned(), after)
        }
        "smtp-down" => Fail::SmtpDown(seconds(what)?),
        "imap-down" => Fail::ImapDown(seconds(what)?),
        _ => bail!(
            "there is no `{kind}`; there are refuse, defer, reply, slow, refuse-data, cut, login, \
             smtp-down, imap-down and renumber"
        ),
    })
}

fn who(text: &str) -> anyhow::Result<Who> {
    if text == "*" {
        return Ok(Who::All);
    }
    ensure!(is_address(text), "`{text}` is neither an address nor `*`");
    Ok(Who::One(text.to_owned()))
}

fn is_address(text: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.contains([' ', ':']);
    text.rsplit_once('@').is_some_and(|(local, domain)| is_part(local) && is_part(domain))
}

/// Whether a text is an SMTP reply that refuses (RFC 5321 §4.2).
fn is_reply(text: &str) -> bool {
    let (code, rest) = text.split_at_checked(3).unwrap_or_default();
    let is_code = code.bytes().all(|byte| byte.is_ascii_digit())
        && code.starts_with(['4', '5'])
        && (rest.is_empty() || rest.starts_with(' '));
    is_code && !text.contains(char::is_control)
}

fn who_times(text: &str) -> anyhow::Result<(Who, Option<u32>)> {
    let Some((address, times)) = text.rsplit_once(':') else {
        return Ok((who(text)?, None));
    };
    let count: u32 = times.parse().ok().filter(|count| *count > 0).with_context(|| {
        format!("`{times}` is not a number of times: use a whole number, 1 or more")
    })?;
    Ok((who(address)?, Some(count)))
}

fn address_seconds(text: &str) -> anyhow::Result<(&str, Duration)> {
    let (address, after) =
        text.rsplit_once(':').context("it takes ADDRESS:SECONDS, such as anna@demo.test:30")?;
    Ok((address, seconds(after)?))
}

fn seconds(text: &str) -> anyhow::Result<Duration> {
    let number: Option<f64> = text.parse().ok();
    let number = number.filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds));
    let number = number.with_context(|| {
        format!("`{text}` is not a number of seconds: use a number between 0 and {SECONDS_MAX}")
    })?;
    Ok(Duration::from_secs_f64(number))
}

impl Fail {
    /// What happens, for a person.
    pub(super) fn describe(&self) -> String {
        let times = |times: &Option<u32>| match times {
            None => "each time".to_owned(),
            Some(1) => "the first time".to_owned(),
            Some(times) => format!("the first {times} times"),
        };
        match self {
            Self::Refuse(who) => format!("{} is refused for good", who.recipient()),
            Self::Defer(who, count) => format!("{} is deferred, {}", who.recipient(), times(count)),
            Self::Reply(who, reply) => format!("{} is answered `{reply}`", who.recipient()),
            Self::Slow(who, after) => {
                format!("{} is answered after {} s", who.recipient(), after.as_secs_f64())
            }
            Self::RefuseData(who) => {
                format!("a message from or to {} is refused after its last byte", who.name())
            }
            Self::Cut(who, count) => format!(
                "a message from or to {} is accepted, but the connection ends before the answer, \
                 {}",
                who.name(),
                times(count)
            ),
            Self::Login(who, count) => {
                format!("the login of {} is refused, {}", who.name(), times(count))
            }
            Self::SmtpDown(after) => {
                format!("nothing listens for SMTP for {} s", after.as_secs_f64())
            }
            Self::ImapDown(after) => {
                format!("IMAP connections are closed at once for {} s", after.as_secs_f64())
            }
            Self::Renumber(address, after) => format!(
                "after {} s the INBOX of {address} gets a new UIDVALIDITY and new UIDs",
                after.as_secs_f64()
            ),
        }
    }

    /// The rules that hold from the beginning.
    fn rules(&self) -> Vec<Rule> {
        let rule = |on: Point, when: When, act: Action| Rule { on, when, act };
        let rcpt = Point::SmtpCommand(SmtpCommand::Rcpt);
        match self {
            Self::Refuse(who) => {
                vec![rule(rcpt, who.when(), Action::line("550 5.1.1 no such user here"))]
            }
            Self::Defer(who, times) => {
                let act = Action::line("450 4.2.0 the mailbox is busy, try again later");
                who.times(*times).into_iter().map(|when| rule(rcpt, when, act.clone())).collect()
            }
            Self::Reply(who, reply) => vec![rule(rcpt, who.when(), Action::line(reply))],
            Self::Slow(who, after) => vec![rule(rcpt, who.when(), Action::Delay(*after))],
            Self::RefuseData(who) => {
                let act = Action::line("554 5.7.1 the content is not wanted here");
                vec![rule(Point::SmtpDot, who.when(), act)]
            }
            Self::Cut(who, times) => {
                let on = Point::SmtpAccepted;
                let act = Action::End(Ending::Close);
                who.times(*times).into_iter().map(|when| rule(on, when, act.clone())).collect()
            }
            Self::ImapDown(_) => {
                vec![rule(Point::ImapConnect, When::Always, Action::End(Ending::Close))]
            }
            Self::Login(_, _) | Self::SmtpDown(_) | Self::Renumber(_, _) => vec![],
        }
    }
}

impl Who {
    fn address(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::One(address) => Some(address),
        }
    }

    fn name(&self) -> &str {
        match self {
            Self::All => "everybody",
            Self::One(address) => address,
        }
    }

    fn recipient(&self) -> String {
        match self {
            Self::All => "every recipient".to_owned(),
            Self::One(address) => format!("recipient {address}"),
        }
    }

    fn when(&self) -> When {
        match self {
            Self::All => When::Always,
            Self::One(address) => When::For(address.clone()),
        }
    }

    /// The rules count each address separately.
    fn times(&self, times: Option<u32>) -> Vec<When> {
        match (self, times) {
            (_, None) => vec![self.when()],
            (Self::All, Some(times)) => vec![When::First(times)],
            (Self::One(address), Some(times)) => {
                (1..=times).map(|time| When::NthFor(time, address.clone())).collect()
            }
        }
    }
}

/// The events that are still to come, the next one last.
pub(super) struct Events {
    coming: Vec<(Instant, Event)>,
}

/// Something that happens after a while.
pub(super) enum Event {
    /// SMTP is served again.
    SmtpUp,
    /// The rule that closes IMAP connections is removed.
    ImapUp(RuleId),
    /// The INBOX of a user is renumbered.
    Renumber(String),
}

/// Makes the sandbox fail from now on.
pub(super) async fn begin(sandbox: &mut Sandbox, fails: &[Fail]) -> Events {
    let now = Instant::now();
    let mut coming = vec![];
    for fail in fails {
        let rules: Vec<_> = fail.rules().into_iter().map(|rule| sandbox.script(rule)).collect();
        match (fail, rules.first()) {
            (Fail::Login(who, times), _) => {
                sandbox.edit(|state| state.refuse_logins(who.address(), *times));
            }
            (Fail::SmtpDown(after), _) => {
                sandbox.smtp_down().await;
                coming.push((now + *after, Event::SmtpUp));
            }
            (Fail::ImapDown(after), Some(rule)) => {
                coming.push((now + *after, Event::ImapUp(*rule)));
            }
            (Fail::Renumber(address, after), _) => {
                coming.push((now + *after, Event::Renumber(address.clone())));
            }
            (_, _) => {}
        }
    }
    coming.sort_by_key(|(due, _)| std::cmp::Reverse(*due));
    Events { coming }
}

impl Events {
    /// Waits for the next event. `None`: none is left. It may be dropped while it waits.
    pub(super) async fn next(&mut self) -> Option<Event> {
        let (due, _) = self.coming.last()?;
        tokio::time::sleep_until(*due).await;
        self.coming.pop().map(|(_, event)| event)
    }
}

impl Event {
    /// Carries the event out, and says what happened.
    pub(super) async fn happen(self, sandbox: &mut Sandbox) -> anyhow::Result<String> {
        Ok(match self {
            Self::SmtpUp => {
                sandbox.smtp_up().await.context("SMTP could not be started again")?;
                format!("SMTP is served again at {} and {}", sandbox.smtp(), sandbox.smtps())
            }
            Self::ImapUp(rule) => {
                sandbox.unscript(rule);
                "IMAP connections are served again".to_owned()
            }
            Self::Renumber(address) => {
                let validity = sandbox.edit(|state| {
                    let inbox = state.mailbox_mut(&address, "INBOX")?;
                    let validity = inbox.uid_validity().saturating_add(1);
                    inbox.renumber(validity, UID_FIRST);
                    Ok::<_, postroom_sandbox::Error>(validity)
                })?;
                format!("the INBOX of {address} has UIDVALIDITY {validity} now, and new UIDs")
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read() {
        let anna = || Who::One("anna@demo.test".to_owned());
        let table = [
            ("refuse=anna@demo.test", Fail::Refuse(anna())),
            ("refuse=*", Fail::Refuse(Who::All)),
            ("refuse-data=anna@demo.test", Fail::RefuseData(anna())),
            ("defer=anna@demo.test", Fail::Defer(anna(), None)),
            ("defer=anna@demo.test:2", Fail::Defer(anna(), Some(2))),
            (
                "reply=anna@demo.test:452 4.2.2 full: no",
                Fail::Reply(anna(), "452 4.2.2 full: no".to_owned()),
            ),
            ("cut=*:1", Fail::Cut(Who::All, Some(1))),
            ("login=anna@demo.test:3", Fail::Login(anna(), Some(3))),
            ("slow=anna@demo.test:1.5", Fail::Slow(anna(), Duration::from_millis(1500))),
            ("smtp-down=10", Fail::SmtpDown(Duration::from_secs(10))),
            ("imap-down=0", Fail::ImapDown(Duration::ZERO)),
            (
                "renumber=anna@demo.test:30",
                Fail::Renumber("anna@demo.test".to_owned(), Duration::from_secs(30)),
            ),
        ];
        for (text, want) in table {
            assert_eq!(one(text).unwrap(), want, "{text}");
            assert!(!want.describe().is_empty());
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let users = [("anna@demo.test".to_owned(), "secret".to_owned())];
        let table = [
            ("refuse", "not of the form KIND=WHAT"),
            ("explode=anna@demo.test", "there is no `explode`"),
            ("refuse=anna", "`anna` is neither an address nor `*`"),
            ("refuse=", "`` is neither an address nor `*`"),
            ("defer=anna@demo.test:0", "`0` is not a number of times"),
            ("defer=anna@demo.test:x", "`x` is not a number of times"),
            ("reply=anna@demo.test", "not of the form ADDRESS:REPLY"),
            ("reply=anna@demo.test:250 ok", "`250 ok` is not a reply that refuses"),
            ("reply=anna@demo.test:5.1.1 no", "is not a reply that refuses"),
            ("reply=anna@demo.test:550 a\r\n250 b", "is not a reply that refuses"),
            ("slow=anna@demo.test", "ADDRESS:SECONDS"),
            ("slow=anna@demo.test:-1", "`-1` is not a number of seconds"),
            ("smtp-down=NaN", "`NaN` is not a number of seconds"),
            ("renumber=*:5", "`*` is not an address"),
            ("renumber=carl@demo.test:5", "carl@demo.test is not a user of the sandbox"),
        ];
        for (text, want) in table {
            let error = format!("{:#}", parse(&[text.to_owned()], &users).unwrap_err());
            assert!(error.contains(want) && error.contains(text), "{error}");
        }
    }
}

//! Faults: what goes wrong at one point of a dialogue, by chance.
//!
//! A server may be slow, silent, confused or gone. It does not give other bytes than it has: what
//! is recorded is then not what the mailbox holds, and nobody could know.

use fastrand::Rng;
use postroom_sandbox::Action;
use postroom_sandbox::Ending;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::MessageFault;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use std::time::Duration;

/// The commands that the engine gives.
const IMAP: [ImapCommand; 11] = [
    ImapCommand::Capability,
    ImapCommand::Authenticate,
    ImapCommand::List,
    ImapCommand::Select,
    ImapCommand::Examine,
    ImapCommand::Search,
    ImapCommand::Fetch,
    ImapCommand::Store,
    ImapCommand::Expunge,
    ImapCommand::Noop,
    ImapCommand::Logout,
];

/// The commands of a submission.
const SMTP: [SmtpCommand; 6] = [
    SmtpCommand::Ehlo,
    SmtpCommand::Auth,
    SmtpCommand::Mail,
    SmtpCommand::Rcpt,
    SmtpCommand::Data,
    SmtpCommand::Rset,
];

/// A fault of an IMAP server.
#[must_use]
pub fn imap(chance: &mut Rng) -> Rule {
    let command = pick(chance, &IMAP, ImapCommand::Noop);
    let on = match chance.u8(..10) {
        0 => Point::ImapConnect,
        1 => Point::ImapGreeting,
        2..=4 => Point::ImapCommand(command),
        5..=6 => Point::ImapDone(command),
        _ => Point::ImapMessage(None),
    };
    let refusal = |chance: &mut Rng| {
        let texts = ["NO try later", "NO [INUSE] busy", "BAD what", "NO [SERVERBUG] oops"];
        Action::tagged(pick(chance, &texts, "NO later"))
    };
    let act = match (on, chance.u8(..3)) {
        (Point::ImapMessage(_), 0..2) => Action::Message(message(chance)),
        // A command that was not carried out is not answered OK: that would be a lie about mail.
        (Point::ImapDone(_) | Point::ImapCommand(_), 0) => refusal(chance),
        (Point::ImapGreeting, 0) => Action::farewell("* BYE too many connections"),
        (Point::ImapDone(_) | Point::ImapCommand(_), 1) if chance.bool() => garbage(chance),
        _ => ending(chance),
    };
    Rule { on, when: when(chance), act }
}

/// A fault of an SMTP server.
#[must_use]
pub fn smtp(chance: &mut Rng) -> Rule {
    let on = match chance.u8(..12) {
        0 => Point::SmtpConnect,
        1 => Point::SmtpGreeting,
        2..=5 => Point::SmtpCommand(pick(chance, &SMTP, SmtpCommand::Mail)),
        6 => Point::SmtpContent(chance.u64(1..400)),
        7..=8 => Point::SmtpDot,
        _ => Point::SmtpAccepted,
    };
    let later = ["451 4.3.0 try later", "421 4.3.2 going down", "452 4.2.2 no space"];
    let act = match (on, chance.u8(..2)) {
        (Point::SmtpCommand(_) | Point::SmtpDot | Point::SmtpGreeting, 0) => {
            Action::line(pick(chance, &later, "451 later"))
        }
        _ => ending(chance),
    };
    Rule { on, when: when(chance), act }
}

/// A refusal for good.
#[must_use]
pub fn refusal(chance: &mut Rng) -> Rule {
    let on = match chance.u8(..7) {
        0 => Point::SmtpCommand(SmtpCommand::Mail),
        1 => Point::SmtpCommand(SmtpCommand::Data),
        2 => Point::SmtpDot,
        3 => Point::SmtpGreeting,
        4 => Point::SmtpCommand(SmtpCommand::Ehlo),
        5 => Point::SmtpCommand(SmtpCommand::Auth),
        _ => Point::SmtpCommand(SmtpCommand::Rcpt),
    };
    let texts = ["550 5.1.1 no such user", "554 5.7.1 not wanted", "535 5.7.8 not you"];
    let act = Action::line(pick(chance, &texts, "550 no"));
    Rule { on, when: When::First(chance.u32(1..4)), act }
}

/// What no client understands, before the ordinary reply or with the end of the connection.
fn garbage(chance: &mut Rng) -> Action {
    match chance.u8(..5) {
        0 => Action::farewell("* BYE going down"),
        1 => Action::Before(b"* NONSENSE ((\r\n".to_vec()),
        2 => Action::Before(b"\xff\x00 no protocol at all\r\n".to_vec()),
        3 => Action::Before(b"* 99999999999 FETCH (UID x)\r\n".to_vec()),
        _ => Action::Before(b"* OK [ALERT] be careful\r\n".to_vec()),
    }
}

/// A server refuses to mark or to remove messages, until it is mended.
#[must_use]
pub fn refused_action(chance: &mut Rng) -> Rule {
    let command = pick(chance, &[ImapCommand::Store, ImapCommand::Expunge], ImapCommand::Store);
    let act = Action::tagged("NO [INUSE] not now");
    Rule { on: Point::ImapCommand(command), when: When::Always, act }
}

fn when(chance: &mut Rng) -> When {
    match chance.u8(..4) {
        0 => When::Always,
        1 => When::First(chance.u32(1..5)),
        _ => When::Nth(chance.u32(1..6)),
    }
}

fn ending(chance: &mut Rng) -> Action {
    let ending = if chance.u8(..3) == 0 { Ending::Stall } else { Ending::Close };
    match chance.u8(..4) {
        0 => Action::EndAfter { bytes: chance.u64(0..3000), ending },
        1 => Action::Delay(Duration::from_millis(chance.u64(1..90_000))),
        2 => Action::Slow {
            bytes: chance.usize(50..2000),
            every: Duration::from_millis(chance.u64(1..3000)),
        },
        _ => Action::End(ending),
    }
}

fn message(chance: &mut Rng) -> MessageFault {
    match chance.u8(..7) {
        0 => MessageFault::Omit,
        1 => MessageFault::BodyNil,
        2 => MessageFault::BodyMissing,
        3 => MessageFault::SizeOffBy(chance.i64(-50..50)),
        4 => MessageFault::UidMissing,
        5 => MessageFault::InternalDate("NIL".to_owned()),
        _ => MessageFault::Flags("(\\Seen \\Seen)".to_owned()),
    }
}

/// One of several; the first for none.
fn pick<T: Copy>(chance: &mut Rng, from: &[T], first: T) -> T {
    chance.choice(from).copied().unwrap_or(first)
}

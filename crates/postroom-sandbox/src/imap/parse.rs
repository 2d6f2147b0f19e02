//! From the tokens of a command to its value (RFC 3501 §6, §9).

use crate::imap::command::Change;
use crate::imap::command::OnMailbox;
use crate::imap::command::OnMessages;
use crate::imap::command::ParsedCommand;
use crate::imap::command::Plain;
use crate::imap::date;
use crate::imap::items;
use crate::imap::search;
use crate::imap::set::Set;
use crate::imap::token::Arguments;
use crate::imap::token::CommandToken;
use crate::imap::token::Malformed;
use crate::mailbox_name::fold_inbox;
use crate::script::ImapCommand;
use bytes::Bytes;

/// Reads the arguments of a command.
///
/// # Errors
///
/// [`Malformed`] with the text of the BAD response.
pub(crate) fn parse(
    name: ImapCommand,
    uid: bool,
    tokens: &[CommandToken],
) -> Result<ParsedCommand, Malformed> {
    let mut arguments = Arguments::new(tokens);
    let command = if uid {
        ParsedCommand::Messages(on_uids(name, &mut arguments)?)
    } else {
        without_uid(name, &mut arguments)?
    };
    if !matches!(command, ParsedCommand::Unknown | ParsedCommand::Plain(Plain::Id)) {
        arguments.end()?;
    }
    Ok(command)
}

fn on_uids(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<OnMessages, Malformed> {
    if name == ImapCommand::Expunge {
        return Ok(OnMessages::Expunge { set: Some(set(arguments)?) });
    }
    match without_uid(name, arguments)? {
        ParsedCommand::Messages(OnMessages::Search { returns, charset, key, .. }) => {
            Ok(OnMessages::Search { uid: true, returns, charset, key })
        }
        ParsedCommand::Messages(OnMessages::Fetch { set, items, .. }) => {
            Ok(OnMessages::Fetch { uid: true, set, items })
        }
        ParsedCommand::Messages(OnMessages::Store { set, change, silent, flags, .. }) => {
            Ok(OnMessages::Store { uid: true, set, change, silent, flags })
        }
        ParsedCommand::Messages(OnMessages::Copy { set, mailbox, remove, .. }) => {
            Ok(OnMessages::Copy { uid: true, set, mailbox, remove })
        }
        ParsedCommand::Messages(OnMessages::Expunge { .. })
        | ParsedCommand::Plain(_)
        | ParsedCommand::Login { .. }
        | ParsedCommand::Authenticate { .. }
        | ParsedCommand::Mailbox(_)
        | ParsedCommand::Unknown => Err(Malformed("UID does not go with this command")),
    }
}

fn without_uid(
    name: ImapCommand,
    arguments: &mut Arguments<'_>,
) -> Result<ParsedCommand, Malformed> {
    Ok(match name {
        ImapCommand::Capability => ParsedCommand::Plain(Plain::Capability),
        ImapCommand::Noop => ParsedCommand::Plain(Plain::Noop),
        ImapCommand::Logout => ParsedCommand::Plain(Plain::Logout),
        ImapCommand::Id => ParsedCommand::Plain(Plain::Id),
        ImapCommand::Namespace => ParsedCommand::Plain(Plain::Namespace),
        ImapCommand::StartTls => ParsedCommand::Plain(Plain::StartTls),
        ImapCommand::Idle => ParsedCommand::Plain(Plain::Idle),
        ImapCommand::Unselect => ParsedCommand::Plain(Plain::Unselect),
        ImapCommand::Close => ParsedCommand::Plain(Plain::Close),
        ImapCommand::Check => ParsedCommand::Plain(Plain::Check),
        ImapCommand::Unknown => ParsedCommand::Unknown,
        ImapCommand::Login => {
            ParsedCommand::Login { user: arguments.text()?, password: arguments.text()? }
        }
        ImapCommand::Authenticate => {
            let mechanism = arguments.word()?.to_ascii_uppercase();
            let initial = if arguments.is_empty() { None } else { Some(arguments.text()?) };
            ParsedCommand::Authenticate { mechanism, initial }
        }
        ImapCommand::List
        | ImapCommand::Lsub
        | ImapCommand::Subscribe
        | ImapCommand::Unsubscribe
        | ImapCommand::Create
        | ImapCommand::Delete
        | ImapCommand::Rename
        | ImapCommand::Select
        | ImapCommand::Examine
        | ImapCommand::Status
        | ImapCommand::Append => ParsedCommand::Mailbox(on_mailbox(name, arguments)?),
        ImapCommand::Search => ParsedCommand::Messages(search(arguments)?),
        ImapCommand::Fetch => {
            let (set, items) = (set(arguments)?, items::parse(arguments)?);
            ParsedCommand::Messages(OnMessages::Fetch { uid: false, set, items })
        }
        ImapCommand::Store => ParsedCommand::Messages(store(arguments)?),
        ImapCommand::Expunge => ParsedCommand::Messages(OnMessages::Expunge { set: None }),
        ImapCommand::Copy | ImapCommand::Move => {
            let (set, mailbox) = (set(arguments)?, mailbox(arguments)?);
            let remove = name == ImapCommand::Move;
            ParsedCommand::Messages(OnMessages::Copy { uid: false, set, mailbox, remove })
        }
    })
}

fn on_mailbox(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<OnMailbox, Malformed> {
    if matches!(name, ImapCommand::List | ImapCommand::Lsub) {
        return list(name, arguments);
    }
    let mailbox = mailbox(arguments)?;
    if name == ImapCommand::Append {
        return append(mailbox, arguments);
    }
    if name == ImapCommand::Status {
        let items = arguments.list()?.texts()?;
        let items = items.iter().map(|item| item.to_ascii_uppercase()).collect();
        return Ok(OnMailbox::Status { mailbox, items });
    }
    if name == ImapCommand::Create {
        return Ok(OnMailbox::Create { mailbox, special_use: create_use(arguments)? });
    }
    if name == ImapCommand::Delete {
        return Ok(OnMailbox::Delete { mailbox });
    }
    if name == ImapCommand::Rename {
        return Ok(OnMailbox::Rename { from: mailbox, to: self::mailbox(arguments)? });
    }
    if matches!(name, ImapCommand::Subscribe | ImapCommand::Unsubscribe) {
        let subscribe = name == ImapCommand::Subscribe;
        return Ok(OnMailbox::Subscribe { mailbox, subscribe });
    }
    Ok(OnMailbox::Select { mailbox, read_only: name == ImapCommand::Examine })
}

/// LIST with the parts of RFC 5258 that matter here: `LIST (SPECIAL-USE) "" "*" RETURN (..)`.
fn list(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<OnMailbox, Malformed> {
    let options = if arguments.opens() { arguments.list()?.texts()? } else { Vec::new() };
    let wants = |option: &str| options.iter().any(|own| own.eq_ignore_ascii_case(option));
    let reference = arguments.text()?;
    let patterns =
        if arguments.opens() { arguments.list()?.texts()? } else { vec![arguments.text()?] };
    if arguments.keyword().as_deref() == Some("RETURN") {
        arguments.word()?;
        arguments.list()?;
    }
    Ok(OnMailbox::List {
        subscribed: name == ImapCommand::Lsub || wants("SUBSCRIBED"),
        special_use: wants("SPECIAL-USE"),
        reference,
        patterns,
    })
}

fn mailbox(arguments: &mut Arguments<'_>) -> Result<String, Malformed> {
    arguments.text().map(fold_inbox)
}

fn set(arguments: &mut Arguments<'_>) -> Result<Set, Malformed> {
    Set::parse(&arguments.text()?).ok_or(Malformed("not a set of message numbers"))
}

/// `(USE (\Sent))` after the name in CREATE (RFC 6154 §3).
fn create_use(arguments: &mut Arguments<'_>) -> Result<Vec<String>, Malformed> {
    if !arguments.opens() {
        return Ok(Vec::new());
    }
    let mut options = arguments.list()?;
    match options.keyword().as_deref() {
        Some("USE") => {
            options.word()?;
            options.list()?.texts()
        }
        _ => Err(Malformed("no such option of CREATE")),
    }
}

fn append(mailbox: String, arguments: &mut Arguments<'_>) -> Result<OnMailbox, Malformed> {
    let flags = if arguments.opens() { arguments.list()?.texts()? } else { Vec::new() };
    let (first, second) = (arguments.token(), arguments.token());
    let (date, message) = match (first, second) {
        (Some(CommandToken::Text(date)), Some(CommandToken::Text(message))) => {
            (Some(date), message)
        }
        (Some(CommandToken::Text(message)), None) => (None, message),
        _ => return Err(Malformed("APPEND takes a literal")),
    };
    let parse = |date: &Bytes| date::parse_internal_date(std::str::from_utf8(date).ok()?);
    let date_ms = match date {
        Some(date) => Some(parse(date).ok_or(Malformed("not a date"))?),
        None => None,
    };
    Ok(OnMailbox::Append { mailbox, flags, date_ms, bytes: message.clone() })
}

fn search(arguments: &mut Arguments<'_>) -> Result<OnMessages, Malformed> {
    let mut returns = None;
    if arguments.keyword().as_deref() == Some("RETURN") {
        arguments.word()?;
        let options = arguments.list()?.texts()?;
        returns = Some(options.iter().map(|option| option.to_ascii_uppercase()).collect());
    }
    let mut charset = None;
    if arguments.keyword().as_deref() == Some("CHARSET") {
        arguments.word()?;
        charset = Some(arguments.text()?);
    }
    let key = search::parse(arguments)?;
    Ok(OnMessages::Search { uid: false, returns, charset, key })
}

fn store(arguments: &mut Arguments<'_>) -> Result<OnMessages, Malformed> {
    let set = set(arguments)?;
    let item = arguments.word()?.to_ascii_uppercase();
    let (item, silent) = match item.strip_suffix(".SILENT") {
        Some(item) => (item, true),
        None => (item.as_str(), false),
    };
    let change = match item {
        "+FLAGS" => Change::Add,
        "-FLAGS" => Change::Remove,
        "FLAGS" => Change::Replace,
        _ => return Err(Malformed("STORE changes FLAGS only")),
    };
    let flags = arguments.list_or_rest()?.texts()?;
    Ok(OnMessages::Store { uid: false, set, change, silent, flags })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::token::CommandSegment;
    use crate::imap::token::tokens;

    fn parsed(name: &str, uid: bool, arguments: &str) -> Result<ParsedCommand, Malformed> {
        let tokens = tokens(&[CommandSegment::Line(arguments.into())])?;
        parse(ImapCommand::named(name), uid, &tokens)
    }

    #[test]
    fn arguments_are_read() {
        let set = |text: &str| Set::parse(text).unwrap();
        let login = ParsedCommand::Login { user: "a b".to_owned(), password: "c".to_owned() };
        assert_eq!(parsed("LOGIN", false, "\"a b\" c"), Ok(login));
        let (set_1, flags) = (set("1:*"), vec!["\\Seen".to_owned()]);
        let store =
            OnMessages::Store { uid: true, set: set_1, change: Change::Add, silent: true, flags };
        let want = Ok(ParsedCommand::Messages(store));
        assert_eq!(parsed("STORE", true, "1:* +flags.silent \\Seen"), want);
        assert_eq!(parsed("STORE", true, "1:* +FLAGS.SILENT (\\Seen)"), want);
        let expunge = |set| Ok(ParsedCommand::Messages(OnMessages::Expunge { set }));
        assert_eq!(parsed("EXPUNGE", true, "5"), expunge(Some(set("5"))));
        assert_eq!(parsed("EXPUNGE", false, ""), expunge(None));
        let select = OnMailbox::Select { mailbox: "INBOX".to_owned(), read_only: true };
        assert_eq!(parsed("EXAMINE", false, "inbox"), Ok(ParsedCommand::Mailbox(select)));
        assert_eq!(parsed("ID", false, "(\"name\" NIL)"), Ok(ParsedCommand::Plain(Plain::Id)));
    }

    #[test]
    fn what_does_not_fit_is_malformed() {
        for (name, uid, arguments) in [
            ("LOGIN", false, "a"),
            ("LOGIN", false, "a b c"),
            ("NOOP", false, "x"),
            ("NOOP", true, ""),
            ("EXPUNGE", true, ""),
            ("FETCH", false, "1"),
            ("FETCH", false, "x UID"),
            ("STORE", false, "1 LABELS (a)"),
            ("APPEND", false, "INBOX word"),
            ("APPEND", false, "INBOX \"no date\" \"x\""),
            ("STATUS", false, "INBOX"),
            ("CREATE", false, "x (FOO)"),
            ("SELECT", false, ""),
        ] {
            assert!(parsed(name, uid, arguments).is_err(), "{name} {arguments}");
        }
    }
}

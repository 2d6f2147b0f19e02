//! Commands as values (RFC 3501 §6).

use crate::imap::date;
use crate::imap::items;
use crate::imap::items::Item;
use crate::imap::search;
use crate::imap::search::Key;
use crate::imap::set::Set;
use crate::imap::token::Arguments;
use crate::imap::token::Malformed;
use crate::imap::token::Token;
use crate::mailbox_name::fold_inbox;
use crate::script::ImapCommand;
use bytes::Bytes;

/// A command with its arguments. Mailbox names are as on the wire, with INBOX in upper case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// One without arguments, or whose arguments do not matter here (ID).
    Plain(ImapCommand),
    /// LOGIN.
    Login { user: String, password: String },
    /// AUTHENTICATE, perhaps with an initial response (RFC 4959).
    Authenticate {
        mechanism: String,
        initial: Option<String>,
    },
    /// LIST, or LSUB.
    List {
        subscribed: bool,
        special_use: bool,
        reference: String,
        patterns: Vec<String>,
    },
    /// SUBSCRIBE, or UNSUBSCRIBE.
    Subscribe { mailbox: String, subscribe: bool },
    /// CREATE.
    Create {
        mailbox: String,
        special_use: Vec<String>,
    },
    /// DELETE.
    Delete { mailbox: String },
    /// RENAME.
    Rename { from: String, to: String },
    /// SELECT, or EXAMINE.
    Select { mailbox: String, read_only: bool },
    /// STATUS.
    Status { mailbox: String, items: Vec<String> },
    /// APPEND.
    Append {
        mailbox: String,
        flags: Vec<String>,
        date_ms: Option<i64>,
        bytes: Bytes,
    },
    /// SEARCH; `returns` is what RETURN asks for (RFC 4731).
    Search {
        uid: bool,
        returns: Option<Vec<String>>,
        charset: Option<String>,
        key: Key,
    },
    /// FETCH.
    Fetch {
        uid: bool,
        set: Set,
        items: Vec<Item>,
    },
    /// STORE.
    Store {
        uid: bool,
        set: Set,
        change: Change,
        silent: bool,
        flags: Vec<String>,
    },
    /// EXPUNGE; with a set it is UID EXPUNGE (RFC 4315).
    Expunge { set: Option<Set> },
    /// COPY, or MOVE.
    Copy {
        uid: bool,
        set: Set,
        mailbox: String,
        remove: bool,
    },
}

/// What STORE does with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// Reads the arguments of a command.
///
/// # Errors
///
/// [`Malformed`] with the text of the BAD response.
pub fn parse(name: ImapCommand, uid: bool, tokens: &[Token]) -> Result<Command, Malformed> {
    let mut arguments = Arguments::new(tokens);
    let takes_uid = matches!(
        name,
        ImapCommand::Search
            | ImapCommand::Fetch
            | ImapCommand::Store
            | ImapCommand::Copy
            | ImapCommand::Move
            | ImapCommand::Expunge
    );
    if uid && !takes_uid {
        return Err(Malformed("UID does not go with this command"));
    }
    let command = match name {
        // Its arguments only matter to the transcript.
        ImapCommand::Id => return Ok(Command::Plain(name)),
        ImapCommand::Capability
        | ImapCommand::Noop
        | ImapCommand::Logout
        | ImapCommand::Namespace
        | ImapCommand::StartTls
        | ImapCommand::Idle
        | ImapCommand::Unselect
        | ImapCommand::Close
        | ImapCommand::Check
        | ImapCommand::Unknown => Command::Plain(name),
        ImapCommand::Login | ImapCommand::Authenticate => login(name, &mut arguments)?,
        ImapCommand::List | ImapCommand::Lsub => list(name, &mut arguments)?,
        ImapCommand::Subscribe
        | ImapCommand::Unsubscribe
        | ImapCommand::Create
        | ImapCommand::Delete
        | ImapCommand::Rename
        | ImapCommand::Select
        | ImapCommand::Examine
        | ImapCommand::Status
        | ImapCommand::Append => on_mailbox(name, &mut arguments)?,
        ImapCommand::Search => search(uid, &mut arguments)?,
        ImapCommand::Expunge => Command::Expunge {
            set: if uid {
                Some(set(&mut arguments)?)
            } else {
                None
            },
        },
        ImapCommand::Fetch | ImapCommand::Store | ImapCommand::Copy | ImapCommand::Move => {
            on_messages(name, uid, &mut arguments)?
        }
    };
    if name != ImapCommand::Unknown {
        arguments.end()?;
    }
    Ok(command)
}

fn login(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<Command, Malformed> {
    if name == ImapCommand::Login {
        return Ok(Command::Login {
            user: arguments.text()?,
            password: arguments.text()?,
        });
    }
    let mechanism = arguments.word()?.to_ascii_uppercase();
    let initial = if arguments.is_empty() {
        None
    } else {
        Some(arguments.text()?)
    };
    Ok(Command::Authenticate { mechanism, initial })
}

/// LIST with the parts of RFC 5258 that matter here: `LIST (SPECIAL-USE) "" "*" RETURN (..)`.
fn list(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<Command, Malformed> {
    let options = if arguments.opens() {
        arguments.list()?.texts()?
    } else {
        Vec::new()
    };
    let wants = |option: &str| options.iter().any(|own| own.eq_ignore_ascii_case(option));
    let reference = arguments.text()?;
    let patterns = if arguments.opens() {
        arguments.list()?.texts()?
    } else {
        vec![arguments.text()?]
    };
    if arguments.keyword().as_deref() == Some("RETURN") {
        arguments.word()?;
        arguments.list()?;
    }
    Ok(Command::List {
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

fn on_mailbox(name: ImapCommand, arguments: &mut Arguments<'_>) -> Result<Command, Malformed> {
    let mailbox = mailbox(arguments)?;
    Ok(match name {
        ImapCommand::Subscribe => Command::Subscribe {
            mailbox,
            subscribe: true,
        },
        ImapCommand::Unsubscribe => Command::Subscribe {
            mailbox,
            subscribe: false,
        },
        ImapCommand::Create => Command::Create {
            mailbox,
            special_use: create_use(arguments)?,
        },
        ImapCommand::Delete => Command::Delete { mailbox },
        ImapCommand::Rename => Command::Rename {
            from: mailbox,
            to: self::mailbox(arguments)?,
        },
        ImapCommand::Examine => Command::Select {
            mailbox,
            read_only: true,
        },
        ImapCommand::Status => {
            let items = arguments.list()?.texts()?;
            Command::Status {
                mailbox,
                items: items.iter().map(|item| item.to_ascii_uppercase()).collect(),
            }
        }
        ImapCommand::Append => append(mailbox, arguments)?,
        _ => Command::Select {
            mailbox,
            read_only: false,
        },
    })
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

fn append(mailbox: String, arguments: &mut Arguments<'_>) -> Result<Command, Malformed> {
    let flags = if arguments.opens() {
        arguments.list()?.texts()?
    } else {
        Vec::new()
    };
    let (first, second) = (arguments.token(), arguments.token());
    let (date, message) = match (first, second) {
        (Some(Token::Text(date)), Some(Token::Text(message))) => (Some(date), message),
        (Some(Token::Text(message)), None) => (None, message),
        _ => return Err(Malformed("APPEND takes a literal")),
    };
    let parse = |date: &Bytes| date::parse_internal_date(std::str::from_utf8(date).ok()?);
    let date_ms = match date {
        Some(date) => Some(parse(date).ok_or(Malformed("not a date"))?),
        None => None,
    };
    Ok(Command::Append {
        mailbox,
        flags,
        date_ms,
        bytes: message.clone(),
    })
}

fn search(uid: bool, arguments: &mut Arguments<'_>) -> Result<Command, Malformed> {
    let mut returns = None;
    if arguments.keyword().as_deref() == Some("RETURN") {
        arguments.word()?;
        let options = arguments.list()?.texts()?;
        returns = Some(
            options
                .iter()
                .map(|option| option.to_ascii_uppercase())
                .collect(),
        );
    }
    let mut charset = None;
    if arguments.keyword().as_deref() == Some("CHARSET") {
        arguments.word()?;
        charset = Some(arguments.text()?);
    }
    let key = search::parse(arguments)?;
    Ok(Command::Search {
        uid,
        returns,
        charset,
        key,
    })
}

fn on_messages(
    name: ImapCommand,
    uid: bool,
    arguments: &mut Arguments<'_>,
) -> Result<Command, Malformed> {
    let set = set(arguments)?;
    match name {
        ImapCommand::Copy | ImapCommand::Move => {
            let remove = name == ImapCommand::Move;
            Ok(Command::Copy {
                uid,
                set,
                mailbox: mailbox(arguments)?,
                remove,
            })
        }
        ImapCommand::Store => {
            let item = arguments.word()?.to_ascii_uppercase();
            let (item, silent) = item
                .strip_suffix(".SILENT")
                .map_or((item.as_str(), false), |item| (item, true));
            let change = match item {
                "+FLAGS" => Change::Add,
                "-FLAGS" => Change::Remove,
                "FLAGS" => Change::Replace,
                _ => return Err(Malformed("STORE changes FLAGS only")),
            };
            let flags = arguments.list_or_rest()?.texts()?;
            Ok(Command::Store {
                uid,
                set,
                change,
                silent,
                flags,
            })
        }
        _ => {
            let items = items::parse(arguments)?;
            Ok(Command::Fetch { uid, set, items })
        }
    }
}

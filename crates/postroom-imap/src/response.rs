//! Responses as values. A response that is unknown or malformed is [`Response::Other`].
//!
//! Standards: RFC 3501 §7, RFC 9051 §7, RFC 2342 §5, RFC 4731 §3, RFC 6154 §2, RFC 8474 §4.1.

mod fetch;
mod state;

pub use crate::response::fetch::Body;
pub use crate::response::fetch::Fetched;
pub(crate) use crate::response::fetch::is_whole_body;
pub(crate) use crate::response::state::Code;
pub(crate) use crate::response::state::StateLine;
pub(crate) use crate::response::state::StatusKind;
pub(crate) use crate::response::state::is_state_line;
pub(crate) use crate::response::state::parse_state;

use crate::capabilities::Capabilities;
use crate::mailbox::MailboxName;
use crate::response::fetch::parse_fetch;
use crate::set::UidSet;
use crate::token::Segment;
use crate::token::Token;
use crate::token::Tokens;
use crate::token::number;
use crate::token::number_u32;
use crate::token::readable;
use crate::token::skip_list;
use crate::token::strings;
use crate::token::uid;
use postroom_model::MailboxId;

/// An untagged response.
#[derive(Debug, Clone, PartialEq)]
pub enum Response {
    /// OK, NO, BAD, BYE or PREAUTH.
    State(StateLine),
    /// CAPABILITY.
    Capability(Capabilities),
    /// How many messages the selected mailbox has.
    Exists(u32),
    /// The flags of the selected mailbox.
    Flags(Vec<String>),
    /// UIDs found by SEARCH, in the server's order, and how many numbers were not UIDs. A long
    /// answer arrives in several pieces.
    Search(Vec<u64>, u64),
    /// UIDs found by SEARCH, in the compact form.
    Esearch(UidSet, u64),
    /// A mailbox.
    List(Listed),
    /// Counts of a mailbox.
    Status(MailboxName, Status),
    /// The namespaces.
    Namespace(Namespaces),
    /// A message.
    Fetch(Fetched),
    /// A message was removed from the selected mailbox.
    Expunge,
    /// Anything else.
    Other,
}

/// A mailbox, as LIST gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name, byte for byte.
    pub name: MailboxName,
    /// The name as people read it.
    pub display: String,
    /// The separator between levels of names. `None`: there are no levels.
    pub delimiter: Option<char>,
    /// Attributes such as `\HasNoChildren`, as the server writes them.
    pub attributes: Vec<String>,
    /// The special use with its backslash, such as `\Sent` (RFC 6154 §2).
    pub special_use: Option<String>,
    /// How the server spells INBOX, if not `INBOX`.
    pub inbox_spelling: Option<Box<[u8]>>,
}

impl Listed {
    /// How many bytes it takes in memory, about.
    pub(crate) fn size_bytes(&self) -> usize {
        let attributes = self.attributes.iter().map(|one| one.len() + size_of::<String>());
        let texts = self.name.as_bytes().len() + self.display.len();
        size_of::<Self>() + texts + attributes.sum::<usize>()
    }

    /// The entry of INBOX for a server that does not list it.
    pub(crate) fn inbox() -> Self {
        let name = MailboxName::inbox();
        Self {
            display: name.to_display(),
            name,
            delimiter: None,
            attributes: vec![],
            special_use: None,
            inbox_spelling: None,
        }
    }
}

/// A mailbox after SELECT or EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selected {
    /// How many messages it has; `None` when the server does not say it.
    pub exists: Option<u32>,
    /// UIDVALIDITY; `None` when the server has none, or says zero.
    pub uid_validity: Option<u64>,
    /// UIDNEXT; `None` when the server does not say it, or says zero.
    pub uid_next: Option<u64>,
    /// HIGHESTMODSEQ (RFC 7162 §3.1.2.1).
    pub highest_mod_seq: Option<u64>,
    /// MAILBOXID (RFC 8474 §4.1); `None` when the server does not say it.
    pub mailbox_id: Option<MailboxId>,
    /// The flags that messages may have.
    pub flags: Vec<String>,
    /// The flags that can be changed; empty when the server does not say.
    pub permanent_flags: Vec<String>,
    /// Whether nothing can be changed.
    pub read_only: bool,
    /// Whether it was opened by SELECT, so that commands can change it. A server may know no
    /// EXAMINE.
    pub is_open_for_changes: bool,
}

/// Counts of a mailbox that need not be selected. `None`: the server did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Status {
    /// How many messages it has.
    pub messages: Option<u32>,
    /// How many are not `\Seen`.
    pub unseen: Option<u32>,
    /// UIDVALIDITY.
    pub uid_validity: Option<u64>,
    /// UIDNEXT.
    pub uid_next: Option<u64>,
    /// HIGHESTMODSEQ.
    pub highest_mod_seq: Option<u64>,
}

/// One namespace: the prefix of its names, and their separator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace {
    /// How names in it begin, byte for byte.
    pub prefix: Vec<u8>,
    /// What separates levels of names.
    pub delimiter: Option<char>,
}

/// The namespaces of an account (RFC 2342 §5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Namespaces {
    /// The account's own.
    pub personal: Vec<Namespace>,
    /// Those of other users.
    pub other_users: Vec<Namespace>,
    /// Those shared by all users.
    pub shared: Vec<Namespace>,
}

/// Reads one untagged response.
pub(crate) fn parse(segments: &[Segment]) -> Response {
    if let [Segment::Text(text), ..] = segments
        && let Some(line) = parse_state(text)
    {
        return Response::State(line);
    }
    let mut tokens = Tokens::new(segments);
    tokens.next();
    let Some(Token::Atom(word)) = tokens.next() else {
        return Response::Other;
    };
    if let Some(count) = number_u32(word) {
        return numbered(count, &mut tokens);
    }
    let word = word.to_ascii_uppercase();
    match word.as_slice() {
        b"CAPABILITY" => Response::Capability(Capabilities::parse(tokens.rest())),
        b"SEARCH" => search(&mut tokens),
        b"ESEARCH" => esearch(&mut tokens),
        b"LIST" | b"XLIST" => list(&mut tokens).map_or(Response::Other, Response::List),
        b"STATUS" => status(&mut tokens).unwrap_or(Response::Other),
        b"FLAGS" => match tokens.next() {
            Some(Token::Open) => Response::Flags(strings(&mut tokens)),
            _ => Response::Other,
        },
        b"NAMESPACE" => Response::Namespace(Namespaces {
            personal: namespaces(&mut tokens),
            other_users: namespaces(&mut tokens),
            shared: namespaces(&mut tokens),
        }),
        _ => Response::Other,
    }
}

/// The UIDs of a later piece of a long SEARCH or ESEARCH response.
pub(crate) fn parse_more_search(segments: &[Segment]) -> Response {
    let mut tokens = Tokens::new(segments);
    match segments {
        [Segment::Text(text), ..] if text.starts_with(b",") => {
            let set = tokens.next();
            let set = set.as_ref().and_then(Token::string).unwrap_or_default();
            let (set, unusable) = UidSet::parse_lenient(set);
            Response::Esearch(set, unusable)
        }
        _ => search(&mut tokens),
    }
}

fn numbered(count: u32, tokens: &mut Tokens<'_>) -> Response {
    match tokens.next() {
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"FETCH") => {
            parse_fetch(tokens).map_or(Response::Other, Response::Fetch)
        }
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"EXISTS") => Response::Exists(count),
        Some(Token::Atom(word)) if word.eq_ignore_ascii_case(b"EXPUNGE") => Response::Expunge,
        _ => Response::Other,
    }
}

/// The numbers up to `(MODSEQ n)` (RFC 7162 §3.1.5).
fn search(tokens: &mut Tokens<'_>) -> Response {
    let (mut uids, mut unusable) = (vec![], 0);
    for number in tokens.map_while(|token| token.atom().map(uid)) {
        match number {
            Some(uid) => uids.push(uid),
            None => unusable += 1,
        }
    }
    Response::Search(uids, unusable)
}

fn esearch(tokens: &mut Tokens<'_>) -> Response {
    while let Some(token) = tokens.next() {
        if token == Token::Open {
            skip_list(tokens);
        }
        if token.atom().is_some_and(|word| word.eq_ignore_ascii_case(b"ALL")) {
            let set = tokens.next();
            let set = set.as_ref().and_then(Token::string).unwrap_or_default();
            let (set, unusable) = UidSet::parse_lenient(set);
            return Response::Esearch(set, unusable);
        }
    }
    Response::Esearch(UidSet::default(), 0)
}

fn list(tokens: &mut Tokens<'_>) -> Option<Listed> {
    if tokens.next()? != Token::Open {
        return None;
    }
    let attributes = strings(tokens);
    let delimiter = delimiter(&tokens.next()?);
    let token;
    let spelling = match tokens.peek() {
        Some(b'"') | None => {
            token = tokens.next()?;
            token.string()?
        }
        // QUIRK(Exchange): names with blanks, parentheses and control characters stand unquoted,
        // https://github.com/jstedfast/MailKit/issues/945
        Some(_) => bare_name(tokens.rest()),
    };
    let name = MailboxName::from_bytes(spelling);
    let inbox_spelling = (name.as_bytes() != spelling).then(|| Box::from(spelling));
    let display = name.to_display();
    let special_use = special_use(&attributes);
    Some(Listed { name, display, delimiter, attributes, special_use, inbox_spelling })
}

/// A bare name without the extended items that may follow it (RFC 5258 §6).
fn bare_name(rest: &[u8]) -> &[u8] {
    let extended = rest.ends_with(b")").then(|| memchr::memmem::find(rest, b" (\"")).flatten();
    extended.and_then(|at| rest.get(..at)).unwrap_or(rest)
}

fn delimiter(token: &Token<'_>) -> Option<char> {
    readable(token.string()?).chars().next()
}

/// The special use among the attributes, as RFC 6154 §2 and RFC 8457 §6 write it, and as XLIST did.
fn special_use(attributes: &[String]) -> Option<String> {
    const USES: [(&str, &str); 11] = [
        ("\\All", "\\All"),
        ("\\Archive", "\\Archive"),
        ("\\Drafts", "\\Drafts"),
        ("\\Flagged", "\\Flagged"),
        ("\\Important", "\\Important"),
        ("\\Junk", "\\Junk"),
        ("\\Sent", "\\Sent"),
        ("\\Trash", "\\Trash"),
        ("\\AllMail", "\\All"),
        ("\\Spam", "\\Junk"),
        ("\\Starred", "\\Flagged"),
    ];
    let known = |attribute: &String| {
        USES.iter().find(|(name, _)| attribute.eq_ignore_ascii_case(name)).map(|(_, is)| *is)
    };
    attributes.iter().find_map(known).map(str::to_owned)
}

fn status(tokens: &mut Tokens<'_>) -> Option<Response> {
    let name = match tokens.peek() {
        Some(b'"') | None => MailboxName::from_bytes(tokens.next()?.string()?),
        Some(_) => {
            let rest = tokens.rest();
            let at = memchr::memrchr(b'(', rest)?;
            let (name, counts) = rest.split_at_checked(at)?;
            let counts = [Segment::Text(bytes::Bytes::copy_from_slice(counts))];
            let name = MailboxName::from_bytes(name.trim_ascii());
            return Some(Response::Status(name, status_counts(&mut Tokens::new(&counts))));
        }
    };
    Some(Response::Status(name, status_counts(tokens)))
}

fn status_counts(tokens: &mut Tokens<'_>) -> Status {
    let mut status = Status::default();
    tokens.next();
    while let Some(Token::Atom(name)) = tokens.next() {
        let value = match tokens.next() {
            Some(Token::Atom(value)) => value,
            Some(Token::Open) => {
                skip_list(tokens);
                continue;
            }
            _ => return status,
        };
        match name.to_ascii_uppercase().as_slice() {
            b"MESSAGES" => status.messages = number_u32(value),
            b"UNSEEN" => status.unseen = number_u32(value),
            b"UIDVALIDITY" => status.uid_validity = uid(value),
            b"UIDNEXT" => status.uid_next = uid(value),
            b"HIGHESTMODSEQ" => status.highest_mod_seq = number(value),
            _ => {}
        }
    }
    status
}

fn namespaces(tokens: &mut Tokens<'_>) -> Vec<Namespace> {
    let mut found = vec![];
    if tokens.next() != Some(Token::Open) {
        return found;
    }
    while let Some(Token::Open) = tokens.next() {
        let prefix = tokens.next().and_then(|token| token.string().map(<[u8]>::to_vec));
        let delimiter = tokens.next().and_then(|token| delimiter(&token));
        skip_list(tokens);
        found.push(Namespace { prefix: prefix.unwrap_or_default(), delimiter });
    }
    found
}

#[cfg(test)]
mod tests;

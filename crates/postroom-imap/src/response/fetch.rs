//! One message, as a FETCH response gives it.
//!
//! Standards: RFC 3501 §7.4.2, RFC 3516 §4.3.

use crate::date;
use crate::token::Token;
use crate::token::Tokens;
use crate::token::size;
use crate::token::skip_list;
use crate::token::strings;
use crate::token::uid;
use bytes::Bytes;

/// What the server told of one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// Its UID. `None`: the response was not asked for, cannot be used, or has two UIDs.
    pub uid: Option<u64>,
    /// Its flags.
    pub flags: Vec<String>,
    /// INTERNALDATE in Unix milliseconds; `None` where it is missing or cannot be true.
    pub internal_date_ms: Option<i64>,
    /// RFC822.SIZE: a hint, which servers get wrong. `None`: it is missing, or there are two.
    pub size_bytes: Option<u64>,
    /// Its header, or the fields that were asked for; `None` where there are none.
    pub header: Option<Bytes>,
    /// Its bytes.
    pub body: Body,
    /// Whether the server calls the bytes a part of the message, by an origin octet (`BODY[]<0>`).
    pub is_called_part: bool,
}

/// The bytes of a message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Body {
    /// The response had none.
    #[default]
    Missing,
    /// The server said NIL.
    Nil,
    /// All of it.
    Bytes(Bytes),
    /// It has already been handed on in chunks.
    Streamed,
    /// It is larger than the limit and was discarded.
    TooBig {
        /// The size that the server announced.
        size_bytes: u64,
    },
    /// The server announced a wrong size, so the end of the message is not known.
    WrongSize,
    /// The response contradicts itself: two bodies, or two sizes.
    Contradictory,
}

/// Reads the items of a FETCH response. Unknown items are skipped. `None`: there is no list.
pub(crate) fn parse_fetch(tokens: &mut Tokens<'_>) -> Option<Fetched> {
    if tokens.next()? != Token::Open {
        return None;
    }
    let mut fetched = Fetched::default();
    let mut told = ToldOnce::default();
    while let Some(token) = tokens.next() {
        match token {
            Token::Atom(name) => item(name, tokens, &mut fetched, &mut told),
            Token::Open => skip_list(tokens),
            Token::Close => break,
            Token::Quoted(_)
            | Token::Literal(_)
            | Token::Streamed
            | Token::TooBig(_)
            | Token::Skipped => {}
        }
    }
    if told.uid.is_contradictory {
        fetched.uid = None;
    }
    if told.size.is_contradictory {
        (fetched.size_bytes, fetched.body) = (None, Body::Contradictory);
    }
    Some(fetched)
}

/// The numbers that a response may tell only once.
#[derive(Default)]
struct ToldOnce {
    uid: ToldNumber,
    size: ToldNumber,
}

#[derive(Default)]
struct ToldNumber {
    value: Option<u64>,
    is_contradictory: bool,
}

impl ToldNumber {
    /// Takes note of a value; gives the one that was told last.
    fn note(&mut self, value: Option<u64>) -> Option<u64> {
        self.is_contradictory |= self.value.is_some() && self.value != value;
        self.value = value;
        value
    }
}

/// Reads the value of one item. If the value is missing and the next item follows, nothing is
/// consumed.
fn item(name: &[u8], tokens: &mut Tokens<'_>, fetched: &mut Fetched, told: &mut ToldOnce) {
    let mut ahead = tokens.clone();
    let Some(value) = ahead.next() else {
        return;
    };
    let is_item = matches!(value, Token::Atom(next) if kind(next) != FetchedItem::Other);
    if is_item || value == Token::Close {
        return;
    }
    *tokens = ahead;
    match (kind(name), value) {
        (FetchedItem::Flags, Token::Open) => fetched.flags = strings(tokens),
        (_, Token::Open) => skip_list(tokens),
        (FetchedItem::Uid, value) => fetched.uid = told.uid.note(value.string().and_then(uid)),
        (FetchedItem::Size, value) => {
            fetched.size_bytes = told.size.note(value.string().and_then(size));
        }
        (FetchedItem::Date, value) => {
            fetched.internal_date_ms = value.string().and_then(date::parse)
        }
        (FetchedItem::Body, value) => {
            fetched.is_called_part |= without_origin(name) != name;
            let body = body(value);
            if fetched.body == Body::Missing {
                fetched.body = body;
            } else if body != Body::Missing && body != fetched.body {
                fetched.body = Body::Contradictory;
            }
        }
        (FetchedItem::Header, value) => fetched.header = header(value),
        (FetchedItem::Flags | FetchedItem::Other, _) => {}
    }
}

fn body(value: Token<'_>) -> Body {
    match value {
        Token::Literal(bytes) => Body::Bytes(bytes.clone()),
        Token::Quoted(bytes) => Body::Bytes(Bytes::copy_from_slice(&bytes)),
        Token::Streamed => Body::Streamed,
        Token::TooBig(size_bytes) => Body::TooBig { size_bytes },
        value if value.is_nil() => Body::Nil,
        Token::Atom(_) | Token::Open | Token::Close | Token::Skipped => Body::Missing,
    }
}

fn header(value: Token<'_>) -> Option<Bytes> {
    match value {
        Token::Literal(bytes) => Some(bytes.clone()),
        Token::Quoted(bytes) => Some(Bytes::copy_from_slice(&bytes)),
        Token::Streamed
        | Token::TooBig(_)
        | Token::Atom(_)
        | Token::Open
        | Token::Close
        | Token::Skipped => None,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FetchedItem {
    Uid,
    Flags,
    Date,
    Size,
    Body,
    Header,
    Other,
}

fn kind(name: &[u8]) -> FetchedItem {
    match name {
        _ if name.eq_ignore_ascii_case(b"UID") => FetchedItem::Uid,
        _ if name.eq_ignore_ascii_case(b"FLAGS") => FetchedItem::Flags,
        _ if name.eq_ignore_ascii_case(b"INTERNALDATE") => FetchedItem::Date,
        _ if name.eq_ignore_ascii_case(b"RFC822.SIZE") => FetchedItem::Size,
        _ if is_whole_body(name) => FetchedItem::Body,
        _ if is_header(name) => FetchedItem::Header,
        _ => FetchedItem::Other,
    }
}

/// Whether the item is the header, or fields of it.
fn is_header(name: &[u8]) -> bool {
    [&b"BODY[HEADER"[..], b"BODY.PEEK[HEADER", b"RFC822.HEADER"]
        .iter()
        .any(|known| name.get(..known.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(known)))
}

/// Whether the item is the whole message.
pub(crate) fn is_whole_body(name: &[u8]) -> bool {
    let name = without_origin(name);
    [&b"BODY[]"[..], b"BODY.PEEK[]", b"BINARY[]", b"RFC822"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

/// The name of an item without the origin octet of a part that begins at the first octet.
fn without_origin(name: &[u8]) -> &[u8] {
    name.strip_suffix(b"<0>").unwrap_or(name)
}

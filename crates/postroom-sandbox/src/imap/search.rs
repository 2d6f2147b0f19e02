//! SEARCH: the keys, and whether a message has them (RFC 3501 §6.4.4).
//!
//! Text is compared with the raw message, without decoding. ASCII upper and lower case are the
//! same.

use crate::imap::date;
use crate::imap::set::Set;
use crate::imap::structure;
use crate::imap::token::Arguments;
use crate::imap::token::Malformed;
use crate::mailbox::StoredMessage;
use jiff::civil::Date;

/// How deep keys may nest.
const DEPTH_MAX: usize = 50;

/// A condition on a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SearchKey {
    /// Nothing in particular.
    All,
    /// Every one of these.
    And(Vec<SearchKey>),
    /// One of these.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// One of these sequence numbers.
    Sequence(Set),
    /// One of these UIDs.
    Uid(Set),
    /// This flag.
    Flag(String),
    /// INTERNALDATE on a day that compares so with this one.
    Day(Compare, Date),
    /// The `Date` field on a day that compares so with this one.
    Sent(Compare, Date),
    /// More bytes than this.
    Larger(u64),
    /// Fewer bytes than this.
    Smaller(u64),
    /// A field of this name that contains this.
    Header(String, String),
    /// This in the body.
    Body(String),
    /// This anywhere.
    Text(String),
}

/// How days compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compare {
    /// Earlier.
    Before,
    /// The same.
    On,
    /// The same or later.
    Since,
}

impl Compare {
    fn holds(self, day: Date, than: Date) -> bool {
        match self {
            Self::Before => day < than,
            Self::On => day == than,
            Self::Since => day >= than,
        }
    }
}

/// Reads keys until the end. A message must match all of them.
///
/// # Errors
///
/// [`Malformed`] if there is none, or one is not known.
pub(crate) fn parse(arguments: &mut Arguments<'_>) -> Result<SearchKey, Malformed> {
    keys(arguments, 0)
}

fn keys(arguments: &mut Arguments<'_>, depth: usize) -> Result<SearchKey, Malformed> {
    if arguments.is_empty() {
        return Err(Malformed("nothing to search for"));
    }
    let mut keys = Vec::new();
    while !arguments.is_empty() {
        keys.push(key(arguments, depth)?);
    }
    Ok(SearchKey::And(keys))
}

fn key(arguments: &mut Arguments<'_>, depth: usize) -> Result<SearchKey, Malformed> {
    if depth > DEPTH_MAX {
        return Err(Malformed("search keys nest too deep"));
    }
    if arguments.opens() {
        return keys(&mut arguments.list()?, depth + 1);
    }
    let word = arguments.word()?;
    let name = word.to_ascii_uppercase();
    if let Some(key) = flag_key(&name) {
        return Ok(key);
    }
    if let Some(compare) = day_key(&name) {
        let day = date::parse_day(&arguments.text()?).ok_or(Malformed("not a date"))?;
        return Ok(match name.strip_prefix("SENT") {
            Some(_) => SearchKey::Sent(compare, day),
            None => SearchKey::Day(compare, day),
        });
    }
    let number = |text: String| text.parse().map_err(|_| Malformed("not a number"));
    match name.as_str() {
        "NOT" => Ok(SearchKey::Not(Box::new(key(arguments, depth + 1)?))),
        "OR" => {
            let either = key(arguments, depth + 1)?;
            Ok(SearchKey::Or(Box::new(either), Box::new(key(arguments, depth + 1)?)))
        }
        "UID" => set(&arguments.text()?).map(SearchKey::Uid),
        "KEYWORD" => Ok(SearchKey::Flag(arguments.text()?)),
        "UNKEYWORD" => Ok(SearchKey::Not(Box::new(SearchKey::Flag(arguments.text()?)))),
        "LARGER" => Ok(SearchKey::Larger(number(arguments.text()?)?)),
        "SMALLER" => Ok(SearchKey::Smaller(number(arguments.text()?)?)),
        "HEADER" => Ok(SearchKey::Header(arguments.text()?, arguments.text()?)),
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => Ok(SearchKey::Header(name, arguments.text()?)),
        "BODY" => Ok(SearchKey::Body(arguments.text()?)),
        "TEXT" => Ok(SearchKey::Text(arguments.text()?)),
        _ => set(&word).map(SearchKey::Sequence),
    }
}

fn set(text: &str) -> Result<Set, Malformed> {
    Set::parse(text).ok_or(Malformed("no such search key"))
}

fn flag_key(name: &str) -> Option<SearchKey> {
    let has = |flag: &str| SearchKey::Flag(flag.to_owned());
    let lacks = |flag: &str| SearchKey::Not(Box::new(has(flag)));
    Some(match name {
        // No message is \Recent here, so no message is new, and all are old.
        "ALL" | "OLD" => SearchKey::All,
        "NEW" | "RECENT" => SearchKey::Not(Box::new(SearchKey::All)),
        "SEEN" => has("\\Seen"),
        "UNSEEN" => lacks("\\Seen"),
        "DELETED" => has("\\Deleted"),
        "UNDELETED" => lacks("\\Deleted"),
        "FLAGGED" => has("\\Flagged"),
        "UNFLAGGED" => lacks("\\Flagged"),
        "ANSWERED" => has("\\Answered"),
        "UNANSWERED" => lacks("\\Answered"),
        "DRAFT" => has("\\Draft"),
        "UNDRAFT" => lacks("\\Draft"),
        _ => return None,
    })
}

fn day_key(name: &str) -> Option<Compare> {
    match name {
        "BEFORE" | "SENTBEFORE" => Some(Compare::Before),
        "ON" | "SENTON" => Some(Compare::On),
        "SINCE" | "SENTSINCE" => Some(Compare::Since),
        _ => None,
    }
}

/// Where a message stands in its mailbox.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SearchPosition {
    /// Its sequence number.
    pub sequence: u32,
    /// The highest sequence number.
    pub sequence_last: u32,
    /// The highest UID.
    pub uid_last: u32,
}

impl SearchKey {
    /// Whether a message has it.
    pub(crate) fn matches(&self, message: &StoredMessage, place: SearchPosition) -> bool {
        match self {
            Self::All => true,
            Self::And(keys) => keys.iter().all(|key| key.matches(message, place)),
            Self::Or(a, b) => a.matches(message, place) || b.matches(message, place),
            Self::Not(key) => !key.matches(message, place),
            Self::Sequence(set) => set.has(place.sequence, place.sequence_last),
            Self::Uid(set) => set.has(message.uid, place.uid_last),
            Self::Flag(flag) => message.has_flag(flag),
            Self::Day(compare, day) => compare.holds(date::day(message.internal_date_ms), *day),
            Self::Sent(compare, day) => {
                let value = structure::field(header(message), "Date");
                let sent =
                    value.and_then(|value| date::header_day(std::str::from_utf8(&value).ok()?));
                sent.is_some_and(|sent| compare.holds(sent, *day))
            }
            Self::Larger(bytes) => message.bytes.len() as u64 > *bytes,
            Self::Smaller(bytes) => (message.bytes.len() as u64) < *bytes,
            Self::Header(name, text) => structure::fields(header(message)).iter().any(|field| {
                field.name.eq_ignore_ascii_case(name.as_bytes())
                    && contains(&field.unfolded(), text)
            }),
            Self::Body(text) => {
                contains(message.bytes.get(header(message).len()..).unwrap_or_default(), text)
            }
            Self::Text(text) => contains(&message.bytes, text),
        }
    }
}

fn header(message: &StoredMessage) -> &[u8] {
    message.bytes.get(..structure::header_bytes(&message.bytes)).unwrap_or_default()
}

fn contains(bytes: &[u8], text: &str) -> bool {
    let text = text.as_bytes();
    text.is_empty() || bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::token::CommandSegment;
    use crate::imap::token::tokens;
    use bytes::Bytes;

    fn parsed(text: &str) -> Result<SearchKey, Malformed> {
        parse(&mut Arguments::new(&tokens(&[CommandSegment::Line(text.into())])?))
    }

    #[test]
    fn a_message_has_a_key_or_not() {
        let message = StoredMessage {
            uid: 20,
            flags: vec!["\\Seen".to_owned(), "$Later".to_owned()],
            internal_date_ms: 1_706_781_600_000,
            bytes: Bytes::from_static(
                b"Subject: Big\r\n news\r\nDate: Wed, 31 Jan 2024 1:00 +0000\r\n\r\nThe text\r\n",
            ),
            flags_changed: (0, 0),
        };
        let place = SearchPosition { sequence: 2, sequence_last: 5, uid_last: 30 };
        for (text, want) in [
            ("ALL", true),
            ("UID 10:20", true),
            ("UID 21:*", false),
            ("2:3", true),
            ("*", false),
            ("SEEN UNDELETED", true),
            ("SEEN DELETED", false),
            ("OR DELETED SEEN", true),
            ("NOT (SEEN UID 20)", false),
            ("KEYWORD $later", true),
            ("UNKEYWORD $later", false),
            ("SINCE 1-Feb-2024", true),
            ("SINCE 2-Feb-2024", false),
            ("ON 01-Feb-2024 BEFORE 2-Feb-2024", true),
            ("BEFORE \"1-Feb-2024\"", false),
            ("SENTON 31-Jan-2024", true),
            ("SENTSINCE 1-Feb-2024", false),
            ("SUBJECT \"big news\"", true),
            ("FROM x", false),
            ("HEADER Subject \"\"", true),
            ("HEADER X-None \"\"", false),
            ("BODY text", true),
            ("BODY news", false),
            ("TEXT news", true),
            ("LARGER 60 SMALLER 80", true),
            ("NEW", false),
        ] {
            assert_eq!(parsed(text).unwrap().matches(&message, place), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_key_is_malformed() {
        let deep = format!("{}ALL", "NOT ".repeat(60));
        for text in ["", "FOO", "NOT", "SINCE soon", "LARGER x", "(ALL", "()", &deep] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}

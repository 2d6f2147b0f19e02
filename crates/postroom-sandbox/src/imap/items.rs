//! The items of FETCH: reads them from the command and writes them for a message (RFC 3501 §6.4.5,
//! §7.4.2).

use crate::imap::date;
use crate::imap::envelope;
use crate::imap::structure;
use crate::imap::structure::BodyPart;
use crate::imap::token::Arguments;
use crate::imap::token::Malformed;
use crate::mailbox::StoredMessage;
use crate::script::MessageFault;
use bytes::Bytes;
use std::ops::Range;

/// One item that the client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// `UID`
    Uid,
    /// `FLAGS`
    Flags,
    /// `INTERNALDATE`
    InternalDate,
    /// `RFC822.SIZE`
    Size,
    /// `ENVELOPE`
    Envelope,
    /// `BODYSTRUCTURE`, or `BODY` if not extended.
    Structure {
        /// Whether it is BODYSTRUCTURE.
        extended: bool,
    },
    /// `BODY[..]`, `BODY.PEEK[..]`, `RFC822` and its kin.
    Section(Section),
}

impl Item {
    /// As it stands in the command, without a partial range.
    pub(crate) fn name(&self) -> String {
        let name = match self {
            Self::Uid => "UID",
            Self::Flags => "FLAGS",
            Self::InternalDate => "INTERNALDATE",
            Self::Size => "RFC822.SIZE",
            Self::Envelope => "ENVELOPE",
            Self::Structure { extended: true } => "BODYSTRUCTURE",
            Self::Structure { extended: false } => "BODY",
            Self::Section(Section { label, peek: true, .. }) => {
                return label.replacen("BODY[", "BODY.PEEK[", 1);
            }
            Self::Section(Section { label, .. }) => label,
        };
        name.to_owned()
    }
}

/// Bytes of the message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    /// The name under which they are sent.
    label: String,
    /// The part, from the outside in, counted from 1.
    path: Vec<usize>,
    /// What of that part.
    what: What,
    /// Whether \Seen stays as it is.
    pub peek: bool,
    /// The first byte that is wanted, and how many.
    partial: Option<(usize, usize)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    All,
    Header,
    Text,
    Mime,
    Fields { names: Vec<String>, wanted: bool },
}

/// Reads the items: one, or a list.
///
/// # Errors
///
/// [`Malformed`] if one is not known.
pub(crate) fn parse(arguments: &mut Arguments<'_>) -> Result<Vec<Item>, Malformed> {
    let mut list = arguments.list_or_rest()?;
    let mut items = Vec::new();
    while !list.is_empty() {
        let word = list.word()?;
        match word.to_ascii_uppercase().as_str() {
            "ALL" => items.extend([Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]),
            "FAST" => items.extend([Item::Flags, Item::InternalDate, Item::Size]),
            "FULL" => {
                items.extend([Item::Flags, Item::InternalDate, Item::Size, Item::Envelope]);
                items.push(Item::Structure { extended: false });
            }
            "UID" => items.push(Item::Uid),
            "FLAGS" => items.push(Item::Flags),
            "INTERNALDATE" => items.push(Item::InternalDate),
            "RFC822.SIZE" => items.push(Item::Size),
            "ENVELOPE" => items.push(Item::Envelope),
            "BODYSTRUCTURE" => items.push(Item::Structure { extended: true }),
            "BODY" => items.push(Item::Structure { extended: false }),
            "RFC822" => items.push(rfc822("RFC822", What::All, false)),
            "RFC822.HEADER" => items.push(rfc822("RFC822.HEADER", What::Header, true)),
            "RFC822.TEXT" => items.push(rfc822("RFC822.TEXT", What::Text, false)),
            _ => items.push(Item::Section(section(&word)?)),
        }
    }
    if items.is_empty() { Err(Malformed("nothing to fetch")) } else { Ok(items) }
}

fn rfc822(label: &str, what: What, peek: bool) -> Item {
    Item::Section(Section { label: label.to_owned(), path: vec![], what, peek, partial: None })
}

/// Reads `BODY.PEEK[1.2.HEADER]<0.100>`.
fn section(word: &str) -> Result<Section, Malformed> {
    const UNKNOWN: Malformed = Malformed("no such fetch item");
    let (name, rest) = word.split_once('[').ok_or(UNKNOWN)?;
    let peek = match name.to_ascii_uppercase().as_str() {
        "BODY" => false,
        "BODY.PEEK" => true,
        _ => return Err(UNKNOWN),
    };
    let (inside, after) = rest.rsplit_once(']').ok_or(UNKNOWN)?;
    let partial = match after {
        "" => None,
        range => Some(partial(range).ok_or(Malformed("a partial fetch is <first.count>"))?),
    };
    let mut path = Vec::new();
    let mut what = inside;
    while let Some(number) = what.split('.').next().and_then(|first| first.parse::<usize>().ok()) {
        path.push(number);
        what = what.split_once('.').map_or("", |(_, rest)| rest);
    }
    let what = self::what(what, !path.is_empty()).ok_or(UNKNOWN)?;
    let label = match partial {
        None => format!("BODY[{inside}]"),
        Some((first, _)) => format!("BODY[{inside}]<{first}>"),
    };
    Ok(Section { label, path, what, peek, partial })
}

fn partial(range: &str) -> Option<(usize, usize)> {
    let (first, count) = range.strip_prefix('<')?.strip_suffix('>')?.split_once('.')?;
    Some((first.parse().ok()?, count.parse().ok()?))
}

fn what(text: &str, of_part: bool) -> Option<What> {
    let upper = text.to_ascii_uppercase();
    let (keyword, list) = upper.split_once(' ').unwrap_or((&upper, ""));
    let names = || {
        let inside = list.strip_prefix('(')?.strip_suffix(')')?;
        let names = inside.split_ascii_whitespace().map(|name| name.trim_matches('"').to_owned());
        Some(names.collect())
    };
    match keyword {
        "" => Some(What::All),
        "HEADER" => Some(What::Header),
        "TEXT" => Some(What::Text),
        "MIME" if of_part => Some(What::Mime),
        "HEADER.FIELDS" => Some(What::Fields { names: names()?, wanted: true }),
        "HEADER.FIELDS.NOT" => Some(What::Fields { names: names()?, wanted: false }),
        _ => None,
    }
}

impl Section {
    /// The bytes; `None` if there is no such part.
    fn content(&self, message: &Bytes) -> Option<Bytes> {
        let whole = if self.path.is_empty() {
            self.of_message(message, 0..message.len())
        } else {
            self.of_part(message, &structure::parse(message))?
        };
        let Some((first, count)) = self.partial else {
            return Some(whole);
        };
        let first = first.min(whole.len());
        Some(whole.slice(first..first.saturating_add(count).min(whole.len())))
    }

    fn of_message(&self, message: &Bytes, at: Range<usize>) -> Bytes {
        let bytes = message.get(at.clone()).unwrap_or_default();
        let header_end = at.start + structure::header_bytes(bytes);
        match &self.what {
            What::All | What::Mime => message.slice(at),
            What::Text => message.slice(header_end..at.end),
            What::Header => message.slice(at.start..header_end),
            What::Fields { names, wanted } => {
                let header = message.get(at.start..header_end).unwrap_or_default();
                let mut kept = Vec::new();
                for field in structure::fields(header) {
                    let named = |name: &String| field.name.eq_ignore_ascii_case(name.as_bytes());
                    if names.iter().any(named) == *wanted {
                        kept.extend_from_slice(field.raw);
                    }
                }
                kept.extend_from_slice(b"\r\n");
                kept.into()
            }
        }
    }

    fn of_part(&self, message: &Bytes, whole: &BodyPart) -> Option<Bytes> {
        let mut part = whole;
        for (level, number) in self.path.iter().enumerate() {
            // The parts of a message inside part 2 have the numbers 2.1, 2.2 and so on.
            if level > 0 && part.content_type.value == "MESSAGE/RFC822" {
                part = part.children.first()?;
            }
            part = match part.children.get(number.checked_sub(1)?) {
                Some(child) if part.content_type.value.starts_with("MULTIPART/") => child,
                _ if *number == 1 => part,
                _ => return None,
            };
        }
        match self.what {
            What::All => Some(message.slice(part.body.clone())),
            What::Mime => Some(message.slice(part.header.clone())),
            What::Header | What::Text | What::Fields { .. } => (part.content_type.value
                == "MESSAGE/RFC822")
                .then(|| self.of_message(message, part.body.clone())),
        }
    }
}

/// The FETCH response for one message, in pieces that share the bytes of the message.
///
/// `None` if there is to be none.
pub(crate) fn response(
    items: &[Item],
    sequence: usize,
    message: &StoredMessage,
    fault: Option<&MessageFault>,
) -> Option<Vec<Bytes>> {
    if fault == Some(&MessageFault::Omit) {
        return None;
    }
    let mut pieces = Vec::new();
    let mut text = format!("* {sequence} FETCH (").into_bytes();
    let mut separator = "";
    for item in items {
        let Some((said, body)) = said(item, message, fault) else {
            continue;
        };
        text.extend_from_slice(separator.as_bytes());
        separator = " ";
        text.extend_from_slice(&said);
        if let Some(body) = body {
            pieces.push(Bytes::from(std::mem::take(&mut text)));
            pieces.push(body);
        }
    }
    text.extend_from_slice(b")\r\n");
    pieces.push(text.into());
    Some(pieces)
}

/// The name and value of one item, and the literal that follows; `None` to leave it out.
fn said(
    item: &Item,
    message: &StoredMessage,
    fault: Option<&MessageFault>,
) -> Option<(Vec<u8>, Option<Bytes>)> {
    let header =
        || message.bytes.get(..structure::header_bytes(&message.bytes)).unwrap_or_default();
    let said = match item {
        Item::Uid => match fault {
            Some(MessageFault::UidMissing) => return None,
            Some(MessageFault::Uid(other)) => format!("UID {other}").into_bytes(),
            _ => format!("UID {}", message.uid).into_bytes(),
        },
        Item::Flags => match fault {
            Some(MessageFault::Flags(value)) => format!("FLAGS {value}").into_bytes(),
            _ => format!("FLAGS ({})", message.flags.join(" ")).into_bytes(),
        },
        Item::InternalDate => match fault {
            Some(MessageFault::InternalDate(value)) => format!("INTERNALDATE {value}").into_bytes(),
            _ => {
                format!("INTERNALDATE \"{}\"", date::internal_date(message.internal_date_ms)).into()
            }
        },
        Item::Size => {
            let off = if let Some(MessageFault::SizeOffBy(off)) = fault { *off } else { 0 };
            format!("RFC822.SIZE {}", message.bytes.len() as i64 + off).into_bytes()
        }
        Item::Envelope => [b"ENVELOPE ", &*envelope::envelope(header())].concat(),
        Item::Structure { extended } => {
            let name: &[u8] = if *extended { b"BODYSTRUCTURE " } else { b"BODY " };
            let part = structure::parse(&message.bytes);
            [name, &*envelope::structure(&message.bytes, &part, *extended)].concat()
        }
        Item::Section(section) => return body(section, message, fault),
    };
    Some((said, None))
}

fn body(
    section: &Section,
    message: &StoredMessage,
    fault: Option<&MessageFault>,
) -> Option<(Vec<u8>, Option<Bytes>)> {
    let content = match fault {
        Some(MessageFault::BodyMissing) => return None,
        Some(MessageFault::BodyNil) => None,
        Some(MessageFault::Body(other)) => section.content(&Bytes::copy_from_slice(other)),
        _ => section.content(&message.bytes),
    };
    let Some(content) = content else {
        return Some((format!("{} NIL", section.label).into_bytes(), None));
    };
    let off = if let Some(MessageFault::LiteralOffBy(off)) = fault { *off } else { 0 };
    let announced = (content.len() as i64 + off).max(0);
    Some((format!("{} {{{announced}}}\r\n", section.label).into_bytes(), Some(content)))
}

#[cfg(test)]
mod tests;

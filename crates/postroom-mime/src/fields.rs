//! The fields of a message's own header: all of them as text, and the meaning of the known ones.
//!
//! If a field is repeated, the first one that is not empty counts. Lists of recipients are joined.
//!
//! Standards: RFC 5322 §3.6.

use crate::address;
use crate::compose::Address;
use crate::date;
use crate::defect::Defect;
use crate::defect::Defects;
use crate::encoded_word;
use crate::field_text;
use crate::field_text::FieldText;
use crate::header::FieldRange;
use crate::headers::Headers;
use crate::message::Message;
use crate::source::ByteSource;
use std::io;
use std::ops::Range;

/// How much of the header is taken at once, if not one field alone is larger.
const BATCH_BYTES: u64 = 64 << 10;

/// Reads the fields into `message`.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn read<S: ByteSource>(
    source: &mut S,
    mut fields: &[FieldRange],
    text: &mut FieldText<'_>,
    message: &mut Message,
) -> io::Result<()> {
    let mut seen = SeenFields::default();
    let bytes = fields.iter().map(|field| length(field.name.start, field.value.end)).sum();
    let mut headers = Headers::with_capacity(fields.len(), bytes);
    while let Some(first) = fields.first() {
        let start = first.name.start;
        let fits = |field: &&FieldRange| field.value.end - start <= BATCH_BYTES;
        let count = fields.iter().take_while(fits).count().max(1);
        let (batch, rest) = fields.split_at_checked(count).unwrap_or((fields, &[]));
        fields = rest;
        let bytes = length(start, batch.last().map_or(start, |last| last.value.end));
        let window = source.window(start, bytes)?;
        let window = window.get(..bytes).unwrap_or(window);
        // What is plain as a whole need not be looked at field by field.
        let plain = field_text::plain(window);
        if plain.is_none() {
            text.detection.learn(window);
        }
        let may_have_words = plain.is_none_or(|plain| encoded_word::begins(plain).is_some());
        for field in batch {
            let place = |range: &Range<u64>| length(start, range.start)..length(start, range.end);
            let name = match plain {
                Some(plain) => plain.get(place(&field.name)).unwrap_or_default(),
                None => utf8(window.get(place(&field.name)).unwrap_or_default()),
            };
            let bytes = window.get(place(&field.value)).unwrap_or_default();
            let has_words = headers.push(name, |line| match plain {
                Some(plain) => {
                    let value = plain.get(place(&field.value)).unwrap_or_default();
                    text.append_plain(value, may_have_words, line)
                }
                None => text.append(bytes, line),
            });
            let value = FieldValue { bytes, line: headers.last(), has_words };
            seen.field(name, value, text, message);
        }
    }
    message.headers = headers;
    seen.missing(text, message);
    Ok(())
}

/// Leaves out the addresses that are too many.
pub(crate) fn bound(message: &mut Message, addresses_max: usize, defects: &mut Defects) {
    let Message { from, reply_to, to, cc, bcc, .. } = message;
    for list in [from, reply_to, to, cc, bcc] {
        if list.len() > addresses_max {
            defects.note(Defect::AddressesOver);
            list.truncate(addresses_max);
        }
    }
}

/// The name of a field, which is in ASCII.
fn utf8(name: &[u8]) -> &str {
    std::str::from_utf8(name).unwrap_or_default()
}

fn length(start: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// The value of a field.
#[derive(Clone, Copy)]
struct FieldValue<'a> {
    /// As it is written.
    bytes: &'a [u8],
    /// As a person reads it.
    line: &'a str,
    /// Whether encoded words stood there.
    has_words: bool,
}

impl FieldValue<'_> {
    /// The addresses, of which encoded words are pieces.
    fn addresses(self, text: &mut FieldText<'_>) -> Vec<Address> {
        if self.has_words {
            let unfolded = text.unfolded(self.bytes);
            address::parse(&unfolded, text)
        } else {
            address::parse(self.line, text)
        }
    }
}

/// Which of the fields that may occur once were met.
#[derive(Debug, Default)]
struct SeenFields {
    from: bool,
    sender: bool,
    reply_to: bool,
    subject: bool,
    date: bool,
    message_id: bool,
    in_reply_to: bool,
    references: bool,
    received: bool,
}

impl SeenFields {
    fn field(
        &mut self,
        name: &str,
        value: FieldValue<'_>,
        text: &mut FieldText<'_>,
        message: &mut Message,
    ) {
        let line = value.line;
        if line.is_empty() {
            return;
        }
        // The longest of these names.
        let mut lower = [0; 12];
        let Some(lower) = lower.get_mut(..name.len()) else {
            return;
        };
        lower.copy_from_slice(name.as_bytes());
        lower.make_ascii_lowercase();
        let mut is_first = |seen: &mut bool| {
            if *seen {
                text.defects.note(Defect::FieldRepeated);
            }
            !std::mem::replace(seen, true)
        };
        match &*lower {
            b"from" if is_first(&mut self.from) => message.from = one_sender(value.addresses(text)),
            b"sender" if is_first(&mut self.sender) => {
                message.sender = one_sender(value.addresses(text)).into_iter().next();
            }
            b"reply-to" if is_first(&mut self.reply_to) => {
                message.reply_to = value.addresses(text);
            }
            b"to" => join(&mut message.to, value.addresses(text)),
            b"cc" => join(&mut message.cc, value.addresses(text)),
            b"bcc" => join(&mut message.bcc, value.addresses(text)),
            b"subject" if is_first(&mut self.subject) => {
                message.subject = Some(line.to_owned());
            }
            b"date" if is_first(&mut self.date) => {
                message.date_ms = date::parse(line);
                if message.date_ms.is_none() {
                    text.defects.note(Defect::DateMalformed);
                }
            }
            b"message-id" if is_first(&mut self.message_id) => {
                message.message_id = message_id(line)
            }
            b"in-reply-to" if is_first(&mut self.in_reply_to) => {
                message.in_reply_to = message_ids(line);
            }
            b"references" if is_first(&mut self.references) => {
                message.references = message_ids(line);
            }
            b"received" if !self.received => {
                self.received = true;
                message.received_ms = line.rsplit_once(';').and_then(|(_, date)| date::parse(date));
            }
            _ => {}
        }
    }

    fn missing(&self, text: &mut FieldText<'_>, message: &Message) {
        for (seen, defect) in [
            (self.from, Defect::FromMissing),
            (self.date, Defect::DateMissing),
            (message.message_id.is_some(), Defect::MessageIdMissing),
        ] {
            if !seen {
                text.defects.note(defect);
            }
        }
    }
}

/// If only the last sender has an address, the others are pieces of its name: `Bee, Anna, Ph.D.
/// <..>`.
fn one_sender(mut list: Vec<Address>) -> Vec<Address> {
    let is_piece = |who: &Address| {
        !who.address.contains('@') && (who.name.is_none() || who.address.is_empty())
    };
    let Some((last, others)) = list.split_last() else { return list };
    if is_piece(last) || last.name.is_none() || !others.iter().all(is_piece) {
        return list;
    }
    let pieces = list.iter().map(|who| who.name.as_ref().unwrap_or(&who.address).as_str());
    let name = pieces.collect::<Vec<_>>().join(", ");
    list.pop().map(|sender| Address { name: Some(name), ..sender }).into_iter().collect()
}

/// Appends a list to that of a field before it.
fn join(list: &mut Vec<Address>, mut more: Vec<Address>) {
    if list.is_empty() {
        *list = more;
    } else {
        list.append(&mut more);
    }
}

/// The identifier of a field: what stands in angle brackets, else all of it.
fn message_id(line: &str) -> Option<String> {
    message_ids(line).into_iter().next().or_else(|| {
        let id = joined(line.trim_matches(['<', '>', ' ']));
        (!id.is_empty()).then_some(id)
    })
}

/// A text without its blanks, which come from folding.
fn joined(text: &str) -> String {
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    text.split_whitespace().collect()
}

/// The identifiers of a list.
fn message_ids(line: &str) -> Vec<String> {
    let mut ids = vec![];
    let mut rest = line;
    while let Some(start) = memchr::memchr(b'<', rest.as_bytes()) {
        let after = rest.get(start + 1..).unwrap_or_default();
        let end = memchr::memchr2(b'>', b'<', after.as_bytes()).unwrap_or(after.len());
        let id = joined(after.get(..end).unwrap_or_default());
        if !id.is_empty() {
            ids.push(id);
        }
        rest = after.get(end..).unwrap_or_default();
    }
    if ids.is_empty() {
        let words = line.split([' ', '\t', ',']).filter(|word| word.contains('@'));
        ids.extend(words.map(|word| word.trim_matches('>').to_owned()));
    }
    ids
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_read_as_they_arrive() {
        #[rustfmt::skip]
        let table: &[(&str, &[&str])] = &[
            ("<a@b>",                            &["a@b"]),
            ("<a@b> <c@d>",                      &["a@b", "c@d"]),
            ("<a@b><c@d>",                       &["a@b", "c@d"]),
            ("<a @b> (comment)",                 &["a@b"]),
            ("Your message of Monday <a@b>",     &["a@b"]),
            ("<a@b",                             &["a@b"]),
            ("a@b, c@d",                         &["a@b", "c@d"]),
            ("a@b>",                             &["a@b"]),
            ("<>",                               &[]),
            ("",                                 &[]),
        ];
        for (line, want) in table {
            assert_eq!(message_ids(line), *want, "{line}");
        }
        assert_eq!(message_id("plain id").as_deref(), Some("plainid"));
        assert_eq!(message_id("<>"), None);
    }
}

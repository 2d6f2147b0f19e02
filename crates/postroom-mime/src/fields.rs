//! The fields of a message's own header: all of them as text, and the ones that have a meaning.
//!
//! Of repeated fields the first counts; lists of recipients are joined.
//!
//! Standards: RFC 5322 §3.6.

use crate::address;
use crate::date;
use crate::defect::Defect;
use crate::field_text::FieldText;
use crate::header::Field;
use crate::message::Message;
use crate::source::Source;
use std::io;

/// Reads the fields into `message`.
///
/// # Errors
///
/// Those of the file.
pub fn read<S: Source>(
    source: &mut S,
    fields: &[Field],
    text: &mut FieldText<'_>,
    message: &mut Message,
) -> io::Result<()> {
    let mut seen = Seen::default();
    message.headers.reserve(fields.len());
    for field in fields {
        let whole = field.name.start..field.value.end;
        let bytes = length(whole.start, whole.end);
        let window = source.window(whole.start, bytes)?;
        let window = window.get(..bytes).unwrap_or(window);
        let name = window.get(..length(whole.start, field.name.end)).unwrap_or_default();
        let value = window.get(length(whole.start, field.value.start)..).unwrap_or_default();
        let Ok(name) = std::str::from_utf8(name) else {
            continue;
        };
        let line = text.unstructured(value);
        seen.field((name, value), &line, text, message);
        message.headers.push((name.to_owned(), line));
    }
    seen.missing(text, message);
    Ok(())
}

fn length(start: u64, end: u64) -> usize {
    usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX)
}

/// Which of the fields that may occur once were met.
#[derive(Debug, Default)]
struct Seen {
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

impl Seen {
    fn field(
        &mut self,
        (name, value): (&str, &[u8]),
        line: &str,
        text: &mut FieldText<'_>,
        message: &mut Message,
    ) {
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
            b"from" if is_first(&mut self.from) => message.from = address::parse(value, text),
            b"sender" if is_first(&mut self.sender) => {
                message.sender = address::parse(value, text).into_iter().next();
            }
            b"reply-to" if is_first(&mut self.reply_to) => {
                message.reply_to = recipients(value, text);
            }
            b"to" => message.to.append(&mut recipients(value, text)),
            b"cc" => message.cc.append(&mut recipients(value, text)),
            b"bcc" => message.bcc.append(&mut recipients(value, text)),
            b"subject" if is_first(&mut self.subject) => {
                message.subject = (!line.is_empty()).then(|| line.to_owned());
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

/// Addresses that mail can be sent to: mere names are left out.
fn recipients(value: &[u8], text: &mut FieldText<'_>) -> Vec<crate::compose::Address> {
    let mut list = address::parse(value, text);
    list.retain(|address| !address.address.is_empty());
    list
}

/// The identifier of a field: what stands in angle brackets, else all of it.
fn message_id(line: &str) -> Option<String> {
    message_ids(line).into_iter().next().or_else(|| {
        let id: String = line.trim_matches(['<', '>', ' ']).split_whitespace().collect();
        (!id.is_empty()).then_some(id)
    })
}

/// The identifiers of a list. Blanks in them come from folding.
fn message_ids(line: &str) -> Vec<String> {
    let mut ids = vec![];
    let mut rest = line;
    while let Some((_, after)) = rest.split_once('<') {
        let end = after.find(['>', '<']).unwrap_or(after.len());
        let id: String = after.get(..end).unwrap_or_default().split_whitespace().collect();
        if !id.is_empty() {
            ids.push(id);
        }
        rest = after.get(end..).unwrap_or_default();
    }
    if ids.is_empty() {
        let words = line.split([' ', '\t', ',']).filter(|word| word.contains('@'));
        ids.extend(words.map(str::to_owned));
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

//! The header of a message, but for the fields of its content (RFC 5322 §3.6).

use jiff::Timestamp;
use jiff::tz::Offset;
use postroom_model::Invalid;

use crate::compose::field::FieldWriter;
use crate::compose::mailbox;
use crate::compose::structured;
use crate::compose::structured::Utf8Addresses;
use crate::compose::{Address, Draft};

/// The longest Message-ID that is written. A line has at most 998 octets.
const MESSAGE_ID_BYTES_MAX: usize = 900;
/// How many Message-IDs `References` keeps: the first and the last ones.
const REFERENCES_COUNT_MAX: usize = 50;

/// Fields that a draft sets by its own properties, or that are for the transport to write.
const RESERVED: [&str; 17] = [
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "bcc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "return-path",
    "received",
    "resent-bcc",
    "delivered-to",
    "apparently-to",
];

/// Content-* fields that say nothing about the encoding or the structure of a message, so that a
/// draft may have them (RFC 3282, RFC 2045 §8).
const ABOUT_THE_WHOLE: [&str; 2] = ["content-language", "content-description"];

/// Whether a header field is written from other properties of a draft, or by the transport.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    let is_of_mime = lower.starts_with("content-") && !ABOUT_THE_WHOLE.contains(&lower.as_str());
    RESERVED.contains(&lower.as_str()) || is_of_mime
}

/// Writes the header of `draft`; tells whether it needs SMTPUTF8.
pub(crate) fn write(draft: &Draft, out: &mut Vec<u8>) -> Result<bool, Invalid> {
    let mut utf8 = false;
    let ascii = draft.ascii_addresses;
    utf8 |= addresses(out, "From", "from", std::slice::from_ref(&draft.from), false)?;
    utf8 |= addresses(out, "Sender", "sender", draft.sender.as_slice(), false)?;
    utf8 |= addresses(out, "Reply-To", "replyTo", &draft.reply_to, ascii)?;
    utf8 |= addresses(out, "To", "to", &draft.to, ascii)?;
    utf8 |= addresses(out, "Cc", "cc", &draft.cc, ascii)?;
    if draft.to.is_empty() && draft.cc.is_empty() {
        out.extend_from_slice(b"To: undisclosed-recipients:;\r\n");
    }
    if !draft.subject.is_empty() {
        let mut field = FieldWriter::begin(out, "Subject");
        field.text(&draft.subject);
        field.end();
    }
    date(out, draft.date_ms)?;
    let message_id = message_id(&draft.message_id).ok_or_else(|| {
        Invalid::new("messageId", "is not an identifier: printable ASCII, no spaces")
    })?;
    message_ids(out, "Message-ID", vec![message_id]);
    message_ids(out, "In-Reply-To", ids(&draft.in_reply_to));
    let mut references = ids(&draft.references);
    if references.len() > REFERENCES_COUNT_MAX {
        // Readers thread by the ends of the list: the root and the nearest messages.
        let surplus = references.len() - REFERENCES_COUNT_MAX;
        references.drain(1..=surplus);
    }
    message_ids(out, "References", references);
    let mut extra_utf8 = Utf8Addresses { is_avoided: ascii, is_needed: false };
    for (at, (name, value)) in draft.headers.iter().enumerate() {
        extra(out, at, name, value, &mut extra_utf8)?;
    }
    out.extend_from_slice(b"MIME-Version: 1.0\r\n");
    Ok(utf8 || extra_utf8.is_needed)
}

fn addresses(
    out: &mut Vec<u8>,
    name: &str,
    property: &str,
    list: &[Address],
    ascii: bool,
) -> Result<bool, Invalid> {
    let mut utf8 = false;
    if list.is_empty() {
        return Ok(utf8);
    }
    let mut field = FieldWriter::begin(out, name);
    for (at, item) in list.iter().enumerate() {
        let wire = mailbox::wire_address(&item.address)
            .map_err(|reason| Invalid::new(path(property, at), reason))?;
        let tail = if at + 1 < list.len() { "," } else { "" };
        if wire.needs_smtp_utf8 && ascii {
            mailbox::write_without_address(&mut field, item, tail);
            continue;
        }
        utf8 |= wire.needs_smtp_utf8;
        mailbox::write(&mut field, item.name.as_deref(), &wire, tail);
    }
    field.end();
    Ok(utf8)
}

/// Names the address at `at` of a property.
fn path(property: &str, at: usize) -> String {
    match property {
        "from" | "sender" => format!("{property}.address"),
        list => format!("{list}[{at}].address"),
    }
}

fn date(out: &mut Vec<u8>, date_ms: i64) -> Result<(), Invalid> {
    let text = date_text(date_ms)
        .ok_or_else(|| Invalid::new("dateTime", "is not between the years 1900 and 9999"))?;
    out.extend_from_slice(format!("Date: {text}\r\n").as_bytes());
    Ok(())
}

/// A time as header fields have it (RFC 5322 §3.3), from milliseconds since 1970. `None`: before
/// 1900, or after 9999.
pub(crate) fn date_text(date_ms: i64) -> Option<String> {
    let date = Offset::UTC.to_datetime(Timestamp::from_millisecond(date_ms).ok()?);
    let is_possible = (1900..=9999).contains(&date.year());
    is_possible.then(|| date.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string())
}

/// A message id without its angle brackets (RFC 5322 §3.6.4), given with or without them. `None` if
/// it cannot stand in a header field.
#[must_use]
pub fn message_id(id: &str) -> Option<&str> {
    let id = id.trim();
    let id = id.strip_prefix('<').unwrap_or(id);
    let id = id.strip_suffix('>').unwrap_or(id);
    let fit = |byte: u8| byte.is_ascii_graphic() && !b"<>".contains(&byte);
    let good = !id.is_empty() && id.len() <= MESSAGE_ID_BYTES_MAX && id.bytes().all(fit);
    good.then_some(id)
}

fn ids(list: &[String]) -> Vec<&str> {
    list.iter().filter_map(|id| message_id(id)).collect()
}

fn message_ids(out: &mut Vec<u8>, name: &str, ids: Vec<&str>) {
    if ids.is_empty() {
        return;
    }
    let mut field = FieldWriter::begin(out, name);
    for id in ids {
        field.token(&format!("<{id}>"));
    }
    field.end();
}

fn extra(
    out: &mut Vec<u8>,
    at: usize,
    name: &str,
    value: &str,
    utf8: &mut Utf8Addresses,
) -> Result<(), Invalid> {
    let invalid = |reason: &str| Err(Invalid::new(format!("headers[{at}].name"), reason));
    let fit = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    if name.is_empty() || name.len() > 100 || !name.bytes().all(fit) {
        return invalid("is not the name of a header field");
    }
    if is_reserved(name) {
        return invalid("is a field that is not set here");
    }
    structured::write(out, name, value, utf8)
        .map_err(|problem| Invalid::new(format!("headers[{at}].value"), problem))
}

//! The header of a part that is a file (RFC 2045 §5, RFC 2183).

use postroom_model::Invalid;

use crate::compose::field::FieldWriter;
use crate::compose::header::message_id;
use crate::compose::parameter;
use crate::compose::{DraftFile, FileAt, FileContent, body};

/// How the content of a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// As it is.
    SevenBit,
    /// In base64.
    Base64,
}

/// Writes the header of the part for `file`, without the empty line behind it. `delimiter` begins
/// the boundaries of the message.
pub(crate) fn write_header(
    file: &DraftFile,
    at: FileAt,
    delimiter: &str,
    out: &mut Vec<u8>,
) -> Result<Transfer, Invalid> {
    let (property, disposition) = match at {
        FileAt::Inline(index) => (format!("inlines[{index}]"), "inline"),
        FileAt::Attachment(index) => (format!("attachments[{index}]"), "attachment"),
    };
    let media_type = DraftMediaType::read(&file.media_type).ok_or_else(|| {
        Invalid::new(format!("{property}.contentType"), "is not of the form type/subtype")
    })?;
    let transfer = transfer(file, &media_type, delimiter);
    let is_alternative = matches!(at, FileAt::Inline(_)) && is_calendar(file);
    let composite = media_type.is_composite() && transfer == Transfer::Base64;
    let mut field = FieldWriter::begin(out, "Content-Type");
    if composite {
        // RFC 2046 §5.2.1: no encoding is allowed for messages in messages, so a message that
        // cannot travel as it is goes as a file.
        field.token("application/octet-stream");
    } else {
        field.token(&media_type.essence);
        for (name, value) in &media_type.parameters {
            parameter::write(&mut field, name, value);
        }
        // RFC 6047 §2.4: the charset stands there, and what we take is UTF-8.
        let has_charset = media_type.parameters.iter().any(|(name, _)| name == "charset");
        if is_alternative && !has_charset {
            parameter::write(&mut field, "charset", "utf-8");
        }
    }
    let ascii = parameter::ascii_form(&file.name);
    if !ascii.is_empty() {
        parameter::write(&mut field, "name", &ascii);
    }
    field.end();
    let encoding = match transfer {
        Transfer::SevenBit => "7bit",
        Transfer::Base64 => "base64",
    };
    out.extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
    // An alternative is a body, and no file.
    if !is_alternative {
        let mut field = FieldWriter::begin(out, "Content-Disposition");
        field.token(disposition);
        if !file.name.is_empty() {
            parameter::write(&mut field, "filename", &file.name);
        }
        field.end();
    }
    if let Some(id) = &file.content_id {
        let id = message_id(id).ok_or_else(|| {
            Invalid::new(
                format!("{property}.contentId"),
                "is not an identifier: printable ASCII, no spaces",
            )
        })?;
        let mut field = FieldWriter::begin(out, "Content-ID");
        field.token(&format!("<{id}>"));
        field.end();
    }
    Ok(transfer)
}

/// Whether a file is a calendar (RFC 5545 §8.1).
pub(crate) fn is_calendar(file: &DraftFile) -> bool {
    DraftMediaType::read(&file.media_type).is_some_and(|it| it.essence == "text/calendar")
}

fn transfer(file: &DraftFile, media_type: &DraftMediaType, delimiter: &str) -> Transfer {
    match &file.content {
        FileContent::Bytes(content)
            if media_type.is_message() && body::is_seven_bit(content, delimiter.as_bytes()) =>
        {
            Transfer::SevenBit
        }
        FileContent::Bytes(_) | FileContent::Elsewhere { .. } => Transfer::Base64,
    }
}

/// A media type as a client names it.
#[derive(Debug, PartialEq, Eq)]
struct DraftMediaType {
    /// `type/subtype` in lower case.
    essence: String,
    /// Parameters, except those that this composer sets.
    parameters: Vec<(String, String)>,
}

impl DraftMediaType {
    fn read(text: &str) -> Option<Self> {
        let mut sections = text.split(';');
        let essence = sections.next().unwrap_or_default().trim();
        let essence = if essence.is_empty() {
            "application/octet-stream".to_owned()
        } else {
            essence.to_ascii_lowercase()
        };
        let (kind, subtype) = essence.split_once('/')?;
        if !is_token(kind) || !is_token(subtype) || essence.len() > 200 {
            return None;
        }
        let parameters = sections.filter_map(parameter_of).collect();
        Some(Self { essence, parameters })
    }

    fn is_message(&self) -> bool {
        self.essence.starts_with("message/")
    }

    fn is_composite(&self) -> bool {
        self.is_message() || self.essence.starts_with("multipart/")
    }
}

fn parameter_of(section: &str) -> Option<(String, String)> {
    let (name, value) = section.split_once('=')?;
    let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let ours = ["name", "boundary"].contains(&name.as_str()) || name.contains('*');
    let good = is_token(&name) && !ours && parameter::is_plain(value);
    good.then(|| (name, value.to_owned()))
}

/// Tells whether `text` is a token (RFC 2045 §5.1).
fn is_token(text: &str) -> bool {
    let fit = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`{|}~".contains(&byte);
    !text.is_empty() && text.len() <= 100 && text.bytes().all(fit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types_of_clients() {
        let read = |text| {
            DraftMediaType::read(text).map(|media_type| {
                let parameters = media_type.parameters.iter();
                let parameters: Vec<_> = parameters.map(|(n, v)| format!("{n}={v}")).collect();
                format!("{} {}", media_type.essence, parameters.join(","))
            })
        };
        let table = [
            ("", Some("application/octet-stream ")),
            ("Image/PNG", Some("image/png ")),
            ("text/plain; charset=utf-8", Some("text/plain charset=utf-8")),
            ("text/calendar; method=\"REQUEST\"; name=x", Some("text/calendar method=REQUEST")),
            ("text/plain; junk; =; a=\"", Some("text/plain ")),
            ("text", None),
            ("a/b/c", None),
            ("a b/c", None),
            ("тип/png", None),
        ];
        for (text, want) in table {
            assert_eq!(read(text).as_deref(), want, "{text}");
        }
    }
}

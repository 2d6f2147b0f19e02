//! Derives the values and files of a message from its bytes alone. This happens when it arrives and
//! when it is parsed again.
//!
//! This is CPU work for a blocking thread. It fails only if a file cannot be read. A message that
//! cannot be decomposed becomes `raw`. If the parser panics, only that one message becomes `raw`.

use crate::original::Original;
use postroom_mime::Address;
use postroom_mime::Attendee;
use postroom_mime::Calendar;
use postroom_mime::Defect;
use postroom_mime::Message;
use postroom_mime::Moment;
use postroom_mime::Part;
use postroom_mime::PartSource;
use postroom_mime::Report;
use postroom_mime::ReportedRecipient;
use postroom_mime::html::name_utf8;
use postroom_model::MessageEntityId;
use postroom_model::Options;
use postroom_model::Timestamp;
use postroom_model::builtin::files;
use postroom_model::builtin::names;
use postroom_model::options;
use postroom_model::state::Step;
use postroom_store::Content;
use postroom_store::NewContent;
use postroom_store::NewFile;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::io;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;

/// The derived properties. Those that are missing from [`Derived::values`] are unset.
pub(crate) const PROPERTIES: &[&str] = &[
    names::FROM,
    names::FROM_DISPLAY_NAME,
    names::TO,
    names::CC,
    names::BCC,
    names::REPLY_TO,
    names::RECIPIENTS,
    names::SUBJECT,
    names::TEXT,
    names::TEXT_SOURCE,
    names::PREVIEW,
    names::MESSAGE_ID,
    names::IN_REPLY_TO,
    names::REFERENCES,
    names::HEADERS,
    names::MESSAGE_TYPE,
    names::ATTACHMENT_COUNT,
    names::DEFECTS,
    names::CALENDAR,
    names::REPORT_TYPE,
    names::REPORT,
    names::SECURITY,
    names::PARSER_VERSION,
];

/// What to keep of a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Keep {
    /// Whether the original is kept.
    pub raw: bool,
    /// Whether the html body is kept as a file.
    pub html: bool,
    /// How many bytes of the message's text are kept in the property `text`.
    pub text_bytes_max: usize,
}

impl Keep {
    /// What the options of a folder ask for.
    #[must_use]
    pub(crate) fn from_options(options: &Options) -> Self {
        Self {
            raw: options.flag(&options::STORE_RAW_AS_FILE),
            html: options.flag(&options::STORE_HTML_AS_FILE),
            text_bytes_max: usize::try_from(options.count(&options::TEXT_BYTES_MAX))
                .unwrap_or(usize::MAX),
        }
    }
}

/// The derived values and files.
#[derive(Debug)]
pub(crate) struct Derived {
    /// The values of [`PROPERTIES`] that are set.
    pub values: Map<String, Json>,
    /// The files without the original: html, inlines, attachments.
    pub files: Vec<NewFile>,
    /// Why the message cannot be decomposed. `None`: it can.
    pub raw_reason: Option<String>,
    /// When the last server on its way accepted it, in milliseconds since 1970.
    pub received_ms: Option<i64>,
    /// When it was written, as its author says, in milliseconds since 1970.
    pub date_ms: Option<i64>,
}

impl Derived {
    /// The step that the state of the message takes.
    #[must_use]
    pub(crate) fn step(&self) -> Step {
        if self.raw_reason.is_some() { Step::Keep } else { Step::Decompose }
    }

    /// The time of receipt, in milliseconds since 1970, and where it comes from. The time of the
    /// last server on the way counts before that of the author. Impossible times are ignored.
    #[must_use]
    pub(crate) fn date_time(&self, now_ms: i64) -> Option<(i64, &'static str)> {
        let told = [(self.received_ms, "received"), (self.date_ms, "date")];
        let sane =
            |(ms, source): (Option<i64>, _)| Some((ms.filter(|ms| is_sane(*ms, now_ms))?, source));
        told.into_iter().find_map(sane)
    }
}

/// Whether a time of receipt can be true: after 1971 (servers say 1970 for "unknown") and not in
/// the future by more than two days.
#[must_use]
pub(crate) fn is_sane(ms: i64, now_ms: i64) -> bool {
    const YEAR_MS: i64 = 365 * 86_400_000;
    const SLACK_MS: i64 = 2 * 86_400_000;
    (YEAR_MS..now_ms + SLACK_MS).contains(&ms)
}

/// Derives all values and files. `message` is the id for the log.
///
/// # Errors
///
/// When the file of a large message cannot be read.
pub(crate) fn derive(
    original: &Original,
    keep: Keep,
    message: MessageEntityId,
) -> io::Result<Derived> {
    let read = || -> io::Result<(Message, Vec<NewFile>)> {
        let message = original.parse()?;
        let files = file_rows(&message, original, keep)?;
        Ok((message, files))
    };
    let (message, files) = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read?,
        Err(_) => {
            let reason = "the parser of Postroom failed on this message; the original is kept: \
                          please report it";
            tracing::error!(%message, "{reason}");
            let raw_reason = Some(reason.to_owned());
            (Message { raw_reason, ..Message::default() }, vec![])
        }
    };
    let mut values = fields(&message, keep.text_bytes_max);
    let attachments = files.iter().filter(|file| file.property == files::ATTACHMENTS);
    values.insert(names::ATTACHMENT_COUNT.to_owned(), json!(attachments.count()));
    values.insert(names::PARSER_VERSION.to_owned(), json!(postroom_mime::PARSER_VERSION));
    Ok(Derived {
        values,
        files,
        raw_reason: message.raw_reason,
        received_ms: message.received_ms,
        date_ms: message.date_ms,
    })
}

fn fields(message: &Message, text_bytes_max: usize) -> Map<String, Json> {
    let mut values = Map::new();
    let mut put = |name: &str, value: Json| {
        let empty = match &value {
            Json::Null => true,
            Json::Array(list) => list.is_empty(),
            Json::String(text) => text.is_empty(),
            Json::Bool(_) | Json::Number(_) | Json::Object(_) => false,
        };
        if !empty {
            values.insert(name.to_owned(), value);
        }
    };
    // An entry that has only a name is in `recipients`, but not in the lists of addresses.
    let bare = |list: &[Address]| -> Json {
        let addresses = list.iter().map(|who| who.address.as_str());
        addresses.filter(|address| !address.is_empty()).map(Json::from).collect()
    };
    if let Some(from) = message.from.first().or(message.sender.as_ref()) {
        put(names::FROM, json!(from.address));
        put(names::FROM_DISPLAY_NAME, json!(from.name));
    }
    put(names::TO, bare(&message.to));
    put(names::CC, bare(&message.cc));
    put(names::BCC, bare(&message.bcc));
    put(names::REPLY_TO, bare(&message.reply_to));
    put(names::RECIPIENTS, recipients(message));
    put(names::SUBJECT, json!(message.subject));
    put(names::MESSAGE_ID, json!(message.message_id));
    put(names::IN_REPLY_TO, json!(message.in_reply_to));
    put(names::REFERENCES, json!(message.references));
    put(names::HEADERS, message.headers.iter().map(|(name, value)| json!([name, value])).collect());
    put(names::PREVIEW, json!(message.preview));
    put(names::MESSAGE_TYPE, json!(message.kind.as_str()));
    put(names::SECURITY, json!(message.security.map(|security| security.as_str())));
    let mut defects: Vec<_> = message.defects.iter().map(|defect| defect.as_str()).collect();
    // A character has at most four bytes, so four bytes more show whether the text goes on.
    if let Some((text, source)) = message.shown_text(text_bytes_max.saturating_add(4)) {
        let kept = text.get(..text.floor_char_boundary(text_bytes_max)).unwrap_or_default();
        put(names::TEXT, json!(kept));
        if !kept.is_empty() {
            put(names::TEXT_SOURCE, json!(source.as_str()));
        }
        let over = Defect::TextOver.as_str();
        if kept.len() < text.len() && !defects.contains(&over) {
            defects.push(over);
        }
    }
    put(names::DEFECTS, json!(defects));
    if let Some(calendar) = &message.calendar {
        put(names::CALENDAR, summary(calendar));
    }
    if let Some(report) = &message.report {
        put(names::REPORT_TYPE, json!(report.kind.as_str()));
        put(names::REPORT, told(report));
    }
    values
}

/// What a report says. What it does not say is left out.
fn told(report: &Report) -> Json {
    let object = |members: &[(&str, Option<&String>)]| -> Map<String, Json> {
        let told = members.iter().filter_map(|(name, text)| Some((*name, (*text)?)));
        told.map(|(name, text)| (name.to_owned(), json!(text))).collect()
    };
    let recipient = |one: &ReportedRecipient| {
        object(&[
            ("address", one.address.as_ref()),
            ("originalAddress", one.original_address.as_ref()),
            ("action", one.action.as_ref()),
            ("status", one.status.as_ref()),
            ("diagnostic", one.diagnostic.as_ref()),
            ("remote", one.remote.as_ref()),
        ])
    };
    let mut told = object(&[
        ("reporter", report.reporter.as_ref()),
        ("envelopeId", report.envelope_id.as_ref()),
        ("messageId", report.message_id.as_ref()),
    ]);
    let recipients = report.recipients.iter().map(recipient).collect::<Vec<_>>();
    told.insert("recipients".to_owned(), json!(recipients));
    Json::Object(told)
}

fn recipients(message: &Message) -> Json {
    let kinds = [("to", &message.to), ("cc", &message.cc), ("bcc", &message.bcc)];
    let each = |(kind, list): (&'static str, &Vec<Address>)| {
        let row = move |who: &Address| {
            let address = (!who.address.is_empty()).then_some(&who.address);
            json!({"kind": kind, "name": who.name, "address": address})
        };
        list.iter().map(row).collect::<Vec<_>>()
    };
    kinds.into_iter().flat_map(each).collect()
}

fn summary(calendar: &Calendar) -> Json {
    let moment = |moment: &Moment| match moment.utc_ms {
        Some(ms) if !moment.is_day => json!(Timestamp::from_ms(ms).to_string()),
        Some(_) | None => json!(moment.local),
    };
    let attendee = |who: &Attendee| json!({"address": who.address, "state": who.state});
    json!({
        "method": calendar.method, "uid": calendar.uid, "summary": calendar.summary,
        "start": calendar.start.as_ref().map(moment), "end": calendar.end.as_ref().map(moment),
        "sequence": calendar.sequence, "status": calendar.status,
        "recurrence": calendar.recurrence,
        "recurrenceId": calendar.recurrence_id.as_ref().map(moment),
        "organizer": calendar.organizer.as_ref().map(|who| who.address.clone()),
        "attendees": calendar.attendees.iter().map(attendee).collect::<Vec<_>>(),
    })
}

/// The files of the message. A part of the original is stored as an offset. If the original is not
/// kept, the part is decoded and stored itself.
fn file_rows(message: &Message, original: &Original, keep: Keep) -> io::Result<Vec<NewFile>> {
    let html = message.html.iter().filter(|_| keep.html).map(|part| (files::HTML, part));
    let inlines = message.inlines.iter().map(|part| (files::INLINES, part));
    let attachments = message.attachments.iter().map(|part| (files::ATTACHMENTS, part));
    let row = |(property, part): (&'static str, &Part)| {
        let content = match &part.source {
            PartSource::Bytes(bytes) if property == files::HTML => {
                let mut html = bytes.clone();
                name_utf8(&mut html);
                NewContent::Own(Content::prepare(&html))
            }
            PartSource::Bytes(bytes) => NewContent::Own(Content::prepare(bytes)),
            PartSource::Range { .. } if !keep.raw => {
                let is_shown = property == files::HTML;
                NewContent::Own(Content::prepare(&decoded(part, original, is_shown)?))
            }
            PartSource::Range { offset, length, encoding, charset } => NewContent::Part {
                offset: *offset,
                length: *length,
                size_bytes: part.size_bytes,
                transfer_encoding: encoding.as_str().to_owned(),
                // Only what is shown is changed; files stay as they are, byte for byte.
                charset: charset.clone().filter(|_| property == files::HTML),
            },
        };
        Ok(NewFile {
            property: property.to_owned(),
            name: part.name.clone(),
            media_type: part.media_type.to_string(),
            content_id: part.content_id.clone(),
            content,
        })
    };
    html.chain(inlines).chain(attachments).map(row).collect()
}

/// The decoded bytes of a part that is kept without the original. `is_shown`: it is the html body,
/// which is converted to UTF-8.
fn decoded(part: &Part, original: &Original, is_shown: bool) -> io::Result<Vec<u8>> {
    let mut bytes = original.decode(part)?;
    if !is_shown {
        return Ok(bytes);
    }
    if let PartSource::Range { charset: Some(charset), .. } = &part.source {
        let mut decoder = postroom_mime::charset::decoder(charset);
        let mut text = decoder.push(&bytes);
        text.push_str(&decoder.finish());
        bytes = text.into_bytes();
    }
    name_utf8(&mut bytes);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_value_that_is_derived_is_named_as_a_property() {
        let raw = b"From: Anna <a@b.example>\r\nTo: c@d.example\r\nCc: e@f.example\r\n\
            Bcc: g@h.example\r\nReply-To: i@j.example\r\nSubject: One\r\n\
            Message-ID: <two@b.example>\r\nIn-Reply-To: <one@b.example>\r\n\
            References: <zero@b.example> <one@b.example>\r\n\
            Content-Type: multipart/signed; boundary=b\r\n\r\n\
            --b\r\nContent-Type: text/plain\r\n\r\nHello\r\n\
            --b\r\nContent-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n\
            UID:1\r\nDTSTART:20261101T100000Z\r\nSUMMARY:Talk\r\nEND:VEVENT\r\n\
            END:VCALENDAR\r\n--b\r\nContent-Type: multipart/report; boundary=r\r\n\r\n\
            --r\r\nContent-Type: message/delivery-status\r\n\r\nAction: failed\r\n--r--\r\n\
            --b--\r\n";
        let mut values = fields(&postroom_mime::parse(raw), 1_000);
        assert_eq!(values.get("inReplyTo"), Some(&json!(["one@b.example"])));
        // `derive` adds these to every message.
        for name in ["attachmentCount", "parserVersion"] {
            values.insert(name.to_owned(), json!(1));
        }
        let mut found: Vec<&str> = values.keys().map(String::as_str).collect();
        let mut named = PROPERTIES.to_vec();
        found.sort_unstable();
        named.sort_unstable();
        assert_eq!(found, named);
    }

    #[test]
    fn a_name_without_an_address_is_a_recipient_but_no_address() {
        let raw = b"From: a@b.example\r\nTo: Anna Bee, c@d.example\r\nReply-To: Team\r\n\r\nx";
        let values = fields(&postroom_mime::parse(raw), 1_000);
        assert_eq!(values.get("to"), Some(&json!(["c@d.example"])));
        let recipients = json!([
            {"kind": "to", "name": "Anna Bee", "address": null},
            {"kind": "to", "name": null, "address": "c@d.example"},
        ]);
        assert_eq!(values.get("recipients"), Some(&recipients));
    }
}

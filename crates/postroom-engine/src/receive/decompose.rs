//! Decomposition: from the bytes of one message to the values and files of its entity.
//!
//! CPU work on a blocking thread. It never fails: what has no honest decomposition becomes `raw`,
//! and a fault in the parser would cost that one message its fields, never the folder its mail.

use crate::receive::fetch::Arrived;
use crate::receive::fetch::Body;
use postroom_mime::Address;
use postroom_mime::Message;
use postroom_mime::Part;
use postroom_mime::PartSource;
use postroom_mime::calendar::Attendee;
use postroom_mime::calendar::Calendar;
use postroom_mime::calendar::Moment;
use postroom_model::Entity;
use postroom_model::MessageState;
use postroom_model::Timestamp;
use postroom_model::builtin::files;
use postroom_model::state;
use postroom_model::state::Step;
use postroom_store::Content;
use postroom_store::NewContent;
use postroom_store::NewFile;
use postroom_store::ReceivedMessage;
use postroom_store::clock;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::io;
use std::io::BufReader;
use std::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use tempfile::NamedTempFile;
use uuid::Uuid;

/// How a folder wants its messages.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The account.
    pub account: Uuid,
    /// The folder.
    pub folder: Uuid,
    /// UIDVALIDITY of the mailbox.
    pub uid_validity: u32,
    /// Whether the original is kept.
    pub store_raw: bool,
    /// Whether the html body is kept as a file.
    pub store_html: bool,
    /// How many bytes of the text stand in `text`.
    pub text_bytes_max: usize,
    /// What is wished of the server once the message is durable.
    pub wish: Option<postroom_store::Wish>,
}

/// A message after decomposition.
#[derive(Debug)]
pub struct Decomposed {
    /// What is to be recorded; its original is still missing when `spool` has it.
    pub message: ReceivedMessage,
    /// The file with the original of a large message that is to be kept.
    pub spool: Option<NamedTempFile>,
}

/// Decomposes one message.
///
/// # Errors
///
/// When the file of a large message cannot be read again.
pub fn decompose(arrived: Arrived, wanted: &Wanted) -> io::Result<Decomposed> {
    let mut values = Map::new();
    let read = || -> io::Result<(Message, Vec<NewFile>)> {
        let message = parse(&arrived.body)?;
        let files = file_rows(&message, &arrived.body, wanted)?;
        Ok((message, files))
    };
    let (message, new_files) = match catch_unwind(AssertUnwindSafe(read)) {
        Ok(read) => read?,
        Err(_) => {
            let reason = "the decomposition met a fault of its own; the original is kept";
            tracing::error!(uid = arrived.uid, folder = %wanted.folder, "{reason}");
            let raw_reason = Some(reason.to_owned());
            (Message { raw_reason, ..Message::default() }, vec![])
        }
    };
    fields(&message, wanted, &mut values);
    let is_raw = message.raw_reason.is_some();
    let step = if is_raw { Step::Keep } else { Step::Decompose };
    // The table of steps has both from null.
    let state = state::next(None, step).ok().flatten().unwrap_or(MessageState::Raw);
    values.insert("messageState".to_owned(), json!(state.as_str()));
    if is_raw {
        values.insert("errorCode".to_owned(), json!("not_decomposable"));
    }
    envelope(&arrived, wanted, &message, &mut values);
    let attachments = new_files.iter().filter(|file| file.property == files::ATTACHMENTS);
    values.insert("attachmentCount".to_owned(), json!(attachments.count()));
    let keep = wanted.store_raw || is_raw;
    let hash = hash(&arrived.body)?;
    let (original, spool) = match arrived.body {
        Body::Memory(bytes) => (keep.then(|| Content::prepare(&bytes)), None),
        Body::Spool { file, .. } => (None, keep.then_some(file)),
    };
    let message = ReceivedMessage {
        uid: arrived.uid,
        entity: Entity::new(clock::new_id(), values),
        files: new_files,
        original,
        hash,
        wish: wanted.wish,
    };
    Ok(Decomposed { message, spool })
}

/// What a message is known by under another UIDVALIDITY.
fn hash(body: &Body) -> io::Result<[u8; 16]> {
    let mut hasher = blake3::Hasher::new();
    match body {
        Body::Memory(bytes) => {
            hasher.update(bytes);
        }
        Body::Spool { file, .. } => {
            io::copy(&mut BufReader::new(file.reopen()?), &mut hasher)?;
        }
    }
    let mut hash = [0; 16];
    hasher.finalize_xof().fill(&mut hash);
    Ok(hash)
}

/// Parses the bytes, wherever they are.
fn parse(body: &Body) -> io::Result<Message> {
    match body {
        Body::Memory(bytes) => Ok(postroom_mime::parse(bytes)),
        Body::Spool { file, .. } => {
            postroom_mime::parse_reader(file.reopen()?, &postroom_mime::Limits::default())
        }
    }
}

/// What is known of the message besides its bytes.
fn envelope(arrived: &Arrived, wanted: &Wanted, message: &Message, values: &mut Map<String, Json>) {
    let now_ms = clock::now_ms();
    let mut put = |name: &str, value: Json| values.insert(name.to_owned(), value);
    put("account_id", json!(wanted.account.to_string()));
    put("folder_id", json!(wanted.folder.to_string()));
    put("messageDirection", json!("in"));
    put("uidValidity", json!(wanted.uid_validity));
    put("uid", json!(arrived.uid));
    put("size", json!(arrived.body.size_bytes()));
    put("flags", json!(arrived.flags));
    let internal = arrived.internal_date_ms.filter(|ms| is_sane(*ms, now_ms));
    if let Some(ms) = internal {
        put("internalDate", moment(ms));
    }
    // The time of receipt: what the server says, else the last hop, else the author's, else now.
    let found = [internal, message.received_ms, message.date_ms].into_iter().flatten();
    let date_time = found.into_iter().find(|ms| is_sane(*ms, now_ms)).unwrap_or(now_ms);
    put("dateTime", moment(date_time));
    put("parserVersion", json!(postroom_mime::PARSER_VERSION));
}

/// Whether a time of receipt can be true: after 1971 (servers say 1970 for "unknown") and not in
/// the future by more than two days.
fn is_sane(ms: i64, now_ms: i64) -> bool {
    const YEAR_MS: i64 = 365 * 86_400_000;
    const SLACK_MS: i64 = 2 * 86_400_000;
    (YEAR_MS..now_ms + SLACK_MS).contains(&ms)
}

fn moment(ms: i64) -> Json {
    Json::String(Timestamp::from_ms(ms).to_string())
}

fn fields(message: &Message, wanted: &Wanted, values: &mut Map<String, Json>) {
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
    let bare = |list: &[Address]| -> Json {
        list.iter().map(|address| Json::from(address.address.as_str())).collect()
    };
    if let Some(from) = message.from.first().or(message.sender.as_ref()) {
        put("from", json!(from.address));
        put("fromDisplayName", json!(from.name));
    }
    put("to", bare(&message.to));
    put("cc", bare(&message.cc));
    put("bcc", bare(&message.bcc));
    put("replyTo", bare(&message.reply_to));
    put("recipients", recipients(message));
    put("subject", json!(message.subject));
    put("messageId", json!(message.message_id));
    put("inReplyTo", json!(message.in_reply_to));
    put("references", json!(message.references));
    put("headers", json!(message.headers));
    put("preview", json!(message.preview));
    put("messageType", json!(message.kind.as_str()));
    put("security", json!(message.security.map(|security| security.as_str())));
    put("errorText", json!(message.raw_reason));
    if let Some(text) = &message.text {
        let mut end = wanted.text_bytes_max.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        put("text", json!(text.get(..end)));
    }
    let defects: Json = message.defects.iter().map(|defect| Json::from(defect.as_str())).collect();
    put("defects", defects);
    if let Some(calendar) = &message.calendar {
        put("calendar", summary(calendar));
    }
}

fn recipients(message: &Message) -> Json {
    let kinds = [("to", &message.to), ("cc", &message.cc), ("bcc", &message.bcc)];
    let each = |(kind, list): (&'static str, &Vec<Address>)| {
        let row =
            move |who: &Address| json!({"kind": kind, "name": who.name, "address": who.address});
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
        "organizer": calendar.organizer.as_ref().map(|who| who.address.clone()),
        "attendees": calendar.attendees.iter().map(attendee).collect::<Vec<_>>(),
    })
}

/// The files of the message. What is a part of the original is referred to by offset; without the
/// original it is decoded and kept by itself.
fn file_rows(message: &Message, body: &Body, wanted: &Wanted) -> io::Result<Vec<NewFile>> {
    let html = message.html.iter().filter(|_| wanted.store_html).map(|part| (files::HTML, part));
    let inlines = message.inlines.iter().map(|part| (files::INLINES, part));
    let attachments = message.attachments.iter().map(|part| (files::ATTACHMENTS, part));
    let row = |(property, part): (&'static str, &Part)| {
        let content = match &part.source {
            PartSource::Bytes(bytes) => NewContent::Own(Content::prepare(bytes)),
            PartSource::Range { .. } if !wanted.store_raw => {
                NewContent::Own(Content::prepare(&decoded(part, body)?))
            }
            PartSource::Range { offset, length, encoding, charset } => NewContent::Part {
                offset: *offset,
                length: *length,
                size_bytes: part.size_bytes,
                transfer_encoding: encoding.as_str().to_owned(),
                charset: charset.clone(),
            },
        };
        Ok(NewFile {
            property: property.to_owned(),
            name: part.name.clone(),
            media_type: part.media_type.clone(),
            content_id: part.content_id.clone(),
            content,
        })
    };
    html.chain(inlines).chain(attachments).map(row).collect()
}

/// The bytes of a part that is kept without the original; html as UTF-8.
fn decoded(part: &Part, body: &Body) -> io::Result<Vec<u8>> {
    let bytes = match body {
        Body::Memory(bytes) => part.decode(bytes),
        Body::Spool { file, .. } => part.decode_from(file.path())?,
    };
    match &part.source {
        PartSource::Range { charset: Some(charset), .. } if part.media_type == "text/html" => {
            let mut decoder = postroom_mime::charset::decoder(charset);
            let mut text = decoder.push(&bytes);
            text.push_str(&decoder.finish());
            Ok(text.into_bytes())
        }
        PartSource::Range { .. } | PartSource::Bytes(_) => Ok(bytes),
    }
}

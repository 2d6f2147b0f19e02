//! Prepare: checks a message, composes it once, and makes its bytes durable.

use crate::account::Account;
use crate::content;
use crate::error::Error;
use crate::journal;
use crate::journal::Outgoing;
use crate::outgoing;
use crate::outgoing::Recipient;
use crate::send::entries;
use crate::send::entries::wire;
use crate::send::inline;
use crate::send::settle;
use crate::send::thread;
use crate::shared::Shared;
use postroom_mime::compose::Address;
use postroom_mime::compose::Base64Lines;
use postroom_mime::compose::ComposedPiece;
use postroom_mime::compose::Draft;
use postroom_mime::compose::DraftFile;
use postroom_mime::compose::FileAt;
use postroom_mime::compose::FileContent;
use postroom_mime::compose::message_id;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::Invalid;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use postroom_model::builtin::names;
use postroom_smtp::SmtpConnection;
use postroom_store::BlobWriter;
use postroom_store::Claimed;
use postroom_store::FileRow;
use postroom_store::PrepareEnd;
use postroom_store::Prepared;
use postroom_store::Unsendable;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// How many messages are prepared before due ones are sent.
const PAGE: u32 = 50;
/// An html body larger than this is refused: it is composed in memory.
const HTML_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// The maximum size of an attached message that is parsed for composing.
const MESSAGE_BYTES_MAX: u64 = 1024 * 1024;

/// The files of a message that is being composed.
struct Files {
    inlines: Vec<FileRow>,
    attachments: Vec<FileRow>,
}

/// Prepares at most a page of the oldest waiting messages, and gives whether there may be more. So
/// the first messages leave before the last ones are composed.
///
/// # Errors
///
/// Errors of the store. A message that cannot be composed ends as `error`.
pub(crate) async fn prepare_page(shared: &Shared, account: &Account) -> Result<bool, Error> {
    let messages = shared.store.delivery_unprepared(&account.domain, account.id, PAGE).await?;
    prepare_these(shared, account, messages).await
}

/// Prepares these messages. If one of them was changed since it was read, there is more to do: it
/// is read again. Whoever changed it may wake nobody, as the note does that its account is
/// disabled.
async fn prepare_these(
    shared: &Shared,
    account: &Account,
    messages: Vec<Entity>,
) -> Result<bool, Error> {
    let mut has_more = messages.len() >= PAGE as usize;
    for message in messages {
        match prepare(shared, account, &message).await {
            Ok(PrepareEnd::Queued | PrepareEnd::NoAccount) => {}
            Ok(PrepareEnd::Overtaken) => has_more = true,
            Err(Error::Compose(reason)) => {
                refuse(shared, account, &message, ErrorCode::Invalid, &reason).await?;
            }
            Err(Error::Store(error @ postroom_store::Error::Damaged { .. })) => {
                tracing::error!(message = %message.id, %error, "a message could not be composed");
                let reason = "a file of the message is damaged and cannot be read: upload it \
                              again, then set `sending`";
                refuse(shared, account, &message, ErrorCode::Damaged, reason).await?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(has_more)
}

/// Ends a message that cannot be composed.
async fn refuse(
    shared: &Shared,
    account: &Account,
    message: &Entity,
    code: ErrorCode,
    reason: &str,
) -> Result<(), Error> {
    let id = MessageEntityId::of(message.id);
    let refusal = Unsendable { code, reason, recipients: outgoing::waiting_rows };
    shared.store.delivery_refuse(&account.domain, id, refusal).await?;
    journal::refused(Outgoing::of(Some(account), message), code, reason);
    Ok(())
}

/// Prepares all waiting messages.
///
/// # Errors
///
/// As [`prepare_page`].
pub(crate) async fn prepare_all(shared: &Shared, account: &Account) -> Result<(), Error> {
    while prepare_page(shared, account).await? {}
    Ok(())
}

async fn prepare(
    shared: &Shared,
    account: &Account,
    message: &Entity,
) -> Result<PrepareEnd, Error> {
    let prepared = composed(shared, account, message, false).await?;
    Ok(shared.store.delivery_prepare(&account.domain, message, prepared).await?)
}

/// Whether a claimed message was composed again, because this server accepts only ASCII addresses.
/// Then it is due again at once.
///
/// # Errors
///
/// When the store fails. Then the delivery is given back.
pub(crate) async fn is_composed_anew(
    shared: &Shared,
    account: &Account,
    connection: &SmtpConnection,
    claimed: &Claimed,
) -> Result<bool, Error> {
    if connection.takes_utf8() || !claimed.smtp_utf8 {
        return Ok(false);
    }
    let composed = without_utf8(shared, account, claimed).await;
    if composed.is_err() {
        shared.store.delivery_release(claimed.message).await?;
    }
    composed
}

/// Composes a claimed message again, for a server that accepts only ASCII addresses. Other
/// addresses become names in the header (RFC 6857 §3.1.7), and their recipients are refused, so
/// that all others get the message. It is due again at once. `false`: there are no other
/// recipients, the author's address is not ASCII, or the message was changed.
///
/// # Errors
///
/// When the store fails.
async fn without_utf8(
    shared: &Shared,
    account: &Account,
    claimed: &Claimed,
) -> Result<bool, Error> {
    let waiting = settle::waiting(&claimed.recipients, account.options.uncertain());
    let address = |place: usize| claimed.recipients.get(place)?.get("address")?.as_str();
    let mut paths = waiting.into_iter().filter_map(address).map(wire);
    if !claimed.reverse_path.is_ascii() || !paths.any(|path| path.is_ascii()) {
        return Ok(false);
    }
    let Some(class) = shared.store.class_of(&claimed.domain, MESSAGES) else {
        return Ok(false);
    };
    let found = shared.store.entity_get(&claimed.domain, &class, claimed.message.into()).await?;
    let Some(message) = found else {
        return Ok(false);
    };
    let prepared = match composed(shared, account, &message, true).await {
        Ok(prepared) if !prepared.smtp_utf8 => prepared,
        Ok(_) | Err(Error::Compose(_)) => return Ok(false),
        Err(error) => return Err(error),
    };
    let prepared = Prepared { replaces_claimed: true, ..prepared };
    let end = shared.store.delivery_prepare(&account.domain, &message, prepared).await?;
    Ok(end == PrepareEnd::Queued)
}

/// Composes a message. `ascii`: for a server that accepts only ASCII addresses.
async fn composed(
    shared: &Shared,
    account: &Account,
    read: &Entity,
    ascii: bool,
) -> Result<Prepared, Error> {
    let message = &outgoing::composed_of(read);
    outgoing::check(message).map_err(|problems| invalid(&problems))?;
    let recipients = outgoing::recipients(message).map_err(|problems| invalid(&problems))?;
    let (mut draft, files) = draft(shared, account, message, &recipients).await?;
    draft.ascii_addresses = ascii;
    inline::name(&mut draft);
    let composed =
        postroom_mime::compose::compose(&draft).map_err(|problem| invalid(&[problem]))?;
    let mut writer = shared.store.blob_writer();
    for piece in &composed.pieces {
        match piece {
            ComposedPiece::Bytes(bytes) => writer.write(bytes).await?,
            ComposedPiece::File { at, .. } => write_file(shared, &files, *at, &mut writer).await?,
        }
    }
    let content = writer.finish().await?;
    let delivered = shared.store.delivery_delivered(MessageEntityId::of(message.id)).await?;
    let mut states = entries::so_far(&recipients, &delivered, account.options.uncertain());
    if ascii {
        entries::refuse_beyond_ascii(&recipients, &mut states);
    }
    Ok(Prepared {
        account: account.id,
        due_ms: message
            .text(names::DATE_TIME)
            .and_then(|text| Timestamp::parse(text).ok())
            .map_or_else(|| shared.clock.now_ms(), Timestamp::as_ms),
        reverse_path: wire(&draft.from.address),
        smtp_utf8: composed.needs_smtp_utf8,
        changes: changes(&draft, states, content.size_bytes),
        content,
        replaces_claimed: false,
    })
}

/// What composing changes in the properties. The results of earlier attempts are removed.
fn changes(draft: &Draft, recipients: Vec<Json>, size_bytes: u64) -> Map<String, Json> {
    let kind = outgoing::message_type(draft.text.is_some(), draft.html.is_some());
    let changes = json!({
        "from": draft.from.address, "fromDisplayName": draft.from.name,
        "messageId": draft.message_id, "messageType": kind, "size": size_bytes,
        "dateTime": Timestamp::from_ms(draft.date_ms).to_string(),
        "attachmentCount": draft.attachments.len(),
        "inReplyTo": draft.in_reply_to, "references": draft.references,
        "recipients": recipients, "errorText": null, "errorCode": null, "nextAttemptAt": null,
    });
    changes.as_object().cloned().unwrap_or_default()
}

async fn draft(
    shared: &Shared,
    account: &Account,
    message: &Entity,
    recipients: &[Recipient],
) -> Result<(Draft, Files), Error> {
    let text = |name: &str| message.text(name).filter(|text| !text.is_empty());
    let from = text(names::FROM).unwrap_or(&account.address).to_owned();
    let name =
        text(names::FROM_DISPLAY_NAME).map(str::to_owned).or_else(|| account.display_name.clone());
    let of_kind = |kind: &str| {
        let these = recipients.iter().filter(|recipient| recipient.kind == kind);
        these.map(|r| Address { name: r.name.clone(), address: r.address.clone() }).collect()
    };
    let bare = |address: &str| Address { name: None, address: address.to_owned() };
    let mut reply_to: Vec<_> = message.texts(names::REPLY_TO).map(bare).collect();
    if reply_to.is_empty() {
        // Answers go to the account's own address. A field that equals From is left out.
        let default = Some(account.address.as_str()).filter(|address| *address != from);
        reply_to.extend(account.reply_to.as_deref().or(default).map(bare));
    }
    let files = Files {
        inlines: file_rows(shared, account, message, files::INLINES).await?,
        attachments: file_rows(shared, account, message, files::ATTACHMENTS).await?,
    };
    let date = text(names::DATE_TIME).and_then(|text| Timestamp::parse(text).ok());
    // Without angle brackets, like that of a received message.
    let message_id = text(names::MESSAGE_ID).map(|id| message_id(id).unwrap_or(id).to_owned());
    let in_reply_to = thread::ids(message, "inReplyTo");
    let references = thread::references(shared, account, message, &in_reply_to).await?;
    let draft = Draft {
        message_id: message_id
            .unwrap_or_else(|| outgoing::new_message_id(&from, shared.clock.new_id())),
        from: Address { name, address: from },
        sender: None,
        reply_to,
        to: of_kind("to"),
        cc: of_kind("cc"),
        subject: text(names::SUBJECT).unwrap_or_default().to_owned(),
        text: text(names::TEXT).map(str::to_owned),
        html: html(shared, account, message).await?,
        inlines: contents(shared, &files.inlines).await?,
        attachments: contents(shared, &files.attachments).await?,
        in_reply_to,
        references,
        date_ms: date.map_or_else(|| shared.clock.now_ms(), Timestamp::as_ms),
        headers: headers(message),
        ascii_addresses: false,
    };
    Ok((draft, files))
}

async fn file_rows(
    shared: &Shared,
    account: &Account,
    message: &Entity,
    property: &str,
) -> Result<Vec<FileRow>, Error> {
    Ok(shared.store.file_list(&account.domain, message.id, property).await?)
}

/// The files with their contents, which stay in the store, except small messages, which must not be
/// encoded and so must be parsed (RFC 2046 §5.2.1).
async fn contents(shared: &Shared, rows: &[FileRow]) -> Result<Vec<DraftFile>, Error> {
    let mut contents = vec![];
    for row in rows {
        let is_message = row.media_type.to_ascii_lowercase().starts_with("message/");
        let content = if is_message && row.size_bytes <= MESSAGE_BYTES_MAX {
            FileContent::Bytes(read(shared, row).await?.into())
        } else {
            FileContent::Elsewhere { size_bytes: row.size_bytes }
        };
        contents.push(DraftFile {
            name: row.name.clone(),
            media_type: row.media_type.clone(),
            content_id: row.content_id.clone(),
            content,
        });
    }
    Ok(contents)
}

async fn read(shared: &Shared, row: &FileRow) -> Result<Vec<u8>, Error> {
    let mut bytes = vec![];
    let mut download = content::open(&shared.store, row, None);
    while let Some(piece) = download.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

async fn html(
    shared: &Shared,
    account: &Account,
    message: &Entity,
) -> Result<Option<String>, Error> {
    let rows = file_rows(shared, account, message, files::HTML).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    if row.size_bytes > HTML_BYTES_MAX {
        return Err(Error::Compose(format!("html: is larger than {HTML_BYTES_MAX} bytes")));
    }
    let html = String::from_utf8(read(shared, row).await?);
    html.map(Some).map_err(|_| Error::Compose("html: is not UTF-8".to_owned()))
}

fn headers(message: &Entity) -> Vec<(String, String)> {
    let field = |field: &Json| match field.as_array().map(Vec::as_slice) {
        Some([Json::String(name), Json::String(value)]) => Some((name.clone(), value.clone())),
        _ => None,
    };
    message.get(names::HEADERS).as_array().into_iter().flatten().filter_map(field).collect()
}

async fn write_file(
    shared: &Shared,
    files: &Files,
    at: FileAt,
    writer: &mut BlobWriter,
) -> Result<(), Error> {
    let row = match at {
        FileAt::Inline(index) => files.inlines.get(index),
        FileAt::Attachment(index) => files.attachments.get(index),
    };
    let Some(row) = row else {
        return Err(Error::Compose(
            "a file of the message was deleted while it was composed: upload it again, then set \
             `sending`"
                .to_owned(),
        ));
    };
    let mut lines = Base64Lines::default();
    let mut encoded = vec![];
    let mut download = content::open(&shared.store, row, None);
    while let Some(piece) = download.next().await? {
        lines.push(&piece, &mut encoded);
        writer.write(&encoded).await?;
        encoded.clear();
    }
    lines.finish(&mut encoded);
    writer.write(&encoded).await?;
    Ok(())
}

fn invalid(problems: &[Invalid]) -> Error {
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    Error::Compose(problems.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::fixture::change;
    use crate::fixture::create;
    use postroom_model::AccountId;
    use postroom_model::Domain;
    use postroom_model::builtin;

    #[tokio::test]
    async fn a_message_that_is_changed_while_it_is_composed_is_composed_again_at_once() {
        let (_directory, shared) = fixture::shared().await;
        let profile = json!({"name": "x", "smtpHost": "mail.test"});
        let profile = create(&shared.store, builtin::PROFILES, profile).await;
        let values = json!({"address": "anna@x.test", "profile_id": profile.to_string()});
        let id = create(&shared.store, builtin::ACCOUNTS, values).await;
        let (id, domain) = (AccountId::of(id), Domain::default_domain());
        let account = Account { id, domain, ..fixture::account(&[]) };
        let message = json!({
            "messageDirection": "out", "messageState": "sending", "account_id": id.to_string(),
            "to": ["b@x.test"],
        });
        create(&shared.store, MESSAGES, message).await;
        let unprepared = || shared.store.delivery_unprepared(&account.domain, id, 9);
        let read = unprepared().await.unwrap();
        // As `orphaned` does while the account is being enabled. It wakes no sender.
        let message = MessageEntityId::of(read[0].id);
        shared.store.delivery_disabled(&account.domain, message, Some("it waits")).await.unwrap();
        assert!(prepare_these(&shared, &account, read).await.unwrap(), "there is more to do");
        assert_eq!(unprepared().await.unwrap().len(), 1);
        assert!(!prepare_page(&shared, &account).await.unwrap());
        assert_eq!(unprepared().await.unwrap().len(), 0);
        // Without its account it waits for nobody: somebody else ends it.
        change(&shared.store, MESSAGES, message.into(), json!({"subject": "s"})).await;
        let read = unprepared().await.unwrap();
        let gone = Account { id: AccountId::of(shared.clock.new_id()), ..account.clone() };
        assert!(!prepare_these(&shared, &gone, read).await.unwrap());
    }
}

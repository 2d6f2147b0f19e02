//! Parses stored originals again with the parser of this release, as a job that continues after a
//! restart.
//!
//! ```text
//!   job ──► page of messages ──► original ──► derive ──► what differs ──► one change each
//!    ▲                           (a few at once)                           with its feed row
//!    └── how far it is, with each change
//! ```
//! Progress is committed with each change. After a crash, unrecorded messages are processed again,
//! which is harmless. Only values that follow from the bytes change. A state that business logic
//! has set stays. A message that cannot be read counts as failed, and the job goes on.

use crate::derive;
use crate::derive::Derived;
use crate::derive::Keep;
use crate::error::Error;
use crate::original::Original;
use crate::original::SpoolPlace;
use crate::shared::Shared;
use futures_util::StreamExt;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::Filter;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::Options;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::builtin::files;
use postroom_model::builtin::names;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::state;
use postroom_store::Error as StoreError;
use postroom_store::FileRow;
use postroom_store::Job;
use postroom_store::JobState;
use postroom_store::OriginalFound;
use postroom_store::OriginalPage;
use postroom_store::Recorded;
use postroom_store::Redecomposed;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// How many messages are read together.
const PAGE: u32 = 100;
/// How many messages are processed at once.
const AT_ONCE: usize = 4;

/// Runs a job to its end, or until it is deleted.
///
/// # Errors
///
/// When the store fails; the job goes on from its last page.
pub async fn work(shared: &Arc<Shared>, mut job: Job) -> Result<(), Error> {
    let Some(class) = shared.store.class_of(&job.domain, &job.class) else {
        return end(shared, job, Some("the class of the job does not exist")).await;
    };
    let classes = shared.store.classes().of(&job.domain);
    let read = |json| filter::parse(Names::among(&class, &classes), json);
    let filter = match job.filter.as_ref().map(read).transpose() {
        Ok(filter) => filter,
        Err(_) => {
            let text = "the filter of the job does not fit the class";
            return end(shared, job, Some(text)).await;
        }
    };
    let domain = job.domain.clone();
    let mut keeps = Keeps { shared, domain: &domain, known: HashMap::new() };
    loop {
        let page = page(shared, &job, &class, filter.as_ref()).await?;
        if page.is_empty() {
            return end(shared, job, None).await;
        }
        let mut tasks = vec![];
        for found in page {
            let (id, domain) = (found.id, &domain);
            let read = keeps.readable(found).await?;
            tasks.push(async move {
                Ok::<_, Error>(match read {
                    Ok(Readable { message, keep }) => {
                        let found = look(shared, domain, message, keep).await?;
                        Looked { id, keep: Some(keep), found }
                    }
                    Err(why) => Looked { id, keep: None, found: Reparsed::Failed(why) },
                })
            });
        }
        // They are recorded in order, because the job continues after the last recorded one.
        let mut found = futures_util::stream::iter(tasks).buffered(AT_ONCE);
        while let Some(looked) = found.next().await {
            match record(shared, &job, &class, looked?).await? {
                Some(next) => job = next,
                None => return Ok(()),
            }
        }
        if !shared.store.job_progress(&job).await? {
            return Ok(());
        }
    }
}

/// Records the result for a message. If nothing differs, it is recorded with the next change or at
/// the end of the page. If a client changes the message meanwhile, the client's change comes first.
/// Gives the updated job. `None`: it was stopped.
async fn record(
    shared: &Arc<Shared>,
    job: &Job,
    class: &Class,
    looked: Looked,
) -> Result<Option<Job>, Error> {
    let Looked { id, keep, mut found } = looked;
    let mut next = Job { behind: Some(id), ..job.clone() };
    next.counts.done += 1;
    loop {
        let again = match found {
            Reparsed::Same => return Ok(Some(next)),
            Reparsed::Failed(why) => {
                tracing::warn!(message = %id, why, "not decomposed again");
                next.counts.failed += 1;
                next.reason = Some(format!("{id}: {why}"));
                return Ok(Some(next));
            }
            Reparsed::Different(again) => again,
        };
        let mut changed = next.clone();
        changed.counts.changed += 1;
        match shared.store.message_redecompose(&job.domain, class, *again, &changed).await {
            Ok(Recorded::Done) => return Ok(Some(changed)),
            Ok(Recorded::JobGone) => return Ok(None),
            Ok(Recorded::Stale) => {}
            // The job must not stop at this message for ever.
            Err(error @ (StoreError::WrongType { .. } | StoreError::Damaged { .. })) => {
                found = Reparsed::Failed(error.to_string());
                continue;
            }
            Err(error) => return Err(error.into()),
        }
        found = match (shared.store.entity_get(&job.domain, class, id).await, keep) {
            (Ok(Some(present)), Some(keep)) => look(shared, &job.domain, present, keep).await?,
            (Ok(_), _) => Reparsed::Same,
            (Err(error @ StoreError::Damaged { .. }), _) => Reparsed::Failed(error.to_string()),
            (Err(error), _) => return Err(error.into()),
        };
    }
}

async fn page(
    shared: &Shared,
    job: &Job,
    class: &Class,
    filter: Option<&Filter>,
) -> Result<Vec<OriginalFound>, Error> {
    let page = OriginalPage { filter, behind: job.behind, limit: PAGE };
    Ok(shared.store.original_list(&job.domain, class, page).await?)
}

async fn end(shared: &Shared, mut job: Job, reason: Option<&str>) -> Result<(), Error> {
    job.state = JobState::Done;
    job.ended_ms = Some(shared.clock.now_ms());
    job.reason = reason.map(str::to_owned).or(job.reason);
    // It was deleted at this moment, so it has ended as well.
    shared.store.job_progress(&job).await?;
    Ok(())
}

/// A message to be decomposed again.
struct Readable {
    message: Entity,
    keep: Keep,
}

/// A message that was decomposed again.
struct Looked {
    id: EntityId,
    /// `None`: the message or its options cannot be read.
    keep: Option<Keep>,
    found: Reparsed,
}

/// The result for one message.
enum Reparsed {
    Same,
    Different(Box<Redecomposed>),
    Failed(String),
}

/// Decomposes one message again. Damage is about this message.
async fn look(
    shared: &Arc<Shared>,
    domain: &Domain,
    message: Entity,
    keep: Keep,
) -> Result<Reparsed, Error> {
    match reparse(shared, domain, message, keep).await {
        Err(Error::Store(error @ StoreError::Damaged { .. })) => {
            Ok(Reparsed::Failed(error.to_string()))
        }
        found => found,
    }
}

async fn reparse(
    shared: &Arc<Shared>,
    domain: &Domain,
    message: Entity,
    keep: Keep,
) -> Result<Reparsed, Error> {
    let rows = shared.store.file_list_all(domain, message.id).await?;
    let Some(original) = original(shared, &rows).await? else {
        // The message was deleted meanwhile.
        return Ok(Reparsed::Same);
    };
    let id = message.id;
    let work = move || derive::derive(&original, keep, MessageEntityId::of(id));
    let account = message.reference(names::ACCOUNT_ID).unwrap_or_default();
    let account = AccountId::of(account);
    let derived = shared.lanes.run(account, work).await.map_err(Error::Fault)?;
    let derived = derived.map_err(Error::Spool)?;
    let changes = changes(&message, &derived, shared.store.dating_ms());
    let same_files = shared.store.files_equal(&rows, &derived.files).await?;
    if changes.is_empty() && same_files {
        return Ok(Reparsed::Same);
    }
    let files = (!same_files).then_some((rows, derived.files));
    Ok(Reparsed::Different(Box::new(Redecomposed { message, changes, files })))
}

/// The original of a message. `None`: it has none any more. A large original goes through the spool
/// directory.
async fn original(shared: &Shared, rows: &[FileRow]) -> Result<Option<Original>, Error> {
    let Some(row) = rows.iter().find(|row| row.property == files::RAW_MESSAGE) else {
        return Ok(None);
    };
    let in_memory_bytes_max = shared.settings.in_memory_bytes_max as u64;
    let place = SpoolPlace::of(shared);
    Ok(Some(Original::read(&shared.store, row, place, in_memory_bytes_max).await?))
}

/// The properties whose values differ now. Null unsets.
fn changes(message: &Entity, derived: &Derived, now_ms: i64) -> Map<String, Json> {
    let mut changes = Map::new();
    let mut put = |name: &str, value: Cow<'_, Json>| {
        if *message.get(name) != *value {
            changes.insert(name.to_owned(), value.into_owned());
        }
    };
    for name in derive::PROPERTIES {
        put(name, Cow::Borrowed(derived.values.get(*name).unwrap_or(&Json::Null)));
    }
    let mut put = |name: &str, value: Json| put(name, Cow::Owned(value));
    // A state that business logic has set stays, and so do its other properties.
    let before = MessageState::of(message);
    if let (Some(_), Ok(Some(after))) = (before, state::next(before, derived.step())) {
        put(names::MESSAGE_STATE, json!(after));
        put(
            names::ERROR_CODE,
            json!(derived.raw_reason.as_ref().map(|_| ErrorCode::NotDecomposable)),
        );
        put(names::ERROR_TEXT, json!(derived.raw_reason));
    }
    if message.text(names::DATE_TIME_SOURCE) != Some("internalDate")
        && message.get(names::INTERNAL_DATE).is_null()
        && let Some((ms, source)) = derived.date_time(now_ms)
    {
        put(names::DATE_TIME, json!(Timestamp::from_ms(ms).to_string()));
        put(names::DATE_TIME_SOURCE, json!(source));
    }
    changes
}

/// What to keep of the messages of each folder, by the present options.
struct Keeps<'a> {
    shared: &'a Shared,
    domain: &'a Domain,
    known: HashMap<Option<EntityId>, Keep>,
}

impl Keeps<'_> {
    /// A message with what to keep of it, or why it is not decomposed again.
    async fn readable(&mut self, found: OriginalFound) -> Result<Result<Readable, String>, Error> {
        let Some(message) = found.message else {
            return Ok(Err("its row in the database is damaged".to_owned()));
        };
        match self.of(&message).await {
            Ok(keep) => Ok(Ok(Readable { message, keep })),
            Err(Error::Store(error @ StoreError::Damaged { .. })) => {
                Ok(Err(format!("its folder, account or profile cannot be read: {error}")))
            }
            Err(error) => Err(error),
        }
    }

    /// What to keep of a message. The original exists, so it stays.
    async fn of(&mut self, message: &Entity) -> Result<Keep, Error> {
        let id = |entity: &Entity, name: &str| entity.text(name).and_then(|id| id.parse().ok());
        let folder_id: Option<EntityId> = id(message, names::FOLDER_ID);
        if let Some(keep) = self.known.get(&folder_id) {
            return Ok(*keep);
        }
        let folder = self.entity(builtin::FOLDERS, folder_id).await?;
        let account_id = folder.as_ref().and_then(|folder| id(folder, names::ACCOUNT_ID));
        let account = self.entity(builtin::ACCOUNTS, account_id).await?;
        let profile_id = account.as_ref().and_then(|account| id(account, names::PROFILE_ID));
        let profile = self.entity(builtin::PROFILES, profile_id).await?;
        let levels = [&folder, &account, &profile];
        let options = levels
            .map(|level| level.as_ref().map_or(&Json::Null, |level| level.get(names::OPTIONS)));
        let keep = Keep { raw: true, ..Keep::from_options(&Options::cascade(options)) };
        self.known.insert(folder_id, keep);
        Ok(keep)
    }

    async fn entity(&self, class: &str, id: Option<EntityId>) -> Result<Option<Entity>, Error> {
        match (self.shared.store.class_of(self.domain, class), id) {
            (Some(class), Some(id)) => {
                Ok(self.shared.store.entity_get(self.domain, &class, id).await?)
            }
            (_, _) => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn derived(values: &Json, raw_reason: Option<&str>) -> Derived {
        Derived {
            values: values.as_object().unwrap().clone(),
            files: vec![],
            raw_reason: raw_reason.map(str::to_owned),
            received_ms: None,
            date_ms: Some(1_700_000_000_000),
        }
    }

    #[test]
    fn only_what_is_derived_changes() {
        let at = "2020-01-01T00:00:00.000Z";
        #[rustfmt::skip]
        let table = [
            // the message as it is, what is derived, why it is raw, what changes
            (json!({"messageState": "received", "subject": "a", "internalDate": at}), json!({"subject": "a"}), None, json!({})),
            (json!({"messageState": "received", "subject": "a", "internalDate": at}), json!({"subject": "b"}), None, json!({"subject": "b"})),
            (json!({"messageState": "received", "text": "a", "internalDate": at}), json!({}), None, json!({"text": null})),
            (json!({"messageState": "received", "flags": ["x"], "uid": 4, "internalDate": at}), json!({}), None, json!({})),
            (json!({"messageState": "raw", "errorCode": "not_decomposable", "errorText": "r", "internalDate": at}), json!({}), None,
             json!({"messageState": "received", "errorCode": null, "errorText": null})),
            (json!({"messageState": "received", "internalDate": at}), json!({}), Some("r"),
             json!({"messageState": "raw", "errorCode": "not_decomposable", "errorText": "r"})),
            (json!({"messageState": "handled", "internalDate": at}), json!({}), Some("r"), json!({})),
            (json!({"internalDate": at}), json!({}), Some("r"), json!({})),
            (json!({"messageState": "received", "dateTime": at}), json!({}), None,
             json!({"dateTime": "2023-11-14T22:13:20.000Z", "dateTimeSource": "date"})),
        ];
        for (before, values, raw_reason, want) in table {
            let entity = Entity::new(EntityId::nil(), before.as_object().unwrap().clone());
            let found = changes(&entity, &derived(&values, raw_reason), 1_700_000_000_001);
            assert_eq!(Json::Object(found), want, "{before} {values}");
        }
    }
}

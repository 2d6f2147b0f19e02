//! Parsing again: finds the messages with stored originals, and records the results.

use crate::blob::Content;
use crate::chunk;
use crate::chunk::BlobId;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::file::FileOwner;
use crate::file::FileRow;
use crate::file::FileSource;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::job;
use crate::job::Job;
use crate::sending;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::MessageDirection;
use postroom_model::builtin::files;
use serde_json::Map;
use serde_json::Value as Json;

/// The condition for parsing a message again: it was received
/// ([`postroom_model::standing::was_received`]), and its original is stored.
fn has_original() -> String {
    format!(
        "{} AND \"dateTimeSource\" IS NOT NULL AND EXISTS (SELECT 1 FROM \"file\"
         WHERE \"file\".\"entity\" = \"id\" AND \"file\".\"property\" = '{}')",
        sending::in_direction("", MessageDirection::In),
        files::RAW_MESSAGE
    )
}

/// A message that was decomposed again with a different result.
#[derive(Debug)]
pub struct Redecomposed {
    /// The message as it was.
    pub message: Entity,
    /// The new values of the properties that differ. Null unsets a property.
    pub changes: Map<String, Json>,
    /// The former files, with the original, and the new ones. `None`: the files are the same.
    pub files: Option<(Vec<FileRow>, Vec<NewFile>)>,
}

/// The result of recording such a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable.
    Done,
    /// Somebody else changed or deleted the message meanwhile. Nothing was written.
    Stale,
    /// The job was deleted. Nothing was written.
    JobGone,
}

/// How many bytes of messages are read at once.
const PART_BYTES: usize = 1 << 20;

/// A page of messages that have an original.
#[derive(Debug, Clone, Copy)]
pub struct OriginalPage<'a> {
    /// The messages match this filter. `None`: all.
    pub filter: Option<&'a Filter>,
    /// The page begins after this id. `None`: with the first message.
    pub behind: Option<EntityId>,
    /// How many messages it has at most.
    pub limit: u32,
}

/// A message of such a page.
#[derive(Debug, Clone)]
pub struct OriginalFound {
    /// Its id.
    pub id: EntityId,
    /// The message. `None`: its row is damaged.
    pub message: Option<Entity>,
}

impl Store {
    /// How many received messages match a filter and have a stored original.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn original_count(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<&Filter>,
    ) -> Result<u64, Error> {
        self.count(domain, class, filter, &has_original()).await
    }

    /// The next of those messages behind an id, at most `limit` and fewer if they are large, in the
    /// order of their ids.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn original_list(
        &self,
        domain: &Domain,
        class: &Class,
        page: OriginalPage<'_>,
    ) -> Result<Vec<OriginalFound>, Error> {
        let OriginalPage { filter, behind, limit } = page;
        let mut conditions = self.conditions(domain);
        let filter = filter.map(|filter| format!(" AND {}", conditions.filter(filter)));
        let behind = conditions.bind(Value::Id(behind.unwrap_or(EntityId::nil())));
        let limit = conditions.bind(Value::Whole(i64::from(limit)));
        let sql = format!(
            "{} WHERE \"domain\" = $1 AND \"id\" > {behind} AND {}{}
             ORDER BY \"id\" LIMIT {limit}",
            Self::select(class),
            has_original(),
            filter.unwrap_or_default()
        );
        let statement = Statement::new(sql).bind_all(conditions.values).at_most(PART_BYTES);
        let found = |row: &Row| {
            let id = row.id(1).ok_or(Error::Damaged { what: "an entity" })?;
            Ok(OriginalFound { id, message: self.readable(class, row)? })
        };
        self.read(statement).await?.iter().map(found).collect()
    }

    /// Whether the stored files of a message equal the derived ones, including their content.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn files_equal(&self, rows: &[FileRow], derived: &[NewFile]) -> Result<bool, Error> {
        let mut rows: Vec<_> = rows.iter().filter(|row| !is_original(row)).collect();
        if rows.len() != derived.len() {
            return Ok(false);
        }
        for (position, file) in (0..).zip(derived) {
            let same = |row: &&FileRow| row.property == file.property && row.name == file.name;
            let Some(at) = rows.iter().position(same) else {
                return Ok(false);
            };
            let row = rows.swap_remove(at);
            let described = row.position == position
                && row.media_type == file.media_type
                && row.content_id == file.content_id;
            if !described || !self.content_equals(row, &file.content).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn content_equals(&self, row: &FileRow, content: &NewContent) -> Result<bool, Error> {
        match (&row.source, content) {
            (FileSource::Blob(blob), NewContent::Own(own)) => {
                Ok(row.size_bytes == own.size_bytes && self.blob_equals(*blob, own).await?)
            }
            (
                FileSource::Part { offset, length, transfer_encoding, charset, .. },
                NewContent::Part {
                    offset: new_offset,
                    length: new_length,
                    size_bytes,
                    transfer_encoding: new_encoding,
                    charset: new_charset,
                },
            ) => Ok((offset, length, transfer_encoding) == (new_offset, new_length, new_encoding)
                && (charset, row.size_bytes) == (new_charset, *size_bytes)),
            (FileSource::Blob(_), NewContent::Part { .. })
            | (FileSource::Part { .. }, NewContent::Own(_)) => Ok(false),
        }
    }

    async fn blob_equals(&self, blob: BlobId, content: &Content) -> Result<bool, Error> {
        for (number, chunk) in (0..).zip(content.chunks()) {
            let rows = self.read(chunk::select_some(blob, number, 1)).await?;
            let rows = self.chunks_resolved(rows).await?;
            if !rows.first().is_some_and(|row| chunk.equals(row)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Records the result for a message together with the progress of the job. So after a crash, no
    /// message is counted twice or skipped.
    ///
    /// # Errors
    ///
    /// When the store fails. Then nothing of it is kept.
    pub async fn message_redecompose(
        &self,
        domain: &Domain,
        class: &Class,
        again: Redecomposed,
        job: &Job,
    ) -> Result<Recorded, Error> {
        let current = &again.message;
        let mut batch = vec![job::progress(job)];
        let former = again.files.as_ref().map(|(rows, _)| file::former(rows)).unwrap_or_default();
        batch.extend(self.records(domain, class).change(current, &again.changes, former)?);
        if let Some((rows, derived)) = again.files {
            let original = rows.iter().find(|row| is_original(row)).map(FileRow::blob);
            for row in rows.iter().filter(|row| !is_original(row)) {
                if row.is_part() {
                    batch.push(file::forget(current.id, row));
                } else {
                    batch.extend(file::take_away(self, current.id, row));
                }
            }
            for (position, file) in (0..).zip(derived) {
                let owner = FileOwner { domain, entity: current.id, class: None };
                batch.extend(file::insert(self, owner, file, position, original).await?);
            }
        }
        match self.write(batch).await {
            Ok(_) => Ok(Recorded::Done),
            Err(Error::Condition(Failed::NoJob)) => Ok(Recorded::JobGone),
            Err(Error::Condition(Failed::Stale)) => Ok(Recorded::Stale),
            Err(error) => Err(error),
        }
    }
}

fn is_original(row: &FileRow) -> bool {
    row.property == files::RAW_MESSAGE
}

//! Files of entities: attachments, inlines, html, the original.
//!
//! A file has a blob of its own, or it is a part of the original by offset. A part is decoded while
//! it streams out, and cannot be changed.

use crate::blob::Content;
use crate::chunk::BlobId;
use crate::database::Row;
use crate::database::Statement;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::file_property::stored_property;
use crate::limits;
use crate::made::Made;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// A new file.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The property of the class.
    pub property: String,
    /// The name, unique within the property.
    pub name: String,
    /// The media type.
    pub media_type: String,
    /// The Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// Its content.
    pub content: NewContent,
}

impl NewFile {
    /// How many bytes it has, decoded.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        match &self.content {
            NewContent::Own(content) => content.size_bytes,
            NewContent::Part { size_bytes, .. } => *size_bytes,
        }
    }

    /// The original of a message, whose blob is written in the same batch.
    pub(crate) fn original(size_bytes: u64) -> Self {
        Self {
            property: files::RAW_MESSAGE.to_owned(),
            name: "message.eml".to_owned(),
            media_type: "message/rfc822".to_owned(),
            content_id: None,
            content: NewContent::Part {
                offset: 0,
                length: size_bytes,
                size_bytes,
                transfer_encoding: "binary".to_owned(),
                charset: None,
            },
        }
    }
}

/// The content of a new file.
#[derive(Debug, Clone)]
pub enum NewContent {
    /// Content of its own.
    Own(Content),
    /// A part of the original, which is stored already or written in the same batch.
    Part {
        /// Where it begins in the original, in bytes.
        offset: u64,
        /// How long it is there, encoded.
        length: u64,
        /// How many bytes it has when decoded.
        size_bytes: u64,
        /// Its Content-Transfer-Encoding.
        transfer_encoding: String,
        /// Its charset, when it is text.
        charset: Option<String>,
    },
}

/// A stored file.
#[derive(Debug, Clone, PartialEq)]
pub struct FileRow {
    /// The property of the class.
    pub property: String,
    /// The name, unique within the property.
    pub name: String,
    /// Its place among the files of the property, from 0.
    pub position: i64,
    /// The media type.
    pub media_type: String,
    /// The Content-ID, without angle brackets.
    pub content_id: Option<String>,
    /// How many bytes it has, decoded. For a part, before its charset is converted.
    pub size_bytes: u64,
    /// Where its bytes are.
    pub source: FileSource,
    /// The property as it is stored (`file_property`).
    pub(crate) stored: String,
}

/// Where the bytes of a file are.
#[derive(Debug, Clone, PartialEq)]
pub enum FileSource {
    /// In a blob of its own.
    Blob(BlobId),
    /// In a part of the original.
    Part {
        /// The blob of the original.
        blob: BlobId,
        /// Where the part begins in it, in bytes.
        offset: u64,
        /// How long it is there, encoded.
        length: u64,
        /// Its Content-Transfer-Encoding.
        transfer_encoding: String,
        /// Its charset, when it is text.
        charset: Option<String>,
    },
}

impl FileRow {
    /// The ETag of this content, without quotes. It changes whenever the content may have changed.
    #[must_use]
    pub fn etag(&self) -> String {
        match &self.source {
            FileSource::Blob(blob) => format!("{:x}-{:x}", blob.0, self.size_bytes),
            FileSource::Part { blob, offset, length, .. } => {
                format!("{:x}-{offset:x}-{length:x}", blob.0)
            }
        }
    }

    pub(crate) fn blob(&self) -> BlobId {
        match self.source {
            FileSource::Blob(blob) | FileSource::Part { blob, .. } => blob,
        }
    }

    pub(crate) fn is_part(&self) -> bool {
        matches!(self.source, FileSource::Part { .. })
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a file" };
        let text = |column| row.text(column).map(str::to_owned);
        let size = |column| row.whole(column).and_then(|size| u64::try_from(size).ok());
        let blob = BlobId(row.whole(6).ok_or(DAMAGED)?);
        let source = match (size(7), size(8)) {
            (Some(offset), Some(length)) => FileSource::Part {
                blob,
                offset,
                length,
                transfer_encoding: text(9).unwrap_or_default(),
                charset: text(10),
            },
            _ => FileSource::Blob(blob),
        };
        let stored = text(0).ok_or(DAMAGED)?;
        let name = stored.split_once('/').map_or(stored.as_str(), |(_, name)| name);
        Ok(Self {
            property: name.to_owned(),
            stored,
            name: text(1).ok_or(DAMAGED)?,
            position: row.whole(2).ok_or(DAMAGED)?,
            media_type: text(3).ok_or(DAMAGED)?,
            content_id: text(4),
            size_bytes: size(5).ok_or(DAMAGED)?,
            source,
        })
    }
}

const SELECT: &str = "SELECT \"property\", \"name\", \"position\", \"media_type\", \"content_id\", \
    \"size\", \"blob\", \"offset\", \"length\", \"transfer_encoding\", \"charset\" FROM \"file\"";

/// Whose file it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileOwner<'a> {
    /// The tenant.
    pub domain: &'a Domain,
    /// The entity.
    pub entity: EntityId,
    /// Its class. `None`: it is a message, and its files are of built-in properties alone.
    pub class: Option<&'a Class>,
}

/// The statements that store a file. `original` is the blob of the original, for parts of it.
pub(crate) async fn insert(
    store: &Store,
    owner: FileOwner<'_>,
    file: NewFile,
    position: i64,
    original: Option<BlobId>,
) -> Result<Vec<Statement>, Error> {
    const SQL: &str = "INSERT INTO \"file\" (\"domain\", \"entity\", \"property\", \"name\", \
        \"position\", \"media_type\", \"content_id\", \"size\", \"blob\", \"offset\", \"length\", \
        \"transfer_encoding\", \"charset\") VALUES ($1,$2,$3,$4,$5,$6,$7,$8,$9,$10,$11,$12,$13)";
    let whole = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let property = match owner.class {
        Some(class) => stored_property(class, &file.property),
        None => file.property,
    };
    let is_original = owner.class.is_none() && property == files::RAW_MESSAGE;
    let row = Statement::new(SQL)
        .bind(owner.domain.as_str())
        .bind(owner.entity)
        .bind(property)
        .bind(file.name)
        .bind(position)
        .bind(file.media_type)
        .bind(file.content_id);
    match file.content {
        NewContent::Own(content) => {
            let size = whole(content.size_bytes);
            let (blob, mut statements) = content.statements(store).await?;
            let none = || None::<String>;
            let row = row.bind(size).bind(blob.0).bind(None::<i64>).bind(None::<i64>);
            let row = row.bind(none()).bind(none());
            let is_of_message = owner.class.is_none_or(|class| class.classname == MESSAGES);
            statements.push(match is_of_message {
                true => row.makes(Made::bytes(owner.domain, size)),
                false => row.makes(Made::other(owner.domain)),
            });
            Ok(statements)
        }
        NewContent::Part { offset, length, size_bytes, transfer_encoding, charset } => {
            let blob = original.ok_or(Error::Damaged { what: "a part without its original" })?;
            let row = row.bind(whole(size_bytes)).bind(blob.0).bind(whole(offset));
            let row = row.bind(whole(length)).bind(transfer_encoding).bind(charset);
            let is_original = is_original.then(|| Made::bytes(owner.domain, whole(size_bytes)));
            Ok(vec![row.makes(is_original.unwrap_or_else(|| Made::other(owner.domain)))])
        }
    }
}

/// The statements that delete all files of an entity of a class, with their blobs.
pub(crate) async fn delete_all(
    store: &Store,
    class: &Class,
    entity: EntityId,
) -> Result<Vec<Statement>, Error> {
    let mut statements = vec![];
    for property in class.properties.iter().filter(|property| property.is_file()) {
        let stored = stored_property(class, &property.name);
        let of = |sql: &'static str| Statement::new(sql).bind(entity).bind(stored.as_str());
        let blobs = "SELECT DISTINCT \"blob\" FROM \"file\" WHERE \"entity\" = $1
            AND \"property\" = $2";
        let rows = store.read(of(blobs)).await?;
        let blobs = rows.iter().filter_map(|row| row.whole(0));
        statements.extend(blobs.flat_map(|id| store.blob_delete(BlobId(id))));
        let gone = "DELETE FROM \"file\" WHERE \"entity\" = $1 AND \"property\" = $2";
        statements.push(of(gone));
    }
    Ok(statements)
}

impl Store {
    /// The files of one property of an entity, in their order.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn file_list_of(
        &self,
        place: EntityPlace<'_>,
        property: &str,
    ) -> Result<Vec<FileRow>, Error> {
        self.file_list(place.domain, place.id, &stored_property(place.class, property)).await
    }

    /// The files of one built-in property of a message, in their order.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn file_list(
        &self,
        domain: &Domain,
        entity: EntityId,
        property: &str,
    ) -> Result<Vec<FileRow>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"entity\" = $1 AND \"domain\" = $2 AND \"property\" = $3
             ORDER BY \"position\", \"name\""
        );
        let statement = Statement::new(sql).bind(entity).bind(domain.as_str()).bind(property);
        self.read(statement).await?.iter().map(FileRow::from_row).collect()
    }

    /// All files of a message that are of built-in properties.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn file_list_all(
        &self,
        domain: &Domain,
        entity: EntityId,
    ) -> Result<Vec<FileRow>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"entity\" = $1 AND \"domain\" = $2
             AND \"property\" IN ('file', 'html', 'inlines', 'rawMessage')"
        );
        let statement = Statement::new(sql).bind(entity).bind(domain.as_str());
        self.read(statement).await?.iter().map(FileRow::from_row).collect()
    }
}

/// The former files of a property, as the feed shows them.
pub(crate) fn former_of(property: &str, files: &[FileRow]) -> Map<String, Json> {
    let said = |file: &FileRow| {
        json!({
            "name": file.name, "contentType": file.media_type, "size": file.size_bytes,
            "contentId": file.content_id,
        })
    };
    let files = files.iter().filter(|file| file.property == property);
    Map::from_iter([(property.to_owned(), files.map(said).collect())])
}

/// The same for all files of a message except the original.
pub(crate) fn former(files: &[FileRow]) -> Map<String, Json> {
    let derived = files::COMPOSED.into_iter();
    derived.flat_map(|property| former_of(property, files)).collect()
}

/// Whether a file is more than a part of an original: the original itself, or a file of its own.
fn has_bytes(file: &FileRow) -> bool {
    !file.is_part() || file.stored == files::RAW_MESSAGE
}

/// The statements that delete a file with its blob.
pub(crate) fn take_away(store: &Store, entity: EntityId, file: &FileRow) -> Vec<Statement> {
    let mut statements = vec![forget(entity, file)];
    statements.extend(has_bytes(file).then(|| limits::forget_file(entity, file.size_bytes)));
    statements.extend(store.blob_delete(file.blob()));
    statements
}

/// The statement that deletes a file, but not its blob, because parts share the blob of the
/// original.
pub(crate) fn forget(entity: EntityId, file: &FileRow) -> Statement {
    let sql = "DELETE FROM \"file\" WHERE \"entity\" = $1 AND \"property\" = $2 AND \"name\" = $3";
    Statement::new(sql).bind(entity).bind(file.stored.as_str()).bind(file.name.as_str())
}

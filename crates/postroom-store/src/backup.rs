//! A backup is a copy of a store in which sending is suspended. It may have the key.
//!
//! A copy does not know what was sent after it was made. So messages in state `sending` wait in it
//! until somebody resumes sending.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::copied;
use crate::copied::KEY;
use crate::copied::Suspended;
use crate::database::Database;
use crate::database::Statement;
use crate::error::Error;
use crate::key::DATABASE_FILE;
use crate::object_id;
use crate::sending;
use crate::sqlite;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::MessageEntityId;
use postroom_model::Timestamp;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::path::Path;

/// A message that is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToBeSent {
    /// The tenant.
    pub domain: Domain,
    /// The message.
    pub message: MessageEntityId,
    /// Its `dateTime`.
    pub date_time: Option<Timestamp>,
    /// Its subject.
    pub subject: Option<String>,
}

/// Copies the SQLite database of a data directory as it is at one moment into another directory,
/// which exists and has none. A process may use the first one meanwhile.
///
/// # Errors
///
/// When the log of the database is missing, or one of the files cannot be read or written.
pub fn copy_database(from: &Path, to: &Path) -> Result<(), Error> {
    sqlite::copy(&from.join(DATABASE_FILE), &to.join(DATABASE_FILE))
}

/// The key that is in a backup. `None`: there is none in it.
///
/// # Errors
///
/// When the database does not work.
pub async fn backup_key(database: &dyn Database) -> Result<Option<SecretString>, Error> {
    let sql = "SELECT \"bytes\" FROM \"meta\" WHERE \"name\" = $1";
    let rows = database.read(Statement::new(sql).bind(KEY)).await?;
    let text = rows.first().and_then(|row| row.bytes(0)).map(<[u8]>::to_vec);
    let text = text.map(String::from_utf8).transpose().map_err(|_| Error::KeyForm)?;
    Ok(text.map(SecretString::from))
}

impl Store {
    /// Makes this copy a backup: sending is suspended, and with `with_key`, the key is in it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn backup_mark(&self, with_key: bool) -> Result<(), Error> {
        let key = with_key.then(|| self.inner.keys.opened().master.to_hex());
        let key = key.map(|key| {
            let key = key.expose_secret().as_bytes().to_vec();
            let sql = "INSERT INTO \"meta\" (\"name\", \"bytes\") VALUES ($1, $2)
                ON CONFLICT (\"name\") DO UPDATE SET \"bytes\" = excluded.\"bytes\"";
            Statement::new(sql).bind(KEY).bind(key)
        });
        let suspended = Suspended::Restored.begin();
        self.write(key.into_iter().chain([suspended]).collect()).await.map(drop)
    }

    /// Makes a restored backup a database of its own.
    ///
    /// - The key is removed from it.
    /// - Its next changes get numbers that were never given before, so that a reader who had read
    ///   further than the backup misses none of them.
    /// - Its new objects get names of their own. It removes no object of the database from which it
    ///   was copied. With `takes_objects`, that database is gone for good, and its objects are
    ///   taken over.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn restored(&self, takes_objects: bool) -> Result<(), Error> {
        let mut batch = copied::own_life(self.clock().now_ms());
        batch.extend(match takes_objects {
            true => object_id::former_name(),
            false => object_id::own_name(),
        });
        self.write(batch).await.map(drop)
    }

    /// Why sending is suspended. `None`: it is not.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn sending_suspended(&self) -> Result<Option<Suspended>, Error> {
        let rows = self.read(Suspended::query()).await?;
        Ok(rows.first().map(|row| Suspended::of(row.whole(0).unwrap_or(0))))
    }

    /// Resumes sending, so that messages in state `sending` are sent.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn sending_resume(&self) -> Result<(), Error> {
        let mut batch = vec![Suspended::end()];
        batch.extend(self.audited_for_all(&AuditEntry::of(AuditEvent::SendingResume)));
        self.write_at_need(batch).await?;
        let accounts = "SELECT DISTINCT \"account\" FROM \"delivery\"";
        for row in self.read(Statement::new(accounts)).await? {
            if let Some(account) = row.id(0).map(AccountId::of) {
                self.inner.database.ring(Topic::Outgoing(account));
            }
        }
        // Webhooks rested too.
        self.inner.database.ring(Topic::Configuration);
        Ok(())
    }

    /// The messages that are to be sent, at most `limit`, in order of `dateTime`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn sending_list(&self, limit: u32) -> Result<Vec<ToBeSent>, Error> {
        let sql = format!(
            "SELECT \"domain\", \"id\", \"dateTime\", \"subject\" FROM \"email/Messages\"
             WHERE {} ORDER BY \"dateTime\", \"id\" LIMIT $1",
            sending::is_in_index("")
        );
        let sql = Statement::new(sql).bind(limit);
        let found = self.read(sql).await?.into_iter().map(|row| {
            let domain = row.text(0).and_then(|name| Domain::new(name).ok());
            let place = domain.zip(row.id(1).map(MessageEntityId::of));
            let (domain, message) = place.ok_or(Error::Damaged { what: "a message" })?;
            let subject = row.text(3).map(str::to_owned);
            let date_time = row.whole(2).map(Timestamp::from_ms);
            Ok(ToBeSent { domain, message, date_time, subject })
        });
        found.collect()
    }
}

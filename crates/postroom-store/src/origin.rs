//! Origins: the mailbox that the receipts of a folder belong to.
//!
//! A UID identifies a message only at one server, under one UIDVALIDITY, and as long as the server
//! keeps its promise. This time is an epoch of the mailbox ([`MailboxEpoch`]), and it has a number.
//! A new epoch begins when the account moves to another server or login, when UIDVALIDITY or
//! MAILBOXID changes, or when the server shows other messages under known UIDs. The receipts of
//! former epochs then say nothing about UIDs. Their open server-side actions are cancelled, and
//! their messages are recognised only by their bytes.
//!
//! A former epoch may come back, because a server shows two stores by turns. Whoever has proven
//! that by its messages begins the new epoch with the receipts of that one (`Beginning::former`).
//! They move to the new number, so a number is never that of two times. Receipts of messages that
//! are not listed stay in the former epoch. The server may list those under other keys now, and by
//! receipts of former epochs they are recognised. Where a message has receipts in several epochs,
//! `linked` of the older ones names a later one.

use crate::columns::domain;
use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::integrity::folder_must_be;
use crate::record::ATTEMPTS;
use crate::source_key::SourceKey;
use crate::store::Store;
use crate::unloaded;
use crate::unloaded::Unloaded;
use postroom_model::AccountId;
use postroom_model::FolderId;
use postroom_model::MailboxId;
use postroom_model::builtin::FOLDERS;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::ops::RangeInclusive;

/// Of so many former epochs the receipts are kept whose messages have later ones.
const FORMER_MAX: u32 = 3;
/// `proof_before_pending` of a folder that was not proven before a message became pending.
const NO_PROOF: i64 = 0;

/// One epoch of the mailbox of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MailboxEpoch {
    /// The folder.
    pub folder: FolderId,
    /// Its number, which no other epoch of the folder has.
    pub number: i64,
}

/// What is recorded about the mailbox of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The server and the login at which it was read. `None`: an earlier version did not record it.
    pub login: Option<String>,
    /// Its present epoch. `None`: it was never read.
    pub epoch: Option<MailboxEpoch>,
    /// UIDVALIDITY in this epoch. 0: the server has none.
    pub uid_validity: Option<u64>,
    /// UIDNEXT as the server last told it.
    pub uid_next: Option<u64>,
    /// MAILBOXID as it was recorded when the epoch began or later.
    pub mailbox_id: Option<MailboxId>,
    /// When the folder was last proven complete with no message pending, in milliseconds since
    /// 1970. Each message that was there then is stored. `None`: never.
    pub all_stored_ms: Option<i64>,
}

/// How an epoch of a mailbox begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning<'a> {
    /// The server and the login at which it is read.
    pub login: &'a str,
    /// Its UIDVALIDITY. 0: the server has none.
    pub uid_validity: u64,
    /// MAILBOXID, if the server tells it.
    pub mailbox_id: Option<&'a MailboxId>,
    /// UIDs up to this one are not loaded.
    pub baseline: u64,
    /// What is noted of the messages that are not loaded. Those above the baseline are not loaded
    /// either.
    pub unloaded: Option<&'a Unloaded>,
    /// The former epoch that is back. `None`: the keys of former ones say nothing.
    pub former: Option<ReturnedEpoch<'a>>,
}

/// A former epoch that is back. The receipts of its messages that are listed are those of the new
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReturnedEpoch<'a> {
    /// The epoch.
    pub epoch: MailboxEpoch,
    /// The keys that the mailbox lists now, ascending.
    pub listed: &'a [SourceKey],
}

/// The condition that no later epoch of the mailbox has begun. A message that is recorded in an
/// epoch that is over would be recorded once more in the later one.
///
/// It follows [`folder_must_be`] of the same folder, because the beginning of an epoch waits for
/// the lock that this takes.
pub(crate) fn epoch_must_last(epoch: MailboxEpoch) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS
        (SELECT 1 FROM \"origin\" WHERE \"folder\" = $1 AND \"epoch\" > $2)";
    let lasts = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
    lasts.assert(Failed::EpochOver, Lock::row(FOLDERS, epoch.folder))
}

/// Notes when the folder was proven last, because a message becomes pending. The note stays until
/// no message is pending any more, also in later epochs. Later proofs do not count meanwhile: if an
/// epoch began with the time of one of them, it would begin after the messages that are pending.
pub(crate) fn pending_began(folder: FolderId, before: &Origin) -> Statement {
    let sql = "UPDATE \"origin\" SET \"proof_before_pending\" = $2
        WHERE \"folder\" = $1 AND \"proof_before_pending\" IS NULL";
    Statement::new(sql).bind(folder).bind(before.all_stored_ms.unwrap_or(NO_PROOF))
}

/// The statements that give the receipts of a former epoch in these ranges of keys to the new one.
/// Their actions are open again. Where another epoch has receipts of the same messages, those of
/// the new one count.
fn come_back(
    former: MailboxEpoch,
    ranges: &[RangeInclusive<SourceKey>],
    new: MailboxEpoch,
) -> Vec<Statement> {
    let moved = "UPDATE \"receipt\" SET \"epoch\" = $3, \"linked\" = NULL,
          \"wish\" = CASE WHEN \"wish\" < 0 THEN -\"wish\" ELSE \"wish\" END
        WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" BETWEEN $4 AND $5";
    let moved = |keys: &RangeInclusive<SourceKey>| {
        let moved = Statement::new(moved).bind(former.folder).bind(former.number);
        moved.bind(new.number).bind(keys.start().number()).bind(keys.end().number())
    };
    let others = "UPDATE \"receipt\" SET \"linked\" = $2
        WHERE \"folder\" = $1 AND \"epoch\" < $2 AND \"linked\" IS NULL AND \"message\" IN
          (SELECT \"message\" FROM \"receipt\" WHERE \"folder\" = $1 AND \"epoch\" = $2)";
    let others = Statement::new(others).bind(new.folder).bind(new.number);
    ranges.iter().map(moved).chain([others]).collect()
}

/// Ranges that contain those of the recorded keys that are listed, and no other recorded key. Both
/// are ascending.
fn listed_ranges(recorded: &[SourceKey], listed: &[SourceKey]) -> Vec<RangeInclusive<SourceKey>> {
    let is_listed = |key: &SourceKey| listed.binary_search(key).is_ok();
    let runs = recorded.chunk_by(|key, next| is_listed(key) == is_listed(next));
    let ranges = runs.filter_map(|run| match run {
        [first, ..] if is_listed(first) => Some(*first..=*run.last().unwrap_or(first)),
        _ => None,
    });
    ranges.collect()
}

/// The statement that deletes the receipts of epochs before `oldest` whose messages have later
/// ones.
fn superfluous(folder: FolderId, oldest: i64) -> Statement {
    let sql = "DELETE FROM \"receipt\"
        WHERE \"folder\" = $1 AND \"epoch\" < $2 AND \"linked\" IS NOT NULL";
    Statement::new(sql).bind(folder).bind(oldest)
}

impl Store {
    /// Notes that the folder is proven complete with no message pending.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn pending_ended(&self, folder: FolderId) -> Result<(), Error> {
        let sql = "UPDATE \"origin\" SET \"proof_before_pending\" = NULL WHERE \"folder\" = $1";
        self.write(vec![Statement::new(sql).bind(folder)]).await.map(drop)
    }

    /// What is recorded about the mailbox of a folder.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn origin(&self, folder: FolderId) -> Result<Origin, Error> {
        // In earlier versions, the number of an epoch was its UIDVALIDITY.
        let sql = "SELECT o.\"login\", COALESCE(o.\"epoch\", f.\"uidValidity\"),
              COALESCE(o.\"uid_validity\", f.\"uidValidity\"), f.\"uidNext\", f.\"lastProofAt\",
              o.\"mailbox_id\", o.\"proof_before_pending\"
            FROM \"email/Folders\" f LEFT JOIN \"origin\" o ON o.\"folder\" = f.\"id\"
            WHERE f.\"id\" = $1";
        let rows = self.read(Statement::new(sql).bind(folder)).await?;
        let whole = |column| rows.first().and_then(|row| row.whole(column));
        let number = |column| whole(column).and_then(|number| u64::try_from(number).ok());
        let unwritten = self.inner.unwritten.of(folder).proof.map(|proof| proof.as_ms());
        let last_proof_ms = unwritten.or(whole(4));
        // While messages are pending, the folder is proven, and not all of it is stored.
        let all_stored_ms = whole(6).map_or(last_proof_ms, |ms| (ms != NO_PROOF).then_some(ms));
        Ok(Origin {
            login: rows.first().and_then(|row| row.text(0)).map(str::to_owned),
            epoch: whole(1).map(|number| MailboxEpoch { folder, number }),
            uid_validity: number(2),
            uid_next: number(3),
            all_stored_ms,
            mailbox_id: rows.first().and_then(|row| row.text(5)).and_then(MailboxId::parse),
        })
    }

    /// Records the server and the login at which the mailbox of a folder is read.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn origin_note(&self, folder: FolderId, login: &str) -> Result<(), Error> {
        let there = "SELECT 1 FROM \"email/Folders\" WHERE \"id\" = $1";
        let there = Statement::new(there).bind(folder).assert(Failed::NoFolder, Lock::Found);
        let noted = "INSERT INTO \"origin\" (\"folder\", \"login\", \"moves\") VALUES ($1, $2, 0)
            ON CONFLICT (\"folder\") DO UPDATE SET \"login\" = excluded.\"login\"";
        match self.write(vec![there, Statement::new(noted).bind(folder).bind(login)]).await {
            // The folder was deleted meanwhile.
            Ok(_) | Err(Error::Condition(Failed::NoFolder)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Records the MAILBOXID of the mailbox of a folder.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn mailbox_id_note(&self, folder: FolderId, id: &MailboxId) -> Result<(), Error> {
        let sql = "UPDATE \"origin\" SET \"mailbox_id\" = $2 WHERE \"folder\" = $1";
        self.write(vec![Statement::new(sql).bind(folder).bind(id.as_str())]).await.map(drop)
    }

    /// The folders of an account whose mailboxes have this MAILBOXID. If there is more than one,
    /// the server contradicts itself.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn mailbox_id_folders(
        &self,
        account: AccountId,
        id: &MailboxId,
    ) -> Result<Vec<FolderId>, Error> {
        let sql = "SELECT f.\"id\" FROM \"email/Folders\" f
            JOIN \"origin\" o ON o.\"folder\" = f.\"id\"
            WHERE f.\"account_id\" = $1 AND o.\"mailbox_id\" = $2";
        let rows = self.read(Statement::new(sql).bind(account).bind(id.as_str())).await?;
        Ok(rows.iter().filter_map(|row| row.id(0)).map(FolderId::of).collect())
    }

    /// The messages of a folder that are not loaded. `None`: none is noted.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn unloaded(&self, folder: FolderId) -> Result<Option<Unloaded>, Error> {
        let sql = "SELECT \"unloaded\" FROM \"origin\" WHERE \"folder\" = $1";
        let rows = self.read(Statement::new(sql).bind(folder)).await?;
        Ok(rows.first().and_then(|row| Unloaded::of_bytes(row.bytes(0)?)))
    }

    /// Notes the messages up to the baseline of an epoch that began before they were noted.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn unloaded_note(
        &self,
        epoch: MailboxEpoch,
        unloaded: &Unloaded,
    ) -> Result<(), Error> {
        let sql = "UPDATE \"origin\" SET \"unloaded\" = $3 WHERE \"folder\" = $1
            AND \"epoch\" = $2";
        let noted = Statement::new(sql).bind(epoch.folder).bind(epoch.number);
        self.write(vec![noted.bind(unloaded.to_bytes())]).await.map(drop)
    }

    /// The former epochs of a folder that had this UIDVALIDITY, the newest first, at most
    /// `FORMER_MAX`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn former_epochs(
        &self,
        folder: FolderId,
        uid_validity: u64,
    ) -> Result<Vec<MailboxEpoch>, Error> {
        let sql = "SELECT \"epoch\" FROM \"receipt\"
            WHERE \"folder\" = $1 AND \"uid_validity\" = $2 AND \"message\" IS NOT NULL
              AND \"epoch\" < (SELECT \"epoch\" FROM \"origin\" WHERE \"folder\" = $1)
            GROUP BY \"epoch\" ORDER BY \"epoch\" DESC LIMIT $3";
        let of = Statement::new(sql).bind(folder).bind(uid_validity).bind(FORMER_MAX);
        let rows = self.read(of).await?;
        let epoch = |number| MailboxEpoch { folder, number };
        Ok(rows.iter().filter_map(|row| row.whole(0)).map(epoch).collect())
    }

    /// Begins an epoch of the mailbox of a folder. The pending receipts of former epochs are
    /// deleted, and their open actions are cancelled. Those of an epoch that is back are open
    /// again, if their messages are listed.
    ///
    /// # Errors
    ///
    /// When the store fails; [`Failed::NoFolder`]. Nothing is done then, except that the epoch may
    /// have begun after [`Error::OutcomeUnknown`].
    pub async fn epoch_begin(
        &self,
        folder: FolderId,
        begun: Beginning<'_>,
    ) -> Result<MailboxEpoch, Error> {
        let former = self.origin(folder).await?.epoch.map_or(0, |epoch| epoch.number);
        let sql = "SELECT MAX(\"epoch\") FROM \"receipt\" WHERE \"folder\" = $1";
        let rows = self.read(Statement::new(sql).bind(folder)).await?;
        let last = rows.first().and_then(|row| row.whole(0)).unwrap_or(0).max(former).max(0);
        let number = last.saturating_add(1);
        let sql = "SELECT \"epoch\" FROM \"receipt\" WHERE \"folder\" = $1
            GROUP BY \"epoch\" ORDER BY \"epoch\" DESC LIMIT $2";
        let kept = self.read(Statement::new(sql).bind(folder).bind(FORMER_MAX)).await?;
        let oldest = kept.last().and_then(|row| row.whole(0)).unwrap_or(0);
        let forgotten = "DELETE FROM \"receipt\" WHERE \"folder\" = $1 AND \"message\" IS NULL";
        // The negative number says that there was an action, for when the message is recognised.
        let void = "UPDATE \"receipt\" SET \"wish\" = -\"wish\"
            WHERE \"folder\" = $1 AND \"wish\" > 0";
        let noted = "INSERT INTO \"origin\" (\"folder\", \"login\", \"moves\", \"epoch\",
              \"uid_validity\", \"mailbox_id\", \"unloaded\", \"unloaded_keys\")
            VALUES ($1, $2, 0, $3, $4, $5, $6, $7)
            ON CONFLICT (\"folder\") DO UPDATE SET \"login\" = excluded.\"login\",
              \"epoch\" = excluded.\"epoch\",
              \"uid_validity\" = excluded.\"uid_validity\",
              \"mailbox_id\" = excluded.\"mailbox_id\",
              \"unloaded\" = excluded.\"unloaded\",
              \"unloaded_keys\" = excluded.\"unloaded_keys\"";
        let Beginning { login, uid_validity, mailbox_id, baseline, unloaded, former } = begun;
        let [unloaded, unloaded_keys] = unloaded::columns(unloaded, baseline);
        let mailbox_id = mailbox_id.map(MailboxId::as_str);
        let epoch = MailboxEpoch { folder, number };
        let mut batch =
            vec![Statement::new(forgotten).bind(folder), Statement::new(void).bind(folder)];
        if let Some(ReturnedEpoch { epoch: former, listed }) = former {
            let all = SourceKey::FIRST..=SourceKey::LAST;
            let recorded = self.ledger_part(former, all).await?.recorded;
            batch.extend(come_back(former, &listed_ranges(&recorded, listed), epoch));
        }
        batch.extend([
            superfluous(folder, oldest),
            Statement::new(noted)
                .bind(folder)
                .bind(login)
                .bind(number)
                .bind(uid_validity)
                .bind(mailbox_id)
                .bind(unloaded)
                .bind(unloaded_keys),
        ]);
        let shown = json!({"uidValidity": uid_validity, "uidBaseline": baseline, "uidNext": null});
        self.epoch_write(folder, shown.as_object().cloned().unwrap_or_default(), batch).await?;
        Ok(epoch)
    }

    /// Writes the statements that begin an epoch, and the properties of the folder that show it.
    async fn epoch_write(
        &self,
        folder: FolderId,
        shown: Map<String, Json>,
        begun: Vec<Statement>,
    ) -> Result<(), Error> {
        let class = self.builtin(FOLDERS)?;
        for _ in 0..ATTEMPTS {
            let sql = format!("{} WHERE \"id\" = $1", Self::select(&class));
            let rows = self.read(Statement::new(sql).bind(folder)).await?;
            let row = rows.first().ok_or(Error::Condition(Failed::NoFolder))?;
            let (domain, current) = (domain(row)?, self.entity_of(&class, row)?);
            let mut batch = vec![folder_must_be(&domain, folder)];
            batch.extend(begun.iter().cloned());
            batch.extend(self.records(&domain, &class).report(&current, &shown)?);
            match self.write(batch).await {
                Ok(_) => return Ok(()),
                // Somebody else changed the folder first: try again.
                Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }
}

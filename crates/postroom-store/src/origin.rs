//! Origins: at which server, and under which login, the mailbox of a folder was read.
//!
//! UIDs mean something at one server under one UIDVALIDITY. When an account moves to another server
//! its folders stay, and the other server may well have the same UIDVALIDITY: then the receipts so
//! far are set apart under numbers that no server can have, and found again by the hash of the
//! message alone.

use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use uuid::Uuid;

impl Store {
    /// Where the mailbox of a folder was read; `None`: nowhere so far, or nobody noted it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn origin(&self, folder: Uuid) -> Result<Option<String>, Error> {
        let sql = "SELECT \"login\" FROM \"origin\" WHERE \"folder\" = $1";
        let rows = self.read(Statement::new(sql).bind(folder)).await?;
        Ok(rows.first().and_then(|row| row.text(0)).map(str::to_owned))
    }

    /// Notes where the mailbox of a folder is read for the first time.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn origin_note(&self, folder: Uuid, login: &str) -> Result<(), Error> {
        let sql = "INSERT INTO \"origin\" (\"folder\", \"login\", \"moves\") VALUES ($1, $2, 0)
            ON CONFLICT (\"folder\") DO UPDATE SET \"login\" = excluded.\"login\"";
        let note = Statement::new(sql).bind(folder).bind(login);
        // Those of folders that are gone are of no use to anybody.
        let gone = "DELETE FROM \"origin\" WHERE \"folder\" NOT IN
            (SELECT \"id\" FROM \"email/Folders\")";
        self.write(vec![note, Statement::new(gone)]).await.map(drop)
    }

    /// Sets the receipts of a folder apart, whose mailbox is at another server now, and sets from
    /// which UID on it is loaded there.
    ///
    /// # Errors
    ///
    /// When the store fails; then nothing of it is done.
    pub async fn origin_move(
        &self,
        folder: Uuid,
        login: &str,
        (uid_validity, baseline): (u32, u32),
    ) -> Result<(), Error> {
        let moved = "UPDATE \"origin\" SET \"login\" = $2, \"moves\" = \"moves\" + 1
            WHERE \"folder\" = $1";
        let forgotten = "DELETE FROM \"receipt\" WHERE \"folder\" = $1 AND \"message\" IS NULL";
        // Each move has its own 2^32 numbers below zero.
        let set_apart =
            "UPDATE \"receipt\" SET \"wish\" = NULL, \"uid_validity\" = \"uid_validity\" -
              4294967296 * (SELECT \"moves\" FROM \"origin\" WHERE \"folder\" = $1)
            WHERE \"folder\" = $1 AND \"uid_validity\" >= 0";
        let begun = "UPDATE \"email/Folders\" SET \"uidValidity\" = $2, \"uidBaseline\" = $3
            WHERE \"id\" = $1";
        let batch = vec![
            Statement::new(moved).bind(folder).bind(login).must_change(),
            Statement::new(forgotten).bind(folder),
            Statement::new(set_apart).bind(folder),
            Statement::new(begun).bind(folder).bind(uid_validity).bind(baseline),
        ];
        self.write(batch).await.map(drop)
    }
}

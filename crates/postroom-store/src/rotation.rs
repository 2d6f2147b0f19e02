//! Another master key takes the place of the one that is in use.
//!
//! ```text
//!   one key ─ master_accept(next) ─► both keys ─ master_alone (a process with the next) ─► one key
//!      ▲                                 │
//!      └── master_alone (a process with the former key gives it up) ──┘
//! ```
//! The master key wraps the root key alone, so each step writes one row, in one batch. While both
//! keys are accepted, each process may run with either.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::MasterKey;
use crate::reseal::Resealed;
use crate::set_up;
use crate::store::Store;
use crate::wrapped_key;
use crate::wrapped_key::KeptMaster;
use crate::wrapped_key::ROOT;
use serde_json::json;

impl Store {
    /// The master keys that the database accepts, the oldest first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn master_keys(&self) -> Result<Vec<KeptMaster>, Error> {
        wrapped_key::masters(self.inner.database.as_ref()).await
    }

    /// Accepts another master key beside the present one. Secrets that an earlier version sealed
    /// with the master key itself are sealed anew before. If the other key is accepted already,
    /// nothing changes.
    ///
    /// # Errors
    ///
    /// [`Failed::OtherKey`] when two keys are accepted and this is another one, or when the key of
    /// this store is no longer accepted; when the store fails.
    pub async fn master_accept(&self, next: &MasterKey) -> Result<Resealed, Error> {
        let resealed = self.secrets_reseal().await?;
        let (opened, own) = (self.inner.keys.opened(), self.own_master());
        let sql = "SELECT 1 WHERE EXISTS (SELECT 1 FROM \"root key\" WHERE \"master\" = $1)
            AND NOT EXISTS (SELECT 1 FROM \"root key\" WHERE \"master\" NOT IN ($1, $2))";
        let only = Statement::new(sql).bind(own).bind(next.mark().to_bytes());
        let only = only.assert(Failed::OtherKey, Lock::Name(ROOT));
        // The order of the keys does not depend on a clock that was set back.
        let newest = self.master_keys().await?.last().map_or(0, |newest| newest.since_ms + 1);
        let accept = wrapped_key::accept(next, &opened.root, self.clock().now_ms().max(newest));
        let mut batch = vec![only, accept];
        batch.extend(self.key_audited("accepted"));
        self.write_at_need(batch).await?;
        Ok(resealed)
    }

    /// Accepts the master key of this store alone from now on.
    ///
    /// # Errors
    ///
    /// [`Error::MasterInUse`] when a process runs with another key, which could not start again;
    /// [`Failed::OtherKey`] when the key of this store is no longer accepted, or such a process has
    /// started at the same moment; when the store fails.
    pub async fn master_alone(&self) -> Result<(), Error> {
        let (database, own) = (self.inner.database.as_ref(), self.own_master());
        let now = database.dialect().now();
        let others = format!(
            "FROM \"owner\" WHERE \"key\" <> $1 AND (\"alive\" > {now}
               OR \"alive\" IS NULL AND \"until\" > {now})"
        );
        let named = format!("SELECT DISTINCT \"name\" {others} ORDER BY \"name\" LIMIT 20");
        let rows = self.read(Statement::new(named).bind(own.clone())).await?;
        let nodes: Vec<_> = rows.iter().filter_map(|row| row.text(0)).collect();
        if !nodes.is_empty() {
            return Err(Error::MasterInUse { nodes: nodes.join(", ") });
        }
        let none = format!(
            "SELECT 1 FROM \"root key\" WHERE \"master\" = $1 AND NOT EXISTS (SELECT 1 {others})"
        );
        let none = Statement::new(none).bind(own.clone());
        let gone = "DELETE FROM \"root key\" WHERE \"master\" <> $1";
        let mut batch = vec![
            none.assert(Failed::OtherKey, Lock::Name(ROOT)),
            Statement::new(gone).bind(own),
            set_up::key_check(&self.inner.keys.opened().master),
        ];
        batch.extend(self.key_audited("alone"));
        self.write_at_need(batch).await.map(drop)
    }

    /// The statements that tell in the audit what became of a master key.
    fn key_audited(&self, step: &str) -> Vec<Statement> {
        self.audited_for_all(&AuditEntry::of(AuditEvent::KeyRotate).with(json!({"step": step})))
    }

    /// The mark of the master key of this store, as the database keeps it.
    fn own_master(&self) -> Vec<u8> {
        self.inner.keys.opened().master.mark().to_bytes()
    }
}

//! The classes that this process uses, and whether every process uses the newest.

use crate::bell::Topic;
use crate::classes;
use crate::classes::Classes;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::lease;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use std::sync::Arc;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// A process that does not answer for so long, when it is asked which classes it uses, has ended or
/// hangs. It is not waited for, because its batches with former classes are refused.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// How long it takes until the processes are asked again.
const PAUSE: Duration = Duration::from_millis(50);

/// Who uses which classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synced {
    /// The newest version.
    pub version: i64,
    /// The processes that do not use it yet, by their names.
    pub behind: Vec<String>,
}

impl Store {
    /// The present classes. They may be replaced at any time, so a request or a batch takes them
    /// once.
    #[must_use]
    pub fn classes(&self) -> Classes {
        self.inner.classes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads the classes again, because another process may have changed them.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn classes_refresh(&self) -> Result<(), Error> {
        if self.classes_read().await? { self.classes_used().await } else { Ok(()) }
    }

    /// Reads the classes again if another process has changed them. Returns whether it has. It
    /// costs one row otherwise.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn classes_catch_up(&self) -> Result<bool, Error> {
        let present = classes::are_of(self.classes().version());
        if !self.read(present).await?.is_empty() {
            return Ok(false);
        }
        self.classes_refresh().await?;
        Ok(true)
    }

    /// Reads the classes again. Returns whether they have changed.
    async fn classes_read(&self) -> Result<bool, Error> {
        let read = classes::read(self.inner.database.as_ref()).await?;
        let read = read.ok_or(Error::Damaged { what: "a class" })?;
        let mut present = self.inner.classes.write().unwrap_or_else(PoisonError::into_inner);
        // Another task may have read a newer version meanwhile.
        let is_newer = read.version() > present.version();
        if is_newer {
            *present = read;
        }
        Ok(is_newer)
    }

    /// Reads the classes again in the background, so that a repeated attempt has them.
    pub(crate) fn classes_refresh_soon(&self) {
        let store = Self { lease: None, ..self.clone() };
        tokio::spawn(async move {
            if let Err(error) = store.classes_refresh().await {
                tracing::error!(%error, "the classes were not read again");
            }
        });
    }

    /// The class of that name.
    #[must_use]
    pub fn class(&self, name: &str) -> Option<Arc<Class>> {
        self.classes().get(name).cloned()
    }

    /// The class of that name, as a domain has it.
    #[must_use]
    pub fn class_of(&self, domain: &Domain, name: &str) -> Option<Arc<Class>> {
        self.classes().of(domain).get(name).cloned()
    }

    /// A built-in class, as a domain has it.
    ///
    /// # Errors
    ///
    /// When the store was opened without it.
    pub fn builtin_of(&self, domain: &Domain, name: &'static str) -> Result<Arc<Class>, Error> {
        self.class_of(domain, name).ok_or(Error::Damaged { what: name })
    }

    /// A built-in class.
    ///
    /// # Errors
    ///
    /// When the store was opened without it.
    pub fn builtin(&self, name: &'static str) -> Result<Arc<Class>, Error> {
        self.class(name).ok_or(Error::Damaged { what: name })
    }

    /// Reads the classes again whenever a process rings the bell for them.
    pub(crate) fn classes_follow(&self) {
        let (inner, mut listener) = (Arc::downgrade(&self.inner), self.listen(Topic::Classes));
        tokio::spawn(async move {
            loop {
                listener.rung().await;
                let Some(inner) = inner.upgrade() else {
                    return;
                };
                let store = Self::of_inner(inner);
                let read = store.classes_read().await;
                // This also answers `classes_sync` of another process, which rings the bell too.
                if let Err(error) = read.and(store.classes_used().await) {
                    tracing::error!(%error, "the classes were not read again");
                }
            }
        });
    }

    /// Waits until every process uses the newest classes, and the indexes are made that they ask
    /// for, but no longer than `within`. A process that does not answer is not waited for.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn classes_sync(&self, within: Duration) -> Result<Synced, Error> {
        self.classes_refresh().await?;
        let (version, begun) = (self.classes().version(), Instant::now());
        let until = begun + within;
        // This deletes the rows of processes that have ended, and renews that of this process.
        self.renew().await?;
        self.classes_used().await?;
        let asked = self.good_until().await?;
        self.inner.database.ring(Topic::Classes);
        self.classes_settle_soon();
        loop {
            let since = if begun.elapsed() < SILENT_MAX { None } else { asked };
            let behind = self.behind(version, since).await?;
            let is_settled = self.classes_are_settled().await?;
            if (behind.is_empty() && is_settled) || Instant::now() >= until {
                return Ok(Synced { version, behind });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Records which version of the classes this process uses.
    pub(crate) async fn classes_used(&self) -> Result<(), Error> {
        let until = lease::present_until(self.inner.database.as_ref());
        let sql =
            format!("UPDATE \"owner\" SET \"classes\" = $1, \"until\" = {until} WHERE \"id\" = $2");
        let used = Statement::new(sql).bind(self.classes().version()).bind(self.inner.owner);
        self.inner.database.write(vec![used], Room::Reserve).await.map(drop)
    }

    /// Until when this process is registered, by the database's clock.
    async fn good_until(&self) -> Result<Option<i64>, Error> {
        let sql = "SELECT \"until\" FROM \"owner\" WHERE \"id\" = $1";
        let rows = self.read(Statement::new(sql).bind(self.inner.owner)).await?;
        Ok(rows.first().and_then(|row| row.whole(0)))
    }

    /// The names of the processes that use former classes. With `since`, only those whose rows are
    /// valid at least until then, because they have renewed them.
    async fn behind(&self, version: i64, since: Option<i64>) -> Result<Vec<String>, Error> {
        let sql = "SELECT \"name\", \"until\" FROM \"owner\"
            WHERE COALESCE(\"classes\", 0) < $1 ORDER BY \"id\"";
        let rows = self.read(Statement::new(sql).bind(version)).await?;
        let answered = |row: &&Row| row.whole(1) >= since;
        let rows = rows.iter().filter(answered);
        Ok(rows.filter_map(|row| row.text(0)).map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Two;
    use postroom_model::builtin;
    use postroom_model::patched;
    use postroom_testkit::on_both;
    use serde_json::json;

    /// Much longer than a process may be silent.
    const LONG: Duration = Duration::from_secs(600);
    /// How long a test waits.
    const PATIENCE: Duration = Duration::from_secs(60);

    /// Gives a class one more property, so that there are newer classes to be used.
    async fn extend(store: &Store) {
        let former = store.classes();
        let more = json!({"properties": [{"name": "seat", "data_type": "long"}]});
        let change = patched(former.get(builtin::PROFILES).unwrap(), &more).unwrap();
        store.class_change(&former, change, None).await.unwrap();
    }

    /// `SYNC` of a store, in the time in which a test waits for it.
    async fn synced(store: &Store, within: Duration) -> Synced {
        tokio::time::timeout(PATIENCE, store.classes_sync(within)).await.unwrap().unwrap()
    }

    #[on_both]
    async fn who_was_killed_is_not_waited_for() {
        let mut two = Two::open().await;
        // It ends without a word, and stays registered.
        two.other = two.one.clone();
        extend(&two.one).await;
        two.set_time(1_000_001).await;
        let behind = two.one.behind(2, None).await.unwrap();
        assert_eq!(behind, ["postroom"], "what was killed still counts as one that is there");
        assert_eq!(synced(&two.one, LONG).await, Synced { version: 2, behind: vec![] });
    }

    #[on_both]
    async fn who_is_there_and_uses_former_classes_is_named_however_long_it_takes() {
        let two = Two::open_unheard().await;
        extend(&two.one).await;
        let sync = synced(&two.one, SILENT_MAX + 4 * PAUSE);
        let renew = async {
            loop {
                two.other.renew().await.unwrap();
                tokio::time::sleep(PAUSE).await;
            }
        };
        let there = tokio::select! { there = sync => there, () = renew => unreachable!() };
        assert_eq!(there.behind, ["postroom"]);
        two.other.classes_refresh().await.unwrap();
        assert_eq!(synced(&two.one, LONG).await.behind, Vec::<String>::new());
    }
}

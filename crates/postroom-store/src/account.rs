//! The engine's access to accounts and folders, in all domains.

use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::integrity::account_must_be;
use crate::integrity::none_of_clients;
use crate::integrity::one_folder;
use crate::oauth_app::AccountTokens;
use crate::poll_times::PollTimes;
use crate::sealed::Sealed;
use crate::store::Store;
use crate::surveyed::Index;
use crate::surveyed::Survey;
use crate::surveyed::UNFOUND;
use crate::surveyed::is_unfound;
use crate::untold;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::MAILBOX_GONE;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::names;
use postroom_model::oauth::TokenSlot;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashSet;
use std::time::Duration;
use tokio::time::Instant;

/// An account with its profile, folders and secrets.
#[derive(Debug, Clone)]
pub struct AccountRow {
    /// The tenant.
    pub domain: Domain,
    /// The account.
    pub account: Entity,
    /// Its profile.
    pub profile: Entity,
    /// Its folders, by title.
    pub folders: Vec<Entity>,
    /// Its secrets.
    pub secrets: Secrets,
    /// Its tokens, in the order of `TokenSlot::ALL`. `None`: it has no app for them.
    pub tokens: [Option<AccountTokens>; 2],
    /// A value that changes whenever its secrets or its profile are saved, even if they stay the
    /// same, and with each request to try the account at once.
    pub saved: [u8; 16],
}

impl AccountRow {
    /// The tokens of a slot. `None`: the account has no app for them.
    #[must_use]
    pub fn tokens_of(&self, slot: TokenSlot) -> Option<&AccountTokens> {
        let [of_account, of_smtp] = &self.tokens;
        match slot {
            TokenSlot::Account => of_account.as_ref(),
            TokenSlot::Smtp => of_smtp.as_ref(),
        }
    }
}

/// The secrets of an account, which stay encrypted until they are used.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    /// The password at the servers.
    pub password: Option<Sealed>,
    /// The password at the SMTP server. `None`: it is the same.
    pub smtp_password: Option<Sealed>,
    /// The password at the proxy, of an account that is not stored. That of a stored profile is
    /// read when a connection is made.
    pub proxy_password: Option<Sealed>,
}

/// The engine's report about an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountReport {
    /// The property `state`.
    pub state: &'static str,
    /// The property `statusText`.
    pub status_text: String,
    /// The property `lastConnectedAt`. `None` leaves it unchanged.
    pub last_connected_at: Option<Timestamp>,
}

/// The engine's report about a folder. `None` leaves a property unchanged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FolderReport {
    /// The property `statusText`.
    pub status_text: Option<String>,
    /// The property `uidValidity`.
    pub uid_validity: Option<u64>,
    /// The property `uidNext`.
    pub uid_next: Option<u64>,
    /// The property `serverCount`.
    pub server_count: Option<u64>,
    /// The property `storedCount`.
    pub stored_count: Option<u64>,
    /// The property `pendingCount`.
    pub pending_count: Option<u64>,
    /// The properties `lastPollAt` and `lastProofAt`.
    pub times: PollTimes,
}

/// The `statusText` of a folder whose mailbox is gone.
const GONE: &str = "the server no longer has this mailbox; its received messages stay here; if the \
                    mailbox has another name now, enable the folder of that name";
/// The times of how many folders are written in one transaction.
const TIMES_AT_ONCE: usize = 1_000;
/// How many folders are made in one transaction.
const FOLDERS_AT_ONCE: usize = 50;
/// After a group of folders was made, the next one waits for so many times as long, so that others
/// can use the store and the processor.
const FOLDERS_PAUSE: u32 = 2;

impl Store {
    /// Writes a report about an account.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_report(
        &self,
        domain: &Domain,
        account: AccountId,
        report: &AccountReport,
    ) -> Result<(), Error> {
        let mut values = Map::new();
        values.insert(names::STATE.to_owned(), json!(report.state));
        let text = Some(&report.status_text).filter(|text| !text.is_empty());
        values.insert(names::STATUS_TEXT.to_owned(), json!(text));
        if let Some(at) = report.last_connected_at {
            values.insert(names::LAST_CONNECTED_AT.to_owned(), json!(at.to_string()));
        }
        let class = self.builtin_of(domain, ACCOUNTS)?;
        self.records(domain, &class).tell(account.into(), &values).await
    }

    /// Writes a report about a folder. Times alone are only noted, and written within a minute.
    /// Readers see them at once.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folder_report(
        &self,
        domain: &Domain,
        folder: FolderId,
        report: &FolderReport,
    ) -> Result<(), Error> {
        let moment = |at: Option<Timestamp>| at.map(|at| Json::from(at.to_string()));
        let text = report.status_text.as_ref();
        let all = [
            ("statusText", text.map(|text| if text.is_empty() { Json::Null } else { json!(text) })),
            ("uidValidity", report.uid_validity.map(Json::from)),
            ("uidNext", report.uid_next.map(Json::from)),
            ("serverCount", report.server_count.map(Json::from)),
            ("storedCount", report.stored_count.map(Json::from)),
            ("pendingCount", report.pending_count.map(Json::from)),
            (names::LAST_POLL_AT, moment(report.times.poll)),
            (names::LAST_PROOF_AT, moment(report.times.proof)),
        ];
        // From here on, readers see these times. So only the first time of a folder, which was
        // unset before, still differs from what is read.
        self.inner.unwritten.note(folder, report.times);
        let values = all.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
        let class = self.builtin_of(domain, FOLDERS)?;
        self.records(domain, &class).tell(folder.into(), &values.collect()).await
    }

    /// Writes the times of all folders that were polled since the last call.
    ///
    /// # Errors
    ///
    /// When the store fails. Then the next call writes the rest.
    pub(crate) async fn poll_times_write(&self) -> Result<(), Error> {
        let class = self.builtin(FOLDERS)?;
        for some in self.inner.unwritten.all().chunks(TIMES_AT_ONCE) {
            let statement = |(folder, times): &(FolderId, PollTimes)| {
                untold::set(&class, (*folder).into(), times.columns())
            };
            self.write(some.iter().map(statement).collect()).await?;
            self.inner.unwritten.forget(some);
        }
        Ok(())
    }

    /// Updates the folders of an account after a survey. New mailboxes get folders that are not
    /// enabled. If a mailbox is gone, the `statusText` of its folder says so. If the survey is
    /// incomplete, a missing mailbox does not count as gone.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn survey_commit(
        &self,
        domain: &Domain,
        account: AccountId,
        survey: &Survey,
    ) -> Result<(), Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        let folders = self.folders_of(domain, account).await?;
        let index = Index::of(&folders);
        let (mut new, mut linked) = (vec![], HashSet::new());
        for found in &survey.folders {
            let mut values = Map::new();
            values.insert(names::MAILBOX.to_owned(), json!(found.mailbox));
            values.insert(names::NAME.to_owned(), json!(found.name));
            values.insert(names::DELIMITER.to_owned(), json!(found.delimiter));
            values.insert(names::FLAGS.to_owned(), json!(found.flags));
            values.insert(names::SPECIAL_USE.to_owned(), json!(found.special_use));
            let Some(folder) = index.folder(found) else {
                values.insert(names::TITLE.to_owned(), json!(found.title));
                new.push(values);
                continue;
            };
            linked.insert(folder.id);
            if folder.get(names::TITLE).is_null() {
                values.insert(names::TITLE.to_owned(), json!(found.title));
            }
            let is_over = |text: &str| text.starts_with(MAILBOX_GONE) || text.starts_with(UNFOUND);
            if folder.text(names::STATUS_TEXT).is_some_and(is_over) {
                values.insert(names::STATUS_TEXT.to_owned(), Json::Null);
            }
            if values.iter().any(|(name, value)| folder.get(name) != value) {
                self.records(domain, &class).tell(folder.id, &values).await?;
            }
        }
        if !self.folders_create(domain, account, new).await? || !survey.is_whole {
            return Ok(());
        }
        let there: HashSet<&str> =
            survey.folders.iter().map(|found| found.mailbox.as_str()).collect();
        for folder in folders.iter().filter(|folder| !linked.contains(&folder.id)) {
            let text = match folder.text(names::MAILBOX) {
                Some(mailbox) if !there.contains(mailbox) => GONE,
                None if is_unfound(folder) && folder.get(names::STATUS_TEXT).is_null() => UNFOUND,
                Some(_) | None => continue,
            };
            let report =
                FolderReport { status_text: Some(text.to_owned()), ..FolderReport::default() };
            self.folder_report(domain, FolderId::of(folder.id), &report).await?;
        }
        Ok(())
    }

    /// Makes folders in small groups, so that nothing waits long for the writer. It ends if the
    /// account is deleted. `false`: a client made a folder for one of these mailboxes meanwhile.
    async fn folders_create(
        &self,
        domain: &Domain,
        account: AccountId,
        new: Vec<Map<String, Json>>,
    ) -> Result<bool, Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        let mut pause = Duration::ZERO;
        for some in new.chunks(FOLDERS_AT_ONCE) {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            let mut batch = vec![account_must_be(domain, account)];
            for values in some {
                batch.push(none_of_clients(account, values));
                let folder = self.new_folder(account, &class, values.clone());
                batch.extend(
                    self.records(domain, &class).create(self.entity_row(domain, &class, &folder)?),
                );
            }
            match self.write(batch).await {
                Ok(_) => {}
                Err(Error::Condition(Failed::NoAccount)) => break,
                Err(Error::Condition(Failed::OtherFolders | Failed::OneFolder)) => {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
            pause = began.elapsed() * FOLDERS_PAUSE;
        }
        // Once at the end, because the engine does nothing for folders that are not enabled.
        if !new.is_empty() {
            self.reconfigured();
        }
        Ok(true)
    }

    /// Ensures that an account has a folder of this name for outgoing mail.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn send_box_ensure(
        &self,
        domain: &Domain,
        account: AccountId,
        address: &str,
        name: &str,
    ) -> Result<(), Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        let folders = self.folders_of(domain, account).await?;
        if folders.iter().any(|folder| folder.text(names::NAME) == Some(name)) {
            return Ok(());
        }
        let mut values = Map::new();
        values.insert(names::TITLE.to_owned(), json!(format!("{address}/{name}")));
        values.insert(names::NAME.to_owned(), json!(name));
        values.insert(names::MODE.to_owned(), json!("sendOnly"));
        values.insert(names::ENABLED.to_owned(), json!(true));
        let folder = self.new_folder(account, &class, values);
        let mut batch = vec![account_must_be(domain, account)];
        batch.extend(one_folder(domain, &class, &folder));
        batch
            .extend(self.records(domain, &class).create(self.entity_row(domain, &class, &folder)?));
        match self.write(batch).await {
            Ok(_) | Err(Error::Condition(Failed::NoAccount | Failed::OneFolder)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn new_folder(
        &self,
        account: AccountId,
        class: &Class,
        mut values: Map<String, Json>,
    ) -> Entity {
        values.insert(names::ACCOUNT_ID.to_owned(), json!(account.to_string()));
        for property in class.columns().filter(|property| !property.default.is_null()) {
            values.entry(property.name.clone()).or_insert_with(|| property.default.clone());
        }
        Entity::new(self.clock().new_id(), values)
    }

    async fn folders_of(&self, domain: &Domain, account: AccountId) -> Result<Vec<Entity>, Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        let sql = format!("{} WHERE \"account_id\" = $1 AND \"domain\" = $2", Self::select(&class));
        let rows = self.read(Statement::new(sql).bind(account).bind(domain.as_str())).await?;
        let found = self.entities_of(&class, rows).await?;
        Ok(found.into_iter().map(|(_, folder)| folder).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use crate::fixture::store_in;
    use postroom_model::EntityId;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;

    /// An enabled folder of a new account.
    async fn folder(store: &Store, domain: &Domain) -> FolderId {
        let ids: Vec<_> = (1..=3).map(EntityId::from_u128).collect();
        let rows = [
            (PROFILES, json!({"name": "p", "imapHost": "mail.example"})),
            (ACCOUNTS, json!({"profile_id": ids[0], "address": "anna@demo.test"})),
            (FOLDERS, json!({"account_id": ids[1], "name": "INBOX", "title": "t"})),
        ];
        for ((class, values), id) in rows.into_iter().zip(&ids) {
            let class = store.builtin(class).unwrap();
            let entity = Entity::new(*id, values.as_object().unwrap().clone());
            let new = crate::entity::NewEntity { entity, files: vec![] };
            store.entity_create(domain, &class, vec![new]).await.unwrap();
        }
        FolderId::of(ids[2])
    }

    fn at(ms: i64) -> FolderReport {
        let time = Some(Timestamp::from_ms(ms));
        FolderReport { times: PollTimes { poll: time, proof: time }, ..FolderReport::default() }
    }

    async fn written(store: &Store) -> Option<i64> {
        let sql = "SELECT \"lastPollAt\" FROM \"email/Folders\"";
        store.read(Statement::new(sql)).await.unwrap()[0].whole(0)
    }

    #[on_both]
    async fn times_of_polls_are_seen_at_once_and_written_once_a_minute() {
        let (directory, store) = store().await;
        let domain = Domain::default_domain();
        let folder = folder(&store, &domain).await;
        let class = store.builtin(FOLDERS).unwrap();
        let shown = async |store: &Store| {
            let entity = store.entity_get(&domain, &class, folder.into()).await.unwrap().unwrap();
            entity.text(names::LAST_POLL_AT).map(|text| Timestamp::parse(text).unwrap().as_ms())
        };
        store.folder_report(&domain, folder, &at(1_000)).await.unwrap();
        assert_eq!(written(&store).await, Some(1_000), "a first time is written at once");
        store.folder_report(&domain, folder, &at(2_000)).await.unwrap();
        assert_eq!((shown(&store).await, written(&store).await), (Some(2_000), Some(1_000)));
        assert_eq!(store.origin(folder).await.unwrap().all_stored_ms, Some(2_000));
        store.sweep().await;
        assert_eq!((shown(&store).await, written(&store).await), (Some(2_000), Some(2_000)));
        store.folder_report(&domain, folder, &at(3_000)).await.unwrap();
        store.close().await.unwrap();
        let store = store_in(directory.path(), crate::Clock::system(), crate::Work::Threads).await;
        assert_eq!(written(&store).await, Some(3_000), "a clean stop writes the last times");
    }
}

//! Deletions of entities, each only while the entity has the version that was read.

use crate::change::Updated;
use crate::consent;
use crate::database::Statement;
use crate::delete_terms::DeleteTerms;
use crate::device_consent;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::integrity;
use crate::integrity::no_others;
use crate::limits;
use crate::living_domain;
use crate::once;
use crate::phase::DeliveryStep;
use crate::purge;
use crate::queue;
use crate::record::ATTEMPTS;
use crate::session;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::OAuthAppId;
use postroom_model::ProfileId;
use postroom_model::builtin;

impl Store {
    /// Deletes one entity with its files. An account is deleted with its folders, their ledgers,
    /// and its deliveries. Its messages stay, and those that were to be sent end as `error`.
    ///
    /// # Errors
    ///
    /// [`Failed::InUse`] for a profile or an OAuth app that accounts use, and for an entity to
    /// which a required property refers; [`Failed::Sending`] for a message that is being sent.
    pub async fn entity_delete(
        &self,
        place: EntityPlace<'_>,
        if_version: Option<i64>,
    ) -> Result<Updated, Error> {
        let terms = DeleteTerms { if_version, ..DeleteTerms::default() };
        self.entity_delete_on(place, terms).await
    }

    /// The same under conditions of the client.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_delete`].
    pub async fn entity_delete_on(
        &self,
        place: EntityPlace<'_>,
        terms: DeleteTerms<'_>,
    ) -> Result<Updated, Error> {
        let deleted = self.entity_delete_if(place, terms, vec![]).await;
        self.with_referrers(place, deleted).await
    }

    /// The same for an account, with all its messages. They are deleted in the background.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_delete`].
    pub async fn account_delete_whole(
        &self,
        place: EntityPlace<'_>,
        terms: DeleteTerms<'_>,
    ) -> Result<Updated, Error> {
        let begin = purge::begin(place.domain, AccountId::of(place.id));
        let deleted = self.entity_delete_if(place, terms, vec![begin]).await;
        let deleted = self.with_referrers(place, deleted).await?;
        if matches!(deleted, Updated::Done(_)) {
            self.purge_soon();
        }
        Ok(deleted)
    }

    /// The same with further statements at the front of the batch.
    pub(crate) async fn entity_delete_if(
        &self,
        place: EntityPlace<'_>,
        DeleteTerms { if_version, mut read }: DeleteTerms<'_>,
        rules: Vec<Statement>,
    ) -> Result<Updated, Error> {
        for _ in 0..ATTEMPTS {
            let is_given = read.is_some();
            let Some(current) = self.current(place, read.take()).await? else {
                return Ok(Updated::Missing);
            };
            if if_version.is_some_and(|version| version != current.version) {
                return Ok(Updated::Stale { version: current.version });
            }
            match self.delete_read(place, &current, &rules).await {
                Ok(()) => {
                    self.changed(place.class, &current);
                    return Ok(Updated::Done(current));
                }
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale | Failed::OtherFolders)) => {}
                // It may be another one than the caller has read. Then that is the answer.
                Err(Error::Condition(_)) if is_given => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Deletes the entity that was read, with its dependents, unless it has changed since.
    async fn delete_read(
        &self,
        place: EntityPlace<'_>,
        current: &Entity,
        rules: &[Statement],
    ) -> Result<(), Error> {
        let EntityPlace { domain, class, id } = place;
        let mut batch = vec![integrity::alone(domain, class, id)];
        batch.extend(rules.iter().cloned());
        if class.classname == builtin::MESSAGES {
            let message = MessageEntityId::of(id);
            batch.extend([queue::invalidate(message), queue::none_of(message)]);
            batch.extend([queue::leave(message), queue::forget_delivered(message)]);
            batch.extend(limits::forget(domain, message));
        }
        batch.extend(once::forget_puts(domain, class, id));
        batch.extend(self.dependents(domain, class, id).await?);
        batch.extend(file::delete_all(self, class, id).await?);
        batch.extend(self.records(domain, class).delete(current));
        self.write_at_need(batch).await.map(drop)
    }

    /// The statements that delete the dependents of an entity, or what prevents the deletion.
    async fn dependents(
        &self,
        domain: &Domain,
        class: &Class,
        id: EntityId,
    ) -> Result<Vec<Statement>, Error> {
        match class.classname.as_str() {
            builtin::PROFILES => {
                let sql =
                    "SELECT \"address\" FROM \"email/Accounts\" WHERE \"profile_id\" = $1 LIMIT 1";
                let rows = self.read(Statement::new(sql).bind(id)).await?;
                match rows.first().and_then(|row| row.text(0)) {
                    Some(address) => Err(self.used_by(address)),
                    None => Ok(vec![integrity::profile_unused(ProfileId::of(id))]),
                }
            }
            builtin::OAUTH_APPS => {
                let sql = "SELECT \"address\" FROM \"email/Accounts\"
                    WHERE \"oauthApp_id\" = $1 OR \"smtpOauthApp_id\" = $1 LIMIT 1";
                let rows = self.read(Statement::new(sql).bind(id)).await?;
                match rows.first().and_then(|row| row.text(0)) {
                    Some(address) => Err(self.used_by(address)),
                    None => Ok(vec![integrity::oauth_app_unused(OAuthAppId::of(id))]),
                }
            }
            builtin::ACCOUNTS => {
                let folders = self.builtin_of(domain, builtin::FOLDERS)?;
                let sql = "SELECT \"id\" FROM \"email/Folders\" WHERE \"account_id\" = $1";
                let mut batch = vec![];
                for row in self.read(Statement::new(sql).bind(id)).await? {
                    let folder = row.id(0).ok_or(Error::Damaged { what: "a folder" })?;
                    // The folder first, because its deletion waits for messages that are being
                    // received into it. Then the ledger has their receipts.
                    batch.extend(self.records(domain, &folders).delete_any(folder));
                    batch.extend(ledger_gone(FolderId::of(folder)));
                }
                batch.push(consent::forgotten(AccountId::of(id)));
                batch.push(device_consent::forgotten(AccountId::of(id)));
                batch.push(no_others(AccountId::of(id), 0));
                batch.push(DeliveryStep::Leave.taken("\"account\" = $1").bind(id));
                Ok(batch)
            }
            builtin::USERS => Ok(vec![session::all_ended(id)]),
            builtin::DOMAINS => {
                let mut batch = self.domain_is_empty(domain, id).await?;
                batch.extend(living_domain::is_not_erased(class, id));
                batch.push(living_domain::adds_nothing(id));
                Ok(batch)
            }
            builtin::FOLDERS => Ok(ledger_gone(FolderId::of(id)).into()),
            _ => Ok(vec![]),
        }
    }

    /// The error that an account uses what is to be deleted.
    fn used_by(&self, address: &str) -> Error {
        let by = match self.is_bounded(builtin::ACCOUNTS) {
            true => "an account".to_owned(),
            false => format!("the account {address}"),
        };
        Error::Condition(Failed::InUse { by })
    }
}

/// The statements that delete the ledger and the origin of a folder.
pub(crate) fn ledger_gone(folder: FolderId) -> [Statement; 2] {
    let gone = |sql| Statement::new(sql).bind(folder);
    [
        gone("DELETE FROM \"receipt\" WHERE \"folder\" = $1"),
        gone("DELETE FROM \"origin\" WHERE \"folder\" = $1"),
    ]
}

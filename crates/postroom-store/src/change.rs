//! Changes and deletions of entities, each only while the entity has the version that was read.

use crate::claim_row::ClaimStep;
use crate::claim_taking::TakenClaim;
use crate::consent;
use crate::database::Statement;
use crate::device_consent;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::integrity;
use crate::integrity::no_others;
use crate::job::JobStep;
use crate::limits;
use crate::living_domain;
use crate::login;
use crate::login::SameLogin;
use crate::once;
use crate::once::Once;
use crate::phase::DeliveryStep;
use crate::purge;
use crate::queue;
use crate::record::ATTEMPTS;
use crate::session;
use crate::store::Store;
use crate::surveyed;
use crate::usage;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::OAuthAppId;
use postroom_model::ProfileId;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::builtin::names;
use postroom_model::client;
use postroom_model::oauth::tokens_implied;
use serde_json::Map;
use serde_json::Value as Json;

/// The conditions of a client for a change.
#[derive(Debug, Clone, Copy, Default)]
pub struct ChangeTerms<'a> {
    /// Changes only this version.
    pub if_version: Option<i64>,
    /// The entity as the caller has read it. It is read again only if it has changed since.
    pub read: Option<&'a Entity>,
    /// Whether an account may get the login of another one.
    pub same_login: SameLogin,
    /// The key of a PUT, by which a repeated PUT is recognised.
    pub once: Option<&'a Once>,
    /// The step of the job that makes the change.
    pub step: Option<JobStep<'a>>,
    /// The claim of the entity that is taken with the change.
    pub takes: Option<&'a TakenClaim>,
    /// The work claim under which the change is made.
    pub claim: Option<ClaimStep>,
    /// What is done with the change, or not at all.
    pub also: Option<&'a Statement>,
}

/// The result of a change or a deletion.
#[derive(Debug, Clone, PartialEq)]
pub enum Updated {
    /// It is done. This is the entity after the change, or before the deletion.
    Done(Entity),
    /// There is no such entity in the domain.
    Missing,
    /// The entity has another version by now.
    Stale {
        /// Its version.
        version: i64,
    },
}

impl Store {
    /// Changes properties of one entity; `null` unsets. With `if_version`, only that version.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] for what a client may not change; [`Failed::Reference`] for a property
    /// that refers to nothing; [`Failed::Sending`] for a message that is being sent.
    pub async fn entity_update(
        &self,
        place: EntityPlace<'_>,
        changes: &Map<String, Json>,
        if_version: Option<i64>,
    ) -> Result<Updated, Error> {
        let terms = ChangeTerms { if_version, ..ChangeTerms::default() };
        self.entity_update_on(place, changes, terms).await
    }

    /// The same under conditions of the client.
    ///
    /// # Errors
    ///
    /// As [`Self::entity_update`]; [`Failed::SameLogin`] if two accounts would have the same login
    /// and must not.
    pub async fn entity_update_on(
        &self,
        place: EntityPlace<'_>,
        changes: &Map<String, Json>,
        terms: ChangeTerms<'_>,
    ) -> Result<Updated, Error> {
        let EntityPlace { domain, class, id } = place;
        let ChangeTerms { if_version, mut read, same_login, once, step, takes, claim, also } =
            terms;
        for _ in 0..ATTEMPTS {
            let Some(current) = self.current(place, read.take()).await? else {
                return Ok(Updated::Missing);
            };
            if if_version.is_some_and(|version| version != current.version) {
                return Ok(Updated::Stale { version: current.version });
            }
            let mut changes = self.client_change(domain, class, &current, changes).await?;
            self.hash_password(class, &mut changes).await?;
            let mut batch: Vec<_> = step.iter().flat_map(JobStep::record).collect();
            batch.extend(queue::before_change(class, id, &changes));
            batch.extend(living_domain::is_not_erased(class, id));
            batch.extend(usage::begin(class, &current, &changes));
            // Before the change, so that the error names the property.
            batch.extend(self.reference_conditions(domain, class, &current, &changes));
            // Its filter is about the entity before the change.
            batch.extend(takes.map(|taken| taken.statement.clone()));
            let records = self.records(domain, class);
            batch.extend(records.change(&current, &changes, Map::new())?);
            let now_ms = self.clock().now_ms();
            batch.extend(claim.iter().flat_map(|claim| claim.statements(place, now_ms)));
            if same_login == SameLogin::Refused {
                batch.extend(login::rule(class, id, &changes));
            }
            let mut after = client::after(&current, &changes);
            after.version += 1;
            after.properties.retain(|name, _| !is_secret(class, name));
            batch.extend(also.cloned());
            batch.extend(session::ended(class, id, &changes));
            batch.extend(self.factor_removed(place, &changes));
            batch.extend(self.note_put(domain, class, &after, once));
            batch.extend(integrity::has_sender(domain, class, &after));
            if ["account_id", "name", "title"].iter().any(|name| changes.contains_key(*name)) {
                batch.extend(integrity::one_folder(domain, class, &after));
            }
            if changes.contains_key(names::FOLDER_ID) {
                batch.extend(integrity::one_account(domain, class, &after));
            }
            match self.write_numbered(batch).await {
                Ok(before) => {
                    after.seq = before + 1;
                    self.changed(class, &after);
                    self.usage_soon(class, &changes);
                    return Ok(Updated::Done(after));
                }
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// The entity as the caller has read it, or as it is.
    async fn current(
        &self,
        place: EntityPlace<'_>,
        read: Option<&Entity>,
    ) -> Result<Option<Entity>, Error> {
        match read {
            Some(read) => Ok(Some(read.clone())),
            None => self.entity_get(place.domain, place.class, place.id).await,
        }
    }

    /// The statements that note the PUT of an entity, or that it was changed since the last one.
    fn note_put(
        &self,
        domain: &Domain,
        class: &Class,
        after: &Entity,
        put: Option<&Once>,
    ) -> Vec<Statement> {
        let Some(put) = put else {
            return vec![once::forget_put(domain, class, after.id)];
        };
        let mut batch = once::forget_puts(domain, class, after.id).to_vec();
        batch.push(once::keep(self, domain, class, put, std::slice::from_ref(after)));
        batch
    }

    /// The values that a client's change sets, with those that follow from it.
    ///
    /// # Errors
    ///
    /// If the client may not make the change.
    async fn client_change(
        &self,
        domain: &Domain,
        class: &Class,
        current: &Entity,
        sent: &Map<String, Json>,
    ) -> Result<Map<String, Json>, Error> {
        let changed = client::changed(class, current, sent);
        let mut changes =
            changed.map_err(|problems| Error::Condition(Failed::Invalid { problems }))?;
        let after = client::after(current, &changes);
        let mut problems = self.wanted_problems(domain, class, &after);
        if changes.contains_key(names::RIGHTS) {
            problems.extend(self.given_in_vain(domain, class, &after));
        }
        if !problems.is_empty() {
            return Err(Error::Condition(Failed::Invalid { problems }));
        }
        if class.classname == builtin::ACCOUNTS {
            let now = Timestamp::from_ms(self.clock().now_ms());
            tokens_implied(current, &mut changes, now);
        }
        self.check_references(domain, class, current, &changes).await?;
        let text = current.text(names::STATUS_TEXT).unwrap_or_default();
        if text.starts_with(surveyed::UNFOUND)
            && !surveyed::is_unfound(&client::after(current, &changes))
        {
            changes.insert(names::STATUS_TEXT.to_owned(), Json::Null);
        }
        if class.classname == builtin::FOLDERS && !changes.contains_key(names::TITLE) {
            let name = changes.get(names::NAME).and_then(Json::as_str);
            let title = name.and_then(|name| surveyed::title_of(current, name));
            changes.extend(title.map(|title| (names::TITLE.to_owned(), Json::from(title))));
        }
        if class.classname == builtin::MESSAGES {
            let mut after = client::after(current, &changes);
            let sent = after.get(names::ACCOUNT_ID).clone();
            self.message_placed(domain, &mut after, Some(current)).await?;
            let account = after.get(names::ACCOUNT_ID);
            if *account != sent {
                changes.insert(names::ACCOUNT_ID.to_owned(), account.clone());
            }
        }
        Ok(changes)
    }

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
        let deleted = self.entity_delete_if(place, if_version, vec![]).await;
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
        if_version: Option<i64>,
    ) -> Result<Updated, Error> {
        let begin = purge::begin(place.domain, AccountId::of(place.id));
        let deleted = self.entity_delete_if(place, if_version, vec![begin]).await;
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
        if_version: Option<i64>,
        rules: Vec<Statement>,
    ) -> Result<Updated, Error> {
        let EntityPlace { domain, class, id } = place;
        for _ in 0..ATTEMPTS {
            let Some(current) = self.entity_get(domain, class, id).await? else {
                return Ok(Updated::Missing);
            };
            if if_version.is_some_and(|version| version != current.version) {
                return Ok(Updated::Stale { version: current.version });
            }
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
            batch.extend(self.records(domain, class).delete(&current));
            match self.write_at_need(batch).await {
                Ok(_) => {
                    self.changed(class, &current);
                    return Ok(Updated::Done(current));
                }
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale | Failed::OtherFolders)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
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

fn is_secret(class: &Class, name: &str) -> bool {
    class.property(name).is_some_and(postroom_model::Property::write_only)
}

//! Changes of entities, each only while the entity has the version that was read.

use crate::claim_row::ClaimStep;
use crate::claim_taking::TakenClaim;
use crate::database::Statement;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::integrity;
use crate::job::JobStep;
use crate::living_domain;
use crate::login;
use crate::login::SameLogin;
use crate::once;
use crate::once::Once;
use crate::queue;
use crate::record::ATTEMPTS;
use crate::session;
use crate::store::Store;
use crate::surveyed;
use crate::usage;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
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
            let is_given = read.is_some();
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
                // It may be another one than the caller has read. Then that is the answer.
                Err(Error::Condition(_)) if is_given => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// The entity as the caller has read it, or as it is.
    pub(crate) async fn current(
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
}

fn is_secret(class: &Class, name: &str) -> bool {
    class.property(name).is_some_and(postroom_model::Property::write_only)
}

//! The audit (`iam/Audit`): who did what, and when.
//!
//! ```text
//!   change of a client ─► Records ─► row of the entity + row of the feed + row of the audit
//!   configuration, classes, erasure, login ─► its own batch + row of the audit
//! ```
//! Each row is written in the batch of what it tells, so neither is there without the other. What
//! the engine and the store do by themselves has none. A row tells names of properties, and never a
//! value. It has no row of the feed, because it never changes. It stands in the domain in which
//! something happened, and in that of who did it.
//!
//! Writes `iam/Audit`. The class has no properties of clients, so its columns are known here.

use crate::audit_actor::Asker;
use crate::audit_actor::AuditActor;
use crate::audit_actor::RequestOrigin;
use crate::audit_event::AuditEvent;
use crate::batch_change::BatchChange;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Statement;
use crate::database::Value;
use crate::made::Made;
use crate::modifier::Bearer;
use crate::modifier::Modifier;
use crate::seq::SEQ;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::StorageMode;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::names;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

/// The columns of a row, after those that lead it.
pub(crate) const COLUMNS: [&str; 14] = [
    names::AT,
    names::EVENT,
    names::ACTOR_TYPE,
    names::ACTOR,
    names::ACTOR_ID,
    names::ACTOR_DOMAIN,
    names::AFFECTED_DOMAIN,
    names::CLASS,
    names::ENTITY,
    names::PROPERTIES,
    names::SOURCE,
    names::REQUEST,
    names::COUNT,
    names::DETAILS,
];

/// What is told.
#[derive(Debug, Clone)]
pub(crate) struct AuditEntry<'a> {
    /// What happened.
    pub event: AuditEvent,
    /// The class, by its name. `None`: it is about none.
    pub class: Option<&'a str>,
    /// The entity. `None`: it is about none.
    pub entity: Option<EntityId>,
    /// The names of properties.
    pub properties: Vec<String>,
    /// What else there is to tell. Null: nothing.
    pub details: Json,
    /// The change of which the row has the number.
    pub change: BatchChange,
}

impl<'a> AuditEntry<'a> {
    /// Something that is about no entity.
    pub(crate) fn of(event: AuditEvent) -> Self {
        let (properties, change) = (vec![], BatchChange::new());
        Self { event, class: None, entity: None, properties, details: Json::Null, change }
    }

    /// The same about an entity.
    pub(crate) fn at(self, class: &'a str, entity: EntityId) -> Self {
        Self { class: Some(class), entity: Some(entity), ..self }
    }

    /// The same about a class.
    pub(crate) fn of_class(self, class: &'a str) -> Self {
        Self { class: Some(class), ..self }
    }

    /// The same with more to tell.
    pub(crate) fn with(self, details: Json) -> Self {
        Self { details, ..self }
    }
}

/// A row of the audit.
pub(crate) struct AuditRow<'a> {
    pub id: EntityId,
    pub domain: &'a Domain,
    pub affected: Option<&'a Domain>,
    pub asker: &'a Asker,
    pub entry: &'a AuditEntry<'a>,
    pub count: i64,
}

impl Store {
    /// The same store for who has a token or a session, with where the request comes from. The feed
    /// and the audit say that they made the changes.
    #[must_use]
    pub fn of_bearer(&self, bearer: &Bearer, origin: RequestOrigin) -> Self {
        let asker = Asker { actor: AuditActor::of(bearer), origin };
        Self { asker: Some(Arc::new(asker)), ..self.of_client(&bearer.name) }
    }

    /// The same store for work that a client asked for. The feed says that the client made the
    /// changes. `name` is the name of its token. The lease stays, so that the engine can use it.
    #[must_use]
    pub fn on_behalf_of(&self, name: &str) -> Self {
        Self { modifier: Modifier::Client(name.into()), asker: None, ..self.clone() }
    }

    /// The same store for a request of somebody who is not known yet.
    #[must_use]
    pub fn of_origin(&self, origin: RequestOrigin) -> Self {
        let asker = Asker { actor: AuditActor::nobody(None), origin };
        Self { asker: Some(Arc::new(asker)), ..self.clone() }
    }

    /// Whether it tells what this store does with entities of a class: what clients do, but of a
    /// class of history, where the feed alone tells it.
    pub(crate) fn audits(&self, class: &Class) -> bool {
        let is_client = matches!(self.modifier, Modifier::Client(_));
        is_client && class.storage_mode != StorageMode::History
    }

    /// The statements that tell what a client does in a domain. There are none for what the engine
    /// and the store do by themselves.
    pub(crate) fn audited(&self, domain: &Domain, entry: &AuditEntry<'_>) -> Vec<Statement> {
        let Modifier::Client(name) = &self.modifier else {
            return vec![];
        };
        match &self.asker {
            Some(asker) => self.audited_by(domain, asker, entry),
            None => {
                let asker =
                    Asker { actor: AuditActor::named(name), origin: RequestOrigin::default() };
                self.audited_by(domain, &asker, entry)
            }
        }
    }

    /// The statements that tell what somebody does to the whole installation: to those who
    /// administer it, in `master`, and in the domain of who did it. What is done at the command
    /// line is told in `default` too.
    pub(crate) fn audited_for_all(&self, entry: &AuditEntry<'_>) -> Vec<Statement> {
        let of_client = self.audited(&Domain::master(), entry);
        if !of_client.is_empty() {
            return of_client;
        }
        let asker = Asker { actor: AuditActor::system(), origin: RequestOrigin::default() };
        let domains = Domain::of_the_start();
        domains.iter().flat_map(|domain| self.audited_by(domain, &asker, entry)).collect()
    }

    /// The statements that tell what somebody does in a domain.
    pub(crate) fn audited_by(
        &self,
        domain: &Domain,
        asker: &Asker,
        entry: &AuditEntry<'_>,
    ) -> Vec<Statement> {
        let elsewhere = asker.actor.domain.as_ref().filter(|own| *own != domain);
        let row = |of: &Domain, affected| {
            let id = self.clock().new_id();
            self.audit_insert(&AuditRow { id, domain: of, affected, asker, entry, count: 1 })
        };
        let own = elsewhere.map(|own| row(own, Some(domain)));
        [row(domain, None)].into_iter().chain(own).collect()
    }

    /// The statement that writes a row.
    pub(crate) fn audit_insert(&self, row: &AuditRow<'_>) -> Statement {
        let AuditRow { id, domain, affected, asker, entry, count } = row;
        let Asker { actor, origin } = asker;
        let json = |value: &Json| match value.is_null() {
            true => Value::Null,
            false => Value::Json(value.to_string()),
        };
        let properties = match entry.properties.is_empty() {
            true => Value::Null,
            false => json(&json!(entry.properties)),
        };
        let actor_domain = actor.domain.as_ref().unwrap_or(domain).as_str();
        let actor_domain = Some(actor_domain).filter(|_| ["user", "token"].contains(&actor.kind));
        Statement::new(self.audit_sql())
            .bind(domain.as_str())
            .bind(*id)
            .bind(Value::Moment(self.clock().now_ms()))
            .bind(entry.event.as_str())
            .bind(actor.kind)
            .bind(actor.name.as_deref())
            .bind(actor.id.map_or(Value::Null, Value::Id))
            .bind(actor_domain)
            .bind(affected.map(Domain::as_str))
            .bind(entry.class)
            .bind(entry.entity.map_or(Value::Null, Value::Id))
            .bind(properties)
            .bind(origin.source.as_deref())
            .bind(origin.request.as_deref())
            .bind(*count)
            .bind(json(&entry.details))
            .makes(Made::other(domain))
            .of_change(entry.change)
    }

    fn audit_sql(&self) -> String {
        let columns: Vec<_> = COLUMNS.iter().map(|name| quoted(name)).collect();
        let last = COLUMNS.len() + 3;
        let seq = self.inner.database.dialect().seq(&format!("${last}"));
        format!(
            "INSERT INTO {} (\"domain\", \"id\", \"version\", {}, {})
             VALUES ($1, $2, 1, {seq}, {})",
            quoted(AUDIT),
            quoted(SEQ),
            columns.join(", "),
            places(3, COLUMNS.len())
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;

    #[test]
    fn the_class_has_these_columns_and_events_and_no_others() {
        let classes = builtin::classes().unwrap();
        let class = classes.iter().find(|class| class.classname == AUDIT).unwrap();
        let names: Vec<_> = class.properties.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, COLUMNS);
        let event = class.property(names::EVENT).unwrap();
        let items: Vec<_> = AuditEvent::ALL.into_iter().map(AuditEvent::as_str).collect();
        assert_eq!(event.items, items);
        assert!(class.properties.iter().all(postroom_model::Property::read_only));
    }
}

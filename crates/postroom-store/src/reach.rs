//! What the rights of a client reach: its store reads and changes nothing else.
//!
//! ```text
//!   reads    what is asked for AND the filters of the rights, in one query
//!   writes   assert before the change, the change, assert after it, in one batch
//! ```
//! So the database decides, and what others change at the same moment makes no difference. A store
//! without such rights has no further conditions.

use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Filter;
use postroom_model::Property;
use postroom_model::Query;
use postroom_model::RightAction;
use postroom_model::RightReach;
use postroom_model::Rights;
use std::borrow::Cow;
use std::sync::Arc;

impl Store {
    /// The same store for a domain, through which nothing is read and changed but what rights
    /// reach. Whether an action with a class is allowed at all is checked before.
    #[must_use]
    pub fn within(self, domain: &Domain, rights: &Rights) -> Self {
        let reach = RightReach::of(rights, &self.classes().of(domain)).map(Arc::new);
        Self { reach, ..self }
    }

    /// Whether only some entities of a class are reached.
    #[must_use]
    pub fn is_bounded(&self, classname: &str) -> bool {
        self.reach.as_ref().is_some_and(|reach| reach.bounds(classname))
    }

    /// Whether a reference of a class may lead to entities of another class, as far as these may be
    /// read at all. A built-in reference may, because who makes a message names its account.
    pub(crate) fn may_refer(&self, class: &Class, property: &Property, to: &str) -> bool {
        let Some(reach) = &self.reach else {
            return true;
        };
        let is_built_in = class.is_built_in() && !class.own().contains(property);
        is_built_in || reach.reads(to)
    }

    /// A filter of a client, which matches only what an action reaches.
    #[must_use]
    pub fn reaching(
        &self,
        action: RightAction,
        class: &Class,
        asked: Option<&Filter>,
    ) -> Option<Filter> {
        self.filter_within(action, class, asked).map(Cow::into_owned)
    }

    /// Whether an action reaches an entity. It must be one that may be read.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_reached(
        &self,
        place: EntityPlace<'_>,
        action: RightAction,
    ) -> Result<bool, Error> {
        let filter = self.reached(action, &place.class.classname);
        Ok(self.entity_matching(place, filter).await?.is_some())
    }

    /// The entities of a class that an action reaches. `None`: all.
    pub(crate) fn reached(&self, action: RightAction, classname: &str) -> Option<&Filter> {
        self.reach.as_ref().and_then(|reach| reach.filter(action, classname))
    }

    /// The same as [`Self::reaching`], without a copy if there is nothing to add.
    pub(crate) fn filter_within<'a>(
        &self,
        action: RightAction,
        class: &Class,
        asked: Option<&'a Filter>,
    ) -> Option<Cow<'a, Filter>> {
        match &self.reach {
            None => asked.map(Cow::Borrowed),
            Some(reach) => reach.within(action, &class.classname, asked).map(Cow::Owned),
        }
    }

    /// A query that finds only what an action reaches.
    pub(crate) fn query_within<'a>(
        &self,
        action: RightAction,
        class: &Class,
        query: &'a Query,
    ) -> Cow<'a, Query> {
        match self.filter_within(action, class, query.filter.as_ref()) {
            Some(Cow::Owned(filter)) => Cow::Owned(Query { filter: Some(filter), ..query.clone() }),
            Some(Cow::Borrowed(_)) | None => Cow::Borrowed(query),
        }
    }

    /// The statements of an action with an entity, which are refused if it does not reach the
    /// entity as it is before and as it is after them.
    pub(crate) fn bounded(
        &self,
        place: EntityPlace<'_>,
        action: RightAction,
        statements: Vec<Statement>,
    ) -> Vec<Statement> {
        if !self.is_bounded(&place.class.classname) {
            return statements;
        }
        let is_reached = || self.is_reached(place, action);
        let before = (action != RightAction::Create).then(is_reached).flatten();
        let after = (action != RightAction::Delete).then(is_reached).flatten();
        before.into_iter().chain(statements).chain(after).collect()
    }

    /// The condition that an action reaches an entity. `None`: it reaches all of the class.
    fn is_reached(&self, place: EntityPlace<'_>, action: RightAction) -> Option<Statement> {
        let EntityPlace { domain, class, id } = place;
        let filter = self.filter_within(action, class, None)?;
        let mut conditions = self.conditions(domain);
        let filter = conditions.filter(&filter);
        let id = conditions.bind(Value::Id(id));
        let table = quoted(&class.table());
        let sql =
            format!("SELECT 1 FROM {table} WHERE \"id\" = {id} AND \"domain\" = $1 AND {filter}");
        let reached = Statement::new(sql).bind_all(conditions.values).of_class(class);
        Some(reached.assert(Failed::OutOfReach, Lock::Found))
    }
}

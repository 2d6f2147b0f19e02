//! Entities from the rows of their class table, and what is done if a row is damaged.

use crate::classes;
use crate::columns;
use crate::columns::column_list;
use crate::columns::quoted;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::builtin;

impl Store {
    /// The entity of a row of [`Self::select`].
    pub(crate) fn entity_of(&self, class: &Class, row: &Row) -> Result<Entity, Error> {
        if columns::revision(row) != Some(class.revision) {
            self.classes_refresh_soon();
            return Err(Error::Condition(Failed::OtherClasses));
        }
        let mut entity = columns::to_entity(class, row);
        if let Err(error @ Error::Damaged { .. }) = &entity {
            self.inner.database.found_damaged(error);
            self.inner.damaged_rows.name(&class.classname, row.id(1));
        }
        if let (builtin::FOLDERS, Ok(folder)) = (class.classname.as_str(), &mut entity) {
            self.inner.unwritten.show(folder);
        }
        entity
    }

    /// The same for work that must not end at one damaged row. `None`: the row is damaged. The log
    /// names it.
    pub(crate) fn readable(&self, class: &Class, row: &Row) -> Result<Option<Entity>, Error> {
        match self.entity_of(class, row) {
            Ok(entity) => Ok(Some(entity)),
            Err(Error::Damaged { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The first `limit` readable entities of a query, however many damaged rows are before them.
    /// The last parameter of the query is its limit, which `query` does not bind.
    pub(crate) async fn first_readable(
        &self,
        class: &Class,
        query: Statement,
        limit: u32,
    ) -> Result<Vec<Entity>, Error> {
        let mut limit_of_rows = limit;
        loop {
            let rows = self.read(query.clone().bind(limit_of_rows)).await?;
            let mut found = vec![];
            for row in &rows {
                found.extend(self.readable(class, row)?);
            }
            let damaged = u32::try_from(rows.len() - found.len()).unwrap_or(u32::MAX);
            let most = limit.saturating_add(damaged);
            if most == limit_of_rows || rows.len() < limit_of_rows as usize {
                return Ok(found);
            }
            limit_of_rows = most;
        }
    }

    /// `SELECT` of all columns of a class with its present revision, up to and without its `WHERE`.
    pub(crate) fn select(class: &Class) -> String {
        Self::select_some(class, |_| true)
    }

    /// The same with NULL in place of the properties that are not `shown`.
    pub(crate) fn select_some(class: &Class, shown: impl Fn(&str) -> bool) -> String {
        let (columns, end) = (column_list(class, shown), quoted(columns::END));
        // Neither a name of a class nor one of a domain has quotes.
        let domain = class.domain.as_ref().map(|domain| format!("'{domain}'"));
        let revision = classes::revision(&format!("'{}'", class.classname), domain.as_deref());
        format!("SELECT {columns}, {revision}, {end} FROM {}", quoted(&class.table()))
    }
}

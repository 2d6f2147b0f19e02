//! Changes that a domain makes to a class for itself. Each is one transaction, as those of
//! `class_write`.
//!
//! A new property gets a column that the domains share (`shared_column`), so other domains wait for
//! nothing, and most changes alter no table. The values of a removed property are deleted later
//! (`retired_value`).

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::class_demand::Demands;
use crate::class_write::invalid;
use crate::classes;
use crate::classes::Classes;
use crate::columns;
use crate::columns::kind;
use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::living_domain;
use crate::retired_value;
use crate::retired_value::RetiredValue;
use crate::seq;
use crate::shared_column;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::ClassChange;
use postroom_model::ClassStep;
use postroom_model::Domain;
use postroom_model::Extension;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::class_steps;
use serde_json::json;
use std::sync::Arc;

impl Store {
    /// Changes a class for a domain alone. `change` is made from [`Class::extended`] of the class
    /// as the domain has it. `confirm` is how many values the client agrees to lose.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] with the place of each problem, also if stored values prevent the
    /// change; [`Failed::Unconfirmed`]; [`Failed::OtherClasses`] when the classes are no longer
    /// `former`.
    pub async fn class_extend(
        &self,
        domain: &Domain,
        former: &Classes,
        change: ClassChange,
        confirm: Option<u64>,
    ) -> Result<Classes, Error> {
        let ClassChange { class, renamed } = change;
        let (all, own) = (former.of_all(), former.of(domain));
        let is_it = |one: &&Arc<Class>| one.id == class.id;
        let (Some(of_all), Some(before)) = (all.iter().find(is_it), own.iter().find(is_it)) else {
            return Err(Error::Condition(Failed::OtherClasses));
        };
        let before = before.extended();
        let mut problems = before.refused(&class, &renamed, Some(of_all));
        problems.extend(class.extension_problems(of_all));
        let steps = class_steps(&before, &class, &renamed);
        problems.extend(steps.iter().filter_map(other_kind));
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
        let mut after = self.written(class, former.version() + 1);
        let present = columns::of_table(self.inner.database.as_ref(), &of_all.table()).await?;
        let made = self.columns_given(domain, &before, &mut after).await?;
        let made: Vec<_> = made.into_iter().filter(|(_, name)| !present.contains(name)).collect();
        let others = own.iter().map(|one| if one.id == after.id { &after } else { &**one });
        let whole: Vec<Class> = others.cloned().collect();
        let problems = after.check(&whole);
        if !problems.is_empty() {
            return Err(invalid(problems));
        }
        let mut demands = Demands::begin(self, &own, Some(domain)).await?;
        let steps = class_steps(&before, &after, &renamed);
        for step in &steps {
            demands.take(&before, step, &whole)?;
        }
        demands.check().await?;
        demands.confirmed(confirm)?;
        let extension = Extension::of(of_all, &after);
        let mut batch: Vec<_> = classes::next(former.version()).into();
        batch.extend(living_domain::domain_lives(domain));
        batch.push(classes::keep_extension(domain, &extension)?);
        batch.extend(demands.asserts());
        let table = quoted(&of_all.table());
        let dialect = self.inner.database.dialect();
        for (of, name) in &made {
            let (column, of_type) = (quoted(name), dialect.column_type(*of));
            batch
                .push(Statement::new(format!("ALTER TABLE {table} ADD COLUMN {column} {of_type}")));
        }
        for step in &steps {
            if let ClassStep::Remove(property) = step {
                let retired = RetiredValue {
                    domain: domain.to_string(),
                    table: of_all.table().into_owned(),
                    column: property.column().to_owned(),
                    revision: after.revision,
                };
                batch.push(retired.noted());
            }
        }
        let entry = AuditEntry::of(AuditEvent::Design).of_class(&of_all.classname);
        let details = json!({"operation": "change", "version": after.revision});
        batch.extend(self.audited(domain, &entry.with(details)));
        seq::numbered(dialect, &mut batch)?;
        let touched = if made.is_empty() { vec![] } else { vec![table] };
        let written = self.write_unindexed(batch, &touched).await;
        self.classes_refresh().await?;
        written?;
        self.inner.database.ring(Topic::Classes);
        self.classes_settle_soon();
        Ok(former.extended(domain, extension))
    }

    /// Gives each new property of a class a column that the domain does not use, and returns these
    /// columns with their kinds.
    async fn columns_given(
        &self,
        domain: &Domain,
        before: &Class,
        after: &mut Class,
    ) -> Result<Vec<(ColumnKind, String)>, Error> {
        let mut taken = retired_value::columns(self, domain, &before.table()).await?;
        taken.extend(before.properties.iter().filter_map(|property| property.column.clone()));
        let mut given = vec![];
        let fixed = before.fixed;
        for property in after.properties.iter_mut().skip(fixed) {
            if property.column.is_some() {
                continue;
            }
            let name = shared_column::free(kind(property), &taken).map_err(|most| {
                let reason = format!(
                    "a domain adds at most {most} properties of this kind to a class, and those \
                     that were removed count until their values are deleted"
                );
                invalid(vec![Invalid::new(format!("properties.{}", property.name), reason)])
            })?;
            taken.push(name.clone());
            property.column = Some(name.clone());
            given.push((kind(property), name));
        }
        let problems = in_one_column(after);
        if problems.is_empty() { Ok(given) } else { Err(invalid(problems)) }
    }
}

/// The properties of a class that would have the values of others.
fn in_one_column(class: &Class) -> Vec<Invalid> {
    let own = class.properties.iter().enumerate().filter(|(_, one)| one.column.is_some());
    let problem = |(at, property): (usize, &Property)| {
        let mut former = class.properties.iter().take(at);
        let other = former.find(|former| former.column == property.column)?;
        let reason = format!(
            "would have the values of `{}` too: send the one and then the other, in two requests",
            other.name
        );
        Some(Invalid::new(format!("properties.{}", property.name), reason))
    };
    own.filter_map(problem).collect()
}

/// What is refused of a step that would keep values in a column of another kind.
fn other_kind(step: &ClassStep<'_>) -> Option<Invalid> {
    let ClassStep::Change { before, after } = step else {
        return None;
    };
    let reason = "is another kind of value than before: remove the property first, or add another \
                  one";
    let place = format!("properties.{}.data_type", after.name);
    (kind(before) != kind(after)).then(|| Invalid::new(place, reason))
}

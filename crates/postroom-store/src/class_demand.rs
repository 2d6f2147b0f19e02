//! Checks stored values against a change of the classes. They are checked before the change. Its
//! batch then asserts the same of the entities that changed since.

use crate::classes::CLASSES;
use crate::classes::Classes;
use crate::columns::kind;
use crate::columns::places;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::file_property::stored_property;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::ClassStep;
use postroom_model::Demand;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::demands;
use std::time::Duration;

/// How long it may take to check all values. Meanwhile others read and write.
const WITHIN: Duration = Duration::from_secs(600);
/// How many of the entities that prevent a change are named.
const NAMED: u32 = 5;
/// How many values the transaction of a change converts at most.
const CONVERTED_MAX: u64 = 100_000;

/// Entities of a class that prevent a change, or whose values are lost.
struct Obstacle {
    class: String,
    table: String,
    /// What is true of them.
    condition: SqlCondition,
    /// The place in the class.
    place: String,
    /// What they are, for people. `None`: their values are lost, or become others.
    reason: Option<String>,
    /// How many of them there may be. `None`: they are lost.
    at_most: Option<u64>,
}

/// A condition on an entity `t`.
#[derive(Debug, Clone)]
struct SqlCondition {
    sql: String,
    /// The values of `$1 … $n`.
    values: Vec<Value>,
}

/// Which entities prevent a change, and why.
struct Refutation {
    condition: SqlCondition,
    /// For people.
    reason: String,
}

/// The demands of a change on stored values.
pub(crate) struct Demands<'a> {
    store: &'a Store,
    /// The classes before the change.
    former: &'a Classes,
    /// The domain whose entities are looked at. `None`: those of all.
    domain: Option<&'a Domain>,
    /// The last change of an entity before the values were read.
    seq: i64,
    obstacles: Vec<Obstacle>,
    /// How many values are lost.
    lost: u64,
    /// What is lost, for people.
    what: &'static str,
}

impl<'a> Demands<'a> {
    /// Waits for running changes of entities. So the checks that follow see all of them, and each
    /// later change has a greater number in the feed.
    pub(crate) async fn begin(
        store: &'a Store,
        former: &'a Classes,
        domain: Option<&'a Domain>,
    ) -> Result<Self, Error> {
        let none_runs = Statement::new("SELECT 1");
        let none_runs = none_runs.assert(Failed::OtherClasses, Lock::Name(CLASSES));
        let last = Statement::new("SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\"");
        let read = store.inner.database.write(vec![none_runs, last], Room::Reserve).await?;
        let row = read.last().and_then(|outcome| outcome.rows.first());
        let seq = row.and_then(|row| row.whole(0)).ok_or(Error::Damaged { what: "the feed" })?;
        Ok(Self { store, former, domain, seq, obstacles: vec![], lost: 0, what: "values" })
    }

    /// Adds what a step demands of the entities of a class.
    pub(crate) fn take(
        &mut self,
        class: &Class,
        step: &ClassStep<'_>,
        all: &[Class],
    ) -> Result<(), Error> {
        match step {
            ClassStep::Add(property) => {
                if property.required && property.default.is_null() && !property.is_file() {
                    let reason = "there are entities without it: a required property that is \
                                  added later has a default";
                    let any = SqlCondition::plain("1=1".to_owned());
                    self.add(class, property, any, Some(reason.to_owned()));
                }
            }
            ClassStep::Remove(property) => {
                let condition = has_value(class, property);
                self.add(class, property, condition, None);
            }
            ClassStep::Change { before, after } => {
                let wanted = demands(before, after).map_err(|reason| {
                    let problems = vec![Invalid::new(&after.name, reason)];
                    Error::Condition(Failed::Invalid { problems })
                })?;
                let is_converted = kind(before) != kind(after) && !before.is_file();
                if is_converted && !wanted.contains(&Demand::Unset) {
                    let condition = has_value(class, before);
                    self.add(class, before, condition, Some(String::new()));
                    if let Some(last) = self.obstacles.last_mut() {
                        last.at_most = Some(CONVERTED_MAX);
                    }
                }
                for demand in wanted {
                    let of = refuted(class, [before, after], &demand, all);
                    self.add(class, before, of.condition, Some(of.reason));
                }
            }
        }
        Ok(())
    }

    fn add(
        &mut self,
        class: &Class,
        property: &Property,
        condition: SqlCondition,
        reason: Option<String>,
    ) {
        self.obstacles.push(Obstacle {
            class: class.classname.clone(),
            table: quoted(&class.table()),
            condition: condition.of(self.domain),
            place: format!("properties.{}", property.name),
            at_most: reason.as_ref().map(|_| 0),
            reason,
        });
    }

    /// Checks the stored values.
    ///
    /// # Errors
    ///
    /// [`Failed::Invalid`] names entities that prevent the change.
    pub(crate) async fn check(&mut self) -> Result<(), Error> {
        let mut problems = vec![];
        for obstacle in &self.obstacles {
            let count = self.count(obstacle).await?;
            match (obstacle.at_most, &obstacle.reason) {
                (None, _) => self.lost += count,
                (Some(at_most), _) if count <= at_most => {}
                (Some(CONVERTED_MAX), _) => {
                    let reason = format!(
                        "{count} values would become others, and a change takes at most \
                         {CONVERTED_MAX}: add another property, and copy them"
                    );
                    problems.push(Invalid::new(&obstacle.place, reason));
                }
                (Some(_), reason) => {
                    let named = self.named(obstacle).await?;
                    let reason = reason.as_deref().unwrap_or_default();
                    let more = if count > named.len() as u64 { ", …" } else { "" };
                    let named = named.join(", ");
                    let reason = format!(
                        "entities of {} prevent this change, {count} in all: {reason} \
                         ({named}{more})",
                        obstacle.class
                    );
                    problems.push(Invalid::new(&obstacle.place, reason));
                }
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Error::Condition(Failed::Invalid { problems }))
        }
    }

    /// Counts all entities of a class, which are lost.
    pub(crate) async fn count_entities(&mut self, class: &Class) -> Result<(), Error> {
        self.what = "entities";
        let obstacle = Obstacle {
            class: class.classname.clone(),
            table: quoted(&class.table()),
            condition: SqlCondition::plain("1=1".to_owned()),
            place: String::new(),
            reason: None,
            at_most: None,
        };
        self.lost = self.count(&obstacle).await?;
        self.obstacles.push(obstacle);
        Ok(())
    }

    /// Whether the client knows what is lost.
    ///
    /// # Errors
    ///
    /// [`Failed::Unconfirmed`] with the number.
    pub(crate) fn confirmed(&self, confirm: Option<u64>) -> Result<(), Error> {
        let is_known = match confirm {
            Some(confirm) => confirm == self.lost,
            None => self.lost == 0,
        };
        let (count, what) = (self.lost, self.what);
        is_known.then_some(()).ok_or(Error::Condition(Failed::Unconfirmed { count, what }))
    }

    /// The conditions that no entity that changed since the check prevents the change, or loses a
    /// value that was not counted.
    pub(crate) fn asserts(&self) -> Vec<Statement> {
        // Values that are only converted need no condition: the batch converts the present ones.
        let kept = self.obstacles.iter().filter(|o| o.at_most != Some(CONVERTED_MAX));
        let assert = |obstacle: &Obstacle| {
            let Obstacle { class, table, condition: SqlCondition { sql, values }, .. } = obstacle;
            let count = values.len();
            let (seq, name) = (count + 1, count + 2);
            let sql = format!(
                "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"change\" x JOIN {table} t
                   ON t.\"id\" = x.\"entity\"
                 WHERE x.\"seq\" > ${seq} AND x.\"class\" = ${name} AND ({sql}))"
            );
            let assert = Statement::new(sql).bind_all(values.iter().cloned());
            let assert = assert.bind(self.seq).bind(class.as_str());
            assert.assert(Failed::OtherClasses, Lock::Name(CLASSES))
        };
        kept.map(assert).collect()
    }

    async fn count(&self, obstacle: &Obstacle) -> Result<u64, Error> {
        let Obstacle { table, condition: SqlCondition { sql, values }, .. } = obstacle;
        let sql = format!("SELECT COUNT(*) FROM {table} t WHERE {sql}");
        let count = Statement::new(sql).bind_all(values.iter().cloned());
        let rows = self.read(obstacle, count).await?;
        let count = rows.first().and_then(|row| row.whole(0)).unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Looks at the entities of an obstacle as its class was before the change.
    async fn read(&self, obstacle: &Obstacle, statement: Statement) -> Result<Vec<Row>, Error> {
        let former = self.former.get(&obstacle.class);
        let former = former.ok_or(Error::Condition(Failed::OtherClasses))?;
        let statement = statement.of_class(former.as_ref());
        self.store.read(statement.within(WITHIN).searches(true)).await
    }

    async fn named(&self, obstacle: &Obstacle) -> Result<Vec<String>, Error> {
        let Obstacle { table, condition: SqlCondition { sql, values }, .. } = obstacle;
        let limit = values.len() + 1;
        let sql = format!("SELECT t.\"id\" FROM {table} t WHERE {sql} LIMIT ${limit}");
        let named = Statement::new(sql).bind_all(values.iter().cloned()).bind(NAMED);
        let rows = self.read(obstacle, named).await?;
        Ok(rows.iter().filter_map(|row| row.id(0)).map(|id: EntityId| id.to_string()).collect())
    }
}

/// The condition that an entity has a value of a property.
fn has_value(class: &Class, property: &Property) -> SqlCondition {
    if property.is_file() {
        let sql = "EXISTS (SELECT 1 FROM \"file\" f WHERE f.\"entity\" = t.\"id\"
            AND f.\"property\" = $1)";
        let stored = stored_property(class, &property.name);
        return SqlCondition { sql: sql.to_owned(), values: vec![Value::from(stored)] };
    }
    SqlCondition::plain(format!("t.{} IS NOT NULL", quoted(property.column())))
}

impl SqlCondition {
    fn plain(sql: String) -> Self {
        Self { sql, values: vec![] }
    }

    fn with(sql: String, value: i64) -> Self {
        Self { sql, values: vec![Value::from(value)] }
    }

    /// The same for the entities of a domain.
    fn of(mut self, domain: Option<&Domain>) -> Self {
        if let Some(domain) = domain {
            self.values.push(Value::from(domain.as_str()));
            self.sql = format!("({}) AND t.\"domain\" = ${}", self.sql, self.values.len());
        }
        self
    }

    /// A condition with a list of texts in the place of `{}`.
    fn of_texts(sql: &str, texts: &[String]) -> Self {
        let values = texts.iter().map(|text| Value::from(text.as_str())).collect();
        Self { sql: sql.replace("{}", &places(1, texts.len())), values }
    }
}

/// The entities that do not fulfil a demand.
fn refuted(
    class: &Class,
    [before, after]: [&Property; 2],
    demand: &Demand,
    all: &[Class],
) -> Refutation {
    let column = format!("t.{}", quoted(before.column()));
    let (condition, reason) = match demand {
        Demand::Filled => {
            let condition = SqlCondition::plain(format!("{column} IS NULL"));
            (condition, "they have no value".to_owned())
        }
        Demand::Unset => {
            let reason = format!("they have a value of the former definition of `{}`", after.name);
            (has_value(class, before), reason)
        }
        Demand::NoneOf(items) => {
            let condition = SqlCondition::of_texts(&format!("{column} IN ({{}})"), items);
            (condition, format!("they have one of {}", items.join(", ")))
        }
        Demand::Among(items) => {
            let condition = SqlCondition::of_texts(&format!("{column} NOT IN ({{}})"), items);
            (condition, "they have a value that is none of the items".to_owned())
        }
        Demand::AtLeast(number) => {
            let condition = SqlCondition::with(format!("{column} < $1"), *number);
            (condition, format!("they have a smaller number than {number}"))
        }
        Demand::AtMost(number) => {
            let condition = SqlCondition::with(format!("{column} > $1"), *number);
            (condition, format!("they have a greater number than {number}"))
        }
        Demand::BytesMax(bytes) => {
            // A number may become a text.
            let sql = format!("OCTET_LENGTH(CAST({column} AS TEXT)) > $1");
            let condition = SqlCondition::with(sql, *bytes);
            (condition, format!("they have a longer text than {bytes} bytes"))
        }
        Demand::RefersTo(id) => {
            let target = all.iter().find(|class| class.id == *id);
            let target = target.map(|target| quoted(&target.table())).unwrap_or_default();
            let sql = format!(
                "{column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {target} r
                   WHERE r.\"id\" = {column} AND r.\"domain\" = t.\"domain\")"
            );
            let reason = "they refer to no entity of the class of `idclass`".to_owned();
            (SqlCondition::plain(sql), reason)
        }
    };
    Refutation { condition, reason }
}

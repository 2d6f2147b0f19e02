//! Lists of entities, and how many there are.

use crate::condition::Conditions;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::full_text_dialect::WordsPlan;
use crate::page;
use crate::store::Store;
use crate::words_page;
use crate::words_page::WithWords;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::RightAction;
use std::time::Duration;

/// How long a query of a client may take, because others wait for the same readers.
const QUERY_WITHIN: Duration = Duration::from_secs(30);
/// How many messages are sampled to estimate how frequent words are.
const SAMPLE: u32 = 1_000;
/// How many messages are read at most in a walk that checks each message.
const WALKED_MAX: u32 = 20_000;
/// Words are frequent if at least so many messages of the sample have them.
const FREQUENT: i64 = 50;

/// A list, or its beginning when it is large.
#[derive(Debug, Clone)]
pub struct ListPart {
    /// The entities.
    pub entities: Vec<Entity>,
    /// Whether it ended because of its size, so that there may be more.
    pub is_cut: bool,
}

/// How messages with certain words are looked for.
struct ChosenPlan {
    plan: WordsPlan,
    /// Whether the plan may miss entities, because it reads a limited number of messages.
    is_bounded: bool,
}

impl Store {
    /// The entities that a query asks for. Ties, and everything without an order, go by id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_list(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<Vec<Entity>, Error> {
        Ok(self.entity_part(domain, class, query, usize::MAX).await?.entities)
    }

    /// The same entities, but the list ends after the one with which it exceeds `bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_part(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
        bytes_max: usize,
    ) -> Result<ListPart, Error> {
        let query = self.query_within(RightAction::Read, class, query);
        let query = query.as_ref();
        let plan = self.words_plan(domain, class, query).await?;
        let part = async |plan| {
            let statement = self.list(domain, class, query, plan).at_most(bytes_max);
            let rows = self.read(statement).await?;
            let has_room = rows.len() as u64 != u64::from(query.limit);
            let is_cut = has_room && rows.iter().map(Row::size_bytes).sum::<usize>() > bytes_max;
            Ok::<_, Error>((rows, has_room, is_cut))
        };
        let (mut rows, has_room, mut is_cut) = part(plan.plan).await?;
        if has_room && !is_cut && plan.is_bounded {
            // The walk ended before the page was full, so the messages behind it may match too.
            (rows, _, is_cut) = part(WordsPlan::Sorted).await?;
        }
        let entities: Result<_, _> = rows.iter().map(|row| self.entity_of(class, row)).collect();
        Ok(ListPart { entities: entities?, is_cut })
    }

    /// The statement of a list.
    pub(crate) fn list(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
        plan: WordsPlan,
    ) -> Statement {
        let mut conditions = self.conditions(domain);
        let select = Self::select_some(class, |property| query.shows(property));
        let dialect = self.inner.database.dialect();
        let with = WithWords::of(class, query).filter(|_| plan != WordsPlan::Condition);
        let sql = match with {
            Some(with) => words_page::page(&mut conditions, &select, query, &with, plan),
            None => page::page(dialect, &mut conditions, class, &select, query),
        };
        asked(sql, conditions, class, query.filter.as_ref())
    }

    /// The statement that counts the entities that match a filter and the SQL condition `also`.
    pub(crate) fn counting(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<&Filter>,
        also: &str,
    ) -> Statement {
        let mut conditions = self.conditions(domain);
        let dialect = self.inner.database.dialect();
        let rows = page::matching(dialect, &mut conditions, class, filter);
        asked(format!("SELECT COUNT(*) {rows} AND {also}"), conditions, class, filter)
    }

    /// How many entities a query asks for, whatever its limit and offset.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_count(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<u64, Error> {
        self.count(domain, class, query.filter.as_ref(), "1=1").await
    }

    /// How many entities match a filter and the SQL condition `also`.
    pub(crate) async fn count(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<&Filter>,
        also: &str,
    ) -> Result<u64, Error> {
        let filter = self.filter_within(RightAction::Read, class, filter);
        let statement = self.counting(domain, class, filter.as_deref(), also);
        let rows = self.read(statement).await?;
        let count = rows.first().and_then(|row| row.whole(0)).unwrap_or(0);
        Ok(u64::try_from(count).unwrap_or(0))
    }

    pub(crate) fn conditions(&self, domain: &Domain) -> Conditions<'_> {
        let values = vec![Value::Text(domain.as_str().to_owned())];
        Conditions::new(self.inner.database.dialect(), values)
    }

    /// Chooses how messages with certain words are searched, if the database has several ways.
    async fn words_plan(
        &self,
        domain: &Domain,
        class: &Class,
        query: &Query,
    ) -> Result<ChosenPlan, Error> {
        let chosen = |plan| Ok(ChosenPlan { plan, is_bounded: false });
        let Some(with) = WithWords::of(class, query) else {
            return chosen(WordsPlan::Condition);
        };
        let mut conditions = self.conditions(domain);
        let Some(sql) = words_page::probe(&mut conditions, query, &with, SAMPLE) else {
            return chosen(WordsPlan::Sorted);
        };
        let rows = self.read(asked(sql, conditions, class, query.filter.as_ref())).await?;
        let count = |at| rows.first().and_then(|row| row.whole(at)).unwrap_or(0);
        let (looked_at, with_words, found) = (count(0), count(1), count(2));
        let is_bounded = looked_at == i64::from(SAMPLE);
        if !is_bounded {
            return chosen(WordsPlan::Walk(SAMPLE));
        }
        let wanted = i64::from(query.limit).saturating_add_unsigned(query.offset);
        // Fewer are expected than the sample promises, so that a walk rarely ends too early.
        let expected = found * i64::from(WALKED_MAX / SAMPLE) * 5 / 8;
        if expected >= wanted {
            return Ok(ChosenPlan { plan: WordsPlan::Walk(WALKED_MAX), is_bounded });
        }
        // Frequent words exclude few messages, but the other conditions may exclude many.
        let is_narrowed = with_words >= FREQUENT && !with.rest.is_empty();
        chosen(if is_narrowed { WordsPlan::Condition } else { WordsPlan::Sorted })
    }
}

/// The statement of a client's query for entities of a class. `conditions` has its values.
pub(crate) fn asked(
    sql: String,
    conditions: Conditions<'_>,
    class: &Class,
    filter: Option<&Filter>,
) -> Statement {
    let statement = Statement::new(sql).bind_all(conditions.values).within(QUERY_WITHIN);
    statement.searches(filter.is_some_and(Filter::searches)).of_class(class)
}

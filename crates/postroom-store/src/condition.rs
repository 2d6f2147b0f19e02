//! Translates a filter to SQL. Every value is bound, and every name comes from the class.

use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::database::Value;
use postroom_model::filter::Comparison;
use postroom_model::filter::Filter;
use postroom_model::filter::Items;
use postroom_model::filter::Literal;
use postroom_model::filter::Operand;
use postroom_model::filter::Subject;
use postroom_model::filter::Through;

/// How many conditions a chain of `AND` or `OR` has. More are split into groups, because databases
/// limit how deep conditions nest, and each link of a chain is one level. SQLite joins all
/// alternatives that it recognises into one chain, so the groups are written in a form that it does
/// not recognise. It could use no index for so many alternatives anyway.
const SIDE_BY_SIDE_MAX: usize = 8;

const OR: &str = " OR ";

/// Writes conditions and collects the values that they bind.
pub(crate) struct Conditions<'a> {
    dialect: &'a dyn Dialect,
    /// The values of `$1 … $n` so far. The first is the domain.
    pub values: Vec<Value>,
    /// A condition on the rows of a page in addition to the filter. Empty, or it begins with `AND`.
    pub also: String,
    /// Whether the present condition is within a `not`, so that NULL matters.
    negated: bool,
    /// How many tables have got a name so far.
    names: usize,
    /// The name of the item that a condition is about.
    item: String,
}

impl<'a> Conditions<'a> {
    /// Begins with these bound values.
    pub(crate) fn new(dialect: &'a dyn Dialect, values: Vec<Value>) -> Self {
        let (also, item) = (String::new(), String::new());
        Self { dialect, values, also, negated: false, names: 0, item }
    }

    /// The dialect that is written.
    pub(crate) fn dialect(&self) -> &'a dyn Dialect {
        self.dialect
    }

    /// Binds a value and gives its placeholder.
    pub(crate) fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// A filter as SQL. A comparison with an unset property is false, not NULL, so that `not` of it
    /// is true.
    pub(crate) fn filter(&mut self, filter: &Filter) -> String {
        match filter {
            Filter::And(all) => {
                let all: Vec<_> = all.iter().map(|one| self.filter(one)).collect();
                joined(all, " AND ", "1=1")
            }
            Filter::Or(any) => {
                let any: Vec<_> = any.iter().map(|one| self.filter(one)).collect();
                joined(any, OR, "1=0")
            }
            Filter::Not(one) => {
                let outside = std::mem::replace(&mut self.negated, true);
                let one = self.filter(one);
                self.negated = outside;
                format!("(NOT {one})")
            }
            Filter::Some(items, wanted) => self.some(items, wanted),
            Filter::Refers(reference, wanted) => self.refers(reference, wanted),
            Filter::Compare(operand, comparison, literal) => {
                self.compare(operand, *comparison, literal)
            }
            Filter::In(operand, literals) => self.one_of(operand, literals),
            Filter::Between(operand, low, high) => {
                let low = self.compare(operand, Comparison::GreaterOrEqual, low);
                let high = self.compare(operand, Comparison::LessOrEqual, high);
                format!("({low} AND {high})")
            }
            Filter::Like(operand, pattern) => {
                let (column, pattern) = self.texts(operand, pattern);
                self.or_false(self.dialect.like(&column, &pattern))
            }
            Filter::StartsWith(operand, text) => {
                let (column, text) = self.texts(operand, text);
                self.or_false(self.dialect.begins(&column, &text))
            }
            Filter::Contains(operand, literal) => self.contains(operand, literal),
            Filter::Match(query) => {
                let words = self.dialect.full_text();
                let bound = words.bound(query, &mut |text| self.bind(Value::Text(text)));
                words.has(&bound)
            }
            Filter::IsNull(operand) => self.is_null(operand),
        }
    }

    /// The condition that one of the values to which a path leads matches a filter.
    fn some(&mut self, items: &Items, wanted: &Filter) -> String {
        let (mut steps, mut item) = self.first_step(&items.of);
        for name in &items.path {
            let name = self.bind(Value::Text(self.dialect.json_name(name)));
            let member = self.dialect.json_member(&item, &name);
            item = self.named("item");
            steps.push(self.dialect.json_items(&member, &item));
        }
        let outside = std::mem::replace(&mut self.item, item);
        let wanted = self.as_rows(wanted);
        self.item = outside;
        self.dialect.any_item(&steps, wanted)
    }

    /// The items of JSON as a table, and the name of an item.
    fn first_step(&mut self, of: &Subject) -> (Vec<String>, String) {
        let json = match of {
            Subject::Property(column) | Subject::Own { column, .. } => quoted(column),
            Subject::Item => self.dialect.json_of_item(&self.item),
        };
        // The column gets a name that no table of items has as a column.
        let (list, item) = (self.named("list"), self.named("item"));
        let items = self.dialect.json_items(&format!("{list}.json"), &item);
        (vec![format!("(SELECT {json} AS json) AS {list}, {items}")], item)
    }

    /// A new name for a table.
    fn named(&mut self, what: &str) -> String {
        self.names += 1;
        format!("\"{what} {}\"", self.names)
    }

    /// The condition that a property refers to an entity that matches a filter.
    fn refers(&mut self, reference: &Through, wanted: &Filter) -> String {
        let wanted = self.as_rows(wanted);
        let (property, table) = (quoted(&reference.column), quoted(&reference.table));
        self.or_false(format!(
            "{property} IN (SELECT \"id\" FROM {table} WHERE \"domain\" = $1 AND {wanted})"
        ))
    }

    /// A filter that chooses rows of another table. There, NULL has the same effect as false.
    fn as_rows(&mut self, filter: &Filter) -> String {
        let outside = std::mem::replace(&mut self.negated, false);
        let filter = self.filter(filter);
        self.negated = outside;
        filter
    }

    /// The SQL of an operand that is a text, and the placeholder of the text to find in it.
    fn texts(&mut self, operand: &Operand, text: &str) -> (String, String) {
        let column = self.column(operand, Some(ColumnKind::Text));
        (column, self.bind(Value::Text(text.to_owned())))
    }

    /// Makes a condition false for an unset property. This matters only within `not`. Elsewhere the
    /// condition stays as it is, so that an index can be used.
    fn or_false(&self, condition: String) -> String {
        if self.negated { format!("COALESCE({condition}, 1=0)") } else { format!("({condition})") }
    }

    /// The SQL of an operand that is compared with a value of a kind.
    fn column(&self, operand: &Operand, kind: Option<ColumnKind>) -> String {
        match &operand.subject {
            Subject::Property(column) | Subject::Own { column, .. } => quoted(column),
            Subject::Item => self.dialect.json_item(&self.item, kind),
        }
    }

    fn is_null(&self, operand: &Operand) -> String {
        match &operand.subject {
            Subject::Property(column) | Subject::Own { column, .. } if operand.multi => {
                let column = quoted(column);
                format!("({column} IS NULL OR {column} = {})", self.dialect.json_empty())
            }
            Subject::Property(column) | Subject::Own { column, .. } => {
                format!("({} IS NULL)", quoted(column))
            }
            Subject::Item => format!("({})", self.dialect.json_is_null(&self.item)),
        }
    }

    fn compare(&mut self, operand: &Operand, comparison: Comparison, literal: &Literal) -> String {
        if *literal == Literal::Null {
            return match comparison {
                Comparison::Equal => self.is_null(operand),
                Comparison::NotEqual => format!("(NOT {})", self.is_null(operand)),
                Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual => "(1=0)".to_owned(),
            };
        }
        let column = self.column(operand, kind(literal));
        let value = self.compared(operand, literal);
        match comparison {
            Comparison::Equal => self.or_false(format!("{column} = {value}")),
            Comparison::NotEqual => format!("COALESCE({column} <> {value}, 1=1)"),
            Comparison::Less => self.or_false(format!("{column} < {value}")),
            Comparison::LessOrEqual => self.or_false(format!("{column} <= {value}")),
            Comparison::Greater => self.or_false(format!("{column} > {value}")),
            Comparison::GreaterOrEqual => self.or_false(format!("{column} >= {value}")),
        }
    }

    /// A list of values stays flat, because databases limit the nesting of conditions.
    fn one_of(&mut self, operand: &Operand, literals: &[Literal]) -> String {
        let null = Literal::Null;
        let mut any = vec![];
        if literals.contains(&null) {
            any.push(self.is_null(operand));
        }
        // Values of different kinds are in different lists.
        let mut lists: Vec<(String, Vec<String>)> = vec![];
        for literal in literals.iter().filter(|literal| **literal != null) {
            let column = self.column(operand, kind(literal));
            let value = self.compared(operand, literal);
            match lists.iter_mut().find(|(of, _)| *of == column) {
                Some((_, values)) => values.push(value),
                None => lists.push((column, vec![value])),
            }
        }
        for (column, values) in lists {
            any.push(self.or_false(format!("{column} IN ({})", values.join(", "))));
        }
        joined(any, OR, "1=0")
    }

    fn contains(&mut self, operand: &Operand, literal: &Literal) -> String {
        let column = self.column(operand, kind(literal));
        if let Some(kind) = kind(literal).filter(|_| operand.multi) {
            let value = self.literal(literal);
            return self.or_false(self.dialect.json_contains(&column, &value, kind));
        }
        let value = self.literal(literal);
        self.or_false(self.dialect.has(&column, &value))
    }

    /// The placeholder of a literal that is compared. It gets a type where the other side of the
    /// comparison does not determine it: for values inside JSON, and for numbers.
    fn compared(&mut self, operand: &Operand, literal: &Literal) -> String {
        let value = self.literal(literal);
        let is_item = operand.subject == Subject::Item;
        match kind(literal) {
            Some(kind) if is_item || kind == ColumnKind::Float => self.dialect.typed(&value, kind),
            Some(_) | None => value,
        }
    }

    /// Binds a literal and gives its placeholder.
    pub(crate) fn literal(&mut self, literal: &Literal) -> String {
        let value = match literal {
            Literal::Null => Value::Null,
            Literal::Boolean(flag) => Value::Boolean(*flag),
            Literal::Whole(number) => Value::Whole(*number),
            Literal::Float(number) => Value::Float(*number),
            Literal::Text(text) => Value::Text(text.clone()),
            Literal::Moment(ms) => Value::Moment(*ms),
            Literal::Id(id) => Value::Id(*id),
        };
        self.bind(value)
    }
}

/// The kind of a literal. `None` for null.
fn kind(literal: &Literal) -> Option<ColumnKind> {
    Some(match literal {
        Literal::Null => return None,
        Literal::Boolean(_) => ColumnKind::Boolean,
        Literal::Whole(_) => ColumnKind::Whole,
        Literal::Float(_) => ColumnKind::Float,
        Literal::Text(_) => ColumnKind::Text,
        Literal::Moment(_) => ColumnKind::Moment,
        Literal::Id(_) => ColumnKind::Id,
    })
}

/// Conditions joined by an operator, in groups when there are many.
fn joined(all: Vec<String>, operator: &str, none: &str) -> String {
    let mut all = all;
    while all.len() > SIDE_BY_SIDE_MAX {
        let groups = all.chunks(SIDE_BY_SIDE_MAX);
        let hidden = if operator == OR { ["COALESCE((", "), 1=0)"] } else { ["(", ")"] };
        let group = |group: &[String]| hidden.join(&group.join(operator));
        all = groups.map(group).collect();
    }
    if all.is_empty() { format!("({none})") } else { format!("({})", all.join(operator)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::SqliteDialect;
    use postroom_model::builtin;
    use postroom_model::filter;
    use serde_json::json;

    #[test]
    fn comparisons_are_bare_where_an_index_may_serve() {
        let messages = builtin::classes().unwrap().remove(3);
        let state = json!(["property", "messageState"]);
        #[rustfmt::skip]
        let table = [
            (json!(["==", state, "raw"]),          r#"("messageState" = $1)"#),
            (json!(["!=", state, "raw"]),          r#"COALESCE("messageState" <> $1, 1=1)"#),
            (json!(["in", state, ["raw", "sent"]]),   r#"(("messageState" IN ($1, $2)))"#),
            (json!(["==", state, null]),           r#"("messageState" IS NULL)"#),
            (json!(["not", ["==", state, "raw"]]), r#"(NOT COALESCE("messageState" = $1, 1=0))"#),
            (json!(["and", ["not", ["isnull", state]], ["==", state, "raw"]]),
             r#"((NOT ("messageState" IS NULL)) AND ("messageState" = $1))"#),
        ];
        for (json, want) in table {
            let filter = filter::parse(&messages, &json).unwrap();
            let found = Conditions::new(&SqliteDialect, vec![]).filter(&filter);
            assert_eq!(found, want, "{json}");
        }
    }
}

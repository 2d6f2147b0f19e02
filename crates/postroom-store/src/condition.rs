//! Translates a filter to SQL. Every value is bound, and every name comes from the class.

use crate::columns::quoted;
use crate::database::ColumnKind;
use crate::database::Dialect;
use crate::database::Value;
use postroom_model::filter::Comparison;
use postroom_model::filter::Comparison::Equal;
use postroom_model::filter::Comparison::NotEqual;
use postroom_model::filter::Filter;
use postroom_model::filter::Literal;
use postroom_model::filter::Operand;

/// Writes conditions and collects the values that they bind.
pub(crate) struct Conditions<'a> {
    dialect: &'a dyn Dialect,
    /// The values of `$1 … $n` so far.
    pub values: Vec<Value>,
    /// Whether what is written stands within a `not`.
    negated: bool,
}

impl<'a> Conditions<'a> {
    /// Begins with values that are bound already.
    pub(crate) fn new(dialect: &'a dyn Dialect, values: Vec<Value>) -> Self {
        Self { dialect, values, negated: false }
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
                joined(&all, " AND ", "1=1")
            }
            Filter::Or(any) => {
                let any: Vec<_> = any.iter().map(|one| self.filter(one)).collect();
                joined(&any, " OR ", "1=0")
            }
            Filter::Not(one) => {
                let outside = std::mem::replace(&mut self.negated, true);
                let one = self.filter(one);
                self.negated = outside;
                format!("(NOT {one})")
            }
            Filter::Compare(operand, ..)
            | Filter::In(operand, ..)
            | Filter::Between(operand, ..)
            | Filter::Like(operand, ..)
            | Filter::Contains(operand, ..)
            | Filter::StartsWith(operand, ..)
            | Filter::IsNull(operand) => {
                if operand.path.is_empty() {
                    self.on(Subject::Column(&quoted(&operand.property)), filter)
                } else {
                    self.inside(operand, filter)
                }
            }
        }
    }

    /// A filter on a value inside JSON. If the value is a list, at least one item must match. For
    /// `!=`, no item may be equal.
    fn inside(&mut self, operand: &Operand, filter: &Filter) -> String {
        let null = Literal::Null;
        let (contrary, wanted) = match filter {
            Filter::IsNull(_) => (true, Filter::Compare(operand.clone(), NotEqual, null)),
            Filter::Compare(_, Equal, Literal::Null) => {
                (true, Filter::Compare(operand.clone(), NotEqual, null))
            }
            Filter::Compare(_, NotEqual, literal) if *literal != null => {
                (true, Filter::Compare(operand.clone(), Equal, literal.clone()))
            }
            Filter::In(_, literals) if literals.contains(&null) => {
                let values = literals.iter().filter(|literal| **literal != null).cloned();
                let one_of = Filter::In(operand.clone(), values.collect());
                return self.filter(&Filter::Or(vec![Filter::IsNull(operand.clone()), one_of]));
            }
            Filter::Compare(..)
            | Filter::In(..)
            | Filter::Between(..)
            | Filter::Like(..)
            | Filter::Contains(..)
            | Filter::StartsWith(..)
            | Filter::And(_)
            | Filter::Or(_)
            | Filter::Not(_) => (false, filter.clone()),
        };
        let path = self.bind(Value::Text(self.dialect.json_path(&operand.path)));
        let condition = self.on(Subject::Item, &wanted);
        let some = self.dialect.json_some(&quoted(&operand.property), &path, &condition);
        if contrary { format!("(NOT {some})") } else { some }
    }

    /// A condition on a column, or on what stands for it.
    fn on(&mut self, subject: Subject<'_>, filter: &Filter) -> String {
        // Texts are looked for in whatever an item is.
        let column = self.column(subject, None);
        match filter {
            Filter::Compare(_, comparison, literal) => self.compare(subject, *comparison, literal),
            Filter::In(_, literals) => self.one_of(subject, literals),
            Filter::Between(_, low, high) => {
                let low = self.compare(subject, Comparison::GreaterOrEqual, low);
                let high = self.compare(subject, Comparison::LessOrEqual, high);
                format!("({low} AND {high})")
            }
            Filter::Like(_, pattern) => {
                let pattern = self.bind(Value::Text(pattern.clone()));
                self.or_false(self.dialect.like(&column, &pattern))
            }
            Filter::StartsWith(_, text) => {
                let text = self.bind(Value::Text(text.clone()));
                self.or_false(self.dialect.begins(&column, &text))
            }
            Filter::Contains(operand, literal) => self.contains(&column, operand.multi, literal),
            Filter::IsNull(_) => format!("({column} IS NULL)"),
            Filter::And(_) | Filter::Or(_) | Filter::Not(_) => self.filter(filter),
        }
    }

    /// Makes a condition false for an unset property. This matters only within `not`. Elsewhere the
    /// condition stays as it is, so that an index can be used.
    fn or_false(&self, condition: String) -> String {
        if self.negated { format!("COALESCE({condition}, 1=0)") } else { format!("({condition})") }
    }

    /// What stands for a place that is compared with a value of a kind.
    fn column(&self, subject: Subject<'_>, kind: Option<ColumnKind>) -> String {
        match subject {
            Subject::Column(column) => column.to_owned(),
            Subject::Item => self.dialect.json_item(kind),
        }
    }

    fn compare(
        &mut self,
        subject: Subject<'_>,
        comparison: Comparison,
        literal: &Literal,
    ) -> String {
        let column = self.column(subject, kind(literal));
        if *literal == Literal::Null {
            return match comparison {
                Comparison::Equal => format!("({column} IS NULL)"),
                Comparison::NotEqual => format!("({column} IS NOT NULL)"),
                Comparison::Less
                | Comparison::LessOrEqual
                | Comparison::Greater
                | Comparison::GreaterOrEqual => "(1=0)".to_owned(),
            };
        }
        let value = self.compared(subject, literal);
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
    fn one_of(&mut self, subject: Subject<'_>, literals: &[Literal]) -> String {
        let null = Literal::Null;
        let mut any = vec![];
        if literals.contains(&null) {
            any.push(self.compare(subject, Comparison::Equal, &null));
        }
        // Values of a kind have a list of their own.
        let mut lists: Vec<(String, Vec<String>)> = vec![];
        for literal in literals.iter().filter(|literal| **literal != null) {
            let column = self.column(subject, kind(literal));
            let value = self.compared(subject, literal);
            match lists.iter_mut().find(|(of, _)| *of == column) {
                Some((_, values)) => values.push(value),
                None => lists.push((column, vec![value])),
            }
        }
        for (column, values) in lists {
            any.push(self.or_false(format!("{column} IN ({})", values.join(", "))));
        }
        joined(&any, " OR ", "1=0")
    }

    fn contains(&mut self, column: &str, is_list: bool, literal: &Literal) -> String {
        if let Some(kind) = kind(literal).filter(|_| is_list) {
            let value = self.literal(literal);
            return self.or_false(self.dialect.json_contains(column, &value, kind));
        }
        let value = self.literal(literal);
        self.or_false(self.dialect.has(column, &value))
    }

    /// A literal that is compared. What is inside JSON, and a number beside a column of other
    /// numbers, does not say of which type it is.
    fn compared(&mut self, subject: Subject<'_>, literal: &Literal) -> String {
        let value = self.literal(literal);
        match kind(literal) {
            Some(kind) if subject == Subject::Item || kind == ColumnKind::Float => {
                self.dialect.typed(&value, kind)
            }
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

/// What a condition is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject<'a> {
    /// A column.
    Column(&'a str),
    /// What is at the path inside JSON.
    Item,
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

fn joined(all: &[String], operator: &str, none: &str) -> String {
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

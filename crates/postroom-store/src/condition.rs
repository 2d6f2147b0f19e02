//! From a filter to SQL: every value bound, every name from the class.

use crate::columns::quoted;
use crate::database::Dialect;
use crate::database::Value;
use postroom_model::DataType;
use postroom_model::filter::Comparison;
use postroom_model::filter::Filter;
use postroom_model::filter::Literal;
use postroom_model::filter::Operand;

/// Writes conditions and collects the values that they bind.
pub struct Conditions<'a> {
    dialect: &'a dyn Dialect,
    /// The values of `$1 … $n` so far.
    pub values: Vec<Value>,
}

impl<'a> Conditions<'a> {
    /// Begins with values that are bound already.
    pub fn new(dialect: &'a dyn Dialect, values: Vec<Value>) -> Self {
        Self { dialect, values }
    }

    /// Binds a value and gives its placeholder.
    pub fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("${}", self.values.len())
    }

    /// A filter as SQL. It is two-valued: an unset property makes a comparison false, not unknown,
    /// so that `not` means what it says.
    pub fn filter(&mut self, filter: &Filter) -> String {
        match filter {
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
                let column = self.operand(operand);
                let pattern = self.bind(Value::Text(pattern.clone()));
                format!("COALESCE(lower({column}) LIKE lower({pattern}), 1=0)")
            }
            Filter::StartsWith(operand, text) => {
                let column = self.operand(operand);
                let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
                let text = self.bind(Value::Text(text.clone()));
                let length = self.bind(Value::Whole(length));
                format!("COALESCE(substr({column}, 1, {length}) = {text}, 1=0)")
            }
            Filter::Contains(operand, literal) => self.contains(operand, literal),
            Filter::IsNull(operand) => format!("({} IS NULL)", self.operand(operand)),
            Filter::And(all) => {
                let all: Vec<_> = all.iter().map(|one| self.filter(one)).collect();
                joined(&all, " AND ", "1=1")
            }
            Filter::Or(any) => {
                let any: Vec<_> = any.iter().map(|one| self.filter(one)).collect();
                joined(&any, " OR ", "1=0")
            }
            Filter::Not(one) => format!("(NOT {})", self.filter(one)),
        }
    }

    fn compare(&mut self, operand: &Operand, comparison: Comparison, literal: &Literal) -> String {
        let column = self.operand(operand);
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
        let value = self.literal(literal);
        match comparison {
            Comparison::Equal => format!("COALESCE({column} = {value}, 1=0)"),
            Comparison::NotEqual => format!("COALESCE({column} <> {value}, 1=1)"),
            Comparison::Less => format!("COALESCE({column} < {value}, 1=0)"),
            Comparison::LessOrEqual => format!("COALESCE({column} <= {value}, 1=0)"),
            Comparison::Greater => format!("COALESCE({column} > {value}, 1=0)"),
            Comparison::GreaterOrEqual => format!("COALESCE({column} >= {value}, 1=0)"),
        }
    }

    /// A list of values stays flat, however long it is: databases bound how deep a condition nests.
    fn one_of(&mut self, operand: &Operand, literals: &[Literal]) -> String {
        let null = Literal::Null;
        let mut any = vec![];
        if literals.contains(&null) {
            any.push(self.compare(operand, Comparison::Equal, &null));
        }
        let set = literals.iter().filter(|literal| **literal != null);
        let column = self.operand(operand);
        let places: Vec<_> = set.map(|literal| self.literal(literal)).collect();
        if !places.is_empty() {
            any.push(format!("COALESCE({column} IN ({}), 1=0)", places.join(", ")));
        }
        joined(&any, " OR ", "1=0")
    }

    fn contains(&mut self, operand: &Operand, literal: &Literal) -> String {
        let column = self.operand(operand);
        let value = self.literal(literal);
        if operand.multi {
            return format!("COALESCE({}, 1=0)", self.dialect.json_contains(&column, &value));
        }
        format!("(COALESCE({}, 0) > 0)", self.dialect.position(&column, &value))
    }

    fn operand(&mut self, operand: &Operand) -> String {
        let column = quoted(&operand.property);
        if operand.data_type != DataType::Any || operand.path.is_empty() {
            return column;
        }
        let step = |step: &String| format!(".\"{}\"", step.replace('"', ""));
        let path: String = operand.path.iter().map(step).collect();
        let path = self.bind(Value::Text(format!("${path}")));
        self.dialect.json_value(&column, &path)
    }

    fn literal(&mut self, literal: &Literal) -> String {
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

fn joined(all: &[String], operator: &str, none: &str) -> String {
    if all.is_empty() { format!("({none})") } else { format!("({})", all.join(operator)) }
}

//! What a filter is made of: comparisons of properties with values, joined by and, or, not.

use crate::id::EntityId;
use crate::property::DataType;

/// How many values a filter may compare with and still be one that costs little for each entity.
const COMPARED_MAX: usize = 100;

/// How two values compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `==`; with `null` it asks whether the property is unset.
    Equal,
    /// `!=`; true for unset properties too, unless the literal is `null`.
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A value of the type of the property that it is compared with.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// Unset.
    Null,
    /// A boolean.
    Boolean(bool),
    /// A whole number.
    Whole(i64),
    /// A floating point number.
    Float(f64),
    /// Text: strings, words of an enum, days, times of day.
    Text(String),
    /// A moment, in milliseconds since 1970.
    Moment(i64),
    /// A UUID.
    Id(EntityId),
}

/// A property of the class, or a value inside its JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// The property; `id` and `version` too.
    pub property: String,
    /// The path inside the JSON of a property of type `any`, or inside one of its items when it is
    /// a list; empty for the property itself.
    pub path: Vec<String>,
    /// What its values are.
    pub data_type: DataType,
    /// Whether it holds a list.
    pub multi: bool,
}

impl Operand {
    fn has_no_path(&self, count: usize) -> Option<usize> {
        self.path.is_empty().then_some(count)
    }
}

/// A condition on one entity.
#[derive(Debug, Clone, PartialEq)]
pub enum Filter {
    /// A comparison with a value.
    Compare(Operand, Comparison, Literal),
    /// `in`: equal to one of the values.
    In(Operand, Vec<Literal>),
    /// `between`: at least the first and at most the second.
    Between(Operand, Literal, Literal),
    /// `like`: SQL's pattern, `%` for any text and `_` for one character; blind to case
    /// (`crate::fold`).
    Like(Operand, String),
    /// `contains`: a list property holds the very value, or a text has it somewhere, blind to case.
    Contains(Operand, Literal),
    /// `startswith`: the text begins so, blind to case.
    StartsWith(Operand, String),
    /// `isnull`: the property is unset.
    IsNull(Operand),
    /// All of them; true when there is none.
    And(Vec<Filter>),
    /// One of them; false when there is none.
    Or(Vec<Filter>),
    /// The contrary.
    Not(Box<Filter>),
}

impl Filter {
    /// Whether it looks into texts or JSON, or compares with many values, so that it takes long
    /// where there are many or large entities.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.compared().is_none_or(|count| count > COMPARED_MAX)
    }

    /// With how many values it compares; `None` when it looks into texts or JSON.
    fn compared(&self) -> Option<usize> {
        match self {
            Self::Compare(operand, ..) | Self::IsNull(operand) => operand.has_no_path(1),
            Self::Between(operand, ..) => operand.has_no_path(2),
            Self::In(operand, literals) => operand.has_no_path(literals.len()),
            Self::Like(..) | Self::Contains(..) | Self::StartsWith(..) => None,
            Self::And(several) | Self::Or(several) => several.iter().map(Self::compared).sum(),
            Self::Not(one) => one.compared(),
        }
    }

    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match self {
            Self::And(mut all) => {
                all.push(other);
                Self::And(all)
            }
            Self::Compare(..)
            | Self::In(..)
            | Self::Between(..)
            | Self::Like(..)
            | Self::Contains(..)
            | Self::StartsWith(..)
            | Self::IsNull(..)
            | Self::Or(..)
            | Self::Not(..) => Self::And(vec![self, other]),
        }
    }
}

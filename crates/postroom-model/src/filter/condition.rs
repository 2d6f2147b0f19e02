//! What a filter is made of: comparisons of properties with values, joined by and, or, not.
//!
//! Each condition is true or false, never unknown. What leads into JSON, or through a reference, is
//! written out when the filter is read: `!=` of a value inside JSON is `Not(Some(…, ==))`. So the
//! databases and the evaluator have only these few kinds of conditions to agree on.

use crate::id::ClassId;
use crate::id::EntityId;
use crate::match_query::MatchQuery;
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

/// What a condition is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// A property of the entity; `id` and `version` too.
    Property(String),
    /// A property that a domain added to a class of all domains.
    Own {
        /// Its name.
        name: String,
        /// The column of its values.
        column: String,
    },
    /// The item that the innermost [`Filter::Some`] looks at.
    Item,
}

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operand {
    /// Whose value it is.
    pub subject: Subject,
    /// What its values are. An item of JSON is `any`.
    pub data_type: DataType,
    /// Whether it holds a list.
    pub multi: bool,
}

/// The values that a path leads to inside JSON.
///
/// At each step, a list stands for its items, and what is no list for itself. `null` and what is
/// not there stand for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Items {
    /// Where the JSON is.
    pub of: Subject,
    /// The names of the members that lead to the values; may be empty.
    pub path: Vec<String>,
}

/// A property that refers to an entity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Through {
    /// The property.
    pub property: String,
    /// The column of its values.
    pub column: String,
    /// The class of the entity.
    pub class: ClassId,
    /// The table of that class.
    pub table: String,
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
    /// `match`: the message has these words ([`MatchQuery`]).
    Match(MatchQuery),
    /// `isnull`: the property is unset. An empty list is unset too.
    IsNull(Operand),
    /// At least one of the values is as the filter says. `any`; `all` is its contrary.
    Some(Items, Box<Filter>),
    /// The property refers to an entity that the filter matches.
    Refers(Through, Box<Filter>),
    /// All of them; true when there is none.
    And(Vec<Filter>),
    /// One of them; false when there is none.
    Or(Vec<Filter>),
    /// The contrary.
    Not(Box<Filter>),
}

impl Filter {
    /// Whether it looks into texts or JSON or other entities, or compares with many values, so
    /// that it takes long
    /// where there are many or large entities.
    #[must_use]
    pub fn searches(&self) -> bool {
        self.compared().is_none_or(|count| count > COMPARED_MAX)
    }

    /// With how many values it compares; `None` when it looks into texts or JSON, or
    /// at other entities.
    fn compared(&self) -> Option<usize> {
        match self {
            Self::Compare(..) | Self::IsNull(_) => Some(1),
            Self::Between(..) => Some(2),
            Self::In(_, literals) => Some(literals.len()),
            Self::Like(..) | Self::Contains(..) | Self::StartsWith(..) => None,
            Self::Some(..) | Self::Refers(..) | Self::Match(_) => None,
            Self::And(several) | Self::Or(several) => several.iter().map(Self::compared).sum(),
            Self::Not(one) => one.compared(),
        }
    }

    /// Whether it looks at other entities anywhere.
    #[must_use]
    pub fn refers(&self) -> bool {
        match self {
            Self::Refers(..) => true,
            Self::Some(_, wanted) | Self::Not(wanted) => wanted.refers(),
            Self::And(several) | Self::Or(several) => several.iter().any(Self::refers),
            Self::Compare(..)
            | Self::IsNull(_)
            | Self::Between(..)
            | Self::In(..)
            | Self::Like(..)
            | Self::Contains(..)
            | Self::Match(_)
            | Self::StartsWith(..) => false,
        }
    }

    /// What `match` looks for anywhere in it, in the order of the filter.
    #[must_use]
    pub fn match_queries(&self) -> Vec<&MatchQuery> {
        match self {
            Self::Match(query) => vec![query],
            Self::Not(one) => one.match_queries(),
            Self::And(several) | Self::Or(several) => {
                several.iter().flat_map(Self::match_queries).collect()
            }
            // It is about the message itself, never about an item of it or another entity.
            Self::Some(..)
            | Self::Refers(..)
            | Self::Compare(..)
            | Self::IsNull(_)
            | Self::Between(..)
            | Self::In(..)
            | Self::Like(..)
            | Self::Contains(..)
            | Self::StartsWith(..) => vec![],
        }
    }

    /// Whether it compares a property of the class itself anywhere.
    #[must_use]
    pub fn names(&self, property: &str) -> bool {
        let is_it = |operand: &Operand| match &operand.subject {
            Subject::Property(name) | Subject::Own { name, .. } => name == property,
            Subject::Item => false,
        };
        match self {
            Self::Compare(operand, ..)
            | Self::IsNull(operand)
            | Self::Between(operand, ..)
            | Self::In(operand, _)
            | Self::Like(operand, _)
            | Self::Contains(operand, _)
            | Self::StartsWith(operand, _) => is_it(operand),
            Self::Some(..) | Self::Refers(..) | Self::Match(_) => false,
            Self::And(several) | Self::Or(several) => several.iter().any(|one| one.names(property)),
            Self::Not(one) => one.names(property),
        }
    }

    /// The entities with these ids.
    #[must_use]
    pub fn of_ids(ids: &[EntityId]) -> Self {
        let subject = Subject::Property("id".to_owned());
        let id = Operand { subject, data_type: DataType::Uuid, multi: false };
        Self::In(id, ids.iter().copied().map(Literal::Id).collect())
    }

    /// Both of them.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        if let Self::And(mut all) = self {
            all.push(other);
            return Self::And(all);
        }
        Self::And(vec![self, other])
    }
}

//! The keys of options: the type, unit, range and default of each.
//!
//! A key has the type of its values, so that a misspelt option, or one that is read as another
//! type, does not compile.

use serde_json::Value as Json;

/// The type of the values of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OptionKind {
    /// `true` or `false`.
    Boolean {
        /// Used when nothing is set.
        default: bool,
    },
    /// A whole number.
    Count {
        /// The smallest value.
        minimum: u64,
        /// The largest value.
        maximum: u64,
        /// Used when nothing is set.
        default: u64,
    },
    /// A duration in seconds, fractions allowed.
    Seconds {
        /// The smallest value.
        minimum: f64,
        /// The largest value.
        maximum: f64,
        /// Used when nothing is set.
        default: f64,
    },
    /// One of a few words; the first is the default.
    Word {
        /// The allowed words.
        words: &'static [&'static str],
    },
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Declaration {
    /// Its name in `options`.
    pub name: &'static str,
    /// The unit of its number, for people: `seconds`, `messages`, `bytes`, or empty.
    pub unit: &'static str,
    /// The type of its values, with range and default.
    pub kind: OptionKind,
}

/// An option that is `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FlagKey {
    /// What clients may set.
    pub(crate) declaration: Declaration,
    /// The value when nothing is set.
    pub(crate) default: bool,
}

/// An option that is a whole number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CountKey {
    /// What clients may set.
    pub(crate) declaration: Declaration,
    /// The value when nothing is set.
    pub(crate) default: u64,
}

/// An option that is a duration.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DurationKey {
    /// What clients may set.
    pub(crate) declaration: Declaration,
    /// The value in seconds when nothing is set.
    pub(crate) default: f64,
}

/// Declares an option that is `true` or `false`.
pub(crate) const fn flag(name: &'static str, default: bool) -> FlagKey {
    let kind = OptionKind::Boolean { default };
    FlagKey { declaration: Declaration { name, unit: "", kind }, default }
}

/// Declares a duration: minimum, maximum and default in seconds.
pub(crate) const fn seconds(
    name: &'static str,
    [minimum, maximum, default]: [f64; 3],
) -> DurationKey {
    let kind = OptionKind::Seconds { minimum, maximum, default };
    DurationKey { declaration: Declaration { name, unit: "seconds", kind }, default }
}

/// Declares a whole number: minimum, maximum and default.
pub(crate) const fn count(
    name: &'static str,
    unit: &'static str,
    [minimum, maximum, default]: [u64; 3],
) -> CountKey {
    let kind = OptionKind::Count { minimum, maximum, default };
    CountKey { declaration: Declaration { name, unit, kind }, default }
}

impl Declaration {
    /// What is wrong with a value. `None`: nothing.
    #[must_use]
    pub(crate) fn problem(&self, value: &Json) -> Option<String> {
        let wanted = match self.kind {
            OptionKind::Boolean { .. } => {
                return (!value.is_boolean()).then(|| "takes true or false".to_owned());
            }
            OptionKind::Count { minimum, maximum, .. } => {
                let good = value.as_u64().is_some_and(|n| (minimum..=maximum).contains(&n));
                if good {
                    return None;
                }
                format!("takes a whole number of {} from {minimum} to {maximum}", self.unit)
            }
            OptionKind::Seconds { minimum, maximum, .. } => {
                let good = value.as_f64().is_some_and(|n| (minimum..=maximum).contains(&n));
                if good {
                    return None;
                }
                format!("takes seconds (not milliseconds) from {minimum} to {maximum}")
            }
            OptionKind::Word { words } => {
                if value.as_str().is_some_and(|word| words.contains(&word)) {
                    return None;
                }
                format!("takes one of {}", words.join(", "))
            }
        };
        Some(wanted)
    }
}

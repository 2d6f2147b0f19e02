//! An instance of a role: one process of an installation, and its place among the others.

use crate::invalid::Invalid;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// The numbers of groups.
pub const GROUPS: RangeInclusive<u64> = 1..=1 << 31;
/// The places in the order of a group.
pub const ORDERS: RangeInclusive<u64> = 0..=1 << 31;
/// The most characters that the name of an instance has.
pub const INSTANCE_NAME_CHARS_MAX: usize = 64;

/// Whether this may be the name of an instance.
pub(crate) fn is_instance_name(name: &str) -> bool {
    (1..=INSTANCE_NAME_CHARS_MAX).contains(&name.chars().count())
        && !name.chars().any(char::is_control)
        && name.trim() == name
}

/// What the name of an instance takes, for people.
pub(crate) fn name_takes() -> String {
    format!(
        "takes 1 to {INSTANCE_NAME_CHARS_MAX} characters, without control characters and without \
         spaces around them"
    )
}

/// What an instance does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum InstanceRole {
    /// It answers REST, and it receives and sends mail while it is the active one of its group.
    #[default]
    Email,
    /// It answers REST alone.
    Api,
}

impl InstanceRole {
    /// Every role.
    pub const ALL: [Self; 2] = [Self::Email, Self::Api];

    /// The word of the configuration (`roletype`).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Email => "email",
            Self::Api => "api",
        }
    }
}

impl fmt::Display for InstanceRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no role of this program.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the role is `email` or `api`, not `{0}`")]
pub struct NotARole(String);

impl FromStr for InstanceRole {
    type Err = NotARole;

    fn from_str(word: &str) -> Result<Self, NotARole> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == word);
        found.ok_or_else(|| NotARole(word.to_owned()))
    }
}

/// An instance of a role.
///
/// The instances of role `email` with one group take over from each other: one is active, the
/// others wait in the sequence of `order`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Its name, for people: 1 to [`INSTANCE_NAME_CHARS_MAX`] characters.
    pub name: String,
    /// Its group, of [`GROUPS`].
    pub group: u64,
    /// Its place in the group, of [`ORDERS`]. The lowest comes first.
    pub order: u64,
    /// What it does.
    pub role: InstanceRole,
    /// Whether it takes the work back from an instance with a higher `order`, as soon as it waits
    /// for it. The other one finishes first what it has begun.
    pub failback: bool,
}

impl Instance {
    /// The group of an instance for which none is given.
    pub const GROUP_DEFAULT: u64 = 1;
    /// The order of an instance for which none is given.
    pub const ORDER_DEFAULT: u64 = 1;

    /// An instance of role `email` with the default group and order.
    #[must_use]
    pub fn named(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            group: Self::GROUP_DEFAULT,
            order: Self::ORDER_DEFAULT,
            role: InstanceRole::Email,
            failback: true,
        }
    }

    /// What is wrong with it, each with the name of its member. Empty: nothing.
    #[must_use]
    pub fn problems(&self) -> Vec<Invalid> {
        let within =
            |range: RangeInclusive<u64>| format!("takes {} to {}", range.start(), range.end());
        let checks = [
            (is_instance_name(&self.name), "name", name_takes()),
            (GROUPS.contains(&self.group), "group", within(GROUPS)),
            (ORDERS.contains(&self.order), "order", within(ORDERS)),
        ];
        let wrong = checks.into_iter().filter(|(is_right, ..)| !is_right);
        wrong.map(|(_, member, reason)| Invalid::new(member, reason)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_an_instance_is_named() {
        let right = Instance::named("e1");
        assert_eq!(right.problems(), []);
        let long = "x".repeat(INSTANCE_NAME_CHARS_MAX + 1);
        let of = |name: &str| Instance::named(name);
        let table = [
            (of(""), "name"),
            (of(" e1"), "name"),
            (of("e\n1"), "name"),
            (of(&long), "name"),
            (Instance { group: 0, ..right.clone() }, "group"),
            (Instance { group: GROUPS.end() + 1, ..right.clone() }, "group"),
            (Instance { order: ORDERS.end() + 1, ..right.clone() }, "order"),
        ];
        for (instance, member) in table {
            let problems = instance.problems();
            let members: Vec<_> = problems.iter().map(|one| one.property.as_str()).collect();
            assert_eq!(members, [member], "{instance:?}");
        }
        let edge = Instance { group: *GROUPS.end(), order: 0, ..right };
        assert_eq!(edge.problems(), []);
    }

    #[test]
    fn a_role_is_read_as_it_is_written() {
        for role in InstanceRole::ALL {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        let error = "im".parse::<InstanceRole>().unwrap_err();
        assert_eq!(error.to_string(), "the role is `email` or `api`, not `im`");
    }
}

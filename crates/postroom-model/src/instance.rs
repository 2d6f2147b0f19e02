//! An instance of a role: one process of an installation, and its place among the others.

use crate::invalid::Invalid;
use std::fmt;
use std::str::FromStr;

/// The largest number of a group.
pub const GROUP_MAX: u64 = 1 << 31;
/// The largest place in the order of a group.
pub const ORDER_MAX: u64 = 1 << 31;
/// The most characters that the name of an instance has.
pub const INSTANCE_NAME_CHARS_MAX: usize = 64;

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
    /// Its group: 1 to [`GROUP_MAX`].
    pub group: u64,
    /// Its place in the group: 0 to [`ORDER_MAX`]. The lowest comes first.
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
        let chars = self.name.chars().count();
        let is_named = (1..=INSTANCE_NAME_CHARS_MAX).contains(&chars)
            && !self.name.chars().any(char::is_control)
            && self.name.trim() == self.name;
        let name = format!(
            "takes 1 to {INSTANCE_NAME_CHARS_MAX} characters, without control characters and \
             without spaces around them"
        );
        let checks = [
            (is_named, "name", name),
            ((1..=GROUP_MAX).contains(&self.group), "group", format!("takes 1 to {GROUP_MAX}")),
            (self.order <= ORDER_MAX, "order", format!("takes 0 to {ORDER_MAX}")),
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
            (Instance { group: GROUP_MAX + 1, ..right.clone() }, "group"),
            (Instance { order: ORDER_MAX + 1, ..right.clone() }, "order"),
        ];
        for (instance, member) in table {
            let problems = instance.problems();
            let members: Vec<_> = problems.iter().map(|one| one.property.as_str()).collect();
            assert_eq!(members, [member], "{instance:?}");
        }
        let edge = Instance { group: GROUP_MAX, order: 0, ..right };
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

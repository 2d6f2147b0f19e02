//! One instance of a role in the section `roles` of the configuration.
//!
//! ```json
//! {"name": "im1", "roletype": "im", "iface": "eth0", "group": 11330, "order": 1}
//! ```
//! Postroom runs the role type `email`. Instances of other role types are kept with all their
//! parameters and shown, because the section describes the whole platform.

use crate::invalid::Invalid;
use serde_json::Map;
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// The role type that Postroom runs.
pub const ROLE_TYPE: &str = "email";

/// The members of every role.
pub(crate) const ROLE_MEMBERS: [&str; 6] =
    ["name", "roletype", "iface", "group", "order", "enabled"];

/// The numbers of groups.
const GROUPS: RangeInclusive<u64> = 1..=1 << 31;
/// The places in a group.
const ORDERS: RangeInclusive<u64> = 0..=(1 << 31) - 1;
/// How many characters a name may have.
const NAME_CHARS_MAX: usize = 63;
/// How many bytes the name of a network interface may have (the limit of Linux).
const IFACE_BYTES_MAX: usize = 15;

/// One instance of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredRole {
    /// Its name, unique in the section.
    pub name: String,
    /// What it does.
    pub roletype: String,
    /// The network interface whose address it listens on. `None`: it is not said.
    pub iface: Option<String>,
    /// The group of instances that take over from one another. `None`: it is alone.
    pub group: Option<u64>,
    /// Its place in the group. The smallest one takes over first.
    pub order: Option<u64>,
    /// Whether it may run.
    pub enabled: bool,
}

impl ConfiguredRole {
    /// Reads a role. `place` is where it is in the document.
    ///
    /// # Errors
    ///
    /// Each member that is wrong, with its place.
    pub(crate) fn read(role: &Json, place: &str) -> Result<Self, Vec<Invalid>> {
        let Json::Object(members) = role else {
            return Err(vec![Invalid::new(place, "takes an object with `name` and `roletype`")]);
        };
        let mut reading = RoleReading { members, place, problems: vec![] };
        let (name, roletype) = (reading.name("name"), reading.name("roletype"));
        let is_ours = roletype.trim().to_lowercase() == ROLE_TYPE;
        if is_ours && roletype != ROLE_TYPE {
            reading.problem("roletype", "is written `email`, in lower case");
        }
        let read = Self {
            name,
            iface: reading.iface(),
            group: reading.whole("group", GROUPS),
            order: reading.whole("order", ORDERS),
            enabled: reading.flag("enabled"),
            roletype,
        };
        if is_ours {
            reading.no_others();
        }
        if reading.problems.is_empty() { Ok(read) } else { Err(reading.problems) }
    }

    /// Whether Postroom runs it.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.roletype == ROLE_TYPE
    }
}

/// A role that is being read.
struct RoleReading<'a> {
    members: &'a Map<String, Json>,
    place: &'a str,
    problems: Vec<Invalid>,
}

impl RoleReading<'_> {
    fn problem(&mut self, member: &str, reason: impl Into<String>) {
        self.problems.push(Invalid::new(format!("{}.{member}", self.place), reason));
    }

    /// A name that must be there.
    fn name(&mut self, member: &str) -> String {
        let takes = format!(
            "takes 1 to {NAME_CHARS_MAX} letters, digits, '-', '_' and '.', and begins with a \
             letter or digit"
        );
        match self.members.get(member) {
            Some(Json::String(name)) if is_name(name) => return name.clone(),
            None | Some(Json::Null) => self.problem(member, format!("is required: {takes}")),
            Some(_) => self.problem(member, takes),
        }
        String::new()
    }

    fn iface(&mut self) -> Option<String> {
        let is_iface = |name: &str| {
            let is_plain = |char: char| !char.is_whitespace() && !char.is_control() && char != '/';
            let length = 1..=IFACE_BYTES_MAX;
            length.contains(&name.len())
                && ![".", ".."].contains(&name)
                && name.chars().all(is_plain)
        };
        match self.members.get("iface") {
            None | Some(Json::Null) => return None,
            Some(Json::String(name)) if is_iface(name) => return Some(name.clone()),
            Some(_) => {}
        }
        let reason = format!(
            "takes the name of a network interface, such as eth0: 1 to {IFACE_BYTES_MAX} bytes \
             without blanks and '/'"
        );
        self.problem("iface", reason);
        None
    }

    fn whole(&mut self, member: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let value = self.members.get(member).filter(|value| !value.is_null())?;
        let number = value.as_u64().filter(|number| range.contains(number));
        if number.is_none() {
            let (from, to) = range.into_inner();
            self.problem(member, format!("takes a whole number from {from} to {to}"));
        }
        number
    }

    /// A flag that is set unless it is `false`.
    fn flag(&mut self, member: &str) -> bool {
        match self.members.get(member) {
            None | Some(Json::Null) => true,
            Some(Json::Bool(flag)) => *flag,
            Some(_) => {
                self.problem(member, "takes true or false");
                true
            }
        }
    }

    /// Names each parameter that the role `email` does not have.
    fn no_others(&mut self) {
        let others = self.members.keys().filter(|name| !ROLE_MEMBERS.contains(&name.as_str()));
        for name in others {
            let reason = format!(
                "no such parameter of the role `{ROLE_TYPE}`; there is {}",
                ROLE_MEMBERS.join(", ")
            );
            self.problems.push(Invalid::new(format!("{}.{name}", self.place), reason));
        }
    }
}

fn is_name(name: &str) -> bool {
    let is_first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    is_first && name.len() <= NAME_CHARS_MAX && name.bytes().all(is_plain)
}

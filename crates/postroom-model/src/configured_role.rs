//! One instance of a role in the section `roles` of the configuration.
//!
//! ```json
//! {"name": "im1", "roletype": "im", "iface": "eth0", "group": 11330, "order": 1}
//! ```
//! Postroom runs the role types of [`InstanceRole`]. Instances of other role types are kept with
//! all their parameters and shown, because the section describes the whole platform.

use crate::instance::GROUPS;
use crate::instance::InstanceRole;
use crate::instance::ORDERS;
use crate::instance::is_instance_name;
use crate::instance::name_takes;
use crate::invalid::Invalid;
use serde_json::Map;
use serde_json::Value as Json;
use std::ops::RangeInclusive;

/// The members of every role.
pub(crate) const ROLE_MEMBERS: [&str; 6] =
    ["name", "roletype", "iface", "group", "order", "enabled"];

/// The parameter of instances of role `email`.
const FAILBACK: &str = "failback";
/// How many characters a role type may have.
const TYPE_CHARS_MAX: usize = 63;
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
    /// Whether it takes the work back from an instance with a higher `order`. `None`: it is not
    /// said.
    pub failback: Option<bool>,
}

impl ConfiguredRole {
    /// Reads a role, and adds each member that is wrong to the problems. `place` is where it is in
    /// the document. `None`: nobody can tell which instance it is.
    pub(crate) fn read(role: &Json, place: &str, problems: &mut Vec<Invalid>) -> Option<Self> {
        let Json::Object(members) = role else {
            problems.push(Invalid::new(place, "takes an object with `name` and `roletype`"));
            return None;
        };
        let mut reading = RoleReading { members, place, problems };
        let (name, roletype) = (reading.name(), reading.role_type());
        let role = roletype.trim().to_lowercase().parse::<InstanceRole>().ok();
        if let Some(role) = role.filter(|role| role.as_str() != roletype) {
            reading.problem("roletype", format!("is written `{role}`, in lower case"));
        }
        let read = Self {
            name,
            iface: reading.iface(),
            group: reading.whole("group", GROUPS),
            order: reading.whole("order", ORDERS),
            enabled: reading.flag("enabled").unwrap_or(true),
            // A foreign role may have a parameter of this name, which means what it likes.
            failback: role.and_then(|_| reading.flag(FAILBACK)),
            roletype,
        };
        if let Some(role) = role {
            reading.no_others(role);
        }
        let is_known = !read.name.is_empty() && !read.roletype.is_empty();
        is_known.then_some(read)
    }

    /// What Postroom does as this instance. `None`: another program runs it.
    #[must_use]
    pub fn role(&self) -> Option<InstanceRole> {
        self.roletype.parse().ok()
    }
}

/// A role that is being read.
struct RoleReading<'a> {
    members: &'a Map<String, Json>,
    place: &'a str,
    problems: &'a mut Vec<Invalid>,
}

impl RoleReading<'_> {
    fn problem(&mut self, member: &str, reason: impl Into<String>) {
        self.problems.push(Invalid::new(format!("{}.{member}", self.place), reason));
    }

    fn name(&mut self) -> String {
        self.required("name", is_instance_name, &name_takes())
    }

    fn role_type(&mut self) -> String {
        let takes = format!(
            "takes 1 to {TYPE_CHARS_MAX} letters, digits, '-', '_' and '.', and begins with a \
             letter or digit"
        );
        self.required("roletype", is_role_type, &takes)
    }

    /// A text that must be there. `takes` says which ones are right.
    fn required(&mut self, member: &str, is_right: fn(&str) -> bool, takes: &str) -> String {
        match self.members.get(member) {
            Some(Json::String(text)) if is_right(text) => return text.clone(),
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

    /// A flag. `None`: it is not said, or wrong.
    fn flag(&mut self, member: &str) -> Option<bool> {
        match self.members.get(member) {
            None | Some(Json::Null) => None,
            Some(Json::Bool(flag)) => Some(*flag),
            Some(_) => {
                self.problem(member, "takes true or false");
                None
            }
        }
    }

    /// Names each parameter that a role of ours does not have.
    fn no_others(&mut self, role: InstanceRole) {
        let mut known = ROLE_MEMBERS.to_vec();
        match role {
            InstanceRole::Email => known.push(FAILBACK),
            InstanceRole::Api => {}
        }
        let others = self.members.keys().filter(|name| !known.contains(&name.as_str()));
        for name in others {
            let known = known.join(", ");
            let reason = format!("no such parameter of the role `{role}`; there is {known}");
            self.problems.push(Invalid::new(format!("{}.{name}", self.place), reason));
        }
    }
}

fn is_role_type(name: &str) -> bool {
    let is_first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    is_first && name.len() <= TYPE_CHARS_MAX && name.bytes().all(is_plain)
}

//! The configuration of all instances. It lives in the database, and clients change it.
//!
//! ```text
//!   JSON of a client ─► patched (RFC 7396) ─► checked as a whole ─► a new version in the store
//! ```
//! Every problem names its place. What Postroom does not know is refused, except instances of other
//! role types, which are kept as they are.
//!
//! Standards: RFC 7396 (merge patch).

use crate::address_rules::AddressRules;
use crate::configuration_setting::check_proxy;
use crate::configuration_setting::check_section;
use crate::configuration_setting::section_names;
use crate::configuration_setting::trimmed_section;
use crate::configured_role::ConfiguredRole;
use crate::configured_role::ROLE_MEMBERS;
use crate::instance::InstanceRole;
use crate::invalid::Invalid;
use crate::json_difference::Difference;
use crate::json_difference::differences;
use crate::merge_patch::merge_patched;
use crate::proxy::ProxyAddress;
use crate::secret_member::masked;
use crate::secret_member::odd_secrets;
use crate::secret_member::unmask;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use std::num::NonZeroU32;

/// The section of roles.
const ROLES: &str = "roles";
/// How many bytes a configuration may have.
const BYTES_MAX: usize = 1024 * 1024;
/// How many roles it may have.
const ROLES_MAX: usize = 1000;

/// The proxy for all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredProxy {
    /// Where it is.
    pub address: ProxyAddress,
    /// The login name there. `None`: it needs none.
    pub login: Option<String>,
}

/// A configuration that was checked. Its secrets may be sealed.
#[derive(Debug, Clone, PartialEq)]
pub struct Configuration {
    members: Map<String, Json>,
    roles: Vec<ConfiguredRole>,
}

impl Default for Configuration {
    /// Without any role or setting.
    fn default() -> Self {
        Self { members: Map::from_iter([(ROLES.to_owned(), json!([]))]), roles: vec![] }
    }
}

impl Configuration {
    /// Checks a whole configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with its place.
    pub fn new(members: Map<String, Json>) -> Result<Self, Vec<Invalid>> {
        let size_bytes = Json::Object(members.clone()).to_string().len();
        if size_bytes > BYTES_MAX {
            let reason = format!("the configuration is larger than {BYTES_MAX} bytes");
            return Err(vec![Invalid::new("", reason)]);
        }
        let mut problems = vec![];
        let read = Self::read(members, &mut problems);
        if problems.is_empty() { Ok(read) } else { Err(problems) }
    }

    /// Checks one that a store has by the rules of this release.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with its place.
    pub fn checked(&self) -> Result<(), Vec<Invalid>> {
        Self::new(self.members.clone()).map(drop)
    }

    /// A configuration that a store has. Another release, which may be newer, checked it by its own
    /// rules. What this one does not know or take has no effect here.
    #[must_use]
    pub fn stored(members: Map<String, Json>) -> Self {
        Self::read(members, &mut vec![])
    }

    fn read(mut members: Map<String, Json>, problems: &mut Vec<Invalid>) -> Self {
        members.entry(ROLES).or_insert_with(|| json!([]));
        let mut roles = vec![];
        for (name, section) in &members {
            if name == ROLES {
                roles = read_roles(section, problems);
            } else if section_names().contains(&name.as_str()) {
                check_section(name, section, problems);
            } else {
                let names = section_names().join(", ");
                let reason = format!("no such section; there is {ROLES}, {names}");
                problems.push(Invalid::new(name, reason));
            }
        }
        check_proxy(&members, problems);
        Self { members, roles }
    }

    /// The configuration after a change that a client sent: only what changes. A list is replaced
    /// as a whole, and `null` takes a member away. A section without settings goes.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, with its place.
    pub fn patched(&self, patch: &Json) -> Result<Self, Vec<Invalid>> {
        let Json::Object(patch) = patch else {
            return Err(vec![Invalid::new("", "takes an object with the sections that change")]);
        };
        let mut problems = vec![];
        odd_secrets(&Json::Object(patch.clone()), "", &mut problems);
        let mut merged = Json::Object(merge_patched(self.members.clone(), patch));
        unmask(&mut merged, Some(&self.to_json()), "", &mut problems);
        let Some(members) = merged.as_object_mut().filter(|_| problems.is_empty()) else {
            return Err(problems);
        };
        let mut members = std::mem::take(members);
        members.retain(|name, section| name == ROLES || *section != json!({}));
        Self::new(members)
    }

    /// The whole document, with its secrets as they are.
    #[must_use]
    pub fn to_json(&self) -> Json {
        Json::Object(self.members.clone())
    }

    /// The whole document for clients: a secret is shown as a mask.
    #[must_use]
    pub fn shown(&self) -> Json {
        masked(&self.to_json())
    }

    /// The document without hosts, ports, secrets and parameters: of each role only what every role
    /// has, and the number of certificates.
    #[must_use]
    pub fn trimmed(&self) -> Json {
        let member = |(name, section): (&String, &Json)| {
            let trimmed = match section {
                Json::Array(roles) => roles.iter().map(trimmed_role).collect(),
                Json::Object(section) => Json::Object(trimmed_section(name, section)),
                Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Json::Null,
            };
            (name.clone(), trimmed)
        };
        Json::Object(self.members.iter().map(member).collect())
    }

    /// What differs from an earlier configuration. Secrets are masked, so another secret is told as
    /// a mask that differs from a mask.
    #[must_use]
    pub fn differences(&self, former: &Self) -> Vec<Difference> {
        let hidden = |value: Option<Json>, place: &str| {
            // A secret has a place of its own, whose last name says that it is one.
            let name = place.rsplit('.').next().unwrap_or_default().to_owned();
            let wrapped = value.map(|value| masked(&Json::Object(Map::from_iter([(name, value)]))));
            wrapped.and_then(|wrapped| wrapped.as_object()?.values().next().cloned())
        };
        let all = differences(&former.members, &self.members);
        let shown = |Difference { place, before, after }| Difference {
            before: hidden(before, &place),
            after: hidden(after, &place),
            place,
        };
        all.into_iter().map(shown).collect()
    }

    /// All roles.
    #[must_use]
    pub fn roles(&self) -> &[ConfiguredRole] {
        &self.roles
    }

    /// What a client should know about this configuration although it is accepted.
    #[must_use]
    pub fn warnings(&self) -> Vec<Invalid> {
        let foreign = self.roles.iter().enumerate().filter(|(_, role)| role.role().is_none());
        let warning = |(at, role): (usize, &ConfiguredRole)| {
            let reason = format!(
                "`{}` is no role of Postroom, which runs {}: the instance is kept and shown, and \
                 not run",
                role.roletype,
                InstanceRole::ALL.map(|role| format!("`{role}`")).join(" and ")
            );
            Invalid::new(format!("{ROLES}[{at}].roletype"), reason)
        };
        foreign.map(warning).collect()
    }

    /// How many requests each token may send in a second. `None`: it is not set.
    #[must_use]
    pub fn requests_per_second(&self) -> Option<NonZeroU32> {
        let count = self.setting("limits", "requestsPerSecond")?.as_u64()?;
        NonZeroU32::new(u32::try_from(count).ok()?)
    }

    /// How many days the feed keeps changes. `None`: it is not set.
    #[must_use]
    pub fn feed_days(&self) -> Option<u64> {
        self.setting("retention", "feedDays")?.as_u64()
    }

    /// How many changes the feed keeps. `None`: it is not set.
    #[must_use]
    pub fn feed_changes(&self) -> Option<u64> {
        self.setting("retention", "feedChanges")?.as_u64()
    }

    /// How many days the audit keeps entries. `None`: it is not set.
    #[must_use]
    pub fn audit_days(&self) -> Option<u64> {
        self.setting("retention", "auditDays")?.as_u64()
    }

    /// The certificates of trusted authorities, in PEM.
    #[must_use]
    pub fn authorities(&self) -> Vec<&str> {
        let all = self.setting("trust", "authorities").and_then(Json::as_array);
        all.into_iter().flatten().filter_map(Json::as_str).collect()
    }

    /// Whether mail servers are reached at addresses of the public internet alone. `None`: it is
    /// not set.
    #[must_use]
    pub fn mail_to_public_only(&self) -> Option<bool> {
        self.setting("outgoing", "mailToPublicAddressesOnly")?.as_bool()
    }

    /// Whether webhooks may reach addresses that are not public. `None`: it is not set.
    #[must_use]
    pub fn webhooks_to_private_addresses(&self) -> Option<bool> {
        self.setting("outgoing", "webhooksToPrivateAddresses")?.as_bool()
    }

    /// Which addresses a kind of connection may reach: `mail`, `webhooks` or `oauth`.
    fn address_rules(&self, kind: &str) -> AddressRules {
        let texts = |list: &str| {
            let list = self.setting("outgoing", &format!("{kind}{list}"))?.as_array()?;
            Some(list.iter().filter_map(Json::as_str))
        };
        // What was checked can be read.
        let allowed = texts("Allowed").map(|all| all.filter_map(|one| one.parse().ok()).collect());
        let denied = texts("Denied").into_iter().flatten();
        AddressRules { allowed, denied: denied.filter_map(|one| one.parse().ok()).collect() }
    }

    /// Which addresses of mail servers may be reached.
    #[must_use]
    pub fn mail_rules(&self) -> AddressRules {
        self.address_rules("mail")
    }

    /// Which addresses webhooks may reach.
    #[must_use]
    pub fn webhook_rules(&self) -> AddressRules {
        self.address_rules("webhooks")
    }

    /// Which addresses of providers of OAuth may be reached.
    #[must_use]
    pub fn oauth_rules(&self) -> AddressRules {
        self.address_rules("oauth")
    }

    /// The proxy for all connections. `None`: there is none.
    #[must_use]
    pub fn proxy(&self) -> Option<ConfiguredProxy> {
        let text = |name| self.setting("outgoing", name)?.as_str();
        Some(ConfiguredProxy {
            address: ProxyAddress::parse(text("proxy")?).ok()?,
            login: text("proxyLogin").map(str::to_owned),
        })
    }

    /// The password at that proxy, as the store has sealed it. `None`: there is none.
    #[must_use]
    pub fn sealed_proxy_password(&self) -> Option<&Json> {
        self.setting("outgoing", "proxyPassword").filter(|value| !value.is_null())
    }

    /// Whether others may be asked for the servers of an address. `None`: it is not set.
    #[must_use]
    pub fn autoconfig_lookups(&self) -> Option<bool> {
        self.setting("outgoing", "autoconfigLookups")?.as_bool()
    }

    /// The level of the log. `None`: it is not set.
    #[must_use]
    pub fn log_level(&self) -> Option<&str> {
        self.setting("log", "level")?.as_str()
    }

    fn setting(&self, section: &str, name: &str) -> Option<&Json> {
        self.members.get(section)?.get(name)
    }
}

fn trimmed_role(role: &Json) -> Json {
    let kept = ROLE_MEMBERS.iter().filter_map(|name| {
        let value = role.get(name)?;
        Some(((*name).to_owned(), value.clone()))
    });
    Json::Object(kept.collect())
}

fn read_roles(section: &Json, problems: &mut Vec<Invalid>) -> Vec<ConfiguredRole> {
    let Json::Array(items) = section else {
        problems.push(Invalid::new(ROLES, "takes a list of instances"));
        return vec![];
    };
    if items.len() > ROLES_MAX {
        problems.push(Invalid::new(ROLES, format!("takes at most {ROLES_MAX} instances")));
        return vec![];
    }
    let mut roles = vec![];
    // The places of those that were read.
    let mut places = vec![];
    for (at, item) in items.iter().enumerate() {
        if let Some(role) = ConfiguredRole::read(item, &format!("{ROLES}[{at}]"), problems) {
            roles.push(role);
            places.push(at);
        }
    }
    unique(&roles, &places, problems);
    roles
}

/// Names each role whose name, or whose order in its group, another role before it has.
fn unique(roles: &[ConfiguredRole], places: &[usize], problems: &mut Vec<Invalid>) {
    let mut names = HashMap::new();
    let mut orders = HashMap::new();
    for (role, at) in roles.iter().zip(places) {
        if let Some(first) = names.insert(role.name.as_str(), at) {
            let reason = format!("`{}` is the name of {ROLES}[{first}] already", role.name);
            problems.push(Invalid::new(format!("{ROLES}[{at}].name"), reason));
        }
        let place = role.group.zip(role.order);
        if let Some((group, order)) = place
            && let Some(first) = orders.insert((group, order), at)
        {
            let reason = format!(
                "{order} is the order of {ROLES}[{first}] in group {group} already: the instances \
                 of a group take over in the sequence of their order"
            );
            problems.push(Invalid::new(format!("{ROLES}[{at}].order"), reason));
        }
    }
}

#[cfg(test)]
mod tests;

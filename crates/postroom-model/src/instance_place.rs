//! What the section of roles says about one instance, and about those that run.
//!
//! ```text
//!   no role of ours          every process is what its arguments say
//!   roles of ours, with it   it is what its role says, and its arguments where that says nothing
//!   roles of ours, not it    it rests until the section names it
//! ```

use crate::configuration::Configuration;
use crate::instance::Instance;
use crate::instance::InstanceRole;
use crate::invalid::Invalid;
use std::collections::HashMap;

/// Why an instance neither receives nor sends, also when nobody else does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InstanceRest {
    /// The section of roles has instances of ours, and not this one.
    NotNamed,
    /// Its role has `enabled: false`.
    Disabled,
}

impl InstanceRest {
    /// Every reason.
    pub const ALL: [Self; 2] = [Self::NotNamed, Self::Disabled];

    /// The word that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotNamed => "not-named",
            Self::Disabled => "disabled",
        }
    }

    /// What it means for the instance of this name, and what to do, for people.
    #[must_use]
    pub fn text(self, name: &str) -> String {
        match self {
            Self::NotNamed => format!(
                "the section `roles` of the configuration does not name this instance, so it \
                 waits, and neither receives nor sends mail: add {{\"name\": \"{name}\", \
                 \"roletype\": \"email\"}} to the section with PATCH /rest/v1/config, or start it \
                 with --name and a name that the section has"
            ),
            Self::Disabled => format!(
                "the role of `{name}` in the configuration has `enabled: false`, so it neither \
                 receives nor sends mail: set it to true with PATCH /rest/v1/config"
            ),
        }
    }
}

/// What an instance is, by the configuration and its own arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePlace {
    /// Its name, role, and place among the others.
    pub instance: Instance,
    /// Why it rests. `None`: it works.
    pub rest: Option<InstanceRest>,
    /// The network interface on whose addresses it listens. `None`: its arguments say where.
    pub iface: Option<String>,
}

impl InstancePlace {
    /// What an instance is that the configuration says nothing about.
    #[must_use]
    pub fn of_arguments(instance: Instance) -> Self {
        Self { instance, rest: None, iface: None }
    }
}

impl Instance {
    /// Whether it may receive and send. `rest`: why it rests.
    #[must_use]
    pub fn may_lead(&self, rest: Option<InstanceRest>) -> bool {
        self.role == InstanceRole::Email && rest.is_none()
    }
}

/// A running instance, and the network interfaces of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostInterfaces {
    /// The name of the instance.
    pub instance: String,
    /// The names of the interfaces. `None`: its release does not tell them.
    pub names: Option<Vec<String>>,
}

impl Configuration {
    /// What the instance is that its arguments describe.
    #[must_use]
    pub fn place_of(&self, own: &Instance) -> InstancePlace {
        let mut ours = self.roles().iter().filter_map(|one| Some((one, one.role()?)));
        let Some((configured, role)) = ours.clone().find(|(one, _)| one.name == own.name) else {
            let rest = ours.next().map(|_| InstanceRest::NotNamed);
            return InstancePlace { rest, ..InstancePlace::of_arguments(own.clone()) };
        };
        let instance = Instance {
            name: own.name.clone(),
            group: configured.group.unwrap_or(own.group),
            order: configured.order.unwrap_or(own.order),
            role,
            failback: configured.failback.unwrap_or(own.failback),
        };
        let rest = (!configured.enabled).then_some(InstanceRest::Disabled);
        InstancePlace { instance, rest, iface: configured.iface.clone() }
    }

    /// The interfaces that this configuration gives to running instances, and whose hosts do not
    /// have them. What the former one has too is no problem of this change.
    #[must_use]
    pub fn unknown_interfaces(&self, former: &Self, running: &[HostInterfaces]) -> Vec<Invalid> {
        let given = |configuration: &Self| -> HashMap<String, Option<String>> {
            let roles = configuration.roles().iter();
            roles.map(|role| (role.name.clone(), role.iface.clone())).collect()
        };
        let former = given(former);
        let mut problems = vec![];
        for (at, role) in self.roles().iter().enumerate() {
            let Some(iface) = role.iface.as_ref().filter(|_| role.role().is_some()) else {
                continue;
            };
            let is_new = former.get(&role.name) != Some(&role.iface);
            let hosts = running.iter().filter(|host| is_new && host.instance == role.name);
            for names in hosts.filter_map(|host| host.names.as_ref()) {
                if !names.contains(iface) {
                    let reason = format!(
                        "the host of `{}` has no network interface `{iface}`; it has {}",
                        role.name,
                        names.join(", ")
                    );
                    problems.push(Invalid::new(format!("roles[{at}].iface"), reason));
                    break;
                }
            }
        }
        problems
    }

    /// The running instances that rest because the section does not name them, each as a warning.
    #[must_use]
    pub fn not_named(&self, running: &[HostInterfaces]) -> Vec<Invalid> {
        let mut names: Vec<_> = running.iter().map(|host| host.instance.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let rests = |name: &&str| {
            let place = self.place_of(&Instance::named(*name));
            place.rest == Some(InstanceRest::NotNamed)
        };
        let warning = |name: &str| {
            let reason = format!(
                "the instance `{name}` runs, and the section does not name it: it neither receives \
                 nor sends mail until the section does"
            );
            Invalid::new("roles", reason)
        };
        names.into_iter().filter(rests).map(warning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value as Json;
    use serde_json::json;

    fn configured(roles: &Json) -> Configuration {
        Configuration::default().patched(&json!({"roles": roles})).unwrap()
    }

    fn own() -> Instance {
        Instance { group: 5, order: 6, failback: false, ..Instance::named("e1") }
    }

    #[test]
    fn without_a_role_of_ours_the_arguments_count() {
        let foreign = json!({"name": "e1", "roletype": "im", "group": 9});
        for roles in [json!([]), json!([foreign])] {
            let place = configured(&roles).place_of(&own());
            assert_eq!(place, InstancePlace::of_arguments(own()), "{roles}");
        }
    }

    #[test]
    fn a_role_counts_and_the_arguments_where_it_says_nothing() {
        let roles = json!([
            {"name": "im1", "roletype": "im", "group": 1, "order": 1},
            {"name": "e1", "roletype": "email", "iface": "eth0", "group": 9, "failback": true},
        ]);
        let place = configured(&roles).place_of(&own());
        let instance = Instance { group: 9, failback: true, ..own() };
        let want = InstancePlace { instance, rest: None, iface: Some("eth0".to_owned()) };
        assert_eq!((place.instance.may_lead(place.rest), place), (true, want));
        let roles = json!([{"name": "e1", "roletype": "api"}]);
        let place = configured(&roles).place_of(&own());
        assert_eq!(
            (place.instance.role, place.instance.may_lead(place.rest)),
            (InstanceRole::Api, false)
        );
    }

    #[test]
    fn who_is_not_named_or_disabled_rests_and_is_told_what_to_do() {
        let other = json!({"name": "e2", "roletype": "email"});
        let foreign = json!({"name": "e1", "roletype": "im"});
        let disabled = json!({"name": "e1", "roletype": "email", "enabled": false, "order": 2});
        let table = [
            (json!([other]), InstanceRest::NotNamed, 6),
            (json!([{"name": "a1", "roletype": "api"}]), InstanceRest::NotNamed, 6),
            (json!([other, foreign]), InstanceRest::NotNamed, 6),
            (json!([other, disabled]), InstanceRest::Disabled, 2),
        ];
        for (roles, rest, order) in table {
            let place = configured(&roles).place_of(&own());
            assert_eq!((place.rest, place.instance.order), (Some(rest), order), "{roles}");
            assert!(!place.instance.may_lead(place.rest), "{roles}");
            assert!(rest.text("e1").contains("with PATCH /rest/v1/config"), "{rest:?}");
        }
    }

    #[test]
    fn an_interface_that_a_running_host_does_not_have_is_named_if_it_is_new() {
        let host = |instance: &str, names: &[&str]| HostInterfaces {
            instance: instance.to_owned(),
            names: Some(names.iter().map(|&name| name.to_owned()).collect()),
        };
        let unsaid = HostInterfaces { names: None, ..host("e3", &[]) };
        let running = [host("e1", &["lo", "eth0"]), host("e2", &["lo"]), unsaid];
        let role =
            |name: &str, iface: &str| json!({"name": name, "roletype": "email", "iface": iface});
        let former = configured(&json!([role("e1", "eth7")]));
        let next = configured(&json!([
            role("e1", "eth0"), role("e2", "eth0"), role("e3", "eth0"), role("e4", "x"),
            {"name": "im", "roletype": "im", "iface": "x"},
        ]));
        let problems = next.unknown_interfaces(&former, &running);
        let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
        let want = "roles[1].iface: the host of `e2` has no network interface `eth0`; it has lo";
        assert_eq!(problems, [want]);
        assert_eq!(former.unknown_interfaces(&former, &running), []);
        assert_eq!(former.unknown_interfaces(&next, &running).len(), 1);
    }

    #[test]
    fn running_instances_that_would_rest_are_named() {
        let running =
            ["b", "a", "b"].map(|name| HostInterfaces { instance: name.to_owned(), names: None });
        assert_eq!(Configuration::default().not_named(&running), []);
        let next = configured(&json!([{"name": "a", "roletype": "email", "enabled": false}]));
        let warnings = next.not_named(&running);
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].reason.contains("`b` runs"), "{warnings:?}");
    }
}

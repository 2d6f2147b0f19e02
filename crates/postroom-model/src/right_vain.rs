//! Rights that no request can ever use. They are refused when they are given, because their holder
//! would find nothing but 403.

use crate::builtin::DOMAINS;
use crate::class::Class;
use crate::domain::Domain;
use crate::invalid::Invalid;
use crate::right_action::RightAction;
use crate::rights::GrantedRight;
use crate::rights::Rights;
use crate::rights::is_administrative;
use std::sync::Arc;

/// The name that rights have for the configuration of all instances, which is no class.
const CONFIGURATION: &str = "iam/Configuration";

/// What is in vain in the rights of a token of a domain. `classes` are those that there are.
#[must_use]
pub fn rights_in_vain(rights: &Rights, domain: &Domain, classes: &[Arc<Class>]) -> Vec<Invalid> {
    let Rights::Granted(all) = rights else {
        return vec![];
    };
    let mut problems = vec![];
    for (at, right) in all.iter().enumerate() {
        for (place, name) in right.classes.iter().enumerate() {
            let reason = unknown(right, name, classes)
                .or_else(|| of_another_domain(name, domain))
                .or_else(|| unread(right, name, all));
            let place = format!("rights[{at}].classes[{place}]");
            problems.extend(reason.map(|reason| Invalid::new(place, reason)));
        }
    }
    problems
}

/// Why a class is in vain that does not exist. A right to change classes may be about a new one.
fn unknown(right: &GrantedRight, name: &str, classes: &[Arc<Class>]) -> Option<String> {
    let is_known = name.ends_with('*')
        || name == CONFIGURATION
        || right.actions.contains(&RightAction::Design)
        || classes.iter().any(|class| class.classname == name);
    (!is_known).then(|| {
        format!("names the class `{name}`, which does not exist: /rest/v1/design/classes lists all")
    })
}

/// Why a right is in vain that only some domains use.
fn of_another_domain(name: &str, domain: &Domain) -> Option<String> {
    let administers = Domain::of_the_start().contains(domain);
    (!administers && [CONFIGURATION, DOMAINS].contains(&name))
        .then(|| format!("`{name}` is read only by tokens of the domains `default` and `master`"))
}

/// Why actions are in vain whose answers tell of entities, if no right lets read any of them.
fn unread(right: &GrantedRight, name: &str, all: &[GrantedRight]) -> Option<String> {
    let action =
        right.actions.iter().find(|action| **action != RightAction::Read && action.tells())?;
    let reads = |right: &GrantedRight| {
        right.actions.contains(&RightAction::Read)
            && right.classes.iter().any(|other| may_meet(name, other))
    };
    (!all.iter().any(reads)).then(|| {
        let action = action.as_str();
        format!("gives `{action}` without `read`, which each such request needs too: add `read`")
    })
}

/// Whether a class may be meant by both of two patterns.
fn may_meet(one: &str, other: &str) -> bool {
    match (one.strip_suffix('*'), other.strip_suffix('*')) {
        (None, None) => one == other,
        (Some(beginning), None) => begins(other, beginning),
        (None, Some(beginning)) => begins(one, beginning),
        (Some(one), Some(other)) => one.starts_with(other) || other.starts_with(one),
    }
}

/// Whether a class is meant by a beginning. The empty one leaves out what says who may do what.
fn begins(name: &str, beginning: &str) -> bool {
    name.starts_with(beginning) && !(beginning.is_empty() && is_administrative(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use serde_json::Value as Json;
    use serde_json::json;

    #[test]
    fn a_right_that_no_request_can_use_is_named_with_its_place() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let of = |actions: Json, classes: Json| json!({"actions": actions, "classes": classes});
        let (default, acme) = (Domain::default_domain(), Domain::new("acme").unwrap());
        let read = of(json!(["read"]), json!(["email/Messages"]));
        let (change, typo) = (json!(["change"]), json!(["email/Nope"]));
        let iam = json!(["iam/Configuration", "iam/Domains"]);
        #[rustfmt::skip]
        let table = [
            // domain   rights                                                      the places of what is in vain
            (&default, json!([of(json!(["read", "change"]), json!(["email/*"]))]),  vec![]),
            (&default, json!([of(json!(["create"]), json!(["email/Messages"]))]),   vec![]),
            (&default, json!([of(change.clone(), json!(["email/Messages"]))]),      vec!["rights[0].classes[0]"]),
            (&default, json!([of(change.clone(), json!(["email/Messages"])), read]), vec![]),
            (&default, json!([of(change.clone(), json!(["email/*"])), read]),       vec![]),
            (&default, json!([of(change.clone(), json!(["email/Folders"])), read]), vec!["rights[0].classes[0]"]),
            (&default, json!([of(json!(["claim"]), json!(["crm/*"])), read]),       vec!["rights[0].classes[0]"]),
            (&default, json!([read, of(json!(["read"]), typo.clone())]),            vec!["rights[1].classes[0]"]),
            (&default, json!([of(json!(["design"]), typo)]),                        vec![]),
            (&default, json!([of(json!(["read"]), iam.clone())]),                   vec![]),
            (&acme,    json!([of(json!(["read"]), iam)]),                           vec!["rights[0].classes[0]", "rights[0].classes[1]"]),
            (&acme,    json!([of(json!(["read", "claim"]), json!(["*"]))]),         vec![]),
        ];
        for (domain, json, want) in table {
            let rights = Rights::from_json(&json).unwrap();
            let found = rights_in_vain(&rights, domain, &classes);
            let places: Vec<_> = found.iter().map(|one| one.property.as_str()).collect();
            assert_eq!(places, want, "{json} in {domain}: {found:?}");
        }
    }
}

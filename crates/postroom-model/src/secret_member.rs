//! Secrets within a JSON document: members that are written and never shown.
//!
//! Which members are secrets follows from their names, so that a parameter of a role that is not
//! ours is protected too. A secret that a client sends is a text. In a document of the store it is
//! an object that only the store can open. Everybody else sees [`MASK`] in its place.

use crate::invalid::Invalid;
use serde_json::Map;
use serde_json::Value as Json;

/// What is shown in the place of a secret. A client that sends it back keeps the secret.
pub const MASK: &str = "********";

/// The endings of the names of secrets, in lower case.
const ENDINGS: [&str; 8] =
    ["password", "passphrase", "pwd", "secret", "token", "apikey", "api_key", "privatekey"];

/// Whether a member of this name is a secret.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// Calls a function for each secret of a document.
///
/// # Errors
///
/// The first error of the function.
pub fn each_secret<E>(
    json: &mut Json,
    change: &mut impl FnMut(&mut Json) -> Result<(), E>,
) -> Result<(), E> {
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                if is_secret(name) && !value.is_null() {
                    change(value)?;
                } else {
                    each_secret(value, change)?;
                }
            }
        }
        Json::Array(items) => {
            for item in items {
                each_secret(item, change)?;
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    Ok(())
}

/// The document with the mask in the place of each secret.
#[must_use]
pub(crate) fn masked(json: &Json) -> Json {
    let mut masked = json.clone();
    let hidden = each_secret(&mut masked, &mut |secret| {
        *secret = MASK.into();
        Ok::<_, std::convert::Infallible>(())
    });
    match hidden {
        Ok(()) => masked,
    }
}

/// The secrets of a document that a client sent, which are no texts.
pub(crate) fn odd_secrets(json: &Json, place: &str, problems: &mut Vec<Invalid>) {
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                let place = joined(place, name);
                if !is_secret(name) {
                    odd_secrets(value, &place, problems);
                } else if !value.is_string() && !value.is_null() {
                    let reason = "is a secret by its name, so it takes a text, or null";
                    problems.push(Invalid::new(place, reason));
                }
            }
        }
        Json::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                odd_secrets(item, &format!("{place}[{at}]"), problems);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// Puts the former secrets in the place of masks. Items of a list are the same if they have the
/// same `name`, or, without a name, if they are shown in the same way. An item in the place of one
/// whose name is gone is that one with a new name.
pub(crate) fn unmask(
    json: &mut Json,
    former: Option<&Json>,
    place: &str,
    problems: &mut Vec<Invalid>,
) {
    match json {
        Json::Object(members) => {
            let former = former.and_then(Json::as_object);
            unmask_members(members, former, place, problems);
        }
        Json::Array(items) => {
            let former = former.and_then(Json::as_array);
            let names: Vec<_> = items.iter().map(|it| name_of(it).map(str::to_owned)).collect();
            for (at, item) in items.iter_mut().enumerate() {
                let same = former.and_then(|former| {
                    let same = same_item(former, item).or(shown_alike(former, item, at));
                    same.or_else(|| renamed(former, &names, at))
                });
                unmask(item, same, &format!("{place}[{at}]"), problems);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

fn unmask_members(
    members: &mut Map<String, Json>,
    former: Option<&Map<String, Json>>,
    place: &str,
    problems: &mut Vec<Invalid>,
) {
    for (name, value) in members {
        let (place, former) = (joined(place, name), former.and_then(|former| former.get(name)));
        if !is_secret(name) {
            unmask(value, former, &place, problems);
        } else if value == MASK {
            match former {
                Some(former) => *value = former.clone(),
                None => {
                    let reason = format!(
                        "{MASK} stands for the secret that is there, and there is none: send the \
                         secret itself, or leave the member out"
                    );
                    problems.push(Invalid::new(place, reason));
                }
            }
        }
    }
}

fn name_of(item: &Json) -> Option<&str> {
    item.get("name").and_then(Json::as_str)
}

/// The item of a list that has the same name.
pub(crate) fn same_item<'a>(items: &'a [Json], item: &Json) -> Option<&'a Json> {
    let name = name_of(item)?;
    items.iter().find(|other| name_of(other) == Some(name))
}

/// The former item at a place whose name no item has now. `names` are the present ones. `None`: the
/// item there has no new name.
fn renamed<'a>(former: &'a [Json], names: &[Option<String>], at: usize) -> Option<&'a Json> {
    let (name, before) = (names.get(at)?.as_deref()?, former.get(at)?);
    let was = name_of(before)?;
    let is_gone = names.iter().all(|name| name.as_deref() != Some(was));
    let is_new = former.iter().all(|other| name_of(other) != Some(name));
    (is_gone && is_new).then_some(before)
}

/// The item of a list that is shown as this one, whose place is `at`. Of several, it is the one at
/// this place. If there is none, it is not known which one is meant.
fn shown_alike<'a>(items: &'a [Json], item: &Json, at: usize) -> Option<&'a Json> {
    let is_alike = |other: &&Json| masked(other) == *item;
    let mut alike = items.iter().filter(is_alike);
    match (alike.next(), alike.next()) {
        (Some(one), None) => Some(one),
        (Some(_), Some(_)) => items.get(at).filter(is_alike),
        (None, _) => None,
    }
}

/// The place of a member within an object at a place.
pub(crate) fn joined(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn secrets_are_known_by_their_names() {
        for secret in ["password", "proxyPassword", "clientSecret", "token", "API_KEY", "smtpPwd"] {
            assert!(is_secret(secret), "{secret}");
        }
        for plain in ["name", "tokens", "passwordFile", "key", "secretary"] {
            assert!(!is_secret(plain), "{plain}");
        }
    }

    #[test]
    fn a_secret_is_masked_at_every_depth_and_a_mask_keeps_it() {
        let sealed = json!({"sealed": "x"});
        let former = json!({"roles": [
            {"name": "a", "password": sealed, "deep": {"apiKey": sealed}},
            {"name": "b", "token": null},
        ]});
        let shown = masked(&former);
        assert_eq!(shown["roles"][0]["password"], MASK);
        assert_eq!(shown["roles"][0]["deep"]["apiKey"], MASK);
        assert_eq!(shown["roles"][1]["token"], json!(null));
        // The list in another order.
        let mut sent = shown;
        sent["roles"].as_array_mut().unwrap().reverse();
        let mut problems = vec![];
        unmask(&mut sent, Some(&former), "", &mut problems);
        assert_eq!(problems, []);
        assert_eq!(sent["roles"][1], former["roles"][0]);
    }

    #[test]
    fn what_was_shown_keeps_its_secrets_also_in_items_without_a_name() {
        let peers = json!([{"host": "h1", "secret": 1}, {"host": "h2", "secret": 2}, {"secret": 3},
            {"secret": 4}]);
        let former = json!({"roles": [{"name": "k", "peers": peers}]});
        let mut sent = masked(&former);
        let mut problems = vec![];
        unmask(&mut sent, Some(&former), "", &mut problems);
        assert_eq!((problems.as_slice(), &sent), (&[][..], &former));
        // Of two that look alike, nobody knows which one is meant when they have moved.
        sent = masked(&former);
        sent["roles"][0]["peers"].as_array_mut().unwrap().remove(0);
        unmask(&mut sent, Some(&former), "", &mut problems);
        assert_eq!(sent["roles"][0]["peers"][0], peers[1]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(problems[0].property, "roles[0].peers[1].secret");
    }

    #[test]
    fn an_item_that_gets_another_name_keeps_its_secrets() {
        let of = |names: [&str; 2]| json!([{"name": names[0], "password": "1"}, {"name": names[1], "password": "2"}]);
        let former = of(["a", "b"]);
        #[rustfmt::skip]
        let table = [
            // the names that are sent, how many secrets are not known
            (["a", "c"], 0),
            (["c", "d"], 0),
            (["b", "a"], 0),
            // It is at the place of one that is still there.
            (["b", "c"], 1),
        ];
        for (names, want) in table {
            let (mut sent, mut problems) = (masked(&of(names)), vec![]);
            unmask(&mut sent, Some(&former), "", &mut problems);
            assert_eq!(problems.len(), want, "{names:?}: {problems:?}");
        }
        let mut sent = masked(&of(["a", "c"]));
        unmask(&mut sent, Some(&former), "", &mut vec![]);
        assert_eq!(sent, of(["a", "c"]));
    }

    #[test]
    fn a_mask_of_nothing_and_a_secret_that_is_no_text_are_named() {
        let mut sent = json!({"roles": [{"name": "a", "password": MASK}]});
        let mut problems = vec![];
        // An item in the place of one whose name is gone would be that one.
        let former = json!({"roles": [{"name": "b"}]});
        unmask(&mut sent, Some(&former), "", &mut problems);
        assert_eq!(problems[0].property, "roles[0].password");
        problems.clear();
        odd_secrets(&json!({"roles": [{"password": {"sealed": "x"}}]}), "", &mut problems);
        assert_eq!(problems[0].property, "roles[0].password");
    }
}

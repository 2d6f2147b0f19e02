//! Differences between two JSON documents, each with its place.

use crate::secret_member::is_secret;
use crate::secret_member::joined;
use crate::secret_member::same_item;
use serde_json::Map;
use serde_json::Value as Json;

/// A value that differs between two documents.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference {
    /// Where it is, such as `limits.requestsPerSecond` or `roles[email1].order`. An item of a list
    /// is named by its `name` if it has one.
    pub place: String,
    /// The value before. `None`: there was none.
    pub before: Option<Json>,
    /// The value after. `None`: there is none.
    pub after: Option<Json>,
}

/// The differences between two objects, in the order of the later one.
#[must_use]
pub(crate) fn differences(
    before: &Map<String, Json>,
    after: &Map<String, Json>,
) -> Vec<Difference> {
    let mut found = vec![];
    of_members(before, after, "", &mut found);
    found
}

fn of_members(
    before: &Map<String, Json>,
    after: &Map<String, Json>,
    place: &str,
    found: &mut Vec<Difference>,
) {
    let gone = before.keys().filter(|name| !after.contains_key(*name));
    for name in after.keys().chain(gone) {
        let (before, after, place) = (before.get(name), after.get(name), joined(place, name));
        if !is_secret(name) {
            compare(before, after, place, found);
        } else if before != after {
            // What is inside of a sealed secret is nobody's business.
            found.push(Difference { place, before: before.cloned(), after: after.cloned() });
        }
    }
}

fn compare(
    before: Option<&Json>,
    after: Option<&Json>,
    place: String,
    found: &mut Vec<Difference>,
) {
    match (before, after) {
        (Some(before), Some(after)) if before == after => {}
        (Some(Json::Object(before)), Some(Json::Object(after))) => {
            of_members(before, after, &place, found);
        }
        (Some(Json::Array(before)), Some(Json::Array(after)))
            if are_named(before) && are_named(after) =>
        {
            of_items(before, after, &place, found);
        }
        (before, after) => {
            found.push(Difference { place, before: before.cloned(), after: after.cloned() });
        }
    }
}

/// Items with names are compared by their names. Their order is a difference only if nothing else
/// is.
fn of_items(before: &[Json], after: &[Json], place: &str, found: &mut Vec<Difference>) {
    let known = found.len();
    let gone = before.iter().filter(|item| same_item(after, item).is_none());
    for item in after.iter().chain(gone) {
        let name = item.get("name").and_then(Json::as_str).unwrap_or_default();
        compare(same_item(before, item), same_item(after, item), format!("{place}[{name}]"), found);
    }
    if found.len() == known {
        let whole = |items: &[Json]| Some(Json::from(items.to_vec()));
        let (before, after) = (whole(before), whole(after));
        found.push(Difference { place: place.to_owned(), before, after });
    }
}

fn are_named(items: &[Json]) -> bool {
    items.iter().all(|item| item.get("name").is_some_and(Json::is_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(before: &Json, after: &Json) -> Vec<(String, Json, Json)> {
        let found = differences(before.as_object().unwrap(), after.as_object().unwrap());
        let shown = |one: Option<Json>| one.unwrap_or(json!("none"));
        found.into_iter().map(|one| (one.place, shown(one.before), shown(one.after))).collect()
    }

    #[test]
    fn each_difference_has_its_place() {
        let before = json!({"a": 1, "b": {"c": 1, "d": 2}, "roles": [{"name": "x", "order": 1}]});
        let after = json!({"b": {"c": 3, "d": 2}, "e": [],
            "roles": [{"name": "y"}, {"name": "x", "order": 2}]});
        let want = [
            ("b.c", json!(1), json!(3)),
            ("e", json!("none"), json!([])),
            ("roles[y]", json!("none"), json!({"name": "y"})),
            ("roles[x].order", json!(1), json!(2)),
            ("a", json!(1), json!("none")),
        ];
        let want: Vec<_> = want.map(|(place, b, a)| (place.to_owned(), b, a)).into();
        assert_eq!(places(&before, &after), want);
        assert_eq!(places(&after, &after), []);
    }

    #[test]
    fn another_order_of_a_list_is_a_difference() {
        let (one, two) = (json!({"name": "a"}), json!({"name": "b"}));
        let (before, after) = (json!({"roles": [one, two]}), json!({"roles": [two, one]}));
        assert_eq!(places(&before, &after).len(), 1);
        let other = json!({"roles": [1, 2]});
        assert_eq!(places(&other, &json!({"roles": [2]}))[0].0, "roles");
    }
}

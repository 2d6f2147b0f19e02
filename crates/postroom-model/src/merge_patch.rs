//! Merge patches: a change of a JSON document that names only the members that change.
//!
//! Standards: RFC 7396.

use serde_json::Map;
use serde_json::Value as Json;

/// The members with a patch applied. `null` removes a member. A list is replaced as a whole.
#[must_use]
pub(crate) fn merge_patched(
    mut members: Map<String, Json>,
    patch: &Map<String, Json>,
) -> Map<String, Json> {
    for (name, value) in patch {
        match value {
            Json::Null => {
                members.shift_remove(name);
            }
            Json::Object(inner) => {
                let former = match members.get_mut(name).map(Json::take) {
                    Some(Json::Object(former)) => former,
                    Some(_) | None => Map::new(),
                };
                members.insert(name.clone(), Json::Object(merge_patched(former, inner)));
            }
            other @ (Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_)) => {
                members.insert(name.clone(), other.clone());
            }
        }
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_standard_hold() {
        // RFC 7396, appendix A, those whose document and patch are objects.
        let table = [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ];
        for (document, patch, want) in table {
            let members = document.as_object().unwrap().clone();
            let patched = merge_patched(members, patch.as_object().unwrap());
            assert_eq!(Json::Object(patched), want, "{document} {patch}");
        }
    }
}

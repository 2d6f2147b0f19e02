//! Classes that clients name where an id stands.

use crate::class::Class;
use crate::id::ClassId;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;

/// The sent class with the id of the class in each `idclass` that is the name of one. A new class
/// may name itself: `new_id` is its id, unless the client chooses one. Another text stays, and is
/// refused later.
#[must_use]
pub fn with_class_ids(sent: &Json, classes: &[Arc<Class>], new_id: Option<ClassId>) -> Json {
    let mut sent = sent.clone();
    let mut ids: HashMap<_, _> = new_id.and_then(|id| itself(&sent, id)).into_iter().collect();
    ids.extend(
        classes.iter().map(|class| (class.classname.clone(), Json::from(class.id.to_string()))),
    );
    let properties = sent.get_mut("properties").and_then(Json::as_array_mut);
    for property in properties.into_iter().flatten() {
        let Some(idclass) = property.get_mut("idclass") else {
            continue;
        };
        if let Some(id) = idclass.as_str().and_then(|name| ids.get(name)) {
            *idclass = id.clone();
        }
    }
    sent
}

/// The name and the id of a sent class.
fn itself(sent: &Json, new_id: ClassId) -> Option<(String, Json)> {
    let name = sent.get("classname")?.as_str()?.to_owned();
    let id = sent.get("id").cloned().unwrap_or_else(|| Json::from(new_id.to_string()));
    Some((name, id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use serde_json::json;

    #[test]
    fn the_name_of_a_class_stands_for_its_id() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let id = classes[0].id.to_string();
        let property = |idclass: &str| json!({"name": "a", "idclass": idclass});
        let sent = json!({"properties": [
            property("email/Profiles"), property(&id), property("email/Nothing"), {"idclass": 5}, 7,
        ]});
        let want = json!({"properties": [
            property(&id), property(&id), property("email/Nothing"), {"idclass": 5}, 7,
        ]});
        assert_eq!(with_class_ids(&sent, &classes, None), want);
        for other in [json!({}), json!([]), json!({"properties": "x"})] {
            assert_eq!(with_class_ids(&other, &classes, Some(classes[0].id)), other);
        }
    }

    #[test]
    fn a_new_class_names_itself() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let (known, new) = (classes[0].id.to_string(), "0192d000-0000-7000-8000-0000000000ff");
        let of = |class: Json, idclass: &str| {
            let mut class = class;
            class["properties"] = json!([{"name": "a", "idclass": idclass}]);
            class
        };
        let own = json!({"classname": "t/A"});
        let chosen = json!({"classname": "t/A", "id": known});
        let taken = json!({"classname": "email/Profiles"});
        let cases = [
            (&own, "t/A", new),
            (&own, "t/B", "t/B"),
            (&chosen, "t/A", known.as_str()),
            (&taken, "email/Profiles", known.as_str()),
        ];
        for (class, name, id) in cases {
            let sent = of(class.clone(), name);
            let read = with_class_ids(&sent, &classes, Some(new.parse().unwrap()));
            assert_eq!(read, of(class.clone(), id), "{sent}");
        }
    }
}

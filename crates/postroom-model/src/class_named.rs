//! Classes that clients name where an id stands.

use crate::class::Class;
use serde_json::Value as Json;
use std::sync::Arc;

/// The sent class with the id of the class in each `idclass` that is the name of one. Another text
/// stays, and is refused later.
#[must_use]
pub fn with_class_ids(sent: &Json, classes: &[Arc<Class>]) -> Json {
    let mut sent = sent.clone();
    let properties = sent.get_mut("properties").and_then(Json::as_array_mut);
    for property in properties.into_iter().flatten() {
        let Some(idclass) = property.get_mut("idclass") else {
            continue;
        };
        let named = |class: &&Arc<Class>| idclass.as_str() == Some(class.classname.as_str());
        if let Some(class) = classes.iter().find(named) {
            *idclass = Json::from(class.id.to_string());
        }
    }
    sent
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
        assert_eq!(with_class_ids(&sent, &classes), want);
        for other in [json!({}), json!([]), json!({"properties": "x"})] {
            assert_eq!(with_class_ids(&other, &classes), other);
        }
    }
}

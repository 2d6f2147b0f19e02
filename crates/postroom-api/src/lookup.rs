//! `LOOKUP` of a collection: finds the id of the entity that has a key. `opts.lookup_properties` of
//! the class names the properties that may have the key. They are searched one after another.

use crate::app::Asked;
use crate::body;
use crate::parameters;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Class;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::Query;
use postroom_model::filter;
use postroom_model::filter::Names;
use serde_json::Value;
use serde_json::json;

/// The parameter with the key.
const KEY: &str = "key";

/// `LOOKUP`: the id of the only entity that has the key, and the property that has it.
///
/// # Errors
///
/// 404 when none has it, 409 when several have it; 422 without a key, for a key that no property
/// can have, and for a class that names no property.
pub(crate) async fn lookup(asked: Asked, body: Body) -> Result<Response, Problem> {
    let pairs = parameters::of(&asked.uri, &[KEY])?;
    body::none(&asked.headers, body, &asked.app, "takes no body: the key is a parameter").await?;
    let key = pairs.into_iter().next().map(|(_, key)| key).filter(|key| !key.is_empty());
    let key = key.ok_or_else(|| Invalid::new(KEY, "is missing: LOOKUP …?key=anna@example.test"))?;
    let class = asked.class.as_ref();
    let properties = properties(class);
    if properties.is_empty() {
        let reason = format!(
            "leads nowhere: opts.lookup_properties of {} names no property to look for it in",
            class.classname
        );
        return Err(Invalid::new(KEY, reason).into());
    }
    let classes = asked.classes();
    let (mut can_have_it, mut problems) = (false, vec![]);
    for property in &properties {
        let filter = match has(Names::among(class, &classes), property, &key) {
            Ok(filter) => filter,
            // A key of another property.
            Err(invalid) => {
                let reason = format!("`{property}` cannot have it: {}", invalid.reason);
                problems.push(Invalid::new(KEY, reason));
                continue;
            }
        };
        can_have_it = true;
        let query = Query { shown: Some(vec![]), ..Query::filtered(filter, 2) };
        let found = asked.app.store.entity_list(&asked.domain, class, &query).await?;
        match found.as_slice() {
            [] => {}
            [one] => {
                let id = one.id.to_string();
                return Ok(Json(json!({"id": id, "property": property})).into_response());
            }
            _ => {
                let detail = format!(
                    "several entities have this key as `{property}`: list them with a filter"
                );
                return Err(Problem::conflict("ambiguous", detail));
            }
        }
    }
    if !can_have_it {
        return Err(problems.into());
    }
    let looked = properties.join(", ");
    Err(Problem::not_found(format!("no entity has this key; searched were: {looked}")))
}

/// The properties that may have a key, in their order.
fn properties(class: &Class) -> Vec<&str> {
    let names = class.opts.get("lookup_properties").and_then(Value::as_array);
    names.into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The filter of the entities whose property has the key.
fn has(names: Names<'_>, property: &str, key: &str) -> Result<Filter, Invalid> {
    // As a plain parameter, `null` is an unset property. A key is never that.
    match key {
        "null" => filter::parse(names, &json!(["==", ["property", property], key])),
        key => filter::equality(names, property, key),
    }
}

//! `QUERY` of a collection: a list whose parameters are a JSON body, so that a filter of any length
//! needs no URL.
//!
//! ```text
//!   QUERY /rest/v1/model/email/Messages
//!   {"filter": ["==", ["property", "messageState"], "received"], "limit": 5}
//! ```
//! The members are the parameters of `GET`. `Link` has the path of the next page, to which the same
//! body is sent.
//!
//! Standards: the method QUERY of the IETF HTTP working group: safe, with a body that is the query.

use crate::app::Asked;
use crate::body;
use crate::body::Sent;
use crate::entity;
use crate::entity::Following;
use crate::exact;
use crate::parameters;
use crate::problem::Problem;
use axum::body::Body;
use axum::response::Response;
use postroom_model::Invalid;
use serde_json::Value as Json;

/// `QUERY`: the list that a body describes.
///
/// # Errors
///
/// 400 for a body that is no JSON, 422 with every parameter that is unknown or wrong.
pub(crate) async fn query(asked: Asked, body: Body) -> Result<Response, Problem> {
    for (name, _) in parameters::all(&asked.uri)? {
        if name != "after" {
            let reason = "is a member of the body of QUERY; the URL has `after` alone";
            return Err(Invalid::new(name, reason).into());
        }
    }
    let after = parameters::of(&asked.uri, &["after"])?;
    let sent: Sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::refuse(&sent.document.rounded)?;
    let mut pairs = pairs(&sent.document.json)?;
    if !after.is_empty() {
        pairs.retain(|(name, _)| !matches!(name.as_str(), "after" | "offset"));
        pairs.extend(after);
    }
    entity::listed(asked, &pairs, Following::SameBody).await
}

/// The members of a body as the parameters that they stand for.
fn pairs(json: &Json) -> Result<Vec<(String, String)>, Problem> {
    let Some(members) = json.as_object() else {
        let reason = "takes an object of parameters: {\"filter\": […], \"limit\": 100}";
        return Err(Invalid::new("", reason).into());
    };
    let (mut pairs, mut problems) = (vec![], vec![]);
    for (name, value) in members {
        match texts(name, value) {
            Some(texts) => pairs.extend(texts.into_iter().map(|text| (name.clone(), text))),
            None => problems.push(Invalid::new(name, "takes a text, a number, true or false")),
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(problems.into()) }
}

/// The texts that a member is as a parameter. Several values of a property are several parameters.
fn texts(name: &str, value: &Json) -> Option<Vec<String>> {
    if name == "filter" {
        return Some(vec![value.to_string()]);
    }
    let is_listed = matches!(name, "mask" | "order" | "interval" | "aggregate" | "group");
    match value {
        Json::Array(several) if is_listed => {
            let texts: Option<Vec<_>> = several.iter().map(Json::as_str).collect();
            Some(vec![texts?.join(",")])
        }
        Json::Array(several) => several.iter().map(text).collect(),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Object(_) => {
            Some(vec![text(value)?])
        }
    }
}

fn text(value: &Json) -> Option<String> {
    match value {
        Json::String(text) => Some(text.clone()),
        Json::Null | Json::Bool(_) | Json::Number(_) => Some(value.to_string()),
        Json::Array(_) | Json::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn members_stand_for_parameters() {
        #[rustfmt::skip]
        let table = [
            (json!({"limit": 5, "count": true}),               Some("count=true&limit=5")),
            (json!({"filter": ["isnull", ["property", "x"]]}), Some(r#"filter=["isnull",["property","x"]]"#)),
            (json!({"mask": ["id", "to"], "order": "-id"}),    Some("mask=id,to&order=-id")),
            (json!({"interval": ["a", "b"]}),                  Some("interval=a,b")),
            (json!({"to": ["a", "b"], "folder_id": null}),     Some("folder_id=null&to=a&to=b")),
            (json!({}),                                        Some("")),
            (json!({"mask": [1]}),                             None),
            (json!({"subject": {"a": 1}}),                     None),
            (json!([]),                                        None),
        ];
        for (json, want) in table {
            let found = pairs(&json).ok().map(|pairs| {
                let mut all: Vec<_> = pairs.iter().map(|(n, t)| format!("{n}={t}")).collect();
                all.sort();
                all.join("&")
            });
            assert_eq!(found.as_deref(), want, "{json}");
        }
    }
}

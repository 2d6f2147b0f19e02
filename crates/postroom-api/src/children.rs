//! Child collections: a path that ends with a slash lists what is below it.
//!
//! ```text
//!   GET /rest/v1/model/        [{"name": "crm", …}, {"name": "email", …}]
//!   GET /rest/v1/model/email/  [{"name": "Accounts", "classname": "email/Accounts", …}, …]
//! ```
//! Names of classes have slashes, so they form a tree. An answer has one level of it.

use crate::parameters;
use crate::percent;
use crate::problem::Problem;
use axum::Json;
use axum::http::Method;
use axum::http::Uri;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Class;
use serde_json::Value;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;

/// `GET` of a path with a slash at its end: the collections and paths directly below it. `path` is
/// what follows `/rest/v1/model/`.
///
/// # Errors
///
/// 404 when no class has a name that begins so, 405 for another method, 422 for any parameter.
pub(crate) fn list(
    method: &Method,
    uri: &Uri,
    path: &str,
    classes: &[Arc<Class>],
) -> Result<Response, Problem> {
    let path = percent::decode(path)
        .ok_or_else(|| Problem::malformed("the path is not percent-encoded UTF-8"))?;
    let names: Vec<_> = classes.iter().map(|class| class.classname.as_str()).collect();
    let children = below(&path, &names).ok_or_else(|| {
        let detail = "no class has a name that begins like this path; a path with a slash at its \
                      end lists the collections below it, and the path of a collection or of an \
                      entity has none";
        Problem::not_found(detail)
    })?;
    if !matches!(*method, Method::GET | Method::HEAD) {
        return Err(Problem::method_not_allowed("GET, HEAD"));
    }
    parameters::of(uri, &[])?;
    Ok(Json(children).into_response())
}

/// The children of a path that is empty or ends with a slash. `None`: nothing begins so.
fn below(path: &str, names: &[&str]) -> Option<Vec<Value>> {
    let is_class = path.strip_suffix('/').is_some_and(|name| names.contains(&name));
    let rests = names.iter().filter_map(|name| name.strip_prefix(path));
    let children: BTreeSet<_> =
        rests.map(|rest| rest.split_once('/').map_or(rest, |(first, _)| first)).collect();
    if children.is_empty() && !is_class {
        return None;
    }
    let shown = |child: &str| {
        let whole = format!("{path}{child}");
        let classname = names.contains(&whole.as_str()).then(|| whole.clone());
        let inner = format!("{whole}/");
        let has_children = names.iter().any(|name| name.starts_with(&inner));
        json!({
            "name": child,
            "classname": classname,
            "path": format!("/rest/v1/model/{whole}{}", if classname.is_some() { "" } else { "/" }),
            "hasChildren": has_children,
        })
    };
    Some(children.into_iter().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_level_of_the_tree_below_it() {
        let names = ["email/Accounts", "email/Messages", "email/Messages/Notes", "crm/a/B", "Top"];
        let found = |path: &str| {
            let children = below(path, &names)?;
            let text = |child: &Value| {
                let sign = if child["hasChildren"] == true { "+" } else { "" };
                format!("{}{sign}", child["path"].as_str().unwrap().replace("/rest/v1/model/", ""))
            };
            Some(children.iter().map(text).collect::<Vec<_>>().join(" "))
        };
        #[rustfmt::skip]
        let table = [
            ("",                Some("Top crm/+ email/+")),
            ("email/",          Some("email/Accounts email/Messages+")),
            ("email/Messages/", Some("email/Messages/Notes")),
            ("email/Accounts/", Some("")),
            ("crm/",            Some("crm/a/+")),
            ("crm/a/",          Some("crm/a/B")),
            ("Top/",            Some("")),
            ("emai/",           None),
            ("nope/",           None),
            ("/",               None),
            ("email//",         None),
        ];
        for (path, want) in table {
            assert_eq!(found(path).as_deref(), want, "{path}");
        }
    }
}

//! `ROTATE` of a token: a new value, which is shown once. The former one stays valid for a while.

use crate::app::Asked;
use crate::body;
use crate::change;
use crate::claim_request::BodyMembers;
use crate::etag;
use crate::exact;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::body::Body;
use axum::response::Response;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::builtin::names;
use postroom_store::EntityPlace;
use secrecy::ExposeSecret;
use serde_json::Value as Json;
use serde_json::json;
use std::ops::RangeInclusive;

/// For how many seconds the former value is valid too: up to 30 days.
const OVERLAP_SECONDS: RangeInclusive<f64> = 0.0..=2_592_000.0;
/// The same if the client does not say: a day.
const OVERLAP_DEFAULT: f64 = 86_400.0;
/// The text for a body that is not an object.
const FORM: &str = "takes an object: {\"overlap\": 86400}";

/// Gives the token a new value.
///
/// # Errors
///
/// 404 when the domain has no token of that id; 412 for another version; 422 for a wrong body.
pub(crate) async fn rotate(asked: Asked, id: EntityId, body: Body) -> Result<Response, Problem> {
    parameters::of(&asked.uri, &[])?;
    let sent = body::json(&asked.headers, body, &asked.app).await?;
    exact::refuse(&sent.document.rounded)?;
    let overlap_ms = overlap_ms(&sent.document.json)?;
    let current = change::find(&asked, id).await?;
    let is_conditional = etag::check(&asked.headers, current.version)?;
    let if_version = is_conditional.then_some(current.version);
    let place = EntityPlace::new(&asked.domain, &asked.class, id);
    let rotated = asked.app.store.token_rotate(place, overlap_ms, if_version).await?;
    let rotated = rotated.ok_or_else(|| change::missing(&asked.class))?;
    let mut shown = rotated.entity.to_json(&asked.class);
    if let Some(members) = shown.as_object_mut() {
        members.insert(names::TOKEN.to_owned(), json!(rotated.value.expose_secret()));
    }
    Ok(view::row(&rotated.entity, shown))
}

fn overlap_ms(json: &Json) -> Result<i64, Problem> {
    BodyMembers::of(json, &["overlap"], FORM)?;
    let given = json.get("overlap").filter(|value| !value.is_null());
    let seconds = given.map_or(Some(OVERLAP_DEFAULT), Json::as_f64);
    let seconds = seconds.filter(|seconds| OVERLAP_SECONDS.contains(seconds));
    let reason = || format!("takes a number of seconds from 0 to {}", OVERLAP_SECONDS.end());
    let seconds = seconds.ok_or_else(|| Invalid::new("overlap", reason()))?;
    #[expect(clippy::cast_possible_truncation, reason = "it is in its range")]
    let ms = (seconds * 1000.0) as i64;
    Ok(ms)
}

//! `aggregate` and `group`: sums over a collection instead of its entities.

use crate::app::Asked;
use crate::format::Format;
use crate::problem::Problem;
use crate::view;
use axum::body::Body;
use axum::response::Response;
use postroom_model::Aggregate;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_store::WantedGroups;
use serde_json::Value as Json;

/// How many groups an answer may have.
const GROUPS_MAX: u32 = 1000;

/// The groups of the entities that match a filter, each with its computed values.
///
/// # Errors
///
/// 422 when there are more groups than an answer may have.
pub(crate) async fn answer(
    asked: &Asked,
    filter: Option<&Filter>,
    aggregate: &Aggregate,
    format: Format,
) -> Result<Response, Problem> {
    let (domain, class) = (&asked.domain, asked.class.as_ref());
    let store = &asked.app.store;
    let wanted = WantedGroups { aggregate, limit: GROUPS_MAX + 1 };
    let groups = store.entity_aggregate(domain, class, filter, wanted).await?;
    if groups.len() > GROUPS_MAX as usize {
        let reason = format!(
            "makes more than {GROUPS_MAX} groups: group by properties with fewer values, or filter"
        );
        return Err(Invalid::new("group", reason).into());
    }
    let names = aggregate.group.iter().map(|property| &property.name);
    let names = names.chain(aggregate.computed.iter().map(|computed| &computed.name));
    let columns: Vec<Vec<String>> = names.map(|name| vec![name.clone()]).collect();
    let rows: Vec<_> =
        groups.into_iter().map(|group| format.row(&Json::Object(group), &columns)).collect();
    let text = [format.front(&columns), rows.join(format.between()), format.end().to_owned()];
    Ok(view::list(Body::from(text.concat()), format))
}

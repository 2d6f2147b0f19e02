//! The table of the entities of a class, which the pages about tokens, domains and users show.

use crate::console_answer::refused;
use crate::console_client::ConsoleClient;
use crate::console_page;
use crate::console_page::value;
use crate::percent;
use crate::problem::Problem;
use axum::response::Response;
use serde_json::Value as Json;

/// How many entities are shown.
const SHOWN_MAX: usize = 1000;

/// What such a table shows.
pub(crate) struct EntityTable<'a> {
    /// The class.
    pub class: &'a str,
    /// The path of the pages about it.
    pub path: &'a str,
    /// The property that names an entity. Its value leads to the page of the entity.
    pub name: &'a str,
    /// The heads of the columns, that of the name first.
    pub columns: &'a [&'a str],
    /// What is shown if there are no entities.
    pub none: &'a str,
}

impl EntityTable<'_> {
    /// The table, in the order of the names. `cells` gives what follows the name of an entity.
    /// `Err`: the page that says why the interface refused.
    ///
    /// # Errors
    ///
    /// When the interface cannot be asked.
    pub(crate) async fn shown(
        &self,
        client: &ConsoleClient,
        cells: impl Fn(&Json) -> Vec<String>,
    ) -> Result<Result<String, Response>, Problem> {
        let Self { class, path, name, columns, none } = self;
        let asked = format!("/rest/v1/model/{class}?order={name}&limit={SHOWN_MAX}");
        let all = client.get(&asked).await?;
        if let Some(refused) = refused(&all) {
            return Ok(Err(refused));
        }
        let row = |entity: &Json| {
            let id = entity.get("id").and_then(Json::as_str).unwrap_or_default();
            let name = value(entity.get(*name));
            let link = format!("<a href=\"{path}/{}\">{name}</a>", percent::encode(id));
            [vec![link], cells(entity)].concat()
        };
        let rows: Vec<_> = all.json.as_array().into_iter().flatten().map(row).collect();
        if rows.is_empty() {
            return Ok(Ok((*none).to_owned()));
        }
        let mut table = console_page::table(columns, &rows);
        if rows.len() >= SHOWN_MAX {
            let more = format!("<p>There are more: only the first {SHOWN_MAX} are shown.</p>\n");
            table.push_str(&more);
        }
        Ok(Ok(table))
    }
}

//! The rules of folders: an account has one for each mailbox, so that no message arrives twice.

use crate::app::Asked;
use crate::problem::Problem;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::Query;
use postroom_model::filter;
use serde_json::json;

/// Checks that no other folder of the account stands for the same mailbox.
///
/// # Errors
///
/// 422 for a folder without name and title; 409 that names the other folder.
pub async fn check(asked: &Asked, folder: &Entity) -> Result<(), Problem> {
    if folder.get("name").is_null() && folder.get("title").is_null() {
        return Err(Invalid::new("name", "is required, or a title").into());
    }
    let same = |name: &str| {
        let value = folder.get(name);
        (!value.is_null()).then(|| json!(["==", ["property", name], value]))
    };
    let mailbox: Vec<_> = ["name", "title"].into_iter().filter_map(same).collect();
    let Some(account) = same("account_id").filter(|_| !mailbox.is_empty()) else {
        return Ok(());
    };
    let either = [vec![json!("or")], mailbox].concat();
    let filter = json!(["and", account, either]);
    let query = Query::filtered(filter::parse(&asked.class, &filter)?, 2);
    let found = asked.app.store.entity_list(&asked.domain, &asked.class, &query).await?;
    match found.iter().find(|other| other.id != folder.id) {
        None => Ok(()),
        Some(other) => {
            let detail = format!("the account has a folder for this mailbox already: {}", other.id);
            Err(Problem::conflict("exists", detail))
        }
    }
}

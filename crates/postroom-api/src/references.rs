//! References of a message: what is said of its account.

use crate::app::Asked;
use crate::problem::Problem;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::names;

/// The address of the account of a message; empty without one.
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn account_address(asked: &Asked, message: &Entity) -> Result<String, Problem> {
    let Some(account) = message.reference(names::ACCOUNT_ID) else {
        return Ok(String::new());
    };
    let account = find(asked, ACCOUNTS, account).await?;
    let address = account.as_ref().and_then(|account| account.text(names::ADDRESS));
    Ok(address.unwrap_or_default().to_owned())
}

async fn find(asked: &Asked, class: &str, id: EntityId) -> Result<Option<Entity>, Problem> {
    let class = asked.app.store.class(class);
    let class = class.ok_or_else(|| Problem::fault("a built-in class is missing"))?;
    Ok(asked.app.store.entity_get(&asked.domain, &class, id).await?)
}

//! References of a message: the account that its folder implies, and whether they agree.

use crate::app::Asked;
use crate::problem::Problem;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::MessageState;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use serde_json::Value as Json;
use uuid::Uuid;

/// Gives a message without an account the account of its folder, and checks that both exist in the
/// domain and agree. `before` is the stored message. A reference that does not change is not
/// checked, because its target may have been deleted since.
///
/// # Errors
///
/// 422 that names `folder_id` or `account_id`.
pub async fn complete(
    asked: &Asked,
    message: &mut Entity,
    before: Option<&Entity>,
) -> Result<(), Problem> {
    let changed = |name: &str| before.is_none_or(|before| before.get(name) != message.get(name));
    let (folder_changed, account_changed) = (changed("folder_id"), changed("account_id"));
    let folder = message.reference("folder_id").filter(|_| folder_changed || account_changed);
    if let Some(folder) = folder {
        match find(asked, FOLDERS, folder).await? {
            Some(folder) => agree(message, &folder)?,
            None if folder_changed => return Err(nothing("folder_id")),
            None => {}
        }
    }
    let sending = message.text("messageState") == Some(MessageState::Sending.as_str());
    if let (true, Some(account)) = (sending, message.reference("account_id"))
        && find(asked, ACCOUNTS, account).await?.is_none()
    {
        return Err(nothing("account_id"));
    }
    Ok(())
}

/// Ensures that a message and its folder have the same account.
fn agree(message: &mut Entity, folder: &Entity) -> Result<(), Problem> {
    match (message.reference("account_id"), folder.reference("account_id")) {
        (None, Some(account)) => {
            let account = Json::String(account.to_string());
            message.properties.insert("account_id".to_owned(), account);
            Ok(())
        }
        (Some(own), Some(its)) if own != its => {
            Err(Invalid::new("folder_id", "is a folder of another account").into())
        }
        (_, _) => Ok(()),
    }
}

/// The address of the account of a message; empty without one.
///
/// # Errors
///
/// When the store fails.
pub async fn account_address(asked: &Asked, message: &Entity) -> Result<String, Problem> {
    let Some(account) = message.reference("account_id") else {
        return Ok(String::new());
    };
    let account = find(asked, ACCOUNTS, account).await?;
    let address = account.as_ref().and_then(|account| account.text("address"));
    Ok(address.unwrap_or_default().to_owned())
}

async fn find(asked: &Asked, class: &str, id: Uuid) -> Result<Option<Entity>, Problem> {
    let class = asked.app.store.class(class);
    let class = class.ok_or_else(|| Problem::fault("a built-in class is missing"))?;
    Ok(asked.app.store.entity_get(&asked.domain, &class, id).await?)
}

fn nothing(property: &str) -> Problem {
    Invalid::new(property, "refers to an entity that does not exist").into()
}

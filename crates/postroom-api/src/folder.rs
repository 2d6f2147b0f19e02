//! The rule of folders: an account has one folder for each mailbox, so that no message arrives
//! twice.

use crate::app::Asked;
use crate::problem::Problem;
use postroom_model::Entity;
use postroom_model::builtin::FOLDERS;
use postroom_store::Failed;

/// Checks that no other folder of the account has the same mailbox. The store enforces this rule;
/// this check can name the other folder.
///
/// # Errors
///
/// 409 that names the other folder.
pub(crate) async fn check(asked: &Asked, folder: &Entity) -> Result<(), Problem> {
    match asked.app.store.folder_same(&asked.domain, folder).await? {
        None => Ok(()),
        Some(_) if asked.app.store.is_bounded(FOLDERS) => Err(Failed::OneFolder.into()),
        Some(other) => {
            let detail = format!("the account already has a folder for this mailbox: {other}");
            Err(Problem::conflict("exists", detail))
        }
    }
}

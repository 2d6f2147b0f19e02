//! The log lines of a changed account.

use crate::account::Account;

/// Writes to the log what changed for an account.
pub(crate) fn tell_changes(former: &Account, account: &Account) {
    let address = account.address.as_str();
    let with_former_folders = Account { folders: former.folders.clone(), ..account.clone() };
    if !with_former_folders.works_like(former) {
        tracing::info!(account = address, id = %account.id, "account changed");
    }
    for folder in account.monitored() {
        if !former.monitored().any(|before| before.id == folder.id) {
            tracing::info!(account = address, folder = folder.title, "folder is monitored");
        }
    }
    for folder in former.monitored() {
        if !account.monitored().any(|now| now.id == folder.id) {
            tracing::info!(account = address, folder = folder.title, "folder is not monitored now");
        }
    }
}

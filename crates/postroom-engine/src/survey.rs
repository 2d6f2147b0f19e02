//! Survey: which mailboxes the server has, as folders in the data model.
//!
//! A mailbox that is new becomes a folder with `enabled` false. One that is gone keeps its folder,
//! and the folder says so: what was received from it stays reachable.

use crate::account::Account;
use crate::error::Error;
use crate::renamed;
use crate::shared::Shared;
use postroom_imap::Connection;
use postroom_imap::Listed;
use postroom_imap::MailboxName;
use postroom_store::SurveyedFolder;
use std::collections::BTreeSet;

/// Attributes of names that cannot be selected (RFC 9051 §7.3.1).
const NOT_SELECTABLE: [&str; 2] = ["\\noselect", "\\nonexistent"];

/// Lists the mailboxes of an account and brings its folders up to date; gives their names.
///
/// # Errors
///
/// What ended the connection, the server's refusal, or the store.
pub async fn survey(
    shared: &Shared,
    account: &Account,
    connection: &mut Connection,
) -> Result<BTreeSet<MailboxName>, Error> {
    let listed = connection.list().await?;
    if listed.is_empty() {
        // Every account has INBOX: folders are not gone because a server does not feel well.
        return Err(Error::NoMailbox);
    }
    let selectable: Vec<_> = listed.into_iter().filter(is_selectable).collect();
    renamed::follow(shared, account, connection, &selectable).await?;
    let folders: Vec<_> = selectable.iter().map(|listed| folder(account, listed)).collect();
    shared.store.survey_commit(&account.domain, account.id, &folders).await?;
    Ok(selectable.into_iter().map(|listed| listed.name).collect())
}

fn is_selectable(listed: &Listed) -> bool {
    !listed
        .attributes
        .iter()
        .any(|attribute| NOT_SELECTABLE.iter().any(|not| attribute.eq_ignore_ascii_case(not)))
}

pub(crate) fn folder(account: &Account, listed: &Listed) -> SurveyedFolder {
    SurveyedFolder {
        mailbox: listed.name.to_percent_encoded(),
        name: listed.display.clone(),
        title: format!("{}/{}", account.address, listed.display),
        delimiter: listed.delimiter.map(String::from).unwrap_or_default(),
        flags: listed.attributes.clone(),
        special_use: listed.special_use.clone(),
    }
}

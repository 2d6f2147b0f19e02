//! Survey: makes a folder of the data model for each mailbox of the server.
//!
//! A new mailbox becomes a folder with `enabled` false. A mailbox that is gone keeps its folder,
//! and the folder says so, so that its received messages stay reachable.

use crate::account::Account;
use crate::error::Error;
use crate::renamed;
use crate::renamed::Examined;
use crate::shared::Shared;
use crate::source::contract::ListedMailbox;
use crate::source::contract::ListedMailboxes;
use crate::source::contract::Source;
use postroom_imap::MailboxName;
use postroom_store::Survey;
use postroom_store::SurveyedFolder;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The result of a survey.
pub(crate) struct Surveyed {
    /// The mailboxes that can be selected.
    pub names: BTreeSet<MailboxName>,
    /// A problem with the list, for people.
    pub trouble: Option<String>,
}

/// Lists the mailboxes of an account and brings its folders up to date.
///
/// # Errors
///
/// What ended the connection, the server's refusal, or the store.
pub(crate) async fn survey<S: Source>(
    shared: &Shared,
    account: &Account,
    source: &mut S,
    examined: &mut Examined,
) -> Result<Surveyed, Error> {
    let ListedMailboxes { listed, over_count, is_whole } = source.survey().await?;
    let names: BTreeSet<_> = listed.iter().map(|listed| &listed.name).collect();
    let has_all = is_whole
        || renamed::known_mailboxes(shared, account).await?.keys().all(|name| names.contains(name));
    if listed.is_empty() || !has_all {
        // Every account has INBOX, so an empty list is a fault of the server and does not mean that
        // the folders are gone.
        return Err(Error::NoMailbox);
    }
    let trouble = (over_count > 0).then(|| too_many(listed.len() as u64, over_count));
    let mut selectable: Vec<_> = listed.into_iter().filter(|listed| listed.is_selectable).collect();
    tell_apart(&mut selectable);
    // A mailbox that is missing from an incomplete list need not be gone or renamed.
    let is_whole = is_whole && over_count == 0;
    let open = match is_whole {
        true => renamed::follow(shared, account, source, &selectable, examined).await?,
        false => BTreeSet::new(),
    };
    let _turn = shared.survey_turn(selectable.len()).await;
    let settled = selectable.iter().filter(|listed| !open.contains(&listed.name));
    let folders: Vec<_> = settled.map(|listed| folder(account, listed)).collect();
    let survey = Survey { folders, is_whole };
    shared.store.survey_commit(&account.domain, account.id, &survey).await?;
    let names = selectable.into_iter().map(|listed| listed.name).collect();
    Ok(Surveyed { names, trouble })
}

/// Names may be shown alike although their bytes differ. The one that is written as it is shown
/// keeps that form. The others show their bytes too.
fn tell_apart(listed: &mut [ListedMailbox]) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for one in listed.iter() {
        *counts.entry(one.display.clone()).or_default() += 1;
    }
    for one in listed.iter_mut().filter(|one| counts.get(&one.display) != Some(&1)) {
        if MailboxName::from_display(&one.display) != one.name {
            one.display = format!("{} ({})", one.display, one.name.to_percent_encoded());
        }
    }
}

/// The text for a list that is too long.
fn too_many(taken: u64, over_count: u64) -> String {
    let listed = taken.saturating_add(over_count);
    format!(
        "the server lists {listed} mailboxes, and {taken} of them became folders; mail in the \
         others is not received: raise `mailboxes_max`, or have fewer mailboxes shown to this login"
    )
}

pub(crate) fn folder(account: &Account, listed: &ListedMailbox) -> SurveyedFolder {
    SurveyedFolder {
        mailbox: listed.name.to_percent_encoded(),
        name: listed.display.clone(),
        title: format!("{}/{}", account.address, listed.display),
        delimiter: listed.delimiter.map(String::from).unwrap_or_default(),
        flags: listed.attributes.clone(),
        special_use: listed.special_use.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_too_long_says_both_numbers_and_what_to_do() {
        let text = too_many(10_000, 190_000);
        assert!(text.contains("lists 200000 mailboxes, and 10000 of them"), "{text}");
        assert!(text.contains("`mailboxes_max`"), "{text}");
    }
}

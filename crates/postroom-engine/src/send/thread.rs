//! The thread of a composed message: `In-Reply-To` and `References`.

use crate::account::Account;
use crate::error::Error;
use crate::outgoing;
use crate::shared::Shared;
use postroom_model::Entity;

/// The message ids of a property. Each of its texts may have several.
pub(crate) fn ids(message: &Entity, property: &str) -> Vec<String> {
    message.texts(property).filter_map(outgoing::message_ids).flatten().collect()
}

/// The references of an answer: its own, otherwise those of the answered message followed by its id
/// (RFC 5322 §3.6.4).
///
/// # Errors
///
/// When the store fails.
pub(crate) async fn references(
    shared: &Shared,
    account: &Account,
    message: &Entity,
    in_reply_to: &[String],
) -> Result<Vec<String>, Error> {
    let given = ids(message, "references");
    let Some(answered) = in_reply_to.last().filter(|_| given.is_empty()) else {
        return Ok(given);
    };
    let parent = shared.store.message_of_id(&account.domain, account.id, answered).await?;
    let mut references = parent.as_ref().map_or_else(Vec::new, |parent| {
        let references = ids(parent, "references");
        let answers = ids(parent, "inReplyTo");
        if references.is_empty() && answers.len() == 1 { answers } else { references }
    });
    references.retain(|id| id != answered);
    references.push(answered.clone());
    Ok(references)
}

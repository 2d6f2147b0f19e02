//! Lists the mailboxes of an account, in the form that the server takes.
//!
//! Standards: RFC 3501 §6.3.8, RFC 5258, RFC 6154.

use crate::command::Command;
use crate::connection::ImapConnection;
use crate::error::Error;
use crate::mailbox::MailboxName;
use crate::newer_forms::NewerForm;
use crate::response::Listed;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// The mailboxes of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mailboxes {
    /// The listed mailboxes up to the limit, each once.
    pub listed: Vec<Listed>,
    /// How many more the server listed than [`crate::ImapLimits::mailboxes_count_max`].
    pub over_count: u64,
    /// Whether this is the list of all mailboxes. If not, a mailbox may exist although it is not
    /// listed.
    pub is_whole: bool,
}

impl ImapConnection {
    /// The mailboxes, in the order of their names, up to the limit. If the server refuses to list
    /// all, these are INBOX and the mailboxes of the first level.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], or what ended the connection.
    pub async fn list(&mut self) -> Result<Mailboxes, Error> {
        let extended = self.capabilities.has("LIST-EXTENDED")
            && self.capabilities.has("SPECIAL-USE")
            && self.options.newer_forms.allow(NewerForm::ExtendedList);
        let newer = extended.then_some(NewerForm::ExtendedList);
        let all = match self.ask_newer(newer, Command::list("*", extended)).await {
            // QUIRK(ProtonMail): https://github.com/jstedfast/MailKit/issues/674
            Err(error) if extended && error.is_of_the_form() => {
                self.ask(Command::list("*", false)).await
            }
            // QUIRK(Strato): https://github.com/jstedfast/MailKit/issues/1957
            Ok(answer) if extended && answer.listed.is_empty() => {
                self.ask(Command::list("*", false)).await
            }
            result => result,
        };
        let (answer, is_of_all) = match all {
            Err(error) if error.is_of_the_form() => {
                (self.ask(Command::list("%", false)).await?, false)
            }
            result => (result?, true),
        };
        let over_count = answer.listed_over;
        let is_whole = is_of_all && !answer.listed.is_empty();
        let mut listed = BTreeMap::new();
        for mailbox in answer.listed {
            listed.entry(mailbox.name.clone()).or_insert(mailbox);
        }
        if let Entry::Vacant(vacant) = listed.entry(MailboxName::inbox())
            && let Some(inbox) = self.find_inbox().await?
        {
            vacant.insert(inbox);
        }
        Ok(Mailboxes { listed: listed.into_values().collect(), over_count, is_whole })
    }

    /// Finds INBOX, which every account has (RFC 3501 §5.1), for servers that do not list it.
    async fn find_inbox(&mut self) -> Result<Option<Listed>, Error> {
        let inbox = MailboxName::inbox();
        match self.ask(Command::list("INBOX", false)).await {
            Ok(answer) => {
                if let Some(found) = answer.listed.into_iter().find(|listed| listed.name == inbox) {
                    return Ok(Some(found));
                }
            }
            Err(error) if error.leaves_connection_open() => {}
            Err(error) => return Err(error),
        }
        match self.status(&inbox).await {
            Ok(_) => Ok(Some(Listed::inbox())),
            Err(error) if error.leaves_connection_open() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

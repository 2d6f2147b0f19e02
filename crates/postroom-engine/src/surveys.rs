//! The surveys of an account: when the next one is due, and how the last one went.

use crate::account::Account;
use crate::error::Error;
use crate::polls::Visit;
use crate::renamed::Examined;
use crate::report::leaves_others;
use crate::shared::Shared;
use crate::source::contract::Source;
use crate::survey::survey;
use crate::worn::Rest;
use postroom_imap::MailboxName;
use postroom_model::options;
use std::collections::BTreeSet;
use tokio::time::Instant;

/// The surveys of one account.
#[derive(Debug, Default)]
pub(crate) struct Surveys {
    last: Option<Visit>,
    /// The mailboxes that were compared with those that are gone.
    examined: Examined,
    has_listed: bool,
}

impl Surveys {
    /// The last one. `None`: the next one is due at once.
    #[must_use]
    pub(crate) const fn last(&self) -> Option<&Visit> {
        self.last.as_ref()
    }

    /// Whether the server has ever shown its mailboxes.
    #[must_use]
    pub(crate) const fn has_listed(&self) -> bool {
        self.has_listed
    }

    /// Makes the next one due at once.
    pub(crate) fn look_anew(&mut self) {
        self.last = None;
    }

    /// When the next one is due.
    #[must_use]
    pub(crate) fn next(&self, account: &Account) -> Instant {
        let interval = account.options.duration(&options::SURVEY_INTERVAL);
        self.last.as_ref().map_or_else(Instant::now, |last| last.next(interval))
    }

    /// Surveys if that is due. Gives the names of the mailboxes that were found. `None`: it is not
    /// due, or the server refuses the list and still serves the known folders.
    ///
    /// # Errors
    ///
    /// What ended the connection, or is about the whole account; when the store fails.
    pub(crate) async fn if_due<S: Source>(
        &mut self,
        shared: &Shared,
        account: &Account,
        source: &mut S,
        rest: &mut Rest,
    ) -> Result<Option<BTreeSet<MailboxName>>, Error> {
        if self.next(account) > Instant::now() {
            return Ok(None);
        }
        match survey(shared, account, source, &mut self.examined).await {
            Ok(found) => {
                rest.served();
                self.has_listed = true;
                self.last = Some(Visit::good(false).with_trouble(found.trouble));
                Ok(Some(found.names))
            }
            Err(error) if error.is_of_database() || rest.blames(self.last.as_ref(), &error) => {
                Err(error)
            }
            Err(error) => {
                self.last = Some(Visit::bad_survey(self.last.as_ref(), shared, &error));
                if leaves_others(&error) { Ok(None) } else { Err(error) }
            }
        }
    }
}

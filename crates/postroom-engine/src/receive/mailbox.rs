//! The mailbox whose messages are received.

use crate::account::Account;
use crate::account::Folder;

/// A mailbox that an account receives from, as the data model has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonitoredMailbox<'a> {
    /// The account.
    pub account: &'a Account,
    /// The folder that stands for the mailbox.
    pub folder: &'a Folder,
}

//! What changes a mailbox: flags, deletions, additions.
//!
//! Standards: RFC 3501 §6.4.3, §6.4.6, §6.3.11, RFC 4315.

use crate::command::Command;
use crate::command::FlagChange;
use crate::connection::Connection;
use crate::error::Error;
use crate::mailbox::MailboxName;
use crate::response::Fetched;
use crate::set::UidSet;
use bytes::Bytes;

impl Connection {
    /// Changes the flags of messages; gives the messages whose flags the server told meanwhile.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn uid_store(
        &mut self,
        set: &UidSet,
        change: &FlagChange,
    ) -> Result<Vec<Fetched>, Error> {
        Ok(self.ask(Command::uid_store(set, change)?).await?.fetched)
    }

    /// Removes every message of the mailbox that is `\Deleted`, whoever marked it. Only for
    /// servers without UIDPLUS, after a look at what is marked.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], or what ended the connection.
    pub async fn expunge(&mut self) -> Result<(), Error> {
        self.ask(Command::expunge()).await.map(drop)
    }

    /// Removes those of the messages that are `\Deleted` (RFC 4315 §2.1).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] where only a bare EXPUNGE is possible, which could take messages
    /// that others marked; [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn uid_expunge(&mut self, set: &UidSet) -> Result<(), Error> {
        if !self.capabilities.has("UIDPLUS") && !self.capabilities.has("IMAP4REV2") {
            return Err(Error::Unsupported { extension: "UIDPLUS" });
        }
        self.ask(Command::uid_expunge(set)?).await.map(drop)
    }

    /// Adds a message; gives UIDVALIDITY and UID where the server says them (RFC 4315 §3).
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn append(
        &mut self,
        mailbox: &MailboxName,
        flags: &[String],
        date_ms: Option<i64>,
        body: Bytes,
    ) -> Result<Option<(u64, u64)>, Error> {
        let command = Command::append(&self.capabilities, mailbox, (flags, date_ms), body)?;
        Ok(self.ask(command).await?.appended())
    }
}

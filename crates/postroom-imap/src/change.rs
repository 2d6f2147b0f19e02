//! Commands that change a mailbox: flags, deletions, additions.
//!
//! Standards: RFC 3501 §6.4.3, §6.4.6, §6.3.11, RFC 4315.

use crate::command::Command;
use crate::command::FlagChange;
use crate::connection::ImapConnection;
use crate::error::Error;
use crate::error::Refusal;
use crate::mailbox::MailboxName;
use crate::response::Fetched;
use crate::set::UidSet;
use bytes::Bytes;

impl ImapConnection {
    /// Changes the flags of messages. Gives the messages whose flags the server reported meanwhile.
    /// If the server does not know the silent form, it is asked in the other one.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn uid_store(
        &mut self,
        set: &UidSet,
        change: &FlagChange,
    ) -> Result<Vec<Fetched>, Error> {
        match self.ask(Command::uid_store(set, change)?).await {
            Err(Error::Refused { refusal: Refusal::Bad, .. }) if change.is_silent => {
                let plain = change.told();
                Ok(self.ask(Command::uid_store(set, &plain)?).await?.fetched)
            }
            result => Ok(result?.fetched),
        }
    }

    /// Removes every message of the mailbox that is `\Deleted`, whoever marked it. Use it only for
    /// servers without UIDPLUS, and only after checking which messages are marked.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`], or what ended the connection.
    pub async fn expunge(&mut self) -> Result<(), Error> {
        self.ask(Command::expunge()).await.map(drop)
    }

    /// Removes those messages of the set that are `\Deleted` (RFC 4315 §2.1).
    ///
    /// # Errors
    ///
    /// [`Error::Unsupported`] if the server has only a bare EXPUNGE, which could remove messages
    /// that others marked. [`Error::Unsendable`], [`Error::Refused`], or what ended the connection.
    pub async fn uid_expunge(&mut self, set: &UidSet) -> Result<(), Error> {
        if !self.capabilities.has("UIDPLUS") && !self.capabilities.has("IMAP4REV2") {
            return Err(Error::Unsupported { extension: "UIDPLUS" });
        }
        self.ask(Command::uid_expunge(set)?).await.map(drop)
    }

    /// Adds a message. Gives UIDVALIDITY and UID if the server reports them (RFC 4315 §3).
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
        let command = Command::append(&self.capabilities, mailbox, flags, date_ms, body)?;
        Ok(self.ask(command).await?.appended())
    }
}

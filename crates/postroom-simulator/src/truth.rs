//! The truth: what the simulation knows from outside of what was put into the world.

use bytes::Bytes;
use postroom_model::EntityId;
use postroom_sandbox::Mailbox;
use std::collections::BTreeMap;
use std::time::Duration;

/// Whether a client has deleted something, as far as the client knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It has not.
    No,
    /// It asked for it and had no answer: both is right.
    Asked,
    /// It has, and was told so.
    Yes,
}

/// A mailbox of a user that is monitored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UserMailbox {
    /// The place of the user in [`crate::servers::USERS`].
    pub user: usize,
    /// Its name.
    pub name: &'static str,
}

/// A message that was put into a mailbox.
#[derive(Debug)]
pub struct ArrivedMail {
    /// Where it was put.
    pub mailbox: UserMailbox,
    /// Its bytes.
    pub bytes: Bytes,
    /// When it was put there.
    pub at: Duration,
    /// Whether somebody else than the engine has removed it.
    pub removed_by_others: bool,
    /// Whether somebody else than the engine has marked it `\Seen`.
    pub seen_by_others: bool,
    /// Whether the engine has no right to delete it at the server any more.
    pub must_stay: bool,
    /// Whether a client has deleted its entity.
    pub deleted: Deleted,
    /// The entity whose bytes were compared already.
    pub verified: Option<EntityId>,
}

/// A message that a client wants to have sent.
#[derive(Debug)]
pub struct SubmittedMail {
    /// Its id.
    pub id: EntityId,
    /// The place of the user in [`crate::servers::USERS`].
    pub user: usize,
    /// Its recipients.
    pub recipients: Vec<String>,
    /// When it was created.
    pub at: Duration,
    /// Whether the client was told that it is kept.
    pub is_acknowledged: bool,
    /// How often an outcome had become unknown at its server before.
    pub unknown_outcomes_before: u64,
    /// How often a message had been refused for good at its server before.
    pub refusals_before: u64,
    /// Whether a client has deleted its entity.
    pub deleted: Deleted,
    /// Whether a client has taken it back, and was told so or not.
    pub withdrawn: Deleted,
}

/// What is known of a folder.
#[derive(Debug, Default)]
pub struct KnownFolder {
    /// Its id.
    pub id: EntityId,
    /// Whether the engine may delete messages at the server, or ever might.
    pub may_delete: bool,
    /// Since when it may not any more, as far as the client was told; `None`: it may.
    pub keeps_since: Option<Duration>,
    /// Whether the engine may mark messages `\Seen`, or ever might.
    pub may_mark: bool,
    /// Since when it is monitored without a break; `None`: it is not.
    pub enabled_at: Option<Duration>,
}

/// What is known of an account.
#[derive(Debug, Default)]
pub struct KnownAccount {
    /// Its id.
    pub id: EntityId,
    /// Since when it is enabled without a break; `None`: it is not.
    pub enabled_at: Option<Duration>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Truth {
    /// The accounts, by user.
    pub accounts: BTreeMap<usize, KnownAccount>,
    /// The monitored folders.
    pub folders: BTreeMap<UserMailbox, KnownFolder>,
    /// The messages that arrived, by subject.
    pub arrivals: BTreeMap<String, ArrivedMail>,
    /// The newest backups of mailboxes.
    pub backups: BTreeMap<UserMailbox, Mailbox>,
    /// The messages that are to be sent, by subject.
    pub outgoing: BTreeMap<String, SubmittedMail>,
    count: u64,
}

impl Truth {
    /// A subject that no other message has.
    pub fn subject(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }
}

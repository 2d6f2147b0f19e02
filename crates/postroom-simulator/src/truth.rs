//! The truth: what the simulation knows from outside of what was put into the world.

use bytes::Bytes;
use postroom_model::EntityId;
use postroom_sandbox::Mailbox;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// The property that clients add to the class of messages.
pub const NOTE: &str = "note";

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
    /// Whether it was recorded for a folder that a client has deleted since.
    pub was_recorded: bool,
    /// Whether it may have expired, or may expire.
    pub may_expire: bool,
    /// Whether it may be recorded twice: it got a UID below UIDNEXT, and the process ended before
    /// it was seen that it knows the message. The next process cannot know it.
    pub may_be_twice: bool,
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
    /// Whether a client has deleted its account.
    pub account_is_gone: bool,
    /// Whether it may have expired, or may expire once it is sent.
    pub may_expire: bool,
}

/// What is known of a folder.
#[derive(Debug, Default)]
pub struct KnownFolder {
    /// Its id; `None` after a client has deleted it, until a survey has found the mailbox again.
    pub id: Option<EntityId>,
    /// The name of its mailbox. `None`: it has the usual one.
    pub renamed: Option<&'static str>,
    /// Whether its mailbox is gone from the server.
    pub is_away: bool,
    /// Whether the engine may delete messages at the server, or ever might.
    pub may_delete: bool,
    /// Since when it may not any more, as far as the client was told; `None`: it may.
    pub keeps_since: Option<Duration>,
    /// Whether the engine may mark messages `\Seen`, or ever might.
    pub may_mark: bool,
    /// Since when it is monitored without a break; `None`: it is not.
    pub enabled_at: Option<Duration>,
    /// Whether its messages expire, or ever did.
    pub expires: bool,
}

/// What is known of an account.
#[derive(Debug, Default)]
pub struct KnownAccount {
    /// Its id; `None` after a client has deleted it, until it is made again.
    pub id: Option<EntityId>,
    /// The place of its server in [`crate::servers::HOSTS`].
    pub server: usize,
    /// Since when it is enabled without a break, at a server that takes its password; `None`: it is
    /// not.
    pub enabled_at: Option<Duration>,
    /// Whether its messages expire, or ever did.
    pub expires: bool,
}

/// A change that a client asks for until it is done.
#[derive(Debug, Clone)]
pub struct AskedChange {
    /// The class.
    pub class: &'static str,
    /// The entity.
    pub id: EntityId,
    /// The new values; `None`: it is to be deleted.
    pub values: Option<Json>,
}

/// All that is known.
#[derive(Debug, Default)]
pub struct Truth {
    /// The profiles, by server.
    pub profiles: Vec<EntityId>,
    /// What a client asked for and does not know to be done: it asks again.
    pub asked: Vec<AskedChange>,
    /// The folders that clients have deleted.
    pub former_folders: BTreeSet<EntityId>,
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
    /// The messages that arrived in a mailbox.
    pub fn arrivals_in(&mut self, mailbox: UserMailbox) -> impl Iterator<Item = &mut ArrivedMail> {
        self.arrivals.values_mut().filter(move |arrival| arrival.mailbox == mailbox)
    }

    /// A subject that no other message has.
    pub fn subject(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}-{}", self.count)
    }
}

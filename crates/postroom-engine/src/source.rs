//! Sources: where an account's mail is before Postroom has it.
//!
//! The receive path speaks to a [`contract::Source`] in terms of mailboxes, their identity facts,
//! keys of messages, and facts about messages. Each kind of source has one module, which translates
//! these into the language of its server. IMAP is the only kind so far.
//!
//! The engine decides whether an epoch of a mailbox is over, what is fetched when, and which bytes
//! are a message. The source decides in which forms it asks its server.

pub(crate) mod listing;

pub(crate) mod message;

pub(crate) mod joining;

pub(crate) mod answer_so_far;

pub(crate) mod contract;

pub(crate) mod imap;

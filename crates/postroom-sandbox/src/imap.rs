//! The IMAP server: one dialogue per connection.
//!
//! ```text
//!   lines and literals ──► token ──► command ──► rules ──► session ──► untagged responses
//!                                                   └────────────────► rules ──► tagged response
//! ```
//!
//! A session keeps a [`view::View`] of the selected mailbox. So sequence numbers stay right
//! whatever other clients do to it meanwhile (RFC 3501 §7.4.1).
//!
//! Standards: RFC 3501, RFC 2177 (IDLE), 2342 (NAMESPACE), 2971 (ID), 3691 (UNSELECT), 4315
//! (UIDPLUS), 4731 (ESEARCH), 4959 (SASL-IR), 6154 (SPECIAL-USE), 6851 (MOVE), 7888 (LITERAL+),
//! 8474 (OBJECTID, MAILBOXID only).

mod date;
mod set;
mod token;

mod structure;

mod envelope;

mod items;

mod search;

mod command;

mod parse;

mod view;

mod session;

mod fetch;
mod idle;
mod login;
mod mailboxes;
mod selected;

mod receive;
mod stage;

mod serve;

pub(crate) use serve::serve;

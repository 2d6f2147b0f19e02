//! IMAP as a source: all IMAP commands of the receive path.
//!
//! A key is a UID. The other words of the contract are those of IMAP too: UIDVALIDITY, UIDNEXT and
//! MAILBOXID.
//!
//! Standards: RFC 3501, RFC 9051, RFC 4315, RFC 8474 §4.1.

mod failure;

mod uids;

mod search;

mod fetch;

mod deletion;

pub(crate) mod connection;

pub(crate) mod connect;

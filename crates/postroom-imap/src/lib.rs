//! An IMAP client for hostile weather: it frames any bytes, streams what is large, and waits for
//! nothing without a deadline.
//!
//! ```text
//!  bytes ──► frame ──► token ──► response ──► session ──► actor ──► Connection, Fetch
//!          lines and   words,    what the     tags, state   owns the   what callers
//!          literals    lists     server said  (no I/O)      socket     hold
//! ```
//!
//! Rules that hold here: what cannot be understood is skipped and never ends the connection; only
//! a limit, a deadline, a lost frame or a BYE does. No input is worked on by recursion. Strings
//! leave as quoted strings or literals, never bare. A FETCH response counts by its UID alone.
//!
//! Standards: RFC 3501 and RFC 9051 (IMAP4rev1 and rev2), RFC 2342 (NAMESPACE), RFC 2971 (ID),
//! RFC 4315 (UIDPLUS), RFC 4731 (ESEARCH), RFC 4959 (SASL-IR), RFC 5530 (response codes),
//! RFC 6154 (SPECIAL-USE), RFC 7888 (LITERAL+).

#![warn(unreachable_pub)]

mod error;

mod limits;

mod mailbox;

mod date;

mod token;

mod set;

mod capabilities;

mod response;

mod answer;

mod frame;

mod assembly;

mod encoder;

mod command;

mod session;

mod patience;

mod wire;

mod fetch;

mod actor;

mod opening;

mod connection;

pub use capabilities::Capabilities;
pub use command::{Command, FetchItems, FlagChange, Mode};
pub use connection::{Connection, Found, Mailboxes};
pub use encoder::quoted;
pub use error::{Error, Refusal, Verdict};
pub use fetch::{Fetch, FetchEvent};
pub use limits::{Deadlines, Limits, Options};
pub use mailbox::MailboxName;
pub use response::{Body, Fetched, Listed, Namespace, Namespaces, Response, Selected, Status};
pub use session::{Completion, Event, Session};
pub use set::UidSet;

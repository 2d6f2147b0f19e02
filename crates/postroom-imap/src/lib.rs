//! An IMAP client for servers of every quality. It reads any bytes, streams large messages, and
//! never waits without a deadline.
//!
//! ```text
//!  bytes ──► frame ──► token ──► response ──► session ──► actor ──► ImapConnection, Fetch
//!          lines and   words,    what the     tags, state   owns the   what callers
//!          literals    lists     server said  (no I/O)      socket     hold
//! ```
//!
//! Rules of this crate: (1) What the parser does not understand is skipped. Only a limit, a
//! deadline, a message whose end is unknown, or a BYE ends the connection. (2) No code recurses
//! over input. (3) Strings are sent as quoted strings or literals, never bare. (4) A FETCH response
//! is identified by its UID, never by its sequence number.
//!
//! Standards: RFC 3501 and RFC 9051 (IMAP4rev1 and rev2), RFC 2342 (NAMESPACE), RFC 2971 (ID),
//! RFC 4315 (UIDPLUS), RFC 4731 (ESEARCH), RFC 4959 (SASL-IR), RFC 5530 (response codes),
//! RFC 6154 (SPECIAL-USE), RFC 7888 (LITERAL+).

#![warn(unreachable_pub)]

mod login_advice;

mod error;

mod newer_forms;

mod login_ways;

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

mod items;

mod command;

mod numbering;

mod session;

mod unsolicited;

mod reading_pace;

mod response_timer;

mod wire;

mod half_line;

mod fetch;

mod actor;

mod opening;

mod connection;

mod list;

mod listening;

mod change;

mod login;

pub use capabilities::Capabilities;
pub use command::{Command, FlagChange, Mode};
pub use connection::{ImapConnection, SearchResult};
pub use encoder::quoted;
pub use error::{Error, ImapVerdict, Refusal};
pub use fetch::{Fetch, FetchEvent};
pub use items::FetchItems;
pub use limits::{ImapDeadlines, ImapLimits, ImapOptions};
pub use list::Mailboxes;
pub use mailbox::MailboxName;
pub use newer_forms::NewerForms;
pub use response::{Body, Fetched, Listed, Namespace, Namespaces, Response, Selected, Status};
pub use session::{Completion, Session, SessionEvent};
pub use set::UidSet;
pub use unsolicited::Unsolicited;

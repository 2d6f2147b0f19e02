//! The send path: from a message in state `sending` to the server's answer. See `docs/send.md`.
//!
//! ```text
//!   prepare ──► claim ──► transmit ──► settle
//!   check, com-  due, in    MAIL, RCPT,   one transaction: sent │ sending, later │ error
//!   pose once    order      DATA, dot
//! ```
//! The bytes, Message-ID and Date are durable before the first attempt, and every attempt sends the
//! same bytes. `dot-sent` is durable before the final dot is sent. So a claimed delivery without
//! `dot-sent` is a safe retry. With `dot-sent` and without an answer, its outcome is unknown.

pub(crate) mod settle;

mod entries;

mod inline;

mod thread;

pub(crate) mod prepare;

pub(crate) mod handed_over;

pub(crate) mod transmit;

pub(crate) mod verdict;

pub(crate) mod pace;

mod same_refusals;

pub(crate) mod suspect;

pub(crate) mod suspended;

pub(crate) mod kept;

pub(crate) mod flight;

pub(crate) mod held;

pub(crate) mod orphaned;

pub(crate) mod pause;

pub(crate) mod outbound;

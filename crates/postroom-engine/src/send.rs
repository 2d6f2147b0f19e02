//! The send path: from a message in state `sending` to the server's answer.
//!
//! ```text
//!   prepare ──► claim ──► transmit ──► settle
//!   check, com-  due, in    MAIL, RCPT,   one transaction: sent │ sending, later │ error
//!   pose once    order      DATA, dot
//! ```
//! The bytes, Message-ID and Date are fixed and durable before the first attempt, and every attempt
//! sends the same bytes. `dot-sent` is durable before the final dot goes out: a claim without it is
//! a safe retry, one with it and without an answer is in doubt.

pub mod settle;

mod inline;

pub mod prepare;

pub mod transmit;

pub mod refused;

pub mod stranded;

pub mod connect;

pub mod pace;

pub mod pause;

pub mod suspect;

pub mod kept;

pub mod held;

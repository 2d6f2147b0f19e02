//! The sandbox against clients that speak bytes: every command, every fault.

#![expect(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests; the client here is raw on purpose"
)]

mod client;
mod imap;
mod imap_faults;
mod life;
mod smtp;
mod smtp_faults;

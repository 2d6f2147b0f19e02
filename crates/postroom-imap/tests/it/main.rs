//! The client against odd bytes, faulty servers and a real one.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod peer;

mod dovecot;
mod faults;
mod login;
mod login_ways;
mod odd_responses;
mod scram;
mod start_tls;
mod unsolicited;

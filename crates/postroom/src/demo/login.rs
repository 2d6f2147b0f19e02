//! Whose mailbox the demo shows.

/// The user of the demo's mail server.
pub const ADDRESS: &str = "anna@demo.test";

/// Her password.
pub const PASSWORD: &str = "secret";

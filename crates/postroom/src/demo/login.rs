//! Whose mailbox the demo shows.

/// The user of the demo's mail server.
pub(super) const ADDRESS: &str = "anna@demo.test";

/// Her password.
pub(super) const PASSWORD: &str = "secret";

//! The SMTP server: one dialogue per connection.
//!
//! ```text
//!   line ──► verb ──► rules ──► session ──► reply
//!                                 │ after 354: content ──► unstuff ──► rules ──► state.accept
//! ```
//!
//! Standards: RFC 5321, RFC 1870 (SIZE), 2034 (ENHANCEDSTATUSCODES), 2920 (PIPELINING), 3207
//! (STARTTLS), 4954 (AUTH), 6152 (8BITMIME), 6531 (SMTPUTF8).

mod argument;
mod auth;
mod content;
mod reply;
mod serve;
mod session;
mod unstuff;

pub(crate) use serve::serve;

//! A scriptable IMAP and SMTP server with faults, in process: for the demo, our tests, and the
//! tests of people who integrate Postroom.
//!
//! ```text
//!                    ┌─────────────┐   script(Rule { on, when, act })
//!   IMAP client ───► │ imap        │ ◄──────────────┐
//!                    │  peer, wire │                │
//!   SMTP client ───► │ smtp        │ ───► state ◄── Sandbox ◄── the test
//!                    └─────────────┘  mailboxes, accepted mail, transcript
//! ```
//!
//! Everything is in memory and on loopback. Without rules it behaves as a good server does. A
//! [`Rule`] makes one point of one dialogue go wrong in one way. It can be removed again.
//!
//! A [`TokenServer`] is a provider of OAuth 2.0. [`Sandbox::take_tokens_of`] lets the servers take
//! its access tokens.
//!
//! The command parser is our own, because `imap-codec` decodes a command only from one buffer that
//! holds it whole, refuses NUL in a message, and does not know `SEARCH RETURN`.
//!
//! Standards: RFC 3501 (IMAP4rev1), RFC 2177, 2342, 2971, 3691, 4315, 4731, 4959, 6154, 6851,
//! 7888, RFC 5321 (SMTP), RFC 1870, 2034, 2920, 3207, 4954, 6152, 6531, RFC 7628 (OAUTHBEARER).

#![warn(unreachable_pub)]

mod error;

mod clock;

mod certificate;

mod mailbox_name;

mod script;

mod mailbox;

mod mailbox_ids;

mod transcript;

mod dns_server;

mod token_server;

mod state;

mod config;

mod shared;

mod stream;

mod wire;

mod peer;

mod token;

mod imap;

mod smtp;

mod port;

pub mod demo_mail;

mod sandbox;

pub use certificate::Certificate;
pub use clock::NowMs;
pub use config::SandboxConfig;
pub use dns_server::DnsServer;
pub use error::Error;
pub use mailbox::Mailbox;
pub use mailbox::StoredMessage;
pub use mailbox_ids::MailboxIds;
pub use sandbox::Sandbox;
pub use script::Action;
pub use script::Ending;
pub use script::ImapCommand;
pub use script::MessageFault;
pub use script::Point;
pub use script::Rule;
pub use script::RuleId;
pub use script::SmtpCommand;
pub use script::When;
pub use state::AcceptedMail;
pub use state::CapabilityChanges;
pub use state::OpenConnection;
pub use state::SandboxState;
pub use token_server::ListeningTokenServer;
pub use token_server::TokenFault;
pub use token_server::TokenQuestion;
pub use token_server::TokenServer;
pub use transcript::CommandLine;
pub use transcript::Protocol;

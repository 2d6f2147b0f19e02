//! How much a server may send, and how long we wait for it.

use crate::newer_forms::NewerForms;
use postroom_model::options::MechanismChoice;
use postroom_net::sasl::LoginWays;
use std::time::Duration;

/// How much a server may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapLimits {
    /// Text of one response outside literals. Longer: the connection ends.
    pub line_bytes_max: usize,
    /// The same for greetings, status responses and continuation requests.
    pub status_line_bytes_max: usize,
    /// The largest message that is delivered; a larger one is reported as `Body::TooBig`.
    pub literal_bytes_max: u64,
    /// Messages up to here arrive as one piece, larger ones stream.
    pub literal_in_memory_bytes: usize,
    /// Literals that are not message bodies (names, header fields); larger ones are skipped.
    pub string_bytes_max: usize,
    /// How much of one response may be read only to discard it. More ends the connection.
    pub skip_bytes_max: u64,
    /// How much of a given-up FETCH is read to its end; more ends the connection.
    pub drain_bytes_max: u64,
    /// All responses to one command that are kept until it ends (LIST, STATUS, ..).
    pub answer_bytes_max: usize,
    /// How many mailboxes of one list are kept; the others are counted.
    pub mailboxes_count_max: usize,
    /// UIDs that one search may give.
    pub uids_count_max: usize,
    /// How many octets the read buffer asks for at a time while messages stream.
    pub read_buffer_bytes: usize,
}

impl Default for ImapLimits {
    fn default() -> Self {
        Self {
            line_bytes_max: 1 << 20,
            status_line_bytes_max: 64 << 10,
            literal_bytes_max: 100 << 20,
            literal_in_memory_bytes: 1 << 20,
            string_bytes_max: 64 << 10,
            skip_bytes_max: 256 << 20,
            drain_bytes_max: 4 << 20,
            answer_bytes_max: 16 << 20,
            mailboxes_count_max: 10_000,
            uids_count_max: 4_000_000,
            read_buffer_bytes: 128 << 10,
        }
    }
}

/// How long we wait for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapDeadlines {
    /// For the greeting, after the connection was made.
    pub greeting: Duration,
    /// For the next octet of an answer.
    pub silence: Duration,
    /// For the next octet of the messages that a FETCH asks for. A value above `silence` counts as
    /// `silence`.
    pub stall: Duration,
    /// For the whole answer to a command. FETCH and APPEND may take as long as they make progress.
    pub command: Duration,
    /// For the server to accept the next piece of what we send.
    pub write: Duration,
    /// For LOGOUT.
    pub logout: Duration,
    /// The slowest rate of one response of a FETCH. It is not checked before `silence` or `stall`
    /// has passed.
    pub bytes_per_second_min: u64,
}

impl Default for ImapDeadlines {
    fn default() -> Self {
        Self {
            greeting: Duration::from_secs(30),
            silence: Duration::from_secs(120),
            stall: Duration::from_secs(120),
            command: Duration::from_secs(600),
            write: Duration::from_secs(60),
            logout: Duration::from_secs(5),
            bytes_per_second_min: 512,
        }
    }
}

/// The limits and deadlines of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImapOptions {
    /// How much the server may send.
    pub limits: ImapLimits,
    /// How long we wait.
    pub deadlines: ImapDeadlines,
    /// The fields and values that ID sends (RFC 2971 §3.3). Empty: ID is not sent.
    pub client_id: Vec<(String, String)>,
    /// How a password is sent.
    pub mechanism: MechanismChoice,
    /// What earlier connections to the same server know of it.
    pub newer_forms: NewerForms,
    /// What earlier connections with the same login know of its ways to log in.
    pub login_ways: LoginWays,
}

impl Default for ImapOptions {
    fn default() -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        Self {
            limits: ImapLimits::default(),
            deadlines: ImapDeadlines::default(),
            client_id: vec![field("name", "Postroom"), field("version", version)],
            mechanism: MechanismChoice::Best,
            newer_forms: NewerForms::default(),
            login_ways: LoginWays::default(),
        }
    }
}

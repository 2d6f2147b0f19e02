//! How much a client may send.

use std::num::NonZeroU32;
use std::time::Duration;

/// Limits of a request. Each has a default that suits mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes a JSON body may have, with the files that it encloses in base64.
    pub json_bytes_max: u64,
    /// How many bytes of JSON are read at once, over all requests.
    pub json_read_bytes_max: usize,
    /// How many bytes of memory the values of JSON take at once, over all requests.
    pub json_parsed_bytes_max: usize,
    /// How many bytes one request may upload as files.
    pub upload_bytes_max: u64,
    /// How many bytes an html body may have. It is composed in memory.
    pub html_bytes_max: u64,
    /// How many entities one request may create.
    pub create_count_max: usize,
    /// How many bytes of a list are in memory at once, in their stored form.
    pub list_part_bytes_max: usize,
    /// How many files one request may bring.
    pub files_count_max: usize,
    /// How long a client may be silent in the middle of a body.
    pub silence_max: Duration,
    /// How long a connection may take until the next request and its header fields have arrived.
    pub head_within: Duration,
    /// How long a new connection may take until its first request has arrived.
    pub first_head_within: Duration,
    /// How long a client may read nothing of its answer.
    pub read_within: Duration,
    /// How many bytes the head of a request may have, and how many of a body are buffered.
    pub head_bytes_max: usize,
    /// A list that takes longer counts as slow.
    pub slow_list_from: Duration,
    /// How much time a token may owe for slow lists (`crate::scans`).
    pub slow_lists_max: Duration,
    /// How long a client may take to send a JSON body, which holds a share of the memory.
    pub json_within: Duration,
    /// How many connections may be open at once. Others wait until one gives way.
    pub connections_max: usize,
    /// How many connections of one source may be open without a good token.
    pub anonymous_max: usize,
    /// How many requests a token may send in each second. `None`: any number.
    pub requests_per_second: Option<NonZeroU32>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes_max: 64 * 1024 * 1024,
            json_read_bytes_max: 128 * 1024 * 1024,
            json_parsed_bytes_max: 192 * 1024 * 1024,
            upload_bytes_max: 512 * 1024 * 1024,
            html_bytes_max: 32 * 1024 * 1024,
            create_count_max: 1000,
            list_part_bytes_max: 1024 * 1024,
            files_count_max: 1000,
            silence_max: Duration::from_secs(60),
            // Clients keep idle connections for 90 seconds. So the server waits longer.
            head_within: Duration::from_secs(120),
            first_head_within: Duration::from_secs(10),
            read_within: Duration::from_secs(60),
            head_bytes_max: 128 * 1024,
            slow_list_from: Duration::from_secs(1),
            slow_lists_max: Duration::from_secs(60),
            json_within: Duration::from_secs(600),
            connections_max: 1024,
            anonymous_max: 256,
            requests_per_second: None,
        }
    }
}

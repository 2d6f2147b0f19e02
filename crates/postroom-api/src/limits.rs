//! How much a client may send.

use std::time::Duration;

/// Bounds of a request. Each has a default that fits mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How many bytes a JSON body may have, with the files that it encloses in base64.
    pub json_bytes_max: u64,
    /// How many bytes one request may upload as files.
    pub upload_bytes_max: u64,
    /// How many bytes an html body may have: it is composed in memory.
    pub html_bytes_max: u64,
    /// How many entities one request may create.
    pub create_count_max: usize,
    /// How many files one request may bring.
    pub files_count_max: usize,
    /// How long a client may be silent in the middle of a body.
    pub silence_max: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            json_bytes_max: 64 * 1024 * 1024,
            upload_bytes_max: 512 * 1024 * 1024,
            html_bytes_max: 32 * 1024 * 1024,
            create_count_max: 1000,
            files_count_max: 1000,
            silence_max: Duration::from_secs(60),
        }
    }
}

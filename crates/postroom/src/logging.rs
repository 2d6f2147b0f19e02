//! The log: lines on standard error.

use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the log. `RUST_LOG` chooses what is logged; by default it is `info`.
pub fn start(json: bool, quiet: bool) {
    let usual = if quiet { "error" } else { "info" };
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(usual));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start, as in `demo`, keeps the first: that is no error.
    let _started = if json { log.json().try_init() } else { log.try_init() };
}

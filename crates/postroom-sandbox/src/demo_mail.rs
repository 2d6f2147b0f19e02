//! The messages of the demo.

/// The demo's messages.
pub fn messages() -> Vec<Vec<u8>> {
    Vec::new()
}

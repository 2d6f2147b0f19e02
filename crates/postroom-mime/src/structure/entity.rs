//! One part of a message.
//!
//! Standards: RFC 2045 §2.4.

use crate::content::ContentFields;
use std::ops::Range;

/// One part: the message itself, a multipart or a leaf.
#[derive(Debug, Clone)]
pub struct MimeEntity {
    /// The place of the multipart that holds it. `None` for the message.
    pub parent: Option<usize>,
    /// How many multiparts hold it.
    pub depth: usize,
    /// Its header, as far as the body.
    pub header: Range<u64>,
    /// Its body. That of a multipart holds all of its parts.
    pub body: Range<u64>,
    /// What its header says of its content.
    pub content: ContentFields,
    /// Whether parts lie in it.
    pub has_parts: bool,
    /// Whether it is a multipart that was not looked into, because it lies too deep.
    pub is_opaque: bool,
}

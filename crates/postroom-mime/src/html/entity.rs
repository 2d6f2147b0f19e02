//! Character references in html.
//!
//! All that the standard names, with and without their semicolon, and numbers as browsers take
//! them: 128 to 159 mean windows-1252.
//!
//! Standards: the WHATWG's HTML, 13.2.5.72 to 80.

use std::borrow::Cow;

/// Replaces the character references of a text.
#[must_use]
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    htmlize::unescape(text)
}

/// Replaces those of the value of an attribute, where `&copy=` is part of an address.
#[must_use]
pub(crate) fn decode_attribute(value: &str) -> Cow<'_, str> {
    htmlize::unescape_attribute(value)
}

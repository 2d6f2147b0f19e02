//! Alternatives without a media type that are html.
//!
//! A part without a type is plain text (RFC 2045 §5.2). But of alternatives the others would show
//! its markup as text. So one that begins as html begins is html.
//!
//! Standards: RFC 2046 §5.1.4, the WHATWG's MIME Sniffing §7.1.

use crate::source::ByteSource;
use crate::structure::entity::MimeEntity;
use crate::transfer::SAMPLE_BYTES;
use std::borrow::Cow;
use std::io;

/// What html begins with, in small letters.
const BEGINNINGS: [&[u8]; 22] = [
    b"<!doctype html",
    b"<html",
    b"<head",
    b"<script",
    b"<iframe",
    b"<h1",
    b"<div",
    b"<font",
    b"<table",
    b"<a",
    b"<style",
    b"<title",
    b"<b",
    b"<body",
    b"<br",
    b"<p",
    b"<meta",
    b"<span",
    b"<center",
    b"<h2",
    b"<h3",
    b"<!--",
];

/// Makes html of the alternatives that are html and have no type.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn check<S: ByteSource>(source: &mut S, entities: &mut [MimeEntity]) -> io::Result<()> {
    for at in 0..entities.len() {
        let Some(entity) = entities.get(at) else { break };
        if entity.content.has_type() || entity.has_parts {
            continue;
        }
        let holder = entity.parent.and_then(|parent| entities.get(parent));
        if holder.is_none_or(|holder| holder.content.media_type != "multipart/alternative") {
            continue;
        }
        let length = usize::try_from(entity.body.end - entity.body.start).unwrap_or(usize::MAX);
        let length = length.min(SAMPLE_BYTES);
        let window = source.window(entity.body.start, length)?;
        let start = entity.content.encoding.decode(window.get(..length).unwrap_or(window));
        if let Some(entity) = entities.get_mut(at).filter(|_| begins_as_html(&start)) {
            entity.content.media_type = Cow::Borrowed("text/html");
        }
    }
    Ok(())
}

/// Whether a text begins with a tag of html, or with a comment.
fn begins_as_html(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text).trim_ascii_start();
    let is_it = |word: &[u8]| {
        let is_end = |byte: &u8| matches!(byte, b'>' | b'/') || byte.is_ascii_whitespace();
        let start = text.get(..word.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(word))
            && (word == b"<!--" || text.get(word.len()).is_some_and(is_end))
    };
    BEGINNINGS.iter().any(|word| is_it(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_begins_with_a_tag() {
        #[rustfmt::skip]
        let table: &[(&[u8], bool)] = &[
            (b"<html><body>",                           true),
            (b"\xEF\xBB\xBF\r\n <!DOCTYPE HTML PUBLIC", true),
            (b"<P>one",                                 true),
            (b"<br/>one",                               true),
            (b"<!-- a -->",                             true),
            (b"<anna@a.example> wrote:",                false),
            (b"<http://a.example>",                     false),
            (b"<brief> is what",                        false),
            (b"one <p>",                                false),
            (b"<p",                                     false),
            (b"",                                       false),
        ];
        for (text, want) in table {
            assert_eq!(begins_as_html(text), *want, "{}", text.escape_ascii());
        }
    }
}

//! The header field `Range`: which bytes of a file to send.
//!
//! One range is served. Several ranges are answered with the whole file, which RFC 9110 §14.2
//! allows and every client understands.
//!
//! Standards: RFC 9110 §14.

use std::ops::Range;

/// Which bytes of a file a `Range` asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum WantedRange {
    /// The whole file.
    Whole,
    /// These bytes; never empty.
    Bytes(Range<u64>),
    /// Bytes that the file does not have.
    Unsatisfiable,
}

/// Reads a `Range` for a file of `size_bytes`. A malformed range, and a unit other than `bytes`, is
/// ignored.
#[must_use]
pub(crate) fn parse(field: &str, size_bytes: u64) -> WantedRange {
    let Some((unit, set)) = field.split_once('=') else {
        return WantedRange::Whole;
    };
    let Some((first, last)) = set.trim().split_once('-') else {
        return WantedRange::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return WantedRange::Whole;
    }
    match (number(first), number(last)) {
        (Some(Some(first)), Some(None)) => bytes(first..size_bytes, size_bytes),
        (Some(Some(first)), Some(Some(last))) if first <= last => {
            bytes(first..last.saturating_add(1), size_bytes)
        }
        (Some(None), Some(Some(suffix))) => {
            bytes(size_bytes.saturating_sub(suffix)..size_bytes, size_bytes)
        }
        _ => WantedRange::Whole,
    }
}

fn bytes(range: Range<u64>, size_bytes: u64) -> WantedRange {
    let range = range.start..range.end.min(size_bytes);
    if range.is_empty() { WantedRange::Unsatisfiable } else { WantedRange::Bytes(range) }
}

/// The number. `Some(None)`: the text is empty. `None`: it is not a number. A number of more than
/// 64 bits is larger than any file.
fn number(text: &str) -> Option<Option<u64>> {
    let text = text.trim();
    if text.is_empty() {
        return Some(None);
    }
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| Some(text.parse().unwrap_or(u64::MAX)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_of_ranges() {
        #[rustfmt::skip]
        let table = [
            ("bytes=0-0",                     WantedRange::Bytes(0..1)),
            ("bytes=2-5",                     WantedRange::Bytes(2..6)),
            ("bytes=2-",                      WantedRange::Bytes(2..10)),
            ("bytes=-3",                      WantedRange::Bytes(7..10)),
            ("bytes=-99",                     WantedRange::Bytes(0..10)),
            ("bytes=8-99",                    WantedRange::Bytes(8..10)),
            ("BYTES = 1-2",                   WantedRange::Bytes(1..3)),
            ("bytes=0-99999999999999999999",  WantedRange::Bytes(0..10)),
            ("bytes=10-",                     WantedRange::Unsatisfiable),
            ("bytes=99999999999999999999-",   WantedRange::Unsatisfiable),
            ("bytes=-0",                      WantedRange::Unsatisfiable),
            ("bytes=5-2",                     WantedRange::Whole),
            ("bytes=1-2,4-5",                 WantedRange::Whole),
            ("bytes=-",                       WantedRange::Whole),
            ("bytes=a-b",                     WantedRange::Whole),
            ("bytes=+1-2",                    WantedRange::Whole),
            ("lines=1-2",                     WantedRange::Whole),
            ("bytes",                         WantedRange::Whole),
            ("",                              WantedRange::Whole),
        ];
        for (field, want) in table {
            assert_eq!(parse(field, 10), want, "{field}");
        }
        assert_eq!(parse("bytes=0-", 0), WantedRange::Unsatisfiable);
        assert_eq!(parse("bytes=-5", 0), WantedRange::Unsatisfiable);
    }
}

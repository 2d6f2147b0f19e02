//! Sets of message numbers (RFC 3501 §9: `sequence-set`).

use std::ops::Range;

/// A set as the client wrote it; `None` is `*`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Set(Vec<(Option<u32>, Option<u32>)>);

impl Set {
    /// Reads `1:5,7,9:*`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let number = |text: &str| match text {
            "*" => Some(None),
            text if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                text.parse().ok().filter(|number| *number != 0).map(Some)
            }
            _ => None,
        };
        let range = |text: &str| match text.split_once(':') {
            None => number(text).map(|number| (number, number)),
            Some((from, to)) => Some((number(from)?, number(to)?)),
        };
        text.split(',').map(range).collect::<Option<_>>().map(Self)
    }

    /// The positions in `uids` (ascending) that the set means, ascending, each once.
    ///
    /// `n:*` means the last message even if its number is below `n` (RFC 3501 §6.4.8).
    pub(crate) fn positions(&self, uids: &[u32], by_uid: bool) -> Vec<usize> {
        let last = if by_uid { uids.last().copied().unwrap_or(0) } else { uids.len() as u32 };
        let mut ranges: Vec<Range<usize>> = Vec::with_capacity(self.0.len());
        for (from, to) in &self.0 {
            let (a, b) = (from.unwrap_or(last), to.unwrap_or(last));
            let (low, high) = (a.min(b), a.max(b));
            ranges.push(if by_uid {
                uids.partition_point(|uid| *uid < low)..uids.partition_point(|uid| *uid <= high)
            } else {
                (low as usize).saturating_sub(1)..(high as usize).min(uids.len())
            });
        }
        ranges.sort_unstable_by_key(|range| range.start);
        let (mut positions, mut next) = (Vec::new(), 0);
        for range in ranges {
            positions.extend(range.start.max(next)..range.end);
            next = next.max(range.end);
        }
        positions
    }

    /// Whether the set has this number, where `last` is the number that `*` means.
    pub(crate) fn has(&self, number: u32, last: u32) -> bool {
        self.0.iter().any(|(from, to)| {
            let (a, b) = (from.unwrap_or(last), to.unwrap_or(last));
            (a.min(b)..=a.max(b)).contains(&number)
        })
    }
}

/// Writes numbers that ascend as a set: `1:5,7`. Empty for none.
pub(crate) fn compact(numbers: &[u32]) -> String {
    let mut text = String::new();
    for run in numbers.chunk_by(|a, b| a.checked_add(1) == Some(*b)) {
        if !text.is_empty() {
            text.push(',');
        }
        match run {
            [one] => text.push_str(&one.to_string()),
            [first, .., last] => text.push_str(&format!("{first}:{last}")),
            [] => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_means_positions() {
        let uids = [3, 4, 10, 11];
        for (text, by_uid, want) in [
            ("1:2", false, &[0, 1][..]),
            ("*", false, &[3]),
            ("4:2,3", false, &[1, 2, 3]),
            ("9", false, &[]),
            ("3:10,4", true, &[0, 1, 2]),
            ("5:9", true, &[]),
            ("12:*", true, &[3]),
            ("1:4294967295", true, &[0, 1, 2, 3]),
        ] {
            assert_eq!(Set::parse(text).unwrap().positions(&uids, by_uid), want, "{text}");
        }
        assert_eq!(Set::parse("1:*").unwrap().positions(&[], true), [0; 0]);
        for bad in ["", "0", "1,", "a", "1:2:3", "+1", "4294967296"] {
            assert_eq!(Set::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn numbers_are_written_compactly() {
        assert_eq!(compact(&[1, 2, 3, 7, 9, 10]), "1:3,7,9:10");
        assert_eq!(compact(&[]), "");
        assert_eq!(compact(&[u32::MAX]), "4294967295");
    }
}

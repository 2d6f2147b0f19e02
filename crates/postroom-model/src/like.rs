//! The pattern of `like`: `%` for any text, `_` for one character; nothing else is special.
//!
//! ```text
//!   inv_ice%2026%.pdf   ──►  begins with `inv_ice` · then somewhere `2026` · ends with `.pdf`
//! ```
//! What stands between two `%` is looked for from left to right, and its first place is taken for
//! good: if the rest fits behind a later place, it fits behind the first one too. So there is no
//! going back beyond the last `%`, and the work is that of a search for each piece.
//!
//! Both the pattern and the text are folded already.

pub use crate::effort::Effort;
pub use crate::effort::TimeIsUp;
use memchr::memmem::Finder;

/// How much is searched at once, at least.
const WINDOW_BYTES: usize = 256 << 10;

/// A pattern, taken apart.
#[derive(Debug)]
pub struct Pattern {
    first: Piece,
    /// What follows the first `%`. `None` for a pattern without `%`.
    others: Option<Others>,
}

#[derive(Debug)]
struct Others {
    middle: Vec<Piece>,
    last: Piece,
}

/// What stands between two `%`.
#[derive(Debug, Default)]
struct Piece {
    /// How many characters it takes before the first run. All of them, when there is none.
    before: usize,
    runs: Vec<LiteralRun>,
}

/// Characters that stand for themselves, and how many of any kind follow.
#[derive(Debug)]
struct LiteralRun {
    finder: Finder<'static>,
    after: usize,
}

impl Pattern {
    /// Takes a pattern apart.
    pub fn new(pattern: &str) -> Self {
        let mut pieces: Vec<_> = pattern.split('%').map(Piece::new).collect();
        let last = if pieces.len() > 1 { pieces.pop() } else { None };
        let mut pieces = pieces.into_iter();
        let first = pieces.next().unwrap_or_default();
        let others = last.map(|last| {
            let middle = pieces.filter(|piece| !piece.is_empty()).collect();
            Others { middle, last }
        });
        Self { first, others }
    }

    /// Whether a text is as the pattern says.
    pub fn matches(&self, text: &str, effort: &mut Effort<'_>) -> Result<bool, TimeIsUp> {
        let Some(rest) = self.first.strip_from_start(text, effort)? else {
            return Ok(false);
        };
        let Some(others) = &self.others else {
            return Ok(rest.is_empty());
        };
        let Some(mut rest) = others.last.strip_from_end(rest, effort)? else {
            return Ok(false);
        };
        for piece in &others.middle {
            match piece.behind_first_place(rest, effort)? {
                Some(behind) => rest = behind,
                None => return Ok(false),
            }
        }
        Ok(true)
    }
}

impl Piece {
    fn new(piece: &str) -> Self {
        let mut new = Self::default();
        for run in piece.split('_') {
            if !run.is_empty() {
                new.runs.push(LiteralRun { finder: Finder::new(run).into_owned(), after: 0 });
            }
            *new.runs.last_mut().map_or(&mut new.before, |run| &mut run.after) += 1;
        }
        // There is one `_` fewer than there are texts between them.
        *new.runs.last_mut().map_or(&mut new.before, |run| &mut run.after) -= 1;
        new
    }

    fn is_empty(&self) -> bool {
        self.before == 0 && self.runs.is_empty()
    }

    /// What is left of a text that begins so.
    fn strip_from_start<'t>(
        &self,
        text: &'t str,
        effort: &mut Effort<'_>,
    ) -> Result<Option<&'t str>, TimeIsUp> {
        effort.spend(self.before)?;
        match without_first(text, self.before) {
            Some(rest) => strip(&self.runs, rest, effort),
            None => Ok(None),
        }
    }

    /// What is left of a text that ends so.
    fn strip_from_end<'t>(
        &self,
        text: &'t str,
        effort: &mut Effort<'_>,
    ) -> Result<Option<&'t str>, TimeIsUp> {
        let mut rest = text;
        for run in self.runs.iter().rev() {
            effort.spend(run.finder.needle().len() + run.after)?;
            let before = without_last(rest, run.after);
            match before.and_then(|before| without_end(before, run.finder.needle())) {
                Some(before) => rest = before,
                None => return Ok(None),
            }
        }
        effort.spend(self.before)?;
        Ok(without_last(rest, self.before))
    }

    /// What follows the first place where a text has it.
    fn behind_first_place<'t>(
        &self,
        text: &'t str,
        effort: &mut Effort<'_>,
    ) -> Result<Option<&'t str>, TimeIsUp> {
        effort.spend(self.before)?;
        let Some(mut rest) = without_first(text, self.before) else {
            return Ok(None);
        };
        let Some((run, runs)) = self.runs.split_first() else {
            return Ok(Some(rest));
        };
        // Whatever place its first run has in `rest`, there is room for `before` in front of it.
        while let Some(place) = place(&run.finder, rest, effort)? {
            let from_place = rest.get(place..).unwrap_or_default();
            let behind = from_place.get(run.finder.needle().len()..).unwrap_or_default();
            effort.spend(run.after)?;
            let behind = without_first(behind, run.after);
            let Some(behind) = behind else {
                return Ok(None);
            };
            if let Some(behind) = strip(runs, behind, effort)? {
                return Ok(Some(behind));
            }
            rest = without_first(from_place, 1).unwrap_or_default();
        }
        Ok(None)
    }
}

/// What is left of a text that begins with these runs.
fn strip<'t>(
    runs: &[LiteralRun],
    text: &'t str,
    effort: &mut Effort<'_>,
) -> Result<Option<&'t str>, TimeIsUp> {
    let mut rest = text;
    for run in runs {
        effort.spend(run.finder.needle().len() + run.after)?;
        let needle = run.finder.needle();
        let is_there = rest.as_bytes().starts_with(needle);
        let behind = if is_there { rest.get(needle.len()..) } else { None };
        match behind.and_then(|behind| without_first(behind, run.after)) {
            Some(behind) => rest = behind,
            None => return Ok(None),
        }
    }
    Ok(Some(rest))
}

/// Where a text has what is looked for.
pub fn place(
    finder: &Finder<'_>,
    text: &str,
    effort: &mut Effort<'_>,
) -> Result<Option<usize>, TimeIsUp> {
    let (bytes, needle) = (text.as_bytes(), finder.needle().len());
    // Windows overlap, so that what begins in one is found there.
    let window = WINDOW_BYTES.max(needle);
    let mut from = 0;
    loop {
        let to = bytes.len().min(from + window + needle);
        let piece = bytes.get(from..to).unwrap_or_default();
        if let Some(at) = finder.find(piece) {
            effort.spend(at + needle)?;
            return Ok(Some(from + at));
        }
        effort.spend(piece.len())?;
        if to == bytes.len() {
            return Ok(None);
        }
        from += window;
    }
}

/// The text without its first characters. `None` when it has fewer.
fn without_first(text: &str, count: usize) -> Option<&str> {
    if count == 0 {
        return Some(text);
    }
    let (at, char) = text.char_indices().nth(count - 1)?;
    text.get(at + char.len_utf8()..)
}

/// The text without its last characters. `None` when it has fewer.
fn without_last(text: &str, count: usize) -> Option<&str> {
    if count == 0 {
        return Some(text);
    }
    let (at, _) = text.char_indices().nth_back(count - 1)?;
    text.get(..at)
}

fn without_end<'t>(text: &'t str, end: &[u8]) -> Option<&'t str> {
    let length = text.len().checked_sub(end.len())?;
    if text.as_bytes().ends_with(end) { text.get(..length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::Cell;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::new(pattern).matches(text, &mut Effort::new(&|| false)).unwrap()
    }

    /// The definition, word by word.
    fn defined(pattern: &[char], text: &[char]) -> bool {
        match pattern {
            [] => text.is_empty(),
            ['%', rest @ ..] => (0..=text.len()).any(|from| defined(rest, &text[from..])),
            ['_', rest @ ..] => !text.is_empty() && defined(rest, &text[1..]),
            [char, rest @ ..] => text.first() == Some(char) && defined(rest, &text[1..]),
        }
    }

    #[test]
    fn a_pattern_says_what_it_says_in_sql() {
        #[rustfmt::skip]
        let table = [
            ("", "", true),                 ("", "a", false),               ("%", "", true),
            ("%", "any", true),             ("a", "a", true),               ("a", "ab", false),
            ("_", "", false),               ("_", "ä", true),               ("__", "日本", true),
            ("%b%", "abc", true),           ("%b%", "ac", false),           ("a%a", "a", false),
            ("a%a", "aa", true),            ("%aab%", "aaaab", true),       ("%a_b%", "aab", true),
            ("%_a", "a", false),            ("%_%", "", false),             ("%_%_%", "é", false),
            ("%__本%", "日本本", true),     ("%a%_", "a", false),           ("%a%_", "ab", true),
            ("_%_", "a", false),            ("%a_c%c", "abcc", true),       ("%a_c%c", "abc", false),
            (r"100\%", r"100\x", true),     ("100!%", "100", false),        ("%\0%", "a\0b", true),
        ];
        for (pattern, text, want) in table {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]
        #[test]
        fn it_is_as_it_is_defined(pattern in "[abé日%_]{0,8}", text in "[abé日]{0,12}") {
            let chars = |text: &str| text.chars().collect::<Vec<_>>();
            prop_assert_eq!(matches(&pattern, &text), defined(&chars(&pattern), &chars(&text)));
        }
    }

    #[test]
    fn many_wildcards_cost_no_more_than_a_search_for_each_piece() {
        // With going back beyond the last `%` this is more than the age of the universe.
        let pattern = format!("%{}zzz", "a%".repeat(1000));
        let text = "a".repeat(1 << 20);
        let asked = Cell::new(0);
        let is_over = || {
            asked.set(asked.get() + 1);
            false
        };
        let found = Pattern::new(&pattern).matches(&text, &mut Effort::new(&is_over));
        assert_eq!(found, Ok(false));
        let found = Pattern::new(&format!("{pattern}%")).matches(&text, &mut Effort::new(&is_over));
        assert_eq!(found, Ok(false));
        assert!(asked.get() < 100, "{} questions", asked.get());
    }

    #[test]
    fn what_takes_long_all_the_same_ends_when_the_time_is_up() {
        let text = "a".repeat(1 << 20);
        for pattern in [format!("%{}b%", "a_".repeat(4000)), format!("%{}b%", "_a".repeat(4000))] {
            let left = Cell::new(20);
            let is_over = || {
                left.set(left.get() - 1);
                left.get() == 0
            };
            let found = Pattern::new(&pattern).matches(&text, &mut Effort::new(&is_over));
            assert_eq!(found, Err(TimeIsUp));
        }
    }

    #[test]
    fn what_lies_across_windows_is_found() {
        for begin in [0, 1, WINDOW_BYTES - 2, WINDOW_BYTES - 1, WINDOW_BYTES, WINDOW_BYTES * 3] {
            let text = format!("{}xyz{}", "a".repeat(begin), "b".repeat(WINDOW_BYTES));
            let found = place(&Finder::new("xyz"), &text, &mut Effort::new(&|| false));
            assert_eq!(found, Ok(Some(begin)));
            assert!(matches("%xyz%", &text) && matches("%x_zb%", &text));
        }
    }
}

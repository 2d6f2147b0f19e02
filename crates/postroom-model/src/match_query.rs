//! The text of `match`: which words a message must have, and which it must not.
//!
//! ```text
//!   rechnung                 the word
//!   "rechnung nr 7"          these words, one behind the other
//!   rech*                    a word that begins so
//!   -storno  -"ihr auftrag"  not this
//!   rechnung 2026 -storno    all of it
//! ```
//! What has several words without spaces between them is a phrase too: `anna@x.test`, `日本`.

use crate::limits::MATCH_BYTES_MAX;
use crate::limits::MATCH_WORDS_MAX;
use crate::words::IndexedWords;
use crate::words::is_unspaced_word;
use crate::words::words;

/// Words that a message must have, or must not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchTerm {
    words: Vec<String>,
    /// Whether the last word is the beginning of one.
    pub is_prefix: bool,
    /// Whether a message must not have it.
    pub is_excluded: bool,
}

/// What `match` looks for. At least one of its terms is not excluded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MatchQuery {
    terms: Vec<MatchTerm>,
}

impl MatchTerm {
    /// Its words, one behind the other: at least one. They are letters, digits and marks.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// What the words of a message contain if they have it ([`IndexedWords::as_str`]).
    #[must_use]
    pub fn as_indexed(&self) -> String {
        let end = if self.is_prefix { "" } else { " " };
        format!(" {}{end}", self.words.join(" "))
    }
}

impl MatchQuery {
    /// Reads a text.
    ///
    /// # Errors
    ///
    /// What is wrong at which character (from 1), and what is accepted.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MATCH_BYTES_MAX {
            return Err(format!("has at most {MATCH_BYTES_MAX} octets"));
        }
        let terms = QueryReader { text, rest: text }.terms()?;
        if terms.iter().map(|term| term.words.len()).sum::<usize>() > MATCH_WORDS_MAX {
            return Err(format!("has at most {MATCH_WORDS_MAX} words"));
        }
        if terms.is_empty() {
            return Err("has no word".to_owned());
        }
        if terms.iter().all(|term| term.is_excluded) {
            let reason = "says only what a message must not have: add a word that it must have, or \
                          use [\"not\", [\"match\", …]]";
            return Err(reason.to_owned());
        }
        Ok(Self { terms })
    }

    /// The terms, in their order.
    #[must_use]
    pub fn terms(&self) -> &[MatchTerm] {
        &self.terms
    }

    /// Whether a message with these words is found.
    #[must_use]
    pub fn matches(&self, indexed: &IndexedWords) -> bool {
        let has = |term: &MatchTerm| indexed.as_str().contains(&term.as_indexed());
        self.terms.iter().all(|term| has(term) != term.is_excluded)
    }
}

struct QueryReader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl QueryReader<'_> {
    fn terms(&mut self) -> Result<Vec<MatchTerm>, String> {
        let mut terms = vec![];
        loop {
            self.rest = self.rest.trim_start();
            if self.rest.is_empty() {
                return Ok(terms);
            }
            let begin = self.place();
            let term = self.term();
            terms.push(term.map_err(|reason| format!("at character {begin}: {reason}"))?);
        }
    }

    /// The number of the next character.
    fn place(&self) -> usize {
        let read = self.text.len() - self.rest.len();
        self.text.get(..read).unwrap_or_default().chars().count() + 1
    }

    fn term(&mut self) -> Result<MatchTerm, String> {
        let is_excluded = self.rest.starts_with('-');
        let behind = self.rest.strip_prefix('-').unwrap_or(self.rest);
        let (whole, stem) = match behind.strip_prefix('"') {
            Some(quoted) => {
                let end = quoted.find('"').ok_or("a `\"` is not closed by another")?;
                let (phrase, rest) = quoted.split_at_checked(end).unwrap_or((quoted, ""));
                self.rest = rest.get(1..).unwrap_or_default();
                (phrase, phrase)
            }
            None => {
                let is_end = |char: char| char.is_whitespace() || char == '"';
                let end = behind.find(is_end).unwrap_or(behind.len());
                let (term, rest) = behind.split_at_checked(end).unwrap_or((behind, ""));
                self.rest = rest;
                (term, term.strip_suffix('*').unwrap_or(term))
            }
        };
        if stem.contains('*') || (whole != stem && stem.is_empty()) {
            return Err("`*` stands at the end of a word, outside of quotes: `rech*`".to_owned());
        }
        let words = words(stem);
        let Some(last) = words.last() else {
            return Err(format!("`{whole}` has no word: words are of letters and digits"));
        };
        let has_star = whole != stem;
        if has_star && !stem.ends_with(|char: char| char.is_alphanumeric()) {
            return Err("`*` stands directly behind a word: `rech*`".to_owned());
        }
        // Of these scripts, each character is a whole word.
        let is_prefix = has_star && !is_unspaced_word(last);
        if is_prefix && last.chars().count() < 2 {
            return Err(format!("`{last}*` is too short: at least 2 characters stand before `*`"));
        }
        Ok(MatchTerm { words, is_prefix, is_excluded })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(query: &str, fields: &[&str]) -> bool {
        MatchQuery::parse(query).unwrap().matches(&IndexedWords::of(fields.iter().copied()))
    }

    #[test]
    fn words_phrases_beginnings_and_exclusions() {
        let fields = ["Rechnung Nr. 7", "anna@x.test", "Straße 日本語 Привет"];
        #[rustfmt::skip]
        let table = [
            ("rechnung", true),           ("RECHNUNG nr", true),        ("rech", false),
            ("rech*", true),              ("ech*", false),              ("\"rechnung nr 7\"", true),
            ("\"nr rechnung\"", false),   ("nr rechnung", true),        ("anna@x.test", true),
            ("x@anna.test", false),       ("anna@x.test*", true),         ("anna@y.test*", false),
            ("rechnung -storno", true),   ("rechnung -nr", false),      ("rechnung -\"7 nr\"", true),
            ("rechnung -\"nr 7\"", false),("rechnung -str*", false),    ("привет", true),
            ("STRASSE", true),            ("strasse", true),            ("strase", false),
            ("日本", true),               ("本日", false),              ("日*", true),
            // No phrase goes from one field into the next.
            ("\"7 anna\"", false),        ("\"test strasse\"", false),
            ("rechnung-nr", true),        ("7", true),                  ("nr.\"7\"", true),
        ];
        for (query, want) in table {
            assert_eq!(matches(query, &fields), want, "{query}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        #[rustfmt::skip]
        let table = [
            ("", "has no word"),
            ("  ", "has no word"),
            ("-storno", "says only what a message must not have"),
            ("a \"b", "at character 3: a `\"` is not closed"),
            ("ж & c", "at character 3: `&` has no word"),
            ("a -", "at character 3: `` has no word"),
            ("a \"\"", "at character 3: `` has no word"),
            ("*a", "at character 1: `*` stands at the end"),
            ("a *", "at character 3: `*` stands at the end"),
            ("ab**", "at character 1: `*` stands at the end"),
            ("ab-*", "at character 1: `*` stands directly behind"),
            ("\"ab*\"", "at character 1: `*` stands at the end"),
            ("a*", "at character 1: `a*` is too short"),
        ];
        for (query, want) in table {
            let problem = MatchQuery::parse(query).unwrap_err();
            assert!(problem.starts_with(want), "{query}: {problem}");
        }
        assert!(MatchQuery::parse(&"ab ".repeat(MATCH_WORDS_MAX)).is_ok());
        assert!(
            MatchQuery::parse(&"ab ".repeat(MATCH_WORDS_MAX + 1)).unwrap_err().contains("32 words")
        );
        assert!(
            MatchQuery::parse(&"a".repeat(MATCH_BYTES_MAX + 1)).unwrap_err().contains("octets")
        );
    }
}

//! The words of the command line.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::collections::VecDeque;
use std::str::FromStr;

/// The words that are left.
pub struct Arguments(VecDeque<String>);

impl Arguments {
    /// The words after the program's name.
    pub fn from_command_line() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// Takes the next word, unless it is an option.
    pub fn word(&mut self) -> Option<String> {
        self.0.pop_front_if(|word| !word.starts_with("--") || word == "--help")
    }

    /// Takes the value of `--name VALUE`, or gives `default` if it is missing.
    ///
    /// # Errors
    ///
    /// When the value is missing or of the wrong form.
    pub fn option<T: FromStr>(&mut self, name: &str, default: T) -> Result<T> {
        let Some(at) = self.0.iter().position(|word| word == name) else {
            return Ok(default);
        };
        self.0.remove(at);
        let value = self.0.remove(at).with_context(|| format!("{name} needs a value"))?;
        value.parse().ok().with_context(|| format!("{name} cannot be {value}"))
    }

    /// Takes an option that has no value. Says whether it was there.
    pub fn flag(&mut self, name: &str) -> bool {
        let at = self.0.iter().position(|word| word == name);
        at.is_some_and(|at| self.0.remove(at).is_some())
    }

    /// Takes all words that are left.
    pub fn rest(&mut self) -> Vec<String> {
        self.0.drain(..).collect()
    }

    /// Checks that no word is left.
    ///
    /// # Errors
    ///
    /// When something is.
    pub fn end(&self) -> Result<()> {
        ensure!(self.0.is_empty(), "not understood: {}", Vec::from(self.0.clone()).join(" "));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_found_anywhere_after_their_chore() {
        let words = ["bench", "receive", "--runs", "3", "--count", "x"];
        let mut arguments = Arguments(words.map(str::to_owned).into());
        assert_eq!(arguments.word().as_deref(), Some("bench"));
        assert_eq!(arguments.word().as_deref(), Some("receive"));
        assert_eq!(arguments.word(), None);
        assert_eq!(arguments.option("--kind", 'a').unwrap(), 'a');
        assert_eq!(arguments.option("--runs", 5).unwrap(), 3);
        assert_eq!(arguments.option("--count", 5).unwrap_err().to_string(), "--count cannot be x");
        arguments.end().unwrap();
    }
}

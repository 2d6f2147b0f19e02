//! All tests with one closing line that says how many passed, failed and were skipped.

use crate::arguments::Arguments;
use crate::fuzz;
use crate::planted;
use crate::terminal;
use crate::workspace;
use anyhow::Result;
use anyhow::bail;
use std::collections::BTreeSet;
use std::env;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Command;
use std::process::Stdio;

/// The environment variable with the seed from which the property tests draw their cases. It is
/// the same in every run unless somebody sets it, so that a run that was green stays green.
const PROPERTY_SEED: &str = "PROPTEST_RNG_SEED";

/// What happened so far.
#[derive(Debug, Default)]
struct Sums {
    passed: u64,
    failed: u64,
    /// Tests that the harness ignored.
    ignored: u64,
    /// Tests that reported a missing program. They count as passed for the harness.
    skipped: BTreeSet<String>,
}

/// Runs `cargo test` on the workspace and then each fuzz target briefly. With `--planted`, plants
/// faults that tests must find.
///
/// # Errors
///
/// When anything failed.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    if arguments.flag("--planted") {
        return planted::by_tests(arguments.word().as_deref());
    }
    let seconds = arguments.option("--fuzz-seconds", 0)?;
    let mut sums = Sums::default();
    let mut tests = workspace::cargo();
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(arguments.rest());
    if env::var_os(PROPERTY_SEED).is_none() {
        tests.env(PROPERTY_SEED, "1");
    }
    let built = sums.follow(&mut tests)?;
    if seconds > 0 {
        sums.fuzz(seconds)?;
    }
    if !built && sums.failed == 0 {
        bail!("the tests could not be run to their end");
    }
    terminal::say(&format!("\n{}", sums.line()));
    if sums.failed > 0 {
        bail!("tests failed");
    }
    Ok(())
}

impl Sums {
    /// Shows the output of `command` and adds up its results. Returns whether it succeeded.
    fn follow(&mut self, command: &mut Command) -> Result<bool> {
        let mut child = command.stdout(Stdio::piped()).spawn()?;
        if let Some(output) = child.stdout.take() {
            for line in BufReader::new(output).split(b'\n') {
                let line = String::from_utf8_lossy(&line?).into_owned();
                terminal::say(&line);
                self.add(&line);
            }
        }
        Ok(child.wait()?.success())
    }

    fn add(&mut self, line: &str) {
        // With one thread, the harness has already begun the line.
        let told = line.split_once(" ... ").map_or(line, |(_, told)| told);
        if let Some((test, _)) = told.strip_prefix("SKIPPED ").and_then(|t| t.split_once(':')) {
            self.skipped.insert(test.to_owned());
        }
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        let number = |word: &str| -> u64 {
            let before = counts.split_once(word).map_or("", |(before, _)| before.trim_end());
            before.rsplit(' ').next().and_then(|digits| digits.parse().ok()).unwrap_or_default()
        };
        self.passed += number(" passed");
        self.failed += number(" failed");
        self.ignored += number(" ignored");
    }

    /// The closing line.
    fn line(&self) -> String {
        let skipped = self.skipped.len() as u64;
        let (passed, skipped) = (self.passed.saturating_sub(skipped), skipped + self.ignored);
        format!("{passed} passed, {} failed, {skipped} skipped", self.failed)
    }

    fn fuzz(&mut self, seconds: u32) -> Result<()> {
        let Some(targets) = fuzz::build()? else {
            terminal::say("SKIPPED fuzz targets: need a C++ compiler (apt-get install g++)");
            self.ignored += 1;
            return Ok(());
        };
        for target in targets {
            match fuzz::run_target(&target, seconds) {
                Ok(()) => self.passed += 1,
                Err(error) => {
                    terminal::complain(&format!("{error:#}"));
                    self.failed += 1;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_added_up_and_skipped_tests_do_not_count_as_passed() {
        let mut sums = Sums::default();
        for line in [
            "running 3 tests",
            "test a ... ok",
            "SKIPPED mail_leaves: needs dovecot (apt-get install dovecot-imapd dovecot-lmtpd)",
            "SKIPPED mail_leaves: needs postfix (apt-get install postfix)",
            "test mail_comes ... SKIPPED mail_comes: needs dovecot (apt-get install dovecot-imapd)",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out",
            "test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            sums.add(line);
        }
        assert_eq!(sums.line(), "11 passed, 2 failed, 3 skipped");
    }
}

//! `postroom-simulator [--seeds N] [--first N] [--threads N] [--log]`: simulates seeds, prints each
//! that fails with what had happened, and says how many held.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use postroom_simulator::simulate_all;
use std::io::Write;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

/// What the command line says.
struct Wanted {
    seeds: u64,
    first: u64,
    threads: usize,
    log: bool,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody may be reading.
            let _ = writeln!(std::io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let wanted = wanted(std::env::args().skip(1))?;
    if wanted.log {
        let log = tracing_subscriber::fmt().with_writer(std::io::stderr).without_time();
        log.with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG).init();
    }
    let seeds = wanted.first..wanted.first.saturating_add(wanted.seeds);
    simulate_all(seeds, wanted.threads, |seed, result| {
        let line = match result {
            Ok(summary) => format!(
                "seed {seed}: {} arrived, {} to be sent, {} processes, {:.1} h, {}",
                summary.arrived,
                summary.outgoing,
                summary.processes,
                hours(summary.passed),
                summary.hash
            ),
            Err(failure) => format!("seed {seed}: FAILED: {:#}", failure.error),
        };
        let _ = writeln!(std::io::stdout(), "{line}");
    })?;
    let _ = writeln!(std::io::stdout(), "{} seeds, and every promise held", wanted.seeds);
    Ok(())
}

fn hours(passed: Duration) -> f64 {
    passed.as_secs_f64() / 3600.0
}

fn wanted(words: impl Iterator<Item = String>) -> Result<Wanted> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let mut wanted = Wanted { seeds: 100, first: 1, threads, log: false };
    let mut words = words;
    while let Some(word) = words.next() {
        match word.as_str() {
            "--seeds" => wanted.seeds = number(&word, words.next())?,
            "--first" => wanted.first = number(&word, words.next())?,
            "--threads" => wanted.threads = number(&word, words.next())?,
            "--log" => wanted.log = true,
            _ => bail!("not understood: {word}; there are --seeds, --first, --threads and --log"),
        }
    }
    Ok(wanted)
}

fn number<T: FromStr>(name: &str, value: Option<String>) -> Result<T> {
    value.and_then(|value| value.parse().ok()).with_context(|| format!("{name} needs a number"))
}

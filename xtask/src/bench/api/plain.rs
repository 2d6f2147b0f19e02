//! The same lists without Postroom, read by a program of the store
//! (`crates/postroom-store/examples/plain.rs`).

use crate::bench::api::load::Times;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::process::Child;
use std::process::ChildStdin;
use std::process::ChildStdout;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

/// The program, which runs until this is dropped.
pub struct Plain {
    child: Child,
    asks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Plain {
    /// Starts it on a database: the file of a SQLite database, or the address of a PostgreSQL one.
    ///
    /// # Errors
    ///
    /// When it cannot be built or started.
    pub fn start(database: &str) -> Result<Self> {
        let mut cargo = workspace::cargo();
        cargo.args(["build", "--release", "--quiet", "--package", "postroom-store"]);
        workspace::run(cargo.args(["--example", "plain"]))?;
        let mut command = Command::new(workspace::target().join("release/examples/plain"));
        command.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().context("starting the plain statements")?;
        let asks = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("no output")?);
        Ok(Self { child, asks, answers })
    }

    /// Reads a list again and again for so long.
    ///
    /// # Errors
    ///
    /// When the program has ended.
    pub fn read(&mut self, list: &Value, time: Duration) -> Result<Times> {
        let mut list = list.clone();
        list["seconds"] = time.as_secs_f64().into();
        let asks = self.asks.as_mut().context("no input")?;
        writeln!(asks, "{list}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let each: Vec<f64> = serde_json::from_str(&line).context("the plain statements ended")?;
        let each: Vec<_> = each.into_iter().map(|ms| Duration::from_secs_f64(ms / 1e3)).collect();
        Ok(Times::of(each.iter().sum(), each))
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        // It ends with its input.
        self.asks = None;
        let _ = self.child.wait();
    }
}

//! The Postroom of the demo: this program as a separate process, so that it can be killed.

use anyhow::Context;
use anyhow::bail;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::ChildStdin;
use tokio::process::Command;

/// How long a start may take.
const START: Duration = Duration::from_secs(30);
/// How long a regular stop may take.
const END: Duration = Duration::from_secs(30);
/// What `serve` writes before its address.
const LISTENING: &str = "listening on http://";
/// How many lines of its log are shown when something went wrong.
const LAST_LINES: usize = 5;

/// The process. It is killed when it is dropped. Every start listens on the address of the first.
pub(super) struct Child {
    process: tokio::process::Child,
    /// The process ends when this is closed. It is kept separately, because waiting for a process
    /// closes it.
    input: Option<ChildStdin>,
    directory: PathBuf,
    ca_file: PathBuf,
    token: SecretString,
    url: String,
}

impl Child {
    /// Starts it with its data below `directory`, and waits until it listens.
    pub(super) async fn start(
        directory: &Path,
        ca_file: &Path,
        token: SecretString,
    ) -> anyhow::Result<Self> {
        let (mut process, address) = spawn(directory, ca_file, &token, "127.0.0.1:0").await?;
        Ok(Self {
            input: process.stdin.take(),
            process,
            directory: directory.to_owned(),
            ca_file: ca_file.to_owned(),
            token,
            url: format!("http://{address}"),
        })
    }

    /// The address of its REST interface.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// `kill -9`, then a new start on the same data.
    pub(super) async fn kill_and_start(&mut self) -> anyhow::Result<()> {
        self.process.kill().await.context("kill -9")?;
        let listen = self.url.trim_start_matches("http://");
        let (mut process, _) = spawn(&self.directory, &self.ca_file, &self.token, listen).await?;
        self.input = process.stdin.take();
        self.process = process;
        Ok(())
    }

    /// Waits until it ends, which it should not.
    pub(super) async fn wait(&mut self) -> anyhow::Result<()> {
        let status = self.process.wait().await?;
        bail!("Postroom ended, {status}: {}", self.last_words())
    }

    /// Stops it by closing its standard input.
    pub(super) async fn stop(&mut self) -> anyhow::Result<()> {
        drop(self.input.take());
        let status = tokio::time::timeout(END, self.process.wait()).await;
        let status = status.context("Postroom does not end")??;
        if !status.success() {
            bail!("Postroom ended, {status}: {}", self.last_words());
        }
        Ok(())
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(log(&self.directory)).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines.get(lines.len().saturating_sub(LAST_LINES)..).unwrap_or_default();
        format!("the last lines of its log: {}", last.join(" | "))
    }
}

fn log(directory: &Path) -> PathBuf {
    directory.join("log")
}

async fn spawn(
    directory: &Path,
    ca_file: &Path,
    token: &SecretString,
    listen: &str,
) -> anyhow::Result<(tokio::process::Child, String)> {
    let log = File::options().create(true).append(true).open(log(directory))?;
    let mut command = Command::new(std::env::current_exe().context("this program")?);
    command
        .args(["serve", "--end-with-stdin", "--listen", listen])
        .arg("--data")
        .arg(directory.join("data"))
        .arg("--trust-ca")
        .arg(ca_file)
        .env("POSTROOM_ADMIN_TOKEN", token.expose_secret())
        .env_remove("POSTROOM_MASTER_KEY")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(log)
        // Ctrl-C goes to the demo only, which then stops this process.
        .process_group(0)
        .kill_on_drop(true);
    let mut process = command.spawn().context("starting Postroom")?;
    let output = process.stdout.take().context("no standard output")?;
    let mut lines = BufReader::new(output).lines();
    let listening = async {
        while let Some(line) = lines.next_line().await? {
            if let Some(address) = line.strip_prefix(LISTENING) {
                return Ok(address.to_owned());
            }
        }
        bail!("Postroom does not say where it listens")
    };
    let address = tokio::time::timeout(START, listening).await.context("Postroom does not start");
    match address.and_then(|address| address) {
        Ok(address) => Ok((process, address)),
        Err(error) => {
            let text = std::fs::read_to_string(directory.join("log")).unwrap_or_default();
            Err(error.context(text))
        }
    }
}

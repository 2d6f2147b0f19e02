//! `postroom demo`: starts a mail server and the real program as a process of its own. It kills the
//! process, stops the server and refuses mail, and shows that all mail arrives and leaves all the
//! same.

mod child;
mod client;
mod login;
mod story;
mod terminal;

use crate::cli::DemoArguments;
use crate::logging;
use anyhow::Context;
use child::Child;
use client::Client;
use login::ADDRESS;
use login::PASSWORD;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use terminal::Terminal;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::level_filters::LevelFilter;

/// Runs the command: the story, and then until a signal, unless `--exit` is given.
pub(crate) async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        shown = show(&arguments) => shown,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        _ = hangup.recv() => Ok(()),
    }
}

/// If it is dropped in the middle, the process and the directory go with it.
async fn show(arguments: &DemoArguments) -> anyhow::Result<()> {
    let terminal = Terminal::new();
    let directory = tempfile::tempdir().context("temporary directory")?;
    let users = vec![(ADDRESS.to_owned(), PASSWORD.to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let mut sandbox = Sandbox::start(config).await.context("sandbox mail server")?;
    let ca_file = directory.path().join("sandbox-ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).context("certificate of the sandbox")?;

    let token = postroom_store::random_token();
    let mut child = Child::start(directory.path(), &ca_file, token.clone()).await?;
    let client = Client::new(child.url(), token.clone())?;
    terminal.title(child.url(), &sandbox);
    let told = story::tell(&client, &mut child, &mut sandbox, terminal).await;
    let told = told.map_err(|error| error.context(child.last_words()))?;
    if !arguments.exit {
        terminal.closing(child.url(), &sandbox, &told, &token);
        child.wait().await?;
    }
    child.stop().await?;
    sandbox.stop().await;
    Ok(())
}

//! `postroom demo`: the main job on a mail server of its own, step by step through the REST API,
//! each step with the `curl` that does the same.

mod client;
mod story;
mod terminal;

use crate::cli::DemoArguments;
use crate::cli::ServeArguments;
use crate::logging;
use crate::serve;
use anyhow::Context;
use client::Client;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use secrecy::ExposeSecret;
use terminal::Terminal;

/// The user of the demo's mail server.
pub const ADDRESS: &str = "anna@demo.test";
/// Her password.
pub const PASSWORD: &str = "secret";

/// Runs the command: the story, and then on until Ctrl-C unless `--exit` is given.
pub async fn run(arguments: DemoArguments) -> anyhow::Result<()> {
    logging::start(false, true);
    let terminal = Terminal::new();
    terminal.title("Postroom: email in and out of a data model, by REST alone");

    let directory = tempfile::tempdir().context("temporary directory")?;
    let users = vec![(ADDRESS.to_owned(), PASSWORD.to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.context("sandbox mail server")?;
    terminal.step("A mail server of our own, in memory");
    terminal.fact("IMAP", &sandbox.imap().to_string());
    terminal.fact("SMTP", &sandbox.smtp().to_string());

    let ca_file = directory.path().join("sandbox-ca.pem");
    std::fs::write(&ca_file, sandbox.ca_pem()).context("certificate of the sandbox")?;
    let token = postroom_store::random_token();
    let serve = ServeArguments {
        data: Some(directory.path().join("data")),
        listen: Some("127.0.0.1:0".to_owned()),
        config: None,
        instance: None,
        trust_ca: Some(ca_file),
        ehlo_name: None,
        log_json: false,
        admin_token: Some(token.clone()),
        master_key: None,
    };
    let postroom = serve::start(&serve).await?;
    let base = format!("http://{}", postroom.address);
    terminal.step("Postroom, with a temporary data directory");
    terminal.fact("REST", &base);
    terminal.shell(&format!("export POSTROOM={base} TOKEN={}", token.expose_secret()));

    let client = Client::new(&base, token, terminal)?;
    let told = story::tell(&client, &sandbox).await;
    if told.is_ok() && !arguments.exit {
        terminal.closing(&sandbox, &base);
        tokio::signal::ctrl_c().await?;
    }
    postroom.stop().await?;
    sandbox.stop().await;
    told?;
    terminal.done("The round trip is complete.");
    Ok(())
}

//! `postroom sandbox`: a mail server in memory, to test an integration against.

mod fail;
mod oauth;

use crate::cli::SandboxArguments;
use crate::logging;
use anyhow::Context;
use anyhow::bail;
use fail::Fail;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use std::path::Path;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::level_filters::LevelFilter;

/// The beginning of 2026, in milliseconds since 1970.
const START_OF_2026_MS: i64 = 1_767_225_600_000;

/// Runs the command until a signal.
pub(crate) async fn run(arguments: SandboxArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::INFO)?;
    let users = users(&arguments.users)?;
    let fails = fail::parse(&arguments.fails, &users)?;
    let config = SandboxConfig {
        users: users.clone(),
        imap_port: arguments.imap_port,
        imaps_port: arguments.imaps_port,
        smtp_port: arguments.smtp_port,
        smtps_port: arguments.smtps_port,
        uid_validity_first: arguments.uid_validity.unwrap_or_else(by_the_time),
        ..SandboxConfig::default()
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let sandbox = Sandbox::start(config).await;
    let ports = "sandbox (other ports: --imap-port, --imaps-port, --smtp-port, --smtps-port)";
    let mut sandbox = sandbox.context(ports)?;
    if let Some(path) = &arguments.ca_file {
        std::fs::write(path, sandbox.ca_pem())
            .with_context(|| format!("certificate authority: {}", path.display()))?;
    }
    // It listens as long as it is kept.
    let provider =
        if arguments.oauth { Some(oauth::start(&sandbox, &arguments).await?) } else { None };
    let mut events = fail::begin(&mut sandbox, &fails).await;
    describe(&sandbox, &users, &arguments, &fails);
    for line in provider.iter().flat_map(oauth::described) {
        say(&line);
    }
    say("Mail to these users arrives in their INBOX. Ctrl-C ends it; nothing is kept.");
    loop {
        tokio::select! {
            ended = tokio::signal::ctrl_c() => break ended?,
            _ = terminate.recv() => break,
            Some(event) = events.next() => say(&event.happen(&mut sandbox).await?),
        }
    }
    sandbox.stop().await;
    Ok(())
}

/// A UIDVALIDITY that no earlier start had: tenths of a second since 2026, which fit until 2039, so
/// that a sandbox that is started again at once has a higher one (RFC 9051 §2.3.1.1).
fn by_the_time() -> u32 {
    let tenths = (postroom_store::Clock::system().now_ms() - START_OF_2026_MS) / 100;
    u32::try_from(tenths.rem_euclid(i64::from(u32::MAX - 1)) + 1).unwrap_or(1)
}

fn users(given: &[String]) -> anyhow::Result<Vec<(String, String)>> {
    if given.is_empty() {
        let user = |name: &str| (format!("{name}@demo.test"), "secret".to_owned());
        return Ok(vec![user("anna"), user("ben")]);
    }
    let user = |text: &String| match text.split_once(':') {
        Some((address, password)) if !address.is_empty() && !password.is_empty() => {
            Ok((address.to_owned(), password.to_owned()))
        }
        _ => bail!("--user takes ADDRESS:PASSWORD, not `{text}`"),
    };
    given.iter().map(user).collect()
}

fn describe(
    sandbox: &Sandbox,
    users: &[(String, String)],
    arguments: &SandboxArguments,
    fails: &[Fail],
) {
    say(&format!("imap://{}   plain and STARTTLS", sandbox.imap()));
    say(&format!("imaps://{}  TLS", sandbox.imaps()));
    say(&format!("smtp://{}   plain and STARTTLS", sandbox.smtp()));
    say(&format!("smtps://{}  TLS", sandbox.smtps()));
    for (address, password) in users {
        say(&format!("user {address}, password {password}"));
    }
    match arguments.ca_file.as_deref().map(Path::display) {
        Some(file) => say(&format!("TLS: start Postroom with --trust-ca {file}")),
        None => say("TLS: --ca-file FILE here, --trust-ca FILE where Postroom is started"),
    }
    for fail in fails {
        say(&format!("fails: {}", fail.describe()));
    }
}

/// Prints what to connect to, and what goes wrong.
fn say(line: &str) {
    logging::announce(false, line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_address_and_password() {
        assert_eq!(users(&[]).unwrap().len(), 2);
        let one = users(&["a@b.test:x:y".to_owned()]).unwrap();
        assert_eq!(one, [("a@b.test".to_owned(), "x:y".to_owned())]);
        assert!(users(&["a@b.test".to_owned()]).is_err());
    }
}

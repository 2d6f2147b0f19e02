//! `postroom sandbox`: a mail server in memory, for those who test their own integration.

use crate::cli::SandboxArguments;
use crate::logging;
use anyhow::Context;
use anyhow::bail;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use std::path::Path;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// Runs the command until a signal.
pub async fn run(arguments: SandboxArguments) -> anyhow::Result<()> {
    logging::start(false, false);
    let users = users(&arguments.users)?;
    let config = SandboxConfig {
        users: users.clone(),
        imap_port: arguments.imap_port,
        imaps_port: arguments.imaps_port,
        smtp_port: arguments.smtp_port,
        smtps_port: arguments.smtps_port,
        ..SandboxConfig::default()
    };
    let sandbox = Sandbox::start(config).await.context("sandbox")?;
    if let Some(path) = &arguments.ca_file {
        std::fs::write(path, sandbox.ca_pem())
            .with_context(|| format!("certificate authority: {}", path.display()))?;
    }
    describe(&sandbox, &users, arguments.ca_file.as_deref());
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => ended?,
        _ = terminate.recv() => {}
    }
    sandbox.stop().await;
    Ok(())
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

#[expect(clippy::print_stdout, reason = "tells the person where to connect")]
fn describe(sandbox: &Sandbox, users: &[(String, String)], ca_file: Option<&Path>) {
    println!("imap://{}   plain and STARTTLS", sandbox.imap());
    println!("imaps://{}  TLS", sandbox.imaps());
    println!("smtp://{}   plain and STARTTLS", sandbox.smtp());
    println!("smtps://{}  TLS", sandbox.smtps());
    for (address, password) in users {
        println!("user {address}, password {password}");
    }
    match ca_file {
        Some(file) => println!("TLS: start Postroom with --trust-ca {}", file.display()),
        None => println!("TLS: --ca-file FILE here, --trust-ca FILE where Postroom is started"),
    }
    println!("Mail to these users arrives in their INBOX. Ctrl-C ends it; nothing is kept.");
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

//! The command line.

use clap::Args;
use clap::Parser;
use clap::Subcommand;
use secrecy::SecretString;
use std::path::PathBuf;

/// Exchanges email between mail servers and a data model that is reached by REST.
#[derive(Debug, Parser)]
#[command(name = "postroom", version, about)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs Postroom: receives, sends, and answers REST requests until it is stopped.
    Serve(ServeArguments),
    /// Runs a mail server in memory (IMAP and SMTP) to test an integration against.
    Sandbox(SandboxArguments),
    /// Decomposes stored messages again with the present parser, while Postroom does not run.
    Redecompose(RedecomposeArguments),
    /// Shows the main job on a mail server of its own, then keeps running to play with.
    Demo(DemoArguments),
}

/// Arguments of `postroom serve`. Each overrides what the configuration file says.
#[derive(Debug, Clone, Args)]
pub struct ServeArguments {
    /// The directory that holds everything; made when it is missing.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where to answer REST requests (default: 127.0.0.1:8025); port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// A configuration file: JSON with a section `roles` that holds this instance.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Which instance of the configuration file this is, when it holds several of type `email`.
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Certificates (PEM) of authorities to trust beside those of the system.
    #[arg(long, value_name = "FILE")]
    pub trust_ca: Option<PathBuf>,
    /// The name that this host gives to SMTP servers (default: the name of the host).
    #[arg(long, value_name = "NAME")]
    pub ehlo_name: Option<String>,
    /// Log lines as JSON.
    #[arg(long)]
    pub log_json: bool,
    /// The token of the administrator, at least 20 characters; made up at first start when absent.
    #[arg(skip)]
    pub admin_token: Option<SecretString>,
    /// The key that secrets are encrypted with, 64 hexadecimal digits; kept in the data directory
    /// when absent.
    #[arg(skip)]
    pub master_key: Option<SecretString>,
}

/// Arguments of `postroom sandbox`.
#[derive(Debug, Clone, Args)]
pub struct SandboxArguments {
    /// A user to know, as `address:password`; may be repeated (default: anna@demo.test:secret and
    /// ben@demo.test:secret).
    #[arg(long = "user", value_name = "ADDRESS:PASSWORD")]
    pub users: Vec<String>,
    /// The port for IMAP, plain and STARTTLS.
    #[arg(long, default_value_t = 1143)]
    pub imap_port: u16,
    /// The port for IMAP over TLS.
    #[arg(long, default_value_t = 1993)]
    pub imaps_port: u16,
    /// The port for SMTP, plain and STARTTLS.
    #[arg(long, default_value_t = 1587)]
    pub smtp_port: u16,
    /// The port for SMTP over TLS.
    #[arg(long, default_value_t = 1465)]
    pub smtps_port: u16,
    /// Where to write the certificate of the sandbox's own authority, for `--trust-ca`.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Arguments of `postroom redecompose`.
#[derive(Debug, Clone, Args)]
pub struct RedecomposeArguments {
    /// The directory that holds everything.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The class of the messages.
    #[arg(long, value_name = "CLASS", default_value = "email/Messages")]
    pub class: String,
    /// Which of them, as a filter of the REST interface, such as
    /// '["<", ["property", "parserVersion"], 2]' (default: all).
    #[arg(long, value_name = "JSON")]
    pub filter: Option<String>,
}

/// Arguments of `postroom demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArguments {
    /// End after the round trip instead of running on.
    #[arg(long)]
    pub exit: bool,
}

/// Writes an error with its causes for a person.
#[expect(clippy::print_stderr, reason = "the end of the program, after the log")]
pub fn complain(error: &anyhow::Error) {
    eprintln!("postroom: {error:#}");
}

/// Reads a secret from the environment, and takes care that it is not empty.
///
/// # Errors
///
/// When the variable is set but empty or not Unicode.
#[expect(clippy::disallowed_methods, reason = "this is the place that reads the environment")]
pub fn secret_from_environment(name: &str) -> anyhow::Result<Option<SecretString>> {
    match std::env::var(name) {
        Ok(value) if value.is_empty() => anyhow::bail!("{name} is set but empty"),
        Ok(value) => Ok(Some(SecretString::from(value))),
        Err(std::env::VarError::NotPresent) => Ok(None),
        Err(std::env::VarError::NotUnicode(_)) => anyhow::bail!("{name} is not valid Unicode"),
    }
}

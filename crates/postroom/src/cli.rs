//! The command line.

use crate::blobs::BlobsAccess;
use crate::blobs::BlobsArguments;
use crate::command_help::BACKUP_HELP;
use crate::command_help::MOVE_HELP;
use crate::command_help::REDECOMPOSE_HELP;
use crate::command_help::RESTORE_HELP;
use crate::command_help::ROTATE_KEY_HELP;
use crate::database_arguments::DatabaseAccess;
use crate::database_arguments::DatabaseArguments;
use crate::feed::FeedArguments;
use crate::instance_arguments::InstanceArguments;
use crate::key_arguments::MasterKeyArguments;
use crate::key_arguments::RotateKeyArguments;
use crate::rest::RestArguments;
use crate::sandbox_help::SANDBOX_HELP;
use clap::Args;
use clap::Parser;
use clap::Subcommand;
use secrecy::SecretString;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What the program returns.
const EXIT_CODES: &str = "\
Exit codes:
  0  it ended because it was asked to, also by SIGINT or SIGTERM
  1  it could not start or go on; the last line of standard error says why
  2  the arguments are wrong
  101  a fault of Postroom, which standard error describes: please report it";

/// The end of the help of the program.
const HELP: &str = "\
Examples:
  postroom demo                     see it work, with a mail server of its own
  postroom serve --data ./data      run it; REST on http://127.0.0.1:8025
  postroom sandbox                  a mail server to test your integration against

Environment (`postroom serve --help` says more):
  POSTROOM_ADMIN_TOKEN, POSTROOM_MASTER_KEY, POSTROOM_DATABASE_PASSWORD, RUST_LOG,
  SSL_CERT_FILE, SSL_CERT_DIR, TOKIO_WORKER_THREADS

Exit codes:
  0  it ended because it was asked to
  1  it could not start or go on; the last line of standard error says why
  2  the arguments are wrong
  101  a fault of Postroom, which standard error describes: please report it";

/// The end of the help of `serve`.
const SERVE_HELP: &str = "\
Environment:
  POSTROOM_ADMIN_TOKEN  the administrator's token, at least 20 characters. It replaces the
                        former one at each start. Without it a token is made at the first
                        start and printed once; with --log-json it is written to the file
                        `admin-token` in the data directory instead.
  POSTROOM_MASTER_KEY   the master key, which opens the passwords, 64 hexadecimal digits.
                        Without it the file `key` in the data directory holds one.
  POSTROOM_DATABASE_PASSWORD
                        the password for --database, if its URL has none.
  AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and others of the AWS tools
                        how --blobs is reached, if no option says it.
  CREDENTIALS_DIRECTORY set by systemd: the credentials `postroom.admin-token`,
                        `postroom.master-key`, `postroom.database-password` and
                        `postroom.blobs-credentials`
                        (LoadCredential=) are read from there. The environment of a process
                        can be read by its user and by crash tools; a file or a credential
                        is better.
  RUST_LOG              what is logged (default: info). A level (error, warn, info, debug,
                        trace), or several, as in info,postroom_api=warn (no requests).
  SSL_CERT_FILE, SSL_CERT_DIR
                        certificates to trust instead of those of the system.
  TOKIO_WORKER_THREADS  how many threads do the work (default: one for each CPU).

Signals:
  SIGINT, SIGTERM  end it: no new work; a message that is being handed to a server is
                   waited for, at most 20 seconds. A second signal ends it at once.
  SIGHUP           reads the configuration file and the certificates again: `trust_ca`,
                   `ehlo_name`, `mail_to_public_addresses_only` and
                   `webhooks_to_private_addresses` hold at once, and all accounts connect
                   anew. It also reads the files of --tls-cert and --tls-key, and the file
                   (or credential) with the administrator's token again.

Examples:
  postroom serve --data ./data
  POSTROOM_ADMIN_TOKEN=$(cat token) postroom serve --data /var/lib/postroom --log-json
  postroom serve --config /etc/postroom.json --instance email1
  postroom serve --data ./data --listen 0.0.0.0:8443 --tls-cert ./chain.pem --tls-key ./key.pem
  postroom serve --data ./data --database postgresql://postroom@db.example/postroom \\
    --database-password-file ./database-password";

/// Exchanges email between mail servers and a data model that is reached by REST.
#[derive(Debug, Parser)]
#[command(name = "postroom", version, about, after_help = HELP)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: CliCommand,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Runs Postroom: receives, sends, and answers REST requests until it is stopped.
    #[command(after_help = [SERVE_HELP, EXIT_CODES].join("\n\n"))]
    Serve(Box<ServeArguments>),
    /// Runs a mail server in memory (IMAP and SMTP) to test an integration against.
    #[command(after_help = [SANDBOX_HELP, EXIT_CODES].join("\n\n"))]
    Sandbox(SandboxArguments),
    /// Parses stored messages again with the parser of this release, while Postroom is stopped.
    #[command(after_help = [REDECOMPOSE_HELP, EXIT_CODES].join("\n\n"))]
    Redecompose(RedecomposeArguments),
    /// Copies all data into one file, also while Postroom runs, and verifies the copy.
    #[command(after_help = BACKUP_HELP)]
    Backup(BackupArguments),
    /// Makes a data directory of a backup, or makes ready what pg_restore has filled. It
    /// sends nothing, and deletes and marks nothing at mail servers, until you resume sending.
    #[command(after_help = RESTORE_HELP)]
    Restore(RestoreArguments),
    /// Verifies every entity, file, reference and receipt of a data directory, while Postroom is
    /// stopped. Exit code 1: something is damaged, and each damage has a line.
    Verify(VerifyArguments),
    /// Replaces the master key. If it is interrupted, the same command goes on with it.
    #[command(after_help = ROTATE_KEY_HELP)]
    RotateKey(RotateKeyArguments),
    /// Moves all data from SQLite into PostgreSQL, or back, while Postroom is stopped, and compares
    /// both. If it is interrupted, the same command goes on with it.
    #[command(after_help = MOVE_HELP)]
    Move(MoveArguments),
    /// Shows with a built-in mail server what Postroom does when things go wrong.
    Demo(DemoArguments),
}

/// Arguments of `postroom serve`. Each overrides the configuration file.
#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArguments {
    /// The data directory. It holds everything, unless --database is given, and is made if it is
    /// missing.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// A PostgreSQL database (15 or newer) for everything but the key and files in work, which stay
    /// in the data directory: postgresql://user@host:port/database. TLS is used unless the server
    /// is on this machine or `?sslmode=disable` says otherwise.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// A file with the password of the database's user, instead of POSTROOM_DATABASE_PASSWORD.
    #[arg(long, value_name = "FILE")]
    pub database_password_file: Option<PathBuf>,
    /// Where large contents are kept.
    #[command(flatten)]
    pub blobs: BlobsArguments,
    /// What the feed keeps.
    #[command(flatten)]
    pub feed: FeedArguments,
    /// The address for REST requests (default: 127.0.0.1:8025). Port 0 takes a free one.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// How REST is offered.
    #[command(flatten)]
    pub rest: RestArguments,
    /// A configuration file: JSON with a section `roles` that holds this instance.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The instance to run, if the configuration file has several of type `email` or `api`.
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Which instance this is.
    #[command(flatten)]
    pub node: InstanceArguments,
    /// Without --database: wait while another process uses the data directory, and take over when
    /// it is gone.
    #[arg(long)]
    pub standby: bool,
    /// Certificates (PEM) of authorities to trust in addition to those of the system.
    #[arg(long, value_name = "FILE")]
    pub trust_ca: Option<PathBuf>,
    /// The name that this host gives to SMTP servers (default: the name of the host).
    #[arg(long, value_name = "NAME")]
    pub ehlo_name: Option<String>,
    /// Refuse mail servers at private, loopback, link-local and other special addresses. Set it
    /// where people whom you do not trust may add accounts, because they choose where Postroom
    /// connects to.
    #[arg(long)]
    pub mail_to_public_addresses_only: bool,
    /// Let webhooks reach private, loopback and link-local addresses. Without it whoever may make a
    /// webhook could reach the servers of your own network through Postroom.
    #[arg(long)]
    pub webhooks_to_private_addresses: bool,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
    /// Let /rest/v1/autoconfig ask others for the servers of an address: the DNS, and the domain of
    /// the address. Without it the table of providers in the binary answers alone.
    #[arg(long)]
    pub autoconfig_lookups: bool,
    /// The DNS server that is asked then, as ADDRESS:PORT (default: those of the system).
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub dns_server: Option<SocketAddr>,
    /// A file with the administrator's token, instead of POSTROOM_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    pub admin_token_file: Option<PathBuf>,
    /// Write JSON only, one line for each event: the log to standard error, the address of REST to
    /// standard output.
    #[arg(long)]
    pub log_json: bool,
    /// End when standard input ends, so that Postroom ends with the program that started it.
    #[arg(long, hide = true)]
    pub end_with_stdin: bool,
    /// The token of the administrator, at least 20 characters. If it is missing, the first start
    /// makes one.
    #[arg(skip)]
    pub admin_token: Option<SecretString>,
    /// The key that secrets are encrypted with, 64 hexadecimal digits. If it is missing, the data
    /// directory keeps one.
    #[arg(skip)]
    pub master_key: Option<SecretString>,
}

/// Arguments of `postroom move`.
#[derive(Debug, Clone, Args)]
pub(crate) struct MoveArguments {
    /// The place that has the data.
    #[arg(long, value_name = "PLACE")]
    pub from: String,
    /// The place where it is wanted.
    #[arg(long, value_name = "PLACE", required_unless_present = "cancel")]
    pub to: Option<String>,
    /// The data directory that has the key, when the data is in PostgreSQL.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Give up a move that is not complete: the data is used where it is.
    #[arg(long, conflicts_with = "to")]
    pub cancel: bool,
    /// How PostgreSQL is connected to.
    #[command(flatten)]
    pub access: DatabaseAccess,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
}

/// Arguments of `postroom sandbox`.
#[derive(Debug, Clone, Args)]
pub(crate) struct SandboxArguments {
    /// A user, as `address:password`; may be repeated (default: anna@demo.test:secret and
    /// ben@demo.test:secret).
    #[arg(long = "user", value_name = "ADDRESS:PASSWORD")]
    pub users: Vec<String>,
    /// UIDVALIDITY of the first mailbox; each further one has the next number (default: a number
    /// made of the time of the start, so that other mail never has the numbers of former mail).
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..))]
    pub uid_validity: Option<u32>,
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
    /// A provider of OAuth 2.0 too: its page of consent has one button, and the servers take its
    /// access tokens.
    #[arg(long)]
    pub oauth: bool,
    /// The port of the provider.
    #[arg(long, default_value_t = 1180, requires = "oauth")]
    pub oauth_port: u16,
    /// The provider replaces each refresh token when it is used, as some do.
    #[arg(long, requires = "oauth")]
    pub oauth_rotate: bool,
    /// What goes wrong, as KIND=WHAT; may be repeated. See below.
    #[arg(long = "fail", value_name = "KIND=WHAT")]
    pub fails: Vec<String>,
    /// The file to write the certificate of the sandbox's authority to, for `--trust-ca`.
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
}

/// Arguments of `postroom redecompose`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RedecomposeArguments {
    /// The directory that holds everything.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
    /// The class of the messages.
    #[arg(long, value_name = "CLASS", default_value = "email/Messages")]
    pub class: String,
    /// Which messages, as a filter of the REST interface, such as '["<", ["property",
    /// "parserVersion"], 6]' (default: all).
    #[arg(long, value_name = "JSON")]
    pub filter: Option<String>,
    /// Where the data is, if it is not in the directory.
    #[command(flatten)]
    pub database: DatabaseArguments,
    /// How the bucket of large contents is reached.
    #[command(flatten)]
    pub blobs: BlobsAccess,
}

/// Arguments of `postroom backup`.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackupArguments {
    /// The directory that holds everything.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// The file to write, which is not there yet.
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// Leave the key out, so that nobody reads the passwords of the accounts in the file. Keep the
    /// key elsewhere: without it, the backup cannot be restored.
    #[arg(long)]
    pub without_key: bool,
    /// A database of PostgreSQL, of which this command makes no backup.
    #[arg(long, hide = true)]
    pub database: Option<String>,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
}

/// Arguments of `postroom restore`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RestoreArguments {
    /// The backup. For a database that pg_restore has filled, give --database in its place.
    #[arg(long, value_name = "FILE", required_unless_present = "database")]
    #[arg(conflicts_with = "database")]
    pub from: Option<PathBuf>,
    /// The directory to make. It has no data yet, but with --database it has the key.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Send what the backup has in `sending`, though it may have been sent since, and delete and
    /// mark at mail servers what folders demand.
    #[arg(long)]
    pub send: bool,
    /// Take the objects in the bucket over, because the database that the backup is of is gone for
    /// good. Otherwise they are read and never removed.
    #[arg(long)]
    pub take_objects: bool,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
    /// Where the data is, if it is not in the directory.
    #[command(flatten)]
    pub database: DatabaseArguments,
}

/// Arguments of `postroom verify`.
#[derive(Debug, Clone, Args)]
pub(crate) struct VerifyArguments {
    /// The directory that holds everything.
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Where the master key comes from.
    #[command(flatten)]
    pub key: MasterKeyArguments,
    /// Where the data is, if it is not in the directory.
    #[command(flatten)]
    pub database: DatabaseArguments,
    /// How the bucket of large contents is reached.
    #[command(flatten)]
    pub blobs: BlobsAccess,
}

/// Arguments of `postroom demo`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArguments {
    /// End after the demonstration instead of running on.
    #[arg(long)]
    pub exit: bool,
}

impl Cli {
    /// Whether the log is JSON.
    pub(crate) fn logs_json(&self) -> bool {
        matches!(&self.command, CliCommand::Serve(serve) if serve.log_json)
    }
}

/// Whether wrong arguments ask for JSON.
pub(crate) fn asks_for_json(arguments: impl Iterator<Item = OsString>) -> bool {
    arguments.take_while(|argument| argument != "--").any(|argument| argument == "--log-json")
}

//! The configuration of a private Dovecot, in the words of 2.3 and of 2.4.

use crate::access_tokens::TokenLogin;
use crate::authority::Flaw;
use crate::packages;
use crate::packages::Owner;
use anyhow::Context;
use anyhow::Result;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The password of every user.
pub(crate) const PASSWORD: &str = "secret-of-the-tests";

/// What a Dovecot shall be like.
#[derive(Debug, Clone)]
pub struct DovecotOptions {
    /// How many connections one user may hold at once.
    pub user_connections_max: u32,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// The mechanism by which it takes access tokens, beside passwords. `None`: it takes none.
    pub tokens: Option<TokenLogin>,
    /// More lines of configuration, put at the end.
    pub extra: String,
}

impl Default for DovecotOptions {
    fn default() -> Self {
        let (flaw, tokens, extra) = (Flaw::None, None, String::new());
        Self { user_connections_max: 2000, flaw, tokens, extra }
    }
}

/// Writes the part about mail and passwords for a directory.
type MailWords = fn(&str, Owner) -> String;

/// Stands before everything else in 2.4.
const HEAD_2_4: &str = "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0";

/// Where it listens on 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub imap: u16,
    pub imaps: u16,
    pub lmtp: u16,
}

/// What stands in the greeting of the Dovecot of `directory` and of no other.
pub(crate) fn greeting(directory: &Path) -> String {
    format!("{} ready", mark(directory))
}

/// The whole configuration file.
pub(crate) fn text(
    directory: &Path,
    ports: Ports,
    owner: Owner,
    options: &DovecotOptions,
) -> Result<String> {
    let is_2_4 = version()? >= (2, 4);
    let (head, words) =
        if is_2_4 { (HEAD_2_4, mail_2_4 as MailWords) } else { ("", mail_2_3 as _) };
    let at = directory.display().to_string();
    let tokens = match options.tokens {
        None => String::new(),
        Some(tokens) if is_2_4 => tokens_2_4(tokens),
        Some(tokens) => tokens_2_3(directory, tokens)?,
    };
    let parts = [
        head.to_owned(),
        tokens,
        words(&at, owner),
        shared_part(directory, options),
        listeners(directory, ports, options.user_connections_max),
        if packages::is_root() { String::new() } else { without_root()? },
        options.extra.clone(),
    ];
    Ok(parts.join("\n"))
}

fn mail_2_3(at: &str, owner: Owner) -> String {
    let (password, uid, gid) = (PASSWORD, owner.uid, owner.gid);
    format!(
        "ssl_cert = <{at}/certificate.pem\n\
         ssl_key = <{at}/key.pem\n\
         disable_plaintext_auth = no\n\
         mail_location = maildir:~/Maildir\n\
         passdb {{\n driver = static\n args = password={password}\n}}\n\
         userdb {{\n driver = static\n \
         args = allow_all_users=yes uid={uid} gid={gid} home={at}/mail/%u\n}}\n"
    )
}

fn mail_2_4(at: &str, owner: Owner) -> String {
    let (password, uid, gid) = (PASSWORD, owner.uid, owner.gid);
    format!(
        "ssl_server_cert_file = {at}/certificate.pem\n\
         ssl_server_key_file = {at}/key.pem\n\
         auth_allow_cleartext = yes\n\
         mail_driver = maildir\n\
         mail_path = ~/Maildir\n\
         passdb static {{\n password = {password}\n}}\n\
         userdb static {{\n allow_all_users = yes\n fields {{\n \
         uid = {uid}\n gid = {gid}\n home = {at}/mail/%{{user}}\n }}\n}}\n"
    )
}

/// Its part about tokens is a file of its own.
fn tokens_2_3(directory: &Path, TokenLogin { mechanism, provider }: TokenLogin) -> Result<String> {
    let file = directory.join("dovecot-oauth2.conf");
    fs::write(
        &file,
        format!(
            "introspection_mode = post\n\
             introspection_url = http://{provider}/introspect\n\
             username_attribute = username\n\
             active_attribute = active\n\
             active_value = true\n"
        ),
    )?;
    let (mechanism, file) = (mechanism.name(), file.display());
    Ok(format!("passdb {{\n driver = oauth2\n mechanisms = {mechanism}\n args = {file}\n}}\n"))
}

fn tokens_2_4(TokenLogin { mechanism, provider }: TokenLogin) -> String {
    let mechanism = mechanism.name();
    format!(
        "oauth2 {{\n introspection_mode = post\n \
         introspection_url = http://{provider}/introspect\n username_attribute = username\n \
         active_attribute = active\n active_value = true\n}}\n\
         passdb oauth2 {{\n mechanisms_filter = {mechanism}\n}}\n"
    )
}

fn shared_part(directory: &Path, options: &DovecotOptions) -> String {
    let at = directory.display();
    let greeting = greeting(directory);
    let connections_max = options.user_connections_max;
    let tokens = options.tokens.map_or("", |tokens| tokens.mechanism.name());
    format!(
        "base_dir = {at}/run\n\
         state_dir = {at}/state\n\
         log_path = {at}/log\n\
         login_greeting = {greeting}\n\
         protocols = imap lmtp\n\
         listen = 127.0.0.1\n\
         ssl = yes\n\
         auth_mechanisms = plain login {tokens}\n\
         auth_failure_delay = 0\n\
         first_valid_uid = 1\n\
         mail_max_userip_connections = {connections_max}\n\
         # New mail is seen by inotify; the interval is only the fallback.\n\
         mailbox_idle_check_interval = 5s\n\
         namespace inbox {{\n inbox = yes\n separator = .\n \
         mailbox Sent {{\n  auto = create\n  special_use = \\Sent\n }}\n \
         mailbox Junk {{\n  auto = create\n  special_use = \\Junk\n }}\n}}\n"
    )
}

fn listeners(directory: &Path, ports: Ports, connections_max: u32) -> String {
    let at = directory.display();
    let Ports { imap, imaps, lmtp } = ports;
    let processes_max = connections_max.max(200);
    let clients_max = processes_max * 4;
    // One login process serves many connections: connecting is not what is tested.
    format!(
        "service imap-login {{\n service_count = 0\n client_limit = {clients_max}\n \
         process_min_avail = 1\n process_limit = 2\n \
         inet_listener imap {{\n  port = {imap}\n }}\n \
         inet_listener imaps {{\n  port = {imaps}\n  ssl = yes\n }}\n}}\n\
         service imap {{\n process_limit = {processes_max}\n}}\n\
         service lmtp {{\n inet_listener lmtp {{\n  port = {lmtp}\n }}\n}}\n\
         service anvil {{\n client_limit = {clients_max}\n \
         unix_listener anvil-auth-penalty {{\n  mode = 0\n }}\n}}\n\
         service auth {{\n client_limit = {clients_max}\n \
         unix_listener {at}/auth {{\n  mode = 0666\n }}\n}}\n\
         service stats {{\n client_limit = {clients_max}\n}}\n"
    )
}

/// What lets it run without root: no changed roots, and every user is the present one.
fn without_root() -> Result<String> {
    let name = |flag| -> Result<String> {
        let said = Command::new("id").arg(flag).output()?.stdout;
        Ok(String::from_utf8_lossy(&said).trim().to_owned())
    };
    let (user, group) = (name("-un")?, name("-gn")?);
    let mut text = format!(
        "default_internal_user = {user}\n\
         default_internal_group = {group}\n\
         default_login_user = {user}\n"
    );
    for service in ["anvil", "imap-login", "stats", "auth", "auth-worker", "lmtp"] {
        text += &format!("service {service} {{\n chroot =\n user = {user}\n}}\n");
    }
    Ok(text)
}

/// The program, to be given its arguments.
pub(crate) fn dovecot() -> Result<Command> {
    let program = packages::program_path("dovecot").context("dovecot is not installed")?;
    Ok(Command::new(program))
}

/// Major and minor version of the installed Dovecot.
fn version() -> Result<(u32, u32)> {
    let said = dovecot()?.arg("--version").output()?.stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let mut numbers = said.split(['.', ' ']).map_while(|number| number.parse().ok());
    numbers.next().zip(numbers.next()).with_context(|| format!("odd version of Dovecot: {said}"))
}

/// The file name of a directory: unlike any other at this time.
fn mark(directory: &Path) -> String {
    directory.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

//! A private Postfix: takes mail on loopback and hands all of it to a [`Dovecot`] by LMTP.
//!
//! Nothing can leave the host: there is no other route. Recipients answer like this:
//!
//! ```text
//!   nobody@*.test   550 5.1.1 at RCPT        later@*.test   451 4.2.0 at RCPT
//!   *@*.test        taken                    any other      554 5.7.1 at RCPT
//! ```
//!
//! It needs root, because Postfix changes its users.

use crate::authority::Flaw;
use crate::dovecot::Dovecot;
use crate::packages;
use crate::process;
use crate::process::Process;
use crate::process::private_directory;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::SystemTime;
use tempfile::TempDir;

/// How often a start is tried, each time on other ports.
const STARTS_MAX: usize = 5;

/// The programs that taking mail and handing it on needs, in the form of `master.cf`; none has its
/// root changed, so that no files need copying.
const PROGRAMS: &str = "\
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
lmtp      unix  -       -       n       -       -       lmtp
anvil     unix  -       -       n       -       1       anvil
scache    unix  -       -       n       -       1       scache
postlog   unix-dgram n  -       n       -       1       postlogd
";

/// Who may be written to.
const RECIPIENTS: &str = "\
/^nobody@.*\\.test$/ 550 5.1.1 No such user here
/^later@.*\\.test$/ 451 4.2.0 Try again later
/\\.test$/ DUNNO
/./ 554 5.7.1 Only .test is served here
";

/// What a Postfix shall be like.
#[derive(Debug, Clone)]
pub struct PostfixOptions {
    /// Whether a client must log in (any user of the Dovecot, its password) to send.
    pub auth: bool,
    /// What is wrong with its certificate.
    pub flaw: Flaw,
    /// The largest message, in bytes.
    pub message_bytes_max: u64,
    /// More lines of `main.cf`, put at the end.
    pub extra: String,
}

impl Default for PostfixOptions {
    fn default() -> Self {
        let message_bytes_max = 100 << 20;
        Self { auth: false, flaw: Flaw::None, message_bytes_max, extra: String::new() }
    }
}

/// A running Postfix.
pub struct Postfix {
    smtp_port: u16,
    smtps_port: u16,
    ca_pem: String,
    process: Process,
    directory: TempDir,
}

impl Postfix {
    /// Starts it and waits until it answers. `dovecot` must live at least as long.
    ///
    /// # Errors
    ///
    /// When it cannot be started; the text holds its own log.
    pub fn start(dovecot: &Dovecot, options: &PostfixOptions) -> Result<Self> {
        let mut start = 1;
        loop {
            match Self::start_once(dovecot, options) {
                Err(_) if start < STARTS_MAX => start += 1,
                result => return result,
            }
        }
    }

    fn start_once(dovecot: &Dovecot, options: &PostfixOptions) -> Result<Self> {
        ensure!(packages::is_root(), "Postfix needs root");
        let directory = private_directory("postroom-postfix-")?;
        let at = directory.path();
        for part in ["config", "queue", "variable"] {
            fs::create_dir(at.join(part))?;
        }
        let owned = Command::new("chown").arg("postfix").arg(at.join("variable")).status()?;
        ensure!(owned.success(), "there is no user postfix");
        let identity = dovecot.authority().identity(options.flaw)?;
        fs::write(at.join("certificate.pem"), identity.key_pem + &identity.certificate_pem)?;
        fs::write(at.join("config/recipients"), RECIPIENTS)?;
        let [smtp_port, smtps_port] = process::free_ports()?;
        let main = main_cf(at, dovecot, options) + &options.extra;
        fs::write(at.join("config/main.cf"), main)?;
        // Postfix waits for seconds when this file is new, in case someone is still writing it.
        let main = fs::File::options().write(true).open(at.join("config/main.cf"))?;
        main.set_modified(SystemTime::UNIX_EPOCH)?;
        fs::write(at.join("config/master.cf"), master_cf(smtp_port, smtps_port))?;
        make_queue(&at.join("queue"))?;
        // Started without Postfix's script, which takes seconds for what is checked here anyway,
        // and puts the master beyond our reach in a session of its own.
        let postconf = packages::program_path("postconf").context("postfix is not installed")?;
        let programs = Command::new(postconf).args(["-dh", "daemon_directory"]).output()?;
        let programs = String::from_utf8(programs.stdout)?;
        let mut command = Command::new(Path::new(programs.trim()).join("master"));
        command.arg("-d").arg("-c").arg(at.join("config"));
        command.stdout(Stdio::null()).stderr(fs::File::create(at.join("start"))?);
        let process = Process::start(&mut command, at)?;
        let ca_pem = dovecot.ca_pem();
        let mut postfix = Self { smtp_port, smtps_port, ca_pem, process, directory };
        let mark = mark(postfix.directory.path());
        process::await_greeting(&mut postfix.process, smtp_port, &mark)
            .with_context(|| format!("starting Postfix:\n{}", postfix.log()))?;
        Ok(postfix)
    }

    /// The port for SMTP, plain and STARTTLS.
    pub fn smtp_port(&self) -> u16 {
        self.smtp_port
    }

    /// The port for SMTP over TLS.
    pub fn smtps_port(&self) -> u16 {
        self.smtps_port
    }

    /// The certificate of the authority that signed the server's.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        let part = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        part("start") + &part("log")
    }

    /// How many messages wait in its queues.
    pub fn queued_count(&self) -> usize {
        let queue = self.directory.path().join("queue");
        ["incoming", "active", "deferred"].iter().map(|part| files_below(&queue.join(part))).sum()
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        self.process.kill_group();
    }
}

/// Makes the directories of an empty queue, as `postfix check` would.
fn make_queue(at: &Path) -> Result<()> {
    let own = "active bounce corrupt defer deferred flush hold incoming private saved trace";
    let parts = [
        ("root", "0755", "pid"),
        ("postfix", "0700", own),
        ("postdrop", "0730", "maildrop"),
        ("postdrop", "0710", "public"),
    ];
    for (group, mode, names) in parts {
        let user = if group == "root" { "root" } else { "postfix" };
        let mut install = Command::new("install");
        install.args(["-d", "-o", user, "-g", group, "-m", mode]);
        install.args(names.split(' ').map(|name| at.join(name)));
        let ran = install.output().context("running install")?;
        ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    Ok(())
}

/// Stands in its greeting: unlike any other at this time.
fn mark(directory: &Path) -> String {
    let name = directory.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    format!("{name}.test")
}

fn master_cf(smtp_port: u16, smtps_port: u16) -> String {
    format!(
        "127.0.0.1:{smtp_port} inet n - n - - smtpd\n\
         127.0.0.1:{smtps_port} inet n - n - - smtpd\n  -o smtpd_tls_wrappermode=yes\n{PROGRAMS}"
    )
}

fn main_cf(directory: &Path, dovecot: &Dovecot, options: &PostfixOptions) -> String {
    let at = directory.display();
    let name = mark(directory);
    let (lmtp_port, auth) = (dovecot.lmtp_port(), dovecot.auth_socket());
    let auth = auth.display();
    let (login, allowed) = if options.auth {
        ("yes", "permit_sasl_authenticated, reject")
    } else {
        ("no", "permit_mynetworks, reject")
    };
    let message_bytes_max = options.message_bytes_max;
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {at}/queue\n\
         data_directory = {at}/variable\n\
         maillog_file = {at}/log\n\
         maillog_file_prefixes = {at}\n\
         myhostname = {name}\n\
         mydomain = {name}\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         mynetworks = 127.0.0.0/8\n\
         mydestination =\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         alias_database =\n\
         default_transport = lmtp:inet:127.0.0.1:{lmtp_port}\n\
         relay_transport = lmtp:inet:127.0.0.1:{lmtp_port}\n\
         smtp_dns_support_level = disabled\n\
         smtpd_peername_lookup = no\n\
         smtpd_helo_required = yes\n\
         smtpd_recipient_restrictions = \
         check_recipient_access regexp:{at}/config/recipients, {allowed}\n\
         smtpd_relay_restrictions = {allowed}\n\
         smtpd_sasl_auth_enable = {login}\n\
         smtpd_sasl_type = dovecot\n\
         smtpd_sasl_path = {auth}\n\
         smtpd_tls_security_level = may\n\
         smtpd_tls_chain_files = {at}/certificate.pem\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_soft_error_limit = 1000\n\
         smtpd_hard_error_limit = 1000\n\
         smtputf8_enable = yes\n\
         in_flow_delay = 0\n\
         message_size_limit = {message_bytes_max}\n\
         mailbox_size_limit = 0\n\
         default_process_limit = 50\n"
    )
}

fn files_below(directory: &Path) -> usize {
    let Ok(entries) = fs::read_dir(directory) else {
        return 0;
    };
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.map(|path| if path.is_dir() { files_below(&path) } else { 1 }).sum()
}

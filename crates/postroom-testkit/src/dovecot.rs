//! A private Dovecot: IMAP (plain and STARTTLS), IMAP over TLS, LMTP and an authentication socket.
//!
//! Every user exists and logs in with [`Dovecot::PASSWORD`]. A mailbox is made at its first use.
//! Mail lies as Maildir below `/tmp` and goes with the value. As root the mail belongs to a user id
//! of its own (Dovecot refuses root); else everything runs as the present user.

use crate::authority::Authority;
use crate::corpus;
use crate::dovecot::config::Ports;
use crate::dovecot::config::dovecot;
use crate::imap::FetchedMessage;
use crate::imap::ImapClient;
use crate::packages;
use crate::packages::Owner;
use crate::process;
use crate::process::Process;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

mod config;

pub use crate::dovecot::config::DovecotOptions;

/// The user and group id of the mail when we are root; it need not be in the password file.
const MAIL_OWNER: Owner = Owner { uid: 5000, gid: 5000 };

/// How often a start is tried, each time on other ports.
const STARTS_MAX: usize = 5;

/// A running Dovecot.
pub struct Dovecot {
    process: Process,
    ports: Ports,
    owner: Owner,
    authority: Authority,
    directory: TempDir,
}

impl Dovecot {
    /// The password of every user.
    pub const PASSWORD: &'static str = config::PASSWORD;

    /// Starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it cannot be started; the text holds its own log.
    pub fn start(options: &DovecotOptions) -> Result<Self> {
        let mut start = 1;
        loop {
            match Self::start_once(options) {
                Err(_) if start < STARTS_MAX => start += 1,
                result => return result,
            }
        }
    }

    fn start_once(options: &DovecotOptions) -> Result<Self> {
        let authority = Authority::new()?;
        let directory = process::private_directory("postroom-dovecot-")?;
        let at = directory.path();
        let [imap, imaps, lmtp] = process::free_ports()?;
        let ports = Ports { imap, imaps, lmtp };
        let identity = authority.identity(options.flaw)?;
        fs::write(at.join("certificate.pem"), identity.certificate_pem)?;
        fs::write(at.join("key.pem"), identity.key_pem)?;
        fs::create_dir(at.join("mail"))?;
        let owner = if packages::is_root() {
            MAIL_OWNER.take(at.join("mail"))?;
            MAIL_OWNER
        } else {
            packages::owner_of(at).context("reading the owner of a directory")?
        };
        fs::write(at.join("dovecot.conf"), config::text(at, ports, owner, options)?)?;
        let mut command = dovecot()?;
        command.arg("-F").arg("-c").arg(at.join("dovecot.conf"));
        command.stdout(Stdio::null()).stderr(fs::File::create(at.join("start"))?);
        let process = Process::start(&mut command, at)?;
        let mut dovecot = Self { process, ports, owner, authority, directory };
        let mark = config::greeting(dovecot.directory.path());
        let answered = process::await_greeting(&mut dovecot.process, imap, &mark)
            .and_then(|()| dovecot.is_whole());
        answered.with_context(|| format!("starting Dovecot:\n{}", dovecot.log()))?;
        Ok(dovecot)
    }

    fn is_whole(&self) -> Result<()> {
        ensure!(!self.log().contains("Fatal:"), "it logged a fatal error");
        Ok(())
    }

    /// The port for IMAP, plain and STARTTLS.
    pub fn imap_port(&self) -> u16 {
        self.ports.imap
    }

    /// The port for IMAP over TLS.
    pub fn imaps_port(&self) -> u16 {
        self.ports.imaps
    }

    /// The port for LMTP.
    pub(crate) fn lmtp_port(&self) -> u16 {
        self.ports.lmtp
    }

    /// The certificate of the authority that signed the server's.
    pub fn ca_pem(&self) -> String {
        self.authority.ca_pem()
    }

    /// The authority, to sign for other servers.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The socket where Postfix asks about logins.
    pub(crate) fn auth_socket(&self) -> PathBuf {
        self.directory.path().join("auth")
    }

    /// What it logged so far.
    pub fn log(&self) -> String {
        let part = |name| fs::read_to_string(self.directory.path().join(name)).unwrap_or_default();
        part("start") + &part("log")
    }

    /// CPU time used so far by all its processes that are or were its children.
    pub fn cpu_time(&self) -> Duration {
        let master = self.process.id().to_string();
        let tasks = fs::read_to_string(format!("/proc/{master}/task/{master}/children"));
        let children = tasks.unwrap_or_default();
        let all = children.split_whitespace().chain([master.as_str()]);
        all.filter_map(process::cpu_time).sum()
    }

    /// Runs `doveadm` with this server's configuration and returns its output.
    ///
    /// # Errors
    ///
    /// When it fails; the text is what it said.
    pub fn doveadm(&self, arguments: &[&str]) -> Result<String> {
        let program = packages::program_path("doveadm").context("doveadm is not installed")?;
        let config = self.directory.path().join("dovecot.conf");
        let ran = Command::new(program).arg("-c").arg(config).args(arguments).output()?;
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        ensure!(ran.status.success(), "doveadm {}: {said}", arguments.join(" "));
        Ok(String::from_utf8_lossy(&ran.stdout).into_owned())
    }

    /// Ends all connections of a user.
    ///
    /// # Errors
    ///
    /// When it cannot be asked to.
    pub fn hang_up(&self, user: &str) -> Result<()> {
        // It fails if there is no connection.
        let program = packages::program_path("doveadm").context("doveadm is not installed")?;
        let config = self.directory.path().join("dovecot.conf");
        Command::new(program).arg("-c").arg(config).args(["kick", user]).output()?;
        Ok(())
    }

    /// Adds messages to a mailbox by writing files. Much faster than IMAP; UIDs follow the order.
    /// Returns how many there were.
    ///
    /// # Errors
    ///
    /// When a file cannot be written.
    pub fn fill<M: AsRef<[u8]>>(
        &self,
        user: &str,
        mailbox: &str,
        messages: impl IntoIterator<Item = M>,
    ) -> Result<usize> {
        corpus::maildir_write(&self.maildir(user, mailbox)?, self.owner, messages)
    }

    /// Makes `count` messages of a corpus the INBOX of `user` and indexes it, so that the first
    /// reader does not pay for that. `kind` is that of `corpus_write`.
    ///
    /// # Errors
    ///
    /// When they cannot be written or indexed.
    pub fn fill_corpus(&self, kind: char, user: &str, count: usize) -> Result<()> {
        corpus::corpus_write(kind, count, &self.maildir(user, "INBOX")?, self.owner)?;
        self.doveadm(&["index", "-u", user, "INBOX"])?;
        Ok(())
    }

    /// Logs in over plain IMAP.
    ///
    /// # Errors
    ///
    /// When the login fails.
    pub fn client(&self, user: &str) -> Result<ImapClient> {
        ImapClient::login(self.ports.imap, user, Self::PASSWORD)
    }

    /// Adds one message by IMAP, for the case that a client is watching.
    ///
    /// # Errors
    ///
    /// When the server does not take it.
    pub fn append(&self, user: &str, mailbox: &str, message: &[u8]) -> Result<()> {
        self.client(user)?.append(mailbox, "", message)
    }

    /// Every message of a mailbox by UID, as FETCH gives it to a client of our own.
    ///
    /// # Errors
    ///
    /// When the mailbox cannot be read.
    pub fn fetch(&self, user: &str, mailbox: &str) -> Result<BTreeMap<u32, FetchedMessage>> {
        self.client(user)?.fetch(mailbox)
    }

    /// The SHA-256 of every message of a mailbox by UID, as FETCH gives them.
    ///
    /// # Errors
    ///
    /// When the mailbox cannot be read.
    pub fn digests(&self, user: &str, mailbox: &str) -> Result<BTreeMap<u32, String>> {
        self.client(user)?.digests(mailbox)
    }

    fn maildir(&self, user: &str, mailbox: &str) -> Result<PathBuf> {
        let home = self.directory.path().join("mail").join(user);
        let maildir = home.join("Maildir");
        fs::create_dir_all(&maildir)?;
        for directory in [&home, &maildir] {
            self.owner.take(directory)?;
        }
        Ok(if mailbox == "INBOX" { maildir } else { maildir.join(format!(".{mailbox}")) })
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        // Its orderly end takes a second, for files that go right after.
        self.process.kill_group();
    }
}

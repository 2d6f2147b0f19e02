//! A private PostgreSQL: a cluster on a free port of loopback, with a database for each who asks.
//!
//! It is set up unlike a machine where everything happens to be as SQLite has it: texts are ordered
//! by a language, the day begins elsewhere than in UTC, and the role of the tests is no superuser.

use crate::packages;
use crate::packages::Owner;
use crate::process;
use crate::process::Process;
use crate::process::private_directory;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use std::fmt::Write;
use std::fs;
use std::fs::OpenOptions;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::NoTls;

/// How often a start is tried, each time on another port.
const STARTS_MAX: usize = 5;

/// How long a start may take.
const START: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// Who owns the databases that tests get.
const ROLE: &str = "postroom";

/// What a PostgreSQL shall be like.
#[derive(Debug, Clone, Default)]
pub struct PostgresOptions {
    /// Whether a commit survives a power failure. Each survives the end of the server anyway.
    pub is_durable: bool,
    /// More lines of `postgresql.conf`, put at the end.
    pub extra: String,
}

/// How a PostgreSQL is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PostgresEnd {
    /// As by an administrator: connections are ended, and everything is written.
    Fast,
    /// As by a crash: the next start recovers.
    Immediate,
}

impl PostgresEnd {
    fn signal(self) -> &'static str {
        match self {
            Self::Fast => "-INT",
            Self::Immediate => "-QUIT",
        }
    }
}

/// A PostgreSQL, running or stopped.
pub struct Postgres {
    process: Option<Process>,
    port: u16,
    owner: Option<Owner>,
    programs: PathBuf,
    directory: TempDir,
}

impl Postgres {
    /// Makes a cluster, starts it and waits until it answers.
    ///
    /// # Errors
    ///
    /// When it cannot be started; the text holds its own log.
    pub fn start(options: &PostgresOptions) -> Result<Self> {
        let programs = packages::postgres_programs().context("PostgreSQL is not installed")?;
        // It refuses root.
        let owner = packages::is_root().then(|| packages::user("postgres"));
        let owner = owner.map(|user| user.context("there is no user postgres")).transpose()?;
        let directory = private_directory("postroom-postgres-")?;
        if let Some(owner) = owner {
            owner.take(directory.path())?;
        }
        let mut postgres = Self { process: None, port: 0, owner, programs, directory };
        postgres.make_cluster(options)?;
        let mut start = 1;
        loop {
            [postgres.port] = process::free_ports()?;
            match postgres.restart() {
                Err(_) if start < STARTS_MAX => start += 1,
                result => return result.map(|()| postgres),
            }
        }
    }

    fn make_cluster(&self, options: &PostgresOptions) -> Result<()> {
        let mut command = self.command("initdb");
        command.arg("-D").arg(self.data()).args(["-U", "postgres", "--auth=trust"]);
        command.args(["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C.UTF-8"]);
        command.args(["--locale-provider=icu", "--icu-locale=en"]);
        let made = command.output().context("running initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let mut lines = String::from(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\n\
             max_connections = 500\ntimezone = 'Asia/Kolkata'\n\
             dynamic_shared_memory_type = mmap\nwal_level = minimal\nmax_wal_senders = 0\n\
             max_wal_size = 256MB\nmin_wal_size = 32MB\n",
        );
        if !options.is_durable {
            lines.push_str("fsync = off\nfull_page_writes = off\n");
        }
        writeln!(lines, "{}", options.extra)?;
        fs::write(self.directory.path().join("more.conf"), lines)?;
        let mut conf = OpenOptions::new().append(true).open(self.data().join("postgresql.conf"))?;
        std::io::Write::write_all(&mut conf, b"include '../more.conf'\n")?;
        Ok(())
    }

    /// Starts it again, on the same port. It must be stopped.
    ///
    /// # Errors
    ///
    /// As for [`Postgres::start`].
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "it is running already");
        let at = self.directory.path();
        let log = OpenOptions::new().create(true).append(true).open(at.join("log"))?;
        let mut command = self.command("postgres");
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        command.stdout(log.try_clone()?).stderr(log);
        // Its children are in groups of their own. They end with it.
        let process = Process::start_ended_by(&mut command, at, "QUIT")?;
        self.process = Some(process);
        let answered = self.await_answer();
        if answered.is_err() {
            self.process = None;
        }
        answered.with_context(|| format!("starting PostgreSQL:\n{}", self.log()))
    }

    /// Ends it and waits until it has ended. Nothing that was committed is lost.
    ///
    /// # Errors
    ///
    /// When it is not running, or does not end in time.
    pub fn stop(&mut self, end: PostgresEnd) -> Result<()> {
        let mut process = self.process.take().context("it is not running")?;
        process.stop_by(end.signal()).map(drop)
    }

    /// The address of one of its databases, for the role that tests have.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{ROLE}@127.0.0.1:{}/{database}?sslmode=disable", self.port)
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it wrote so far, of all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// CPU time that it used so far.
    pub fn cpu_time(&self) -> Duration {
        let id = self.process.as_ref().map(|process| process.id().to_string()).unwrap_or_default();
        // Each of its connections is a child, and most are still there.
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"));
        let children = children.unwrap_or_default();
        let all = children.split_whitespace().chain([id.as_str()]);
        all.filter_map(process::cpu_time).sum()
    }

    /// Creates a database that belongs to the role of the tests.
    ///
    /// # Errors
    ///
    /// When the server does not answer, or there is one of this name.
    pub async fn database_create(&self, name: &str) -> Result<()> {
        self.administrator().await?.create(name).await
    }

    /// Ends all connections to a database. Returns how many there were.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn connections_end(&self, database: &str) -> Result<usize> {
        self.administrator().await?.connections_end(database).await
    }

    /// Copies a database into a file by `pg_dump`. Returns where the file is, which is gone with
    /// this server.
    ///
    /// # Errors
    ///
    /// When it cannot be copied.
    pub fn dump(&self, database: &str) -> Result<PathBuf> {
        let file = self.directory.path().join(format!("{database}.dump"));
        let mut command = self.command("pg_dump");
        command.arg("--format=custom").arg("--file").arg(&file).arg(self.url(database));
        run(&mut command)?;
        Ok(file)
    }

    /// Fills a database from a file of [`Postgres::dump`] by `pg_restore`, with more options of it.
    ///
    /// # Errors
    ///
    /// When it cannot be filled.
    pub fn fill(&self, database: &str, dump: &Path, options: &[&str]) -> Result<()> {
        let mut command = self.command("pg_restore");
        command.args(["--exit-on-error", "--dbname", &self.url(database)]).args(options).arg(dump);
        run(&mut command)
    }

    /// How many bytes were written to its log of changes since it was made.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn log_position(&self) -> Result<u64> {
        let sql = "SELECT (pg_current_wal_insert_lsn() - '0/0')::bigint";
        let position: i64 = self.administrator().await?.client.query_one(sql, &[]).await?.get(0);
        Ok(u64::try_from(position)?)
    }

    /// A connection of the superuser.
    pub(crate) async fn administrator(&self) -> Result<Administrator> {
        Administrator::connect(self.port).await
    }

    /// Runs statements in a database, as the superuser.
    ///
    /// # Errors
    ///
    /// When the server refuses one.
    pub async fn execute(&self, database: &str, sql: &str) -> Result<()> {
        let client = self.administrator_of(database).await?;
        client.batch_execute(sql).await.with_context(|| sql.to_owned())
    }

    /// A connection of the superuser to a database.
    pub(crate) async fn administrator_of(&self, database: &str) -> Result<tokio_postgres::Client> {
        Ok(Administrator::connect_to(self.port, database).await?.client)
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        if let Some(owner) = self.owner {
            command.uid(owner.uid).gid(owner.gid);
        }
        // The environment of whoever runs the tests must not lead it elsewhere.
        command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(self.directory.path());
        command.stdin(Stdio::null());
        command
    }

    /// Waits until it answers, and makes sure that it is ours and not another that took the port.
    fn await_answer(&mut self) -> Result<()> {
        let (port, data) = (self.port, self.data());
        let process = self.process.as_mut().context("it is not running")?;
        let deadline = Instant::now() + START;
        // In a thread of its own, because the caller may be in a runtime.
        let ask = || std::thread::scope(|scope| scope.spawn(|| ask(port, &data)).join());
        while Instant::now() < deadline {
            if let Some(status) = process.ended()? {
                bail!("ended at its start, {status}");
            }
            match ask() {
                Ok(Ok(true)) => return Ok(()),
                Ok(Ok(false)) => bail!("port {port} belongs to another"),
                Ok(Err(_)) | Err(_) => std::thread::sleep(LOOK),
            }
        }
        bail!("nothing answers on port {port} after {} s", START.as_secs())
    }
}

/// Runs a program to its end, which must be a good one.
fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {said}");
    Ok(())
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.stop_by(PostgresEnd::Immediate.signal());
        }
    }
}

/// Whether what answers on a port has this directory. Makes the role at the first time.
fn ask(port: u16, data: &Path) -> Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let administrator = Administrator::connect(port).await?;
        let directory = administrator.client.query_one("SHOW data_directory", &[]).await?;
        if Path::new(directory.get::<_, &str>(0)) != data {
            return Ok(false);
        }
        let role = "SELECT FROM pg_roles WHERE rolname = $1";
        if administrator.client.query_opt(role, &[&ROLE]).await?.is_none() {
            administrator.client.batch_execute(&format!("CREATE ROLE {ROLE} LOGIN")).await?;
        }
        Ok(true)
    })
}

/// A connection of the superuser.
pub(crate) struct Administrator {
    client: tokio_postgres::Client,
}

impl Administrator {
    /// Connects to what listens on this port.
    pub(crate) async fn connect(port: u16) -> Result<Self> {
        Self::connect_to(port, "postgres").await
    }

    async fn connect_to(port: u16, database: &str) -> Result<Self> {
        let config = format!(
            "host=127.0.0.1 port={port} user=postgres dbname={database} connect_timeout=10"
        );
        let (client, connection) = tokio_postgres::connect(&config, NoTls).await?;
        tokio::spawn(connection);
        Ok(Self { client })
    }

    /// Creates a database.
    pub(crate) async fn create(&self, name: &str) -> Result<()> {
        // Copying files takes 10 ms where nothing is made durable; writing them to the log, 40.
        let sql = format!(
            "CREATE DATABASE \"{name}\" OWNER {ROLE} TEMPLATE template0 STRATEGY file_copy"
        );
        self.client.batch_execute(&sql).await.with_context(|| sql.clone())
    }

    /// Removes a database, whoever is connected to it.
    pub(crate) async fn remove(&self, name: &str) -> Result<()> {
        let sql = format!("DROP DATABASE \"{name}\" WITH (FORCE)");
        self.client.batch_execute(&sql).await.with_context(|| sql.clone())
    }

    /// Writes everything to its files. Returns the directory of those of a database.
    pub(crate) async fn flush(&self, name: &str) -> Result<PathBuf> {
        self.client.batch_execute("CHECKPOINT").await?;
        let sql = "SELECT current_setting('data_directory'), oid::text FROM pg_database
            WHERE datname = $1";
        let row = self.client.query_one(sql, &[&name]).await?;
        Ok(Path::new(row.get::<_, &str>(0)).join("base").join(row.get::<_, &str>(1)))
    }

    /// Ends all connections to a database. Returns how many there were.
    async fn connections_end(&self, database: &str) -> Result<usize> {
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        Ok(self.client.query(sql, &[&database]).await?.len())
    }
}

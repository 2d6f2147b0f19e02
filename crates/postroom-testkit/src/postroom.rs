//! The built binary as a process of its own: started, asked by REST, killed and started again.

use crate::dovecot::Dovecot;
use crate::process;
use crate::process::Process;
use crate::process::private_directory;
use crate::test_database::TestDatabase;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use reqwest::Method;
use reqwest::Response;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::fs::OpenOptions;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::ChildStdout;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::Instant;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// How long a start may take until the address is printed.
const START: Duration = Duration::from_secs(60);

/// How long one request may take.
const REQUEST: Duration = Duration::from_secs(120);

/// What stands before the address in the line that tells it.
const LISTENING: &str = "listening on ";

/// What a Postroom shall be like.
#[derive(Debug, Clone, Default)]
pub struct PostroomOptions {
    /// Certificates of authorities to trust, PEM; none when empty.
    pub trust_ca_pem: String,
    /// More arguments of `postroom serve`.
    pub arguments: Vec<String>,
    /// More environment.
    pub environment: Vec<(String, String)>,
    /// Where the data directory is made. `None` for a place of its own.
    pub data_within: Option<PathBuf>,
    /// The address of a PostgreSQL database. `None` for the one that the present test runs on.
    pub database: Option<String>,
    /// Whether each start listens on the same port, for clients that come back to it.
    pub keeps_port: bool,
}

/// A Postroom with a data directory of its own, running or stopped.
pub struct Postroom {
    process: Option<Process>,
    url: String,
    client: reqwest::Client,
    binary: PathBuf,
    options: PostroomOptions,
    directory: TempDir,
    /// Where it listens. 0: each start takes any port.
    port: u16,
}

impl Postroom {
    /// The administrator's token.
    pub const TOKEN: &'static str = "token-of-the-tests-0123456789";

    /// Starts `binary` (in its tests: `env!("CARGO_BIN_EXE_postroom")`) and waits until it listens.
    ///
    /// # Errors
    ///
    /// When it ends or does not listen in time; the text holds its log.
    pub fn start(binary: &Path, options: PostroomOptions) -> Result<Self> {
        let directory = private_directory("postroom-serve-")?;
        fs::write(directory.path().join("ca.pem"), &options.trust_ca_pem)?;
        let client = reqwest::Client::builder().timeout(REQUEST).build()?;
        let binary = binary.to_owned();
        let port = if options.keeps_port { process::lasting_port()? } else { 0 };
        let mut postroom =
            Self { process: None, url: String::new(), client, binary, options, directory, port };
        postroom.restart()?;
        Ok(postroom)
    }

    /// Starts it again on the same data directory. It must be stopped.
    ///
    /// # Errors
    ///
    /// As [`Postroom::start`].
    pub fn restart(&mut self) -> Result<()> {
        ensure!(self.process.is_none(), "it is running already");
        let at = self.directory.path();
        let log = OpenOptions::new().create(true).append(true).open(at.join("log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("serve").arg("--data").arg(self.data_directory());
        command.arg("--listen").arg(format!("127.0.0.1:{}", self.port));
        let present = || TestDatabase::postgres_url(&self.data_directory());
        if let Some(url) =
            self.options.database.clone().map_or_else(present, |url| Ok(Some(url)))?
        {
            command.args(["--database", &url]);
        }
        if !self.options.trust_ca_pem.is_empty() {
            command.arg("--trust-ca").arg(at.join("ca.pem"));
        }
        command.args(&self.options.arguments);
        command.env("POSTROOM_ADMIN_TOKEN", Self::TOKEN);
        command.envs(self.options.environment.iter().map(|(name, value)| (name, value)));
        command.stdout(Stdio::piped()).stderr(log.try_clone()?);
        let mut process = Process::start(&mut command, at)?;
        let output = process.take_output().context("no standard output")?;
        self.url = address(output, log)
            .with_context(|| format!("starting {}:\n{}", self.binary.display(), self.log()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Ends it at once, as a crash would (SIGKILL).
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn kill(&mut self) -> Result<()> {
        self.process.take().context("it is not running")?.kill()
    }

    /// Asks it to end (SIGTERM) and waits until it has, with exit status 0.
    ///
    /// # Errors
    ///
    /// When it is not running, does not obey, or ends with another status.
    pub fn stop(&mut self) -> Result<()> {
        let status = self.process.take().context("it is not running")?.stop()?;
        ensure!(status.success(), "ended with {status}:\n{}", self.log());
        Ok(())
    }

    /// Sends it a signal, such as `HUP`.
    ///
    /// # Errors
    ///
    /// When it is not running.
    pub fn signal(&self, name: &str) -> Result<()> {
        let id = self.id().context("it is not running")?;
        process::signal(&format!("-{name}"), &id.to_string())
    }

    /// Waits until it has ended by itself or by a signal, and gives its exit status.
    ///
    /// # Errors
    ///
    /// When it is not running, or does not end in time.
    pub async fn ended(&mut self) -> Result<ExitStatus> {
        let mut process = self.process.take().context("it is not running")?;
        wait_until("the end of the process", START, async || process.ended()).await
    }

    /// The file of authorities that it trusts.
    pub fn trust_ca_file(&self) -> PathBuf {
        self.directory.path().join("ca.pem")
    }

    /// What it wrote so far, of all its starts.
    pub fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The data directory.
    pub fn data_directory(&self) -> PathBuf {
        let own = || self.directory.path().to_owned();
        self.options.data_within.clone().unwrap_or_else(own).join("data")
    }

    /// The process id. `None` when it is stopped.
    pub fn id(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }

    /// CPU time used since its last start.
    pub fn cpu_time(&self) -> Duration {
        let id = self.id().unwrap_or_default().to_string();
        process::cpu_time(&id).unwrap_or_default()
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request with the administrator's token and returns whatever the answer is. `path`
    /// begins with a slash, or is below `/rest/v1/model/` when it does not.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response> {
        let base = if path.starts_with('/') { "" } else { "/rest/v1/model/" };
        let url = format!("{}{base}{path}", self.url);
        let mut request = self.client.request(method, &url).bearer_auth(Self::TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.with_context(|| format!("requesting {url}"))
    }

    /// GET of JSON.
    ///
    /// # Errors
    ///
    /// When the answer is not a 2xx with JSON; the text holds what it was.
    pub async fn get(&self, path: &str) -> Result<Value> {
        self.json(Method::GET, path, None).await
    }

    /// POST of JSON.
    ///
    /// # Errors
    ///
    /// As [`Postroom::get`].
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// POST of JSON under an `Idempotency-Key`. `None` when it is not known whether it was done, or
    /// when the server asks to try again.
    ///
    /// # Errors
    ///
    /// When the request is refused for good.
    pub async fn post_once(&self, path: &str, body: &Value, key: &str) -> Result<Option<Value>> {
        let url = format!("{}/rest/v1/model/{path}", self.url);
        let request = self.client.post(&url).bearer_auth(Self::TOKEN);
        let Ok(answer) = request.header("Idempotency-Key", key).json(body).send().await else {
            return Ok(None);
        };
        let status = answer.status();
        if status.is_server_error() {
            return Ok(None);
        }
        let Ok(text) = answer.text().await else { return Ok(None) };
        ensure!(status.is_success(), "POST {path}: {status} {text}");
        Ok(Some(serde_json::from_str(&text).with_context(|| format!("POST {path}: {text}"))?))
    }

    /// PATCH of JSON.
    ///
    /// # Errors
    ///
    /// As [`Postroom::get`].
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value> {
        self.json(Method::PATCH, path, Some(body)).await
    }

    /// DELETE. The answer may be empty.
    ///
    /// # Errors
    ///
    /// When the answer is not a 2xx.
    pub async fn delete(&self, path: &str) -> Result<()> {
        let response = self.request(Method::DELETE, path, None).await?;
        let status = response.status();
        ensure!(status.is_success(), "DELETE {path}: {status} {}", response.text().await?);
        Ok(())
    }

    /// GET of bytes.
    ///
    /// # Errors
    ///
    /// When the answer is not a 2xx.
    pub async fn bytes(&self, path: &str) -> Result<Vec<u8>> {
        let response = self.request(Method::GET, path, None).await?;
        let status = response.status();
        ensure!(status.is_success(), "GET {path}: {status} {}", response.text().await?);
        Ok(response.bytes().await?.to_vec())
    }

    /// How many entities a list holds, by `count=true`. `path` may hold parameters.
    ///
    /// # Errors
    ///
    /// When the answer has no count.
    pub async fn count(&self, path: &str) -> Result<u64> {
        let sign = if path.contains('?') { '&' } else { '?' };
        let path = format!("{path}{sign}count=true&limit=1");
        let response = self.request(Method::GET, &path, None).await?;
        let status = response.status();
        let count = response.headers().get("x-total-count").and_then(|v| v.to_str().ok());
        let count = count.and_then(|digits| digits.parse().ok());
        count.with_context(|| format!("GET {path}: {status} without a count"))
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let response = self.request(method.clone(), path, body).await?;
        let status = response.status();
        let text = response.text().await?;
        ensure!(status.is_success(), "{method} {path}: {status} {text}");
        serde_json::from_str(&text).with_context(|| format!("{method} {path}: {text}"))
    }

    /// Creates a profile and an account for `user` of a Dovecot (plain IMAP, no SMTP). Returns the
    /// id of the account.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn account_create(
        &self,
        dovecot: &Dovecot,
        user: &str,
        options: &Value,
    ) -> Result<String> {
        let profile = json!({
            "name": format!("profile of {user}"), "imapHost": "127.0.0.1",
            "imapPort": dovecot.imap_port(), "imapSecurity": "none",
        });
        let profile = self.post("email/Profiles", &profile).await?;
        let account = json!({
            "profile_id": profile["id"], "name": user, "address": user, "login": user,
            "password": Dovecot::PASSWORD, "enabled": true, "options": options,
        });
        let account = self.post("email/Accounts", &account).await?;
        account["id"].as_str().map(str::to_owned).context("an account without id")
    }

    /// Waits until the survey has found a mailbox of an account. Returns the folder.
    ///
    /// # Errors
    ///
    /// When it does not appear in time.
    pub async fn folder(&self, account: &str, mailbox: &str) -> Result<Value> {
        let path = format!("email/Folders?account_id={account}&name={mailbox}");
        let what = format!("folder {mailbox}");
        let found = wait_until(&what, Duration::from_secs(60), async || {
            Ok(self.get(&path).await?.get(0).cloned())
        });
        match found.await {
            Ok(folder) => Ok(folder),
            Err(error) => {
                let account = self.get(&format!("email/Accounts/{account}")).await;
                bail!("{error:#}; the account: {account:?}\n{}", self.log())
            }
        }
    }
}

/// Asks `condition` again and again until it gives a value, fails, or `deadline` has passed.
///
/// # Errors
///
/// The error of the condition, or that `what` did not happen in time.
pub async fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut condition: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let end = Instant::now() + deadline;
    loop {
        if let Some(value) = condition().await? {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("{what}: not within {} s", deadline.as_secs())
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads the address from the first lines of `output`, and goes on copying it to `log`.
fn address(output: ChildStdout, mut log: fs::File) -> Result<String> {
    let (tell, told) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines() {
            let Ok(line) = line else { return };
            let _ = writeln!(log, "{line}");
            // Behind it stands the end of the line, or of the text in a line of JSON.
            let url = line.split_once(LISTENING).and_then(|(_, rest)| rest.split('"').next());
            if let Some(url) = url {
                let _ = tell.send(url.trim().to_owned());
            }
        }
    });
    told.recv_timeout(START).context("it did not say where it listens")
}

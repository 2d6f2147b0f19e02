//! `postroom serve`: opens the store, starts the engine and the REST interface, runs until a
//! signal, and ends in order: no new requests, then the engine, then the store.

use crate::cli;
use crate::cli::ServeArguments;
use crate::config;
use crate::config::Instance;
use crate::data;
use crate::logging;
use anyhow::Context;
use anyhow::bail;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::Domain;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Store;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;

/// The address that is listened on unless another is given.
const LISTEN_DEFAULT: &str = "127.0.0.1:8025";
/// How long stopping waits for requests that are under way, after the engine has stopped.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);
/// How short an administrator's token may be.
const TOKEN_CHARACTERS_MIN: usize = 20;

/// Runs the command until a signal.
pub async fn run(mut arguments: ServeArguments) -> anyhow::Result<()> {
    logging::start(arguments.log_json, false);
    arguments.admin_token = cli::secret_from_environment("POSTROOM_ADMIN_TOKEN")?;
    arguments.master_key = cli::secret_from_environment("POSTROOM_MASTER_KEY")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = start(&arguments).await?;
    say(&format!("listening on http://{}", running.address));
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
    }
    tokio::select! {
        ended = running.stop() => ended,
        _ = terminate.recv() => bail!("stopped at once by a second signal"),
        _ = interrupt.recv() => bail!("stopped at once by a second signal"),
    }
}

/// A Postroom that runs.
pub struct Running {
    /// Where REST requests are answered.
    pub address: SocketAddr,
    supervisor: Supervisor,
    api: tokio::task::JoinHandle<()>,
    stop_api: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    /// Ends it in order.
    pub async fn stop(self) -> anyhow::Result<()> {
        // The API may have ended by itself; its result below tells.
        let _ = self.stop_api.send(());
        self.supervisor.stop().await;
        match tokio::time::timeout(REQUESTS_WITHIN, self.api).await {
            Ok(ended) => ended.context("REST interface"),
            Err(_) => {
                tracing::warn!("requests that did not end in time are cut off");
                Ok(())
            }
        }
    }
}

/// Starts a Postroom.
pub async fn start(arguments: &ServeArguments) -> anyhow::Result<Running> {
    let instance = match &arguments.config {
        Some(path) => config::instance(path, arguments.instance.as_deref())?,
        None => Instance::default(),
    };
    let Some(data) = arguments.data.clone().or(instance.data) else {
        bail!("say where everything is kept: --data DIR");
    };
    let listen = arguments.listen.clone().or(instance.listen);
    let listen = listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned());
    let trust = trust(arguments.trust_ca.clone().or(instance.trust_ca))?;
    let dialer = Dialer::new(&trust).context("certificates to trust")?;
    let ehlo_name = arguments.ehlo_name.clone().or(instance.ehlo_name);
    let ehlo_name = match ehlo_name {
        Some(given) => checked_name(given)?,
        None => host_name(),
    };

    // Bound first: a second instance on one port ends before it touches anything.
    let listener =
        TcpListener::bind(&listen).await.with_context(|| format!("listening on {listen}"))?;
    let address = listener.local_addr()?;
    let store = open_store(&data, arguments).await?;
    let settings = Settings::new(dialer, ehlo_name, data.join("spool"));
    let supervisor = Supervisor::start(store.clone(), settings).await.context("engine")?;
    let app = postroom_api::App::new(store);
    let (stop_api, stopped) = tokio::sync::oneshot::channel::<()>();
    let api = tokio::spawn(postroom_api::serve(listener, app, async move {
        // An error means that the sender is gone, which is an end too.
        let _ = stopped.await;
    }));
    Ok(Running { address, supervisor, api, stop_api })
}

async fn open_store(data: &Path, arguments: &ServeArguments) -> anyhow::Result<Store> {
    data::make(data)?;
    let store = data::open(data, arguments.master_key.as_ref()).await?;
    ensure_token(&store, arguments.admin_token.as_ref()).await?;
    Ok(store)
}

/// Takes care that the administrator has a token: the one given, else one made up and shown once.
async fn ensure_token(store: &Store, given: Option<&SecretString>) -> anyhow::Result<()> {
    let domain = Domain::default_domain();
    if let Some(token) = given {
        if token.expose_secret().chars().count() < TOKEN_CHARACTERS_MIN {
            bail!("POSTROOM_ADMIN_TOKEN needs at least {TOKEN_CHARACTERS_MIN} characters");
        }
        return store.token_set(&domain, "admin", token).await.context("administrator's token");
    }
    if store.token_exists(&domain, "admin").await? {
        return Ok(());
    }
    let token = postroom_store::random_token();
    store.token_set(&domain, "admin", &token).await.context("administrator's token")?;
    say(&format!("administrator's token, shown this once: {}", token.expose_secret()));
    Ok(())
}

fn trust(ca_file: Option<PathBuf>) -> anyhow::Result<Trust> {
    let extra_ca_pem = match ca_file {
        Some(path) => std::fs::read(&path)
            .with_context(|| format!("certificates to trust: {}", path.display()))?,
        None => vec![],
    };
    Ok(Trust { system: true, extra_ca_pem })
}

/// The name that was given for this host, if it can be one: a domain, or an address literal
/// (RFC 5321 §4.1.3).
fn checked_name(given: String) -> anyhow::Result<String> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || "-.:[]".contains(char);
    if given.is_empty() || !given.chars().all(is_part) {
        bail!("--ehlo-name takes the name of a host, or its address in brackets; not {given:?}");
    }
    Ok(given)
}

/// The name of this host as the kernel has it; `localhost` when it has none.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

/// What a person or a script that started us waits for goes to standard output.
#[expect(clippy::print_stdout, reason = "the first line tells a script where we listen")]
fn say(line: &str) {
    println!("{line}");
}

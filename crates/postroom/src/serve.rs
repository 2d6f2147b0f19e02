//! `postroom serve`: opens the store, starts the engine and the REST interface, and runs until a
//! signal. It ends in this order: no new requests, then the engine, then the store.

use crate::admin_token;
use crate::cli::ServeArguments;
use crate::data;
use crate::data::Contents;
use crate::data::OpenedBy;
use crate::key_command;
use crate::listen_address::cannot_listen;
use crate::listen_address::is_beyond_this_host;
use crate::logging;
use crate::secrets;
use crate::setup::InForce;
use crate::setup::Setup;
use crate::standby;
use anyhow::Context;
use anyhow::bail;
use futures_util::future::OptionFuture;
use postroom_api::Listening;
use postroom_engine::GroupNode;
use postroom_engine::NodeTerms;
use postroom_engine::Redial;
use postroom_engine::Settings;
use postroom_engine::chain;
use postroom_engine::text::WholeTexts;
use postroom_model::Configuration;
use postroom_model::Difference;
use postroom_model::MessageEntityId;
use postroom_net::Certificates;
use postroom_store::DirectoryLock;
use postroom_store::KeptConfiguration;
use postroom_store::Member;
use postroom_store::Store;
use postroom_store::Topic;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

/// How long a stop waits for running requests, after the engine has stopped.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);

/// The signal of Linux for a file that would exceed the limit of its size (`ulimit -f`).
const SIGXFSZ: std::ffi::c_int = 25;

/// What of the configuration is about connections.
const DIALLED: [&str; 2] = ["trust", "outgoing"];

/// How often a stop repeats what it waits for.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Runs the command until a signal.
pub(crate) async fn run(mut arguments: ServeArguments) -> anyhow::Result<()> {
    logging::start(arguments.log_json, LevelFilter::INFO)?;
    let token_file = arguments.admin_token_file.as_deref();
    arguments.admin_token = secrets::ADMIN_TOKEN.read(token_file)?;
    arguments.master_key = key_command::master_key(&arguments.key).await?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    // A file that may not grow fails its write, as on a full disk. Otherwise it would end us.
    let _file_size = signal(SignalKind::from_raw(SIGXFSZ))?;
    let input = arguments.end_with_stdin.then(end_of_input);
    let mut input = pin!(OptionFuture::from(input));
    let started = tokio::select! {
        started = start_in_turn(&arguments) => started,
        _ = terminate.recv() => return Ok(()),
        _ = interrupt.recv() => return Ok(()),
    };
    let mut running = started?;
    // It listens before it looks again, so no change since the start is missed.
    let mut settings = running.store.listen(Topic::Settings);
    running.reconfigure().await;
    logging::announce(arguments.log_json, &format!("listening on {}", running.url()));
    loop {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("stopping: SIGTERM"),
            _ = interrupt.recv() => tracing::info!("stopping: SIGINT"),
            Some(_) = &mut input => tracing::info!("stopping: standard input has ended"),
            error = running.node.ended() => {
                // Why it ended is the cause. A store that cannot be closed tells nothing new.
                let _ = running.stop().await;
                return Err(error.into());
            }
            () = settings.rung() => {
                running.reconfigure().await;
                continue;
            }
            _ = hangup.recv() => {
                running.reload(&arguments);
                admin_token::reload(&running.store, &mut arguments).await;
                continue;
            }
        }
        break;
    }
    tokio::select! {
        ended = running.stop() => ended,
        _ = terminate.recv() => bail!(STOPPED_AT_ONCE),
        _ = interrupt.recv() => bail!(STOPPED_AT_ONCE),
    }
}

/// The line for a second signal: what happens, and what it means.
const STOPPED_AT_ONCE: &str = "stopped at once by a second signal; the outcome of a message that \
                               was being sent is settled at the next start";

/// Waits until standard input ends. A separate thread reads it, because a thread of the runtime
/// would keep the program from ending.
fn end_of_input() -> tokio::sync::oneshot::Receiver<()> {
    let (ended, told) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        // An error counts as the end.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        let _ = ended.send(());
    });
    told
}

/// A running Postroom.
struct Running {
    /// The address of the REST interface.
    address: SocketAddr,
    /// Its certificate. `None`: it is http.
    certificates: Option<Certificates>,
    /// Its arguments.
    setup: Setup,
    store: Store,
    /// The configuration of all instances that is in force.
    configured: KeptConfiguration,
    /// Changes how many requests each token may send in a second.
    request_limit: Box<dyn Fn(Option<NonZeroU32>) + Send + Sync>,
    /// Of the data directory, where the database does not have it.
    _lock: Option<DirectoryLock>,
    node: GroupNode,
    api: tokio::task::JoinHandle<()>,
    stop_api: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    /// Where REST is.
    fn url(&self) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// Reads again the settings that can change while it runs. If something is wrong with them,
    /// nothing changes.
    fn reload(&mut self, arguments: &ServeArguments) {
        self.certificates.iter().for_each(Certificates::reload);
        let read = Setup::of(arguments).and_then(|read| {
            let (trust_ca, ehlo_name) = (read.trust_ca.clone(), read.ehlo_name.clone());
            let setup = Setup { trust_ca, ehlo_name, ..self.setup.clone() };
            Ok((setup.in_force(&self.configured.configuration)?, read))
        });
        let (in_force, setup) = match read {
            Ok(read) => read,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "SIGHUP: the new settings are wrong, so nothing changes");
                return;
            }
        };
        let kept = |setup: &Setup| {
            let (blobs, rest) = (setup.blobs.clone(), setup.rest.clone());
            let rest = (setup.listen.clone(), rest);
            let node = (setup.instance.clone(), setup.standby);
            (setup.data.clone(), setup.database.clone(), rest, blobs, setup.feed, node)
        };
        if kept(&setup) != kept(&self.setup) {
            tracing::warn!(
                "SIGHUP: the instance, `data`, `database`, `blobs`, `feed_…`, `listen`, `tls_…`, \
                 `cors_origin`, `trusted_proxy` and `requests_per_second` change only with a \
                 restart"
            );
        }
        let trust_ca = setup.trust_ca.as_deref().unwrap_or(Path::new("-")).display().to_string();
        let ehlo_name = in_force.redial.dialing.ehlo_name.clone();
        self.node.dial_by(in_force.redial);
        (self.setup.trust_ca, self.setup.ehlo_name) = (setup.trust_ca, setup.ehlo_name);
        tracing::info!(
            trust_ca,
            ehlo_name,
            "SIGHUP: settings were read again, and all accounts connect again"
        );
    }

    /// Takes the present configuration of all instances, if it is another one. If it cannot be
    /// read, the former one stays in force until the next look, a minute later.
    async fn reconfigure(&mut self) {
        let kept = match self.store.configuration().await {
            Ok(kept) if kept.number() == self.configured.number() => return,
            Ok(kept) => kept,
            Err(error) => {
                let error = chain(&error);
                tracing::warn!(error, "the configuration cannot be read: the former one holds");
                return;
            }
        };
        let version = kept.number();
        let in_force = self.setup.in_force(&kept.configuration).and_then(|in_force| {
            logging::change(in_force.log_level, LevelFilter::INFO)?;
            Ok(in_force)
        });
        let in_force = match in_force {
            Ok(in_force) => in_force,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(version, error, "the configuration is wrong: the former one holds");
                return;
            }
        };
        (self.request_limit)(in_force.requests_per_second);
        self.store.feed_keep(in_force.feed);
        let changes = kept.configuration.differences(&self.configured.configuration);
        let redials = |one: &Difference| DIALLED.iter().any(|name| one.place.starts_with(name));
        if changes.iter().any(redials) {
            self.node.dial_by(in_force.redial);
        }
        let changes: Vec<_> = changes.into_iter().map(|change| change.place).collect();
        let changes = changes.join(", ");
        tracing::info!(version, changes, "the configuration of all instances has changed");
        self.configured = kept;
    }

    /// Ends it in order.
    async fn stop(self) -> anyhow::Result<()> {
        let Self { store, node, api, stop_api, .. } = self;
        // The API may have ended already; its result below says so.
        let _ = stop_api.send(());
        let (within, view) = (node.stops_within(), node.view());
        tell_under_way(&view.under_way(), within);
        let begun = Instant::now();
        let mut stopping = pin!(node.stop());
        loop {
            tokio::select! {
                () = &mut stopping => break,
                () = tokio::time::sleep(TELL_AGAIN) => {
                    tell_under_way(&view.under_way(), within.saturating_sub(begun.elapsed()));
                }
            }
        }
        if !api.is_finished() {
            let seconds = REQUESTS_WITHIN.as_secs();
            tracing::info!(seconds, "waiting for requests to end: at most so many seconds");
        }
        let ended = match tokio::time::timeout(REQUESTS_WITHIN, api).await {
            Ok(ended) => ended.context("REST interface"),
            Err(_) => {
                tracing::warn!("requests that did not end in time were cut off");
                Ok(())
            }
        };
        // From now on, a copy of the data directory is complete.
        store.close().await.context("store")?;
        ended
    }
}

/// Writes what a stop waits for.
fn tell_under_way(under_way: &[(String, MessageEntityId)], within: Duration) {
    for (account, id) in under_way {
        let seconds = within.as_secs();
        tracing::info!(
            account, %id, seconds,
            "waiting for the server to take a message: at most so many seconds; \
             a second signal ends at once"
        );
    }
}

/// Starts a Postroom. A standby waits before that until the data directory is free.
async fn start_in_turn(arguments: &ServeArguments) -> anyhow::Result<Running> {
    let setup = Setup::of(arguments)?;
    loop {
        if setup.standby {
            standby::wait(&setup.data).await?;
        }
        match Box::pin(start(arguments)).await {
            Err(error) if setup.standby && standby::is_taken(&error) => {}
            started => return started,
        }
    }
}

/// Starts a Postroom.
async fn start(arguments: &ServeArguments) -> anyhow::Result<Running> {
    let setup = Setup::of(arguments)?;
    let before = setup.in_force(&Configuration::default())?;
    let certificates = setup.rest.certificates()?;
    let (origins, proxies) = (setup.rest.origins()?, setup.rest.proxies()?);
    // The port is bound first, so that a second instance on the same port ends before it touches
    // anything.
    let listen = &setup.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, error))?;
    let address = listener.local_addr()?;
    if certificates.is_none() && is_beyond_this_host(address) {
        tracing::warn!(
            %address,
            "other hosts can reach REST without TLS, so tokens and mail can be read on the way: \
             give --tls-cert and --tls-key, listen on loopback behind a proxy that speaks TLS, or \
             use a private network"
        );
    }
    let (store, lock) = open_store(&setup, arguments, &before).await?;
    let configured = store.configuration().await.context("configuration of all instances")?;
    let in_force = setup.in_force(&configured.configuration);
    let in_force = in_force.context("configuration of all instances")?;
    logging::change(in_force.log_level, LevelFilter::INFO)?;
    store.feed_keep(in_force.feed);
    let Redial { dialing, outgoing } = in_force.redial;
    let settings = Settings { outgoing, ..Settings::new(dialing, setup.data.join("spool")) };
    let texts = WholeTexts::new(settings.spool_directory.clone());
    let (role, is_alone) = (setup.instance.role, setup.database.is_none());
    let terms = NodeTerms { settings, role, is_alone };
    let node = GroupNode::start(store.clone(), terms).await.context("engine")?;
    let app = postroom_api::App::with_limits(store.clone(), setup.rest.limits())
        .with_origins(origins)
        .with_node(node.view())
        .with_proxies(proxies)
        .with_texts(texts);
    let request_limit = Box::new(app.request_limit());
    request_limit(in_force.requests_per_second);
    let (stop_api, stopped) = tokio::sync::oneshot::channel::<()>();
    let listening = match &certificates {
        Some(certificates) => Listening::with_tls(listener, certificates.clone()),
        None => listener.into(),
    };
    let api = tokio::spawn(postroom_api::serve(listening, app, async move {
        // An error means that the sender is gone, which is an end too.
        let _ = stopped.await;
    }));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, data = %setup.data.display(), %address, "started");
    Ok(Running {
        address,
        certificates,
        setup,
        store,
        configured,
        request_limit,
        _lock: lock,
        node,
        api,
        stop_api,
    })
}

async fn open_store(
    setup: &Setup,
    arguments: &ServeArguments,
    in_force: &InForce,
) -> anyhow::Result<(Store, Option<DirectoryLock>)> {
    let (data, key) = (&setup.data, arguments.master_key.as_ref());
    let member = Member { instance: setup.instance.clone(), seat: None };
    let by = OpenedBy { member, feed: in_force.feed };
    let contents = match setup.blobs.objects(setup.trust_ca.as_deref())? {
        Some(objects) => Contents::At(objects),
        None => Contents::InDatabase,
    };
    data::make(data)?;
    let (store, lock) = match &setup.database {
        Some(address) => {
            let password = setup.database_password_file.as_deref();
            let password = secrets::DATABASE_PASSWORD.read(password)?;
            let config =
                data::postgres(address, password.as_ref(), &in_force.redial.dialing.dialer)?;
            let (store, lock) = data::open_postgres(data, config, key, by, contents).await?;
            (store, Some(lock))
        }
        None => (data::open(data, key, by, contents).await?, None),
    };
    if let [.., _, newest] = store.master_keys().await?.as_slice() {
        tracing::warn!(
            newest = %newest.mark,
            "the database accepts two master keys, because `postroom rotate-key` is not finished. \
             Give the newest one to all nodes, then end it with --finish"
        );
    }
    admin_token::ensure(&store, data, arguments).await?;
    Ok((store, lock))
}

//! `postroom serve`: opens the store, starts the engine and the REST interface, and runs until a
//! signal. It ends in this order: no new requests, then the engine, then the store.

use crate::admin_token;
use crate::cli::ServeArguments;
use crate::data;
use crate::data::Contents;
use crate::data::OpenedBy;
use crate::key_command;
use crate::listen_address::cannot_listen;
use crate::logging;
use crate::rest_addresses::RestAddresses;
use crate::running::Running;
use crate::running::node_place;
use crate::secrets;
use crate::setup::InForce;
use crate::setup::Setup;
use crate::standby;
use anyhow::Context;
use anyhow::bail;
use futures_util::future::OptionFuture;
use postroom_api::Listening;
use postroom_api::RestListeners;
use postroom_engine::GroupNode;
use postroom_engine::NodeTerms;
use postroom_engine::Redial;
use postroom_engine::Settings;
use postroom_engine::chain;
use postroom_engine::text::WholeTexts;
use postroom_model::Configuration;
use postroom_store::DirectoryLock;
use postroom_store::Member;
use postroom_store::Store;
use postroom_store::Topic;
use std::pin::pin;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::signal::unix::SignalKind;
use tokio::signal::unix::signal;
use tracing::level_filters::LevelFilter;

/// How long the server of the database may take to answer a request.
const DATABASE_PATIENCE: Duration = Duration::from_secs(60);
/// The signal of Linux for a file that would exceed the limit of its size (`ulimit -f`).
const SIGXFSZ: std::ffi::c_int = 25;

/// How often the network interfaces of this host are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// How long S3 may take to answer at the start, until the log warns of it.
const OBJECTS_WITHIN: Duration = Duration::from_secs(20);

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
    let mut look = tokio::time::interval(LOOK_AGAIN);
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
            _ = look.tick() => {
                running.settle();
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
    let before = setup.in_force(&Configuration::default(), None)?;
    let certificates = setup.rest.certificates()?;
    let (origins, proxies) = (setup.rest.origins()?, setup.rest.proxies()?);
    // The port is bound first, so that a second instance on the same port ends before it touches
    // anything.
    let listen = &setup.listen;
    let listener = TcpListener::bind(listen).await.map_err(|error| cannot_listen(listen, error))?;
    let given = listener.local_addr()?;
    let listeners = RestListeners::from(listener);
    let mut addresses = RestAddresses::new(listeners.clone(), given, certificates.is_some());
    addresses.warn_of_plain();
    let (store, lock) = open_store(&setup, arguments, &before).await?;
    let configured = store.configuration().await.context("configuration of all instances")?;
    let in_force = setup.in_force(&configured.configuration, Some(&store));
    let in_force = in_force.context("configuration of all instances")?;
    logging::change(in_force.log_level, LevelFilter::INFO)?;
    store.feed_keep(in_force.feed);
    store.audit_keep(configured.configuration.audit_days());
    let Redial { dialing, outgoing } = in_force.redial;
    let dns_server = setup.dns_server;
    let settings =
        Settings { outgoing, dns_server, ..Settings::new(dialing, setup.data.join("spool")) };
    let texts = WholeTexts::new(settings.spool_directory.clone());
    let place = node_place(&setup.instance, &configured, &mut addresses, None);
    let terms = NodeTerms { settings, place: place.clone(), is_alone: setup.database.is_none() };
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
        Some(certificates) => Listening::with_tls(listeners, certificates.clone()),
        None => listeners.into(),
    };
    let api = tokio::spawn(postroom_api::serve(listening, app, async move {
        // An error means that the sender is gone, which is an end too.
        let _ = stopped.await;
    }));
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, data = %setup.data.display(), address = %given, "started");
    Ok(Running {
        addresses,
        place,
        refused: None,
        certificates,
        setup,
        store,
        configured,
        request_limit,
        lock,
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
            let opened = config.clone();
            let (store, lock) = data::open_postgres(data, config, key, by, contents).await?;
            opened.give_up_after(DATABASE_PATIENCE);
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
    tokio::spawn(warn_of_objects(store.clone()));
    Ok((store, lock))
}

/// Warns if large contents cannot be stored.
async fn warn_of_objects(store: Store) {
    let reached = tokio::time::timeout(OBJECTS_WITHIN, store.objects_reached());
    let error = match reached.await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => chain(&error),
        Err(_) => "S3 does not answer".to_owned(),
    };
    tracing::warn!(error, "large contents can be neither stored nor read now");
}

//! A Postroom that runs: what of it changes meanwhile, and how it ends.

use crate::cli::ServeArguments;
use crate::interfaces::Interfaces;
use crate::logging;
use crate::rest_addresses::RestAddresses;
use crate::setup::Setup;
use anyhow::Context;
use anyhow::bail;
use postroom_engine::GroupNode;
use postroom_engine::NodePlace;
use postroom_engine::chain;
use postroom_model::Difference;
use postroom_model::Instance;
use postroom_model::MessageEntityId;
use postroom_net::Certificates;
use postroom_store::DirectoryLock;
use postroom_store::KeptConfiguration;
use postroom_store::NodeDetails;
use postroom_store::Store;
use std::num::NonZeroU32;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;

/// How long a stop waits for running requests, after the engine has stopped.
const REQUESTS_WITHIN: Duration = Duration::from_secs(5);

/// How much longer than for messages a stop waits for the database, which may stand still.
const DATABASE_WITHIN: Duration = Duration::from_secs(10);

/// What of the configuration is about connections.
const DIALLED: [&str; 2] = ["trust", "outgoing"];

/// How often a stop repeats what it waits for.
const TELL_AGAIN: Duration = Duration::from_secs(5);

/// Listens where the configuration says, and returns what this process is by it and what it tells
/// the others. `own` is what its arguments say, and `refused` why a newer configuration is not in
/// force.
pub(crate) fn node_place(
    own: &Instance,
    configured: &KeptConfiguration,
    addresses: &mut RestAddresses,
    refused: Option<String>,
) -> NodePlace {
    let place = configured.configuration.place_of(own);
    let (names, problem) = match Interfaces::of_host() {
        Ok(host) => (Some(host.names()), addresses.listen(place.iface.as_deref(), &host)),
        // Nobody knows whether the interface is there, so it listens where it does.
        Err(error) => {
            let unread = format!("the network interfaces of this host cannot be read: {error}");
            (None, Some(unread))
        }
    };
    let rests = place.rest.map(|rest| rest.text(&own.name));
    let told: Vec<_> = [rests, refused, problem].into_iter().flatten().collect();
    let details = NodeDetails {
        rest: place.rest,
        iface: place.iface,
        addresses: addresses.all().iter().map(ToString::to_string).collect(),
        interfaces: names,
        configuration: Some(configured.number()),
        status_text: (!told.is_empty()).then(|| told.join("; ")),
    };
    NodePlace { instance: place.instance, details }
}

/// A running Postroom.
pub(crate) struct Running {
    /// Where REST listens.
    pub addresses: RestAddresses,
    /// What this process is among the others, as they were told.
    pub place: NodePlace,
    /// Why the newest configuration is not in force here.
    pub refused: Option<String>,
    /// Its certificate. `None`: it is http.
    pub certificates: Option<Certificates>,
    /// Its arguments.
    pub setup: Setup,
    pub store: Store,
    /// The configuration of all instances that is in force.
    pub configured: KeptConfiguration,
    /// Changes how many requests each token may send in a second.
    pub request_limit: Box<dyn Fn(Option<NonZeroU32>) + Send + Sync>,
    /// Of the data directory, where the database does not have it.
    pub lock: Option<DirectoryLock>,
    pub node: GroupNode,
    pub api: tokio::task::JoinHandle<()>,
    pub stop_api: tokio::sync::oneshot::Sender<()>,
}

impl Running {
    /// Where REST is.
    pub(crate) fn url(&self) -> String {
        self.addresses.url()
    }

    /// Listens where it should, and takes the place that the configuration gives to this instance.
    pub(crate) fn settle(&mut self) {
        let refused = self.refused.clone();
        let own = &self.setup.instance;
        let place = node_place(own, &self.configured, &mut self.addresses, refused);
        if place != self.place {
            self.node.place(place.clone());
            self.place = place;
        }
    }

    /// Reads again the settings that can change while it runs. If something is wrong with them,
    /// nothing changes.
    pub(crate) fn reload(&mut self, arguments: &ServeArguments) {
        let now_ms = self.store.clock().now_ms();
        self.certificates.iter().for_each(|certificates| certificates.reload(now_ms));
        let read = Setup::of(arguments).and_then(|read| {
            let setup = self.setup.dialing_as(&read);
            let in_force = setup.in_force(&self.configured.configuration, Some(&self.store))?;
            Ok((in_force, setup, read))
        });
        let (in_force, setup, read) = match read {
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
            let database = (setup.database.clone(), setup.database_password_file.clone());
            (setup.data.clone(), database, rest, blobs, setup.feed, node)
        };
        if kept(&read) != kept(&self.setup) {
            tracing::warn!(
                "SIGHUP: the instance, `data`, `database…`, `blobs`, `feed_…`, `listen`, `tls_…`, \
                 `cors_origin`, `trusted_proxy` and `requests_per_second` change only with a \
                 restart"
            );
        }
        let trust_ca = setup.trust_ca.as_deref().unwrap_or(Path::new("-")).display().to_string();
        let ehlo_name = in_force.redial.dialing.ehlo_name.clone();
        let mail_to_public_addresses_only = in_force.redial.outgoing.mail_to_public_only;
        let webhooks_to_private_addresses = in_force.redial.outgoing.webhooks_to_private_addresses;
        self.node.dial_by(in_force.redial);
        self.setup = setup;
        tracing::info!(
            trust_ca,
            ehlo_name,
            mail_to_public_addresses_only,
            webhooks_to_private_addresses,
            "SIGHUP: settings were read again, and all accounts connect again"
        );
    }

    /// Takes the present configuration of all instances, if it is another one. If it cannot be
    /// read, the former one stays in force until the next look, a minute later.
    pub(crate) async fn reconfigure(&mut self) {
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
        let in_force =
            self.setup.in_force(&kept.configuration, Some(&self.store)).and_then(|in_force| {
                logging::change(in_force.log_level, LevelFilter::INFO)?;
                Ok(in_force)
            });
        let in_force = match in_force {
            Ok(in_force) => in_force,
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(version, error, "the configuration is wrong: the former one holds");
                self.refused = Some(format!(
                    "version {version} of the configuration is not in force here: {error}"
                ));
                self.settle();
                return;
            }
        };
        (self.request_limit)(in_force.requests_per_second);
        self.store.feed_keep(in_force.feed);
        self.store.audit_keep(kept.configuration.audit_days());
        let changes = kept.configuration.differences(&self.configured.configuration);
        let redials = |one: &Difference| DIALLED.iter().any(|name| one.place.starts_with(name));
        if changes.iter().any(redials) {
            self.node.dial_by(in_force.redial);
        }
        let changes: Vec<_> = changes.into_iter().map(|change| change.place).collect();
        let changes = changes.join(", ");
        tracing::info!(version, changes, "the configuration of all instances has changed");
        (self.configured, self.refused) = (kept, None);
        self.settle();
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        let Self { store, node, api, stop_api, lock, .. } = self;
        // The API may have ended already; its result below says so.
        let _ = stop_api.send(());
        let (within, view) = (node.stops_within(), node.view());
        tell_under_way(&view.under_way(), within);
        let begun = Instant::now();
        let mut stopping = pin!(node.stop());
        let mut is_stuck = false;
        while !is_stuck {
            tokio::select! {
                biased;
                () = &mut stopping => break,
                () = tokio::time::sleep_until(begun + within + DATABASE_WITHIN) => is_stuck = true,
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
        if is_stuck {
            bail!(
                "the database does not answer, so this process ends without it; what was being \
                 sent is settled at the next start"
            );
        }
        // From now on, a copy of the data directory is complete.
        store.close().await.context("store")?;
        drop(lock);
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

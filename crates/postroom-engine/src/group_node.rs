//! This process among those that share its database. One of them is active: its engine runs.
//!
//! ```text
//!   waiting ── the lease is free, and it is our turn ──► active: the engine runs, and a beat
//!      ▲                                                    │    renews the lease every 2 s
//!      ├── another process took over (the engine is cut off)┤
//!      └── a preferred one waits (the engine ends first) ───┘
//! ```
//! Its place in the group may change while it runs. It takes its new place after the engine has
//! ended, if it may not go on as it is.
//! Whoever waits says every two seconds that it is there, so that all know whose turn it is. A stop
//! ends the engine and gives the lease up, so the next one takes over at once.

use crate::error::Error;
use crate::node_beats::ANSWER_WITHIN;
use crate::node_beats::Beats;
use crate::node_place::NodePlace;
use crate::node_view::EngineParts;
use crate::node_view::NodeView;
use crate::report::chain;
use crate::settings::Redial;
use crate::settings::Settings;
use crate::supervisor::Supervisor;
use postroom_store::BEAT;
use postroom_store::Store;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often a waiting process looks whether the lease is free.
const LOOK: Duration = Duration::from_secs(1);
/// The time between two beats of an active process while the database does not answer.
const BEAT_AGAIN: Duration = Duration::from_millis(500);
/// How long a waiting process leaves a lease alone after the database did not answer. The active
/// process could not renew it meanwhile, and is given the time to do so.
const GRACE: Duration = Duration::from_secs(4);
/// How many beats in a row must see a preferred process before it gets the lease.
const PREFERRED_BEATS: u32 = 2;
/// How long a process whose engine does not start leaves the lease to others.
const ENGINE_AGAIN: Duration = Duration::from_secs(60);

/// How a process is started as one of several.
#[derive(Debug)]
pub struct NodeTerms {
    /// The settings of its engine.
    pub settings: Settings,
    /// Its place among the others.
    pub place: NodePlace,
    /// Whether no other process can have the database. Then it waits for nobody, and nobody needs
    /// its beats.
    pub is_alone: bool,
}

/// This process among those that share its database.
#[derive(Debug)]
pub struct GroupNode {
    view: NodeView,
    dialing: Watched<Redial>,
    placed: Watched<NodePlace>,
    stop: CancellationToken,
    /// `None`: it has ended, and somebody knows why.
    task: Option<JoinHandle<Result<(), Error>>>,
    stops_within: Duration,
}

/// Why an active process ends its engine.
enum LeadEnd {
    /// The process ends.
    Stop,
    /// Another process has taken over.
    Deposed,
    /// A preferred process waits.
    HandOver,
    /// It has a place in which it may not go on.
    Replaced,
    /// The tables are of a later version.
    TooOld(Error),
}

impl GroupNode {
    /// Starts it. If the lease is free, it is active when this returns.
    ///
    /// # Errors
    ///
    /// The spool directory cannot be made, or the store fails.
    pub async fn start(store: Store, terms: NodeTerms) -> Result<Self, Error> {
        let (stop, view) = (CancellationToken::new(), NodeView::default());
        let (redial, stops_within) = (terms.settings.redial(), terms.settings.stop_within);
        view.consents_of(store.clone(), redial.clone());
        let dialing = Watched::new(redial);
        terms.settings.spool_begin()?;
        let placed = Watched::new(terms.place.clone());
        let mut runner = NodeRunner {
            store,
            view,
            redialed: dialing.subscribe(),
            replaced: placed.subscribe(),
            stop: stop.clone(),
            leader: None,
            terms,
        };
        runner.take_place().await;
        let engine = match runner.look().await? {
            Some(leader) => Some(runner.engage(leader).await?),
            None => None,
        };
        if engine.is_none() {
            runner.terms.place.tell_waiting();
        }
        let view = runner.view.clone();
        let task = tokio::spawn(runner.run(engine));
        view.watch(task.abort_handle());
        Ok(Self { view, dialing, placed, stop, task: Some(task), stops_within })
    }

    /// What requests of clients ask of it.
    #[must_use]
    pub fn view(&self) -> NodeView {
        self.view.clone()
    }

    /// Changes how connections are made, now and after each take-over. Open connections are made
    /// again.
    pub fn dial_by(&self, redial: Redial) {
        self.view.dial_by(redial.clone());
        self.dialing.send_replace(redial);
    }

    /// Gives it another place among the others. If its engine may not go on there, it finishes
    /// first what it has begun.
    pub fn place(&self, place: NodePlace) {
        self.placed.send_replace(place);
    }

    /// How long stopping waits at most for messages that are being sent.
    #[must_use]
    pub fn stops_within(&self) -> Duration {
        self.stops_within
    }

    /// Waits until it has ended by itself. Returns why.
    pub async fn ended(&mut self) -> Error {
        let Some(task) = &mut self.task else {
            return std::future::pending().await;
        };
        let ended = task.await;
        self.task = None;
        match ended {
            Ok(Err(error)) => error,
            // It ends without an error only when it is asked to.
            Ok(Ok(())) => std::future::pending().await,
            Err(fault) => Error::Fault(fault),
        }
    }

    /// Stops the engine if it runs, and waits until it has ended. Messages after their final dot
    /// are finished, within a limit.
    pub async fn stop(self) {
        self.stop.cancel();
        self.view.consents_end(self.stops_within).await;
        let Some(task) = self.task else {
            return;
        };
        match task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(error = chain(&error), "this process had ended"),
            Err(error) => {
                tracing::error!(%error, "the task of the lease failed, a fault of Postroom");
            }
        }
    }
}

/// What the task of a node has.
struct NodeRunner {
    store: Store,
    terms: NodeTerms,
    view: NodeView,
    redialed: Watcher<Redial>,
    replaced: Watcher<NodePlace>,
    stop: CancellationToken,
    /// The store of the engine that runs.
    leader: Option<Store>,
}

impl NodeRunner {
    async fn run(mut self, mut engine: Option<Supervisor>) -> Result<(), Error> {
        loop {
            let running = match engine.take() {
                Some(running) => running,
                None => match self.wait().await? {
                    Some(running) => running,
                    None => return Ok(()),
                },
            };
            let Some(leader) = self.leader.take() else {
                return Ok(());
            };
            let ending = self.lead(&running, &leader).await;
            self.end(running, &leader, &ending).await;
            match ending {
                LeadEnd::Stop => return Ok(()),
                LeadEnd::TooOld(error) => return Err(error),
                LeadEnd::Deposed | LeadEnd::HandOver => self.terms.place.tell_waiting(),
                LeadEnd::Replaced => {
                    self.take_place().await;
                    self.terms.place.tell_waiting();
                }
            }
        }
    }

    /// Takes the newest place. If the others cannot be told, the next beat tells them.
    async fn take_place(&mut self) {
        self.terms.place = self.replaced.borrow_and_update().clone();
        let NodePlace { instance, details } = self.terms.place.clone();
        self.view.rests(details.rest);
        if let Err(error) = self.store.take_place(instance, details).await {
            let error = chain(&error);
            tracing::warn!(error, "the other processes were not told of the place of this one");
        }
    }

    /// Takes the lease if it is free and it is our turn.
    async fn look(&self) -> Result<Option<Store>, Error> {
        if !self.terms.place.may_lead() {
            return Ok(None);
        }
        if self.terms.is_alone {
            return Ok(Some(self.store.lead().await?));
        }
        Ok(self.store.lead_if_free().await?)
    }

    /// Starts the engine, which this process has the lease for.
    async fn engage(&mut self, leader: Store) -> Result<Supervisor, Error> {
        let Redial { dialing, outgoing } = self.redialed.borrow_and_update().clone();
        (self.terms.settings.dialing, self.terms.settings.outgoing) = (dialing, outgoing);
        let engine = Supervisor::start_leading(leader.clone(), self.terms.settings.clone()).await?;
        self.view.engaged(EngineParts::of(&engine));
        tracing::info!("this process is active: it receives and sends mail");
        self.leader = Some(leader);
        Ok(engine)
    }

    /// Waits for the lease. `None`: the process ends.
    async fn wait(&mut self) -> Result<Option<Supervisor>, Error> {
        let mut beats = Beats::of(self.terms.is_alone);
        let (mut alone_until, mut is_answered) = (Instant::now(), true);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                Ok(()) = self.replaced.changed() => {
                    let former = self.terms.place.clone();
                    self.take_place().await;
                    if !former.is_alike(&self.terms.place) {
                        self.terms.place.tell_waiting();
                    }
                    continue;
                }
                () = tokio::time::sleep(LOOK) => {}
            }
            let may_take = Instant::now() >= alone_until;
            let asked = async {
                beats.beat_if_due(&self.store).await?;
                if may_take { self.look().await } else { Ok(None) }
            };
            let asked = tokio::time::timeout(ANSWER_WITHIN, asked).await;
            match asked.unwrap_or(Err(Error::Store(postroom_store::Error::TooSlow))) {
                Ok(None) => is_answered = true,
                Ok(Some(leader)) => match self.engage(leader.clone()).await {
                    Ok(engine) => return Ok(Some(engine)),
                    Err(error) => {
                        let error = chain(&error);
                        tracing::error!(error, "the engine did not start: others may take over");
                        self.give_up(&leader).await;
                        beats.pause(ENGINE_AGAIN);
                        alone_until = Instant::now() + ENGINE_AGAIN;
                    }
                },
                Err(error @ Error::Store(postroom_store::Error::Newer { .. })) => {
                    return Err(error);
                }
                Err(error) => {
                    if is_answered {
                        let error = chain(&error);
                        tracing::warn!(error, "waiting for the lease: the database did not answer");
                    }
                    is_answered = false;
                    alone_until = alone_until.max(Instant::now() + GRACE);
                }
            }
        }
    }

    /// Renews the lease until the engine has to end.
    async fn lead(&mut self, engine: &Supervisor, leader: &Store) -> LeadEnd {
        let (mut beats, mut pause, mut preferred) =
            (Beats::of(self.terms.is_alone), Duration::ZERO, 0);
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return LeadEnd::Stop,
                () = leader.deposed() => return LeadEnd::Deposed,
                Ok(()) = self.redialed.changed() => {
                    engine.dial_by(self.redialed.borrow_and_update().clone());
                    continue;
                }
                Ok(()) = self.replaced.changed() => {
                    // It is marked as seen when it is taken.
                    let next = self.replaced.borrow().clone();
                    if !self.terms.place.leads_on(&next) {
                        return LeadEnd::Replaced;
                    }
                    self.take_place().await;
                    continue;
                }
                () = tokio::time::sleep(pause) => {}
            }
            match beats.beat(leader).await {
                Ok(()) => pause = BEAT,
                Err(error @ Error::Store(postroom_store::Error::Newer { .. })) => {
                    return LeadEnd::TooOld(error);
                }
                Err(error) => {
                    if pause != BEAT_AGAIN && !leader.is_deposed() {
                        let error = chain(&error);
                        tracing::warn!(error, "the lease was not renewed: tried again");
                    }
                    pause = BEAT_AGAIN;
                    continue;
                }
            }
            // A question that fails is asked again at the next beat.
            let waits = !self.terms.is_alone && leader.preferred_waits().await.unwrap_or(false);
            preferred = if waits { preferred + 1 } else { 0 };
            if preferred >= PREFERRED_BEATS {
                return LeadEnd::HandOver;
            }
        }
    }

    /// Ends the engine, and keeps the lease until it has ended.
    async fn end(&self, engine: Supervisor, leader: &Store, ending: &LeadEnd) {
        match ending {
            LeadEnd::HandOver => {
                tracing::info!(
                    "a process that comes first in the group waits: it takes over when what has \
                     begun is finished"
                );
            }
            LeadEnd::Replaced => {
                tracing::info!(
                    "the configuration gives this process another place: it is active no longer \
                     when what has begun is finished"
                );
            }
            LeadEnd::TooOld(error) => {
                tracing::error!(error = chain(error), "this process stops");
            }
            LeadEnd::Stop | LeadEnd::Deposed => {}
        }
        let mut beats = Beats::of(self.terms.is_alone);
        let mut stopping = std::pin::pin!(engine.stop());
        loop {
            tokio::select! {
                biased;
                () = &mut stopping => break,
                () = tokio::time::sleep(BEAT) => {
                    // If it fails, the batches of the engine tell.
                    let _ = beats.beat(leader).await;
                }
            }
        }
        self.view.disengaged();
        match ending {
            // The store gives it up when it is closed, after its last batch.
            LeadEnd::Stop => {}
            LeadEnd::HandOver | LeadEnd::Replaced | LeadEnd::TooOld(_) => {
                self.give_up(leader).await;
            }
            LeadEnd::Deposed => {
                if let Err(error) = self.store.stand_back().await {
                    tracing::warn!(%error, "the database was not told that this process waits");
                }
            }
        }
    }

    async fn give_up(&self, leader: &Store) {
        if let Err(error) = leader.give_up().await {
            tracing::warn!(%error, "the lease was not given up: others wait until it expires");
        }
    }
}

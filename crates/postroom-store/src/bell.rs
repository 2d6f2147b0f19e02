//! The bell says that there may be news of a topic. It never says what the news are.
//!
//! ```text
//!   a change is committed ─► ring ─► whoever listens to the topic asks the store what to do
//! ```
//! A database has one bell for all who have it open. Rings may be lost, for example when another
//! process could not be told. So a listener wakes after [`HEARD_WITHIN`] anyway, and a lost ring
//! costs only this time.

use postroom_model::AccountId;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How long it takes at most until a listener looks again, whether it heard a ring or not.
pub(crate) const HEARD_WITHIN: Duration = Duration::from_secs(60);

/// What there may be news of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A profile, an account or a folder was changed by a client.
    Configuration,
    /// A message of an account that is to be sent was changed by a client.
    Outgoing(AccountId),
    /// A message of any account, or of none, that is to be sent was changed by a client.
    AnyOutgoing,
    /// There is a new job.
    Jobs,
    /// There are other tokens.
    Tokens,
    /// There is another configuration of all instances.
    Settings,
    /// There are other classes.
    Classes,
    /// An entity was changed.
    News,
}

/// A bell for those in this process.
#[derive(Debug, Default)]
pub(crate) struct Bell(Mutex<HashMap<Topic, Watched<()>>>);

impl Bell {
    /// Wakes those who listen to a topic.
    pub(crate) fn ring(&self, topic: Topic) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sender) = topics.get(&topic) {
            sender.send_replace(());
        }
    }

    /// Wakes all who listen, because rings may have been lost.
    pub(crate) fn ring_all(&self) {
        let topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for sender in topics.values() {
            sender.send_replace(());
        }
    }

    /// Listens to a topic from now on.
    pub(crate) fn listen(&self, topic: Topic) -> Listener {
        let mut topics = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that nobody listens to any more.
        topics.retain(|_, sender| sender.receiver_count() > 0);
        let sender = topics.entry(topic).or_insert_with(|| Watched::new(()));
        Listener { rings: sender.subscribe(), since: Instant::now() }
    }
}

/// Who listens to a topic.
#[derive(Debug)]
pub struct Listener {
    rings: Watcher<()>,
    /// When it was woken last.
    since: Instant,
}

impl Listener {
    /// Waits for a ring since the last wake-up, but for a minute at most. Dropping it loses
    /// no ring.
    pub async fn rung(&mut self) {
        let ring = async {
            if self.rings.changed().await.is_err() {
                // The database is closed. The time goes on.
                std::future::pending::<()>().await;
            }
        };
        // Both ends mean the same: look again.
        let _ = tokio::time::timeout_at(self.since + HEARD_WITHIN, ring).await;
        self.since = Instant::now();
    }

    /// Whether it would be woken at once.
    #[must_use]
    pub fn has_rung(&self) -> bool {
        self.rings.has_changed().unwrap_or(true) || self.since.elapsed() >= HEARD_WITHIN
    }

    /// Takes all rings until now as heard, because its owner is about to look anyway.
    pub fn catch_up(&mut self) {
        self.rings.mark_unchanged();
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TOPICS: [Topic; 4] = [
        Topic::Configuration,
        Topic::Outgoing(AccountId::from_u128(1)),
        Topic::Outgoing(AccountId::from_u128(2)),
        Topic::Jobs,
    ];

    #[tokio::test(start_paused = true)]
    async fn a_ring_is_heard_at_once_and_a_lost_one_within_a_minute() {
        let bell = Bell::default();
        let mut listener = bell.listen(Topic::Jobs);
        let begun = Instant::now();
        bell.ring(Topic::Jobs);
        listener.rung().await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        bell.ring(Topic::Configuration);
        listener.rung().await;
        assert_eq!(begun.elapsed(), HEARD_WITHIN);
        // Rings while nobody waits are one.
        bell.ring(Topic::Jobs);
        bell.ring(Topic::Jobs);
        tokio::time::sleep(Duration::from_secs(1)).await;
        listener.rung().await;
        assert_eq!(begun.elapsed(), HEARD_WITHIN + Duration::from_secs(1));
        listener.rung().await;
        assert_eq!(begun.elapsed(), HEARD_WITHIN * 2 + Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_stops_waiting_again_and_again_is_woken_in_time_too() {
        let bell = Bell::default();
        let mut listener = bell.listen(Topic::Jobs);
        let begun = Instant::now();
        while tokio::time::timeout(Duration::from_secs(7), listener.rung()).await.is_err() {}
        assert_eq!(begun.elapsed(), HEARD_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn whose_bell_is_gone_still_wakes_from_time_to_time_and_no_more() {
        let bell = Bell::default();
        let mut listener = bell.listen(Topic::Jobs);
        drop(bell);
        let begun = Instant::now();
        listener.rung().await;
        assert_eq!(begun.elapsed(), HEARD_WITHIN);
    }

    #[derive(Debug, Clone, Copy)]
    enum Step {
        Ring(usize),
        Heard(usize),
        Listen(usize),
        Leave(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let topic = 0..TOPICS.len();
        prop_oneof![
            topic.clone().prop_map(Step::Ring),
            topic.clone().prop_map(Step::Heard),
            topic.clone().prop_map(Step::Listen),
            topic.prop_map(Step::Leave),
        ]
    }

    proptest! {
        /// Beside a model: each listener has a flag, and a ring sets those of its topic.
        #[test]
        fn each_listener_hears_its_topic_and_no_other(steps in prop::collection::vec(step(), 0..60)) {
            let bell = Bell::default();
            let mut listeners: Vec<Vec<(Listener, bool)>> = TOPICS.map(|_| vec![]).into();
            for step in steps {
                match step {
                    Step::Ring(at) => {
                        bell.ring(TOPICS[at]);
                        listeners[at].iter_mut().for_each(|(_, is_rung)| *is_rung = true);
                    }
                    Step::Heard(at) => {
                        if let Some((listener, is_rung)) = listeners[at].last_mut() {
                            listener.catch_up();
                            *is_rung = false;
                        }
                    }
                    Step::Listen(at) => listeners[at].push((bell.listen(TOPICS[at]), false)),
                    Step::Leave(at) => drop(listeners[at].pop()),
                }
                for (listener, is_rung) in listeners.iter().flatten() {
                    prop_assert_eq!(listener.has_rung(), *is_rung);
                }
            }
        }
    }
}

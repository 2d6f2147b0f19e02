//! Shares out the threads for decomposition: all accounts share turns, and each slow account has a
//! lane of its own.
//!
//! ```text
//!   work ──► is its account slow? ── no ──► a turn ──► over TURN_MAX: the turn is given back,
//!                  │                                   its account is slow from now on
//!                  └── yes ──► the lane of the account: one at a time, and SLOW_MIN accounts
//!                              or more at once ──► QUICK_MIN quick ones: it takes turns again
//! ```
//!
//! The decomposition of a message cannot be interrupted. So a long one continues outside the turns.
//! Later messages of the same account wait for it, and other accounts do not.

use postroom_model::AccountId;
use postroom_store::Work;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// How long a decomposition keeps its turn.
const TURN_MAX: Duration = Duration::from_millis(500);
/// After so many quick decompositions in a row, an account counts as quick again.
const QUICK_MIN: usize = 4;
/// How many slow accounts may decompose at once. It is more if there are more turns.
const SLOW_MIN: usize = 2;

/// The lanes of all accounts.
#[derive(Debug)]
pub struct Lanes {
    /// One permit for each turn.
    turns: Semaphore,
    /// One permit for each slow account that decomposes.
    slow: Semaphore,
    /// The lanes of the slow accounts.
    lanes: Mutex<HashMap<AccountId, Arc<Lane>>>,
    work: Work,
}

/// The lane of a slow account.
#[derive(Debug)]
struct Lane {
    /// The permit for the running decomposition.
    place: Semaphore,
    /// How many in a row were quick.
    quick: AtomicUsize,
}

impl Lanes {
    /// Lanes with so many turns.
    #[must_use]
    pub fn new(turns: usize, work: Work) -> Self {
        Self {
            turns: Semaphore::new(turns.max(1)),
            slow: Semaphore::new(turns.max(SLOW_MIN)),
            lanes: Mutex::default(),
            work,
        }
    }

    /// Runs the work of a decomposition for an account.
    ///
    /// # Errors
    ///
    /// When the work panics.
    pub async fn run<T: Send + 'static>(
        &self,
        account: AccountId,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        if let Some(lane) = self.lane(account) {
            return self.run_beside(account, &lane, work).await;
        }
        // No semaphore here is ever closed.
        let turn = self.turns.acquire().await;
        // The account may have become slow meanwhile.
        if let Some(lane) = self.lane(account) {
            drop(turn);
            return self.run_beside(account, &lane, work).await;
        }
        let mut work = self.work.spawn(work);
        if let Ok(done) = tokio::time::timeout(TURN_MAX, &mut work).await {
            return done;
        }
        let new = || Arc::new(Lane { place: Semaphore::new(1), quick: AtomicUsize::new(0) });
        let lane = Arc::clone(self.lanes().entry(account).or_insert_with(new));
        drop(turn);
        // It is running already, whether there is room for it or not.
        let place = lane.place.try_acquire();
        let _slow = place.is_ok().then(|| self.slow.try_acquire());
        work.await
    }

    /// Waits while an account is slow and one of its decompositions is running, so that it takes no
    /// further memory.
    pub async fn ready(&self, account: AccountId) {
        if let Some(lane) = self.lane(account) {
            let _place = lane.place.acquire().await;
        }
    }

    async fn run_beside<T: Send + 'static>(
        &self,
        account: AccountId,
        lane: &Lane,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let _place = lane.place.acquire().await;
        let _slow = self.slow.acquire().await;
        let mut work = self.work.spawn(work);
        let Ok(done) = tokio::time::timeout(TURN_MAX, &mut work).await else {
            lane.quick.store(0, Ordering::Relaxed);
            return work.await;
        };
        if lane.quick.fetch_add(1, Ordering::Relaxed) + 1 >= QUICK_MIN {
            self.lanes().remove(&account);
        }
        done
    }

    fn lane(&self, account: AccountId) -> Option<Arc<Lane>> {
        self.lanes().get(&account).cloned()
    }

    fn lanes(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Lane>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::task::JoinHandle;

    const TURNS: usize = 2;
    const MESSAGES: usize = 7;

    /// Messages of one account that take as long as the sender lives.
    struct Slow {
        end: mpsc::Sender<()>,
        begun: Arc<AtomicUsize>,
        messages: Vec<JoinHandle<usize>>,
    }

    fn slow(lanes: &Arc<Lanes>, account: AccountId) -> Slow {
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let begun = Arc::new(AtomicUsize::new(0));
        let message = |number| {
            let (lanes, ended, begun) = (Arc::clone(lanes), Arc::clone(&ended), Arc::clone(&begun));
            tokio::spawn(async move {
                let work = move || {
                    begun.fetch_add(1, Ordering::SeqCst);
                    let _ = ended.lock().unwrap().recv();
                    number
                };
                lanes.run(account, work).await.unwrap()
            })
        };
        let messages = (0..MESSAGES).map(message).collect();
        Slow { end, begun, messages }
    }

    #[tokio::test]
    async fn slow_messages_keep_no_other_account_waiting() {
        let lanes = Arc::new(Lanes::new(TURNS, Work::Threads));
        let accounts = [1, 2, 3].map(AccountId::from_u128);
        let mut all = vec![];
        for account in accounts {
            all.push(slow(&lanes, account));
            while lanes.lane(account).is_none() {
                tokio::task::yield_now().await;
            }
        }
        for number in 0..50 {
            assert_eq!(lanes.run(AccountId::nil(), move || number).await.unwrap(), number);
        }
        for Slow { begun, messages, .. } in &all {
            assert!(begun.load(Ordering::SeqCst) <= TURNS, "an account has few under way");
            assert!(messages.iter().all(|message| !message.is_finished()));
        }
        assert!(lanes.lane(AccountId::nil()).is_none());

        // None is lost.
        for Slow { end, messages, .. } in all {
            drop(end);
            for (number, message) in messages.into_iter().enumerate() {
                assert_eq!(message.await.unwrap(), number);
            }
        }
        for account in accounts {
            lanes.ready(account).await;
            for _ in 0..QUICK_MIN {
                lanes.run(account, || ()).await.unwrap();
            }
            assert!(lanes.lane(account).is_none(), "quick again");
        }
    }

    #[tokio::test]
    async fn an_account_waits_for_its_own_slow_message_alone() {
        let lanes = Arc::new(Lanes::new(TURNS, Work::Threads));
        let account = AccountId::from_u128(1);
        let Slow { end, messages, .. } = slow(&lanes, account);
        while lanes.lane(account).is_none() {
            tokio::task::yield_now().await;
        }
        let ready = tokio::spawn({
            let lanes = Arc::clone(&lanes);
            async move { lanes.ready(account).await }
        });
        lanes.ready(AccountId::nil()).await;
        lanes.run(AccountId::nil(), || ()).await.unwrap();
        assert!(!ready.is_finished());
        drop(end);
        ready.await.unwrap();
        for message in messages {
            message.await.unwrap();
        }
    }
}

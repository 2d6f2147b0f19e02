//! The health of the engine: whether everything runs that should run.

use crate::counted::counted;
use crate::error::Error;
use crate::error::is_full;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// The present problems.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Why the configuration could not be read the last time.
    unread: Mutex<Option<String>>,
    /// How many tasks panicked and are not started again yet.
    ended: AtomicUsize,
    /// Whether another process has taken over.
    is_deposed: AtomicBool,
    /// Why the spool directory did not take a large message the last time, and when.
    spool: Mutex<Option<NotedSpool>>,
}

/// Why large messages are held up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpoolTrouble {
    /// In words for people.
    pub text: String,
    /// Whether there is no space.
    pub is_full: bool,
    /// How long this has been so.
    pub lasts: Duration,
}

#[derive(Debug)]
struct NotedSpool {
    text: String,
    is_full: bool,
    since: Instant,
    last: Instant,
}

/// A trouble that nobody has met again for so long is forgotten: each message that is held is tried
/// more often.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15 * 60);

impl Pulse {
    /// Notes that the configuration was read, or why it was not.
    pub fn read(&self, problem: Option<String>) {
        *self.unread.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }

    /// Notes that all tasks run, because the tasks that had ended were started again.
    pub(crate) fn all_run(&self) {
        self.ended.store(0, Ordering::Relaxed);
    }

    /// Notes that the spool directory did not take a large message.
    pub(crate) fn spool_failed(&self, error: &Error) {
        let Error::Spool(source) = error else { return };
        let (last, text) = (Instant::now(), error.to_string());
        let is_full = is_full(source);
        let mut noted = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if noted.is_none() {
            tracing::warn!(
                %source,
                "{text}. Large messages stay at their servers, and other mail goes on"
            );
        }
        let since = noted.as_ref().map_or(last, |noted| noted.since);
        *noted = Some(NotedSpool { text, is_full, since, last });
    }

    /// Notes that the spool directory took a large message.
    pub(crate) fn spool_works(&self) {
        if self.spool.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            tracing::info!("the spool directory takes large messages again");
        }
    }

    /// Why large messages are held up. `None`: they are not.
    #[must_use]
    pub fn spool_trouble(&self) -> Option<SpoolTrouble> {
        let mut noted = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        noted.take_if(|noted| noted.last.elapsed() >= FORGOTTEN_AFTER);
        let NotedSpool { text, is_full, since, .. } = noted.as_ref()?;
        Some(SpoolTrouble { text: text.clone(), is_full: *is_full, lasts: since.elapsed() })
    }

    /// Notes that another process has taken over.
    pub(crate) fn depose(&self) {
        self.is_deposed.store(true, Ordering::Relaxed);
    }

    /// Runs a task, and notes a panic.
    pub async fn watch<T>(&self, task: impl Future<Output = T>) -> T {
        let ended = PanicCounter(self);
        let done = task.await;
        std::mem::forget(ended);
        done
    }

    /// What is wrong, for people. `None` when all is well.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        if self.is_deposed.load(Ordering::Relaxed) {
            let text = "another process has taken over: it receives and sends the mail. Stop this \
                        one, unless you want it to serve REST only";
            return Some(text.to_owned());
        }
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reason) = &*unread {
            return Some(format!("the configuration cannot be read: {reason}"));
        }
        let ended = self.ended.load(Ordering::Relaxed);
        (ended > 0).then(|| {
            let tasks = counted(ended as u64, "task");
            format!("{tasks} of accounts failed and will be started again within a minute")
        })
    }
}

/// Counts a task when it is dropped by a panic, not when it is aborted.
struct PanicCounter<'a>(&'a Pulse);

impl Drop for PanicCounter<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ended.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use std::sync::Arc;

    #[tokio::test(start_paused = true)]
    async fn a_spool_directory_of_which_nobody_hears_any_more_is_forgotten() {
        let pulse = Pulse::default();
        pulse.spool_failed(&Error::FolderGone);
        assert_eq!(pulse.spool_trouble(), None, "it is about something else");
        let failed = |kind: io::ErrorKind| pulse.spool_failed(&Error::Spool(kind.into()));
        failed(io::ErrorKind::PermissionDenied);
        assert!(!pulse.spool_trouble().unwrap().is_full);
        tokio::time::advance(FORGOTTEN_AFTER - Duration::from_secs(1)).await;
        failed(io::ErrorKind::StorageFull);
        tokio::time::advance(FORGOTTEN_AFTER - Duration::from_secs(1)).await;
        let told = pulse.spool_trouble().unwrap();
        assert!(told.is_full, "{told:?}");
        assert_eq!(told.lasts, 2 * (FORGOTTEN_AFTER - Duration::from_secs(1)));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(pulse.spool_trouble(), None);
    }

    #[tokio::test]
    async fn a_task_that_ends_by_a_fault_is_told_until_all_run() {
        let pulse = Arc::new(Pulse::default());
        let watched = |faulty: bool| {
            let pulse = Arc::clone(&pulse);
            tokio::spawn(async move { pulse.watch(async { assert!(!faulty) }).await })
        };
        watched(false).await.unwrap();
        assert_eq!(pulse.problem(), None);
        let aborted = {
            let pulse = Arc::clone(&pulse);
            tokio::spawn(async move { pulse.watch(std::future::pending::<()>()).await })
        };
        tokio::task::yield_now().await;
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        assert_eq!(pulse.problem(), None);
        watched(true).await.unwrap_err();
        assert!(pulse.problem().unwrap().starts_with("1 task of"));
        pulse.all_run();
        assert_eq!(pulse.problem(), None);
        pulse.read(Some("why".to_owned()));
        assert!(pulse.problem().unwrap().ends_with("why"));
        pulse.read(None);
        assert_eq!(pulse.problem(), None);
    }
}

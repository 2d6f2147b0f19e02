//! A value that many watch. Those who wait are woken in the order in which they began to wait.
//!
//! It is what `tokio::sync::watch` is, except for that order: tokio's is a matter of chance that
//! nobody can seed, so a simulation on top of it has another history each time.

#![warn(unreachable_pub)]

use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::sync::RwLockReadGuard;
use std::sync::RwLockWriteGuard;
use tokio::sync::Notify;

/// The value, and who waits for it to change.
#[derive(Debug)]
struct Hub<T> {
    state: RwLock<Versioned<T>>,
    changes: Notify,
}

#[derive(Debug)]
struct Versioned<T> {
    value: T,
    /// How often it was changed.
    version: u64,
    is_closed: bool,
}

impl<T> Hub<T> {
    fn read(&self) -> RwLockReadGuard<'_, Versioned<T>> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Versioned<T>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The owner is gone, so the value does not change any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the watched value does not change any more, because its owner is gone")]
pub struct OwnerGone;

/// The value while it is being read. Nobody can change it meanwhile, so it is held for a moment.
#[derive(Debug)]
pub struct Ref<'a, T>(RwLockReadGuard<'a, Versioned<T>>);

impl<T> std::ops::Deref for Ref<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0.value
    }
}

/// Who changes the value.
#[derive(Debug)]
pub struct Watched<T>(Arc<Hub<T>>);

impl<T> Watched<T> {
    /// A value that nobody watches yet.
    pub fn new(value: T) -> Self {
        let state = RwLock::new(Versioned { value, version: 0, is_closed: false });
        Self(Arc::new(Hub { state, changes: Notify::new() }))
    }

    /// Changes the value, and wakes all who wait.
    pub fn send_modify(&self, change: impl FnOnce(&mut T)) {
        {
            let mut state = self.0.write();
            state.version += 1;
            change(&mut state.value);
        }
        self.0.changes.notify_waiters();
    }

    /// Sets the value, wakes all who wait, and gives back the former value.
    pub fn send_replace(&self, value: T) -> T {
        let mut value = value;
        self.send_modify(|former| std::mem::swap(former, &mut value));
        value
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.0.read())
    }

    /// Watches the value: it has seen the present one.
    #[must_use]
    pub fn subscribe(&self) -> Watcher<T> {
        let seen = self.0.read().version;
        Watcher { shared: Arc::clone(&self.0), seen }
    }

    /// How many watch it.
    #[must_use]
    pub fn receiver_count(&self) -> usize {
        Arc::strong_count(&self.0).saturating_sub(1)
    }
}

impl<T> Drop for Watched<T> {
    fn drop(&mut self) {
        self.0.write().is_closed = true;
        self.0.changes.notify_waiters();
    }
}

/// Who watches the value.
#[derive(Debug)]
pub struct Watcher<T> {
    shared: Arc<Hub<T>>,
    /// The version that it has seen.
    seen: u64,
}

impl<T> Clone for Watcher<T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Watcher<T> {
    /// Waits until the value was changed since it was seen last, and takes it as seen. Dropping
    /// the future loses nothing.
    ///
    /// # Errors
    ///
    /// [`OwnerGone`], when no change is unseen and none can come.
    pub async fn changed(&mut self) -> Result<(), OwnerGone> {
        loop {
            // It hears every change from here on, so none is missed between the look and the wait.
            let change = self.shared.changes.notified();
            if self.has_changed()? {
                self.seen = self.shared.read().version;
                return Ok(());
            }
            change.await;
        }
    }

    /// Whether the value was changed since it was seen last.
    ///
    /// # Errors
    ///
    /// [`OwnerGone`], when it was not and cannot be.
    pub fn has_changed(&self) -> Result<bool, OwnerGone> {
        let state = self.shared.read();
        match state.version != self.seen {
            false if state.is_closed => Err(OwnerGone),
            is_changed => Ok(is_changed),
        }
    }

    /// Waits until the value is one of those that `is_wanted` accepts.
    ///
    /// # Errors
    ///
    /// [`OwnerGone`], when it is not and cannot be.
    pub async fn wait_for(&mut self, is_wanted: impl Fn(&T) -> bool) -> Result<(), OwnerGone> {
        while !is_wanted(&self.borrow_and_update()) {
            self.changed().await?;
        }
        Ok(())
    }

    /// The value.
    pub fn borrow(&self) -> Ref<'_, T> {
        Ref(self.shared.read())
    }

    /// The value, which it has seen now.
    pub fn borrow_and_update(&mut self) -> Ref<'_, T> {
        let state = self.shared.read();
        self.seen = state.version;
        Ref(state)
    }

    /// Takes the present value as seen.
    pub fn mark_unchanged(&mut self) {
        self.seen = self.shared.read().version;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_of_their_waiting() {
        const WAITING: usize = 40;
        let sender = Watched::new(0);
        let woken = Arc::new(Mutex::new(vec![]));
        let mut tasks = vec![];
        for number in 0..WAITING {
            let (mut receiver, woken) = (sender.subscribe(), Arc::clone(&woken));
            tasks.push(tokio::spawn(async move {
                for _ in 0..3 {
                    receiver.changed().await.unwrap();
                    woken.lock().unwrap().push(number);
                }
            }));
        }
        for round in 1..=3 {
            while sender.0.read().version < round {
                tokio::task::yield_now().await;
                sender.send_modify(|value| *value += 1);
            }
            while woken.lock().unwrap().len() < WAITING * usize::try_from(round).unwrap() {
                tokio::task::yield_now().await;
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
        let expected: Vec<usize> = (0..3).flat_map(|_| 0..WAITING).collect();
        assert_eq!(*woken.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn changes_that_were_not_seen_are_one_and_the_last_value_is_there_without_its_sender() {
        let sender = Watched::new("first");
        let mut receiver = sender.subscribe();
        assert_eq!(receiver.has_changed(), Ok(false));
        assert_eq!(
            (sender.send_replace("second"), sender.send_replace("third")),
            ("first", "second")
        );
        let mut other = receiver.clone();
        assert_eq!((receiver.changed().await, receiver.has_changed()), (Ok(()), Ok(false)));
        assert_eq!(*receiver.borrow(), "third");
        other.mark_unchanged();
        assert_eq!((other.has_changed(), sender.receiver_count()), (Ok(false), 2));
        sender.send_replace("last");
        drop(sender);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(
            (receiver.changed().await, receiver.has_changed()),
            (Err(OwnerGone), Err(OwnerGone))
        );
        assert_eq!(*other.borrow_and_update(), "last");
        assert_eq!(other.wait_for(|value| *value == "last").await, Ok(()));
        assert_eq!(other.wait_for(|value| *value == "never").await, Err(OwnerGone));
    }

    #[tokio::test]
    async fn whoever_waits_hears_that_the_sender_goes() {
        let sender = Watched::new(());
        let mut receiver = sender.subscribe();
        let waiting = tokio::spawn(async move { receiver.changed().await });
        tokio::task::yield_now().await;
        drop(sender);
        assert_eq!(waiting.await.unwrap(), Err(OwnerGone));
    }
}

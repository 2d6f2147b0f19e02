//! The description of the interface, which is made once for each version of the classes, and for
//! each domain that adds something to them.

use crate::problem::Problem;
use bytes::Bytes;
use postroom_model::Domain;
use postroom_store::Classes;
use postroom_store::Work;
use std::sync::Arc;
use tokio::sync::Mutex;

/// How many descriptions are kept.
const KEPT_MAX: usize = 8;

/// The classes of a version, as a domain has them. `None`: as those have them that add nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribedClasses {
    version: i64,
    domain: Option<Domain>,
}

impl DescribedClasses {
    #[must_use]
    pub(crate) fn of(classes: &Classes) -> Self {
        Self { version: classes.version(), domain: classes.domain().cloned() }
    }
}

/// A description of the interface for one version of the classes.
#[derive(Debug, Clone)]
pub(crate) struct Description {
    /// Which classes it describes.
    pub of: DescribedClasses,
    /// The JSON.
    pub bytes: Bytes,
    /// A validator for it.
    pub tag: String,
}

/// The newest descriptions, the one that was made last at the end. They are locked while one is
/// made, because each takes much memory until it is text: all who ask meanwhile get the same one.
#[derive(Debug, Default)]
pub struct Described(Arc<Mutex<Vec<Description>>>);

impl Described {
    /// The description of a version, which `make` makes if it is not kept. It is kept also if
    /// nobody waits for it any more.
    ///
    /// # Errors
    ///
    /// What `make` says; 500 when it panics.
    pub(crate) async fn of(
        &self,
        of: DescribedClasses,
        work: Work,
        make: impl FnOnce() -> Result<Description, Problem> + Send + 'static,
    ) -> Result<Description, Problem> {
        let mut kept = Arc::clone(&self.0).lock_owned().await;
        if let Some(kept) = kept.iter().find(|kept| kept.of == of) {
            return Ok(kept.clone());
        }
        let made = work.spawn(move || {
            let made = make()?;
            let is_newer = |kept: &Description| kept.of.version > made.of.version;
            if !kept.iter().any(is_newer) {
                kept.retain(|kept| kept.of.version == made.of.version);
                if kept.len() == KEPT_MAX {
                    kept.remove(0);
                }
                kept.push(made.clone());
            }
            Ok(made)
        });
        made.await.map_err(|error| Problem::fault(error.to_string()))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::join_all;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    async fn of(described: &Described, version: i64, count: &Arc<AtomicUsize>) -> Description {
        let count = Arc::clone(count);
        let make = move || {
            count.fetch_add(1, Ordering::Relaxed);
            let of = DescribedClasses { version, domain: None };
            Ok(Description { of, bytes: Bytes::new(), tag: version.to_string() })
        };
        let of = DescribedClasses { version, domain: None };
        described.of(of, Work::Threads, make).await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn all_who_ask_at_once_get_the_description_that_is_made_once() {
        let (described, count) = (Described::default(), Arc::default());
        let made = join_all((0..100).map(|_| of(&described, 1, &count))).await;
        assert!(made.iter().all(|made| made.tag == "1"));
        assert_eq!(count.load(Ordering::Relaxed), 1);
        // The one that nobody waits for is kept too.
        drop(of(&described, 2, &count).now_or_never());
        of(&described, 2, &count).await;
        assert_eq!(count.load(Ordering::Relaxed), 2);
        // An older one does not take the place of a newer one.
        for (version, makes) in [(1, 3), (2, 3)] {
            assert_eq!(of(&described, version, &count).await.of.version, version);
            assert_eq!(count.load(Ordering::Relaxed), makes);
        }
    }
}

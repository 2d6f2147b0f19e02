//! The news of a store for all who follow them. Each change is read once, however many follow.
//!
//! ```text
//!   bell rings ─► the task of a domain reads the feed ─► the latest pages ─► followers
//! ```
//! A follower that is behind the latest pages reads the store by itself until it has caught up. So
//! a slow one neither holds back others nor makes the pages grow.

use postroom_model::Domain;
use postroom_store::EntityNews;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::FeedBounds;
use postroom_store::Listener;
use postroom_store::NewsPage;
use postroom_store::Store;
use postroom_store::Topic;
use postroom_watch::Watched;
use postroom_watch::Watcher;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::sync::DropGuard;

/// How many changes are read at once.
const READ_AT_ONCE: u32 = 100;
/// How many pages are kept for followers that are a little behind. A page has about 1 MiB at most.
const PAGES_MAX: usize = 16;
/// How long a page is kept, so that deleted mail does not stay in memory.
const PAGE_AGE_MAX: Duration = Duration::from_secs(2);
/// How long after a ring the task looks again, because a change may not be visible yet. The time
/// doubles with each look.
const AGAIN: Duration = Duration::from_millis(10);
/// After this time, only a ring makes the task look again.
const AGAIN_MAX: Duration = Duration::from_secs(2);
/// How often followers are told that nothing of theirs has changed up to a greater number. It is
/// much more often than old changes are removed, so a quiet follower does not fall behind.
const EMPTY_EVERY: Duration = Duration::from_secs(60);
/// How long to wait after the feed could not be read.
const AFTER_ERROR: Duration = Duration::from_secs(1);
/// How often a read is repeated because the classes changed at the same moment.
const CLASSES_MAX: usize = 20;

/// Where the latest news of each domain are. Cheap to clone.
#[derive(Debug, Clone)]
pub struct NewsBoard {
    store: Store,
    columns: Arc<Mutex<HashMap<Domain, Weak<Column>>>>,
}

/// The latest news of one domain. It is there as long as somebody follows them.
#[derive(Debug)]
struct Column {
    latest: Mutex<Latest>,
    /// Changes when there are news.
    grown: Watched<()>,
    /// Ends the task that reads the feed.
    _ending: DropGuard,
}

/// The pages that were read last, in the order of the feed.
#[derive(Debug)]
struct Latest {
    /// The pages begin behind this number.
    begin: i64,
    pages: VecDeque<Page>,
    /// Whether the feed could be read the last time.
    is_readable: bool,
}

#[derive(Debug)]
struct Page {
    news: Arc<[EntityNews]>,
    /// The next page begins behind this number.
    next: i64,
    read_at: Instant,
}

/// A reader of the news of a domain.
#[derive(Debug)]
pub struct NewsFollower {
    store: Store,
    domain: Domain,
    column: Arc<Column>,
    grown: Watcher<()>,
    after: i64,
    /// Whether the follower has read. Before that, nobody knows whether its number is one of this
    /// store.
    has_read: bool,
}

impl NewsBoard {
    /// The news of a store.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self { store, columns: Arc::default() }
    }

    /// Follows the news of a domain behind a number.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn follow(&self, domain: &Domain, after: i64) -> Result<NewsFollower, Error> {
        let column = if let Some(column) = self.column(domain) {
            column
        } else {
            // Before the bounds, so that no ring is missed.
            let listener = self.store.listen(Topic::News);
            let FeedBounds { newest, .. } = self.store.feed_bounds().await?;
            self.begin(domain, newest, listener)
        };
        let (store, domain) = (self.store.clone(), domain.clone());
        let grown = column.grown.subscribe();
        Ok(NewsFollower { store, domain, column, grown, after, has_read: false })
    }

    fn columns(&self) -> MutexGuard<'_, HashMap<Domain, Weak<Column>>> {
        self.columns.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The column of a domain, if somebody follows its news.
    fn column(&self, domain: &Domain) -> Option<Arc<Column>> {
        self.columns().get(domain).and_then(Weak::upgrade)
    }

    /// A column of a domain, which begins behind the number `newest`; or that of another who was
    /// faster.
    fn begin(&self, domain: &Domain, newest: i64, listener: Listener) -> Arc<Column> {
        let mut columns = self.columns();
        columns.retain(|_, column| column.strong_count() > 0);
        if let Some(column) = columns.get(domain).and_then(Weak::upgrade) {
            return column;
        }
        let ending = CancellationToken::new();
        let latest = Latest { begin: newest, pages: VecDeque::new(), is_readable: true };
        let column = Arc::new(Column {
            latest: Mutex::new(latest),
            grown: Watched::new(()),
            _ending: ending.clone().drop_guard(),
        });
        columns.insert(domain.clone(), Arc::downgrade(&column));
        let reader = ColumnReader {
            store: self.store.clone(),
            domain: domain.clone(),
            column: Arc::downgrade(&column),
            after: newest,
            told_at: Instant::now(),
            listener,
        };
        tokio::spawn(async move {
            // It ends when nobody follows any more.
            ending.run_until_cancelled(reader.run()).await;
        });
        column
    }
}

/// The task that reads the feed of a domain.
struct ColumnReader {
    store: Store,
    domain: Domain,
    column: Weak<Column>,
    after: i64,
    /// When followers were woken last.
    told_at: Instant,
    listener: Listener,
}

impl ColumnReader {
    /// Reads the feed until the task is aborted.
    async fn run(mut self) {
        let mut again = Some(AGAIN);
        loop {
            match read(&self.store, &self.domain, self.after, READ_AT_ONCE).await {
                Ok(NewsPage::News { news, next, is_full }) => {
                    if !news.is_empty() {
                        again = Some(AGAIN);
                    }
                    self.add(news, next);
                    if is_full {
                        continue;
                    }
                }
                // Those who follow find out by themselves what they have missed.
                Ok(NewsPage::Trimmed { oldest: begin } | NewsPage::Unknown { newest: begin }) => {
                    self.begin_anew(begin);
                    continue;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "no news are read");
                    self.change(|latest| latest.is_readable = false);
                    tokio::time::sleep(AFTER_ERROR).await;
                    continue;
                }
            }
            let pause = again.unwrap_or(PAGE_AGE_MAX);
            let has_pages = again.is_some() || self.has_pages();
            tokio::select! {
                biased;
                () = self.listener.rung() => again = Some(AGAIN),
                () = tokio::time::sleep(pause), if has_pages => {
                    again = again.map(|again| again * 2).filter(|again| *again <= AGAIN_MAX);
                }
            }
        }
    }

    fn add(&mut self, news: Arc<[EntityNews]>, next: i64) {
        let read_at = Instant::now();
        // The numbers grow with the changes of other domains, and on PostgreSQL with each
        // transaction. A follower has nothing of these.
        let is_due = read_at.duration_since(self.told_at) >= EMPTY_EVERY;
        let is_grown = next > self.after && (!news.is_empty() || is_due);
        self.after = next;
        if is_grown {
            self.told_at = read_at;
        }
        self.change(|latest| {
            latest.is_readable = true;
            if is_grown {
                latest.pages.push_back(Page { news, next, read_at });
            }
            let is_old = |page: &Page| read_at.duration_since(page.read_at) >= PAGE_AGE_MAX;
            while latest.pages.len() > PAGES_MAX || latest.pages.front().is_some_and(is_old) {
                latest.begin = latest.pages.pop_front().map_or(latest.begin, |page| page.next);
            }
        });
        if let Some(column) = self.column.upgrade().filter(|_| is_grown) {
            column.grown.send_replace(());
        }
    }

    fn begin_anew(&mut self, begin: i64) {
        self.after = begin;
        self.change(|latest| *latest = Latest { begin, pages: VecDeque::new(), is_readable: true });
        if let Some(column) = self.column.upgrade() {
            column.grown.send_replace(());
        }
    }

    fn change(&self, change: impl FnOnce(&mut Latest)) {
        if let Some(column) = self.column.upgrade() {
            change(&mut column.latest());
        }
    }

    fn has_pages(&self) -> bool {
        self.column.upgrade().is_some_and(|column| !column.latest().pages.is_empty())
    }
}

impl Column {
    fn latest(&self) -> MutexGuard<'_, Latest> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Latest {
    /// The news behind a number. `None`: they are not among the latest.
    fn behind(&self, after: i64, limit: u32) -> Option<NewsPage> {
        if after < self.begin || !self.is_readable {
            return None;
        }
        let mut pages = self.pages.iter().skip_while(|page| page.next <= after);
        let Some(Page { news, next, .. }) = pages.next() else {
            return Some(NewsPage::News { news: Arc::default(), next: after, is_full: false });
        };
        let is_full = pages.next().is_some();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let begin = news.partition_point(|one| one.row.seq <= after);
        let wanted = news.get(begin..).unwrap_or_default();
        let page = match wanted.get(..limit) {
            Some(some) if some.len() < wanted.len() => {
                let next = some.last().map_or(after, |last| last.row.seq);
                NewsPage::News { news: some.into(), next, is_full: true }
            }
            _ if begin > 0 => NewsPage::News { news: wanted.into(), next: *next, is_full },
            _ => NewsPage::News { news: Arc::clone(news), next: *next, is_full },
        };
        Some(page)
    }
}

impl NewsFollower {
    /// The follower goes on behind this number.
    #[must_use]
    pub fn after(&self) -> i64 {
        self.after
    }

    /// The next changes, `limit` at most. It goes on behind them.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn read(&mut self, limit: u32) -> Result<NewsPage, Error> {
        // Before the pages, so that what comes meanwhile wakes it.
        self.grown.mark_unchanged();
        let latest = self.has_read.then(|| self.column.latest().behind(self.after, limit));
        let page = match latest.flatten() {
            Some(page) => page,
            None => read(&self.store, &self.domain, self.after, limit).await?,
        };
        if let NewsPage::News { next, .. } = page {
            (self.after, self.has_read) = (next, true);
        }
        Ok(page)
    }

    /// Waits until there may be news that it has not read. Dropping it loses nothing.
    pub async fn changed(&mut self) {
        // The owner of the watch is held here.
        let _ = self.grown.changed().await;
    }
}

/// News from the store itself.
async fn read(store: &Store, domain: &Domain, after: i64, limit: u32) -> Result<NewsPage, Error> {
    for _ in 0..CLASSES_MAX {
        match store.news(domain, after, limit).await {
            Err(Error::Condition(Failed::OtherClasses)) => store.classes_refresh().await?,
            read => return read,
        }
    }
    store.news(domain, after, limit).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use futures_util::FutureExt;
    use postroom_model::builtin;
    use serde_json::json;

    async fn create(store: &Store, number: usize) {
        fixture::create(store, builtin::PROFILES, json!({"name": number.to_string()})).await;
    }

    /// The names that a follower is told, until there are so many. It reads `limit` at once, and
    /// does something else for a while after each page.
    async fn told(
        mut follower: NewsFollower,
        limit: u32,
        count: usize,
        busy: Duration,
    ) -> Vec<String> {
        let mut names = vec![];
        while names.len() < count {
            let page = follower.read(limit).await.unwrap();
            let NewsPage::News { news, next, is_full } = page else {
                panic!("{page:?}");
            };
            assert_eq!(next, follower.after());
            assert!(news.iter().all(|one| one.row.seq <= next) && news.len() <= limit as usize);
            let name = |one: &EntityNews| Some(one.after.as_ref()?.text("name")?.to_owned());
            names.extend(news.iter().filter_map(name));
            if !is_full && names.len() < count {
                follower.changed().await;
            }
            tokio::time::sleep(busy).await;
        }
        names
    }

    #[tokio::test]
    async fn each_follower_is_told_everything_once_and_in_order_however_slow_it_is() {
        const COUNT: usize = 300;
        let (_directory, shared) = fixture::shared().await;
        let (store, domain) = (&shared.store, Domain::default_domain());
        let board = NewsBoard::new(store.clone());
        create(store, 0).await;
        let mut following = vec![];
        for (limit, busy_ms) in [(100, 0), (1, 0), (7, 1), (100, 300)] {
            let follower = board.follow(&domain, 0).await.unwrap();
            let busy = Duration::from_millis(busy_ms);
            following.push(tokio::spawn(told(follower, limit, COUNT, busy)));
        }
        for number in 1..COUNT {
            create(store, number).await;
            if number % 50 == 0 {
                // One who begins in the midst of a page.
                let mut behind_some = board.follow(&domain, 0).await.unwrap();
                behind_some.read(31).await.unwrap();
                let late = board.follow(&domain, behind_some.after()).await.unwrap();
                following.push(tokio::spawn(told(late, 100, COUNT - 31, Duration::ZERO)));
            }
        }
        let all: Vec<_> = (0..COUNT).map(|number| number.to_string()).collect();
        for (at, one) in following.into_iter().enumerate() {
            let names = one.await.unwrap();
            assert_eq!(names, all[COUNT - names.len()..], "follower {at}");
        }
    }

    #[tokio::test]
    async fn changes_of_another_domain_wake_nobody() {
        const COUNT: usize = 20;
        let (_directory, shared) = fixture::shared().await;
        let (store, default) = (&shared.store, Domain::default_domain());
        let board = NewsBoard::new(store.clone());
        let other = Domain::new("other").unwrap();
        let mut quiet = board.follow(&other, 0).await.unwrap();
        let first = quiet.read(10).await.unwrap();
        assert!(matches!(first, NewsPage::News { news, .. } if news.is_empty()));
        let mut busy = board.follow(&default, quiet.after()).await.unwrap();
        for number in 0..COUNT {
            create(store, number).await;
            while !matches!(busy.read(10).await.unwrap(), NewsPage::News { news, .. } if !news.is_empty())
            {
                busy.changed().await;
            }
            assert!(quiet.changed().now_or_never().is_none(), "after {number}");
        }
        let class = store.builtin(builtin::PROFILES).unwrap();
        let values = json!({"name": "its own"}).as_object().unwrap().clone();
        let entity = postroom_model::Entity::new(store.clock().new_id(), values);
        let new = postroom_store::NewEntity { entity, files: vec![] };
        store.entity_create(&other, &class, vec![new]).await.unwrap();
        quiet.changed().await;
        let page = quiet.read(10).await.unwrap();
        assert!(matches!(page, NewsPage::News { news, .. } if news.len() == 1));
    }

    #[tokio::test]
    async fn pages_are_there_while_somebody_follows_and_no_longer() {
        let (_directory, shared) = fixture::shared().await;
        let (store, domain) = (&shared.store, Domain::default_domain());
        let board = NewsBoard::new(store.clone());
        let mut follower = board.follow(&domain, 0).await.unwrap();
        let column = Arc::downgrade(&follower.column);
        for number in 0..50 {
            create(store, number).await;
            follower.changed().await;
            let pages = column.upgrade().unwrap().latest().pages.len();
            assert!(pages <= PAGES_MAX, "{pages}");
        }
        while !column.upgrade().unwrap().latest().pages.is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        drop(follower);
        while column.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
        let next = board.follow(&domain, 0).await.unwrap();
        assert_eq!(board.columns().len(), 1);
        drop(next);
    }
}

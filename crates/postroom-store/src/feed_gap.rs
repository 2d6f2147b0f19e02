//! Gaps: the numbers of changes that the original of a copy may have given, and the copy never
//! gives.
//!
//! ```text
//!   original:  1 … 70 │ 71 … 90            readers were told 90
//!   copy:      1 … 70 │ gap │ far behind   whoever comes with 80 has seen other data
//! ```
//! A copy goes on far behind all numbers of its original (`crate::copied`). A number between its
//! last change and that place is of changes that the copy does not have.

use crate::database::Database;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::seq;

/// The row of `meta` of a gap whose end is not known yet, and the beginning of the names of others.
const GAP: &str = "feed gap";

/// A gap between two changes of this database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FeedGap {
    /// The last number before it.
    after: i64,
    /// The first number behind it.
    until: i64,
}

impl FeedGap {
    /// Whether the number is one of another database.
    pub(crate) fn has(self, seq: i64) -> bool {
        self.after < seq && seq < self.until
    }

    /// The statement that begins a gap behind the last change. A gap that was begun before, and has
    /// no end yet, stays.
    pub(crate) fn begin() -> Statement {
        let sql = "INSERT INTO \"meta\" (\"name\", \"number\")
            VALUES ($1, (SELECT COALESCE(MAX(\"seq\"), 0) FROM \"change\"))
            ON CONFLICT (\"name\") DO NOTHING";
        Statement::new(sql).bind(GAP)
    }
}

/// Ends a gap that was begun, and gives all of them. Nobody has read numbers behind it so far.
///
/// # Errors
///
/// When the database fails.
pub(crate) async fn all(database: &dyn Database) -> Result<Vec<FeedGap>, Error> {
    let begun = "SELECT \"number\" FROM \"meta\" WHERE \"name\" = $1";
    let begun = database.read(Statement::new(begun).bind(GAP)).await?;
    if let Some(after) = begun.first().and_then(|row| row.whole(0)) {
        let kept = "INSERT INTO \"meta\" (\"name\", \"number\") VALUES ($1, $2)
            ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
        let kept = Statement::new(kept).bind(format!("{GAP} behind {after}"));
        let done = Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1").bind(GAP);
        let batch = vec![kept.bind(seq::settled_to(database).await?), done];
        database.write(batch, Room::Reserve).await?;
    }
    let kept = "SELECT \"name\", \"number\" FROM \"meta\" WHERE \"name\" LIKE 'feed gap behind %'";
    let rows = database.read(Statement::new(kept)).await?;
    let gap = |row: &Row| {
        let (_, after) = row.text(0)?.rsplit_once(' ')?;
        Some(FeedGap { after: after.parse().ok()?, until: row.whole(1)? })
    };
    Ok(rows.iter().filter_map(gap).collect())
}

#[cfg(test)]
mod tests {
    use crate::copied;
    use crate::feed_retention::FeedRetention;
    use crate::fixture::Time;
    use crate::fixture::feed_settled;
    use crate::fixture::store_keeping;
    use crate::news::NewsPage;
    use crate::store::Store;
    use postroom_model::Domain;
    use postroom_model::Entity;
    use postroom_model::builtin::PROFILES;
    use postroom_testkit::on_both;
    use serde_json::json;
    use std::sync::Arc;

    async fn create(store: &Store) -> i64 {
        let (domain, class) = (Domain::default_domain(), store.builtin(PROFILES).unwrap());
        let values = json!({"name": "p"}).as_object().unwrap().clone();
        let entity = Entity::new(store.clock().new_id(), values);
        let row = store.entity_row(&domain, &class, &entity).unwrap();
        store.write(store.records(&domain, &class).create(row)).await.unwrap();
        feed_settled(store, 0).await.last().unwrap().seq
    }

    #[on_both]
    async fn a_copy_tells_readers_of_its_original_that_they_have_read_other_data() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let open =
            async || store_keeping(directory.path(), time.clock(), FeedRetention::default()).await;
        let store = open().await;
        create(&store).await;
        let last = create(&store).await;
        store.write(copied::own_life(time.clock().now_ms())).await.unwrap();
        store.close().await.unwrap();
        let (domain, store) = (Domain::default_domain(), open().await);
        let newest = store.feed_bounds().await.unwrap().newest;
        let own = create(&store).await;
        store.close().await.unwrap();
        // The gap is known at each start.
        let store = open().await;
        feed_settled(&store, own - 1).await;
        let until = store.inner.feed_gaps.first().unwrap().until;
        for after in [last + 1, last + 1000, until - 1] {
            let page = store.news(&domain, after, 100).await.unwrap();
            assert!(matches!(page, NewsPage::Unknown { .. }), "{after}: {page:?}");
        }
        for (after, want) in [(0, 3), (last, 1), (newest, 1), (own, 0)] {
            let NewsPage::News { news, .. } = store.news(&domain, after, 100).await.unwrap() else {
                panic!("{after}")
            };
            assert_eq!(news.len(), want, "{after}");
        }
    }
}

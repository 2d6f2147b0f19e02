//! Tells in the audit what strangers and programs can do again and again (`crate::notices`).
//!
//! Writes `iam/Audit`.

use crate::audit::AuditEntry;
use crate::audit::AuditRow;
use crate::audit_actor::Asker;
use crate::audit_actor::AuditActor;
use crate::audit_actor::RequestOrigin;
use crate::audit_event::AuditEvent;
use crate::database::Statement;
use crate::error::Error;
use crate::modifier::Bearer;
use crate::notices::NoticeCount;
use crate::notices::NoticeKey;
use crate::store::Store;
use postroom_model::Domain;

/// How many rows are written in one transaction.
const ROWS_AT_ONCE: usize = 100;

/// Something that may happen again and again.
#[derive(Debug, Clone)]
pub struct AuditNotice {
    /// What happened.
    pub event: AuditEvent,
    /// Who did it. `None`: nobody who is known.
    pub bearer: Option<Bearer>,
    /// The domain that was named. `None`: that of the bearer, or `master`.
    pub domain: Option<Domain>,
    /// The login as it was given.
    pub login: Option<String>,
    /// Where the request comes from.
    pub origin: RequestOrigin,
}

impl Store {
    /// Tells something that may happen again and again. The first of its kind is written at once.
    /// If that fails, the log says so, and it is written later.
    pub async fn audit_notice(&self, notice: AuditNotice) {
        let AuditNotice { event, bearer, domain, login, origin } = notice;
        let actor = match &bearer {
            Some(bearer) => AuditActor::of(bearer),
            None => AuditActor::nobody(login.as_deref()),
        };
        let named = domain.or(bearer.map(|bearer| bearer.domain)).unwrap_or_else(Domain::master);
        let now_ms = self.clock().now_ms();
        let begins_ms = now_ms - now_ms.rem_euclid(NoticeKey::period_ms(event));
        let source = origin.source.clone();
        let (domain, affected) = (named, None);
        let key = NoticeKey { event, domain, affected, actor, source, begins_ms };
        let Some(key) = self.inner.notices.count(key, origin.request.as_deref()) else {
            return;
        };
        let Some(count) = self.inner.notices.take_one(&key) else {
            return;
        };
        self.notices_told(vec![(key, count)]).await;
    }

    /// Writes the counts that are only in memory.
    pub(crate) async fn notices_write(&self) {
        let taken = self.inner.notices.take(self.clock().now_ms());
        for some in taken.chunks(ROWS_AT_ONCE) {
            self.notices_told(some.to_vec()).await;
        }
    }

    async fn notices_told(&self, counts: Vec<(NoticeKey, NoticeCount)>) {
        if let Err(error) = self.notices_try(&counts).await {
            tracing::warn!(%error, "the audit does not tell refusals yet: they are tried again");
            self.inner.notices.put_back(&counts);
        }
    }

    async fn notices_try(&self, counts: &[(NoticeKey, NoticeCount)]) -> Result<(), Error> {
        let mut batch = vec![];
        for (key, count) in counts {
            // Whoever is not known may name a domain that does not exist.
            let exists = self.domain_exists(&key.domain).await?;
            let (domain, affected) = match exists {
                true => (key.domain.clone(), key.affected.clone()),
                false => (Domain::master(), Some(key.domain.clone())),
            };
            batch.push(self.notice_row(key, count, &domain, affected.as_ref()));
        }
        self.write(batch).await.map(drop)
    }

    fn notice_row(
        &self,
        key: &NoticeKey,
        count: &NoticeCount,
        domain: &Domain,
        affected: Option<&Domain>,
    ) -> Statement {
        let origin = RequestOrigin { source: key.source.clone(), request: count.request.clone() };
        let asker = Asker { actor: key.actor.clone(), origin };
        let (id, entry) = (key.id(), AuditEntry::of(key.event));
        let count = count.unwritten;
        let row = AuditRow { id, domain, affected, asker: &asker, entry: &entry, count };
        let conflict = if key.is_use() { NOTHING } else { ADDED };
        let mut statement = self.audit_insert(&row);
        statement.sql = format!("{} {conflict}", statement.sql).into();
        statement
    }

    /// Whether there is a domain.
    async fn domain_exists(&self, domain: &Domain) -> Result<bool, Error> {
        if Domain::of_the_start().contains(domain) {
            return Ok(true);
        }
        let sql = "SELECT 1 FROM \"iam/Domains\" WHERE \"domain\" = 'master' AND \"name\" = $1
            AND NOT EXISTS
              (SELECT 1 FROM \"erasure\" e WHERE e.\"id\" = \"iam/Domains\".\"id\")";
        Ok(!self.read(Statement::new(sql).bind(domain.as_str())).await?.is_empty())
    }
}

/// What becomes of a row that is there already.
const NOTHING: &str = "ON CONFLICT (\"id\") DO NOTHING";
const ADDED: &str = "ON CONFLICT (\"id\") DO UPDATE SET
    \"count\" = \"iam/Audit\".\"count\" + excluded.\"count\"";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use postroom_testkit::on_both;
    use std::sync::Arc;

    fn notice(event: AuditEvent, source: &str, login: &str) -> AuditNotice {
        let origin = RequestOrigin { source: Some(source.to_owned()), request: None };
        let (domain, login) = (Some(Domain::default_domain()), Some(login.to_owned()));
        AuditNotice { event, bearer: None, domain, login, origin }
    }

    /// The counts of all rows, in order of their ids.
    async fn counts(store: &Store) -> Vec<(Option<String>, Option<String>, i64)> {
        let sql = "SELECT \"source\", \"actor\", \"count\" FROM \"iam/Audit\"
            WHERE \"event\" = 'login.refused' ORDER BY \"at\", \"count\", \"actor\"";
        let text = |row: &crate::database::Row, at| row.text(at).map(str::to_owned);
        let rows = store.read(Statement::new(sql)).await.unwrap();
        rows.iter().map(|row| (text(row, 0), text(row, 1), row.whole(2).unwrap())).collect()
    }

    #[on_both]
    async fn refusals_of_a_source_are_counted_in_a_bounded_number_of_rows() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let refused = AuditEvent::LoginRefused;
        for _ in 0..3 {
            store.audit_notice(notice(refused, "10.0.0.1", "anna")).await;
        }
        let anna = |count| (Some("10.0.0.1".to_owned()), Some("anna".to_owned()), count);
        assert_eq!(counts(&store).await, [anna(1)], "the first is told at once");
        store.notices_write().await;
        assert_eq!(counts(&store).await, [anna(3)]);
        // Another process counts in the same row.
        store.inner.notices.take(i64::MAX);
        store.audit_notice(notice(refused, "10.0.0.1", "anna")).await;
        assert_eq!(counts(&store).await, [anna(4)]);
        for login in 0..100 {
            store.audit_notice(notice(refused, "10.0.0.1", &login.to_string())).await;
        }
        store.notices_write().await;
        let all = counts(&store).await;
        let unnamed: Vec<_> = all.iter().filter(|(_, actor, _)| actor.is_none()).collect();
        assert_eq!(all.len(), 11, "{all:?}");
        assert_eq!(unnamed, [&(Some("10.0.0.1".to_owned()), None, 91)]);
        for source in 0..2_000 {
            let source = format!("10.1.{}.{}", source / 256, source % 256);
            store.audit_notice(notice(refused, &source, "anna")).await;
        }
        store.notices_write().await;
        let all = counts(&store).await;
        assert_eq!(all.len(), 1_001);
        assert_eq!(all.iter().map(|(_, _, count)| count).sum::<i64>(), 2_104, "none is left out");
        time.set(3_600_000);
        store.audit_notice(notice(refused, "10.0.0.1", "anna")).await;
        assert_eq!(counts(&store).await.last(), Some(&anna(1)), "the next hour");
    }

    #[on_both]
    async fn a_source_that_names_many_domains_takes_nothing_from_others() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let of = notice(AuditEvent::LoginRefused, "10.0.0.1", "anna");
        for at in 0..1_100 {
            let domain = Domain::new(&format!("d{at}")).ok();
            store.audit_notice(AuditNotice { domain, ..of.clone() }).await;
        }
        store.audit_notice(notice(AuditEvent::LoginRefused, "10.0.0.2", "ben")).await;
        store.notices_write().await;
        let all = counts(&store).await;
        assert!(all.len() < 30, "{}", all.len());
        assert_eq!(all.iter().map(|(_, _, count)| count).sum::<i64>(), 1_101, "none is left out");
        let ben = (Some("10.0.0.2".to_owned()), Some("ben".to_owned()), 1);
        assert!(all.contains(&ben), "{all:?}");
    }

    #[on_both]
    async fn a_token_is_told_with_so_many_addresses_and_others_too() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        for at in 0..100 {
            let source = format!("10.0.0.{at}");
            store.audit_notice(notice(AuditEvent::TokenUse, &source, "anna")).await;
        }
        let sql = "SELECT \"source\" FROM \"iam/Audit\" WHERE \"event\" = 'token.use'";
        let rows = store.read(Statement::new(sql)).await.unwrap();
        assert_eq!(rows.len(), 21);
        assert_eq!(rows.iter().filter(|row| row.text(0).is_none()).count(), 1);
    }

    #[on_both]
    async fn what_names_a_domain_that_does_not_exist_is_told_to_who_administers_all() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let domain = Domain::new("nowhere").ok();
        let of = notice(AuditEvent::LoginRefused, "10.0.0.1", "anna");
        store.audit_notice(AuditNotice { domain, ..of }).await;
        let sql = "SELECT \"domain\", \"affectedDomain\" FROM \"iam/Audit\"";
        let rows = store.read(Statement::new(sql)).await.unwrap();
        let told: Vec<_> = rows.iter().map(|row| (row.text(0), row.text(1))).collect();
        assert_eq!(told, [(Some("master"), Some("nowhere"))]);
    }
}

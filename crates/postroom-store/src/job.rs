//! Jobs: work in the background that continues after a restart.
//!
//! A job says what to do with which entities, its progress, and its result. A job that parses again
//! processes messages in the order of their ids, and `behind` is the last processed one. The
//! entities of other jobs are listed in the table `job entity` until each is done.

use crate::bell::Topic;
use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::made::Made;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::JobId;
use postroom_model::Timestamp;
use postroom_model::filter::Filter;
use serde_json::Value as Json;
use serde_json::json;

/// How long an ended job is kept: 30 days.
const KEPT_MS: i64 = 30 * 24 * 3_600_000;

/// What a job does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobKind {
    /// It parses stored messages again.
    Redecompose,
    /// It changes entities.
    Patch,
    /// It deletes entities.
    Delete,
}

impl JobKind {
    const ALL: [Self; 3] = [Self::Redecompose, Self::Patch, Self::Delete];

    /// The value in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Redecompose => "redecompose",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobState {
    /// It waits for its turn, or it is being done.
    Open,
    /// All of it is done.
    Done,
}

impl JobState {
    /// The value in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
        }
    }
}

/// The results of a job so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// How many entities were processed.
    pub done: u64,
    /// How many of them were changed or deleted.
    pub changed: u64,
    /// How many of them could not be read, or must not be changed or deleted by the rules.
    pub failed: u64,
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its id.
    pub id: JobId,
    /// The tenant.
    pub domain: Domain,
    /// The class of its entities.
    pub class: String,
    /// What it does.
    pub kind: JobKind,
    /// The filter that chooses the entities, as it was sent. `None`: all.
    pub filter: Option<Json>,
    /// The changes, as they were sent. `None`: it is not an open [`JobKind::Patch`].
    pub changes: Option<Json>,
    /// The name of the token of the client that asked for it. `None`: no client asked for it.
    pub modifier: Option<String>,
    /// The rights of that client, unless they read all entities of all classes
    /// ([`Rights::to_json`](postroom_model::Rights::to_json)).
    pub rights: Option<Json>,
    /// Its state.
    pub state: JobState,
    /// The last entity that is done, in the order of ids.
    pub behind: Option<EntityId>,
    /// How many entities there were when it was asked for.
    pub total: u64,
    /// Its results so far.
    pub counts: JobCounts,
    /// When it was asked for, in milliseconds since 1970.
    pub begun_ms: i64,
    /// When it ended, in milliseconds since 1970. `None`: it is open.
    pub ended_ms: Option<i64>,
    /// Why the last of the failed entities failed. `None`: none failed.
    pub reason: Option<String>,
}

impl Job {
    /// The job as clients see it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let moment = |ms: i64| Timestamp::from_ms(ms).to_string();
        json!({
            "id": self.id.to_string(),
            "kind": self.kind.as_str(),
            "classname": self.class,
            "filter": self.filter,
            "state": self.state.as_str(),
            "total": self.total.max(self.counts.done),
            "done": self.counts.done,
            "changed": self.counts.changed,
            "failed": self.counts.failed,
            "begunAt": moment(self.begun_ms),
            "endedAt": self.ended_ms.map(moment),
            "errorText": self.reason,
        })
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a job" };
        let text = |column| row.text(column).map(str::to_owned);
        let count = |column| row.whole(column).and_then(|count| u64::try_from(count).ok());
        let json = |column| {
            let json = row.text(column).map(serde_json::from_str::<Json>);
            json.transpose().map_err(|_| DAMAGED)
        };
        let kind = |word: &str| JobKind::ALL.into_iter().find(|kind| kind.as_str() == word);
        Ok(Self {
            id: JobId::of(row.id(0).ok_or(DAMAGED)?),
            domain: text(1).and_then(|name| Domain::new(&name).ok()).ok_or(DAMAGED)?,
            class: text(2).ok_or(DAMAGED)?,
            kind: row.text(13).and_then(kind).ok_or(DAMAGED)?,
            filter: json(3)?,
            changes: json(14)?,
            modifier: text(15),
            rights: json(16)?,
            state: match row.text(4) {
                Some("open") => JobState::Open,
                Some("done") => JobState::Done,
                Some(_) | None => return Err(DAMAGED),
            },
            behind: row.id(5),
            total: count(6).ok_or(DAMAGED)?,
            counts: JobCounts {
                done: count(7).ok_or(DAMAGED)?,
                changed: count(8).ok_or(DAMAGED)?,
                failed: count(9).ok_or(DAMAGED)?,
            },
            begun_ms: row.whole(10).ok_or(DAMAGED)?,
            ended_ms: row.whole(11),
            reason: text(12),
        })
    }
}

const SELECT: &str = "SELECT \"id\", \"domain\", \"class\", \"filter\", \"state\", \"behind\", \
    \"total\", \"done\", \"changed\", \"failed\", \"begun\", \"ended\", \"reason\", \"kind\", \
    \"changes\", \"modifier\", \"rights\" FROM \"job\"";

/// The statement that records the progress of a job. The batch fails if the job is not open.
pub(crate) fn progress(job: &Job) -> Statement {
    let sql = "UPDATE \"job\" SET \"state\" = $2, \"behind\" = $3, \"done\" = $4,
         \"changed\" = $5, \"failed\" = $6, \"ended\" = $7, \"reason\" = $8
         WHERE \"id\" = $1 AND \"state\" = 'open'";
    Statement::new(sql)
        .bind(job.id)
        .bind(job.state.as_str())
        .bind(job.behind)
        .bind(whole(job.counts.done))
        .bind(whole(job.counts.changed))
        .bind(whole(job.counts.failed))
        .bind(job.ended_ms)
        .bind(job.reason.as_deref())
        .must_change(Failed::NoJob)
}

/// The statement that stores a new job.
pub(crate) fn insert(job: &Job) -> Statement {
    let sql = "INSERT INTO \"job\" (\"id\", \"domain\", \"class\", \"filter\", \"state\",
         \"total\", \"done\", \"changed\", \"failed\", \"begun\", \"kind\", \"changes\",
         \"modifier\", \"rights\")
         VALUES ($1, $2, $3, $4, $5, $6, 0, 0, 0, $7, $8, $9, $10, $11)";
    Statement::new(sql)
        .makes(Made::other(&job.domain))
        .bind(job.id)
        .bind(job.domain.as_str())
        .bind(job.class.as_str())
        .bind(job.filter.as_ref().map(Json::to_string))
        .bind(job.state.as_str())
        .bind(whole(job.total))
        .bind(job.begun_ms)
        .bind(job.kind.as_str())
        .bind(job.changes.as_ref().map(Json::to_string))
        .bind(job.modifier.as_deref())
        .bind(job.rights.as_ref().map(Json::to_string))
}

/// The statement that forgets the entities of a job.
pub(crate) fn forget_entities(job: JobId) -> Statement {
    Statement::new("DELETE FROM \"job entity\" WHERE \"job\" = $1").bind(job)
}

/// What a job did with one of its entities.
#[derive(Debug, Clone, Copy)]
pub struct JobStep<'a> {
    /// The job.
    pub job: JobId,
    /// The entity.
    pub entity: EntityId,
    /// Whether it was changed or deleted.
    pub changed: bool,
    /// Why it could not be changed or deleted. `None`: nothing failed.
    pub failed: Option<&'a str>,
}

impl JobStep<'_> {
    /// The statements that record it, the job first, as in its deletion. The batch fails if the job
    /// was deleted, or has no such entity any more, for example because this was recorded before.
    pub(crate) fn record(&self) -> [Statement; 2] {
        let sql = "DELETE FROM \"job entity\" WHERE \"job\" = $1 AND \"entity\" = $2";
        let listed = Statement::new(sql).bind(self.job).bind(self.entity);
        let sql = "UPDATE \"job\" SET \"done\" = \"done\" + 1, \"changed\" = \"changed\" + $2,
             \"failed\" = \"failed\" + $3, \"reason\" = COALESCE($4, \"reason\")
             WHERE \"id\" = $1 AND \"state\" = 'open'";
        let counted = Statement::new(sql)
            .bind(self.job)
            .bind(i64::from(self.changed))
            .bind(i64::from(self.failed.is_some()))
            .bind(self.failed.map(|why| format!("{}: {why}", self.entity)));
        [counted.must_change(Failed::NoJob), listed.must_change(Failed::NoJob)]
    }
}

/// The statement that removes the id of a new entity from all jobs. An earlier entity of this id
/// may be listed there.
pub(crate) fn unlist(entity: EntityId) -> Statement {
    Statement::new("DELETE FROM \"job entity\" WHERE \"entity\" = $1").bind(entity)
}

impl Store {
    /// Stores a new job that parses again the messages that match a filter. `filter` comes with the
    /// JSON from which it was read.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_create(
        &self,
        domain: &Domain,
        class: &Class,
        filter: Option<(Filter, Json)>,
    ) -> Result<Job, Error> {
        let total = self.original_count(domain, class, filter.as_ref().map(|(f, _)| f)).await?;
        let filter = filter.map(|(_, json)| json);
        let job = Job { filter, total, ..self.new_job(domain, class, JobKind::Redecompose) };
        self.write(vec![insert(&job)]).await?;
        self.inner.database.ring(Topic::Jobs);
        Ok(job)
    }

    /// A job of whoever asks, of all entities, with nothing done.
    pub(crate) fn new_job(&self, domain: &Domain, class: &Class, kind: JobKind) -> Job {
        Job {
            id: JobId::of(self.clock().new_id()),
            domain: domain.clone(),
            class: class.classname.clone(),
            kind,
            filter: None,
            changes: None,
            modifier: self.modifier.id().map(str::to_owned),
            rights: self.reach.as_ref().map(|reach| reach.rights()),
            state: JobState::Open,
            behind: None,
            total: 0,
            counts: JobCounts::default(),
            begun_ms: self.clock().now_ms(),
            ended_ms: None,
            reason: None,
        }
    }

    /// One job. `None` when the domain has none of that id.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_get(&self, domain: &Domain, id: JobId) -> Result<Option<Job>, Error> {
        let sql = format!("{SELECT} WHERE \"id\" = $1 AND \"domain\" = $2");
        let rows = self.read(Statement::new(sql).bind(id).bind(domain.as_str())).await?;
        rows.first().map(Job::from_row).transpose()
    }

    /// The jobs of a domain, the newest first, at most `limit`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_list(&self, domain: &Domain, limit: u32) -> Result<Vec<Job>, Error> {
        let sql = format!("{SELECT} WHERE \"domain\" = $1 ORDER BY \"id\" DESC LIMIT $2");
        let rows = self.read(Statement::new(sql).bind(domain.as_str()).bind(limit)).await?;
        rows.iter().map(Job::from_row).collect()
    }

    /// The job that is to be done now, of any domain: the oldest of these kinds that is open.
    /// `behind`: the oldest after this one. `None`: of all. A damaged job is passed over.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_next(
        &self,
        kinds: &[JobKind],
        behind: Option<JobId>,
    ) -> Result<Option<Job>, Error> {
        let sql = format!(
            "{SELECT} WHERE \"state\" = 'open' AND \"id\" > $1 AND \"kind\" IN ({})
             ORDER BY \"id\" LIMIT 1",
            places(2, kinds.len())
        );
        let mut behind = behind.unwrap_or(JobId::of(EntityId::nil()));
        loop {
            let next = Statement::new(sql.clone()).bind(behind);
            let next = next.bind_all(kinds.iter().map(|kind| kind.as_str().into()));
            let rows = self.read(next).await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            match (Job::from_row(row), row.id(0)) {
                (Err(Error::Damaged { .. }), Some(id)) => {
                    self.inner.damaged_rows.name("jobs", Some(id));
                    behind = JobId::of(id);
                }
                (job, _) => return job.map(Some),
            }
        }
    }

    /// Records the progress of an open job. `false`: it was deleted meanwhile.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_progress(&self, job: &Job) -> Result<bool, Error> {
        match self.write(vec![progress(job)]).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::NoJob)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Stops and deletes a job. `false`: the domain has no job of this id. Its finished work stays.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn job_delete(&self, domain: &Domain, id: JobId) -> Result<bool, Error> {
        let sql = "DELETE FROM \"job\" WHERE \"id\" = $1 AND \"domain\" = $2";
        let delete = Statement::new(sql).bind(id).bind(domain.as_str());
        let delete = delete.must_change(Failed::NoJob);
        match self.write_at_need(vec![delete, forget_entities(id)]).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::NoJob)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Takes away the jobs that ended long ago.
    pub(crate) async fn job_trim(&self) -> Result<(), Error> {
        let old = Statement::new("DELETE FROM \"job\" WHERE \"ended\" < $1");
        let before_ms = self.expiry_now_ms().await?.saturating_sub(KEPT_MS);
        self.write_at_need(vec![old.bind(before_ms)]).await.map(drop)
    }
}

pub(crate) fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_locks_the_job_before_its_entity_as_a_deletion_does() {
        let (job, entity) = (JobId::of(EntityId::from_u128(1)), EntityId::from_u128(2));
        let step = JobStep { job, entity, changed: true, failed: None };
        let [first, second] = step.record();
        assert!(first.sql.contains("\"job\" ") && !first.sql.contains("job entity"));
        assert!(second.sql.contains("\"job entity\""), "{}", second.sql);
    }
}

//! Changes and deletions of many entities: `PATCH` and `DELETE` of a collection with a filter, and
//! `CLEAR`.
//!
//! The request itself changes up to 1,000 entities. For more of them it creates a job. A request
//! with an `Idempotency-Key` always creates a job, because a repeated request can then return it.

use crate::app::Asked;
use crate::body;
use crate::body::Sent;
use crate::claim_token;
use crate::exact;
use crate::job;
use crate::once;
use crate::parameters;
use crate::problem::Problem;
use crate::scans::ListedBy;
use axum::Json;
use axum::body::Body;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_engine::bulk::Bulk;
use postroom_engine::bulk::Tally;
use postroom_engine::carried;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Invalid;
use postroom_model::JobId;
use postroom_model::Property;
use postroom_model::RightAction;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::validate;
use postroom_store::BulkOrder;
use postroom_store::BulkWork;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Job;
use postroom_store::Once;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

/// How many entities a request changes by itself.
const AT_ONCE_MAX: usize = 1000;
/// How many entities a job may have.
const JOB_COUNT_MAX: usize = 1_000_000;
/// The parameter that says how many entities are to be deleted.
const CONFIRM: &str = "confirm";
/// The text for a body where there must be none.
const NO_BODY: &str = "takes no body: the filter is the parameter `filter`";

/// The parameters that only requests for one entity take.
const OF_ONE: &[&str] = &["messages", "duplicate"];

/// Refuses parameters that only requests for one entity take.
fn for_one(uri: &Uri) -> Result<(), Problem> {
    match parameters::all(uri)?.into_iter().find(|(name, _)| OF_ONE.contains(&name.as_str())) {
        Some((name, _)) => {
            let reason = format!("is a parameter of requests for one entity: …/ID?{name}=…");
            Err(Invalid::new(name, reason).into())
        }
        None => Ok(()),
    }
}

/// A bulk request: who asks, and which entities are meant.
struct BulkRequest {
    asked: Asked,
    by: ListedBy,
    filter: Option<Filter>,
    /// The filter as it was sent.
    sent: Option<Value>,
    /// How many entities the client agrees to delete.
    confirm: Option<u64>,
    /// Whether the client must confirm the number.
    must_confirm: bool,
}

/// `PATCH` of a collection: changes the entities that match the parameter `filter`.
///
/// # Errors
///
/// 422 for a wrong body or filter, before anything is changed; 409 with the entities that could not
/// be changed.
pub(crate) async fn patch(asked: Asked, by: ListedBy, body: Body) -> Result<Response, Problem> {
    let wanted = BulkRequest::read(asked, by, &["filter"])?;
    wanted.must_filter("changes")?;
    let sent = body::json(&wanted.asked.headers, body, &wanted.asked.app).await?;
    exact::check(&wanted.asked.class, &sent.document.rounded)?;
    // The share of the memory is held until everything is changed.
    let Sent { document, share: _share } = sent;
    wanted.check(&document.json)?;
    let once = wanted.key("PATCH", document.digest)?;
    wanted.run(BulkWork::Patch(document.json), once).await
}

/// `DELETE` of a collection: deletes the entities that match the parameter `filter`.
///
/// # Errors
///
/// 422 for a wrong or missing filter; 409 with the entities that could not be deleted.
pub(crate) async fn delete(asked: Asked, by: ListedBy, body: Body) -> Result<Response, Problem> {
    let wanted = BulkRequest::read(asked, by, &["filter"])?;
    wanted.must_filter("deletes")?;
    body::none(&wanted.asked.headers, body, &wanted.asked.app, NO_BODY).await?;
    let once = wanted.key("DELETE", blake3::hash(b""))?;
    wanted.run(BulkWork::Delete, once).await
}

/// `CLEAR` of a collection: deletes all entities, or those that match the parameter `filter`. The
/// parameter `confirm` must be their number.
///
/// # Errors
///
/// 409 with the number if `confirm` is another; as [`delete`].
pub(crate) async fn clear(asked: Asked, by: ListedBy, body: Body) -> Result<Response, Problem> {
    let wanted = BulkRequest::read(asked, by, &["filter", CONFIRM])?;
    body::none(&wanted.asked.headers, body, &wanted.asked.app, NO_BODY).await?;
    let once = wanted.key("CLEAR", blake3::hash(b""))?;
    wanted.run(BulkWork::Delete, once).await
}

impl BulkRequest {
    fn read(asked: Asked, by: ListedBy, names: &[&str]) -> Result<Self, Problem> {
        for_one(&asked.uri)?;
        let (mut filter, mut sent, mut confirm) = (None, None, None);
        for (name, text) in parameters::of(&asked.uri, names)? {
            if name == "filter" {
                let json = parameters::filter(&text)?;
                let classes = asked.classes();
                filter = Some(filter::parse(Names::among(&asked.class, &classes), &json)?);
                sent = Some(json);
            } else {
                let reason = "takes how many entities are to be deleted";
                let count = text.parse().map_err(|_| Invalid::new(name, reason))?;
                confirm = Some(count);
            }
        }
        claim_token::none(&asked.headers)?;
        if asked.headers.contains_key(header::IF_MATCH) {
            let detail = "If-Match names the version of one entity. For a collection, put it into \
                          the filter: [\"==\", [\"property\", \"version\"], 3]";
            return Err(Problem::malformed(detail));
        }
        let must_confirm = names.contains(&CONFIRM);
        Ok(Self { asked, by, filter, sent, confirm, must_confirm })
    }

    fn must_filter(&self, does: &str) -> Result<(), Problem> {
        if self.filter.is_some() {
            return Ok(());
        }
        let reason = format!(
            "is missing: it says which entities this request {does}. CLEAR deletes all of a \
             collection"
        );
        Err(Invalid::new("filter", reason).into())
    }

    /// Checks changes as far as this does not depend on the entity.
    fn check(&self, changes: &Value) -> Result<(), Problem> {
        let class = &self.asked.class;
        let changes = &*carried::by_fields(class, changes);
        validate::change(class, changes, &Entity::new(EntityId::nil(), Map::new()))?;
        let is_secret = |name: &&String| class.property(name).is_some_and(Property::write_only);
        let secrets = changes.as_object().into_iter().flat_map(|members| members.keys());
        let reason = "is a secret, which is set for one entity at a time";
        let problems: Vec<_> =
            secrets.filter(is_secret).map(|name| Invalid::new(name, reason)).collect();
        if problems.is_empty() { Ok(()) } else { Err(problems.into()) }
    }

    /// The key of the client, with a hash of the whole request.
    fn key(&self, verb: &str, digest: blake3::Hash) -> Result<Option<Once>, Problem> {
        let mut hasher = blake3::Hasher::new();
        let query = self.asked.uri.query().unwrap_or_default();
        hasher.update(format!("{verb} {query}\n").as_bytes());
        hasher.update(digest.as_bytes());
        once::of(&self.asked, hasher.finalize(), &[], blake3::hash(b""))
    }

    async fn run(self, work: BulkWork, once: Option<Once>) -> Result<Response, Problem> {
        if let Some(job) = self.before(once.as_ref()).await? {
            return Ok(job::accepted(&job));
        }
        let entities = self.entities(&work).await?;
        let count = entities.len() as u64;
        if self.must_confirm && count > 0 && self.confirm != Some(count) {
            return Err(Failed::Unconfirmed { count, what: "entities" }.into());
        }
        // Entities that are created from now on are not touched.
        self.done(work, once, &entities).await
    }

    /// The job that was created under a key before.
    async fn before(&self, once: Option<&Once>) -> Result<Option<Job>, Problem> {
        let Some(once) = once else {
            return Ok(None);
        };
        let Some(ids) = once::ids_before(&self.asked, once).await? else {
            return Ok(None);
        };
        let id = ids.first().copied().map(JobId::of);
        let id = id.ok_or_else(|| Problem::fault("a key without its job"))?;
        let job = self.asked.app.store.job_get(&self.asked.domain, id).await?;
        let detail = format!("the first request made the job {id}, which was deleted since");
        job.map(Some).ok_or_else(|| Problem::new(StatusCode::GONE, "gone", detail))
    }

    async fn entities(&self, work: &BulkWork) -> Result<Vec<EntityId>, Problem> {
        let (app, domain) = (&self.asked.app, &self.asked.domain);
        let action = match work {
            BulkWork::Patch(_) => RightAction::Change,
            BulkWork::Delete => RightAction::Delete,
        };
        let class = self.asked.class.as_ref();
        let filter = app.store.reaching(action, class, self.filter.as_ref());
        let filter = filter.as_ref();
        let list = async { Ok(app.store.entity_ids(domain, class, filter, JOB_COUNT_MAX).await?) };
        let ids = app.scans.list(&self.by, list).await?;
        if ids.len() > JOB_COUNT_MAX {
            let reason = format!("names more than {JOB_COUNT_MAX} entities: ask for fewer at once");
            return Err(Invalid::new("filter", reason).into());
        }
        Ok(ids)
    }

    /// Does it with these entities, now or as a job.
    async fn done(
        self,
        work: BulkWork,
        once: Option<Once>,
        entities: &[EntityId],
    ) -> Result<Response, Problem> {
        let (store, domain) = (&self.asked.app.store, &self.asked.domain);
        let class = self.asked.class.as_ref();
        if entities.len() <= AT_ONCE_MAX && once.is_none() {
            let (classname, filter) = (class.classname.as_str(), self.sent.as_ref());
            let bulk = Bulk { store, domain, classname, filter, work: &work, job: None };
            return answer(bulk.run(entities).await, entities.len());
        }
        let order = BulkOrder { filter: self.sent.clone(), work, entities, once: once.as_ref() };
        match store.bulk_create(domain, class, order).await {
            // The same request on another connection created the job first.
            Err(Error::Condition(Failed::KeyUsed)) => {
                let job = self.before(once.as_ref()).await?;
                Ok(job::accepted(&job.ok_or_else(|| Problem::fault("a key vanished"))?))
            }
            created => Ok(job::accepted(&created?)),
        }
    }
}

/// The answer to a request that changed entities itself. `total` is how many were to be changed.
fn answer(tally: Tally, total: usize) -> Result<Response, Problem> {
    let Tally { done, changed, failed, reasons, broken } = tally;
    if let Some(error) = broken {
        let detail = format!("{changed} of {total} entities were changed or deleted before this");
        return Err(Problem::from(error).preceded_by(&detail));
    }
    if failed == 0 {
        let counts = json!({"done": done, "changed": changed, "failed": failed});
        return Ok(Json(counts).into_response());
    }
    let first = reasons.first().map(|(id, why)| format!("{id}: {why}")).unwrap_or_default();
    let detail = format!(
        "of {done} entities, {changed} were changed or deleted, and {failed} could not be. The \
         first: {first}"
    );
    let errors = reasons.into_iter().map(|(id, why)| Invalid::new(id.to_string(), why));
    Err(Problem::conflict("partly-done", detail).about(errors.collect()))
}

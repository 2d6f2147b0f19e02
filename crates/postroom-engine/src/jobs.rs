//! Runs the jobs: those that parse stored messages again, and beside them those that change or
//! delete many entities, so that these do not wait for hours.

use crate::bulk;
use crate::error::Error;
use crate::redecompose;
use crate::report::chain;
use crate::shared::Shared;
use postroom_store::Job;
use postroom_store::JobKind;
use postroom_store::Topic;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long to wait after the store failed.
const RETRY: Duration = Duration::from_secs(10);

/// Runs all jobs until it is stopped.
pub async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let parsing = run_kinds(&shared, &[JobKind::Redecompose], &stop);
    let bulk = run_kinds(&shared, &[JobKind::Patch, JobKind::Delete], &stop);
    tokio::join!(parsing, bulk);
}

/// Runs the jobs of these kinds, in the order in which they were created, until it is stopped.
pub async fn run_kinds(shared: &Arc<Shared>, kinds: &[JobKind], stop: &CancellationToken) {
    let mut news = shared.store.listen(Topic::Jobs);
    loop {
        news.catch_up();
        let step = async {
            match shared.store.job_next(kinds).await? {
                Some(job) => work(shared, job).await.map(|()| true),
                None => Ok(false),
            }
        };
        // Whatever is interrupted here is repeated.
        let wait = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = step => match done {
                Ok(true) => continue,
                Ok(false) => None,
                Err(error) => {
                    tracing::error!(error = chain(&error), "a job waits");
                    Some(RETRY)
                }
            },
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = news.rung() => {}
            () = tokio::time::sleep(wait.unwrap_or(Duration::MAX)) => {}
        }
    }
}

async fn work(shared: &Arc<Shared>, job: Job) -> Result<(), Error> {
    match job.kind {
        JobKind::Redecompose => redecompose::work(shared, job).await,
        JobKind::Patch | JobKind::Delete => bulk::work(&shared.store, &job).await,
    }
}

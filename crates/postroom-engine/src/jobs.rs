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

/// Runs the jobs of these kinds, in the order in which they were created, until it is stopped. If
/// one fails, those behind it are done, and it is tried again after a while.
pub async fn run_kinds(shared: &Arc<Shared>, kinds: &[JobKind], stop: &CancellationToken) {
    let mut news = shared.store.listen(Topic::Jobs);
    // The last job that failed since the oldest one was tried.
    let mut behind = None;
    loop {
        news.catch_up();
        let step = async {
            match shared.store.job_next(kinds, behind).await? {
                Some(job) => {
                    let id = job.id;
                    Ok::<_, Error>(Some((id, work(shared, job).await)))
                }
                None => Ok(None),
            }
        };
        // Whatever is interrupted here is repeated.
        let done = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = step => done,
        };
        let wait = match done {
            Ok(Some((_, Ok(())))) => continue,
            Ok(Some((job, Err(error)))) => {
                tracing::error!(%job, error = chain(&error), "a job waits");
                behind = Some(job);
                continue;
            }
            Ok(None) => behind.take().map(|_| RETRY),
            Err(error) => {
                tracing::error!(error = chain(&error), "the jobs wait");
                behind = None;
                Some(RETRY)
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use postroom_model::Domain;
    use postroom_model::builtin::MESSAGES;
    use postroom_store::JobState;

    #[tokio::test]
    async fn a_damaged_job_keeps_no_other_from_its_turn() {
        let (_directory, shared, trouble) = fixture::shared_with_trouble().await;
        let domain = Domain::default_domain();
        let class = shared.store.builtin(MESSAGES).unwrap();
        let first = shared.store.job_create(&domain, &class, None).await.unwrap();
        let second = shared.store.job_create(&domain, &class, None).await.unwrap();
        let spoil = "UPDATE \"job\" SET \"domain\" = '' WHERE \"id\" = $1";
        trouble.spoil(spoil, first.id).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(Arc::clone(&shared), stop.clone()));
        let done = async {
            loop {
                let job = shared.store.job_get(&domain, second.id).await.unwrap().unwrap();
                if job.state == JobState::Done {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(RETRY, done).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }
}

//! `postroom redecompose`: parses stored messages again, while Postroom is stopped.
//!
//! It runs the same job as `REDECOMPOSE` of the REST interface. If it is interrupted, the job
//! continues when Postroom runs again.

use crate::cli::RedecomposeArguments;
use crate::data;
use crate::data::Contents;
use crate::key_command;
use crate::logging;
use crate::logging::say;
use anyhow::Context;
use anyhow::anyhow;
use anyhow::ensure;
use postroom_engine::Dialing;
use postroom_engine::Settings;
use postroom_engine::jobs;
use postroom_engine::shared::Shared;
use postroom_model::Domain;
use postroom_model::builtin::MESSAGES;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::json_problem;
use postroom_net::Dialer;
use postroom_net::Trust;
use postroom_store::Job;
use postroom_store::JobKind;
use postroom_store::JobState;
use postroom_store::Store;
use serde_json::Value as Json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::level_filters::LevelFilter;

/// The interval of progress lines.
const PROGRESS: Duration = Duration::from_secs(1);

/// What to do while Postroom runs.
const RUNS: &str = "while Postroom runs, ask it instead: curl -X REDECOMPOSE \
    http://HOST:PORT/rest/v1/model/email/Messages";

/// Runs the command to the end of the job.
pub(crate) async fn run(arguments: RedecomposeArguments) -> anyhow::Result<()> {
    logging::start(false, LevelFilter::ERROR)?;
    ensure!(arguments.class == MESSAGES, "only {MESSAGES} can be parsed again: give that class");
    let directory = &arguments.data;
    let key = key_command::master_key(&arguments.key).await?;
    let database = &arguments.database;
    let contents = Contents::Known(&arguments.blobs, database.access.trust_ca.as_deref());
    let stopped = data::open_stopped(directory, database, key.as_ref(), RUNS, contents).await?;
    let store = &stopped.store;
    let class = store.class(MESSAGES).context("built-in classes")?;
    let filter = match &arguments.filter {
        Some(text) => {
            let json: Json = serde_json::from_str(text)
                .map_err(|error| anyhow!("--filter is not valid JSON: {}", json_problem(&error)))?;
            let filter = filter::parse(Names::among(&class, &store.classes()), &json);
            let filter = filter.map_err(|invalid| anyhow!("--{invalid}"))?;
            Some((filter, json))
        }
        None => None,
    };
    let job = store.job_create(&Domain::default_domain(), class.as_ref(), filter).await?;
    say(&format!("{} messages have their original here", job.total));
    // No connection is made, so no certificate needs to be trusted.
    let dialer = Dialer::new(&Trust { system: false, extra_ca_pem: vec![] })?;
    let settings = Settings::new(
        Dialing { dialer, ehlo_name: "localhost".to_owned() },
        directory.join("spool"),
    );
    let shared = Shared::new(store.clone(), settings).await?;
    let stop = CancellationToken::new();
    let work = {
        let stop = stop.clone();
        async move { jobs::run_kinds(&shared, &[JobKind::Redecompose], &stop).await }
    };
    let work = tokio::spawn(work);
    let job = follow(store, &job).await?;
    stop.cancel();
    work.await?;
    stopped.store.close().await?;
    let counts = job.counts;
    say(&format!("done: {} changed, {} could not be read", counts.changed, counts.failed));
    ensure!(counts.failed == 0, "{}", job.reason.unwrap_or_default());
    Ok(())
}

/// Shows the progress of a job until its end.
async fn follow(store: &Store, job: &Job) -> anyhow::Result<Job> {
    let mut shown = 0;
    loop {
        let now = store.job_get(&job.domain, job.id).await?;
        let now = now.context("the job was deleted while it ran")?;
        if now.state == JobState::Done {
            return Ok(now);
        }
        if now.counts.done != shown {
            shown = now.counts.done;
            say(&format!("{shown} of {}, {} changed", now.total, now.counts.changed));
        }
        tokio::time::sleep(PROGRESS).await;
    }
}

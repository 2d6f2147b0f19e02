//! Full text: how long it takes until all words are kept, and how fast `match` finds messages.

use crate::bench::api::goals::Goals;
use crate::bench::api::http::Ask;
use crate::bench::api::http::Server;
use crate::bench::api::load::Asking;
use crate::bench::api::load::clients;
use crate::bench::api::world::MESSAGES;
use crate::terminal;
use anyhow::Result;
use postroom_testkit::Postroom;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long the newest 100 hits may take at most, in milliseconds, for 99 of 100.
const HITS_MS_MAX: f64 = 50.0;

/// How often the health is asked for while words are not kept yet.
const LOOK: Duration = Duration::from_millis(200);

/// What is searched for, as it stands in a URL.
const SEARCHES: &[(&str, &str)] = &[
    ("a word of all", "delivery"),
    ("a word of 1 in 977", "500"),
    ("a word of one", "777"),
    ("a prefix of all", "deliv*"),
    ("two words, without a third", "offer%20delivery%20-500"),
    ("a phrase", "%5C%22part%20500%5C%22"),
];

/// Waits until the words of all messages are kept.
///
/// # Errors
///
/// When the health is not answered.
pub async fn until_kept(postroom: &Postroom) -> Result<()> {
    loop {
        let health = postroom.get("/healthz").await?;
        let behind = &health["fullText"];
        if behind["messages"] == 0 && behind["building"] == false {
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until all words are kept, and measures the newest 100 hits of each search.
///
/// # Errors
///
/// When a request is refused.
pub async fn measure(
    postroom: &Postroom,
    server: &Server,
    time: Duration,
    goals: &mut Goals,
) -> Result<()> {
    let begin = Instant::now();
    until_kept(postroom).await?;
    let seconds = begin.elapsed().as_secs_f64();
    terminal::say(&format!("  the words of all messages are kept {seconds:.0} s later"));
    for (what, words) in SEARCHES {
        let filter = format!("%5B%22match%22%2C%22{words}%22%5D");
        let path = format!("{MESSAGES}?filter={filter}&order=-dateTime&limit=100&mask=id,subject");
        let finding: Asking = Arc::new(move |_| Ask::get(path.clone()));
        let times = clients(server, 1, time, &finding).await?;
        terminal::say(&format!("  match: {what:27}   1 client  {}", times.told()));
        goals.at_most(&format!("match: {what}, p99 in ms"), times.ms_of(0.99), HITS_MS_MAX);
    }
    Ok(())
}

//! Full text: keeps the words of messages, behind the changes, beside everything else.

use crate::report::chain;
use crate::shared::Shared;
use postroom_store::Error;
use postroom_store::Listener;
use postroom_store::Topic;
use postroom_store::WordsLeft;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long changes are collected.
const SETTLE: Duration = Duration::from_millis(500);
/// While others write, a step is followed by a pause of so many times its duration. So most of the
/// time of the writer is theirs.
const PAUSE_TIMES: u32 = 4;
/// The longest time between two looks.
const ROUND: Duration = Duration::from_secs(60);

/// Runs until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut news = shared.store.listen(Topic::News);
    while !stop.is_cancelled() {
        let left = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            left = keep_up(&shared, &mut news) => left,
        };
        let woken = async {
            match left {
                // What may not be passed yet may be passed without another ring.
                Ok(WordsLeft::Unsettled | WordsLeft::More) => {}
                Ok(WordsLeft::Nothing) => tokio::select! {
                    biased;
                    () = news.rung() => {}
                    () = tokio::time::sleep(ROUND) => {}
                },
                Err(error) => {
                    tracing::error!(
                        error = chain(&error),
                        "the words of messages were not kept for `match`; it is tried again"
                    );
                    tokio::time::sleep(ROUND).await;
                }
            }
            tokio::time::sleep(SETTLE).await;
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = woken => {}
        }
    }
}

async fn keep_up(shared: &Shared, news: &mut Listener) -> Result<WordsLeft, Error> {
    loop {
        news.catch_up();
        let begun = Instant::now();
        match shared.store.words_step().await? {
            WordsLeft::More => {}
            left @ (WordsLeft::Unsettled | WordsLeft::Nothing) => return Ok(left),
        }
        let took = begun.elapsed();
        if news.has_rung() {
            tokio::time::sleep(took * PAUSE_TIMES).await;
        } else {
            tokio::task::yield_now().await;
        }
    }
}

//! Full text: keeps the words of messages, behind the changes, beside everything else.

use crate::report::chain;
use crate::shared::Shared;
use postroom_store::Error;
use postroom_store::Topic;
use postroom_store::WordsLeft;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How long changes are collected.
const SETTLE: Duration = Duration::from_millis(500);
/// The longest time between two looks.
const ROUND: Duration = Duration::from_secs(60);

/// Runs until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut news = shared.store.listen(Topic::News);
    while !stop.is_cancelled() {
        news.catch_up();
        let left = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            left = keep_up(&shared) => left,
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

async fn keep_up(shared: &Shared) -> Result<WordsLeft, Error> {
    loop {
        match shared.store.words_step().await? {
            // Others write in between.
            WordsLeft::More => tokio::task::yield_now().await,
            left @ (WordsLeft::Unsettled | WordsLeft::Nothing) => return Ok(left),
        }
    }
}

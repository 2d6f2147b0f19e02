//! Limits the memory of answers that are made as a whole before they are sent.
//!
//! A client may read slowly, so such an answer holds its share of a common budget until it is sent.

use crate::problem::Problem;
use axum::http::StatusCode;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;

/// How many bytes of such answers are in memory at once.
const BYTES_MAX: u32 = 256 << 20;

/// How long an answer waits for its share.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// The budget.
#[derive(Debug, Clone)]
pub(crate) struct AnswerBudget(Arc<Semaphore>);

/// A share of it.
#[derive(Debug)]
pub(crate) struct AnswerShare(Option<OwnedSemaphorePermit>);

/// An answer with its share.
struct HeldAnswer {
    text: String,
    _share: AnswerShare,
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl Default for AnswerBudget {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(BYTES_MAX as usize)))
    }
}

impl AnswerBudget {
    /// Waits for a share of so many bytes.
    ///
    /// # Errors
    ///
    /// 503 when there is none in time.
    pub(crate) async fn share(&self, bytes: usize) -> Result<AnswerShare, Problem> {
        let count = u32::try_from(bytes).unwrap_or(BYTES_MAX).min(BYTES_MAX);
        let share = Arc::clone(&self.0).acquire_many_owned(count);
        match tokio::time::timeout(WAIT_MAX, share).await {
            Ok(Ok(share)) => Ok(AnswerShare(Some(share))),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => {
                let detail =
                    "too many large answers are being read slowly at this moment; try again";
                Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, detail, "budget of answers"))
            }
        }
    }
}

impl AnswerShare {
    /// The same, of so many bytes at most. The rest is given back.
    pub(crate) fn of(mut self, bytes: usize) -> Self {
        let kept = self.0.as_mut().and_then(|all| all.split(bytes.min(all.num_permits())));
        Self(kept)
    }

    /// The bytes of an answer. They hold as much of the share as they need until they are sent.
    pub(crate) fn hold(self, text: String) -> Bytes {
        let kept = self.of(text.len());
        Bytes::from_owner(HeldAnswer { text, _share: kept })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn an_answer_keeps_its_share_until_it_is_sent() {
        let held = AnswerBudget::default();
        let all = BYTES_MAX as usize;
        let answer = held.share(all).await.unwrap().hold("hello".to_owned());
        let part = answer.slice(1..2);
        drop(answer);
        assert!(held.share(all).now_or_never().is_none());
        assert!(held.share(all - 5).now_or_never().is_some());
        drop(part);
        assert!(held.share(usize::MAX).now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_for_which_there_is_no_room_is_refused_after_a_while() {
        let held = AnswerBudget::default();
        let all = held.share(usize::MAX).await.unwrap();
        let refused = held.share(64 << 20).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        let (share, ()) = tokio::join!(held.share(64 << 20), async { drop(all) });
        drop(share.unwrap());
    }
}

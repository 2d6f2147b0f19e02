//! Clients that ask again and again for a while, and how long their answers took.

use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use anyhow::Context;
use anyhow::Result;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::Instant;

/// Makes the request of a number. No two requests of a run have the same number.
pub type Asking = Arc<dyn Fn(u64) -> Ask + Send + Sync>;

/// How often something was done, and how long each took.
#[derive(Debug, Clone)]
pub struct Times {
    took: Duration,
    each: Vec<Duration>,
}

impl Times {
    /// Of what was done one after the other, or side by side, within a time.
    pub fn of(took: Duration, mut each: Vec<Duration>) -> Self {
        each.sort();
        Self { took, each }
    }

    /// How many a second.
    pub fn rate(&self) -> f64 {
        self.each.len() as f64 / self.took.as_secs_f64()
    }

    /// The time that this share of all did not pass, in milliseconds. The share is from 0 to 1.
    pub fn ms_of(&self, share: f64) -> f64 {
        let at = (self.each.len() as f64 * share) as usize;
        let time = self.each.get(at.min(self.each.len().saturating_sub(1)));
        time.copied().unwrap_or_default().as_secs_f64() * 1e3
    }

    /// In words.
    pub fn told(&self) -> String {
        let (p50, p99) = (self.ms_of(0.5), self.ms_of(0.99));
        format!("{:9.1}/s  p50 {p50:8.2} ms  p99 {p99:8.2} ms", self.rate())
    }
}

/// So many clients ask for so long.
///
/// # Errors
///
/// The first answer that is no 2xx.
pub async fn clients(
    server: &Server,
    count: u64,
    time: Duration,
    asking: &Asking,
) -> Result<Times> {
    // Each run begins at another number.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let begin = Instant::now();
    let mut tasks = vec![];
    for _ in 0..count {
        let (server, asking) = (server.clone(), Arc::clone(asking));
        tasks.push(tokio::spawn(async move {
            let mut connection = Connection::open(&server).await?;
            let mut each = vec![];
            while begin.elapsed() < time {
                let ask = asking(NEXT.fetch_add(1, Ordering::Relaxed));
                let asked = Instant::now();
                connection.ask(&ask).await?;
                each.push(asked.elapsed());
            }
            anyhow::Ok(each)
        }));
    }
    let mut each = vec![];
    for task in tasks {
        each.extend(task.await.context("a client")??);
    }
    Ok(Times::of(begin.elapsed(), each))
}

//! `cargo xtask bench news`: how soon subscribers with different filters are told of changes.
//!
//! `--subscribers N` streams of `/rest/v1/events` are open, each with a filter of its own that lets
//! one message through. `--rate N` changes a second are made for `--seconds N`, each of the next
//! message. A change carries the moment in which its request was sent, so the time that is measured
//! has the whole way: the request, the commit, the feed, the filters and the stream. Before that, a
//! single stream without a filter is told of the same changes alone. It is the limit that the
//! figure is set beside.

use crate::arguments::Arguments;
use crate::bench;
use crate::bench::api::goals::Goals;
use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use crate::bench::api::load::Times;
use crate::bench::api::world::MESSAGES;
use crate::bench::api::world::id_of;
use crate::bench::api::world::server;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use serde_json::Value;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How many clients make the changes.
const WRITERS: u64 = 16;
/// How many entities one request creates.
const AT_ONCE: u64 = 500;
/// How long subscribers may take to be told of the last change.
const PATIENCE: Duration = Duration::from_secs(30);
/// The goal: the time that 99 of 100 events do not pass, in milliseconds.
const P99_MS: f64 = 100.0;

/// What is measured, and how.
struct NewsPlan {
    binary: PathBuf,
    subscribers: u64,
    rate: u64,
    time: Duration,
}

/// What a stream lets through.
#[derive(Debug, Clone, Copy)]
enum Lets {
    All,
    /// Changes of the message of this number.
    One(u64),
}

/// `cargo xtask bench news`.
///
/// # Errors
///
/// When a program is missing or refuses a request, or an event is not told, or told twice.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    if let Some(measured) = bench::released("news", arguments) {
        return measured;
    }
    let subscribers = arguments.option("--subscribers", 1_000)?;
    let rate = arguments.option("--rate", 1_000)?;
    let seconds = arguments.option("--seconds", 10.0)?;
    let databases = bench::databases(arguments)?;
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let binary = workspace::release_or(&binary)?;
    let plan = NewsPlan { binary, subscribers, rate, time: Duration::from_secs_f64(seconds) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut goals = Goals::default();
        for database in databases {
            plan.measure(database, &mut goals).await?;
        }
        goals.end();
        anyhow::Ok(())
    })
}

impl NewsPlan {
    async fn measure(&self, database: &str, goals: &mut Goals) -> Result<()> {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        terminal::say(&format!("Postroom on {database}; the load of the machine: {}", load.trim()));
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let mut options = PostroomOptions::default();
        let mut _postgres = None;
        if database == "postgres" {
            let started = Postgres::start(&durable)?;
            started.database_create("news").await?;
            options.database = Some(started.url("news"));
            _postgres = Some(started);
        }
        let postroom = Postroom::start(&self.binary, options)?;
        let ids = self.fill(&postroom).await?;
        let run = NewsRun { plan: self, server: server(&postroom), ids: ids.into() };
        let alone = run.told(&postroom, "one without a filter", &[Lets::All]).await?;
        let all: Vec<_> = (0..self.subscribers).map(Lets::One).collect();
        let many = run.told(&postroom, &format!("{} with filters", all.len()), &all).await?;
        let ratio = many.ms_of(0.99) / alone.ms_of(0.99);
        terminal::say(&format!("  p99 of {} to that of one alone: {ratio:.1}", all.len()));
        let what = format!("p99 of {} subscribers on {database}, ms", all.len());
        goals.at_most(&what, many.ms_of(0.99), P99_MS);
        Ok(())
    }

    /// Drafts, one for each subscriber. Gives their ids by number.
    async fn fill(&self, postroom: &Postroom) -> Result<Vec<String>> {
        let mut ids = vec![];
        for first in (0..self.subscribers).step_by(AT_ONCE as usize) {
            let draft = |number| {
                json!({"messageDirection": "out", "from": sender(number), "to": [reader(number)],
                       "subject": subject(number, 0), "messageId": message_id(number)})
            };
            let some: Vec<_> = (first..self.subscribers.min(first + AT_ONCE)).map(draft).collect();
            let made = postroom.post("email/Messages", &json!(some)).await?;
            ids.extend(made.as_array().into_iter().flatten().map(id_of));
        }
        Ok(ids)
    }
}

/// The messages that are changed, and who is told.
struct NewsRun<'a> {
    plan: &'a NewsPlan,
    server: Server,
    ids: Arc<[String]>,
}

impl NewsRun<'_> {
    /// Opens the streams, makes the changes, and gives how long each event took to arrive.
    async fn told(&self, postroom: &Postroom, what: &str, all: &[Lets]) -> Result<Times> {
        let begin = Instant::now();
        let (tells, mut told) = mpsc::unbounded_channel();
        let mut streams = vec![];
        for lets in all {
            let stream = Stream::open(&self.server, *lets).await?;
            streams.push(tokio::spawn(stream.follow(begin, tells.clone())));
        }
        drop(tells);
        let (cpu, from) = (postroom.cpu_time(), Instant::now());
        let count = self.change(begin).await?;
        let took = from.elapsed();
        let cpu = (postroom.cpu_time() - cpu).as_secs_f64() / took.as_secs_f64();
        let mut each = vec![];
        while (each.len() as u64) < count {
            let next = tokio::time::timeout(PATIENCE, told.recv()).await;
            let next = next.with_context(|| format!("{} of {count} are told", each.len()))?;
            each.push(next.context("the streams have ended")??);
        }
        for stream in streams {
            stream.abort();
        }
        // What is there beyond them was told twice.
        ensure!(told.try_recv().is_err(), "more than {count} events");
        let times = Times::of(took, each);
        terminal::say(&format!("  {what:22} {} of {:.2} cores", times.told(), cpu));
        Ok(times)
    }

    /// Changes one message after the other at the rate of the plan. Gives how many changes it were.
    async fn change(&self, begin: Instant) -> Result<u64> {
        let next = Arc::new(AtomicU64::new(0));
        let (from, rate, time) = (Instant::now(), self.plan.rate, self.plan.time);
        let count = (time.as_secs_f64() * rate as f64) as u64;
        let mut writers = vec![];
        for _ in 0..WRITERS {
            let (next, ids, server) =
                (Arc::clone(&next), Arc::clone(&self.ids), self.server.clone());
            writers.push(tokio::spawn(async move {
                let mut connection = Connection::open(&server).await?;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(());
                    }
                    tokio::time::sleep_until(from + time.mul_f64(number as f64 / count as f64))
                        .await;
                    let of = number % ids.len().max(1) as u64;
                    let id = ids.get(of as usize).context("a message")?;
                    let micros = u64::try_from(begin.elapsed().as_micros())?;
                    let body = json!({"subject": subject(of, micros)}).to_string();
                    let path = format!("{MESSAGES}/{id}");
                    connection.ask(&Ask { method: "PATCH", path, body }).await?;
                }
            }));
        }
        for writer in writers {
            writer.await.context("a writer")??;
        }
        Ok(count)
    }
}

/// A stream of events, whose head was read.
struct Stream {
    reader: BufReader<TcpStream>,
    lets: Lets,
}

impl Stream {
    #[expect(clippy::disallowed_methods, reason = "a client of loopback, not of mail servers")]
    async fn open(server: &Server, lets: Lets) -> Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        let mut reader = BufReader::with_capacity(4096, stream);
        let mut path = "/rest/v1/events?after=now&class=email/Messages&mask=subject".to_owned();
        if let Lets::One(number) = lets {
            path.push_str(&format!("&filter={}", encoded(&filter(number).to_string())));
        }
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {}\r\n\
             Accept: text/event-stream\r\n\r\n",
            server.address, server.authorization
        );
        reader.write_all(request.as_bytes()).await?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(reader.read_line(&mut head).await? > 0, "the server closed: {head}");
        }
        ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(Self { reader, lets })
    }

    /// Tells how long each event took.
    async fn follow(mut self, begin: Instant, tells: mpsc::UnboundedSender<Result<Duration>>) {
        loop {
            let event = self.next(begin).await;
            let is_last = event.is_err();
            if tells.send(event).is_err() || is_last {
                return;
            }
        }
    }

    /// How long the next event took.
    async fn next(&mut self, begin: Instant) -> Result<Duration> {
        let mut line = String::new();
        loop {
            line.clear();
            ensure!(self.reader.read_line(&mut line).await? > 0, "a stream has ended");
            // Between are the sizes of chunks, and the other fields.
            let Some(data) = line.strip_prefix("data: ") else {
                continue;
            };
            let event: Value = serde_json::from_str(data)?;
            let subject = event["entity"]["subject"].as_str().with_context(|| line.clone())?;
            let (of, micros) = subject.split_once(" at ").context("a subject")?;
            if let Lets::One(number) = self.lets {
                ensure!(of == format!("offer {number}"), "{number} is told of {event}");
            }
            let sent = Duration::from_micros(micros.parse()?);
            return Ok(begin.elapsed().saturating_sub(sent));
        }
    }
}

/// A filter that lets the changes of one message through, each in another way.
fn filter(number: u64) -> Value {
    let draft = json!(["==", ["property", "messageDirection"], "out"]);
    match number % 4 {
        0 => json!(["==", ["property", "messageId"], message_id(number)]),
        1 => json!(["and", draft, ["contains", ["property", "to"], reader(number)]]),
        2 => json!(["and", draft, ["startswith", ["property", "subject"], subject_begin(number)]]),
        _ => json!(["in", ["property", "from"], [sender(number), "nobody@bench.example"]]),
    }
}

fn message_id(number: u64) -> String {
    format!("{number}@bench.example")
}

fn sender(number: u64) -> String {
    format!("sender{number}@bench.example")
}

fn reader(number: u64) -> String {
    format!("reader{number}@bench.example")
}

fn subject_begin(number: u64) -> String {
    format!("offer {number} at ")
}

fn subject(number: u64, micros: u64) -> String {
    format!("{}{micros}", subject_begin(number))
}

/// As a value of a query.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    let byte =
        |byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(byte).collect()
}

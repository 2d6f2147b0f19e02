//! Webhooks of the whole process: kills of ours, addresses that are refused, and the receiver of
//! the documents.

use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::skipped;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::io::Write;
use std::net::TcpListener;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../../docs/webhooks.md");
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
const PRIVATE: &str = "--webhooks-to-private-addresses";

fn start(arguments: &[&str]) -> Postroom {
    let arguments = arguments.iter().map(|one| (*one).to_owned()).collect();
    let options = PostroomOptions { arguments, ..PostroomOptions::default() };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

/// A receiver that takes everything and keeps the numbers of the events.
#[derive(Clone)]
struct Taker {
    url: String,
    seqs: Arc<Mutex<Vec<i64>>>,
    /// What was told that is no event.
    others: Arc<Mutex<Vec<Json>>>,
    is_down: Arc<AtomicBool>,
}

impl Taker {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (seqs, others, is_down) = (Arc::default(), Arc::default(), Arc::default());
        let taker = Self { url, seqs, others, is_down };
        let taking = taker.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taking = taking.clone();
                std::thread::spawn(move || taking.take(stream));
            }
        });
        taker
    }

    /// Takes the requests of a connection, until it ends.
    fn take(&self, stream: TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream.try_clone().ok()?);
        loop {
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).ok()? == 0 {
                    return None;
                }
                if let Some(value) = line.strip_prefix("content-length: ") {
                    length = value.trim().parse().unwrap();
                }
                if line == "\r\n" {
                    break;
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            if self.is_down.load(Ordering::Relaxed) {
                return None;
            }
            let json: Json = serde_json::from_slice(&body).unwrap();
            let seq = json["data"]["seq"].as_i64();
            self.seqs.lock().unwrap().extend(seq);
            if seq.is_none() {
                self.others.lock().unwrap().push(json);
            }
            (&stream).write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
        }
    }

    fn seqs(&self) -> Vec<i64> {
        self.seqs.lock().unwrap().clone()
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_receiver_that_was_away_for_too_long_is_told_what_it_missed() {
    const MADE: usize = 1_300;
    let mut postroom = start(&[PRIVATE, "--feed-changes", "1000"]);
    let taker = Taker::start();
    let hook = json!({"url": taker.url, "classes": ["email/Profiles"]});
    let hook =
        format!("email/Webhooks/{}", id(&postroom.post("email/Webhooks", &hook).await.unwrap()));
    postroom.post("email/Profiles", &json!({"name": "first"})).await.unwrap();
    let first = wait_until("the first event", PATIENCE, async || {
        Ok((taker.seqs().len() == 1).then_some(()))
    });
    first.await.unwrap();
    taker.is_down.store(true, Ordering::Relaxed);
    for number in 0..MADE {
        let profile = json!({"name": number.to_string()});
        postroom.post("email/Profiles", &profile).await.unwrap();
    }
    // A process counts the rows of the feed a minute after its start.
    postroom.stop().unwrap();
    postroom.restart().unwrap();
    let behind = format!("/rest/v1/events?after={}", taker.seqs()[0]);
    let trimmed = wait_until("the feed is trimmed", 4 * PATIENCE, async || {
        Ok(postroom.get(&behind).await.is_err().then_some(()))
    });
    trimmed.await.unwrap();
    taker.is_down.store(false, Ordering::Relaxed);
    for enabled in [false, true] {
        postroom.patch(&hook, &json!({"enabled": enabled})).await.unwrap();
    }
    let profiles = postroom.get("email/Profiles?order=-seq&limit=1&mask=seq").await.unwrap();
    let last = profiles[0]["seq"].as_i64().unwrap();
    let all = wait_until("what is kept", 4 * PATIENCE, async || {
        Ok(taker.seqs().contains(&last).then_some(()))
    });
    all.await.unwrap();
    let missed = taker.others.lock().unwrap().clone();
    assert!(missed.iter().any(|one| one["type"] == "missed"), "{missed:?}");
    let (seqs, to) = (taker.seqs(), missed[0]["data"]["to"].as_i64().unwrap());
    assert!(seqs[1..].iter().all(|seq| *seq > to), "{seqs:?} {to}");
    assert!((500..=1_000).contains(&(seqs.len() - 1)), "{}", seqs.len());
    assert!(seqs.is_sorted(), "{seqs:?}");
}

#[on_both(flavor = "multi_thread")]
async fn no_event_is_lost_or_out_of_order_when_postroom_is_killed() {
    let mut postroom = start(&[PRIVATE]);
    let taker = Taker::start();
    let hook = json!({"url": taker.url, "classes": ["email/Profiles"]});
    let hook =
        format!("email/Webhooks/{}", id(&postroom.post("email/Webhooks", &hook).await.unwrap()));
    let mut made = 0;
    for round in 1..=4 {
        for _ in 0..15 {
            let profile = json!({"name": made.to_string()});
            postroom.post("email/Profiles", &profile).await.unwrap();
            made += 1;
        }
        // It is killed between two deliveries, or in the midst of one.
        let enough = wait_until("some deliveries", PATIENCE, async || {
            Ok((taker.seqs().len() >= round * 10).then_some(()))
        });
        enough.await.unwrap();
        postroom.kill().unwrap();
        postroom.restart().unwrap();
    }
    let profiles = postroom.get("email/Profiles?order=seq&limit=1000&mask=seq").await.unwrap();
    let want: Vec<_> =
        profiles.as_array().unwrap().iter().map(|one| one["seq"].as_i64().unwrap()).collect();
    assert_eq!(want.len(), made);
    let all = wait_until("all events", PATIENCE, async || {
        Ok(want.iter().all(|seq| taker.seqs().contains(seq)).then_some(()))
    });
    all.await.unwrap();
    // Some are told again after a kill, but each for the first time in its order.
    let (mut first, mut known) = (vec![], BTreeSet::new());
    first.extend(taker.seqs().into_iter().filter(|seq| known.insert(*seq)));
    assert_eq!(first, want);
    // A stop writes how far it has come, so nothing is told twice after it.
    let told = taker.seqs().len();
    postroom.stop().unwrap();
    postroom.restart().unwrap();
    postroom.post("email/Profiles", &json!({"name": "last"})).await.unwrap();
    let last =
        wait_until("the last", PATIENCE, async || Ok((taker.seqs().len() > told).then_some(())));
    last.await.unwrap();
    assert_eq!(taker.seqs().len(), told + 1);
    postroom.delete(&hook).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn private_addresses_are_refused_when_they_are_connected_to() {
    let postroom = start(&[]);
    let taker = Taker::start();
    let port = taker.url.trim_end_matches('/').rsplit(':').next().unwrap().to_owned();
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0", "[::1]"] {
        let hook = json!({"url": format!("http://{host}:{port}/"), "enabled": false});
        let hook = id(&postroom.post("email/Webhooks", &hook).await.unwrap());
        let path = format!("email/Webhooks/{hook}/test");
        let ping = postroom.post(&path, &json!({})).await.unwrap();
        let error = ping["error"].as_str().unwrap();
        assert!(error.contains("which is no address of the public internet"), "{host}: {error}");
        assert_eq!(ping["status"], Json::Null);
    }
}

/// The most memory that a process has had so far, in bytes.
fn memory_peak(postroom: &Postroom) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", postroom.id().unwrap()));
    let status = status.unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}

#[on_both(flavor = "multi_thread")]
async fn a_thousand_webhooks_of_which_one_is_dead_and_one_is_silent_take_bounded_memory() {
    const COUNT: usize = 1_000;
    const TEXT_BYTES: usize = 100_000;
    /// What comes more of 120 MB that both do not take.
    const MORE_MAX: u64 = 48 << 20;
    let postroom = start(&[PRIVATE]);
    let taker = Taker::start();
    // It takes connections and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_url = format!("http://{}/", silent.local_addr().unwrap());
    let of_messages = |url: &str| json!({"url": url, "classes": ["email/Messages"], "batch": 100});
    let both = json!([of_messages("http://127.0.0.1:1/"), of_messages(&silent_url)]);
    let both = postroom.post("email/Webhooks", &both).await.unwrap();
    let good = json!({"url": taker.url, "classes": ["email/Profiles"]});
    for _ in 0..10 {
        postroom.post("email/Webhooks", &json!(vec![&good; COUNT / 10])).await.unwrap();
    }
    let message = json!({"messageDirection": "out", "text": "x".repeat(TEXT_BYTES)});
    let mut peaks = vec![];
    for round in 1..=2 {
        for _ in 0..60 {
            postroom.post("email/Messages", &json!(vec![&message; 20])).await.unwrap();
        }
        postroom.post("email/Profiles", &json!({"name": format!("p{round}")})).await.unwrap();
        let told = async || Ok((taker.seqs().len() >= round * COUNT).then_some(()));
        wait_until("all events", PATIENCE, told).await.unwrap();
        // Both have tried, and have nothing but their request in memory.
        for hook in both.as_array().unwrap() {
            let path = format!("email/Webhooks/{}", id(hook));
            let has_failed = |hook: &Json| (hook["failures"].as_i64() > Some(0)).then_some(());
            until(&postroom, &path, "a failure", has_failed).await;
        }
        peaks.push(memory_peak(&postroom));
    }
    assert_eq!(taker.seqs().len(), 2 * COUNT);
    let [first, last] = peaks.try_into().unwrap();
    assert!(last - first < MORE_MAX, "from {} to {} MB", first >> 20, last >> 20);
}

/// A process that ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[on_both(flavor = "multi_thread")]
async fn the_receiver_of_the_documents_takes_what_is_signed_and_nothing_else() {
    if Command::new("python3").arg("--version").output().is_err() {
        skipped("needs python3 (apt-get install python3)");
        return;
    }
    let code = DOCUMENT.split("```python\n").nth(1).unwrap().split_once("\n```").unwrap().0;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut python = Command::new("python3");
    python.args(["-c", code]).env("SECRET", SECRET).env("PORT", port.to_string());
    let mut receiver = Ends(python.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap());
    let listening = wait_until("the receiver", PATIENCE, async || {
        Ok(TcpStream::connect(("127.0.0.1", port)).ok())
    });
    drop(listening.await.unwrap());
    let postroom = start(&[PRIVATE]);
    let url = format!("http://127.0.0.1:{port}/hook");
    for (secret, second, want) in
        [(SECRET, None, 204), (OTHER, Some(SECRET), 204), (OTHER, None, 401)]
    {
        let hook = json!({"url": url, "secret": secret, "secondSecret": second, "enabled": false});
        let hook = id(&postroom.post("email/Webhooks", &hook).await.unwrap());
        let path = format!("email/Webhooks/{hook}/test");
        let ping = postroom.post(&path, &json!({})).await.unwrap();
        assert_eq!(ping["status"], want, "{ping}");
    }
    // One that is made is shown once, and works.
    let hook =
        postroom.post("email/Webhooks", &json!({"url": url, "enabled": false})).await.unwrap();
    let secret = hook["secret"].as_str().unwrap();
    assert!(secret.starts_with("whsec_") && secret.len() == 50, "{secret}");
    let path = format!("email/Webhooks/{}", id(&hook));
    assert!(postroom.get(&path).await.unwrap().get("secret").is_none());
    postroom.patch(&path, &json!({"secret": SECRET, "enabled": true})).await.unwrap();
    postroom.post("email/Profiles", &json!({"name": "heard"})).await.unwrap();
    let lines = BufReader::new(receiver.0.stdout.take().unwrap()).lines();
    let heard = tokio::task::spawn_blocking(move || {
        lines.map_while(Result::ok).find(|line| line.contains("\"name\":\"heard\""))
    });
    let heard = tokio::time::timeout(Duration::from_secs(60), heard).await.unwrap().unwrap();
    assert!(heard.unwrap().contains("\"type\":\"profile.created\""));
}

//! Large contents in a bucket of S3: received, sent, served, while S3 is away, after kills, and
//! with all commands.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::S3;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use postroom_testkit::require;
use postroom_testkit::wait_until;
use reqwest::Method;
use reqwest::StatusCode;
use reqwest::header;
use serde_json::Value as Json;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::Output;

const PLACE: &str = "s3://mail/here";

fn quick() -> Json {
    json!({"after_read_timeout": 0.1, "retry_first": 0.1})
}

/// The arguments that reach the bucket, beside where it is.
fn access(s3: &S3) -> Vec<String> {
    let arguments =
        ["--blobs-endpoint", &s3.endpoint(), "--blobs-allow-http", "--blobs-path-style"];
    arguments.map(str::to_owned).into()
}

fn options(s3: &S3) -> PostroomOptions {
    let arguments = [vec!["--blobs".to_owned(), PLACE.to_owned()], access(s3)].concat();
    PostroomOptions { arguments, environment: s3.environment(), ..PostroomOptions::default() }
}

/// A message of about so many bytes that hardly compress.
fn large(subject: &str, size: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(size as u64);
    let head = format!("From: ben@demo.test\r\nTo: {ANNA}\r\nSubject: {subject}\r\n\r\n");
    let mut mail = head.into_bytes();
    while mail.len() < size {
        mail.extend(std::iter::repeat_with(|| random.alphanumeric() as u8).take(70));
        mail.extend(b"\r\n");
    }
    mail
}

async fn original(postroom: &Postroom, message: &Json) -> Vec<u8> {
    postroom.bytes(&format!("email/Messages/{}/rawMessage", id(message))).await.unwrap()
}

/// Runs a command of the binary on the data of a Postroom that is stopped.
fn run(s3: &S3, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.env_remove("POSTROOM_MASTER_KEY").envs(s3.environment());
    command.args(arguments).output().unwrap()
}

fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

/// The command `verify` on the data of a Postroom that is stopped.
fn verify(s3: &S3, postroom: &Postroom) -> Output {
    let data = postroom.data_directory();
    let mut arguments = vec!["verify".to_owned(), "--data".to_owned(), data.display().to_string()];
    if let Some(url) = TestDatabase::postgres_url(&data).unwrap() {
        arguments.extend(["--database".to_owned(), url]);
    }
    arguments.extend(access(s3));
    run(s3, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
}

#[on_both(flavor = "multi_thread")]
async fn mail_waits_at_its_server_while_s3_is_away_and_arrives_by_itself() {
    let mut s3 = S3::start().await.unwrap();
    let (sandbox, mut postroom, account) = sandbox_with(quick(), options(&s3)).await;
    let sizes = [1_000, 300_000, 6_000_000];
    for size in sizes {
        sandbox.deliver(ANNA, "INBOX", large("before", size)).unwrap();
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let before = messages(&postroom, &folder, 3).await;
    assert_eq!(s3.objects().unwrap().len(), 2, "the small one is none");

    s3.down().await;
    // One that goes through memory, one through the spool directory, and small ones behind them.
    for size in [400_000, 5_000_000, 1_100, 1_200] {
        sandbox.deliver(ANNA, "INBOX", large("meanwhile", size)).unwrap();
    }
    let told = |folder: &Json| {
        let text = folder["statusText"].as_str().unwrap_or_default();
        let is_told = text.contains("stays at its server") && text.contains(PLACE);
        (is_told && folder["pendingCount"] == 2).then_some(())
    };
    until(&postroom, &format!("email/Folders/{folder}"), "what is wrong", told).await;
    let behind = messages(&postroom, &folder, 5).await;
    for (message, size) in behind[3..].iter().zip([1_100, 1_200]) {
        assert!(original(&postroom, message).await == large("meanwhile", size), "{size}");
    }
    let health = postroom.request(Method::GET, "/healthz", None).await.unwrap();
    assert_eq!(health.status(), StatusCode::SERVICE_UNAVAILABLE);
    let health: Json = health.json().await.unwrap();
    let detail = health["detail"].as_str().unwrap();
    assert!(detail.contains(PLACE) && detail.contains("other mail goes on"), "{detail}");
    let ready = postroom.request(Method::GET, "/readyz?for=mail", None).await.unwrap();
    assert_eq!(ready.status(), StatusCode::OK, "small mail goes on");
    let ready: Json = ready.json().await.unwrap();
    assert!(ready["heldUp"].as_str().unwrap().contains(PLACE), "{ready}");
    let small = original(&postroom, &before[0]).await;
    assert!(small == large("before", 1_000), "small contents need no S3");
    let path = format!("/rest/v1/model/email/Messages/{}/rawMessage", id(&before[1]));
    let answer = postroom.request(Method::GET, &path, None).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(messages(&postroom, &folder, 5).await.len(), 5, "nothing is recorded without it");

    s3.up().await.unwrap();
    let mut after = messages(&postroom, &folder, 7).await.split_off(3);
    after.sort_by_key(|message| message["uid"].as_u64());
    for (message, size) in after.iter().zip([400_000, 5_000_000]) {
        assert!(original(&postroom, message).await == large("meanwhile", size), "{size}");
    }
    let healthy = wait_until("health", PATIENCE, async || {
        let health = postroom.request(Method::GET, "/healthz", None).await?;
        Ok(health.status().is_success().then_some(()))
    });
    healthy.await.unwrap();
    for (message, size) in before.iter().zip(sizes) {
        assert!(original(&postroom, message).await == large("before", size), "{size}");
    }
    postroom.stop().unwrap();
    let verified = verify(&s3, &postroom);
    assert!(verified.status.success(), "{}", said(&verified));
}

#[on_both(flavor = "multi_thread")]
async fn a_kill_at_any_moment_loses_nothing_and_leaves_nothing() {
    const COUNT: usize = 24;
    let s3 = S3::start().await.unwrap();
    let (sandbox, mut postroom, account) = sandbox_with(quick(), options(&s3)).await;
    for number in 0..COUNT {
        sandbox.deliver(ANNA, "INBOX", large(&format!("n{number}"), 270_000 + number)).unwrap();
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    for round in 1..=4 {
        // As objects appear, their messages are being committed.
        let some = wait_until("objects", PATIENCE, async || {
            Ok((s3.objects()?.len() >= round * 5).then_some(()))
        });
        some.await.unwrap();
        postroom.kill().unwrap();
        postroom.restart().unwrap();
    }
    let found = messages(&postroom, &folder, COUNT).await;
    assert_eq!(found.len(), COUNT);
    for (number, message) in found.iter().enumerate() {
        let want = large(&format!("n{number}"), 270_000 + number);
        assert!(original(&postroom, message).await == want, "{number}");
    }
    // On PostgreSQL, a process that was killed counts as one that is there for three minutes.
    if TestDatabase::present() == TestDatabase::Sqlite {
        let each_once = wait_until("an object for each message", 2 * PATIENCE, async || {
            Ok((s3.objects()?.len() == COUNT).then_some(()))
        });
        each_once.await.unwrap();
        postroom.stop().unwrap();
        let verified = verify(&s3, &postroom);
        assert!(verified.status.success(), "{}", said(&verified));
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_large_file_is_uploaded_served_in_ranges_and_sent() {
    let s3 = S3::start().await.unwrap();
    let (sandbox, postroom, account) = sandbox_with(quick(), options(&s3)).await;
    let draft = json!({
        "account_id": account, "subject": "large", "recipients": [{"address": ANNA}],
        "messageDirection": "out", "text": "see there",
    });
    let draft = id(&postroom.post("email/Messages", &draft).await.unwrap());
    let bytes = large("file", 11 << 20);
    let file = format!("{}/rest/v1/model/email/Messages/{draft}/file/a.bin", postroom.url());
    let client = reqwest::Client::new();
    let put = client.put(&file).bearer_auth(Postroom::TOKEN).body(bytes.clone()).send();
    let put = put.await.unwrap();
    assert!(put.status().is_success(), "{}", put.text().await.unwrap());
    assert_eq!(s3.objects().unwrap().len(), 1);
    for (from, to) in [(0, 9), (262_140, 262_150), (5_000_000, 10_500_000)] {
        let range = format!("bytes={from}-{to}");
        let part = client.get(&file).bearer_auth(Postroom::TOKEN).header(header::RANGE, range);
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert!(part.bytes().await.unwrap() == bytes[from..=to], "{from}");
    }
    let send = json!({"messageState": "sending"});
    postroom.patch(&format!("email/Messages/{draft}"), &send).await.unwrap();
    assert_eq!(settled(&postroom, &draft).await["messageState"], "sent");
    assert!(sandbox.accepted()[0].bytes.len() > bytes.len());
    assert_eq!(s3.objects().unwrap().len(), 2, "what was composed is one too");
    postroom.delete(&format!("email/Messages/{draft}")).await.unwrap();
    let gone = wait_until("an empty bucket", 2 * PATIENCE, async || {
        Ok(s3.objects()?.is_empty().then_some(()))
    });
    gone.await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn an_upload_while_s3_is_away_is_answered_with_try_again() {
    let mut s3 = S3::start().await.unwrap();
    let (_sandbox, postroom, account) = sandbox_with(quick(), options(&s3)).await;
    let draft = json!({"account_id": account, "messageDirection": "out"});
    let draft = id(&postroom.post("email/Messages", &draft).await.unwrap());
    let file = format!("{}/rest/v1/model/email/Messages/{draft}/file/a.bin", postroom.url());
    let client = reqwest::Client::new();
    let put = async || {
        let put = client.put(&file).bearer_auth(Postroom::TOKEN).body(large("file", 300_000));
        put.send().await.unwrap()
    };
    s3.down().await;
    let refused = put().await;
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    s3.up().await.unwrap();
    assert!(put().await.status().is_success());
}

#[on_both(flavor = "multi_thread")]
async fn a_bucket_that_is_not_there_is_told_at_the_start() {
    let s3 = S3::start().await.unwrap();
    let mut typo = options(&s3);
    typo.arguments[1] = "s3://mial/here".to_owned();
    let binary = Path::new(env!("CARGO_BIN_EXE_postroom"));
    let postroom = Postroom::start(binary, typo).unwrap();
    let warns = async || {
        let log = postroom.log();
        let told = log.contains("can be neither stored nor read now");
        Ok((told && log.contains("s3://mial/here")).then_some(()))
    };
    wait_until("a warning", PATIENCE, warns).await.unwrap();
}

#[on_both(flavor = "multi_thread")]
async fn another_place_is_refused_with_words_and_a_missing_object_is_told() {
    let s3 = S3::start().await.unwrap();
    let (sandbox, mut postroom, account) = sandbox_with(quick(), options(&s3)).await;
    sandbox.deliver(ANNA, "INBOX", large("kept", 300_000)).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let kept = messages(&postroom, &folder, 1).await;
    postroom.stop().unwrap();
    let data = postroom.data_directory();
    let url = TestDatabase::postgres_url(&data).unwrap();
    for place in [Some("s3://mail/there"), None] {
        let mut serve = vec!["serve", "--data", data.to_str().unwrap(), "--listen", "127.0.0.1:0"];
        serve.extend(url.iter().flat_map(|url| ["--database", url]));
        let access = access(&s3);
        if let Some(place) = place {
            serve.extend(["--blobs", place]);
            serve.extend(access.iter().map(String::as_str));
        }
        let refused = run(&s3, &serve);
        let told = said(&refused);
        assert!(!refused.status.success() && told.contains(&format!("--blobs {PLACE}")), "{told}");
    }
    fs::remove_file(&s3.objects().unwrap()[0]).unwrap();
    let missing = verify(&s3, &postroom);
    assert_eq!(missing.status.code(), Some(1), "{}", said(&missing));
    assert!(said(&missing).contains("its object is missing"), "{}", said(&missing));
    postroom.restart().unwrap();
    let path = format!("/rest/v1/model/email/Messages/{}/rawMessage", id(&kept[0]));
    let answer = postroom.request(Method::GET, &path, None).await.unwrap();
    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert!(postroom.log().contains("an object is missing in the bucket"), "{}", postroom.log());
}

// SQLite alone: PostgreSQL has backups of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_says_what_it_has_not_and_a_restored_one_reads_it_and_removes_nothing() {
    let s3 = S3::start().await.unwrap();
    let (sandbox, mut postroom, account) = sandbox_with(quick(), options(&s3)).await;
    sandbox.deliver(ANNA, "INBOX", large("kept", 300_000)).unwrap();
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let kept = messages(&postroom, &folder, 1).await;
    let place = tempfile::tempdir().unwrap();
    let (file, data) = (place.path().join("all.backup"), place.path().join("data"));
    let [file, data] = [&file, &data].map(|path| path.to_str().unwrap());
    let running = postroom.data_directory();
    let made = run(&s3, &["backup", "--data", running.to_str().unwrap(), "--to", file]);
    let told = said(&made);
    assert!(made.status.success() && told.contains("but not the 1 contents"), "{told}");
    assert!(told.contains(PLACE), "{told}");
    postroom.stop().unwrap();
    let restored = run(&s3, &["restore", "--from", file, "--data", data]);
    let told = said(&restored);
    assert!(restored.status.success() && told.contains("read and never removed"), "{told}");
    let restored = on(place.path(), &s3, &sandbox, None);
    assert!(original(&restored, &kept[0]).await == large("kept", 300_000));
    restored.delete(&format!("email/Messages/{}", id(&kept[0]))).await.unwrap();
    drop(restored);
    postroom.restart().unwrap();
    assert!(original(&postroom, &kept[0]).await == large("kept", 300_000), "it is the other's");
}

fn on(within: &Path, s3: &S3, sandbox: &Sandbox, database: Option<&str>) -> Postroom {
    let options = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        data_within: Some(within.to_owned()),
        database: database.map(str::to_owned),
        ..options(s3)
    };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

// SQLite alone: it moves to a PostgreSQL of its own, and back.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_leaves_objects_where_they_are_both_ways() {
    if !require(&[Need::Postgres]) {
        return;
    }
    let s3 = S3::start().await.unwrap();
    let server = Postgres::start(&PostgresOptions::default()).unwrap();
    server.database_create("all").await.unwrap();
    let url = server.url("all");
    let place = tempfile::tempdir().unwrap();
    let start = PostroomOptions { data_within: Some(place.path().to_owned()), ..options(&s3) };
    let (sandbox, mut first, account) = sandbox_with(quick(), start).await;
    sandbox.deliver(ANNA, "INBOX", large("moved", 300_000)).unwrap();
    let folder = enable(&first, &account, "INBOX", json!({})).await;
    let moved = messages(&first, &folder, 1).await;
    let data = first.data_directory();
    first.stop().unwrap();
    let sqlite = format!("sqlite:{}", data.display());
    let done = run(&s3, &["move", "--from", &sqlite, "--to", &url]);
    let told = said(&done);
    assert!(done.status.success() && told.contains(&format!("--blobs {PLACE}")), "{told}");
    let mut second = on(place.path(), &s3, &sandbox, Some(&url));
    assert!(original(&second, &moved[0]).await == large("moved", 300_000));
    second.stop().unwrap();
    let back = place.path().join("back");
    let (to, key) = (format!("sqlite:{}", back.display()), data.to_str().unwrap());
    let done = run(&s3, &["move", "--from", &url, "--data", key, "--to", &to]);
    assert!(done.status.success(), "{}", said(&done));
    let mut arguments = vec!["verify", "--data", back.to_str().unwrap()];
    let access = access(&s3);
    arguments.extend(access.iter().map(String::as_str));
    let verified = run(&s3, &arguments);
    assert!(verified.status.success(), "{}", said(&verified));
    assert_eq!(s3.objects().unwrap().len(), 1);
}

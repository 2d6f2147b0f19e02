//! A disk that gets full, and gets space again. It is a file system in memory, which takes root to
//! mount; without that the test says so and is passed over.

use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::skipped;
use postroom_testkit::wait_until;
use reqwest::Method;
use rusqlite::Connection;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

const COUNT: usize = 24;
const MESSAGE_BYTES: usize = 1_000_000;

/// A mounted file system of a given size; it goes away with this value.
struct Disk(TempDir);

impl Disk {
    fn mount(size: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let options = format!("size={size}");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(directory.path());
        if !mount.output().is_ok_and(|output| output.status.success()) {
            skipped("mounting a file system takes root");
            return None;
        }
        Some(Self(directory))
    }

    fn grow(&self, size: &str) {
        let options = format!("remount,size={size}");
        let mut mount = Command::new("mount");
        assert!(mount.args(["-o", &options]).arg(self.0.path()).status().unwrap().success());
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that a failed test leaves behind may still hold it.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// A message that does not get smaller by compression.
fn noise(number: u64) -> Vec<u8> {
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut mail = format!("Subject: noise {number}\r\n\r\n").into_bytes();
    while mail.len() < MESSAGE_BYTES {
        for _ in 0..76 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            mail.push(b'0' + u8::try_from(random % 64).unwrap());
        }
        mail.extend(b"\r\n");
    }
    mail
}

// SQLite alone: it is the disk of the data directory that gets full.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_loses_nothing_and_receiving_goes_on_by_itself() {
    let Some(disk) = Disk::mount("12m") else { return };
    let start =
        PostroomOptions { data_within: Some(disk.path().to_owned()), ..PostroomOptions::default() };
    let options = json!({"after_read_timeout": 0.2, "portion_limit": 2});
    let (sandbox, mut postroom, account) = sandbox_with(options, start).await;
    for number in 0..COUNT as u64 {
        sandbox.deliver(ANNA, "INBOX", noise(number)).unwrap();
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let full = wait_until("a full disk", PATIENCE, async || {
        let health = postroom.request(Method::GET, "/healthz", None).await?;
        Ok((health.status() == 507).then_some(()))
    });
    full.await.unwrap();
    // The account says it, although nothing can be stored.
    let shown = format!("email/Accounts/{account}");
    until(&postroom, &shown, "what the account says", |account| {
        let text = account["statusText"].as_str()?;
        let is_told = text.starts_with("new mail stays at its server") && text.contains("is full");
        (account["state"] == "degraded" && is_told).then_some(())
    })
    .await;
    // What was recorded stays readable; what was not is not half there.
    let kept = postroom.count(&format!("email/Messages?folder_id={folder}")).await.unwrap();
    assert!(kept < COUNT as u64, "{kept}");
    // Killed while it is full, it starts again, for reading; and room can be made.
    postroom.kill().unwrap();
    let killed_at = postroom.log().len();
    postroom.restart().unwrap();
    let again = postroom.count(&format!("email/Messages?folder_id={folder}")).await.unwrap();
    assert!(again >= kept, "{again} of {kept}");
    let draft = json!({"account_id": account, "messageDirection": "out", "subject": "draft"});
    let path = "email/Messages?limit=1&messageState=received&mask=id";
    let deleted = postroom.get(path).await.unwrap()[0].clone();
    postroom.delete(&format!("email/Messages/{}", id(&deleted))).await.unwrap();
    disk.grow("200m");
    // The deleted one is not fetched again.
    let found = messages(&postroom, &folder, COUNT - 1).await;
    assert_eq!(found.len(), COUNT - 1);
    postroom.post("email/Messages", &draft).await.unwrap();
    for message in &found {
        let number: u64 = message["subject"].as_str().unwrap()[6..].parse().unwrap();
        let raw = postroom.bytes(&format!("email/Messages/{}/rawMessage", id(message))).await;
        assert_eq!(raw.unwrap(), noise(number));
    }
    let health = postroom.request(Method::GET, "/healthz", None).await.unwrap();
    assert_eq!(health.status(), 200);
    postroom.stop().unwrap();
    let log = postroom.log();
    let (killed, restarted) = log.split_at(killed_at);
    assert_eq!(said_of_space(killed), [true], "{killed}");
    assert_ne!(said_of_space(restarted).last(), Some(&true), "{restarted}");
}

/// What the log says of the disk, in order: `true` when it is full, `false` when it has space
/// again. Each is said once in turn, however many attempts there are, and in one way.
fn said_of_space(log: &str) -> Vec<bool> {
    let said = |line: &&str| line.contains("the disk is full: ") || line.contains("space again");
    let mut turns = vec![];
    for line in log.lines().filter(said) {
        let is_full = line.contains("ERROR");
        assert_eq!(is_full, line.contains("the disk is full: no mail is stored or sent"), "{line}");
        assert_ne!(turns.last().copied().unwrap_or(false), is_full, "said twice: {line}\n{log}");
        turns.push(is_full);
    }
    turns
}

// SQLite alone: it is the disk of the data directory that gets full.
#[tokio::test(flavor = "multi_thread")]
async fn health_knows_a_full_disk_before_anything_is_written() {
    let Some(disk) = Disk::mount("16m") else { return };
    let start =
        PostroomOptions { data_within: Some(disk.path().to_owned()), ..PostroomOptions::default() };
    let binary = Path::new(env!("CARGO_BIN_EXE_postroom"));
    let mut postroom = Postroom::start(binary, start).unwrap();
    let health =
        async || postroom.request(Method::GET, "/healthz", None).await.unwrap().status().as_u16();
    assert_eq!(health().await, 200);
    let others = disk.path().join("others");
    let mut file = std::fs::File::create(&others).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    for _ in 0..3 {
        assert_eq!(health().await, 507);
    }
    std::fs::remove_file(&others).unwrap();
    drop(file);
    // The file system may take a moment to free the blocks.
    wait_until("space", PATIENCE, async || Ok((health().await == 200).then_some(())))
        .await
        .unwrap();
    postroom.stop().unwrap();
    assert_eq!(said_of_space(&postroom.log()), [true, false]);
}

// SQLite alone: it is the disk of the data directory that gets full.
#[tokio::test(flavor = "multi_thread")]
async fn an_account_says_that_the_disk_is_full_also_where_only_the_reserve_has_space() {
    let Some(disk) = Disk::mount("12m") else { return };
    let start =
        PostroomOptions { data_within: Some(disk.path().to_owned()), ..PostroomOptions::default() };
    let options = json!({"after_read_timeout": 0.2, "retry_first": 0.2, "retry_longest": 1});
    let (mut sandbox, postroom, account) = sandbox_with(options, start).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let shown = format!("email/Accounts/{account}");
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &shown, "a good start", is_ready).await;
    let text = "a draft ".repeat(4_000);
    let draft = json!({"account_id": account, "messageDirection": "out", "text": text});
    let mut drafts = vec![];
    for _ in 0..60 {
        drafts.push(id(&postroom.post("email/Messages", &draft).await.unwrap()));
    }
    sandbox.smtp_down().await;
    let sends = id(&postroom.post("email/Messages", &outgoing(&account, "leaves")).await.unwrap());
    let sends = format!("email/Messages/{sends}");
    let waits = |message: &Json| message["errorText"].as_str().map(str::to_owned);
    until(&postroom, &sends, "the wait for the server", waits).await;
    let others = disk.path().join("others");
    let mut file = std::fs::File::create(&others).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    // Deletions take the reserve. From then on everything else is refused. Whoever reads keeps the
    // log from beginning anew, where deletions may find room.
    let reserve = reserve_of(disk.path());
    let reader = Connection::open(reserve.with_file_name("postroom.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT 1 FROM \"meta\"").unwrap();
    // A rest of it is kept for the next start.
    let is_freed = || std::fs::metadata(&reserve).unwrap().len() <= 512 * 1024;
    for draft in drafts {
        if is_freed() {
            break;
        }
        postroom.delete(&format!("email/Messages/{draft}")).await.unwrap();
    }
    assert!(is_freed());
    drop(reader);
    sandbox.deliver(ANNA, "INBOX", mail("waits")).unwrap();
    let is_told = |account: &Json| {
        let text = account["statusText"].as_str()?;
        (account["state"] == "degraded" && text.contains("the disk is full")).then_some(())
    };
    until(&postroom, &shown, "what the account says", is_told).await;
    sandbox.smtp_up().await.unwrap();
    let is_told = |message: &Json| {
        let is_ours = waits(message)?.contains("the disk is full");
        (is_ours && message["recipients"][0]["state"] == "waiting").then_some(())
    };
    until(&postroom, &sends, "what the message says", is_told).await;
    std::fs::remove_file(&others).unwrap();
    drop(file);
    let is_sent = |message: &Json| (message["messageState"] == "sent").then_some(());
    until(&postroom, &sends, "sending the message", is_sent).await;
    messages(&postroom, &folder, 2).await;
    until(&postroom, &shown, "the end of it", is_ready).await;
}

/// The file that keeps space back, of the only data directory within another.
fn reserve_of(directory: &Path) -> PathBuf {
    let found = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    found.map(|path| path.join("reserve")).find(|path| path.exists()).unwrap()
}

#[on_both(flavor = "multi_thread")]
async fn a_large_message_that_cannot_be_spooled_is_told_and_keeps_no_other_waiting() {
    let options = json!({"after_read_timeout": 0.2, "retry_first": 1});
    let (sandbox, postroom, account) = sandbox_with(options, PostroomOptions::default()).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let spool = postroom.data_directory().join("spool");
    std::fs::remove_dir_all(&spool).unwrap();
    let large: Vec<u8> = (0..5).flat_map(noise).collect();
    sandbox.deliver(ANNA, "INBOX", large.clone()).unwrap();
    sandbox.deliver(ANNA, "INBOX", b"Subject: small\r\n\r\n".to_vec()).unwrap();
    let small = messages(&postroom, &folder, 1).await;
    assert_eq!(small[0]["subject"], "small");
    let health = async || postroom.request(Method::GET, "/healthz", None).await;
    let told = wait_until("health that says it", PATIENCE, async || {
        let health = health().await?;
        Ok(if health.status() == 503 { Some(health.json::<Json>().await?) } else { None })
    });
    let told = told.await.unwrap();
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains("large messages stay at their servers"), "{detail}");
    assert!(detail.contains("other mail goes on"), "{detail}");
    let ready = postroom.request(Method::GET, "/readyz?for=mail", None).await.unwrap();
    assert_eq!(ready.status(), 200);
    let ready: Json = ready.json().await.unwrap();
    assert!(ready["heldUp"].as_str().unwrap().starts_with("large messages stay"), "{ready}");
    std::fs::create_dir(&spool).unwrap();
    let all = messages(&postroom, &folder, 2).await;
    let arrived = all.iter().find(|message| message["subject"] != "small").unwrap();
    let raw = postroom.bytes(&format!("email/Messages/{}/rawMessage", id(arrived))).await;
    assert_eq!(raw.unwrap(), large);
    let over = wait_until("health", PATIENCE, async || {
        Ok(health().await?.status().is_success().then_some(()))
    });
    over.await.unwrap();
}

// SQLite alone: the spool directory is the same with both.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_of_the_spool_directory_is_told_as_such_and_keeps_no_other_mail_waiting() {
    let Some(disk) = Disk::mount("1m") else { return };
    let options = json!({"after_read_timeout": 0.2, "retry_first": 1});
    let (sandbox, postroom, account) = sandbox_with(options, PostroomOptions::default()).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let spool = postroom.data_directory().join("spool");
    std::fs::remove_dir_all(&spool).unwrap();
    std::os::unix::fs::symlink(disk.path(), &spool).unwrap();
    let large: Vec<u8> = (0..5).flat_map(noise).collect();
    sandbox.deliver(ANNA, "INBOX", large.clone()).unwrap();
    sandbox.deliver(ANNA, "INBOX", b"Subject: small\r\n\r\n".to_vec()).unwrap();
    let small = messages(&postroom, &folder, 1).await;
    assert_eq!(small[0]["subject"], "small");
    let health = async || postroom.request(Method::GET, "/healthz", None).await;
    let told = wait_until("health that says it", PATIENCE, async || {
        let health = health().await?;
        Ok(if health.status() == 507 { Some(health.json::<Json>().await?) } else { None })
    });
    let told = told.await.unwrap();
    let text = "large messages stay at their servers, because the disk of the spool directory is \
                full; other mail goes on";
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.starts_with(&format!("{text} (since ")), "{detail}");
    // Who shows no token learns what it means, and no cause.
    let bare = async |path: &str| reqwest::get(format!("{}{path}", postroom.url())).await.unwrap();
    let answer = bare("/healthz").await;
    assert_eq!(answer.status(), 507);
    assert_eq!(answer.json::<Json>().await.unwrap()["detail"], text);
    let ready = bare("/readyz?for=mail").await;
    assert_eq!(ready.status(), 200);
    assert_eq!(ready.json::<Json>().await.unwrap()["heldUp"], text);
    disk.grow("200m");
    messages(&postroom, &folder, 2).await;
    let over = wait_until("health", PATIENCE, async || {
        Ok(health().await?.status().is_success().then_some(()))
    });
    over.await.unwrap();
    let ready = bare("/readyz").await.json::<Json>().await.unwrap();
    assert_eq!(ready.get("heldUp"), None, "{ready}");
}

//! Decomposing again what is stored: by the REST interface, and by the command. The files of what
//! is decomposed.

use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;
use std::process::Command;
use std::process::Output;

/// A message with an html body, an inline, and a file within its text.
const MAIL: &[u8] = b"From: Ben <ben@demo.test>\r\nTo: anna@demo.test\r\n\
    Subject: =?utf-8?Q?gr=C3=BCn?=\r\nMIME-Version: 1.0\r\n\
    Content-Type: multipart/related; boundary=b\r\n\r\n\
    --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/plain\r\n\r\nHere it is:\r\nbegin 644 b.txt\r\n#86)C\r\n`\r\nend\r\n\
    --c\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<img src=\"cid:pic\">\r\n--c--\r\n\
    --b\r\nContent-Type: image/png\r\nContent-ID: <pic>\r\n\
    Content-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n\
    --b--\r\n";

#[on_both(flavor = "multi_thread")]
async fn stored_messages_are_decomposed_again() {
    let narrow = json!({"after_read_timeout": 0.2, "text_bytes_max": 4});
    let (sandbox, mut postroom, account) = sandbox(narrow).await;
    for _ in 0..2 {
        sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    }
    let options = json!({"options": {"store_html_as_file": false}});
    let folder = enable(&postroom, &account, "INBOX", options).await;
    let stored = messages(&postroom, &folder, 2).await;
    let (first, second) = (path(&stored[0]), path(&stored[1]));
    assert_eq!(stored[0]["text"], "Here");
    let is_over =
        |message: &Json| message["defects"].as_array().unwrap().contains(&json!("text_over"));
    assert!(is_over(&stored[0]), "{}", stored[0]["defects"]);
    let files = files_of(&postroom, &first).await;
    let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["b.txt", "image.png"]);

    // Nothing differs, so nothing changes.
    let job = redecompose(&postroom, "").await;
    assert_eq!((&job["total"], &job["done"], &job["changed"]), (&json!(2), &json!(2), &json!(0)));
    assert_eq!(postroom.get(&first).await.unwrap()["version"], stored[0]["version"]);

    // What is to be kept is more now, of the one that is asked for; business values stay.
    let wide = json!({"options": {"store_html_as_file": true, "text_bytes_max": 1000}});
    postroom.patch(&format!("email/Folders/{folder}"), &wide).await.unwrap();
    let filter = format!(r#"["==",["property","id"],"{}"]"#, id(&stored[0]));
    let job = redecompose(&postroom, &filter).await;
    assert_eq!((&job["total"], &job["changed"], &job["failed"]), (&json!(1), &json!(1), &json!(0)));
    let now = postroom.get(&first).await.unwrap();
    assert_eq!(now["text"], "Here it is:\n");
    assert!(!is_over(&now));
    for same in ["subject", "dateTime", "messageState", "uid", "attachmentCount", "folder_id"] {
        assert_eq!(now[same], stored[0][same], "{same}");
    }
    assert_eq!(postroom.bytes(&format!("{first}/html")).await.unwrap(), b"<img src=\"cid:pic\">");
    assert_eq!(files_of(&postroom, &first).await, files);
    assert_eq!(postroom.bytes(&format!("{first}/rawMessage")).await.unwrap(), MAIL);
    assert_eq!(postroom.get(&second).await.unwrap()["text"], "Here");

    // The command does the same while Postroom does not run, and says so when it does.
    let refused = command(&postroom);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("curl -X REDECOMPOSE"), "{said}");
    postroom.stop().unwrap();
    let done = command(&postroom);
    let said = String::from_utf8(done.stdout).unwrap();
    assert!(done.status.success() && said.contains("1 changed"), "{said}");
    postroom.restart().unwrap();
    assert_eq!(postroom.get(&second).await.unwrap()["text"], "Here it is:\n");
    assert_eq!(files_of(&postroom, &second).await, files);
}

/// Html in an old charset that is shown, and files that a change of their bytes would destroy.
fn with_files() -> (Vec<u8>, Vec<(String, Vec<u8>)>) {
    let page = b"<meta charset=\"iso-8859-1\"><p>B\xE4r \x80\r\n</p>";
    let files = [
        ("page.html", "text/html; charset=iso-8859-1", "8bit", page.to_vec(), page.to_vec()),
        (
            "wide.html",
            "text/html; charset=utf-16",
            "base64",
            b"Pz8/AP/+gA==".to_vec(),
            b"???\0\xFF\xFE\x80".to_vec(),
        ),
        (
            "image.html",
            "text/html; charset=gbk",
            "base64",
            b"R0lGODlhAP/+gA==".to_vec(),
            b"GIF89a\0\xFF\xFE\x80".to_vec(),
        ),
        (
            "table.csv",
            "text/csv; charset=iso-8859-1",
            "quoted-printable",
            b"B=E4r;=0D=0A=0A=C3".to_vec(),
            b"B\xE4r;\r\n\n\xC3".to_vec(),
        ),
    ];
    let mut raw = b"From: Ben <ben@demo.test>\r\nTo: anna@demo.test\r\nSubject: files\r\n\
        Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
        Content-Type: text/html; charset=iso-8859-1\r\n\r\n\
        <meta charset=\"iso-8859-1\"><p>gr\xFCn</p>\r\n"
        .to_vec();
    for (name, kind, encoding, written, _) in &files {
        let head = format!(
            "--b\r\nContent-Type: {kind}\r\nContent-Disposition: attachment; filename={name}\r\n\
             Content-Transfer-Encoding: {encoding}\r\n\r\n"
        );
        raw.extend([head.as_bytes(), written, b"\r\n"].concat());
    }
    raw.extend_from_slice(b"--b--\r\n");
    (raw, files.into_iter().map(|(name, _, _, _, content)| (name.to_owned(), content)).collect())
}

#[on_both(flavor = "multi_thread")]
async fn files_are_downloaded_byte_for_byte() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let (raw, files) = with_files();
    for (mailbox, keeps_raw) in [("INBOX", true), ("Archive", false)] {
        sandbox.deliver(ANNA, mailbox, raw.clone()).unwrap();
        let options = json!({"options": {"store_raw_as_file": keeps_raw}});
        let folder = enable(&postroom, &account, mailbox, options).await;
        let message = path(&messages(&postroom, &folder, 1).await[0]);
        assert_eq!(files_of(&postroom, &message).await, files, "{mailbox}");
        // What is shown is UTF-8 and says so.
        let html = String::from_utf8(postroom.bytes(&format!("{message}/html")).await.unwrap());
        let html = html.unwrap();
        assert!(html.contains("grün") && html.contains("utf-8"), "{html}");
        assert!(!html.contains("iso-8859-1"), "{html}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_job_goes_on_after_a_crash() {
    let narrow = json!({"after_read_timeout": 0.2, "text_bytes_max": 4});
    let (sandbox, mut postroom, account) = sandbox(narrow).await;
    for _ in 0..300 {
        sandbox.deliver(ANNA, "INBOX", MAIL).unwrap();
    }
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    messages(&postroom, &folder, 300).await;
    let wide = json!({"options": {"text_bytes_max": 1000}});
    postroom.patch(&format!("email/Folders/{folder}"), &wide).await.unwrap();
    // What is changed already is no longer asked for, and counts all the same.
    let job = ask(&postroom, r#"["==",["property","text"],"Here"]"#).await;
    let place = format!("/rest/v1/jobs/{}", job["id"].as_str().unwrap());
    for at_least in [1, 60, 130] {
        let far = |job: &Json| (job["done"].as_u64()? >= at_least).then_some(());
        until(&postroom, &place, "some progress", far).await;
        postroom.kill().unwrap();
        postroom.restart().unwrap();
    }
    let ended = |job: &Json| (job["state"] == "done").then(|| job.clone());
    let job = until(&postroom, &place, "the end", ended).await;
    for count in ["total", "done", "changed"] {
        assert_eq!(job[count], 300, "{count}");
    }
    let count = postroom.count("email/Messages?text=Here%20it%20is%3A%0A&version=2").await.unwrap();
    assert_eq!(count, 300);
    postroom.delete(&place).await.unwrap();
    assert_eq!(postroom.get("/rest/v1/jobs").await.unwrap(), json!([]));
}

fn path(message: &Json) -> String {
    format!("email/Messages/{}", id(message))
}

fn command(postroom: &Postroom) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.arg("redecompose").arg("--data").arg(postroom.data_directory());
    if let Some(url) = TestDatabase::postgres_url(&postroom.data_directory()).unwrap() {
        command.arg("--database").arg(url);
    }
    command.output().unwrap()
}

/// The names and contents of attachments and inlines.
async fn files_of(postroom: &Postroom, message: &str) -> Vec<(String, Vec<u8>)> {
    let mut files = vec![];
    for property in ["attachments", "inlines"] {
        let list = postroom.get(&format!("{message}/{property}")).await.unwrap();
        for file in list.as_array().unwrap() {
            let name = file["name"].as_str().unwrap().to_owned();
            let content = postroom.bytes(&format!("{message}/{property}/{name}")).await.unwrap();
            files.push((name, content));
        }
    }
    files
}

async fn ask(postroom: &Postroom, filter: &str) -> Json {
    let method = Method::from_bytes(b"REDECOMPOSE").unwrap();
    let parameter = if filter.is_empty() { String::new() } else { format!("?filter={filter}") };
    let path = format!("email/Messages{parameter}");
    let answer = postroom.request(method, &path, None).await.unwrap();
    assert_eq!(answer.status(), 202);
    answer.json().await.unwrap()
}

/// Asks for a job and waits for its end.
async fn redecompose(postroom: &Postroom, filter: &str) -> Json {
    let job = ask(postroom, filter).await;
    let path = format!("/rest/v1/jobs/{}", job["id"].as_str().unwrap());
    let ended = wait_until("the job", PATIENCE, async || {
        let job = postroom.get(&path).await?;
        Ok((job["state"] == "done").then_some(job))
    });
    ended.await.unwrap()
}

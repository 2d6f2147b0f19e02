//! The log answers why a mail did not arrive, or did not leave.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

/// Waits for a line of the log that holds all of `parts`, and gives it.
async fn line(postroom: &Postroom, parts: &[&str]) -> String {
    let what = format!("a line with {parts:?}");
    let found = wait_until(&what, PATIENCE, async || {
        let log = postroom.log();
        let has_all = |line: &&str| parts.iter().all(|part| line.contains(part));
        Ok(log.lines().find(has_all).map(str::to_owned))
    });
    match found.await {
        Ok(line) => line,
        Err(error) => panic!("{error:#}\n{}", postroom.log()),
    }
}

fn rcpt(sandbox: &Sandbox, address: &str, reply: &str) {
    sandbox.script(Rule {
        on: Point::SmtpCommand(SmtpCommand::Rcpt),
        when: When::For(address.to_owned()),
        act: Action::line(reply),
    });
}

fn to(account: &str, address: &str) -> Json {
    let mut message = outgoing(account, "hello");
    message["to"] = json!([address]);
    message
}

#[on_both(flavor = "multi_thread")]
async fn each_mail_that_arrives_or_does_not_has_its_line() {
    let options = json!({"after_read_timeout": 0.1, "message_bytes_max": 2048});
    let (sandbox, postroom, account) = sandbox(options).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let good =
        "From: ben@demo.test\r\nMessage-ID: <good.1@demo.test>\r\nSubject: x\r\n\r\nHello\r\n";
    sandbox.deliver(ANNA, "INBOX", good).unwrap();
    sandbox.deliver(ANNA, "INBOX", "no header field at all").unwrap();
    let big = format!("Subject: big\r\n\r\n{}\r\n", "x".repeat(4096));
    sandbox.deliver(ANNA, "INBOX", big).unwrap();
    let received = id(&messages(&postroom, &folder, 1).await[0]);
    let inbox = "folder=\"anna@demo.test/INBOX\"";
    let wanted =
        ["INFO", "message received", "account=\"anna@demo.test\"", inbox, "good.1@demo.test"];
    let line_of_good = line(&postroom, &wanted).await;
    assert!(line_of_good.contains(&format!("id={received}")), "{line_of_good}");
    line(&postroom, &["WARN", "cannot be decomposed", "anna@demo.test", inbox, "uid=2"]).await;
    line(&postroom, &["WARN", "not loaded", "too_big", "anna@demo.test", inbox, "uid=3"]).await;
    // What is deleted at the server because it is stored here is told too.
    let sent = enable(&postroom, &account, "Sent", json!({"deleteOnServer": true})).await;
    sandbox.deliver(ANNA, "Sent", good.replace("good.1", "sent.3")).unwrap();
    messages(&postroom, &sent, 1).await;
    line(&postroom, &["deleted at the server", "anna@demo.test/Sent", "uids=\"1\""]).await;
    // The same mail under a new UIDVALIDITY did not arrive twice, and the log does not say so.
    sandbox.edit(|state| {
        state.mailbox_mut(ANNA, "INBOX").map(|inbox| inbox.renumber(77, 501)).unwrap();
    });
    let second = "Message-ID: <second.2@demo.test>\r\nSubject: x\r\n\r\nHello\r\n";
    sandbox.deliver(ANNA, "INBOX", second).unwrap();
    line(&postroom, &["message received", "second.2@demo.test"]).await;
    line(&postroom, &["known already", inbox]).await;
    assert_eq!(postroom.log().matches("good.1@demo.test").count(), 1, "{}", postroom.log());
}

#[on_both(flavor = "multi_thread")]
async fn each_mail_that_leaves_or_does_not_has_its_line() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 600})).await;
    rcpt(&sandbox, "gone@other.test", "550 5.1.1 gone for good");
    rcpt(&sandbox, "busy@other.test", "450 4.2.1 come back later");
    let sent = id(&postroom.post("email/Messages", &to(&account, ANNA)).await.unwrap());
    let sent = settled(&postroom, &sent).await;
    let message_id = sent["messageId"].as_str().unwrap();
    let line_of_sent =
        line(&postroom, &["INFO", "message sent", "anna@demo.test", message_id, &id(&sent)]).await;
    assert!(line_of_sent.contains("reply=\"250"), "{line_of_sent}");
    let gone =
        id(&postroom.post("email/Messages", &to(&account, "gone@other.test")).await.unwrap());
    let ended = ["WARN", "message not sent", "code=\"refused\"", "gone for good", "anna@demo.test"];
    assert!(line(&postroom, &ended).await.contains(&gone));
    let busy =
        id(&postroom.post("email/Messages", &to(&account, "busy@other.test")).await.unwrap());
    let later = ["WARN", "message postponed", "come back later", "anna@demo.test", "next_attempt="];
    assert!(line(&postroom, &later).await.contains(&busy));
    // What waits for the account says so.
    sandbox.edit(|state| state.refuse_logins(None, None));
    let patch = json!({"smtpPassword": "secret", "smtpLogin": ANNA});
    postroom.patch(&format!("email/Accounts/{account}"), &patch).await.unwrap();
    line(&postroom, &["ERROR", "account failed", "anna@demo.test"]).await;
    let waits = id(&postroom.post("email/Messages", &to(&account, ANNA)).await.unwrap());
    line(&postroom, &["WARN", "message waits", &waits, "anna@demo.test", "535 5.7.8"]).await;
    // Changes of accounts name the address, and requests what was asked and how it went.
    let drafts = enable(&postroom, &account, "Drafts", json!({})).await;
    line(&postroom, &["folder is monitored", "anna@demo.test/Drafts"]).await;
    let drafts = format!("email/Folders/{drafts}");
    postroom.patch(&drafts, &json!({"enabled": false})).await.unwrap();
    line(&postroom, &["folder is not monitored now", "anna@demo.test/Drafts"]).await;
    postroom
        .patch(&format!("email/Accounts/{account}"), &json!({"fromDisplayName": "A"}))
        .await
        .unwrap();
    line(&postroom, &["account changed", "anna@demo.test"]).await;
    postroom.patch(&format!("email/Accounts/{account}"), &json!({"enabled": false})).await.unwrap();
    line(&postroom, &["account disabled", "anna@demo.test"]).await;
    line(&postroom, &["message waits", &waits, "anna@demo.test", "the account is disabled"]).await;
    let gone = id(&postroom.post("email/Messages", &to(&account, ANNA)).await.unwrap());
    postroom.delete(&format!("email/Accounts/{account}")).await.unwrap();
    line(&postroom, &["message not sent", &gone, "code=\"account_deleted\""]).await;
    let path = format!("path=\"/rest/v1/model/email/Accounts/{account}\"");
    line(&postroom, &["INFO", "method=PATCH", &path, "status=200", "duration_ms="]).await;
    postroom.get("email/Nothing").await.unwrap_err();
    line(&postroom, &["INFO", "method=GET", "email/Nothing", "status=404", "duration_ms="]).await;
}

#[on_both(flavor = "multi_thread")]
async fn what_a_server_says_begins_no_line_and_acts_on_no_terminal() {
    for arguments in [vec![], vec!["--log-json".to_owned()]] {
        let start = PostroomOptions { arguments, ..PostroomOptions::default() };
        let (sandbox, postroom, account) = sandbox_with(json!({}), start).await;
        let evil = "550 5.1.1 a\u{1b}[2Jb\rc\u{7}d\u{85}e\u{2028}f\u{202e}gone";
        rcpt(&sandbox, "gone@other.test", evil);
        postroom.post("email/Messages", &to(&account, "gone@other.test")).await.unwrap();
        let line = line(&postroom, &["message not sent", "gone"]).await;
        let acts = |char: &char| char.is_control() || ['\u{2028}', '\u{202e}'].contains(char);
        assert_eq!(line.chars().find(acts), None, "{line}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_log_of_json_is_json_from_the_first_line_to_the_last() {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let sandbox =
        Sandbox::start(SandboxConfig { users, ..SandboxConfig::default() }).await.unwrap();
    let start = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        arguments: vec!["--log-json".to_owned()],
        environment: vec![("RUST_LOG".to_owned(), "trace".to_owned())],
        ..PostroomOptions::default()
    };
    let mut postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    let profile = json!({"name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port()});
    account_of(&postroom, profile, json!({"address": ANNA, "password": "wrong"})).await;
    line(&postroom, &["ERROR", "account failed", ANNA]).await;
    postroom.signal("HUP").unwrap();
    line(&postroom, &["SIGHUP"]).await;
    postroom.stop().unwrap();
    all_json(&postroom.log());
}

/// Each line is a JSON object with a time, a level and a message.
fn all_json(log: &str) -> Vec<Json> {
    let read = |line: &str| {
        let json: Json =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(json["timestamp"].is_string() && json["level"].is_string(), "{line}");
        json
    };
    let lines: Vec<_> = log.lines().map(read).collect();
    assert!(!lines.is_empty());
    lines
}

fn run(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.args(arguments).envs(environment.iter().copied()).stdin(Stdio::null());
    command.output().unwrap()
}

#[test]
fn what_keeps_it_from_starting_is_json_too() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "x").unwrap();
    let (data, missing) = (file.to_str().unwrap(), directory.path().join("no"));
    let serve = |more: &[&'static str]| [&["serve", "--log-json"], more].concat();
    let with = |more: &[&str]| -> Vec<String> {
        ["serve", "--log-json"].iter().chain(more).map(|text| (*text).to_owned()).collect()
    };
    let missing = missing.to_str().unwrap();
    let table = [
        (with(&["--data", data, "--listen", "127.0.0.1:0"]), vec![], 1, "data directory"),
        (with(&["--data", missing, "--trust-ca", missing]), vec![], 1, "it does not exist"),
        (with(&["--data", missing]), vec![("RUST_LOG", "x=loud")], 1, "RUST_LOG"),
        (with(&["--data", missing]), vec![("POSTROOM_ADMIN_TOKEN", "")], 1, "POSTROOM_ADMIN_TOKEN"),
        (with(&["--data", missing]), vec![("RUST_LOG", "verbose")], 1, "`verbose` is not a level"),
        (with(&["--data", missing, "--listen", "8025"]), vec![], 1, "takes HOST:PORT"),
        (with(&["--no-such"]), vec![], 2, "--no-such"),
        (with(&["--data", missing]), vec![("TOKIO_WORKER_THREADS", "x")], 101, "fault of Postroom"),
        (serve(&[]).iter().map(|text| (*text).to_owned()).collect(), vec![], 1, "--data DIR"),
    ];
    for (arguments, environment, code, want) in table {
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let output = run(&arguments, &environment);
        let (out, error) = (text(&output.stdout), text(&output.stderr));
        assert_eq!(
            (output.status.code(), out.as_str()),
            (Some(code), ""),
            "{arguments:?}: {error}"
        );
        let lines = all_json(&error);
        let last = lines.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{error}");
        assert!(last["fields"]["message"].as_str().unwrap().contains(want), "{error}");
    }
}

// SQLite alone: what is printed does not depend on the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_made_is_printed_once_but_in_no_log_of_json() {
    let made = |json: bool| async move {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
        command.args(["serve", "--end-with-stdin", "--listen", "127.0.0.1:0", "--data"]);
        command.arg(directory.path().join("data")).env_remove("POSTROOM_ADMIN_TOKEN");
        if json {
            command.arg("--log-json");
        }
        // Standard input ends at once: it starts, and ends in order.
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        (directory, text(&output.stdout), text(&output.stderr))
    };
    let (directory, out, _) = made(false).await;
    let token =
        out.lines().find_map(|line| line.strip_prefix("administrator's token, shown this once: "));
    assert_eq!(token.unwrap().len(), 64, "{out}");
    assert!(!directory.path().join("data/admin-token").exists());
    let (directory, out, error) = made(true).await;
    let file = directory.path().join("data/admin-token");
    let token = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(token.trim().len(), 64);
    assert!(!out.contains(token.trim()) && !error.contains(token.trim()));
    assert!(error.contains("admin-token"), "{error}");
    all_json(&out);
    all_json(&error);
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn the_help_says_what_the_environment_and_the_exit_codes_mean() {
    let help = text(&run(&["--help"], &[]).stdout);
    let serve = text(&run(&["serve", "--help"], &[]).stdout);
    for word in [
        "POSTROOM_ADMIN_TOKEN",
        "POSTROOM_MASTER_KEY",
        "RUST_LOG",
        "SSL_CERT_FILE",
        "Examples",
        "Exit codes",
    ] {
        assert!(help.contains(word) && serve.contains(word), "{word} is not in the help");
    }
    assert!(serve.contains("SIGHUP") && serve.contains("SIGTERM"));
    let sandbox = text(&run(&["sandbox", "--help"], &[]).stdout);
    for kind in [
        "refuse=",
        "defer=",
        "slow=",
        "refuse-data=",
        "cut=",
        "login=",
        "smtp-down=",
        "imap-down=",
        "renumber=",
    ] {
        assert!(sandbox.contains(kind), "{kind} is not in the help");
    }
}

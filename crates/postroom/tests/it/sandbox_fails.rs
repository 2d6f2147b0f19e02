//! The sandbox as users start it, with what they made fail.

use crate::world::*;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::io::BufRead;
use std::io::BufReader;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

const README: &str = include_str!("../../../../README.md");

/// `postroom sandbox` on free ports; ended when it is dropped.
pub struct Started {
    process: Child,
    pub imaps: u16,
    pub smtps: u16,
    /// Where the provider of OAuth listens, if there is one.
    pub provider: String,
    pub ca_pem: String,
}

impl Started {
    fn with(fails: &[&str]) -> Self {
        let fails = fails.iter().flat_map(|fail| ["--fail", fail]);
        Self::by(&fails.collect::<Vec<_>>())
    }

    /// With these arguments.
    pub fn by(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let ca_file = directory.path().join("ca.pem");
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
        command.arg("sandbox").arg("--ca-file").arg(&ca_file);
        for port in ["--imap-port", "--imaps-port", "--smtp-port", "--smtps-port"] {
            command.args([port, "0"]);
        }
        command.args(arguments);
        let mut process = command.stdout(Stdio::piped()).stdin(Stdio::null()).spawn().unwrap();
        let (mut ports, mut provider) = ((0, 0), String::new());
        for line in BufReader::new(process.stdout.take().unwrap()).lines() {
            let line = line.unwrap();
            let port =
                || line.split_whitespace().next().unwrap().rsplit(':').next().unwrap().parse();
            match line.split("://").next() {
                Some("imaps") => ports.0 = port().unwrap(),
                Some("smtps") => ports.1 = port().unwrap(),
                _ => {}
            }
            if let Some((_, at)) = line.split_once("authorizeUrl http://") {
                provider = at.split('/').next().unwrap().to_owned();
            }
            if line.starts_with("Mail to these users") {
                break;
            }
        }
        let ca_pem = std::fs::read_to_string(ca_file).unwrap();
        Self { process, imaps: ports.0, smtps: ports.1, provider, ca_pem }
    }

    /// A Postroom with anna's account there.
    async fn postroom(&self, options: Json) -> (Postroom, String) {
        let start =
            PostroomOptions { trust_ca_pem: self.ca_pem.clone(), ..PostroomOptions::default() };
        let postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
        let profile = json!({
            "name": "sandbox", "options": options, "imapHost": "localhost", "imapPort": self.imaps,
            "smtpHost": "localhost", "smtpPort": self.smtps,
        });
        let account = json!({"address": ANNA, "password": "secret"});
        let account = account_of(&postroom, profile, account).await;
        (postroom, account)
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

async fn send(postroom: &Postroom, account: &str, to: &str) -> String {
    let mut message = outgoing(account, "hello");
    message["to"] = json!([to]);
    id(&postroom.post("email/Messages", &message).await.unwrap())
}

#[on_both(flavor = "multi_thread")]
async fn recipients_are_refused_deferred_and_cut_off_as_the_arguments_say() {
    // As the README has them.
    let fails = [
        "refuse=gone@shop.example",
        "defer=busy@shop.example:2",
        "refuse-data=spam@shop.example",
        "cut=lost@shop.example:1",
        "reply=full@shop.example:452 4.2.2 full",
        "slow=late@shop.example:1",
    ];
    for fail in fails {
        assert!(README.contains(fail), "{fail} is not in the README");
    }
    let sandbox = Started::with(&fails);
    let (postroom, account) = sandbox.postroom(json!({"retry_first": 0.1})).await;
    let table = [
        ("gone@shop.example", "error", json!("refused"), json!(1)),
        ("busy@shop.example", "sent", Json::Null, json!(3)),
        ("spam@shop.example", "error", json!("refused"), json!(1)),
        ("lost@shop.example", "error", json!("uncertain"), json!(1)),
        ("lost@shop.example", "sent", Json::Null, json!(1)),
    ];
    for (to, state, code, attempts) in table {
        let message = send(&postroom, &account, to).await;
        let message = settled(&postroom, &message).await;
        let got = (&message["messageState"], &message["errorCode"], &message["attempts"]);
        assert_eq!(got, (&json!(state), &code, &attempts), "{to}: {message:#}");
    }
    let late = send(&postroom, &account, "late@shop.example").await;
    let full = send(&postroom, &account, "full@shop.example").await;
    assert_eq!(settled(&postroom, &late).await["messageState"], "sent");
    let waits = |message: &Json| message["errorText"].as_str().map(str::to_owned);
    let path = format!("email/Messages/{full}");
    let why = until(&postroom, &path, "the reason", waits).await;
    assert!(why.contains("452 4.2.2 full"), "{why}");
}

#[on_both(flavor = "multi_thread")]
async fn servers_that_are_down_come_back() {
    let sandbox = Started::with(&["smtp-down=2", "imap-down=0.5"]);
    let refused = TcpStream::connect(("127.0.0.1", sandbox.smtps)).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let (postroom, account) = sandbox.postroom(json!({"retry_first": 0.1})).await;
    let message = send(&postroom, &account, ANNA).await;
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    let path = format!("email/Accounts/{account}");
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &path, "the account to be ready", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_login_is_refused_though_the_password_is_right() {
    let sandbox = Started::with(&["login=anna@demo.test"]);
    let (postroom, account) = sandbox.postroom(json!({})).await;
    let path = format!("email/Accounts/{account}");
    let failed = |account: &Json| {
        let text = account["statusText"].as_str()?;
        (account["state"] == "failed" && text.contains("sending: ")).then(|| text.to_owned())
    };
    let text = until(&postroom, &path, "the failure of both logins", failed).await;
    assert!(text.contains("check login and password"), "{text}");
}

#[on_both(flavor = "multi_thread")]
async fn an_inbox_is_renumbered_and_nothing_arrives_twice() {
    let sandbox = Started::with(&["renumber=anna@demo.test:3"]);
    let (postroom, account) = sandbox.postroom(json!({"after_read_timeout": 0.1})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let message = send(&postroom, &account, ANNA).await;
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    messages(&postroom, &folder, 1).await;
    let path = format!("email/Folders/{folder}");
    let renumbered =
        |folder: &Json| (folder["uidNext"] == 1002 && folder["pendingCount"] == 0).then_some(());
    until(&postroom, &path, "the new numbers", renumbered).await;
    assert_eq!(messages(&postroom, &folder, 1).await.len(), 1);
}

#[test]
fn an_argument_that_is_wrong_is_named() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    let output = command.args(["sandbox", "--fail", "explode=anna@demo.test"]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1));
    assert!(error.contains("--fail explode=anna@demo.test: there is no `explode`"), "{error}");
}

#[on_both(flavor = "multi_thread")]
async fn each_start_of_the_sandbox_has_other_uidvalidities() {
    let validity = async |sandbox: Started| {
        let (postroom, account) = sandbox.postroom(json!({})).await;
        let inbox = enable(&postroom, &account, "INBOX", json!({})).await;
        let path = format!("email/Folders/{inbox}");
        let validity = |folder: &Json| folder["uidValidity"].as_u64();
        until(&postroom, &path, "UIDVALIDITY", validity).await
    };
    let first = validity(Started::with(&[])).await;
    // The next start comes a tenth of a second later at least, because Postroom was started and
    // stopped meanwhile.
    let second = validity(Started::with(&[])).await;
    assert!(second > first, "{first} {second}");
    assert_eq!(validity(Started::by(&["--uid-validity", "7"])).await, 7);
}

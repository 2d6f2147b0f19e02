//! `VERIFY`: what a person learns about an account before it is added, or when it does not work.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const VERIFY: &str = "email/Accounts:verify";

async fn place() -> (Sandbox, Postroom) {
    let users = vec![("anna@demo.test".to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    (sandbox, postroom)
}

fn profile(sandbox: &Sandbox) -> Json {
    json!({
        "name": "sandbox",
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    })
}

fn account(profile: &Json) -> Json {
    json!({"address": "anna@demo.test", "password": "secret", "profile": profile})
}

/// The steps as `server step result`.
fn words(verified: &Json) -> Vec<String> {
    let steps = verified["steps"].as_array().unwrap().iter();
    let word = |step: &Json, name: &str| step[name].as_str().unwrap().to_owned();
    steps.map(|it| ["server", "step", "result"].map(|name| word(it, name)).join(" ")).collect()
}

fn step<'a>(verified: &'a Json, server: &str, step: &str) -> &'a Json {
    let steps = verified["steps"].as_array().unwrap();
    steps.iter().find(|it| it["server"] == server && it["step"] == step).unwrap()
}

#[on_both(flavor = "multi_thread")]
async fn an_account_is_tried_before_it_is_stored_and_afterwards() {
    let (sandbox, postroom) = place().await;
    let unsaved = postroom.post(VERIFY, &account(&profile(&sandbox))).await.unwrap();
    let want = [
        "imap dns ok",
        "imap tcp ok",
        "imap tls ok",
        "imap greeting ok",
        "imap login ok",
        "imap list ok",
        "smtp dns ok",
        "smtp tcp ok",
        "smtp tls ok",
        "smtp greeting ok",
        "smtp login ok",
    ];
    assert_eq!(words(&unsaved), want, "{unsaved:#}");
    assert_eq!(unsaved["ok"], true);
    let tls = step(&unsaved, "imap", "tls");
    assert_eq!(tls["detail"], "TLS 1.3");
    assert!(tls["certificate"]["names"].as_array().unwrap().contains(&json!("localhost")), "{tls}");
    assert!(postroom.get("/rest/v1/model/email/Accounts").await.unwrap() == json!([]));
    assert!(postroom.get("/rest/v1/model/email/Profiles").await.unwrap() == json!([]));

    let id = account_of(
        &postroom,
        profile(&sandbox),
        json!({"address": "anna@demo.test", "password": "secret"}),
    )
    .await;
    let stored = format!("email/Accounts/{id}:verify");
    assert_eq!(words(&postroom.post(&stored, &json!({})).await.unwrap()), want);
    postroom.patch(&format!("email/Accounts/{id}"), &json!({"password": "wrong"})).await.unwrap();
    let verified = postroom.post(&stored, &json!({})).await.unwrap();
    let login = step(&verified, "imap", "login");
    assert_eq!((&login["result"], &verified["ok"]), (&json!("failed"), &json!(false)));
    assert!(login["advice"].as_str().unwrap().starts_with("check `login` and `password`"));
    assert_eq!(step(&verified, "imap", "list")["result"], "skipped");
    assert_eq!(step(&verified, "smtp", "login")["result"], "failed");
}

#[on_both(flavor = "multi_thread")]
async fn the_step_that_fails_says_why_and_what_to_do() {
    let (sandbox, postroom) = place().await;
    let with = |changes: Json| {
        let mut profile = profile(&sandbox);
        profile["smtpHost"] = Json::Null;
        profile.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        account(&profile)
    };
    let plain = sandbox.imap().port();
    let other = "ab".repeat(32);
    #[rustfmt::skip]
    let table = [
        (json!({"imapHost": "no-such-host.invalid"}),  "dns",      "has no address",          "`imapHost`"),
        (json!({"imapPort": 9}),                       "tcp",      "does not accept",         "`imapPort`"),
        (json!({"imapPort": plain}),                   "tls",      "does not speak TLS",      "`imapSecurity`"),
        (json!({"tlsFingerprint": other}),             "tls",      "SHA-256 fingerprint is",  "`tlsFingerprint`"),
        (json!({"imapPort": sandbox.smtp().port(), "imapSecurity": "none"}), "greeting", "not an IMAP server", "IMAP"),
    ];
    for (changes, failed, detail, advice) in table {
        let verified = postroom.post(VERIFY, &with(changes.clone())).await.unwrap();
        let found = step(&verified, "imap", failed);
        assert_eq!(found["result"], "failed", "{changes} {verified:#}");
        assert!(found["detail"].as_str().unwrap().contains(detail), "{found}");
        assert!(found["advice"].as_str().unwrap().contains(advice), "{found}");
        assert_eq!(words(&verified).last().unwrap(), "imap list skipped");
        assert!(words(&verified).iter().all(|word| word.starts_with("imap")), "it only receives");
    }
    // A certificate that was refused is shown, and its fingerprint is what a profile takes.
    let refused = postroom.post(VERIFY, &with(json!({"tlsFingerprint": other}))).await.unwrap();
    let shown = step(&refused, "imap", "tls")["certificate"]["fingerprint"].clone();
    let pinned = postroom.post(VERIFY, &with(json!({"tlsFingerprint": shown}))).await.unwrap();
    assert_eq!(pinned["ok"], true, "{pinned:#}");
}

#[on_both(flavor = "multi_thread")]
async fn what_cannot_be_tried_is_refused_by_name() {
    let (sandbox, postroom) = place().await;
    let profile = profile(&sandbox);
    let stored = "018f0000-0000-7000-8000-000000000000";
    #[rustfmt::skip]
    let table = [
        (json!([]),                                              "takes a JSON object"),
        (json!({"address": "a@b.test"}),                         "profile_id: is required, or `profile`"),
        (json!({"address": "a@b.test", "profile_id": stored}),   "profile_id: there is no profile of this id"),
        (json!({"address": "a@b.test", "profile_id": 7}),        "profile_id: takes"),
        (json!({"address": "a@b.test", "profile_id": stored, "profile": profile}), "profile: is given beside `profile_id`"),
        (json!({"address": "a@b.test", "profile": {"name": "x", "imapPort": 0}}),  "profile.imapPort: takes"),
        (json!({"address": "a@b.test", "profile": {"name": "x", "tlsMinimum": "1.0"}}), "profile.tlsMinimum: takes one of 1.2, 1.3"),
        (json!({"address": "a@b.test", "profile": {"name": "x", "clientId": "x"}}), "profile.clientId: takes a JSON object of texts"),
        (json!({"address": "a@b.test", "profile": []}),          "profile: takes a JSON object"),
        (json!({"profile": profile}),                            "address: is required"),
    ];
    for (body, want) in table {
        let problem = postroom.post(VERIFY, &body).await.unwrap_err();
        assert!(format!("{problem:#}").contains(want), "{body}: {problem:#}");
    }
}

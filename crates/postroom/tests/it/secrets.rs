//! Secrets appear nowhere: not in the log at its most verbose, not in the data directory, not in
//! what the API answers.

use crate::people;
use crate::world::*;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_sandbox::ListeningTokenServer;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::TokenServer;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::S3;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use postroom_testkit::skipped;
use postroom_testkit::wait_until;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

const PASSWORD: &str = "canary-5d2c-password";
/// A token of a session at S3, which the server does not look at.
const SESSION: &str = "canary-2e9d-session-token";
/// A header field of a webhook.
const HEADER: &str = "canary-7b3a-header";
/// The random part of the secret of a webhook.
const SIGNING: &str = "Y2FuYXJ5LTRmMWMtc2lnbmluZy1rZXkh";
/// The user who logs in by tokens.
const BEN: &str = "ben@demo.test";
/// The secret of an OAuth app.
const CLIENT_SECRET: &str = "canary-6c4e-client-secret";
/// The tokens that the provider gives, in their order.
const TOKENS: [&str; 3] = ["refresh-1-canary", "refresh-2-canary", "access-3-canary"];
const REFUSED: &str = "canary-8f1e-refused";

/// A secret as it is, and what of it stands in Base64 (of SASL, RFC 4616) wherever it begins there.
fn forms(secret: &str) -> Vec<String> {
    let encoded = (0..3).map(|before| {
        let encoded = BASE64_STANDARD.encode([&b"\0\0"[..before], secret.as_bytes()].concat());
        // The first characters share bits with what stands before, the last with what follows.
        encoded[4..encoded.len() - 4].to_owned()
    });
    encoded.chain([secret.to_owned()]).collect()
}

fn assert_absent(place: &str, bytes: &[u8]) {
    let secrets = [
        [PASSWORD, REFUSED, Postroom::TOKEN].as_slice(),
        &[S3::KEY, S3::SECRET, SESSION, HEADER, SIGNING, CLIENT_SECRET],
        &TOKENS,
    ];
    assert_without(&secrets.concat(), place, bytes);
}

fn assert_without(secrets: &[&str], place: &str, bytes: &[u8]) {
    // What is no text is replaced, which hides no secret: they are ASCII.
    let text = String::from_utf8_lossy(bytes);
    for secret in secrets {
        for form in forms(secret) {
            assert!(!text.contains(&form), "{place} has {form}, of {secret}");
        }
    }
}

/// All files of a directory, with their content.
fn files_below(directory: &Path, files: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if let Ok(bytes) = std::fs::read(&path) {
            files.push((path.display().to_string(), bytes));
        }
    }
}

/// A Postroom that has ended has these secrets, and all others, neither in its log nor in what it
/// has stored.
fn assert_kept_nowhere(postroom: &Postroom, more: &[String]) {
    let stored = TestDatabase::stored_bytes(&postroom.data_directory()).unwrap();
    assert!(stored.windows(5).any(|word| word == b"hello"), "all of it was read");
    let mut places = vec![
        ("the log".to_owned(), postroom.log().into_bytes()),
        ("what is stored".to_owned(), stored),
    ];
    files_below(&postroom.data_directory(), &mut places);
    let more: Vec<_> = more.iter().map(String::as_str).collect();
    for (place, bytes) in places {
        assert_absent(&place, &bytes);
        assert_without(&more, &place, &bytes);
    }
}

fn owned(pair: (&str, &str)) -> (String, String) {
    (pair.0.to_owned(), pair.1.to_owned())
}

/// Makes a webhook whose requests fail, and asks for what is refused.
async fn a_webhook_fails(postroom: &Postroom) {
    let hook = json!({
        "url": "http://localhost:9/", "secret": format!("whsec_{SIGNING}"),
        "secondSecret": format!("whsec_{SIGNING}"), "headers": {"authorization": HEADER},
    });
    let hook =
        format!("email/Webhooks/{}", id(&postroom.post("email/Webhooks", &hook).await.unwrap()));
    let failed = |hook: &Json| (hook["failures"].as_i64() > Some(0)).then_some(());
    postroom.post("email/Profiles", &json!({"name": "for the webhook"})).await.unwrap();
    until(postroom, &hook, "a failed request", failed).await;
    postroom.post(&format!("{hook}/test"), &json!({})).await.unwrap();
    for wrong in [json!({"secret": [SIGNING]}), json!({"headers": {"host": HEADER}})] {
        let answer = postroom.patch(&hook, &wrong).await.unwrap_err();
        assert_absent("an error", format!("{answer:#}").as_bytes());
    }
}

/// An account gets tokens, and then no more. Gives the provider, which listens as long as it is kept.
async fn an_account_has_tokens(
    postroom: &Postroom,
    sandbox: &Arc<Sandbox>,
    profile: Json,
) -> (TokenServer, ListeningTokenServer) {
    let provider = TokenServer::default();
    provider.rotate();
    let users = Arc::clone(sandbox);
    provider.on_token(move |user, token| users.add_user(user, token));
    assert_eq!(provider.consent(BEN), TOKENS[0]);
    let listening = provider.listen().await.unwrap();
    let app = json!({
        "name": "ours", "clientId": "client", "clientSecret": CLIENT_SECRET,
        "tokenUrl": format!("http://{}/token", listening.address),
    });
    let app = id(&postroom.post("email/OAuthApps", &app).await.unwrap());
    let account = json!({"address": BEN, "oauthApp_id": app, "refreshToken": TOKENS[0]});
    let account = format!("email/Accounts/{}", account_of(postroom, profile, account).await);
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(postroom, &account, "a login by a token", is_ready).await;
    assert_eq!(provider.asked()[0].form["client_secret"], CLIENT_SECRET);
    let wrong = [
        (account.clone(), json!({"refreshToken": [TOKENS[0]], "accessToken": {"x": TOKENS[2]}})),
        (format!("email/OAuthApps/{app}"), json!({"clientSecret": [CLIENT_SECRET]})),
    ];
    for (path, wrong) in wrong {
        let answer = postroom.patch(&path, &wrong).await.unwrap_err();
        assert_absent("an error", format!("{answer:#}").as_bytes());
    }
    // A refresh token that was used before is refused.
    postroom.patch(&account, &json!({"refreshToken": TOKENS[0]})).await.unwrap();
    let is_refused = |account: &Json| (account["tokenState"] == "refused").then_some(());
    until(postroom, &account, "a refusal", is_refused).await;
    (provider, listening)
}

/// The owner consents on the page of the provider, and another consent is begun. Gives the secrets
/// of both.
async fn an_owner_consents(
    postroom: &Postroom,
    provider: &TokenServer,
    listening: &ListeningTokenServer,
) -> Vec<String> {
    let apps = postroom.get("email/OAuthApps").await.unwrap();
    let callback = format!("{}/rest/v1/oauth/callback", postroom.url());
    let page = format!("http://{}/authorize", listening.address);
    let more = json!({"authorizeUrl": page, "redirectUri": callback});
    postroom.patch(&format!("email/OAuthApps/{}", id(&apps[0])), &more).await.unwrap();
    let accounts = postroom.get(&format!("email/Accounts?address={BEN}")).await.unwrap();
    let account = id(&accounts[0]);
    let browser = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let browser = browser.build().unwrap();
    let start = async || {
        let start = format!("{}/rest/v1/oauth/start?account={account}", postroom.url());
        let led = browser.get(start).bearer_auth(Postroom::TOKEN).send().await.unwrap();
        led.headers()["location"].to_str().unwrap().to_owned()
    };
    let parameter = |url: &str, name: &str| {
        let mut pairs = url.split(['?', '&']).filter_map(|pair| pair.split_once('='));
        pairs.find(|(of, _)| *of == name).unwrap().1.to_owned()
    };
    let page = start().await.replace("/authorize?", "/consent?");
    let back = browser.post(&page).body(format!("user={BEN}&answer=allow")).send().await.unwrap();
    let back = back.headers()["location"].to_str().unwrap().to_owned();
    let shown = browser.get(&back).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(postroom, &format!("email/Accounts/{account}"), "a login", is_ready).await;
    let asked = provider.asked();
    let by_code = asked.iter().rev().find(|one| one.form.contains_key("code_verifier")).unwrap();
    let by_token = asked.last().unwrap();
    let secrets = vec![
        parameter(&page, "state"),
        parameter(&back, "code"),
        by_code.form["code_verifier"].clone(),
        by_token.form["refresh_token"].clone(),
        parameter(&start().await, "state"),
    ];
    let page = shown.bytes().await.unwrap();
    let device = on_another_device(postroom, provider, listening, &account).await;
    let secrets = [secrets, device, a_service_account_acts(postroom, provider).await].concat();
    assert_without(&secrets.iter().map(String::as_str).collect::<Vec<_>>(), "the page", &page);
    secrets
}

/// The owner consents on another device, and another such consent is begun. Gives the secrets of
/// both.
async fn on_another_device(
    postroom: &Postroom,
    provider: &TokenServer,
    listening: &ListeningTokenServer,
    account: &str,
) -> Vec<String> {
    let apps = postroom.get("email/OAuthApps").await.unwrap();
    let more = json!({"deviceUrl": format!("http://{}/device", listening.address)});
    postroom.patch(&format!("email/OAuthApps/{}", id(&apps[0])), &more).await.unwrap();
    let path = format!("/rest/v1/oauth/device?account={account}");
    let asked = |device: &str| {
        let asked = provider.asked().into_iter().rev();
        let code = asked.filter_map(|one| one.form.get("device_code").cloned());
        code.into_iter().find(|code| code != device)
    };
    let answer = postroom.post(&path, &json!({})).await.unwrap();
    let first = async || Ok(asked(""));
    let first = wait_until("a question", PATIENCE, first).await.unwrap();
    assert!(provider.decide(answer["userCode"].as_str().unwrap(), Some(BEN)));
    let is_given = async || {
        let seen = postroom.get(&path).await?;
        Ok((seen["state"] == "given").then_some(()))
    };
    wait_until("the consent", PATIENCE, is_given).await.unwrap();
    let again = postroom.post(&path, &json!({})).await.unwrap();
    let second = async || Ok(asked(&first));
    let second = wait_until("a question", PATIENCE, second).await.unwrap();
    for shown in [answer, again] {
        assert_without(&[&first, &second], "an answer", shown.to_string().as_bytes());
    }
    vec![first, second]
}

/// A token is made and used. Gives its value, which no later answer has.
async fn a_token_is_used(postroom: &Postroom) -> String {
    let token = json!({"name": "crm", "role": "admin"});
    let token = postroom.post("iam/Tokens", &token).await.unwrap();
    let value = token["token"].as_str().unwrap().to_owned();
    for path in ["iam/Tokens", "email/Profiles"] {
        let url = format!("{}/rest/v1/model/{path}", postroom.url());
        let answer = reqwest::Client::new().get(url).bearer_auth(&value).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.text().await.unwrap().contains(&value), "{path}");
    }
    value
}

/// A user signs in, with a wrong password too, and works. Gives the password and the tokens of the
/// sessions, which no later answer has.
async fn a_user_signs_in(postroom: &Postroom) -> Vec<String> {
    let mut secrets = vec!["canary-3e6b-of-a-user".to_owned(), "canary-9a1d-not-it".to_owned()];
    let user = json!({"login": "anna", "role": "admin", "password": secrets[0]});
    let user = postroom.post("iam/Users", &user).await.unwrap();
    let sessions = format!("{}/rest/v1/iam/sessions", postroom.url());
    let sign_in = async |sent: &Json| {
        let answer = reqwest::Client::new().post(&sessions).json(sent).send().await.unwrap();
        let status = answer.status().as_u16();
        let cookie = answer.headers().get("set-cookie");
        let cookie = cookie.map(|cookie| cookie.to_str().unwrap().to_owned());
        (status, cookie, answer.json::<Json>().await.unwrap())
    };
    let (wrong, _, refused) = sign_in(&json!({"login": "anna", "pwd": secrets[1]})).await;
    let (odd, _, told) = sign_in(&json!({"login": "anna", "pwd": [secrets[0]]})).await;
    assert_eq!((wrong, odd), (401, 422));
    let right = json!({"login": "anna", "pwd": secrets[0]});
    let (_, _, by_token) = sign_in(&right).await;
    let mut with_cookie = right.clone();
    with_cookie["cookie"] = json!(true);
    let (_, cookie, by_cookie) = sign_in(&with_cookie).await;
    let (_, _, of_token) = sign_in(&json!({"token": Postroom::TOKEN})).await;
    let cookie = cookie.unwrap();
    let cookie = cookie.split(['=', ';']).nth(1).unwrap();
    let shown = [&by_token["token"], &json!(cookie), &of_token["token"]];
    let shown = shown.map(|token| token.as_str().unwrap().to_owned());
    for token in &shown {
        let url = format!("{}/rest/v1/model/iam/Users/{}", postroom.url(), id(&user));
        let answer = reqwest::Client::new().get(url).bearer_auth(token).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.text().await.unwrap().contains(token));
    }
    secrets.extend(shown);
    secrets.extend(a_user_needs_codes(postroom, &secrets[0], &secrets[2]).await);
    let hidden: Vec<_> = secrets.iter().map(String::as_str).collect();
    for answer in [user, refused, told, by_cookie] {
        assert_without(&hidden, "an answer", answer.to_string().as_bytes());
    }
    secrets
}

/// The user sets a second factor up, and signs in with it. Gives the key, its address, and the
/// recovery codes as they are shown and as they are compared.
async fn a_user_needs_codes(postroom: &Postroom, password: &str, session: &str) -> Vec<String> {
    let (waits, codes) = people::enrol(postroom, session).await;
    let [key, uri] = ["secret", "uri"].map(|name| waits[name].as_str().unwrap().to_owned());
    let totp = async |method: Method, sent: Json| {
        people::iam(postroom, method, "totp", session, &sent).await
    };
    let mut answers = vec![totp(Method::GET, Json::Null).await];
    answers.push(totp(Method::POST, json!({"code": codes[9]})).await);
    answers.push(totp(Method::DELETE, json!({"code": [codes[9]]})).await);
    let mut want = vec![200, 409, 422];
    for (code, status) in [(json!(codes[0]), 201), (json!(codes[0]), 401), (json!([codes[1]]), 422)]
    {
        let sent = json!({"login": "anna", "pwd": password, "code": code});
        answers.push(people::iam(postroom, Method::POST, "sessions", "", &sent).await);
        want.push(status);
    }
    assert_eq!(answers.iter().map(|(status, _)| *status).collect::<Vec<_>>(), want);
    let compared: Vec<_> = codes.iter().map(|code| code.replace('-', "")).collect();
    let secrets: Vec<_> = [key, uri].into_iter().chain(codes).chain(compared).collect();
    let hidden: Vec<_> = secrets.iter().map(String::as_str).collect();
    for (_, answer) in answers {
        assert_without(&hidden, "an answer", answer.to_string().as_bytes());
    }
    secrets
}

/// An account gets its token by a service account, and then no more. Gives the lines of the key, and
/// what it signed.
async fn a_service_account_acts(postroom: &Postroom, provider: &TokenServer) -> Vec<String> {
    let key = provider.robot_account("robot@demo.test");
    let apps = postroom.get("email/OAuthApps").await.unwrap();
    let service = json!({
        "name": "robot", "tokenUrl": apps[0]["tokenUrl"], "grant": "jwt_bearer",
        "clientId": "robot@demo.test", "privateKey": key,
    });
    let app = id(&postroom.post("email/OAuthApps", &service).await.unwrap());
    let path = format!("email/OAuthApps/{app}");
    let wrong = json!({"privateKey": [key]});
    let answer = postroom.patch(&path, &wrong).await.unwrap_err();
    let profiles = postroom.get("email/Profiles?name=sandbox").await.unwrap();
    let profile = &profiles[0]["id"];
    let account = json!({"profile_id": profile, "address": BEN, "oauthApp_id": app});
    let made = postroom.post("email/Accounts?duplicate=allow", &account).await.unwrap();
    let account = format!("email/Accounts/{}", id(&made));
    let is_ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(postroom, &account, "a login by a service account", is_ready).await;
    let asked = provider.asked();
    let assertion = asked.iter().rev().find_map(|one| one.form.get("assertion")).unwrap().clone();
    provider.delegate(false);
    postroom.patch(&account, &json!({"oauthApp_id": null})).await.unwrap();
    // Only then does it log in again.
    let has_ended = |account: &Json| (account["state"] != "ready").then_some(());
    until(postroom, &account, "the end of the login", has_ended).await;
    postroom.patch(&account, &json!({"oauthApp_id": app})).await.unwrap();
    let is_refused = |account: &Json| (account["tokenState"] == "refused").then_some(());
    until(postroom, &account, "a refusal", is_refused).await;
    let mut secrets: Vec<_> =
        key.lines().filter(|line| line.len() == 64).map(str::to_owned).collect();
    secrets.push(assertion);
    let secret: Vec<_> = secrets.iter().map(String::as_str).collect();
    assert_without(&secret, "an error", format!("{answer:#}").as_bytes());
    for list in ["email/OAuthApps", "email/Accounts"] {
        assert_without(&secret, list, &postroom.bytes(list).await.unwrap());
    }
    secrets
}

/// Waits until these accounts say what is wrong, and asks for what is refused.
async fn accounts_are_refused(postroom: &Postroom, refused: &[String]) {
    for account in refused {
        let told = |account: &Json| account["statusText"].as_str().map(|_| ());
        let path = format!("email/Accounts/{account}");
        until(postroom, &path, "what is wrong", told).await;
        let wrong = json!({"password": [REFUSED]});
        let answer = postroom.patch(&path, &wrong).await.unwrap_err();
        assert_absent("an error", format!("{answer:#}").as_bytes());
    }
}

/// Tries accounts, stored or not, whose servers let them in, refuse them, or cannot be asked.
async fn accounts_are_verified(postroom: &Postroom, profile: &Json, stored: &[String]) {
    for account in stored {
        let path = format!("email/Accounts/{account}:verify");
        let answer = postroom.post(&path, &json!({})).await.unwrap();
        assert_absent("a verification", answer.to_string().as_bytes());
    }
    for password in [json!(PASSWORD), json!(REFUSED), json!([PASSWORD])] {
        let account = json!({"address": ANNA, "password": password, "profile": profile});
        let answer = postroom.post("email/Accounts:verify", &account).await;
        let answer = answer.map_or_else(|error| format!("{error:#}"), |told| told.to_string());
        assert_absent("a verification", answer.as_bytes());
    }
}

async fn events_are_told(postroom: &Postroom) {
    let events = postroom.bytes("/rest/v1/events?after=first&limit=1000").await.unwrap();
    let told = String::from_utf8_lossy(&events);
    assert!(told.contains("refused") && told.contains("OAuthApps"), "there are all events");
    assert_absent("the events", &events);
}

#[on_both(flavor = "multi_thread")]
async fn secrets_are_in_no_log_no_file_and_no_answer() {
    let users = [(ANNA, PASSWORD), (BEN, REFUSED)].map(owned).to_vec();
    let sandbox =
        Sandbox::start(SandboxConfig { users, ..SandboxConfig::default() }).await.unwrap();
    let sandbox = Arc::new(sandbox);
    sandbox.edit(|state| {
        state.imap_capabilities.with.push("AUTH=XOAUTH2".to_owned());
        state.smtp_capabilities.without.push("AUTH".to_owned());
        state.smtp_capabilities.with.push("AUTH PLAIN LOGIN XOAUTH2".to_owned());
    });
    let mut s3 = S3::start().await.unwrap();
    let mut environment = s3.environment();
    environment.extend([("RUST_LOG", "trace"), ("AWS_SESSION_TOKEN", SESSION)].map(owned));
    let trust_ca_pem = sandbox.ca_pem().to_owned();
    let endpoint = s3.endpoint();
    let place = ["--blobs", "s3://mail", "--blobs-endpoint", &endpoint];
    let allowed = ["--blobs-allow-http", "--blobs-path-style", "--webhooks-to-private-addresses"];
    let arguments = place.into_iter().chain(allowed).map(str::to_owned).collect();
    let options =
        PostroomOptions { trust_ca_pem, environment, arguments, ..PostroomOptions::default() };
    let mut postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap();
    let profile = json!({
        "name": "sandbox", "options": {"after_read_timeout": 0.1},
        "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let good = json!({"address": ANNA, "password": PASSWORD});
    let good = account_of(&postroom, profile.clone(), good).await;
    let mut refused = Vec::new();
    for (name, other) in [("password", "smtpPassword"), ("smtpPassword", "password")] {
        let account = json!({"address": ANNA, name: REFUSED, other: PASSWORD});
        refused.push(account_of(&postroom, profile.clone(), account).await);
    }
    let folder = enable(&postroom, &good, "INBOX", json!({})).await;
    let sent = postroom.post("email/Messages", &outgoing(&good, "hello")).await.unwrap();
    assert_eq!(settled(&postroom, &id(&sent)).await["messageState"], "sent");
    let large = json!({"account_id": good, "messageDirection": "out"});
    let large = id(&postroom.post("email/Messages", &large).await.unwrap());
    let path = format!("/rest/v1/model/email/Messages/{large}/file/a.bin");
    let put = async || {
        let put = reqwest::Client::new().put(format!("{}{path}", postroom.url()));
        let put = put.bearer_auth(Postroom::TOKEN).body(vec![7; 300_000]).send().await.unwrap();
        (put.status().as_u16(), put.bytes().await.unwrap())
    };
    assert!(put().await.0 < 300, "it is an object");
    s3.down().await;
    let (status, answer) = put().await;
    assert_eq!(status, 503);
    assert_absent("an answer while S3 is away", &answer);
    messages(&postroom, &folder, 1).await;
    a_webhook_fails(&postroom).await;
    accounts_are_refused(&postroom, &refused).await;
    accounts_are_verified(&postroom, &profile, &[&[good], &refused[..]].concat()).await;
    let (provider, listening) = an_account_has_tokens(&postroom, &sandbox, profile).await;
    let mut made = an_owner_consents(&postroom, &provider, &listening).await;
    made.push(a_token_is_used(&postroom).await);
    made.extend(a_user_signs_in(&postroom).await);
    let lists = ["Profiles", "Accounts", "Folders", "Messages", "Webhooks", "OAuthApps"];
    let iam = ["iam/Tokens", "iam/Users"].map(str::to_owned);
    for list in lists.map(|name| format!("email/{name}")).into_iter().chain(iam) {
        let answer = postroom.bytes(&list).await.unwrap();
        assert!(answer.len() > 2, "{list} is empty");
        assert_absent(&list, &answer);
    }
    events_are_told(&postroom).await;
    postroom.stop().unwrap();
    assert!(postroom.log().contains("TRACE"), "the log is not at its most verbose");
    assert_kept_nowhere(&postroom, &made);
}

#[test]
fn a_secret_is_found_within_sasl() {
    for login in ["a", "ab", "abc"] {
        let plain = BASE64_STANDARD.encode(format!("\0{login}\0{PASSWORD}"));
        assert!(forms(PASSWORD).iter().any(|form| plain.contains(form)), "{plain}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn no_core_dump_is_written_and_the_key_may_come_from_a_credential() {
    let credentials = tempfile::tempdir().unwrap();
    std::fs::write(credentials.path().join("postroom.master-key"), "5".repeat(64) + "\n").unwrap();
    let directory = credentials.path().to_str().unwrap().to_owned();
    let start = PostroomOptions {
        environment: vec![("CREDENTIALS_DIRECTORY".to_owned(), directory)],
        ..PostroomOptions::default()
    };
    let mut postroom = Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), start).unwrap();
    let process = format!("/proc/{}", postroom.id().unwrap());
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(core.split_whitespace().skip(4).take(2).collect::<Vec<_>>(), ["0", "0"], "{core}");
    // What is not dumpable belongs to root in /proc, whoever runs it; for root itself this says
    // nothing, the limit above does.
    assert!(!postroom.data_directory().join("key").exists(), "the credential is the key");
    postroom.stop().unwrap();
    // A clean stop leaves one whole file.
    assert!(!postroom.data_directory().join("postroom.db-wal").exists());
}

// SQLite alone: it is about the process.
#[tokio::test(flavor = "multi_thread")]
async fn an_abort_leaves_no_core_with_secrets() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path().display();
    // Whoever starts it wants core dumps, and the working directory takes them.
    let wants = format!("ulimit -c unlimited; cd {at}");
    let control = Command::new("sh").args(["-c", &format!("{wants}; kill -ABRT $$")]).status();
    let is_dumped = control.unwrap().core_dumped();
    let program = directory.path().join("start");
    let binary = env!("CARGO_BIN_EXE_postroom");
    std::fs::write(&program, format!("#!/bin/sh\n{wants}\nexec {binary} \"$@\"\n")).unwrap();
    std::fs::set_permissions(&program, Permissions::from_mode(0o700)).unwrap();
    let mut postroom = Postroom::start(&program, PostroomOptions::default()).unwrap();
    let profile = json!({"name": "p", "imapHost": "localhost", "imapPort": 9});
    let account = json!({"address": ANNA, "password": PASSWORD});
    account_of(&postroom, profile, account).await;
    postroom.signal("ABRT").unwrap();
    let status = postroom.ended().await.unwrap();
    assert_eq!(status.signal(), Some(6), "{status}");
    assert!(!status.core_dumped(), "{status}, and the control: {is_dumped}");
    if !is_dumped {
        skipped("half of it: this system writes no core dump for any process");
    }
}

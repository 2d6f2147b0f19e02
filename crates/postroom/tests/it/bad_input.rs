//! Bad input: each gets a clear answer that names what is wrong.

use crate::world::*;
use postroom_testkit::TestDatabase;
use postroom_testkit::on_both;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

#[on_both(flavor = "multi_thread")]
async fn each_bad_request_is_answered_with_what_is_wrong() {
    let postroom = postroom("");
    let unknown = "email/Profiles/018f0000-0000-7000-8000-000000000000";
    #[rustfmt::skip]
    let table = [
        (Method::POST,  "email/Profiles", Some(json!({"name": "p", "imapHots": "x"})), 422, "imapHots"),
        (Method::POST,  "email/Profiles", Some(json!({"name": 5})), 422, "takes a string"),
        (Method::POST,  "email/Profiles", Some(json!({"name": "p", "imapSecurity": "ssl"})), 422, "tls, starttls, none"),
        (Method::POST,  "email/Profiles", Some(json!({})), 422, "is required"),
        (Method::POST,  "email/Profiles", Some(json!({"name": "p", "options": {"after_read_timeout": 30000}})), 422, "not milliseconds"),
        (Method::POST,  "email/Accounts", Some(json!({"address": "a@b.test", "profile_id": "018f0000-0000-7000-8000-000000000000"})), 422, "profile_id"),
        (Method::POST,  "email/Messages", Some(json!({"messageDirection": "out", "messageState": "sending"})), 422, "recipient"),
        (Method::GET,   unknown, None, 404, "no entity of this id"),
        (Method::PATCH, unknown, Some(json!({"name": "q"})), 404, "no entity of this id"),
        (Method::GET,   "email/Nonsense", None, 404, "no class of that name"),
        (Method::GET,   "email/Profiles?nonsense=1", None, 422, "nonsense"),
        (Method::GET,   "email/Profiles?filter=%5B%22%3D~%22%5D", None, 422, "no operator"),
        (Method::GET,   "email/Profiles?limit=-1", None, 422, "limit"),
        (Method::DELETE, "email/Profiles", None, 422, "filter"),
        (Method::PUT,   "email/Profiles", Some(json!({})), 405, "GET"),
    ];
    for (method, path, body, status, want) in table {
        let response = postroom.request(method.clone(), path, body.as_ref()).await.unwrap();
        let got = response.status().as_u16();
        let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
        let text = response.text().await.unwrap();
        assert!(got == status || (status == 422 && got == 400), "{method} {path}: {got} {text}");
        assert!(kind.starts_with("application/problem+json"), "{kind}");
        let json: Json = serde_json::from_str(&text).unwrap();
        assert_eq!(json["error_code"], json!(1000 + i32::from(got)), "{text}");
        assert!(text.contains(want), "{method} {path}: {text} without {want}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn only_the_token_opens_and_health_needs_none() {
    let postroom = postroom("");
    let client = reqwest::Client::new();
    let url = format!("{}/rest/v1/model/email/Profiles", postroom.url());
    let none = client.get(&url).send().await.unwrap();
    assert_eq!(none.status(), 401);
    assert!(none.headers().contains_key("www-authenticate"));
    let wrong = client.get(&url).bearer_auth("wrong").send().await.unwrap();
    assert_eq!(wrong.status(), 401);
    let health = client.get(format!("{}/healthz", postroom.url())).send().await.unwrap();
    assert_eq!(health.status(), 200);
    let classes = postroom.get("/rest/v1/design/classes").await.unwrap();
    assert_eq!(classes.as_array().unwrap().len(), 10);
}

/// Arguments and environment of a start, and what is said of it.
type Start<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);

/// Starts the binary where it cannot start; gives what it says.
fn refused(arguments: &[&str], environment: &[(&str, &str)]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.arg("serve").args(arguments).envs(environment.iter().copied());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?} started: {said}");
    said
}

#[test]
fn a_start_that_cannot_be_says_why() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    std::fs::write(path("file"), "x").unwrap();
    let role = |name: &str, setting: &str| {
        let json = format!(r#"{{"roles":[{{"name":"a","roletype":"email",{setting}}}]}}"#);
        std::fs::write(path(name), json).unwrap();
        path(name)
    };
    let config = role("config", r#""dat":"x""#);
    let days = role("days", r#""feed_days":0"#);
    let text = role("text", r#""feed_days":"a week""#);
    let rate = role("rate", r#""requests_per_second":0"#);
    let private = |name: &str| {
        std::fs::create_dir(path(name)).unwrap();
        std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(0o700)).unwrap();
    };
    private("keyless");
    std::fs::write(path("keyless/postroom.db"), "").unwrap();
    private("garbled");
    std::fs::write(path("garbled/key"), b"\xFF\xFE").unwrap();
    let (data, keyless, garbled) = (path("data"), path("keyless"), path("garbled"));
    let file = path("file");
    let free = "127.0.0.1:0";
    #[rustfmt::skip]
    let table: &[Start<'_>] = &[
        (&[],                                          &[], "--data DIR"),
        (&["--data", &file, "--listen", free],         &[], "a file, not a directory"),
        (&["--data", &data, "--listen", &taken],       &[], &taken),
        (&["--config", &config],                       &[], "unknown field `dat`"),
        (&["--data", &keyless, "--listen", free],      &[], "key is missing"),
        (&["--data", &garbled, "--listen", free],      &[], "64 hexadecimal digits"),
        (&["--data", &data, "--listen", free],         &[("POSTROOM_MASTER_KEY", "abc")], "64 hexadecimal digits"),
        (&["--data", &data, "--listen", free],         &[("POSTROOM_ADMIN_TOKEN", "short")], "at least 20 characters"),
        (&["--data", &data, "--ehlo-name", "a b"],     &[], "--ehlo-name takes"),
        (&["--data", &data, "--feed-changes", "999"],  &[], "feed_changes (--feed-changes) takes 1000 to 1000000000"),
        (&["--data", &data, "--feed-days", "3651"],    &[], "feed_days (--feed-days) takes 1 to 3650"),
        (&["--data", &data, "--feed-days", "-1"],      &[], "unexpected argument '-1'"),
        (&["--data", &data, "--config", &days],        &[], "feed_days (--feed-days) takes 1 to 3650, and 0 is"),
        (&["--data", &data, "--tls-cert", &file],      &[], "--tls-cert needs the key of the certificate"),
        (&["--data", &data, "--tls-key", &file],       &[], "--tls-key needs its certificate"),
        (&["--data", &data, "--tls-cert", &file, "--tls-key", &file], &[], "no certificate in PEM"),
        (&["--data", &data, "--tls-cert", &data, "--tls-key", &file], &[], "Is a directory"),
        (&["--data", &data, "--cors-origin", "https://a.example/"], &[], "`https://a.example/` is no origin"),
        (&["--data", &data, "--trusted-proxy", "proxy.example"], &[], "`proxy.example` is neither an address"),
        (&["--data", &data, "--requests-per-second", "0"], &[], "--requests-per-second"),
        (&["--data", &data, "--config", &rate],        &[], "roles[0]: invalid value: integer `0`"),
        (&["--data", &data, "--config", &text],        &[], "roles[0]: invalid type: string \"a week\""),
    ];
    for (arguments, environment, want) in table {
        let said = refused(arguments, environment);
        assert!(said.contains(want), "{arguments:?}: {said}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn what_is_kept_is_for_its_owner_alone() {
    let postroom = postroom("");
    let directory = postroom.data_directory();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let names: &[&str] = match TestDatabase::present() {
        TestDatabase::Sqlite => &["postroom.db", "postroom.db-wal", "key"],
        TestDatabase::Postgres => &["key"],
    };
    for name in names {
        assert_eq!(mode(&directory.join(name)), 0o600, "{name}");
    }
}

#[test]
fn a_data_directory_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    for mode in [0o755, 0o750, 0o701, 0o777] {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path(), permissions).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
        command.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(directory.path());
        let ended = command.output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(1), "{said}");
        assert!(said.contains("chmod 700") && said.contains(&format!("{mode:04o}")), "{said}");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing was made");
    }
}

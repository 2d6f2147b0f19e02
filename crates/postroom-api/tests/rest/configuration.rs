//! `/rest/v1/config`: the configuration of all instances.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const CONFIG: &str = "/rest/v1/config";

async fn patch(server: &Server, tag: &str, body: &Json) -> Answer {
    answer(server.request("PATCH", CONFIG).header("if-match", tag).json(body)).await
}

#[on_both]
async fn the_sample_of_the_platform_is_taken_shown_and_trimmed() {
    let server = Server::start().await;
    let sample =
        r#"{"roles":[{"name":"im1","roletype":"im","iface":"eth0","group":11330,"order":1}]}"#;
    let sample: Json = serde_json::from_str(sample).unwrap();
    let empty = server.get(CONFIG).await;
    assert_eq!(empty.header("etag"), "\"0\"");
    assert_eq!(empty.expect(200), json!({"roles": []}));
    let changed = server.send("PATCH", CONFIG, &sample).await;
    assert_eq!(changed.header("etag"), "\"1\"");
    let changed = changed.expect(200);
    assert_eq!((&changed["version"], &changed["config"]), (&json!(1), &sample));
    assert_eq!(changed["warnings"][0]["property"], "roles[0].roletype");
    for path in [CONFIG, "/rest/v1/config/trimmed"] {
        let shown = server.get(path).await;
        assert_eq!(shown.header("etag"), "\"1\"");
        assert_eq!(shown.expect(200), sample, "{path}");
        let known = server.request("GET", path).header("if-none-match", "\"1\"");
        assert_eq!(answer(known).await.status, 304, "{path}");
    }
}

#[on_both]
async fn a_change_needs_the_version_that_it_changes() {
    let server = Server::start().await;
    let limits = |count: u32| json!({"limits": {"requestsPerSecond": count}});
    assert_eq!(patch(&server, "\"0\"", &limits(500)).await.expect(200)["version"], 1);
    let stale = patch(&server, "\"0\"", &limits(600)).await;
    assert_eq!(stale.expect(412)["type"], "urn:postroom:problem:stale");
    assert_eq!(server.get(CONFIG).await.expect(200)["limits"]["requestsPerSecond"], 500);
    assert_eq!(patch(&server, "\"1\"", &limits(600)).await.expect(200)["version"], 2);
    // What changes nothing makes no version.
    assert_eq!(patch(&server, "\"2\"", &limits(600)).await.expect(200)["version"], 2);
}

#[on_both]
async fn many_who_change_different_settings_at_once_lose_nothing() {
    let server = Server::start().await;
    let changes = [
        json!({"limits": {"requestsPerSecond": 1000}}),
        json!({"retention": {"feedDays": 3}}),
        json!({"retention": {"feedChanges": 5000}}),
        json!({"log": {"level": "info"}}),
        json!({"outgoing": {"webhooksToPrivateAddresses": true}}),
    ];
    let sent = changes.iter().map(|change| server.send("PATCH", CONFIG, change));
    for answered in futures_util::future::join_all(sent).await {
        answered.expect(200);
    }
    let whole = server.get(CONFIG).await;
    assert_eq!(whole.header("etag"), "\"5\"");
    let want = json!({"roles": [], "limits": {"requestsPerSecond": 1000},
        "retention": {"feedDays": 3, "feedChanges": 5000}, "log": {"level": "info"},
        "outgoing": {"webhooksToPrivateAddresses": true}});
    assert_eq!(whole.expect(200), want);
}

#[on_both]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let server = Server::start().await;
    let dry = format!("{CONFIG}?dryRun=true");
    let told = server.send("PATCH", &dry, &json!({"retention": {"feedDays": 3}})).await.expect(200);
    assert_eq!((&told["version"], &told["dryRun"]), (&json!(0), &json!(true)));
    let change = json!([{"property": "retention", "before": null, "after": {"feedDays": 3}}]);
    assert_eq!(told["changes"], change);
    // The process of this test is called `postroom`.
    let others = json!({"roles": [{"name": "a", "roletype": "email"}]});
    let told = server.send("PATCH", &dry, &others).await.expect(200);
    assert_eq!(told["warnings"][0]["property"], "roles");
    assert!(told["warnings"][0]["reason"].as_str().unwrap().contains("`postroom` runs"), "{told}");
    let odd = json!({"roles": [{"name": "a", "roletype": "email", "group": 0}]});
    let refused = server.send("PATCH", &dry, &odd).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "roles[0].group");
    assert_eq!(server.get(CONFIG).await.expect(200), json!({"roles": []}));
    let none = server.get("/rest/v1/config/versions").await.expect(200);
    assert_eq!(none, json!([]));
}

#[on_both]
async fn versions_have_authors_and_differences_and_come_back() {
    let server = Server::start().await;
    let role = |order: u32| json!({"roles": [{"name": "e1", "roletype": "email", "order": order}]});
    for order in [1, 2] {
        server.send("PATCH", CONFIG, &role(order)).await.expect(200);
    }
    let second = server.get("/rest/v1/config/versions/2").await.expect(200);
    assert_eq!(second["author"], json!({"domain": "default", "name": "admin"}));
    let change = json!([{"property": "roles[e1].order", "before": 1, "after": 2}]);
    assert_eq!((&second["changes"], &second["config"]), (&change, &role(2)));
    let rollback = "/rest/v1/config:rollback";
    let dry = format!("{rollback}?dryRun=true");
    assert_eq!(server.send("POST", &dry, &json!({"version": 1})).await.expect(200)["version"], 2);
    let third = server.send("POST", rollback, &json!({"version": 1})).await.expect(200);
    assert_eq!((&third["version"], &third["config"]), (&json!(3), &role(1)));
    server.send("POST", rollback, &json!({"version": 0})).await.expect(200);
    let list = server.get("/rest/v1/config/versions?limit=3").await.expect(200);
    let of = |name: &str| list.as_array().unwrap().iter().map(|one| one[name].clone()).collect();
    let (numbers, restored): (Vec<_>, Vec<_>) = (of("version"), of("restored"));
    assert_eq!(numbers, [4, 3, 2]);
    assert_eq!(restored, [json!(0), json!(1), json!(null)]);
    assert_eq!(server.get(CONFIG).await.expect(200), json!({"roles": []}));
}

#[on_both]
async fn a_secret_is_never_shown_again() {
    let server = Server::start().await;
    let role = |secret: &str, order: u32| json!({"roles": [{"name": "w", "roletype": "web", "apiKey": secret, "order": order}]});
    let mut seen = vec![];
    let changed = server.send("PATCH", CONFIG, &role("canary-one", 1)).await;
    seen.push(changed.expect(200).to_string());
    // The mask keeps it, and another one replaces it.
    let kept = server.send("PATCH", CONFIG, &role("********", 2)).await.expect(200);
    assert_eq!(kept["changes"].as_array().unwrap().len(), 1, "{kept}");
    let replaced = server.send("PATCH", CONFIG, &role("canary-two", 2)).await.expect(200);
    assert_eq!(replaced["changes"][0]["property"], "roles[w].apiKey");
    seen.extend([kept.to_string(), replaced.to_string()]);
    for path in ["", "/trimmed", "/versions", "/versions/1", "/versions/2", "/versions/3"] {
        let path = format!("{CONFIG}{path}");
        seen.push(server.get(&path).await.expect(200).to_string());
    }
    for text in &seen {
        assert!(!text.contains("canary") && !text.contains("sealed"), "{text}");
    }
    assert!(!seen[4].contains("apiKey"), "{}", seen[4]);
    let sealed = json!({"roles": [{"name": "w", "roletype": "web", "apiKey": {"sealed": "x"}}]});
    server.send("PATCH", CONFIG, &sealed).await.expect(422);
}

#[on_both]
async fn another_domain_neither_sees_nor_changes_it() {
    let server = Server::start().await;
    let ways = [
        ("GET", ""),
        ("PATCH", ""),
        ("POST", ":rollback"),
        ("GET", "/trimmed"),
        ("GET", "/versions"),
        ("GET", "/versions/1"),
    ];
    for (method, path) in ways {
        let request = server.anonymous(method, &format!("{CONFIG}{path}"));
        let refused = answer(request.bearer_auth(OTHER_TOKEN).json(&json!({}))).await;
        assert_eq!(refused.expect(403)["type"], "urn:postroom:problem:forbidden", "{path}");
    }
}

#[on_both]
async fn certificates_that_cannot_be_used_are_refused_by_their_place() {
    let server = Server::start().await;
    let authority = rcgen::generate_simple_self_signed(vec!["mail.test".to_owned()]).unwrap();
    let good = authority.cert.pem();
    let bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let sent = |list: &[&str]| json!({"trust": {"authorities": list}});
    let refused = server.send("PATCH", CONFIG, &sent(&[&good, bad])).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "trust.authorities[1]");
    server.send("PATCH", CONFIG, &sent(&[&good])).await.expect(200);
    let trimmed = server.get("/rest/v1/config/trimmed").await.expect(200);
    assert_eq!(trimmed["trust"], json!({"authorities": 1}));
}

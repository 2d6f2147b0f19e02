//! Webhooks over REST: what is shown of them, and what is never shown.

use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::WEBHOOKS;
use postroom_testkit::on_both;
use serde_json::json;

#[on_both]
async fn a_secret_that_is_made_is_shown_once_and_others_never() {
    let server = Server::start().await;
    let path = format!("/rest/v1/model/{WEBHOOKS}");
    let url = "https://a.test/";
    let hook = server.send("POST", &path, &json!({"url": url})).await.expect(201);
    let secret = hook["secret"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("whsec_"), "{secret}");
    let own = json!({"url": url, "secret": secret, "secondSecret": secret, "headers": {"x": "y"}});
    let own = server.send("POST", &path, &own).await.expect(201);
    let list = server.send("POST", &path, &json!([{"url": url}, {"url": url}])).await.expect(201);
    assert_ne!(list[0]["secret"], list[1]["secret"]);
    let one = format!("{WEBHOOKS}/{}", hook["id"].as_str().unwrap());
    let one = server.get(&one).await.expect(200);
    for shown in [&own, &one] {
        for name in ["secret", "secondSecret", "headers"] {
            assert_eq!(shown.get(name), None, "{name} is shown");
        }
    }
    assert_eq!(
        (&one["enabled"], &one["batch"], &one["retryFor"]),
        (&json!(true), &json!(1), &json!(259_200))
    );
    let path = format!("{path}/{}", hook["id"].as_str().unwrap());
    // A change of something else keeps the secret, and it cannot be taken away.
    server.send("PATCH", &path, &json!({"batch": 5})).await.expect(200);
    let refused = server.send("PATCH", &path, &json!({"secret": null})).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("secret"), "{refused}");
    let wrong = json!({"classes": ["email/Messages"], "filter": ["==", ["property", "nope"], 1]});
    server.send("PATCH", &path, &wrong).await.expect(422);
    // This server has no engine.
    answer(server.request("POST", &format!("{path}/test"))).await.expect(409);
    answer(server.request("GET", &format!("{path}/test"))).await.expect(405);
    answer(server.request("DELETE", &path)).await.expect(204);
}

//! OAuth apps and tokens over REST: what is shown of them, and what is never shown.

use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::OAUTH_APPS;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const KEY: &str = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
const SECRETS: [&str; 6] = [
    "privateKey",
    "clientSecret",
    "refreshToken",
    "accessToken",
    "smtpRefreshToken",
    "smtpAccessToken",
];

fn path(class: &str, entity: &Json) -> String {
    format!("/rest/v1/model/{class}/{}", entity["id"].as_str().unwrap())
}

#[on_both]
async fn tokens_and_secrets_are_taken_and_never_shown() {
    let server = Server::start().await;
    let all = |class: &str| format!("/rest/v1/model/{class}");
    let app = json!({"name": "ours", "provider": "google", "clientId": "id", "clientSecret": "hush", "privateKey": KEY});
    let app = server.send("POST", &all(OAUTH_APPS), &app).await.expect(201);
    let profile = json!({"name": "p", "imapHost": "mail.example"});
    let profile = server.send("POST", &all("email/Profiles"), &profile).await.expect(201);
    let account = json!({
        "profile_id": profile["id"], "address": "anna@demo.test", "oauthApp_id": app["id"],
        "refreshToken": "r", "smtpOauthApp_id": app["id"], "smtpAccessToken": "a",
    });
    let account = server.send("POST", &all(ACCOUNTS), &account).await.expect(201);
    let at = path(ACCOUNTS, &account);
    let shown = server.get(&at).await.expect(200);
    for (entity, name) in [&app, &account, &shown].into_iter().flat_map(|e| SECRETS.map(|n| (e, n)))
    {
        assert_eq!(entity.get(name), None, "{name} is shown");
    }
    for name in ["tokenState", "smtpTokenState"] {
        assert_eq!(shown[name], "none");
    }
    assert!(shown["consentedAt"].is_string() && shown["smtpConsentedAt"].is_string(), "{shown}");
    assert_eq!(shown["tokenExpiresAt"], Json::Null);

    // The same app is no change. Without it, its tokens are gone.
    let same = json!({"oauthApp_id": app["id"]});
    let kept = server.send("PATCH", &at, &same).await.expect(200);
    assert_eq!(kept["consentedAt"], shown["consentedAt"]);
    let without = server.send("PATCH", &at, &json!({"oauthApp_id": null})).await.expect(200);
    assert_eq!((&without["consentedAt"], &without["tokenState"]), (&Json::Null, &json!("none")));
    server.send("PATCH", &at, &json!({"consentedAt": "2026-11-29T10:00:00Z"})).await.expect(422);

    let app = path(OAUTH_APPS, &app);
    let used = answer(server.request("DELETE", &app)).await.expect(409);
    assert!(used["detail"].as_str().unwrap().contains("anna@demo.test"), "{used}");
    server.send("PATCH", &at, &json!({"smtpOauthApp_id": null})).await.expect(200);
    answer(server.request("DELETE", &app)).await.expect(204);
    let gone = server.send("PATCH", &at, &same).await.expect(422);
    assert!(gone["detail"].as_str().unwrap().contains("oauthApp_id"), "{gone}");
}

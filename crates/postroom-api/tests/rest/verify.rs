//! `VERIFY`, where nothing can be tried: whom it answers, and how.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::EntityId;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const MODEL: &str = "/rest/v1/model";

#[on_both]
async fn an_account_is_tried_for_its_own_domain_and_by_an_engine_alone() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let path = format!("{MODEL}/email/Accounts/{account}");
    let verify = async |method: &str, path: &str| server.send(method, path, &json!({})).await;
    let problem = verify("VERIFY", &path).await.expect(409);
    assert!(problem["detail"].as_str().unwrap().contains("no engine"), "{problem}");
    verify("POST", &format!("{path}:verify")).await.expect(409);
    verify("POST", &format!("{path}:verify?filter=x")).await.expect(422);
    let unknown = format!("{MODEL}/email/Accounts/{}:verify", EntityId::from_u128(7));
    verify("POST", &unknown).await.expect(404);
    let body = json!({"address": "a@b.test", "profile": {"name": "p", "imapHost": "b.test"}});
    let unsaved = format!("{MODEL}/email/Accounts:verify");
    server.send("POST", &unsaved, &body).await.expect(409);
    server.send("POST", &unsaved, &json!({"address": "a@b.test"})).await.expect(422);
    // Without a server there is nothing to try, and what is not looked at is not taken.
    let none = json!({"address": "a@b.test", "profile": {"name": "p"}});
    let problem = server.send("POST", &unsaved, &none).await.expect(422);
    assert_eq!(problem["errors"][0]["property"], "profile");
    for verb in ["verify", "try"] {
        let sent = server.send("POST", &format!("{path}:{verb}"), &json!({"x": 1})).await;
        assert_eq!(sent.expect(422)["errors"][0]["property"], "x", "{verb}");
    }

    // Another domain has neither the account nor its profile.
    let profile = server.get(&path).await.expect(200)["profile_id"].clone();
    let ask = async |path: &str, body: Json| {
        let asked = server.anonymous("POST", path).bearer_auth(OTHER_TOKEN).json(&body);
        answer(asked).await
    };
    ask(&format!("{path}:verify"), json!({})).await.expect(404);
    let body = json!({"address": "a@b.test", "profile_id": profile});
    let problem = ask(&unsaved, body.clone()).await.expect(422);
    assert_eq!(problem["errors"][0]["property"], "profile_id");
    // It names no server.
    let problem = server.send("POST", &unsaved, &body).await.expect(422);
    assert_eq!(problem["errors"][0]["property"], "profile_id");
}

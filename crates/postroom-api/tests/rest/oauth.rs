//! Consents over REST, where there is no engine: whom they answer, and how.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_testkit::on_both;

const START: &str = "/rest/v1/oauth/start";
const CALLBACK: &str = "/rest/v1/oauth/callback";

#[on_both]
async fn a_start_needs_a_token_and_an_account_and_the_end_needs_neither() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let start = format!("{START}?account={account}");
    answer(server.anonymous("GET", &start)).await.expect(401);
    for wrong in ["", "?account=x", "?account=", "?slot=smtp"] {
        let problem = server.get(&format!("{START}{wrong}")).await.expect(422);
        assert_eq!(problem["errors"][0]["property"], "account", "{wrong}");
    }
    for wrong in ["&slot=imap", "&state=x"] {
        server.get(&format!("{start}{wrong}")).await.expect(422);
    }
    for token in [crate::server::TOKEN, OTHER_TOKEN] {
        let asked = server.anonymous("GET", &start).bearer_auth(token);
        let problem = answer(asked).await.expect(409);
        assert_eq!(problem["type"], "urn:postroom:problem:no-engine");
    }
    server.send("POST", &start, &serde_json::json!({})).await.expect(405);

    let ended = answer(server.anonymous("GET", &format!("{CALLBACK}?state=x&code=y"))).await;
    assert_eq!(ended.status, 409);
    assert_eq!(ended.header("content-type"), "text/html; charset=utf-8");
    assert!(ended.header("content-security-policy").starts_with("default-src 'none'"));
    assert_eq!(ended.header("cache-control"), "no-store");
    assert_eq!(ended.header("referrer-policy"), "no-referrer");
    let page = String::from_utf8(ended.bytes.to_vec()).unwrap();
    assert!(page.contains("serves REST alone") && !page.contains("://"), "{page}");
    answer(server.anonymous("GET", &format!("{CALLBACK}?state=%"))).await.expect(400);
}

#[on_both]
async fn a_consent_on_another_device_needs_a_token_an_account_and_an_engine() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let device = format!("/rest/v1/oauth/device?account={account}");
    for method in ["GET", "POST"] {
        answer(server.anonymous(method, &device)).await.expect(401);
        for (wrong, property) in
            [("", "account"), ("?account=x", "account"), ("?slot=imap", "account")]
        {
            let path = format!("/rest/v1/oauth/device{wrong}");
            let problem = answer(server.anonymous(method, &path).bearer_auth(crate::server::TOKEN));
            let problem = problem.await.expect(422);
            assert_eq!(problem["errors"][0]["property"], property, "{wrong}");
        }
    }
    let problem = server.send("POST", &device, &serde_json::json!({})).await.expect(409);
    assert_eq!(problem["type"], "urn:postroom:problem:no-engine");
    let problem = server.get(&device).await.expect(404);
    assert!(problem["detail"].as_str().unwrap().contains("POST here begins one"), "{problem}");
    let strange = "/rest/v1/oauth/device?account=0192d000-0000-7000-8000-00000000abcd";
    server.get(strange).await.expect(404);
    server.send("DELETE", &device, &serde_json::json!({})).await.expect(405);
}

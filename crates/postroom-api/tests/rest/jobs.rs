//! Jobs: asked for, shown, taken away; each seen by its own domain alone.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use serde_json::json;

#[on_both]
async fn a_job_is_seen_by_its_domain_until_it_is_taken_away() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    server.received(&account, &folder).await;
    let filter = r#"["==",["property","subject"],"hi"]"#;
    let twin = server.request("POST", "email/Messages:redecompose").query(&[("filter", filter)]);
    let asked = answer(twin).await;
    let place = asked.header("location").to_owned();
    assert_eq!(asked.expect(202)["total"], 1);
    answer(server.request("DELETE", &place)).await.expect(204);
    let asked = server.request("REDECOMPOSE", MESSAGES).query(&[("filter", filter)]);
    let asked = answer(asked).await;
    let job = asked.expect(202);
    let within = server.request("REDECOMPOSE", MESSAGES).json(&json!({"filter": filter}));
    let refused = answer(within).await.expect(400);
    assert!(refused["detail"].as_str().unwrap().contains("the parameter `filter`"), "{refused}");
    let place = asked.header("location").to_owned();
    assert_eq!(place, format!("/rest/v1/jobs/{}", job["id"].as_str().unwrap()));
    assert_eq!(
        (&job["total"], &job["done"], &job["state"]),
        (&json!(1), &json!(0), &json!("open"))
    );
    assert_eq!(job["filter"], json!(["==", ["property", "subject"], "hi"]));
    assert_eq!(server.get(&place).await.expect(200), job);
    assert_eq!(server.get("/rest/v1/jobs").await.expect(200), json!([job]));
    for method in ["GET", "DELETE"] {
        let other = server.anonymous(method, &place).bearer_auth(OTHER_TOKEN);
        answer(other).await.expect(404);
    }
    answer(server.anonymous("GET", "/rest/v1/jobs")).await.expect(401);
    answer(server.request("DELETE", &place)).await.expect(204);
    server.get(&place).await.expect(404);
}

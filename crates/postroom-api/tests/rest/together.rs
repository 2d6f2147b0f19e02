//! Requests at the same moment, and what the feed says of who they came from.

use crate::server::Server;
use postroom_store::Modifier;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// How often each is tried.
const ROUNDS: usize = 40;

#[on_both(flavor = "multi_thread")]
async fn an_account_is_not_created_beside_the_deletion_of_its_profile() {
    let server = Server::start().await;
    for round in 0..ROUNDS {
        let profile = server.create("email/Profiles", &json!({"name": "p"})).await;
        let path = format!("email/Profiles/{profile}");
        let account = json!({"profile_id": profile, "address": format!("a{round}@b.test")});
        let create = || server.send("POST", "email/Accounts", &account);
        let (created, deleted) = if round % 2 == 0 {
            tokio::join!(create(), async { server.send("DELETE", &path, &Json::Null).await })
        } else {
            let delete = async { server.send("DELETE", &path, &Json::Null).await };
            let (deleted, created) = tokio::join!(delete, create());
            (created, deleted)
        };
        let said = (created.status, deleted.status);
        assert!([(201, 409), (422, 204)].contains(&said), "{said:?}");
        if said.0 == 422 {
            assert_eq!(created.json()["errors"][0]["property"], "profile_id");
        } else {
            assert!(deleted.json()["detail"].as_str().unwrap().contains("used by"), "{said:?}");
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_mailbox_gets_one_folder_and_a_version_one_change() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    for round in 0..ROUNDS {
        let new = json!({"account_id": account, "name": format!("f{round}")});
        let post = || server.send("POST", "email/Folders", &new);
        let (a, b, c, d) = tokio::join!(post(), post(), post(), post());
        let mut statuses = [a, b, c, d].map(|answer| answer.status);
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409, 409, 409]);
        let path = format!("email/Folders/{folder}");
        let tag = server.get(&path).await.header("etag").to_owned();
        let patch = |enabled: bool| {
            let change = json!({"enabled": enabled, "options": {"portion_limit": round + 1}});
            server.request("PATCH", &path).header("if-match", &tag).json(&change).send()
        };
        let (a, b) = tokio::join!(patch(true), patch(false));
        let mut statuses = [a, b].map(|answer| answer.unwrap().status().as_u16());
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412]);
    }
}

#[on_both]
async fn the_feed_says_whose_token_changed_what() {
    let server = Server::start().await;
    let (_, folder) = server.account().await;
    let path = format!("email/Folders/{folder}");
    server.send("PATCH", &path, &json!({"enabled": true})).await.expect(200);
    let feed = server.feed(0, 4).await;
    assert_eq!(feed.len(), 4);
    for row in &feed {
        assert_eq!(row.modifier, Some(Modifier::Client("admin".into())), "{row:?}");
    }
    let replaced = feed[3].replaced.as_ref().unwrap();
    assert_eq!((&replaced["enabled"], &replaced["version"]), (&json!(false), &json!(1)));
}

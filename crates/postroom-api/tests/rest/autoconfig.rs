//! `/rest/v1/autoconfig`: the servers of well-known providers. Who else may be asked is a story of
//! the whole process, because it takes an engine.

use crate::server::Server;
use postroom_testkit::on_both;
use serde_json::json;

const AUTOCONFIG: &str = "/rest/v1/autoconfig";

#[on_both]
async fn a_known_provider_gives_a_profile_and_an_account_that_can_be_created() {
    let server = Server::start().await;
    let domain = ["posteo", "net"].join(".");
    let found = server.get(&format!("{AUTOCONFIG}?address=anna@{domain}")).await.expect(200);
    assert_eq!(found["provider"], "Posteo");
    assert_eq!(found["sources"]["smtpPort"], json!({"source": "table", "sure": "high"}));
    assert_eq!((&found["missing"], &found["lookups"]["tried"]), (&json!([]), &json!([])));
    assert_eq!(found["lookups"]["allowed"], false);
    let profile = server.create("email/Profiles", &found["profile"]).await;
    let mut account = found["account"].clone();
    account["profile_id"] = json!(profile);
    assert_eq!(account["address"], format!("anna@{domain}"));
    server.create("email/Accounts", &account).await;
    server.get(&format!("{AUTOCONFIG}?address=anna@mail.example")).await.expect(404);
    for wrong in [
        "",
        "?address=",
        "?address=anna",
        "?address=a@b.test&x=1",
        "?address=a@b.test&ispDatabase=x",
    ] {
        server.get(&format!("{AUTOCONFIG}{wrong}")).await.expect(422);
    }
    let anonymous = server.anonymous("GET", &format!("{AUTOCONFIG}?address=a@b.test"));
    crate::server::answer(anonymous).await.expect(401);
}

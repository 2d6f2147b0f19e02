//! `/rest/v1/autoconfig`: the servers of well-known providers.

use crate::server::Server;
use postroom_testkit::on_both;

const AUTOCONFIG: &str = "/rest/v1/autoconfig";

#[on_both]
async fn a_known_provider_gives_a_profile_that_can_be_created() {
    let server = Server::start().await;
    let domain = ["posteo", "net"].join(".");
    let found = server.get(&format!("{AUTOCONFIG}?address=anna@{domain}")).await.expect(200);
    assert_eq!(found["provider"], "Posteo");
    server.create("email/Profiles", &found["profile"]).await;
    server.get(&format!("{AUTOCONFIG}?address=anna@mail.example")).await.expect(404);
    for wrong in ["", "?address=", "?address=anna", "?address=a@b.test&x=1"] {
        server.get(&format!("{AUTOCONFIG}{wrong}")).await.expect(422);
    }
    let anonymous = server.anonymous("GET", &format!("{AUTOCONFIG}?address=a@b.test"));
    crate::server::answer(anonymous).await.expect(401);
}

//! The configuration in the database takes effect while Postroom runs, and holds after a restart.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;

const CONFIG: &str = "/rest/v1/config";
const VERIFY: &str = "email/Accounts:verify";

async fn sandboxed() -> Sandbox {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    Sandbox::start(config).await.unwrap()
}

/// Whether an account of the sandbox can be reached, and what was said.
async fn tried(postroom: &Postroom, sandbox: &Sandbox) -> (bool, String) {
    let profile = json!({
        "name": "sandbox", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret", "profile": profile});
    let verified = postroom.post(VERIFY, &account).await.unwrap();
    (verified["ok"] == true, verified.to_string())
}

/// Waits until an account of the sandbox can be reached, or cannot.
async fn until_tried(postroom: &Postroom, sandbox: &Sandbox, is_ok: bool) -> String {
    let found = wait_until("another outcome", PATIENCE, async || {
        let (ok, said) = tried(postroom, sandbox).await;
        Ok((ok == is_ok).then_some(said))
    });
    found.await.unwrap()
}

#[on_both(flavor = "multi_thread")]
async fn which_servers_are_trusted_and_reached_changes_while_it_runs() {
    let sandbox = sandboxed().await;
    let other = rcgen::generate_simple_self_signed(vec!["x.test".to_owned()]).unwrap();
    let mut postroom = postroom(&other.cert.pem());
    let (ok, said) = tried(&postroom, &sandbox).await;
    assert!(!ok && said.contains("certificate"), "{said}");
    let trust = json!({"trust": {"authorities": [sandbox.ca_pem()]}});
    postroom.patch(CONFIG, &trust).await.unwrap();
    until_tried(&postroom, &sandbox, true).await;
    let refused = json!({"outgoing": {"mailToPublicAddressesOnly": true}});
    postroom.patch(CONFIG, &refused).await.unwrap();
    let said = until_tried(&postroom, &sandbox, false).await;
    assert!(said.contains("outgoing.mailToPublicAddressesOnly"), "{said}");
    // SIGHUP keeps what the configuration says, and so does a restart.
    postroom.signal("HUP").unwrap();
    let again = async || Ok(postroom.log().contains("settings were read again").then_some(()));
    wait_until("the signal", PATIENCE, again).await.unwrap();
    assert!(!tried(&postroom, &sandbox).await.0);
    postroom.stop().unwrap();
    postroom.restart().unwrap();
    assert!(!tried(&postroom, &sandbox).await.0);
    postroom.post("/rest/v1/config:rollback", &json!({"version": 1})).await.unwrap();
    until_tried(&postroom, &sandbox, true).await;
}

/// How many of a few requests that come at once are answered 429.
async fn refused(postroom: &Postroom) -> usize {
    let sent = (0..10).map(|_| postroom.request(Method::GET, "/rest/v1/jobs", None));
    let answered = futures_util::future::join_all(sent).await;
    answered.into_iter().filter(|answer| answer.as_ref().unwrap().status() == 429).count()
}

#[on_both(flavor = "multi_thread")]
async fn the_limit_of_requests_and_the_level_of_the_log_change_while_it_runs() {
    let sandbox = sandboxed().await;
    let postroom = postroom(sandbox.ca_pem());
    assert_eq!(refused(&postroom).await, 0);
    let limits = json!({"limits": {"requestsPerSecond": 2}, "log": {"level": "error"}});
    postroom.patch(CONFIG, &limits).await.unwrap();
    wait_until("a limit", PATIENCE, async || Ok((refused(&postroom).await > 0).then_some(())))
        .await
        .unwrap();
    let quiet = postroom.log().len();
    refused(&postroom).await;
    // Nothing of these requests is in it.
    let between = postroom.log().get(quiet..).unwrap().to_owned();
    assert!(!between.contains("status=429"), "{between}");
    // It is refused while there were too many requests just before.
    let free = json!({"limits": null, "log": null});
    let freed = wait_until("the next change", PATIENCE, async || {
        let answered = postroom.request(Method::PATCH, CONFIG, Some(&free)).await?;
        Ok(answered.status().is_success().then_some(()))
    });
    freed.await.unwrap();
    let logged =
        async || Ok((refused(&postroom).await == 0 && postroom.log().len() > quiet).then_some(()));
    wait_until("no limit, and a log", PATIENCE, logged).await.unwrap();
    let versions: Json = postroom.get("/rest/v1/config/versions").await.unwrap();
    assert_eq!(versions.as_array().unwrap().len(), 2);
}

fn named(name: &str) -> Postroom {
    let arguments = vec!["--name".to_owned(), name.to_owned()];
    let options = PostroomOptions { arguments, ..PostroomOptions::default() };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

async fn own_node(postroom: &Postroom) -> Json {
    postroom.get("/rest/v1/nodes").await.unwrap()[0].clone()
}

/// Waits until the node that answers has this state.
async fn until_state(postroom: &Postroom, state: &str) -> Json {
    let found = wait_until(state, PATIENCE, async || {
        let node = own_node(postroom).await;
        Ok((node["state"] == state).then_some(node))
    });
    found.await.unwrap_or_else(|error| panic!("{error}: {}", postroom.log()))
}

#[on_both(flavor = "multi_thread")]
async fn an_instance_works_when_the_section_of_roles_names_it() {
    let mut postroom = named("e1");
    let put = async |postroom: &Postroom, role: Json| {
        postroom.patch(CONFIG, &json!({"roles": [role]})).await.unwrap()
    };
    until_state(&postroom, "active").await;
    put(&postroom, json!({"name": "e2", "roletype": "email"})).await;
    let rests = until_state(&postroom, "resting").await;
    assert_eq!(rests["rests"], "not-named");
    // It answers, and changes what clients change. The engine does not run.
    let account = json!({"profile": {"name": "p", "imapHost": "a.test"}, "address": "a@a.test"});
    let tried = postroom.request(Method::POST, VERIFY, Some(&account)).await.unwrap();
    assert_eq!(tried.status(), 409);
    put(&postroom, json!({"name": "e1", "roletype": "email", "enabled": false})).await;
    let is_disabled = async || Ok((own_node(&postroom).await["rests"] == "disabled").then_some(()));
    wait_until("another reason", PATIENCE, is_disabled).await.unwrap();
    postroom.stop().unwrap();
    postroom.restart().unwrap();
    assert_eq!(own_node(&postroom).await["state"], "resting");
    put(&postroom, json!({"name": "e1", "roletype": "email", "group": 9, "order": 0})).await;
    let active = until_state(&postroom, "active").await;
    assert_eq!((&active["group"], &active["order"]), (&json!(9), &json!(0)));
    // Another group is taken without a restart, and so is another role.
    put(&postroom, json!({"name": "e1", "roletype": "email", "group": 8})).await;
    let moved = async || {
        let node = own_node(&postroom).await;
        Ok((node["group"] == 8 && node["state"] == "active").then_some(()))
    };
    wait_until("another group", PATIENCE, moved).await.unwrap();
    put(&postroom, json!({"name": "e1", "roletype": "api"})).await;
    until_state(&postroom, "passive").await;
    postroom.patch(CONFIG, &json!({"roles": []})).await.unwrap();
    until_state(&postroom, "active").await;
}

#[on_both(flavor = "multi_thread")]
async fn the_network_interface_of_a_role_decides_where_rest_listens() {
    let postroom = named("e1");
    let role = |iface: &str| json!({"name": "e1", "roletype": "email", "iface": iface});
    let given = own_node(&postroom).await["addresses"].clone();
    assert_eq!(given.as_array().unwrap().len(), 1);
    let port = given[0].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let odd = json!({"roles": [role("gone0")]});
    for path in [CONFIG, "/rest/v1/config?dryRun=true"] {
        let refused = postroom.request(Method::PATCH, path, Some(&odd)).await.unwrap();
        assert_eq!(refused.status(), 422);
        let refused: Json = refused.json().await.unwrap();
        assert_eq!(refused["errors"][0]["property"], "roles[0].iface", "{refused}");
    }
    postroom.patch(CONFIG, &json!({"roles": [role("lo")]})).await.unwrap();
    let told = wait_until("the interface", PATIENCE, async || {
        let node = own_node(&postroom).await;
        Ok((node["iface"] == "lo").then_some(node))
    });
    let told = told.await.unwrap();
    let addresses = told["addresses"].as_array().unwrap();
    assert!(addresses.contains(&given[0]), "{told}");
    // It answers at each of them.
    for address in addresses {
        let url = format!("http://{}/livez", address.as_str().unwrap());
        assert!(url.contains(&port), "{told}");
        assert!(reqwest::get(url).await.unwrap().status().is_success(), "{told}");
    }
    if addresses.len() > 1 {
        assert!(
            postroom.log().contains("REST listens elsewhere than before"),
            "{}",
            postroom.log()
        );
    }
    postroom.patch(CONFIG, &json!({"roles": []})).await.unwrap();
    let back = async || Ok((own_node(&postroom).await["addresses"] == given).then_some(()));
    wait_until("the address of the arguments", PATIENCE, back).await.unwrap();
}

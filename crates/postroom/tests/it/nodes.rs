//! Several nodes on one database, and a standby of a data directory.

use postroom_testkit::FailoverLoop;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::require;
use postroom_testkit::wait_until;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

/// The configuration.
const CONFIG: &str = "/rest/v1/config";
/// The name of the database.
const DATABASE: &str = "mail";
/// The key of all nodes.
const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(60);

fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_postroom"))
}

/// A server with a database for nodes. `None`: it is not installed.
async fn database() -> Option<Postgres> {
    if !require(&[Need::Postgres]) {
        return None;
    }
    let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    postgres.database_create(DATABASE).await.unwrap();
    Some(postgres)
}

fn options(postgres: &Postgres, arguments: &[&str]) -> PostroomOptions {
    PostroomOptions {
        database: Some(postgres.url(DATABASE)),
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        environment: vec![("POSTROOM_MASTER_KEY".to_owned(), KEY.to_owned())],
        ..PostroomOptions::default()
    }
}

fn node(postgres: &Postgres, arguments: &[&str]) -> Postroom {
    Postroom::start(binary(), options(postgres, arguments)).unwrap()
}

/// The state of each node by its name.
async fn states(postroom: &Postroom) -> Vec<(String, String)> {
    let nodes = postroom.get("/rest/v1/nodes").await.unwrap();
    let text = |node: &Json, member: &str| node[member].as_str().unwrap().to_owned();
    let nodes = nodes.as_array().unwrap().iter();
    nodes.map(|node| (text(node, "name"), text(node, "state"))).collect()
}

async fn until_states(postroom: &Postroom, want: &[(&str, &str)]) {
    let want: Vec<_> =
        want.iter().map(|(name, state)| ((*name).to_owned(), (*state).to_owned())).collect();
    let reached = wait_until("the states of nodes", PATIENCE, async || {
        Ok((states(postroom).await == want).then_some(()))
    });
    if let Err(error) = reached.await {
        panic!("{error}: {:?}\n{}", states(postroom).await, postroom.log());
    }
}

// PostgreSQL alone: with SQLite one process has the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_take_over_loses_and_repeats_nothing() {
    if !require(&[Need::Dovecot, Need::Postgres, Need::Faketime]) {
        return;
    }
    let plan = FailoverLoop { count: 600, sent: 30, takeovers: 4, restarts: 1, seed: 1 };
    let result = plan.run(binary()).await.unwrap();
    assert_eq!((result.lost.len(), result.handed_over.len()), (3, 1), "{result:?}");
    assert!(result.engine_writes > 600 && result.sent > result.uncertain, "{result:?}");
    assert!(result.median() <= Duration::from_secs(15), "{result:?}");
}

// PostgreSQL alone: with SQLite one process has the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_preferred_node_takes_the_work_back_and_others_take_it_in_their_order() {
    let Some(postgres) = database().await else {
        return;
    };
    let third = node(&postgres, &["--name", "c", "--order", "3"]);
    until_states(&third, &[("c", "active")]).await;
    let mut second = node(&postgres, &["--name", "b", "--order", "2"]);
    until_states(&third, &[("b", "active"), ("c", "waiting")]).await;
    // This one does not want it.
    let mut first = node(&postgres, &["--name", "a", "--order", "1", "--failback", "false"]);
    until_states(&third, &[("a", "waiting"), ("b", "active"), ("c", "waiting")]).await;
    let api = node(&postgres, &["--name", "d", "--role", "api"]);
    second.stop().unwrap();
    let want = [("a", "active"), ("d", "passive"), ("c", "waiting")];
    until_states(&third, &want).await;
    // All of them answer, each for what it can do.
    let profile = third.post("email/Profiles", &json!({"name": "p"})).await.unwrap();
    let path = format!("email/Profiles/{}", profile["id"].as_str().unwrap());
    for (node, can) in [(&first, json!(["rest", "mail"])), (&third, json!(["rest"]))] {
        assert_eq!(node.get(&path).await.unwrap()["name"], "p");
        assert_eq!(node.get("/readyz").await.unwrap()["can"], can);
    }
    let not_here = third.request(Method::GET, "/readyz?for=mail", None).await.unwrap();
    assert_eq!(not_here.status(), 503);
    let account =
        json!({"profile": {"name": "p", "imapHost": "imap.a.test"}, "address": "a@a.test"});
    let tried = third.request(Method::POST, "email/Accounts:verify", Some(&account)).await.unwrap();
    assert_eq!(tried.status(), 409, "{}", tried.text().await.unwrap());
    // A process that was killed takes its own lease at once.
    first.kill().unwrap();
    first.restart().unwrap();
    until_states(&api, &want).await;
    // It waited at its first start alone.
    let log = first.log();
    assert_eq!(log.matches("waits until it can take over").count(), 1, "{log}");
}

/// The node of this name, as the list shows it.
async fn of_node(postroom: &Postroom, name: &str) -> Json {
    let nodes = postroom.get("/rest/v1/nodes").await.unwrap();
    nodes.as_array().unwrap().iter().find(|node| node["name"] == name).unwrap().clone()
}

/// An instance of role `email` in group 7, with more members.
fn role(name: &str, order: u64, more: &Json) -> Json {
    let mut role = json!({"name": name, "roletype": "email", "group": 7, "order": order});
    role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    role
}

// PostgreSQL alone: with SQLite one process has the database.
#[tokio::test(flavor = "multi_thread")]
async fn the_section_of_roles_gives_each_node_its_place_without_a_restart() {
    let Some(postgres) = database().await else {
        return;
    };
    let first = node(&postgres, &["--name", "e1", "--order", "1"]);
    until_states(&first, &[("e1", "active")]).await;
    let mut second = node(&postgres, &["--name", "e2", "--order", "2"]);
    until_states(&first, &[("e1", "active"), ("e2", "waiting")]).await;
    let put = async |roles: Json| first.patch(CONFIG, &json!({"roles": roles})).await.unwrap();
    let none = json!({});
    // The active one is not named, so it hands over, and says what to do.
    let told = put(json!([role("e2", 5, &none)])).await;
    let warning = told["warnings"][0]["reason"].as_str().unwrap();
    assert!(warning.contains("`e1` runs, and the section does not name it"), "{told}");
    until_states(&second, &[("e1", "resting"), ("e2", "active")]).await;
    let rests = of_node(&second, "e1").await;
    assert_eq!((&rests["rests"], &rests["configVersion"]), (&json!("not-named"), &told["version"]));
    let what = "add {\"name\": \"e1\", \"roletype\": \"email\"} to the section";
    assert!(rests["statusText"].as_str().unwrap().contains(what), "{rests}");
    assert!(first.log().contains("does not name this instance"), "{}", first.log());
    let ready = first.get("/readyz").await.unwrap();
    assert_eq!((&ready["can"], &ready["rests"]), (&json!(["rest"]), &json!("not-named")));
    let mail = first.request(Method::GET, "/readyz?for=mail", None).await.unwrap();
    assert_eq!(mail.status(), 503);
    assert!(mail.text().await.unwrap().contains("does not name its instance"));
    // It is named, and comes first.
    put(json!([role("e1", 4, &none), role("e2", 5, &none)])).await;
    until_states(&second, &[("e1", "active"), ("e2", "waiting")]).await;
    let active = of_node(&second, "e1").await;
    let place = (&active["group"], &active["order"], &active["statusText"]);
    assert_eq!(place, (&json!(7), &json!(4), &Json::Null));
    put(json!([role("e1", 6, &none), role("e2", 5, &none)])).await;
    until_states(&second, &[("e2", "active"), ("e1", "waiting")]).await;
    put(json!([role("e1", 6, &none), role("e2", 5, &json!({"enabled": false}))])).await;
    until_states(&second, &[("e2", "resting"), ("e1", "active")]).await;
    // What it is now holds at its next start too, whatever its arguments say.
    second.kill().unwrap();
    second.restart().unwrap();
    until_states(&second, &[("e2", "resting"), ("e1", "active")]).await;
    let api = json!({"name": "e1", "roletype": "api", "group": 7, "order": 6});
    put(json!([api, role("e2", 5, &none)])).await;
    until_states(&second, &[("e2", "active"), ("e1", "passive")]).await;
    // Without a role of ours, the arguments say it again.
    put(json!([{"name": "im1", "roletype": "im", "group": 7, "order": 5}])).await;
    until_states(&second, &[("e1", "active"), ("e2", "waiting")]).await;
    assert_eq!(of_node(&first, "e1").await["group"], 1);
}

// PostgreSQL alone: with SQLite one process has the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_interface_is_not_there_stays_reachable_and_says_so() {
    let Some(postgres) = database().await else {
        return;
    };
    let first = node(&postgres, &["--name", "e1"]);
    let gone = json!({"iface": "gone0"});
    let roles = |iface: &Json| json!({"roles": [role("e1", 1, &json!({})), role("e2", 2, iface)]});
    // Nobody knows the host of an instance that does not run.
    first.patch(CONFIG, &roles(&gone)).await.unwrap();
    let second = node(&postgres, &["--name", "e2"]);
    let told = of_node(&first, "e2").await;
    let text = told["statusText"].as_str().unwrap();
    assert!(text.contains("this host has no network interface `gone0` (it has "), "{told}");
    let address = told["addresses"][0].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{told}");
    assert!(text.contains(&format!("REST listens on {address} as the arguments say")), "{told}");
    assert!(second.log().contains("no network interface `gone0`"), "{}", second.log());
    // Now that it runs, others know its interfaces.
    let other = Some(roles(&json!({"iface": "gone1"})));
    for path in [CONFIG, "/rest/v1/config?dryRun=true"] {
        let refused = first.request(Method::PATCH, path, other.as_ref()).await.unwrap();
        assert_eq!(refused.status(), 422);
        let refused: Json = refused.json().await.unwrap();
        assert_eq!(refused["errors"][0]["property"], "roles[1].iface", "{refused}");
        let reason = refused["errors"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("the host of `e2` has no network interface `gone1`"), "{refused}");
    }
    first.patch(CONFIG, &roles(&json!({"iface": "lo"}))).await.unwrap();
    let mended = wait_until("no problem", PATIENCE, async || {
        let node = of_node(&first, "e2").await;
        Ok((node["statusText"].is_null() && node["iface"] == "lo").then_some(node))
    });
    let mended = mended.await.unwrap();
    assert!(mended["addresses"].as_array().unwrap().contains(&json!(address)), "{mended}");
    second.get("/readyz").await.unwrap();
}

// PostgreSQL alone: with SQLite one process has the database.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_too_old_for_the_tables_says_so_and_stops() {
    let Some(postgres) = database().await else {
        return;
    };
    let mut old = node(&postgres, &["--name", "old"]);
    postgres
        .execute(
            DATABASE,
            "UPDATE meta SET number = number + 1 WHERE name IN ('schema', 'oldest schema');
             UPDATE meta SET number = (SELECT number FROM meta WHERE name = 'schema')
               WHERE name = 'oldest schema'",
        )
        .await
        .unwrap();
    let status = old.ended().await.unwrap();
    assert_eq!(status.code(), Some(1), "{}", old.log());
    assert!(old.log().contains("it is too old for it, and stops"), "{}", old.log());
    let again = Postroom::start(binary(), options(&postgres, &["--name", "old"]));
    let Err(error) = again else {
        panic!("it started");
    };
    assert!(format!("{error:#}").contains("it is too old for it, and stops"), "{error:#}");
}

// SQLite alone: nodes on PostgreSQL wait for each other anyway.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_waits_for_the_data_directory_and_goes_on_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let options = |arguments: &[&str]| PostroomOptions {
        arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
        data_within: Some(PathBuf::from(directory.path())),
        ..PostroomOptions::default()
    };
    let mut first = Postroom::start(binary(), options(&[])).unwrap();
    let refused = Postroom::start(binary(), options(&[]));
    assert!(refused.is_err(), "without --standby it does not wait");
    let profile = first.post("email/Profiles", &json!({"name": "p"})).await.unwrap();
    let mut standby = tokio::process::Command::new(binary());
    standby.arg("serve").arg("--data").arg(first.data_directory());
    standby.args(["--listen", "127.0.0.1:0", "--standby"]).kill_on_drop(true);
    standby.env("POSTROOM_ADMIN_TOKEN", Postroom::TOKEN);
    let said = directory.path().join("said");
    let file = std::fs::File::create(&said).unwrap();
    standby.stdout(file.try_clone().unwrap()).stderr(file);
    let _standby = standby.spawn().unwrap();
    line(&said, "standing by").await;
    first.get("/readyz").await.unwrap();
    first.kill().unwrap();
    let listening = line(&said, "listening on ").await;
    let url = listening.split("listening on ").nth(1).unwrap().trim();
    let path = format!("email/Profiles/{}", profile["id"].as_str().unwrap());
    let answer = async |path: &str| {
        let request = reqwest::Client::new().get(format!("{url}{path}"));
        request.bearer_auth(Postroom::TOKEN).send().await.unwrap().json::<Json>().await.unwrap()
    };
    assert_eq!(answer(&format!("/rest/v1/model/{path}")).await["name"], "p");
    assert_eq!(answer("/readyz").await["can"], json!(["rest", "mail"]));
    assert_eq!(answer("/rest/v1/nodes").await[0]["state"], "active");
}

/// The first line of a file that has these words.
async fn line(file: &Path, words: &str) -> String {
    let found = wait_until(words, PATIENCE, async || {
        let text = std::fs::read_to_string(file)?;
        Ok(text.lines().find(|line| line.contains(words)).map(str::to_owned))
    });
    found.await.unwrap_or_else(|error| panic!("{error}: {:?}", std::fs::read_to_string(file)))
}

//! Users set up a second factor, sign in with it, and lose it.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use futures_util::future::join_all;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::USERS;
use postroom_testkit::TOTP_STEP_MS;
use postroom_testkit::on_both;
use postroom_testkit::totp_code;
use serde_json::Value as Json;
use serde_json::json;

const SESSIONS: &str = "/rest/v1/iam/sessions";
const TOTP: &str = "/rest/v1/iam/totp";
const PASSWORD: &str = "correct horse battery";
const SECOND_FACTOR: &str = "urn:postroom:problem:second-factor";

async fn user(server: &Server, login: &str, role: &str) -> String {
    let values = json!({"login": login, "role": role, "password": PASSWORD});
    format!("{USERS}/{}", server.create(USERS, &values).await)
}

async fn sign_in(server: &Server, login: &str, code: Option<&str>) -> Answer {
    let mut sent = json!({"login": login, "pwd": PASSWORD});
    if let Some(code) = code {
        sent["code"] = json!(code);
    }
    answer(server.anonymous("POST", SESSIONS).json(&sent)).await
}

async fn ask(server: &Server, session: &str, method: &str, body: &Json) -> Answer {
    answer(server.anonymous(method, TOTP).bearer_auth(session).json(body)).await
}

/// A user with a second factor.
struct Enrolled {
    session: String,
    key: String,
    recovery: Vec<String>,
    /// When it was set up, in milliseconds since 1970. The code of that time is used.
    at_ms: i64,
}

impl Enrolled {
    /// A code that was not used. It is right now, and for half a minute more at least.
    fn next(&self) -> String {
        totp_code(&self.key, self.at_ms + TOTP_STEP_MS)
    }
}

async fn enrol(server: &Server, login: &str) -> Enrolled {
    let begun = sign_in(server, login, None).await.expect(201);
    let session = begun["token"].as_str().unwrap().to_owned();
    let waits = ask(server, &session, "POST", &json!({})).await.expect(200);
    let key = waits["secret"].as_str().unwrap().to_owned();
    let at_ms = server.store.clock().now_ms();
    let code = json!({"code": totp_code(&key, at_ms)});
    let codes = ask(server, &session, "POST", &code).await.expect(200);
    let codes = codes["recoveryCodes"].as_array().unwrap().iter();
    let recovery = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
    Enrolled { session, key, recovery, at_ms }
}

/// The entries of the audit about second factors: event, actor and whether there is an entity.
async fn told(server: &Server) -> Vec<(String, String)> {
    let all = server.get(&format!("{AUDIT}?order=seq&limit=1000")).await.expect(200);
    let text = |entry: &Json, name: &str| entry[name].as_str().unwrap_or_default().to_owned();
    let all = all.as_array().unwrap().iter();
    let all = all.map(|entry| (text(entry, "event"), text(entry, "actor")));
    all.filter(|(event, _)| event.starts_with("totp") || event.contains("code-asked")).collect()
}

fn pairs(all: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut all: Vec<_> = all.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    all.sort();
    all
}

#[on_both]
async fn who_has_a_second_factor_needs_a_code_at_each_login() {
    let server = Server::start().await;
    let path = user(&server, "anna", "reader").await;
    let begun = sign_in(&server, "anna", Some("not needed")).await.expect(201);
    let session = begun["token"].as_str().unwrap();
    let none = json!({"secondFactor": false, "recoveryCodes": 0});
    assert_eq!(ask(&server, session, "GET", &Json::Null).await.expect(200), none);
    assert_eq!(server.get(&path).await.expect(200)["secondFactor"], false);
    ask(&server, session, "POST", &json!({"code": "123456"})).await.expect(409);
    ask(&server, session, "DELETE", &json!({"code": "123456"})).await.expect(409);
    let waits = ask(&server, session, "POST", &json!({})).await;
    assert_eq!(waits.header("cache-control"), "no-store");
    let waits = waits.expect(200);
    let (key, uri) = (waits["secret"].as_str().unwrap(), waits["uri"].as_str().unwrap());
    let want = format!(
        "otpauth://totp/Postroom:default%2Fanna?secret={key}&issuer=Postroom&algorithm=SHA1\
         &digits=6&period=30"
    );
    assert_eq!((uri, key.len()), (want.as_str(), 32));
    // It does not count before its first code.
    sign_in(&server, "anna", None).await.expect(201);
    let anna = enrol(&server, "anna").await;
    assert_ne!(anna.key, key);
    assert_eq!(anna.recovery.len(), 10);
    assert!(anna.recovery.iter().all(|code| code.len() == 19), "{:?}", anna.recovery);
    assert_eq!(server.get(&path).await.expect(200)["secondFactor"], true);
    ask(&server, &anna.session, "POST", &json!({})).await.expect(409);
    for code in [None, Some("")] {
        let missing = sign_in(&server, "anna", code).await;
        assert!(missing.header("www-authenticate").starts_with("Bearer"));
        let missing = missing.expect(401);
        assert_eq!(missing["type"], SECOND_FACTOR);
        assert!(missing["detail"].as_str().unwrap().contains("has a second factor"), "{missing}");
    }
    let used = totp_code(&anna.key, anna.at_ms);
    let wrong = sign_in(&server, "anna", Some(&used)).await.expect(401);
    assert_eq!(wrong["type"], SECOND_FACTOR);
    assert!(wrong["detail"].as_str().unwrap().contains("used before"), "{wrong}");
    sign_in(&server, "anna", Some(&anna.next())).await.expect(201);
    sign_in(&server, "anna", Some(&anna.next())).await.expect(401);
    sign_in(&server, "anna", Some(&anna.recovery[0])).await.expect(201);
    sign_in(&server, "anna", Some(&anna.recovery[0])).await.expect(401);
    let left = json!({"secondFactor": true, "recoveryCodes": 9});
    assert_eq!(ask(&server, &anna.session, "GET", &Json::Null).await.expect(200), left);
    ask(&server, &anna.session, "DELETE", &json!({"code": anna.recovery[0]})).await.expect(422);
    ask(&server, &anna.session, "DELETE", &json!({})).await.expect(422);
    ask(&server, &anna.session, "DELETE", &json!({"code": anna.recovery[1]})).await.expect(204);
    sign_in(&server, "anna", None).await.expect(201);
    let mut told = told(&server).await;
    told.sort();
    let anna = "user:anna";
    let asked = ("login.code-asked", "anna");
    let want = [asked, ("totp.enrol", anna), ("totp.recover", anna), ("totp.remove", anna)];
    assert_eq!(told, pairs(&want));
}

#[on_both]
async fn only_who_knows_the_password_hears_of_the_second_factor() {
    let server = Server::start().await;
    user(&server, "anna", "reader").await;
    user(&server, "ben", "reader").await;
    let anna = enrol(&server, "anna").await;
    let mut all = vec![];
    for (login, code) in [
        ("anna", Json::Null),
        ("anna", json!(anna.next())),
        ("ben", json!(anna.next())),
        ("nobody", json!(anna.recovery[0])),
    ] {
        let sent = json!({"login": login, "pwd": "wrong", "code": code});
        all.push(answer(server.anonymous("POST", SESSIONS).json(&sent)).await.expect(401));
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    // The code was not used.
    sign_in(&server, "anna", Some(&anna.next())).await.expect(201);
}

#[on_both]
async fn a_wrong_code_counts_as_a_wrong_password() {
    let server = Server::start().await.behind_proxy().await;
    user(&server, "anna", "reader").await;
    user(&server, "ben", "reader").await;
    let anna = enrol(&server, "anna").await;
    let from = async |source: &str, login: &str, code: &str| {
        let sent = json!({"login": login, "pwd": PASSWORD, "code": code});
        let request = server.anonymous("POST", SESSIONS).header("x-forwarded-for", source);
        answer(request.json(&sent)).await
    };
    from("198.51.100.1", "anna", &anna.recovery[0]).await.expect(201);
    from("198.51.100.1", "ben", "").await.expect(201);
    for guess in 0..5 {
        // Without a code nothing is guessed.
        from("198.51.100.1", "anna", "").await.expect(401);
        from("198.51.100.1", "anna", &format!("00000{guess}")).await.expect(401);
    }
    let locked = from("198.51.100.1", "anna", &anna.recovery[1]).await;
    assert!(locked.header("retry-after").parse::<u64>().unwrap() > 100);
    assert_eq!(locked.expect(429)["type"], "urn:postroom:problem:locked-out");
    // Nobody else is.
    from("198.51.100.1", "ben", "").await.expect(201);
    from("198.51.100.2", "anna", &anna.recovery[1]).await.expect(201);
    // Who has a session guesses no code either.
    let remove = async |code: &str| {
        let request = server.anonymous("DELETE", TOTP).header("x-forwarded-for", "198.51.100.3");
        answer(request.bearer_auth(&anna.session).json(&json!({"code": code}))).await
    };
    for guess in 0..5 {
        remove(&format!("00000{guess}")).await.expect(422);
    }
    remove(&anna.recovery[2]).await.expect(429);
    from("198.51.100.3", "anna", &anna.recovery[2]).await.expect(429);
    from("198.51.100.2", "anna", &anna.recovery[2]).await.expect(201);
}

#[on_both]
async fn of_sixteen_logins_with_one_code_one_begins_a_session() {
    let server = Server::start().await;
    user(&server, "anna", "reader").await;
    let anna = enrol(&server, "anna").await;
    let next = anna.next();
    let all = join_all((0..16).map(|_| sign_in(&server, "anna", Some(&next)))).await;
    let begun = all.iter().filter(|one| one.status == 201).count();
    assert_eq!(begun, 1, "{all:?}");
    assert!(all.iter().all(|one| [201, 401, 429].contains(&one.status)), "{all:?}");
}

#[on_both]
async fn an_administrator_removes_the_second_factor_and_gives_nobody_one() {
    let server = Server::start().await;
    let given = json!({"login": "ben", "role": "reader", "secondFactor": true});
    let refused = server.send("POST", USERS, &given).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "secondFactor");
    let path = user(&server, "anna", "operator").await;
    let refused = server.send("PATCH", &path, &json!({"secondFactor": true})).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains(TOTP), "{refused}");
    let anna = enrol(&server, "anna").await;
    let operator = server.anonymous("PATCH", &path).bearer_auth(&anna.session);
    answer(operator.json(&json!({"secondFactor": false}))).await.expect(403);
    // A client that writes everything it knows keeps it, and so does another password.
    let values = json!({"login": "anna", "title": "Anna", "role": "operator"});
    assert_eq!(server.send("PUT", &path, &values).await.expect(200)["secondFactor"], true);
    server.send("PATCH", &path, &json!({"secondFactor": true})).await.expect(200);
    server.send("PATCH", &path, &json!({"password": PASSWORD})).await.expect(200);
    assert_eq!(sign_in(&server, "anna", None).await.expect(401)["type"], SECOND_FACTOR);
    let refused = server.send("PATCH", &path, &json!({"totp": null})).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "totp");
    let removed = server.send("PATCH", &path, &json!({"secondFactor": false})).await.expect(200);
    assert_eq!(removed["secondFactor"], false);
    sign_in(&server, "anna", None).await.expect(201);
    let want =
        [("totp.enrol", "user:anna"), ("login.code-asked", "anna"), ("totp.remove", "admin")];
    let mut told = told(&server).await;
    told.sort();
    assert_eq!(told, pairs(&want));
    // What was removed is not there any more.
    let again = enrol(&server, "anna").await;
    sign_in(&server, "anna", Some(&anna.recovery[0])).await.expect(401);
    sign_in(&server, "anna", Some(&again.recovery[0])).await.expect(201);
}

#[on_both]
async fn only_users_have_a_second_factor() {
    let server = Server::start().await;
    let begun = answer(server.anonymous("POST", SESSIONS).json(&json!({"token": TOKEN}))).await;
    let of_token = begun.expect(201)["token"].as_str().unwrap().to_owned();
    for token in [TOKEN, OTHER_TOKEN, of_token.as_str()] {
        for method in ["GET", "POST", "DELETE"] {
            let refused = ask(&server, token, method, &json!({"code": "123456"})).await;
            let refused = refused.expect(404);
            assert!(refused["detail"].as_str().unwrap().contains("only a user"), "{refused}");
        }
    }
    answer(server.anonymous("POST", TOTP).json(&json!({}))).await.expect(401);
    user(&server, "anna", "reader").await;
    let begun = sign_in(&server, "anna", None).await.expect(201);
    let session = begun["token"].as_str().unwrap();
    for (sent, place) in
        [(json!([]), ""), (json!({"code": 123_456}), "code"), (json!({"pwd": "a"}), "pwd")]
    {
        for method in ["POST", "DELETE"] {
            let refused = ask(&server, session, method, &sent).await.expect(422);
            assert_eq!(refused["errors"][0]["property"], place, "{method} {refused}");
        }
    }
    ask(&server, session, "POST", &json!({})).await.expect(200);
    for wrong in ["12345", "aaaa-bbbb-cccc-dddd"] {
        let refused = ask(&server, session, "POST", &json!({"code": wrong})).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], "code", "{refused}");
    }
    let odd = json!({"login": "anna", "pwd": PASSWORD, "code": 123_456});
    let refused = answer(server.anonymous("POST", SESSIONS).json(&odd)).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "code");
}

#[on_both]
async fn no_answer_and_no_row_tells_the_key_or_the_recovery_codes() {
    let server = Server::start().await;
    let path = user(&server, "anna", "admin").await;
    let anna = enrol(&server, "anna").await;
    sign_in(&server, "anna", Some(&anna.recovery[0])).await.expect(201);
    let digits: Vec<_> = anna.recovery.iter().map(|code| code.replace('-', "")).collect();
    let stored = server.stored_bytes();
    let mut shown = vec![];
    for path in [
        path.as_str(),
        USERS,
        AUDIT,
        TOTP,
        "/rest/v1/events?after=first",
        "/rest/v1/design/classes/iam/Users",
    ] {
        shown.push(answer(server.anonymous("GET", path).bearer_auth(&anna.session)).await.bytes);
    }
    for secret in anna.recovery.iter().chain(&digits).chain([&anna.key]) {
        let has = |bytes: &[u8]| bytes.windows(secret.len()).any(|it| it == secret.as_bytes());
        assert!(!shown.iter().any(|bytes| has(bytes)), "{secret} is shown");
    }
    for secret in [&anna.recovery[1], &digits[1], &anna.key] {
        let mut stored = stored.windows(secret.len());
        assert!(!stored.any(|it| it == secret.as_bytes()), "{secret} is stored");
    }
    let user = server.get(&path).await.expect(200);
    assert_eq!(user.get("totp"), None, "{user}");
}

//! Users sign in and out, and sessions end.

use crate::server::Answer;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const SESSIONS: &str = "/rest/v1/iam/sessions";
const PASSWORD: &str = "correct horse battery";

async fn user(server: &Server, login: &str, role: &str) -> String {
    let values = json!({"login": login, "role": role, "password": PASSWORD});
    format!("{USERS}/{}", server.create(USERS, &values).await)
}

async fn sign_in(server: &Server, login: &str, password: &str) -> Answer {
    let sent = json!({"domain": "default", "login": login, "pwd": password});
    answer(server.anonymous("POST", SESSIONS).json(&sent)).await
}

async fn token(server: &Server, login: &str, password: &str) -> String {
    let begun = sign_in(server, login, password).await.expect(201);
    begun["token"].as_str().unwrap().to_owned()
}

async fn status(server: &Server, method: &str, path: &str, token: &str) -> u16 {
    answer(server.anonymous(method, path).bearer_auth(token)).await.status
}

#[on_both]
async fn a_user_signs_in_works_and_signs_out() {
    let server = Server::start().await;
    let path = user(&server, "anna", "operator").await;
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["login"], shown.get("password")), (&json!("anna"), None));
    assert_eq!(shown["lastLoginAt"], Json::Null);
    // A login is written in small letters, and found however it is typed.
    let value = token(&server, " Anna", PASSWORD).await;
    assert!(server.get(&path).await.expect(200)["lastLoginAt"].is_string());
    let made = server.anonymous("POST", PROFILES).bearer_auth(&value).json(&json!({"name": "p"}));
    let made = answer(made).await.expect(201);
    assert_eq!(made["createdBy"], "user:anna");
    let feed = server.feed(made["seq"].as_i64().unwrap() - 1, 1).await;
    assert_eq!(feed[0].modifier.as_ref().and_then(|who| who.id()), Some("user:anna"));
    assert_eq!(status(&server, "GET", USERS, &value).await, 403);
    assert_eq!(status(&server, "GET", DOMAINS, &value).await, 403);
    // A repeated request makes nobody, and what is stored of it is of no use to who guesses.
    let values = json!({"login": "ben", "role": "reader", "password": PASSWORD});
    let again = || server.request("POST", USERS).header("idempotency-key", "ben").json(&values);
    let ben = answer(again()).await.expect(201);
    assert_eq!(answer(again()).await.expect(201)["id"], ben["id"]);
    // Neither the password nor what the client shows is stored.
    let stored = server.stored_bytes();
    for secret in [PASSWORD, value.as_str()] {
        assert!(!stored.windows(secret.len()).any(|bytes| bytes == secret.as_bytes()), "{secret}");
    }
    assert_eq!(status(&server, "DELETE", SESSIONS, &value).await, 204);
    assert_eq!(status(&server, "GET", PROFILES, &value).await, 401);
    // A token is no session.
    answer(server.request("DELETE", SESSIONS)).await.expect(404);
}

#[on_both]
async fn a_session_ends_with_what_it_stands_on() {
    let server = Server::start().await;
    let ends = [
        json!({"enabled": false}),
        json!({"password": "another horse battery"}),
        json!({"role": "reader"}),
        Json::Null,
    ];
    for (at, end) in ends.into_iter().enumerate() {
        let login = format!("u{at}");
        let path = user(&server, &login, "operator").await;
        let value = token(&server, &login, PASSWORD).await;
        let stream = server.anonymous("GET", "/rest/v1/events?after=now").bearer_auth(&value);
        let mut stream = stream.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(status(&server, "GET", PROFILES, &value).await, 200);
        if end.is_null() {
            answer(server.request("DELETE", &path)).await.expect(204);
        } else {
            server.send("PATCH", &path, &end).await.expect(200);
        }
        let is_role = end.get("role").is_some();
        let want = if is_role { 200 } else { 401 };
        assert_eq!(status(&server, "GET", PROFILES, &value).await, want, "{end}");
        if is_role {
            assert_eq!(status(&server, "CLEAR", PROFILES, &value).await, 403);
        } else {
            let again = sign_in(&server, &login, PASSWORD).await;
            assert_eq!(again.status, 401, "{end}");
        }
        while stream.chunk().await.unwrap().is_some() {}
    }
}

#[on_both]
async fn an_unknown_login_is_answered_as_a_wrong_password() {
    let server = Server::start().await;
    user(&server, "anna", "operator").await;
    let disabled =
        json!({"login": "ben", "role": "reader", "password": PASSWORD, "enabled": false});
    server.create(USERS, &disabled).await;
    server.create(USERS, &json!({"login": "carl", "role": "reader"})).await;
    let mut all = vec![];
    for (login, password) in
        [("anna", "wrong"), ("nobody", PASSWORD), ("ben", PASSWORD), ("carl", "")]
    {
        all.push(sign_in(&server, login, password).await.expect(401));
    }
    assert!(all.iter().all(|one| *one == all[0]), "{all:?}");
    let other = json!({"domain": "other", "login": "anna", "pwd": PASSWORD});
    answer(server.anonymous("POST", SESSIONS).json(&other)).await.expect(401);
}

#[on_both]
async fn who_guesses_is_locked_out_and_nobody_else() {
    let server = Server::start().await.behind_proxy().await;
    user(&server, "anna", "operator").await;
    user(&server, "ben", "operator").await;
    let from = async |source: &str, login: &str, password: &str| {
        let sent = json!({"login": login, "pwd": password});
        let request = server.anonymous("POST", SESSIONS).header("x-forwarded-for", source);
        answer(request.json(&sent)).await
    };
    // Who has signed in from there lately goes on.
    from("198.51.100.1", "ben", PASSWORD).await.expect(201);
    for guess in 0..5 {
        from("198.51.100.1", "anna", &format!("guess {guess}")).await.expect(401);
    }
    let locked = from("198.51.100.1", "anna", PASSWORD).await;
    assert!(locked.header("retry-after").parse::<u64>().unwrap() > 100);
    assert_eq!(locked.expect(429)["type"], "urn:postroom:problem:locked-out");
    from("198.51.100.1", "nobody", "anything").await.expect(429);
    from("198.51.100.1", "ben", PASSWORD).await.expect(201);
    from("198.51.100.2", "anna", PASSWORD).await.expect(201);
    // Guesses at a login count there too, so the right password is not told from a wrong one.
    for guess in 0..5 {
        from("198.51.100.1", "ben", &format!("guess {guess}")).await.expect(429);
    }
    from("198.51.100.1", "ben", PASSWORD).await.expect(429);
    from("198.51.100.2", "ben", PASSWORD).await.expect(201);
}

#[on_both]
async fn a_cookie_is_of_own_pages_alone() {
    let server = Server::start().await;
    user(&server, "anna", "operator").await;
    let sent = json!({"login": "anna", "pwd": PASSWORD, "cookie": true});
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://other.test")] {
        let begin = server.anonymous("POST", SESSIONS).header(name, value).json(&sent);
        assert_eq!(answer(begin).await.status, 403, "{name}: nobody is signed in as somebody else");
    }
    let begun = answer(server.anonymous("POST", SESSIONS).json(&sent)).await;
    let set = begun.header("set-cookie").to_owned();
    assert_eq!(begun.expect(201)["token"], Json::Null);
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().unwrap().to_owned();
    let ask = async |method: &str, path: &str, fields: &[(&str, &str)]| {
        let mut request = server.anonymous(method, path).header("cookie", format!("a=b; {cookie}"));
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if method == "POST" {
            request = request.json(&json!({"name": "p"}));
        }
        answer(request).await.status
    };
    assert_eq!(ask("GET", PROFILES, &[("sec-fetch-site", "cross-site")]).await, 200);
    let other = [("sec-fetch-site", "cross-site")];
    assert_eq!(ask("POST", PROFILES, &other).await, 403);
    assert_eq!(ask("CLEAR", PROFILES, &[("origin", "https://elsewhere.example")]).await, 403);
    assert_eq!(ask("GET", "/ws", &other).await, 403);
    assert_eq!(ask("POST", PROFILES, &[("sec-fetch-site", "same-origin")]).await, 201);
    assert_eq!(ask("POST", PROFILES, &[]).await, 201, "a program, which is no browser");
    // A token in the header counts, whatever the cookie is.
    assert_eq!(ask("POST", PROFILES, &[("authorization", "Bearer wrong")]).await, 401);
    assert_eq!(ask("DELETE", SESSIONS, &[]).await, 204);
    assert_eq!(ask("GET", PROFILES, &[]).await, 401);
}

#[on_both]
async fn a_cookie_of_https_is_never_sent_in_the_clear() {
    let server = Server::start().await.behind_proxy().await;
    user(&server, "anna", "operator").await;
    let sent = json!({"login": "anna", "pwd": PASSWORD, "cookie": true});
    let begin = server.anonymous("POST", SESSIONS).header("x-forwarded-proto", "https");
    let begun = answer(begin.json(&sent)).await;
    let set = begun.header("set-cookie").to_owned();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{set}");
}

#[on_both]
async fn a_session_stands_for_a_token_and_ends_with_it() {
    let server = Server::start().await;
    let begin = async |token: &str| {
        answer(server.anonymous("POST", SESSIONS).json(&json!({"token": token}))).await
    };
    let value = |begun: &Json| begun["token"].as_str().unwrap().to_owned();
    for (at, end) in
        [json!({"enabled": false}), json!({"role": "reader"}), Json::Null].into_iter().enumerate()
    {
        let made = json!({"name": format!("t{at}"), "role": "operator"});
        let made = server.send("POST", TOKENS, &made).await.expect(201);
        let path = format!("{TOKENS}/{}", made["id"].as_str().unwrap());
        let token = value(&made);
        let begun = begin(&token).await.expect(201);
        let session = value(&begun);
        assert_ne!(session, token);
        let profile = server.anonymous("POST", PROFILES).bearer_auth(&session);
        let profile = answer(profile.json(&json!({"name": "p"}))).await.expect(201);
        assert_eq!(profile["createdBy"], made["name"], "it acts as the token");
        assert_eq!(begin(&session).await.status, 401, "a session begins no other one");
        assert_eq!(status(&server, "GET", TOKENS, &session).await, 403);
        if end.is_null() {
            answer(server.request("DELETE", &path)).await.expect(204);
        } else {
            server.send("PATCH", &path, &end).await.expect(200);
        }
        let is_role = end.get("role").is_some();
        let want = if is_role { 200 } else { 401 };
        assert_eq!(status(&server, "GET", PROFILES, &session).await, want, "{end}");
        if is_role {
            assert_eq!(status(&server, "CLEAR", PROFILES, &session).await, 403);
        }
    }
    // The end of the session is not that of the token.
    let session = value(&begin(TOKEN).await.expect(201));
    assert_eq!(status(&server, "GET", "iam/Domains", &session).await, 200);
    assert_eq!(status(&server, "DELETE", SESSIONS, &session).await, 204);
    assert_eq!(status(&server, "GET", PROFILES, &session).await, 401);
    assert_eq!(status(&server, "GET", PROFILES, TOKEN).await, 200);
    assert_eq!(begin("wrong").await.status, 401);
}

#[on_both]
async fn a_session_sees_its_own_domain_alone() {
    let server = Server::start().await;
    let domain = server.create(DOMAINS, &json!({"name": "acme"})).await;
    let first = json!({"name": "first", "role": "admin"});
    let path = format!("{DOMAINS}/{domain}/tokens");
    let first = server.send("POST", &path, &first).await.expect(201);
    let theirs = json!({"login": "anna", "role": "admin", "password": "battery horse correct"});
    let made = server.anonymous("POST", USERS).bearer_auth(first["token"].as_str().unwrap());
    answer(made.json(&theirs)).await.expect(201);
    // The same login in another domain is another user.
    let own = user(&server, "anna", "admin").await;
    let begin = async |domain: &str, password: &str| {
        let sent = json!({"domain": domain, "login": "anna", "pwd": password});
        answer(server.anonymous("POST", SESSIONS).json(&sent)).await
    };
    assert_eq!(begin("default", "battery horse correct").await.status, 401);
    assert_eq!(begin("acme", PASSWORD).await.status, 401);
    let session = begin("acme", "battery horse correct").await.expect(201);
    let session = session["token"].as_str().unwrap();
    assert_eq!(status(&server, "GET", &own, session).await, 404);
    let seen = answer(server.anonymous("GET", USERS).bearer_auth(session)).await.expect(200);
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
    let domains = answer(server.anonymous("GET", DOMAINS).bearer_auth(session)).await;
    assert_eq!(domains.expect(200), json!([]), "only `master` has them");
    server.send("PATCH", &format!("{DOMAINS}/{domain}"), &json!({"suspended": true})).await;
    assert_eq!(status(&server, "GET", PROFILES, session).await, 403);
}

#[on_both]
async fn what_is_odd_is_refused_with_its_place() {
    let server = Server::start().await;
    for (sent, place) in [
        (json!([]), ""),
        (json!({"login": "anna"}), "pwd"),
        (json!({"login": 7, "pwd": "a"}), "login"),
        (json!({"login": "a", "pwd": "a", "cookie": "yes"}), "cookie"),
        (json!({"login": "a", "pwd": "a", "domain": "no domain"}), "domain"),
        (json!({"login": "a", "pwd": "a", "more": 1}), "more"),
        (json!({"token": 7}), "token"),
        (json!({"token": "a", "login": "a"}), "login"),
    ] {
        let refused = answer(server.anonymous("POST", SESSIONS).json(&sent)).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], place, "{refused}");
    }
    for (values, place) in [
        (json!({"login": "Anna", "role": "reader"}), "login"),
        (json!({"login": "anna", "role": "reader", "password": "short"}), "password"),
        (json!({"login": "anna"}), "role"),
    ] {
        let refused = server.send("POST", USERS, &values).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], place, "{refused}");
    }
    let path = user(&server, "anna", "reader").await;
    server.send("PATCH", &path, &json!({"password": "short"})).await.expect(422);
    let same = json!({"login": "anna", "role": "reader"});
    let refused = server.send("POST", USERS, &same).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("a user of this login"), "{refused}");
    let as_user = json!({"name": "user:anna", "role": "reader"});
    server.send("POST", TOKENS, &as_user).await.expect(422);
}

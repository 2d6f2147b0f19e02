//! The application `/`: its pages, and what they do, by hand and in a browser.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_testkit::Need;
use postroom_testkit::TOTP_STEP_MS;
use postroom_testkit::chromium;
use postroom_testkit::node_modules;
use postroom_testkit::on_both;
use postroom_testkit::require;
use postroom_testkit::totp_code;
use serde_json::Value as Json;
use serde_json::json;
use tokio::process::Command;

const CONFIG: &str = "/rest/v1/config";
const PASSWORD: &str = "correct horse battery";
/// No instance can have this name.
const LONG: &str = "<e1>-----------------------------------------------------------------";

fn text(answer: &Answer) -> String {
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

/// A page for somebody who has signed in.
async fn page(server: &Server, path: &str) -> String {
    let shown = answer(server.anonymous("GET", path).header("cookie", cookie())).await;
    assert_eq!(shown.status, 200, "{path}");
    text(&shown)
}

fn cookie() -> String {
    format!("postroom={TOKEN}")
}

/// Sends a form, as a browser does that was on a page of the server.
async fn send(server: &Server, path: &str, form: &[(&str, &str)]) -> Answer {
    let own = server.anonymous("POST", path).header("cookie", cookie());
    answer(own.header("sec-fetch-site", "same-origin").body(encoded(form))).await
}

fn encoded(form: &[(&str, &str)]) -> String {
    let byte = |byte: u8| format!("%{byte:02X}");
    let text = |text: &str| text.bytes().map(byte).collect::<String>();
    let pairs: Vec<_> =
        form.iter().map(|(name, value)| [text(name), text(value)].join("=")).collect();
    pairs.join("&")
}

#[on_both]
async fn nobody_sees_anything_without_a_token_of_an_administrator() {
    let server = Server::start().await;
    let first = answer(server.anonymous("GET", "/")).await;
    assert_eq!(first.status, 200);
    assert!(text(&first).contains("Token of an administrator"));
    let policy = first.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'self';"), "{policy}");
    for path in [
        "/configuration",
        "/versions",
        "/versions/1",
        "/tokens",
        "/tokens/x",
        "/domains",
        "/users",
        "/users/x",
        "/audit",
        "/second-factor",
    ] {
        let shown = answer(server.anonymous("GET", path)).await;
        assert!(text(&shown).contains("Token of an administrator"), "{path}");
    }
    for (token, status) in [("wrong-token-of-nobody", 401), (OTHER_TOKEN, 403), ("", 422)] {
        let refused = send(&server, "/sign-in", &[("token", token)]).await;
        assert_eq!(refused.status, status, "{token}");
        assert_eq!(refused.header("set-cookie"), "", "{token}");
    }
    let other = server.anonymous("GET", "/").header("cookie", format!("postroom={OTHER_TOKEN}"));
    let other = answer(other).await;
    assert_eq!(other.status, 403);
    assert!(text(&other).contains("for administrators"), "{}", text(&other));
    // The cookie is for the pages alone.
    let rest = server.anonymous("GET", CONFIG).header("cookie", cookie());
    assert_eq!(answer(rest).await.status, 401);
}

#[on_both]
async fn a_form_of_another_site_does_nothing() {
    let server = Server::start().await;
    let form = encoded(&[("version", "0"), ("limits.requestsPerSecond", "5"), ("do", "save")]);
    for (name, value) in [("sec-fetch-site", "cross-site"), ("origin", "https://other.test")] {
        let sent = server.anonymous("POST", "/configuration").header("cookie", cookie());
        let refused = answer(sent.header(name, value).body(form.clone())).await;
        assert_eq!(refused.status, 403, "{name}");
    }
    assert_eq!(server.get(CONFIG).await.expect(200), json!({"roles": []}));
}

#[on_both]
async fn the_form_changes_what_it_shows_and_keeps_the_rest() {
    let server = Server::start().await;
    let role = json!({"name": "w", "roletype": "web", "apiKey": "canary", "port": 80, "order": 1});
    server.send("PATCH", CONFIG, &json!({"roles": [role]})).await.expect(200);
    // The process of this test, which has no engine.
    let overview = page(&server, "/").await;
    let nodes = server.get("/rest/v1/nodes").await.expect(200);
    let state = nodes[0]["state"].as_str().unwrap();
    assert!(overview.contains(&format!("data-name=\"State\">{state}<")), "{overview}");
    let form = page(&server, "/configuration").await;
    assert!(form.contains("value=\"w\"") && !form.contains("80") && !form.contains("apiKey"));
    let entered = |version, order, action| {
        [
            ("version", version),
            ("role.0.was", "w"),
            ("role.0.name", "w"),
            ("role.0.roletype", "web"),
            ("role.0.order", order),
            ("role.1.was", ""),
            ("role.1.name", LONG),
            ("role.1.roletype", "email"),
            ("retention.feedDays", "3"),
            ("do", action),
        ]
    };
    // Whoever opens the address of a form comes to the application.
    let opened = server.anonymous("GET", "/sign-in").send().await.unwrap().status();
    assert!(opened.is_success() || opened.is_redirection(), "{opened}");
    // A name that is wrong is told at its field, and nothing is lost of what was entered.
    let refused = send(&server, "/configuration", &entered("1", "2", "save")).await;
    assert_eq!(refused.status, 422);
    let shown = text(&refused);
    assert!(shown.contains("href=\"#role-1-name\"") && shown.contains("value=\"&lt;e1&gt;"));
    let name = |mut form: [(&'static str, &'static str); 10]| {
        form[6].1 = "e1";
        form
    };
    let checked = send(&server, "/configuration", &name(entered("1", "2", "check"))).await;
    assert!(text(&checked).contains("It can be saved"), "{}", text(&checked));
    assert_eq!(server.get(CONFIG).await.header("etag"), "\"1\"");
    let saved = send(&server, "/configuration", &name(entered("1", "2", "save"))).await;
    assert!(text(&saved).contains("Saved as version 2"), "{}", text(&saved));
    let want = json!({"roles": [
        {"name": "w", "roletype": "web", "apiKey": "********", "port": 80, "order": 2},
        {"name": "e1", "roletype": "email"},
    ], "retention": {"feedDays": 3}});
    assert_eq!(server.get(CONFIG).await.expect(200), want);
    // Whoever opened the page before that change does not undo it.
    let stale = send(&server, "/configuration", &name(entered("1", "9", "save"))).await;
    assert_eq!(stale.status, 412);
    assert_eq!(server.get(CONFIG).await.expect(200), want);
    let back = send(&server, "/versions/1", &[]).await;
    assert_eq!(back.status, 200, "the list of versions");
    assert!(text(&back).contains("back to version 1"));
    assert_eq!(server.get(CONFIG).await.expect(200)["roles"][0]["order"], 1);
    let first = page(&server, "/versions/1").await;
    assert!(first.contains("roles[w]") && !first.contains("port&quot;"), "{first}");
    let third = page(&server, "/versions/3").await;
    assert!(third.contains("roles[w].order") && !third.contains("canary"), "{third}");
}

/// The value of an attribute behind some text of a page.
fn behind<'a>(page: &'a str, text: &str) -> &'a str {
    page.split_once(text)
        .unwrap_or_else(|| panic!("{text} is not in {page}"))
        .1
        .split('"')
        .next()
        .unwrap()
}

#[on_both]
async fn a_token_is_made_shown_once_renamed_refused_and_deleted_by_the_pages() {
    let server = Server::start().await;
    assert!(page(&server, "/tokens").await.contains("There are none yet"));
    let odd = send(&server, "/tokens", &[("name", "<b>"), ("role", "")]).await;
    assert_eq!(odd.status, 422);
    assert!(
        text(&odd).contains("value=\"&lt;b&gt;\"") && text(&odd).contains("Nothing was changed")
    );
    let form = [("name", "<b>"), ("role", "reader"), ("expiresAt", "2999-12-31"), ("do", "token")];
    let made = send(&server, "/tokens", &form).await;
    assert_eq!((made.status, made.header("cache-control")), (200, "no-store"));
    let made = text(&made);
    let value = behind(&made, "readonly value=\"").to_owned();
    let asks = async || {
        let request = server.anonymous("GET", "email/Profiles").bearer_auth(&value);
        answer(request).await.status
    };
    assert_eq!(asks().await, 200);
    let list = page(&server, "/tokens").await;
    assert!(!list.contains(&value) && list.contains("&lt;b&gt;</a>"), "{list}");
    let at = behind(&list, "<a href=\"/tokens/").to_owned();
    let at = format!("/tokens/{at}");
    let shown = server.get("iam/Tokens").await.expect(200);
    assert_eq!(shown[0]["expiresAt"], "2999-12-31T23:59:59.999Z");
    send(&server, &at, &[("do", "rename"), ("name", "crm")]).await;
    assert_eq!(server.get("iam/Tokens").await.expect(200)[0]["name"], "crm");
    let odd = send(&server, &at, &[("do", "rename"), ("name", " ")]).await;
    assert_eq!(odd.status, 422);
    assert!(text(&odd).contains("aria-invalid"));
    send(&server, &at, &[("do", "disable")]).await;
    assert_eq!(asks().await, 401);
    send(&server, &at, &[("do", "enable")]).await;
    assert_eq!(asks().await, 200);
    let ask = page(&server, &format!("{at}/delete")).await;
    assert!(ask.contains("Nobody can bring its value back"), "{ask}");
    assert_eq!(asks().await, 200, "asking deletes nothing");
    send(&server, &format!("{at}/delete"), &[("do", "delete")]).await;
    assert_eq!(asks().await, 401);
    let gone = answer(server.anonymous("GET", &at).header("cookie", cookie())).await;
    assert_eq!(gone.status, 404);
}

#[on_both]
async fn a_domain_is_made_suspended_given_a_token_and_deleted_by_the_pages() {
    let server = Server::start().await;
    let odd = send(&server, "/domains", &[("name", "A B"), ("title", "x")]).await;
    assert_eq!(odd.status, 422);
    assert!(text(&odd).contains("aria-invalid") && text(&odd).contains("value=\"A B\""));
    assert_eq!(send(&server, "/domains", &[("name", "acme"), ("title", "")]).await.status, 200);
    let at =
        format!("/domains/{}", behind(&page(&server, "/domains").await, "<a href=\"/domains/"));
    let domain = async || server.get("iam/Domains").await.expect(200)[0].clone();
    send(&server, &at, &[("do", "rename"), ("title", "Acme")]).await;
    let odd = send(&server, &at, &[("do", "limit"), ("accountsMax", "few")]).await;
    assert!(odd.status == 422 && text(&odd).contains("aria-invalid"), "{}", text(&odd));
    send(&server, &at, &[("do", "limit"), ("accountsMax", "3"), ("bytesMax", "")]).await;
    assert_eq!(
        (&domain().await["accountsMax"], &domain().await["bytesMax"]),
        (&json!(3), &json!(null))
    );
    assert!(page(&server, &at).await.contains("value=\"3\""));
    send(&server, &at, &[("do", "suspend")]).await;
    assert_eq!(
        (&domain().await["title"], &domain().await["suspended"]),
        (&json!("Acme"), &json!(true))
    );
    send(&server, &at, &[("do", "resume")]).await;
    let made = send(&server, &at, &[("do", "token"), ("name", "first"), ("role", "admin")]).await;
    let value = behind(&text(&made), "readonly value=\"").to_owned();
    let tokens = server.anonymous("GET", "iam/Tokens").bearer_auth(&value);
    let tokens = answer(tokens).await.expect(200);
    assert_eq!(tokens[0]["name"], "first");
    let delete = format!("{at}/delete");
    assert!(page(&server, &delete).await.contains("only with all that it has"));
    let wrong = send(&server, &delete, &[("name", "default")]).await;
    assert_eq!(wrong.status, 422);
    let in_use = send(&server, &delete, &[("name", "acme")]).await;
    assert_eq!(in_use.status, 409);
    assert!(text(&in_use).contains("iam/Tokens"), "{}", text(&in_use));
    let wrong = send(&server, &delete, &[("name", "default"), ("do", "erase")]).await;
    assert_eq!(wrong.status, 422);
    send(&server, &delete, &[("name", "acme"), ("do", "erase")]).await;
    while server.get("iam/Domains").await.expect(200) != json!([]) {
        tokio::task::yield_now().await;
    }
    let shown = page(&server, "/domains").await;
    assert!(shown.contains("Deleted with all that they had") && shown.contains("acme"), "{shown}");
    // One that is empty.
    send(&server, "/domains", &[("name", "acme"), ("title", "")]).await;
    let id = domain().await["id"].as_str().unwrap().to_owned();
    let delete = format!("/domains/{id}/delete");
    send(&server, &delete, &[("name", "acme"), ("do", "delete")]).await;
    assert_eq!(server.get("iam/Domains").await.expect(200), json!([]));
}

#[on_both(flavor = "multi_thread")]
async fn a_browser_signs_in_changes_and_goes_back_by_keyboard_on_a_narrow_screen() {
    if !require(&[Need::Browser]) {
        return;
    }
    let server = Server::start().await;
    let role =
        json!({"name": "im1", "roletype": "im", "iface": "eth0", "group": 11330, "order": 1});
    server.send("PATCH", CONFIG, &json!({"roles": [role]})).await.expect(200);
    let anna = json!({"login": "anna", "role": "admin", "password": PASSWORD});
    server.create("iam/Users", &anna).await;
    let mut command = Command::new("node");
    command.args(["--eval", include_str!("console.cjs")]).kill_on_drop(true);
    command.env("NODE_PATH", node_modules()).env("CHROMIUM", chromium().unwrap());
    command.env("SERVER", server.url("")).env("TOKEN", TOKEN).env("PASSWORD", PASSWORD);
    let ran = command.output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let seen: Json = serde_json::from_slice(&ran.stdout).unwrap();
    assert_eq!(seen["messages"], json!([]));
    let here = server.url("/");
    for request in seen["requests"].as_array().unwrap() {
        let request = request.as_str().unwrap();
        assert!(request.starts_with(&here) || request == "data:,", "it asks for {request}");
    }
    // No page is wider than the screen, and each field that can be reached has a name.
    assert_eq!(seen["tooWide"], json!([]), "{seen}");
    assert_eq!(seen["nameless"], json!([]), "{seen}");
    assert_eq!(seen["invalid"], "role-1-order", "the field with the problem is marked");
    assert_eq!(seen["back"], json!(["/versions", "/tokens"]), "{seen}");
    assert!(seen["value"].as_str().unwrap().len() > 20, "{seen}");
    assert!(seen["stays"].as_str().unwrap().contains("iam/Tokens"), "{seen}");
    assert_eq!(seen["recoveryCodes"], 10, "{seen}");
    let ben = &server.get("iam/Users?login=ben").await.expect(200)[0];
    let ben = (&ben["title"], &ben["role"], &ben["enabled"]);
    assert_eq!(ben, (&json!("Ben"), &json!("reader"), &json!(false)));
    let domains = server.get("iam/Domains").await.expect(200);
    let domain = (&domains[0]["name"], &domains[0]["title"], &domains[0]["suspended"]);
    assert_eq!(domain, (&json!("acme"), &json!("Acme"), &json!(false)));
    assert_eq!(server.get("iam/Tokens").await.expect(200), json!([]));
    let list = server.get("/rest/v1/config/versions").await.expect(200);
    let restored: Vec<_> = list.as_array().unwrap().iter().map(|one| &one["restored"]).collect();
    assert_eq!(restored, [&json!(1), &json!(null), &json!(null)]);
    let second = server.get("/rest/v1/config/versions/2").await.expect(200);
    let added = json!({"name": "email1", "roletype": "email", "group": 11330, "order": 2});
    assert_eq!(second["config"]["roles"], json!([role, added]));
}

#[on_both]
async fn a_user_signs_in_to_the_application_and_out_of_it() {
    let server = Server::start().await;
    for (login, role) in [("anna", "admin"), ("ben", "reader")] {
        let values = json!({"login": login, "role": role, "password": "correct horse battery"});
        server.create("iam/Users", &values).await;
    }
    let sign_in = async |login: &str, password: &str| {
        let form = [("domain", "default"), ("login", login), ("pwd", password)];
        send(&server, "/sign-in", &form).await
    };
    assert_eq!(sign_in("anna", "wrong").await.status, 401);
    assert_eq!(sign_in("ben", "correct horse battery").await.status, 403);
    let form = [("domain", "default"), ("login", "anna"), ("pwd", "correct horse battery")];
    let cookie = signed_in(&server, &form).await;
    let ask = async |method: &str, path: &str| {
        answer(server.anonymous(method, path).header("cookie", &cookie)).await
    };
    assert!(text(&ask("GET", "/").await).contains("Instances that run"));
    // That leads to the page that asks who it is.
    ask("POST", "/sign-out").await;
    assert_eq!(ask("GET", "/").await.status, 401, "the session has ended");
}

#[on_both]
async fn the_browser_keeps_a_session_and_not_the_token_that_was_entered() {
    let server = Server::start().await;
    let cookie = signed_in(&server, &[("token", TOKEN)]).await;
    assert!(!cookie.contains(TOKEN), "{cookie}");
    let ask = async |method: &str, path: &str| {
        answer(server.anonymous(method, path).header("cookie", &cookie)).await
    };
    assert!(text(&ask("GET", "/").await).contains("Instances that run"));
    // It administers the domains, as the token does.
    assert!(text(&ask("GET", "/domains").await).contains("New domain"));
    ask("POST", "/sign-out").await;
    assert_eq!(ask("GET", "/").await.status, 401, "the session has ended");
    server.get(CONFIG).await.expect(200);
}

#[on_both]
async fn a_user_is_made_refused_given_another_password_and_freed_by_the_pages() {
    let server = Server::start().await;
    let made = |login, password| {
        [("login", login), ("title", ""), ("role", "admin"), ("password", password), ("do", "make")]
    };
    let odd = send(&server, "/users", &made("Anna B", "short")).await;
    assert_eq!(odd.status, 422);
    assert!(text(&odd).contains("value=\"Anna B\"") && text(&odd).contains("aria-invalid"));
    assert!(!text(&odd).contains("short\""), "a password is in no page");
    assert_eq!(send(&server, "/users", &made("anna", PASSWORD)).await.status, 200);
    let list = page(&server, "/users").await;
    let at = format!("/users/{}", behind(&list, "<a href=\"/users/"));
    let user = async || server.get("iam/Users").await.expect(200)[0].clone();
    let signs_in = async |password: &str, code: &str| {
        let form = [("domain", "default"), ("login", "anna"), ("pwd", password), ("code", code)];
        send(&server, "/sign-in", &form).await
    };
    let changed = [("do", "rename"), ("title", "Anna <b>"), ("role", "")];
    send(&server, &at, &changed).await;
    assert_eq!(
        (&user().await["title"], &user().await["role"]),
        (&json!("Anna <b>"), &json!("admin"))
    );
    assert!(page(&server, &at).await.contains("Anna &lt;b&gt;"));
    send(&server, &at, &[("do", "disable")]).await;
    assert_eq!(user().await["enabled"], false);
    assert_eq!(signs_in(PASSWORD, "").await.status, 401);
    send(&server, &at, &[("do", "enable")]).await;
    let odd = send(&server, &at, &[("do", "password"), ("password", "short")]).await;
    assert!(odd.status == 422 && text(&odd).contains("aria-invalid"), "{}", text(&odd));
    let second = "another horse battery";
    send(&server, &at, &[("do", "password"), ("password", second)]).await;
    assert_eq!(signs_in(PASSWORD, "").await.status, 401);
    let who = [("domain", "default"), ("login", "anna"), ("pwd", second)];
    let cookie = signed_in(&server, &who).await;
    assert!(!page(&server, &at).await.contains("Remove the second factor"));
    let begun = text(&send_as(&server, &cookie, "/second-factor", &[("do", "begin")]).await);
    let code = totp_code(behind(&begun, "readonly value=\""), server.store.clock().now_ms());
    let form = [("do", "activate"), ("code", code.as_str())];
    send_as(&server, &cookie, "/second-factor", &form).await;
    assert_eq!(user().await["secondFactor"], true);
    assert!(text(&signs_in(second, "").await).contains("Sign in with a code"));
    assert!(page(&server, &at).await.contains("Remove the second factor"));
    send(&server, &at, &[("do", "remove-factor")]).await;
    assert_eq!(user().await["secondFactor"], false);
    signed_in(&server, &who).await;
}

#[on_both]
async fn the_audit_is_shown_by_pages_and_filters() {
    let server = Server::start().await;
    for at in 0..60 {
        server.create("email/Profiles", &json!({"name": format!("p{at}")})).await;
    }
    let anna = json!({"login": "anna", "role": "admin", "password": PASSWORD});
    let anna = server.create("iam/Users", &anna).await;
    let form = [("domain", "default"), ("login", "anna"), ("pwd", PASSWORD)];
    signed_in(&server, &form).await;
    let rows = |page: &str| page.matches("<tr>").count() - 1;
    let first = page(&server, "/audit").await;
    assert_eq!(rows(&first), 50, "{first}");
    assert!(first.find("signed in").unwrap() < first.find("email/Profiles").unwrap(), "{first}");
    assert!(first.contains(&format!("iam/Users <a href=\"/users/{anna}\">")), "{first}");
    assert!(!first.contains("The newest"));
    let older = behind(&first, "<a href=\"/audit?").replace("&amp;", "&");
    let second = page(&server, &format!("/audit?{older}")).await;
    assert!(rows(&second) >= 13 && !second.contains("Older entries"), "{second}");
    assert!(second.contains("<a href=\"/audit?\">The newest</a>"), "{second}");
    let login =
        page(&server, "/audit?event=login&actor=anna&from=2026-01-01&until=9999-12-31").await;
    assert_eq!(rows(&login), 1, "{login}");
    assert!(login.contains("<option value=\"login\" selected>"), "{login}");
    assert!(login.contains("value=\"9999-12-31\""), "{login}");
    let none = page(&server, "/audit?event=login&actor=anna&until=2020-01-01").await;
    assert!(none.contains("There are no such entries"), "{none}");
    let admin = page(&server, "/audit?event=create&actor=admin").await;
    assert_eq!(rows(&admin), 50);
    assert!(behind(&admin, "<a href=\"/audit?event=create&amp;actor=admin&amp;after=").len() > 5);
    for (query, status) in [("?from=yesterday", 422), ("?event=nothing", 422), ("?nope=1", 422)] {
        let path = format!("/audit{query}");
        let odd = answer(server.anonymous("GET", &path).header("cookie", cookie())).await;
        assert_eq!(odd.status, status, "{query}");
    }
}

/// Sends a form by the session of a cookie.
async fn send_as(server: &Server, cookie: &str, path: &str, form: &[(&str, &str)]) -> Answer {
    let own = server.anonymous("POST", path).header("cookie", cookie);
    answer(own.header("sec-fetch-site", "same-origin").body(encoded(form))).await
}

#[on_both]
async fn a_user_sets_a_second_factor_up_and_signs_in_with_it_on_a_second_page() {
    let server = Server::start().await;
    let values = json!({"login": "anna", "role": "admin", "password": "correct horse battery"});
    server.create("iam/Users", &values).await;
    let who = [("domain", "default"), ("login", "anna"), ("pwd", "correct horse battery")];
    let with_code = |code| [&who[..], &[("code", code)]].concat();
    let cookie = signed_in(&server, &who).await;
    let at = "/second-factor";
    let ask = async || text(&answer(server.anonymous("GET", at).header("cookie", &cookie)).await);
    assert!(ask().await.contains("You have none"));
    let begun = text(&send_as(&server, &cookie, at, &[("do", "begin")]).await);
    let key = behind(&begun, "readonly value=\"").to_owned();
    assert!(begun.contains(&format!("secret={key}&amp;issuer=Postroom")), "{begun}");
    let wrong = send_as(&server, &cookie, at, &[("do", "activate"), ("code", "wrong")]).await;
    assert_eq!(wrong.status, 422);
    assert!(text(&wrong).contains("aria-invalid") && !text(&wrong).contains(&key));
    let now_ms = server.store.clock().now_ms();
    let code = totp_code(&key, now_ms);
    let made = send_as(&server, &cookie, at, &[("do", "activate"), ("code", &code)]).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let made = text(&made);
    let codes: Vec<_> = made.split("<code>").skip(1).map(|rest| &rest[..19]).collect();
    assert_eq!(codes.len(), 10, "{made}");
    assert!(ask().await.contains("10 are left"));
    // The password alone leads to the second page, which does not have it.
    let second = send(&server, "/sign-in", &who).await;
    assert_eq!((second.status, second.header("set-cookie")), (401, ""));
    let second = text(&second);
    assert!(second.contains("name=\"code\"") && second.contains("value=\"anna\""), "{second}");
    assert!(!second.contains("correct horse battery"), "{second}");
    let wrong = send(&server, "/sign-in", &with_code(&code)).await;
    assert!(wrong.status == 401 && text(&wrong).contains("used before"), "{}", text(&wrong));
    let next = totp_code(&key, now_ms + TOTP_STEP_MS);
    let again = signed_in(&server, &with_code(&next)).await;
    assert_ne!(again, cookie);
    signed_in(&server, &with_code(codes[0])).await;
    let wrong = send_as(&server, &cookie, at, &[("do", "remove"), ("code", codes[0])]).await;
    assert_eq!(wrong.status, 422);
    send_as(&server, &cookie, at, &[("do", "remove"), ("code", codes[1])]).await;
    assert!(ask().await.contains("You have none"));
    signed_in(&server, &who).await;
    // Who signed in with a token is told why there is nothing to set up.
    let of_token = signed_in(&server, &[("token", TOKEN)]).await;
    let told = answer(server.anonymous("GET", at).header("cookie", of_token)).await;
    assert!(text(&told).contains("You have signed in with a token"), "{told:?}");
}

/// The cookie that the application gives to who sends this form. A browser would follow at once.
async fn signed_in(server: &Server, form: &[(&str, &str)]) -> String {
    let stays = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let request = stays.build().unwrap().post(server.url("/sign-in")).body(encoded(form));
    let signed_in = answer(request.header("sec-fetch-site", "same-origin")).await;
    assert_eq!(signed_in.status, 303);
    signed_in.header("set-cookie").split(';').next().unwrap().to_owned()
}

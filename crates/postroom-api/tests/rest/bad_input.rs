//! Bad input: each gets a clear problem, and none an effect.

use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_api::Limits;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::json;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

/// Stands for a body that is nested deeper than JSON may be.
const DEEP: &str = "deep";

/// Method, path, body; status, and what the detail says.
#[rustfmt::skip]
const REFUSED: &[(&str, &str, &str, u16, &str)] = &[
    ("POST",   "email/Profiles",              "{\"name\": }",                       400, "line 1 column 10"),
    ("POST",   "email/Profiles",              "{\n\"name\": \"a\",\n}",             400, "line 3 column 1"),
    ("POST",   "email/Profiles",              "",                                   400, "empty"),
    ("POST",   "email/Profiles",              "{} trailing",                        400, "trailing"),
    ("POST",   "email/Profiles",              DEEP,                                 400, "deeper than 64 levels"),
    ("POST",   "email/Profiles",              "{\"name\":\"a\",\"name\":\"b\"}", 400, "the name \"name\" occurs twice"),
    ("POST",   "email/Profiles",              "\"\\ud800\"",                    400, "line 1 column"),
    ("POST",   "email/Webhooks",              "{}", 422, "url: is required"),
    ("POST",   "email/Webhooks",              "{\"url\":\"ftp://a.test\"}", 422, "url: begins with neither https:// nor http://"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://u:p@a.test\"}", 422, "url: has a login"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"secret\":\"x\"}", 422, "secret: takes whsec_"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"events\":[\"x\"]}", 422, "events[0]: is the name of no event"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"classes\":[\"x\"]}", 422, "classes[0]: there is no class `x`"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"filter\":[]}", 422, "filter: goes with `classes`"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"headers\":{\"host\":\"x\"}}", 422, "headers: names `host`"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"batch\":101}", 422, "batch: takes a whole number from 1 to 100"),
    ("POST",   "email/Webhooks",              "{\"url\":\"https://a.test\",\"cursor\":1}", 422, "cursor: is set by Postroom alone"),
    ("POST",   "iam/Domains",                 "{\"name\":\"A\"}", 422, "name: a domain is 1 to 63"),
    ("POST",   "iam/Domains",                 "{\"name\":\"default\"}", 422, "name: is that of a domain that exists"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\"}", 422, "role: is required, unless"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\",\"role\":\"king\"}", 422, "role: takes one of"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"admin\",\"role\":\"admin\"}", 422, "name: is that of the administrator's"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\",\"rights\":[{}]}", 422, "rights[0]: takes in `actions`"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\",\"rights\":[{\"actions\":[\"read\"],\"classes\":[\"email/Profiles\"],\"filter\":[\"==\"]}]}", 422, "rights[0].filter: "),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\",\"rights\":[{\"actions\":[\"read\"],\"classes\":[\"*\"],\"filter\":[\"==\"]}]}", 422, "rights[0]: has a filter for `*`"),
    ("POST",   "iam/Tokens",                  "{\"name\":\"a\",\"role\":\"own\",\"accounts\":[\"0192d000-0000-7000-8000-00000000abcd\"]}", 422, "accounts: goes with the role `sender`"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\"}", 422, "tokenUrl: is required, unless"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\",\"tokenUrl\":\"http://a.test\"}", 422, "tokenUrl: begins with http://, by which"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\",\"provider\":\"x\"}", 422, "provider: takes one of"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\",\"provider\":\"google\",\"tenant\":\"a/b\"}", 422, "tenant: takes the id"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\",\"provider\":\"google\",\"privateKey\":\"a\"}", 422, "privateKey: takes an RSA key"),
    ("POST",   "email/OAuthApps",             "{\"name\":\"a\",\"provider\":\"google\",\"grant\":\"jwt_bearer\"}", 422, "clientId: is required"),
    ("POST",   "email/Accounts",              "{\"tokenState\":\"valid\"}", 422, "tokenState: is set by Postroom alone"),
    ("POST",   "email/Profiles",              "5",                                  422, "takes a JSON object"),
    ("POST",   "email/Profiles",              "[5]",                                422, "[0]: takes a JSON object"),
    ("POST",   "email/Profiles",              "{}",                                 422, "name: is required"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"nope\":1}",        422, "nope: no such property"),
    ("POST",   "email/Profiles",              "{\"name\":5}",                       422, "name: takes a string"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"auth\":\"x\"}",    422, "auth: takes one of password, oauth2"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"imapPort\":0}",    422, "imapPort: takes a whole number from 1"),
    ("POST",   "email/Profiles",              "{\"name\":\"a\\r\\nb\"}",            422, "name: has a control character"),
    ("POST",   "email/Profiles",              "{\"name\":\"a\\u0000b\"}",           422, "name: has a NUL"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"version\":7}",     422, "version: is set by Postroom alone"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"options\":{\"after_read_timeout\":30000}}", 422, "options.after_read_timeout"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"options\":{\"nope\":1}}", 422, "options.nope"),
    ("POST",   "email/Accounts",              "{\"profile_id\":\"018f0000-0000-7000-8000-000000000000\",\"address\":\"a@b.test\"}", 422, "profile_id: refers to an entity that does not exist"),
    ("POST",   "email/Accounts",              "{\"profile_id\":\"x\",\"address\":\"a@b.test\"}", 422, "profile_id: takes the id"),
    ("POST",   "email/Accounts",              "{\"statusText\":\"x\"}",             422, "statusText: is set by Postroom alone"),
    ("POST",   "email/Profiles",              "{\"name\":\"p\",\"imapHost\":\"a..b\"}", 422, "imapHost: takes the name of a host"),
    ("GET",    "email/Profiles?options=x",    "",                                   422, "options: `options` holds JSON"),
    ("GET",    "email/Profiles?name=a&name=b", "",                                  422, "name: is given twice"),
    ("GET",    "email/Profiles?version=x",    "",                                   422, "`version` takes a whole number"),
    ("GET",    "email/Profiles?name=%zz",     "",                                   400, "percent-encoded"),
    ("GET",    "email/Profiles?name=a%00b",   "",                                   422, "name: a literal has a NUL"),
    ("GET",    "email/Profiles?interval=2026-01-01,2026-02-01", "",                 422, "interval: no such parameter: email/Profiles is not kept by time"),
    ("GET",    "email/Messages?interval=2026-01-01", "",                            422, "interval: takes two days or times"),
    ("GET",    "email/Profiles?nope=1",       "",                                   422, "nope: no such parameter"),
    ("GET",    "email/Profiles?limit=x",      "",                                   422, "limit: takes a whole number"),
    ("GET",    "email/Profiles?order=nope",   "",                                   422, "order: email/Profiles has no property `nope`"),
    ("GET",    "email/Profiles?filter=%5B1",  "",                                   400, "`filter` is not valid JSON"),
    ("GET",    "email/Profiles?filter=%5B%22%3D%3D%22%2C%5B%22property%22%2C%22x%22%5D%2C1%5D", "", 422, "filter[1]: email/Profiles has no property `x`"),
    ("GET",    "email/Profiles?%FF=1",        "",                                   400, "percent-encoded"),
    ("GET",    "email/Nothing",               "",                                   404, "no class of that name"),
    ("GET",    "email/Profiles/7",            "",                                   404, "a UUID"),
    ("GET",    "email/Profiles/018f0000-0000-7000-8000-000000000000", "",           404, "no entity of this id"),
    ("GET",    "email/Profiles/018f0000-0000-7000-8000-000000000000?x=1", "",       422, "x: no such parameter"),
    ("GET",    "email/Messages/018f0000-0000-7000-8000-000000000000/file", "",      404, "no entity of this id"),
    ("GET",    "email/Messages/018f0000-0000-7000-8000-000000000000/html", "",      404, "no such file"),
    ("GET",    "email/Messages/018f0000-0000-7000-8000-000000000000/html?x=1", "",  422, "x: no such parameter; there is attachment"),
    ("GET",    "email/Messages/018f0000-0000-7000-8000-000000000000/subject", "",   404, "is not a file"),
    ("PUT",    "email/Messages/018f0000-0000-7000-8000-000000000000/html", "x",     404, "no entity of this id"),
    ("DELETE", "email/Profiles",              "",                                   422, "filter: is missing"),
    ("DELETE", "email/Profiles?filter=%5B%22and%22%5D", "{}",                       400, "takes no body"),
    ("DELETE", "email/Profiles?filter=%5B%22x%22%5D", "",                           422, "filter"),
    ("DELETE", "email/Accounts?filter=%5B%22and%22%5D&messages=delete", "",         422, "messages: is a parameter of requests for one entity: …/ID?messages=…"),
    ("PATCH",  "email/Accounts?filter=%5B%22and%22%5D&duplicate=allow", "{}",      422, "duplicate: is a parameter of requests for one entity"),
    ("CLEAR",  "email/Accounts?confirm=1&messages=delete", "",                     422, "messages: is a parameter of requests for one entity"),
    ("PATCH",  "email/Profiles",              "{}",                                 422, "filter: is missing"),
    ("PATCH",  "email/Profiles?filter=%5B%22and%22%5D", "",                         400, "the body is empty"),
    ("PATCH",  "email/Profiles?filter=%5B",   "{}",                                 400, "`filter` is not valid JSON"),
    ("PUT",    "email/Profiles",              "{}",                                 405, "GET, HEAD, POST, PATCH, DELETE"),
    ("CLEAR",  "email/Profiles?confirm=x",    "",                                   422, "confirm: takes how many"),
    ("CLEAR",  "email/Profiles?filter=%5B%22x%22%5D", "",                           422, "filter"),
    ("CLEAR",  "email/Profiles",              "{}",                                 400, "takes no body"),
    ("GET",    "email/Profiles:clear",        "",                                   405, "accepts only POST"),
    ("LOOKUP", "email/Profiles",              "",                                   422, "key: is missing"),
    ("LOOKUP", "email/Profiles?key=",         "",                                   422, "key: is missing"),
    ("LOOKUP", "email/Profiles?key=a%00b",    "",                                   422, "`name` cannot have it"),
    ("LOOKUP", "email/Profiles?key=a",        "{}",                                 400, "takes no body"),
    ("GET",    "email/Profiles:lookup?key=a", "",                                   405, "accepts only POST"),
    ("POST",   "email/Profiles/018f0000-0000-7000-8000-000000000000", "{}",         405, "PATCH"),
    ("PATCH",  "email/Messages/018f0000-0000-7000-8000-000000000000/file", "{}",    405, "POST"),
    ("POST",   "email/Messages/018f0000-0000-7000-8000-000000000000/html", "{}",    405, "PUT, DELETE"),
    ("REDECOMPOSE", "email/Profiles",         "",                                   405, "GET, HEAD, POST"),
    ("REDECOMPOSE", "email/Messages?x=1",     "",                                   422, "x: no such parameter; there is filter"),
    ("REDECOMPOSE", "email/Messages?filter=%5B1", "",                               400, "`filter` is not valid JSON"),
    ("REDECOMPOSE", "email/Messages?filter=%5B%22x%22%5D", "",                      422, "filter"),
    ("POST",   "email/Messages:redecompose?x=1", "",                                422, "x: no such parameter; there is filter"),
    ("GET",    "email/Messages:redecompose",  "",                                   405, "accepts only POST"),
    ("POST",   "email/Messages:nope",        "",                                   404, "`:nope` is not a verb of this path; there are: query, clear, lookup, claim, redecompose"),
    ("POST",   "email/Profiles:redecompose",  "",                                   404, "there are: query, clear, lookup"),
    ("PATCH",  "/rest/v1/config",             "[]",                                 422, "takes an object with the sections that change"),
    ("PATCH",  "/rest/v1/config",             "{\"roles\":[{\"name\":\"a\"}]}",       422, "roles[0].roletype: is required"),
    ("PATCH",  "/rest/v1/config",             "{\"rolls\":[]}",                     422, "rolls: no such section; there is roles, limits"),
    ("PATCH",  "/rest/v1/config?dryRun=maybe", "{}",                                422, "dryRun: takes true or false"),
    ("PATCH",  "/rest/v1/config",             "{\"trust\":{\"authorities\":[\"-----BEGIN CERTIFICATE-----\"]}}", 422, "trust.authorities[0]: "),
    ("POST",   "/rest/v1/config:rollback",    "{}",                                 422, "version: takes the number of a version"),
    ("POST",   "/rest/v1/config:rollback",    "{\"version\":9}",                    404, "no version of this number"),
    ("GET",    "/rest/v1/config/versions/x",  "",                                   404, "no version of this number"),
    ("GET",    "/rest/v1/config/versions?limit=0", "",                              422, "limit: takes a whole number from 1 to 1000"),
    ("GET",    "/rest/v1/jobs/7",             "",                                   404, "no job of this id"),
    ("DELETE", "/rest/v1/jobs/018f0000-0000-7000-8000-000000000000", "",            404, "no job of this id"),
    ("POST",   "/rest/v1/jobs",               "",                                   405, "Allow"),
    ("GET",    "/rest/v1/nothing",            "",                                   404, "this path does not exist"),
    ("POST",   "/healthz",                    "",                                   405, "Allow"),
];

const ID: &str = "018f0000-0000-7000-8000-000000000000";

#[on_both]
async fn every_refusal_is_a_problem_with_a_reason() {
    let server = Server::start().await;
    let deep = format!("{{\"name\":{}{}}}", "[".repeat(500), "]".repeat(500));
    for (method, path, body, status, says) in REFUSED {
        let body = if *body == DEEP { deep.clone() } else { (*body).to_owned() };
        let refused = answer(server.request(method, path).body(body)).await;
        let problem = refused.expect(*status);
        let at = format!("{method} {path}: {problem}");
        assert_eq!(refused.header("content-type"), "application/problem+json", "{at}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{at}");
        assert_eq!(
            (&problem["status"], &problem["error_code"]),
            (&json!(status), &json!(1000 + status))
        );
        assert_eq!(problem["error_message"], problem["detail"], "{at}");
        assert!(problem["type"].is_string() && problem["title"].is_string(), "{at}");
        assert_eq!(problem["errors"].is_array(), *status == 422, "{at}");
        assert_eq!(refused.headers.contains_key("allow"), *status == 405, "{at}");
    }
    assert_eq!(server.get(PROFILES).await.expect(200), json!([]));
}

#[on_both]
async fn other_media_types_are_refused() {
    let server = Server::start().await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let message = format!("{MESSAGES}/{message}");
    let (file, html) = (format!("{message}/file"), format!("{message}/html"));
    #[rustfmt::skip]
    let table = [
        ("POST",  PROFILES,  "text/plain",                       "{}", 415),
        ("POST",  PROFILES,  "application/x-www-form-urlencoded", "a", 415),
        ("POST",  PROFILES,  "not a media type",                 "{}", 415),
        ("POST",  PROFILES,  "application/json; charset=latin1", "{}", 415),
        ("PATCH", &message,  "multipart/form-data; boundary=x",  "",   415),
        ("POST",  &file,     "application/json",                 "{}", 415),
        ("POST",  &file,     "multipart/form-data",              "",   400),
        ("POST",  &file,     "multipart/form-data; boundary=x",  "",   400),
        ("POST",  &file,     "multipart/form-data; boundary=x",  "--x--\r\n", 422),
        ("PUT",   &html,     "text/html; charset=iso-8859-1",    "x",  415),
        ("PUT",   &html,     "image/png",                        "x",  415),
        ("PUT",   &html,     "no media type",                    "x",  422),
    ];
    for (method, path, media_type, body, status) in table {
        let request = server.request(method, path).header("content-type", media_type);
        let refused = answer(request.body(body)).await;
        assert_eq!(refused.status, status, "{method} {path} {media_type}: {:?}", refused.bytes);
    }
    let latin = answer(server.request("PUT", &html).body(b"gr\xFCn".as_slice())).await;
    assert_eq!(latin.expect(422)["errors"][0]["reason"], "is not UTF-8");
}

#[on_both]
async fn a_body_of_an_unknown_coding_is_not_taken_for_what_is_in_it() {
    let server = Server::start().await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let file = format!("{MESSAGES}/{message}/file/a.csv");
    for (method, path) in [("POST", PROFILES), ("PUT", file.as_str())] {
        for unknown in ["br", "gzip, zstd", "deflate"] {
            let coded = server.request(method, path).header("content-encoding", unknown).body("x");
            let refused = answer(coded).await;
            let detail = refused.expect(415)["detail"].as_str().unwrap().to_owned();
            assert!(detail.ends_with(&format!("not {unknown}")), "{detail}");
            assert_eq!(refused.header("accept-encoding"), "zstd, gzip");
        }
    }
    let coded = server.request("PUT", &file).header("transfer-encoding", "gzip, chunked");
    assert_eq!(
        answer(
            coded.body(reqwest::Body::wrap_stream(futures_util::stream::iter([Ok::<
                _,
                std::io::Error,
            >("x")])))
        )
        .await
        .status,
        501
    );
    let plain = server.request("PUT", &file).header("content-encoding", "identity").body("x");
    assert_eq!(answer(plain).await.status, 201);
}

#[on_both]
async fn a_file_that_comes_drop_by_drop_is_not_waited_for() {
    let limits = Limits { json_within: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start_with(limits).await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let file = format!("{MESSAGES}/{message}/file/a");
    let pieces = |bytes: usize, count: usize| {
        futures_util::stream::unfold(count, move |left| async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            let piece = Ok::<_, std::io::Error>(vec![b'x'; bytes]);
            left.checked_sub(1).map(|left| (piece, left))
        })
    };
    let put = |bytes, count| {
        let body = reqwest::Body::wrap_stream(pieces(bytes, count));
        answer(server.request("PUT", &file).body(body))
    };
    assert_eq!(put(1, 10_000).await.expect(408)["type"], "urn:postroom:problem:timeout");
    // It takes as long, but brings enough.
    assert_eq!(put(65_536, 50).await.status, 201);
}

#[on_both]
async fn a_body_that_comes_drop_by_drop_is_not_waited_for() {
    let limits = Limits { json_within: Duration::from_millis(300), ..Limits::default() };
    let server = Server::start_with(limits).await;
    let drops = futures_util::stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Some((Ok::<_, std::io::Error>(" "), ()))
    });
    let slow = server.request("POST", PROFILES).body(reqwest::Body::wrap_stream(drops));
    let problem = answer(slow).await.expect(408);
    assert!(problem["detail"].as_str().unwrap().contains("too long"), "{problem}");
}

#[on_both]
async fn a_body_of_many_mistakes_is_answered_shortly() {
    let server = Server::start().await;
    let many = |count: u32| -> String {
        let members: Vec<_> = (0..count).map(|at| format!("\"{at:07}\":0")).collect();
        format!("{{{}}}", members.join(","))
    };
    let refused = answer(server.request("POST", PROFILES).body(many(100_000))).await;
    assert_eq!(refused.expect(422)["errors"].as_array().unwrap().len(), 101);
    assert!(refused.bytes.len() < 20_000, "{}", refused.bytes.len());
    let refused = answer(server.request("POST", PROFILES).body(many(300_000))).await;
    assert!(refused.expect(413)["detail"].as_str().unwrap().contains("500000 values"));
}

#[on_both]
async fn what_is_too_large_is_refused() {
    let limits = Limits {
        json_bytes_max: 10_000,
        upload_bytes_max: 100_000,
        html_bytes_max: 20_000,
        files_count_max: 3,
        ..Limits::default()
    };
    let server = Server::start_with(limits).await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let message = format!("{MESSAGES}/{message}");
    let long = |count: usize| "x".repeat(count);
    let body = json!({"messageDirection": "out", "text": long(20_000)});
    assert_eq!(server.send("POST", MESSAGES, &body).await.expect(413)["error_code"], 1413);
    assert_eq!(server.send("PATCH", &message, &body).await.status, 413);
    let put = |path: &str, body: String| {
        answer(server.request("PUT", &format!("{message}/{path}")).body(body))
    };
    assert_eq!(put("file/a", long(100_001)).await.status, 413);
    assert_eq!(put("file/a", long(100_000)).await.status, 201);
    assert_eq!(put("html", long(20_001)).await.status, 413);
    let streamed =
        futures_util::stream::iter((0..50).map(|_| Ok::<_, std::io::Error>(vec![0; 10_000])));
    let request = server.request("PUT", &format!("{message}/file/b"));
    assert_eq!(answer(request.body(reqwest::Body::wrap_stream(streamed))).await.status, 413);
    let post = async |form: Form| {
        answer(server.request("POST", &format!("{message}/file")).multipart(form)).await.status
    };
    let part = |name: &str, count: usize| Part::text(long(count)).file_name(name.to_owned());
    assert_eq!(post(Form::new().part("x", part("c", 200_000))).await, 413);
    let many = (0..9).fold(Form::new(), |form, at| form.part("x", part(&at.to_string(), 1)));
    assert_eq!(post(many).await, 422);
    let list = server.get(&format!("{message}/file")).await.expect(200);
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
}

#[on_both]
async fn a_gigabyte_is_refused_before_it_is_sent() {
    let server = Server::start().await;
    let url = server.request("GET", "/healthz").build().unwrap().url().clone();
    let mut socket = tokio::net::TcpSocket::new_v4()
        .unwrap()
        .connect(url.socket_addrs(|| None).unwrap()[0])
        .await
        .unwrap();
    let head = format!(
        "POST /rest/v1/model/email/Profiles HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\
         Content-Length: 1000000000\r\n\r\n"
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut reply = [0; 12];
    let read = socket.read_exact(&mut reply);
    tokio::time::timeout(Duration::from_secs(5), read).await.unwrap().unwrap();
    assert_eq!(&reply, b"HTTP/1.1 413");
}

#[on_both]
async fn hostile_names_of_files_have_no_effect() {
    let server = Server::start().await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    for name in
        ["..%2F..%2Fetc%2Fpasswd", "a%00b", "a%0D%0Ab", "%2E", "%2E%2E%5Cx", "%20%2F", "a%7F"]
    {
        let path = format!("{MESSAGES}/{message}/file/{name}");
        let refused = answer(server.request("PUT", &path).body("x")).await;
        assert!(matches!(refused.status, 404 | 405 | 422), "{name}: {}", refused.status);
    }
    let list = server.get(&format!("{MESSAGES}/{message}/file")).await;
    assert_eq!(list.expect(200), json!([]));
}

#[on_both]
async fn filters_beyond_their_bounds_are_refused() {
    let server = Server::start().await;
    let one = json!(["isnull", ["property", "name"]]);
    let deep = (0..40).fold(one.clone(), |inner, _| json!(["not", inner]));
    let wide = json!(
        std::iter::once(json!("or")).chain((0..1_000).map(|_| one.clone())).collect::<Vec<_>>()
    );
    let long = json!(["==", ["property", "name"], "x".repeat(65 * 1024)]);
    for filter in [deep, wide, long] {
        let refused = server.send("QUERY", PROFILES, &json!({"filter": filter})).await.expect(422);
        let place = refused["errors"][0]["property"].as_str().unwrap();
        assert!(place.starts_with("filter"), "{refused}");
    }
    assert_eq!(server.get(&format!("{PROFILES}/{ID}/name")).await.status, 404);
}

#[on_both]
async fn every_verb_of_every_path_refuses_parameters_that_it_does_not_know() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let profile = server.get(PROFILES).await.expect(200)[0]["id"].as_str().unwrap().to_owned();
    let job = server.send("REDECOMPOSE", MESSAGES, &json!({})).await;
    assert_eq!(job.status, 400, "it takes no body");
    let job = answer(server.request("REDECOMPOSE", MESSAGES)).await.expect(202);
    let model = [
        PROFILES.to_owned(),
        "email/Accounts".to_owned(),
        "email/Folders".to_owned(),
        MESSAGES.to_owned(),
        format!("{PROFILES}/{profile}"),
        format!("email/Accounts/{account}"),
        format!("email/Folders/{folder}"),
        format!("{MESSAGES}/{message}"),
        format!("{MESSAGES}/{message}/file"),
        format!("{MESSAGES}/{message}/file/hello.txt"),
        format!("{MESSAGES}/{message}/html"),
        format!("{MESSAGES}/{message}/rawMessage"),
    ];
    let other = [
        "/rest/v1/model/".to_owned(),
        "/rest/v1/model/email/".to_owned(),
        "/rest/v1/design/classes".to_owned(),
        "/rest/v1/design/classes/email/Messages".to_owned(),
        "/rest/v1/jobs".to_owned(),
        format!("/rest/v1/jobs/{}", job["id"].as_str().unwrap()),
        "/rest/v1/nodes".to_owned(),
        "/rest/v1/erasures".to_owned(),
        "/rest/v1/config".to_owned(),
        "/rest/v1/config:rollback".to_owned(),
        "/rest/v1/config/trimmed".to_owned(),
        "/rest/v1/config/versions".to_owned(),
        "/rest/v1/config/versions/1".to_owned(),
        "/rest/v1/sending".to_owned(),
        "/rest/v1/sending:resume".to_owned(),
        "/healthz".to_owned(),
    ];
    let mut tried = 0;
    for path in model.into_iter().chain(other) {
        let allowed = answer(server.request("NOPE", &path)).await;
        assert_eq!(allowed.status, 405, "{path}");
        let methods = allowed.header("allow").to_owned();
        let mut ways: Vec<_> =
            methods.split([',', ' ']).filter(|method| !method.is_empty()).collect();
        assert!(!ways.is_empty(), "{path}");
        // The twins of verbs of our own.
        let common = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"];
        let twins = ways.iter().filter(|way| !common.contains(way));
        let twins: Vec<_> = twins.map(|verb| format!("{path}:{}", verb.to_lowercase())).collect();
        let paths = twins.iter().map(|twin| ("POST", twin.as_str()));
        for (method, path) in ways.drain(..).map(|method| (method, path.as_str())).chain(paths) {
            for parameter in ["nope=1", "cascade=true"] {
                let request = server.request(method, &format!("{path}?{parameter}"));
                let takes_body =
                    !["GET", "HEAD", "CLEAR", "LOOKUP", "REDECOMPOSE"].contains(&method);
                let request = if takes_body { request.json(&json!({})) } else { request };
                let refused = answer(request).await;
                assert_eq!(refused.status, 422, "{method} {path}: {:?}", refused.bytes);
                if method != "HEAD" {
                    let name = parameter.split_once('=').unwrap().0;
                    assert_eq!(refused.json()["errors"][0]["property"], name, "{method} {path}");
                }
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[on_both]
async fn a_slash_at_the_end_lists_the_collections_below() {
    let server = Server::start().await;
    let names = |list: &serde_json::Value| {
        let list = list.as_array().unwrap();
        list.iter().map(|child| child["path"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let root = server.get("/rest/v1/model/").await.expect(200);
    assert_eq!(names(&root), ["/rest/v1/model/email/", "/rest/v1/model/iam/"]);
    let email = server.get("email/").await.expect(200);
    let want = ["Accounts", "Folders", "Messages", "OAuthApps", "Profiles", "Webhooks"];
    assert_eq!(names(&email), want.map(|name| format!("/rest/v1/model/email/{name}")));
    assert_eq!(email[2]["classname"], MESSAGES);
    assert_eq!(server.get("email/Messages/").await.expect(200), json!([]));
    for classname in ["crm/Tickets", "crm/Tickets/Notes"] {
        let class = json!({
            "classname": classname, "name": classname, "storage_mode": "category",
            "properties": [{"name": "title", "data_type": "string"}],
        });
        server.send("POST", "/rest/v1/design/classes", &class).await.expect(201);
    }
    let root = server.get("/rest/v1/model/").await.expect(200);
    let want = ["crm", "email", "iam"].map(|name| format!("/rest/v1/model/{name}/"));
    assert_eq!(names(&root), want);
    let below = server.get("crm/Tickets/").await.expect(200);
    assert_eq!(names(&below), ["/rest/v1/model/crm/Tickets/Notes"]);
    server.get("nope/").await.expect(404);
    assert_eq!(answer(server.request("DELETE", "email/Messages/")).await.status, 405);
    assert_eq!(answer(server.anonymous("GET", "email/")).await.status, 401);
}

//! Files: upload, list, download, replace, delete.

use crate::server::Answer;
use crate::server::ORIGINAL;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::json;

async fn draft(server: &Server) -> String {
    let id = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    format!("{MESSAGES}/{id}")
}

fn file(name: &str, bytes: &'static [u8]) -> Part {
    Part::bytes(bytes).file_name(name.to_owned())
}

async fn upload(server: &Server, path: &str, form: Form) -> Answer {
    answer(server.request("POST", path).multipart(form)).await
}

async fn put(server: &Server, path: &str, media_type: &str, bytes: &'static [u8]) -> Answer {
    let request = server.request("PUT", path).header("content-type", media_type);
    answer(request.body(bytes)).await
}

#[on_both]
async fn files_are_added_listed_and_deleted() {
    let server = Server::start().await;
    let message = draft(&server).await;
    let form = Form::new()
        .part("a", file("1 Ü.txt", b"one").mime_str("text/plain; charset=utf-8").unwrap())
        .part("b", file("two", b""));
    let added = upload(&server, &format!("{message}/attachments"), form).await.expect(201);
    assert_eq!((&added[0]["name"], &added[0]["size"]), (&json!("1 Ü.txt"), &json!(3)));
    assert_eq!(added[1]["contentType"], "application/octet-stream");
    for alias in ["file", "attachments"] {
        assert_eq!(server.get(&format!("{message}/{alias}")).await.expect(200), added);
    }
    assert_eq!(server.get(&message).await.expect(200)["version"], 2, "files are of the entity");
    let empty = server.get(&format!("{message}/file/two")).await;
    assert_eq!((empty.status, empty.header("content-length"), empty.bytes.len()), (200, "0", 0));

    let gone = format!("{message}/file/1%20%C3%9C.txt");
    assert_eq!(server.send("DELETE", &gone, &json!({})).await.status, 204);
    for method in ["GET", "DELETE"] {
        assert_eq!(server.send(method, &gone, &json!({})).await.status, 404, "{method}");
    }
    assert_eq!(server.get(&format!("{message}/file")).await.expect(200), json!([added[1]]));
}

#[on_both]
async fn files_are_added_whole_or_not_at_all() {
    let server = Server::start().await;
    let files = format!("{}/file", draft(&server).await);
    let two = Form::new().part("x", file("two", b"2"));
    let added = upload(&server, &files, two).await.expect(201);
    let twice = Form::new().part("x", file("three", b"3")).part("y", file("two", b"2"));
    let refused = upload(&server, &files, twice).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("`two`"), "{refused}");
    let twins = Form::new().part("x", file("four", b"4")).part("y", file("four", b"4"));
    assert_eq!(upload(&server, &files, twins).await.status, 409);
    assert_eq!(server.get(&files).await.expect(200), added, "all or none");
}

#[on_both]
async fn one_file_is_put_as_it_is_or_as_a_form() {
    let server = Server::start().await;
    let message = draft(&server).await;
    let path = format!("{message}/inlines/logo%2B.png");
    let created = put(&server, &path, "image/png", b"PNG").await.expect(201);
    assert_eq!(
        (&created["name"], &created["contentId"]),
        (&json!("logo+.png"), &json!("logo+.png"))
    );
    let form = Form::new().part("x", file("another-name", b"PNG2").mime_str("image/x").unwrap());
    let replaced = answer(server.request("PUT", &path).multipart(form)).await.expect(200);
    assert_eq!((&replaced["name"], &replaced["size"]), (&json!("logo+.png"), &json!(4)));
    assert_ne!(replaced["etag"], created["etag"]);
    assert_eq!(server.get(&path).await.bytes, "PNG2");
    assert_eq!(server.get(&format!("{message}/inlines")).await.expect(200), json!([replaced]));

    let html = format!("{message}/html");
    assert_eq!(server.get(&html).await.status, 404);
    assert_eq!(
        put(&server, &html, "text/html; charset=UTF-8", "<p>ü".as_bytes()).await.status,
        201
    );
    assert_eq!(put(&server, &html, "application/octet-stream", b"<p>2").await.status, 200);
    assert_eq!(server.get(&html).await.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(server.get(&html).await.bytes, "<p>2");
    assert_eq!(server.send("DELETE", &html, &json!({})).await.status, 204);
    assert_eq!(server.get(&html).await.status, 404);
}

#[on_both]
async fn a_form_gives_a_single_file_its_name() {
    let server = Server::start().await;
    let scan = json!({"name": "scan", "data_type": "attachment"});
    let class = json!({"classname": "crm/Tickets", "properties": [scan]});
    server.send("POST", "/rest/v1/design/classes", &class).await.expect(201);
    let tickets = "/rest/v1/model/crm/Tickets";
    let ticket = server.create(tickets, &json!({})).await;
    let path = format!("{tickets}/{ticket}/scan");
    let form = |name: &str| Form::new().part("x", file(name, b"PDF"));
    let put_form = |name: &str| answer(server.request("PUT", &path).multipart(form(name)));
    assert_eq!(put(&server, &path, "a/b", b"1").await.expect(201)["name"], "scan");
    assert_eq!(put_form("first.pdf").await.expect(200)["name"], "first.pdf");
    assert_eq!(put_form("second.pdf").await.expect(200)["name"], "second.pdf");
    let kept = put(&server, &path, "a/b", b"4").await.expect(200);
    assert_eq!((&kept["name"], &kept["size"]), (&json!("second.pdf"), &json!(1)));
    let download = server.get(&format!("{path}?attachment=true")).await;
    let said = download.header("content-disposition");
    assert!(said.contains("second.pdf"), "{said}");
    assert_eq!(download.bytes, "4", "it is the only one");
    let shown = server.get(&format!("{tickets}?mask=files")).await.expect(200);
    assert_eq!(shown[0]["files"].as_array().unwrap().len(), 1, "{shown}");
}

#[on_both]
async fn conditions_guard_a_file() {
    let server = Server::start().await;
    let path = format!("{}/file/a", draft(&server).await);
    let tag = put(&server, &path, "a/b", b"1").await.expect(201)["etag"].clone();
    let tag = format!("\"{}\"", tag.as_str().unwrap());
    let with = |method: &str, name: &str, tag: &str| {
        answer(server.request(method, &path).header(name, tag).body("2"))
    };
    assert_eq!(with("PUT", "if-none-match", "*").await.status, 412);
    assert_eq!(with("PUT", "if-match", &tag).await.status, 200);
    assert_eq!(with("PUT", "if-match", &tag).await.status, 412);
    assert_eq!(with("DELETE", "if-match", &tag).await.status, 412);
    assert_eq!(with("DELETE", "if-match", "*").await.status, 204);
    assert_eq!(with("PUT", "if-match", "*").await.status, 412);
    assert_eq!(with("PUT", "if-none-match", "*").await.status, 201);
}

#[on_both]
async fn downloads_are_whole_or_a_range() {
    let server = Server::start().await;
    let path = format!("{}/file/ten", draft(&server).await);
    put(&server, &path, "text/plain", b"0123456789").await.expect(201);
    let whole = server.get(&path).await;
    let tag = whole.header("etag").to_owned();
    assert_eq!(
        (whole.bytes.as_ref(), whole.header("accept-ranges")),
        (b"0123456789".as_slice(), "bytes")
    );
    #[rustfmt::skip]
    let table = [
        ("bytes=0-3",     206, "0123",       "bytes 0-3/10"),
        ("bytes=7-",      206, "789",        "bytes 7-9/10"),
        ("bytes=-2",      206, "89",         "bytes 8-9/10"),
        ("bytes=5-99",    206, "56789",      "bytes 5-9/10"),
        ("bytes=0-1,3-4", 200, "0123456789", ""),
        ("lines=1-2",     200, "0123456789", ""),
    ];
    for (range, status, bytes, said) in table {
        let part = answer(server.request("GET", &path).header("range", range)).await;
        assert_eq!((part.status, part.header("content-range")), (status, said), "{range}");
        assert_eq!(part.bytes, bytes, "{range}");
        assert_eq!(part.header("content-length"), bytes.len().to_string(), "{range}");
        assert_eq!(part.header("etag"), tag);
    }
    let beyond = answer(server.request("GET", &path).header("range", "bytes=10-")).await;
    assert_eq!(beyond.expect(416)["error_code"], 1416);
    assert_eq!(beyond.header("content-range"), "bytes */10");
    let range = |tag: &str| {
        server.request("GET", &path).header("range", "bytes=0-0").header("if-range", tag)
    };
    assert_eq!(answer(range(&tag)).await.status, 206);
    assert_eq!(answer(range("\"old\"")).await.status, 200);
    let known = answer(server.request("GET", &path).header("if-none-match", &tag)).await;
    assert_eq!((known.status, known.bytes.len()), (304, 0));
    let other = answer(server.request("GET", &path).header("if-match", "\"old\"")).await;
    other.expect(412);
    assert_eq!(answer(server.request("GET", &path).header("if-match", &tag)).await.status, 200);
    // A range is one of GET alone.
    let head = answer(server.request("HEAD", &path).header("range", "bytes=0-1")).await;
    assert_eq!((head.status, head.header("content-length"), head.bytes.len()), (200, "10", 0));
}

#[on_both]
async fn a_range_of_a_large_file_is_cut_at_the_right_byte() {
    let server = Server::start().await;
    let path = format!("{}/file/large", draft(&server).await);
    let large: Vec<u8> = (0..5_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let uploaded = answer(server.request("PUT", &path).body(large.clone())).await;
    assert_eq!(uploaded.expect(201)["size"], large.len());
    assert_eq!(server.get(&path).await.bytes, large);
    for (from, to) in [(0, 0), (262_143, 262_144), (4_000_001, 9_000_000), (19_999_999, 19_999_999)]
    {
        let range = format!("bytes={from}-{to}");
        let part = answer(server.request("GET", &path).header("range", &range)).await;
        assert_eq!(part.bytes, large[from..=to], "{range}");
    }
}

#[on_both]
async fn what_mail_brings_is_shown_without_trust() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = format!("{MESSAGES}/{}", server.received(&account, &folder).await);
    let html = server.get(&format!("{message}/html")).await;
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    assert_eq!(html.bytes, "<p>grün</p>", "shown in UTF-8");
    assert_eq!(html.header("content-length"), "12");
    assert_eq!(html.header("x-content-type-options"), "nosniff");
    assert!(html.header("content-security-policy").starts_with("sandbox;"));
    let request = server.request("GET", &format!("{message}/html")).header("range", "bytes=-4");
    assert_eq!(answer(request).await.bytes, "</p>");
    let named =
        server.get(&format!("{message}/inlines/a%2Fb%20%22%C3%BC%22.png?attachment=true")).await;
    assert_eq!(named.bytes, "PNG");
    let want = "attachment; filename=\"a_b ____.png\"; filename*=UTF-8''a%2Fb%20%22%C3%BC%22.png";
    assert_eq!(named.header("content-disposition"), want.replace("____", "___"));
    assert_eq!(server.get(&format!("{message}/html")).await.header("content-disposition"), "");
    let text = server.get(&format!("{message}/attachments/hello.txt")).await;
    assert_eq!(
        (text.bytes.as_ref(), text.header("content-type")),
        (b"hello".as_slice(), "text/plain; charset=iso-8859-1")
    );
    let raw = server.get(&format!("{message}/rawMessage")).await;
    assert_eq!((raw.bytes.as_ref(), raw.header("content-type")), (ORIGINAL, "message/rfc822"));
}

#[on_both]
async fn files_of_a_received_message_do_not_change() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = format!("{MESSAGES}/{}", server.received(&account, &folder).await);
    for path in ["html", "rawMessage", "file/hello.txt"] {
        let path = format!("{message}/{path}");
        let refused = put(&server, &path, "text/html", b"x").await.expect(409);
        assert!(refused["detail"].as_str().unwrap().contains("received"), "{refused}");
        assert_eq!(server.send("DELETE", &path, &json!({})).await.status, 409, "{path}");
    }
    let form = Form::new().part("x", file("new", b"x"));
    assert_eq!(upload(&server, &format!("{message}/file"), form).await.status, 409);
    let raw = format!("{}/rawMessage", draft(&server).await);
    let refused = put(&server, &raw, "message/rfc822", b"x").await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("Postroom makes it"), "{refused}");
}

#[on_both]
async fn a_message_that_is_deleted_takes_its_files_along() {
    let server = Server::start().await;
    let message = draft(&server).await;
    put(&server, &format!("{message}/file/a"), "a/b", b"1").await.expect(201);
    assert_eq!(server.send("DELETE", &message, &json!({})).await.status, 204);
    for path in ["file", "file/a", "html"] {
        assert_eq!(server.get(&format!("{message}/{path}")).await.status, 404, "{path}");
    }
}

/// Every way in which JSON names the files of an entity that it does not have.
fn other_files(list: &str, single: &str) -> Vec<serde_json::Value> {
    vec![
        json!({list: []}),
        json!({list: null}),
        json!({list: [{"name": "x", "content": ""}]}),
        json!({single: null}),
        json!({single: "<p>other"}),
    ]
}

#[on_both]
async fn a_change_of_an_entity_never_passes_over_files_in_silence() {
    let server = Server::start().await;
    let class = json!({"classname": "own/Things", "properties": [
        {"name": "docs", "data_type": "attachment", "multi": true},
        {"name": "doc", "data_type": "attachment"}, {"name": "title", "data_type": "string"}]});
    let made = server.request("POST", "/rest/v1/design/classes").json(&class);
    answer(made).await.expect(201);
    let one = json!([{"name": "a.txt", "content": "aGk="}]);
    let things = json!({"title": "t", "docs": one, "doc": {"name": "d", "content": "aGk="}});
    let things = format!("own/Things/{}", server.create("own/Things", &things).await);
    let draft = json!({"messageDirection": "out", "html": "<p>", "attachments": one,
                       "inlines": one});
    let draft = format!("{MESSAGES}/{}", server.create(MESSAGES, &draft).await);
    for (path, base, list, single) in [
        (&draft, json!({"messageDirection": "out"}), "attachments", "html"),
        (&draft, json!({"messageDirection": "out"}), "file", "html"),
        (&draft, json!({"messageDirection": "out"}), "inlines", "html"),
        (&things, json!({"title": "t"}), "docs", "doc"),
    ] {
        let before = server.get(path).await.expect(200);
        for sent in other_files(list, single) {
            let name = sent.as_object().unwrap().keys().next().unwrap();
            let mut whole = base.clone();
            whole.as_object_mut().unwrap().extend(sent.as_object().unwrap().clone());
            for (method, sent) in [("PATCH", &sent), ("PUT", &whole)] {
                let refused = server.send(method, path, sent).await.expect(422);
                let error = &refused["errors"][0];
                assert_eq!(error["property"], *name, "{method} {sent}: {refused}");
                let reason = error["reason"].as_str().unwrap();
                assert!(reason.contains(&format!("…/ID/{name}")), "{method} {sent}: {reason}");
            }
        }
        assert_eq!(server.get(path).await.expect(200), before);
        // What is not named stays, and so does what is named as it is.
        server.send("PUT", path, &base).await.expect(200);
        let files = server.get(&format!("{path}/{list}")).await.expect(200);
        assert_eq!(files.as_array().unwrap().len(), 1, "{path}");
    }
    let none = json!({"messageDirection": "out", "html": null, "inlines": [], "file": null});
    let path = format!("{MESSAGES}/{}", server.create(MESSAGES, &none).await);
    server.send("PUT", &path, &none).await.expect(200);
}

//! The whole text of a message, and its html as it is shown.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_store::Content;
use postroom_store::NewContent;
use postroom_store::NewFile;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// A message in parts, of which the first are `texts`.
fn of_parts(texts: &[(&str, &str)]) -> String {
    let mut message = "Subject: a\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".to_owned();
    for (fields, text) in texts {
        message.push_str(&format!("--b\r\n{fields}\r\n{text}\r\n"));
    }
    message + "--b--\r\n"
}

/// A received message whose `text` has only the beginning of its text.
async fn shortened(server: &Server, original: &str, is_kept: bool) -> String {
    let (account, folder) = server.account().await;
    let values = json!({
        "account_id": account, "folder_id": folder, "messageDirection": "in", "uid": 1,
        "dateTimeSource": "arrival", "messageState": "received", "uidValidity": 1,
        "text": "only", "defects": ["text_over"],
    });
    let original = is_kept.then_some(original.as_bytes());
    let id = server.received_as(&folder, &values, vec![], original).await;
    format!("{MESSAGES}/{id}/text")
}

async fn range(server: &Server, path: &str, range: &str) -> Answer {
    answer(server.request("GET", path).header("range", range)).await
}

fn own(property: &str, name: &str, media_type: &str, bytes: &[u8]) -> NewFile {
    NewFile {
        property: property.to_owned(),
        name: name.to_owned(),
        media_type: media_type.to_owned(),
        content_id: (property == "inlines").then(|| format!("{name}@shop.example")),
        content: NewContent::Own(Content::prepare(bytes)),
    }
}

/// A received message with this html and inlines of these sizes, called `one`, `two` and so on.
async fn with_html(server: &Server, html: &str, inlines: &[&[u8]]) -> String {
    let (account, folder) = server.account().await;
    let values = json!({
        "account_id": account, "folder_id": folder, "messageDirection": "in", "uid": 1,
        "dateTimeSource": "arrival", "messageState": "received", "uidValidity": 1,
    });
    let mut files = vec![own("html", "message.html", "text/html", html.as_bytes())];
    let named = ["one", "two/ü", "three"].into_iter().zip(inlines);
    files.extend(named.map(|(name, bytes)| own("inlines", name, "image/png", bytes)));
    let id = server.received_as(&folder, &values, files, None).await;
    format!("{MESSAGES}/{id}/html")
}

#[on_both]
async fn a_text_is_shown_whole_or_in_a_range() {
    let server = Server::start().await;
    let values = json!({"messageDirection": "out", "text": "grün\n0123456789"});
    let path = format!("{MESSAGES}/{}/text", server.create(MESSAGES, &values).await);
    let whole = server.get(&path).await;
    assert_eq!((whole.status, whole.bytes.as_ref()), (200, "grün\n0123456789".as_bytes()));
    assert_eq!(whole.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(whole.header("x-content-type-options"), "nosniff");
    assert!(whole.header("content-security-policy").starts_with("sandbox;"));
    let part = range(&server, &path, "bytes=-4").await;
    assert_eq!((part.status, part.bytes.as_ref()), (206, b"6789".as_slice()));
    assert_eq!(range(&server, &path, "bytes=99-").await.status, 416);
    let known = server.request("GET", &path).header("if-none-match", whole.header("etag"));
    assert_eq!(answer(known).await.status, 304);
    let other = server.request("GET", &path).header("if-match", "\"x\"");
    assert_eq!(answer(other).await.status, 412);
    let head = answer(server.request("HEAD", &path)).await;
    assert_eq!((head.header("content-length"), head.bytes.len()), ("16", 0));
    let saved = server.get(&format!("{path}?attachment=true")).await;
    assert!(saved.header("content-disposition").contains("message.txt"));
}

#[on_both]
async fn a_text_is_whole_though_the_property_has_only_its_beginning() {
    let server = Server::start().await;
    let parts = of_parts(&[
        (
            "Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: quoted-printable\r\n",
            "gr=FCn",
        ),
        ("Content-Type: text/plain\r\n", "two"),
    ]);
    let path = shortened(&server, &parts, true).await;
    let whole = server.get(&path).await;
    assert_eq!((whole.status, whole.bytes.as_ref()), (200, "grün\ntwo".as_bytes()));

    // So little is decoded in memory that one part streams out, and others cannot be had.
    let small = server.with_texts(64).await;
    let long = "one line of \u{fc}\r\n".repeat(1_000);
    let one = format!("Content-Type: text/plain; charset=utf-8\r\n\r\n{long}");
    let path = shortened(&small, &one, true).await;
    let whole = small.get(&path).await;
    let want = long.replace("\r\n", "\n");
    assert_eq!(
        (whole.status, whole.header("content-length")),
        (200, want.len().to_string().as_str())
    );
    assert!(whole.bytes == want);
    let part = range(&small, &path, "bytes=7001-7100").await;
    assert_eq!((part.status, part.bytes.as_ref()), (206, &want.as_bytes()[7001..=7100]));
    assert_eq!(part.header("etag"), whole.header("etag"));
    assert_eq!(range(&small, &path, "bytes=999999-").await.status, 416);

    let html = format!("Content-Type: text/html\r\n\r\n<p>{long}");
    let path = shortened(&small, &html, true).await;
    let refused = small.get(&path).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("rawMessage"), "{refused}");
    let path = shortened(&small, "", false).await;
    let refused = small.get(&path).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("store_raw_as_file"), "{refused}");
}

#[on_both]
async fn what_is_wrong_with_a_request_for_a_body_is_named() {
    let server = Server::start().await;
    let none = format!(
        "{MESSAGES}/{}",
        server.create(MESSAGES, &json!({"messageDirection": "out"})).await
    );
    assert_eq!(server.get(&format!("{none}/text")).await.status, 404);
    assert_eq!(server.get(&format!("{none}/html?safe=true")).await.status, 404);
    let nobody = format!("{MESSAGES}/00000000-0000-7000-8000-000000000000/text");
    assert_eq!(server.get(&nobody).await.status, 404);
    for method in ["PUT", "POST", "DELETE", "PATCH"] {
        let refused = server.send(method, &format!("{none}/text"), &json!({})).await;
        assert_eq!((refused.status, refused.header("allow")), (405, "GET, HEAD"), "{method}");
    }
    #[rustfmt::skip]
    let table = [
        ("text?part=none", "part"), ("text?safe=true", "safe"), ("text?attachment=1", "attachment"),
        ("html?part=none", "part"), ("html?inline=cid", "inline"), ("html?safe=yes", "safe"),
        ("html?remote=true", "remote"), ("html?safe=false&remote=true", "remote"),
        ("html?safe=true&safe=true", "safe"), ("html?inline", "inline"),
    ];
    for (path, property) in table {
        let refused = server.get(&format!("{none}/{path}")).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], property, "{path}: {refused}");
    }
    // Another domain's message is not there.
    let path = format!("{none}/text");
    let other = server.anonymous("GET", &path).bearer_auth(crate::server::OTHER_TOKEN);
    assert_eq!(answer(other).await.status, 404);
    assert_eq!(answer(server.anonymous("GET", &path)).await.status, 401);
}

#[on_both]
async fn inlines_take_the_place_of_their_content_ids() {
    let server = Server::start().await;
    let html = "<p><img src=\"cid:one@shop.example\"><img src='cid:two%2F%C3%BC@shop.example'>\
                <img src=cid:none@shop.example>";
    let path = with_html(&server, html, &[b"PNG", b"two"]).await;
    let message = path.strip_suffix("/html").unwrap();
    let as_it_came = server.get(&path).await;
    for query in ["", "?safe=false", "?attachment=false"] {
        assert_eq!(server.get(&format!("{path}{query}")).await.bytes, html, "{query}");
    }
    let shown = server.get(&format!("{path}?inline=url")).await;
    let url = |name: &str| format!("/rest/v1/model/{message}/inlines/{name}");
    let want = format!(
        "<p><img src=\"{}\"><img src='{}'><img src=cid:none@shop.example>",
        url("one"),
        url("two%2F%C3%BC")
    );
    assert_eq!(shown.bytes, want);
    assert!(
        shown
            .header("content-security-policy")
            .starts_with("sandbox; default-src 'none'; img-src data: 'self';")
    );
    assert_ne!(shown.header("etag"), as_it_came.header("etag"));
    assert_eq!(server.get(&url("two%2F%C3%BC")).await.bytes, "two");
    let part = range(&server, &format!("{path}?inline=url"), "bytes=0-2").await;
    assert_eq!((part.status, part.bytes.as_ref()), (206, b"<p>".as_slice()));
    let data = server.get(&format!("{path}?inline=data")).await;
    let want = "<p><img src=\"data:image/png;base64,UE5H\"><img src='data:image/png;base64,dHdv'>\
                <img src=cid:none@shop.example>";
    assert_eq!(data.bytes, want);
    assert_eq!(
        data.header("content-security-policy"),
        as_it_came.header("content-security-policy")
    );
}

#[on_both]
async fn embedded_inlines_have_a_bound() {
    let server = Server::start().await;
    let html = "<img src=cid:one@shop.example>".repeat(40);
    let path = with_html(&server, &html, &[&vec![7; 1 << 20]]).await;
    let refused = server.get(&format!("{path}?inline=data")).await.expect(413);
    assert!(refused["detail"].as_str().unwrap().contains("inline=url"), "{refused}");
    assert_eq!(server.get(&format!("{path}?inline=url")).await.status, 200);
}

#[on_both]
async fn html_is_made_harmless_where_asked_for() {
    let server = Server::start().await;
    let html = "<p onclick=x>Hi<script>alert(1)</script><img src=\"cid:one@shop.example\">\
                <img src=\"https://shop.example/p\"></p><form><input></form>";
    let path = with_html(&server, html, &[b"PNG"]).await;
    #[rustfmt::skip]
    let table = [
        ("?safe=true",                         "<p>Hi<img src=\"cid:one@shop.example\"><img></p>"),
        ("?safe=true&inline=data",             "<p>Hi<img src=\"data:image/png;base64,UE5H\"><img></p>"),
        ("?safe=true&remote=true&inline=data", "<p>Hi<img src=\"data:image/png;base64,UE5H\"><img src=\"https://shop.example/p\"></p>"),
    ];
    for (query, want) in table {
        let shown = server.get(&format!("{path}{query}")).await;
        assert_eq!(
            (shown.status, shown.bytes.as_ref()),
            (200, want.as_bytes()),
            "{query}: {:?}",
            shown.bytes
        );
        let policy = shown.header("content-security-policy");
        assert!(policy.starts_with("sandbox;"), "{policy}");
        assert_eq!(policy.contains("https:"), query.contains("remote"), "{policy}");
    }
    let hostile = with_html(&server, &"<div>".repeat(200_000), &[]).await;
    let refused: Json = server.get(&format!("{hostile}?safe=true")).await.expect(422);
    assert_eq!(refused["type"], "urn:postroom:problem:too-intricate");
}

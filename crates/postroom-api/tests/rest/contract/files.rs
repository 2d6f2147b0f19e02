//! Files of a message.

use crate::server::ORIGINAL;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::Value as Json;
use serde_json::json;

async fn draft(server: &Server) -> String {
    let id = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    format!("{MESSAGES}/{id}")
}

async fn received(server: &Server) -> String {
    let (account, folder) = server.account().await;
    format!("{MESSAGES}/{}", server.received(&account, &folder).await)
}

fn part(name: &str, bytes: &'static [u8]) -> Form {
    Form::new().part("x", Part::bytes(bytes).file_name(name.to_owned()))
}

async fn post(server: &Server, path: &str, form: Form) -> crate::server::Answer {
    answer(server.request("POST", path).multipart(form)).await
}

async fn names(server: &Server, path: &str) -> Vec<String> {
    let list = server.get(path).await.expect(200);
    list.as_array().unwrap().iter().map(|file| file["name"].as_str().unwrap().to_owned()).collect()
}

#[on_both]
async fn the_original_of_a_received_message_is_its_raw_message() {
    let server = Server::start().await;
    let message = received(&server).await;
    assert_eq!(server.get(&format!("{message}/rawMessage")).await.bytes, ORIGINAL);
}

#[on_both]
async fn attachments_html_and_inlines_have_a_path_each() {
    let server = Server::start().await;
    let message = received(&server).await;
    assert_eq!(names(&server, &format!("{message}/attachments")).await, ["hello.txt"]);
    assert_eq!(names(&server, &format!("{message}/inlines")).await, ["a/b \"ü\".png"]);
    assert_eq!(server.get(&format!("{message}/html")).await.bytes, "<p>grün</p>");
}

#[on_both]
async fn file_is_another_name_of_attachments() {
    let server = Server::start().await;
    let message = received(&server).await;
    let both = ["file", "attachments"].map(|name| format!("{message}/{name}"));
    assert_eq!(server.get(&both[0]).await.expect(200), server.get(&both[1]).await.expect(200));
    for list in both {
        assert_eq!(server.get(&format!("{list}/hello.txt")).await.bytes, "hello");
    }
}

#[on_both]
async fn a_single_file_is_put_as_it_is_or_as_a_form_and_deleted() {
    let server = Server::start().await;
    let html = format!("{}/html", draft(&server).await);
    answer(server.request("PUT", &html).body("<p>1")).await.expect(201);
    assert_eq!(server.get(&html).await.bytes, "<p>1");
    answer(server.request("PUT", &html).multipart(part("a.html", b"<p>2"))).await.expect(200);
    assert_eq!(server.get(&html).await.bytes, "<p>2");
    answer(server.request("DELETE", &html)).await.expect(204);
    server.get(&html).await.expect(404);
}

#[on_both]
async fn a_list_of_files_takes_several_at_once_but_no_name_twice() {
    let server = Server::start().await;
    let files = format!("{}/attachments", draft(&server).await);
    let two = part("a", b"1").part("y", Part::bytes(b"2".as_slice()).file_name("b"));
    post(&server, &files, two).await.expect(201);
    post(&server, &files, part("a", b"3")).await.expect(409);
    assert_eq!(names(&server, &files).await, ["a", "b"]);
    assert_eq!(server.get(&format!("{files}/a")).await.bytes, "1");
}

#[on_both]
async fn one_file_of_a_list_is_read_replaced_and_deleted() {
    let server = Server::start().await;
    let files = format!("{}/attachments", draft(&server).await);
    post(&server, &files, part("a", b"1")).await.expect(201);
    let one = format!("{files}/a");
    answer(server.request("PUT", &one).body("2")).await.expect(200);
    assert_eq!(server.get(&one).await.bytes, "2");
    answer(server.request("DELETE", &one)).await.expect(204);
    server.get(&one).await.expect(404);
}

#[on_both]
async fn a_file_is_saved_where_attachment_is_true() {
    let server = Server::start().await;
    let message = received(&server).await;
    let path = format!("{message}/attachments/hello.txt");
    let saved = server.get(&format!("{path}?attachment=true")).await;
    let says = saved.header("content-disposition");
    assert!(says.starts_with("attachment") && says.contains("hello.txt"), "{says}");
}

#[on_both]
async fn a_download_has_a_tag_a_type_and_a_length() {
    let server = Server::start().await;
    let file = server.get(&format!("{}/attachments/hello.txt", received(&server).await)).await;
    assert!(file.header("etag").starts_with('"'), "{file:?}");
    assert!(file.header("content-type").starts_with("text/plain"), "{file:?}");
    assert_eq!(file.header("content-length"), "5");
}

#[on_both]
async fn a_download_may_be_of_a_range() {
    let server = Server::start().await;
    let path = format!("{}/rawMessage", received(&server).await);
    let part = answer(server.request("GET", &path).header("Range", "bytes=9-10")).await;
    assert_eq!((part.status, part.bytes.as_ref()), (206, &ORIGINAL[9..=10]));
    let whole = ORIGINAL.len();
    assert_eq!(part.header("content-range"), format!("bytes 9-10/{whole}"));
}

/// A message with an html body, an inline and an attachment, whoever brought them.
async fn check_brought(server: &Server, message: &Json) {
    let path = format!("{MESSAGES}/{}", message["id"].as_str().unwrap());
    assert_eq!(server.get(&format!("{path}/html")).await.bytes, "<p>hi");
    assert_eq!(server.get(&format!("{path}/attachments/a.txt")).await.bytes, "hello");
    assert_eq!(server.get(&format!("{path}/inlines/logo.png")).await.bytes, "PNG");
    let sent = server.send("PATCH", &path, &json!({"messageState": "sending"})).await.expect(200);
    assert_eq!(sent["messageState"], "sending");
}

async fn to_ben(server: &Server) -> Json {
    let (account, _) = server.account().await;
    json!({"account_id": account, "messageDirection": "out", "to": ["ben@c.test"]})
}

#[on_both]
async fn a_message_may_bring_its_files_in_the_same_json() {
    let server = Server::start().await;
    let mut message = to_ben(&server).await;
    message["html"] = json!("<p>hi");
    message["attachments"] =
        json!([{"name": "a.txt", "contentType": "text/plain", "content": "aGVsbG8="}]);
    message["inlines"] = json!([
        {"name": "logo.png", "contentType": "image/png", "contentId": "logo", "content": "UE5H"}]);
    let created = server.send("POST", MESSAGES, &message).await.expect(201);
    check_brought(&server, &created).await;
}

#[on_both]
async fn a_message_may_bring_its_files_as_parts_of_a_form() {
    let server = Server::start().await;
    let file = |name: &'static str, bytes: &'static [u8]| Part::bytes(bytes).file_name(name);
    let form = Form::new()
        .part("message", Part::text(to_ben(&server).await.to_string()))
        .part("html", Part::text("<p>hi"))
        .part("attachments", file("a.txt", b"hello"))
        .part("inlines", file("logo.png", b"PNG"));
    check_brought(&server, &post(&server, MESSAGES, form).await.expect(201)).await;
}

#[on_both]
async fn files_may_be_uploaded_one_by_one_before_the_message_is_sent() {
    let server = Server::start().await;
    let created = server.send("POST", MESSAGES, &to_ben(&server).await).await.expect(201);
    let path = format!("{MESSAGES}/{}", created["id"].as_str().unwrap());
    for (file, bytes) in
        [("html", "<p>hi"), ("attachments/a.txt", "hello"), ("inlines/logo.png", "PNG")]
    {
        answer(server.request("PUT", &format!("{path}/{file}")).body(bytes)).await.expect(201);
    }
    check_brought(&server, &created).await;
}

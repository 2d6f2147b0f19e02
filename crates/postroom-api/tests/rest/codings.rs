//! Compressed answers, and compressed bodies of requests.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_api::Limits;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;
use std::io::Read;
use std::io::Write;

const CODINGS: [&str; 2] = ["zstd", "gzip"];

fn encoded(coding: &str, plain: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return zstd::stream::encode_all(plain, 3).unwrap();
    }
    let mut encoder = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn decoded(coding: &str, sent: &[u8]) -> Vec<u8> {
    if coding == "zstd" {
        return zstd::stream::decode_all(sent).unwrap();
    }
    let mut plain = vec![];
    flate2::read::GzDecoder::new(sent).read_to_end(&mut plain).unwrap();
    plain
}

async fn wanted(server: &Server, path: &str, coding: &str) -> Answer {
    answer(server.request("GET", path).header("accept-encoding", coding)).await
}

#[on_both]
async fn answers_come_in_the_coding_that_a_client_wants() {
    let server = Server::start().await;
    let many: Vec<_> = (0..100).map(|n| json!({"name": format!("profile {n}")})).collect();
    server.send("POST", PROFILES, &json!(many)).await.expect(201);
    for format in ["", "?limit=90"] {
        let path = format!("{PROFILES}{format}");
        let plain = server.get(&path).await;
        assert!(plain.headers.get("content-encoding").is_none());
        for coding in CODINGS {
            let coded = wanted(&server, &path, &format!("{coding}, br;q=0.5")).await;
            assert_eq!((coded.status, coded.header("content-encoding")), (200, coding), "{path}");
            assert_eq!(coded.header("content-type"), plain.header("content-type"));
            assert!(coded.bytes.len() * 3 < plain.bytes.len(), "{}", coded.bytes.len());
            assert!(decoded(coding, &coded.bytes) == plain.bytes, "{path}");
            assert!(coded.varies_by("accept-encoding"), "{:?}", coded.headers);
        }
        assert!(plain.varies_by("accept-encoding"));
        let plain = wanted(&server, &path, "gzip;q=0, zstd;q=0, *").await;
        assert!(plain.headers.get("content-encoding").is_none());
    }
    // What is small stays as it is.
    let small = wanted(&server, &format!("{PROFILES}?limit=1"), "gzip").await;
    assert!(small.headers.get("content-encoding").is_none());
    // The description, which is made once, and a stream of events, which must not wait.
    let described = wanted(&server, "/rest/v1/openapi.json", "gzip").await;
    assert_eq!(described.header("content-encoding"), "gzip");
    let stream = server.request("GET", "/rest/v1/events?after=now");
    let stream = stream.header("accept", "text/event-stream").header("accept-encoding", "gzip");
    assert!(stream.send().await.unwrap().headers().get("content-encoding").is_none());
}

#[on_both]
async fn the_tag_of_a_compressed_answer_may_be_sent_back() {
    let server = Server::start().await;
    let values = json!({"messageDirection": "out", "subject": "a", "text": "long ".repeat(1000)});
    let message = format!("{MESSAGES}/{}", server.create(MESSAGES, &values).await);
    for coding in CODINGS {
        let plain = server.get(&message).await.header("etag").to_owned();
        let coded = wanted(&server, &message, coding).await.header("etag").to_owned();
        assert_eq!(coded, format!("{}-{coding}\"", plain.trim_end_matches('"')));
        let head = server.request("HEAD", &message).header("accept-encoding", coding);
        let head = answer(head).await;
        assert_eq!((head.header("etag"), head.header("content-encoding")), (&*coded, coding));
        for tag in [&plain, &coded] {
            let known = server.request("GET", &message).header("if-none-match", tag);
            let known = answer(known.header("accept-encoding", coding)).await;
            assert_eq!((known.status, known.header("etag")), (304, tag.as_str()));
        }
        let patch = |subject: &str, tag: &str| {
            let patch = server.request("PATCH", &message).header("if-match", tag);
            answer(patch.json(&json!({"subject": subject})))
        };
        assert_eq!(patch(coding, &coded).await.status, 200);
        assert_eq!(patch("c", &coded).await.status, 412);
        assert_eq!(patch("c", &plain).await.status, 412);
    }
}

#[on_both]
async fn ranges_are_those_of_the_file_itself() {
    let server = Server::start().await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let text: String = (0..10_000).map(|n| format!("{n}\n")).collect();
    for (name, media_type) in [("a.txt", "text/plain"), ("a.png", "image/png")] {
        let path = format!("{MESSAGES}/{message}/file/{name}");
        let put = server.request("PUT", &path).header("content-type", media_type);
        assert_eq!(answer(put.body(text.clone())).await.status, 201);
        let coded = wanted(&server, &path, "gzip").await;
        if name == "a.png" {
            assert_eq!((coded.header("content-encoding"), &coded.bytes[..]), ("", text.as_bytes()));
            continue;
        }
        assert_eq!((coded.header("content-encoding"), coded.header("accept-ranges")), ("gzip", ""));
        assert!(decoded("gzip", &coded.bytes) == text.as_bytes());
        let tag = coded.header("etag").to_owned();
        let range = |name: &'static str, tag: &str| {
            let range = server.request("GET", &path).header("accept-encoding", "gzip");
            answer(range.header("range", "bytes=100-199").header(name, tag))
        };
        let part = range("accept", "*/*").await;
        assert_eq!((part.status, &part.bytes[..]), (206, &text.as_bytes()[100..200]));
        assert_eq!(part.header("content-encoding"), "");
        // Whoever has the beginning of the compressed bytes gets no part of others.
        assert_eq!(range("if-range", &tag).await.status, 200);
        assert_eq!(range("if-match", &tag).await.status, 412);
        assert_eq!(range("if-range", &tag.replace("-gzip", "")).await.status, 206);
    }
}

#[on_both]
async fn a_compressed_body_is_decoded() {
    let server = Server::start().await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let bytes: Vec<u8> = (0..500_000_u32).flat_map(u32::to_le_bytes).collect();
    for coding in CODINGS {
        let send = |method: &str, path: &str, plain: &[u8]| {
            let coded = server.request(method, path).header("content-encoding", coding);
            coded.header("content-type", "application/json").body(encoded(coding, plain))
        };
        let body = json!({"name": coding}).to_string();
        let created = answer(send("POST", PROFILES, body.as_bytes())).await.expect(201);
        let id = created["id"].as_str().unwrap();
        assert_eq!(server.get(&format!("{PROFILES}/{id}")).await.json()["name"], coding);
        let file = format!("{MESSAGES}/{message}/file/{coding}");
        assert_eq!(answer(send("PUT", &file, &bytes)).await.status, 201);
        assert!(server.get(&file).await.bytes == bytes, "{coding}");
        let form =
            b"--bound\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n\
                     hello\r\n--bound--\r\n";
        let other = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
        let path = format!("{MESSAGES}/{other}/file");
        let form = server
            .request("POST", &path)
            .header("content-encoding", coding)
            .body(encoded(coding, form));
        let form = form.header("content-type", "multipart/form-data; boundary=bound");
        answer(form).await.expect(201);
        // What ends too early, or is something else, is refused.
        let whole = encoded(coding, body.as_bytes());
        for odd in
            [&whole[..whole.len() - 1], b"{\"name\": \"plain\"}", &[&whole[..], b"x"].concat()]
        {
            let odd = server
                .request("POST", PROFILES)
                .header("content-encoding", coding)
                .body(odd.to_vec());
            let refused = answer(odd).await.expect(400);
            assert!(refused["detail"].as_str().unwrap().contains(coding), "{refused}");
        }
    }
}

#[on_both]
async fn a_small_body_that_becomes_a_large_one_is_too_large() {
    let limits =
        Limits { json_bytes_max: 1_000_000, upload_bytes_max: 2_000_000, ..Limits::default() };
    let server = Server::start_with(limits).await;
    let message = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let file = format!("{MESSAGES}/{message}/file/a");
    let name = |count: usize| json!({"name": "x".repeat(count)}).to_string().into_bytes();
    for coding in CODINGS {
        let send = |method: &str, path: &str, plain: &[u8]| {
            let coded = server.request(method, path).header("content-encoding", coding);
            answer(coded.header("content-type", "application/json").body(encoded(coding, plain)))
        };
        for (method, path, plain) in
            [("POST", PROFILES, name(20_000_000)), ("PUT", &file, vec![0; 20_000_000])]
        {
            let refused = send(method, path, &plain).await;
            assert_eq!(refused.expect(413)["type"], "urn:postroom:problem:too-large", "{coding}");
        }
        assert_eq!(send("PUT", &file, &vec![0; 2_000_000]).await.status / 100, 2);
        // Nothing at all, any number of times, is bounded by what is sent.
        let empty = encoded(coding, b"");
        let empty = empty.repeat(1_200_000 / empty.len());
        let refused =
            server.request("POST", PROFILES).header("content-encoding", coding).body(empty);
        assert_eq!(answer(refused).await.status, 413, "{coding}");
    }
}

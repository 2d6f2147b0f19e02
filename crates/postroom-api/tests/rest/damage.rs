//! Stored bytes that the disk returns differently: what a client gets, and what health says.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_testkit::on_both;
use serde_json::json;

/// Stored as several chunks.
const SIZE_BYTES: usize = 600_000;

/// In the first chunk, and in the second one.
const PLACES: [usize; 2] = [5_000, 300_000];

/// Before the second chunk.
const SOUND: &str = "bytes=0-199999";

/// Bytes that compression does not change.
fn noise() -> Vec<u8> {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let step = |_| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random.to_le_bytes()[3]
    };
    (0..SIZE_BYTES).map(step).collect()
}

/// A server with a file that is damaged at this place, and a sound one; gives their paths.
async fn damaged(place: usize) -> (Server, String, String) {
    let server = Server::start().await;
    let id = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let path = |name: &str| format!("{MESSAGES}/{id}/attachments/{name}");
    for (name, bytes) in [("damaged", noise()), ("sound", b"sound".to_vec())] {
        let request = server.request("PUT", &path(name)).header("content-type", "image/x");
        answer(request.body(bytes)).await.expect(201);
    }
    let (bad, good) = (path("damaged"), path("sound"));
    (server.damaged(&noise(), place).await, bad, good)
}

async fn range(server: &Server, path: &str, range: &str) -> Answer {
    answer(server.request("GET", path).header("range", range)).await
}

/// The answer says that the bytes are damaged and what to do, and has none of them.
fn refuses(answer: &Answer) {
    let told = answer.expect(500);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert!(told["type"].as_str().unwrap().ends_with("damaged"), "{told}");
    let detail = told["detail"].as_str().unwrap();
    for words in ["a file", "are not served", "check the disk", "from a backup"] {
        assert!(detail.contains(words), "{detail}");
    }
}

#[on_both]
async fn a_damaged_file_is_500_with_words_that_say_what_to_do() {
    let (server, bad, good) = damaged(PLACES[0]).await;
    assert_eq!(server.get("/healthz").await.expect(200)["status"], "ok", "nobody has read it yet");
    refuses(&server.get(&bad).await);
    refuses(&range(&server, &bad, "bytes=0-9").await);
    let told = server.get("/healthz").await.expect(200);
    assert_eq!(told["status"], "damaged");
    assert!(told["damage"].as_str().unwrap().contains("bytes of messages"), "{told}");
    assert_eq!(server.get(&good).await.bytes, "sound");
    assert_eq!(range(&server, &bad, "bytes=300000-300099").await.bytes, noise()[300_000..300_100]);
    assert_eq!(server.send("DELETE", &bad, &json!({})).await.status, 204);
    assert_eq!(server.get("/healthz").await.expect(200)["status"], "ok");
}

#[on_both]
async fn a_file_that_is_damaged_further_on_breaks_off_and_never_has_wrong_bytes() {
    let (server, bad, good) = damaged(PLACES[1]).await;
    let mut response = server.request("GET", &bad).send().await.unwrap();
    assert_eq!(response.status(), 200, "its first bytes are sound");
    assert_eq!(response.content_length(), Some(SIZE_BYTES as u64));
    let (mut came, noise) = (vec![], noise());
    let end = loop {
        match response.chunk().await {
            Ok(Some(piece)) => came.extend(piece),
            end => break end,
        }
    };
    assert!(end.is_err(), "an end that looks whole: {} bytes", came.len());
    assert!(noise.starts_with(&came) && came.len() <= PLACES[1], "{}", came.len());
    let sound = range(&server, &bad, SOUND).await;
    assert_eq!((sound.status, &sound.bytes[..]), (206, &noise[..200_000]));
    refuses(&range(&server, &bad, "bytes=299000-301000").await);
    assert_eq!(server.get("/healthz").await.expect(200)["status"], "damaged");
    assert_eq!(server.get(&good).await.bytes, "sound");
}

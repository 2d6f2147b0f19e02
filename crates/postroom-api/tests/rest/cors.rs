//! Pages of other origins.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::json;

const PAGE: &str = "https://app.example";
const OTHER: &str = "https://other.example";

/// What a browser asks before a request.
async fn asked(server: &Server, path: &str, origin: &str, method: &str) -> Answer {
    let request = server.anonymous("OPTIONS", path).header("origin", origin);
    answer(request.header("access-control-request-method", method)).await
}

async fn got(server: &Server, path: &str, origin: &str) -> Answer {
    answer(server.request("GET", path).header("origin", origin)).await
}

#[on_both]
async fn a_page_of_a_named_origin_may_use_everything() {
    let server = Server::start().await.with_origins(&[PAGE, "http://localhost:3000"]).await;
    for path in [PROFILES, "/rest/v1/design/classes", "/rest/v1/events", "/rest/v1/jobs"] {
        for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "QUERY", "CLAIM", "NACK", "SYNC"] {
            let allowed = asked(&server, path, PAGE, method).await;
            assert_eq!(
                (allowed.status, allowed.header("access-control-allow-origin")),
                (204, PAGE)
            );
            let methods: Vec<_> =
                allowed.header("access-control-allow-methods").split(", ").collect();
            assert!(methods.contains(&method), "{methods:?}");
        }
    }
    let allowed = asked(&server, PROFILES, PAGE, "PATCH").await;
    let fields: Vec<_> = allowed.header("access-control-allow-headers").split(", ").collect();
    for field in ["authorization", "content-type", "if-match", "idempotency-key", "claim-token"] {
        assert!(fields.contains(&field), "{fields:?}");
    }
    assert!(allowed.header("access-control-max-age").parse::<u32>().unwrap() > 0);
    assert_eq!(allowed.header("vary"), "origin");
    assert_eq!(allowed.header("x-request-id").len(), 36);
    // The request itself, and a refusal that the page must be able to read.
    server.create(PROFILES, &json!({"name": "a"})).await;
    for (path, status) in [(PROFILES, 200), ("email/Nothing", 404)] {
        let answered = got(&server, path, PAGE).await;
        assert_eq!(
            (answered.status, answered.header("access-control-allow-origin")),
            (status, PAGE)
        );
        let shown: Vec<_> = answered.header("access-control-expose-headers").split(", ").collect();
        for field in ["etag", "link", "x-request-id", "retry-after", "location"] {
            assert!(shown.contains(&field), "{shown:?}");
        }
        assert!(answered.headers.get("access-control-allow-credentials").is_none());
    }
    let anonymous = answer(server.anonymous("GET", PROFILES).header("origin", PAGE)).await;
    assert_eq!((anonymous.status, anonymous.header("access-control-allow-origin")), (401, PAGE));
}

#[on_both]
async fn a_page_of_another_origin_reads_nothing() {
    let server = Server::start().await.with_origins(&[PAGE]).await;
    let refused = asked(&server, PROFILES, OTHER, "GET").await;
    assert_eq!(refused.expect(403)["type"], "urn:postroom:problem:other-origin");
    let answered = got(&server, PROFILES, OTHER).await;
    // Any other client may send this field.
    assert_eq!((answered.status, answered.varies_by("origin")), (200, true));
    for refused in [refused, answered] {
        assert!(refused.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
}

#[on_both]
async fn no_origin_is_allowed_by_default_and_all_only_where_asked_for() {
    let server = Server::start().await;
    let refused = asked(&server, PROFILES, PAGE, "GET").await;
    assert_eq!(refused.status, 401);
    let answered = got(&server, PROFILES, PAGE).await;
    assert_eq!((answered.status, answered.varies_by("origin")), (200, false));
    for answered in [refused, answered] {
        assert!(answered.headers.keys().all(|name| !name.as_str().starts_with("access-control")));
    }
    let server = server.with_origins(&["*"]).await;
    for origin in [PAGE, OTHER, "null"] {
        assert_eq!(asked(&server, PROFILES, origin, "QUERY").await.status, 204);
        let answered = got(&server, PROFILES, origin).await;
        assert_eq!(answered.header("access-control-allow-origin"), "*");
        assert!(answered.headers.get("access-control-allow-credentials").is_none());
    }
}

//! Users who sign in, some with a second factor.

use postroom_model::Timestamp;
use postroom_testkit::Postroom;
use postroom_testkit::totp_code;
use reqwest::Method;
use serde_json::Value as Json;
use serde_json::json;

/// The password of all users.
pub const PASSPHRASE: &str = "correct horse battery";
/// How long a key waits for its first code.
const WAITS_MS: i64 = 600_000;

/// The status and the body of a request to `/rest/v1/iam/…`.
pub async fn iam(
    postroom: &Postroom,
    method: Method,
    path: &str,
    session: &str,
    sent: &Json,
) -> (u16, Json) {
    let url = format!("{}/rest/v1/iam/{path}", postroom.url());
    let request = reqwest::Client::new().request(method, url).bearer_auth(session).json(sent);
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_default())
}

/// What becomes of a login.
pub async fn sign_in(postroom: &Postroom, login: &str, code: Option<&str>) -> (u16, Json) {
    let sent = json!({"login": login, "pwd": PASSPHRASE, "code": code});
    iam(postroom, Method::POST, "sessions", "", &sent).await
}

/// A user who has signed in with a password and no code sets a second factor up. Gives what the
/// interface answered to the first step, and the recovery codes.
pub async fn enrol(postroom: &Postroom, session: &str) -> (Json, Vec<String>) {
    let (_, waits) = iam(postroom, Method::POST, "totp", session, &json!({})).await;
    let until = Timestamp::parse(waits["until"].as_str().unwrap()).unwrap().as_ms();
    let code = totp_code(waits["secret"].as_str().unwrap(), until - WAITS_MS);
    let (_, activated) = iam(postroom, Method::POST, "totp", session, &json!({"code": code})).await;
    let codes = activated["recoveryCodes"].as_array().unwrap().iter();
    let codes = codes.map(|code| code.as_str().unwrap().to_owned()).collect();
    (waits, codes)
}

/// A new user with a second factor. Gives the recovery codes.
pub async fn with_second_factor(postroom: &Postroom, login: &str) -> Vec<String> {
    let user = json!({"login": login, "role": "reader", "password": PASSPHRASE});
    postroom.post("iam/Users", &user).await.unwrap();
    let (_, begun) = sign_in(postroom, login, None).await;
    enrol(postroom, begun["token"].as_str().unwrap()).await.1
}

/// Checks that a user needs a code, and that this recovery code is one.
pub async fn needs_code(postroom: &Postroom, login: &str, code: &str) {
    let (missing, told) = sign_in(postroom, login, None).await;
    assert_eq!((missing, &told["type"]), (401, &json!("urn:postroom:problem:second-factor")));
    let (right, told) = sign_in(postroom, login, Some(code)).await;
    assert_eq!(right, 201, "{told}");
}

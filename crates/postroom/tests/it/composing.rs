//! What is made of an outgoing message: threads, files, times; as the sandbox got it.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

async fn sent(postroom: &Postroom, message: &Json) -> Json {
    let message = postroom.post("email/Messages", message).await.unwrap();
    let sent = settled(postroom, &id(&message)).await;
    assert_eq!(sent["messageState"], "sent", "{sent:#}");
    assert_eq!(sent["messageId"], message["messageId"], "known from the beginning");
    assert_eq!(sent["messageType"], message["messageType"]);
    sent
}

/// The last message that the server took, with header fields unfolded.
fn last(sandbox: &Sandbox) -> String {
    let bytes = sandbox.accepted().pop().unwrap().bytes;
    String::from_utf8_lossy(&bytes).replace("\r\n ", " ")
}

#[on_both(flavor = "multi_thread")]
async fn an_answer_continues_the_thread_of_what_it_answers() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let parent = b"From: ben@demo.test\r\nMessage-ID: <two@demo.test>\r\nSubject: Re: x\r\n\
        In-Reply-To: <one@demo.test>\r\nReferences: <zero@demo.test>\r\n <one@demo.test>\r\n\r\nx\r\n";
    sandbox.deliver(ANNA, "INBOX", parent.to_vec()).unwrap();
    messages(&postroom, &folder, 1).await;
    let mut answer = outgoing(&account, "Re: x");
    answer["inReplyTo"] = json!(["<two@demo.test>"]);
    let got = sent(&postroom, &answer).await;
    let want = json!(["zero@demo.test", "one@demo.test", "two@demo.test"]);
    assert_eq!((&got["inReplyTo"], &got["references"]), (&json!(["two@demo.test"]), &want));
    let wire = last(&sandbox);
    let field = "\r\nReferences: <zero@demo.test> <one@demo.test> <two@demo.test>\r\n";
    assert!(wire.contains(field), "{wire}");
    // What is not known is answered all the same, and what is given stays.
    answer["inReplyTo"] = json!(["unknown@demo.test"]);
    assert_eq!(sent(&postroom, &answer).await["references"], json!(["unknown@demo.test"]));
    answer["references"] = json!(["<a@demo.test> <b@demo.test>"]);
    let got = sent(&postroom, &answer).await;
    assert_eq!(got["references"], json!(["a@demo.test", "b@demo.test"]));
}

#[on_both(flavor = "multi_thread")]
async fn an_answer_may_name_each_id_that_a_received_message_shows() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let long = format!("{}@x.test", "x".repeat(1100));
    // What is written of it. `None`: no header field can carry it.
    let odd = [
        ("abc", Some("<abc>")),
        ("urn:uuid:1234", Some("<urn:uuid:1234>")),
        ("a,b@x.test", Some("<a,b@x.test>")),
        ("\u{e4}@x.test", None),
        ("a\u{1}b@x.test", None),
        (&long, None),
    ];
    for (at, (odd, _)) in odd.iter().enumerate() {
        let mail = format!(
            "Message-ID: <{odd}>\r\nReferences: <first@x.test> <{odd}>\r\nSubject: {at}\r\n\r\nx\r\n"
        );
        sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
    }
    for (at, received) in messages(&postroom, &folder, odd.len()).await.iter().enumerate() {
        let ((shown, written), references) = (odd[at], &received["references"]);
        assert_eq!(received["messageId"], shown);
        let is_kept = shown.len() < 998 && !shown.contains(char::is_control);
        let mut answer = outgoing(&account, "Re: odd");
        answer["inReplyTo"] = json!([received["messageId"]]);
        for given in [references, &json!([])] {
            if !is_kept && *given == json!([]) {
                continue;
            }
            answer["references"] = given.clone();
            let got = sent(&postroom, &answer).await;
            let ids = if is_kept { answer["inReplyTo"].clone() } else { json!([]) };
            assert_eq!(got["inReplyTo"], ids);
            let wire = last(&sandbox);
            let own = written.map(|id| format!(" {id}")).unwrap_or_default();
            let field = format!("\r\nReferences: <first@x.test>{own}\r\n");
            assert!(wire.contains(&field), "{received:#} {wire}");
            let field = format!("\r\nIn-Reply-To:{own}\r\n");
            assert_eq!(wire.contains(&field), written.is_some(), "{wire}");
            assert_eq!(wire.contains("In-Reply-To"), written.is_some(), "{wire}");
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn an_answer_may_have_each_subject_and_name_that_a_received_message_shows() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let odd =
        ["=?utf-8?q?a=07b?=", "a\u{1b}b", "=?utf-8?q?a=0D=0ABcc:_x@y.test?=", "=?utf-8?q?=C2=9B?="];
    for odd in odd {
        let mail = format!("From: \"n\" <n@x.test>\r\nSubject: {odd}\r\n\r\nx\r\n");
        let mail = mail.replace("\"n\"", if odd.starts_with('=') { odd } else { "\"a\u{1b}b\"" });
        sandbox.deliver(ANNA, "INBOX", mail.into_bytes()).unwrap();
    }
    let mut odd_count = 0;
    for received in messages(&postroom, &folder, odd.len()).await {
        let is_odd =
            |name: &str| received[name].as_str().unwrap_or_default().contains(char::is_control);
        odd_count += usize::from(is_odd("subject")) + usize::from(is_odd("fromDisplayName"));
        let mut answer = outgoing(&account, "");
        answer["subject"] = received["subject"].clone();
        answer["fromDisplayName"] = received["fromDisplayName"].clone();
        answer["recipients"] = json!([
            {"kind": "to", "name": received["fromDisplayName"], "address": ANNA}
        ]);
        answer["headers"] = json!([[
            "X-Subject",
            format!("x {}", received["subject"].as_str().unwrap_or_default())
        ]]);
        let got = sent(&postroom, &answer).await;
        assert!(!got["subject"].as_str().unwrap_or_default().contains(char::is_control), "{got:#}");
        let wire = last(&sandbox);
        let (header, _) = wire.split_once("\r\n\r\n").unwrap();
        assert!(!header.replace("\r\n", "").contains(char::is_control), "{header:?}");
        let is_bcc = |line: &str| line.to_ascii_lowercase().starts_with("bcc");
        assert!(!header.split("\r\n").any(is_bcc), "{header}");
    }
    assert!(odd_count >= 2, "{odd_count}");
}

#[on_both(flavor = "multi_thread")]
async fn answers_go_where_the_client_says() {
    let (sandbox, postroom, account) = sandbox(json!({})).await;
    let mut message = outgoing(&account, "answers");
    message["replyTo"] = json!(["desk@demo.test", "ben@demo.test"]);
    let got = sent(&postroom, &message).await;
    assert_eq!(got["replyTo"], message["replyTo"]);
    let wire = last(&sandbox);
    assert!(wire.contains("\r\nReply-To: desk@demo.test, ben@demo.test\r\n"), "{wire}");
}

#[on_both(flavor = "multi_thread")]
async fn files_get_the_type_and_the_id_that_they_lack() {
    let (sandbox, postroom, account) = sandbox(json!({})).await;
    let mut message = outgoing(&account, "files");
    message["html"] = json!("<img src=\"cid:my logo.png\"><img src='cid:plain.gif'>");
    message["inlines"] = json!([
        {"name": "my logo.png", "content": "AAAA"}, {"name": "plain.gif", "content": "AAAA"},
        {"name": "i.ics", "contentType": "text/calendar; method=REQUEST", "content": "AAAA"},
    ]);
    message["attachments"] = json!([{"name": "table.csv", "content": "AAAA"}]);
    let got = sent(&postroom, &message).await;
    assert_eq!(got["messageType"], "alternative");
    let wire = last(&sandbox);
    let (_, domain) = got["messageId"].as_str().unwrap().split_once('@').unwrap();
    for part in [
        "Content-Type: image/png; name=\"my logo.png\"".to_owned(),
        "Content-Type: image/gif; name=\"plain.gif\"".to_owned(),
        "Content-Type: text/csv; name=\"table.csv\"".to_owned(),
        "Content-Type: text/calendar; method=\"REQUEST\"; charset=\"utf-8\"".to_owned(),
        format!("Content-ID: <inline1@{domain}>"),
        format!("cid:inline1@{domain}"),
        "Content-ID: <plain.gif>".to_owned(),
        "cid:plain.gif".to_owned(),
    ] {
        let wire = wire.replace("=\r\n", "");
        assert!(wire.contains(&part), "{part} in {wire}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_waits_is_hurried_and_one_that_is_planned_waits() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    let mail = Point::SmtpCommand(SmtpCommand::Rcpt);
    let busy = Rule { on: mail, when: When::Always, act: Action::line("450 4.2.1 busy") };
    let busy = sandbox.script(busy);
    let waits = async |message: &str| {
        let path = format!("email/Messages/{message}");
        let waits = |json: &Json| json["nextAttemptAt"].is_string().then_some(());
        until(&postroom, &path, "the next attempt", waits).await;
        path
    };
    let message = postroom.post("email/Messages", &outgoing(&account, "now")).await.unwrap();
    let hurried = waits(&id(&message)).await;
    let message = postroom.post("email/Messages", &outgoing(&account, "then")).await.unwrap();
    let planned = waits(&id(&message)).await;
    sandbox.unscript(busy);
    let later = json!({"dateTime": "2199-01-01T00:00:00.000Z"});
    postroom.patch(&planned, &later).await.unwrap();
    let again = json!({"messageState": "sending"});
    let now = postroom.patch(&hurried, &again).await.unwrap();
    assert_eq!((&now["nextAttemptAt"], &now["errorText"]), (&Json::Null, &Json::Null));
    let ended = settled(&postroom, hurried.trim_start_matches("email/Messages/")).await;
    assert_eq!((&ended["messageState"], &ended["attempts"]), (&json!("sent"), &json!(2)));
    let still = postroom.get(&planned).await.unwrap();
    assert_eq!((&still["messageState"], &still["sentAt"]), (&json!("sending"), &Json::Null));
    assert_eq!(sandbox.accepted().len(), 1);
}

//! Reports about messages that were sent, through the whole binary.

use crate::world::*;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// A bounce about a message.
fn bounce(message_id: &str, action: &str) -> Vec<u8> {
    format!(
        "From: MAILER-DAEMON@mx.test\r\nTo: anna@demo.test\r\nSubject: Undelivered\r\n\
         Message-ID: <{action}-{message_id}>\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nI am sorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.test\r\n\r\n\
         Final-Recipient: rfc822; ben@else.test\r\nAction: {action}\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: <{message_id}>\r\n\r\n--b--\r\n"
    )
    .into_bytes()
}

#[on_both(flavor = "multi_thread")]
async fn a_bounce_is_linked_to_the_message_that_was_sent() {
    let (sandbox, postroom, account) = sandbox(json!({"after_read_timeout": 0.2})).await;
    let profile = json!({
        "name": "sends", "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let sender = json!({"address": ANNA, "password": "secret"});
    let other = account_of(&postroom, profile, sender).await;
    let folder = enable(&postroom, &account, "INBOX", json!({})).await;
    let sent = id(&postroom.post("email/Messages", &outgoing(&account, "one")).await.unwrap());
    let sent = settled(&postroom, &sent).await;
    assert_eq!(sent["messageState"], "sent");
    let foreign = id(&postroom.post("email/Messages", &outgoing(&other, "two")).await.unwrap());
    let foreign = settled(&postroom, &foreign).await;
    let id_of = |message: &Json| message["messageId"].as_str().unwrap().to_owned();
    for mail in [
        bounce(&id_of(&sent), "failed"),
        bounce(&id_of(&sent), "delayed"),
        bounce(&id_of(&foreign), "failed"),
        bounce("never@demo.test", "failed"),
    ] {
        sandbox.deliver(ANNA, "INBOX", mail).unwrap();
    }
    let linked = async |message_id: String| {
        let path = format!("email/Messages?folder_id={folder}&messageId={message_id}");
        until(&postroom, &path, "a report", |list| list.as_array()?.first().cloned()).await
    };
    let of =
        async |action: &str, message: &Json| linked(format!("{action}-{}", id_of(message))).await;
    let failed = of("failed", &sent).await;
    assert_eq!(failed["reportedMessage_id"], sent["id"]);
    assert_eq!(failed["reportType"], "delivery-status");
    let recipient = json!({
        "address": "ben@else.test", "action": "failed", "status": "5.1.1",
        "diagnostic": "550 5.1.1 no such user",
    });
    assert_eq!(failed["report"]["recipients"], json!([recipient]));
    assert_eq!(of("delayed", &sent).await["reportedMessage_id"], sent["id"]);
    assert_eq!(
        of("failed", &foreign).await["reportedMessage_id"],
        Json::Null,
        "of another account"
    );
    assert_eq!(linked("failed-never@demo.test".to_owned()).await["reportedMessage_id"], Json::Null);
    let path = "/rest/v1/events?after=first&event=message.bounced&limit=10";
    let bounced = until(&postroom, path, "the bounce", |page| {
        let events = page["events"].as_array()?;
        (!events.is_empty()).then(|| events.clone())
    });
    let bounced = bounced.await;
    assert_eq!(bounced.len(), 1);
    assert_eq!(bounced[0]["entity"]["id"], failed["id"], "{}", bounced[0]);
}

//! Sending through a real Postfix into a real Dovecot, and back.

use crate::world::*;
use postroom_testkit::Dovecot;
use postroom_testkit::DovecotOptions;
use postroom_testkit::Need;
use postroom_testkit::Postfix;
use postroom_testkit::PostfixOptions;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use postroom_testkit::require;
use serde_json::Value as Json;
use serde_json::json;

struct Round {
    // Postfix delivers to Dovecot: it is dropped first.
    postfix: Postfix,
    _dovecot: Dovecot,
    postroom: Postroom,
}

async fn round(auth: bool) -> Option<Round> {
    if !require(&[Need::Dovecot, Need::Postfix]) {
        return None;
    }
    let dovecot = Dovecot::start(&DovecotOptions::default()).unwrap();
    let options = PostfixOptions { auth, ..PostfixOptions::default() };
    let postfix = Postfix::start(&dovecot, &options).unwrap();
    let postroom = postroom(&dovecot.ca_pem());
    Some(Round { postfix, _dovecot: dovecot, postroom })
}

impl Round {
    async fn account(&self, user: &str, security: &str) -> (String, String) {
        let port = match security {
            "tls" => self.postfix.smtps_port(),
            _ => self.postfix.smtp_port(),
        };
        let profile = json!({
            "name": security, "options": {"after_read_timeout": 0.3},
            "imapHost": "localhost", "imapPort": self._dovecot.imaps_port(),
            "smtpHost": "localhost", "smtpPort": port, "smtpSecurity": security,
        });
        let account = json!({
            "address": user, "password": Dovecot::PASSWORD, "fromDisplayName": "Jürgen Groß",
        });
        let account = account_of(&self.postroom, profile, account).await;
        let folder = enable(&self.postroom, &account, "INBOX", json!({})).await;
        (account, folder)
    }
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let each = bytes.chunks(3).flat_map(|chunk| {
        let bits = chunk.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - chunk.len()));
        (0..4).map(move |at| match at <= chunk.len() {
            true => char::from(ALPHABET[(bits >> (18 - 6 * at) & 63) as usize]),
            false => '=',
        })
    });
    each.collect()
}

#[on_both(flavor = "multi_thread")]
async fn what_is_sent_comes_back_as_it_was() {
    let Some(round) = round(false).await else {
        return;
    };
    let (account, folder) = round.account("anna@test.test", "none").await;
    let noise: Vec<u8> =
        (0..300_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let pixel = b"\x89PNG\r\n\x1a\n not much of a picture";
    let html = "<p>Grüße, <b>世界</b> <img src=\"cid:pixel@test\"></p>";
    let table = [
        ("text", json!({"text": "Hello\n.\n..dots\nFrom here\n\ttab and ünïcode 🙂\n"})),
        ("html", json!({"html": "<p>Only <i>html</i> – ohne Text</p>"})),
        ("alternative", json!({"text": "plain", "html": "<p>rich</p>"})),
        (
            "html",
            json!({
                "html": html,
                "inlines": [{"name": "pixel.png", "contentType": "image/png",
                             "contentId": "pixel@test", "content": base64(pixel)}],
                "attachments": [
                    {"name": "Übersicht 世界 \"2026\".bin", "contentType": "application/octet-stream",
                     "content": base64(&noise)},
                    {"name": "empty.txt", "contentType": "text/plain", "content": ""}],
            }),
        ),
    ];
    for (number, (kind, parts)) in table.into_iter().enumerate() {
        let subject = format!(
            "Nº {number}: Grüße aus Kraków und 東京, mit einem langen Betreff, der gefaltet wird"
        );
        let mut message = json!({
            "account_id": account, "messageDirection": "out", "messageState": "sending",
            "recipients": [{"kind": "to", "name": "Ańna, \"Q\"", "address": "anna@test.test"}],
            "subject": subject,
        });
        message.as_object_mut().unwrap().extend(parts.as_object().unwrap().clone());
        let sent = round.postroom.post("email/Messages", &message).await.unwrap();
        let sent = settled(&round.postroom, &id(&sent)).await;
        assert_eq!(sent["messageState"], "sent", "{sent:#}\n{}", round.postfix.log());
        assert_eq!(sent["recipients"][0]["state"], "sent");
        let back = messages(&round.postroom, &folder, number + 1).await.pop().unwrap();
        assert_eq!(back["subject"], json!(subject));
        assert_eq!(back["messageType"], kind);
        assert_eq!(back["messageId"], sent["messageId"]);
        assert_eq!(back["fromDisplayName"], "Jürgen Groß");
        assert_eq!(back["recipients"][0]["name"], "Ańna, \"Q\"");
        if let Some(text) = parts["text"].as_str() {
            assert_eq!(back["text"].as_str().unwrap().trim_end(), text.trim_end());
        }
        compare(&round.postroom, &id(&back), &parts).await;
    }
}

async fn compare(postroom: &Postroom, message: &str, parts: &Json) {
    let at = format!("email/Messages/{message}");
    if let Some(html) = parts["html"].as_str() {
        let got = postroom.bytes(&format!("{at}/html")).await.unwrap();
        assert_eq!(String::from_utf8(got).unwrap().trim_end(), html);
    }
    for kind in ["attachments", "inlines"] {
        let sent = parts[kind].as_array().cloned().unwrap_or_default();
        let got = postroom.get(&format!("{at}/{kind}")).await.unwrap();
        assert_eq!(got.as_array().unwrap().len(), sent.len(), "{kind}: {got}");
        for (sent, got) in sent.iter().zip(got.as_array().unwrap()) {
            let name = sent["name"].as_str().unwrap().replace('"', "_");
            assert_eq!(got["name"].as_str().unwrap().replace('"', "_"), name);
            let encoded: String =
                got["name"].as_str().unwrap().bytes().map(|byte| format!("%{byte:02X}")).collect();
            let bytes = postroom.bytes(&format!("{at}/{kind}/{encoded}")).await.unwrap();
            assert_eq!(base64(&bytes), sent["content"].as_str().unwrap());
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn each_kind_of_connection_and_login_sends() {
    let Some(round) = round(true).await else {
        return;
    };
    for security in ["starttls", "tls"] {
        let (account, folder) = round.account(&format!("{security}@test.test"), security).await;
        let mut message = outgoing(&account, security);
        message["to"] = json!([format!("{security}@test.test")]);
        let sent = round.postroom.post("email/Messages", &message).await.unwrap();
        let sent = settled(&round.postroom, &id(&sent)).await;
        assert_eq!(sent["messageState"], "sent", "{sent:#}");
        messages(&round.postroom, &folder, 1).await;
    }
}

#[on_both(flavor = "multi_thread")]
async fn each_recipient_has_its_own_result() {
    let Some(round) = round(false).await else {
        return;
    };
    let (account, folder) = round.account("anna@test.test", "none").await;
    let mut message = outgoing(&account, "mixed");
    message["to"] = json!(["anna@test.test", "nobody@test.test"]);
    message["bcc"] = json!(["hidden@test.test"]);
    let sent = round.postroom.post("email/Messages", &message).await.unwrap();
    let sent = settled(&round.postroom, &id(&sent)).await;
    assert_eq!((&sent["messageState"], &sent["errorCode"]), (&json!("error"), &json!("refused")));
    let text = sent["errorText"].as_str().unwrap();
    assert!(text.contains("nobody@test.test: 550 5.1.1"), "{text}");
    let states: Vec<_> =
        sent["recipients"].as_array().unwrap().iter().map(|r| &r["state"]).collect();
    assert_eq!(states, ["sent", "refused", "sent"]);
    let back = messages(&round.postroom, &folder, 1).await.remove(0);
    let raw = round.postroom.bytes(&format!("email/Messages/{}/rawMessage", id(&back))).await;
    assert!(
        !String::from_utf8(raw.unwrap()).unwrap().contains("hidden"),
        "blind copies stay blind"
    );
}

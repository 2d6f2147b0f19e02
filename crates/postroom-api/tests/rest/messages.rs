//! Messages: with their files in one request, and from state to state.

use crate::bulk::patch;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::ErrorCode;
use postroom_model::builtin::MESSAGES;
use postroom_store::Unsendable;
use postroom_testkit::on_both;
use reqwest::multipart::Form;
use reqwest::multipart::Part;
use serde_json::Value as Json;
use serde_json::json;

#[on_both]
async fn a_message_brings_its_files_in_json() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let message = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": ["b@c.test"], "subject": "Grüße", "html": "<img src='cid:logo.png'>ü",
        "attachments": [{"name": "Übersicht 1.txt", "contentType": "text/plain", "content": "aGVsbG8="}],
        "inlines": [{"name": "logo.png", "contentType": "image/png", "content": "UE5H"}],
    });
    let created = server.send("POST", MESSAGES, &message).await.expect(201);
    assert_eq!(created["messageState"], "sending");
    assert!(created.get("html").is_none() && created.get("attachments").is_none());
    let path = format!("{MESSAGES}/{}", created["id"].as_str().unwrap());
    let html = server.get(&format!("{path}/html")).await;
    assert_eq!(html.bytes, "<img src='cid:logo.png'>ü");
    assert_eq!(html.header("content-type"), "text/html; charset=utf-8");
    let attachment = server.get(&format!("{path}/attachments/%C3%9Cbersicht%201.txt")).await;
    assert_eq!((attachment.status, attachment.bytes.as_ref()), (200, b"hello".as_slice()));
    let inlines = server.get(&format!("{path}/inlines")).await.expect(200);
    assert_eq!(inlines[0]["contentId"], "logo.png", "so that cid:logo.png finds it");
    assert_eq!((&inlines[0]["size"], &inlines[0]["contentType"]), (&json!(3), &json!("image/png")));
}

#[on_both]
async fn a_message_brings_its_files_as_a_form() {
    let server = Server::start().await;
    let message = json!({"messageDirection": "out", "subject": "s"}).to_string();
    let large = vec![7_u8; 9 * 1024 * 1024];
    let form = Form::new()
        .part("attachments", Part::bytes(large.clone()).file_name("large ü.bin"))
        .part("html", Part::text("<p>hi"))
        .part(
            "inlines",
            Part::bytes(b"PNG".as_slice()).file_name("a.png").mime_str("image/png").unwrap(),
        )
        .part("message", Part::text(message).mime_str("application/json").unwrap());
    let created = answer(server.request("POST", MESSAGES).multipart(form)).await.expect(201);
    let path = format!("{MESSAGES}/{}", created["id"].as_str().unwrap());
    let got = server.get(&format!("{path}/file/large%20%C3%BC.bin")).await;
    assert_eq!(got.header("content-length"), large.len().to_string());
    assert_eq!(got.bytes, large);
    assert_eq!(server.get(&format!("{path}/html")).await.bytes, "<p>hi");
    assert_eq!(server.get(&format!("{path}/inlines/a.png")).await.bytes, "PNG");
}

#[on_both]
async fn nothing_is_kept_of_a_message_that_is_refused() {
    let server = Server::start().await;
    let good = || Part::text(json!({"messageDirection": "out"}).to_string());
    let file = || Part::bytes(b"x".as_slice()).file_name("a");
    #[rustfmt::skip]
    let table = [
        ("no message",       Form::new().part("file", file()),                                                     422, "message"),
        ("unknown part",     Form::new().part("message", good()).part("nope", file()),                             422, "nope"),
        ("second message",   Form::new().part("message", good()).part("message", good()),                          422, "message"),
        ("no name",          Form::new().part("message", good()).part("file", Part::text("x")),                    422, "file.name"),
        ("a path as a name", Form::new().part("message", good()).part("file", file().file_name("a/b")),            422, "file.name"),
        ("twice",            Form::new().part("message", good()).part("file", file()).part("attachments", file()), 422, "attachments"),
        ("two bodies",       Form::new().part("message", good()).part("html", file()).part("html", file()),        422, "html"),
        ("html in Latin-1",  Form::new().part("message", good()).part("html", Part::bytes(b"\xFC".as_slice())),    422, "html"),
        ("an original",      Form::new().part("message", good()).part("rawMessage", file()),                       409, ""),
        ("a list",           Form::new().part("message", Part::text("[]")),                                        422, "message"),
        ("no JSON",          Form::new().part("message", Part::text("{")),                                         400, ""),
        ("an html picture",  Form::new().part("message", good()).part("html", file().mime_str("image/png").unwrap()), 415, ""),
    ];
    for (why, form, status, property) in table {
        let refused = answer(server.request("POST", MESSAGES).multipart(form)).await;
        let problem = refused.expect(status);
        let named = problem["errors"][0]["property"].as_str().unwrap_or_default();
        assert_eq!(named, property, "{why}: {problem}");
    }
    assert_eq!(server.get(MESSAGES).await.expect(200), json!([]));
}

#[on_both]
async fn a_folder_implies_its_account() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let (other, _) = server.account().await;
    let message = json!({
        "folder_id": folder, "messageDirection": "out", "messageState": "sending", "to": ["b@c.test"],
    });
    let created = server.send("POST", MESSAGES, &message).await.expect(201);
    assert_eq!(created["account_id"], account.as_str());
    let id = server.create(MESSAGES, &json!({"messageDirection": "out", "to": ["b@c.test"]})).await;
    let path = format!("{MESSAGES}/{id}");
    let changed = json!({"folder_id": folder, "messageState": "sending"});
    let changed = server.send("PATCH", &path, &changed).await.expect(200);
    assert_eq!(changed["account_id"], account.as_str());
    let mut disagreeing = message;
    disagreeing["account_id"] = json!(other);
    let problem = server.send("POST", MESSAGES, &disagreeing).await.expect(422);
    assert_eq!(problem["errors"][0]["property"], "folder_id");
}

#[on_both]
async fn what_cannot_be_sent_is_refused_at_once() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let nobody = "018f0000-0000-7000-8000-000000000000";
    #[rustfmt::skip]
    let table = [
        (json!({"to": []}),                                        "to"),
        (json!({"to": ["nobody"]}),                                "to[0]"),
        (json!({"cc": ["a@b.test\r\nBcc: x@y.test"]}),             "cc[0]"),
        (json!({"bcc": ["a@b.test\0"]}),                           "bcc[0]"),
        (json!({"subject": "a\0b"}),                               "subject"),
        (json!({"fromDisplayName": "a\r\0b"}),                     "fromDisplayName"),
        (json!({"replyTo": ["x"]}),                                "replyTo[0]"),
        (json!({"headers": [["X-A", "b\0c"]]}),                    "headers"),
        (json!({"headers": [["X-A\r\nB", "c"]]}),                  "headers[0]"),
        (json!({"recipients": [{"address": "a@b.test\nX"}]}),      "recipients[0].address"),
        (json!({"account_id": null}),                              "account_id"),
        (json!({"account_id": nobody}),                            "account_id"),
        (json!({"account_id": null, "folder_id": nobody}),         "folder_id"),
        (json!({"messageDirection": "in"}),                        "messageState"),
        (json!({"messageState": "sent"}),                          "messageState"),
        (json!({"messageState": "received"}),                      "messageState"),
        (json!({"messageState": "nope"}),                          "messageState"),
    ];
    let good = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending", "to": ["b@c.test"],
    });
    for (wrong, property) in &table {
        let mut message = good.clone();
        message.as_object_mut().unwrap().extend(wrong.as_object().unwrap().clone());
        let problem = server.send("POST", MESSAGES, &message).await.expect(422);
        assert_eq!(problem["errors"][0]["property"], *property, "{wrong}");
    }
    assert_eq!(server.get(MESSAGES).await.expect(200), json!([]), "nothing is half-written");
    let received = server.received(&account, &folder).await;
    let path = format!("{MESSAGES}/{received}");
    for state in ["sending", "sent", "raw"] {
        let refused =
            server.send("PATCH", &path, &json!({"messageState": state})).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], "messageState", "{state}");
    }
    let turned = json!({"messageDirection": "out", "to": ["b@c.test"]});
    let refused = server.send("PATCH", &path, &turned).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "messageDirection");
}

#[on_both]
async fn what_no_header_field_can_carry_is_left_out_whichever_way_it_comes_in() {
    let server = Server::start().await;
    let odd = json!({
        "subject": "a\u{7}b\r\nBcc: x@y.test", "fromDisplayName": "A\u{1b}nna\n",
        "headers": [["X-A", "b\r\nc"]],
        "recipients": [{"kind": "to", "name": "Be\u{9b}n", "address": "b@c.test"}],
        "inReplyTo": ["a\u{1}b@x.test", "one@x.test"], "references": ["x".repeat(999)],
    });
    let want = json!({
        "subject": "ab Bcc: x@y.test", "fromDisplayName": "Anna",
        "headers": [["X-A", "b c"]], "inReplyTo": ["one@x.test"], "references": [],
    });
    let draft = json!({"messageDirection": "out"});
    let mut whole = draft.clone();
    whole.as_object_mut().unwrap().extend(odd.as_object().unwrap().clone());
    let id = async || server.create(MESSAGES, &draft).await;
    let filter = |id: &str| json!(["==", ["property", "id"], id]);
    let one = server.create(MESSAGES, &whole).await;
    let list = server.send("POST", MESSAGES, &json!([whole])).await.expect(201);
    let listed = list[0]["id"].as_str().unwrap().to_owned();
    let [changed, replaced, many, claimed] = [id().await, id().await, id().await, id().await];
    server.send("PATCH", &format!("{MESSAGES}/{changed}"), &odd).await.expect(200);
    server.send("PUT", &format!("{MESSAGES}/{replaced}"), &whole).await.expect(200);
    assert_eq!(patch(&server, &filter(&many), &odd).await.expect(200)["changed"], 1);
    let claim = json!({"filter": filter(&claimed), "lease": 60, "set": odd});
    assert_eq!(server.send("CLAIM", MESSAGES, &claim).await.expect(200)[0]["id"], claimed.as_str());
    for (way, id) in [
        ("POST", &one),
        ("POST of a list", &listed),
        ("PATCH", &changed),
        ("PUT", &replaced),
        ("PATCH of a collection", &many),
        ("CLAIM", &claimed),
    ] {
        let got = server.get(&format!("{MESSAGES}/{id}")).await.expect(200);
        for (name, want) in want.as_object().unwrap() {
            assert_eq!(got[name], *want, "{way}: {name}");
        }
        assert_eq!(got["recipients"][0]["name"], "Ben", "{way}");
    }
}

#[on_both]
async fn a_received_message_may_be_sent_back_as_it_is_shown() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let values = json!({
        "account_id": account, "folder_id": folder, "messageDirection": "in", "uid": 1,
        "dateTimeSource": "arrival", "messageState": "received", "uidValidity": 1,
        "subject": "a\u{7}b", "references": ["a\u{1}b@x.test"],
    });
    let id = server.received_as(&folder, &values, vec![], None).await;
    let path = format!("{MESSAGES}/{id}");
    let same = json!({"subject": "a\u{7}b", "references": ["a\u{1}b@x.test"]});
    let shown = server.send("PATCH", &path, &same).await.expect(200);
    assert_eq!((&shown["subject"], &shown["version"]), (&same["subject"], &json!(1)));
    let refused = server.send("PATCH", &path, &json!({"subject": "a\u{8}b"})).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "subject");
}

#[on_both]
async fn a_draft_is_sent_withdrawn_and_sent_again() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let draft = json!({"account_id": account, "messageDirection": "out", "to": ["nobody"]});
    let path = format!("{MESSAGES}/{}", server.create(MESSAGES, &draft).await);
    let patch =
        async |body: Json, status: u16| server.send("PATCH", &path, &body).await.expect(status);
    patch(json!({"messageState": "sending"}), 422).await;
    let sending = patch(json!({"messageState": "sending", "to": ["b@c.test"]}), 200).await;
    assert_eq!(sending["messageState"], "sending");
    patch(json!({"to": []}), 422).await;
    patch(json!({"subject": "still time to change it"}), 200).await;
    assert_eq!(patch(json!({"messageState": null}), 200).await["messageState"], json!(null));
    patch(json!({"messageState": "sending"}), 200).await;
    let domain = postroom_model::Domain::default_domain();
    let id = path.rsplit('/').next().unwrap().parse().unwrap();
    let refusal = Unsendable { code: ErrorCode::Refused, reason: "550 no", recipients: |_| vec![] };
    server.store.delivery_refuse(&domain, id, refusal).await.unwrap();
    let failed = server.get(&path).await.expect(200);
    assert_eq!(
        (&failed["messageState"], &failed["errorText"]),
        (&json!("error"), &json!("550 no"))
    );
    let again = patch(json!({"messageState": "sending"}), 200).await;
    assert_eq!((&again["messageState"], &again["errorText"]), (&json!("sending"), &json!(null)));
}

#[on_both]
async fn what_follows_from_the_original_is_not_changed_by_clients() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let path = format!("{MESSAGES}/{}", server.received(&account, &folder).await);
    let before = server.get(&path).await.expect(200);
    #[rustfmt::skip]
    let table = [
        ("subject", json!("other")), ("text", json!("other")), ("dateTime", json!("2026-01-01T00:00:00Z")),
        ("headers", json!([["X-A", "b"]])), ("from", json!("x@y.test")), ("to", json!(["x@y.test"])),
        ("recipients", json!([])), ("messageId", json!("a@b.test")), ("messageType", json!("html")),
        ("messageDirection", json!("out")), ("folder_id", Json::Null), ("account_id", Json::Null),
        ("references", json!(["a@b.test"])),
    ];
    for (name, value) in table {
        let refused = server.send("PATCH", &path, &json!({name: value})).await.expect(422);
        assert_eq!(refused["errors"][0]["property"], name, "{refused}");
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains("only messageState can"), "{detail}");
    }
    let refused = server.send("PATCH", &path, &json!({"messageState": null})).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "messageState");
    assert_eq!(server.get(&path).await.expect(200), before);
    // What was read can be sent back whole, and after its folder is gone too.
    assert_eq!(server.send("PUT", &path, &before).await.expect(200), before);
    let gone = answer(server.request("DELETE", &format!("email/Folders/{folder}"))).await;
    gone.expect(204);
    let now = server.get(&path).await.expect(200);
    assert_eq!(
        server.send("PATCH", &path, &json!({"messageState": "received"})).await.expect(200),
        now
    );
}

#[on_both]
async fn the_account_of_a_folder_is_not_taken_from_its_message() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let draft = json!({"folder_id": folder, "messageDirection": "out"});
    let path = format!("{MESSAGES}/{}", server.create(MESSAGES, &draft).await);
    server.send("PATCH", &path, &json!({"account_id": null})).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["account_id"], json!(account));
    server.send("PATCH", &path, &json!({"account_id": null, "folder_id": null})).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["account_id"], Json::Null);
}

#[on_both]
async fn a_draft_whose_folder_is_gone_can_still_be_edited() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let draft = json!({"folder_id": folder, "messageDirection": "out", "to": ["b@c.test"]});
    let path = format!("{MESSAGES}/{}", server.create(MESSAGES, &draft).await);
    answer(server.request("DELETE", &format!("email/Folders/{folder}"))).await.expect(204);
    server.send("PATCH", &path, &json!({"subject": "s"})).await.expect(200);
    let sending = server.send("PATCH", &path, &json!({"messageState": "sending"})).await;
    assert_eq!(sending.expect(200)["account_id"], json!(account));
    let refused = server.send("PATCH", &path, &json!({"messageDirection": "in"})).await.expect(422);
    assert!(refused["detail"].as_str().unwrap().contains("messageDirection"), "{refused}");
}

#[on_both]
async fn only_a_message_that_was_too_large_can_be_fetched_and_only_where_somebody_receives() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = json!({"messageDirection": "out", "account_id": account, "to": ["ben@b.test"]});
    let outgoing = server.create(MESSAGES, &message).await;
    let received = server.received(&account, &folder).await;
    let [usual, huge] = server.too_large(&account, &folder, [5000, 3 << 30]).await;
    let refused = async |id: &str, words: &str| {
        let path = format!("{MESSAGES}/{id}");
        let problem = server.send("POST", &format!("{path}:fetch"), &json!({})).await.expect(409);
        assert_eq!(problem["type"], "urn:postroom:problem:not-loadable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains(words), "{detail}");
        answer(server.request("FETCH", &path)).await.expect(409);
    };
    refused(&outgoing, "messageState is not set").await;
    refused(&received, "messageState is received").await;
    refused(&huge, "no message of more than 2147483648 can be loaded").await;
    refused(&usual, "INBOX is not enabled").await;
    let path = format!("email/Folders/{folder}");
    server.send("PATCH", &path, &json!({"enabled": true})).await.expect(200);
    refused(&usual, "has no imapHost").await;
    let shown = server.get(&format!("email/Accounts/{account}")).await.expect(200);
    let profile = format!("email/Profiles/{}", shown["profile_id"].as_str().unwrap());
    server.send("PATCH", &profile, &json!({"imapHost": "imap.b.test"})).await.expect(200);
    let of_account = format!("email/Accounts/{account}");
    server.send("PATCH", &of_account, &json!({"enabled": false})).await.expect(200);
    refused(&usual, "anna@b.test is not enabled").await;
    server.send("PATCH", &of_account, &json!({"enabled": true})).await.expect(200);
    let before = server.get(&of_account).await.expect(200);
    let fetched = answer(server.request("FETCH", &format!("{MESSAGES}/{usual}"))).await;
    assert_eq!(fetched.expect(202)["id"], json!(usual));
    let after = server.get(&of_account).await.expect(200);
    assert_ne!(before["tryRequestedAt"], after["tryRequestedAt"], "the receiver is told");
    let unknown = format!("{MESSAGES}/{}:fetch", uuid::Uuid::nil());
    server.send("POST", &unknown, &json!({})).await.expect(404);
    let odd = format!("{MESSAGES}/{usual}:fetch?now=1");
    server.send("POST", &odd, &json!({})).await.expect(422);
    server.send("DELETE", &path, &json!({})).await.expect(204);
    refused(&usual, "the folder of the message is no longer here").await;
}

#[on_both]
async fn a_repeated_put_of_a_message_changes_nothing_whatever_became_of_it() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let id = "018f0000-0000-7000-8000-0000000000aa";
    let path = format!("{MESSAGES}/{id}");
    let body = json!({
        "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": ["b@c.test"], "subject": "offer", "html": "<p>ü",
        "attachments": [{"name": "a.txt", "content": "aGVsbG8="}],
    });
    let put = async |body: &Json, status| server.send("PUT", &path, body).await.expect(status);
    let created = put(&body, 201).await;
    assert_eq!(put(&body, 200).await, created);
    let reordered: serde_json::Map<_, _> =
        body.as_object().unwrap().iter().rev().map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(put(&Json::Object(reordered), 200).await, created);
    // What the engine makes of it is not undone, and it is not sent again.
    let domain = postroom_model::Domain::default_domain();
    let unsendable =
        Unsendable { code: ErrorCode::Refused, reason: "550 no", recipients: |_| vec![] };
    server.store.delivery_refuse(&domain, id.parse().unwrap(), unsendable).await.unwrap();
    let failed = put(&body, 200).await;
    assert_eq!(
        (&failed["messageState"], &failed["errorText"]),
        (&json!("error"), &json!("550 no"))
    );
    assert_eq!(server.get(&path).await.expect(200), failed);
    // It may come late: what a client did since is not undone either.
    let other = json!({"subject": "other", "messageState": null});
    let withdrawn = server.send("PATCH", &path, &other).await.expect(200);
    assert_eq!(put(&body, 200).await, withdrawn);
    // After another PUT it is a change: the files are the same, so they may be named.
    let mut draft = body.clone();
    draft["messageState"] = Json::Null;
    assert_eq!(put(&draft, 200).await["subject"], "offer");
    let again = put(&body, 200).await;
    assert_eq!((&again["messageState"], &again["subject"]), (&json!("sending"), &json!("offer")));
    // So is one that sends nothing after a change of a client.
    put(&draft, 200).await;
    server.send("PATCH", &path, &json!({"subject": "other"})).await.expect(200);
    assert_eq!(put(&draft, 200).await["subject"], "offer");
    // Other files are refused, with what to do.
    for (name, files) in [
        ("html", json!("<p>other")),
        ("attachments", json!([])),
        ("attachments", json!([{"name": "b.txt", "content": "aGVsbG8="}])),
        (
            "attachments",
            json!([{"name": "a.txt", "contentType": "image/png", "content": "aGVsbG8="}]),
        ),
    ] {
        let mut body = body.clone();
        body[name] = files;
        let refused = put(&body, 422).await;
        let detail = refused["detail"].as_str().unwrap();
        assert!(detail.contains(&format!("change them at …/ID/{name}")), "{detail}");
    }
    // A file that was changed is a change of a client too.
    let html = server.request("PUT", &format!("{path}/html")).header("content-type", "text/html");
    answer(html.body("<p>new")).await.expect(200);
    put(&draft, 422).await;
}

#[on_both]
async fn a_request_that_is_repeated_after_the_deletion_sends_no_second_copy() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let [put, posted, listed, draft] =
        ["a1", "a2", "a3", "a4"].map(|end| format!("018f0000-0000-7000-8000-0000000000{end}"));
    let message = |id: &str, state: Option<&str>| {
        json!({
            "id": id, "account_id": account, "messageDirection": "out", "messageState": state,
            "to": ["b@c.test"], "subject": "offer",
        })
    };
    let path = |id: &str| format!("{MESSAGES}/{id}");
    let delete = async |id: &str| server.send("DELETE", &path(id), &Json::Null).await.expect(204);
    let of_put = message(&put, Some("sending"));
    let of_post = message(&posted, Some("sending"));
    let of_list = json!([message(&listed, Some("sending")), message(&draft, None)]);
    let requests = [
        ("PUT", path(&put), &of_put, vec![&put]),
        ("POST", MESSAGES.to_owned(), &of_post, vec![&posted]),
        ("POST", MESSAGES.to_owned(), &of_list, vec![&listed, &draft]),
    ];
    for (method, path, body, ids) in &requests {
        server.send(method, path, body).await.expect(201);
        let again = if *method == "PUT" { 200 } else { 409 };
        server.send(method, path, body).await.expect(again);
        for id in ids {
            delete(id).await;
        }
        let gone = server.send(method, path, body).await.expect(410);
        let detail = gone["detail"].as_str().unwrap();
        assert!(detail.contains(ids[0].as_str()) && detail.contains("sends nothing"), "{detail}");
    }
    // Nor does a draft with that id, which would be sent next.
    server.send("PUT", &path(&draft), &message(&draft, None)).await.expect(410);
    assert_eq!(server.get(MESSAGES).await.expect(200), json!([]));
    // Another domain knows nothing of these ids, and other classes give theirs again.
    let of_other = server.anonymous("PUT", &path(&draft)).bearer_auth(OTHER_TOKEN);
    let draft = json!({"messageDirection": "out", "subject": "mine"});
    answer(of_other.json(&draft)).await.expect(201);
    let profile = format!("email/Profiles/{put}");
    for _ in 0..2 {
        server.send("PUT", &profile, &json!({"name": "p"})).await.expect(201);
        server.send("DELETE", &profile, &Json::Null).await.expect(204);
    }
}

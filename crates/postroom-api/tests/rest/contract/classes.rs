//! The built-in classes.

use crate::server::Server;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const DESIGN: &str = "/rest/v1/design/classes";

/// The properties that the contract names.
const NAMED: [(&str, &str); 4] = [
    (
        PROFILES,
        "id name imapHost imapPort imapSecurity smtpHost smtpPort smtpSecurity auth options
         tlsFingerprint tlsMinimum clientId proxy proxyLogin version seq",
    ),
    (
        ACCOUNTS,
        "id profile_id name address fromDisplayName replyTo login password enabled isSystem options
         statusText smtpLogin smtpPassword state lastConnectedAt version seq",
    ),
    (
        FOLDERS,
        "id account_id title name enabled options deleteOnServer mode flags specialUse delimiter
         statusText uidValidity uidNext serverCount storedCount pendingCount lastPollAt lastProofAt
         version seq",
    ),
    (
        MESSAGES,
        "id account_id folder_id dateTime dateTimeSource messageDirection messageType messageState
         errorText errorCode uidValidity uid from fromDisplayName to cc bcc replyTo recipients subject
         text textSource preview messageId inReplyTo references headers size flags internalDate
         attachmentCount defects attempts nextAttemptAt sentAt parserVersion calendar security
         file html inlines rawMessage version seq",
    ),
];

/// The definitions of the built-in classes as they are in the model.
const DEFINED: [(&str, &str); 4] = [
    (PROFILES, include_str!("../../../../postroom-model/src/builtin/profiles.json")),
    (ACCOUNTS, include_str!("../../../../postroom-model/src/builtin/accounts.json")),
    (FOLDERS, include_str!("../../../../postroom-model/src/builtin/folders.json")),
    (MESSAGES, include_str!("../../../../postroom-model/src/builtin/messages.json")),
];

async fn class(server: &Server, classname: &str) -> Json {
    server.get(&format!("{DESIGN}/{classname}")).await.expect(200)
}

fn property<'a>(class: &'a Json, name: &str) -> Option<&'a Json> {
    class["properties"].as_array().unwrap().iter().find(|property| property["name"] == name)
}

async fn extend(server: &Server, classname: &str, properties: Json) -> crate::server::Answer {
    let body = json!({"properties": properties});
    server.send("PATCH", &format!("{DESIGN}/{classname}"), &body).await
}

#[on_both]
async fn a_class_is_shown_in_the_form_in_which_it_is_defined() {
    let server = Server::start().await;
    for (classname, defined) in DEFINED {
        let (mut defined, mut shown): (Json, _) =
            (serde_json::from_str(defined).unwrap(), class(&server, classname).await);
        // The store adds when it made the class, and what every entity has.
        let of_all = ["id", "version", "seq"];
        let properties = shown["properties"].as_array_mut().unwrap();
        properties.retain(|property| !of_all.contains(&property["name"].as_str().unwrap()));
        (defined["ext"], shown["ext"]) = (json!({}), json!({}));
        assert_eq!(shown, defined, "{classname}");
    }
}

#[on_both]
async fn a_class_has_the_properties_of_the_contract() {
    let server = Server::start().await;
    for (classname, names) in NAMED {
        let class = class(&server, classname).await;
        for name in names.split_whitespace() {
            assert!(property(&class, name).is_some(), "{classname}.{name}");
        }
    }
}

#[on_both]
async fn a_class_takes_more_properties() {
    let server = Server::start().await;
    for (classname, _) in NAMED {
        let more = json!([{"name": "ours", "data_type": "string"}]);
        extend(&server, classname, more).await.expect(200);
        assert!(property(&class(&server, classname).await, "ours").is_some(), "{classname}");
    }
    let new = json!({"messageDirection": "in", "ours": "x"});
    let path = format!("{MESSAGES}/{}", server.create(MESSAGES, &new).await);
    assert_eq!(server.get(&path).await.expect(200)["ours"], "x");
}

#[on_both]
async fn an_enum_takes_more_items() {
    let server = Server::start().await;
    let more = json!([{"name": "messageState", "items": ["processed"]}]);
    let class = extend(&server, MESSAGES, more).await.expect(200);
    let want = json!(["sending", "sent", "error", "received", "raw", "processed"]);
    assert_eq!(property(&class, "messageState").unwrap()["items"], want);
}

#[on_both]
async fn a_built_in_property_is_neither_removed_nor_retyped() {
    let server = Server::start().await;
    for (classname, _) in NAMED {
        let before = class(&server, classname).await;
        for name in ["options", "messageState"].iter().filter(|n| property(&before, n).is_some()) {
            let of_type = json!([{"name": name, "data_type": "string"}]);
            for sent in [json!([{"name": name, "removed": true}]), of_type] {
                let refused = extend(&server, classname, sent).await.expect(422);
                let reason = refused["errors"][0]["reason"].as_str().unwrap();
                assert!(reason.contains("built in"), "{classname}.{name}: {reason}");
            }
        }
        assert_eq!(class(&server, classname).await, before);
    }
}

#[on_both]
async fn a_profile_needs_a_name_alone() {
    let server = Server::start().await;
    let shown = server.send("POST", PROFILES, &json!({"name": "p"})).await.expect(201);
    for (name, want) in [
        ("imapHost", json!(null)),
        ("imapPort", json!(null)),
        ("imapSecurity", json!("tls")),
        ("smtpSecurity", json!("tls")),
        ("auth", json!("password")),
        ("options", json!({})),
    ] {
        assert_eq!(shown[name], want, "{name}");
    }
    server.send("POST", PROFILES, &json!({})).await.expect(422);
}

#[on_both]
async fn an_account_is_enabled_and_no_system_account_from_the_start() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let shown = server.get(&format!("{ACCOUNTS}/{account}")).await.expect(200);
    assert_eq!((&shown["enabled"], &shown["isSystem"]), (&json!(true), &json!(false)));
}

#[on_both]
async fn a_password_is_never_shown() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let path = format!("{ACCOUNTS}/{account}");
    let secrets = json!({"password": "secret-1", "smtpPassword": "secret-2"});
    let patched = server.send("PATCH", &path, &secrets).await.expect(200);
    let (one, all) = (server.get(&path).await.expect(200), server.get(ACCOUNTS).await.expect(200));
    let events = server.get("/rest/v1/events?after=first").await.expect(200);
    for shown in [patched, one, all, events] {
        assert!(!shown.to_string().contains("secret-"), "{shown}");
    }
}

#[on_both]
async fn a_folder_is_not_enabled_and_deletes_nothing_from_the_start() {
    let server = Server::start().await;
    let (_, folder) = server.account().await;
    let shown = server.get(&format!("{FOLDERS}/{folder}")).await.expect(200);
    assert_eq!((&shown["enabled"], &shown["deleteOnServer"]), (&json!(false), &json!(false)));
    assert_eq!(shown["mode"], "sync");
}

#[on_both]
async fn a_folder_for_outgoing_mail_needs_an_account_and_a_title_alone() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let folder = json!({"account_id": account, "title": "out", "mode": "sendOnly"});
    let folder = server.create(FOLDERS, &folder).await;
    let message = json!({
        "folder_id": folder, "messageDirection": "out", "messageState": "sending", "to": ["b@c.test"],
    });
    let created = server.send("POST", MESSAGES, &message).await.expect(201);
    assert_eq!(
        (&created["messageState"], &created["account_id"]),
        (&json!("sending"), &json!(account))
    );
}

#[on_both]
async fn two_folders_for_one_mailbox_are_409() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let second = json!({"account_id": account, "name": "INBOX", "title": "second"});
    server.send("POST", FOLDERS, &second).await.expect(409);
}

#[on_both]
async fn what_the_receiver_proves_is_set_by_nobody_else() {
    let server = Server::start().await;
    let (_, folder) = server.account().await;
    for name in ["uidValidity", "uidNext", "serverCount", "storedCount", "pendingCount"] {
        let sent = json!({(name): 7});
        let refused = server.send("PATCH", &format!("{FOLDERS}/{folder}"), &sent).await;
        assert_eq!(refused.expect(422)["errors"][0]["property"], name);
    }
    for name in ["lastPollAt", "lastProofAt"] {
        let sent = json!({(name): "2026-01-01T00:00:00Z"});
        let refused = server.send("PATCH", &format!("{FOLDERS}/{folder}"), &sent).await;
        assert_eq!(refused.expect(422)["errors"][0]["property"], name);
    }
}

#[on_both]
async fn a_message_without_a_state_is_a_draft_that_nobody_sends() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let draft = json!({"account_id": account, "messageDirection": "out", "to": ["b@c.test"]});
    let shown = server.send("POST", MESSAGES, &draft).await.expect(201);
    assert_eq!((&shown["messageState"], &shown["nextAttemptAt"]), (&json!(null), &json!(null)));
    assert!(server.store.sending_list(10).await.unwrap().is_empty());
}

#[on_both]
async fn only_a_message_to_send_that_goes_out_is_sent() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let message = |direction: &str| {
        json!({"account_id": account, "messageDirection": direction, "messageState": "sending",
               "to": ["b@c.test"]})
    };
    server.send("POST", MESSAGES, &message("in")).await.expect(422);
    server.create(MESSAGES, &message("out")).await;
    assert_eq!(server.store.sending_list(10).await.unwrap().len(), 1);
}

#[on_both]
async fn a_message_to_send_has_bare_addresses() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let named = json!({"account_id": account, "messageDirection": "out", "messageState": "sending",
                       "to": ["Ben <b@c.test>"]});
    let refused = server.send("POST", MESSAGES, &named).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "to[0]");
}

#[on_both]
async fn the_version_grows_with_each_change_and_is_the_etag() {
    let server = Server::start().await;
    let path = format!("{PROFILES}/{}", server.create(PROFILES, &json!({"name": "p"})).await);
    for (version, name) in [(2, "q"), (3, "r"), (3, "r")] {
        let changed = server.send("PATCH", &path, &json!({"name": name})).await;
        assert_eq!(changed.header("etag"), format!("\"{version}\""));
        assert_eq!(changed.expect(200)["version"], version, "{name}");
    }
}

#[on_both]
async fn seq_is_the_number_of_the_last_change() {
    let server = Server::start().await;
    let first = server.send("POST", PROFILES, &json!({"name": "a"})).await.expect(201);
    let second = server.send("POST", PROFILES, &json!({"name": "b"})).await.expect(201);
    let path = format!("{PROFILES}/{}", first["id"].as_str().unwrap());
    let changed = server.send("PATCH", &path, &json!({"name": "c"})).await.expect(200);
    let seq = |entity: &Json| entity["seq"].as_i64().unwrap();
    assert!(seq(&first) < seq(&second) && seq(&second) < seq(&changed));
}

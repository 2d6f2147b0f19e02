//! Classes at run time: `/rest/v1/design/classes`, own properties, own classes.

use crate::server::Answer;
use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const DESIGN: &str = "/rest/v1/design/classes";

/// A request about classes. `path` follows `/rest/v1/design/classes`.
async fn design(server: &Server, method: &str, path: &str, body: &Json) -> Answer {
    let request = server.request(method, &format!("{DESIGN}{path}"));
    let has_body = ["POST", "PATCH", "PUT"].contains(&method);
    answer(if has_body { request.json(body) } else { request }).await
}

/// A PATCH of a class with these properties.
async fn extend(server: &Server, class: &str, properties: Json) -> Answer {
    design(server, "PATCH", &format!("/{class}"), &json!({"properties": properties})).await
}

fn names(class: &Json) -> Vec<&str> {
    let properties = class["properties"].as_array().unwrap();
    properties.iter().map(|property| property["name"].as_str().unwrap()).collect()
}

/// The only problem of an answer, as `place: reason`.
fn problem(answer: &Answer) -> String {
    let json = answer.expect(422);
    let errors = json["errors"].as_array().unwrap();
    assert_eq!(errors.len(), 1, "{json}");
    format!(
        "{}: {}",
        errors[0]["property"].as_str().unwrap(),
        errors[0]["reason"].as_str().unwrap()
    )
}

#[on_both]
async fn classes_are_shown_with_all_their_keys_by_name_and_by_id() {
    let server = Server::start().await;
    let all = design(&server, "GET", "", &Json::Null).await.expect(200);
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 10);
    for class in all {
        let keys: Vec<_> = class.as_object().unwrap().keys().map(String::as_str).collect();
        let want = [
            "id",
            "classname",
            "name",
            "description",
            "parent_id",
            "storage_mode",
            "properties",
            "opts",
            "ext",
        ];
        assert_eq!(keys, want);
        assert!(class["ext"]["ct"].as_str().unwrap().ends_with('Z'), "{class}");
        assert_eq!(class["ext"]["lwt"], class["ext"]["ct"]);
        let names = names(class);
        assert_eq!((names.first(), names.last()), (Some(&"id"), Some(&"seq")));
        for of in ["classname", "id"] {
            let path = format!("/{}", class[of].as_str().unwrap());
            let shown = design(&server, "GET", &path, &Json::Null).await;
            assert_eq!(shown.expect(200), *class);
            assert_eq!(shown.header("etag"), "\"1\"");
        }
        let property = class["properties"][1].as_object().unwrap();
        let keys: Vec<_> = property.keys().map(String::as_str).collect();
        let want = [
            "name",
            "data_type",
            "multi",
            "required",
            "default",
            "idclass",
            "items",
            "caption",
            "opts",
        ];
        assert_eq!(keys, want);
    }
    design(&server, "GET", "/email/Nothing", &Json::Null).await.expect(404);
    design(&server, "GET", "?x=1", &Json::Null).await.expect(422);
}

#[on_both]
async fn a_property_of_each_type_is_there_at_once_with_its_default_for_what_was_there() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "before"})).await;
    let uuid = "018f0000-0000-7000-8000-00000000000a";
    #[rustfmt::skip]
    let table = [
        ("string",   json!("a'b\"\\ ü"),                    json!("x")),
        ("boolean",  json!(true),                            json!(false)),
        ("integer",  json!(-3),                              json!(7)),
        ("long",     json!(9_007_199_254_740_993_i64),       json!(-5)),
        ("float",    json!(2.5),                             json!(0.1)),
        ("datetime", json!("2026-01-02T03:04:05.006Z"),      json!("2025-01-01T00:00:00.000Z")),
        ("date",     json!("2026-01-02"),                    json!("2025-01-01")),
        ("time",     json!("03:04:05"),                      json!("10:00:00")),
        ("uuid",     json!(uuid),                            json!(id)),
        ("any",      json!({"a": [1, "'"]}),                 json!([])),
    ];
    for (of_type, default, other) in table {
        let (name, plain) = (format!("{of_type}_d"), format!("{of_type}_n"));
        let lists = format!("{of_type}_m");
        let list = json!([default, default]);
        let properties = json!([
            {"name": name, "data_type": of_type, "default": default, "required": true},
            {"name": plain, "data_type": of_type},
            {"name": lists, "data_type": of_type, "multi": true, "default": list},
        ]);
        extend(&server, PROFILES, properties).await.expect(200);
        let path = format!("email/Profiles/{id}");
        let before = server.get(&path).await.expect(200);
        assert_eq!(
            (&before[&name], &before[&plain], &before[&lists]),
            (&default, &Json::Null, &list)
        );
        if of_type != "any" {
            let filter = json!(["==", ["property", name], default]).to_string();
            let found = server.request("GET", PROFILES).query(&[("filter", &filter)]);
            assert_eq!(answer(found).await.expect(200)[0]["id"], json!(id), "{of_type}");
        }
        let sent = json!({(&plain): other, (&name): other});
        let changed = server.send("PATCH", &path, &sent).await.expect(200);
        assert_eq!((&changed[&plain], &changed[&name]), (&other, &other), "{of_type}");
        let wrong = json!({(&plain): {"x": "\u{0}"}});
        server.send("PATCH", &path, &wrong).await.expect(422);
        let unset = server.send("PATCH", &path, &json!({(&name): null})).await.expect(200);
        assert_eq!(unset[&name], default, "null sets the default");
    }
}

#[on_both]
async fn an_enum_a_reference_files_and_a_counter_are_properties_too() {
    let server = Server::start().await;
    let id = server.create(PROFILES, &json!({"name": "before"})).await;
    let nobody = "018f0000-0000-7000-8000-00000000000a";
    let profiles = "0192d000-0000-7000-8000-000000000001";
    let properties = json!([
        {"name": "level", "data_type": "enum", "items": ["low", "high"], "default": "low"},
        {"name": "next", "data_type": "entity", "idclass": profiles},
        {"name": "scan", "data_type": "attachment"},
        {"name": "papers", "data_type": "attachment", "multi": true, "opts": {"alias": "documents"}},
        {"name": "number", "data_type": "increment"},
    ]);
    let class = extend(&server, PROFILES, properties).await;
    assert_eq!(class.header("etag"), "\"2\"");
    let class = class.expect(200);
    assert!(class["ext"]["lwt"].as_str() > class["ext"]["ct"].as_str());
    let path = format!("email/Profiles/{id}");
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["level"], &shown["number"]), (&json!("low"), &Json::Null));
    server.send("PATCH", &path, &json!({"level": "none"})).await.expect(422);
    server.send("PATCH", &path, &json!({"next": nobody})).await.expect(422);
    server.send("PATCH", &path, &json!({"next": id, "level": "high"})).await.expect(200);
    let put = server.request("PUT", &format!("{path}/scan")).body("bytes");
    answer(put).await.expect(201);
    let got = server.get(&format!("{path}/scan")).await;
    assert_eq!((got.status, &got.bytes[..]), (200, &b"bytes"[..]));
    assert_eq!(server.get(&format!("{path}/documents")).await.expect(200), json!([]));
    for number in [1, 2] {
        let name = format!("new {number}");
        let new = server.send("POST", PROFILES, &json!({"name": name})).await.expect(201);
        assert_eq!(new["number"], number);
    }
    let own = json!({"name": "new", "number": 7});
    server.send("POST", PROFILES, &own).await.expect(422);
}

#[on_both]
async fn a_list_of_references_takes_what_is_there_and_keeps_what_was_deleted_since() {
    let server = Server::start().await;
    // The name of a class stands for its id.
    let others =
        json!({"name": "others", "data_type": "entity", "idclass": PROFILES, "multi": true});
    extend(&server, PROFILES, json!([others])).await.expect(200);
    let [one, two] = [json!({"name": "one"}), json!({"name": "two"})];
    let [one, two] = [server.create(PROFILES, &one).await, server.create(PROFILES, &two).await];
    let nobody = "018f0000-0000-7000-8000-00000000000a";

    let refused =
        server.send("POST", PROFILES, &json!({"name": "x", "others": [one, nobody]})).await;
    assert_eq!(
        problem(&refused),
        "others[1]: refers to an entity that does not exist, or that this token may not read"
    );
    let new = json!({"name": "x", "others": [one, two]});
    let path = format!("email/Profiles/{}", server.create(PROFILES, &new).await);
    let refused = server.send("PATCH", &path, &json!({"others": [nobody, one]})).await;
    assert_eq!(
        problem(&refused),
        "others[0]: refers to an entity that does not exist, or that this token may not read"
    );

    // What was deleted stays in the list, but is not added again.
    server.send("DELETE", &format!("email/Profiles/{two}"), &json!({})).await.expect(204);
    let changed =
        server.send("PATCH", &path, &json!({"others": [two, one, one]})).await.expect(200);
    assert_eq!(changed["others"], json!([two, one, one]));
    server.send("PATCH", &path, &json!({"others": [one]})).await.expect(200);
    let refused = server.send("PATCH", &path, &json!({"others": [one, two]})).await;
    assert_eq!(
        problem(&refused),
        "others[1]: refers to an entity that does not exist, or that this token may not read"
    );
    let many: Vec<_> = std::iter::repeat_n(&one, 1001).collect();
    let refused = server.send("PATCH", &path, &json!({"others": many})).await;
    assert_eq!(problem(&refused), "others: takes at most 1000 values");
}

#[on_both]
async fn what_is_wrong_with_a_definition_is_told_with_its_place() {
    let server = Server::start().await;
    #[rustfmt::skip]
    let table = [
        (json!({"propertys": []}),                                 "propertys: there is no such key"),
        (json!({"properties": [{"name": "a", "type": "string"}]}), ""),
        (json!({"properties": [{"name": "a", "data_type": "text"}]}), "properties[0].data_type: takes one of string"),
        (json!({"properties": {"a": 1}}),                          "properties: takes a list"),
        (json!({"properties": ["a"]}),                             "properties[0]: takes a JSON object"),
        (json!({"properties": [{"data_type": "string"}]}),         "properties[0].name: is missing"),
        (json!({"properties": [{"name": "a b", "data_type": "string"}]}), "properties[0].name: begins with a letter"),
        (json!({"properties": [{"name": "NAME", "data_type": "string"}]}), "properties[0].name: another property"),
        (json!({"properties": [{"name": "version", "data_type": "string"}]}), "properties[0].name: `version` is reserved"),
        (json!({"properties": [{"name": "a", "data_type": "long", "default": "x"}]}), "properties[0].default: "),
        (json!({"properties": [{"name": "auth", "caption": "How."}, {"name": "id", "data_type": "string"}]}), "properties[1].name: `id` is reserved"),
        (json!({"properties": [{"name": "name", "caption": "n"}, {"name": "version", "data_type": "string"}]}), "properties[1].name: `version` is reserved"),
        (json!({"properties": [{"name": "a", "data_type": "string", "opts": {"max_lenght": 5}}]}), "properties[0].opts.max_lenght: there is no such key"),
        (json!({"properties": [{"name": "a", "data_type": "string", "required": true}]}), "properties.a.default: is missing"),
        (json!({"properties": [{"name": "imapPort", "data_type": "long"}]}), "properties.imapPort.data_type: is built in"),
        (json!({"properties": [{"name": "name", "required": false}]}), "properties.name.required: is built in"),
        (json!({"properties": [{"name": "auth", "removed": true}]}), "properties.auth: is built in and cannot be removed"),
        (json!({"properties": [{"name": "host", "renamed_from": "imapHost"}]}), "properties.host.name: is built in"),
        (json!({"properties": [{"name": "b", "renamed_from": "a", "data_type": "string"}]}), "properties.b: there is no property `a` to rename"),
        (json!({"properties": [{"name": "a", "removed": true}]}),  "properties[0].name: there is no property `a` to remove"),
        (json!({"classname": "email/Other"}),                      "classname: cannot be changed"),
        (json!({"storage_mode": "history"}),                       "storage_mode: cannot be changed"),
        (json!({"ext": {}}),                                       "ext: cannot be changed"),
        (json!({"name": 5}),                                       "name: takes a text"),
        (json!({"properties": [{"name": "t", "data_type": "long"}, {"name": "t", "caption": "x"}]}), "properties[1].name: `t` is named twice"),
        (json!({"opts": {"indexs": []}}),                          "opts.indexs: there is no such key"),
        (json!({"opts": {"indexes": [["nope"]]}}),                 "opts.indexes[0][0]: there is no property `nope`"),
        (json!({"opts": {"indexes": [["options"]]}}),              "opts.indexes[0][0]: `options` holds JSON"),
        (json!({"opts": {"indexes": ["name"]}}),                   "opts.indexes: takes a list of lists"),
        (json!({"opts": {"max_limit": 0}}),                        "opts.max_limit: takes a whole number"),
        (json!([]),                                                ": takes a JSON object"),
    ];
    let before = design(&server, "GET", "/email/Profiles", &Json::Null).await;
    for (sent, want) in table {
        let refused = design(&server, "PATCH", "/email/Profiles", &sent).await;
        if want.is_empty() {
            assert_eq!(refused.expect(422)["errors"].as_array().unwrap().len(), 2, "{sent}");
        } else {
            let found = problem(&refused);
            assert!(found.starts_with(want), "{sent}: {found}");
        }
    }
    let after = design(&server, "GET", "/email/Profiles", &Json::Null).await;
    assert_eq!((before.json(), before.header("etag")), (after.json(), after.header("etag")));
}

#[on_both]
async fn what_is_built_in_takes_other_captions_and_other_defaults() {
    let server = Server::start().await;
    let sent = json!({
        "description": "Where mail is.",
        "properties": [
            {"name": "auth", "caption": "How."},
            {"name": "imapSecurity", "default": "starttls"},
        ],
        "opts": {"title": "imapHost", "comment": "ours"},
    });
    let changed = design(&server, "PATCH", "/email/Profiles", &sent).await.expect(200);
    let property = |name: &str| {
        let properties = changed["properties"].as_array().unwrap();
        properties.iter().find(|property| property["name"] == name).unwrap().clone()
    };
    assert_eq!(property("auth")["items"], json!(["password", "oauth2"]));
    assert_eq!(property("auth")["caption"], "How.");
    assert_eq!(
        (&changed["opts"]["comment"], &changed["opts"]["max_limit"]),
        (&json!("ours"), &json!(1000))
    );
    let created = server.send("POST", PROFILES, &json!({"name": "p"})).await.expect(201);
    assert_eq!(created["imapSecurity"], "starttls");
    // What is shown can be sent back.
    let again = design(&server, "PUT", "/email/Profiles", &changed).await;
    assert_eq!((again.header("etag"), again.expect(200)), ("\"2\"", changed.clone()));
    // PUT takes away what it does not name, but nothing that is built in.
    let mut fewer = changed.clone();
    fewer["properties"].as_array_mut().unwrap().retain(|p| p["name"] != "auth");
    let refused = design(&server, "PUT", "/email/Profiles", &fewer).await;
    assert!(problem(&refused).starts_with("properties.auth: is built in"), "{refused:?}");
    let mut fewer = changed;
    let mut all = fewer["properties"].as_array_mut().unwrap().iter_mut();
    all.find(|p| p["name"] == "auth").unwrap()["items"] = json!(["password"]);
    let refused = design(&server, "PUT", "/email/Profiles", &fewer).await;
    assert!(problem(&refused).contains("`oauth2` is built in"), "{refused:?}");
}

#[on_both]
async fn a_problem_of_a_new_class_names_the_place_in_what_was_sent() {
    let server = Server::start().await;
    let base = json!({"classname": "crm/Base", "properties": [
        {"name": "one", "data_type": "string"}, {"name": "two", "data_type": "string"}]});
    let base = design(&server, "POST", "", &base).await.expect(201);
    for (properties, want) in [
        (
            json!([{"name": "a", "data_type": "string"}, {"name": "b c", "data_type": "string"}]),
            "properties[1].name: begins with a letter",
        ),
        (
            json!([{"name": "a", "data_type": "string"}, {"name": "a", "data_type": "string"}]),
            "properties[1].name: another property is called `a`",
        ),
        (
            json!([{"name": "a", "data_type": "string"}, {"name": "TWO", "data_type": "string"}]),
            "properties[1].name: another property is called `two`",
        ),
        (
            json!([{"name": "id", "data_type": "uuid"}, {"name": "a", "data_type": "enum"}]),
            "properties[1].items: an enum has items",
        ),
    ] {
        let sent = json!({"classname": "crm/Other", "parent_id": base["id"],
                          "properties": properties});
        let refused = design(&server, "POST", "", &sent).await;
        let errors = refused.expect(422)["errors"].clone();
        let places: Vec<_> = errors
            .as_array()
            .unwrap()
            .iter()
            .map(|error| {
                format!(
                    "{}: {}",
                    error["property"].as_str().unwrap(),
                    error["reason"].as_str().unwrap()
                )
            })
            .collect();
        assert!(places.iter().any(|place| place.starts_with(want)), "{sent}: {places:?}");
    }
}

#[on_both]
async fn an_enum_that_postroom_obeys_takes_no_more_items() {
    let server = Server::start().await;
    for (class, name, is_open) in [
        ("email/Profiles", "imapSecurity", false),
        ("email/Profiles", "smtpSecurity", false),
        ("email/Profiles", "auth", false),
        ("email/Folders", "mode", false),
        ("email/Accounts", "state", false),
        ("email/Messages", "textSource", false),
        ("email/Messages", "messageState", true),
        ("email/Messages", "messageDirection", true),
        ("email/Messages", "messageType", true),
    ] {
        let sent = json!({"properties": [{"name": name, "items": ["ours"]}]});
        let answer = design(&server, "PATCH", &format!("/{class}"), &sent).await;
        let none = json!({"properties": [{"name": name, "items": []}]});
        let none = design(&server, "PATCH", &format!("/{class}"), &none).await;
        let want = "properties[0].items: is empty: items are only added";
        assert!(problem(&none).starts_with(want), "{name}: {none:?}");
        if is_open {
            answer.expect(200);
            continue;
        }
        let place = format!("properties.{name}.items: takes no `ours`: ");
        assert!(problem(&answer).starts_with(&place), "{name}: {answer:?}");
        // All that is there may be sent again.
        let mut whole = design(&server, "GET", &format!("/{class}"), &Json::Null).await.expect(200);
        design(&server, "PUT", &format!("/{class}"), &whole).await.expect(200);
        let properties = whole["properties"].as_array_mut().unwrap();
        let property = properties.iter_mut().find(|property| property["name"] == name).unwrap();
        property["items"].as_array_mut().unwrap().push(json!("ours"));
        let answer = design(&server, "PUT", &format!("/{class}"), &whole).await;
        assert!(problem(&answer).starts_with(&place), "{name}: {answer:?}");
    }
}

#[on_both]
async fn a_default_that_would_send_drafts_or_show_a_secret_is_refused() {
    let server = Server::start().await;
    extend(&server, MESSAGES, json!([{"name": "messageState", "items": ["ours"]}])).await;
    for (class, name, default) in [
        (MESSAGES, "messageState", json!("sending")),
        (MESSAGES, "messageState", json!("ours")),
        ("iam/Tokens", "role", json!("admin")),
        ("email/Accounts", "password", json!("a secret")),
        ("email/Webhooks", "secret", json!("a secret of a webhook")),
        (MESSAGES, "attempts", json!(1)),
    ] {
        let place = format!("properties.{name}.default: is ");
        let refused = extend(&server, class, json!([{"name": name, "default": default}])).await;
        assert!(problem(&refused).starts_with(&place), "{name}: {refused:?}");
        // All that is there may be sent again.
        let mut whole = design(&server, "GET", &format!("/{class}"), &Json::Null).await.expect(200);
        design(&server, "PUT", &format!("/{class}"), &whole).await.expect(200);
        let properties = whole["properties"].as_array_mut().unwrap();
        properties.iter_mut().find(|one| one["name"] == name).unwrap()["default"] = default;
        let refused = design(&server, "PUT", &format!("/{class}"), &whole).await;
        assert!(problem(&refused).starts_with(&place), "{name}: {refused:?}");
    }
    let draft = json!({"messageDirection": "out", "subject": "only a draft"});
    let draft = server.send("POST", MESSAGES, &draft).await.expect(201);
    assert_eq!(draft["messageState"], Json::Null);
}

#[on_both]
async fn an_own_property_is_renamed_changed_and_removed() {
    let server = Server::start().await;
    let path = format!("email/Profiles/{}", server.create(PROFILES, &json!({"name": "p"})).await);
    extend(&server, PROFILES, json!([{"name": "seats", "data_type": "long"}])).await.expect(200);
    server.send("PATCH", &path, &json!({"seats": 5_000_000_000_i64})).await.expect(200);

    let renamed = json!([{"name": "places", "renamed_from": "seats"}]);
    let class = extend(&server, PROFILES, renamed).await.expect(200);
    assert!(names(&class).contains(&"places") && !names(&class).contains(&"seats"));
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["places"], shown.get("seats")), (&json!(5_000_000_000_i64), None));
    server.send("PATCH", &path, &json!({"seats": 1})).await.expect(422);

    // A narrower property is refused, and the entities that prevent it are named.
    let narrower = json!([{"name": "places", "data_type": "integer"}]);
    let refused = extend(&server, PROFILES, narrower.clone()).await;
    let found = problem(&refused);
    assert!(found.contains("entities of email/Profiles prevent this change, 1 in all"), "{found}");
    assert!(found.contains(path.rsplit('/').next().unwrap()), "{found}");
    server.send("PATCH", &path, &json!({"places": 5})).await.expect(200);
    extend(&server, PROFILES, narrower).await.expect(200);
    server.send("PATCH", &path, &json!({"places": 5_000_000_000_i64})).await.expect(422);
    // Wider: the values stay.
    extend(&server, PROFILES, json!([{"name": "places", "data_type": "float"}])).await.expect(200);
    let half = server.send("PATCH", &path, &json!({"places": 5.5})).await.expect(200);
    assert_eq!(half["places"], 5.5);

    // Removed: only by who knows what is lost.
    let removed = json!([{"name": "places", "removed": true}]);
    let refused = extend(&server, PROFILES, removed.clone()).await.expect(409);
    assert_eq!(refused["error_code"], 1409);
    assert!(refused["detail"].as_str().unwrap().contains("?confirm=1"), "{refused}");
    let body = json!({"properties": removed});
    design(&server, "PATCH", "/email/Profiles?confirm=2", &body).await.expect(409);
    design(&server, "PATCH", "/email/Profiles?confirm=x", &body).await.expect(422);
    let class = design(&server, "PATCH", "/email/Profiles?confirm=1", &body).await.expect(200);
    assert!(!names(&class).contains(&"places"));
    assert!(server.get(&path).await.expect(200).get("places").is_none());
    // One of the same name begins without values.
    let same = json!([{"name": "places", "data_type": "string"}]);
    extend(&server, PROFILES, same).await.expect(200);
    assert_eq!(server.get(&path).await.expect(200)["places"], Json::Null);
}

#[on_both]
async fn a_change_of_a_class_keeps_if_match() {
    let server = Server::start().await;
    let change = |tag: &'static str, caption: &str| {
        let body = json!({"description": caption});
        let request = server.request("PATCH", &format!("{DESIGN}/email/Profiles"));
        answer(request.header("If-Match", tag).json(&body))
    };
    let first = change("\"1\"", "a").await;
    assert_eq!((first.status, first.header("etag")), (200, "\"2\""));
    change("\"1\"", "b").await.expect(412);
    let other = design(&server, "GET", "/email/Accounts", &Json::Null).await;
    assert_eq!(other.header("etag"), "\"1\"", "the others are as they were");
    let known = server.request("GET", &format!("{DESIGN}/email/Profiles"));
    assert_eq!(answer(known.header("If-None-Match", "\"2\"")).await.status, 304);
    assert_eq!(change("\"2\"", "a").await.header("etag"), "\"2\"", "nothing changed");
}

/// The definition of `crm/Tickets`.
fn tickets() -> Json {
    json!({
        "classname": "crm/Tickets", "name": "Tickets", "description": "What customers want.",
        "properties": [
            {"name": "title", "data_type": "string", "required": true},
            {"name": "message", "data_type": "entity",
             "idclass": "0192d000-0000-7000-8000-000000000004"},
            {"name": "state", "data_type": "enum", "items": ["open", "closed"], "default": "open"},
            {"name": "due", "data_type": "datetime"},
            {"name": "file", "data_type": "attachment", "multi": true, "opts": {"alias": "attachments"}},
        ],
        "opts": {"indexes": [["state", "due"]], "lookup_properties": ["title"]},
    })
}

#[on_both]
async fn an_own_class_is_made_used_and_deleted() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let made = design(&server, "POST", "", &tickets()).await;
    let class = made.expect(201);
    assert_eq!(made.header("location"), format!("{DESIGN}/crm/Tickets"));
    assert_eq!((&class["storage_mode"], &class["parent_id"]), (&json!("category"), &Json::Null));
    design(&server, "POST", "", &tickets()).await.expect(409);

    // As every collection: create, read, list, filter, order, mask, count, once, If-Match.
    const TICKETS: &str = "crm/Tickets";
    let new =
        json!({"id": message, "title": "a", "message": message, "due": "2026-01-02T00:00:00Z"});
    let ticket = server.send("POST", TICKETS, &new).await;
    assert_eq!(ticket.header("location"), format!("/rest/v1/model/crm/Tickets/{message}"));
    assert_eq!(ticket.expect(201)["state"], "open");
    let path = format!("{TICKETS}/{message}");
    let other = server.create(TICKETS, &json!({"title": "b", "state": "closed"})).await;
    server.send("POST", TICKETS, &json!({"title": "c", "message": other})).await.expect(422);
    server.send("POST", TICKETS, &json!({"title": "c", "state": "lost"})).await.expect(422);
    server.send("POST", TICKETS, &json!({})).await.expect(422);
    let listed = server.get("crm/Tickets?state=open&mask=title&count=true").await;
    assert_eq!(
        (listed.header("x-total-count"), listed.expect(200)),
        ("1", json!([{"title": "a"}]))
    );
    let listed = server.get("crm/Tickets?order=-title&mask=title").await.expect(200);
    assert_eq!(listed, json!([{"title": "b"}, {"title": "a"}]));
    let once = || server.request("POST", TICKETS).header("Idempotency-Key", "k");
    let first = answer(once().json(&json!({"title": "once"}))).await.expect(201);
    assert_eq!(answer(once().json(&json!({"title": "once"}))).await.json()["id"], first["id"]);
    let stale = server.request("PATCH", &path).header("If-Match", "\"7\"");
    answer(stale.json(&json!({"state": "closed"}))).await.expect(412);
    let fresh = server.request("PATCH", &path).header("If-Match", "\"1\"");
    assert_eq!(answer(fresh.json(&json!({"state": "closed"}))).await.expect(200)["version"], 2);

    // Its files are its own, though a message has the same id.
    let files = format!("{path}/attachments");
    assert_eq!(server.get(&files).await.expect(200), json!([]));
    let put = server.request("PUT", &format!("{files}/a.txt")).body("of the ticket");
    answer(put).await.expect(201);
    let of_message = server.get(&format!("{MESSAGES}/{message}/attachments")).await.expect(200);
    assert!(!of_message.to_string().contains("a.txt"), "{of_message}");
    let original = server.get(&format!("{MESSAGES}/{message}/rawMessage")).await;
    server.send("DELETE", &path, &json!({})).await.expect(204);
    let kept = server.get(&format!("{MESSAGES}/{message}/rawMessage")).await;
    assert_eq!((kept.status, &kept.bytes), (200, &original.bytes));
    // Four of mail, and at least six of these.
    let rows = server.feed(0, 10).await;
    assert!(rows.iter().filter(|row| row.class == TICKETS).count() >= 6);

    // Deleted only by who knows what is lost.
    let refused = design(&server, "DELETE", "/crm/Tickets", &Json::Null).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("2 entities would be lost"), "{refused}");
    design(&server, "DELETE", "/crm/Tickets?confirm=2", &Json::Null).await.expect(204);
    server.get(TICKETS).await.expect(404);
    // One of the same name begins empty.
    design(&server, "POST", "", &tickets()).await.expect(201);
    assert_eq!(server.get(TICKETS).await.expect(200), json!([]));
}

#[on_both]
async fn a_class_inherits_the_properties_of_its_parent() {
    let server = Server::start().await;
    let parent = design(&server, "POST", "", &tickets()).await.expect(201);
    let child = json!({
        "classname": "crm/Complaints", "parent_id": parent["id"],
        "properties": [{"name": "anger", "data_type": "integer"}],
    });
    let messages = "0192d000-0000-7000-8000-000000000004";
    let of_mail = json!({"classname": "crm/Mail", "parent_id": messages});
    let refused = problem(&design(&server, "POST", "", &of_mail).await);
    assert!(refused.starts_with("parent_id: is a class that is built in"), "{refused}");
    let child = design(&server, "POST", "", &child).await.expect(201);
    let want = ["id", "title", "message", "state", "due", "file", "anger", "version", "seq"];
    assert_eq!(names(&child), want);
    let new = json!({"title": "t", "anger": 9, "state": "closed"});
    let path = format!("crm/Complaints/{}", server.create("crm/Complaints", &new).await);
    // What the parent gets, it gets.
    let added = json!([
        {"name": "seen", "data_type": "boolean", "default": false},
        {"name": "until", "renamed_from": "due"},
    ]);
    extend(&server, "crm/Tickets", added).await.expect(200);
    let shown = server.get(&path).await.expect(200);
    assert_eq!((&shown["seen"], &shown["until"]), (&json!(false), &Json::Null));
    assert_eq!((&shown["anger"], &shown["state"]), (&json!(9), &json!("closed")));
    let tag = design(&server, "GET", "/crm/Complaints", &Json::Null).await;
    assert_eq!(tag.header("etag"), "\"4\"", "it is another one too");
    // It keeps what it inherits, and the parent takes no name of it.
    let sent = json!([{"name": "title", "required": false}]);
    let refused = extend(&server, "crm/Complaints", sent).await;
    assert!(problem(&refused).contains("is inherited"), "{refused:?}");
    let taken = json!([{"name": "Anger", "data_type": "string"}]);
    extend(&server, "crm/Tickets", taken).await.expect(422);
    // The values of both are lost with a property of the parent.
    let removed = json!([{"name": "state", "removed": true}]);
    let refused = extend(&server, "crm/Tickets", removed).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().starts_with("1 values"), "{refused}");
    // The parent stays as long as it is one.
    let refused =
        design(&server, "DELETE", "/crm/Tickets?confirm=0", &Json::Null).await.expect(409);
    assert!(refused["detail"].as_str().unwrap().contains("crm/Complaints"), "{refused}");
    design(&server, "DELETE", "/crm/Complaints?confirm=1", &Json::Null).await.expect(204);
    design(&server, "DELETE", "/crm/Tickets", &Json::Null).await.expect(204);
}

#[on_both]
async fn what_a_class_may_be_called_and_who_may_make_one() {
    let server = Server::start().await;
    let make =
        async |name: &str| design(&server, "POST", "", &json!({"classname": name})).await.status;
    #[rustfmt::skip]
    let table = [
        ("Tickets", 201), ("tickets", 409), ("meta", 201), ("file", 201), ("change", 201), ("a/b/C_1", 201),
        ("email/Messages", 409), ("email/More", 422), ("iam/Tokens", 409), ("iam/More", 422), ("", 422), ("a//b", 422), ("a b", 422),
        ("1a", 422), ("sqlite_master", 201),
    ];
    for (name, want) in table {
        assert_eq!(make(name).await, want, "{name}");
    }
    let id = server.create("meta", &json!({})).await;
    assert_eq!(server.get(&format!("meta/{id}")).await.expect(200)["version"], 1);
    server.create(PROFILES, &json!({"name": "the store works"})).await;
    let other = || server.anonymous("POST", DESIGN).bearer_auth(OTHER_TOKEN);
    answer(other().json(&json!({"classname": "x/Y"}))).await.expect(403);
    let read = server.anonymous("GET", DESIGN).bearer_auth(OTHER_TOKEN);
    answer(read).await.expect(200);
    let built_in = design(&server, "DELETE", "/email/Folders", &Json::Null).await.expect(409);
    assert!(built_in["detail"].as_str().unwrap().contains("built in"), "{built_in}");
    for (method, path) in [("PATCH", ""), ("DELETE", ""), ("POST", "/email/Folders"), ("PUT", "")] {
        let refused = design(&server, method, path, &json!({})).await;
        assert_eq!(refused.status, 405, "{method} {path}");
        assert!(refused.header("allow").contains("GET"));
    }
}

#[on_both]
async fn sync_answers_when_every_process_uses_the_newest_classes() {
    let server = Server::start().await;
    let other = server.again(postroom_api::Limits::default()).await;
    extend(&server, PROFILES, json!([{"name": "seat", "data_type": "long"}])).await.expect(200);
    for (method, path) in [("SYNC", ""), ("POST", ":sync")] {
        let synced = design(&server, method, path, &Json::Null).await.expect(200);
        assert_eq!(synced, json!({"version": 2}));
    }
    let there = other.send("POST", PROFILES, &json!({"name": "p", "seat": 3})).await.expect(201);
    assert_eq!(there["seat"], 3);
    design(&server, "POST", ":nothing", &Json::Null).await.expect(404);
    design(&server, "GET", ":sync", &Json::Null).await.expect(405);
    design(&server, "SYNC", "?x=1", &Json::Null).await.expect(422);
}

#[on_both]
async fn a_worker_marks_received_mail_as_processed_and_back() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let path = format!("{MESSAGES}/{}", server.received(&account, &folder).await);
    let before = server.get(&path).await.expect(200);
    server.send("PATCH", &path, &json!({"messageState": "processed"})).await.expect(422);
    let properties = json!([
        {"name": "messageState", "items": ["processed"]},
        {"name": "ticketId", "data_type": "string"},
        {"name": "scan", "data_type": "attachment"},
    ]);
    let body = json!({
        "properties": properties,
        "opts": {"indexes": [["ticketId"], ["messageState", "dateTime"]]},
    });
    design(&server, "PATCH", "/email/Messages", &body).await.expect(200);
    design(&server, "SYNC", "", &Json::Null).await.expect(200);

    // Of two workers one takes the message.
    let tag = format!("\"{}\"", before["version"]);
    let take = |ticket: &str| {
        let body = json!({"messageState": "processed", "ticketId": ticket});
        answer(server.request("PATCH", &path).header("If-Match", &tag).json(&body))
    };
    let taken = take("T-1").await.expect(200);
    take("T-2").await.expect(412);
    assert_eq!((&taken["messageState"], &taken["ticketId"]), (&json!("processed"), &json!("T-1")));
    // What it was stays readable.
    for name in ["messageDirection", "internalDate", "sentAt", "subject"] {
        assert_eq!(taken[name], before[name], "{name}");
    }
    let found = server.get(&format!("{MESSAGES}?messageState=processed&ticketId=T-1")).await;
    assert_eq!(found.expect(200).as_array().unwrap().len(), 1);
    let put = server.request("PUT", &format!("{path}/scan")).body("scanned");
    answer(put).await.expect(201);
    assert_eq!(server.get(&format!("{path}/rawMessage")).await.status, 200);
    for refused in ["sent", "raw", "error", "sending"] {
        server.send("PATCH", &path, &json!({"messageState": refused})).await.expect(422);
    }
    server.send("PATCH", &path, &json!({"subject": "other"})).await.expect(422);
    let back = server.send("PATCH", &path, &json!({"messageState": "received"})).await.expect(200);
    assert_eq!(back["messageState"], "received");
    // An item that a message has is not taken away.
    server.send("PATCH", &path, &json!({"messageState": "processed"})).await.expect(200);
    let class = design(&server, "GET", "/email/Messages", &Json::Null).await.expect(200);
    let mut without = class.clone();
    for property in without["properties"].as_array_mut().unwrap() {
        if property["name"] == "messageState" {
            property["items"].as_array_mut().unwrap().retain(|item| item != "processed");
        }
    }
    let refused = design(&server, "PUT", "/email/Messages", &without).await;
    assert!(problem(&refused).contains("entities of email/Messages prevent this change, 1 in all"));
    server.send("PATCH", &path, &json!({"messageState": "received"})).await.expect(200);
    design(&server, "PUT", "/email/Messages", &without).await.expect(200);
}

#[on_both]
async fn a_number_that_json_cannot_keep_is_refused_with_its_place() {
    let server = Server::start().await;
    let class = json!({"classname": "crm/Numbers", "properties": [
        {"name": "any", "data_type": "any"}, {"name": "float", "data_type": "float"}]});
    design(&server, "POST", "", &class).await.expect(201);
    let path = "crm/Numbers";
    let send = async |method: &str, path: &str, body: &str| {
        let request = server.request(method, path).header("content-type", "application/json");
        answer(if body.is_empty() { request } else { request.body(body.to_owned()) }).await
    };
    const BIG: &str = "12345678901234567890123";
    let body = format!(r#"{{"any": {{"a": [1, {BIG}]}}}}"#);
    let refused = send("POST", path, &body).await;
    assert!(problem(&refused).starts_with("any.a[1]: a number of more digits"), "{refused:?}");
    let refused = send("POST", path, &format!("[{{}}, {body}]")).await;
    assert!(problem(&refused).starts_with("[1].any.a[1]: "), "{refused:?}");
    // A float is rounded, as its type says, and what fits is kept as it is written.
    let kept = r#"{"any": [18446744073709551615, 9007199254740993, 0.1, 1e23, -0.5],
                   "float": 1.23456789012345678901}"#;
    let created = send("POST", path, kept).await.expect(201);
    let want = json!([18446744073709551615_u64, 9007199254740993_u64, 0.1, 1e23, -0.5]);
    assert_eq!((&created["any"], &created["float"]), (&want, &json!(1.2345678901234568)));
    let one = format!("{path}/{}", created["id"].as_str().unwrap());
    for method in ["PATCH", "PUT"] {
        let refused = send(method, &one, r#"{"any": 0.12345678901234567890}"#).await;
        assert!(problem(&refused).starts_with("any: a number"), "{method}: {refused:?}");
    }
    assert_eq!(server.send("GET", &one, &Json::Null).await.expect(200)["any"], want);
    // No stored number is it, so a filter does not find the nearest one.
    let filter = format!(r#"["==", ["property", "any.a"], {BIG}]"#);
    let refused = send("QUERY", path, &format!(r#"{{"filter": {filter}}}"#)).await;
    assert!(problem(&refused).starts_with("filter[2]: a number"), "{refused:?}");
    let filter = filter.replace([' ', '"'], "").replace("==", "%22==%22");
    let filter = filter.replace("property", "%22property%22").replace("any.a", "%22any.a%22");
    let refused = send("GET", &format!("{path}?filter={filter}"), "").await;
    assert!(problem(&refused).starts_with("filter[2]: a number"), "{refused:?}");
}

/// A property of each type with a value, or of lists of them.
fn of_each_type(id: &str) -> Vec<(Json, Json)> {
    let one = |of_type: &str, value: Json| (json!({"data_type": of_type}), value);
    let choice = json!({"data_type": "enum", "items": ["x", "y"]});
    let reference = json!({"data_type": "entity", "idclass": PROFILES});
    let single = [
        one("string", json!("v3")),
        one("boolean", json!(true)),
        one("integer", json!(7)),
        one("long", json!(7)),
        one("float", json!(1.5)),
        one("datetime", json!("2026-01-02T03:04:05.006Z")),
        one("date", json!("2026-01-02")),
        one("time", json!("03:04:05")),
        one("uuid", json!("018f0000-0000-7000-8000-00000000000a")),
        one("any", json!({"k": 1})),
        (choice, json!("x")),
        (reference, json!(id)),
    ];
    let lists = single.clone().map(|(mut property, value)| {
        property["multi"] = json!(true);
        (property, json!([value]))
    });
    single.into_iter().chain(lists).collect()
}

#[on_both]
async fn a_change_of_a_type_keeps_the_value_or_is_refused_whatever_the_types_are() {
    let server = Server::start().await;
    let all = of_each_type(&server.create(PROFILES, &json!({"name": "p"})).await);
    let mut kept = vec![];
    for (at, (before, value)) in all.iter().enumerate() {
        let class = format!("cv/T{at}");
        let mut property = before.clone();
        property["name"] = json!("p");
        let made = json!({"classname": class, "properties": [property]});
        let mut path = None;
        for (after, _) in all.iter().filter(|(after, _)| after != before) {
            if path.is_none() {
                design(&server, "POST", "", &made).await.expect(201);
                path =
                    Some(format!("{class}/{}", server.create(&class, &json!({"p": value})).await));
            }
            let there = path.clone().unwrap();
            let path_of = format!("/{class}");
            let mut whole = design(&server, "GET", &path_of, &Json::Null).await.expect(200);
            let mut change = after.clone();
            change["name"] = json!("p");
            whole["properties"] = json!([change]);
            let answer = design(&server, "PUT", &path_of, &whole).await;
            let text = format!("{before} -> {after}");
            let shown = server.get(&there).await.expect(200)["p"].clone();
            if answer.status == 200 {
                kept.push(text.clone());
                let as_text = json!(value.to_string());
                assert!(
                    [value, &as_text].contains(&&shown) || shown == json!(7.0),
                    "{text}: {shown}"
                );
                let gone = format!("/{class}?confirm=1");
                design(&server, "DELETE", &gone, &Json::Null).await.expect(204);
                path = None;
            } else {
                let problem = problem(&answer);
                assert!(problem.contains("prevent this change, 1 in all"), "{text}: {problem}");
                assert_eq!(shown, *value, "{text}");
            }
        }
    }
    // integer to long, float and string; long to integer, float and string; texts; ids; and lists.
    assert_eq!(kept.len(), 16, "{kept:#?}");
}

//! Lists: filters, order, pages, masks.

use crate::server::Server;
use futures_util::future::join_all;
use postroom_api::Limits;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_store::WordsLeft;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// Parameters, and the subjects of what they find.
type Case = (&'static [(&'static str, &'static str)], &'static [&'static str]);

async fn filled() -> Server {
    let server = Server::start().await;
    let days = [Some(3), None, Some(1), Some(2), Some(2), None, Some(3)];
    let messages: Vec<Json> = days
        .iter()
        .enumerate()
        .map(|(at, day)| {
            let date = day.map(|day| format!("2026-11-0{day}T10:00:00Z"));
            json!({
                "messageDirection": if at % 2 == 0 { "out" } else { "in" }, "dateTime": date,
                "subject": format!("s{at}"), "to": [format!("u{at}@b.test"), "all@b.test"],
                "recipients": [{"kind": "to", "address": format!("u{at}@b.test")}],
            })
        })
        .collect();
    server.send("POST", MESSAGES, &json!(messages)).await.expect(201);
    server
}

fn subjects(list: &Json) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|entity| entity["subject"].as_str().unwrap()).collect()
}

async fn found(server: &Server, query: &[(&str, &str)]) -> Vec<String> {
    let request = server.request("GET", MESSAGES).query(query);
    let list = crate::server::answer(request).await.expect(200);
    subjects(&list).iter().map(ToString::to_string).collect()
}

#[on_both]
async fn filters_and_equality_find_what_they_say() {
    let server = filled().await;
    #[rustfmt::skip]
    let table: &[Case] = &[
        (&[("subject", "s2")],                                                             &["s2"]),
        (&[("messageDirection", "in")],                                                    &["s1", "s3", "s5"]),
        (&[("to", "u4@b.test")],                                                           &["s4"]),
        (&[("dateTime", "2026-11-02T12:00:00+02:00")],                                     &["s3", "s4"]),
        (&[("dateTime", "null"), ("messageDirection", "in")],                              &["s1", "s5"]),
        (&[("filter", r#"["==",["property","subject"],"s1"]"#)],                           &["s1"]),
        (&[("filter", r#"["!=",["property","messageDirection"],["const","in"]]"#)],        &["s0", "s2", "s4", "s6"]),
        (&[("filter", r#"["<",["property","dateTime"],"2026-11-02T00:00:00Z"]"#)],         &["s2"]),
        (&[("filter", r#"[">=",["property","dateTime"],"2026-11-03T10:00:00Z"]"#)],        &["s0", "s6"]),
        (&[("filter", r#"["in",["property","subject"],["s0","s5","none"]]"#)],             &["s0", "s5"]),
        (&[("filter", r#"["between",["property","subject"],"s2","s4"]"#)],                 &["s2", "s3", "s4"]),
        (&[("filter", r#"["isnull",["property","dateTime"]]"#)],                           &["s1", "s5"]),
        (&[("filter", r#"["not",["isnull",["property","dateTime"]]]"#), ("subject", "s0")], &["s0"]),
        (&[("filter", r#"["and",["contains",["property","to"],"all@b.test"],["like",["property","subject"],"%6"]]"#)], &["s6"]),
        (&[("filter", r#"["or",["==",["property","subject"],"s0"],["startswith",["property","subject"],"s6"]]"#)], &["s0", "s6"]),
        (&[("filter", r#"["and"]"#), ("limit", "2")],                                      &["s0", "s1"]),
        (&[("interval", "2026-11-02,2026-11-03")],                                         &["s3", "s4"]),
        (&[("interval", "2026-11-01T10:00:00Z,2026-11-02T12:00:00+02:00")],                &["s2"]),
        (&[("interval", "2026-11-03,2026-11-03")],                                         &[]),
        (&[("subject", "' OR 1=1 --")],                                                    &[]),
        (&[("filter", r#"["==",["property","subject"],"x'; DROP TABLE \"email/Messages\"; --"]"#)], &[]),
        (&[("subject", "")],                                                               &[]),
    ];
    for (query, want) in table {
        assert_eq!(found(&server, query).await, *want, "{query:?}");
    }
    assert_eq!(found(&server, &[]).await.len(), 7);
}

#[on_both]
async fn a_long_list_of_values_is_found() {
    let server = filled().await;
    let values: Vec<String> = (0..1000).map(|at| format!("s{at}")).collect();
    let filter = json!(["in", ["property", "subject"], values]).to_string();
    assert_eq!(found(&server, &[("filter", &filter)]).await.len(), 7);
    let some = r#"["in",["property","dateTime"],[null,"2026-11-01T10:00:00Z"]]"#;
    assert_eq!(found(&server, &[("filter", some)]).await, ["s1", "s2", "s5"]);
    let none = r#"["in",["property","subject"],[]]"#;
    assert!(found(&server, &[("filter", none)]).await.is_empty());
}

#[on_both]
async fn lists_are_ordered_and_cut() {
    let server = filled().await;
    #[rustfmt::skip]
    let table: &[Case] = &[
        (&[("order", "-subject"), ("limit", "2")],                     &["s6", "s5"]),
        (&[("order", "subject"), ("limit", "2"), ("offset", "3")],     &["s3", "s4"]),
        (&[("order", "dateTime,-subject"), ("limit", "4")],            &["s5", "s1", "s2", "s4"]),
        (&[("limit", "0")],                                            &[]),
        (&[("offset", "7")],                                           &[]),
    ];
    for (query, want) in table {
        assert_eq!(found(&server, query).await, *want, "{query:?}");
    }
}

#[on_both]
async fn the_link_leads_through_the_whole_list_in_any_order() {
    let server = filled().await;
    for order in ["", "dateTime", "-dateTime", "dateTime,-subject", "-dateTime,subject", "-id"] {
        let whole = found(&server, &[("order", order)]).await;
        for limit in ["1", "2", "3", "7"] {
            let mut next = format!("{MESSAGES}?order={order}&limit={limit}&mask=subject");
            let mut walked = vec![];
            while !next.is_empty() {
                let page = server.get(&next).await;
                walked.extend(subjects(&page.expect(200)).iter().map(ToString::to_string));
                assert!(walked.len() <= 7, "{order} {limit}: {walked:?}");
                let link = page.header("link").strip_suffix(">; rel=\"next\"");
                next = link.map(|link| link[1..].to_owned()).unwrap_or_default();
            }
            assert_eq!(walked, whole, "{order} by {limit}");
        }
    }
}

#[on_both]
async fn a_list_is_the_same_in_however_many_parts_it_is_read() {
    let server = filled().await;
    for list_part_bytes_max in [0, 80, 300] {
        let limits = Limits { list_part_bytes_max, ..Limits::default() };
        let in_parts = server.again(limits).await;
        for order in ["", "dateTime", "-dateTime", "dateTime,-subject", "-dateTime,subject", "-id"]
        {
            for page in ["", "&limit=7", "&limit=3", "&limit=2&offset=3", "&limit=0", "&offset=9"] {
                for more in
                    ["", "&messageDirection=out", "&mask=subject", "&mask=id,recipients.kind"]
                {
                    let path = format!("{MESSAGES}?order={order}{page}{more}");
                    let (whole, parts) = (server.get(&path).await, in_parts.get(&path).await);
                    assert_eq!(parts.expect(200), whole.expect(200), "{path}");
                    assert_eq!(parts.header("link"), whole.header("link"), "{path}");
                    assert_eq!(parts.header("content-type"), "application/json");
                }
            }
        }
    }
}

#[on_both]
async fn the_count_is_of_all_that_match() {
    let server = filled().await;
    let page =
        server.get(&format!("{MESSAGES}?messageDirection=in&count=true&limit=1&offset=1")).await;
    assert_eq!((page.header("x-total-count"), subjects(&page.expect(200)).len()), ("3", 1));
    assert_eq!(server.get(MESSAGES).await.header("x-total-count"), "");
    let next = page.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
    assert_eq!(server.get(&next).await.header("x-total-count"), "3", "on each page");
}

#[on_both]
async fn a_mask_shows_only_what_it_names() {
    let server = filled().await;
    let masked = server.get(&format!("{MESSAGES}?mask=subject,recipients.address&limit=1")).await;
    let want = json!([{"recipients": [{"address": "u0@b.test"}], "subject": "s0"}]);
    assert_eq!(masked.expect(200), want);
    let whole = server.get(&format!("{MESSAGES}?limit=1")).await.expect(200);
    let id = whole[0]["id"].as_str().unwrap();
    let one = server.get(&format!("{MESSAGES}/{id}?mask=id")).await.expect(200);
    assert_eq!(one, json!({"id": id}));
}

#[on_both]
async fn texts_are_found_whatever_their_case() {
    let server = Server::start().await;
    let subjects = ["GRÜSSE aus Köln", "Привет, мир", "ΟΔΟΣ", "100 % ok", "plain"];
    for subject in subjects {
        let message = json!({
            "messageDirection": "in", "subject": subject, "to": ["Anna@B.test"],
            "headers": [["X", subject]], "recipients": {"name": subject},
        });
        server.create(MESSAGES, &message).await;
    }
    #[rustfmt::skip]
    let table = [
        (json!(["contains", ["property", "subject"], "grüße"]),          &["GRÜSSE aus Köln"][..]),
        (json!(["contains", ["property", "subject"], "KÖLN"]),           &["GRÜSSE aus Köln"]),
        (json!(["startswith", ["property", "subject"], "grüße A"]),      &["GRÜSSE aus Köln"]),
        (json!(["startswith", ["property", "subject"], "ПРИВЕТ"]),       &["Привет, мир"]),
        (json!(["startswith", ["property", "subject"], ""]),             &subjects),
        (json!(["like", ["property", "subject"], "%МИР"]),               &["Привет, мир"]),
        (json!(["like", ["property", "subject"], "οδο_"]),               &["ΟΔΟΣ"]),
        (json!(["contains", ["property", "subject"], "%"]),              &["100 % ok"]),
        (json!(["contains", ["property", "recipients.name"], "ПРИВЕТ"]), &["Привет, мир"]),
        (json!(["not", ["contains", ["property", "subject"], "A"]]),     &["Привет, мир", "ΟΔΟΣ", "100 % ok"]),
        // These compare exactly.
        (json!(["==", ["property", "subject"], "οδος"]),                 &[]),
        (json!(["in", ["property", "subject"], ["PLAIN"]]),              &[]),
        (json!(["contains", ["property", "to"], "anna@b.test"]),         &[]),
        (json!(["contains", ["property", "to"], "Anna@B.test"]),         &subjects),
    ];
    for (filter, want) in table {
        let filter = filter.to_string();
        assert_eq!(found(&server, &[("filter", &filter)]).await, *want, "{filter}");
    }
}

#[on_both]
async fn values_inside_json_are_found_in_lists_too() {
    let server = Server::start().await;
    #[rustfmt::skip]
    let messages = [
        ("both",   json!([{"state": "sent", "address": "Ä@b.test", "n": 1}, {"state": "refused", "n": 5}])),
        ("sent",   json!([{"state": "sent"}, {"state": "sent", "deep": {"x": true}}])),
        ("object", json!({"state": "sent", "n": 5})),
        ("odd",    json!(["sent", 5, null, ["state"], {"state": null}])),
        ("none",   Json::Null),
        ("empty",  json!([])),
    ];
    for (subject, recipients) in messages {
        let message =
            json!({"messageDirection": "in", "subject": subject, "recipients": recipients});
        server.create(MESSAGES, &message).await;
    }
    let state = json!(["property", "recipients.state"]);
    let number = json!(["property", "recipients.n"]);
    #[rustfmt::skip]
    let table = [
        (json!(["==", state, "sent"]),                              &["both", "sent", "object"][..]),
        (json!(["==", state, "refused"]),                           &["both"]),
        (json!(["!=", state, "sent"]),                              &["odd", "none", "empty"]),
        (json!(["not", ["==", state, "sent"]]),                     &["odd", "none", "empty"]),
        (json!(["isnull", state]),                                  &["odd", "none", "empty"]),
        (json!(["==", state, null]),                                &["odd", "none", "empty"]),
        (json!(["!=", state, null]),                                &["both", "sent", "object"]),
        (json!(["in", state, ["refused", null]]),                   &["both", "odd", "none", "empty"]),
        (json!(["startswith", state, "REF"]),                       &["both"]),
        (json!(["contains", ["property", "recipients.address"], "ä@"]), &["both"]),
        (json!(["between", number, 2, 4]),                          &[]),
        (json!(["between", number, 1, 4]),                          &["both"]),
        (json!([">", number, 4]),                                   &["both", "object"]),
        (json!(["==", ["property", "recipients.deep.x"], true]),    &["sent"]),
    ];
    for (filter, want) in table {
        let filter = filter.to_string();
        assert_eq!(found(&server, &[("filter", &filter)]).await, *want, "{filter}");
    }
    assert_eq!(found(&server, &[("recipients.n", "5")]).await, ["both", "object"]);
    assert_eq!(found(&server, &[("recipients.state", "null")]).await, ["odd", "none", "empty"]);
}

#[on_both]
async fn a_query_is_a_list_whose_parameters_are_a_body() {
    let server = filled().await;
    let body = json!({
        "filter": ["in", ["property", "subject"], ["s1", "s2", "s4", "s6"]],
        "order": ["-dateTime"], "mask": ["subject"], "limit": 3, "count": true,
    });
    let twin = format!("{MESSAGES}:query");
    for (verb, path) in [("QUERY", MESSAGES), ("POST", twin.as_str())] {
        let page = server.send(verb, path, &body).await;
        assert_eq!(subjects(&page.expect(200)), ["s6", "s4", "s2"], "{verb}");
        assert_eq!(page.header("x-total-count"), "4");
        let next = page.header("link").split(['<', '>']).nth(1).unwrap().to_owned();
        let next = next.strip_prefix("/rest/v1/model/").unwrap_or(&next).to_owned();
        let page = server.send(verb, &next, &body).await;
        assert_eq!(subjects(&page.expect(200)), ["s1"], "{verb}");
        assert_eq!(page.header("link"), "");
    }
    #[rustfmt::skip]
    let refused = [
        json!([]), json!({"nope": 1}), json!({"limit": -1}), json!({"mask": {"a": 1}}),
        json!({"filter": ["==", ["property", "subject"], 5]}), json!({"interval": ["2026-02-01", "2026-01-01"]}),
    ];
    for body in refused {
        server.send("QUERY", MESSAGES, &body).await.expect(422);
    }
    // A filter that is longer than any URL.
    let values: Vec<_> = (0..400).map(|at| format!("{at}{}", "x".repeat(200))).collect();
    let values = [values, vec!["s3".to_owned()]].concat();
    let long = json!({"filter": ["in", ["property", "subject"], values]});
    assert_eq!(subjects(&server.send("QUERY", MESSAGES, &long).await.expect(200)), ["s3"]);
    server.send("QUERY", &format!("{MESSAGES}?limit=1"), &json!({})).await.expect(422);
}

#[on_both]
async fn a_limit_beyond_the_greatest_is_answered_with_a_note() {
    let server = filled().await;
    assert_eq!(server.get(&format!("{MESSAGES}?limit=1001")).await.header("x-limit"), "1000");
    assert_eq!(server.get(&format!("{MESSAGES}?limit=1000")).await.header("x-limit"), "");
}

#[on_both]
async fn the_lists_of_a_token_wait_that_take_too_much_time() {
    let server = filled().await;
    let (slow_list_from, slow_lists_max) = (Duration::ZERO, Duration::ZERO);
    let limits = Limits { slow_list_from, slow_lists_max, ..Limits::default() };
    let limited = server.again(limits).await;
    // Several at once take more time than passes meanwhile.
    let refused = loop {
        let several = [(); 8].map(|()| limited.get(MESSAGES));
        let answers = join_all(several).await;
        if let Some(refused) = answers.into_iter().find(|answer| answer.status == 429) {
            break refused;
        }
    };
    assert_eq!(refused.json()["type"], "urn:postroom:problem:too-many-scans");
    assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
    let listed = server.get(&format!("{MESSAGES}?limit=1")).await.expect(200);
    let one = format!("{MESSAGES}/{}", listed[0]["id"].as_str().unwrap());
    limited.get(&one).await.expect(200);
}

#[on_both]
async fn filters_look_into_lists_and_through_references() {
    let server = Server::start().await;
    let profile = server.create(PROFILES, &json!({"name": "p"})).await;
    let account = |address: &str| json!({"profile_id": profile, "address": address, "login": address, "password": "x"});
    let anna = server.create(ACCOUNTS, &account("anna@demo.test")).await;
    let ben = server.create(ACCOUNTS, &account("ben@demo.test")).await;
    let to = |address: &str, state: &str| json!({"address": address, "state": state});
    #[rustfmt::skip]
    let messages = [
        ("a", &anna, json!(["x@demo.test", "y@demo.test"]), json!([to("x@demo.test", "sent"), to("y@demo.test", "refused")])),
        ("b", &ben,  json!(["y@demo.test"]),                json!([to("y@demo.test", "sent")])),
        ("c", &ben,  json!([]),                             json!([])),
    ];
    for (subject, account, to, recipients) in messages {
        let message = json!({
            "messageDirection": "in", "account_id": account, "subject": subject, "to": to,
            "recipients": recipients,
        });
        server.create(MESSAGES, &message).await;
    }
    server.create(MESSAGES, &json!({"messageDirection": "in", "subject": "d"})).await;
    let (to, recipients) = (json!(["property", "to"]), json!(["property", "recipients"]));
    let address = json!(["property", "account_id.address"]);
    let both = |address: &str, state: &str| {
        json!([
            "and",
            ["==", ["property", "address"], address],
            ["==", ["property", "state"], state]
        ])
    };
    #[rustfmt::skip]
    let table = [
        (json!(["any", to, ["like", ["item"], "X@%"]]),                &["a"][..]),
        (json!(["all", to, ["like", ["item"], "Y@%"]]),                &["b", "c", "d"]),
        (json!(["any", recipients, both("y@demo.test", "sent")]),      &["b"]),
        (json!(["any", recipients, both("y@demo.test", "refused")]),   &["a"]),
        (json!(["all", recipients, ["==", ["property", "state"], "sent"]]), &["b", "c", "d"]),
        (json!(["isnull", to]),                                        &["c", "d"]),
        (json!(["==", address, "ben@demo.test"]),                      &["b", "c"]),
        (json!(["!=", address, "ben@demo.test"]),                      &["a", "d"]),
        (json!(["startswith", address, "ANNA"]),                       &["a"]),
        (json!(["isnull", address]),                                   &["d"]),
        (json!(["==", ["property", "account_id.profile_id.name"], "p"]), &["a", "b", "c"]),
    ];
    for (filter, want) in table {
        let filter = filter.to_string();
        assert_eq!(found(&server, &[("filter", &filter)]).await, *want, "{filter}");
    }
    assert_eq!(found(&server, &[("account_id.address", "anna@demo.test")]).await, ["a"]);
    let filter = json!(["in", ["property", "uid"], [1, "x"]]).to_string();
    let request = server.request("GET", MESSAGES).query(&[("filter", &filter)]);
    let problem = crate::server::answer(request).await.expect(422);
    assert!(problem.to_string().contains("filter[2][1]"), "{problem}");
}

#[on_both]
async fn words_are_found_once_they_are_kept() {
    let server = filled().await;
    let by = |words: &str| format!(r#"["match","{words}"]"#);
    let find = async |words: &str| {
        found(&server, &[("filter", by(words).as_str()), ("order", "-dateTime")]).await
    };
    assert_eq!(find("S2").await, [""; 0], "nothing is kept yet");
    let told = server.get("/healthz").await.expect(200);
    assert_eq!(told["fullText"]["messages"], 7, "{told}");
    while server.store.words_step().await.unwrap() != WordsLeft::Nothing {}
    let told = server.get("/healthz").await.expect(200);
    let none = json!({"messages": 0, "oldest": null, "ageSeconds": null, "building": false});
    assert_eq!(told["fullText"], none);
    assert_eq!(find("S2").await, ["s2"]);
    assert_eq!(find("u4@b.test").await, ["s4"]);
    assert_eq!(find("all@b.test* -s0 -s6 -s1 -s5").await, ["s4", "s3", "s2"]);
    let filter = r#"["and",["match","all"],["==",["property","messageDirection"],"in"]]"#;
    assert_eq!(
        found(&server, &[("filter", filter), ("order", "dateTime")]).await,
        ["s1", "s5", "s3"]
    );
    let counted = server.request("GET", MESSAGES);
    let counted =
        counted.query(&[("filter", by("all").as_str()), ("count", "true"), ("limit", "1")]);
    let counted = counted.send().await.unwrap();
    assert_eq!(counted.headers()["X-Total-Count"], "7");
    #[rustfmt::skip]
    let table = [
        (MESSAGES, by("-s2"), "filter[1]", "only what a message must not have"),
        (MESSAGES, by("a \\\"b"), "filter[1]", "at character 3"),
        (ACCOUNTS, by("s2"), "filter", "only email/Messages have a full text"),
        ("/rest/v1/events", by("s2"), "filter", "an event is told before the words"),
    ];
    for (path, filter, place, reason) in table {
        let mut query = vec![("filter", filter.as_str())];
        if path.starts_with('/') {
            query.extend([("class", MESSAGES), ("after", "0")]);
        }
        let refused = crate::server::answer(server.request("GET", path).query(&query)).await;
        let refused = refused.expect(422).to_string();
        assert!(refused.contains(place) && refused.contains(reason), "{refused}");
    }
}

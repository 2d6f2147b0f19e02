//! What lists show beside properties: the entities that are referred to, files, sums; and whole
//! collections as lines and as comma-separated values.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_api::Limits;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const CLASSES: &str = "/rest/v1/design/classes";

/// Two accounts of one profile, and five messages: three of the first, one of the second, and one
/// of none.
async fn filled() -> (Server, [String; 2]) {
    let server = Server::start().await;
    let profile = server.create(PROFILES, &json!({"name": "the profile"})).await;
    let account = async |address: &str| {
        let account = json!({"profile_id": profile, "address": address, "password": "canary"});
        server.create(ACCOUNTS, &account).await
    };
    let accounts = [account("anna@b.test").await, account("ben@b.test").await];
    let owners = [Some(0), Some(1), Some(0), None, Some(0)];
    let messages: Vec<Json> = owners
        .iter()
        .enumerate()
        .map(|(at, owner)| {
            json!({
                "messageDirection": if at < 2 { "out" } else { "in" }, "subject": format!("s{at}"),
                "account_id": owner.map(|owner: usize| accounts[owner].clone()),
                "dateTime": format!("2026-11-0{}T00:00:00.000Z", at + 1),
                "to": ["x@b.test"], "recipients": [{"kind": "to", "address": "x@b.test"}],
            })
        })
        .collect();
    server.send("POST", MESSAGES, &json!(messages)).await.expect(201);
    (server, accounts)
}

#[on_both]
async fn a_mask_leads_into_the_entities_that_are_referred_to() {
    let (server, [anna, _]) = filled().await;
    let path = format!("{MESSAGES}?mask=subject,account_id.address&order=subject");
    let list = server.get(&path).await.expect(200);
    let want = json!([
        {"subject": "s0", "account_id": {"address": "anna@b.test"}},
        {"subject": "s1", "account_id": {"address": "ben@b.test"}},
        {"subject": "s2", "account_id": {"address": "anna@b.test"}},
        {"subject": "s3", "account_id": null},
        {"subject": "s4", "account_id": {"address": "anna@b.test"}},
    ]);
    assert_eq!(list, want);
    let path =
        format!("{MESSAGES}?mask=account_id,account_id.profile_id.name&subject=s0&flat=true");
    let list = server.get(&path).await.expect(200);
    assert_eq!(list, json!([{"account_id.id": anna, "account_id.profile_id.name": "the profile"}]));
    // One entity shows the same.
    let id = server.get(&format!("{MESSAGES}?subject=s2")).await.expect(200)[0]["id"].clone();
    let path = format!("{MESSAGES}/{}?mask=account_id.address", id.as_str().unwrap());
    let one = server.get(&path).await;
    assert_eq!(one.expect(200), json!({"account_id": {"address": "anna@b.test"}}));
    // The tag of the message says nothing of the account.
    let request = server.request("GET", &path).header("if-none-match", one.header("etag"));
    assert_eq!(answer(request).await.status, 200);
    let text = server.get(&format!("{MESSAGES}?mask=account_id.password")).await;
    assert!(text.expect(422)["detail"].as_str().unwrap().contains("`password`"));
    for (mask, want) in [
        ("subject.x", "mask: `subject` has no members"),
        ("id,account_id.profile_id.name.x", "mask: account_id: profile_id: `name` has no members"),
        ("files.nope", "mask: `files.nope` names nothing: the fields of a file are"),
    ] {
        let of_one = format!("{MESSAGES}/{}?mask={mask}", id.as_str().unwrap());
        for path in [format!("{MESSAGES}?mask={mask}"), of_one] {
            let refused = server.get(&path).await.expect(422);
            assert!(refused["detail"].as_str().unwrap().contains(want), "{mask}: {refused}");
        }
    }
    // What is gone is shown by its id.
    assert_eq!(answer(server.request("DELETE", &format!("{ACCOUNTS}/{anna}"))).await.status, 204);
    let path = format!("{MESSAGES}?mask=account_id,account_id.address&subject=s0");
    let list = server.get(&path).await.expect(200);
    assert_eq!(list, json!([{"account_id": {"id": anna, "address": null}}]));
}

#[on_both]
async fn a_mask_leads_into_lists_of_references() {
    let (server, [anna, ben]) = filled().await;
    let accounts = server.get(&format!("{CLASSES}/{ACCOUNTS}")).await.expect(200);
    let class = json!({
        "classname": "crm/Teams", "name": "Teams", "storage_mode": "category",
        "properties": [
            {"name": "members", "data_type": "entity", "multi": true, "idclass": accounts["id"]},
        ],
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    server.create("crm/Teams", &json!({"members": [ben, anna]})).await;
    server.create("crm/Teams", &json!({})).await;
    let list = server.get("crm/Teams?mask=members.address").await.expect(200);
    let want = json!([
        {"members": [{"address": "ben@b.test"}, {"address": "anna@b.test"}]},
        {"members": []},
    ]);
    assert_eq!(list, want);
}

#[on_both]
async fn a_mask_shows_the_files() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    let plain = server.create(MESSAGES, &json!({"messageDirection": "out"})).await;
    let list = server.get(&format!("{MESSAGES}?mask=id,files")).await.expect(200);
    let of = |id: &str| {
        let list = list.as_array().unwrap();
        list.iter().find(|row| row["id"] == id).unwrap()["files"].clone()
    };
    assert_eq!(of(&plain), json!([]));
    let files = of(&received);
    let mut names: Vec<_> =
        files.as_array().unwrap().iter().map(|f| f["property"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["file", "html", "inlines", "rawMessage"]);
    let hello = files.as_array().unwrap().iter().find(|f| f["property"] == "file").unwrap();
    let want = json!({
        "property": "file", "name": "hello.txt", "size": 5, "contentType": "text/plain",
        "contentId": null,
    });
    assert_eq!(*hello, want);
    let one = server.get(&format!("{MESSAGES}/{received}?mask=files.name")).await.expect(200);
    assert_eq!(one["files"].as_array().unwrap().len(), 4);
    assert_eq!(one["files"][0].as_object().unwrap().len(), 1);
    assert!(server.get(MESSAGES).await.expect(200)[0].get("files").is_none());
    server.get(&format!("{ACCOUNTS}?mask=files")).await.expect(422);
}

#[on_both]
async fn sums_are_computed_for_each_group() {
    let (server, [anna, ben]) = filled().await;
    let path = format!("{MESSAGES}?aggregate=count,min(dateTime),max(subject)&group=account_id");
    let groups = server.get(&path).await.expect(200);
    let group = |account: Json, count: u64, day: u64, subject: &str| {
        json!({
            "account_id": account, "count": count, "max(subject)": subject,
            "min(dateTime)": format!("2026-11-0{day}T00:00:00.000Z"),
        })
    };
    let mut ordered = [(anna, 3, 1, "s4"), (ben, 1, 2, "s1")];
    ordered.sort();
    let mut want = vec![group(Json::Null, 1, 4, "s3")];
    want.extend(ordered.map(|(id, count, day, subject)| group(json!(id), count, day, subject)));
    assert_eq!(groups, json!(want));
    let path = format!("{MESSAGES}?aggregate=count&messageDirection=in");
    assert_eq!(server.get(&path).await.expect(200), json!([{"count": 3}]));
    let path = format!("{MESSAGES}?aggregate=count,max(dateTime)&subject=none");
    let none = server.get(&path).await.expect(200);
    assert_eq!(none, json!([{"count": 0, "max(dateTime)": null}]));
    let path = format!("{MESSAGES}?aggregate=count&group=account_id&subject=none");
    assert_eq!(server.get(&path).await.expect(200), json!([]));
    let body = json!({
        "aggregate": ["count"], "group": ["messageDirection"],
        "filter": ["!=", ["property", "subject"], "s0"],
    });
    let queried = server.send("QUERY", MESSAGES, &body).await.expect(200);
    let want = json!([
        {"messageDirection": "in", "count": 3}, {"messageDirection": "out", "count": 1},
    ]);
    assert_eq!(queried, want);
    let csv = server.request("GET", &format!("{MESSAGES}?aggregate=count&group=messageDirection"));
    let csv = answer(csv.header("accept", "text/csv")).await;
    assert_eq!(csv.bytes, "messageDirection,count\r\nin,3\r\nout,2\r\n");
}

/// A class with numbers of every kind.
async fn numbers() -> Server {
    let server = Server::start().await;
    let property = |name: &str, data_type: &str| json!({"name": name, "data_type": data_type});
    let class = json!({
        "classname": "crm/Numbers", "name": "Numbers", "storage_mode": "category",
        "properties": [property("long", "long"), property("float", "float"), property("is", "boolean")],
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    server
}

#[on_both]
async fn a_sum_has_more_than_64_bits_and_a_mean_a_fraction() {
    let server = numbers().await;
    let rows = json!([
        {"long": i64::MAX, "float": 0.5, "is": true}, {"long": 1, "float": 1.0, "is": true},
        {"long": -7, "float": null, "is": false}, {"long": null, "float": null, "is": null},
    ]);
    server.send("POST", "crm/Numbers", &rows).await.expect(201);
    let path = "crm/Numbers?aggregate=count,count(long),sum(long),sum(float),avg(float)&group=is";
    let groups = server.get(path).await.expect(200);
    let want = json!([
        {"is": null, "count": 1, "count(long)": 0, "sum(long)": null, "sum(float)": null, "avg(float)": null},
        {"is": false, "count": 1, "count(long)": 1, "sum(long)": -7, "sum(float)": null, "avg(float)": null},
        {"is": true, "count": 2, "count(long)": 2, "sum(long)": 9_223_372_036_854_775_808.0_f64,
         "sum(float)": 1.5, "avg(float)": 0.75},
    ]);
    assert_eq!(groups, want);
    let path = "crm/Numbers?aggregate=avg(long),sum(long)&is=false";
    assert_eq!(server.get(path).await.expect(200), json!([{"avg(long)": -7.0, "sum(long)": -7}]));
}

#[on_both]
async fn more_groups_than_an_answer_holds_are_refused() {
    let server = numbers().await;
    for part in 0..2 {
        let rows: Vec<_> = (0..501).map(|at| json!({"long": part * 501 + at})).collect();
        server.send("POST", "crm/Numbers", &json!(rows)).await.expect(201);
    }
    let path = "crm/Numbers?aggregate=count&group=long";
    let refused = server.get(path).await.expect(422);
    assert_eq!(refused["errors"][0]["property"], "group");
    let filter = r#"["<",["property","long"],1000]"#;
    let request = server.request("GET", path).query(&[("filter", filter)]);
    assert_eq!(answer(request).await.expect(200).as_array().unwrap().len(), 1000);
}

async fn export(server: &Server, accept: &str, query: &str) -> String {
    let request = server.request("GET", &format!("{MESSAGES}?{query}"));
    let answer = answer(request.header("accept", accept)).await;
    assert_eq!(answer.status, 200, "{:?}", answer.bytes);
    assert!(answer.header("content-type").starts_with(accept));
    assert_eq!((answer.header("link"), answer.header("vary")), ("", "accept"));
    String::from_utf8(answer.bytes.to_vec()).unwrap()
}

#[on_both]
async fn a_whole_collection_streams_as_lines_and_as_comma_separated_values() {
    let (server, _) = filled().await;
    for _ in 0..3 {
        let many: Vec<Json> = (0..400)
            .map(|at| json!({"messageDirection": "out", "subject": format!("more {at}")}))
            .collect();
        server.send("POST", MESSAGES, &json!(many)).await.expect(201);
    }
    let in_parts = server.again(Limits { list_part_bytes_max: 500, ..Limits::default() }).await;
    for server in [&server, &in_parts] {
        let lines = export(server, "application/x-ndjson", "mask=id&order=-id").await;
        let ids: Vec<Json> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(ids.len(), 1205);
        assert!(ids.windows(2).all(|two| two[0]["id"].as_str() > two[1]["id"].as_str()));
        let lines = export(server, "application/x-ndjson", "limit=1100&offset=50").await;
        assert_eq!(lines.lines().count(), 1100);
        assert_eq!(export(server, "application/x-ndjson", "subject=none").await, "");
        let csv = export(
            server,
            "text/csv",
            "mask=subject,account_id.address,recipients.kind,account_id&order=subject&limit=4&flat=true\
             &messageDirection=in",
        );
        let csv = csv.await;
        let first = csv.lines().next().unwrap();
        assert_eq!(first, "subject,account_id.id,account_id.address,recipients.kind");
        assert!(csv.contains("s2,") && csv.contains(",anna@b.test,\"[\"\"to\"\"]\"\r\n"), "{csv}");
        assert!(csv.contains("s3,,,\"[\"\"to\"\"]\"\r\n"), "{csv}");
        assert_eq!(csv.lines().count(), 4);
        let all = export(server, "text/csv", "limit=0").await;
        assert!(all.starts_with("id,") && all.ends_with(",version,seq\r\n"), "{all}");
    }
}

#[on_both]
async fn lines_and_comma_separated_values_have_what_the_domain_added() {
    let server = Server::start().await;
    let send = async |method: &str, path: &str, body: &Json| {
        answer(server.anonymous(method, path).bearer_auth(OTHER_TOKEN).json(body)).await
    };
    let added = json!({"properties": [
        {"name": "ticketId", "data_type": "long"},
        {"name": "labels", "data_type": "string", "multi": true},
    ]});
    send("PATCH", &format!("{CLASSES}/{PROFILES}"), &added).await.expect(200);
    let values = json!({"name": "p", "ticketId": 7, "labels": ["x", "y"]});
    send("POST", PROFILES, &values).await.expect(201);
    send("POST", PROFILES, &json!({"name": "q"})).await.expect(201);
    server.create(PROFILES, &json!({"name": "r"})).await;
    let export = async |token: &str, accept: &str, query: &str| {
        let request = server.anonymous("GET", &format!("{PROFILES}?{query}"));
        let answered = answer(request.bearer_auth(token).header("accept", accept)).await;
        assert_eq!(answered.status, 200, "{:?}", answered.bytes);
        String::from_utf8(answered.bytes.to_vec()).unwrap()
    };
    let (csv, lines) = ("text/csv", "application/x-ndjson");
    let mask = "mask=name,ticketId,labels&order=-ticketId,name";
    assert_eq!(
        export(OTHER_TOKEN, csv, mask).await,
        "name,ticketId,labels\r\np,7,\"[\"\"x\"\",\"\"y\"\"]\"\r\nq,,[]\r\n"
    );
    let of_mask = export(OTHER_TOKEN, lines, &format!("{mask}&ticketId=7")).await;
    let of_mask: Vec<Json> =
        of_mask.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(of_mask, [json!({"name": "p", "ticketId": 7, "labels": ["x", "y"]})]);
    // Without a mask, each domain has the columns of its own class.
    let head = async |token: &str| {
        let all = export(token, csv, "order=name").await;
        all.lines().next().unwrap().split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let (own, others) = (head(OTHER_TOKEN).await, head(crate::server::TOKEN).await);
    let more: Vec<_> = own.iter().filter(|name| !others.contains(name)).collect();
    assert_eq!(more, ["ticketId", "labels"]);
}

#[on_both]
async fn a_list_that_breaks_off_is_cut_and_does_not_end() {
    let (server, _) = filled().await;
    let spoil = "UPDATE \"email/Messages\" SET \"end of row\" = 0 WHERE \"subject\" = 's4'";
    let server = server.spoiled(spoil).await;
    let limits = Limits { list_part_bytes_max: 0, ..Limits::default() };
    let server = server.again(limits).await;
    for accept in ["application/json", "application/x-ndjson", "text/csv"] {
        let path = format!("{MESSAGES}?order=subject&mask=subject");
        let request = server.request("GET", &path).header("accept", accept);
        // It may be cut before the client has seen anything of it.
        let Ok(mut response) = request.send().await else {
            continue;
        };
        assert_eq!(response.status(), 200, "{accept}");
        let mut text = vec![];
        let ended = loop {
            match response.chunk().await {
                Ok(Some(piece)) => text.extend_from_slice(&piece),
                Ok(None) => break true,
                Err(_) => break false,
            }
        };
        assert!(!ended, "{accept}: {}", String::from_utf8_lossy(&text));
        assert!(String::from_utf8_lossy(&text).contains("s0"), "{accept}");
    }
}

//! Rights with filters, and the roles that are made of them: what a token does not reach is not there.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use crate::walk;
use crate::walk::Leaks;
use crate::walk::Walk;
use crate::walk::Walked;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

/// A client with a token of its own.
struct Holder<'a> {
    server: &'a Server,
    value: String,
}

impl<'a> Holder<'a> {
    async fn new(server: &'a Server, values: &Json) -> Self {
        let made = server.send("POST", TOKENS, values).await.expect(201);
        Self { server, value: made["token"].as_str().unwrap().to_owned() }
    }

    async fn send(&self, method: &str, path: &str, body: &Json) -> Answer {
        let request = self.server.anonymous(method, path).bearer_auth(&self.value);
        answer(if body.is_null() { request } else { request.json(body) }).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &Json::Null).await
    }

    /// The subjects of the messages that it lists.
    async fn subjects(&self, query: &str) -> Vec<String> {
        let list = self.get(&format!("{MESSAGES}?{query}")).await.expect(200);
        let subject = |message: &Json| message["subject"].as_str().unwrap_or_default().to_owned();
        list.as_array().unwrap().iter().map(subject).collect()
    }
}

fn is(property: &str, value: &str) -> Json {
    json!(["==", ["property", property], value])
}

fn right(actions: &[&str], classname: &str, filter: &Json) -> Json {
    json!({"actions": actions, "classes": [classname], "filter": filter})
}

/// A new draft, and its path.
async fn draft(server: &Server, account: &str, subject: &str) -> String {
    let values = json!({"messageDirection": "out", "account_id": account, "subject": subject,
        "text": "words"});
    format!("{MESSAGES}/{}", server.create(MESSAGES, &values).await)
}

/// A filter as a parameter.
fn asked(filter: &Json) -> String {
    let text = filter.to_string().replace('"', "%22").replace(' ', "%20");
    format!("filter={text}")
}

#[on_both]
async fn no_operation_shows_or_changes_anything_beyond_the_filters_of_a_token() {
    const WORD: &str = "quillwort";
    let server = Server::start().await;
    let ids = walk::filled(&server, WORD).await;
    let operations = walk::operations(&server, &ids).await;
    let nothing = is("id", "0192d000-0000-7000-8000-0000000000ff");
    let actions = ["read", "create", "change", "delete", "claim", "operate"];
    let of = [PROFILES, ACCOUNTS, FOLDERS, MESSAGES, OAUTH_APPS, WEBHOOKS];
    let mut rights: Vec<_> = of.iter().map(|name| right(&actions, name, &nothing)).collect();
    rights.push(right(&["read"], TOKENS, &nothing));
    rights.push(right(&["read"], USERS, &nothing));
    rights.push(right(&["read"], AUDIT, &nothing));
    let holder = Holder::new(&server, &json!({"name": "few", "rights": rights})).await;
    let before = walk::everything(&server).await;
    let words = [WORD, "anna@b.test"];
    let walk = Walk { server: &server, ids: &ids, operations: &operations, words: &words };
    // Rights do not write tokens, reach no domains, and make no webhooks.
    let is_refused = |walked: &Walked| {
        let writes = ["PUT", "PATCH", "DELETE", "CLAIM", "NACK", "POST"];
        let writes = writes.contains(&walked.method.as_str());
        let is_hook = ["PUT", "PATCH"].contains(&walked.method.as_str());
        walked.template.contains(DOMAINS)
            || [TOKENS, USERS, AUDIT].iter().any(|class| walked.template.contains(class)) && writes
            || walked.template.contains(WEBHOOKS) && is_hook
    };
    let Leaks { leaks, asked, of_one } = walk.leaks(&holder.value, is_refused).await;
    assert_eq!(leaks, Vec::<String>::new());
    assert_eq!(walk::everything(&server).await, before);
    assert!(asked > 300 && of_one > 40, "{asked} {of_one}");
}

#[on_both]
async fn a_token_reads_and_changes_only_what_its_filters_match() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    let received = server.received(&account, &folder).await;
    let mine = draft(&server, &account, "mine 1").await;
    let other = draft(&server, &account, "other").await;
    let read = json!(["startswith", ["property", "subject"], "mine"]);
    let rights = json!([
        right(&["read", "create", "claim"], MESSAGES, &read),
        right(&["change", "delete"], MESSAGES, &is("subject", "mine 1")),
    ]);
    let holder = Holder::new(&server, &json!({"name": "some", "rights": rights})).await;

    assert_eq!(holder.subjects("count=true").await, ["mine 1"]);
    let counted = holder.get(&format!("{MESSAGES}?count=true")).await;
    assert_eq!(counted.header("x-total-count"), "1");
    let sums = holder.get(&format!("{MESSAGES}?aggregate=count")).await.expect(200);
    assert_eq!(sums[0]["count"], 1, "{sums}");
    let any = json!({"filter": ["or", is("subject", "other"), is("subject", "mine 1")]});
    let found = holder.send("QUERY", MESSAGES, &any).await.expect(200);
    assert_eq!(found.as_array().unwrap().len(), 1, "{found}");
    assert!(holder.subjects(&asked(&json!(["match", "words other"]))).await.is_empty());
    for hidden in [&other, &format!("{MESSAGES}/{received}/html"), &format!("{other}/text")] {
        holder.get(hidden).await.expect(404);
    }
    assert_eq!(holder.get(&format!("{mine}/text")).await.status, 200);

    // It creates nothing outside, and takes nothing out.
    let new = |subject: &str| json!({"messageDirection": "out", "subject": subject, "text": "a"});
    holder.send("POST", MESSAGES, &new("other 2")).await.expect(403);
    let made = holder.send("POST", MESSAGES, &new("mine 2")).await.expect(201);
    let second = format!("{MESSAGES}/{}", made["id"].as_str().unwrap());
    holder.send("PATCH", &other, &json!({"subject": "mine 3"})).await.expect(404);
    holder.send("PATCH", &second, &json!({"text": "b"})).await.expect(403);
    holder.send("PATCH", &mine, &json!({"subject": "mine 4"})).await.expect(403);
    holder.send("PATCH", &mine, &json!({"subject": "other"})).await.expect(403);
    holder.send("PATCH", &mine, &json!({"text": "b"})).await.expect(200);
    holder.send("PUT", &format!("{second}/attachments/a.txt"), &json!("x")).await.expect(403);
    holder.send("PUT", &format!("{mine}/attachments/a.txt"), &json!("x")).await.expect(201);
    holder.send("DELETE", &second, &Json::Null).await.expect(403);
    assert_eq!(holder.subjects("order=id").await, ["mine 1", "mine 2"]);

    // A worker gets only those that it reaches.
    let claim = json!({"lease": 60, "limit": 10});
    let claimed = holder.send("CLAIM", MESSAGES, &claim).await.expect(200);
    let claimed: Vec<_> = claimed.as_array().unwrap().iter().map(|it| &it["subject"]).collect();
    assert_eq!(claimed, [&json!("mine 1"), &json!("mine 2")]);

    // Many at once: what it does not reach is not among them.
    let all = asked(&json!(["not", ["isnull", ["property", "id"]]]));
    let done = holder.send("PATCH", &format!("{MESSAGES}?{all}"), &json!({"text": "c"})).await;
    assert_eq!(done.expect(200)["changed"], 1);
    let away = json!({"subject": "other"});
    holder.send("PATCH", &format!("{MESSAGES}?{all}"), &away).await.expect(409);
    let clear = holder.send("CLEAR", &format!("{MESSAGES}?confirm=1"), &Json::Null).await;
    assert_eq!(clear.expect(200)["changed"], 1);
    assert_eq!(holder.subjects("").await, ["mine 2"]);
    server.get(&other).await.expect(200);
    // The engine would parse everything again.
    holder.send("REDECOMPOSE", MESSAGES, &Json::Null).await.expect(403);
}

#[on_both]
async fn a_job_keeps_to_the_rights_of_its_token() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    for subject in ["mine 1", "mine 2", "other"] {
        draft(&server, &account, subject).await;
    }
    let own = json!(["startswith", ["property", "subject"], "mine"]);
    let rights = json!([right(&["read", "change", "delete"], MESSAGES, &own)]);
    let holder = Holder::new(&server, &json!({"name": "some", "rights": rights})).await;
    let all = asked(&json!(["not", ["isnull", ["property", "id"]]]));
    let order = async |name: &str, changes: Json| {
        let request = server.anonymous("PATCH", &format!("{MESSAGES}?{all}"));
        let request = request.bearer_auth(&holder.value).header("idempotency-key", name);
        answer(request.json(&changes)).await.expect(202)
    };
    let away = order("away", json!({"subject": "another"})).await;
    let stays = order("stays", json!({"subject": "mine 3"})).await;
    for _ in 0..2 {
        let kinds = [postroom_store::JobKind::Patch];
        let job = server.store.job_next(&kinds, None).await.unwrap().unwrap();
        postroom_engine::bulk::work(&server.store, &job).await.unwrap();
    }
    let job = |job: &Json| format!("/rest/v1/jobs/{}", job["id"].as_str().unwrap());
    let done = holder.get(&job(&away)).await.expect(200);
    let counts = (&done["total"], &done["changed"], &done["failed"]);
    assert_eq!(counts, (&json!(2), &json!(0), &json!(2)), "{done}");
    let done = holder.get(&job(&stays)).await.expect(200);
    let counts = (&done["total"], &done["changed"], &done["failed"]);
    assert_eq!(counts, (&json!(2), &json!(2), &json!(0)), "{done}");
    // A job about others is not there.
    let others = server.request("PATCH", &format!("{MESSAGES}?{all}"));
    let others = others.header("idempotency-key", "others").json(&json!({"text": "b"}));
    let others = answer(others).await.expect(202);
    holder.get(&job(&others)).await.expect(404);
    assert_eq!(holder.get("/rest/v1/jobs").await.expect(200).as_array().unwrap().len(), 2);
}

#[on_both]
async fn references_lead_only_to_what_may_be_read() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    draft(&server, &account, "mine").await;
    let rights = json!([
        right(&["read", "delete"], ACCOUNTS, &is("address", "nobody@b.test")),
        {"actions": ["read", "create", "change", "delete"], "classes": [MESSAGES, PROFILES]},
    ]);
    let holder = Holder::new(&server, &json!({"name": "some", "rights": rights})).await;
    let shown = holder.get(&format!("{MESSAGES}?mask=account_id.address")).await.expect(200);
    assert_eq!(shown[0]["account_id"]["address"], Json::Null, "{shown}");
    let address = |value: &str| is("account_id.address", value);
    assert!(holder.subjects(&asked(&address("anna@b.test"))).await.is_empty());
    assert_eq!(holder.subjects(&asked(&json!(["not", address("anna@b.test")]))).await, ["mine"]);
    let new = json!({"messageDirection": "out", "account_id": account, "text": "a"});
    let refused = holder.send("POST", MESSAGES, &new).await.expect(422);
    assert!(refused.to_string().contains("account_id"), "{refused}");
    let profile =
        server.get(&format!("{ACCOUNTS}/{account}")).await.expect(200)["profile_id"].clone();
    let profile = format!("{PROFILES}/{}", profile.as_str().unwrap());
    let used = holder.send("DELETE", &profile, &Json::Null).await.expect(409);
    assert!(!used.to_string().contains("anna@b.test"), "{used}");
    let away = format!("{ACCOUNTS}/{account}?messages=delete");
    holder.send("DELETE", &away, &Json::Null).await.expect(404);
}

#[on_both]
async fn events_are_those_of_what_is_seen() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    let rights = json!([right(&["read"], MESSAGES, &is("subject", "seen"))]);
    let holder = Holder::new(&server, &json!({"name": "some", "rights": rights})).await;
    let path = draft(&server, &account, "hidden").await;
    for subject in ["seen", "seen", "hidden again"] {
        let changes = json!({"subject": subject, "text": format!("{subject} {path}")});
        server.send("PATCH", &path, &changes).await.expect(200);
    }
    server.send("PATCH", &path, &json!({"subject": "seen", "text": "once more"})).await.expect(200);
    server.send("PATCH", &path, &json!({"text": "and more"})).await.expect(200);
    for query in ["after=first", "after=first&class=email/Messages&filter=[%22and%22]"] {
        let events = holder.get(&format!("/rest/v1/events?{query}")).await.expect(200);
        let events = events["events"].as_array().unwrap();
        let seen: Vec<_> = events
            .iter()
            .map(|event| {
                let side = |name: &str| event[name]["subject"].as_str().unwrap_or("-").to_owned();
                format!(
                    "{} {} {}",
                    event["operation"].as_str().unwrap(),
                    side("entity0"),
                    side("entity")
                )
            })
            .collect();
        let want = ["create - seen", "delete seen -", "create - seen", "change seen seen"];
        assert_eq!(seen, want, "{query}");
        assert!(!json!(events).to_string().contains("hidden"));
    }
    server.request("DELETE", &path).send().await.unwrap();
    // What a deleted message was is not known any more, so it is told by its id alone.
    let events = holder.get("/rest/v1/events?after=first").await.expect(200);
    let [event] = events["events"].as_array().unwrap().as_slice() else {
        panic!("{events}");
    };
    assert_eq!((&event["operation"], &event["entity0"]), (&json!("delete"), &Json::Null));
}

#[on_both]
async fn a_filter_of_a_right_is_one_of_its_class() {
    let server = Server::start().await;
    for (filter, want) in [
        (is("messageState", "flown"), "rights[0].filter"),
        (is("gone", "a"), "rights[0].filter"),
        (is("account_id.address", "a"), "looks at the entity alone"),
        (json!(["match", "a"]), "match"),
    ] {
        let rights = json!([right(&["read"], MESSAGES, &filter)]);
        let made = server.send("POST", TOKENS, &json!({"name": "some", "rights": rights})).await;
        let refused = made.expect(422).to_string();
        assert!(refused.contains(want), "{refused}");
    }
    let made = server.send("POST", TOKENS, &json!({"name": "some", "role": "reader"})).await;
    let path = format!("{TOKENS}/{}", made.expect(201)["id"].as_str().unwrap());
    let rights = json!([right(&["read"], MESSAGES, &is("gone", "a"))]);
    server.send("PATCH", &path, &json!({"role": null, "rights": rights})).await.expect(422);
}

#[on_both]
async fn a_sender_sends_from_its_accounts_and_sees_only_that() {
    let server = Server::start().await;
    let (account, folder) = server.account().await;
    server.received(&account, &folder).await;
    draft(&server, &account, "of another").await;
    let profile = server.get(&format!("{ACCOUNTS}/{account}")).await.expect(200);
    let second = json!({"profile_id": profile["profile_id"], "address": "second@b.test"});
    let second = server.create(ACCOUNTS, &second).await;
    let values = json!({"name": "shop", "role": "sender", "accounts": [account]});
    let sender = Holder::new(&server, &values).await;
    let new = |account: &str, state: Json| {
        json!({"messageDirection": "out", "account_id": account, "subject": "order",
            "to": ["b@b.test"], "text": "a", "messageState": state})
    };
    let made = sender.send("POST", MESSAGES, &new(&account, json!("sending"))).await.expect(201);
    assert_eq!(made["createdBy"], "shop");
    let own = format!("{MESSAGES}/{}", made["id"].as_str().unwrap());
    assert_eq!(sender.subjects("").await, ["order"]);
    // A draft gets its files, and is sent.
    let made = sender.send("POST", MESSAGES, &new(&account, Json::Null)).await.expect(201);
    let second_own = format!("{MESSAGES}/{}", made["id"].as_str().unwrap());
    let file = format!("{second_own}/attachments/a.txt");
    sender.send("PUT", &file, &json!("x")).await.expect(201);
    sender.send("PATCH", &second_own, &json!({"messageState": "sending"})).await.expect(200);
    sender.get(&own).await.expect(200);
    for (method, path, body, status) in [
        ("POST", MESSAGES.to_owned(), new(&second, json!("sending")), 403),
        ("PATCH", second_own.clone(), json!({"account_id": second}), 403),
        ("POST", MESSAGES.to_owned(), json!({"messageDirection": "in"}), 403),
        ("DELETE", own.clone(), Json::Null, 403),
        ("GET", ACCOUNTS.to_owned(), Json::Null, 403),
        ("GET", PROFILES.to_owned(), Json::Null, 403),
        ("GET", TOKENS.to_owned(), Json::Null, 403),
        ("CLAIM", MESSAGES.to_owned(), json!({"lease": 60}), 403),
        ("GET", format!("{MESSAGES}?createdBy=null"), Json::Null, 200),
    ] {
        let answered = sender.send(method, &path, &body).await;
        let shown = String::from_utf8_lossy(&answered.bytes).into_owned();
        assert_eq!(answered.status, status, "{method} {path} {body}: {shown}");
        assert!(!shown.contains("of another"), "{shown}");
    }
    // Nobody chooses who made it.
    let forged = json!({"messageDirection": "out", "createdBy": "shop"});
    server.send("POST", MESSAGES, &forged).await.expect(422);
    server.send("PATCH", &own, &json!({"createdBy": "admin"})).await.expect(422);
    let accounts = json!({"name": "any", "role": "operator", "accounts": [account]});
    server.send("POST", TOKENS, &accounts).await.expect(422);
}

#[on_both]
async fn own_sees_only_what_it_made_itself() {
    let server = Server::start().await;
    let (account, _) = server.account().await;
    draft(&server, &account, "of another").await;
    let holder = Holder::new(&server, &json!({"name": "team", "role": "own"})).await;
    for class in [PROFILES, ACCOUNTS, MESSAGES, OAUTH_APPS] {
        assert_eq!(holder.get(class).await.expect(200), json!([]), "{class}");
    }
    for class in [FOLDERS, WEBHOOKS, TOKENS, USERS, DOMAINS] {
        holder.get(class).await.expect(403);
    }
    let profile = json!({"name": "p", "imapHost": "mail.example"});
    let profile = holder.send("POST", PROFILES, &profile).await.expect(201);
    assert_eq!(profile["createdBy"], "team");
    let of = |profile: &Json| json!({"profile_id": profile, "address": "team@b.test"});
    let theirs = server.get(&format!("{ACCOUNTS}/{account}")).await.expect(200);
    holder.send("POST", ACCOUNTS, &of(&theirs["profile_id"])).await.expect(422);
    let own = holder.send("POST", ACCOUNTS, &of(&profile["id"])).await.expect(201);
    let new = |account: &Json| json!({"messageDirection": "out", "account_id": account, "subject": "own"});
    holder.send("POST", MESSAGES, &new(&json!(account))).await.expect(422);
    let made = holder.send("POST", MESSAGES, &new(&own["id"])).await.expect(201);
    assert_eq!(holder.subjects("").await, ["own"]);
    let path = format!("{MESSAGES}/{}", made["id"].as_str().unwrap());
    holder.send("PATCH", &path, &json!({"subject": "changed"})).await.expect(200);
    holder.send("DELETE", &path, &Json::Null).await.expect(204);
    holder.send("DELETE", &format!("{ACCOUNTS}/{account}"), &Json::Null).await.expect(404);
}

#[on_both]
async fn a_reference_to_what_may_not_be_read_says_nothing_of_what_exists() {
    let server = Server::start().await;
    let message = json!({"name": "msg", "data_type": "entity", "idclass": MESSAGES});
    let many = json!({"name": "all", "data_type": "entity", "idclass": MESSAGES, "multi": true});
    let title = json!({"name": "title", "data_type": "string"});
    let class = json!({"classname": "crm/Sub", "properties": [title, message, many]});
    let made = server.request("POST", "/rest/v1/design/classes").json(&class);
    answer(made).await.expect(201);
    let (account, _) = server.account().await;
    let there = draft(&server, &account, "there").await;
    let there = there.rsplit('/').next().unwrap();
    let none = "018f0000-0000-7000-8000-0000000000ff";
    let rights = json!([{"actions": ["read", "create", "change"], "classes": ["crm/*"]}]);
    let holder = Holder::new(&server, &json!({"name": "crm", "rights": rights})).await;
    let own = holder.send("POST", "crm/Sub", &json!({"title": "t"})).await.expect(201);
    let path = format!("crm/Sub/{}", own["id"].as_str().unwrap());
    let bulk = format!("crm/Sub?{}", asked(&is("title", "t")));
    let mut answers = vec![];
    for id in [there, none] {
        let of_id = [json!({"msg": id}), json!({"all": [id]})];
        for sent in of_id {
            for (method, path) in [("POST", "crm/Sub"), ("PATCH", &path), ("PUT", &path)] {
                let refused = holder.send(method, path, &sent).await;
                assert_eq!(refused.status, 422, "{method} {path} {sent}: {refused:?}");
                answers.push(refused.json()["errors"].to_string());
            }
            let refused = holder.send("PATCH", &bulk, &sent).await;
            assert!([409, 422].contains(&refused.status), "{sent}: {refused:?}");
            let claim = json!({"lease": 60, "set": sent});
            let refused = holder.send("CLAIM", "crm/Sub", &claim).await;
            assert_ne!(refused.status, 200, "{sent}: {refused:?}");
        }
    }
    let (of_there, of_none) = answers.split_at(answers.len() / 2);
    assert_eq!(of_there, of_none);
    // What another client refers to stays, and may be sent back.
    let of_other = json!({"title": "u", "msg": there, "all": [there]});
    let path = format!("crm/Sub/{}", server.create("crm/Sub", &of_other).await);
    let mut whole = holder.get(&path).await.expect(200);
    whole["title"] = json!("v");
    let changed = holder.send("PATCH", &path, &whole).await.expect(200);
    holder.send("PUT", &path, &changed).await.expect(200);
    // Who may read both may refer, and a built-in reference is none of these.
    let rights = json!([{"actions": ["read", "create"], "classes": ["crm/*", MESSAGES]}]);
    let reader = Holder::new(&server, &json!({"name": "both", "rights": rights})).await;
    reader.send("POST", "crm/Sub", &of_other).await.expect(201);
    let new = json!({"messageDirection": "out", "account_id": account});
    reader.send("POST", MESSAGES, &new).await.expect(201);
    for query in ["mask=msg.subject".to_owned(), asked(&is("msg.subject", "there"))] {
        let refused = holder.get(&format!("crm/Sub?{query}")).await.expect(422);
        let reason = refused["errors"][0]["reason"].as_str().unwrap();
        assert!(reason.contains("this token may not read"), "{reason}");
        reader.get(&format!("crm/Sub?{query}")).await.expect(200);
    }
}

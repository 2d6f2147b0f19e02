//! Walks all operations of the description.

use crate::server::Answer;
use crate::server::Server;
use crate::server::answer;
use postroom_model::Domain;
use postroom_model::Query;
use postroom_model::builtin::AUDIT;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;

/// The entities of a server: the id of one of each class, by its name, and of a job.
pub type WalkedIds = HashMap<&'static str, String>;

/// A request of an operation.
#[derive(Debug)]
pub struct Walked {
    pub method: String,
    /// The path with its parameters in braces.
    pub template: String,
    /// The path of the entity that exists.
    pub path: String,
    /// The example of the description.
    pub body: Option<Json>,
    /// Whether it needs no token.
    pub is_open: bool,
}

impl Walked {
    pub async fn ask(&self, server: &Server, token: &str, query: &str) -> Answer {
        let path = format!("{}{query}", self.path);
        let request = server.anonymous(&self.method, &path).bearer_auth(token);
        let request = match (&self.body, self.path.contains("/file") || self.path.contains("/inl"))
        {
            (Some(_), true) => request.body("bytes of a file"),
            (Some(json), false) => request.json(json),
            (None, _) => request,
        };
        answer(request).await
    }

    /// Whether it is at an entity or a job.
    pub fn is_of_one(&self) -> bool {
        self.template.contains("{id}")
    }
}

/// A walk that looks for what it must not see.
pub struct Walk<'a> {
    pub server: &'a Server,
    pub ids: &'a WalkedIds,
    pub operations: &'a [Walked],
    /// Words of entities. No answer may have them, and no ids, unless the request has them.
    pub words: &'a [&'a str],
}

/// What a walk saw.
pub struct Leaks {
    /// What it must not have seen.
    pub leaks: Vec<String>,
    /// How many requests it sent.
    pub asked: usize,
    /// How many of them were at an entity or a job.
    pub of_one: usize,
}

impl Walk<'_> {
    /// Sends all requests with a token. Those that `is_refused` are 403, and the others at an
    /// entity say that there is none.
    pub async fn leaks(&self, token: &str, is_refused: impl Fn(&Walked) -> bool) -> Leaks {
        let words = self.words.iter().map(|word| (*word).to_owned());
        let secret: Vec<String> = self.ids.values().cloned().chain(words).collect();
        let mut found = Leaks { leaks: vec![], asked: 0, of_one: 0 };
        for walked in self.operations {
            for query in self.queries(walked) {
                let answered = walked.ask(self.server, token, &query).await;
                let text = String::from_utf8_lossy(&answered.bytes);
                let status = answered.status;
                let at = format!("{} {}{query}: {status}", walked.method, walked.template);
                // An answer may repeat the path that it was asked for.
                let is_asked =
                    |id: &&String| walked.path.contains(id.as_str()) || query.contains(id.as_str());
                let own = self.ids.values().find(is_asked);
                let shown = secret.iter().filter(|word| Some(*word) != own);
                let leaked = shown.filter(|word| text.contains(word.as_str()));
                found.leaks.extend(leaked.map(|word| format!("{at} {word}: {text}")));
                found.asked += 1;
                if walked.is_of_one() {
                    found.of_one += 1;
                    // A new entity cannot have an id that exists. Without an engine, nothing is
                    // tried.
                    let hidden = match walked.method.as_str() {
                        _ if is_refused(walked) => [403].as_slice(),
                        "GET" | "DELETE" => &[404],
                        _ => &[404, 409, 415, 422, 428],
                    };
                    if !hidden.contains(&status) {
                        found.leaks.push(format!("{at}: {text}"));
                    }
                }
            }
        }
        found
    }

    /// The queries that an operation is asked with.
    fn queries(&self, walked: &Walked) -> Vec<String> {
        let filter = |id: &str| {
            let filter = format!(
                "[\"or\",[\"==\",[\"property\",\"id\"],\"{id}\"],[\"not\",[\"isnull\",[\"property\",\"id\"]]]]"
            );
            format!("?filter={filter}&count=true").replace('"', "%22").replace(' ', "%20")
        };
        let mut queries = vec![String::new()];
        if walked.method == "GET" && !walked.is_of_one() {
            queries.extend(["?after=first".to_owned(), "?limit=1000".to_owned()]);
            queries.push("?aggregate=count,max(id)&group=id".to_owned());
            queries.extend(self.ids.values().map(|id| filter(id)));
        }
        queries
    }
}

/// All operations, at these entities.
pub async fn operations(server: &Server, ids: &WalkedIds) -> Vec<Walked> {
    let document = server.get("/rest/v1/openapi.json").await.expect(200);
    let mut all = vec![];
    for (template, methods) in document["paths"].as_object().unwrap() {
        let of = ids.iter().find(|(of, _)| template.contains(&format!("/{of}/{{id}}")));
        let id = of.map_or("", |(_, id)| id.as_str());
        assert!(!template.contains("{id}") || !id.is_empty(), "{template}: there is no entity");
        let names = [
            ("{id}", id),
            ("{file}", "hello.txt"),
            ("{classname}", "email/Messages"),
            ("{prefix}", "email"),
            ("{chapter}", "events"),
        ];
        let path = names.iter().fold(template.clone(), |path, (name, to)| path.replace(name, to));
        for (method, operation) in methods.as_object().unwrap() {
            let content = &operation["requestBody"]["content"]["application/json"];
            let one = content.get("example").or(content["examples"]["one"].get("value"));
            let has_body = operation.get("requestBody").is_some();
            all.push(Walked {
                method: method.to_uppercase(),
                template: template.clone(),
                path: path.clone(),
                body: has_body.then(|| one.cloned().unwrap_or(json!({}))),
                is_open: operation["security"].is_array(),
            });
        }
    }
    assert!(all.len() > 80, "{}", all.len());
    all
}

/// Entities of every class and a job, with a word in every text that a client may give.
pub async fn filled(server: &Server, word: &str) -> WalkedIds {
    let (account, folder) = server.account().await;
    let message = server.received(&account, &folder).await;
    let create = async |class: &str, values: Json| server.create(class, &values).await;
    let profile = json!({"name": word, "imapHost": format!("{word}.example")});
    let profile = create("email/Profiles", profile).await;
    let values = json!({"name": word, "provider": "google", "clientId": word});
    let app = create("email/OAuthApps", values).await;
    let values = json!({"name": word, "url": format!("https://{word}.example/"), "enabled": false});
    let hook = create("email/Webhooks", values).await;
    let domain = create("iam/Domains", json!({"name": word, "title": word})).await;
    let token = create("iam/Tokens", json!({"name": word, "role": "reader"})).await;
    let user = json!({"login": word, "title": word, "role": "reader"});
    let user = create("iam/Users", user).await;
    for (path, name) in [
        (format!("email/Accounts/{account}"), "fromDisplayName"),
        (format!("email/Folders/{folder}"), "title"),
        (format!("email/Messages/{message}"), "messageState"),
    ] {
        let word = if name == "messageState" { "received" } else { word };
        server.send("PATCH", &path, &json!({name: word})).await.expect(200);
    }
    let values = json!({
        "messageDirection": "out", "subject": word, "text": word, "account_id": account,
    });
    create("email/Messages", values).await;
    let audit = server.get("iam/Audit?limit=1").await.expect(200);
    let job = answer(server.request("REDECOMPOSE", "email/Messages")).await.expect(202);
    HashMap::from([
        ("email/Profiles", profile),
        ("email/Accounts", account),
        ("email/Folders", folder),
        ("email/Messages", message),
        ("email/OAuthApps", app),
        ("email/Webhooks", hook),
        ("iam/Tokens", token),
        ("iam/Users", user),
        ("iam/Domains", domain),
        ("iam/Audit", audit[0]["id"].as_str().unwrap().to_owned()),
        ("jobs", job["id"].as_str().unwrap().to_owned()),
    ])
}

/// Everything that the default domain has, and the domains, as they are stored.
pub async fn everything(server: &Server) -> Vec<Json> {
    let (domain, mut all) = (Domain::default_domain(), vec![]);
    let query = Query { limit: 1000, ..Query::default() };
    // The audit tells what was refused.
    for class in server.store.classes().iter().filter(|class| class.classname != AUDIT) {
        for domain in [&domain, &Domain::master()] {
            let found = server.store.entity_list(domain, class, &query).await.unwrap();
            all.extend(found.iter().map(|entity| entity.to_json(class)));
        }
    }
    all.extend(server.store.job_list(&domain, 100).await.unwrap().iter().map(|job| job.to_json()));
    all
}

//! `/rest/v1/openapi.json`: what it says is so.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::server::answer;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;

const OPENAPI: &str = "/rest/v1/openapi.json";
const CLASSES: &str = "/rest/v1/design/classes";

/// A class with a property of each type.
pub async fn with_own_class(server: &Server) -> Json {
    let types = [
        "string",
        "boolean",
        "integer",
        "long",
        "float",
        "increment",
        "datetime",
        "date",
        "time",
        "uuid",
        "any",
        "attachment",
    ];
    let one = |multi: bool| {
        types.into_iter().filter(move |name| !multi || *name != "increment").map(move |name| {
            let list = if multi { "List" } else { "" };
            json!({"name": format!("{name}{list}"), "data_type": name, "multi": multi})
        })
    };
    let mut properties: Vec<_> = one(false).chain(one(true)).collect();
    properties.push(json!({"name": "kind", "data_type": "enum", "items": ["a", "b"]}));
    properties.push(json!({"name": "limit", "data_type": "string", "required": true}));
    properties.push(json!({
        "name": "account", "data_type": "entity",
        "idclass": "0192d000-0000-7000-8000-000000000002",
    }));
    let class = json!({
        "classname": "crm/Orders", "name": "Orders", "storage_mode": "category",
        "description": "What customers order.", "properties": properties,
    });
    server.send("POST", CLASSES, &class).await.expect(201);
    server.get(OPENAPI).await.expect(200)
}

/// Everything of a document that has a form, with its place.
fn visit<'a>(json: &'a Json, place: &str, found: &mut Vec<(String, &'a Json)>) {
    let is_named = json.get("schema").is_some_and(Json::is_object);
    if is_named {
        found.push((place.to_owned(), json));
    }
    match json {
        Json::Object(members) => {
            for (name, value) in members {
                visit(value, &format!("{place}/{name}"), found);
            }
        }
        Json::Array(items) => {
            for (at, value) in items.iter().enumerate() {
                visit(value, &format!("{place}/{at}"), found);
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

/// What is wrong with a value, by a schema of the document.
fn problems(document: &Json, schema: &Json, value: &Json) -> Vec<String> {
    let mut whole = schema.clone();
    whole["components"] = document["components"].clone();
    let validator = jsonschema::options().should_validate_formats(true).build(&whole).unwrap();
    let told =
        |error: jsonschema::ValidationError<'_>| format!("{error} at {}", error.instance_path());
    validator.iter_errors(value).map(told).collect()
}

#[on_both]
async fn every_example_has_the_form_that_it_is_an_example_of() {
    let server = Server::start().await;
    let document = with_own_class(&server).await;
    let mut formed = vec![];
    visit(&document, "", &mut formed);
    assert!(formed.len() > 300, "{}", formed.len());
    let mut wrong = vec![];
    for (place, formed) in formed {
        let several = formed["examples"].as_object().into_iter().flat_map(|all| all.values());
        let several = several.map(|example| &example["value"]);
        let examples: Vec<_> = formed.get("example").into_iter().chain(several).collect();
        if examples.is_empty() {
            wrong.push(format!("{place}: no example"));
        }
        for example in examples {
            let problems = problems(&document, &formed["schema"], example);
            wrong.extend(problems.into_iter().map(|problem| format!("{place}: {problem}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[on_both]
async fn the_methods_of_each_path_are_those_that_the_path_takes() {
    let server = Server::start().await;
    let document = with_own_class(&server).await;
    let paths = document["paths"].as_object().unwrap();
    let mut count = 0;
    for (path, methods) in paths.iter().filter(|(path, _)| !is_twin(path)) {
        let real = path.replace("{id}", "0192d000-0000-7000-8000-00000000abcd");
        let real = real
            .replace("{file}", "a.txt")
            .replace("{prefix}", "email")
            .replace("{version}", "1")
            .replace("{chapter}", "states");
        let real = real.replace("{classname}", "email%2FMessages");
        let refused = answer(server.request("NOPE", &real)).await;
        refused.expect(405);
        let allowed: BTreeSet<String> = refused
            .header("allow")
            .split(',')
            .map(str::trim)
            .filter(|method| *method != "HEAD")
            .map(|method| match method {
                "GET" | "POST" | "PUT" | "PATCH" | "DELETE" => method.to_ascii_lowercase(),
                _ => format!(":{}", method.to_ascii_lowercase()),
            })
            .collect();
        let mut described: BTreeSet<String> =
            methods.as_object().unwrap().keys().cloned().collect();
        let twins = paths.keys().filter_map(|other| other.strip_prefix(path.as_str()));
        described.extend(twins.filter(|rest| rest.starts_with(':')).map(str::to_owned));
        // They are paths of their own, and no twins.
        described.retain(|method| ![":resume", ":rollback"].contains(&method.as_str()));
        assert_eq!(described, allowed, "{path}");
        count += 1;
    }
    assert!(count > 30, "{count}");
}

#[on_both]
async fn what_nobody_may_do_is_not_described() {
    let server = Server::start().await;
    let document = server.get(OPENAPI).await.expect(200);
    let of_class = |name: &str| -> BTreeSet<String> {
        let root = format!("/rest/v1/model/{name}");
        let paths = document["paths"].as_object().unwrap().iter();
        let of_it = paths.filter_map(|(path, methods)| Some((path.strip_prefix(&root)?, methods)));
        let each = |(path, methods): (&str, &Json)| -> Vec<String> {
            methods.as_object().unwrap().keys().map(|method| format!("{method} {path}")).collect()
        };
        of_it.flat_map(each).collect()
    };
    let reads = ["get ", "get /{id}", "post :lookup", "post :query"].map(str::to_owned);
    assert_eq!(of_class("iam/Audit"), BTreeSet::from(reads));
    assert!(of_class("iam/Users").is_superset(&of_class("iam/Audit")));
    assert!(of_class("iam/Users").contains("patch /{id}"));
    // What is left out is refused whoever asks.
    let nobody = "0192d000-0000-7000-8000-00000000abcd";
    let entity = format!("iam/Audit/{nobody}");
    for (method, path) in [
        ("POST", "iam/Audit"),
        ("PATCH", &entity),
        ("PUT", &entity),
        ("DELETE", &entity),
        ("CLEAR", "iam/Audit"),
        ("CLAIM", "iam/Audit"),
        ("NACK", &entity),
    ] {
        server.send(method, path, &json!({})).await.expect(403);
    }
}

/// Whether a path is that of a twin.
fn is_twin(path: &str) -> bool {
    path.contains(':') && !path.ends_with(":resume") && !path.ends_with(":rollback")
}

#[on_both]
async fn answers_have_the_form_that_is_described() {
    let server = Server::start().await;
    let document = with_own_class(&server).await;
    let schema = |name: &str| json!({"$ref": format!("#/components/schemas/{name}")});
    let example = &document["paths"]["/rest/v1/model/crm/Orders"]["post"]["requestBody"]["content"]
        ["application/json"]["examples"]["one"]["value"];
    let order = server.send("POST", "/rest/v1/model/crm/Orders", example).await.expect(201);
    assert_eq!(problems(&document, &schema("crm.Orders"), &order), Vec::<String>::new());
    let (account, _) = server.account().await;
    let shown = server.get(&format!("/rest/v1/model/email/Accounts/{account}")).await.expect(200);
    assert_eq!(problems(&document, &schema("email.Accounts"), &shown), Vec::<String>::new());
    let classes = server.get(CLASSES).await.expect(200);
    let list = json!({"type": "array", "items": schema("Class")});
    assert_eq!(problems(&document, &list, &classes), Vec::<String>::new());
    let refused =
        server.send("POST", "/rest/v1/model/crm/Orders", &json!({"no": 1})).await.expect(422);
    assert_eq!(problems(&document, &schema("Problem"), &refused), Vec::<String>::new());
    let news = server.get("/rest/v1/events?after=first").await.expect(200);
    assert_eq!(problems(&document, &schema("Events"), &news), Vec::<String>::new());
    let health = server.get("/healthz").await.expect(200);
    assert_eq!(problems(&document, &schema("Health"), &health), Vec::<String>::new());
}

#[on_both]
async fn the_description_changes_with_the_classes() {
    let server = Server::start().await;
    answer(server.anonymous("GET", OPENAPI)).await.expect(401);
    let first = server.get(OPENAPI).await;
    let tag = first.header("etag").to_owned();
    let again = || answer(server.request("GET", OPENAPI).header("if-none-match", &tag));
    assert_eq!(again().await.status, 304);
    let priority = json!({"properties": [{"name": "priority", "data_type": "integer"}]});
    server.send("PATCH", &format!("{CLASSES}/email/Messages"), &priority).await.expect(200);
    let changed = again().await.expect(200);
    let message = &changed["components"]["schemas"]["email.Messages"]["properties"];
    assert_eq!(message["priority"]["type"], json!(["integer", "null"]));
    let other = answer(server.anonymous("GET", OPENAPI).bearer_auth(OTHER_TOKEN)).await;
    assert_eq!(other.expect(200), changed);
}

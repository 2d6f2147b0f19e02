//! `/rest/v1/docs`: the pages for people.

use crate::server::Server;
use crate::server::TOKEN;
use crate::server::answer;
use postroom_testkit::Need;
use postroom_testkit::chromium;
use postroom_testkit::node_modules;
use postroom_testkit::on_both;
use postroom_testkit::require;
use serde_json::Value as Json;
use serde_json::json;
use tokio::process::Command;

const DOCS: &str = "/rest/v1/docs";

/// The values of an attribute of all elements.
fn attributes(html: &str, name: &str) -> Vec<String> {
    let begin = format!(" {name}=\"");
    let elements = html.split('<').skip(1).filter_map(|rest| Some(rest.split_once('>')?.0));
    let value = |element: &str| {
        let (_, rest) = element.split_once(&begin)?;
        Some(rest.split('"').next()?.to_owned())
    };
    elements.filter_map(value).collect()
}

#[on_both]
async fn all_that_the_pages_load_or_link_to_is_there_and_comes_from_here() {
    let server = Server::start().await;
    let mut pages = vec![DOCS.to_owned()];
    let mut at = 0;
    while let Some(path) = pages.get(at).cloned() {
        at += 1;
        let page = answer(server.anonymous("GET", &path)).await;
        assert_eq!(page.status, 200, "{path}");
        let policy = page.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        if !page.header("content-type").starts_with("text/html") {
            continue;
        }
        let html = String::from_utf8(page.bytes.to_vec()).unwrap();
        assert!(!html.contains("<script>") && !html.contains(" onclick"), "{path}");
        let loaded = attributes(&html, "src").into_iter();
        let elsewhere = |to: &String| to.contains("://") || to == "data:,";
        let linked = attributes(&html, "href").into_iter().filter(|to| !elsewhere(to));
        let linked = linked.map(|to| if to.starts_with('#') { format!("{path}{to}") } else { to });
        for to in loaded.chain(linked) {
            let (to, place) = to.split_once('#').unwrap_or((&to, ""));
            assert!(to.starts_with(DOCS), "{path} loads {to}");
            if !pages.iter().any(|known| known == to) {
                pages.push(to.to_owned());
            }
            let other = answer(server.anonymous("GET", to)).await;
            let text = String::from_utf8_lossy(&other.bytes);
            assert!(place.is_empty() || text.contains(&format!("id=\"{place}\"")), "{to}#{place}");
        }
    }
    assert!(at >= 9, "{pages:?}");
}

#[on_both]
async fn what_is_no_page_is_not_there() {
    let server = Server::start().await;
    for path in ["chapters/nope", "files/index.html", "files/..%2Fpage.css", "files/"] {
        let missing = answer(server.request("GET", &format!("{DOCS}/{path}"))).await;
        assert_eq!(missing.status, 404, "{path}");
    }
    let css = answer(server.anonymous("GET", &format!("{DOCS}/files/page.css"))).await;
    let again = server.anonymous("GET", &format!("{DOCS}/files/page.css"));
    assert_eq!(answer(again.header("if-none-match", css.header("etag"))).await.status, 304);
}

#[on_both(flavor = "multi_thread")]
async fn a_browser_draws_them_under_their_policy_and_loads_nothing_from_elsewhere() {
    if !require(&[Need::Browser]) {
        return;
    }
    let server = Server::start().await;
    let mut command = Command::new("node");
    command.args(["--eval", include_str!("browser.cjs")]).kill_on_drop(true);
    command.env("NODE_PATH", node_modules()).env("CHROMIUM", chromium().unwrap());
    command.env("SERVER", server.url("")).env("TOKEN", TOKEN);
    let ran = command.output().await.unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let seen: Json = serde_json::from_slice(&ran.stdout).unwrap();
    // What the policy forbids, what is missing and what a script throws is told there.
    assert_eq!(seen["messages"], json!([]));
    let requests = seen["requests"].as_array().unwrap();
    let here = [server.url("/rest/v1/"), "data:".to_owned()];
    for request in requests {
        let request = request.as_str().unwrap();
        assert!(here.iter().any(|begin| request.starts_with(begin)), "it asks for {request}");
    }
    assert!(requests.len() >= 20, "{requests:?}");
    assert!(seen["operations"].as_u64().unwrap() > 50, "{seen}");
    assert!(seen["title"].as_str().unwrap().starts_with("Postroom"), "{seen}");
    assert_eq!(seen["executed"], 200);
    assert!(seen["shown"].as_str().unwrap().contains("\"version\""), "{seen}");
    let chapters = seen["chapters"].as_array().unwrap();
    assert!(chapters.len() >= 7, "{chapters:?}");
    for chapter in chapters {
        assert!(!chapter["heading"].as_str().unwrap().is_empty(), "{chapter}");
        // The style sheet holds: lines are no wider than people read.
        assert!((300.0..1_050.0).contains(&chapter["width"].as_f64().unwrap()), "{chapter}");
    }
}

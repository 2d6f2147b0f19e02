//! `/rest/v1/docs`: the pages for people.

use crate::server::Server;
use crate::server::answer;
use postroom_testkit::on_both;

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
        let linked = attributes(&html, "href").into_iter().filter(|to| to.starts_with(DOCS));
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

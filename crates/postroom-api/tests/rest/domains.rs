//! Domains: nothing of one is seen in another.

use crate::server::OTHER_TOKEN;
use crate::server::Server;
use crate::walk;
use postroom_testkit::on_both;

/// A word that is in every text of the default domain.
const WORD: &str = "quillwort";
/// Another one, which no answer to the other domain may have either.
const ADDRESS: &str = "anna@b.test";

#[on_both]
async fn no_operation_shows_or_changes_anything_of_another_domain() {
    let server = Server::start().await;
    let ids = walk::filled(&server, WORD).await;
    let operations = walk::operations(&server, &ids).await;
    let before = walk::everything(&server).await;
    assert!(before.len() >= ids.len());
    let secret: Vec<String> =
        ids.values().cloned().chain([WORD, ADDRESS].map(str::to_owned)).collect();
    let filter = |id: &str| {
        let filter = format!(
            "[\"or\",[\"==\",[\"property\",\"id\"],\"{id}\"],[\"not\",[\"isnull\",[\"property\",\"id\"]]]]"
        );
        format!("?filter={filter}&count=true").replace('"', "%22").replace(' ', "%20")
    };
    let (mut leaks, mut asked, mut of_one) = (vec![], 0, 0);
    for walked in &operations {
        // The classes belong to all domains, and the other one may not change them.
        let mut queries = vec![String::new()];
        if walked.method == "GET" && !walked.is_of_one() {
            queries.extend(["?after=first".to_owned(), "?limit=1000".to_owned()]);
            queries.push("?aggregate=count,max(id)&group=id".to_owned());
            queries.extend(ids.values().map(|id| filter(id)));
        }
        for query in queries {
            let answered = walked.ask(&server, OTHER_TOKEN, &query).await;
            let text = String::from_utf8_lossy(&answered.bytes);
            let at = format!("{} {}{query}: {}", walked.method, walked.template, answered.status);
            // An answer may repeat the path that it was asked for.
            let own = ids
                .values()
                .find(|id| walked.path.contains(id.as_str()) || query.contains(id.as_str()));
            let shown = secret.iter().filter(|word| Some(*word) != own);
            leaks.extend(
                shown
                    .filter(|word| text.contains(word.as_str()))
                    .map(|word| format!("{at} {word}")),
            );
            asked += 1;
            if walked.is_of_one() {
                of_one += 1;
                // A new entity cannot have an id that exists. Without an engine, nothing is tried.
                let hidden = match walked.method.as_str() {
                    "GET" | "DELETE" => [404].as_slice(),
                    _ => &[404, 409, 415, 422, 428],
                };
                if !hidden.contains(&answered.status) {
                    leaks.push(at);
                }
            }
        }
    }
    assert_eq!(leaks, Vec::<String>::new());
    assert_eq!(walk::everything(&server).await, before);
    assert!(asked > 300 && of_one > 40, "{asked} {of_one}");
}

//! Words in PostgreSQL: a `tsvector` of words without places, with an index (GIN).
//!
//! GIN returns all messages that have a word, in no order. This is the way for rare words. For
//! frequent words, the next messages in the order of time are checked one after the other, until
//! the page is full. A sample shows which way is better. Phrases are searched in the text of words
//! itself, because the positions of a `tsvector` end at 16,383.

use crate::full_text_dialect::BoundQuery;
use crate::full_text_dialect::FullText;
use crate::full_text_dialect::TimePage;
use crate::full_text_dialect::WordsPlan;
use postroom_model::MatchQuery;
use postroom_model::MatchTerm;

/// How times are ordered, ascending and descending.
const WAYS: [&str; 2] = ["ASC NULLS FIRST", "DESC NULLS LAST"];

/// The index of PostgreSQL.
pub(crate) struct PostgresFullText;

impl FullText for PostgresFullText {
    fn tables(&self) -> [&'static str; 4] {
        [
            "CREATE TABLE \"full text\" (
               \"id\" {id} PRIMARY KEY, \"domain\" {text} NOT NULL, \"dateTime\" {moment},
               \"sum\" {whole} NOT NULL, \"words\" {text} NOT NULL,
               \"vector\" TSVECTOR GENERATED ALWAYS AS
                 (array_to_tsvector(string_to_array(btrim(\"words\"), ' '))) STORED)",
            "CREATE INDEX \"full text by time\" ON \"full text\"
               (\"domain\", \"dateTime\" NULLS FIRST, \"id\")",
            // With `fastupdate`, queries would have to search the entries that are not sorted in
            // yet.
            "CREATE INDEX \"full text words\" ON \"full text\" USING gin (\"vector\")
               WITH (fastupdate = off)",
            "ALTER TABLE \"full text\" ALTER COLUMN \"words\" SET COMPRESSION lz4",
        ]
    }

    fn keep(&self) -> &'static str {
        "INSERT INTO \"full text\" (\"id\", \"domain\", \"dateTime\", \"sum\", \"words\")
           VALUES ($1, $2, $3, $4, $5)"
    }

    fn keep_words(&self) -> Option<&'static str> {
        None
    }

    fn forget(&self) -> &'static [&'static str] {
        &["DELETE FROM \"full text\" WHERE \"id\" = $1"]
    }

    fn bound(&self, query: &MatchQuery, bind: &mut dyn FnMut(String) -> String) -> BoundQuery {
        let mut said = vec![];
        let mut phrases = vec![];
        for term in query.terms() {
            let is_phrase = term.words().len() > 1;
            if is_phrase {
                phrases.push((bind(term.as_indexed()), !term.is_excluded));
            }
            match (term.is_excluded, is_phrase) {
                (false, _) => said.extend(words(term)),
                (true, false) => said.extend(words(term).map(|word| format!("!{word}"))),
                (true, true) => {}
            }
        }
        BoundQuery { whole: bind(said.join(" & ")), phrases }
    }

    fn has(&self, query: &BoundQuery) -> String {
        let condition = condition(query);
        format!("(\"id\" IN (SELECT \"id\" FROM \"full text\" WHERE {condition}))")
    }

    fn by_time(&self, page: &TimePage<'_>, plan: WordsPlan) -> String {
        let TimePage { columns, rest, range, until, .. } = page;
        let condition = condition(page.query);
        let order = page.order(WAYS, ["\"dateTime\"", "\"id\""]);
        let of_domain = format!("FROM \"full text\" WHERE \"domain\" = $1{range}");
        // OFFSET keeps the planner from merging the queries, so that they run in this order.
        let hits = match plan {
            WordsPlan::Walk(count) => format!(
                "SELECT \"id\", \"dateTime\" FROM
                   (SELECT \"id\", \"dateTime\", \"vector\", \"words\" {of_domain}
                    {order} LIMIT {count}) \"next\"
                 WHERE COALESCE({condition}, FALSE)"
            ),
            WordsPlan::Sorted | WordsPlan::Condition => {
                format!("SELECT \"id\", \"dateTime\" {of_domain} AND {condition} OFFSET 0")
            }
        };
        let last = page.order(WAYS, ["\"hit time\"", "\"hit id\""]);
        format!(
            "SELECT * FROM ({columns} FROM
               (SELECT \"id\" AS \"hit id\", \"dateTime\" AS \"hit time\"
                FROM ({hits}) \"hits\" {order} OFFSET 0) \"sorted\"
             CROSS JOIN LATERAL
               (SELECT * FROM \"email/Messages\" WHERE \"id\" = \"hit id\" OFFSET 0) \"found\"
             WHERE \"domain\" = $1 AND \"dateTime\" IS NOT DISTINCT FROM \"hit time\"{rest}
             {last} LIMIT {until}) \"page\""
        )
    }

    fn probe(&self, page: &TimePage<'_>, sample: u32) -> Option<String> {
        let (condition, order) =
            (condition(page.query), page.order(WAYS, ["\"dateTime\"", "\"id\""]));
        let TimePage { rest, range, .. } = page;
        Some(format!(
            "SELECT COUNT(*), COUNT(CASE WHEN \"hit has\" THEN 1 END),
               COUNT(CASE WHEN \"hit has\" AND EXISTS (SELECT 1 FROM \"email/Messages\"
                 WHERE \"id\" = \"hit id\" AND \"domain\" = $1{rest} OFFSET 0) THEN 1 END)
             FROM (SELECT \"id\" AS \"hit id\", COALESCE({condition}, FALSE) AS \"hit has\" FROM
               (SELECT \"id\", \"vector\", \"words\" FROM \"full text\"
                WHERE \"domain\" = $1{range} {order} LIMIT {sample}) \"next\" OFFSET 0) \"sample\""
        ))
    }
}

fn condition(query: &BoundQuery) -> String {
    let mut all = format!("\"vector\" @@ CAST(CAST({} AS TEXT) AS TSQUERY)", query.whole);
    for (placeholder, is_wanted) in &query.phrases {
        let sign = if *is_wanted { '>' } else { '=' };
        all.push_str(&format!(" AND strpos(\"words\", {placeholder}) {sign} 0"));
    }
    format!("({all})")
}

/// The words of a term as the language of `tsquery` quotes them.
fn words(term: &MatchTerm) -> impl Iterator<Item = String> {
    let last = term.words().len() - 1;
    let star = move |at: usize| if term.is_prefix && at == last { ":*" } else { "" };
    term.words().iter().enumerate().map(move |(at, word)| format!("'{word}'{}", star(at)))
}

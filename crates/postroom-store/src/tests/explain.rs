//! The plan of a database for a statement, and which steps of the plan scan a large table.

use crate::database::Database;
use crate::database::Room;
use crate::database::Statement;
use crate::tests::life;
use postroom_testkit::TestDatabase;

/// The tables that may have very many rows.
const LARGE: &[&str] = &[
    "email/Accounts",
    "email/Folders",
    "email/Messages",
    "receipt",
    "file",
    "chunk",
    "change",
    "delivery",
    "delivered",
    "job entity",
    "once",
    "work claim",
    "origin",
    life::CLASS,
];

/// A sort may have at most so many rows by the estimate of the database.
const SORTED_MAX: u64 = 1_000;

/// The plan of a statement, and the steps of it that read all rows of a large table or all its rows
/// of a domain. `None`: the statement has no plan.
pub(super) async fn scans(database: &dyn Database, statement: &Statement) -> Option<Explained> {
    let words = ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"];
    if !words.iter().any(|word| statement.sql.trim_start().starts_with(word)) {
        return None;
    }
    let is_postgres = TestDatabase::present() == TestDatabase::Postgres;
    let (explain, column) = if is_postgres { ("EXPLAIN", 0) } else { ("EXPLAIN QUERY PLAN", 3) };
    let asked = Statement::new(format!("{explain} {}", standing(&statement.sql)));
    let asked = asked.bind_all(statement.values.iter().cloned());
    // The writer explains it, because only the writer's connection has some of the functions.
    let outcomes = database.write(vec![asked], Room::Free).await;
    let outcomes = outcomes.unwrap_or_else(|error| panic!("{error:?}: {}", statement.sql));
    let plan: Vec<_> =
        outcomes[0].rows.iter().map(|row| row.text(column).unwrap().to_owned()).collect();
    let scans = if is_postgres { on_postgres(&plan) } else { on_sqlite(&plan, &statement.sql) };
    Some(Explained { plan: plan.join("\n"), scans })
}

/// A statement in which existing names replace those of deleted classes and properties.
fn standing(sql: &str) -> String {
    let deleted = format!("\"{}\"", life::DELETED_CLASS);
    let mut sql = sql.replace(&deleted, &format!("\"{}\"", life::CLASS));
    for (name, stands) in [("\"retired table ", life::CLASS), ("\"retired property ", "title")] {
        while let Some(at) = sql.find(name) {
            let end = sql[at + 1..].find('"').unwrap() + at + 1;
            sql.replace_range(at + 1..end, stands);
        }
    }
    sql
}

/// What the database answered about a statement.
pub(super) struct Explained {
    /// The plan.
    pub plan: String,
    /// The steps of the plan that scan a large table.
    pub scans: Vec<String>,
}

/// The steps of a plan of SQLite that scan a large table. Each line is a step.
fn on_sqlite(plan: &[String], sql: &str) -> Vec<String> {
    let names = LARGE.iter().flat_map(|table| names_of(table, sql));
    let names: Vec<_> = names.collect();
    let is_large = |step: &str| {
        let rest = names.iter().filter_map(|name| step.strip_prefix(name.as_str()));
        rest.into_iter().any(|rest| rest.is_empty() || rest.starts_with(' '))
    };
    let scans = |step: &&String| {
        let scanned = step.strip_prefix("SCAN ").is_some_and(is_large);
        let searched = step.strip_prefix("SEARCH ").is_some_and(is_large);
        // The plan does not say how many rows are sorted.
        scanned || (searched && step.ends_with("(domain=?)")) || step.contains("TEMP B-TREE")
    };
    plan.iter().filter(scans).cloned().collect()
}

/// The names that a table has in a statement.
fn names_of(table: &str, sql: &str) -> Vec<String> {
    let mut names = vec![table.to_owned()];
    for (at, quoted) in sql.match_indices(&format!("\"{table}\"")) {
        let mut words = sql[at + quoted.len()..].split_whitespace();
        let alias = match words.next() {
            Some("AS") => words.next(),
            word => word,
        };
        names.extend(alias.map(|alias| alias.trim_matches('"').to_owned()));
    }
    names
}

/// The steps of a plan of PostgreSQL that scan a large table. A step is a line, and the lines after
/// it have its conditions.
fn on_postgres(plan: &[String]) -> Vec<String> {
    let mut scans = vec![];
    for (at, line) in plan.iter().enumerate() {
        let step = line.trim_start().trim_start_matches("->  ");
        let condition = plan[at + 1..].iter().take_while(|line| !line.contains("->  "));
        let mut condition =
            condition.filter_map(|line| line.trim_start().strip_prefix("Index Cond: "));
        let is_large = LARGE.iter().any(|table| {
            let quoted = format!("\"{table}\"");
            step.contains(&format!(" on {quoted}")) || step.contains(&format!(" on {table} "))
        });
        let is_scan = if step.starts_with("Seq Scan") {
            is_large
        } else if step.starts_with("Index") && is_large || step.starts_with("Bitmap Index Scan") {
            let of_domain =
                |condition: &str| condition.contains("domain = ") && !condition.contains(" AND ");
            condition.next().is_none_or(of_domain)
        } else if step.starts_with("Sort ") || step.starts_with("HashAggregate") {
            estimated(step) > SORTED_MAX
        } else {
            false
        };
        if is_scan {
            scans.push(line.trim().to_owned());
        }
    }
    scans
}

/// The number of rows that the database expects from a step.
fn estimated(step: &str) -> u64 {
    let digits = step.split_once(" rows=").and_then(|(_, rest)| rest.split(' ').next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scans_are_recognised() {
        let sql = "SELECT 1 FROM \"email/Folders\" f JOIN \"job entity\" AS j ON 1=1";
        let steps =
            |steps: &[&str]| steps.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>();
        let plan = steps(&[
            "SCAN f",
            "SCAN j USING COVERING INDEX x",
            "SCAN fine",
            "SEARCH f USING INDEX y (id=?)",
            "SEARCH f USING INDEX y (domain=?)",
        ]);
        assert_eq!(on_sqlite(&plan, sql), [&plan[0], &plan[1], &plan[4]].map(Clone::clone));
        let plan = steps(&[
            "Limit  (cost=0.29..8.31 rows=1 width=16)",
            "  ->  Seq Scan on \"email/Folders\" f  (cost=0.29..8.31 rows=1 width=16)",
            "  ->  Index Scan using x on delivery d  (cost=0.29..8.31 rows=1 width=16)",
            "        Index Cond: (account = '1'::uuid)",
            "  ->  Index Scan using x on delivery d  (cost=0.29..8.31 rows=1 width=16)",
            "  ->  Index Scan using y on \"email/Messages\" m  (cost=0.29..8.31 rows=1 width=16)",
            "        Index Cond: (m.domain = 'default'::text)",
            "  ->  Seq Scan on meta  (cost=0.29..8.31 rows=1 width=16)",
            "  ->  Sort  (cost=0.29..8.31 rows=5000 width=16)",
        ]);
        let scanned = [&plan[1], &plan[4], &plan[5], &plan[8]].map(|line| line.trim().to_owned());
        assert_eq!(on_postgres(&plan), scanned);
    }
}

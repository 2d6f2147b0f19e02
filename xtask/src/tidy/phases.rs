//! Phases of deliveries and states of messages are named by their enums, so that a misspelt one
//! does not compile, and no step of a delivery stands outside the table of steps.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// The crates whose product code knows phases and states.
const CRATES: [&str; 3] =
    ["crates/postroom-engine/src/", "crates/postroom-store/src/", "crates/postroom-api/src/"];
/// Where the phases are.
const PHASE: &str = "crates/postroom-store/src/phase.rs";
/// The steps of the schema, which never change once they are released.
const SCHEMA: &str = "crates/postroom-store/src/schema.rs";
/// The same, one step a file. A step has the words of its time.
const STEPS: &str = "crates/postroom-store/src/schema/";
/// What tests put into the database.
const FIXTURE: &str = "crates/postroom-store/src/fixture.rs";
/// The column of the phase, as SQL in a Rust string names it.
const COLUMN: &str = "\\\"phase\\\"";
/// The phases. `due` is also the name of a column, which SQL puts into double quotes.
const PHASES: [&str; 5] = ["due", "claimed", "dot-sent", "in-doubt", "void"];
/// The states and the directions of messages, and how code reads or writes them.
const STATES: [&str; 7] = ["sending", "sent", "error", "received", "raw", "in", "out"];
const PROPERTIES: [&str; 4] =
    ["MESSAGE_STATE", "MESSAGE_DIRECTION", "messageState", "messageDirection"];

/// Checks one Rust file.
pub fn check(source: &Source) -> Vec<Offence> {
    if !CRATES.iter().any(|path| source.path.starts_with(path)) {
        return vec![];
    }
    let lines = source.product().map(|(number, line)| (number, code_of(line)));
    lines.filter_map(|(number, line)| told(source, number, line)).collect()
}

fn told(source: &Source, number: usize, line: &str) -> Option<Offence> {
    let in_sql = |word: &&&str| line.contains(&format!("'{word}'"));
    let text = |word: &&&str| line.contains(&format!("\"{word}\""));
    if source.path != PHASE && !source.path.starts_with(STEPS) {
        if let Some(word) = PHASES.iter().find(|word| in_sql(word) || text(word)) {
            let text = format!("`{word}` as a literal: take it from `DeliveryPhase`");
            return Some(source.offence(number, text));
        }
        if ![SCHEMA, FIXTURE].contains(&source.path.as_str()) && line.contains(COLUMN) {
            let text = "names the column of the phase: build the condition with `DeliveryPhase`, \
                        and the change with `DeliveryStep`";
            return Some(source.offence(number, text));
        }
    }
    let is_read = PROPERTIES.iter().any(|name| line.contains(name));
    let word = STATES.iter().find(|word| in_sql(word) || (is_read && text(word)))?;
    let text = format!("`{word}` as a literal: take it from `MessageState` or `MessageDirection`");
    Some(source.offence(number, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_phase_or_state_is_an_offence_outside_of_its_enum() {
        let store = "crates/postroom-store/src/a.rs";
        #[rustfmt::skip]
        let table = [
            (store,  r#"let sql = "SELECT 1 WHERE d.\"phase\" IN ($1)";"#,           1),
            (store,  r#"let sql = format!("... {} 'due'", column);"#,                1),
            (store,  r#"let batch = vec![from_to("claimed", to)];"#,                 1),
            (store,  r#"let sql = "SELECT \"due\" FROM \"delivery\"";"#,             0),
            (store,  r#"let sql = "WHERE \"messageState\" = 'sending'";"#,           1),
            (store,  r#"let sql = "WHERE \"messageDirection\" = 'out'";"#,           1),
            (store,  r#"m.text(names::MESSAGE_STATE) == Some("raw")"#,               1),
            (store,  r#"json!({"messageState": "error"})"#,                          1),
            (store,  r#"json!({"messageState": state, "errorText": "in"})"#,         1),
            (store,  r#"index("sending", "(\"account_id\")")"#,                      0),
            (store,  "// 'sending', 'due'",                                          0),
            (PHASE,  r#"Self::Due => "due", "\"phase\" = 'due'""#,                   0),
            (PHASE,  r#""\"messageState\" = 'sending'""#,                            1),
            (SCHEMA, r#""\"phase\" {text} NOT NULL""#,                               0),
            (SCHEMA, r#""WHERE \"phase\" = 'due'""#,                                 1),
            ("crates/postroom-simulator/src/a.rs", r#"json["messageState"] == "raw""#, 0),
        ];
        for (path, line, want) in table {
            assert_eq!(check(&Source::new(path, line)).len(), want, "{line}");
        }
    }
}

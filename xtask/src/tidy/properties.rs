//! Properties are named by the constants of `postroom_model::builtin::names`, so that a misspelt
//! name does not compile.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;

/// The methods of an entity that take the name of a property and nothing else does.
const READERS: [&str; 5] = [".text(\"", ".number(\"", ".is_set(\"", ".reference(\"", ".texts(\""];

/// The crates whose product code reads entities.
const CRATES: [&str; 3] =
    ["crates/postroom-engine/src/", "crates/postroom-store/src/", "crates/postroom-api/src/"];

/// Checks one file.
pub fn check(source: &Source) -> Vec<Offence> {
    if !CRATES.iter().any(|path| source.path.starts_with(path)) {
        return vec![];
    }
    let reads = |line: &str| READERS.into_iter().find(|reader| line.contains(reader));
    let found = source.product().filter_map(|(number, line)| Some((number, reads(line)?)));
    let offence = |(number, reader): (usize, &str)| {
        let reader = reader.trim_end_matches('"');
        let text = format!(
            "`{reader}` takes the name of a property as a literal: take a constant of \
             `postroom_model::builtin::names`"
        );
        source.offence(number, text)
    };
    found.map(offence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_literal_name_is_an_offence_in_product_code_that_reads_entities() {
        let told = |path: &str, code: &str| check(&Source::new(path, code)).len();
        let store = "crates/postroom-store/src/a.rs";
        assert_eq!(told(store, "let a = message.text(\"messageState\");"), 1);
        assert_eq!(told(store, "let a = account.is_set(\"enabled\");"), 1);
        assert_eq!(told(store, "let a = message.text(names::MESSAGE_STATE);\nrow.text(0);"), 0);
        assert_eq!(told("crates/postroom-mime/src/a.rs", "list.text(\"x\");"), 0);
        let tests = "#[cfg(test)]\nmod tests {\n    fn a() { message.text(\"uid\"); }\n}";
        assert_eq!(told(store, tests), 0);
    }
}

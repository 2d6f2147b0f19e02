//! References to standards: always `RFC 9051 §6.3.5`, and each RFC is listed in `docs/rfc.txt`.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use std::collections::BTreeSet;

/// The list: a line per RFC, its number first.
const LIST: &str = "docs/rfc.txt";

/// Checks all Rust files against the list, and the list itself.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    let list = sources.iter().find(|source| source.path == LIST);
    let listed: BTreeSet<&str> = list.into_iter().flat_map(listed_numbers).collect();
    let mut offences = vec![];
    for source in sources.iter().filter(|source| source.is_rust()) {
        for (number, line) in source.numbered() {
            for reference in references(line) {
                match reference {
                    Ok(rfc) if listed.contains(rfc) => {}
                    Ok(rfc) => {
                        let text = format!("RFC {rfc} is not in {LIST}: add it with its support");
                        offences.push(source.offence(number, text));
                    }
                    Err(text) => {
                        let text = format!("`{text}`: write `RFC 9051 §6.3.5`");
                        offences.push(source.offence(number, text));
                    }
                }
            }
        }
    }
    offences
}

fn listed_numbers(list: &Source) -> impl Iterator<Item = &str> {
    list.lines.iter().filter_map(|line| {
        let first = line.split_whitespace().next()?;
        first.bytes().all(|byte| byte.is_ascii_digit()).then_some(first)
    })
}

/// The RFCs that a line names, or the text of one that is in another form.
fn references(line: &str) -> Vec<Result<&str, &str>> {
    let mut found = vec![];
    for (at, _) in line.match_indices("RFC") {
        let (before, rest) = line.split_at(at);
        let rest = rest.get(3..).unwrap_or_default();
        // Names such as RFC822.SIZE are words of protocols.
        let inside_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let next = rest.trim_start_matches([' ', '-']);
        let digits = next.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        if inside_name || digits.is_empty() {
            continue;
        }
        let after = next.get(digits.len()..).unwrap_or_default();
        if rest.starts_with(digits) && (digits == "822" || digits == "2822") {
            continue;
        }
        let section = ["section ", " section ", ", section ", " Section ", ", §", " sec. "];
        if !rest.starts_with(' ')
            || rest.starts_with("  ")
            || section.iter().any(|s| after.starts_with(s))
        {
            found.push(Err(line.get(at..at + 3 + rest.len() - after.len()).unwrap_or(line)));
        } else {
            found.push(Ok(digits));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_have_one_form() {
        assert_eq!(references("// RFC 9051 §6.3.5 and RFC 5321."), [Ok("9051"), Ok("5321")]);
        assert_eq!(references("//! Standards: RFC 2045, RFC 2047 §2."), [Ok("2045"), Ok("2047")]);
        assert_eq!(references(concat!("// RF", "C5321")), [Err(concat!("RF", "C5321"))]);
        assert_eq!(references(concat!("// RF", "C-5321")), [Err(concat!("RF", "C-5321"))]);
        assert_eq!(references(concat!("// RF", "C 5321, section 4")), [Err("RFC 5321")]);
        assert_eq!(references("b\"RFC822.SIZE\""), []);
        assert_eq!(references("// an RFC that says so"), []);
    }

    #[test]
    fn an_rfc_must_be_listed() {
        let list = Source::new("docs/rfc.txt", "RFC   support\n\n9051  full  IMAP4rev2\n");
        let code = Source::new("crates/x/src/a.rs", "// RFC 9051 §1\n// RFC 5321 §1\n");
        let found: Vec<String> = check(&[list, code]).iter().map(ToString::to_string).collect();
        let want = "crates/x/src/a.rs:2: RFC 5321 is not in docs/rfc.txt: add it with its support";
        assert_eq!(found, [want]);
    }
}

//! No tuple parameters: `(account, folder): (Uuid, Uuid)` hides a list of parameters from clippy
//! and from the reader.
//!
//! The noun that the values make up is a struct, or the function needs fewer of them.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;
use crate::tidy::source::code_of;

/// Checks all files of the crates.
pub fn check(sources: &[Source]) -> Vec<Offence> {
    let mut offences = vec![];
    let of_crates =
        |source: &&Source| source.path.starts_with("crates/") && source.path.contains("/src/");
    for source in sources.iter().filter(|source| source.is_rust()).filter(of_crates) {
        for (line, function, parameter) in tuples(source) {
            let text = format!(
                "`{function}` takes the tuple `{parameter}`: give it a name as a struct, or pass \
                 its values one by one"
            );
            offences.push(source.offence(line, text));
        }
    }
    offences
}

/// The tuple parameters of a file: line of the function, its name, the parameter.
fn tuples(source: &Source) -> Vec<(usize, String, String)> {
    let code: Vec<&str> = source.product().map(|(_, line)| code_of(line)).collect();
    let code = code.join("\n");
    let mut found = vec![];
    for (at, _) in code.match_indices("fn ") {
        let before = code.get(..at).and_then(|before| before.chars().last());
        if before.is_some_and(|before| before.is_alphanumeric() || before == '_') {
            continue;
        }
        let rest = code.get(at + 3..).unwrap_or_default();
        let Some((name, parameters)) = signature(rest) else { continue };
        let line = 1 + code.get(..at).unwrap_or_default().matches('\n').count();
        for parameter in split_at_commas(parameters).into_iter().filter(|one| is_tuple(one)) {
            let words: Vec<&str> = parameter.split_whitespace().collect();
            found.push((line, name.to_owned(), words.join(" ")));
        }
    }
    found
}

/// The name of a function and the text between the parentheses of its parameters.
fn signature(rest: &str) -> Option<(&str, &str)> {
    let name_end = rest.find(|char: char| !char.is_alphanumeric() && char != '_')?;
    let (name, rest) = rest.split_at_checked(name_end)?;
    let begin = if rest.starts_with('<') { end_of_level(rest)? } else { 0 };
    let rest = rest.get(begin..)?;
    let end = end_of_level(rest.strip_prefix('(').map(|_| rest)?)?;
    (!name.is_empty()).then_some((name, rest.get(1..end - 1)?))
}

/// Where the bracket is closed that `text` begins with, behind it.
fn end_of_level(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut previous = ' ';
    for (at, char) in text.char_indices() {
        depth = depth_after(depth, previous, char);
        if depth == 0 {
            return Some(at + char.len_utf8());
        }
        previous = char;
    }
    None
}

/// `->` closes nothing.
fn depth_after(depth: usize, previous: char, char: char) -> usize {
    match char {
        '(' | '[' | '{' | '<' => depth + 1,
        '>' if matches!(previous, '-' | '=') => depth,
        ')' | ']' | '}' | '>' => depth.saturating_sub(1),
        _ => depth,
    }
}

fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut begin, mut depth, mut previous) = (vec![], 0, 0, ' ');
    for (at, char) in text.char_indices() {
        depth = depth_after(depth, previous, char);
        if char == ',' && depth == 0 {
            parts.push(text.get(begin..at).unwrap_or_default());
            begin = at + 1;
        }
        previous = char;
    }
    parts.push(text.get(begin..).unwrap_or_default());
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// Whether the type of a parameter is a tuple, or a reference to one.
fn is_tuple(parameter: &str) -> bool {
    let Some((_, kind)) = parameter.split_once(": ").or_else(|| parameter.split_once(":\n")) else {
        return false;
    };
    let mut kind = kind.trim();
    if let Some(rest) = kind.strip_prefix('&') {
        let rest = match rest.strip_prefix('\'') {
            Some(lifetime) => lifetime.split_once(' ').map_or(lifetime, |(_, rest)| rest),
            None => rest,
        };
        kind = rest.trim_start().strip_prefix("mut ").unwrap_or(rest).trim_start();
    }
    let inner = kind.strip_prefix('(').and_then(|inner| inner.strip_suffix(')'));
    inner.is_some_and(|inner| split_at_commas(inner).len() > 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "crates/x/src/a.rs";

    fn found(code: &str) -> Vec<String> {
        let source = Source::new(PATH, code);
        tuples(&source).into_iter().map(|(line, name, it)| format!("{line} {name} {it}")).collect()
    }

    #[test]
    fn tuples_of_parameters_are_found_in_every_form() {
        assert_eq!(found("fn f((a, b): (u8, u8)) {}"), ["1 f (a, b): (u8, u8)"]);
        assert_eq!(
            found("\nfn f<T: Into<u8>>(\n    x: T,\n    pair: &(u8, T),\n) {}"),
            ["2 f pair: &(u8, T)"]
        );
        assert_eq!(found("fn f<'a>(pair: &'a mut (u8, u8)) {}"), ["1 f pair: &'a mut (u8, u8)"]);
        assert_eq!(
            found("fn f(g: fn(u8) -> u8, pair: (A<B, C>, u8)) {}"),
            ["1 f pair: (A<B, C>, u8)"]
        );
    }

    #[test]
    fn other_parameters_are_none() {
        for code in [
            "fn f(a: u8, b: Vec<(u8, u8)>) -> (u8, u8) { (a, b) }",
            "fn f(unit: (), g: impl Fn((u8, u8)) -> u8, h: &dyn Fn(u8, u8)) {}",
            "fn f(path: std::path::PathBuf, none: Option<(u8, u8)>) {}",
            "fn f() {}\nfn g(self) {}",
            "// fn f((a, b): (u8, u8)) {}",
            "fn f() {}\n\n#[cfg(test)]\nmod tests {\n    fn g(pair: (u8, u8)) {}\n}",
        ] {
            assert!(found(code).is_empty(), "{code}: {:?}", found(code));
        }
    }

    #[test]
    fn an_offence_names_the_function_and_the_tuple() {
        let sources = [Source::new(PATH, "fn f(a: (u8, u8)) {}\nfn g(a: u8) {}\n")];
        let [one] = check(&sources).try_into().unwrap();
        assert!(one.to_string().contains("`f` takes the tuple `a: (u8, u8)`"), "{one}");
    }
}

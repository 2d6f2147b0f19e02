//! Links in Markdown lead to files that are there, and to names that stand in them.
//!
//! A link whose text is `` `module::name` `` promises that the file has the word `name`. So a page
//! that explains the code cannot outlive a rename.

use crate::tidy::source::Offence;
use crate::tidy::source::Source;

/// Checks the Markdown files among `sources`. `is_there` says whether the repository has a path.
pub fn check(sources: &[Source], is_there: impl Fn(&str) -> bool) -> Vec<Offence> {
    let mut offences = vec![];
    for page in sources.iter().filter(|source| source.path.ends_with(".md")) {
        for (number, line) in page.numbered() {
            for (text, target) in links(line) {
                let path = resolved(&page.path, target);
                if !is_there(&path) {
                    offences
                        .push(page.offence(number, format!("the link leads to no file: {path}")));
                } else if let Some(name) = named(text)
                    && let Some(file) = sources.iter().find(|source| source.path == path)
                    && !file.lines.iter().any(|line| has_word(line, name))
                {
                    let text = format!("`{name}` is not in {path}: name what is there now");
                    offences.push(page.offence(number, text));
                }
            }
        }
    }
    offences
}

/// The links of a line into the repository: text and target, without the heading.
fn links(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let starts = line.match_indices("](").map(|(at, _)| at);
    starts.filter_map(move |at| {
        let (before, after) = (line.get(..at)?, line.get(at + 2..)?);
        let text = before.rsplit_once('[').map_or("", |(_, text)| text);
        let (target, _) = after.split_once(')')?;
        let (target, _) = target.split_once('#').unwrap_or((target, ""));
        (!target.is_empty() && !target.contains("://")).then_some((text, target))
    })
}

/// The name that the text of a link promises.
fn named(text: &str) -> Option<&str> {
    let (_, name) = text.strip_prefix('`')?.strip_suffix('`')?.rsplit_once("::")?;
    Some(name)
}

/// The path that a link of a page means.
fn resolved(page: &str, target: &str) -> String {
    let mut path: Vec<&str> = page.split('/').collect();
    path.pop();
    for part in target.split('/') {
        match part {
            ".." => drop(path.pop()),
            "." | "" => {}
            part => path.push(part),
        }
    }
    path.join("/")
}

fn has_word(line: &str, word: &str) -> bool {
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    line.match_indices(word).any(|(at, found)| {
        let before = line.get(..at).and_then(|before| before.chars().next_back());
        let after = line.get(at + found.len()..).and_then(|after| after.chars().next());
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_leads_to_a_file_and_a_name() {
        let table = [
            ("[a](b.md), [`b::make`](../crates/x/src/b.rs)", ""),
            ("[web](https://a.example/none) and [here](#none)", ""),
            ("[a](b.md#part)", ""),
            ("[a](none.md)", "the link leads to no file: docs/none.md"),
            ("[`b::mak`](../crates/x/src/b.rs)", "`mak` is not in crates/x/src/b.rs"),
            ("[a](b.md) [`make`](../none.rs)", "the link leads to no file: none.rs"),
        ];
        for (line, want) in table {
            let files = [
                ("docs/a.md", line),
                ("docs/b.md", "# B\n"),
                ("crates/x/src/b.rs", "fn make() {}\n"),
            ];
            let sources = files.map(|(path, text)| Source::new(path, text));
            let is_there = |path: &str| files.iter().any(|(known, _)| *known == path);
            let found: Vec<_> = check(&sources, is_there).into_iter().map(|o| o.text).collect();
            assert_eq!(found.len(), usize::from(!want.is_empty()), "{line}: {found:?}");
            assert!(found.iter().all(|text| text.starts_with(want)), "{line}: {found:?}");
        }
    }
}

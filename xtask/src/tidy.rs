//! What rustfmt and clippy cannot check: the layers, and how sources read.
//!
//! ```text
//!   git ls-files ──► Source (path, lines, where its tests begin) ──► rules ──► Offence: file:line
//! ```
//!
//! Each rule is a function from a source to offences, with its tests beside it. A rule that is
//! wrong somewhere gets an exception with a reason, in the rule.

use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use std::fs;
use std::path::Path;
use std::process::Command;

mod source;

mod databases;
mod doubles;
mod layers;
mod links;
mod names;
mod order;
mod parents;
mod phases;
mod properties;
mod reasons;
mod shape;
mod signatures;
mod standards;
mod tables;
mod unused;
mod words;

use crate::tidy::source::Source;

/// Checks all files that git knows or would add.
///
/// # Errors
///
/// When a rule is broken; each place was printed.
pub fn run() -> Result<()> {
    let sources = sources()?;
    let packages = workspace::packages(&workspace::root().join("Cargo.toml"))?;
    let mut offences = layers::check(&packages);
    offences.extend(reasons::check(&packages, &sources));
    for source in &sources {
        offences.extend(words::check_any(source));
        if source.is_rust() {
            offences.extend(shape::check(source));
            offences.extend(names::check(source));
            offences.extend(databases::check(source));
            offences.extend(tables::check(source));
            offences.extend(phases::check(source));
            offences.extend(properties::check(source));
            offences.extend(words::check_rust(source));
        }
    }
    offences.extend(order::check(&sources));
    offences.extend(parents::check(&sources));
    offences.extend(signatures::check(&sources));
    offences.extend(doubles::check(&sources));
    offences.extend(unused::check(&sources));
    offences.extend(standards::check(&sources));
    let is_there = |path: &str| workspace::root().join(path).exists();
    offences.extend(links::check(&sources, is_there));
    offences.sort();
    offences.dedup();
    for offence in &offences {
        terminal::say(&offence.to_string());
    }
    match offences.len() {
        0 => {
            terminal::say(&format!("tidy: {} files are in order", sources.len()));
            Ok(())
        }
        count => bail!("tidy: {count} offences"),
    }
}

fn sources() -> Result<Vec<Source>> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(workspace::root())
        .output()
        .context("running git")?;
    ensure!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let listed = String::from_utf8(listed.stdout)?;
    let mut sources = vec![];
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // A file that was deleted but not committed, or that is not a text, has no lines to check.
        if let Ok(bytes) = fs::read(workspace::root().join(path))
            && is_checked(Path::new(path))
            && let Ok(text) = String::from_utf8(bytes)
        {
            sources.push(Source::new(path, &text));
        }
    }
    Ok(sources)
}

/// Whether people write the file: not test mail, fuzz seeds or output of cargo.
fn is_checked(path: &Path) -> bool {
    let written = ["rs", "toml", "md", "txt", "sh", "json", "yml"];
    let extension = path.extension().and_then(|extension| extension.to_str());
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let folder = path
        .components()
        .any(|part| ["testdata", "seeds", "corpus"].iter().any(|name| part.as_os_str() == *name));
    !folder
        && (extension.is_some_and(|e| written.contains(&e)) || ["Makefile", "run"].contains(&name))
}

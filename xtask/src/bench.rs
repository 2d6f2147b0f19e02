//! Measurements. Only figures of the same run, taken in turns, are comparable.

use crate::arguments::Arguments;
use crate::workspace;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;

mod api;
mod mbsync;
mod receive;

/// `cargo xtask bench WHAT`.
///
/// # Errors
///
/// When a program is missing or fails.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    match arguments.word().as_deref() {
        Some("receive") => receive::run(arguments),
        Some("api") => api::run(arguments),
        Some("news") => api::news::run(arguments),
        Some("mime") => example("postroom-mime", "bench", arguments),
        Some("large") => example("postroom-mime", "large", arguments),
        Some("memory") => example("postroom-imap", "memory", arguments),
        Some(_) | None => bail!("what to measure: receive, api, news, mime, large or memory"),
    }
}

/// Runs a measurement again in a release build, because its clients must be as fast as they can.
/// `None`: this is one.
fn released(what: &str, arguments: &mut Arguments) -> Option<Result<()>> {
    if !cfg!(debug_assertions) {
        return None;
    }
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--quiet", "--package", "xtask", "--", "bench", what]);
    Some(workspace::run(cargo.args(arguments.rest())))
}

/// Takes the option `--database`: the databases to measure, which are both without it.
///
/// # Errors
///
/// When it names another one.
fn databases(arguments: &mut Arguments) -> Result<&'static [&'static str]> {
    Ok(match arguments.option("--database", "both".to_owned())?.as_str() {
        "both" => &["sqlite", "postgres"],
        "sqlite" => &["sqlite"],
        "postgres" => &["postgres"],
        other => bail!("--database is sqlite, postgres or both, not {other}"),
    })
}

/// Runs an example of a crate as a release build, with what is left of the arguments.
///
/// # Errors
///
/// When there is none of that name, or it fails.
pub fn example(package: &str, name: &str, arguments: &mut Arguments) -> Result<()> {
    let source = workspace::root().join(format!("crates/{package}/examples/{name}.rs"));
    ensure!(source.is_file(), "{package} has no example {name}");
    let mut cargo = workspace::cargo();
    cargo.args(["run", "--release", "--quiet", "--package", package, "--example", name, "--"]);
    workspace::run(cargo.args(arguments.rest()))
}

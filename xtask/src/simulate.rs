//! `cargo xtask simulate`: many seeds through the engine simulator, and the proof that it finds
//! faults that are planted on purpose.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use std::fs;
use std::io::BufRead;
use std::io::BufReader;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;

/// How many seeds may pass before a planted fault is found.
const PLANTED_SEEDS: &str = "100";

/// A fault that is planted into a copy of the sources.
struct PlantedFault {
    /// What is wrong with it.
    name: &'static str,
    /// The file.
    file: &'static str,
    /// What stands there, exactly once.
    sound: &'static str,
    /// What stands there instead.
    faulty: &'static str,
}

/// One for each kind of promise: a write that is not durable, a wait that is left out, an identity
/// that is not checked, a client who is not heard.
const PLANTED: [PlantedFault; 4] = [
    PlantedFault {
        name: "`dot-sent` is not written before the final dot",
        file: "crates/postroom-engine/src/send/transmit.rs",
        sound: "match store.delivery_dot_sent(message).await {",
        faulty: "match Ok::<bool, postroom_store::Error>(true) {",
    },
    PlantedFault {
        name: "nothing waits before it is tried again",
        file: "crates/postroom-engine/src/backoff.rs",
        sound: "first.saturating_mul(1 << doublings).min(longest)",
        faulty: "first.saturating_mul(1 << doublings).min(longest).min(Duration::from_millis(1))",
    },
    PlantedFault {
        name: "messages are deleted at the server without a look at which they are",
        file: "crates/postroom-engine/src/receive/actions.rs",
        sound: "let look = check.look(uids, Care::All).await?;",
        faulty: "let mut look = check.look(&[], Care::All).await?;
            look.same = uids.to_vec();",
    },
    PlantedFault {
        name: "an action is carried out that the folder no longer demands",
        file: "crates/postroom-engine/src/receive/actions.rs",
        sound: "ServerAction::Delete => folder.delete_on_server,",
        faulty: "ServerAction::Delete => true,",
    },
];

/// Builds the simulator and hands it what stands on the command line. With `--planted`, builds it
/// once for each planted fault, which it must find.
///
/// # Errors
///
/// When a promise does not hold, or a planted fault is not found.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let rest = arguments.rest();
    if rest.first().is_some_and(|word| word == "--planted") {
        return planted(rest.get(1).map(String::as_str));
    }
    let mut simulator = workspace::cargo();
    simulator.args(["run", "--quiet", "--package", "postroom-simulator", "--"]);
    let status = simulator.args(rest).status()?;
    ensure!(status.success(), "the simulation failed");
    Ok(())
}

/// Plants the faults, or only those whose names contain `which`.
fn planted(which: Option<&str>) -> Result<()> {
    let copy = workspace::target().join("planted");
    let mut missed = vec![];
    for fault in PLANTED.iter().filter(|fault| which.is_none_or(|which| fault.name.contains(which)))
    {
        copy_sources(&copy)?;
        plant(&copy, fault)?;
        match first_failure(&copy)? {
            Some(failure) => terminal::say(&format!("found: {}\n  {failure}", fault.name)),
            None => missed.push(fault.name),
        }
    }
    ensure!(missed.is_empty(), "not found within {PLANTED_SEEDS} seeds: {}", missed.join("; "));
    Ok(())
}

/// Copies what git knows or would add. Files that are as they were keep their time, so that cargo
/// builds only what a fault has changed.
fn copy_sources(copy: &Path) -> Result<()> {
    let mut git = Command::new("git");
    git.current_dir(workspace::root());
    let listed = git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).output()?;
    ensure!(listed.status.success(), "git ls-files: {}", String::from_utf8_lossy(&listed.stderr));
    for file in String::from_utf8(listed.stdout)?.lines() {
        let (from, to) = (workspace::root().join(file), copy.join(file));
        let Ok(bytes) = fs::read(&from) else {
            continue;
        };
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file without a directory")?)?;
        fs::write(&to, bytes).with_context(|| format!("writing {}", to.display()))?;
    }
    Ok(())
}

fn plant(copy: &Path, fault: &PlantedFault) -> Result<()> {
    let file = copy.join(fault.file);
    let source = fs::read_to_string(&file)?;
    let count = source.matches(fault.sound).count();
    ensure!(count == 1, "{}: `{}` is there {count} times, not once", fault.file, fault.sound);
    fs::write(file, source.replace(fault.sound, fault.faulty))?;
    Ok(())
}

/// Simulates seeds until one fails.
fn first_failure(copy: &Path) -> Result<Option<String>> {
    let mut build = workspace::cargo();
    build.current_dir(copy).env("CARGO_TARGET_DIR", workspace::target());
    let built = build.args(["build", "--quiet", "--package", "postroom-simulator"]).status()?;
    ensure!(built.success(), "the simulator with the planted fault does not compile");
    let mut simulator = Command::new(workspace::target().join("debug/postroom-simulator"));
    simulator.args(["--seeds", PLANTED_SEEDS]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut running = simulator.spawn()?;
    let output = running.stdout.take().context("the simulator has no output")?;
    for line in BufReader::new(output).lines() {
        let line = line?;
        if line.contains("FAILED") {
            running.kill()?;
            running.wait()?;
            return Ok(Some(line));
        }
    }
    match running.wait()?.success() {
        true => Ok(None),
        false => bail!("the simulator failed and named no seed"),
    }
}

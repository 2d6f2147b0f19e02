//! Runs the fuzz targets: coverage-guided, on stable Rust, without cargo-fuzz.
//!
//! Plain codegen options build the targets with the coverage that libFuzzer reads, in a target
//! directory of their own. The findings of a run (corpus and crashes) stay there, outside the
//! repository. Copy a crash that is worth keeping into the seeds by hand.

use crate::arguments::Arguments;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

/// The options that make rustc emit the coverage that libFuzzer reads.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "--cfg=fuzzing",
];

/// Seconds after which one input counts as a hang.
const INPUT_SECONDS_MAX: u32 = 10;

/// Memory in MiB above which one input counts as bloat.
const MEMORY_MIB_MAX: u32 = 1024;

/// How many of its last lines a failed run shows.
const LINES_OF_A_FAILURE: usize = 12;

/// An input of more bytes is not shown.
const INPUT_BYTES_SHOWN_MAX: usize = 8192;

/// One built target.
pub struct Target {
    name: String,
    program: PathBuf,
}

/// `cargo xtask fuzz [NAME] [--seconds N]`.
///
/// # Errors
///
/// When a target crashes, hangs or bloats, or there is none of that name.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    let seconds = arguments.option("--seconds", 60)?;
    let name = arguments.word().filter(|name| !name.is_empty());
    arguments.end()?;
    let targets = build()?.context("fuzzing needs a C++ compiler (apt-get install g++)")?;
    let mut found = false;
    for target in targets {
        if name.as_ref().is_none_or(|name| *name == target.name) {
            found = true;
            run_target(&target, seconds)?;
        }
    }
    ensure!(found, "there is no fuzz target {}", name.unwrap_or_default());
    Ok(())
}

/// Builds all targets. `None` when there is no C++ compiler.
///
/// # Errors
///
/// When they do not build.
pub fn build() -> Result<Option<Vec<Target>>> {
    let has = |compiler: &str| Command::new(compiler).arg("--version").output().is_ok();
    if !["c++", "g++", "clang++"].into_iter().any(has) {
        return Ok(None);
    }
    let manifest = workspace::root().join("fuzz/Cargo.toml");
    // With an explicit target, the flags do not apply to build scripts, which could not link with
    // them.
    let host = host()?;
    let mut cargo = workspace::cargo();
    cargo.args(["build", "--release", "--bins", "--target", &host]);
    cargo.arg("--manifest-path").arg(&manifest);
    cargo.env("RUSTFLAGS", FLAGS.join(" ")).env("CARGO_TARGET_DIR", directory());
    workspace::run(&mut cargo)?;
    let mut targets = vec![];
    for package in workspace::packages(&manifest)? {
        for target in package["targets"].as_array().into_iter().flatten() {
            let name = target["name"].as_str().unwrap_or_default().to_owned();
            if target["kind"][0] == "bin" {
                let program = directory().join(&host).join("release").join(&name);
                targets.push(Target { name, program });
            }
        }
    }
    Ok(Some(targets))
}

/// Runs one target for `seconds`, from its seeds and what earlier runs found.
///
/// # Errors
///
/// When it crashes, hangs or bloats; the text says where the input is.
pub fn run_target(target: &Target, seconds: u32) -> Result<()> {
    let name = &target.name;
    let corpus = directory().join("corpus").join(name);
    let artifacts = directory().join("artifacts").join(name);
    fs::create_dir_all(&corpus)?;
    fs::create_dir_all(&artifacts)?;
    let mut command = Command::new(&target.program);
    command
        .arg(format!("-max_total_time={seconds}"))
        .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
        .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(&corpus);
    let seeds = workspace::root().join("fuzz/seeds").join(name);
    if seeds.is_dir() {
        command.arg(seeds);
    }
    let ran = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    if !ran.status.success() {
        tell_failure(&said);
        anyhow::bail!("fuzz target {name} failed; the input is below {}", artifacts.display());
    }
    let done = said.lines().rev().find(|line| line.starts_with("Done ")).unwrap_or_default();
    terminal::say(&format!("fuzz {name} ... ok ({})", done.to_lowercase()));
    Ok(())
}

/// Shows the panic of a failed run, its last lines and its input: the file of the input may be gone
/// with the machine.
fn tell_failure(said: &str) {
    let is_panic = |line: &str| line.contains(" panicked at ");
    let from_panic: Vec<&str> = said.lines().skip_while(|line| !is_panic(line)).take(10).collect();
    let tail: Vec<&str> = said.lines().rev().take(LINES_OF_A_FAILURE).collect();
    for line in from_panic.into_iter().chain(tail.into_iter().rev()) {
        terminal::say(line);
    }
    let written = said.lines().find_map(|line| line.split_once("Test unit written to "));
    if let Some((_, file)) = written
        && let Ok(input) = fs::read(file)
        && input.len() <= INPUT_BYTES_SHOWN_MAX
    {
        terminal::say(&format!("the input: b\"{}\"", input.escape_ascii()));
    }
}

fn directory() -> PathBuf {
    workspace::target().join("fuzz")
}

fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(rustc).arg("-vV").output().context("running rustc")?.stdout;
    let said = String::from_utf8(said)?;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("rustc does not tell its host")
}

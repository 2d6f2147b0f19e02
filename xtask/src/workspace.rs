//! Where the repository is, and how its programs are run.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// The root of the repository: the one in which `cargo xtask` runs, because another one may have
/// built this program into a common directory. Without cargo, the one where it was built.
pub fn root() -> PathBuf {
    let built = || env!("CARGO_MANIFEST_DIR").into();
    let manifest = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(built));
    manifest.parent().unwrap_or(&manifest).to_owned()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Cargo, in the root of the repository.
pub fn cargo() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.current_dir(root());
    command
}

/// Runs `command`, which shows its own output.
///
/// # Errors
///
/// When it cannot be run or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.status().with_context(|| format!("running {program}"))?;
    ensure!(status.success(), "{program} ended with {status}");
    Ok(())
}

/// The packages of the workspace at `manifest`, from `cargo metadata`.
///
/// # Errors
///
/// When cargo cannot read it.
pub fn packages(manifest: &Path) -> Result<Vec<Value>> {
    let mut command = cargo();
    command.args(["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let ran = command.arg(manifest).output().context("running cargo metadata")?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let metadata: Value = serde_json::from_slice(&ran.stdout)?;
    Ok(metadata["packages"].as_array().cloned().unwrap_or_default())
}

/// The release build of the binary. It is built if it is out of date.
///
/// # Errors
///
/// When it does not build.
pub fn release_binary() -> Result<PathBuf> {
    run(cargo().args(["build", "--release", "--package", "postroom"]))?;
    Ok(target().join("release/postroom"))
}

/// The binary at this path; where it is empty, that of the release, which is built.
///
/// # Errors
///
/// When it cannot be built.
pub fn release_or(binary: &str) -> Result<PathBuf> {
    if binary.is_empty() { release_binary() } else { Ok(binary.into()) }
}

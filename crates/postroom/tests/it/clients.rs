//! Clients that generators make of the description: they build, and do a round trip.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::Need;
use postroom_testkit::Postroom;
use postroom_testkit::node_program;
use postroom_testkit::on_both;
use postroom_testkit::python_program;
use postroom_testkit::require;
use std::env;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

const OPENAPI: &str = "openapi.json";

/// A sandbox with anna, a Postroom that trusts it, and a directory with the description.
async fn described() -> (Sandbox, Postroom, tempfile::TempDir) {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    let directory = tempfile::tempdir().unwrap();
    let document = postroom.get("/rest/v1/openapi.json").await.unwrap();
    std::fs::write(directory.path().join(OPENAPI), document.to_string()).unwrap();
    (sandbox, postroom, directory)
}

/// Runs a program in the directory. Gives what it said.
fn run(command: &mut Command, directory: &Path) -> String {
    let output = command.current_dir(directory).output().unwrap();
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told).into_owned();
    assert!(output.status.success(), "{command:?}: {told}");
    told
}

/// With what a script needs to reach both.
fn reaching<'a>(
    command: &'a mut Command,
    sandbox: &Sandbox,
    postroom: &Postroom,
) -> &'a mut Command {
    command.env("POSTROOM_ADMIN_TOKEN", Postroom::TOKEN).env("POSTROOM", postroom.url());
    command.env("IMAPS", sandbox.imaps().port().to_string());
    command.env("SMTPS", sandbox.smtps().port().to_string())
}

#[on_both(flavor = "multi_thread")]
async fn a_client_that_openapi_python_client_makes_does_a_round_trip() {
    if !require(&[Need::PythonClient]) {
        return;
    }
    let (sandbox, postroom, directory) = described().await;
    let program = python_program("openapi-python-client");
    // It calls ruff, which is beside it.
    let mut path = OsString::from(program.parent().unwrap());
    path.push(":");
    path.push(env::var_os("PATH").unwrap_or_default());
    let mut generate = Command::new(&program);
    generate.args(["generate", "--path", OPENAPI, "--meta", "none"]);
    generate.args(["--output-path", "postroom_client", "--fail-on-warning"]).env("PATH", path);
    run(&mut generate, directory.path());
    let mut script = Command::new(python_program("python"));
    script.args(["-c", include_str!("clients/round_trip.py")]);
    run(reaching(&mut script, &sandbox, &postroom), directory.path());
    assert_eq!(sandbox.accepted().len(), 1);
}

#[on_both(flavor = "multi_thread")]
async fn a_client_with_the_types_of_openapi_typescript_does_a_round_trip() {
    if !require(&[Need::TypeScript]) {
        return;
    }
    let (sandbox, postroom, directory) = described().await;
    let at = directory.path();
    let bin = node_program("openapi-typescript");
    let modules = bin.parent().and_then(Path::parent).unwrap();
    std::os::unix::fs::symlink(modules.canonicalize().unwrap(), at.join("node_modules")).unwrap();
    std::fs::write(at.join("package.json"), r#"{"type": "module"}"#).unwrap();
    std::fs::write(at.join("round_trip.ts"), include_str!("clients/round_trip.ts")).unwrap();
    run(Command::new(&bin).args([OPENAPI, "--output", "postroom.d.ts"]), at);
    let strict = ["--strict", "--module", "nodenext", "--target", "es2022"];
    run(Command::new(node_program("tsc")).args(strict).arg("round_trip.ts"), at);
    let mut script = Command::new("node");
    script.arg("round_trip.js");
    run(reaching(&mut script, &sandbox, &postroom), at);
    assert_eq!(sandbox.accepted().len(), 1);
}

//! What the page "Operations" shows is run as it stands there, and the files of `deploy/` are
//! examined by the programs that read them.

use postroom_testkit::Need;
use postroom_testkit::python_program;
use postroom_testkit::require;
use postroom_testkit::skipped;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

const OPERATIONS: &str = include_str!("../../../../docs/operations.md");
const UNIT: &str = include_str!("../../../../deploy/postroom.service");
const DOCKERFILE: &str = include_str!("../../../../deploy/Dockerfile");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The blocks of commands, in order.
fn commands() -> String {
    let blocks = OPERATIONS.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(blocks.len() >= 9, "{blocks:?}");
    blocks.join("\n")
}

fn text(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|one| String::from_utf8_lossy(one));
    format!("{out}\n{error}")
}

/// Whether a program is missing, which is said.
fn lacks(program: &str, package: &str) -> bool {
    let is_missing = Command::new(program).arg("--version").output().is_err();
    if is_missing {
        skipped(&format!("needs {program} ({package})"));
    }
    is_missing
}

#[test]
fn the_commands_of_the_page_operations_do_what_it_says() {
    if lacks("bash", "apt-get install bash") || lacks("curl", "apt-get install curl") {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (root, programs) = (place.path().join("root"), place.path().join("programs"));
    std::fs::create_dir(&programs).unwrap();
    symlink(env!("CARGO_BIN_EXE_postroom"), programs.join("postroom")).unwrap();
    symlink(repository().join("deploy"), place.path().join("deploy")).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let script = commands().replace("8025", &free.to_string());
    // Whatever fails, no process stays.
    let trap = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT";
    let script = format!("{trap}\nPATH={}:$PATH\n{script}", programs.display());
    let mut bash = Command::new("bash");
    bash.args(["-euo", "pipefail", "-c", &script]).current_dir(place.path());
    bash.env("ROOT", &root).env_remove("POSTROOM_ADMIN_TOKEN");
    let output = bash.output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let restored = said.split("\"suspended\":true").count();
    assert_eq!(restored, 2, "{said}");
    for wanted in ["\"suspended\":false", "\"dryRun\":true", "\"restored\":0", "\"version\":\"0.1"]
    {
        assert!(said.contains(wanted), "{wanted} is not in {said}");
    }
    let installed = std::fs::read_to_string(root.join("etc/systemd/system/postroom.service"));
    assert_eq!(installed.unwrap(), UNIT);
}

#[test]
fn the_unit_exposes_hardly_anything() {
    if lacks("systemd-analyze", "apt-get install systemd") {
        return;
    }
    let unit = repository().join("deploy/postroom.service");
    let mut analyze = Command::new("systemd-analyze");
    analyze.args(["security", "--offline=true", "--threshold=20", "--no-pager"]).arg(unit);
    let output = analyze.output().unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    let level = said.lines().find(|line| line.contains("Overall exposure level")).unwrap();
    // The page names the number.
    let number = level.split_whitespace().find(|word| word.parse::<f64>().is_ok()).unwrap();
    assert!(OPERATIONS.contains(&format!("says {number},")), "{level}");
}

#[test]
fn the_linter_of_dockerfiles_has_nothing_to_say() {
    if !require(&[Need::Hadolint]) {
        return;
    }
    let file = repository().join("deploy/Dockerfile");
    let output = Command::new(python_program("hadolint")).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn the_container_has_the_toolchain_of_the_workspace_and_no_root() {
    let workspace = std::fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let version = workspace.split_once("rust-version = \"").unwrap().1;
    let version = version.split('"').next().unwrap();
    assert!(DOCKERFILE.contains(&format!("FROM rust:{version}-")), "{version}");
    let user = DOCKERFILE.lines().find_map(|line| line.strip_prefix("USER ")).unwrap();
    assert_ne!(user.split(':').next(), Some("0"));
}

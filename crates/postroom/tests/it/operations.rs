//! What the page "Operations" shows is run as it stands there, and the files of `deploy/` are
//! examined by the programs that read them.

use crate::world::*;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_testkit::Need;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::python_program;
use postroom_testkit::require;
use postroom_testkit::skipped;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Output;

/// The Python of the system, which has what apt installs.
const PYTHON: &str = "/usr/bin/python3";
const OPERATIONS: &str = include_str!("../../../../docs/operations.md");
const UNIT: &str = include_str!("../../../../deploy/postroom.service");
const DOCKERFILE: &str = include_str!("../../../../deploy/Dockerfile");

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The chapters for one process, and those for two nodes.
fn chapters() -> [&'static str; 2] {
    let (one, two) = OPERATIONS.split_once("\n## Two nodes\n").unwrap();
    [one, two]
}

/// The blocks of commands, in order.
fn commands(chapters: &str) -> String {
    let blocks = chapters.split("```sh\n").skip(1);
    let blocks: Vec<_> = blocks.map(|rest| rest.split_once("\n```").unwrap().0).collect();
    assert!(blocks.len() >= 6, "{blocks:?}");
    blocks.join("\n")
}

/// A directory with the program and the files of `deploy/`, where commands run.
struct OperationsPlace {
    directory: tempfile::TempDir,
}

impl OperationsPlace {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let programs = directory.path().join("programs");
        std::fs::create_dir(&programs).unwrap();
        symlink(env!("CARGO_BIN_EXE_postroom"), programs.join("postroom")).unwrap();
        symlink(repository().join("deploy"), directory.path().join("deploy")).unwrap();
        Self { directory }
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }

    /// Bash with these commands. These ports become free ones.
    fn bash(&self, commands: &str, ports: &[&str]) -> Command {
        let mut script = commands.to_owned();
        // All are taken at once, so that they differ.
        let taken: Vec<_> =
            ports.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        for (port, free) in ports.iter().zip(&taken) {
            script = script.replace(port, &free.local_addr().unwrap().port().to_string());
        }
        // Whatever fails, no process stays.
        let trap = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT";
        let programs = self.directory.path().join("programs");
        let script = format!("{trap}\nPATH={}:$PATH\n{script}", programs.display());
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script]).current_dir(self.directory.path());
        bash.env("ROOT", self.root()).env_remove("POSTROOM_ADMIN_TOKEN");
        bash
    }
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
    let place = OperationsPlace::new();
    let root = place.root();
    let output = place.bash(&commands(chapters()[0]), &["8025"]).output().unwrap();
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

// PostgreSQL alone: nodes share one.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_for_two_nodes_do_what_the_page_says() {
    if lacks("bash", "apt-get install bash") || lacks("curl", "apt-get install curl") {
        return;
    }
    if !require(&[Need::Postgres]) || lacks("createdb", "apt-get install postgresql-client") {
        return;
    }
    let postgres = Postgres::start(&PostgresOptions::default()).unwrap();
    let place = OperationsPlace::new();
    let mut bash = place.bash(&commands(chapters()[1]), &["8026", "8027"]);
    let port = postgres.port().to_string();
    bash.envs([("PGHOST", "127.0.0.1"), ("PGUSER", "postgres"), ("PGPORT", port.as_str())]);
    let output = tokio::task::spawn_blocking(move || bash.output().unwrap()).await.unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    // Each list of nodes, and which of the two is active there.
    let active = |line: &str| {
        let nodes: Json = serde_json::from_str(line).ok()?;
        let nodes = nodes.as_array()?.iter();
        let mut active = nodes.filter(|node| node["state"] == "active");
        Some(active.next()?["name"].as_str()?.to_owned())
    };
    let lists: Vec<_> = said.lines().filter_map(active).collect();
    assert_eq!(lists, ["email1", "email2", "email1", "email1"], "{said}");
    assert!(place.directory.path().join("before-upgrade.dump").exists());
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

/// Whether the program runs that sets a system call filter.
fn can_filter() -> bool {
    let mut python = Command::new(PYTHON);
    python.args(["-c", "import seccomp"]);
    let is_there = python.output().is_ok_and(|output| output.status.success());
    if !is_there {
        skipped("needs the Python module seccomp (apt-get install python3-seccomp)");
    }
    is_there
}

// SQLite alone: it is about the system, and the unit has no other database.
#[tokio::test(flavor = "multi_thread")]
async fn the_program_does_its_work_under_the_system_call_filter_of_the_unit() {
    if lacks("systemd-analyze", "apt-get install systemd") || !can_filter() {
        return;
    }
    let place = OperationsPlace::new();
    let filter = repository().join("crates/postroom/tests/it/under_filter.py");
    let unit = repository().join("deploy/postroom.service");
    let wrapped = place.directory.path().join("postroom");
    let program = env!("CARGO_BIN_EXE_postroom");
    let (filter, unit) = (filter.display(), unit.display());
    let script = format!("#!/bin/sh\nexec {PYTHON} {filter} {unit} {program} \"$@\"\n");
    std::fs::write(&wrapped, script).unwrap();
    std::fs::set_permissions(&wrapped, Permissions::from_mode(0o700)).unwrap();
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let config = SandboxConfig { users, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let options = PostroomOptions {
        trust_ca_pem: sandbox.ca_pem().to_owned(),
        arguments: vec!["--log-json".to_owned()],
        ..PostroomOptions::default()
    };
    let mut postroom = Postroom::start(&wrapped, options).unwrap();
    let profile = json!({
        "name": "sandbox", "imapHost": "localhost", "imapPort": sandbox.imaps().port(),
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    enable(&postroom, &account, "INBOX", json!({})).await;
    let sent = postroom.post("email/Messages", &outgoing(&account, "hello")).await.unwrap();
    assert_eq!(settled(&postroom, &id(&sent)).await["messageState"], "sent");
    // It knows the interfaces of its host.
    let node = postroom.get("/rest/v1/nodes").await.unwrap()[0].clone();
    assert_eq!(node["statusText"], Json::Null, "{node}");
    postroom.signal("HUP").unwrap();
    let again = async || Ok(postroom.log().contains("settings were read again").then_some(()));
    wait_until("the signal", PATIENCE, again).await.unwrap();
    assert!(!postroom.log().contains("not permitted"), "{}", postroom.log());
    postroom.stop().unwrap();
    // The filter is there: a call that it forbids fails.
    let mut forbidden = Command::new(PYTHON);
    forbidden.arg(repository().join("crates/postroom/tests/it/under_filter.py"));
    forbidden.arg(repository().join("deploy/postroom.service"));
    forbidden.args(["/bin/sh", "-c", "chroot / /bin/true || echo refused"]);
    assert!(text(&forbidden.output().unwrap()).contains("refused"));
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

//! The demo: it ends by itself, and shows what it promises.

use postroom_testkit::skipped;
use postroom_testkit::wait_until;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

// SQLite alone: the demo has no other database.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_tells_its_story_and_ends() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    let output = command.args(["demo", "--exit"]).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}\n{error}");
    assert_eq!(text.matches("kill -9 after").count(), 3, "{text}");
    for line in [
        "1,000 of 1,000 arrived, none twice",
        "does not accept connections on port",
        "`sent`",
        "550 5.1.1 no such user here",
        "1,001 known again, 1 new, none twice",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // Nothing is left to go on with.
    assert!(!text.contains("Go on") && !text.contains("TOKEN="), "{text}");
}

// SQLite alone: the demo has no other database.
#[tokio::test(flavor = "multi_thread")]
async fn the_demo_runs_on_until_it_is_ended_and_takes_everything_along() {
    ended_by("-INT", Some(0)).await;
    ended_by("-KILL", None).await;
}

/// Ends a demo that has told its story by a signal; its Postroom ends too.
async fn ended_by(signal: &str, code: Option<i32>) {
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_postroom"));
    command.arg("demo").stdin(Stdio::null()).stdout(log.reopen().unwrap());
    let mut demo = command.spawn().unwrap();
    let shown = || std::fs::read_to_string(log.path()).unwrap();
    let patience = Duration::from_secs(120);
    let told = wait_until("the last lines", patience, async || {
        Ok(shown().contains("Ctrl-C ends it").then_some(()))
    });
    told.await.unwrap();
    let url = url(&shown());
    assert!(shown().contains(&format!("M={url}/rest/v1/model")), "{}", shown());
    let healthz = format!("{url}/healthz");
    assert!(reqwest::get(&healthz).await.unwrap().status().is_success(), "{healthz}");
    let id = demo.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let ended = wait_until("the end", patience, async || Ok(demo.try_wait()?));
    assert_eq!(ended.await.unwrap().code(), code);
    let gone = wait_until("the end of its Postroom", patience, async || {
        Ok(reqwest::get(&healthz).await.is_err().then_some(()))
    });
    gone.await.unwrap();
}

#[test]
fn make_demo_runs_the_demo() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut make = Command::new("make");
    let Ok(output) = make.args(["-n", "demo", "EXIT=1"]).current_dir(root).output() else {
        return skipped("needs make (apt-get install make)");
    };
    let recipe = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(recipe.contains("postroom -- demo --exit"), "{recipe}");
}

/// Where the Postroom of a demo listens.
fn url(text: &str) -> String {
    let (_, rest) = text.split_once("Postroom at ").unwrap();
    rest.split(',').next().unwrap().to_owned()
}

//! Schemathesis sends what the description allows, and what it does not, to a running server.

use crate::openapi::with_own_class;
use crate::server::Server;
use crate::server::TOKEN;
use postroom_testkit::Need;
use postroom_testkit::on_both;
use postroom_testkit::python_program;
use postroom_testkit::require;
use tokio::process::Command;

/// What is checked of each answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

#[on_both(flavor = "multi_thread")]
async fn no_answer_differs_from_the_description() {
    if !require(&[Need::Schemathesis]) {
        return;
    }
    let server = Server::start().await;
    with_own_class(&server).await;
    server.account().await;
    let place = tempfile::tempdir().unwrap();
    let mut command = Command::new(python_program("schemathesis"));
    command
        .current_dir(place.path())
        .args(["run", &server.url("/rest/v1/openapi.json")])
        .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
        .args(["--checks", CHECKS])
        .args(["--phases", "examples,fuzzing"])
        .args(["--max-examples", "5", "--seed", "1", "--generation-deterministic"])
        .args(["--request-timeout", "60", "--no-color", "--continue-on-failure"])
        .args(["--warnings", "off", "--suppress-health-check", "all"]);
    let ran = command.output().await.unwrap();
    let told = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{told}\n{}", String::from_utf8_lossy(&ran.stderr));
    assert!(told.contains("Tested"), "{told}");
}

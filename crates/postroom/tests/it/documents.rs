//! What README and the page "Integrate" show is run as it stands there, but for the ports.

use crate::world::*;
use postroom_sandbox::ListeningTokenServer;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::TokenServer;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use postroom_testkit::skipped;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::process::Output;

const README: &str = include_str!("../../../../README.md");
const INTEGRATE: &str = include_str!("../../../../docs/integrate.md");
const OAUTH: &str = include_str!("../../../../docs/oauth.md");

const AUDIT: &str = include_str!("../../../../docs/audit.md");
const CLAIMS: &str = include_str!("../../../../docs/claims.md");
const EVENTS: &str = include_str!("../../../../docs/events.md");
const OPERATE: &str = include_str!("../../../../docs/operate.md");

/// The fenced blocks of a language, in order.
fn blocks<'a>(document: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    let block = |rest: &'a str| rest.split_once("\n```").unwrap().0;
    document.split(&fence).skip(1).map(block).collect()
}

/// A sandbox with the users of the README, and a Postroom that trusts it.
async fn place() -> (Sandbox, Postroom) {
    let users =
        ["anna@demo.test", "ben@demo.test"].map(|user| (user.to_owned(), "secret".to_owned()));
    let config = SandboxConfig { users: users.to_vec(), ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    (sandbox, postroom)
}

/// The provider of `postroom sandbox --oauth`, for a sandbox of this process.
async fn provider(sandbox: &Sandbox) -> ListeningTokenServer {
    let provider = TokenServer::default();
    provider.register("sandbox", "sandbox-secret");
    sandbox.take_tokens_of(&provider);
    provider.listen().await.unwrap()
}

/// The script with the ports of this test instead of the usual ones.
fn here(script: &str, sandbox: &Sandbox, postroom: &Postroom) -> String {
    let usual = ["http://127.0.0.1:8025", "1993", "1465", "1587"];
    let [imaps, smtps, smtp] = [sandbox.imaps(), sandbox.smtps(), sandbox.smtp()];
    let [imaps, smtps, smtp] = [imaps, smtps, smtp].map(|address| address.port().to_string());
    let here = [postroom.url(), &imaps, &smtps, &smtp];
    // First marks, because a port of this test may contain a usual one, such as 41993.
    let mark = |at: usize| format!("\u{1}{at}\u{1}");
    let marked =
        (0..usual.len()).fold(script.to_owned(), |text, at| text.replace(usual[at], &mark(at)));
    (0..here.len()).fold(marked, |text, at| text.replace(&mark(at), here[at]))
}

fn run(program: &str, arguments: &[&str], (sandbox, postroom): (&Sandbox, &Postroom)) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(program);
    command.args(arguments).current_dir(directory.path());
    command.env("POSTROOM_ADMIN_TOKEN", Postroom::TOKEN).env("POSTROOM", postroom.url());
    command.env("IMAPS", sandbox.imaps().port().to_string());
    command.env("SMTPS", sandbox.smtps().port().to_string());
    let output = command.output().unwrap();
    let (out, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{error}\n{}", postroom.log());
    assert!(!out.contains("urn:postroom:problem"), "{out}");
    output
}

fn lacks(programs: &[&str]) -> bool {
    let is_missing = |program: &&&str| Command::new(program).arg("--version").output().is_err();
    let missing = programs.iter().find(is_missing);
    if let Some(program) = missing {
        skipped(&format!("needs {program} (apt-get install {program})"));
    }
    missing.is_some()
}

#[on_both(flavor = "multi_thread")]
async fn the_commands_of_the_readme_do_what_it_says() {
    if lacks(&["bash", "curl"]) {
        return;
    }
    let (sandbox, postroom) = place().await;
    let provider = provider(&sandbox).await;
    // What builds and starts is done already.
    let starts =
        |block: &&str| ["cargo ", "make ", "postroom sandbox"].iter().any(|s| block.contains(s));
    let mut commands: Vec<_> =
        blocks(README, "sh").into_iter().filter(|block| !starts(block)).collect();
    assert!(commands.len() >= 7, "{commands:?}");
    // The page of OAuth goes on with the account of the README.
    commands.extend(blocks(OAUTH, "sh").into_iter().filter(|block| block.contains("/activate")));
    let script = here(&commands.join("\necho\n"), &sandbox, &postroom);
    let script = script.replace("127.0.0.1:1180", &provider.address.to_string());
    let output = run("bash", &["-euo", "pipefail", "-c", &script], (&sandbox, &postroom));
    let out = String::from_utf8_lossy(&output.stdout);
    for said in [
        "send the mail of ben@demo.test",
        "\"tokenState\":\"valid\"",
        "\"enabled\":true",
        "\"messageState\":\"received\"",
        "second.pdf",
        "\"kind\":\"redecompose\"",
        "{\"messageDirection\":\"in\"",
        "\"ticketId\":\"T-1\",\"priority\":3}",
        "\"title\":\"An offer\"",
        "\"name\":\"paper.txt\"",
        "\"property\":\"address\"}",
        "\"contentType\":null,\"body\":null}",
        "\"lastAttempts\":",
        "{\"server\":\"imap\",\"step\":\"list\",\"result\":\"ok\"",
        "{\"server\":\"smtp\",\"step\":\"login\",\"result\":\"ok\"",
        "{\"done\":0,\"changed\":0,\"failed\":0}",
        "thank you",
    ] {
        assert!(out.contains(said), "{said} is not in {out}");
    }
    let to_ben =
        || sandbox.accepted().iter().filter(|m| m.forward_paths == ["ben@demo.test"]).count();
    sandbox.wait_for(|state| state.accepted().len() == 4, PATIENCE).await.unwrap();
    assert_eq!(to_ben(), 2);
}

#[on_both(flavor = "multi_thread")]
async fn the_code_of_the_page_integrate_runs() {
    if lacks(&["bash", "curl", "python3"]) {
        return;
    }
    let (sandbox, postroom) = place().await;
    let code = blocks(INTEGRATE, "python").join("\n\n");
    run("python3", &["-c", &code], (&sandbox, &postroom));
    assert_eq!(sandbox.accepted().len(), 1);
    let functions = blocks(README, "sh").into_iter().find(|block| block.contains("api()")).unwrap();
    let commands = [&[functions][..], &blocks(INTEGRATE, "sh")].concat().join("\n");
    let script = here(&commands, &sandbox, &postroom);
    run("bash", &["-euo", "pipefail", "-c", &script], (&sandbox, &postroom));
}

#[on_both(flavor = "multi_thread")]
async fn the_commands_of_the_page_audit_do_what_it_says() {
    if lacks(&["bash", "curl"]) {
        return;
    }
    let (sandbox, postroom) = place().await;
    let functions = blocks(README, "sh").into_iter().find(|block| block.contains("api()")).unwrap();
    let commands = [&[functions][..], &blocks(AUDIT, "sh")].concat().join("\n");
    let script = here(&commands, &sandbox, &postroom);
    let output = run("bash", &["-euo", "pipefail", "-c", &script], (&sandbox, &postroom));
    let out = String::from_utf8_lossy(&output.stdout);
    for said in ["\"event\":\"token.use\"", "\"auditDays\":90"] {
        assert!(out.contains(said), "{said} is not in {out}");
    }
    let told = postroom.get("/rest/v1/model/iam/Audit?order=-at&limit=1").await.unwrap();
    assert_eq!(told[0]["event"], "configure");
}

#[on_both(flavor = "multi_thread")]
async fn the_commands_of_the_page_claims_do_what_it_says() {
    if lacks(&["bash", "curl"]) {
        return;
    }
    let (sandbox, postroom) = place().await;
    let functions = blocks(README, "sh").into_iter().find(|block| block.contains("api()")).unwrap();
    let commands = [&[functions][..], &blocks(CLAIMS, "sh")].concat().join("\n");
    let script = here(&commands, &sandbox, &postroom);
    let output = run("bash", &["-euo", "pipefail", "-c", &script], (&sandbox, &postroom));
    let out = String::from_utf8_lossy(&output.stdout);
    for said in ["\"state\":\"begun\"", "\"state\":\"done\"", "\"claims\":1"] {
        assert!(out.contains(said), "{said} is not in {out}");
    }
    // The third was given back, and the last claim came before its delay had passed.
    assert!(out.trim_end().ends_with("[]"), "{out}");
    let tasks = postroom.get("/rest/v1/model/crm/Tasks?order=title").await.unwrap();
    let states: Vec<_> = tasks.as_array().unwrap().iter().map(|task| &task["state"]).collect();
    assert_eq!(states, ["new", "done", "begun"]);
}

#[test]
fn the_lines_of_the_log_are_those_that_the_page_operate_explains() {
    let sources = [
        include_str!("../../../postroom-engine/src/journal.rs"),
        include_str!("../../../postroom-engine/src/report.rs"),
        include_str!("../../../postroom-api/src/trace.rs"),
        include_str!("../../../postroom-store/src/store.rs"),
    ];
    let (_, table) = OPERATE.split_once("| line | what it means |\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let mut count = 0;
    for line in table.lines().skip(1) {
        let (_, cell) = line.split_once("| ").unwrap();
        let (cell, _) = cell.split_once(" |").unwrap();
        for words in cell.split('`').skip(1).step_by(2) {
            let said = format!("\"{words}");
            assert!(sources.iter().any(|source| source.contains(&said)), "nothing says {words}");
            count += 1;
        }
    }
    assert!(count >= 14, "{count}");
}

#[test]
fn every_option_stands_in_the_readme() {
    let (_, table) = README.split_once("| option | default |").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    for option in postroom_model::option_names() {
        assert!(table.contains(&format!("`{option}`")), "{option} is missing");
    }
}

#[test]
fn every_event_stands_on_its_page() {
    let (_, table) = EVENTS.split_once("## The names of events").unwrap();
    let named = table.split('`').skip(1).step_by(2).filter(|name| name.contains('.'));
    let named: BTreeSet<String> = named.map(str::to_owned).collect();
    assert_eq!(named, postroom_model::EventName::all().map(|name| name.to_string()).collect());
}

#[test]
fn the_readme_parses_again_what_an_earlier_parser_made() {
    let parser = include_str!("../../../postroom-mime/src/parse.rs");
    let (_, version) = parser.split_once("PARSER_VERSION: u32 = ").unwrap();
    let (version, _) = version.split_once(';').unwrap();
    let filter = format!("[\"<\", [\"property\", \"parserVersion\"], {version}]");
    assert!(README.contains(&filter), "the README needs {filter}");
    assert!(README.contains(&format!("The version of this release is {version}")), "{version}");
    let help = include_str!("../../src/command_help.rs").replace('\\', "");
    assert!(help.contains(&filter), "the help of redecompose needs {filter}");
}

#[test]
fn the_pages_that_the_readme_leads_to_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let links = README.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    let mut count = 0;
    for link in links.filter(|link| !link.contains("://")) {
        let file = link.split_once('#').map_or(link, |(file, _)| file);
        assert!(root.join(file).is_file(), "README leads to {link}, which is not there");
        count += 1;
    }
    assert!(count >= 3);
}

//! What answers of the server that sends mean: for one message, for the account, for one recipient.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use serde_json::Value as Json;
use serde_json::json;

const MAIL: Point = Point::SmtpCommand(SmtpCommand::Mail);
const RCPT: Point = Point::SmtpCommand(SmtpCommand::Rcpt);
const AUTH: Point = Point::SmtpCommand(SmtpCommand::Auth);

fn rule(on: Point, when: When, line: &str) -> Rule {
    Rule { on, when, act: Action::line(line) }
}

async fn post(postroom: &Postroom, message: &Json) -> String {
    id(&postroom.post("email/Messages", message).await.unwrap())
}

async fn send(postroom: &Postroom, account: &str, to: &[&str]) -> String {
    let mut message = outgoing(account, to[0]);
    message["to"] = json!(to);
    post(postroom, &message).await
}

/// Waits until a message that is still `sending` says why.
async fn waits(postroom: &Postroom, message: &str, why: &str) -> Json {
    let says = |json: &Json| {
        let text = json["errorText"].as_str().is_some_and(|text| text.contains(why));
        (text && json["messageState"] == "sending").then(|| json.clone())
    };
    until(postroom, &format!("email/Messages/{message}"), why, says).await
}

/// Waits until the account says something.
async fn account_says(postroom: &Postroom, account: &str, what: &str) {
    let says = |json: &Json| {
        json["statusText"].as_str().is_some_and(|text| text.contains(what)).then_some(())
    };
    until(postroom, &format!("email/Accounts/{account}"), what, says).await;
}

fn states(message: &Json) -> Vec<&str> {
    let recipients = message["recipients"].as_array().unwrap();
    recipients.iter().map(|recipient| recipient["state"].as_str().unwrap()).collect()
}

fn paths(sandbox: &Sandbox) -> Vec<Vec<String>> {
    sandbox.accepted().into_iter().map(|mail| mail.forward_paths).collect()
}

/// A sandbox with other capabilities for sending, and an account of it.
async fn sandbox_without(capability: &str) -> (Sandbox, Postroom, String) {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let without = vec![capability.to_owned()];
    let smtp_capabilities = CapabilityChanges { without, ..CapabilityChanges::default() };
    let config = SandboxConfig { users, smtp_capabilities, ..SandboxConfig::default() };
    let sandbox = Sandbox::start(config).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    let profile = json!({
        "name": "sends", "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    (sandbox, postroom, account)
}

#[on_both(flavor = "multi_thread")]
async fn a_login_that_one_message_wants_stops_no_other() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    let abroad = When::For("x@abroad.test".to_owned());
    sandbox.script(rule(RCPT, abroad, "530 5.7.1 authentication is required for relaying"));
    let external = send(&postroom, &account, &["x@abroad.test"]).await;
    let waiting = waits(&postroom, &external, "530 5.7.1 authentication").await;
    assert_eq!((&waiting["attempts"], states(&waiting)), (&json!(1), vec!["deferred"]));
    for at in 0..3 {
        let internal = send(&postroom, &account, &[&format!("in{at}@else.test")]).await;
        assert_eq!(settled(&postroom, &internal).await["messageState"], "sent");
    }
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &format!("email/Accounts/{account}"), "no trouble", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_limit_pauses_the_account_and_is_charged_to_nobody() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    let limit = "454 Throttling failure: Maximum sending rate exceeded.";
    let limited = sandbox.script(rule(Point::SmtpDot, When::Nth(2), limit));
    let list = ["a", "b", "c", "d"].map(|subject| outgoing(&account, subject));
    let list = postroom.post("email/Messages", &json!(list)).await.unwrap();
    for message in list.as_array().unwrap() {
        let sent = settled(&postroom, &id(message)).await;
        assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    }
    assert_eq!(sandbox.acted_count(limited), 1);
    assert_eq!(sandbox.accepted().len(), 4);
}

#[on_both(flavor = "multi_thread")]
async fn a_limit_that_calls_itself_permanent_burns_no_queue() {
    let (sandbox, postroom, account) = sandbox(json!({})).await;
    let limit = "554 Domain has exceeded the max messages per hour (100/100) allowed";
    let limited = sandbox.script(rule(RCPT, When::Always, limit));
    let list = ["a", "b", "c", "d", "e"].map(|subject| outgoing(&account, subject));
    let list = postroom.post("email/Messages", &json!(list)).await.unwrap();
    account_says(&postroom, &account, "accepts no more mail from this account").await;
    sandbox.wait_for(|state| state.acted_count(limited) == 2, PATIENCE).await.unwrap();
    sandbox.unscript(limited);
    for message in list.as_array().unwrap() {
        let sent = settled(&postroom, &id(message)).await;
        assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    }
}

#[on_both(flavor = "multi_thread")]
async fn too_many_recipients_go_in_the_next_transaction_at_once() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    for number in [11, 12] {
        let full = When::NthFor(1, format!("r{number}@else.test"));
        sandbox.script(rule(RCPT, full, "452 4.5.3 too many recipients"));
    }
    let to: Vec<_> = (1..=12).map(|number| format!("r{number}@else.test")).collect();
    let to: Vec<_> = to.iter().map(String::as_str).collect();
    let message = send(&postroom, &account, &to).await;
    let sent = settled(&postroom, &message).await;
    assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    let counts: Vec<_> = paths(&sandbox).iter().map(Vec::len).collect();
    assert_eq!(counts, [10, 2]);
}

#[on_both(flavor = "multi_thread")]
async fn a_message_that_is_refused_as_a_whole_is_refused_for_each_recipient() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    let refused = sandbox.script(rule(MAIL, When::Always, "571 5.7.1 not yours"));
    let message = send(&postroom, &account, &["a@else.test", "b@else.test"]).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!((&ended["errorCode"], states(&ended)), (&json!("refused"), vec!["refused"; 2]));
    assert_eq!(ended["recipients"][1]["reply"], "571 5.7.1 not yours");
    sandbox.unscript(refused);
    sandbox.script(rule(MAIL, When::Always, "451 4.3.0 later"));
    let message = send(&postroom, &account, &["a@else.test"]).await;
    let waiting = waits(&postroom, &message, "451 4.3.0 later").await;
    assert_eq!(states(&waiting), ["deferred"]);
}

#[on_both(flavor = "multi_thread")]
async fn an_address_beyond_ascii_keeps_nobody_else_from_the_message() {
    let (sandbox, postroom, account) = sandbox_without("SMTPUTF8").await;
    let message = send(&postroom, &account, &["jürgen@else.test", "good@else.test"]).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!(states(&ended), ["refused", "sent"], "{ended:#}");
    assert_eq!(ended["errorCode"], "refused");
    assert!(ended["recipients"][0]["reply"].as_str().unwrap().contains("no SMTPUTF8"));
    let accepted = sandbox.accepted().remove(0);
    assert_eq!(accepted.forward_paths, ["good@else.test"]);
    let bytes = String::from_utf8(accepted.bytes.to_vec()).unwrap();
    assert!(bytes.is_ascii() && bytes.contains("=?utf-8?"), "{bytes}");
    let message = send(&postroom, &account, &["jürgen@else.test"]).await;
    assert_eq!(states(&settled(&postroom, &message).await), ["refused"]);
    let mut copied = outgoing(&account, "blind");
    copied["bcc"] = json!(["jürgen@else.test"]);
    let copied = post(&postroom, &copied).await;
    assert_eq!(states(&settled(&postroom, &copied).await), ["sent", "refused"]);
}

#[on_both(flavor = "multi_thread")]
async fn one_mailbox_in_two_spellings_gets_one_copy() {
    let (sandbox, postroom, account) = sandbox(json!({})).await;
    let to = ["ben@else.test", "ben@ELSE.test", "\"ben\"@else.test"];
    let message = send(&postroom, &account, &to).await;
    assert_eq!(states(&settled(&postroom, &message).await), ["sent"]);
    assert_eq!(paths(&sandbox), [["ben@else.test"]]);
}

#[on_both(flavor = "multi_thread")]
async fn a_message_with_an_unknown_outcome_never_ends_as_refused() {
    let options = json!({"retry_first": 0.1, "retry_for": 0.5, "uncertain": "resend"});
    let (sandbox, postroom, account) = sandbox(options).await;
    let drop = Action::End(Ending::Close);
    sandbox.script(Rule { on: Point::SmtpAccepted, when: When::Nth(1), act: drop });
    sandbox.script(rule(RCPT, When::From(2), "554 5.7.1 a duplicate"));
    let message = post(&postroom, &outgoing(&account, "twice")).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!((&ended["errorCode"], states(&ended)), (&json!("uncertain"), vec!["uncertain"]));
    assert!(ended["errorText"].as_str().unwrap().contains("554 5.7.1 a duplicate"));
}

#[on_both(flavor = "multi_thread")]
async fn a_message_with_an_unknown_outcome_is_sent_however_often_it_was_refused_in_between() {
    let options = json!({"retry_first": 0.1, "retry_longest": 0.1, "uncertain": "resend"});
    let (sandbox, postroom, account) = sandbox(options).await;
    let drop = Action::End(Ending::Close);
    sandbox.script(Rule { on: Point::SmtpAccepted, when: When::Nth(1), act: drop });
    for nth in 2..9 {
        sandbox.script(rule(RCPT, When::Nth(nth), "554 5.3.0 a bad moment"));
    }
    let message = post(&postroom, &outgoing(&account, "twice")).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!(ended["messageState"], "sent", "{ended}");
    assert_eq!(ended["attempts"], 9);
}

#[on_both(flavor = "multi_thread")]
async fn a_login_that_is_not_taken_is_told_by_its_cause() {
    #[rustfmt::skip]
    let table = [
        ("454 4.7.0 Too many login attempts, please try again later", "limits how often"),
        ("535 5.7.139 SmtpClientAuthentication is disabled",          "policy forbids"),
        ("530 5.7.0 Must issue a STARTTLS command first",             "set smtpSecurity to `starttls`"),
        ("535 5.7.8 wrong",                                           "check login and password"),
    ];
    let (sandbox, postroom, _) = sandbox(json!({})).await;
    for (line, want) in table {
        let refused = sandbox.script(rule(AUTH, When::Always, line));
        let profile = json!({
            "name": "p", "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
        });
        let account = json!({"address": ANNA, "password": "secret"});
        let account = account_of(&postroom, profile, account).await;
        account_says(&postroom, &account, want).await;
        sandbox.unscript(refused);
    }
}

//! What becomes of outgoing messages when servers, accounts or the store are in trouble, with the
//! sandbox: none is lost, none is sent twice to those who have it, and none waits in silence.

use crate::world::*;
use postroom_sandbox::Action;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::Certificate;
use postroom_sandbox::Ending;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use postroom_testkit::Postroom;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::net::TcpSocket;

const BEN: &str = "ben@else.test";
const MAIL: Point = Point::SmtpCommand(SmtpCommand::Mail);
const RCPT: Point = Point::SmtpCommand(SmtpCommand::Rcpt);

fn quick() -> Json {
    json!({"retry_first": 0.1})
}

fn patient() -> Json {
    json!({"retry_first": 3600})
}

fn rule(on: Point, when: When, act: Action) -> Rule {
    Rule { on, when, act }
}

async fn post(postroom: &Postroom, message: Json) -> String {
    id(&postroom.post("email/Messages", &message).await.unwrap())
}

/// Waits until a message that is still `sending` says why.
async fn waits(postroom: &Postroom, message: &str, why: &str) -> Json {
    let says = |json: &Json| {
        let text = json["errorText"].as_str().is_some_and(|text| text.contains(why));
        (text && json["messageState"] == "sending").then(|| json.clone())
    };
    until(postroom, &format!("email/Messages/{message}"), why, says).await
}

fn states(message: &Json) -> Vec<&str> {
    let recipients = message["recipients"].as_array().unwrap();
    recipients.iter().map(|recipient| recipient["state"].as_str().unwrap()).collect()
}

fn paths(sandbox: &Sandbox) -> Vec<Vec<String>> {
    sandbox.accepted().into_iter().map(|mail| mail.forward_paths).collect()
}

/// A sandbox and a Postroom with an account that only sends; the sandbox is as `config` says.
async fn only_sending(config: SandboxConfig, options: Json) -> (Sandbox, Postroom, String) {
    let users = vec![(ANNA.to_owned(), "secret".to_owned())];
    let sandbox = Sandbox::start(SandboxConfig { users, ..config }).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    let profile = json!({
        "name": "sends", "options": options,
        "smtpHost": "localhost", "smtpPort": sandbox.smtps().port(),
    });
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    (sandbox, postroom, account)
}

#[on_both(flavor = "multi_thread")]
async fn who_has_a_message_is_not_sent_it_again_when_it_is_changed() {
    let (sandbox, postroom, account) = sandbox(patient()).await;
    sandbox.script(rule(RCPT, When::NthFor(1, BEN.to_owned()), Action::line("450 4.2.1 grey")));
    let mut message = outgoing(&account, "first");
    message["to"] = json!([ANNA, BEN]);
    let message = post(&postroom, message).await;
    let path = format!("email/Messages/{message}");
    let before = waits(&postroom, &message, "450 4.2.1 grey").await;
    assert_eq!(states(&before), ["sent", "deferred"]);
    assert!(before["nextAttemptAt"].is_string());
    // What it is not composed of may change, and nothing happens.
    let box_of_it = json!({"folder_id": id(&postroom.folder(&account, "Sent").await.unwrap())});
    let after = postroom.patch(&path, &box_of_it).await.unwrap();
    assert_eq!(after["nextAttemptAt"], before["nextAttemptAt"]);
    postroom.patch(&path, &json!({"subject": "second", "recipients": null})).await.unwrap();
    let sent = settled(&postroom, &message).await;
    assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(2)));
    assert_eq!((&sent["errorText"], &sent["nextAttemptAt"]), (&Json::Null, &Json::Null));
    assert_eq!(states(&sent), ["sent", "sent"]);
    assert_eq!(paths(&sandbox), [[ANNA], [BEN]]);
}

#[on_both(flavor = "multi_thread")]
async fn who_has_a_message_is_not_sent_it_again_when_it_is_submitted_again() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    sandbox.script(rule(RCPT, When::NthFor(1, BEN.to_owned()), Action::line("550 5.1.1 nobody")));
    let mut message = outgoing(&account, "again");
    message["to"] = json!([ANNA, BEN]);
    let message = post(&postroom, message).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!(states(&ended), ["sent", "refused"]);
    let text = ended["errorText"].as_str().unwrap();
    let who = format!("the message was sent to {ANNA}; refused for {BEN}");
    assert!(text.contains("550 5.1.1 nobody") && text.ends_with(&who), "{text}");
    let again = json!({"messageState": "sending", "recipients": null});
    postroom.patch(&format!("email/Messages/{message}"), &again).await.unwrap();
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    assert_eq!(paths(&sandbox), [[ANNA], [BEN]]);
}

#[on_both(flavor = "multi_thread")]
async fn many_recipients_take_several_transactions_each_with_its_result() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let drop = Action::End(Ending::Close);
    sandbox.script(rule(Point::SmtpAccepted, When::Nth(2), drop));
    let mut message = outgoing(&account, "many");
    let to: Vec<_> = (0..230).map(|number| format!("r{number}@else.test")).collect();
    message["to"] = json!(to);
    let message = post(&postroom, message).await;
    let unknown = settled(&postroom, &message).await;
    assert_eq!(unknown["errorCode"], "uncertain");
    let count = |state: &str| states(&unknown).iter().filter(|it| **it == state).count();
    assert_eq!([count("sent"), count("uncertain"), count("failed")], [130, 100, 0]);
    let again = json!({"messageState": "sending"});
    postroom.patch(&format!("email/Messages/{message}"), &again).await.unwrap();
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    let counts: Vec<_> = paths(&sandbox).iter().map(Vec::len).collect();
    // Those who were never named had their turn before it ended. Now only the uncertain are left.
    assert_eq!(counts, [100, 100, 30, 100]);
}

#[on_both(flavor = "multi_thread")]
async fn an_answer_that_the_store_does_not_take_is_not_forgotten() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let for_sqlite = "CREATE TRIGGER \"fault\" BEFORE UPDATE ON \"email/Messages\"
        WHEN NEW.\"messageState\" = 'sent' BEGIN SELECT RAISE(ABORT, 'no'); END";
    let function = "CREATE FUNCTION fault() RETURNS TRIGGER LANGUAGE PLPGSQL
        AS 'BEGIN RAISE EXCEPTION ''no''; END'";
    let trigger = "CREATE TRIGGER \"fault\" BEFORE UPDATE ON \"email/Messages\" FOR EACH ROW
        WHEN (NEW.\"messageState\" = 'sent') EXECUTE FUNCTION fault()";
    execute(&postroom, &[for_sqlite], &[function, trigger]).await;
    let message = post(&postroom, outgoing(&account, "held")).await;
    let path = format!("email/Accounts/{account}");
    let degraded = |account: &Json| (account["state"] == "degraded").then_some(());
    until(&postroom, &path, "trouble with the store", degraded).await;
    assert_eq!(sandbox.accepted().len(), 1);
    let ended = "DROP TRIGGER \"fault\" ON \"email/Messages\"";
    execute(&postroom, &["DROP TRIGGER \"fault\""], &[ended]).await;
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    let next = post(&postroom, outgoing(&account, "next")).await;
    assert_eq!(settled(&postroom, &next).await["messageState"], "sent");
    assert_eq!(sandbox.accepted().len(), 2);
}

#[on_both(flavor = "multi_thread")]
async fn a_damaged_file_ends_its_message_and_no_other() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let mut draft = outgoing(&account, "damaged");
    draft["messageState"] = Json::Null;
    draft["attachments"] = json!([{"name": "a.bin", "contentType": "application/octet-stream",
                                   "content": "aGVsbG8="}]);
    let draft = post(&postroom, draft).await;
    let gone = "DELETE FROM \"chunk\"";
    execute(&postroom, &[gone], &[gone]).await;
    let sending = json!({"messageState": "sending"});
    postroom.patch(&format!("email/Messages/{draft}"), &sending).await.unwrap();
    assert_eq!(settled(&postroom, &draft).await["errorCode"], "damaged");
    let mut next = outgoing(&account, "next");
    next["from"] = json!("team@demo.test");
    let next = post(&postroom, next).await;
    assert_eq!(settled(&postroom, &next).await["messageState"], "sent");
    // Answers go to the account's own address.
    let bytes = sandbox.accepted().remove(0).bytes;
    assert!(String::from_utf8_lossy(&bytes).contains("\r\nReply-To: anna@demo.test\r\n"));
}

#[on_both(flavor = "multi_thread")]
async fn a_server_that_is_never_there_is_given_up_at_last() {
    let postroom = postroom("");
    // The port is nobody else's, and nobody listens.
    let closed = TcpSocket::new_v4().unwrap();
    closed.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = closed.local_addr().unwrap().port();
    let profile = json!({
        "name": "p", "smtpHost": "localhost", "smtpPort": port, "options": {"retry_first": 0.1},
    });
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    let message = post(&postroom, outgoing(&account, "nowhere")).await;
    let waiting = waits(&postroom, &message, "does not accept connections on port").await;
    assert!(waiting["nextAttemptAt"].is_string());
    let briefly = json!({"options": {"retry_first": 0.1, "retry_for": 0.2}});
    postroom.patch(&format!("email/Accounts/{account}"), &briefly).await.unwrap();
    let ended = settled(&postroom, &message).await;
    assert_eq!((&ended["messageState"], &ended["errorCode"]), (&json!("error"), &json!("gave_up")));
    assert!(ended["errorText"].as_str().unwrap().contains("does not accept connections on port"));
}

#[on_both(flavor = "multi_thread")]
async fn a_corrected_server_is_tried_at_once() {
    let sandbox = Sandbox::start(SandboxConfig::default()).await.unwrap();
    let postroom = postroom(sandbox.ca_pem());
    // It takes the connection and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let profile = json!({
        "name": "p", "smtpHost": "localhost", "smtpPort": silent.local_addr().unwrap().port(),
        "smtpSecurity": "starttls", "options": patient(),
    });
    let profile = id(&postroom.post("email/Profiles", &profile).await.unwrap());
    let account = json!({"address": ANNA, "profile_id": profile});
    let account = id(&postroom.post("email/Accounts", &account).await.unwrap());
    let message = post(&postroom, outgoing(&account, "stuck")).await;
    let (_kept, _) = silent.accept().await.unwrap();
    let right = json!({"smtpPort": sandbox.smtp().port()});
    postroom.patch(&format!("email/Profiles/{profile}"), &right).await.unwrap();
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
}

#[on_both(flavor = "multi_thread")]
async fn what_is_uncertain_is_sent_again_where_the_options_say_so() {
    let (sandbox, postroom, account) =
        sandbox(json!({"retry_first": 0.1, "uncertain": "resend"})).await;
    let drop = Action::End(Ending::Close);
    sandbox.script(rule(Point::SmtpAccepted, When::Nth(1), drop));
    let message = post(&postroom, outgoing(&account, "twice")).await;
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    let accepted = sandbox.accepted();
    assert_eq!(accepted.len(), 2);
    assert_eq!(accepted[0].bytes, accepted[1].bytes);
}

#[on_both(flavor = "multi_thread")]
async fn what_a_killed_sender_left_of_a_disabled_account_is_taken_up() {
    let (sandbox, mut postroom, account) = sandbox(quick()).await;
    let path = format!("email/Accounts/{account}");
    for (at, word) in [(RCPT, "claimed"), (Point::SmtpDot, "dot-sent")] {
        let hold = sandbox.script(rule(at, When::Nth(1), Action::Hold));
        let message = post(&postroom, outgoing(&account, word)).await;
        sandbox.wait_for(|state| state.acted_count(hold) > 0, PATIENCE).await.unwrap();
        postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
        postroom.kill().unwrap();
        sandbox.unscript(hold);
        postroom.restart().unwrap();
        let place = format!("email/Messages/{message}");
        if at == RCPT {
            waits(&postroom, &message, "the account is disabled").await;
            postroom.patch(&place, &json!({"subject": "changed"})).await.unwrap();
            postroom.patch(&path, &json!({"enabled": true})).await.unwrap();
            let sent = settled(&postroom, &message).await;
            assert_eq!(
                (&sent["messageState"], &sent["subject"]),
                (&json!("sent"), &json!("changed"))
            );
        } else {
            assert_eq!(settled(&postroom, &message).await["errorCode"], "uncertain");
            postroom.delete(&place).await.unwrap();
        }
    }
}

#[on_both(flavor = "multi_thread")]
async fn nothing_is_sent_once_the_account_is_known_to_be_disabled() {
    let (sandbox, postroom, account) = sandbox(quick()).await;
    let path = format!("email/Accounts/{account}");
    let message = post(&postroom, outgoing(&account, "before")).await;
    assert_eq!(settled(&postroom, &message).await["messageState"], "sent");
    // The sender is stopped a little later than the request is answered.
    for round in 0..20 {
        postroom.patch(&path, &json!({"enabled": true})).await.unwrap();
        let ready = |account: &Json| (account["state"] == "ready").then_some(());
        until(&postroom, &path, "the account to be ready", ready).await;
        postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
        let message = post(&postroom, outgoing(&account, &format!("late {round}"))).await;
        waits(&postroom, &message, "the account is disabled").await;
        postroom.delete(&format!("email/Messages/{message}")).await.unwrap();
    }
    assert_eq!(sandbox.accepted().len(), 1);
    // An attempt that is under way ends before its final dot, and does not count.
    postroom.patch(&path, &json!({"enabled": true})).await.unwrap();
    let hold = sandbox.script(rule(RCPT, When::Nth(1), Action::Hold));
    let message = post(&postroom, outgoing(&account, "under way")).await;
    sandbox.wait_for(|state| state.acted_count(hold) > 0, PATIENCE).await.unwrap();
    postroom.patch(&path, &json!({"enabled": false})).await.unwrap();
    sandbox.unscript(hold);
    waits(&postroom, &message, "the account is disabled").await;
    assert_eq!(sandbox.accepted().len(), 1);
    postroom.patch(&path, &json!({"enabled": true})).await.unwrap();
    let sent = settled(&postroom, &message).await;
    assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    assert_eq!(sandbox.accepted().len(), 2);
}

#[on_both(flavor = "multi_thread")]
async fn stopping_waits_for_the_answer_to_a_final_dot() {
    let (sandbox, mut postroom, account) = sandbox(quick()).await;
    let hold = sandbox.script(rule(Point::SmtpDot, When::Nth(1), Action::Hold));
    let message = post(&postroom, outgoing(&account, "at the last")).await;
    sandbox.wait_for(|state| state.acted_count(hold) > 0, PATIENCE).await.unwrap();
    let address = postroom.url().trim_start_matches("http://").to_owned();
    let stopping = tokio::task::spawn_blocking(move || {
        postroom.stop().unwrap();
        postroom
    });
    let gone = async || Ok(std::net::TcpStream::connect(&address).is_err().then_some(()));
    wait_until("the end of the API", PATIENCE, gone).await.unwrap();
    sandbox.unscript(hold);
    postroom = stopping.await.unwrap();
    postroom.restart().unwrap();
    let sent = settled(&postroom, &message).await;
    assert_eq!((&sent["messageState"], &sent["attempts"]), (&json!("sent"), &json!(1)));
    assert_eq!(sandbox.accepted().len(), 1);
}

#[on_both(flavor = "multi_thread")]
async fn messages_of_an_account_that_cannot_send_end_with_a_reason() {
    let (sandbox, postroom, account) = sandbox(patient()).await;
    sandbox.script(rule(MAIL, When::Always, Action::line("451 4.3.0 later")));
    let message = post(&postroom, outgoing(&account, "orphan")).await;
    waits(&postroom, &message, "451 4.3.0 later").await;
    postroom.delete(&format!("email/Accounts/{account}")).await.unwrap();
    assert_eq!(settled(&postroom, &message).await["errorCode"], "account_deleted");
    let profile = json!({"name": "p", "imapHost": "localhost", "imapPort": sandbox.imaps().port()});
    let account = json!({"address": ANNA, "password": "secret"});
    let account = account_of(&postroom, profile, account).await;
    let message = post(&postroom, outgoing(&account, "mute")).await;
    let ended = settled(&postroom, &message).await;
    assert_eq!(ended["errorCode"], "cannot_send");
    assert_eq!(states(&ended), ["failed"]);
    assert_eq!(ended["recipients"][0]["reply"], ended["errorText"]);
    assert!(ended["errorText"].as_str().unwrap().contains("smtpHost"));
}

#[on_both(flavor = "multi_thread")]
async fn a_login_that_nobody_asks_for_is_said_and_costs_no_message() {
    let without = vec!["AUTH".to_owned()];
    let smtp_capabilities = CapabilityChanges { without, ..CapabilityChanges::default() };
    let config = SandboxConfig { smtp_capabilities, ..SandboxConfig::default() };
    let (sandbox, postroom, account) = only_sending(config, quick()).await;
    let message = post(&postroom, outgoing(&account, "waits")).await;
    let waiting = waits(&postroom, &message, "offers none (no AUTH)").await;
    assert_eq!(waiting["attempts"], Json::Null);
    let shown = postroom.get(&format!("email/Accounts/{account}")).await.unwrap();
    assert_eq!(shown["state"], "failed");
    assert_eq!(sandbox.accepted(), []);
}

#[on_both(flavor = "multi_thread")]
async fn a_login_that_two_messages_want_pauses_the_account() {
    let (sandbox, postroom, account) = sandbox(patient()).await;
    let refuse = Action::line("530 5.7.0 log in first");
    let refuse = sandbox.script(rule(MAIL, When::Always, refuse));
    let list = ["a", "b", "c"].map(|subject| outgoing(&account, subject));
    let list = postroom.post("email/Messages", &json!(list)).await.unwrap();
    for message in list.as_array().unwrap() {
        waits(&postroom, &id(message), "530 5.7.0 log in first").await;
    }
    let path = format!("email/Accounts/{account}");
    let says = |json: &Json| {
        json["statusText"].as_str().is_some_and(|it| it.contains("set smtpLogin")).then_some(())
    };
    until(&postroom, &path, "what to do", says).await;
    sandbox.unscript(refuse);
    postroom.patch(&path, &json!({"smtpPassword": "secret"})).await.unwrap();
    for message in list.as_array().unwrap() {
        assert_eq!(settled(&postroom, &id(message)).await["messageState"], "sent");
    }
}

#[on_both(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_not_asked_for_each_message() {
    let (sandbox, postroom, account) = sandbox(json!({"retry_first": 3600})).await;
    let busy = sandbox.script(rule(MAIL, When::Always, Action::line("421 4.3.2 busy")));
    let list = ["a", "b", "c", "d", "e"].map(|subject| outgoing(&account, subject));
    let list = postroom.post("email/Messages", &json!(list)).await.unwrap();
    for message in list.as_array().unwrap() {
        waits(&postroom, &id(message), "421 4.3.2 busy").await;
    }
    // The connection that was at hand and a new one; then pauses of 1, 2, 4 and 8 seconds, of
    // which the last is said in each message.
    assert!(sandbox.acted_count(busy) <= 6);
    sandbox.unscript(busy);
    // By another name it is another server, and what waits is due at once.
    let profile = postroom.get(&format!("email/Accounts/{account}")).await.unwrap();
    let profile = format!("email/Profiles/{}", profile["profile_id"].as_str().unwrap());
    postroom.patch(&profile, &json!({"smtpHost": "127.0.0.1"})).await.unwrap();
    for message in list.as_array().unwrap() {
        assert_eq!(settled(&postroom, &id(message)).await["messageState"], "sent");
    }
    let ready = |account: &Json| (account["state"] == "ready").then_some(());
    until(&postroom, &format!("email/Accounts/{account}"), "the end of the trouble", ready).await;
}

#[on_both(flavor = "multi_thread")]
async fn a_connection_that_ended_while_idle_costs_no_attempt() {
    let (sandbox, postroom, account) = sandbox(patient()).await;
    for act in [Action::End(Ending::Close), Action::farewell("421 4.4.2 idle for too long")] {
        let first = post(&postroom, outgoing(&account, "first")).await;
        assert_eq!(settled(&postroom, &first).await["messageState"], "sent");
        sandbox.script(rule(MAIL, When::Nth(1), act));
        let second = post(&postroom, outgoing(&account, "second")).await;
        let second = settled(&postroom, &second).await;
        assert_eq!((&second["messageState"], &second["attempts"]), (&json!("sent"), &json!(1)));
    }
}

#[on_both(flavor = "multi_thread")]
async fn auth_login_and_addresses_beyond_ascii_are_spoken() {
    let smtp_capabilities =
        CapabilityChanges { without: vec!["AUTH".to_owned()], with: vec!["AUTH LOGIN".to_owned()] };
    let config = SandboxConfig { smtp_capabilities, ..SandboxConfig::default() };
    let (sandbox, postroom, account) = only_sending(config, quick()).await;
    let mut message = outgoing(&account, "Grüße");
    message["to"] = json!(["jürgen@else.test"]);
    let message = post(&postroom, message).await;
    let sent = settled(&postroom, &message).await;
    assert_eq!(sent["messageState"], "sent", "{sent:#}");
    let accepted = sandbox.accepted().remove(0);
    assert_eq!(accepted.login.as_deref(), Some(ANNA));
    assert_eq!(accepted.forward_paths, ["jürgen@else.test"]);
    for parameter in ["SMTPUTF8", "BODY=8BITMIME"] {
        assert!(accepted.parameters.iter().any(|it| it == parameter), "{parameter}");
    }
}

#[on_both(flavor = "multi_thread")]
async fn the_account_says_what_is_wrong_with_the_server_that_sends() {
    let good = Sandbox::start(SandboxConfig::default()).await.unwrap();
    let certificate = Certificate::Expired;
    let expired =
        Sandbox::start(SandboxConfig { certificate, ..SandboxConfig::default() }).await.unwrap();
    let postroom = postroom(&[good.ca_pem(), expired.ca_pem()].concat());
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let refusing = closed.local_addr().unwrap().port();
    drop(closed);
    let plain = good.smtp().port();
    #[rustfmt::skip]
    let table = [
        (refusing,               "tls",      "does not accept connections on port"),
        (expired.smtps().port(), "tls",      "it has expired"),
        (plain,                  "tls",      "is the security setting right for this port"),
    ];
    for (port, security, want) in table {
        let profile = json!({
            "name": "p", "smtpHost": "localhost", "smtpPort": port, "smtpSecurity": security,
        });
        let account = json!({"address": ANNA, "password": "secret"});
        let account = account_of(&postroom, profile, account).await;
        let says = |account: &Json| {
            let text = account["statusText"].as_str().is_some_and(|text| text.contains(want));
            (text && account["state"] == "failed").then_some(())
        };
        until(&postroom, &format!("email/Accounts/{account}"), want, says).await;
    }
}

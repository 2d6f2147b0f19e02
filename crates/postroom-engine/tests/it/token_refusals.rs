//! What Google and Microsoft answer when they refuse, and what people are told: who has to do what.
//! The codes, the challenges and the words that Postroom goes by are those that users of the providers
//! have reported publicly. The words around them are ours.

use crate::oauth::LONG;
use crate::oauth::OAuthWorld;
use crate::oauth::says;
use crate::world::ANNA;
use postroom_engine::Settings;
use postroom_model::builtin::MESSAGES;
use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Network;
use postroom_net::Trust;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Protocol;
use postroom_sandbox::Rule;
use postroom_sandbox::Sandbox;
use postroom_sandbox::SmtpCommand;
use postroom_sandbox::When;
use std::fmt;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;

/// Who refuses, and how.
#[derive(Debug, Clone, Copy)]
enum ProviderRefusal {
    /// The token endpoint, with this status and body.
    Token(u16, &'static str),
    /// The IMAP server at the login: a challenge in Base64, if there is one, and its reply.
    Imap(Option<&'static str>, &'static str),
    /// The IMAP server after a login that it took.
    ImapList(&'static str),
    /// The SMTP server, in the same way.
    Smtp(Option<&'static str>, &'static str),
}

/// `{"status":"400","schemes":"Bearer","scope":"https://mail.google.com/"}` in Base64.
const GMAIL: &str = "eyJzdGF0dXMiOiI0MDAiLCJzY2hlbWVzIjoiQmVhcmVyIiwic2NvcGUiOiJodHRwczovL21haWwuZ29v\
                     Z2xlLmNvbS8ifQ==";

const OWNER: &str = "let the owner of anna@demo.test consent again";
const ORGANISATION: &str =
    "let the administrator of the organisation allow the app for anna@demo.test";
const APP: &str = "let its administrator check clientId, clientSecret, scopes and tokenUrl";
const MAILBOX: &str = "let its login be the mailbox whose owner consented, check the scopes of the OAuth app, and \
                       whether this mailbox may use the protocol";
const PROTOCOL: &str = "let the administrator of the mailbox allow the protocol for it";

#[rustfmt::skip]
const TABLE: &[(ProviderRefusal, &[&str])] = &[
    // Google, token endpoint.
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"Token has been expired or revoked."}"#),
     &[OWNER, "expired or revoked"]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_subtype":"invalid_rapt","error_description":"sign in again (invalid_rapt)"}"#),
     &[OWNER, "invalid_rapt"]),
    (ProviderRefusal::Token(400, r#"{"error":"admin_policy_enforced","error_description":"the organisation does not allow this app"}"#),
     &[ORGANISATION]),
    (ProviderRefusal::Token(401, r#"{"error":"deleted_client","error_description":"the client is gone"}"#), &[APP, "deleted_client"]),
    (ProviderRefusal::Token(401, r#"{"error":"invalid_client","error_description":"no such client"}"#), &[APP]),
    // Microsoft, token endpoint.
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"AADSTS700082: not used for 90 days","error_codes":[700082]}"#),
     &[OWNER, "AADSTS700082"]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"AADSTS50173: there is a new password"}"#), &[OWNER]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"AADSTS65001: nobody consented to this scope"}"#), &[OWNER]),
    (ProviderRefusal::Token(400, r#"{"error":"interaction_required","error_description":"AADSTS50076: a second factor is needed"}"#), &[OWNER]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"AADSTS53003: conditional access forbids it"}"#),
     &[ORGANISATION, "AADSTS53003"]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_grant","error_description":"AADSTS50057: the user is disabled"}"#), &[ORGANISATION]),
    (ProviderRefusal::Token(401, r#"{"error":"invalid_client","error_description":"AADSTS7000222: the secret has expired"}"#),
     &[APP, "AADSTS7000222"]),
    (ProviderRefusal::Token(400, r#"{"error":"unauthorized_client","error_description":"AADSTS700016: no such app in this directory"}"#), &[APP]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_scope","error_description":"AADSTS70011: no such scope"}"#), &[APP]),
    (ProviderRefusal::Token(400, r#"{"error":"invalid_request","error_description":"AADSTS90002: no such directory"}"#), &[APP]),
    // Google, servers.
    (ProviderRefusal::Imap(Some(GMAIL), "{tag} NO [AUTHENTICATIONFAILED] wrong credentials (Failure)"),
     &[MAILBOX, "it must have the scope https://mail.google.com/"]),
    (ProviderRefusal::Imap(Some(GMAIL), "{tag} BAD Invalid SASL argument. x"),
     &[MAILBOX, "it must have the scope https://mail.google.com/"]),
    (ProviderRefusal::Imap(Some(GMAIL), "{tag} NO Lookup failed x"), &[MAILBOX]),
    (ProviderRefusal::Imap(None, "{tag} NO [ALERT] IMAP is switched off for this domain (Failure)"), &[MAILBOX, "switched off"]),
    (ProviderRefusal::Smtp(Some(GMAIL), "535-5.7.8 not accepted, see\r\n535 5.7.8 https://support.google.com/mail/ x - gsmtp"),
     &["sending: ", MAILBOX, "it must have the scope https://mail.google.com/"]),
    // Microsoft, servers.
    (ProviderRefusal::Imap(None, "{tag} NO AUTHENTICATE failed."), &[MAILBOX]),
    (ProviderRefusal::ImapList("{tag} BAD User is authenticated but not connected."), &[MAILBOX, "authenticated but not connected"]),
    (ProviderRefusal::Smtp(None, "535 5.7.3 the login was not successful [x.mail.example]"), &["sending: ", MAILBOX]),
    (ProviderRefusal::Smtp(None, "535 5.7.139 the login was not successful, SmtpClientAuthentication is disabled for the mailbox"),
     &["sending: ", PROTOCOL, "5.7.139"]),
    (ProviderRefusal::Smtp(None, "535 5.7.139 the login was not successful, SmtpClientAuthentication is disabled for the Tenant. \
                                  Visit https://aka.ms/x [x.mail.example]"),
     &["sending: ", PROTOCOL, "5.7.139"]),
];

/// Leads to the mail servers of a sandbox, and to a token endpoint that refuses.
struct RefusingNet {
    sandbox: Arc<Sandbox>,
    status: u16,
    body: &'static str,
}

impl fmt::Debug for RefusingNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RefusingNet")
    }
}

impl Network for RefusingNet {
    fn dial(&self, _host: &str, port: u16) -> Dialed {
        let stream = match port {
            143 => self.sandbox.connect(Protocol::Imap),
            587 => self.sandbox.connect(Protocol::Smtp),
            _ => {
                let (client, server) = tokio::io::duplex(64 * 1024);
                tokio::spawn(answer(server, self.status, self.body));
                client
            }
        };
        Box::pin(async move { Ok(stream) })
    }
}

/// Answers a request of HTTP, which fits into one read.
async fn answer(mut stream: DuplexStream, status: u16, body: &'static str) {
    let mut request = vec![0; 64 * 1024];
    assert_ne!(stream.read(&mut request).await.unwrap(), 0);
    let length = body.len();
    let answer = format!("HTTP/1.1 {status} X\r\ncontent-length: {length}\r\n\r\n{body}");
    stream.write_all(answer.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}

/// Lets the servers refuse. Gives the settings for that.
fn refuse(world: &OAuthWorld, refusal: ProviderRefusal) -> Settings {
    let said = |challenge: Option<&str>, prompt: &str, reply: &str| {
        let challenge = challenge.map(|challenge| format!("{prompt} {challenge}\r\n"));
        let bytes = format!("{}{reply}\r\n", challenge.unwrap_or_default()).into_bytes();
        Action::Reply(bytes)
    };
    let mut settings = world.settings();
    let (on, act) = match refusal {
        ProviderRefusal::Token(status, body) => {
            let sandbox = Arc::clone(&world.world.sandbox);
            let dialer = Dialer::new(&Trust::default()).unwrap();
            settings.dialing.dialer = dialer.over(Arc::new(RefusingNet { sandbox, status, body }));
            return settings;
        }
        ProviderRefusal::Imap(challenge, reply) => {
            (Point::ImapCommand(ImapCommand::Authenticate), said(challenge, "+", reply))
        }
        ProviderRefusal::ImapList(reply) => {
            (Point::ImapCommand(ImapCommand::List), said(None, "", reply))
        }
        ProviderRefusal::Smtp(challenge, reply) => {
            (Point::SmtpCommand(SmtpCommand::Auth), said(challenge, "334", reply))
        }
    };
    world.world.sandbox.script(Rule { on, when: When::Always, act });
    settings
}

#[tokio::test(start_paused = true)]
async fn what_google_and_microsoft_refuse_says_who_has_to_do_what() {
    for (refusal, want) in TABLE {
        let world = OAuthWorld::new("XOAUTH2", LONG).await;
        let settings = refuse(&world, *refusal);
        let account = world.account(&world.provider.consent(ANNA)).await;
        let message = world.send(account, "out").await;
        let engine = world.world.start(settings).await;
        let told = world.until(account, |it| it.text("statusText").is_some()).await;
        for words in *want {
            assert!(says(&told, words), "{refusal:?}: {words} is not in {told:?}");
        }
        // There is no password to check.
        assert!(!says(&told, "check login") && !says(&told, "password may"), "{told:?}");
        assert!(!says(&told, "canary"), "{told:?}");
        let waiting = world.world.until(MESSAGES, message, |_| true).await;
        assert_ne!(waiting.text("messageState"), Some("error"), "{waiting:?}");
        engine.stop().await;
    }
}

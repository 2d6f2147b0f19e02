//! Every SMTP command.

use crate::client::ANNA;
use crate::client::BEN;
use crate::client::Client;
use crate::client::sandbox;
use crate::client::sandbox_with;
use postroom_sandbox::CapabilityChanges;
use postroom_sandbox::SandboxConfig;

fn starts(reply: &str, code: &str) {
    assert!(reply.starts_with(code), "wanted {code}, got {reply}");
}

#[tokio::test]
async fn mail_is_accepted_and_delivered() {
    let sandbox = sandbox().await;
    let mut client = Client::connect(sandbox.smtp()).await;
    starts(&client.line().await, "220 ");
    starts(&client.reply("MAIL FROM:<a@far.example>").await, "503 5.5.1 ");
    let hello = client.reply("EHLO client.test").await;
    for keyword in ["PIPELINING", "8BITMIME", "SMTPUTF8", "SIZE 67108864", "AUTH PLAIN LOGIN"] {
        assert!(
            hello.contains(&format!("250-{keyword}\r\n")) || hello.contains(keyword),
            "{hello}"
        );
    }
    starts(&client.reply("RCPT TO:<x@far.example>").await, "503");
    starts(&client.reply("DATA").await, "503");
    starts(&client.reply("MAIL FROM:<a@far.example> SIZE=100 BODY=8BITMIME").await, "250 2.1.0 ");
    starts(&client.reply("MAIL FROM:<a@far.example>").await, "503");
    starts(&client.reply("DATA").await, "554 5.5.1 ");
    starts(&client.reply(&format!("RCPT TO:<{ANNA}>")).await, "250 2.1.5 ");
    starts(&client.reply("RCPT TO:<nobody@demo.test>").await, "550 5.1.1 ");
    starts(&client.reply("RCPT TO:<who@else.example>").await, "250");
    starts(&client.reply("DATA").await, "354 ");
    client.send(b"Subject: dots\r\n\r\n..\r\n...x\r\nbare\n.\nlf \xff\x00\r\n.\r\n").await;
    starts(&client.next_reply().await, "250 2.0.0 ");
    let want = b"Subject: dots\r\n\r\n.\r\n..x\r\nbare\n.\nlf \xff\x00\r\n";
    let accepted = sandbox.accepted();
    assert_eq!(accepted.len(), 1);
    assert_eq!(accepted[0].bytes, want[..]);
    assert_eq!(accepted[0].reverse_path, "a@far.example");
    assert_eq!(accepted[0].forward_paths, [ANNA, "who@else.example"]);
    assert_eq!(accepted[0].parameters, ["SIZE=100", "BODY=8BITMIME"]);
    assert_eq!(sandbox.messages(ANNA, "INBOX")[0].bytes, want[..]);
    assert!(sandbox.messages(BEN, "INBOX").is_empty());
    starts(&client.reply("QUIT").await, "221 ");
    assert_eq!(client.rest().await.0, "");
}

#[tokio::test]
async fn commands_may_be_pipelined() {
    let sandbox = sandbox().await;
    let mut client = Client::smtp(&sandbox).await;
    client
        .send(format!(
            "MAIL FROM:<>\r\nRCPT TO:<{ANNA}>\r\nRCPT TO:<{BEN}>\r\nRCPT TO:<{}>\r\nDATA\r\n",
            ANNA.to_uppercase()
        ))
        .await;
    for code in ["250", "250", "250", "250", "354"] {
        starts(&client.next_reply().await, code);
    }
    client
        .send("x\r\n.\r\nMAIL FROM:<b@c.example>\r\nRSET\r\nNOOP\r\nVRFY x\r\nHELP\r\nFOO\r\n")
        .await;
    for code in ["250", "250", "250", "250", "252", "214", "500"] {
        starts(&client.next_reply().await, code);
    }
    assert_eq!(sandbox.messages(ANNA, "INBOX").len(), 1);
    assert_eq!(sandbox.messages(BEN, "INBOX").len(), 1);
    let early = |line: &postroom_sandbox::CommandLine| line.pipelined;
    assert_eq!(sandbox.transcript().iter().filter(|line| early(line)).count(), 4 + 6);
    let commands: Vec<String> = sandbox.transcript().into_iter().map(|line| line.command).collect();
    assert!(commands.contains(&".".to_owned()), "{commands:?}");
}

#[tokio::test]
async fn bad_arguments_are_refused() {
    let config = SandboxConfig { message_bytes_max: 20, ..SandboxConfig::default() };
    let sandbox = sandbox_with(config).await;
    let mut client = Client::smtp(&sandbox).await;
    for (command, code) in [
        ("EHLO", "501"),
        ("MAIL FROM:a@b.example", "501"),
        ("MAIL FROM:<a@b.example> SIZE=21", "552 5.3.4"),
        ("MAIL FROM:<a@b.example> SIZE=x", "501"),
        ("MAIL FROM:<a@b.example> BODY=9BIT", "501"),
        ("MAIL FROM:<a@b.example> FOO=1", "555"),
        ("MAIL FROM:<ä@b.example>", "553 5.6.7"),
        ("MAIL FROM:<ä@b.example> SMTPUTF8", "250"),
        ("RCPT TO:<ö@b.example>", "250"),
        ("RCPT TO:<>", "501"),
        ("RCPT TO:<a@b.example> NOTIFY=NEVER", "555"),
        ("STARTTLS now", "501"),
        ("AUTH FOO", "503"),
    ] {
        starts(&client.reply(command).await, code);
    }
    starts(&client.reply("DATA").await, "354");
    client.send(format!("{}\r\n.\r\n", "x".repeat(100))).await;
    starts(&client.next_reply().await, "552 5.3.4 ");
    client.send(format!("NOOP {}\r\n", "x".repeat(100_000))).await;
    starts(&client.next_reply().await, "500 5.5.6");
    starts(&client.reply("NOOP").await, "250");
    assert!(sandbox.accepted().is_empty());
}

#[tokio::test]
async fn auth_plain_and_login() {
    let config = SandboxConfig { mail_needs_login: true, ..SandboxConfig::default() };
    let sandbox = sandbox_with(config).await;
    let (user, password) = ("YW5uYUBkZW1vLnRlc3Q=", "c2VjcmV0");
    let plain = "AGFubmFAZGVtby50ZXN0AHNlY3JldA==";
    let mut client = Client::smtp(&sandbox).await;
    starts(&client.reply("MAIL FROM:<a@b.example>").await, "530 5.7.0");
    starts(&client.reply("AUTH FOO").await, "504");
    starts(&client.reply("AUTH PLAIN AGEAYg==").await, "535 5.7.8");
    starts(&client.reply("AUTH PLAIN !").await, "501");
    starts(&client.reply("AUTH LOGIN").await, "334 VXNlcm5hbWU6");
    starts(&client.reply("*").await, "501");
    starts(&client.reply(&format!("AUTH PLAIN {plain}")).await, "235");
    starts(&client.reply(&format!("AUTH PLAIN {plain}")).await, "503");
    starts(&client.reply("MAIL FROM:<a@b.example>").await, "250");

    let mut client = Client::smtp(&sandbox).await;
    starts(&client.reply("AUTH PLAIN").await, "334 \r\n");
    starts(&client.reply(plain).await, "235");
    let mut client = Client::smtp(&sandbox).await;
    starts(&client.reply("AUTH LOGIN").await, "334");
    starts(&client.reply(user).await, "334 UGFzc3dvcmQ6");
    starts(&client.reply(password).await, "235");
    let mut client = Client::smtp(&sandbox).await;
    starts(&client.reply(&format!("AUTH LOGIN {user}")).await, "334 UGFzc3dvcmQ6");
    starts(&client.reply(password).await, "235");
    for line in sandbox.transcript() {
        assert!(
            ![plain, user, password].iter().any(|secret| line.text.contains(secret)),
            "{line:?}"
        );
    }
}

#[tokio::test]
async fn tls_at_once_and_by_starttls() {
    let sandbox = sandbox().await;
    let mut client = Client::connect_tls(sandbox.smtps(), sandbox.ca_pem()).await;
    starts(&client.line().await, "220");
    assert!(!client.reply("EHLO x").await.contains("STARTTLS"));

    let mut client = Client::smtp(&sandbox).await;
    client.send("STARTTLS\r\nEHLO evil.test\r\n").await;
    starts(&client.next_reply().await, "220");
    let mut client = client.start_tls(sandbox.ca_pem()).await.unwrap();
    starts(&client.reply("MAIL FROM:<a@b.example>").await, "503");
    assert!(!client.reply("EHLO x").await.contains("STARTTLS"));
    starts(&client.reply("STARTTLS").await, "502");
    assert!(!sandbox.transcript().iter().any(|line| line.text.contains("evil")));
}

#[tokio::test]
async fn what_is_not_offered_is_not_done() {
    let lacks = ["STARTTLS", "AUTH", "SIZE", "8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING"];
    let without = lacks.iter().map(|name| (*name).to_owned()).collect();
    let smtp_capabilities = CapabilityChanges { without, with: vec!["XFOO bar".to_owned()] };
    let sandbox =
        sandbox_with(SandboxConfig { smtp_capabilities, ..SandboxConfig::default() }).await;
    let mut client = Client::connect(sandbox.smtp()).await;
    client.line().await;
    starts(&client.reply("HELO x").await, "250 sandbox.test");
    let hello = client.reply("EHLO x").await;
    assert_eq!(
        hello,
        "250-sandbox.test greets you\r\n250-SMTPUTF8\r\n250-HELP\r\n250 XFOO bar\r\n"
    );
    for (command, want) in [
        ("STARTTLS", "502 STARTTLS"),
        ("AUTH PLAIN", "502 AUTH"),
        ("MAIL FROM:<a@b.example> SIZE=1", "555 parameter"),
        ("MAIL FROM:<a@b.example> BODY=8BITMIME", "555"),
        ("MAIL FROM:<a@b.example>", "250 sender"),
    ] {
        starts(&client.reply(command).await, want);
    }
}

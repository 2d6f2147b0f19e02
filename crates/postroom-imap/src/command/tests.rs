//! Tables of commands as they are written.

use super::*;
use crate::encoder::Octets;
use crate::encoder::quoted;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::sasl;

/// The pieces of a command; `…` where the server has to ask first.
fn shown(command: Command) -> String {
    let mut text = String::new();
    for part in command.parts {
        text.push_str(if part.waits { "…" } else { "" });
        let octets = match part.octets {
            Octets::Text(octets) => octets.to_vec(),
            Octets::Body(body) => body.to_vec(),
        };
        text.push_str(&octets.escape_ascii().to_string());
    }
    text
}

fn capabilities(text: &str) -> Capabilities {
    Capabilities::parse(text.as_bytes())
}

#[test]
fn strings_are_quoted_or_literals() {
    #[rustfmt::skip]
    let table: &[(&[u8], &str, &str)] = &[
        (b"INBOX",     "",         r#"SELECT \"INBOX\"\r\n"#),
        (b"a b(c)",    "",         r#"SELECT \"a b(c)\"\r\n"#),
        (b"a\"b\\c",   "",         r#"SELECT {5}\r\n…a\"b\\c\r\n"#),
        (b"",          "",         r#"SELECT \"\"\r\n"#),
        (b"a\r\nb",    "",         r"SELECT {4}\r\n…a\r\nb\r\n"),
        (b"\xC3\xA9",  "LITERAL+", r"SELECT {2+}\r\n\xc3\xa9\r\n"),
        (b"\xC3\xA9",  "LITERAL-", r"SELECT {2+}\r\n\xc3\xa9\r\n"),
    ];
    for (name, offers, want) in table {
        let name = MailboxName::from_bytes(name);
        let command =
            Command::select(&capabilities(offers), name.as_bytes(), Mode::Select, NameForm::Safe)
                .unwrap();
        assert_eq!(shown(command), *want);
    }
    let nul = MailboxName::from_bytes(b"a\0b");
    let refused =
        Command::select(&Capabilities::default(), nul.as_bytes(), Mode::Select, NameForm::Safe);
    assert!(matches!(refused, Err(Error::Unsendable { .. })));
}

#[test]
fn a_message_is_appended_as_a_literal() {
    let append = |offers: &str, body: Vec<u8>| {
        let flags = ["\\Seen".to_owned(), "$Forwarded".to_owned()];
        let date_ms = Some(1_577_836_800_000);
        let (offers, inbox) = (capabilities(offers), MailboxName::inbox());
        Command::append(&offers, &inbox, &flags, date_ms, Bytes::from(body))
    };
    let start = r#"APPEND \"INBOX\" (\\Seen $Forwarded) \" 1-Jan-2020 00:00:00 +0000\" "#;
    let shown = |offers, body: &[u8]| shown(append(offers, body.to_vec()).unwrap());
    assert_eq!(shown("", b"a\r\n"), format!(r"{start}{{3}}\r\n…a\r\n\r\n"));
    assert_eq!(shown("LITERAL+", b"a"), format!(r"{start}{{1+}}\r\na\r\n"));
    let long = vec![b'a'; 5000];
    assert!(shown("LITERAL-", &long).starts_with(&format!(r"{start}{{5000}}\r\n…a")));
    assert!(append("", b"a\0".to_vec()).is_err());
}

#[test]
fn the_first_message_of_a_mechanism_goes_with_the_command_where_it_may() {
    let secret = Secret::Password(SecretString::from("tanstaaftanstaaf"));
    let message = sasl::plain(&Credentials { login: "tim".to_owned(), secret });
    let command =
        |offers| Command::authenticate(&capabilities(offers), "PLAIN", &message, b"*\r\n");
    let (ir, asked) = (shown(command("SASL-IR")), shown(command("")));
    assert_eq!(ir, r"AUTHENTICATE PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
    assert_eq!(asked, r"AUTHENTICATE PLAIN\r\n…AHRpbQB0YW5zdGFhZnRhbnN0YWFm\r\n");
}

#[test]
fn a_password_may_have_any_characters() {
    let login = |password: &str| {
        let password = SecretString::from(password.to_owned());
        Command::login(&Capabilities::default(), "anna", &password)
    };
    assert_eq!(shown(login("a\"b\\").unwrap()), r#"LOGIN \"anna\" \"a\\\"b\\\\\"\r\n"#);
    assert_eq!(shown(login("é\r\n").unwrap()), r#"LOGIN \"anna\" {4}\r\n…\xc3\xa9\r\n\r\n"#);
    assert!(login("a\0").is_err());
}

#[test]
fn what_would_be_another_command_is_refused() {
    let set = UidSet::from_uids(&[1, 2, 5]);
    let store = |flag: &str| Command::uid_store(&set, &FlagChange::add_silent(flag));
    assert_eq!(shown(store("\\Seen").unwrap()), r"UID STORE 1:2,5 +FLAGS.SILENT (\\Seen)\r\n");
    let loud = Command::uid_store(&set, &FlagChange::add("\\Deleted")).unwrap();
    assert_eq!(shown(loud), r"UID STORE 1:2,5 +FLAGS (\\Deleted)\r\n");
    for flag in ["", "\\", "a b", "a\r\nB", "a)", "{5}", "é", "\\*"] {
        assert!(matches!(store(flag), Err(Error::Unsendable { .. })), "{flag}");
    }
    for criteria in ["", "ALL\r\nA2 LOGOUT", "TEXT é", "A\0"] {
        assert!(matches!(Command::uid_search(criteria, true), Err(Error::Unsendable { .. })));
    }
    let empty = UidSet::default();
    assert!(Command::uid_fetch(&empty, FetchItems::Flags).is_err());
    assert_eq!(quoted("<a\"\\b@c>").unwrap(), r#""<a\"\\b@c>""#);
    assert!(quoted("a\r\n").is_err());
}

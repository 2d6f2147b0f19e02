//! TNEF streams, built here.

use proptest::prelude::*;

use super::*;

/// Writes TNEF, as far as the tests need it.
#[derive(Default)]
struct Stream {
    bytes: Vec<u8>,
}

impl Stream {
    fn new() -> Self {
        let mut stream = Self { bytes: 0x223e_9f78_u32.to_le_bytes().to_vec() };
        stream.bytes.extend_from_slice(&[1, 0]);
        stream.attribute(1, 0x9006, &[0, 0, 1, 0])
    }

    fn attribute(mut self, level: u8, id: u16, value: &[u8]) -> Self {
        self.bytes.push(level);
        self.bytes.extend_from_slice(&id.to_le_bytes());
        self.bytes.extend_from_slice(&[6, 0]);
        self.bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(value);
        let sum = value.iter().fold(0_u16, |sum, byte| sum.wrapping_add((*byte).into()));
        self.bytes.extend_from_slice(&sum.to_le_bytes());
        self
    }

    fn code_page(self, code_page: u32) -> Self {
        let value = [code_page.to_le_bytes(), [0; 4]].concat();
        self.attribute(1, 0x9007, &value)
    }

    fn message(self, properties: &[Vec<u8>]) -> Self {
        self.attribute(1, 0x9003, &list(properties))
    }

    fn file(self, title: &[u8], content: &[u8], properties: &[Vec<u8>]) -> Self {
        let mut stream = self.attribute(2, 0x9002, &[1, 0, 0, 0]);
        if !title.is_empty() {
            stream = stream.attribute(2, 0x8010, title);
        }
        if !content.is_empty() {
            stream = stream.attribute(2, 0x800f, content);
        }
        stream.attribute(2, 0x9005, &list(properties))
    }
}

fn list(properties: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = (properties.len() as u32).to_le_bytes().to_vec();
    bytes.extend(properties.iter().flatten());
    bytes
}

fn property(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [kind.to_le_bytes(), id.to_le_bytes()].concat();
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
    bytes.extend_from_slice(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn wide(id: u16, text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    property(mapi::UNICODE, id, &units)
}

fn number(kind: u16, id: u16, value: &[u8]) -> Vec<u8> {
    [&kind.to_le_bytes()[..], &id.to_le_bytes(), value].concat()
}

fn rtf(text: &[u8]) -> Vec<u8> {
    let size = text.len() as u32;
    let header = [size + 12, size, 0x414c_454d, 0];
    let mut value: Vec<u8> = header.iter().flat_map(|n| n.to_le_bytes()).collect();
    value.extend_from_slice(text);
    property(mapi::BINARY, 0x1009, &value)
}

fn embedded(stream: Stream) -> Vec<u8> {
    let mut value = vec![7, 3, 2, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0x46];
    value.extend_from_slice(&stream.bytes);
    property(mapi::OBJECT, 0x3701, &value)
}

#[test]
fn a_message_with_everything() {
    let stream = Stream::new()
        .code_page(1251)
        .attribute(1, 0x8004, b"\xCF\xF0\xE8\xE2\xE5\xF2\0")
        .attribute(1, 0x800c, b"\xF2\xE5\xEA\xF1\xF2\0")
        .message(&[
            wide(0x0042, "Анна"),
            wide(0x5d02, "anna@demo.test"),
            wide(0x1035, "<1@demo.test>"),
            number(0x40, 0x0039, &133_000_000_000_000_000_u64.to_le_bytes()),
            number(3, 0x3fde, &65001_u32.to_le_bytes()),
            property(mapi::BINARY, 0x1013, "<p>é</p>".as_bytes()),
        ])
        .file(b"SHORT~1.TXT\0", b"one", &[wide(0x3707, "длинное имя.txt")])
        .file(
            b"p.png\0",
            b"",
            &[
                property(mapi::BINARY, 0x3701, b"png"),
                property(mapi::STRING8, 0x370e, b"image/png\0"),
                wide(0x3712, "<pic@demo.test>"),
                number(0x0b, 0x7ffe, &[1, 0, 0, 0]),
            ],
        )
        .file(b"", b"bare", &[]);
    let tnef = open(&stream.bytes).unwrap();
    let file = |name: Option<&str>, content: &[u8]| Attachment {
        name: name.map(str::to_owned),
        content: content.to_vec(),
        ..Attachment::default()
    };
    let want = Tnef {
        subject: Some("Привет".to_owned()),
        from: (Some("Анна".to_owned()), Some("anna@demo.test".to_owned())),
        message_id: Some("<1@demo.test>".to_owned()),
        sent_ms: Some(1_655_526_400_000),
        text: Some("текст".to_owned()),
        html: Some("<p>é</p>".to_owned()),
        rtf: None,
        attachments: vec![
            file(Some("длинное имя.txt"), b"one"),
            Attachment {
                media_type: Some("image/png".to_owned()),
                content_id: Some("pic@demo.test".to_owned()),
                is_hidden: true,
                ..file(Some("p.png"), b"png")
            },
            file(None, b"bare"),
        ],
        defects: vec![],
    };
    assert_eq!(tnef, want);
}

#[test]
fn bodies_in_rtf() {
    let body = |text: &[u8]| open(&Stream::new().message(&[rtf(text)]).bytes).unwrap();
    let html = body(br"{\rtf1\ansi\fromhtml1{\*\htmltag <b>}x{\*\htmltag </b>}}");
    assert_eq!((html.html.as_deref(), html.text, html.rtf), (Some("<b>x</b>"), None, None));
    let text = body(br"{\rtf1\ansi x\par y}");
    assert_eq!((text.html, text.text.as_deref(), text.rtf), (None, Some("x\r\ny"), None));
    let empty = body(br"{\rtf1\ansi{\pict 00}}");
    assert!(empty.rtf.is_some() && empty.text.is_none());
}

#[test]
fn embedded_messages_become_messages() {
    let innermost = Stream::new().attribute(1, 0x8004, b"third\0").attribute(1, 0x800c, b"deep\0");
    let inner = Stream::new()
        .attribute(1, 0x8004, b"second\0")
        .message(&[wide(0x0c1a, "Bob"), wide(0x0c1f, "/O=X/CN=BOB")])
        .file(b"a.txt\0", b"content of a", &[])
        .file(b"", b"", &[embedded(innermost)]);
    let outer = Stream::new().file(b"", b"", &[embedded(inner)]);
    let tnef = open(&outer.bytes).unwrap();
    assert_eq!(tnef.defects, []);
    let [second] = &tnef.attachments[..] else { panic!("{tnef:?}") };
    assert_eq!(second.name.as_deref(), Some("second.eml"));
    assert_eq!(second.media_type.as_deref(), Some("message/rfc822"));
    let text = std::str::from_utf8(&second.content).unwrap();
    assert!(text.contains("From: Bob <unknown@tnef.invalid>\r\n"), "{text}");
    assert!(text.contains("filename=\"a.txt\"") && text.contains("Y29udGVudCBvZiBh"), "{text}");
    assert!(text.contains("Content-Type: message/rfc822; name=\"third.eml\""), "{text}");
    assert!(text.contains("Subject: third\r\n") && text.contains("\r\ndeep\r\n"), "{text}");
}

#[test]
fn messages_are_opened_to_a_limited_depth() {
    let mut stream = Stream::new();
    for _ in 0..50 {
        stream = Stream::new().file(b"", b"", &[embedded(stream)]);
    }
    let tnef = open(&stream.bytes).unwrap();
    assert_eq!(tnef.defects, [TnefDefect::Depth]);
    let text = std::str::from_utf8(&tnef.attachments[0].content).unwrap();
    assert_eq!(text.matches("Content-Type: message/rfc822").count(), 2);
}

#[test]
fn recipients_of_an_embedded_message() {
    let row = |kind: u32, name: &str, address: &str| {
        list(&[number(3, 0x0c15, &kind.to_le_bytes()), wide(0x3001, name), wide(0x39fe, address)])
    };
    let rows = [
        3_u32.to_le_bytes().to_vec(),
        row(1, "Bob", "bob@demo.test"),
        row(2, "Zoë", "zoe@demo.test"),
        row(3, "Eve", "eve@demo.test"),
    ];
    let inner = Stream::new().attribute(1, 0x9004, &rows.concat());
    let outer = Stream::new().file(b"x\0", b"", &[embedded(inner)]);
    let tnef = open(&outer.bytes).unwrap();
    let text = std::str::from_utf8(&tnef.attachments[0].content).unwrap();
    assert!(text.contains("To: Bob <bob@demo.test>\r\n"), "{text}");
    assert!(text.contains("Cc: =?utf-8?Q?Zo=C3=AB?= <zoe@demo.test>\r\n"), "{text}");
    assert!(!text.contains("eve@"), "{text}");
    assert_eq!(tnef.attachments[0].name.as_deref(), Some("x.eml"));
}

#[test]
fn what_is_malformed_is_told_and_the_rest_read() {
    let sound = Stream::new().file(b"a\0", b"content", &[]).bytes;
    let mut wrong = sound.clone();
    let sum_at = wrong.len() - 15;
    wrong[sum_at] ^= 1;
    let wrong = open(&wrong).unwrap();
    assert_eq!(wrong.attachments.len(), 1);
    let garbage = open(&[&sound[..], b"garbage"].concat()).unwrap();
    assert_eq!(garbage.defects, [TnefDefect::TrailingBytes]);
    let zeros = open(&[&sound[..], &[0; 9]].concat()).unwrap();
    assert_eq!(zeros.defects, []);
    let cut = open(&sound[..sound.len() - 20]).unwrap();
    assert_eq!(cut.defects, [TnefDefect::Checksum]);
    assert_eq!(cut.attachments[0].name.as_deref(), Some("a"));
    let lying = Stream::new().attribute(1, 0x9003, &[255; 4]).bytes;
    assert_eq!(open(&lying).unwrap().defects, [TnefDefect::Properties]);
    let lying = Stream::new().attribute(1, 0x9004, &[255, 255, 255, 255, 0, 0, 0]).bytes;
    assert!(open(&lying).is_some());
    assert_eq!(open(b""), None);
    assert_eq!(open(b"PK\x03\x04 not TNEF"), None);
}

fn any_stream() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..60),
        proptest::collection::vec(
            (any::<u16>(), any::<u16>(), proptest::collection::vec(any::<u8>(), 0..20)),
            0..4
        )
        .prop_map(|properties| {
            let properties =
                properties.iter().map(|(kind, id, value)| property(kind % 0x20, *id, value));
            list(&properties.collect::<Vec<_>>())
        }),
    ];
    let ids = prop_oneof![
        Just(0x800f_u16),
        Just(0x8010),
        Just(0x9001),
        Just(0x9002),
        Just(0x9003),
        Just(0x9004),
        Just(0x9005),
        Just(0x9007),
        Just(0x8004),
        any::<u16>(),
    ];
    proptest::collection::vec((1..=2_u8, ids, value), 0..12).prop_map(|attributes| {
        let attributes = attributes.into_iter();
        let stream = attributes
            .fold(Stream::new(), |stream, (level, id, value)| stream.attribute(level, id, &value));
        stream.bytes
    })
}

proptest! {
    #[test]
    fn any_bytes_behind_the_signature(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = open(&[&0x223e_9f78_u32.to_le_bytes()[..], &bytes].concat());
        let _ = rtf::read(&[&b"{\\rtf1"[..], &bytes].concat());
        let _ = lzfu::decompress(&bytes, 1000);
        let head = [9, 9, 9, 9, 9, 9, 9, 0, 0x4c, 0x5a, 0x46, 0x75, 0, 0, 0, 0];
        let _ = lzfu::decompress(&[&head[..], &bytes].concat(), 1000);
    }

    #[test]
    fn any_attributes(bytes in any_stream(), cut in 0..400_usize) {
        let _ = open(&bytes);
        let _ = open(bytes.get(..cut).unwrap_or_default());
    }

    #[test]
    fn any_rtf(words in proptest::collection::vec(
        "[{}]|\\\\[a-z]{1,3}-?[0-9]{0,5} ?|\\\\'[0-9a-f]{2}|\
         \\\\(u|uc|f|fcharset|htmlrtf|fonttbl|bin|fromhtml1|\\*\\\\htmltag)[0-9]{0,3} ?|\
         [a-z ]{1,5}",
        0..80,
    )) {
        let _ = rtf::read(format!("{{\\rtf1{}", words.concat()).as_bytes());
    }
}

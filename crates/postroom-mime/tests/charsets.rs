//! Charsets in whole messages: what labels are worth, and that no bytes under any label cost more
//! than their size, in whatever part they stand.

#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests; times are measured")]

use postroom_mime::Defect;
use postroom_mime::ParserLimits;
use postroom_mime::PartSource;
use postroom_mime::charset;
use postroom_mime::parse;
use postroom_mime::parse_reader;
use std::fmt::Write as _;
use std::io::Cursor;
use std::time::Duration;
use std::time::Instant;

/// How long a message may take; builds without optimisation are slow.
const TIME_MAX: Duration = Duration::from_millis(if cfg!(debug_assertions) { 4_000 } else { 400 });
/// How much text is decoded.
const TEXT_BYTES: usize = if cfg!(debug_assertions) { 1 << 18 } else { 1 << 21 };

const LABELS: [&str; 24] = [
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "windows-1251",
    "koi8-r",
    "cp437",
    "shift_jis",
    "euc-jp",
    "iso-2022-jp",
    "iso-2022-jp-2",
    "iso-2022-kr",
    "iso-2022-cn",
    "hz-gb-2312",
    "gbk",
    "gb18030",
    "big5",
    "euc-kr",
    "utf-7",
    "utf-16",
    "utf-16le",
    "utf-32",
    "utf-32le",
    "x-user-defined",
    "x-nothing",
];

/// 日本語のテキスト in Shift_JIS, with an escape and a shift so that no label is wrong at once.
const LINE: &[u8] =
    b"\x93\xFA\x96{\x8C\xEA\x82\xCC\x83e\x83L\x83X\x83g \x1B$B \x0E ~{ + \xFF\xC3 \xE9\r\n";

fn lines() -> Vec<u8> {
    LINE.repeat(TEXT_BYTES / LINE.len())
}

/// Bytes outside ASCII, each written with three characters.
fn escaped(mark: char, bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{mark}{byte:02X}").unwrap();
        text
    })
}

/// A message for each part in which text under a label may stand.
fn messages(label: &str) -> Vec<(&'static str, Vec<u8>)> {
    let body = |media_type: &str| {
        let fields =
            format!("From: a@b.example\r\nContent-Type: {media_type}; charset={label}\r\n\r\n");
        [fields.as_bytes(), &lines()].concat()
    };
    let part = format!("--b\r\nContent-Type: text/calendar; charset={label}\r\n\r\n");
    let part = [part.as_bytes(), b"BEGIN:VCALENDAR\r\nSUMMARY:", &lines()].concat();
    let calendars = [
        b"From: a@b.example\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n".as_slice(),
        &part.repeat(3),
    ];
    let line: Vec<u8> = lines().into_iter().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
    let rest = format!("\r\nContent-Type: text/plain; charset={label}\r\n\r\nx");
    let raw = [b"From: a@b.example\r\nSubject: ".as_slice(), &line, rest.as_bytes()];
    let words = escaped('=', line.get(..TEXT_BYTES / 4).unwrap());
    let words = format!("From: a@b.example\r\nSubject: =?{label}?Q?{words}?=\r\n\r\nx");
    let name = escaped('%', line.get(..TEXT_BYTES / 4).unwrap());
    let name =
        format!("From: a@b.example\r\nContent-Type: image/png; name*={label}''{name}\r\n\r\nx");
    vec![
        ("text", body("text/plain")),
        ("html", body("text/html")),
        ("calendar", calendars.concat()),
        ("header", raw.concat()),
        ("word", words.into_bytes()),
        ("parameter", name.into_bytes()),
    ]
}

#[test]
fn text_under_any_label_costs_only_its_size() {
    for label in LABELS {
        for (part, raw) in messages(label) {
            let start = Instant::now();
            let limits = ParserLimits {
                text_bytes_max: 2 * TEXT_BYTES,
                open_bytes_max: 4 << 20,
                ..ParserLimits::default()
            };
            let message = parse_reader(Cursor::new(&raw), &limits).unwrap();
            let time = start.elapsed();
            assert!(time <= TIME_MAX, "{label} in {part} took {time:?}");
            assert_eq!(message.from.len(), 1, "{label} in {part}");
        }
        let start = Instant::now();
        let mut decoder = charset::decoder(label);
        let mut decoded_bytes = 0;
        for piece in lines().chunks(997) {
            decoded_bytes += decoder.push(piece).len();
        }
        decoded_bytes += decoder.finish().len();
        assert!(start.elapsed() <= TIME_MAX, "{label} in pieces took {:?}", start.elapsed());
        assert!(decoded_bytes > 0, "{label}");
    }
}

#[test]
fn each_malformed_byte_costs_the_same_however_long_the_text_is() {
    let bytes = b"\x93\xFA\x96\xFF\xFE\x80\r\n".repeat(TEXT_BYTES);
    for label in ["iso-2022-jp", "iso-2022-kr", "iso-2022-cn", "hz-gb-2312", "utf-8", "euc-jp"] {
        let start = Instant::now();
        let (text, is_clean) = charset::named(label).unwrap().decode(&bytes);
        assert!(start.elapsed() <= TIME_MAX, "{label} took {:?}", start.elapsed());
        assert!(!is_clean && text.len() > bytes.len(), "{label}");
    }
}

fn text_of(fields: &str, body: &[u8]) -> (String, Vec<Defect>) {
    let head =
        format!("From: a@b.example\r\nDate: Mon, 23 Nov 2026 10:00:00 +0100\r\n{fields}\r\n");
    let message = parse(&[head.as_bytes(), body].concat());
    (message.text.or(message.html_text).unwrap_or_default(), message.defects)
}

#[test]
fn stray_bytes_leave_utf8_what_it_is() {
    let ascii = "plain line\r\n".repeat(3_000);
    for (first, last) in [("caf\u{e9}", "Grüße"), ("Grüße", "caf\u{e9}")] {
        // One of the two in windows-1252, the other in UTF-8, far from each other.
        let latin = |text: &str| -> Vec<u8> {
            text.chars().map(|char| u8::try_from(u32::from(char)).unwrap()).collect()
        };
        let bytes = |text: &str| {
            if text.starts_with("caf") { latin(text) } else { text.as_bytes().to_vec() }
        };
        let body = [&bytes(first), ascii.as_bytes(), &bytes(last)].concat();
        for label in ["utf-8", "us-ascii"] {
            for media_type in ["text/plain", "text/html"] {
                let fields = format!("Content-Type: {media_type}; charset={label}\r\n");
                let (text, _) = text_of(&fields, &body);
                assert!(text.starts_with(first) && text.ends_with(last), "{label} {media_type}");
            }
        }
    }
}

#[test]
fn a_download_decodes_stray_bytes_as_the_text_does() {
    let line = "Grüße aus München – 5 €\r\n".as_bytes();
    let body = [line.repeat(2_000).as_slice(), b"caf\xE9\r\n", &line.repeat(2_000)].concat();
    let raw =
        [b"From: a@b.example\r\nContent-Type: text/html; charset=utf-8\r\n\r\n", &*body].concat();
    let message = parse(&raw);
    let html = message.html.unwrap();
    let PartSource::Range { charset: Some(label), .. } = &html.source else {
        panic!("{:?}", html.source);
    };
    for size in [1, 7, 4096, usize::MAX] {
        let mut decoder = charset::decoder(label);
        let bytes = html.decode(&raw);
        let mut text: String = bytes.chunks(size).map(|piece| decoder.push(piece)).collect();
        text.push_str(&decoder.finish());
        assert_eq!(text.replace("\r\n", "\n"), *message.html_text.as_ref().unwrap(), "{size}");
        assert!(text.contains("café\r\nGrüße"), "{size}");
    }
}

#[test]
fn a_download_of_what_was_not_looked_at_is_utf8() {
    let line = "Grüße aus München\n".as_bytes();
    let raw = [b"From: a@b.example\nContent-Type: text/html\n\n", &*line.repeat(10), b"caf\xE9!"];
    let raw = raw.concat();
    let limits = ParserLimits { text_bytes_max: 60, ..ParserLimits::default() };
    let html = parse_reader(Cursor::new(&raw), &limits).unwrap().html.unwrap();
    let PartSource::Range { charset: Some(label), .. } = &html.source else {
        panic!("{:?}", html.source);
    };
    let mut decoder = charset::decoder(label);
    let text = decoder.push(&html.decode(&raw)) + &decoder.finish();
    assert!(text.ends_with("München\ncafé!"), "{text}");
}

#[test]
fn utf8_under_another_label_is_utf8() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &str, Option<Defect>)] = &[
        ("windows-1252", "“Grüße – 5 €".as_bytes(), "“Grüße – 5 €", Some(Defect::CharsetWrong)),
        ("iso-8859-1",   "grün".as_bytes(),         "grün",         Some(Defect::CharsetWrong)),
        ("iso-8859-2",   "łódź".as_bytes(),         "łódź",         Some(Defect::CharsetWrong)),
        ("koi8-r",       "Привет".as_bytes(),       "Привет",       Some(Defect::CharsetWrong)),
        ("cp850",        "grün".as_bytes(),         "grün",         Some(Defect::CharsetWrong)),
        ("gb2312",       "您好，世界".as_bytes(),    "您好，世界",    Some(Defect::CharsetWrong)),
        ("utf-16",       "Grüße aus München\r\n".as_bytes(), "Grüße aus München\n", Some(Defect::CharsetWrong)),
        ("utf-32",       b"plain text, nothing else", "plain text, nothing else", None),
        ("utf-16be",     b"N\xF8N\xF8",             "仸仸",          None),
        // UTF-8 with a stray byte in it, and a letter that looks like it.
        ("iso-8859-1",   b"gr\xC3\xBC\xC3\x9Fe f\xC3\xBCr M\xC3\xBCller & S\xC3\xB6hne, sch\xC3\xB6n: caf\xE9!", "grüße für Müller & Söhne, schön: café!", Some(Defect::CharsetWrong)),
        ("iso-8859-1",   b"S\xC3O, \xE2ge, \xE9t\xE9", "SÃO, âge, été",  None),
        // A capital letter and a mark, a character in UTF-8 by chance.
        ("windows-1252", b"FERM\xC9\x85",           "FERMÉ…",       None),
        ("windows-1252", b"Gru\xDF\x94 bis \xDC\x96", "Gruß” bis Ü–", None),
        ("gb2312",       b"\xC4\xE3\xBA\xC3",       "你好",          None),
        // Seven bits that are none, with nothing that shifts.
        ("iso-2022-jp",  b"\x93\xFA\x96\x7B\x8C\xEA\x82\xCC\x83e\x83L\x83X\x83g", "日本語のテキスト", Some(Defect::CharsetWrong)),
    ];
    for (label, body, want, defect) in table {
        let fields = format!("Message-ID: <a@b>\r\nContent-Type: text/plain; charset={label}\r\n");
        let (text, defects) = text_of(&fields, body);
        assert_eq!(text, *want, "{label}");
        assert_eq!(defects.first().copied(), *defect, "{label}");
    }
}

fn utf16(text: &str, is_little: bool) -> Vec<u8> {
    let order = |unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() };
    text.encode_utf16().flat_map(order).collect()
}

#[test]
fn utf16_is_read_under_any_label_and_other_text_under_its_labels() {
    use base64::Engine as _;
    let base64 = |bytes: &[u8]| base64::engine::general_purpose::STANDARD.encode(bytes);
    let (text, marked) = ("Grüße aus München\n", "\u{FEFF}关于提升企业服务水平");
    for label in ["utf-8", "us-ascii", "iso-8859-1", "windows-1251", "gbk", "utf-16", "x-nothing"] {
        for is_little in [true, false] {
            for (written, want) in [(text, text), (marked, marked.trim_start_matches('\u{FEFF}'))] {
                let bytes = base64(&utf16(written, is_little));
                for media_type in ["text/plain", "text/html"] {
                    let fields = format!(
                        "Content-Type: {media_type}; charset={label}\r\n\
                         Content-Transfer-Encoding: base64\r\n"
                    );
                    let (got, _) = text_of(&fields, bytes.as_bytes());
                    assert_eq!(got, want, "{label} {media_type} {is_little}");
                }
                let word = format!("=?{label}?B?{bytes}?=");
                let got = subject("us-ascii", word.as_bytes());
                assert_eq!(got.trim_end(), want.trim_end(), "{label}");
            }
        }
    }
    let (latin, ..) = encoding_rs::WINDOWS_1252.encode(text);
    for label in ["utf-16", "utf-16le", "utf-16be", "utf-32", "ucs-2"] {
        for bytes in [text.as_bytes(), &latin] {
            let fields = format!("Content-Type: text/plain; charset={label}\r\n");
            assert_eq!(text_of(&fields, bytes).0, text, "{label}");
            let word = format!("=?{label}?B?{}?=", base64(bytes));
            let got = subject("us-ascii", word.as_bytes());
            assert_eq!(got.trim_end(), text.trim_end(), "{label}");
        }
        let fields = format!("Content-Type: text/plain; charset={label}\r\n");
        assert_eq!(text_of(&fields, b"Hi!\r\n").0, "Hi!\n", "{label}");
    }
}

#[test]
fn escapes_are_read_under_any_label_that_has_none() {
    use base64::Engine as _;
    let (japanese, korean) = ("会議のお知らせ", "안녕");
    let raw = b"\x1B$B2q5D$N$*CN$i$;\x1B(B".as_slice();
    let raw_korean = b"\x1B$)C\x0E>H3g\x0F".as_slice();
    for label in ["us-ascii", "iso-8859-1", "windows-1252", "utf-8", "iso-2022-jp", "koi8-r", "gbk"]
    {
        assert_eq!(subject(label, raw), japanese, "{label}");
        assert_eq!(subject(label, &[b"\xEF\xBB\xBF", raw].concat()), japanese, "{label}");
        assert_eq!(subject(label, raw_korean), korean, "{label}");
        let reply = [b"Re: ", raw, b"\r\n ", raw].concat();
        assert_eq!(subject(label, &reply), format!("Re: {japanese} {japanese}"), "{label}");
        if label == "gbk" {
            continue;
        }
        let word = base64::engine::general_purpose::STANDARD.encode(raw);
        assert_eq!(subject("", format!("=?{label}?B?{word}?=").as_bytes()), japanese, "{label}");
        let fields = format!("Content-Type: text/plain; charset={label}\r\n");
        assert_eq!(text_of(&fields, raw).0, japanese, "{label}");
    }
}

fn subject(label: &str, subject: &[u8]) -> String {
    let rest = format!("\r\nContent-Type: text/plain; charset={label}\r\n\r\nx");
    let raw = [b"Subject: ".as_slice(), subject, rest.as_bytes()];
    parse(&raw.concat()).subject.unwrap_or_default()
}

#[test]
fn the_bytes_of_a_header_count_more_than_the_label_of_the_body() {
    let (japanese, russian, chinese) =
        ("請求書の送付について", "Счёт за услуги связи за май", "关于提升企业服务水平的通知");
    let (japanese_raw, ..) = encoding_rs::SHIFT_JIS.encode(japanese);
    let (russian_raw, ..) = encoding_rs::WINDOWS_1251.encode(russian);
    let (chinese_raw, ..) = encoding_rs::GBK.encode(chinese);
    for label in ["us-ascii", "iso-8859-1", "windows-1252", "iso-8859-15", "utf-8", "x-nothing"] {
        assert_eq!(subject(label, &japanese_raw), japanese, "{label}");
        assert_eq!(subject(label, &russian_raw), russian, "{label}");
        assert_eq!(subject(label, &chinese_raw), chinese, "{label}");
        assert_eq!(subject(label, b"Gr\xFC\xDFe aus M\xFCnchen"), "Grüße aus München", "{label}");
        assert_eq!(subject(label, "Grüße: caf\u{e9} für".as_bytes()), "Grüße: café für", "{label}");
        let mut damaged = "Grüße für Müller: ".as_bytes().to_vec();
        damaged.extend(b"caf\xE9");
        damaged.push(b'!');
        assert_eq!(subject(label, b"gr\xC3\xBCn, caf\xE9!"), "grün, café!", "{label}");
        assert_eq!(subject(label, &damaged), "Grüße für Müller: café!", "{label}");
    }
    // A label that says something is believed.
    assert_eq!(subject("iso-8859-2", b"\xB3\xF3d\xBC"), "łódź");
    assert_eq!(subject("windows-1251", &russian_raw), russian);
    assert_eq!(subject("shift_jis", &japanese_raw), japanese);
}

#[test]
fn a_short_field_is_in_the_charset_of_its_header() {
    let (subject, ..) = encoding_rs::GBK.encode("关于提升企业服务水平的通知");
    let (name, ..) = encoding_rs::GBK.encode("王小明");
    let raw = [b"From: \"", &*name, b"\" <a@b.example>\r\nSubject: ", &*subject, b"\r\n\r\nx"];
    let message = parse(&raw.concat());
    assert_eq!(message.subject.as_deref(), Some("关于提升企业服务水平的通知"));
    assert_eq!(message.from.first().unwrap().name.as_deref(), Some("王小明"));
}

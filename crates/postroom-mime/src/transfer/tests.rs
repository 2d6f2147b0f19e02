//! Tables of encoded bodies, well formed and not.

use super::*;
use ::base64::Engine as _;
use ::base64::engine::general_purpose::URL_SAFE;
use ::base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;

fn check(encoding: TransferEncoding, body: &[u8], want: &[u8]) {
    let got = encoding.decode(body);
    assert_eq!(got.escape_ascii().to_string(), want.escape_ascii().to_string());
    // The same, byte by byte.
    let (mut decoder, mut pieces) = (encoding.decoder(), Vec::new());
    for byte in body {
        decoder.push(&[*byte], &mut pieces);
    }
    decoder.finish(&mut pieces);
    assert_eq!(pieces, got, "{}", body.escape_ascii());
}

#[test]
fn base64_is_decoded_as_it_arrives() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &[u8])] = &[
        ("lines",                     b"Z3L8\r\nbmVyIFRl\r\neHQ=\r\n", b"gr\xFCner Text"),
        ("no padding",                b"eHQ",                       b"xt"),
        ("one character too many",    b"eHR0eA==e",                 b"xttx"),
        ("a lone character",          b"eHR0e",                     b"xtt"),
        ("blanks and junk within",    b"e H\tR!0*e-A==",            b"xttx"),
        ("padding in between",        b"eA==\r\neHR0\r\neA==\r\n",  b"xxttx"),
        ("a footer behind the end",   b"eA==\r\n\r\n____\r\nThis list is free\r\n", b"x"),
        ("padding too long",          b"eHR0eA====\r\n",            b"xttx"),
        ("padding cut",               b"eHR0eA=",                   b"xttx"),
        ("URL-safe",                  b"-_-_AAD_\r\n_-8=\r\n",   b"\xFB\xFF\xBF\0\0\xFF\xFF\xEF"),
        ("URL-safe, no padding",      b"AAAA_w",                    b"\0\0\0\xFF"),
        ("URL-safe, a mark first",    b"AAA_\n-AAA\n_AAA\n",       b"\0\0?\xF8\0\0\xFC\0\0"),
        ("URL-safe, two marks first", b"AA_-AAAA\n--AAAAAA\n__AAAAAA\n--AA\n", b"\0\x0F\xFE\0\0\0\xFB\xE0\0\0\0\0\xFF\xF0\0\0\0\0\xFB\xE0\0"),
        ("URL-safe, then a delimiter", b"AA_-AAAA\n--b--\nAAAA",    b"\0\x0F\xFE\0\0\0"),
        ("URL-safe, then a rule",     b"AA_-AAAA\n________\nAAAA",  b"\0\x0F\xFE\0\0\0"),
        ("URL-safe, then a second",   b"AA_-AA==\nAA_-\n",          b"\0\x0F\xFE\0\0\x0F\xFE"),
        ("marks in the other alphabet", b"AA+/\nA-A_A/\n",          b"\0\x0F\xBF\0\0?"),
        ("a rule without padding",    b"AAAA\n______\nAAAA",        b"\0\0\0\0\0\0"),
        ("padding first",             b"=eHR0",                     b"xtt"),
        ("nothing",                   b"",                          b""),
    ];
    for (why, body, want) in table {
        println!("{why}");
        check(TransferEncoding::Base64, body, want);
    }
}

#[test]
fn quoted_printable_is_decoded_as_it_arrives() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &[u8])] = &[
        ("escapes",               b"gr=FCn =e4=3D",         b"gr\xFCn \xE4="),
        ("soft line break",       b"one=\r\n two=\nthree",  b"one twothree"),
        ("blanks behind it",      b"one= \t\r\ntwo",        b"onetwo"),
        ("bare CR behind it",     b"one=\rtwo",             b"onetwo"),
        ("at the end",            b"one=",                  b"one"),
        ("no escape",             b"a=b c=XYd=",            b"a=b c=XYd"),
        ("half an escape",        b"=4",                    b"=4"),
        ("an escape in escape",   b"==41",                  b"=A"),
        ("blanks then text",      b"a=  b",                 b"a=  b"),
        ("blanks before the end", b"a \t\r\nb \nc ",        b"a\r\nb\nc"),
        ("blanks that stay",      b"a=20\r\n  b",           b"a \r\n  b"),
        ("eight bit",             b"\xC3\xBC=C3=BC",        b"\xC3\xBC\xC3\xBC"),
    ];
    for (why, body, want) in table {
        println!("{why}");
        check(TransferEncoding::QuotedPrintable, body, want);
    }
}

#[test]
fn names_of_encodings_are_found_again() {
    for encoding in
        [TransferEncoding::Identity, TransferEncoding::Base64, TransferEncoding::QuotedPrintable]
    {
        assert_eq!(TransferEncoding::from_name(encoding.as_str()), encoding);
    }
}

#[test]
fn a_body_tells_whether_it_is_encoded() {
    const BASE64: TransferEncoding = TransferEncoding::Base64;
    const QUOTED: TransferEncoding = TransferEncoding::QuotedPrintable;
    #[rustfmt::skip]
    let table: &[(TransferEncoding, &[u8], bool)] = &[
        (BASE64,                     b"\r\nQUJD\r\nQUJD\r\n",       true),
        (BASE64,                     b"QUI=\n-- \nA list\n",        true),
        (BASE64,                     b"QUJD\n\nA list\n",           true),
        (BASE64,                     b"",                           true),
        (BASE64,                     b"A text.\n",                  false),
        (BASE64,                     b"Hello\n",                    false),
        (BASE64,                     b"QUJD\rQUJD\r",               true),
        (BASE64,                     b"QUI\n",                      true),
        (BASE64,                     b"QUJDQUJDQUJDQUJDQUJD QUJD",  true),
        (QUOTED,                     b"gr=C3=BCn=\r\n!",            true),
        (QUOTED,                     b"gr=c3=bcn",                  true),
        (QUOTED,                     b"a = b",                      false),
        (QUOTED,                     b"a=",                         true),
        (QUOTED,                     b"a= \r\nb=  \nc",             true),
        (TransferEncoding::Identity, b"a = b",                      true),
    ];
    for (encoding, body, want) in table {
        assert_eq!(encoding.fits(body, true), *want, "{}", body.escape_ascii());
    }
    assert!(BASE64.fits(b"QUJDQ\n", false) && !BASE64.fits(b"QUJDQ\n", true));
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        body in proptest::collection::vec(prop_oneof![Just(b'='), Just(b'\n'), Just(b'\r'), Just(b' '), Just(b'4'), Just(b'-'), Just(b'_'), Just(b'4'), any::<u8>()], 0..300),
        at in 0_usize..300,
    ) {
        for encoding in [TransferEncoding::Base64, TransferEncoding::QuotedPrintable] {
            let (first, second) = body.split_at(at.min(body.len()));
            let (mut decoder, mut content) = (encoding.decoder(), Vec::new());
            decoder.push(first, &mut content);
            decoder.push(second, &mut content);
            decoder.finish(&mut content);
            prop_assert_eq!(&content, &encoding.decode(&body));
            let (mut counter, mut scratch) = (encoding.decoder(), Vec::new());
            let pieces = first.chunks(3).chain([second]);
            let counted: u64 = pieces.map(|piece| counter.count(piece, &mut scratch)).sum();
            scratch.clear();
            counter.finish(&mut scratch);
            prop_assert_eq!(counted + scratch.len() as u64, content.len() as u64);
            prop_assert_eq!(counter.is_malformed(), decoder.is_malformed());
        }
    }

    #[test]
    fn url_safe_base64_gives_the_bytes_that_were_encoded(
        bytes in proptest::collection::vec(prop_oneof![Just(0xFB), Just(0xEF), Just(0xBE), Just(0xFF), any::<u8>()], 0..300),
        width in 60_usize..1200,
        is_padded: bool,
    ) {
        // The first line shows the alphabet.
        let bytes = [&[0, 0, 0x3F], bytes.as_slice()].concat();
        let coded = if is_padded { URL_SAFE.encode(&bytes) } else { URL_SAFE_NO_PAD.encode(&bytes) };
        let lines: Vec<_> = coded.as_bytes().chunks(width).collect();
        // A last line without padding that begins like a delimiter is taken for one.
        let is_delimiter = lines.last().is_some_and(|line| line.starts_with(b"--") || line.ends_with(b"--"));
        prop_assume!(!is_delimiter);
        prop_assert_eq!(TransferEncoding::Base64.decode(&lines.join(&b"\r\n"[..])), bytes);
    }
}

#[test]
fn a_line_of_dashes_ends_base64_in_whatever_pieces_it_comes() {
    #[rustfmt::skip]
    let table: &[(&[u8], &[u8])] = &[
        (b"YWJj\r\n--==in--\r\nYWJj",          b"abc"),
        (b"YWJj\n--\nAnna",                    b"abc"),
        (b"YWI\n--b\n",                        b"ab"),
        (b"YW\n-Jj",                           b"abc"),
        (b"YWJj\n - --YWJj",                   b"abcabc"),
        (b"--b\nYWJj\n--b--\n",                b"abc"),
        (b"YWJj\r\n\r\n--b--",                 b"abc"),
        (b"YWJjZGVmZ2hpamtsbW5vcA==\nYWJjZGVmZ2hpamtsbW5vcHF\nyc3Q=", b"abcdefghijklmnopabcdefghijklmnopqrst"),
    ];
    for (body, want) in table {
        for size in 1..=body.len() {
            let (mut content, mut counted, mut scratch) = (vec![], 0, vec![]);
            let mut decoder = TransferEncoding::Base64.decoder();
            let mut counter = TransferEncoding::Base64.decoder();
            for piece in body.chunks(size) {
                decoder.push(piece, &mut content);
                counted += counter.count(piece, &mut scratch);
            }
            decoder.finish(&mut content);
            scratch.clear();
            counter.finish(&mut scratch);
            assert_eq!(
                content.escape_ascii().to_string(),
                want.escape_ascii().to_string(),
                "{size}"
            );
            assert_eq!(counted + scratch.len() as u64, want.len() as u64, "{size}");
        }
    }
}

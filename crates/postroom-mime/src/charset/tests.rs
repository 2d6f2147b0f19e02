//! Tables of charsets and labels.

use super::*;
use crate::charset::pages::PAGES;
use proptest::prelude::*;

fn check(label: Option<&str>, bytes: &[u8], want: &str) {
    let got = decode(bytes.to_vec(), label, &mut Detection::default());
    assert_eq!(got.text, want, "{label:?} {}", bytes.escape_ascii());
    if let Some(charset) = got.charset {
        // The same, byte by byte.
        let mut decoder = charset.decoder();
        let mut pieces: String = bytes.iter().map(|byte| decoder.push(&[*byte])).collect();
        pieces.push_str(&decoder.finish());
        assert_eq!(pieces, want, "{label:?} {}", bytes.escape_ascii());
    }
}

#[test]
fn labels_mean_what_mail_means_by_them() {
    #[rustfmt::skip]
    let table: &[(&str, &[u8], &str)] = &[
        ("iso-8859-1",        b"\x93gr\xFCn\x94",           "“grün”"),
        ("ISO_8859-15",       b"\xA4",                      "€"),
        ("\"utf-8\"",         "grün".as_bytes(),            "grün"),
        ("utf8",              b"\xEF\xBB\xBFgr\xC3\xBCn",   "grün"),
        ("cp932",             b"\x93\xFA\x96\x7B",          "日本"),
        ("iso-2022-jp-ms",    b"\x1B$BF|K\\\x1B(B",         "日本"),
        ("gb2312",            b"\xD6\xD0\x87\xE5",          "中囧"),
        ("ks_c_5601",         b"\xC7\xD1\xB1\xDB",          "한글"),
        ("ks_c_5601-1987",    b"\xC7\xD1\xB1\xDB",          "한글"),
        ("iso-2022-kr",       b"\x1B$)C\x0EGQ1[\x0F a",     "한글 a"),
        ("hz-gb-2312",        b"~{VPND~} a~~",              "中文 a~"),
        ("unicode-1-1-utf-7", b"Hi +ZeVnLIqe- +-",          "Hi 日本語 +"),
        ("utf-7",             b"+2D3cfA-",                  "👼"),
        ("cp850",             b"gr\x81n",                   "grün"),
        ("ibm437",            b"\xE3",                      "π"),
        ("x-mac-roman",       b"\x9F",                      "ü"),
        ("mac-roman",         b"\x9F",                      "ü"),
        ("viscii",            b"Vi\xAEt",                   "Việt"),
        ("windows1251",       b"\xCF\xF0\xE8",              "При"),
        ("win-1251",          b"\xCF\xF0\xE8",              "При"),
        ("koi8-r",            b"\xF0\xD2\xC9",              "При"),
        ("big5",              b"\xA4\xA4\xA4\xE5",          "中文"),
        ("utf-16",            b"\xFE\xFF\x00g\x00\xFC",     "gü"),
        ("utf-32",            b"\x00\x00\x00g\x00\x00\x00\xFC", "gü"),
        ("iso-8859-1; format=flowed", b"\xFC",              "ü"),
        ("tis-620",           b"\xA1",                      "ก"),
    ];
    for (label, bytes, want) in table {
        check(Some(label), bytes, want);
    }
}

#[test]
fn what_is_not_declared_is_found_out() {
    #[rustfmt::skip]
    let table: &[(Option<&str>, &[u8], &str)] = &[
        (Some("us-ascii"), "grün".as_bytes(),               "grün"),
        (Some("us-ascii"), b"Die B\xE4ume sind gr\xFCn",    "Die Bäume sind grün"),
        (None,             b"plain",                        "plain"),
        (None,             "日本".as_bytes(),                "日本"),
        (None,             b"\x1B$BF|K\\\x1B(B",            "日本"),
        (None,             b"\xCF\xF0\xE8\xE2\xE5\xF2, \xEA\xE0\xEA \xE4\xE5\xEB\xE0?", "Привет, как дела?"),
        (Some("x-unknown"), b"na\xEFve caf\xE9 au lait",    "naïve café au lait"),
        (Some("utf-8"),    b"Die B\xE4ume sind gr\xFCn",    "Die Bäume sind grün"),
        (Some("utf-8"),    b"gr\xC3\xBCn und caf\xE9",      "grün und café"),
        (Some("utf-8"),    b"\xE6\x97\xA5\xE6",          "日\u{FFFD}"),
        (Some("utf-8"),    b"gr\xC3\xBCn f\xFCr 5 \x80.",   "grün für 5 €."),
        (Some("utf-8"),    b"gr\xC3\xBCn und wei\xC3",      "grün und wei\u{FFFD}"),
        (Some("shift_jis"), "日本語".as_bytes(),             "日本語"),
    ];
    for (label, bytes, want) in table {
        check(*label, bytes, want);
    }
}

#[test]
fn escapes_that_switch_nothing_are_left_out() {
    check(Some("iso-2022-jp"), b"\x1B$BF|\x1B(B\x1B$BK\\\x1B(B\x1B(B", "日本");
    check(Some("iso-2022-jp"), b"a\x1B$BF|\x1B(J\x1B$BK\\\x1B(Bb", "a日本b");
}

#[test]
fn defects_say_what_is_wrong() {
    let defect =
        |bytes: &[u8], label| decode(bytes.to_vec(), label, &mut Detection::default()).defect;
    assert_eq!(defect(b"a", None), None);
    assert_eq!(defect(b"\xFC", None), Some(Defect::CharsetMissing));
    assert_eq!(defect("ü".as_bytes(), Some("us-ascii")), Some(Defect::CharsetMissing));
    assert_eq!(defect(b"\xFC", Some("klingon")), Some(Defect::CharsetUnknown));
    assert_eq!(defect(b"\xFC", Some("utf-8")), Some(Defect::CharsetWrong));
    assert_eq!(defect(b"\xFC", Some("iso-8859-1")), None);
}

#[test]
fn every_page_has_128_characters_and_a_name_of_its_own() {
    for (at, (names, upper)) in PAGES.iter().enumerate() {
        assert_eq!(upper.chars().count(), 128, "{names:?}");
        for name in *names {
            assert_eq!(Charset::for_label(name), Some(Charset::Page(at)), "{name}");
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_charset(bytes in proptest::collection::vec(any::<u8>(), 0..200), at in 0_usize..200) {
        for label in ["utf-8", "utf-7", "iso-2022-jp", "iso-2022-kr", "hz", "cp437", "utf-32", "utf-16", "gbk"] {
            let (first, second) = bytes.split_at(at.min(bytes.len()));
            let mut decoder = decoder(label);
            let mut text = decoder.push(first);
            text.push_str(&decoder.push(second));
            text.push_str(&decoder.finish());
            let mut whole = super::decoder(label);
            let mut want = whole.push(&bytes);
            want.push_str(&whole.finish());
            prop_assert_eq!(text, want);
            let _ = decode(bytes.clone(), Some(label), &mut Detection::default());
        }
        let _ = decode_raw(&bytes, Charset::for_label("iso-2022-jp"), &mut Detection::default());
    }
}

#[test]
fn a_cut_sample_and_a_spent_budget_still_find_the_charset() {
    // 東京の桜は春に咲く in Shift_JIS, so often that any sample is cut somewhere in it.
    let (line, ..) = encoding_rs::SHIFT_JIS.encode("東京の桜は春に咲く、と彼女は言った。");
    for cut in 0..4 {
        let text = [&b"abc"[..cut.min(3)], &line.repeat(4_000)].concat();
        let mut detection = Detection::default();
        for _ in 0..20 {
            assert_eq!(detection.of(&text), Charset::Whatwg(encoding_rs::SHIFT_JIS), "{cut}");
        }
        // What does not fit the charset found last is taken byte by byte.
        assert_eq!(detection.of(b"gr\xFC\xDF"), Charset::Whatwg(encoding_rs::WINDOWS_1252));
    }
    let binary: Vec<u8> = (0..=255).cycle().take(5_000).collect();
    assert_eq!(Detection::default().of(&binary), Charset::Whatwg(encoding_rs::WINDOWS_1252));
}

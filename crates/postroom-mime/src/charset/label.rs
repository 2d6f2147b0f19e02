//! Labels of charsets, as browsers and as mail know them.

use crate::charset::known::Charset;
use crate::charset::pages::PAGES;
use encoding_rs::Encoding;

/// Longer labels than this are none.
const LABEL_BYTES_MAX: usize = 48;

/// Names that mail uses beside those of the WHATWG, and what they mean.
const ALIASES: &[(&str, &str)] = &[
    ("646", "windows-1252"),
    ("cp932", "shift_jis"),
    ("ms932", "shift_jis"),
    ("cp943", "shift_jis"),
    ("x-ms-cp932", "shift_jis"),
    ("iso-2022-jp-ms", "iso-2022-jp"),
    ("iso-2022-jp-1", "iso-2022-jp"),
    ("iso-2022-jp-2", "iso-2022-jp"),
    ("iso-2022-jp-3", "iso-2022-jp"),
    ("iso-2022-jp-2004", "iso-2022-jp"),
    ("cp50220", "iso-2022-jp"),
    ("cp50221", "iso-2022-jp"),
    ("cp50222", "iso-2022-jp"),
    ("jis", "iso-2022-jp"),
    ("eucjp", "euc-jp"),
    ("eucjp-ms", "euc-jp"),
    ("cp51932", "euc-jp"),
    ("ujis", "euc-jp"),
    ("ks-c-5601", "euc-kr"),
    ("ksc-5601", "euc-kr"),
    ("cp949", "euc-kr"),
    ("ms949", "euc-kr"),
    ("uhc", "euc-kr"),
    ("euckr", "euc-kr"),
    ("cp936", "gbk"),
    ("ms936", "gbk"),
    ("euc-cn", "gbk"),
    ("euccn", "gbk"),
    ("gb-2312", "gbk"),
    ("gb18030-2000", "gb18030"),
    ("gb18030-2005", "gb18030"),
    ("cp950", "big5"),
    ("ms950", "big5"),
    ("big5-eten", "big5"),
    ("big5hkscs", "big5"),
    ("tis620", "windows-874"),
    ("cp874", "windows-874"),
    ("ansi", "windows-1252"),
    ("latin-1", "windows-1252"),
    ("latin", "windows-1252"),
    ("western", "windows-1252"),
    ("latin-9", "iso-8859-15"),
    ("latin9", "iso-8859-15"),
    ("macroman", "macintosh"),
    ("mac-roman", "macintosh"),
    ("apple-roman", "macintosh"),
    ("x-mac-latin1", "macintosh"),
    ("mac-cyrillic", "x-mac-cyrillic"),
    ("maccyrillic", "x-mac-cyrillic"),
    ("koi8", "koi8-r"),
    ("koi8r", "koi8-r"),
    ("koi8u", "koi8-u"),
    ("koi8-ru", "koi8-u"),
    ("cp65001", "utf-8"),
    ("utf8mb4", "utf-8"),
    ("utf-8-sig", "utf-8"),
    ("utf-8-mac", "utf-8"),
    ("utf-8-strict", "utf-8"),
    ("ucs-2", "utf-16be"),
    ("ucs2", "utf-16be"),
    ("ucs-2le", "utf-16le"),
    ("iso-10646-ucs-2", "utf-16be"),
    ("utf-16", "utf-16le"),
];

/// Whether a label means ASCII, and so nothing for other bytes.
pub(crate) fn is_ascii(label: &str) -> bool {
    let label = label.trim();
    let is = |name: &&str| label.eq_ignore_ascii_case(name);
    label.as_bytes().windows(5).any(|part| part.eq_ignore_ascii_case(b"ascii"))
        || ["ansi_x3.4-1968", "iso646-us", "646", "ibm367"].iter().any(is)
}

impl Charset {
    /// The charset of a label. `None` if it is unknown, or says that it is not known.
    #[must_use]
    pub fn for_label(label: &str) -> Option<Self> {
        usual(label).or_else(|| any(label))
    }
}

/// The labels of nearly all mail.
fn usual(label: &str) -> Option<Charset> {
    let is = |name: &str| label.eq_ignore_ascii_case(name);
    match label.len() {
        5 if is("utf-8") => Some(Charset::Whatwg(encoding_rs::UTF_8)),
        8 if is("us-ascii") => Some(Charset::Whatwg(encoding_rs::WINDOWS_1252)),
        10 if is("iso-8859-1") => Some(Charset::Whatwg(encoding_rs::WINDOWS_1252)),
        12 if is("windows-1252") => Some(Charset::Whatwg(encoding_rs::WINDOWS_1252)),
        _ => None,
    }
}

fn any(label: &str) -> Option<Charset> {
    let is_edge = |char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>' | '=');
    let label = label.trim_matches(is_edge);
    let label = label.split([';', ' ', ',', '(']).next().unwrap_or_default();
    if label.is_empty() || label.len() > LABEL_BYTES_MAX {
        return None;
    }
    let label = label.to_ascii_lowercase();
    own(&label).or_else(|| whatwg(&label)).or_else(|| {
        let plain = label.replace('_', "-");
        let plain = plain.strip_prefix("x-").unwrap_or(&plain);
        own(plain).or_else(|| whatwg(plain)).or_else(|| spelled(plain))
    })
}

/// Charsets that browsers do not decode.
fn own(label: &str) -> Option<Charset> {
    Some(match label {
        "utf-7" | "utf7" | "unicode-1-1-utf-7" | "unicode-2-0-utf-7" | "csunicode11utf7"
        | "cp65000" => Charset::Utf7,
        "iso-2022-kr" | "csiso2022kr" | "cp50225" => Charset::Iso2022Kr,
        "iso-2022-cn" | "iso-2022-cn-ext" => Charset::Iso2022Cn,
        "hz-gb-2312" | "hz" | "hzgb2312" => Charset::Hz,
        "utf-32" | "utf-32be" | "utf32" | "ucs-4" | "ucs-4be" => {
            Charset::Utf32 { little_endian: false }
        }
        "utf-32le" | "ucs-4le" => Charset::Utf32 { little_endian: true },
        _ => Charset::Page(PAGES.iter().position(|(names, _)| names.contains(&label))?),
    })
}

fn whatwg(label: &str) -> Option<Charset> {
    let alias = ALIASES.iter().find(|(name, _)| *name == label);
    let label = alias.map_or(label, |(_, label)| *label);
    let found = Encoding::for_label_no_replacement(label.as_bytes());
    found.filter(|encoding| *encoding != encoding_rs::X_USER_DEFINED).map(Charset::Whatwg)
}

/// Labels with their parts written together or apart: `windows1251`, `win-1251`, `iso8859.2`.
fn spelled(label: &str) -> Option<Charset> {
    let start = label.find(|char: char| char.is_ascii_digit())?;
    let (word, number) = label.split_at_checked(start)?;
    let number = number.replace('.', "-");
    let word = word.trim_end_matches('-');
    let tries = match word {
        "windows" | "win" | "cp" | "mswin" | "microsoft-cp" | "ms" | "ansi" => {
            [format!("windows-{number}"), format!("cp{number}")]
        }
        "iso" | "iso-ir" | "" => [format!("iso-{number}"), format!("iso-8859-{number}")],
        _ => [format!("{word}{number}"), format!("{word}-{number}")],
    };
    tries.iter().find_map(|label| own(label).or_else(|| whatwg(label)))
}

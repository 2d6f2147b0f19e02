//! File names that are safe on every system and unique within their message.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// How many bytes a name has at most; file systems take 255.
const NAME_BYTES_MAX: usize = 200;
/// What is kept of an extension.
const EXTENSION_BYTES_MAX: usize = 16;
/// Names that Windows takes for devices.
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// The longest of them.
const DEVICE_BYTES_MAX: usize = 7;

/// The names of one message.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    /// The names in lower case, because some file systems ignore case. Each has the number that the
    /// next file of this name gets.
    taken: BTreeMap<String, usize>,
}

impl FileNames {
    /// A harmless name that no file of the message has yet.
    pub(crate) fn name(&mut self, declared: Option<&str>, media_type: &str) -> String {
        let name = declared.map(harmless).filter(|name| !name.is_empty());
        let name =
            name.unwrap_or_else(|| format!("{}{}", stem_of(media_type), extension_of(media_type)));
        let folded = name.to_lowercase();
        let Some(mut number) = self.taken.get(&folded).copied() else {
            self.taken.insert(folded, 2);
            return name;
        };
        let (stem, extension) = split(&name);
        // Each try passes over a name that is taken: over all files there are as many as names.
        let numbered = loop {
            let numbered = format!("{stem} ({number}){extension}");
            number += 1;
            if let Entry::Vacant(free) = self.taken.entry(numbered.to_lowercase()) {
                free.insert(2);
                break numbered;
            }
        };
        self.taken.insert(folded, number);
        numbered
    }
}

/// The name without unsafe parts: paths, control and invisible characters, and characters and names
/// that file systems reserve. It may be empty.
#[must_use]
pub(crate) fn harmless(declared: &str) -> String {
    let declared = declared.trim();
    if is_usual(declared) {
        return declared.to_owned();
    }
    let is_path = declared.starts_with(['/', '\\', '.'])
        || declared.get(1..3).is_some_and(|drive| drive == ":\\" || drive == ":/")
        || declared.contains("://")
        || declared.contains('\\');
    let last = if is_path { declared.rsplit(['/', '\\']).next() } else { Some(declared) };
    let last = last.unwrap_or_default();
    let plain = |char: char| match char {
        '<' | '>' | ':' | '"' | '/' | '\\' | '|' | '?' | '*' => Some('_'),
        '\t' | '\n' | '\r' => Some(' '),
        _ if is_invisible(char) => None,
        _ => Some(char),
    };
    let mut before = None;
    let mut chars = last.chars().peekable();
    let mut name = String::with_capacity(last.len());
    while let Some(char) = chars.next() {
        let kept = match char {
            '\u{200C}' | '\u{200D}' => joins(before, chars.peek().copied()).then_some(char),
            char => plain(char),
        };
        name.extend(kept);
        before = kept.or(before);
    }
    let name = name.trim_matches([' ', '.']);
    let name = shortened(name);
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_lowercase();
    let is_numbered = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let is_device = DEVICES.contains(&stem.as_str())
        || is_numbered.is_some_and(|number| {
            number.chars().count() == 1 && !number.starts_with(char::is_alphabetic)
        });
    if is_device { format!("_{name}") } else { name }
}

/// Whether a name needs no second look.
fn is_usual(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    // Longer than the name of any device.
    let stem = name.bytes().position(|byte| byte == b'.').unwrap_or(name.len());
    (DEVICE_BYTES_MAX + 1..=NAME_BYTES_MAX).contains(&name.len())
        && stem > DEVICE_BYTES_MAX
        && !name.ends_with('.')
        && name.bytes().all(is_plain)
}

/// Whether a joiner is inside a word that needs it: Persian, Indian languages, emoji. Between ASCII
/// letters it would only make two names look alike.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let is_joined = |char: char| !char.is_ascii() && !char.is_whitespace() && !is_invisible(char);
    before.is_some_and(is_joined) && after.is_some_and(is_joined)
}

fn is_invisible(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}')
        || matches!(char, '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{2028}' | '\u{2029}')
        || matches!(char, '\u{FFF9}'..='\u{FFFC}' | '\u{AD}' | '\u{E0000}'..='\u{E007F}')
}

/// Cuts a name that is too long, in its stem.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_BYTES_MAX {
        return name.to_owned();
    }
    let (stem, extension) = split(name);
    let mut end = NAME_BYTES_MAX - extension.len();
    while !stem.is_char_boundary(end.min(stem.len())) {
        end -= 1;
    }
    format!("{}{extension}", stem.get(..end).unwrap_or(stem).trim_end())
}

/// The name before its extension, and the extension with its dot.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(at) if at > 0 && name.len() - at <= EXTENSION_BYTES_MAX => {
            name.split_at_checked(at).unwrap_or((name, ""))
        }
        _ => (name, ""),
    }
}

fn stem_of(media_type: &str) -> &'static str {
    match media_type.split('/').next() {
        Some("image") => "image",
        Some("message") => "message",
        Some("audio") => "audio",
        Some("video") => "video",
        Some("text") => "text",
        _ => "attachment",
    }
}

fn extension_of(media_type: &str) -> &'static str {
    match media_type {
        "text/plain" => ".txt",
        "text/html" => ".html",
        "text/calendar" | "application/ics" => ".ics",
        "text/csv" => ".csv",
        "text/markdown" | "text/x-markdown" => ".md",
        "text/css" => ".css",
        "text/javascript" | "application/javascript" => ".js",
        "text/x-vcalendar" => ".vcs",
        "text/xml" | "application/xml" => ".xml",
        "text/vcard" | "text/x-vcard" | "text/directory" => ".vcf",
        "text/rtf" | "application/rtf" => ".rtf",
        "message/rfc822" | "message/global" => ".eml",
        "message/delivery-status"
        | "message/disposition-notification"
        | "text/rfc822-headers"
        | "message/feedback-report" => ".txt",
        "image/jpeg" | "image/jpg" | "image/pjpeg" => ".jpg",
        "image/png" => ".png",
        "image/gif" => ".gif",
        "image/bmp" => ".bmp",
        "image/tiff" => ".tif",
        "image/svg+xml" => ".svg",
        "image/webp" => ".webp",
        "image/heic" | "image/heif" => ".heic",
        "image/avif" => ".avif",
        "image/x-icon" | "image/vnd.microsoft.icon" => ".ico",
        "audio/mpeg" | "audio/mp3" => ".mp3",
        "audio/wav" | "audio/x-wav" | "audio/wave" => ".wav",
        "audio/ogg" => ".ogg",
        "audio/mp4" | "audio/x-m4a" => ".m4a",
        "audio/amr" => ".amr",
        "audio/midi" => ".mid",
        "video/mp4" => ".mp4",
        "video/quicktime" => ".mov",
        "video/mpeg" => ".mpg",
        "video/webm" => ".webm",
        "video/x-msvideo" => ".avi",
        "video/3gpp" => ".3gp",
        "application/pdf" => ".pdf",
        "application/zip" | "application/x-zip-compressed" => ".zip",
        "application/json" => ".json",
        "application/msword" => ".doc",
        "application/vnd.ms-excel" => ".xls",
        "application/vnd.ms-powerpoint" => ".ppt",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document" => ".docx",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet" => ".xlsx",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation" => ".pptx",
        "application/vnd.oasis.opendocument.text" => ".odt",
        "application/vnd.oasis.opendocument.spreadsheet" => ".ods",
        "application/vnd.oasis.opendocument.presentation" => ".odp",
        "application/vnd.apple.pkpass" => ".pkpass",
        "application/gzip" | "application/x-gzip" => ".gz",
        "application/x-tar" => ".tar",
        "application/x-7z-compressed" => ".7z",
        "application/vnd.rar" | "application/x-rar-compressed" => ".rar",
        "application/epub+zip" => ".epub",
        "application/postscript" => ".ps",
        "application/xhtml+xml" => ".xhtml",
        "application/pgp-keys" => ".asc",
        "application/pkix-cert" | "application/x-x509-ca-cert" => ".cer",
        "application/pgp-signature" => ".asc",
        "application/pkcs7-signature" | "application/x-pkcs7-signature" => ".p7s",
        "application/pkcs7-mime" | "application/x-pkcs7-mime" => ".p7m",
        "application/ms-tnef" | "application/vnd.ms-tnef" => ".dat",
        _ => suffix_of(media_type),
    }
}

/// What tells of the form of other types: how their names begin or end.
fn suffix_of(media_type: &str) -> &'static str {
    let ends = |end: &str| media_type.ends_with(end);
    match media_type {
        _ if ends("+xml") => ".xml",
        _ if ends("+json") => ".json",
        _ if ends("+zip") => ".zip",
        _ if media_type.starts_with("text/") => ".txt",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_harmless() {
        #[rustfmt::skip]
        let table = [
            ("report.pdf",                     "report.pdf"),
            ("Jahresbericht 1/2.pdf",          "Jahresbericht 1_2.pdf"),
            ("../../../../etc/passwd",         "passwd"),
            ("..\\..\\windows\\x.dll",         "x.dll"),
            ("C:\\boot.ini",                   "boot.ini"),
            ("C:/boot.ini",                    "boot.ini"),
            ("file:///etc/passwd",             "passwd"),
            ("a\0b.txt",                       "ab.txt"),
            ("a\r\nX-Injected: 1.txt",         "a  X-Injected_ 1.txt"),
            ("invoice\u{202e}txt.exe",         "invoicetxt.exe"),
            ("con",                            "_con"),
            ("nul.txt",                        "_nul.txt"),
            ("COM1.doc",                       "_COM1.doc"),
            ("company.doc",                    "company.doc"),
            (".",                              ""),
            ("..",                             ""),
            ("\u{feff}\u{200b}.txt",           "txt"),
            ("aux.tar.gz:stream",              "_aux.tar.gz_stream"),
            ("نامه\u{200c}ها.pdf",               "نامه\u{200c}ها.pdf"),
            ("क्\u{200d}ष.txt",                 "क्\u{200d}ष.txt"),
            ("👨\u{200d}👩\u{200d}👧.png",       "👨\u{200d}👩\u{200d}👧.png"),
            ("in\u{200c}voice\u{200d}.pdf",     "invoice.pdf"),
            ("日本語.txt",                      "日本語.txt"),
        ];
        for (declared, want) in table {
            assert_eq!(harmless(declared), want, "{declared:?}");
        }
        assert_eq!(
            harmless(&format!("{}.pdf", "ü".repeat(500))),
            format!("{}.pdf", "ü".repeat(98))
        );
    }

    #[test]
    fn names_are_unique_in_any_case() {
        let mut names = FileNames::default();
        for (declared, want) in [
            (Some("a.txt"), "a.txt"),
            (Some("A.TXT"), "A (2).TXT"),
            (Some("a.txt"), "a (3).txt"),
            (None, "attachment"),
            (Some(".."), "attachment (2)"),
        ] {
            assert_eq!(names.name(declared, "application/x-anything"), want);
        }
        assert_eq!(names.name(None, "image/png"), "image.png");
        assert_eq!(names.name(None, "message/rfc822"), "message.eml");
    }

    proptest! {
        #[test]
        fn any_name(declared in "\\PC{0,20}", path in "[./\\\\:a]{0,20}") {
            for name in [harmless(&declared), harmless(&path)] {
                prop_assert!(!name.contains(['/', '\\', '\0', ':']) && name != "." && name != "..");
                prop_assert!(name.len() <= NAME_BYTES_MAX + 1);
            }
        }
    }
}

//! Writes further header fields by their grammar. Encoded words are used only where RFC 2047 §5
//! allows them.
//!
//! ```text
//!   Addresses   Disposition-Notification-To, Resent-From, ..  names in words, addresses plain
//!   Urls        List-Unsubscribe, List-Help, ..                <url>, <url>
//!   ListId      List-Id                                        name in words, <id>
//!   Ids         Supersedes, ..                                 <id>
//!   Phrases     Keywords                                       each in words
//!   Base64      Autocrypt, DKIM-Signature, ..                  ASCII, folded anywhere
//!   Date        Expires, Resent-Date, ..                       a date
//!   Ascii       Auto-Submitted, Importance, ..                 ASCII, folded at blanks
//!   Text        all others                                     any text, in words where it must be
//! ```
//! Standards: RFC 5322 §3.6, RFC 2369, RFC 2919, RFC 2047 §5, RFC 3987 §3.1.

use crate::compose::field::FieldWriter;
use crate::compose::header::date_text;
use crate::compose::header::message_id;
use crate::compose::mailbox;
use crate::compose::mailbox::Address;
use crate::compose::word;
use crate::compose::word::WordContext;

/// The longest piece of a field that cannot be folded. A line has at most 998 octets.
const PIECE_OCTETS_MAX: usize = 880;
/// How long the pieces are into which base64 is folded.
const BASE64_PIECE_OCTETS: usize = 72;

/// What a field consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grammar {
    Addresses,
    Urls,
    ListId,
    Ids,
    Phrases,
    Base64,
    Date,
    Ascii,
    Text,
}

#[rustfmt::skip]
const KNOWN: [(Grammar, &[&str]); 8] = [
    (Grammar::Addresses, &[
        "abuse-reports-to", "disposition-notification-to", "errors-to", "mail-followup-to",
        "mail-reply-to", "resent-cc", "resent-from", "resent-reply-to", "resent-sender",
        "resent-to", "return-receipt-to", "x-confirm-reading-to",
    ]),
    (Grammar::Urls, &[
        "archived-at", "list-archive", "list-help", "list-owner", "list-post", "list-subscribe",
        "list-unsubscribe",
    ]),
    (Grammar::ListId, &["list-id"]),
    (Grammar::Ids, &["obsoletes", "original-message-id", "resent-message-id", "supersedes"]),
    (Grammar::Phrases, &["keywords"]),
    (Grammar::Base64, &[
        "arc-message-signature", "arc-seal", "autocrypt", "autocrypt-gossip",
        "autocrypt-setup-message", "dkim-signature", "domainkey-signature", "openpgp",
        "thread-index", "x-face",
    ]),
    (Grammar::Date, &[
        "deferred-delivery", "expires", "expiry-date", "latest-delivery-time", "reply-by",
        "resent-date",
    ]),
    (Grammar::Ascii, &[
        "accept-language", "arc-authentication-results", "authentication-results",
        "auto-submitted", "disposition-notification-options", "feedback-id", "importance",
        "list-unsubscribe-post", "message-context", "mt-priority", "original-recipient",
        "precedence", "priority", "received-spf", "require-recipient-valid-since", "sensitivity",
        "tls-required", "x-auto-response-suppress", "x-msmail-priority", "x-priority",
    ]),
];

fn grammar(name: &str) -> Grammar {
    let name = name.to_ascii_lowercase();
    let known = KNOWN.iter().find(|(_, names)| names.contains(&name.as_str()));
    known.map_or(Grammar::Text, |(grammar, _)| *grammar)
}

/// How addresses beyond ASCII are written, and whether there were any.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Utf8Addresses {
    /// Whether they are written as names without an address.
    pub is_avoided: bool,
    /// Whether one was written as it is.
    pub is_needed: bool,
}

/// Writes the field `name` with a decoded value.
///
/// # Errors
///
/// What keeps the value from being one of that field, worded to follow its name.
pub(crate) fn write(
    out: &mut Vec<u8>,
    name: &str,
    value: &str,
    utf8: &mut Utf8Addresses,
) -> Result<(), String> {
    let mut field = FieldWriter::begin(out, name);
    match grammar(name) {
        Grammar::Addresses => addresses(&mut field, value, utf8)?,
        Grammar::Urls => urls(&mut field, value)?,
        Grammar::ListId => list_id(&mut field, value)?,
        Grammar::Ids => ids(&mut field, value)?,
        Grammar::Phrases => phrases(&mut field, value),
        Grammar::Base64 => ascii(&mut field, value, BASE64_PIECE_OCTETS)?,
        Grammar::Date => date(&mut field, value)?,
        Grammar::Ascii => ascii(&mut field, value, usize::MAX)?,
        Grammar::Text => field.text(value),
    }
    field.end();
    Ok(())
}

/// Says what keeps a value from standing in the field `name`. `None` when nothing does.
#[must_use]
pub fn problem(name: &str, value: &str) -> Option<String> {
    write(&mut vec![], name, value, &mut Utf8Addresses::default()).err()
}

fn addresses(
    field: &mut FieldWriter<'_>,
    value: &str,
    utf8: &mut Utf8Addresses,
) -> Result<(), String> {
    let items = items(value);
    if items.is_empty() {
        return Err("names no address".to_owned());
    }
    for (at, item) in items.iter().enumerate() {
        let address = address(item);
        let wire = mailbox::wire_address(&address.address)
            .map_err(|problem| format!("has `{}`, which {problem}", address.address))?;
        let tail = if at + 1 < items.len() { "," } else { "" };
        if wire.needs_smtp_utf8 && utf8.is_avoided {
            mailbox::write_without_address(field, &address, tail);
        } else {
            utf8.is_needed |= wire.needs_smtp_utf8;
            mailbox::write(field, address.name.as_deref(), &wire, tail);
        }
    }
    Ok(())
}

/// `Name <address>`, `"Name" <address>` or a bare address.
fn address(item: &str) -> Address {
    let angle = item.strip_suffix('>').and_then(|item| item.rsplit_once('<'));
    let Some((name, address)) = angle else {
        return Address { name: None, address: item.to_owned() };
    };
    let name = name.trim();
    let quoted = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
    let name = quoted.map_or_else(
        || name.to_owned(),
        |quoted| quoted.replace("\\\"", "\"").replace("\\\\", "\\"),
    );
    let name = Some(name).filter(|name| !name.is_empty());
    Address { name, address: address.trim().to_owned() }
}

/// The items of a list: separated by commas that stand in no quotes, brackets or comments.
fn items(value: &str) -> Vec<&str> {
    let (mut quoted, mut escaped, mut depth) = (false, false, 0_u32);
    let is_separator = |char: char| {
        let is_escaped = std::mem::take(&mut escaped);
        match char {
            _ if is_escaped => {}
            '\\' => escaped = true,
            '"' => quoted = !quoted,
            '<' | '(' if !quoted => depth += 1,
            '>' | ')' if !quoted => depth = depth.saturating_sub(1),
            ',' => return !quoted && depth == 0,
            _ => {}
        }
        false
    };
    value.split(is_separator).map(str::trim).filter(|item| !item.is_empty()).collect()
}

fn urls(field: &mut FieldWriter<'_>, value: &str) -> Result<(), String> {
    let items = items(value);
    if items.is_empty() {
        return Err("names no URL".to_owned());
    }
    for (at, item) in items.iter().enumerate() {
        let tail = if at + 1 < items.len() { "," } else { "" };
        let (before, url, behind) = match item.split_once('<') {
            Some((before, rest)) => {
                let (url, behind) = rest.rsplit_once('>').ok_or("has `<` without `>`")?;
                (before.trim(), url, behind.trim())
            }
            // RFC 2369 §3.4: nobody may post.
            None if item.split('(').next().is_some_and(|it| it.trim() == "NO") => {
                field.token("NO");
                let comment = item.split_once('(').map_or("", |(_, comment)| comment);
                self::comment(field, comment.trim_end_matches(')'));
                field.glue(tail);
                continue;
            }
            None => ("", *item, ""),
        };
        let url = url_in_ascii(url)?;
        comment(field, before.trim_start_matches('(').trim_end_matches(')'));
        field.token(&format!("<{url}>"));
        comment(field, behind.trim_start_matches('(').trim_end_matches(')'));
        field.glue(tail);
    }
    Ok(())
}

fn comment(field: &mut FieldWriter<'_>, text: &str) {
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    let words = if word::is_plain(text) && !text.contains(['(', ')', '\\']) {
        text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
    } else {
        word::encode(text, WordContext::Phrase, 60)
    };
    for (at, word) in words.iter().enumerate() {
        let open = if at == 0 { "(" } else { "" };
        let close = if at + 1 == words.len() { ")" } else { "" };
        field.token(&format!("{open}{word}{close}"));
    }
}

/// A URL in ASCII: the host by IDNA, all else in percent-encoded UTF-8 (RFC 3987 §3.1).
fn url_in_ascii(url: &str) -> Result<String, String> {
    let url: String = url.chars().filter(|char| !char.is_whitespace()).collect();
    let scheme = url.split_once(':').map(|(scheme, _)| scheme).filter(|scheme| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic())
            && scheme.bytes().all(plain)
    });
    let Some(scheme) = scheme else {
        return Err(format!("has `{url}`, which is not a URL (such as https://..., mailto:...)"));
    };
    let behind = url.get(scheme.len() + 1..).unwrap_or_default();
    let mut ascii = format!("{scheme}:");
    let rest = match behind.strip_prefix("//") {
        Some(rest) => {
            let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
            let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
            let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
            ascii.push_str("//");
            if !user.is_empty() {
                ascii.push_str(&percent(user));
                ascii.push('@');
            }
            let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
            let wrong = |_| format!("has the invalid host `{host}`");
            if host.is_ascii() {
                ascii.push_str(&percent(host));
            } else {
                ascii.push_str(&idna::domain_to_ascii(host).map_err(wrong)?);
            }
            if !port.is_empty() {
                ascii.push(':');
                ascii.push_str(&percent(port));
            }
            rest
        }
        None => behind,
    };
    ascii.push_str(&percent(rest));
    fits(&ascii)?;
    Ok(ascii)
}

fn percent(text: &str) -> String {
    let mut coded = String::with_capacity(text.len());
    for char in text.chars() {
        if char.is_ascii_graphic() && !"<>\"".contains(char) {
            coded.push(char);
        } else {
            for byte in char.encode_utf8(&mut [0; 4]).bytes() {
                coded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    coded
}

fn list_id(field: &mut FieldWriter<'_>, value: &str) -> Result<(), String> {
    let value = value.trim();
    let (name, id) = match value.strip_suffix('>').and_then(|value| value.rsplit_once('<')) {
        Some((name, id)) => (name.trim().trim_matches('"'), id.trim()),
        None => ("", value),
    };
    let wrong = || format!("has `{id}`, which is not a list id (such as news.host.example)");
    let id = if id.is_ascii() {
        id.to_owned()
    } else {
        idna::domain_to_ascii(id).map_err(|_| wrong())?
    };
    if id.is_empty() || !id.bytes().all(|byte| byte.is_ascii_graphic() && !b"<>".contains(&byte)) {
        return Err(wrong());
    }
    fits(&id)?;
    mailbox::write_phrase(field, name);
    field.token(&format!("<{id}>"));
    Ok(())
}

fn ids(field: &mut FieldWriter<'_>, value: &str) -> Result<(), String> {
    let mut any = false;
    for word in value.split_whitespace() {
        let id =
            message_id(word).ok_or_else(|| format!("has `{word}`, which is not a message id"))?;
        field.token(&format!("<{id}>"));
        any = true;
    }
    if any { Ok(()) } else { Err("names no message id".to_owned()) }
}

fn phrases(field: &mut FieldWriter<'_>, value: &str) {
    let items = items(value);
    for (at, item) in items.iter().enumerate() {
        mailbox::write_phrase(field, item.trim_matches('"'));
        field.glue(if at + 1 < items.len() { "," } else { "" });
    }
}

/// A date: one as JSON has it (RFC 3339) is written as mail has it, any other as it is.
fn date(field: &mut FieldWriter<'_>, value: &str) -> Result<(), String> {
    let json = value.trim().parse::<jiff::Timestamp>().ok();
    if let Some(text) = json.and_then(|time| date_text(time.as_millisecond())) {
        return ascii(field, &text, usize::MAX);
    }
    if crate::date::parse(value).is_none() {
        let example = "2026-11-28T10:00:00Z, or Sat, 28 Nov 2026 10:00:00 +0000";
        return Err(format!("has `{value}`, which is not a date (such as {example})"));
    }
    ascii(field, value, usize::MAX)
}

/// ASCII as it is, folded at blanks, and in pieces of `octets` where blanks mean nothing.
fn ascii(field: &mut FieldWriter<'_>, value: &str, octets: usize) -> Result<(), String> {
    if !value.bytes().all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t')) {
        let reason = "has other characters than printable ASCII, which this field cannot have";
        return Err(reason.to_owned());
    }
    let mut any = false;
    for word in value.split([' ', '\t']).filter(|word| !word.is_empty()) {
        let pieces = word.as_bytes().chunks(octets.min(word.len()));
        for piece in pieces.filter_map(|piece| std::str::from_utf8(piece).ok()) {
            fits(piece)?;
            field.token(piece);
            any = true;
        }
    }
    if !any {
        field.glue(" ");
    }
    Ok(())
}

fn fits(piece: &str) -> Result<(), String> {
    if piece.len() <= PIECE_OCTETS_MAX {
        return Ok(());
    }
    Err(format!(
        "has a piece of {} octets that cannot be folded; a line has at most 998, so that at most \
         {PIECE_OCTETS_MAX} fit",
        piece.len()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &str, value: &str) -> Result<String, String> {
        let mut out = vec![];
        write(&mut out, name, value, &mut Utf8Addresses::default())?;
        let text = String::from_utf8(out).unwrap();
        assert!(text.split("\r\n").all(|line| line.len() <= 998), "{text}");
        Ok(text.replace("\r\n ", "\n ").trim_end().to_owned())
    }

    #[test]
    fn fields_have_their_own_grammar() {
        #[rustfmt::skip]
        let table = [
            ("List-Unsubscribe", "<https://u.test/a?b=c>, <mailto:u@own.test>", "List-Unsubscribe: <https://u.test/a?b=c>, <mailto:u@own.test>"),
            ("List-Unsubscribe", "https://bücher.test/ä?x=1",   "List-Unsubscribe: <https://xn--bcher-kva.test/%C3%A4?x=1>"),
            ("List-Help",        "<https://a@h.test:8443/x> (Hilfe für alle)", "List-Help: <https://a@h.test:8443/x> (=?utf-8?Q?Hilfe_f=C3=BCr_alle?=)"),
            ("List-Post",        "NO (closed)",                 "List-Post: NO (closed)"),
            ("List-Id",          "Neues für alle <news.own.test>", "List-Id: =?utf-8?Q?Neues_f=C3=BCr_alle?= <news.own.test>"),
            ("List-Id",          "news.own.test",               "List-Id: <news.own.test>"),
            ("Disposition-Notification-To", "Jürgen Müller <jm@own.test>", "Disposition-Notification-To: =?utf-8?B?SsO8cmdlbiBNw7xsbGVy?= <jm@own.test>"),
            ("Resent-To",        "\"Berg, A\" <a@own.test>, b@bücher.test", "Resent-To: \"Berg, A\" <a@own.test>, b@xn--bcher-kva.test"),
            ("resent-from",      "jürgen@own.test",             "resent-from: jürgen@own.test"),
            ("Supersedes",       "a@b.test <c@d.test>",         "Supersedes: <a@b.test> <c@d.test>"),
            ("Keywords",         "Grün, plain words",           "Keywords: =?utf-8?B?R3LDvG4=?=, plain words"),
            ("Auto-Submitted",   "auto-replied",                "Auto-Submitted: auto-replied"),
            ("Expires",          "2026-11-28T10:00:00+01:00",   "Expires: Sat, 28 Nov 2026 09:00:00 +0000"),
            ("Expires",          "Sat, 28 Nov 2026 10:00:00 +0100", "Expires: Sat, 28 Nov 2026 10:00:00 +0100"),
            ("X-Note",           "für dich",                    "X-Note: =?utf-8?B?ZsO8ciBkaWNo?="),
        ];
        for (name, value, want) in table {
            assert_eq!(field(name, value).as_deref(), Ok(want), "{name}");
        }
    }

    #[test]
    fn what_the_grammar_has_no_place_for_is_refused() {
        #[rustfmt::skip]
        let table = [
            ("Disposition-Notification-To", "nobody",       "has `nobody`, which has no '@'"),
            ("Resent-From",      "",                        "names no address"),
            ("List-Unsubscribe", "unsubscribe here",        "has `unsubscribehere`, which is not a URL"),
            ("List-Unsubscribe", "<https://u.test/a",       "has `<` without `>`"),
            ("List-Id",          "<a b>",                   "has `a b`, which is not a list id"),
            ("Supersedes",       "<日本@x>",                "has `<日本@x>`, which is not a message id"),
            ("Auto-Submitted",   "automatisch für alle",    "has other characters than printable ASCII"),
            ("Expires",          "morgen",                  "has `morgen`, which is not a date"),
            ("Reply-By",         "",                        "has ``, which is not a date"),
        ];
        for (name, value, want) in table {
            let got = field(name, value).unwrap_err();
            assert!(got.starts_with(want), "{name}: {got}");
        }
        let long = format!("<https://u.test/{}>", "A".repeat(900));
        assert!(field("List-Unsubscribe", &long).unwrap_err().contains("cannot be folded"));
    }

    #[test]
    fn long_values_fit_into_lines_and_come_back_whole() {
        let url = format!("https://u.test/u?t={}", "A".repeat(800));
        let got = field("List-Unsubscribe", &format!("<{url}>, <mailto:u@own.test>")).unwrap();
        assert!(got.contains(&format!("<{url}>,\n <mailto:u@own.test>")), "{got}");
        let key = "m".repeat(900);
        let got = field("Autocrypt", &format!("addr=me@own.test; keydata={key}")).unwrap();
        assert!(got.lines().all(|line| line.len() <= 78) && !got.contains("=?"), "{got}");
        let unfolded: String = got.split_whitespace().collect();
        assert_eq!(unfolded, format!("Autocrypt:addr=me@own.test;keydata={key}"));
    }

    #[test]
    fn addresses_beyond_ascii_are_counted_or_avoided() {
        let mut utf8 = Utf8Addresses::default();
        write(&mut vec![], "Resent-To", "jürgen@own.test", &mut utf8).unwrap();
        assert!(utf8.is_needed);
        let mut utf8 = Utf8Addresses { is_avoided: true, is_needed: false };
        let mut out = vec![];
        write(&mut out, "Resent-To", "jürgen@own.test, b@own.test", &mut utf8).unwrap();
        assert!(!utf8.is_needed && out.is_ascii());
        assert!(String::from_utf8(out).unwrap().contains("?=:;, b@own.test"));
    }
}

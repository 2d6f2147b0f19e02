//! Which texts are addresses in the data model.
//!
//! Standards: RFC 5321 §4.1.2 (Mailbox), RFC 6531 (non-ASCII).

/// The longest label of a domain.
const LABEL_OCTETS_MAX: usize = 63;

/// Why `address` is not a bare address that mail can be sent to.
///
/// A bare address is `local-part@domain`, without a display name, angle brackets or comments.
/// Quoted local parts, address literals and letters outside ASCII (RFC 6531) are allowed. `None`:
/// its form is right.
#[must_use]
pub fn problem(address: &str) -> Option<&'static str> {
    if address.is_empty() {
        return Some("is empty");
    }
    if address.len() > 320 {
        return Some("is longer than 320 octets");
    }
    if address.chars().any(char::is_control) {
        return Some("has a control character (a line break, for example)");
    }
    if address.chars().any(is_invisible) {
        return Some("has an invisible character (a zero-width space, for example)");
    }
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Some("has no '@': an address is local-part@domain");
    };
    local_part_problem(local).or_else(|| domain_problem(domain))
}

/// Whether a character is invisible or a blank outside ASCII. Nobody writes it into an address on
/// purpose.
fn is_invisible(char: char) -> bool {
    matches!(char,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202f}'
        | '\u{205f}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        || (char.is_whitespace() && !char.is_ascii())
}

/// The mailbox of an address in one spelling: the domain in ASCII and lower case, the local part
/// without unnecessary quotes. Upper and lower case in local parts differ (RFC 5321 §2.4).
#[must_use]
pub fn mailbox(address: &str) -> String {
    let Some((local, domain)) = address.trim().rsplit_once('@') else {
        return address.to_owned();
    };
    let domain = idna::domain_to_ascii(domain).unwrap_or_else(|_| domain.to_ascii_lowercase());
    format!("{}@{domain}", unquoted(local))
}

/// The domain of an address in ASCII and lower case. `None`: it has none that the DNS could have.
#[must_use]
pub fn ascii_domain(address: &str) -> Option<String> {
    let (_, domain) = address.trim().rsplit_once('@')?;
    let domain = idna::domain_to_ascii(domain).ok()?;
    Some(domain.trim_end_matches('.').to_owned())
}

/// A quoted local part without its quotes, if they are unnecessary.
#[must_use]
pub fn unquoted(local: &str) -> String {
    let inner = local.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return local.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(char) = chars.next() {
        plain.extend(if char == '\\' { chars.next() } else { Some(char) });
    }
    // A local part with such dots is quoted on the wire (RFC 5322 §3.2.3).
    if local_part_problem(&plain).is_none() { plain } else { local.to_owned() }
}

fn local_part_problem(local: &str) -> Option<&'static str> {
    if local.is_empty() {
        return Some("has nothing before the '@'");
    }
    if local.len() > 64 {
        return Some("has more than 64 octets before the '@'");
    }
    if let Some(quoted) = local.strip_prefix('"') {
        return quoted_problem(quoted);
    }
    let atom = |char: char| {
        !char.is_ascii() || char.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(char)
    };
    if !local.chars().all(atom) {
        return Some("has a character before the '@' that is allowed only in quotes");
    }
    None
}

/// Checks a quoted local part behind its opening quote (RFC 5321 §4.1.2).
fn quoted_problem(quoted: &str) -> Option<&'static str> {
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' if chars.as_str().is_empty() => return None,
            '"' => return Some("has a quoted local part with a quote in its middle"),
            '\\' if chars.next().is_none() => break,
            _ => {}
        }
    }
    Some("has a quoted local part that is not closed")
}

fn domain_problem(domain: &str) -> Option<&'static str> {
    if domain.is_empty() {
        return Some("has nothing after the '@'");
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let inner = literal.strip_suffix(']').unwrap_or("");
        let plain = |char: char| char.is_ascii_alphanumeric() || ".:-".contains(char);
        let good = !inner.is_empty() && inner.chars().all(plain);
        return (!good).then_some("has an invalid address literal");
    }
    if domain.len() > 255 {
        return Some("has more than 255 octets after the '@'");
    }
    let label_is_good = |label: &str| {
        let inside =
            |char: char| !char.is_ascii() || char.is_ascii_alphanumeric() || "-_".contains(char);
        // A label beyond ASCII has another length on the wire.
        let is_long = label.is_ascii() && label.len() > LABEL_OCTETS_MAX;
        !label.is_empty() && !is_long && label.chars().all(inside)
    };
    if !domain.split('.').all(label_is_good) {
        return Some("has an invalid domain");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_in_several_spellings() {
        let same = [
            ("Anna@B.Test", "Anna@b.test"),
            ("\"anna\"@b.test", "anna@b.test"),
            ("\"an\\na\"@b.test", "anna@b.test"),
            (" anna@b.test ", "anna@b.test"),
            ("jürgen@BÜCHER.test", "jürgen@xn--bcher-kva.test"),
            ("\"a..b\"@b.test", "a..b@b.test"),
        ];
        for (one, other) in same {
            assert_eq!(mailbox(one), mailbox(other), "{one}");
        }
        for (one, other) in [("Anna@b.test", "anna@b.test"), ("\"a b\"@b.test", "ab@b.test")] {
            assert_ne!(mailbox(one), mailbox(other), "{one}");
        }
    }

    #[test]
    fn forms_of_addresses() {
        let good = [
            "a@b.test",
            "anna.b+tag@mail.example.test",
            "\"a b\"@b.test",
            "\"a\\\"b@c\"@b.test",
            "jürgen@bücher.test",
            "x@[127.0.0.1]",
            "x@[IPv6:::1]",
            "o'neil@host",
            "a..b@docomo.test",
        ];
        for address in good {
            assert_eq!(problem(address), None, "{address}");
        }
        let bad = [
            "",
            "a",
            "@b.test",
            "a@",
            "a b@c.test",
            "a@b c",
            "<a@b.test>",
            "A <a@b.test>",
            "a@b.test\r\nBcc: x@y.test",
            "\"a@b.test",
            "a@b..test",
            "a@[",
            "a,b@c.test",
            "\u{200b}anna@b.test",
            "an\u{ad}na@b.test",
            "anna@b\u{2060}.test",
            "anna\u{a0}@b.test",
            "anna@b.test\u{feff}",
            "\u{202e}anna@b.test",
            "\"a\"b\"@c.test",
        ];
        for address in bad {
            assert!(problem(address).is_some(), "{address}");
        }
        let label = |length| format!("a@{}.test", "b".repeat(length));
        assert_eq!(
            (problem(&label(63)), problem(&label(64))),
            (None, Some("has an invalid domain"))
        );
    }
}

//! What may stand as an address in the data model.
//!
//! Standards: RFC 5321 §4.1.2 (Mailbox), RFC 6531 (non-ASCII).

/// Says what keeps `address` from being a bare address that mail can be sent to.
///
/// A bare address is `local-part@domain`: no display name, no angle brackets, no comments. Quoted
/// local parts and address literals are understood; letters outside ASCII are allowed (RFC 6531).
/// `None` means that nothing is wrong with its form.
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
    let Some((local, domain)) = address.rsplit_once('@') else {
        return Some("has no '@': an address is local-part@domain");
    };
    local_part_problem(local).or_else(|| domain_problem(domain))
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
        return Some("has a character before the '@' that must not stand there unquoted");
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
        return Some("has nothing behind the '@'");
    }
    if let Some(literal) = domain.strip_prefix('[') {
        let inner = literal.strip_suffix(']').unwrap_or("");
        let plain = |char: char| char.is_ascii_alphanumeric() || ".:-".contains(char);
        let good = !inner.is_empty() && inner.chars().all(plain);
        return (!good).then_some("has an address literal that is not well formed");
    }
    if domain.len() > 255 {
        return Some("has more than 255 octets behind the '@'");
    }
    let label_is_good = |label: &str| {
        let inside =
            |char: char| !char.is_ascii() || char.is_ascii_alphanumeric() || "-_".contains(char);
        !label.is_empty() && label.chars().all(inside)
    };
    if !domain.split('.').all(label_is_good) {
        return Some("has a domain that is not well formed");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "\"a\"b\"@c.test",
        ];
        for address in bad {
            assert!(problem(address).is_some(), "{address}");
        }
    }
}

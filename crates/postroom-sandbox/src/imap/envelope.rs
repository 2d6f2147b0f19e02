//! ENVELOPE, BODY and BODYSTRUCTURE (RFC 3501 §7.4.2).

use crate::imap::structure::BodyPart;
use crate::imap::structure::field;
use crate::imap::structure::parameterized;
use crate::imap::structure::split_outside_quotes;
use crate::imap::structure::unquoted;
use crate::imap::token::string;

/// The envelope of the message whose header this is.
pub(crate) fn envelope(header: &[u8]) -> Vec<u8> {
    let text = |name: &str| nstring(field(header, name).as_deref());
    let from = addresses(header, "From");
    let or_from = |name: &str| match addresses(header, name) {
        nil if nil == b"NIL" => from.clone(),
        own => own,
    };
    let members = [
        text("Date"),
        text("Subject"),
        from.clone(),
        or_from("Sender"),
        or_from("Reply-To"),
        addresses(header, "To"),
        addresses(header, "Cc"),
        addresses(header, "Bcc"),
        text("In-Reply-To"),
        text("Message-ID"),
    ];
    list(&members)
}

fn addresses(header: &[u8], name: &str) -> Vec<u8> {
    let Some(value) = field(header, name) else {
        return b"NIL".to_vec();
    };
    let pieces = split_outside_quotes(&value, b',');
    let found: Vec<Vec<u8>> = pieces.iter().filter_map(|piece| address(piece.trim())).collect();
    if found.is_empty() { b"NIL".to_vec() } else { [b"(", &*found.concat(), b")"].concat() }
}

/// `(name NIL mailbox host)`, or `None` for what is no address, such as an empty group.
fn address(text: &str) -> Option<Vec<u8>> {
    let (name, plain) = match text.rsplit_once('<') {
        Some((name, rest)) => (name.trim(), rest.split('>').next().unwrap_or(rest)),
        None => ("", text.split('(').next().unwrap_or(text)),
    };
    let (mailbox, host) = plain.trim().rsplit_once('@')?;
    let name = Some(unquoted(name)).filter(|name| !name.is_empty());
    Some(list(&[
        nstring(name.as_deref().map(str::as_bytes)),
        b"NIL".to_vec(),
        string(unquoted(mailbox).as_bytes()),
        string(host.as_bytes()),
    ]))
}

/// The structure of a part of `message`; `extended` for BODYSTRUCTURE, not for BODY.
pub(crate) fn structure(message: &[u8], part: &BodyPart, extended: bool) -> Vec<u8> {
    let header = message.get(part.header.clone()).unwrap_or_default();
    let (kind, subtype) = part.content_type.value.split_once('/').unwrap_or(("TEXT", "PLAIN"));
    if kind == "MULTIPART" && !part.children.is_empty() {
        let children = part.children.iter().map(|child| structure(message, child, extended));
        let mut members = vec![children.collect::<Vec<_>>().concat(), string(subtype.as_bytes())];
        if extended {
            members.push(parameters(&part.content_type.parameters));
            members.extend(disposition_language_location(header));
        }
        return list(&members);
    }
    let body = message.get(part.body.clone()).unwrap_or_default();
    let encoding = field(header, "Content-Transfer-Encoding").unwrap_or(b"7BIT".to_vec());
    let mut members = vec![
        string(kind.as_bytes()),
        string(subtype.as_bytes()),
        parameters(&part.content_type.parameters),
        nstring(field(header, "Content-ID").as_deref()),
        nstring(field(header, "Content-Description").as_deref()),
        string(&encoding.to_ascii_uppercase()),
        body.len().to_string().into_bytes(),
    ];
    let lines = || body.iter().filter(|byte| **byte == b'\n').count().to_string().into_bytes();
    match part.children.as_slice() {
        [inner] if part.content_type.value == "MESSAGE/RFC822" => {
            members.push(envelope(message.get(inner.header.clone()).unwrap_or_default()));
            members.push(structure(message, inner, extended));
            members.push(lines());
        }
        _ if kind == "TEXT" => members.push(lines()),
        _ => {}
    }
    if extended {
        members.push(nstring(field(header, "Content-MD5").as_deref()));
        members.extend(disposition_language_location(header));
    }
    list(&members)
}

fn disposition_language_location(header: &[u8]) -> [Vec<u8>; 3] {
    let disposition = field(header, "Content-Disposition").map(|value| {
        let parsed = parameterized(&value);
        list(&[string(parsed.value.as_bytes()), parameters(&parsed.parameters)])
    });
    [
        disposition.unwrap_or(b"NIL".to_vec()),
        nstring(field(header, "Content-Language").as_deref()),
        nstring(field(header, "Content-Location").as_deref()),
    ]
}

fn parameters(parameters: &[(String, String)]) -> Vec<u8> {
    if parameters.is_empty() {
        return b"NIL".to_vec();
    }
    let pairs = parameters.iter().flat_map(|(name, value)| [name, value]);
    list(&pairs.map(|text| string(text.as_bytes())).collect::<Vec<_>>())
}

fn nstring(bytes: Option<&[u8]>) -> Vec<u8> {
    bytes.map_or(b"NIL".to_vec(), string)
}

fn list(members: &[Vec<u8>]) -> Vec<u8> {
    [b"(", &*members.join(&b' '), b")"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::imap::structure::parse;

    #[test]
    fn an_envelope_has_ten_members() {
        let header = b"From: \"Ann, A.\" <ann@a.test>\r\nTo: b@b.test, <c@c.test>\r\n\
            Cc: nobody:;\r\nSubject: Hi \"x\"\r\nMessage-ID: <1@a.test>\r\n\r\n";
        let from = r#"(("Ann, A." NIL "ann" "a.test"))"#;
        let to = r#"((NIL NIL "b" "b.test")(NIL NIL "c" "c.test"))"#;
        let want =
            format!(r#"(NIL "Hi \"x\"" {from} {from} {from} {to} NIL NIL NIL "<1@a.test>")"#);
        assert_eq!(String::from_utf8(envelope(header)).unwrap(), want);
    }

    #[test]
    fn a_structure_says_type_encoding_and_size() {
        let message =
            b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n\r\n--b\r\n\
            Content-Type: image/png; name=\"a b\"\r\nContent-Transfer-Encoding: base64\r\n\
            Content-Disposition: attachment; filename=x\r\n\r\nAA==\r\n--b--\r\n";
        let whole = parse(message);
        let text = String::from_utf8(structure(message, &whole, false)).unwrap();
        assert_eq!(
            text,
            r#"(("TEXT" "PLAIN" NIL NIL NIL "7BIT" 5 1)("IMAGE" "PNG" ("NAME" "a b") NIL NIL "BASE64" 4) "MIXED")"#
        );
        let text = String::from_utf8(structure(message, &whole, true)).unwrap();
        assert!(text.contains(r#"4 NIL ("ATTACHMENT" ("FILENAME" "x")) NIL NIL) "MIXED" ("BOUNDARY" "b") NIL NIL NIL)"#), "{text}");
    }
}

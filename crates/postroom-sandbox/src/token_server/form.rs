//! Requests of HTTP with forms, as far as a provider needs them.

use std::collections::HashMap;
use std::io;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;

/// How many bytes a request may have.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// A request.
#[derive(Debug)]
pub(crate) struct FormAsked {
    /// The path, without what stands behind `?`.
    pub path: String,
    /// The fields of the query and of the body.
    pub fields: HashMap<String, String>,
    /// The token of the header field Authorization.
    pub bearer: Option<String>,
    /// The header field Host.
    pub host: Option<String>,
}

/// Reads a request.
///
/// # Errors
///
/// The connection is lost, or the request is too long.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<FormAsked> {
    let (head, body) = parts(stream).await?;
    let mut lines = head.lines();
    let target = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let mut fields = decoded(query);
    fields.extend(decoded(&body));
    let lines: Vec<_> = lines.filter_map(|line| line.split_once(':')).collect();
    let field = |name: &str| {
        let mut values = lines.iter().filter(|(of, _)| of.eq_ignore_ascii_case(name));
        values.next().map(|(_, value)| value.trim())
    };
    let bearer = field("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let (bearer, host) = (bearer.map(str::to_owned), field("host").map(str::to_owned));
    Ok(FormAsked { path: path.to_owned(), fields, bearer, host })
}

/// The head and the body of a request.
async fn parts(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<(String, String)> {
    let mut read = vec![];
    loop {
        let text = String::from_utf8_lossy(&read).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.to_ascii_lowercase();
            let length = length
                .split("content-length:")
                .nth(1)
                .and_then(|rest| rest.lines().next().and_then(|length| length.trim().parse().ok()));
            if body.len() >= length.unwrap_or(0) {
                return Ok((head.to_owned(), body.to_owned()));
            }
        }
        if read.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

/// A text within HTML.
pub(crate) fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;")
}

/// The fields of a form.
fn decoded(form: &str) -> HashMap<String, String> {
    let field = |pair: &str| {
        let (name, value) = pair.split_once('=')?;
        Some((percent_decoded(name), percent_decoded(value)))
    };
    form.split('&').filter_map(field).collect()
}

fn percent_decoded(text: &str) -> String {
    let mut bytes = vec![];
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        let digits = match byte {
            b'%' => [rest.next(), rest.next()],
            b'+' => [Some(b'2'), Some(b'0')],
            byte => {
                bytes.push(byte);
                continue;
            }
        };
        let digits: Vec<u8> = digits.into_iter().flatten().collect();
        let digits = String::from_utf8_lossy(&digits).into_owned();
        bytes.extend(u8::from_str_radix(&digits, 16).ok());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A text as the value of a field in a URL.
pub(crate) fn encoded(text: &str) -> String {
    let mut all = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            all.push(char::from(byte));
        } else {
            all.push_str(&format!("%{byte:02X}"));
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_is_read_with_the_fields_of_its_query_and_body() {
        let mut sent: &[u8] = b"POST /a?x=1%202&y=%C3%BC HTTP/1.1\r\nAuthorization: Bearer t\r\n\
            Content-Length: 7\r\n\r\nz=a+b&w";
        let asked = read(&mut sent).await.unwrap();
        assert_eq!((asked.path.as_str(), asked.bearer.as_deref()), ("/a", Some("t")));
        let field = |name: &str| asked.fields.get(name).map(String::as_str);
        assert_eq!(
            [field("x"), field("y"), field("z")],
            [Some("1 2"), Some("\u{fc}"), Some("a b")]
        );
        assert_eq!(percent_decoded(&encoded("a b&=\u{fc}+")), "a b&=\u{fc}+");
        let mut cut: &[u8] = b"POST /a HTTP/1.1\r\ncontent-length: 7\r\n\r\nz";
        assert!(read(&mut cut).await.is_err());
    }
}

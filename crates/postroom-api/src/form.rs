//! Forms with files: reads `multipart/form-data` part by part while it arrives.
//!
//! Standards: RFC 7578.

use crate::body::BodyError;
use crate::body::Incoming;
use crate::limits::Limits;
use crate::percent;
use crate::problem::Problem;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::extract::FromRequest;
use axum::extract::Multipart;
use axum::extract::Request;
use axum::extract::multipart::Field;
use axum::extract::multipart::MultipartError;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_engine::outgoing;
use postroom_model::Invalid;
use std::collections::BTreeMap;
use std::error::Error;

/// A form that is being read.
pub(crate) struct Form {
    parts: Multipart,
    left: usize,
}

impl Form {
    /// Begins to read the form of a request.
    ///
    /// # Errors
    ///
    /// 413 when it is too large, 400 when its boundary is missing.
    pub(crate) async fn open(
        headers: &HeaderMap,
        body: Body,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let incoming = Incoming::new(headers, body, limits.upload_bytes_max, limits)?;
        // The parser takes a form for incomplete if its end comes with its first bytes, and it had
        // to wait for those.
        let end = stream::once(tokio::task::yield_now()).filter_map(async |()| None);
        let mut request = Request::new(Body::from_stream(incoming.pieces().chain(end)));
        if let Some(media_type) = headers.get(header::CONTENT_TYPE) {
            request.headers_mut().insert(header::CONTENT_TYPE, media_type.clone());
        }
        DefaultBodyLimit::disable().apply(&mut request);
        let parts = Multipart::from_request(request, &()).await;
        let parts = parts.map_err(|_| {
            Problem::malformed("the Content-Type multipart/form-data has no usable `boundary`")
        })?;
        Ok(Self { parts, left: limits.files_count_max + 1 })
    }

    /// The next part, or `None` at the end. The unread rest of the part before is skipped.
    ///
    /// # Errors
    ///
    /// Those of the body, and 422 if there are too many parts or the part is written in a transfer
    /// encoding.
    pub(crate) async fn next(&mut self) -> Result<Option<Field<'_>>, Problem> {
        let next = self.parts.next_field().await.map_err(|error| problem(&error))?;
        if next.is_some() {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "too-many-files", "the form has too many parts")
            })?;
        }
        if let Some(problem) = next.as_ref().and_then(encoding_problem) {
            return Err(problem);
        }
        Ok(next)
    }
}

/// The problem with a part that declares a transfer encoding, whose bytes would be taken for those
/// of the file.
fn encoding_problem(field: &Field<'_>) -> Option<Problem> {
    let value = field.headers().get("content-transfer-encoding")?;
    let value = String::from_utf8_lossy(value.as_bytes());
    let value = value.trim();
    let is_plain = |name: &&str| value.eq_ignore_ascii_case(name);
    if ["", "7bit", "8bit", "binary"].iter().any(is_plain) {
        return None;
    }
    let place = field.name().unwrap_or("files").to_owned();
    let reason = format!(
        "has Content-Transfer-Encoding `{}`; a form has the bytes as they are, without it",
        value.escape_debug()
    );
    Some(Invalid::new(place, reason).into())
}

/// The `Content-Disposition` of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FormDisposition {
    /// The name of the part.
    pub name: Option<String>,
    /// The name of its file.
    pub file_name: Option<String>,
}

impl FormDisposition {
    /// Reads the field of a part in all forms that libraries write: parameter names in upper or
    /// lower case, file names as `filename*` (RFC 8187), in pieces (RFC 2231), in encoded words
    /// (RFC 2047), or plain. Of a path of Windows the last part is the name. If `filename*` cannot
    /// be read, the plain name counts.
    ///
    /// # Errors
    ///
    /// 400 when it is not UTF-8.
    pub(crate) fn of(field: &Field<'_>) -> Result<Self, Problem> {
        let value = field.headers().get(header::CONTENT_DISPOSITION);
        Self::parse(value.map(HeaderValue::as_bytes).unwrap_or_default())
    }

    fn parse(value: &[u8]) -> Result<Self, Problem> {
        let not_utf8 = || {
            let detail = "the Content-Disposition of a part of the form is not UTF-8";
            Problem::malformed(detail.to_owned())
        };
        let value = std::str::from_utf8(value).map_err(|_| not_utf8())?;
        let mut found = Self::default();
        let (mut extended, mut pieces) = (None, BTreeMap::new());
        for (name, value) in parameters(value) {
            match name.to_ascii_lowercase().as_str() {
                "name" => found.name = found.name.or(Some(value)),
                "filename" => found.file_name = found.file_name.or(Some(value)),
                "filename*" => extended = extended.or(Some(value)),
                name => {
                    if let Some(piece) = NamePiece::of(name, &value) {
                        pieces.entry(piece.number).or_insert(piece);
                    }
                }
            }
        }
        let plain = found.file_name.map(|name| {
            let name = name.replace("%22", "\"");
            outgoing::decoded_words(without_path(&name))
        });
        let is_extended = extended.is_some() || pieces.contains_key(&0);
        let extended = extended.and_then(|value| extended_value(&value));
        found.file_name = extended.or_else(|| joined(&pieces)).or(plain);
        if is_extended && found.file_name.is_none() {
            return Err(not_utf8());
        }
        Ok(found)
    }
}

/// One piece of a file name, `filename*0` or, percent-encoded, `filename*0*` (RFC 2231 §3).
struct NamePiece {
    number: u32,
    is_coded: bool,
    value: String,
}

impl NamePiece {
    /// Reads a parameter in lower case. `None`: it is another one.
    fn of(name: &str, value: &str) -> Option<Self> {
        let number = name.strip_prefix("filename*")?;
        let (number, is_coded) = match number.strip_suffix('*') {
            Some(number) => (number, true),
            None => (number, false),
        };
        let number = number.parse().ok()?;
        Some(Self { number, is_coded, value: value.to_owned() })
    }
}

/// The file name that the pieces from 0 on make. `None`: there is no first piece, or its bytes are
/// not valid in its charset.
fn joined(pieces: &BTreeMap<u32, NamePiece>) -> Option<String> {
    let (mut charset, mut bytes) = ("utf-8", vec![]);
    for (piece, number) in pieces.values().zip(0..).take_while(|(piece, at)| piece.number == *at) {
        let coded = charset_of(&piece.value).filter(|_| piece.is_coded && number == 0);
        let value = coded.map_or(piece.value.as_str(), |(named, coded)| {
            charset = named;
            coded
        });
        match piece.is_coded {
            true => bytes.extend(percent::decode_bytes(value)?),
            false => bytes.extend_from_slice(value.as_bytes()),
        }
    }
    text_in(charset, bytes).filter(|name| !name.is_empty())
}

/// The name without the path that old browsers on Windows send before it.
fn without_path(name: &str) -> &str {
    let is_path = match name.as_bytes() {
        [drive, b':', b'\\', ..] => drive.is_ascii_alphabetic(),
        start => start.starts_with(b"\\\\"),
    };
    let last = name.rsplit('\\').next().filter(|_| is_path);
    last.unwrap_or(name)
}

/// The parameters after the type: names, and values without quotes.
fn parameters(value: &str) -> Vec<(&str, String)> {
    let mut found = vec![];
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, behind)) = rest.split_once('=') {
        let (value, left) = parameter_value(behind.trim_start());
        found.push((name.trim_matches([' ', '\t', ';']), value));
        rest = left.split_once(';').map_or("", |(_, rest)| rest);
    }
    found
}

/// The value at the beginning of a text, and the rest of the text.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find(';').unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).unwrap_or((text, ""));
        return (value.trim().to_owned(), rest);
    };
    let mut value = String::new();
    let mut chars = quoted.chars();
    while let Some(char) = chars.next() {
        match char {
            '"' => break,
            // Only these characters are escaped. Other backslashes are part of paths that old
            // browsers send.
            '\\' if chars.as_str().starts_with(['"', '\\']) => value.extend(chars.next()),
            char => value.push(char),
        }
    }
    (value, chars.as_str())
}

/// A value in the form `charset'language'percent-encoded` (RFC 8187 §3.2). `None`: its bytes are
/// not valid in its charset.
fn extended_value(value: &str) -> Option<String> {
    let (charset, coded) = charset_of(value).unwrap_or(("utf-8", value));
    text_in(charset, percent::decode_bytes(coded)?)
}

/// The charset before a percent-encoded value, and the value. `None`: none is named.
fn charset_of(value: &str) -> Option<(&str, &str)> {
    let mut parts = value.splitn(3, '\'');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(coded)) => Some((charset, coded)),
        _ => None,
    }
}

/// The text of bytes in a charset. `None`: they are not valid in it. One that is not known is read
/// as UTF-8.
fn text_in(charset: &str, bytes: Vec<u8>) -> Option<String> {
    if charset.eq_ignore_ascii_case("iso-8859-1") {
        return Some(bytes.iter().map(|byte| char::from(*byte)).collect());
    }
    String::from_utf8(bytes).ok()
}

/// The bytes of a part.
pub(crate) fn bytes(field: Field<'_>) -> impl Stream<Item = Result<Bytes, Problem>> + Send + Unpin {
    field.map(|piece| piece.map_err(|error| problem(&error)))
}

/// The problem for an error of a form. If the body caused it, the problem of the body.
fn problem(error: &MultipartError) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        if let Some(body) = error.downcast_ref::<BodyError>() {
            return Problem::from(*body);
        }
        cause = error.source();
    }
    Problem::malformed(
        "the form is malformed: each part begins with the boundary of Content-Type and its own \
         header, and the last boundary ends the form",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_as_libraries_write_them() {
        #[rustfmt::skip]
        let table: &[(&[u8], &str, Option<&str>)] = &[
            // .NET, RestSharp, PowerShell 7
            (b"form-data; name=files; filename=\"=?utf-8?B?w6QudHh0?=\"; filename*=utf-8''%C3%A4.txt", "files", Some("\u{e4}.txt")),
            // Spring
            (b"form-data; name=\"files\"; filename=\"=?UTF-8?Q?=C3=A4.txt?=\"", "files", Some("\u{e4}.txt")),
            // Python with an older urllib3
            (b"form-data; name=\"files\"; filename*=utf-8''%C3%A4.txt", "files", Some("\u{e4}.txt")),
            (b"form-data; name=\"files\"; filename*=UTF-8'de'%C3%A4.txt; filename=\"fallback.txt\"", "files", Some("\u{e4}.txt")),
            (b"form-data; name=\"files\"; filename*=iso-8859-1''%E4.txt", "files", Some("\u{e4}.txt")),
            (b"FORM-DATA; NAME=\"files\"; FileName=\"a.txt\"", "files", Some("a.txt")),
            // Browsers, curl, node
            (b"form-data; name=\"files\"; filename=\"a%22b.txt\"", "files", Some("a\"b.txt")),
            (b"form-data; name=\"files\"; filename=\"a\\\"b;c=d.txt\"", "files", Some("a\"b;c=d.txt")),
            ("form-data; name=\"files\"; filename=\"\u{e4}.txt\"".as_bytes(), "files", Some("\u{e4}.txt")),
            (b"form-data; name=files; filename=\"good.txt\"; filename*=klingon''%E4.txt", "files", Some("good.txt")),
            (b"form-data; name=files; filename=\"good.txt\"; filename*=utf-8''%E4.txt", "files", Some("good.txt")),
            // Python's and Java's mail libraries
            (b"form-data; name=files; filename*0*=utf-8''%C3%A4; filename*1=\"b c\"; filename*2*=%20%C3%BC.txt", "files", Some("\u{e4}b c \u{fc}.txt")),
            (b"form-data; name=files; filename*1=b.txt; filename*0=a", "files", Some("ab.txt")),
            (b"form-data; name=files; filename*1=b.txt; filename=c.txt", "files", Some("c.txt")),
            // Old browsers
            (b"form-data; name=files; filename=\"C:\\Users\\x\\a.txt\"", "files", Some("a.txt")),
            (b"form-data; name=files; filename=\"C:\\\\Users\\\\x\\\\a.txt\"", "files", Some("a.txt")),
            (b"form-data; filename=a.txt; name=files", "files", Some("a.txt")),
            (b"form-data;name=message", "message", None),
        ];
        for (value, name, file_name) in table {
            let got = FormDisposition::parse(value).unwrap();
            let got = (got.name.as_deref().unwrap(), got.file_name.as_deref());
            assert_eq!(got, (*name, *file_name), "{}", value.escape_ascii());
        }
        for value in [
            &b"form-data; name=\"x\"; filename=\"\xE4.txt\""[..],
            b"form-data; filename*=utf-8''%E4",
            b"form-data; filename*0*=utf-8''%E4; filename*1=b",
        ] {
            let refused = FormDisposition::parse(value).unwrap_err();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        }
    }

    #[tokio::test]
    async fn a_part_in_a_transfer_encoding_is_refused() {
        for (encoding, is_taken) in [
            ("", true),
            ("7bit", true),
            (" Binary", true),
            ("base64", false),
            ("x-uuencode", false),
        ] {
            let mut headers = HeaderMap::new();
            let kind = HeaderValue::from_static("multipart/form-data; boundary=b");
            headers.insert(header::CONTENT_TYPE, kind);
            let body = format!(
                "--b\r\nContent-Disposition: form-data; name=files; filename=a.txt\r\n\
                 Content-Transfer-Encoding: {encoding}\r\n\r\nRA==\r\n--b--\r\n"
            );
            let mut form =
                Form::open(&headers, Body::from(body), &Limits::default()).await.unwrap();
            match form.next().await {
                Ok(field) => assert!(is_taken && field.is_some(), "{encoding}"),
                Err(problem) => {
                    assert!(!is_taken, "{encoding}");
                    assert_eq!(problem.status(), StatusCode::UNPROCESSABLE_ENTITY);
                }
            }
        }
    }
}

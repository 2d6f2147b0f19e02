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
    /// Those of the body, and 422 if there are too many parts.
    pub(crate) async fn next(&mut self) -> Result<Option<Field<'_>>, Problem> {
        let next = self.parts.next_field().await.map_err(|error| problem(&error))?;
        if next.is_some() {
            self.left = self.left.checked_sub(1).ok_or_else(|| {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                Problem::new(status, "too-many-files", "the form has too many parts")
            })?;
        }
        Ok(next)
    }
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
    /// lower case, file names as `filename*` (RFC 8187), in encoded words (RFC 2047), or plain.
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
        let mut extended = None;
        for (name, value) in parameters(value) {
            match name.to_ascii_lowercase().as_str() {
                "name" => found.name = found.name.or(Some(value)),
                "filename" => found.file_name = found.file_name.or(Some(value)),
                "filename*" => extended = extended.or(Some(value)),
                _ => {}
            }
        }
        let plain = found.file_name.map(|name| outgoing::decoded_words(&name.replace("%22", "\"")));
        let extended =
            extended.map(|value| extended_value(&value).ok_or_else(not_utf8)).transpose()?;
        found.file_name = extended.or(plain);
        Ok(found)
    }
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
    let mut parts = value.splitn(3, '\'');
    let (charset, coded) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(coded)) => (charset, coded),
        _ => ("utf-8", value),
    };
    let bytes = percent::decode_bytes(coded)?;
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
        ] {
            let refused = FormDisposition::parse(value).unwrap_err();
            assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
        }
    }
}

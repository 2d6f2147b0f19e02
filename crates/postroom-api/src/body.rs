//! Bodies of requests: counted while they are read, and never waited for without end.

use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::problem::Problem;
use axum::body::Body;
use axum::body::BodyDataStream;
use axum::http::HeaderMap;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use serde_json::Value as Json;
use std::time::Duration;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is larger than it may be.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The bound.
        bytes_max: u64,
    },
    /// The client sent nothing for too long.
    #[error("the client fell silent in the middle of the body")]
    Silent,
    /// The connection ended, or the framing is wrong.
    #[error("the body broke off or is not well framed")]
    BrokenOff,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLarge { bytes_max } => Self::too_large("the body", bytes_max),
            BodyError::Silent => Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail),
            BodyError::BrokenOff => Self::malformed(detail),
        }
    }
}

/// A body that is being read.
pub struct Incoming {
    stream: BodyDataStream,
    read_bytes: u64,
    bytes_max: u64,
    silence_max: Duration,
}

impl Incoming {
    /// Begins to read a body of at most `bytes_max`.
    ///
    /// # Errors
    ///
    /// 413 at once when the request says that it is larger.
    pub fn new(
        headers: &HeaderMap,
        body: Body,
        bytes_max: u64,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let said = headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|field| field.to_str().ok()?.parse::<u64>().ok());
        if said.is_some_and(|said| said > bytes_max) {
            return Err(Problem::too_large("the body", bytes_max));
        }
        Ok(Self {
            stream: body.into_data_stream(),
            read_bytes: 0,
            bytes_max,
            silence_max: limits.silence_max,
        })
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`BodyError`].
    pub async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let next = tokio::time::timeout(self.silence_max, self.stream.next()).await;
        let next = next.map_err(|_| BodyError::Silent)?;
        let Some(piece) = next.transpose().map_err(|_| BodyError::BrokenOff)? else {
            return Ok(None);
        };
        self.read_bytes += piece.len() as u64;
        if self.read_bytes > self.bytes_max {
            return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
        }
        Ok(Some(piece))
    }

    /// The pieces as a stream.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
        stream::unfold(Some(self), |incoming| async {
            let mut incoming = incoming?;
            match incoming.next().await {
                Ok(None) => None,
                Ok(Some(piece)) => Some((Ok(piece), Some(incoming))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

/// Reads a JSON body.
///
/// # Errors
///
/// 415 for another media type, 413 when it is too large, 400 with line and column when it is no
/// JSON, or nested too deep.
pub async fn json(headers: &HeaderMap, body: Body, limits: &Limits) -> Result<Json, Problem> {
    if let Some(other) = MediaType::of(headers).filter(|media_type| !media_type.is_json()) {
        let detail = format!("takes application/json, not {}", other.essence);
        return Err(Problem::unsupported(detail));
    }
    let mut incoming = Incoming::new(headers, body, limits.json_bytes_max, limits)?;
    let mut bytes = vec![];
    while let Some(piece) = incoming.next().await? {
        bytes.extend_from_slice(&piece);
    }
    parse_json("the body", &bytes)
}

/// Reads JSON; `what` is what holds it.
///
/// # Errors
///
/// 400 with line and column when it is no JSON, or nested deeper than 127 levels.
pub fn parse_json(what: &str, bytes: &[u8]) -> Result<Json, Problem> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::malformed(format!("{what} is empty; it takes JSON")));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::not_json(what, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    async fn read(media_type: Option<&'static str>, body: impl Into<Body>) -> Result<Json, u16> {
        let limits = Limits { json_bytes_max: 1000, ..Limits::default() };
        let media_type = media_type.map(HeaderValue::from_static);
        let headers = media_type.map(|value| (header::CONTENT_TYPE, value));
        let json = json(&headers.into_iter().collect(), body.into(), &limits).await;
        json.map_err(|problem| problem.status().as_u16())
    }

    #[tokio::test]
    async fn only_bounded_json_is_read() {
        assert_eq!(read(None, "{}").await, Ok(serde_json::json!({})));
        assert_eq!(read(Some("application/json"), "[1]").await, Ok(serde_json::json!([1])));
        #[rustfmt::skip]
        let table = [
            (Some("text/plain"),       "{}".to_owned(),                        415),
            (Some("not a media type"), "{}".to_owned(),                        415),
            (None,                     String::new(),                          400),
            (None,                     "{\"a\":}".to_owned(),                  400),
            (None,                     "\"\\ud800\"".to_owned(),               400),
            (None,                     "[".repeat(200) + &"]".repeat(200),     400),
            (None,                     format!("\"{}\"", "x".repeat(1000)),    413),
        ];
        for (media_type, body, status) in table {
            assert_eq!(read(media_type, body.clone()).await, Err(status), "{body}");
        }
    }

    #[tokio::test]
    async fn what_says_that_it_is_too_large_is_not_read() {
        let headers =
            HeaderMap::from_iter([(header::CONTENT_LENGTH, HeaderValue::from(1_u64 << 30))]);
        let refused = json(&headers, Body::empty(), &Limits::default()).await.unwrap_err();
        assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
    }
}

//! Bodies of requests. They are counted while they are read, and every wait has a deadline.

use crate::app::App;
use crate::budget::SMALL_BYTES;
use crate::budget::Share;
use crate::json;
use crate::json::Document;
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::problem::Problem;
use axum::body::Body;
use axum::body::BodyDataStream;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use std::time::Duration;

/// Why a body could not be read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is too large.
    #[error("the body is larger than {bytes_max} bytes")]
    TooLarge {
        /// The limit.
        bytes_max: u64,
    },
    /// The client sent nothing for too long.
    #[error("no more bytes of the body came in time; send the request again")]
    Silent,
    /// The client took too long for the whole body.
    #[error("the body took too long to arrive; send the request again")]
    Slow,
    /// The connection ended, or the framing is invalid.
    #[error("the body ended too early, or its framing is invalid")]
    BrokenOff,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLarge { bytes_max } => Self::too_large("the body", bytes_max),
            BodyError::Silent | BodyError::Slow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
            }
            BodyError::BrokenOff => Self::malformed(detail),
        }
    }
}

/// A body that is being read.
pub(crate) struct Incoming {
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
    /// 413 at once if the request announces a larger body.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        bytes_max: u64,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        check_encoding(headers)?;
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
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
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
    pub(crate) fn pieces(self) -> impl Stream<Item = Result<Bytes, BodyError>> + Send {
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

/// Checks that a body has no encoding, such as compression.
fn check_encoding(headers: &HeaderMap) -> Result<(), Problem> {
    if let Some(coding) = coding(headers, &header::CONTENT_ENCODING, "identity") {
        let detail =
            format!("takes a body without Content-Encoding, not {coding}: send it uncompressed");
        let identity = HeaderValue::from_static("identity");
        return Err(Problem::unsupported(detail).with(header::ACCEPT_ENCODING, identity));
    }
    if let Some(coding) = coding(headers, &header::TRANSFER_ENCODING, "chunked") {
        let detail = format!("takes no Transfer-Encoding other than chunked, not {coding}");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer-encoding", detail));
    }
    Ok(())
}

/// The first coding of a field that differs from `known`.
fn coding(headers: &HeaderMap, name: &HeaderName, known: &str) -> Option<String> {
    let fields = headers.get_all(name).into_iter();
    let codings = fields.flat_map(|field| field.to_str().unwrap_or("?").split(','));
    let mut odd = codings.map(str::trim).filter(|coding| !coding.is_empty());
    odd.find(|coding| !coding.eq_ignore_ascii_case(known)).map(str::to_owned)
}

/// A JSON body, with its share of the memory for such bodies.
#[derive(Debug)]
pub(crate) struct Sent {
    /// The JSON.
    pub document: Document,
    /// The share. It is held as long as the JSON is needed.
    pub share: Share,
}

/// Checks that there is no body. `why` says what to use instead.
///
/// # Errors
///
/// 400 for a body.
pub(crate) async fn none(
    headers: &HeaderMap,
    body: Body,
    app: &App,
    why: &'static str,
) -> Result<(), Problem> {
    let mut incoming = Incoming::new(headers, body, app.limits.json_bytes_max, &app.limits)?;
    match incoming.next().await? {
        Some(_) => Err(Problem::malformed(why)),
        None => Ok(()),
    }
}

/// Reads a JSON body.
///
/// # Errors
///
/// 415 for another media type, 413 if it is too large, 400 with line and column if it is not JSON
/// or nested too deeply, 503 if there is no memory for it in time.
pub(crate) async fn json(headers: &HeaderMap, body: Body, app: &App) -> Result<Sent, Problem> {
    let media_type = MediaType::of(headers);
    if let Some(other) = media_type.as_ref().filter(|media_type| !media_type.is_json()) {
        let said = headers.get(header::CONTENT_TYPE).and_then(|field| field.to_str().ok());
        let said = said.filter(|said| MediaType::parse(said).is_some());
        let found = said.map_or("a malformed Content-Type", |_| other.essence.as_str());
        return Err(Problem::unsupported(format!("takes application/json, not {found}")));
    }
    if media_type.is_some_and(|media_type| !media_type.is_utf8()) {
        return Err(Problem::unsupported("takes application/json in UTF-8, in no other charset"));
    }
    let limits = &app.limits;
    let mut incoming = Incoming::new(headers, body, limits.json_bytes_max, limits)?;
    // A request with a length cannot send more than that. A request without one may send up to the
    // limit.
    let said = headers.get(header::CONTENT_LENGTH).and_then(|field| field.to_str().ok());
    let said = said.and_then(|said| said.parse().ok()).unwrap_or(limits.json_bytes_max);
    let said = usize::try_from(said).unwrap_or(usize::MAX);
    let read = async {
        let (mut bytes, mut share) = (vec![], None);
        while let Some(piece) = incoming.next().await? {
            if share.is_none() && bytes.len() + piece.len() > SMALL_BYTES {
                share = Some(app.budget.to_read(said).await?);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok::<_, Problem>((bytes, share))
    };
    let read = tokio::time::timeout(limits.json_within, read).await;
    // The share of the bytes is held until they are parsed.
    let (bytes, _share) = read.map_err(|_| Problem::from(BodyError::Slow))??;
    parse_json("the body", bytes, app).await
}

/// Parses JSON. Large JSON is parsed on another thread. `what` names its container in errors.
///
/// # Errors
///
/// 400 with line and column if it is not JSON or nested too deeply, 413 if it has too many values,
/// 503 if there is no memory for it in time.
pub(crate) async fn parse_json(
    what: &'static str,
    bytes: Vec<u8>,
    app: &App,
) -> Result<Sent, Problem> {
    if bytes.len() <= SMALL_BYTES {
        let values = json::count(what, &bytes)?;
        let share = app.budget.to_parse(bytes.len() + values * json::VALUE_BYTES).await?;
        return Ok(Sent { document: json::parse(what, &bytes)?, share });
    }
    let counted = move || json::count(what, &bytes).map(|values| (values, bytes));
    let (values, bytes) = aside(counted).await?;
    let share = app.budget.to_parse(bytes.len() + values * json::VALUE_BYTES).await?;
    let document = aside(move || json::parse(what, &bytes)).await?;
    Ok(Sent { document, share })
}

/// Does long work on a thread where it blocks nothing else.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Problem::fault(error.to_string())))
}

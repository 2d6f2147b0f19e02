//! Bodies of requests. They are decoded and counted while they are read, and every wait has a
//! deadline.
//!
//! Standards: RFC 9110 §8.4, §15.5.16; RFC 7694 (`Accept-Encoding` of an answer).

use crate::app::App;
use crate::budget::SMALL_BYTES;
use crate::budget::Share;
use crate::coding::Coding;
use crate::decode::Decoding;
use crate::json;
use crate::json::Document;
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::problem::Problem;
use axum::body::Body;
use axum::body::BodyDataStream;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::StatusCode;
use axum::http::header;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use std::time::Duration;
use tokio::time::Instant;

/// How much larger a coding may make a small body.
const CODED_BYTES_MORE: u64 = 64 * 1024;
/// How long a body waits until it can be decoded.
const DECODED_WITHIN: Duration = Duration::from_secs(30);
/// How many bytes a client must send in each second, once a body takes longer than one of JSON may.
const BYTES_PER_SECOND_MIN: u64 = 16 * 1024;

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
    #[error("the body ended too early, or its framing is invalid; send the request again")]
    BrokenOff,
    /// It is not of the coding that its request names.
    #[error("the body is not whole and valid {coding}, which its Content-Encoding names")]
    Garbled {
        /// The coding.
        coding: &'static str,
    },
    /// Too many others are decoded.
    #[error("too many bodies with a Content-Encoding are being read at this moment; try again")]
    Busy,
}

impl From<BodyError> for Problem {
    fn from(error: BodyError) -> Self {
        let detail = error.to_string();
        match error {
            BodyError::TooLarge { bytes_max } => Self::too_large("the body", bytes_max),
            BodyError::Silent | BodyError::Slow => {
                Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", detail)
            }
            BodyError::BrokenOff | BodyError::Garbled { .. } => Self::malformed(detail),
            BodyError::Busy => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, &detail, "places to decode bodies")
            }
        }
    }
}

/// A body that is being read.
pub(crate) struct Incoming {
    stream: BodyDataStream,
    coding: Option<Coding>,
    decoding: Option<Decoding>,
    /// How many bytes it has, as `Content-Length` says.
    announced_bytes: Option<u64>,
    /// How many bytes have come, before they are decoded.
    sent_bytes: u64,
    /// How many bytes were read, after they were decoded.
    read_bytes: u64,
    bytes_max: u64,
    silence_max: Duration,
    /// How long the client was waited for.
    waited: Duration,
    slow_within: Duration,
}

impl Incoming {
    /// Begins to read a body of at most `bytes_max`, which counts what is decoded.
    ///
    /// # Errors
    ///
    /// 413 at once if the request announces a larger body, 415 for a coding that is not known.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Body,
        bytes_max: u64,
        limits: &Limits,
    ) -> Result<Self, Problem> {
        let coding = coding(headers)?;
        let said = headers.get(header::CONTENT_LENGTH);
        let said = said.and_then(|field| field.to_str().ok()?.parse::<u64>().ok());
        let incoming = Self {
            stream: body.into_data_stream(),
            coding,
            decoding: None,
            announced_bytes: said,
            sent_bytes: 0,
            read_bytes: 0,
            bytes_max,
            silence_max: limits.silence_max,
            waited: Duration::ZERO,
            slow_within: limits.json_within,
        };
        if said.is_some_and(|said| said > incoming.sent_bytes_max()) {
            return Err(Problem::too_large("the body", bytes_max));
        }
        Ok(incoming)
    }

    /// How many bytes the body may have as it is sent. What cannot be compressed becomes a bit
    /// larger by a coding.
    fn sent_bytes_max(&self) -> u64 {
        match self.coding {
            Some(_) => self.bytes_max + self.bytes_max / 64 + CODED_BYTES_MORE,
            None => self.bytes_max,
        }
    }

    /// The next piece; `None` at the end.
    ///
    /// # Errors
    ///
    /// See [`BodyError`].
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        let piece = match self.coding {
            Some(coding) => self.decoded(coding).await?,
            None => self.received().await?,
        };
        self.read_bytes += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        if self.read_bytes > self.bytes_max {
            return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
        }
        Ok(piece)
    }

    /// The next piece as it was sent.
    async fn received(&mut self) -> Result<Option<Bytes>, BodyError> {
        let begun = Instant::now();
        let next = tokio::time::timeout(self.silence_max, self.stream.next()).await;
        self.waited += begun.elapsed();
        let next = next.map_err(|_| BodyError::Silent)?;
        let Some(piece) = next.transpose().map_err(|_| BodyError::BrokenOff)? else {
            // A client of HTTP/2 may end a stream without the rest of its body.
            let is_whole = self.announced_bytes.is_none_or(|bytes| bytes == self.sent_bytes);
            return if is_whole { Ok(None) } else { Err(BodyError::BrokenOff) };
        };
        self.sent_bytes += piece.len() as u64;
        if self.sent_bytes > self.sent_bytes_max() {
            return Err(BodyError::TooLarge { bytes_max: self.bytes_max });
        }
        let fast = Duration::from_secs(self.sent_bytes / BYTES_PER_SECOND_MIN);
        if self.waited > self.slow_within + fast {
            return Err(BodyError::Slow);
        }
        Ok(Some(piece))
    }

    /// The next decoded piece.
    async fn decoded(&mut self, coding: Coding) -> Result<Option<Bytes>, BodyError> {
        let garbled = |_| BodyError::Garbled { coding: coding.name() };
        let mut decoding = match self.decoding.take() {
            Some(decoding) => decoding,
            None => {
                let begun = tokio::time::timeout(DECODED_WITHIN, Decoding::begin(coding)).await;
                begun.ok().and_then(Result::ok).ok_or(BodyError::Busy)?
            }
        };
        loop {
            if let Some(piece) = decoding.step().map_err(garbled)? {
                // A small body may become a large one, which takes time from others.
                tokio::task::yield_now().await;
                if piece.is_empty() {
                    continue;
                }
                self.decoding = Some(decoding);
                return Ok(Some(piece));
            }
            match self.received().await? {
                Some(piece) => decoding.add(piece),
                None => {
                    let last = decoding.finish().map_err(garbled)?;
                    self.coding = None;
                    return Ok((!last.is_empty()).then_some(last));
                }
            }
        }
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

/// The coding of a body. `None`: it is as it is.
///
/// # Errors
///
/// 415 for a coding that is not known, 501 for another coding of the transfer than chunks.
fn coding(headers: &HeaderMap) -> Result<Option<Coding>, Problem> {
    if let Some(coding) = codings(headers, &header::TRANSFER_ENCODING, "chunked").first() {
        let detail = format!("takes no Transfer-Encoding other than chunked, not {coding}");
        return Err(Problem::new(StatusCode::NOT_IMPLEMENTED, "transfer-encoding", detail));
    }
    let named = codings(headers, &header::CONTENT_ENCODING, "identity");
    let known: Vec<_> = named.iter().filter_map(|name| Coding::of(name)).collect();
    match (named.as_slice(), known.as_slice()) {
        ([], _) => Ok(None),
        ([_], [coding]) => Ok(Some(*coding)),
        _ => {
            let named = named.join(", ");
            let detail = format!("takes Content-Encoding zstd or gzip, or none; not {named}");
            Err(Problem::unsupported(detail).with(header::ACCEPT_ENCODING, Coding::LISTED))
        }
    }
}

/// The codings of a field that differ from `usual`.
fn codings(headers: &HeaderMap, name: &HeaderName, usual: &str) -> Vec<String> {
    let fields = headers.get_all(name).into_iter();
    let codings = fields.flat_map(|field| field.to_str().unwrap_or("?").split(','));
    let odd = codings.map(str::trim).filter(|coding| !coding.is_empty());
    odd.filter(|coding| !coding.eq_ignore_ascii_case(usual)).map(str::to_owned).collect()
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
    must_be_json(headers)?;
    // The share of the bytes is held until they are parsed.
    let (bytes, _share) = whole(headers, body, app.limits.json_bytes_max, app).await?;
    parse_json("the body", bytes, app).await
}

/// Reads a JSON body that may be left out, which is an object without members.
///
/// # Errors
///
/// As [`json()`].
pub(crate) async fn json_or_none(
    headers: &HeaderMap,
    body: Body,
    app: &App,
) -> Result<Sent, Problem> {
    let (bytes, _share) = whole(headers, body, app.limits.json_bytes_max, app).await?;
    if bytes.is_empty() {
        return parse_json("the body", b"{}".to_vec(), app).await;
    }
    must_be_json(headers)?;
    parse_json("the body", bytes, app).await
}

/// Checks that a body is JSON, as its request says.
fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
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
    Ok(())
}

/// Reads a body whole, in memory, with the share of the memory that it has.
///
/// # Errors
///
/// 413 if it is too large, 408 if it takes too long, 503 if there is no memory for it in time.
pub(crate) async fn whole(
    headers: &HeaderMap,
    body: Body,
    bytes_max: u64,
    app: &App,
) -> Result<(Vec<u8>, Option<Share>), Problem> {
    let limits = &app.limits;
    let mut incoming = Incoming::new(headers, body, bytes_max, limits)?;
    // A request with a length cannot send more than that. A request without one, or with a coding,
    // may send up to the limit.
    let said = headers.get(header::CONTENT_LENGTH).and_then(|field| field.to_str().ok());
    let said = said.filter(|_| incoming.coding.is_none()).and_then(|said| said.parse().ok());
    let said = said.unwrap_or(bytes_max);
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
    read.map_err(|_| Problem::from(BodyError::Slow))?
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

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[tokio::test]
    async fn a_body_that_is_shorter_than_announced_is_not_whole() {
        for (announced, is_whole) in [(None, true), (Some("3"), true), (Some("4"), false)] {
            let mut headers = HeaderMap::new();
            if let Some(bytes) = announced {
                headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static(bytes));
            }
            let body = Body::from("abc");
            let mut incoming = Incoming::new(&headers, body, 100, &Limits::default()).unwrap();
            assert_eq!(incoming.next().await, Ok(Some(Bytes::from_static(b"abc"))));
            let ended = incoming.next().await;
            assert_eq!(ended == Ok(None), is_whole, "{announced:?}: {ended:?}");
        }
    }
}

//! Compresses answers for clients that ask for it.
//!
//! Streams of events, ranges, small answers, and what is compressed already stay as they are. The
//! entity tag of a compressed answer has the coding as its end (`"7-gzip"`), because the bytes are
//! others. A client may send either form back: the end is taken off before anything reads it.
//!
//! Standards: RFC 9110 §8.8.3.3, §12.5.5.

use crate::coding;
use crate::coding::Coding;
use axum::body::Body;
use axum::body::Bytes;
use axum::body::HttpBody;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderName;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use hyper::body::Frame;
use std::io;
use std::io::Write;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;

/// Smaller answers are not worth it.
const BYTES_MIN: u64 = 1024;
/// How much is compressed at once.
const PIECE_BYTES: usize = 64 * 1024;
/// The level of zstd: the fastest.
const ZSTD_LEVEL: i32 = 1;
/// The window of zstd, in bits. It is the memory that each answer takes on both sides.
const ZSTD_WINDOW_BITS: u32 = 17;
/// Bounds the memory: so many answers are compressed at once, and others are sent as they are.
static PLACES: Semaphore = Semaphore::const_new(128);
/// The header fields that name entity tags. `If-Range` is not one of them, because whoever has a
/// part of compressed bytes must not get the rest of others.
const TAGGED: [HeaderName; 2] = [header::IF_MATCH, header::IF_NONE_MATCH];
/// Media types that shrink, beside all texts, and those that end in one of [`SUFFIXES`].
const TYPES: [&str; 6] = [
    "application/json",
    "application/x-ndjson",
    "application/xml",
    "application/javascript",
    "application/rtf",
    "message/rfc822",
];
/// The ends of media types that shrink.
const SUFFIXES: [&str; 2] = ["+json", "+xml"];

/// Answers a request in the coding that its client wants most.
pub(crate) async fn compress(mut request: Request, next: Next) -> Response {
    let wanted = coding::accepted(request.headers());
    let has_body = request.method() != Method::HEAD;
    let known = plain_tags(request.headers_mut());
    let mut response = next.run(request).await;
    if response.status() == StatusCode::NOT_MODIFIED {
        known.into_iter().for_each(|coding| mark(response.headers_mut(), coding));
        return response;
    }
    if !shrinks(&response) {
        return response;
    }
    let vary = HeaderValue::from_static("accept-encoding");
    response.headers_mut().append(header::VARY, vary);
    let (Some(coding), Ok(place)) = (wanted, PLACES.try_acquire()) else {
        return response;
    };
    if !has_body {
        // HEAD tells what GET would (RFC 9110 §9.3.2).
        coded(response.headers_mut(), coding);
        return response;
    }
    let encoder = match AnswerEncoder::new(coding) {
        Ok(encoder) => encoder,
        Err(error) => {
            tracing::warn!(%error, "an answer is sent uncompressed");
            return response;
        }
    };
    coded(response.headers_mut(), coding);
    response.map(|body| {
        let encoder = Some(encoder);
        Body::new(CompressedBody { body, encoder, rest: Bytes::new(), _place: place })
    })
}

/// Says that the bytes are in a coding.
fn coded(headers: &mut HeaderMap, coding: Coding) {
    headers.remove(header::CONTENT_LENGTH);
    // A range would be one of other bytes.
    headers.remove(header::ACCEPT_RANGES);
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    mark(headers, coding);
}

/// Takes the codings off the entity tags of a request. Gives the coding that `If-None-Match` named.
fn plain_tags(headers: &mut HeaderMap) -> Option<Coding> {
    let mut known = None;
    if headers.contains_key(header::RANGE) {
        return known;
    }
    for name in TAGGED {
        for coding in Coding::ALL {
            let end = format!("-{}\"", coding.name());
            let fields: Vec<_> = headers.get_all(&name).into_iter().cloned().collect();
            let has = |field: &HeaderValue| field.to_str().is_ok_and(|text| text.contains(&end));
            if !fields.iter().any(has) {
                continue;
            }
            headers.remove(&name);
            for field in fields {
                let plain = field.to_str().ok().map(|text| text.replace(&end, "\""));
                let plain = plain.and_then(|text| HeaderValue::from_str(&text).ok());
                headers.append(&name, plain.unwrap_or(field));
            }
            if name == header::IF_NONE_MATCH {
                known = known.or(Some(coding));
            }
        }
    }
    known
}

/// Puts the coding at the end of the entity tag.
fn mark(headers: &mut HeaderMap, coding: Coding) {
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let marked = tag.and_then(|tag| tag.strip_suffix('"'));
    let marked = marked.map(|front| format!("{front}-{}\"", coding.name()));
    if let Some(marked) = marked.and_then(|tag| HeaderValue::from_str(&tag).ok()) {
        headers.insert(header::ETAG, marked);
    }
}

/// Whether an answer is worth compressing.
fn shrinks(response: &Response) -> bool {
    let (status, headers) = (response.status(), response.headers());
    let is_odd = [StatusCode::NO_CONTENT, StatusCode::PARTIAL_CONTENT].contains(&status)
        || status.is_informational()
        || headers.contains_key(header::CONTENT_ENCODING)
        || headers.contains_key(header::CONTENT_RANGE);
    let said = headers.get(header::CONTENT_LENGTH);
    let said = said.and_then(|field| field.to_str().ok()?.parse().ok());
    let bytes = said.or_else(|| response.body().size_hint().exact());
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|field| field.to_str().ok());
    let media_type = media_type.and_then(|field| field.split(';').next()).unwrap_or_default();
    !is_odd && bytes.is_none_or(|bytes| bytes >= BYTES_MIN) && is_text(media_type.trim())
}

fn is_text(media_type: &str) -> bool {
    let media_type = media_type.to_ascii_lowercase();
    let is_event_stream = media_type == "text/event-stream";
    let is_listed = TYPES.contains(&media_type.as_str())
        || SUFFIXES.iter().any(|suffix| media_type.ends_with(suffix));
    !is_event_stream && (media_type.starts_with("text/") || is_listed)
}

/// What compresses.
enum AnswerEncoder {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Gzip(flate2::write::GzEncoder<Vec<u8>>),
}

impl AnswerEncoder {
    fn new(coding: Coding) -> io::Result<Self> {
        Ok(match coding {
            Coding::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(vec![], ZSTD_LEVEL)?;
                encoder.window_log(ZSTD_WINDOW_BITS)?;
                Self::Zstd(encoder)
            }
            Coding::Gzip => Self::Gzip(flate2::write::GzEncoder::new(vec![], Compression::fast())),
        })
    }

    /// Takes bytes, and gives those that are ready.
    fn add(&mut self, bytes: &[u8]) -> io::Result<Bytes> {
        let ready = match self {
            Self::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
            Self::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(ready).into())
    }

    /// The last bytes.
    fn finish(self) -> io::Result<Bytes> {
        let last = match self {
            Self::Zstd(encoder) => encoder.finish()?,
            Self::Gzip(encoder) => encoder.finish()?,
        };
        Ok(last.into())
    }
}

/// An answer that is compressed while it is read.
struct CompressedBody {
    body: Body,
    /// `None`: it is at its end.
    encoder: Option<AnswerEncoder>,
    /// What is not compressed yet.
    rest: Bytes,
    _place: SemaphorePermit<'static>,
}

impl CompressedBody {
    /// The next compressed bytes. Empty: there are none without more input.
    fn ready(&mut self) -> io::Result<Bytes> {
        while let Some(encoder) = self.encoder.as_mut().filter(|_| !self.rest.is_empty()) {
            let piece = self.rest.split_to(PIECE_BYTES.min(self.rest.len()));
            let ready = encoder.add(&piece)?;
            if !ready.is_empty() {
                return Ok(ready);
            }
        }
        Ok(Bytes::new())
    }
}

impl HttpBody for CompressedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        loop {
            let ready = this.ready().map_err(axum::Error::new)?;
            if !ready.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(ready))));
            }
            if this.encoder.is_none() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(bytes) => this.rest = bytes,
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                Some(Err(error)) => {
                    // Without its end nobody takes the part for the whole.
                    this.encoder = None;
                    return Poll::Ready(Some(Err(error)));
                }
                None => {
                    let last = this.encoder.take().map(AnswerEncoder::finish);
                    let last = last.transpose().map_err(axum::Error::new)?;
                    return Poll::Ready(last.map(|last| Ok(Frame::data(last))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_lose_their_codings() {
        #[rustfmt::skip]
        let table = [
            ("\"7\"",                       "\"7\"",               None),
            ("\"7-gzip\"",                  "\"7\"",               Some(Coding::Gzip)),
            ("\"a-1-zstd\", W/\"8-gzip\"",  "\"a-1\", W/\"8\"",    Some(Coding::Zstd)),
            ("\"gzip\"",                    "\"gzip\"",            None),
        ];
        for (sent, want, known) in table {
            for name in TAGGED {
                let value = HeaderValue::from_static(sent);
                let mut headers = HeaderMap::from_iter([(name.clone(), value)]);
                let found = plain_tags(&mut headers);
                assert_eq!(headers[&name], want, "{sent}");
                assert_eq!(found, known.filter(|_| name == header::IF_NONE_MATCH), "{sent}");
                headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-"));
                headers.insert(&name, HeaderValue::from_static(sent));
                assert_eq!((plain_tags(&mut headers), headers[&name] == sent), (None, true));
            }
        }
    }

    #[test]
    fn texts_shrink_and_pictures_do_not() {
        for shrinks in ["text/plain", "Text/HTML", "application/problem+json", "image/svg+xml"] {
            assert!(is_text(shrinks), "{shrinks}");
        }
        for stays in ["", "text/event-stream", "image/png", "application/pdf", "application/zip"] {
            assert!(!is_text(stays), "{stays}");
        }
    }

    #[tokio::test]
    async fn every_byte_comes_back() {
        let pieces: Vec<Vec<u8>> = [0, 1, 300_000, 64 * 1024, 5]
            .iter()
            .map(|size| {
                (0..*size).flat_map(|number: u32| number.to_string().into_bytes()).collect()
            })
            .collect();
        let whole = pieces.concat();
        for coding in Coding::ALL {
            let given = pieces.clone().into_iter().map(|piece| io::Result::Ok(Bytes::from(piece)));
            let body = Body::from_stream(futures_util::stream::iter(given));
            let encoder = Some(AnswerEncoder::new(coding).unwrap());
            let _place = PLACES.try_acquire().unwrap();
            let body = CompressedBody { body, encoder, rest: Bytes::new(), _place };
            let sent = axum::body::to_bytes(Body::new(body), usize::MAX).await.unwrap();
            assert!(sent.len() < whole.len());
            let read = match coding {
                Coding::Zstd => zstd::stream::decode_all(&sent[..]).unwrap(),
                Coding::Gzip => {
                    let (mut read, mut decoder) = (vec![], flate2::read::GzDecoder::new(&sent[..]));
                    io::Read::read_to_end(&mut decoder, &mut read).unwrap();
                    read
                }
            };
            assert!(read == whole, "{coding:?}");
        }
    }
}

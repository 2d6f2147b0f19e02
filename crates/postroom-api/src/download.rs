//! Downloads: streams the bytes of a file, or a range of them, out of the store.
//!
//! Content of mail is never trusted. A browser must not guess its type, run its scripts, or treat
//! it as a part of this site.
//!
//! Standards: RFC 9110 §14 (ranges), §13.1 (conditions).

use crate::disposition;
use crate::etag;
use crate::media_type;
use crate::problem::Problem;
use crate::range;
use crate::range::WantedRange;
use crate::view;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_engine::content;
use postroom_engine::content::Download;
use postroom_engine::text::LongText;
use postroom_engine::text::TextReader;
use postroom_model::builtin::files;
use postroom_store::Error;
use postroom_store::FileRow;
use postroom_store::FileSource;
use postroom_store::Store;
use std::ops::Range;

/// The policy for a browser: it may show the file and its embedded pictures, and nothing else.
pub(crate) const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
);

/// Something that can be downloaded.
pub(crate) enum DownloadBody<'a> {
    /// A file of the store.
    File(&'a FileRow),
    /// A long text of a message.
    Text(&'a LongText),
    /// What is in memory.
    Bytes(Bytes),
}

/// How a download is shown.
pub(crate) struct Shown {
    /// A validator for the content.
    pub tag: String,
    /// Its media type.
    pub media_type: HeaderValue,
    /// The policy for a browser.
    pub policy: HeaderValue,
    /// The name under which a browser saves it. `None`: the browser shows it.
    pub saved_as: Option<String>,
}

/// A validator for bytes that are made for an answer.
pub(crate) fn tag_of(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes).to_hex();
    format!("\"{}\"", hash.get(..32).unwrap_or_default())
}

/// Answers with a file.
///
/// # Errors
///
/// 416 for a range that the file does not have; errors of the store.
pub(crate) async fn download(
    store: &Store,
    file: &FileRow,
    headers: &HeaderMap,
    as_attachment: bool,
) -> Result<Response, Problem> {
    let shown = Shown {
        tag: etag::of_file(file),
        media_type: media_type::shown(&file.media_type, charset(file)),
        policy: POLICY,
        saved_as: as_attachment.then(|| file.name.clone()),
    };
    answer(store, DownloadBody::File(file), headers, shown).await
}

/// Answers with a download, or the part of it that the client asks for.
///
/// # Errors
///
/// 412 if the client wants another content, 416 for a range that it does not have; errors of the
/// store.
pub(crate) async fn answer(
    store: &Store,
    body: DownloadBody<'_>,
    headers: &HeaderMap,
    shown: Shown,
) -> Result<Response, Problem> {
    let tag = &shown.tag;
    if headers.contains_key(header::IF_MATCH) && !etag::matches(headers, Some(tag))? {
        let detail = "the file was changed meanwhile: read it again";
        return Err(Problem::new(StatusCode::PRECONDITION_FAILED, "stale", detail));
    }
    if etag::is_known(headers, tag)? {
        return Ok(view::not_modified(tag));
    }
    let range = if_range(headers, tag).then(|| headers.get(header::RANGE)).flatten();
    let range = range.and_then(|range| range.to_str().ok());
    let mut response = match body {
        DownloadBody::File(file) => respond(store, file, range).await?,
        DownloadBody::Text(text) => respond_text(store, text, range).await?,
        DownloadBody::Bytes(bytes) => respond_bytes(bytes, range)?,
    };
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, shown.media_type);
    fields.extend(etag::header(tag).map(|tag| (header::ETAG, tag)));
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::CONTENT_SECURITY_POLICY, shown.policy);
    if let Some(name) = &shown.saved_as {
        fields.insert(header::CONTENT_DISPOSITION, disposition::attachment(name));
    }
    Ok(response)
}

/// Whether a `Range` still applies: `If-Range` names this content, or is missing.
fn if_range(headers: &HeaderMap, tag: &str) -> bool {
    headers.get(header::IF_RANGE).is_none_or(|field| field.as_bytes() == tag.as_bytes())
}

async fn respond(store: &Store, file: &FileRow, range: Option<&str>) -> Result<Response, Problem> {
    let download = content::open(store, file, None);
    let size_bytes = match download.size_bytes {
        Some(size_bytes) => size_bytes,
        None => measure(content::open(store, file, None)).await?,
    };
    match wanted(range, size_bytes)? {
        None => Ok(whole(streamed(download).await?, size_bytes)),
        Some(range) => {
            let part = content::open(store, file, Some(range.clone()));
            Ok(partial(streamed(part).await?, &range, size_bytes))
        }
    }
}

async fn respond_text(
    store: &Store,
    text: &LongText,
    range: Option<&str>,
) -> Result<Response, Problem> {
    let (mut size_bytes, mut measured) = (0, text.open(store));
    while let Some(piece) = measured.next().await? {
        size_bytes += piece.len() as u64;
    }
    match wanted(range, size_bytes)? {
        None => Ok(whole(streamed(text.open(store)).await?, size_bytes)),
        Some(range) => {
            let part = text.open_range(store, range.clone());
            Ok(partial(streamed(part).await?, &range, size_bytes))
        }
    }
}

fn respond_bytes(bytes: Bytes, range: Option<&str>) -> Result<Response, Problem> {
    let size_bytes = bytes.len() as u64;
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    match wanted(range, size_bytes)? {
        None => Ok(whole(bytes.into(), size_bytes)),
        Some(range) => {
            let part = bytes.slice(index(range.start)..index(range.end));
            Ok(partial(part.into(), &range, size_bytes))
        }
    }
}

/// The size of a file that is known only after reading it.
async fn measure(mut download: Download) -> Result<u64, Error> {
    let mut size_bytes = 0;
    while let Some(piece) = download.next().await? {
        size_bytes += piece.len() as u64;
    }
    Ok(size_bytes)
}

/// The range to serve. `None`: the whole file.
fn wanted(field: Option<&str>, size_bytes: u64) -> Result<Option<Range<u64>>, Problem> {
    match field.map_or(WantedRange::Whole, |field| range::parse(field, size_bytes)) {
        WantedRange::Whole => Ok(None),
        WantedRange::Bytes(range) => Ok(Some(range)),
        WantedRange::Unsatisfiable => {
            let detail = format!("the file has {size_bytes} bytes");
            let problem = Problem::new(StatusCode::RANGE_NOT_SATISFIABLE, "range", detail);
            let size = HeaderValue::from_str(&format!("bytes */{size_bytes}"));
            Err(size.map_or_else(
                |_| Problem::fault("a number is no header value"),
                |size| problem.with(header::CONTENT_RANGE, size),
            ))
        }
    }
}

fn whole(body: axum::body::Body, size_bytes: u64) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn partial(body: axum::body::Body, range: &Range<u64>, size_bytes: u64) -> Response {
    let mut response = whole(body, range.end - range.start);
    *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    let said = format!("bytes {}-{}/{size_bytes}", range.start, range.end.saturating_sub(1));
    if let Ok(said) = HeaderValue::from_str(&said) {
        response.headers_mut().insert(header::CONTENT_RANGE, said);
    }
    response
}

/// The body. Its first bytes are read in advance, so that damage there is reported by the status
/// code.
async fn streamed(mut pieces: impl Pieces) -> Result<axum::body::Body, Error> {
    let first = pieces.next().await?;
    let first = stream::iter(first.map(Ok));
    Ok(axum::body::Body::from_stream(first.chain(rest(pieces))))
}

/// What is read piece by piece.
trait Pieces: Send + 'static {
    /// The next bytes; `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, Error>> + Send;
}

impl Pieces for Download {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Self::next(self).await
    }
}

impl Pieces for TextReader {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        Self::next(self).await
    }
}

/// The bytes as they are read. If reading fails, the connection is cut, so that no client mistakes
/// a part for the whole.
fn rest(pieces: impl Pieces) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::unfold(Some(pieces), |pieces| async {
        let mut pieces = pieces?;
        match pieces.next().await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(piece), Some(pieces))),
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "download broke off");
                Some((Err(error), None))
            }
        }
    })
}

/// The charset of the bytes in the answer. Html is always sent in UTF-8.
fn charset(file: &FileRow) -> Option<&str> {
    if file.property == files::HTML {
        return Some("utf-8");
    }
    match &file.source {
        FileSource::Blob(_) => None,
        FileSource::Part { charset, .. } => charset.as_deref(),
    }
}

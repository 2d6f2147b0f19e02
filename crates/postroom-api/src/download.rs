//! Downloads: streams the bytes of a file, or a range of them, out of the store.
//!
//! Content of mail is never trusted: no sniffing, no scripts, no origin of its own.
//!
//! Standards: RFC 9110 §14 (ranges), §13.1 (conditions).

use crate::disposition;
use crate::etag;
use crate::media_type;
use crate::problem::Problem;
use crate::range;
use crate::range::WantedRange;
use crate::view;
use axum::body::Body;
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
use postroom_model::builtin::files;
use postroom_store::Error;
use postroom_store::FileRow;
use postroom_store::FileSource;
use postroom_store::Store;
use std::ops::Range;

/// What a browser may do with the file: show it, with embedded pictures.
const POLICY: HeaderValue = HeaderValue::from_static(
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'",
);

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
    let tag = etag::of_file(file);
    if etag::is_known(headers, &tag)? {
        return Ok(view::not_modified(&tag));
    }
    let range = if_range(headers, &tag).then(|| headers.get(header::RANGE)).flatten();
    let range = range.and_then(|range| range.to_str().ok());
    let mut response = respond(store, file, range).await?;
    let shown = response.headers_mut();
    shown.insert(header::CONTENT_TYPE, media_type::shown(&file.media_type, charset(file)));
    shown.extend(etag::header(&tag).map(|tag| (header::ETAG, tag)));
    shown.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    shown.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    if as_attachment {
        shown.insert(header::CONTENT_DISPOSITION, disposition::attachment(&file.name));
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
        None => Ok(whole(body(download).await?, size_bytes)),
        Some(range) => {
            let part = content::open(store, file, Some(range.clone()));
            Ok(partial(body(part).await?, &range, size_bytes))
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

fn whole(body: Body, size_bytes: u64) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(size_bytes));
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    response
}

fn partial(body: Body, range: &Range<u64>, size_bytes: u64) -> Response {
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
async fn body(mut download: Download) -> Result<Body, Error> {
    let first = download.next().await?;
    let first = stream::iter(first.map(Ok));
    Ok(Body::from_stream(first.chain(pieces(download))))
}

/// The bytes as they are read. If reading fails, the connection is cut, so that no client mistakes
/// a part for the whole.
fn pieces(download: Download) -> impl Stream<Item = Result<Bytes, Error>> + Send {
    stream::unfold(Some(download), |download| async {
        let mut download = download?;
        match download.next().await {
            Ok(None) => None,
            Ok(Some(piece)) => Some((Ok(piece), Some(download))),
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

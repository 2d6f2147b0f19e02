//! `/rest/v1/docs`: the reference with a viewer, and the chapters of `docs/`, for people.
//!
//! ```text
//!   /rest/v1/docs                     the viewer (Swagger UI), which asks for a token
//!   /rest/v1/docs/chapters/events     a chapter, made of its Markdown
//!   /rest/v1/docs/files/page.css      a file that both need
//! ```
//! Everything is in the binary, and the policy lets a browser load nothing from elsewhere. The
//! pages need no token, because they are the same in every installation. The description of the
//! interface needs a token, which the viewer keeps only in the memory of the page.
//!
//! Standards: Content Security Policy Level 3.

use crate::download;
use crate::etag;
use crate::parameters;
use crate::problem::Problem;
use crate::view;
use axum::extract::Path;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use bytes::Bytes;
use pulldown_cmark::Event;
use pulldown_cmark::Options;
use pulldown_cmark::Parser;
use pulldown_cmark::Tag;
use pulldown_cmark::TagEnd;
use std::collections::HashMap;
use std::io::Cursor;
use std::io::Read;
use std::sync::LazyLock;
use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;
use zip::ZipArchive;

/// Where the pages are.
pub(crate) const DOCS: &str = "/rest/v1/docs";
/// A chapter.
pub(crate) const CHAPTER: &str = "/rest/v1/docs/chapters/{chapter}";
/// A file that pages need.
pub(crate) const PAGE_FILE: &str = "/rest/v1/docs/files/{file}";

/// The style sheet of pages.
pub(crate) const STYLE: &str = "/rest/v1/docs/files/page.css";

/// What a page may load. The viewer sets styles of elements, and has pictures in its style sheets.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
     img-src 'self' data:; font-src 'self' data:; connect-src 'self'; form-action 'none'; \
     frame-ancestors 'none'; base-uri 'none'",
);

/// How many bytes a file of the viewer has at most.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A chapter.
struct Chapter {
    name: &'static str,
    title: &'static str,
    markdown: &'static str,
}

impl Chapter {
    const fn new(name: &'static str, title: &'static str, markdown: &'static str) -> Self {
        Self { name, title, markdown }
    }
}

/// The chapters, in the order in which they are read.
const CHAPTERS: &[Chapter] = &[
    Chapter::new("integrate", "Getting started", include_str!("../../../docs/integrate.md")),
    Chapter::new("states", "States", include_str!("../../../docs/states.md")),
    Chapter::new("events", "Events", include_str!("../../../docs/events.md")),
    Chapter::new("filters", "Filters", include_str!("../../../docs/filters.md")),
    Chapter::new("webhooks", "Webhooks", include_str!("../../../docs/webhooks.md")),
    Chapter::new("oauth", "Gmail and Microsoft 365", include_str!("../../../docs/oauth.md")),
    Chapter::new(
        "autoconfig",
        "The servers of an address",
        include_str!("../../../docs/autoconfig.md"),
    ),
    Chapter::new("domains", "Domains", include_str!("../../../docs/domains.md")),
    Chapter::new("rights", "Tokens and their rights", include_str!("../../../docs/rights.md")),
    Chapter::new("audit", "The audit", include_str!("../../../docs/audit.md")),
    Chapter::new("users", "Users and sessions", include_str!("../../../docs/users.md")),
    Chapter::new("claims", "Claims", include_str!("../../../docs/claims.md")),
    Chapter::new("errors", "Errors", include_str!("../../../docs/errors.md")),
];

/// A file of the viewer, and its media type.
const VIEWER: &[(&str, &str)] = &[
    ("swagger-ui.css", "text/css; charset=utf-8"),
    ("swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
];

/// The files of the viewer, by name.
static UNPACKED: LazyLock<HashMap<&'static str, Bytes>> = LazyLock::new(|| {
    VIEWER.iter().filter_map(|(name, _)| Some((*name, of_viewer(name)?))).collect()
});

/// `GET` of the reference.
///
/// # Errors
///
/// 422 for any parameter.
pub(crate) async fn reference(headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let body = include_str!("docs_page/reference.html");
    answer(&headers, "text/html; charset=utf-8", page("Reference", body).into())
}

/// `GET` of a chapter.
///
/// # Errors
///
/// 404 if there is none of that name.
pub(crate) async fn chapter(
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let chapter = CHAPTERS.iter().find(|chapter| chapter.name == name);
    let chapter = chapter.ok_or_else(|| {
        Problem::not_found("there is no chapter of this name; /rest/v1/docs lists them")
    })?;
    let body = format!("<main>{}</main>", html(chapter.markdown));
    answer(&headers, "text/html; charset=utf-8", page(chapter.title, &body).into())
}

/// `GET` of a file that pages need.
///
/// # Errors
///
/// 404 if there is none of that name.
pub(crate) async fn file(
    Path(name): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    parameters::of(&uri, &[])?;
    let missing = || Problem::not_found("there is no file of this name");
    match name.as_str() {
        "page.css" => {
            let css = Bytes::from_static(include_bytes!("docs_page/page.css"));
            answer(&headers, "text/css; charset=utf-8", css)
        }
        "start.js" => {
            let script = Bytes::from_static(include_bytes!("docs_page/start.js"));
            answer(&headers, "text/javascript; charset=utf-8", script)
        }
        name => {
            let (name, media_type) =
                VIEWER.iter().find(|(known, _)| *known == name).ok_or_else(missing)?;
            // The first request unpacks all of them.
            let read = tokio::task::spawn_blocking(|| UNPACKED.get(name).cloned()).await;
            let read = read.map_err(|error| Problem::fault(error.to_string()))?;
            answer(&headers, media_type, read.ok_or_else(missing)?)
        }
    }
}

/// A file from the archive of the viewer.
fn of_viewer(name: &str) -> Option<Bytes> {
    let mut archive = ZipArchive::new(Cursor::new(SWAGGER_UI_VENDORED)).ok()?;
    let inner = format!("/dist/{name}");
    let of_name = |path: &String| path.ends_with(&inner);
    let paths = archive.file_names().filter_map(|path| path.ok().map(|path| path.into_owned()));
    let path = paths.into_iter().find(of_name)?;
    let mut bytes = vec![];
    archive.by_name(&path).ok()?.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes.into())
}

fn answer(headers: &HeaderMap, media_type: &'static str, body: Bytes) -> Result<Response, Problem> {
    let tag = download::tag_of(&body);
    if etag::is_known(headers, &tag)? {
        return Ok(view::not_modified(&tag));
    }
    let mut response = body.into_response();
    let fields = response.headers_mut();
    fields.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    fields.insert(header::CONTENT_SECURITY_POLICY, POLICY);
    fields.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    fields.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    fields.extend(etag::header(&tag).map(|tag| (header::ETAG, tag)));
    Ok(response)
}

/// A page around a body, with links to all pages.
fn page(title: &str, body: &str) -> String {
    let link = |chapter: &Chapter| {
        format!("<a href=\"{DOCS}/chapters/{}\">{}</a>\n", chapter.name, chapter.title)
    };
    let links: String = CHAPTERS.iter().map(link).collect();
    include_str!("docs_page/page.html")
        .replace("{title}", title)
        .replace("{links}", &links)
        .replace("{body}", body)
}

/// A chapter as html. Headings have the ids that links name, and links to other chapters lead to
/// their pages. What is only in the repository is named without a link.
fn html(markdown: &str) -> String {
    let mut events: Vec<_> = Parser::new_ext(markdown, Options::ENABLE_TABLES).collect();
    let mut is_within_link = false;
    for at in 0..events.len() {
        let (before, rest) = events.split_at_mut(at + 1);
        let Some(event) = before.last_mut() else { continue };
        let is_dropped_end = !is_within_link && matches!(event, Event::End(TagEnd::Link));
        if let Event::Start(Tag::Heading { id, .. }) = event {
            *id = Some(slug(rest).into());
        } else if let Event::Start(Tag::Link { dest_url, .. }) = event {
            let to = linked(dest_url);
            is_within_link = to.is_some();
            match to {
                Some(to) => *dest_url = to.into(),
                None => *event = Event::Text("".into()),
            }
        } else if is_dropped_end || matches!(event, Event::Html(_) | Event::InlineHtml(_)) {
            *event = Event::Text("".into());
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html
}

/// The id of a heading whose text is at the beginning of these events.
fn slug(events: &[Event<'_>]) -> String {
    let inside = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let mut text = String::new();
    for event in inside {
        if let Event::Text(part) | Event::Code(part) = event {
            text.push_str(part);
        }
    }
    let kept = |char: &char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_');
    text.to_lowercase().chars().filter(kept).map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Where a link of a chapter leads on a page. `None`: to a file of the repository, which is not
/// here.
fn linked(to: &str) -> Option<String> {
    if to.starts_with('#') || to.contains("://") {
        return Some(to.to_owned());
    }
    let (file, place) = to.split_once('#').unwrap_or((to, ""));
    let name = file.rsplit('/').next().and_then(|name| name.strip_suffix(".md"))?;
    let chapter = CHAPTERS.iter().find(|chapter| chapter.name == name)?;
    let place = if place.is_empty() { String::new() } else { format!("#{place}") };
    Some(format!("{DOCS}/chapters/{}{place}", chapter.name))
}

//! `GET …/email/Messages/<id>/html` with parameters: the html as it is shown.
//!
//! ```text
//!   html ──► safe=true: made harmless ──► inline=url, inline=data: `cid:` replaced
//! ```
//! Without parameters, the html is downloaded as it came (`crate::file`).

use crate::app::Asked;
use crate::change;
use crate::download;
use crate::download::DownloadBody;
use crate::download::Shown;
use crate::harmless;
use crate::media_type;
use crate::parameters;
use crate::parameters::flag;
use crate::percent;
use crate::problem::Problem;
use axum::http::HeaderValue;
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use postroom_engine::content;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::files;
use postroom_store::Error;
use postroom_store::FileRow;
use postroom_store::Store;
use std::collections::HashMap;

/// How many bytes html has with its inlines in it.
const SHOWN_BYTES_MAX: usize = 32 << 20;

/// The parameters of the html.
pub(crate) const PARAMETERS: [&str; 4] = ["attachment", "inline", "safe", "remote"];

/// How the html is asked for.
#[derive(Debug, Default)]
struct HtmlParameters {
    inline: Option<InlineAs>,
    is_safe: bool,
    is_remote: bool,
    is_attachment: bool,
}

/// What replaces `cid:` addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InlineAs {
    /// The addresses of the inlines.
    Url,
    /// The inlines.
    Data,
}

/// `GET` of the html with parameters. `None`: none of them changes it, so it is downloaded.
///
/// # Errors
///
/// 404 if there is none, 413 if it is too large for this, 422 for the parameters, 503 if there is
/// no memory for it in time.
pub(crate) async fn show(asked: &Asked, id: EntityId) -> Result<Option<Response>, Problem> {
    let wanted = wanted(asked)?;
    if wanted.inline.is_none() && !wanted.is_safe {
        return Ok(None);
    }
    change::find(asked, id).await?;
    let store = &asked.app.store;
    let rows = store.file_list_all(&asked.domain, id).await?;
    let html = rows.iter().find(|row| row.property == files::HTML);
    let html = html.ok_or_else(|| Problem::not_found("this message has no html"))?;
    let share = asked.app.held.share(SHOWN_BYTES_MAX + SHOWN_BYTES_MAX).await?;
    let mut shown = text(store, html).await?;
    if wanted.is_safe {
        let work = move || harmless::clean(&shown, wanted.is_remote);
        let cleaned = store.work().spawn(work).await;
        shown = cleaned.map_err(|error| Problem::fault(error.to_string()))??;
    }
    let inlines = Inlines::of(&rows);
    match wanted.inline {
        None => {}
        Some(InlineAs::Url) => {
            shown = content::with_addresses(&shown, |id_of_part| {
                let row = inlines.find(id_of_part);
                let name = |row: &FileRow| percent::encode(&row.name);
                let address = |row| {
                    format!("/rest/v1/model/{MESSAGES}/{id}/{}/{}", files::INLINES, name(row))
                };
                Ok::<_, Problem>(row.map(address))
            })?;
        }
        Some(InlineAs::Data) => shown = with_inlines(store, &shown, &inlines).await?,
    }
    let said = Shown {
        tag: download::tag_of(shown.as_bytes()),
        media_type: HeaderValue::from_static("text/html; charset=utf-8"),
        policy: policy(&wanted),
        saved_as: wanted.is_attachment.then(|| html.name.clone()),
    };
    let body = DownloadBody::Bytes(share.hold(shown));
    download::answer(store, body, &asked.headers, said).await.map(Some)
}

fn wanted(asked: &Asked) -> Result<HtmlParameters, Problem> {
    let mut wanted = HtmlParameters::default();
    for (name, value) in parameters::of(&asked.uri, &PARAMETERS)? {
        match name.as_str() {
            "inline" => {
                wanted.inline = Some(match value.as_str() {
                    "url" => InlineAs::Url,
                    "data" => InlineAs::Data,
                    _ => return Err(Invalid::new(name, "takes url or data").into()),
                });
            }
            "safe" => wanted.is_safe = flag(&name, &value)?,
            "remote" => wanted.is_remote = flag(&name, &value)?,
            _ => wanted.is_attachment = flag(&name, &value)?,
        }
    }
    if wanted.is_remote && !wanted.is_safe {
        let reason = "takes effect only with safe=true; without it, nothing is left out";
        return Err(Invalid::new("remote", reason).into());
    }
    Ok(wanted)
}

/// The policy for a browser.
fn policy(wanted: &HtmlParameters) -> HeaderValue {
    match (wanted.inline == Some(InlineAs::Url), wanted.is_remote) {
        (false, false) => download::POLICY,
        (true, false) => HeaderValue::from_static(
            "sandbox; default-src 'none'; img-src data: 'self'; style-src 'unsafe-inline'",
        ),
        (_, true) => HeaderValue::from_static(
            "sandbox; default-src 'none'; img-src data: 'self' http: https:; \
             style-src 'unsafe-inline'",
        ),
    }
}

/// The html as text.
async fn text(store: &Store, html: &FileRow) -> Result<String, Problem> {
    let bytes = read(store, html, harmless::HTML_BYTES_MAX).await?;
    let what = "the html of this message, which can be changed only in memory,";
    let bytes = bytes.ok_or_else(|| Problem::too_large(what, harmless::HTML_BYTES_MAX))?;
    // A client may have uploaded other bytes.
    Ok(content::as_utf8(bytes))
}

/// The bytes of a file; `None` if there are more than `bytes_max`.
async fn read(store: &Store, file: &FileRow, bytes_max: u64) -> Result<Option<Vec<u8>>, Error> {
    let (mut bytes, mut download) = (vec![], content::open(store, file, None));
    while let Some(piece) = download.next().await? {
        bytes.extend_from_slice(&piece);
        if bytes.len() as u64 > bytes_max {
            return Ok(None);
        }
    }
    Ok(Some(bytes))
}

/// The inlines of a message by the ids that the html uses.
struct Inlines<'a> {
    by_id: HashMap<&'a str, &'a FileRow>,
}

impl<'a> Inlines<'a> {
    /// By Content-ID, or by name if there is none.
    fn of(rows: &'a [FileRow]) -> Self {
        let mut by_id = HashMap::new();
        for row in rows.iter().filter(|row| row.property == files::INLINES) {
            by_id.entry(row.content_id.as_deref().unwrap_or(&row.name)).or_insert(row);
        }
        Self { by_id }
    }

    /// The inline that an id means, which may be percent-encoded (RFC 2392).
    fn find(&self, id: &str) -> Option<&'a FileRow> {
        let plain = || percent::decode(id).and_then(|id| self.by_id.get(id.as_str()).copied());
        self.by_id.get(id).copied().or_else(plain)
    }
}

/// The html with its inlines in it.
async fn with_inlines(store: &Store, html: &str, inlines: &Inlines<'_>) -> Result<String, Problem> {
    // Each is read once, however often it is shown.
    let mut wanted: Vec<&FileRow> = vec![];
    content::with_addresses(html, |id| {
        let row = inlines.find(id);
        wanted.extend(row.filter(|row| !wanted.iter().any(|other| other.name == row.name)));
        Ok::<_, Problem>(None)
    })?;
    let mut data: HashMap<&str, String> = HashMap::new();
    let mut left = SHOWN_BYTES_MAX;
    for row in wanted {
        let bytes = read(store, row, left as u64).await?.ok_or_else(too_large)?;
        left -= bytes.len();
        let kind = media_type::shown(&row.media_type, None);
        let kind = kind.to_str().unwrap_or(media_type::OCTETS);
        data.insert(&row.name, format!("data:{kind};base64,{}", STANDARD.encode(bytes)));
    }
    let mut left = SHOWN_BYTES_MAX;
    content::with_addresses(html, |id| {
        let Some(data) = inlines.find(id).and_then(|row| data.get(row.name.as_str())) else {
            return Ok(None);
        };
        left = left.checked_sub(data.len()).ok_or_else(too_large)?;
        Ok(Some(data.clone()))
    })
}

fn too_large() -> Problem {
    let what = "the html with its inlines, each as often as it is shown (use inline=url),";
    Problem::too_large(what, SHOWN_BYTES_MAX as u64)
}

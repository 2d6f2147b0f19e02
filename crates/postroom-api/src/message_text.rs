//! `GET …/email/Messages/<id>/text`: the whole text of a message.

use crate::app::Asked;
use crate::change;
use crate::download;
use crate::download::DownloadBody;
use crate::download::Shown;
use crate::parameters;
use crate::parameters::flag;
use crate::problem::Problem;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::response::Response;
use postroom_engine::text::WholeText;
use postroom_model::EntityId;

/// `GET` of the text. Returns all of it, even if the property `text` has only its beginning.
///
/// # Errors
///
/// 404 for a message that does not exist or has no text; 409 if only the beginning was kept; 422
/// for a text that is too large to be read at once; 503 if there is no memory for it in time.
pub(crate) async fn show(asked: Asked, id: EntityId) -> Result<Response, Problem> {
    let mut as_attachment = false;
    for (name, value) in parameters::of(&asked.uri, &["attachment"])? {
        as_attachment = flag(&name, &value)?;
    }
    let message = change::find(&asked, id).await?;
    let app = &asked.app;
    let rows = app.store.file_list_all(&asked.domain, id).await?;
    let found = app.texts.find(&app.store, &message, &rows).await?;
    let shown = |tag: String| Shown {
        tag,
        media_type: HeaderValue::from_static("text/plain; charset=utf-8"),
        policy: download::POLICY,
        saved_as: as_attachment.then(|| "message.txt".to_owned()),
    };
    match found {
        WholeText::Short(text) => {
            let shown = shown(download::tag_of(text.as_bytes()));
            let share = app.held.share(text.len()).await?;
            let body = DownloadBody::Bytes(share.hold(text));
            download::answer(&app.store, body, &asked.headers, shown).await
        }
        WholeText::Long(text) => {
            let shown = shown(format!("\"{}\"", text.etag()));
            download::answer(&app.store, DownloadBody::Text(&text), &asked.headers, shown).await
        }
        WholeText::Missing => Err(Problem::not_found("this message has no text")),
        WholeText::NotKept => {
            let detail = "the property `text` has only the beginning of the text, and the rest was \
                          not kept, because `store_raw_as_file` was false when it arrived";
            Err(Problem::conflict("not-kept", detail))
        }
        WholeText::TooLong { bytes_max } => {
            let detail = format!(
                "the text of this message is made of several parts or of html, and they are longer \
                 than {bytes_max} bytes: read `html` or `rawMessage`"
            );
            Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "too-long", detail))
        }
    }
}

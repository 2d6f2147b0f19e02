//! Uploads: streams the bytes of a file into the store, and checks its name and type.

use crate::attributes;
use crate::enclosed::Enclosed;
use crate::form::FormDisposition;
use crate::limits::Limits;
use crate::media_type::MediaType;
use crate::media_type::OCTETS;
use crate::problem::Problem;
use axum::extract::multipart::Field;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::builtin::files;
use postroom_store::Content;
use postroom_store::NewContent;
use postroom_store::NewFile;
use postroom_store::Store;

/// What a client says about a file, and its place in the request, for error texts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    /// The place of the file in the request, such as `attachments[2]`. Empty: the body itself.
    pub place: String,
    /// The name. `None`: the client gave none.
    pub name: Option<String>,
    /// The media type. `None`: the client gave none.
    pub media_type: Option<String>,
    /// The content id. `None`: the client gave none.
    pub content_id: Option<String>,
}

impl Said {
    /// What a part of a form says about its file.
    #[must_use]
    pub(crate) fn by(field: &Field<'_>, disposition: FormDisposition, place: String) -> Self {
        let content_id = field.headers().get("content-id");
        let content_id = content_id.and_then(|value| value.to_str().ok());
        Self {
            place,
            name: disposition.file_name.filter(|name| !name.is_empty()),
            media_type: field.content_type().map(str::to_owned),
            content_id: content_id.map(str::to_owned),
        }
    }

    fn invalid(&self, what: &str, problem: &str) -> Problem {
        let dot = if self.place.is_empty() { "" } else { "." };
        Invalid::new(format!("{}{dot}{what}", self.place), problem).into()
    }

    /// The file without its content, checked.
    fn file(self, property: &Property, content: Content) -> Result<NewFile, Problem> {
        let name = match &self.name {
            Some(name) => match attributes::name_problem(name) {
                Some(problem) => return Err(self.invalid("name", problem)),
                None => name.clone(),
            },
            None if property.multi => return Err(self.invalid("name", "is required")),
            None => default_name(property).to_owned(),
        };
        let media_type =
            self.media_type.clone().filter(|said| said != OCTETS || !is_html(property));
        let media_type = media_type.unwrap_or_else(|| default_media_type(property, &name));
        if let Some(problem) = attributes::media_type_problem(&media_type) {
            return Err(self.invalid("contentType", problem));
        }
        let content_id = match &self.content_id {
            Some(said) => {
                Some(attributes::content_id(said).map_err(|p| self.invalid("contentId", p))?)
            }
            None if property.name == files::INLINES => attributes::content_id_from_name(&name),
            None => None,
        };
        let (property, content) = (property.name.clone(), NewContent::Own(content));
        Ok(NewFile { property, name, media_type, content_id, content })
    }
}

/// Writes a file into the store, piece by piece. It is kept by the batch that refers to it.
///
/// # Errors
///
/// 422 for a wrong name, type or text, 413 if it is too large; errors of the pieces or the store.
pub(crate) async fn take(
    store: &Store,
    limits: &Limits,
    property: &Property,
    said: Said,
    mut pieces: impl Stream<Item = Result<Bytes, Problem>> + Unpin,
) -> Result<NewFile, Problem> {
    let html = is_html(property);
    let bytes_max = if html { limits.html_bytes_max } else { limits.upload_bytes_max };
    if html {
        check_html_type(&said)?;
    }
    let (mut writer, mut text) = (store.blob_writer(), Utf8::default());
    let mut size_bytes = 0;
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        size_bytes += piece.len() as u64;
        if size_bytes > bytes_max {
            return Err(Problem::too_large("the file", bytes_max));
        }
        if html && !text.push(&piece) {
            return Err(not_utf8(&said));
        }
        writer.write(&piece).await?;
    }
    if html && !text.is_complete() {
        return Err(not_utf8(&said));
    }
    let content = writer.finish().await?;
    said.file(property, content)
}

/// Writes a file from JSON into the store. See [`take`].
///
/// # Errors
///
/// As [`take`].
pub(crate) async fn take_enclosed(
    store: &Store,
    limits: &Limits,
    property: &Property,
    enclosed: Enclosed,
) -> Result<NewFile, Problem> {
    let Enclosed { place, name, media_type, content_id, bytes, .. } = enclosed;
    let said = Said { place, name, media_type, content_id };
    let pieces = futures_util::stream::iter([Ok(Bytes::from(bytes))]);
    take(store, limits, property, said, pieces).await
}

/// The name of a single file if the client gave none.
fn default_name(property: &Property) -> &str {
    match property.name.as_str() {
        files::HTML => "message.html",
        files::RAW_MESSAGE => "message.eml",
        other => other,
    }
}

/// The media type of a file if the client gave none, by the extension of its name.
fn default_media_type(property: &Property, name: &str) -> String {
    match property.name.as_str() {
        files::HTML => "text/html".to_owned(),
        files::RAW_MESSAGE => "message/rfc822".to_owned(),
        _ => mime_guess::from_path(name).first_raw().unwrap_or(OCTETS).to_owned(),
    }
}

/// Checks an html body. It is sent as UTF-8, so it must be UTF-8.
fn is_html(property: &Property) -> bool {
    property.name == files::HTML && !property.multi
}

fn check_html_type(said: &Said) -> Result<(), Problem> {
    let Some(media_type) = said.media_type.as_deref().and_then(MediaType::parse) else {
        return Ok(());
    };
    if !matches!(media_type.essence.as_str(), "text/html" | OCTETS) {
        let detail = format!("an html body must be text/html, not {}", media_type.essence);
        return Err(Problem::unsupported(detail));
    }
    if !media_type.is_utf8() {
        return Err(Problem::unsupported("an html body must be in UTF-8"));
    }
    Ok(())
}

fn not_utf8(said: &Said) -> Problem {
    let place = if said.place.is_empty() { files::HTML } else { &said.place };
    Invalid::new(place, "is not UTF-8").into()
}

/// Checks UTF-8 that arrives in pieces.
#[derive(Default)]
struct Utf8 {
    /// The first bytes of a character that the next piece continues.
    begun: Vec<u8>,
}

impl Utf8 {
    /// Takes a piece. `false`: it is not UTF-8.
    fn push(&mut self, piece: &[u8]) -> bool {
        let mut rest = piece;
        while !self.begun.is_empty() {
            let Some((byte, behind)) = rest.split_first() else {
                return true;
            };
            self.begun.push(*byte);
            rest = behind;
            match std::str::from_utf8(&self.begun) {
                Ok(_) => self.begun.clear(),
                Err(error) if error.error_len().is_some() => return false,
                Err(_) => {}
            }
        }
        match std::str::from_utf8(rest) {
            Ok(_) => true,
            Err(error) if error.error_len().is_some() => false,
            Err(error) => {
                self.begun.extend(rest.iter().skip(error.valid_up_to()));
                true
            }
        }
    }

    /// Whether no character is cut off at the end.
    fn is_complete(&self) -> bool {
        self.begun.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_utf8(pieces: &[&[u8]]) -> bool {
        let mut text = Utf8::default();
        pieces.iter().all(|piece| text.push(piece)) && text.is_complete()
    }

    #[test]
    fn utf8_is_checked_across_pieces() {
        let text = "aü€😀z".as_bytes();
        for cut in 0..=text.len() {
            let (first, second) = text.split_at(cut);
            assert!(is_utf8(&[first, &[], second]), "{cut}");
        }
        let single: Vec<&[u8]> = text.chunks(1).collect();
        assert!(is_utf8(&single));
        assert!(!is_utf8(&[b"\xE2\x82"]));
        assert!(!is_utf8(&[b"\xE2", b"x"]));
        assert!(!is_utf8(&[b"gr\xFCn"]));
    }
}

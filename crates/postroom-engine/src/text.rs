//! The whole text of a message: the property `text` without the limit that the option sets.
//!
//! ```text
//!   is `text` the whole? ── yes ──► `text`
//!        └── no ──► the original is parsed again, with a larger limit ──► in memory
//!                        └── longer, and one part ──► decoded while it streams out
//! ```
//! Few messages have such a text. So one at a time is parsed, and each request parses it again.

use crate::content;
use crate::original::Original;
use crate::original::SpoolPlace;
use crate::original::UnreadOriginal;
use bytes::Bytes;
use postroom_mime::Defect;
use postroom_mime::ParserLimits;
use postroom_mime::TextDecoder;
use postroom_mime::TextPlace;
use postroom_mime::TextSource;
use postroom_model::Entity;
use postroom_model::builtin::files;
use postroom_model::builtin::names;
use postroom_store::BlobReader;
use postroom_store::Error;
use postroom_store::FileRow;
use postroom_store::FileSource;
use postroom_store::Store;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use tokio::sync::Semaphore;

/// A larger original is read through a file.
const IN_MEMORY_BYTES_MAX: u64 = 8 << 20;
/// How much of a text is decoded in memory.
const TEXT_BYTES_MAX: usize = 16 << 20;

/// The whole text of a message.
#[derive(Debug, Clone, PartialEq)]
pub enum WholeText {
    /// The message has no text.
    Missing,
    /// It is in memory.
    Short(String),
    /// It is one part of the original, which is decoded while it streams out.
    Long(Box<LongText>),
    /// `text` is only its beginning, because the original was not kept.
    NotKept,
    /// It is joined from several parts, or made of html, and so long that it cannot be had at once.
    TooLong {
        /// How many bytes of such a text can be had.
        bytes_max: usize,
    },
}

/// A text that is one part of an original.
#[derive(Debug, Clone, PartialEq)]
pub struct LongText {
    original: FileRow,
    place: TextPlace,
}

/// Finds the whole texts of messages.
#[derive(Debug)]
pub struct WholeTexts {
    /// Where the files of large originals are made.
    spool_directory: PathBuf,
    /// One permit for each original that is parsed.
    turns: Semaphore,
    text_bytes_max: usize,
}

impl WholeTexts {
    /// With files in this directory.
    #[must_use]
    pub fn new(spool_directory: PathBuf) -> Self {
        Self { spool_directory, turns: Semaphore::new(1), text_bytes_max: TEXT_BYTES_MAX }
    }

    /// A finder with another limit for the text that is decoded in memory.
    #[must_use]
    pub fn with_bytes_max(self, text_bytes_max: usize) -> Self {
        Self { text_bytes_max, ..self }
    }

    /// The whole text of a message, of which `rows` are the files.
    ///
    /// # Errors
    ///
    /// When the store or the spool directory fails.
    pub async fn find(
        &self,
        store: &Store,
        message: &Entity,
        rows: &[FileRow],
    ) -> Result<WholeText, Error> {
        let Some(text) = message.text(names::TEXT) else {
            return Ok(WholeText::Missing);
        };
        let over = Defect::TextOver.as_str();
        if !message.texts(names::DEFECTS).any(|defect| defect == over) {
            return Ok(WholeText::Short(text.to_owned()));
        }
        let Some(row) = rows.iter().find(|row| row.property == files::RAW_MESSAGE) else {
            return Ok(WholeText::NotKept);
        };
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let place = SpoolPlace::in_directory(&self.spool_directory, store.work());
        let read = Original::read(store, row, place, IN_MEMORY_BYTES_MAX).await;
        let read = read.map_err(|error| match error {
            UnreadOriginal::Store(error) => error,
            UnreadOriginal::Spool(error) => self.failed(error),
        })?;
        let limits =
            ParserLimits { text_bytes_max: self.text_bytes_max, ..ParserLimits::default() };
        let parsed = store.work().spawn(move || read.parse_within(&limits)).await;
        let parsed = parsed.map_err(io::Error::other).and_then(|parsed| parsed);
        let parsed = parsed.map_err(|error| self.failed(error))?;
        let Some((text, source)) = parsed.shown_text(usize::MAX) else {
            return Ok(WholeText::Missing);
        };
        let is_whole = !parsed.defects.contains(&Defect::TextOver);
        Ok(match parsed.text_place.clone() {
            _ if is_whole => WholeText::Short(text.into_owned()),
            Some(place) => WholeText::Long(Box::new(LongText { original: row.clone(), place })),
            // The html is over the limit, and the text is not.
            None if source == TextSource::Part && text.len() + 4 < self.text_bytes_max => {
                WholeText::Short(text.into_owned())
            }
            None => WholeText::TooLong { bytes_max: self.text_bytes_max },
        })
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::File { path: self.spool_directory.clone(), source }
    }
}

impl LongText {
    /// A validator for this text.
    #[must_use]
    pub fn etag(&self) -> String {
        format!("{}-text-{}", self.original.etag(), postroom_mime::PARSER_VERSION)
    }

    /// Begins to read the text.
    #[must_use]
    pub fn open(&self, store: &Store) -> TextReader {
        let TextPlace { offset, length, .. } = self.place;
        let reader = opened(store, &self.original, offset..offset.saturating_add(length));
        TextReader { reader, decoder: Some(self.place.decoder()), skip: 0, left: u64::MAX }
    }

    /// Begins to read a range, in bytes of the text.
    #[must_use]
    pub fn open_range(&self, store: &Store, range: Range<u64>) -> TextReader {
        let left = range.end.saturating_sub(range.start);
        TextReader { skip: range.start, left, ..self.open(store) }
    }
}

/// Begins to read a range of an original.
fn opened(store: &Store, row: &FileRow, range: Range<u64>) -> BlobReader {
    let (FileSource::Blob(blob) | FileSource::Part { blob, .. }) = row.source;
    store.blob_read(blob, range)
}

/// A long text that is being read.
#[derive(Debug)]
pub struct TextReader {
    reader: BlobReader,
    decoder: Option<TextDecoder>,
    /// How many bytes to skip, then how many to give.
    skip: u64,
    left: u64,
}

impl TextReader {
    /// The next bytes, in UTF-8. `None` at the end.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while let (Some(decoder), true) = (&mut self.decoder, self.left > 0) {
            let text = match self.reader.next().await? {
                Some(piece) => decoder.push(&piece),
                None => {
                    let rest = decoder.finish();
                    self.decoder = None;
                    rest
                }
            };
            let piece = content::cut(Bytes::from(text), &mut self.skip, &mut self.left);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }
}

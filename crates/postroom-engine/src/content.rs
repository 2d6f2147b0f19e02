//! Content: the bytes of a file as a client downloads them.
//!
//! A part of a received message is an extent of the original. It is decoded while it streams out
//! (the transfer encoding, and for html the charset), so that no second copy is stored.

use bytes::Bytes;
use postroom_mime::TransferDecoder;
use postroom_mime::TransferEncoding;
use postroom_mime::charset;
use postroom_mime::html;
pub use postroom_mime::html::with_addresses;
use postroom_model::builtin::files;
use postroom_store::BlobReader;
use postroom_store::Error;
use postroom_store::FileRow;
use postroom_store::FileSource;
use postroom_store::Store;
use std::ops::Range;

/// A file that is being read.
#[derive(Debug)]
pub struct Download {
    /// How many bytes the whole file has. `None`: only reading it would show this, because the
    /// charset of html is changed to UTF-8.
    pub size_bytes: Option<u64>,
    reader: BlobReader,
    decoders: Option<Decoders>,
    /// The rest of the download: how many bytes to skip, then how many to give.
    skip: u64,
    left: u64,
}

/// The decoders: for the transfer encoding, then for the charset.
#[derive(Debug)]
struct Decoders {
    transfer: TransferDecoder,
    charset: Option<charset::Decoder>,
    /// The beginning of html. It is held back until everything that may name a charset has arrived.
    start: Option<Vec<u8>>,
}

/// Opens a file, or a range of it (in bytes of what is downloaded; within its size).
#[must_use]
pub fn open(store: &Store, file: &FileRow, range: Option<Range<u64>>) -> Download {
    let wanted = range.unwrap_or(0..u64::MAX);
    match &file.source {
        FileSource::Blob(blob) => {
            as_it_is(store.blob_read(*blob, within(&wanted, 0, file.size_bytes)), file)
        }
        FileSource::Part { blob, offset, length, transfer_encoding, charset } => {
            let encoding = TransferEncoding::from_name(transfer_encoding);
            // Only html that is shown is changed. Files stay as they are, byte for byte.
            let is_shown = file.property == files::HTML;
            let charset = charset.as_deref().filter(|_| is_shown);
            if encoding == TransferEncoding::Identity && !is_shown {
                return as_it_is(store.blob_read(*blob, within(&wanted, *offset, *length)), file);
            }
            Download {
                size_bytes: charset.is_none().then_some(file.size_bytes),
                reader: store.blob_read(*blob, *offset..*offset + *length),
                decoders: Some(Decoders {
                    transfer: encoding.decoder(),
                    charset: charset.map(charset::decoder),
                    start: is_shown.then(Vec::new),
                }),
                skip: wanted.start,
                left: wanted.end.saturating_sub(wanted.start),
            }
        }
    }
}

fn as_it_is(reader: BlobReader, file: &FileRow) -> Download {
    Download { size_bytes: Some(file.size_bytes), reader, decoders: None, skip: 0, left: u64::MAX }
}

/// Bytes as text. Those that are not UTF-8 become U+FFFD.
#[must_use]
pub fn as_utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut decoder = charset::decoder("utf-8");
        let mut text = decoder.push(error.as_bytes());
        text.push_str(&decoder.finish());
        text
    })
}

/// The part of an extent that a range of it means.
fn within(wanted: &Range<u64>, offset: u64, length: u64) -> Range<u64> {
    offset + wanted.start.min(length)..offset + wanted.end.min(length)
}

impl Download {
    /// The next bytes. `None` at the end.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if self.left == 0 {
                return Ok(None);
            }
            let piece = match (self.reader.next().await?, &mut self.decoders) {
                (piece, None) => return Ok(piece),
                (Some(piece), Some(decoders)) => decoders.push(&piece),
                (None, decoders) => match decoders.take() {
                    Some(decoders) => decoders.finish(),
                    None => return Ok(None),
                },
            };
            let piece = cut(Bytes::from(piece), &mut self.skip, &mut self.left);
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
            if self.decoders.is_none() {
                return Ok(None);
            }
        }
    }
}

/// The part of a piece that lies in a range: so many bytes are skipped, then so many are given.
pub(crate) fn cut(piece: Bytes, skip: &mut u64, left: &mut u64) -> Bytes {
    let length = piece.len() as u64;
    let from = length.min(*skip);
    let to = length.min(from.saturating_add(*left));
    *skip -= from;
    *left -= to - from;
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    piece.slice(index(from)..index(to))
}

impl Decoders {
    fn push(&mut self, piece: &[u8]) -> Vec<u8> {
        let mut plain = vec![];
        self.transfer.push(piece, &mut plain);
        let plain = match &mut self.charset {
            Some(charset) => charset.push(&plain).into_bytes(),
            None => plain,
        };
        let Some(start) = &mut self.start else { return plain };
        start.extend_from_slice(&plain);
        if start.len() < html::META_BYTES_MAX {
            return vec![];
        }
        self.begun()
    }

    /// The beginning of html, with the charset that it has now.
    fn begun(&mut self) -> Vec<u8> {
        let mut start = self.start.take().unwrap_or_default();
        html::name_utf8(&mut start);
        start
    }

    fn finish(mut self) -> Vec<u8> {
        let mut plain = vec![];
        self.transfer.finish(&mut plain);
        let plain = match &mut self.charset {
            Some(charset) => {
                let mut text = charset.push(&plain);
                text.push_str(&charset.finish());
                text.into_bytes()
            }
            None => plain,
        };
        let Some(start) = &mut self.start else { return plain };
        start.extend_from_slice(&plain);
        self.begun()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(encoding: TransferEncoding, charset: Option<&str>, pieces: &[&[u8]]) -> Vec<u8> {
        let charset = charset.map(charset::decoder);
        let mut decoders = Decoders { transfer: encoding.decoder(), charset, start: None };
        let mut all: Vec<u8> = pieces.iter().flat_map(|piece| decoders.push(piece)).collect();
        all.extend(decoders.finish());
        all
    }

    #[test]
    fn a_part_is_decoded_across_pieces() {
        let got = decode(TransferEncoding::Base64, None, &[b"Z3L", b"8w\r", b"\nw=="]);
        assert_eq!(got, b"gr\xFC\xC3");
        let latin = Some("iso-8859-1");
        let got = decode(TransferEncoding::QuotedPrintable, latin, &[b"gr=F", b"C=\r\nn"]);
        assert_eq!(String::from_utf8(got).unwrap(), "grün");
    }

    #[test]
    fn html_names_the_charset_that_it_is_given_in() {
        let table = [
            ("<meta charset=\"iso-8859-2\"><p>x", "<meta charset=\"utf-8     \"><p>x"),
            (
                "<META content='text/html; charset=big5'>",
                "<META content='text/html; charset=utf8'>",
            ),
            ("<meta charset=gbk>", "<meta xxxxxxx=   >"),
            ("<?xml version='1.0' encoding='big5'?>", "<?xml version='1.0' encoding='utf8'?>"),
            ("<?xml encoding=\"gbk\"?><p>", "<?xml xxxxxxxx=\"   \"?><p>"),
            ("<meta\ncharset\n= \"latin1\"/>", "<meta\ncharset\n= \"utf-8 \"/>"),
            ("<meta charset=UTF-8>", "<meta charset=UTF-8>"),
            ("<p>charset=koi8-r", "<p>charset=koi8-r"),
        ];
        for (body, want) in table {
            let mut decoders = Decoders {
                transfer: TransferEncoding::Identity.decoder(),
                charset: None,
                start: Some(vec![]),
            };
            let (one, two) = body.as_bytes().split_at(9);
            let mut got = decoders.push(one);
            got.extend(decoders.push(two));
            got.extend(decoders.finish());
            assert_eq!(String::from_utf8(got).unwrap(), want);
        }
    }

    #[test]
    fn a_range_lies_within_its_extent() {
        assert_eq!(within(&(0..u64::MAX), 10, 5), 10..15);
        assert_eq!(within(&(2..4), 10, 5), 12..14);
        assert_eq!(within(&(4..99), 10, 5), 14..15);
    }
}

//! Decodes bodies of requests in bounded steps, whatever they claim to become.

use crate::coding::Coding;
use bytes::Buf;
use bytes::Bytes;
use std::io;
use std::io::Write;
use tokio::sync::Semaphore;
use tokio::sync::SemaphorePermit;
use zstd::stream::raw::DParameter;
use zstd::stream::raw::InBuffer;
use zstd::stream::raw::Operation;
use zstd::stream::raw::OutBuffer;

/// How much is decoded at once.
const PIECE_BYTES: usize = 64 * 1024;
/// How many steps are done at once that decode nothing, such as empty parts.
const STEPS_MAX: usize = 64;
/// The largest window that a zstd body may need, in bits: 8 MiB (RFC 9659 §3).
const ZSTD_WINDOW_BITS_MAX: u32 = 23;
/// Bounds the memory: so many bodies are decoded at once, and others wait.
static PLACES: Semaphore = Semaphore::const_new(32);

/// A body that is being decoded.
pub(crate) struct Decoding {
    decoder: BodyDecoder,
    /// What is not decoded yet.
    input: Bytes,
    /// Whether anything has come at all.
    has_begun: bool,
    _place: SemaphorePermit<'static>,
}

enum BodyDecoder {
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Zstd {
        decoder: zstd::stream::raw::Decoder<'static>,
        /// Whether the last frame is complete.
        is_at_end: bool,
        /// Whether it may have more without more input.
        is_full: bool,
    },
}

impl Decoding {
    /// Waits for a place, and begins.
    ///
    /// # Errors
    ///
    /// When there is no memory for it.
    pub(crate) async fn begin(coding: Coding) -> io::Result<Self> {
        let place = PLACES.acquire().await.map_err(io::Error::other)?;
        let decoder = match coding {
            Coding::Gzip => BodyDecoder::Gzip(Box::new(flate2::write::MultiGzDecoder::new(vec![]))),
            Coding::Zstd => {
                let mut decoder = zstd::stream::raw::Decoder::new()?;
                decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_BITS_MAX))?;
                BodyDecoder::Zstd { decoder, is_at_end: false, is_full: false }
            }
        };
        Ok(Self { decoder, input: Bytes::new(), has_begun: false, _place: place })
    }

    /// Takes the next bytes. Those before must be decoded.
    pub(crate) fn add(&mut self, bytes: Bytes) {
        self.has_begun |= !bytes.is_empty();
        self.input = bytes;
    }

    /// The next decoded bytes, 128 KiB at most. They may be empty after much work. `None`: more
    /// input is needed.
    ///
    /// # Errors
    ///
    /// When the input is not of this coding.
    pub(crate) fn step(&mut self) -> io::Result<Option<Bytes>> {
        match &mut self.decoder {
            BodyDecoder::Gzip(decoder) => {
                for _ in 0..STEPS_MAX {
                    if self.input.is_empty() {
                        return Ok(None);
                    }
                    let count = decoder.write(&self.input)?;
                    if count == 0 && decoder.get_ref().is_empty() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    self.input.advance(count);
                    if !decoder.get_ref().is_empty() {
                        return Ok(Some(std::mem::take(decoder.get_mut()).into()));
                    }
                }
                Ok(Some(Bytes::new()))
            }
            BodyDecoder::Zstd { decoder, is_at_end, is_full } => {
                for _ in 0..STEPS_MAX {
                    if !*is_full && self.input.is_empty() {
                        return Ok(None);
                    }
                    let mut decoded = Vec::with_capacity(PIECE_BYTES);
                    let room = decoded.capacity();
                    let mut input = InBuffer::around(&self.input);
                    let mut output = OutBuffer::around(&mut decoded);
                    *is_at_end = decoder.run(&mut input, &mut output)? == 0;
                    let (read, made) = (input.pos(), output.pos());
                    *is_full = made == room && !*is_at_end;
                    self.input.advance(read);
                    if made > 0 {
                        return Ok(Some(decoded.into()));
                    }
                    if read == 0 && !self.input.is_empty() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                }
                Ok(Some(Bytes::new()))
            }
        }
    }

    /// The rest, when there is no more input.
    ///
    /// # Errors
    ///
    /// When the input ends too early.
    pub(crate) fn finish(&mut self) -> io::Result<Bytes> {
        if !self.has_begun {
            return Ok(Bytes::new());
        }
        match &mut self.decoder {
            BodyDecoder::Gzip(decoder) => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            BodyDecoder::Zstd { is_at_end: true, .. } => Ok(Bytes::new()),
            BodyDecoder::Zstd { .. } => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(coding: Coding, plain: &[u8]) -> Vec<u8> {
        match coding {
            Coding::Zstd => zstd::stream::encode_all(plain, 3).unwrap(),
            Coding::Gzip => {
                let level = flate2::Compression::fast();
                let mut encoder = flate2::write::GzEncoder::new(vec![], level);
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
        }
    }

    /// What is decoded of pieces of this size.
    async fn decoded(coding: Coding, sent: &[u8], piece_bytes: usize) -> io::Result<Vec<u8>> {
        let (mut decoding, mut whole) = (Decoding::begin(coding).await.unwrap(), vec![]);
        for piece in sent.chunks(piece_bytes) {
            decoding.add(Bytes::copy_from_slice(piece));
            while let Some(piece) = decoding.step()? {
                assert!(piece.len() <= 2 * PIECE_BYTES);
                whole.extend_from_slice(&piece);
            }
        }
        let last = decoding.finish()?;
        assert!(last.len() <= PIECE_BYTES);
        whole.extend_from_slice(&last);
        Ok(whole)
    }

    #[tokio::test]
    async fn what_was_coded_comes_back() {
        let text: Vec<u8> = (0..100_000).flat_map(|n: u32| n.to_string().into_bytes()).collect();
        for coding in Coding::ALL {
            for plain in [&b""[..], b"x", &text, &vec![0; 10_000_000]] {
                let sent = encoded(coding, plain);
                for piece_bytes in [1, 7, 4096, 1 << 20] {
                    if piece_bytes < 4096 && sent.len() > 20_000 {
                        continue;
                    }
                    let read = decoded(coding, &sent, piece_bytes).await.unwrap();
                    assert!(read == plain, "{coding:?} {} {piece_bytes}", plain.len());
                }
                // Several of them behind each other are one.
                let twice = [sent.clone(), sent.clone()].concat();
                let read = decoded(coding, &twice, 4096).await.unwrap();
                assert!(read == [plain, plain].concat(), "{coding:?} {}", plain.len());
            }
        }
    }

    #[tokio::test]
    async fn what_is_damaged_is_an_error() {
        for coding in Coding::ALL {
            let sent = encoded(coding, &[b'x'; 10_000]);
            for end in 1..sent.len() {
                assert!(decoded(coding, &sent[..end], 4096).await.is_err(), "{coding:?} {end}");
            }
            for garbage in [&b"garbage garbage garbage"[..], &[&sent[..], b"garbage"].concat()] {
                assert!(decoded(coding, garbage, 4096).await.is_err(), "{coding:?}");
            }
            assert_eq!(decoded(coding, b"", 4096).await.unwrap(), b"");
        }
        // A window of 128 MiB is refused, and not made.
        let mut encoder = zstd::stream::write::Encoder::new(vec![], 1).unwrap();
        encoder.window_log(27).unwrap();
        encoder.include_contentsize(false).unwrap();
        encoder.write_all(&[0; 100_000]).unwrap();
        let sent = encoder.finish().unwrap();
        assert!(decoded(Coding::Zstd, &sent, 4096).await.is_err());
    }
}

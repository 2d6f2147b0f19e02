//! Base64 in lines of 76 characters, as the content comes in (RFC 2045 §6.8).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// Bytes that fill one line of 76 characters.
const LINE_BYTES: usize = 57;

/// Encodes a content that arrives in chunks of any size.
///
/// The last line has no line end: what follows in a message begins with one.
#[derive(Debug, Clone, Default)]
pub struct Base64Lines {
    /// Bytes of a line that is not full yet; always fewer than [`LINE_BYTES`].
    rest: Vec<u8>,
    /// Whether a line was written, so that the next one is set off from it.
    begun: bool,
}

impl Base64Lines {
    /// Takes a chunk of the content and appends the lines that it completes to `out`.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        let mut chunk = chunk;
        if !self.rest.is_empty() {
            let missing = LINE_BYTES.saturating_sub(self.rest.len()).min(chunk.len());
            let (head, tail) = chunk.split_at(missing);
            self.rest.extend_from_slice(head);
            chunk = tail;
            if self.rest.len() < LINE_BYTES {
                return;
            }
            let line = std::mem::take(&mut self.rest);
            self.line(&line, out);
        }
        let mut lines = chunk.chunks_exact(LINE_BYTES);
        for line in lines.by_ref() {
            self.line(line, out);
        }
        self.rest.extend_from_slice(lines.remainder());
    }

    /// Appends what is left, padded, to `out`. The encoder is then as new.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let line = std::mem::take(&mut self.rest);
        if !line.is_empty() {
            self.line(&line, out);
        }
        self.begun = false;
    }

    fn line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let mut encoded = [0; LINE_BYTES.div_ceil(3) * 4];
        if self.begun {
            out.extend_from_slice(b"\r\n");
        }
        self.begun = true;
        // The array holds any line, so the error of a slice that is too small cannot occur.
        if let Ok(count) = STANDARD.encode_slice(line, &mut encoded) {
            out.extend_from_slice(encoded.get(..count).unwrap_or_default());
        }
    }
}

/// Returns how many bytes [`Base64Lines`] makes of a content of `size_bytes`.
#[must_use]
pub(crate) fn base64_lines_size_bytes(size_bytes: u64) -> u64 {
    let lines = size_bytes.div_ceil(LINE_BYTES as u64);
    size_bytes.div_ceil(3) * 4 + lines.saturating_sub(1) * 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_any_size_give_the_same_lines() {
        for size in [0, 1, 2, 3, 56, 57, 58, 113, 114, 115, 1000] {
            let content: Vec<u8> = (0..size).map(|n: u32| n as u8).collect();
            let mut whole = vec![];
            let mut lines = Base64Lines::default();
            lines.push(&content, &mut whole);
            lines.finish(&mut whole);
            assert_eq!(whole.len() as u64, base64_lines_size_bytes(size.into()));
            assert!(whole.split(|byte| *byte == b'\n').all(|line| line.len() <= 77));
            for step in [1, 2, 7, 57, 60] {
                let mut parts = vec![];
                for chunk in content.chunks(step) {
                    lines.push(chunk, &mut parts);
                }
                lines.finish(&mut parts);
                assert_eq!(parts, whole, "{size} bytes in chunks of {step}");
            }
            let joined: Vec<u8> =
                whole.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
            assert_eq!(STANDARD.decode(joined).unwrap(), content);
        }
    }
}

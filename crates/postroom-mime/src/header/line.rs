//! What a line of a header is, by its first bytes.
//!
//! Standards: RFC 5322 §2.2, §4.5.

/// A longer field name is none.
const NAME_BYTES_MAX: usize = 200;

/// What a line of a header is.
pub(super) enum HeaderLine {
    Blank,
    Continuation,
    Field { name_bytes: usize, colon: usize },
    Mbox,
    Other,
}

/// Tells what a line is, its end included.
pub(super) fn classify(line: &[u8]) -> HeaderLine {
    let start = line.get(..NAME_BYTES_MAX).unwrap_or(line);
    let name = start.iter().position(|byte| !is_of_name(*byte)).unwrap_or(start.len());
    match start.get(name) {
        Some(b':') if name > 0 => return HeaderLine::Field { name_bytes: name, colon: name },
        Some(b' ' | b'\t') if name == 0 => return HeaderLine::Continuation,
        Some(b'\r' | b'\n') if line.iter().all(|byte| matches!(byte, b'\r' | b'\n')) => {
            return HeaderLine::Blank;
        }
        _ => {}
    }
    let after = start.get(name..).unwrap_or_default();
    let blanks = after.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    if name > 0 && after.get(blanks) == Some(&b':') {
        HeaderLine::Field { name_bytes: name, colon: name + blanks }
    } else if line.starts_with(b"From ") || line.starts_with(b">From ") {
        HeaderLine::Mbox
    } else {
        HeaderLine::Other
    }
}

/// Whether a byte may stand in the name of a field (RFC 5322 §2.2).
fn is_of_name(byte: u8) -> bool {
    const OF_NAME: [bool; 256] = {
        let mut of_name = [false; 256];
        let mut byte = b'!' as usize;
        while byte <= b'~' as usize {
            #[expect(clippy::indexing_slicing, reason = "evaluated when compiled")]
            {
                of_name[byte] = byte != b':' as usize;
            }
            byte += 1;
        }
        of_name
    };
    // Always there: the table has a place for each byte.
    OF_NAME.get(usize::from(byte)).copied().unwrap_or(false)
}

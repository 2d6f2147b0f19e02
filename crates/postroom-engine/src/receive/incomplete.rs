//! Decides whether fetched bytes can be the whole message.
//!
//! RFC822.SIZE is a hint that servers get wrong, so it never decides alone. Far fewer octets than
//! announced, or a notice that the server wrote itself, are not the message. Then the message stays
//! pending and is fetched again in other forms. A message that is only a little short, or has no
//! header, is asked for again at once. If the same bytes come twice, it is recorded, but it is
//! never deleted at the server.

use crate::original::Original;
use memchr::memmem;
use std::io;
use std::io::BufRead;
use std::io::BufReader;

/// The maximum size of a notice.
const NOTICE_BYTES_MAX: u64 = 16 << 10;

/// Why these octets cannot be a whole message of the announced size. `None`: they may be.
#[must_use]
pub(crate) fn too_few(announced: Option<u64>, octets: u64) -> Option<String> {
    match announced {
        Some(0) => None,
        None if octets > 0 => None,
        None => Some("the server returned no octets and no size".to_owned()),
        // Exchange announced 19,189 octets for 6,298. Such a message is recorded after the same
        // octets have arrived several times.
        Some(announced) if octets < announced - announced / 4 => {
            Some(format!("the server returned {octets} of {announced} octets"))
        }
        Some(_) => None,
    }
}

/// Whether the message may be deleted at the server: the bytes begin with a header, and only line
/// ends explain a difference from the announced size.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn may_be_deleted(announced: Option<u64>, original: &Original) -> io::Result<bool> {
    let start = original.start()?;
    if !begins_with_header(&start) {
        return Ok(false);
    }
    let octets = original.size_bytes();
    // A server that says 0 does not know the size.
    let missing = match announced {
        Some(0) if octets > 0 => return Ok(false),
        announced => announced.unwrap_or(octets).saturating_sub(octets),
    };
    // Some servers count CR LF and give LF.
    Ok(missing == 0 || missing <= bare_line_feeds(original)?)
}

/// How many lines end in LF alone.
fn bare_line_feeds(original: &Original) -> io::Result<u64> {
    let file = match original {
        Original::Memory(bytes) => return Ok(bare_in(bytes, None)),
        Original::Spool { file, .. } => file.reopen()?,
    };
    let (mut reader, mut count, mut before) = (BufReader::new(file), 0, None);
    loop {
        let piece = reader.fill_buf()?;
        let Some(last) = piece.last().copied() else {
            return Ok(count);
        };
        count += bare_in(piece, before);
        before = Some(last);
        let read = piece.len();
        reader.consume(read);
    }
}

/// How many LF have no CR before them; `before` is the byte before the first.
fn bare_in(bytes: &[u8], before: Option<u8>) -> u64 {
    let at_before = |at: &usize| at.checked_sub(1).map_or(before, |at| bytes.get(at).copied());
    let is_bare = |at: &usize| at_before(at) != Some(b'\r');
    memchr::memchr_iter(b'\n', bytes).filter(is_bare).count() as u64
}

/// Whether the first line is a field of a header. A line of an mbox file may stand before it.
#[must_use]
pub(crate) fn begins_with_header(start: &[u8]) -> bool {
    let mut lines = start.split(|byte| *byte == b'\n');
    let mut line = lines.next().unwrap_or_default();
    if line.starts_with(b"From ") || line.starts_with(b">From ") {
        line = lines.next().unwrap_or_default();
    }
    let line = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
    let Some(colon) = memchr::memchr(b':', line) else {
        return false;
    };
    let name = line.get(..colon).unwrap_or_default().trim_ascii_end();
    !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
}

/// A notice that a server gives in place of a message that it cannot read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Notice {
    /// A known notice, word for word.
    Known,
    /// It reads like a notice and has no trace fields. It may also be a message that quotes a
    /// notice.
    Likely,
}

/// Whether the bytes are a notice. The announced size does not matter, because some servers
/// announce the size of the notice.
///
/// # Errors
///
/// Those of the file.
pub(crate) fn notice(original: &Original) -> io::Result<Option<Notice>> {
    if original.size_bytes() > NOTICE_BYTES_MAX {
        return Ok(None);
    }
    let start = original.start()?;
    if NOTICES.iter().any(|marks| has_all(&start, marks)) {
        return Ok(Some(Notice::Known));
    }
    Ok((!is_transported(&start) && speaks_as_notice(&start)).then_some(Notice::Likely))
}

/// For each server, the texts that its notice contains.
const NOTICES: [&[&str]; 2] = [
    // QUIRK(Courier)
    &[
        "From: System Administrator <root@localhost>",
        "Subject: message unavailable",
        "This message is no longer available on the server.",
    ],
    // QUIRK(Exchange)
    &[
        "Subject: Retrieval using the IMAP4 protocol failed for the following message",
        "The server couldn't retrieve the following message",
    ],
];

/// The beginnings of lines and subjects of notices. Their wording differs by version.
const PHRASES: [&[u8]; 4] = [
    b"Retrieval using the IMAP4 protocol failed",
    b"The server couldn't retrieve the following message",
    b"The server could not retrieve the following message",
    b"This message is no longer available on the server",
];

/// Whether the header has a trace field (RFC 5321 §4.4). A text that a server writes itself has
/// none.
fn is_transported(start: &[u8]) -> bool {
    let lines = start.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    let mut header = lines.take_while(|line| !line.is_empty());
    header.any(|line| starts_with(line, b"Received:"))
}

fn speaks_as_notice(start: &[u8]) -> bool {
    start.split(|byte| *byte == b'\n').any(|line| {
        let is_subject = starts_with(line, b"Subject:");
        let line = if is_subject { line.get(8..).unwrap_or_default() } else { line };
        let line = line.trim_ascii_start();
        PHRASES.iter().any(|phrase| starts_with(line, phrase))
    })
}

fn starts_with(line: &[u8], phrase: &[u8]) -> bool {
    line.get(..phrase.len()).is_some_and(|start| start.eq_ignore_ascii_case(phrase))
}

fn has_all(bytes: &[u8], marks: &[&str]) -> bool {
    marks.iter().all(|mark| memmem::find(bytes, mark.as_bytes()).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::original::Spool;
    use crate::original::SpoolPlace;
    use bytes::Bytes;
    use postroom_store::Work;

    fn memory(bytes: &'static [u8]) -> Original {
        Original::Memory(Bytes::from_static(bytes))
    }

    #[test]
    fn far_fewer_octets_than_announced_are_no_message() {
        #[rustfmt::skip]
        let table: &[(Option<u64>, u64, bool)] = &[
            (Some(3956), 0, true), (Some(5000), 10, true), (Some(5000), 2500, true),
            (Some(19_189), 6_298, true), (Some(1), 0, true), (None, 0, true),
            (Some(0), 0, false), (Some(0), 50, false), (None, 50, false),
            (Some(5000), 5000, false), (Some(5000), 5002, false), (Some(5000), 4900, false),
            (Some(2), 2, false), (Some(u64::MAX), 10, true),
        ];
        for (announced, octets, is_incomplete) in table {
            let reason = too_few(*announced, *octets);
            assert_eq!(reason.is_some(), *is_incomplete, "{octets} of {announced:?}");
        }
    }

    #[test]
    fn only_a_whole_message_with_a_header_is_a_reason_to_delete() {
        #[rustfmt::skip]
        let table: &[(Option<u64>, &'static [u8], bool)] = &[
            (Some(16),   b"Subject: a\r\n\r\nb\r\n",       true),
            (None,       b"Subject: a\r\n\r\nb\r\n",       true),
            (Some(20),   b"Subject: a\n\nb\n\n\n",         true),
            (Some(0),    b"Subject: a\r\n\r\nb\r\n",       false),
            (Some(18),   b"Subject: a\r\n\r\nb\r\n",       false),
            (Some(40),   b"Subject: a\r\n\r\nb\r\n",       false),
            (Some(40),   b"From a@b.test\nSubject: a\n\nb", false),
            (Some(28),   b"From a@b.test\nSubject: a\n\nb", true),
            (Some(4),    b"\r\nb\r\n",                     false),
            (Some(10),   b"no header\n",                   false),
            (Some(12),   b"not so: this",                  false),
            (None,       b"",                              false),
        ];
        for (announced, bytes, want) in table {
            let may_be = may_be_deleted(*announced, &memory(bytes)).unwrap();
            assert_eq!(may_be, *want, "{}", bytes.escape_ascii());
        }
    }

    /// However long a message is, a few octets that are missing keep it at the server.
    #[tokio::test]
    async fn of_a_large_message_only_line_ends_may_be_missing() {
        let directory = tempfile::tempdir().unwrap();
        for (line_end, missing_max) in [("\n", 20_001), ("\r\n", 0)] {
            let lines = format!("some words{line_end}").repeat(20_000);
            let bytes = format!("Subject: a{line_end}{lines}").into_bytes();
            let place = SpoolPlace::in_directory(directory.path(), Work::Inline);
            let mut spool = Spool::create(place).unwrap();
            // Pieces end at any place, such as between CR and LF.
            for piece in bytes.chunks(1009) {
                spool.write(piece.to_vec().into()).await.unwrap();
            }
            let originals = [spool.finish().await.unwrap(), Original::Memory(bytes.into())];
            for original in &originals {
                for missing in [0, 1, missing_max, missing_max + 1] {
                    let announced = Some(original.size_bytes() + missing);
                    let may_be = may_be_deleted(announced, original).unwrap();
                    assert_eq!(may_be, missing <= missing_max, "{missing} {line_end:?}");
                }
            }
        }
    }

    #[test]
    fn notices_of_servers_are_told_from_messages() {
        let courier =
            b"From: System Administrator <root@localhost>\r\nSubject: message unavailable\
            \r\n\r\nThis message is no longer available on the server.\r\n";
        let exchange = b"From: Microsoft Exchange Server\r\nSubject: Retrieval using the IMAP4 \
            protocol failed for the following message: 3\r\n\r\nThe server couldn't retrieve the \
            following message:\r\n";
        let other_words =
            b"From: x@a.test\r\nSubject: Unreadable\r\n\r\nretrieval using the IMAP4 \
            protocol failed for the following message: 1\r\n";
        let quoted =
            b"Received: from a.test\r\nSubject: Retrieval using the IMAP4 protocol failed \
            for the following message: 3\r\n\r\nWhat does this mean?\r\n";
        let about = b"Subject: a question\r\n\r\nIt says: Retrieval using the IMAP4 protocol \
            failed\r\n";
        #[rustfmt::skip]
        let table: &[(&'static [u8], Option<Notice>)] = &[
            (courier, Some(Notice::Known)), (exchange, Some(Notice::Known)),
            (other_words, Some(Notice::Likely)), (quoted, None), (about, None),
        ];
        for (bytes, want) in table {
            assert_eq!(notice(&memory(bytes)).unwrap(), *want, "{}", bytes.escape_ascii());
        }
    }
}

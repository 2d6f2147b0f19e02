//! The mail that arrives: small and odd messages, each with a subject that no other has.

use bytes::Bytes;
use fastrand::Rng;

/// A message with that subject.
#[must_use]
pub fn make(chance: &mut Rng, subject: &str) -> Bytes {
    let head = format!(
        "From: Xaver <x@else.test>\r\nTo: you@one.test\r\nSubject: {subject}\r\n\
         Message-ID: <{subject}@else.test>\r\nDate: Sun, 1 Jun 2025 00:00:00 +0000\r\n"
    );
    let body = match chance.u8(..8) {
        0 => "\r\n".to_owned(),
        1 => "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
              --b\r\n\r\ntext\r\n--b\r\nContent-Type: image/png\r\n\
              Content-Transfer-Encoding: base64\r\nContent-Disposition: attachment; \
              filename=a.png\r\n\r\niVBORw0KGgo=\r\n--b--\r\n"
            .to_owned(),
        2 => "Content-Type: text/html\r\n\r\n<p>Only <b>html</b></p>\r\n".to_owned(),
        6 => format!(
            "\r\n{}\r\n",
            "large: it goes through a file\r\n".repeat(chance.usize(200..600))
        ),
        3 => format!("\r\n{}\r\n", "a long line of text ".repeat(chance.usize(10..600))),
        4 => "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=\"not there\"\r\n\r\n\
              no part at all\r\n"
            .to_owned(),
        _ => "\r\nHello.\r\n.\r\n..dots\r\n".to_owned(),
    };
    let mut bytes = [head.as_bytes(), body.as_bytes()].concat();
    if chance.u8(..6) == 0 {
        // What no message should have, and some do.
        bytes.extend_from_slice(b"\xff\xfe\x80 bytes beyond text\rand\nbare line ends\r\n");
    }
    bytes.into()
}

//! The messages of the demo: one of each kind that mail programs send, and one that is no message
//! at all. All of it is our own, even the picture.

mod picture;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use picture::picture;

/// How many characters of base64 stand on a line (RFC 2045 §6.8).
const LINE_CHARACTERS: usize = 76;

/// The demo's messages for `anna@demo.test`: a text, an html with an inline picture, one with
/// attachments, and one without any header field, which cannot be decomposed.
pub fn messages() -> Vec<Vec<u8>> {
    vec![text(), html(), attachments(), headless()]
}

fn text() -> Vec<u8> {
    crlf(
        "From: Maja Lind <maja@garden.example>\n\
         To: Anna Demo <anna@demo.test>\n\
         Subject: Tomatoes on the balcony\n\
         Date: Sat, 02 May 2026 08:12:00 +0200\n\
         Message-ID: <tomatoes.1@garden.example>\n\
         MIME-Version: 1.0\n\
         Content-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: quoted-printable\n\
         \n\
         Good morning Anna,\n\
         \n\
         the seedlings have three leaves now. Would you take six of them? They like sun=\n\
          and hate wind, so your south balcony is perfect.\n\
         \n\
         I can bring them on Sunday; all I ask for is a caf=C3=A9 au lait.\n\
         \n\
         Maja\n",
        &[],
    )
}

fn html() -> Vec<u8> {
    crlf(
        "From: =?utf-8?q?J=C3=BCrgen_Wei=C3=9F?= <juergen@coast.example>\n\
         To: Anna Demo <anna@demo.test>\n\
         Cc: maja@garden.example\n\
         Subject: =?utf-8?q?Sunrise_at_the_coast_=E2=98=80?=\n\
         Date: Sun, 03 May 2026 05:48:30 +0200\n\
         Message-ID: <sunrise.2@coast.example>\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/related; boundary=\"coast\"; type=\"text/html\"\n\
         \n\
         --coast\n\
         Content-Type: text/html; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\
         \n\
         <!doctype html>\n\
         <html><body style=\"font-family: sans-serif\">\n\
         <h1>Früh am Meer</h1>\n\
         <p>Dear Anna, this is what a quarter to six looks like <em>without</em> a city:</p>\n\
         <p><img src=\"cid:sun@coast.example\" width=\"192\" height=\"128\" alt=\"sunrise\"></p>\n\
         <p>Come and see it yourself, the guest room is free until June.</p>\n\
         </body></html>\n\
         \n\
         --coast\n\
         Content-Type: image/png; name=\"sunrise.png\"\n\
         Content-ID: <sun@coast.example>\n\
         Content-Disposition: inline; filename=\"sunrise.png\"\n\
         Content-Transfer-Encoding: base64\n\
         \n\
         {file}\n\
         --coast--\n",
        &[&picture()],
    )
}

fn attachments() -> Vec<u8> {
    let list = "crate;what;amount\r\n1;Äpfel;4 kg\r\n2;Rote Bete;2 kg\r\n3;Kräuter;5 Bund\r\n";
    crlf(
        "From: \"Market Hall\" <orders@market.example>\n\
         To: Anna Demo <anna@demo.test>\n\
         Subject: Your order for Friday\n\
         Date: Mon, 04 May 2026 16:05:10 +0000\n\
         Message-ID: <order.3@market.example>\n\
         MIME-Version: 1.0\n\
         Content-Type: multipart/mixed; boundary=\"hall\"\n\
         \n\
         --hall\n\
         Content-Type: text/plain; charset=us-ascii\n\
         \n\
         Dear Anna Demo,\n\
         \n\
         your vegetables are packed. The list is attached, and the picture for the\n\
         children to colour in too.\n\
         \n\
         Market Hall\n\
         \n\
         --hall\n\
         Content-Type: text/csv; charset=utf-8\n\
         Content-Disposition: attachment;\n \
         filename*=utf-8''Gem%C3%BCsekiste%20%E2%80%93%20Freitag.csv\n\
         Content-Transfer-Encoding: base64\n\
         \n\
         {file}\n\
         --hall\n\
         Content-Type: image/png\n\
         Content-Disposition: attachment; filename=\"colour me in.png\"\n\
         Content-Transfer-Encoding: base64\n\
         \n\
         {file}\n\
         --hall--\n",
        &[list.as_bytes(), &picture()],
    )
}

/// What a broken scanner leaves in a mailbox: no line is a header field.
fn headless() -> Vec<u8> {
    crlf(
        "This page came out of the scanner in the hall without any header.\n\
         Nobody knows who put it there, or when.\n\
         Postroom keeps it as it is.\n",
        &[],
    )
}

/// The text with CRLF, and with each `{file}` replaced by the next of `files` in base64.
fn crlf(text: &str, files: &[&[u8]]) -> Vec<u8> {
    let mut files = files.iter();
    let mut message = String::with_capacity(text.len());
    for line in text.lines() {
        if line != "{file}" {
            message.push_str(line);
            message.push_str("\r\n");
            continue;
        }
        let mut encoded = STANDARD.encode(files.next().copied().unwrap_or_default());
        while !encoded.is_empty() {
            let rest = encoded.split_off(encoded.len().min(LINE_CHARACTERS));
            message.push_str(&encoded);
            message.push_str("\r\n");
            encoded = rest;
        }
    }
    message.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_messages_are_clean() {
        let all = messages();
        assert_eq!(all.len(), 4);
        for message in &all {
            let text = std::str::from_utf8(message).unwrap();
            assert!(text.split("\r\n").all(|line| line.len() < 79 * 2 && !line.contains('\n')));
            assert!(!text.contains("{file}") && !text.contains("\r\n\r\n\r\n"));
        }
        let headless = std::str::from_utf8(&all[3]).unwrap();
        assert!(!headless.contains(':') && !headless.contains("\r\n\r\n"));
    }
}

//! Messages to fill mailboxes with: the same bytes on every machine for the same number.
//!
//! [`corpus_write`] uses the generator of the measured baselines when it lies beside the
//! repository, so that figures can be compared with those; [`sample`] is there always.

use crate::packages::Owner;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The generator of the baselines, if it is there.
const GENERATOR: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/bench/corpus.py");

/// The Unix time of the first message; the others follow in order.
const EPOCH_S: u64 = 1_700_000_000;

/// Words of the samples. Some are not ASCII.
const WORDS: &[&str] = &[
    "der",
    "Morgen",
    "invoice",
    "answer",
    "größer",
    "заказ",
    "delivery",
    "the",
    "of",
    "counts",
    "letter",
    "naïve",
    "table",
    "and",
    "with",
    "customer",
    "€",
    "paper",
    "green",
    "quiet",
];

/// Writes `count` messages of `kind` (a: text and html, 20 KB; b: attachments, 200 KB; c: 25 MB;
/// t: 1.5 KB) as a Maildir at `maildir` for `owner` (user and group).
///
/// # Errors
///
/// When the directory cannot be written or the generator fails.
pub(crate) fn corpus_write(kind: char, count: usize, maildir: &Path, owner: Owner) -> Result<()> {
    if !Path::new(GENERATOR).is_file() {
        let size_bytes = match kind {
            'b' => 200_000,
            'c' => 25_000_000,
            't' => 1_500,
            _ => 20_000,
        };
        let samples = (0..count as u64).map(|number| sample(number, size_bytes));
        return maildir_write(maildir, owner, samples).map(|_| ());
    }
    let ran = Command::new("python3")
        .arg(GENERATOR)
        .args(["--kind", &kind.to_string(), "--count", &count.to_string()])
        .arg("--out")
        .arg(maildir)
        .output()
        .context("running the generator of messages")?;
    ensure!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    maildir_own(maildir, owner)
}

/// Message `number` of about `size_bytes`: text and html, with LF line ends. The sizes vary from a
/// third to five thirds of it.
pub fn sample(number: u64, size_bytes: usize) -> Vec<u8> {
    let mut random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut draw = |bound: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % bound.max(1) as u64).unwrap_or_default()
    };
    let want = size_bytes / 3 + draw(size_bytes * 4 / 3);
    let mut prose = String::with_capacity(want / 2 + 100);
    let mut column = 0;
    while prose.len() < want / 2 {
        let word = WORDS.get(draw(WORDS.len())).copied().unwrap_or("word");
        prose += word;
        column += word.len() + 1;
        prose.push(if column > 70 { '\n' } else { ' ' });
        column = if column > 70 { 0 } else { column };
    }
    format!(
        "From: Anna <anna{}@demo.test>\nTo: ben@demo.test\nSubject: Letter {number}\n\
         Date: Tue, 14 Nov 2023 22:13:20 +0000\nMessage-ID: <sample.{number}@demo.test>\n\
         MIME-Version: 1.0\nContent-Type: multipart/alternative; boundary=\"=_{number:x}\"\n\n\
         --=_{number:x}\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n{prose}\n\
         --=_{number:x}\nContent-Type: text/html; charset=utf-8\n\
         Content-Transfer-Encoding: 8bit\n\n<p>{prose}</p>\n--=_{number:x}--\n",
        draw(5000),
    )
    .into_bytes()
}

/// Adds `messages` to a Maildir, which is made when missing. UIDs will follow their order.
/// Returns how many there were.
pub(crate) fn maildir_write<M: AsRef<[u8]>>(
    maildir: &Path,
    owner: Owner,
    messages: impl IntoIterator<Item = M>,
) -> Result<usize> {
    for part in ["cur", "new", "tmp"] {
        fs::create_dir_all(maildir.join(part))?;
    }
    let before = fs::read_dir(maildir.join("cur"))?.count();
    let mut number = before;
    for message in messages {
        let bytes = message.as_ref();
        number += 1;
        let bare = bytes.iter().zip([&b'\n'].into_iter().chain(bytes));
        let bare = bare.filter(|(byte, previous)| **byte == b'\n' && **previous != b'\r').count();
        // Sizes in the name spare the server from opening files for RFC822.SIZE.
        let size = bytes.len();
        let name = format!(
            "{}.M{number:06}P1.bench,S={size},W={}:2,",
            EPOCH_S + 97 * number as u64,
            size + bare
        );
        let written = maildir.join("tmp").join(&name);
        fs::write(&written, bytes)?;
        owner.take(&written)?;
        fs::rename(written, maildir.join("cur").join(name))?;
    }
    for part in ["", "cur", "new", "tmp"] {
        owner.take(maildir.join(part))?;
    }
    Ok(number - before)
}

fn maildir_own(maildir: &Path, owner: Owner) -> Result<()> {
    for part in ["", "cur", "new", "tmp"] {
        owner.take(maildir.join(part))?;
    }
    for entry in fs::read_dir(maildir.join("cur"))? {
        owner.take(entry?.path())?;
    }
    Ok(())
}

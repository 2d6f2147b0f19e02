//! How fast messages are taken apart, with two peers in the same run.
//!
//! `bench [FILE-OR-DIRECTORY..]` takes the messages of a corpus (all of it in memory), or without
//! one messages made here, and prints MB/s on one core: structure alone, structure and fields and
//! bodies (`parse`), and that with every file decoded. Peers decode what they parse as well. All of
//! them run on the allocator of the binary.

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, for people")]

use postroom_mime::Defects;
use postroom_mime::ParserLimits;
use postroom_mime::Slice;
use postroom_mime::structure;
use std::fs;
use std::hint::black_box;
use std::io;
use std::panic::catch_unwind;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

/// How long each parser is measured in each round, and how many rounds there are.
const ROUND: Duration = Duration::from_millis(700);
const ROUNDS: usize = 5;

type Work = fn(&[u8]);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> io::Result<()> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let messages = if paths.is_empty() { made() } else { read(paths)? };
    let bytes: usize = messages.iter().map(Vec::len).sum();
    println!("{} messages, {:.1} MB", messages.len(), bytes as f64 / 1e6);
    let parsers: [(&str, Work); 6] = [
        ("structure", structure_alone),
        ("parse", parse),
        ("parse + decode", parse_and_decode),
        ("mail-parser 0.11.9", mail_parser_peer),
        ("mailparse 0.18, parse", mailparse_peer),
        ("mailparse 0.18 + decode", mailparse_decoding_peer),
    ];
    let mut best = [0.0_f64; 6];
    for _ in 0..ROUNDS {
        for ((_, work), best) in parsers.iter().zip(&mut best) {
            *best = best.max(rate(&messages, *work));
        }
    }
    for ((name, _), rate) in parsers.iter().zip(best) {
        println!("{name:24} {rate:7.0} MB/s");
    }
    Ok(())
}

/// MB/s of the best pass over all messages in one round: the others shared the machine with more.
fn rate(messages: &[Vec<u8>], work: Work) -> f64 {
    let bytes: usize = messages.iter().map(Vec::len).sum();
    let round = Instant::now();
    let mut best = Duration::MAX;
    while round.elapsed() < ROUND {
        let pass = Instant::now();
        messages.iter().for_each(|message| work(message));
        best = best.min(pass.elapsed());
    }
    bytes as f64 / 1e6 / best.as_secs_f64()
}

fn structure_alone(message: &[u8]) {
    let found =
        structure::scan(&mut Slice(message), &ParserLimits::default(), &mut Defects::default());
    black_box(found.map(|found| found.entities.len()).unwrap_or_default());
}

fn parse(message: &[u8]) {
    black_box(postroom_mime::parse(message));
}

fn parse_and_decode(message: &[u8]) {
    let parsed = postroom_mime::parse(message);
    for part in parsed.attachments.iter().chain(&parsed.inlines) {
        black_box(part.decode(message));
    }
    black_box(parsed);
}

fn mail_parser_peer(message: &[u8]) {
    black_box(mail_parser::MessageParser::default().parse(message));
}

fn mailparse_peer(message: &[u8]) {
    // It panics on some input.
    let _ = catch_unwind(|| black_box(mailparse::parse_mail(message).is_ok()));
}

fn mailparse_decoding_peer(message: &[u8]) {
    let _ = catch_unwind(|| {
        let Ok(mail) = mailparse::parse_mail(message) else {
            return;
        };
        for part in mail.parts() {
            if part.ctype.mimetype.starts_with("text/") {
                let _ = black_box(part.get_body());
            } else if part.subparts.is_empty() {
                let _ = black_box(part.get_body_raw());
            }
        }
    });
}

/// Messages under the paths: mbox files count as one; what has no header field is none, and what is
/// too large for a peer is left out.
fn read(mut paths: Vec<PathBuf>) -> io::Result<Vec<Vec<u8>>> {
    const BYTES_MAX: u64 = 1 << 20;
    let mut messages = vec![];
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            paths.extend(fs::read_dir(&path)?.filter_map(|entry| Some(entry.ok()?.path())));
        } else if fs::metadata(&path)?.len() <= BYTES_MAX {
            let bytes = fs::read(&path)?;
            if postroom_mime::parse(&bytes).raw_reason.is_none() {
                messages.push(bytes);
            }
        }
    }
    Ok(messages)
}

/// Messages as offices send them: short texts, newsletters, files of some size.
fn made() -> Vec<Vec<u8>> {
    let text = "Grüße aus dem Süden, und ein Satz, der noch etwas weitergeht.\n".repeat(40);
    let mut messages = vec![];
    for size in [0_usize, 0, 0, 20_000, 200_000] {
        let mut raw = format!(
            "From: Anna <anna@bench.example>\r\nTo: bob@bench.example\r\n\
             Subject: =?utf-8?Q?=C3=9Cber?= alles\r\n\
             Date: Mon, 23 Nov 2026 10:00:00 +0000\r\n\
             Message-ID: <{size}@bench.example>\r\nMIME-Version: 1.0\r\n\
             Content-Type: multipart/mixed; boundary=\"=_made\"\r\n\r\n--=_made\r\n\
             Content-Type: text/plain; charset=utf-8\r\n\r\n{text}\r\n--=_made\r\n\
             Content-Type: application/pdf; name=a.pdf\r\n\
             Content-Transfer-Encoding: base64\r\n\r\n",
        );
        for _ in 0..size / 57 {
            raw.push_str(&"QUJD".repeat(19));
            raw.push_str("\r\n");
        }
        raw.push_str("\r\n--=_made--\r\n");
        messages.push(raw.into_bytes());
    }
    messages
}

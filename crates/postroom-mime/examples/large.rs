//! How much memory a message of 100 MB takes when it lies in a file: to decompose it, and to
//! decode its attachment to nowhere. The bound is that of the text that is kept (README).

#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a measurement, for people")]

use postroom_mime::ParserLimits;
use postroom_mime::PartSource;
use std::fs;
use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many lines of base64 the attachment has: 100 MB.
const LINES: usize = 100_000_000 / 78;

fn main() -> io::Result<()> {
    let path = std::env::temp_dir().join(format!("postroom-large-{}", std::process::id()));
    let measured = make(&path).and_then(|()| measure(&path));
    fs::remove_file(&path)?;
    measured
}

fn make(path: &Path) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    file.write_all(
        b"From: a@b.test\r\nSubject: large\r\nMIME-Version: 1.0\r\n\
          Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nHello\r\n--b\r\n\
          Content-Type: application/octet-stream; name=large\r\n\
          Content-Transfer-Encoding: base64\r\n\r\n",
    )?;
    for _ in 0..LINES {
        file.write_all(&[b'Q'; 76])?;
        file.write_all(b"\r\n")?;
    }
    file.write_all(b"--b--\r\n")?;
    file.flush()
}

fn measure(path: &Path) -> io::Result<()> {
    let size_mb = fs::metadata(path)?.len() as f64 / 1e6;
    let before = peak_kb();
    let start = Instant::now();
    let message = postroom_mime::parse_reader(File::open(path)?, &ParserLimits::default())?;
    let (time, grown) = (start.elapsed(), peak_kb() - before);
    println!(
        "decompose  {size_mb:.0} MB in a file: {:.0} ms, {:.1} MB of memory",
        time.as_secs_f64() * 1e3,
        grown as f64 / 1e3
    );
    let attachment = message.attachments.first().ok_or(io::ErrorKind::NotFound)?;
    let PartSource::Range { offset, length, encoding, .. } = &attachment.source else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let (before, start) = (peak_kb(), Instant::now());
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(*offset))?;
    let (mut decoder, mut left, mut count) = (encoding.decoder(), *length, 0);
    let (mut piece, mut plain) = (vec![0; 256 << 10], vec![]);
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(piece.len());
        let read = file.read(piece.get_mut(..want).unwrap_or_default())?;
        if read == 0 {
            break;
        }
        left -= read as u64;
        plain.clear();
        decoder.push(piece.get(..read).unwrap_or_default(), &mut plain);
        count += plain.len() as u64;
    }
    plain.clear();
    decoder.finish(&mut plain);
    count += plain.len() as u64;
    println!(
        "decode     its attachment of {:.0} MB: {:.0} ms, {:.1} MB of memory, as announced: {}",
        count as f64 / 1e6,
        start.elapsed().as_secs_f64() * 1e3,
        (peak_kb() - before) as f64 / 1e3,
        count == attachment.size_bytes
    );
    Ok(())
}

/// The largest memory of this process so far, in KiB.
fn peak_kb() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse().ok()).unwrap_or(0)
}

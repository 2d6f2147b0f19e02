//! The stream after DATA: however it is cut, no line end stands alone and no line is a lone dot.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_smtp::DotStuffer;

fuzz_target!(|bytes: &[u8]| {
    let (cut, message) = match bytes.split_first() {
        Some((first, rest)) => (usize::from(*first).min(rest.len()), rest),
        None => return,
    };
    let stuff = |pieces: [&[u8]; 2]| {
        let (mut stuffer, mut out) = (DotStuffer::default(), vec![]);
        pieces.into_iter().for_each(|piece| stuffer.push(piece, &mut out));
        stuffer.finish(&mut out);
        out
    };
    let (one, two) = message.split_at(cut);
    let out = stuff([one, two]);
    assert_eq!(out, stuff([message, b""]));
    for line in out.split_inclusive(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r\n").expect("a line ends in CRLF");
        assert!(!line.contains(&b'\r') && !line.contains(&b'\n') && line != b".");
    }
});

//! Replies of an SMTP server: any bytes are collected into replies or refused, within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_smtp::Capabilities;
use postroom_smtp::reply::Collector;
use postroom_smtp::reply::LINES_MAX;
use postroom_smtp::reply::Progress;

fuzz_target!(|bytes: &[u8]| {
    let mut collector = Collector::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match collector.push(line) {
            Ok(Progress::Whole(reply) | Progress::Cut(reply)) => {
                assert!((200..600).contains(&reply.code) && reply.lines.len() <= LINES_MAX);
                assert!(!reply.to_string().chars().any(char::is_control));
                let _ = Capabilities::from_reply(&reply);
            }
            Ok(Progress::More) => {}
            Err(_) => return,
        }
    }
});

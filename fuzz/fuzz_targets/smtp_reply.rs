//! Replies of an SMTP server: any bytes are collected into replies or refused, within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_smtp::Extensions;
use postroom_smtp::ReplyCollector;
use postroom_smtp::REPLY_LINES_MAX;
use postroom_smtp::ReplyProgress;

fuzz_target!(|bytes: &[u8]| {
    let mut collector = ReplyCollector::default();
    for line in bytes.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match collector.push(line) {
            Ok(ReplyProgress::Whole(reply) | ReplyProgress::Cut(reply)) => {
                assert!((200..600).contains(&reply.code));
                // One line more says that others are left out.
                assert!(reply.lines.len() <= REPLY_LINES_MAX + 1);
                assert!(!reply.to_string().chars().any(char::is_control));
                let _ = Extensions::from_reply(&reply);
            }
            Ok(ReplyProgress::More) => {}
            Err(_) => return,
        }
    }
});

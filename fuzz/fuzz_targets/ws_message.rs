//! Messages of clients of the WebSocket, of any content, and as members of each method.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::CallAsks;
use postroom_model::SocketCall;

fuzz_target!(|text: &str| {
    let _ = SocketCall::parse(text);
    for method in ["follow", "subscribe", "unsubscribe"] {
        let Ok(call) = SocketCall::parse(&format!("[\"{method}\", {{{text}}}]")) else {
            continue;
        };
        assert!((1..=200).contains(&call.id.len()));
        match call.asks {
            CallAsks::Follow(texts) => assert!(texts.len() <= 6),
            CallAsks::Subscribe(call) => {
                assert!((1..=20).contains(&call.requests.len()));
                assert!((1..=86_400).contains(&call.expires.as_secs()));
            }
            CallAsks::Unsubscribe => {}
        }
    }
});

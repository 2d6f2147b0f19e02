//! Html: references, text and the charset of any content.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::html;

fuzz_target!(|html: &str| {
    let mut bytes = 0;
    html::references(html, |reference| bytes += reference.len());
    // A style may be an attribute and hold an address. Each byte is told at most a few times.
    assert!(bytes <= html.len() * 8, "{bytes}");
    assert!(html::text(html, 1000).len() <= 1000 + html.len() * 2);
    if let Some(label) = html::charset(html.as_bytes()) {
        assert!(label.len() <= html.len() * 2);
    }
});

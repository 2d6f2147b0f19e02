//! Html: other addresses for Content-IDs change nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::html;

fuzz_target!(|html: &str| {
    let kept = html::with_addresses(html, |_| Ok::<_, ()>(None)).unwrap();
    assert_eq!(kept, html);
    let mut ids = vec![];
    let shown = html::with_addresses(html, |id| {
        ids.push(id.to_owned());
        Ok::<_, ()>(Some("/x".to_owned()))
    });
    let shown = shown.unwrap();
    // Each is shorter than what it replaces, and what is markup stays.
    assert!(shown.len() <= html.len());
    let markup = |text: &str| text.matches(['<', '>', '"', '\'']).count();
    assert_eq!(markup(&shown), markup(html));
    assert!(ids.iter().all(|id| !id.is_empty()));
});

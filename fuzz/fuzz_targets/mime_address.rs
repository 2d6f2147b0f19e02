//! Address lists: whatever is read of them is no longer than what was written, and fit to be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::parse_addresses;
use postroom_mime::charset::Detection;
use postroom_mime::Defects;
use postroom_mime::FieldText;

fuzz_target!(|bytes: &[u8]| {
    let mut defects = Defects::default();
    let mut field = FieldText {
        fallback: None,
        words_left: 100,
        detection: Detection::default(),
        defects: &mut defects,
    };
    let text = field.unfolded(bytes);
    let found = parse_addresses(&text, &mut field);
    assert!(found.len() <= bytes.len() + 1);
    for one in &found {
        assert!(!one.address.contains(['\r', '\n', '\0']), "{:?}", one.address);
        let name = one.name.as_deref().unwrap_or_default();
        assert!(!name.contains(['\r', '\n', '\0']), "{name:?}");
    }
});

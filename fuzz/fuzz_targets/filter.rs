//! Filters, as clients send them: any JSON is read or refused with a reason.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::builtin;
use postroom_model::filter;
use std::sync::OnceLock;

fuzz_target!(|text: &str| {
    static CLASSES: OnceLock<Vec<postroom_model::Class>> = OnceLock::new();
    let classes = CLASSES.get_or_init(|| builtin::classes().expect("built-in classes"));
    if let Ok(json) = serde_json::from_str(text) {
        for class in classes {
            if let Err(invalid) = filter::parse(class, &json) {
                assert!(!invalid.reason.is_empty());
            }
        }
    }
    if let Some((name, value)) = text.split_once('=') {
        for class in classes {
            let _ = filter::equality(class, name, value);
        }
    }
});

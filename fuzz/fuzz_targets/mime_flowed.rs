//! Flowed text: joining lines loses no character but line ends and the blanks of the format.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_mime::unflow;

fuzz_target!(|text: &str| {
    let solid = |text: &str| text.replace([' ', '\n'], "");
    for del_sp in [false, true] {
        let joined = unflow(text, del_sp);
        assert!(joined.len() <= text.len() * 2);
        assert_eq!(solid(&joined), solid(text));
    }
});

//! Rights of tokens, as clients send them: any JSON is read or refused with a reason, and what is
//! read is written and read again as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_model::RightReach;
use postroom_model::Rights;
use postroom_model::builtin;
use postroom_model::right_problems;
use std::sync::Arc;
use std::sync::OnceLock;

fuzz_target!(|text: &str| {
    static CLASSES: OnceLock<Vec<Arc<postroom_model::Class>>> = OnceLock::new();
    let classes = CLASSES.get_or_init(|| {
        let classes = builtin::classes().expect("built-in classes");
        classes.into_iter().map(Arc::new).collect()
    });
    let Ok(json) = serde_json::from_str(text) else { return };
    match Rights::from_json(&json) {
        Ok(rights) => {
            let written = rights.to_json().expect("they are no role");
            assert_eq!(Rights::from_json(&written).as_ref(), Ok(&rights));
            let _ = right_problems(&rights, classes);
            let _ = RightReach::of(&rights, classes);
        }
        Err(problems) => assert!(problems.iter().all(|problem| !problem.reason.is_empty())),
    }
});

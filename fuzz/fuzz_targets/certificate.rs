//! What certificates say of themselves: any bytes, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_net::CertificateFacts;

fuzz_target!(|bytes: &[u8]| {
    if let Some(facts) = CertificateFacts::read(bytes) {
        assert!(facts.names.len() <= 20);
        let texts = [&facts.subject, &facts.issuer];
        assert!(texts.into_iter().all(|text| !text.chars().any(char::is_control)));
    }
});

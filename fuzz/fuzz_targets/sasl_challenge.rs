//! Challenges of a login by SCRAM: whatever a server says, it is never taken for verified.
#![no_main]

use libfuzzer_sys::fuzz_target;
use postroom_net::ChannelBinding;
use postroom_net::Credentials;
use postroom_net::Secret;
use postroom_net::sasl::Mechanism;
use postroom_net::sasl::SaslLink;

fuzz_target!(|text: &str| {
    let credentials =
        Credentials { login: "anna".to_owned(), secret: Secret::Password("hush".into()) };
    let link = SaslLink { binding: &ChannelBinding::None, offers: &|_| true };
    let Ok(Some(mut exchange)) = Mechanism::Scram.begin(&credentials, &link) else {
        return;
    };
    for line in text.lines() {
        if exchange.answer(line).is_err() {
            break;
        }
    }
    assert!(exchange.finish().is_err());
});

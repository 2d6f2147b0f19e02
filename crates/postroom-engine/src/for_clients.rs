//! What clients, and whoever stops the engine, ask of it at once, beside its own work.

use crate::consent::OAuthConsents;
use crate::device_consent::DeviceConsents;
use crate::server_search::ServerSearch;
use crate::supervisor::Supervisor;
use crate::verify::AccountVerifier;
use crate::webhooks::WebhookTester;
use postroom_model::MessageEntityId;
use std::sync::Arc;

impl Supervisor {
    /// The messages that are being sent now: the address of the account and the id of the message.
    /// A stop waits for them.
    #[must_use]
    pub fn under_way(&self) -> Vec<(String, MessageEntityId)> {
        self.shared.under_way.list()
    }

    /// A function that gives the same while the engine stops.
    pub fn watch_under_way(&self) -> impl Fn() -> Vec<(String, MessageEntityId)> + use<> {
        let shared = Arc::clone(&self.shared);
        move || shared.under_way.list()
    }

    /// What tests webhooks.
    #[must_use]
    pub fn webhook_tester(&self) -> WebhookTester {
        WebhookTester::new(Arc::clone(&self.shared))
    }

    /// What tries the servers of accounts.
    #[must_use]
    pub fn account_verifier(&self) -> AccountVerifier {
        AccountVerifier::new(Arc::clone(&self.shared))
    }

    /// What looks for the servers of addresses.
    #[must_use]
    pub fn server_search(&self) -> ServerSearch {
        ServerSearch::new(Arc::clone(&self.shared))
    }

    /// What lets the owners of mailboxes consent.
    #[must_use]
    pub fn oauth_consents(&self) -> OAuthConsents {
        self.shared.consents()
    }

    /// What lets them consent on another device.
    #[must_use]
    pub fn device_consents(&self) -> DeviceConsents {
        DeviceConsents::new(Arc::clone(&self.shared))
    }
}

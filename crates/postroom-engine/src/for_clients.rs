//! What requests of clients ask of the engine at once, beside its own work.

use crate::supervisor::Supervisor;
use crate::verify::AccountVerifier;
use crate::webhooks::WebhookTester;
use std::sync::Arc;

impl Supervisor {
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
}

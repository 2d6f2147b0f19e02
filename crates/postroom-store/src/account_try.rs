//! The request to try the servers of an account at once.

use crate::error::Error;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use serde_json::json;

impl Store {
    /// Notes that somebody wants the account to be tried at once; `false`: there is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_try(&self, domain: &Domain, account: AccountId) -> Result<bool, Error> {
        let class = self.builtin(ACCOUNTS)?;
        if self.entity_get(domain, &class, account.into()).await?.is_none() {
            return Ok(false);
        }
        let now = Timestamp::from_ms(self.clock().now_ms()).to_string();
        let values = [("tryRequestedAt".to_owned(), json!(now))].into_iter().collect();
        self.records(domain, &class).tell(account.into(), &values).await?;
        self.reconfigured();
        Ok(true)
    }
}

//! The request to try the servers of an account at once.

use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::names;
use serde_json::json;

/// The result of a request to try an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TryRequest {
    /// The request is recorded.
    Noted,
    /// There is no such account.
    Missing,
    /// The account is disabled, so nothing is tried.
    Disabled,
}

impl Store {
    /// Records a request to try the account at once, and makes its pending messages due.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_try(
        &self,
        domain: &Domain,
        account: AccountId,
    ) -> Result<TryRequest, Error> {
        let class = self.builtin_of(domain, ACCOUNTS)?;
        let Some(found) = self.entity_get(domain, &class, account.into()).await? else {
            return Ok(TryRequest::Missing);
        };
        if !found.is_set(names::ENABLED) {
            return Ok(TryRequest::Disabled);
        }
        let sql = "UPDATE \"receipt\" SET \"next_attempt\" = $2 WHERE \"folder\" IN
              (SELECT \"id\" FROM \"email/Folders\" WHERE \"account_id\" = $1)
            AND \"reason\" IS NOT NULL AND \"message\" IS NULL AND \"next_attempt\" > $2";
        let now_ms = self.clock().now_ms();
        self.write(vec![Statement::new(sql).bind(account).bind(now_ms)]).await?;
        self.account_noted(domain, account).await?;
        Ok(TryRequest::Noted)
    }

    /// Records in an account that it is to be tried at once.
    pub(crate) async fn account_noted(
        &self,
        domain: &Domain,
        account: AccountId,
    ) -> Result<(), Error> {
        let class = self.builtin_of(domain, ACCOUNTS)?;
        let now = Timestamp::from_ms(self.clock().now_ms()).to_string();
        let values = [("tryRequestedAt".to_owned(), json!(now))].into_iter().collect();
        self.records(domain, &class).tell(account.into(), &values).await?;
        self.reconfigured();
        Ok(())
    }
}

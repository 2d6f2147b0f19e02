//! Deletes the messages of deleted accounts, if the client asked for that.
//!
//! A row of the table `purge` names such an account. It is written in the transaction that deletes
//! the account, so the work continues after a crash. Each message is deleted in a batch of its own,
//! with its row of the feed, so that others can write in between. A few batches run at once.

use crate::database::Lock;
use crate::database::Statement;
use crate::delete_terms::DeleteTerms;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;

/// How many ids are read together.
const PAGE: u32 = 200;
/// How many messages are deleted at the same time, so that a database can commit them together.
const AT_ONCE: usize = 8;

/// The statement that records that the messages of an account are to be deleted.
pub(crate) fn begin(domain: &Domain, account: AccountId) -> Statement {
    let sql = "INSERT INTO \"purge\" (\"account\", \"domain\") VALUES ($1, $2)
        ON CONFLICT (\"account\") DO NOTHING";
    Statement::new(sql).bind(account).bind(domain.as_str())
}

/// The condition that no account of this id exists. A client may have created one again.
fn is_gone(account: AccountId) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"email/Accounts\" WHERE \"id\" = $1)";
    Statement::new(sql)
        .bind(account)
        .assert(Failed::Exists { what: "the account".to_owned() }, Lock::row(ACCOUNTS, account))
}

impl Store {
    /// Begins to delete the messages of deleted accounts.
    pub(crate) fn purge_soon(&self) {
        let store = Self { lease: None, ..self.clone() };
        tokio::spawn(async move {
            if let Err(error) = store.purge().await {
                tracing::warn!(
                    %error,
                    "messages of a deleted account were not deleted; it is tried again"
                );
            }
        });
    }

    /// Deletes the messages of deleted accounts. A message that is being sent at this moment is
    /// deleted by a later call.
    ///
    /// # Errors
    ///
    /// When the store fails; a later call goes on.
    pub async fn purge(&self) -> Result<(), Error> {
        let all = Statement::new("SELECT \"account\", \"domain\" FROM \"purge\"");
        for row in self.read(all).await? {
            const DAMAGED: Error = Error::Damaged { what: "a deleted account" };
            let account = AccountId::of(row.id(0).ok_or(DAMAGED)?);
            let domain = row.text(1).and_then(|name| Domain::new(name).ok()).ok_or(DAMAGED)?;
            if self.purge_account(&domain, account).await? {
                let done = "DELETE FROM \"purge\" WHERE \"account\" = $1";
                self.write_at_need(vec![Statement::new(done).bind(account)]).await?;
            }
        }
        Ok(())
    }

    /// Deletes the messages of one account. Returns whether none is left.
    async fn purge_account(&self, domain: &Domain, account: AccountId) -> Result<bool, Error> {
        let mut behind = EntityId::nil();
        let mut is_empty = true;
        loop {
            let sql = "SELECT \"id\" FROM \"email/Messages\"
                WHERE \"account_id\" = $1 AND \"domain\" = $2 AND \"id\" > $3
                ORDER BY \"id\" LIMIT $4";
            let some = Statement::new(sql).bind(account).bind(domain.as_str());
            let rows = self.read(some.bind(behind).bind(PAGE)).await?;
            let ids: Vec<_> = rows.iter().filter_map(|row| row.id(0)).collect();
            let Some(last) = ids.last() else {
                return Ok(is_empty);
            };
            behind = *last;
            let deletions = ids.into_iter().map(|id| self.purge_one(domain, account, id));
            let mut deletions = stream::iter(deletions.collect::<Vec<_>>()).buffered(AT_ONCE);
            while let Some(deleted) = deletions.next().await {
                is_empty &= match deleted {
                    Ok(()) => true,
                    // It is being sent, or a required property of another entity refers to it. The
                    // others are deleted.
                    Err(Error::Condition(Failed::Sending | Failed::Crowded | Failed::Referred)) => {
                        false
                    }
                    // Its row is damaged, and stays. The others are deleted.
                    Err(Error::Damaged { .. }) => false,
                    Err(Error::Condition(Failed::Exists { .. })) => {
                        tracing::warn!(
                            %account,
                            "an account was created again while the messages of the former one of \
                             this id were being deleted; the rest of them stays"
                        );
                        return Ok(true);
                    }
                    Err(error) => return Err(error),
                };
            }
        }
    }

    async fn purge_one(
        &self,
        domain: &Domain,
        account: AccountId,
        id: EntityId,
    ) -> Result<(), Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let place = EntityPlace::new(domain, &class, id);
        let rules = vec![is_gone(account)];
        self.entity_delete_if(place, DeleteTerms::default(), rules).await.map(drop)
    }
}

//! Reads accounts with what belongs to them, in all domains.

use crate::account::AccountRow;
use crate::account::Secrets;
use crate::columns::domain;
use crate::columns::sealed_bytes;
use crate::columns::secret;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::oauth_app::AccountTokens;
use crate::oauth_app::OAuthApps;
use crate::saved::saved;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::OAuthAppId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use postroom_model::oauth::TokenSlot;
use serde_json::Value as Json;
use std::collections::HashMap;

/// An account with what it refers to.
struct Joined<'a> {
    account: Entity,
    profile: Entity,
    apps: &'a OAuthApps,
}

/// After so many rows of a long result, other tasks get a turn.
const ROWS_BETWEEN_YIELDS: usize = 100;

impl Store {
    /// All accounts of all domains, with their profiles, folders and secrets. Accounts without a
    /// profile are left out. Those of suspended domains are shown as disabled.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_list(&self) -> Result<Vec<AccountRow>, Error> {
        self.accounts_with("1=1").await
    }

    /// The same with only the enabled folders. A server may have very many mailboxes, and the
    /// engine does nothing for folders that are not enabled.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_list_enabled_folders(&self) -> Result<Vec<AccountRow>, Error> {
        self.accounts_with("\"enabled\"").await
    }

    async fn accounts_with(&self, which: &'static str) -> Result<Vec<AccountRow>, Error> {
        let accounts = self.builtin(ACCOUNTS)?;
        let profiles: HashMap<EntityId, Entity> = self
            .all(PROFILES)
            .await?
            .into_iter()
            .map(|(_, profile)| (profile.id, profile))
            .collect();
        let mut folders: HashMap<EntityId, Vec<Entity>> = HashMap::new();
        let class = self.builtin(FOLDERS)?;
        let sql = format!("{} WHERE {which}", Self::select(&class));
        let rows = self.read(Statement::new(sql)).await?;
        for (_, folder) in self.entities_of(&class, rows).await? {
            if let Some(account) = folder.reference(names::ACCOUNT_ID) {
                folders.entry(account).or_default().push(folder);
            }
        }
        let apps = self.oauth_apps().await?;
        let suspended = self.domains_suspended().await?;
        let mut found = vec![];
        let rows = self.read(Statement::new(Self::select(&accounts))).await?;
        self.keys_learn(&rows).await?;
        for row in rows {
            let Some(account) = self.readable(&accounts, &row)? else {
                continue;
            };
            let profile = account.reference(names::PROFILE_ID).and_then(|id| profiles.get(&id));
            let Some(profile) = profile else {
                continue;
            };
            let mut folders = folders.remove(&account.id).unwrap_or_default();
            folders.sort_by(|a, b| a.text(names::TITLE).cmp(&b.text(names::TITLE)));
            let found_row = self.account_row(
                &accounts,
                &row,
                Joined { account, profile: profile.clone(), apps: &apps },
            )?;
            let mut row = AccountRow { folders, ..found_row };
            if suspended.contains(row.domain.as_str()) {
                row.account.properties.insert(names::ENABLED.to_owned(), Json::Bool(false));
            }
            found.push(row);
        }
        Ok(found)
    }

    /// One account with its profile and secrets, without its folders. `None`: the account or its
    /// profile does not exist.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn account_find(&self, account: AccountId) -> Result<Option<AccountRow>, Error> {
        let (accounts, profiles) = (self.builtin(ACCOUNTS)?, self.builtin(PROFILES)?);
        let one = |class| Statement::new(format!("{} WHERE id = $1", Self::select(class)));
        let rows = self.read(one(&accounts).bind(account)).await?;
        self.keys_learn(&rows).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let account = self.entity_of(&accounts, row)?;
        let Some(profile) = account.reference(names::PROFILE_ID) else {
            return Ok(None);
        };
        let profile = self.read(one(&profiles).bind(profile)).await?;
        let profile = profile.first().map(|row| self.entity_of(&profiles, row)).transpose()?;
        let Some(profile) = profile else {
            return Ok(None);
        };
        let apps = TokenSlot::ALL.into_iter().filter_map(|slot| account.reference(slot.app()));
        let apps = self.oauth_apps_of(apps.map(OAuthAppId::of)).await?;
        self.account_row(&accounts, row, Joined { account, profile, apps: &apps }).map(Some)
    }

    /// An account without its folders.
    fn account_row(
        &self,
        class: &Class,
        row: &Row,
        joined: Joined<'_>,
    ) -> Result<AccountRow, Error> {
        let Joined { account, profile, apps } = joined;
        let of = |name| secret(&self.inner.keys, class, row, name);
        let secrets = Secrets {
            password: of("password"),
            smtp_password: of("smtpPassword"),
            proxy_password: None,
        };
        let sealed = ["password", "smtpPassword"].map(|name| sealed_bytes(class, row, name));
        let tokens = TokenSlot::ALL.map(|slot| {
            let app = OAuthAppId::of(account.reference(slot.app())?);
            let refresh_token = of(slot.refresh_token());
            let access_token = of(slot.access_token());
            Some(AccountTokens { app: apps.get(&app).cloned(), refresh_token, access_token })
        });
        let saved = saved(sealed, &account, &profile, &tokens);
        let (domain, folders) = (domain(row)?, vec![]);
        Ok(AccountRow { domain, account, profile, folders, secrets, tokens, saved })
    }

    pub(crate) async fn all(&self, class: &'static str) -> Result<Vec<(Domain, Entity)>, Error> {
        let class = self.builtin(class)?;
        let rows = self.read(Statement::new(Self::select(&class))).await?;
        self.entities_of(&class, rows).await
    }

    pub(crate) async fn entities_of(
        &self,
        class: &Class,
        rows: Vec<Row>,
    ) -> Result<Vec<(Domain, Entity)>, Error> {
        let mut found = Vec::with_capacity(rows.len());
        for (at, row) in rows.into_iter().enumerate() {
            if at % ROWS_BETWEEN_YIELDS == 0 {
                tokio::task::yield_now().await;
            }
            if let Some(entity) = self.readable(class, &row)? {
                found.push((domain(&row)?, entity));
            }
        }
        Ok(found)
    }
}

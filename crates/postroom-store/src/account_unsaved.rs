//! An account that is not stored, with its secrets, for those who try it first.

use crate::account::AccountRow;
use crate::account::Secrets;
use crate::columns::secret_place;
use crate::error::Error;
use crate::oauth_app::AccountTokens;
use crate::sealed::Sealed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use postroom_model::oauth::TokenSlot;
use serde_json::Value as Json;

impl Store {
    /// An account as if it were read. Its secrets are taken out of its values and sealed. Nothing
    /// is written.
    ///
    /// # Errors
    ///
    /// When the store was opened without the class of accounts.
    pub fn account_unsaved(
        &self,
        domain: &Domain,
        mut account: Entity,
        mut profile: Entity,
    ) -> Result<AccountRow, Error> {
        let (accounts, profiles) =
            (self.builtin_of(domain, ACCOUNTS)?, self.builtin_of(domain, PROFILES)?);
        let keys = &self.inner.keys;
        let sealed = |class: &Class, entity: &mut Entity, name: &str| {
            let Some(Json::String(text)) = entity.properties.remove(name) else {
                return None;
            };
            let place = secret_place(class, entity.id, name);
            let bytes = keys.seal(domain, &place, &text);
            Some(Sealed::new(keys, place, &bytes))
        };
        let secrets = Secrets {
            password: sealed(&accounts, &mut account, names::PASSWORD),
            smtp_password: sealed(&accounts, &mut account, names::SMTP_PASSWORD),
            proxy_password: sealed(&profiles, &mut profile, names::PROXY_PASSWORD),
        };
        let tokens = TokenSlot::ALL.map(|slot| {
            let refresh_token = sealed(&accounts, &mut account, slot.refresh_token());
            let access_token = sealed(&accounts, &mut account, slot.access_token());
            Some(AccountTokens { app: None, refresh_token, access_token })
        });
        let (domain, folders, saved) = (domain.clone(), vec![], [0; 16]);
        Ok(AccountRow { domain, account, profile, folders, secrets, tokens, saved })
    }
}

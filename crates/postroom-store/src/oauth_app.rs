//! OAuth apps, and the tokens that accounts have by them.

use crate::columns::secret;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::sealed::Sealed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::OAuthAppId;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::builtin::names;
use std::collections::HashMap;
use std::sync::Arc;

/// The OAuth apps that accounts may have.
pub(crate) type OAuthApps = HashMap<OAuthAppId, Arc<OAuthAppRow>>;

/// An OAuth app with its secret.
#[derive(Debug, Clone)]
pub struct OAuthAppRow {
    /// The app.
    pub app: Entity,
    /// Its secret at the provider.
    pub client_secret: Option<Sealed>,
    /// The key of its service account.
    pub private_key: Option<Sealed>,
}

/// The tokens of an account for one slot, sealed until they are used.
#[derive(Debug, Clone)]
pub struct AccountTokens {
    /// The app that they come by. `None`: it is gone.
    pub app: Option<Arc<OAuthAppRow>>,
    /// The refresh token.
    pub refresh_token: Option<Sealed>,
    /// The access token.
    pub access_token: Option<Sealed>,
}

impl Store {
    /// All OAuth apps of all domains.
    pub(crate) async fn oauth_apps(&self) -> Result<OAuthApps, Error> {
        let class = self.builtin(OAUTH_APPS)?;
        let rows = self.read(Statement::new(Self::select(&class))).await?;
        self.keys_learn(&rows).await?;
        rows.iter().map(|row| self.oauth_app(&class, row)).collect()
    }

    /// Those of these OAuth apps that are there.
    pub(crate) async fn oauth_apps_of(
        &self,
        wanted: impl IntoIterator<Item = OAuthAppId>,
    ) -> Result<OAuthApps, Error> {
        let class = self.builtin(OAUTH_APPS)?;
        let sql = format!("{} WHERE id = $1", Self::select(&class));
        let mut apps = OAuthApps::new();
        for id in wanted {
            let rows = self.read(Statement::new(sql.clone()).bind(EntityId::from(id))).await?;
            self.keys_learn(&rows).await?;
            for row in &rows {
                apps.extend([self.oauth_app(&class, row)?]);
            }
        }
        Ok(apps)
    }

    fn oauth_app(&self, class: &Class, row: &Row) -> Result<(OAuthAppId, Arc<OAuthAppRow>), Error> {
        let secret = |name| secret(&self.inner.keys, class, row, name);
        let (client_secret, private_key) =
            (secret(names::CLIENT_SECRET), secret(names::PRIVATE_KEY));
        let app = self.entity_of(class, row)?;
        let id = OAuthAppId::of(app.id);
        Ok((id, Arc::new(OAuthAppRow { app, client_secret, private_key })))
    }
}

//! The password of a profile at its proxy.

use crate::columns::secret;
use crate::database::Statement;
use crate::error::Error;
use crate::sealed::Sealed;
use crate::store::Store;
use postroom_model::ProfileId;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;

impl Store {
    /// The password at the proxy of a profile, sealed. `None`: it has none, or is gone.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn proxy_password(&self, profile: ProfileId) -> Result<Option<Sealed>, Error> {
        let class = self.builtin(PROFILES)?;
        let sql = format!("{} WHERE id = $1", Self::select(&class));
        let rows = self.read(Statement::new(sql).bind(profile)).await?;
        self.keys_learn(&rows).await?;
        let of = |row| secret(&self.inner.keys, &class, row, names::PROXY_PASSWORD);
        Ok(rows.first().and_then(of))
    }
}

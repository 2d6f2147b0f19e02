//! Tokens: who may see which domain. Only their hashes are kept.

use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use postroom_model::Domain;
use secrecy::ExposeSecret;
use secrecy::SecretString;

impl Store {
    /// Sets the token of a name in a domain; a former one is no longer valid.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_set(
        &self,
        domain: &Domain,
        name: &str,
        token: &SecretString,
    ) -> Result<(), Error> {
        let hash = self.inner.key.token_hash(token.expose_secret()).to_vec();
        let gone = "DELETE FROM \"token\" WHERE \"domain\" = $1 AND \"name\" = $2";
        let gone = Statement::new(gone).bind(domain.as_str()).bind(name);
        let put = "INSERT INTO \"token\" (\"hash\", \"domain\", \"name\") VALUES ($1, $2, $3)";
        let put = Statement::new(put).bind(hash).bind(domain.as_str()).bind(name);
        self.write(vec![gone, put]).await.map(drop)
    }

    /// Whether a name in a domain has a token.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_exists(&self, domain: &Domain, name: &str) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM \"token\" WHERE \"domain\" = $1 AND \"name\" = $2";
        let statement = Statement::new(sql).bind(domain.as_str()).bind(name);
        Ok(!self.read(statement).await?.is_empty())
    }

    /// The domain that a token may see; `None` when it is not valid.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_verify(&self, token: &str) -> Result<Option<Domain>, Error> {
        let hash = self.inner.key.token_hash(token).to_vec();
        let sql = "SELECT \"domain\" FROM \"token\" WHERE \"hash\" = $1";
        let rows = self.read(Statement::new(sql).bind(hash)).await?;
        Ok(rows.first().and_then(|row| row.text(0)).and_then(|name| Domain::new(name).ok()))
    }
}

//! Tokens: each gives access to one domain. Only their hashes are stored.

use crate::bell::Topic;
use crate::database::Statement;
use crate::error::Error;
use crate::modifier::Bearer;
use crate::modifier::KnownTokens;
use crate::store::Store;
use postroom_model::Domain;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::collections::HashMap;

impl Store {
    /// Sets the token of a name in a domain. The former token of that name is no longer valid. If
    /// the token is set already, nothing is written, so that a start on a full disk needs no space.
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
        // Who verifies meanwhile waits, and reads the tokens anew.
        let mut known = self.inner.tokens.write().await;
        *known = None;
        let same =
            "SELECT 1 FROM \"token\" WHERE \"domain\" = $1 AND \"name\" = $2 AND \"hash\" = $3";
        let same = Statement::new(same).bind(domain.as_str()).bind(name).bind(hash.clone());
        if !self.read(same).await?.is_empty() {
            return Ok(());
        }
        // Several processes may set the same one when they start.
        let put = "INSERT INTO \"token\" (\"hash\", \"domain\", \"name\") VALUES ($1, $2, $3)
            ON CONFLICT (\"domain\", \"name\") DO UPDATE SET \"hash\" = excluded.\"hash\"";
        let put = Statement::new(put).bind(hash).bind(domain.as_str()).bind(name);
        self.write_at_need(vec![put]).await?;
        self.inner.database.ring(Topic::Tokens);
        Ok(())
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

    /// The holder of a token. `None`: the token is not valid. The hashes are in memory, so that
    /// wrong tokens cost little. They are read again when tokens were set, and at least once a
    /// minute.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_verify(&self, token: &str) -> Result<Option<Bearer>, Error> {
        let hash = self.inner.key.token_hash(token);
        let is_new = |known: &&KnownTokens| !known.news.has_rung();
        if let Some(known) = self.inner.tokens.read().await.as_ref().filter(is_new) {
            return Ok(known.by_hash.get(hash.as_slice()).cloned());
        }
        let mut known = self.inner.tokens.write().await;
        // It listens before it reads, so that nothing is missed in between.
        let news = self.inner.database.listen(Topic::Tokens);
        let sql = "SELECT \"hash\", \"domain\", \"name\" FROM \"token\"";
        let rows = self.read(Statement::new(sql)).await?;
        let mut by_hash = HashMap::new();
        for row in rows {
            let domain = row.text(1).and_then(|name| Domain::new(name).ok());
            let (Some(hash), Some(domain), Some(name)) = (row.bytes(0), domain, row.text(2)) else {
                return Err(Error::Damaged { what: "a token" });
            };
            by_hash.insert(hash.to_vec(), Bearer { domain, name: name.to_owned() });
        }
        let found = by_hash.get(hash.as_slice()).cloned();
        *known = Some(KnownTokens { by_hash, news });
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::store;
    use postroom_testkit::TestDatabase;
    use postroom_testkit::on_both;

    /// Another number after each change of the token.
    async fn changes(store: &Store, sqlite: Option<&rusqlite::Connection>) -> i64 {
        if let Some(sqlite) = sqlite {
            // After each commit of somebody else.
            return sqlite.pragma_query_value(None, "data_version", |row| row.get(0)).unwrap();
        }
        let sql = "SELECT CAST(CAST(xmin AS TEXT) AS BIGINT) FROM \"token\"";
        store.read(Statement::new(sql)).await.unwrap()[0].whole(0).unwrap()
    }

    #[on_both]
    async fn a_token_that_is_set_already_is_not_written_again() {
        let (directory, store) = store().await;
        let domain = Domain::default_domain();
        let (first, second) = (SecretString::from("first"), SecretString::from("second"));
        store.token_set(&domain, "admin", &first).await.unwrap();
        let file = directory.path().join(crate::DATABASE_FILE);
        let is_sqlite = TestDatabase::present() == TestDatabase::Sqlite;
        let sqlite = is_sqlite.then(|| rusqlite::Connection::open(file).unwrap());
        let before = changes(&store, sqlite.as_ref()).await;
        store.token_set(&domain, "admin", &first).await.unwrap();
        assert_eq!(changes(&store, sqlite.as_ref()).await, before);
        let admin = Some(Bearer { domain: domain.clone(), name: "admin".to_owned() });
        assert_eq!(store.token_verify("first").await.unwrap(), admin);
        store.token_set(&domain, "admin", &second).await.unwrap();
        assert_ne!(changes(&store, sqlite.as_ref()).await, before);
        assert_eq!(store.token_verify("first").await.unwrap(), None);
        assert_eq!(store.token_verify("second").await.unwrap(), admin);
    }
}

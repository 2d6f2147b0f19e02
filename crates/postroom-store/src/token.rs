//! Tokens: each gives access to one domain. Only their hashes are stored.
//!
//! The administrator's token is in the table `token`. All others are entities of `iam/Tokens`.

use crate::bell::Topic;
use crate::columns;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::made::Made;
use crate::modifier::Bearer;
use crate::modifier::KnownToken;
use crate::modifier::KnownTokens;
use crate::modifier::TokenHash;
use crate::store::Store;
use crate::untold;
use crate::untold::SealedAnew;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Rights;
use postroom_model::Timestamp;
use postroom_model::TokenRole;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::names;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::collections::HashMap;
use std::sync::Arc;

/// How many tokens are in memory. Beyond that, all are forgotten, and read when they are used.
const KNOWN_MAX: usize = 10_000;
/// The uses of how many tokens are written in one transaction.
const USES_AT_ONCE: usize = 100;

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
        let hash = self.inner.keys.token_hash(token.expose_secret()).to_vec();
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
        let put = put.makes(Made::other(domain));
        self.write_at_need(vec![put]).await?;
        self.inner.database.ring(Topic::Tokens);
        Ok(())
    }

    /// Sets the token of a name in a domain, if that has none. Gives whether it was set: of several
    /// processes that do so at once, one does.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_make(
        &self,
        domain: &Domain,
        name: &str,
        token: &SecretString,
    ) -> Result<bool, Error> {
        let hash = self.inner.keys.token_hash(token.expose_secret()).to_vec();
        let put = "INSERT INTO \"token\" (\"hash\", \"domain\", \"name\") VALUES ($1, $2, $3)
            ON CONFLICT (\"domain\", \"name\") DO NOTHING";
        let put = Statement::new(put).bind(hash).bind(domain.as_str()).bind(name);
        let put = put.makes(Made::other(domain));
        let put = self.write_at_need(vec![put]).await?;
        self.inner.database.ring(Topic::Tokens);
        Ok(put.first().is_some_and(|put| put.changed > 0))
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

    /// The holder of a token. `None`: the token is not valid. Valid ones are in memory after their
    /// first use. They are read again when tokens were changed, and at least once a minute.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn token_verify(&self, token: &str) -> Result<Option<Bearer>, Error> {
        let now_ms = self.clock().now_ms();
        let hash = self.inner.keys.token_hash(token);
        let known = match self.token_known(hash).await? {
            None => self.token_of_earlier(token).await?,
            known => known,
        };
        let known = known.filter(|known| known.ends_ms.is_none_or(|end_ms| now_ms < end_ms));
        let known = match known {
            Some(known) if known.used_ms.is_some() => self.session_used(hash, known).await?,
            known => known,
        };
        let bearer = known.map(|known| known.bearer);
        if let Some(id) = bearer.as_ref().and_then(|bearer| bearer.token) {
            self.inner.token_uses.note(id, now_ms);
        }
        Ok(bearer)
    }

    /// A token whose hash an earlier version made. From now on it has a hash of this version.
    async fn token_of_earlier(&self, token: &str) -> Result<Option<KnownToken>, Error> {
        let Some(former) = self.inner.keys.former_token_hash(token) else {
            return Ok(None);
        };
        let Some(found) = self.token_find(&former).await? else {
            return Ok(None);
        };
        let (former, now) = (former.to_vec(), self.inner.keys.token_hash(token).to_vec());
        let anew = match found.bearer.token {
            Some(id) => {
                let class = self.builtin(TOKENS)?;
                let anew = |property: &'static str| {
                    let (former, now) = (former.clone(), now.clone());
                    untold::seal_anew(&class, id, SealedAnew { property, former, now })
                };
                [names::TOKEN, names::FORMER_TOKEN].map(anew).to_vec()
            }
            None => {
                let sql = "UPDATE \"token\" SET \"hash\" = $2 WHERE \"hash\" = $1";
                vec![Statement::new(sql).bind(former).bind(now)]
            }
        };
        // The token is good in any case. Its next use tries again.
        if let Err(error) = self.write_at_need(anew).await {
            tracing::warn!(%error, "a token was not hashed anew with the key of this database");
        }
        Ok(Some(found))
    }

    /// The token of a hash, whether it has ended or not.
    async fn token_known(&self, hash: TokenHash) -> Result<Option<KnownToken>, Error> {
        let is_new = |known: &&KnownTokens| !known.news.has_rung();
        if let Some(known) = self.inner.tokens.read().await.as_ref().filter(is_new)
            && let Some(known) = known.by_hash.get(&hash)
        {
            return Ok(Some(known.clone()));
        }
        // It listens before it reads, so that nothing is missed in between.
        let news = self.inner.database.listen(Topic::Tokens);
        let Some(found) = self.token_find(&hash).await? else {
            return Ok(None);
        };
        let mut known = self.inner.tokens.write().await;
        if news.has_rung() {
            return Ok(Some(found));
        }
        match known.as_mut().filter(|known| !known.news.has_rung()) {
            Some(known) => {
                if known.by_hash.len() >= KNOWN_MAX {
                    known.by_hash.clear();
                }
                known.by_hash.insert(hash, found.clone());
            }
            None => {
                let by_hash = HashMap::from([(hash, found.clone())]);
                *known = Some(KnownTokens { by_hash, news });
            }
        }
        Ok(Some(found))
    }

    /// Reads the token or the session of a hash.
    async fn token_find(&self, hash: &TokenHash) -> Result<Option<KnownToken>, Error> {
        match self.token_listed(hash).await? {
            None => self.session_find(hash).await,
            found => Ok(found),
        }
    }

    /// Reads the token of a hash, if it is enabled and no session, whether it has ended or not.
    pub(crate) async fn token_listed(&self, hash: &TokenHash) -> Result<Option<KnownToken>, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a token" };
        let sql = "SELECT \"domain\", \"name\" FROM \"token\" WHERE \"hash\" = $1";
        let rows = self.read(Statement::new(sql).bind(hash.to_vec())).await?;
        if let Some(row) = rows.first() {
            let name = row.text(1).ok_or(DAMAGED)?.to_owned();
            let rights = Arc::new(Rights::Role(TokenRole::Admin));
            let domain = columns::domain(row)?;
            let is_suspended = self.domain_is_suspended(&domain).await?;
            let bearer = Bearer { domain, name, token: None, user: None, rights, is_suspended };
            return Ok(Some(KnownToken { bearer, ends_ms: None, used_ms: None }));
        }
        let class = self.builtin(TOKENS)?;
        let sql = format!("{} WHERE \"token\" = $1 AND \"enabled\"", Self::select(&class));
        let mut rows = self.read(Statement::new(sql).bind(hash.to_vec()).of_class(&*class)).await?;
        let is_former = rows.is_empty();
        if is_former {
            let sql =
                format!("{} WHERE \"formerToken\" = $1 AND \"enabled\"", Self::select(&class));
            let former = Statement::new(sql).bind(hash.to_vec()).of_class(&*class);
            rows = self.read(former).await?;
        }
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (domain, token) = (columns::domain(row)?, self.entity_of(&class, row)?);
        let Ok(rights) = Rights::of_token(&token) else {
            // Another version wrote rights that this one does not know: it must allow nothing.
            tracing::error!(token = %token.id, "the rights of a token are not understood");
            return Ok(None);
        };
        let name = token.text(names::NAME).ok_or(DAMAGED)?.to_owned();
        let moment = |name: &str| {
            let moment = token.text(name).map(Timestamp::parse).transpose();
            moment.map(|moment| moment.map(Timestamp::as_ms)).map_err(|_| DAMAGED)
        };
        let mut ends_ms = moment(names::EXPIRES_AT)?;
        if is_former {
            // Without a moment it has ended.
            let until_ms = moment(names::FORMER_TOKEN_UNTIL)?.unwrap_or(i64::MIN);
            ends_ms = Some(ends_ms.map_or(until_ms, |end_ms| end_ms.min(until_ms)));
        }
        let (token, rights) = (Some(token.id), Arc::new(rights));
        let is_suspended = self.domain_is_suspended(&domain).await?;
        let bearer = Bearer { domain, name, token, user: None, rights, is_suspended };
        Ok(Some(KnownToken { bearer, ends_ms, used_ms: None }))
    }

    /// Writes when tokens were used. The feed does not tell it.
    ///
    /// # Errors
    ///
    /// When the store fails. The times are lost then, and later ones follow.
    pub(crate) async fn token_uses_write(&self) -> Result<(), Error> {
        let class = self.builtin(TOKENS)?;
        for some in self.inner.token_uses.take().chunks(USES_AT_ONCE) {
            let used = |(token, at_ms): &(EntityId, i64)| {
                let at = vec![(names::LAST_USED_AT, Value::Moment(*at_ms))];
                untold::set(&class, *token, at)
            };
            self.write(some.iter().map(used).collect()).await?;
        }
        Ok(())
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
    async fn of_two_who_make_the_token_of_a_name_one_does() {
        let (_directory, store) = store().await;
        let domain = Domain::default_domain();
        let (first, second) = (SecretString::from("first"), SecretString::from("second"));
        let made = tokio::join!(
            store.token_make(&domain, "admin", &first),
            store.token_make(&domain, "admin", &second)
        );
        let made = [made.0.unwrap(), made.1.unwrap()];
        let mut valid = vec![];
        for token in ["first", "second"] {
            valid.push(store.token_verify(token).await.unwrap().is_some());
        }
        assert_eq!(made.to_vec(), valid, "who is told so has the token");
        assert_eq!(valid.iter().filter(|is_valid| **is_valid).count(), 1);
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
        let admin = store.token_verify("first").await.unwrap();
        assert_eq!(admin.as_ref().map(|admin| (&admin.domain, admin.token)), Some((&domain, None)));
        store.token_set(&domain, "admin", &second).await.unwrap();
        assert_ne!(changes(&store, sqlite.as_ref()).await, before);
        assert_eq!(store.token_verify("first").await.unwrap(), None);
        assert_eq!(store.token_verify("second").await.unwrap(), admin);
    }
}

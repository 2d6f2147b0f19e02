//! The configuration of all instances, with its former versions.
//!
//! A version never changes. The next one is written only if nobody has written one meanwhile. The
//! secrets of a document are sealed before they are stored. Only the password of the proxy for all
//! connections is ever opened.
//!
//! Reads and writes `configuration`.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::keyring::KeyNumber;
use crate::store::Store;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use postroom_model::Configuration;
use postroom_model::Domain;
use postroom_model::Timestamp;
use postroom_model::each_secret;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;

/// How many versions are kept.
const VERSIONS_KEPT: i64 = 1000;
/// What a secret is sealed for, and what is locked while a version is written.
const PLACE: &str = "configuration";

/// Who wrote a version, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigurationVersion {
    /// Its number, from 1 on.
    pub number: i64,
    /// When it was written, in milliseconds since 1970.
    pub at_ms: i64,
    /// The domain of the token of its author.
    pub domain: Domain,
    /// The name of that token.
    pub author: String,
    /// The version that it brought back. `None`: it is a change.
    pub restored: Option<i64>,
}

impl ConfigurationVersion {
    /// The version as clients see it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        json!({
            "version": self.number,
            "at": Timestamp::from_ms(self.at_ms).to_string(),
            "author": {"domain": self.domain.as_str(), "name": self.author},
            "restored": self.restored,
        })
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        Ok(Self {
            number: row.whole(0).ok_or(DAMAGED)?,
            at_ms: row.whole(1).ok_or(DAMAGED)?,
            domain: row.text(2).and_then(|name| Domain::new(name).ok()).ok_or(DAMAGED)?,
            author: row.text(3).ok_or(DAMAGED)?.to_owned(),
            restored: row.whole(4),
        })
    }
}

const DAMAGED: Error = Error::Damaged { what: "a version of the configuration" };

/// A version with its document.
#[derive(Debug, Clone, PartialEq)]
pub struct KeptConfiguration {
    /// Its version. `None`: nobody has written one, and the document is empty.
    pub version: Option<ConfigurationVersion>,
    /// The document. Its secrets are sealed.
    pub configuration: Configuration,
}

impl KeptConfiguration {
    /// The number of the version. 0: nobody has written one.
    #[must_use]
    pub fn number(&self) -> i64 {
        self.version.as_ref().map_or(0, |version| version.number)
    }

    fn from_row(row: &Row) -> Result<Self, Error> {
        let document = row.text(5).and_then(|text| serde_json::from_str(text).ok());
        let configuration = Configuration::stored(document.ok_or(DAMAGED)?);
        Ok(Self { version: Some(ConfigurationVersion::from_row(row)?), configuration })
    }
}

/// The next version.
#[derive(Debug, Clone, PartialEq)]
pub struct NextConfiguration<'a> {
    /// The number of the version that it changes.
    pub after: i64,
    /// The domain of its author.
    pub domain: &'a Domain,
    /// The name of the token of its author.
    pub author: &'a str,
    /// The version that it brings back. `None`: it is a change.
    pub restored: Option<i64>,
    /// The document. Secrets that are texts are sealed.
    pub configuration: &'a Configuration,
}

const SELECT: &str = "SELECT \"number\", \"at\", \"domain\", \"author\", \"restored\", \
    \"document\" FROM \"configuration\"";

impl Store {
    /// The present configuration.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn configuration(&self) -> Result<KeptConfiguration, Error> {
        let newest = format!("{SELECT} ORDER BY \"number\" DESC LIMIT 1");
        let rows = self.read(Statement::new(newest)).await?;
        let none = || KeptConfiguration { version: None, configuration: Configuration::default() };
        rows.first().map_or_else(|| Ok(none()), KeptConfiguration::from_row)
    }

    /// A version of the configuration. `None`: it is no longer kept, or was never written.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn configuration_version(
        &self,
        number: i64,
    ) -> Result<Option<KeptConfiguration>, Error> {
        let one = format!("{SELECT} WHERE \"number\" = $1");
        let rows = self.read(Statement::new(one).bind(number)).await?;
        rows.first().map(KeptConfiguration::from_row).transpose()
    }

    /// The kept versions, the newest first, without their documents. `limit`: how many at most.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn configuration_list(&self, limit: u32) -> Result<Vec<ConfigurationVersion>, Error> {
        let sql = "SELECT \"number\", \"at\", \"domain\", \"author\", \"restored\"
            FROM \"configuration\" ORDER BY \"number\" DESC LIMIT $1";
        let rows = self.read(Statement::new(sql).bind(limit)).await?;
        rows.iter().map(ConfigurationVersion::from_row).collect()
    }

    /// The password at the proxy for all connections, opened. `None`: there is none.
    ///
    /// # Errors
    ///
    /// [`Error::Damaged`] when it was not sealed with the key of this store.
    pub fn configured_proxy_password(
        &self,
        configuration: &Configuration,
    ) -> Result<Option<SecretString>, Error> {
        let Some(kept) = configuration.sealed_proxy_password() else { return Ok(None) };
        let sealed = kept.get("sealed").and_then(Json::as_str);
        let sealed = sealed.and_then(|text| BASE64_STANDARD.decode(text).ok());
        self.inner.keys.open(PLACE, &sealed.ok_or(DAMAGED)?).map(Some)
    }

    /// Writes the next version, and forgets the oldest ones if there are very many.
    ///
    /// # Errors
    ///
    /// [`Failed::Stale`] when another version was written after `next.after`.
    pub async fn configuration_write(
        &self,
        next: NextConfiguration<'_>,
    ) -> Result<KeptConfiguration, Error> {
        let (mut document, mut keys) = (next.configuration.to_json(), vec![]);
        each_secret(&mut document, &mut |secret| {
            if let Json::String(text) = secret {
                let sealed = self.inner.keys.seal(&Domain::master(), PLACE, text);
                keys.extend(KeyNumber::of(&sealed));
                *secret = json!({"sealed": BASE64_STANDARD.encode(sealed)});
            }
            Ok::<_, Error>(())
        })?;
        let version = ConfigurationVersion {
            number: next.after + 1,
            at_ms: self.clock().now_ms(),
            domain: next.domain.clone(),
            author: next.author.to_owned(),
            restored: next.restored,
        };
        let newer = "SELECT 1 WHERE NOT EXISTS
            (SELECT 1 FROM \"configuration\" WHERE \"number\" > $1)";
        let newest = Statement::new(newer).bind(next.after);
        let newest = newest.assert(Failed::Stale, Lock::Name(PLACE));
        let sql = "INSERT INTO \"configuration\"
              (\"number\", \"at\", \"domain\", \"author\", \"restored\", \"document\")
            VALUES ($1, $2, $3, $4, $5, $6)";
        let insert = Statement::new(sql)
            .bind(version.number)
            .bind(Value::Moment(version.at_ms))
            .bind(version.domain.as_str())
            .bind(version.author.as_str())
            .bind(version.restored)
            .bind(document.to_string())
            .sealed_with(keys);
        let old = "DELETE FROM \"configuration\" WHERE \"number\" <= $1";
        let old = Statement::new(old).bind(version.number - VERSIONS_KEPT);
        let entry = AuditEntry::of(AuditEvent::Configure);
        let told = json!({"version": version.number, "restored": version.restored});
        let mut batch = vec![newest, insert, old];
        batch.extend(self.audited_for_all(&entry.with(told)));
        self.write(batch).await?;
        self.inner.database.ring(Topic::Settings);
        let Json::Object(members) = document else { return Err(DAMAGED) };
        let configuration = Configuration::stored(members);
        Ok(KeptConfiguration { version: Some(version), configuration })
    }
}

/// A document whose secrets are sealed anew.
pub(crate) struct DocumentAnew {
    /// Its text.
    pub document: String,
    /// The keys that its secrets are sealed with.
    pub keys: Vec<KeyNumber>,
}

/// The document with other bytes for its sealed secrets, where `anew` gives any for a place and
/// bytes. `None`: it stays as it is.
pub(crate) fn sealed_anew(
    document: &str,
    mut anew: impl FnMut(&str, &[u8]) -> Option<Vec<u8>>,
) -> Result<Option<DocumentAnew>, Error> {
    let mut json: Json = serde_json::from_str(document).map_err(|_| DAMAGED)?;
    let mut keys = vec![];
    each_secret(&mut json, &mut |secret| {
        let text = secret.get("sealed").and_then(Json::as_str);
        let bytes = text.map(|text| BASE64_STANDARD.decode(text)).transpose();
        let bytes = bytes.map_err(|_| DAMAGED)?;
        if let Some(now) = bytes.and_then(|bytes| anew(PLACE, &bytes)) {
            keys.extend(KeyNumber::of(&now));
            *secret = json!({"sealed": BASE64_STANDARD.encode(now)});
        }
        Ok::<_, Error>(())
    })?;
    let document = (!keys.is_empty()).then(|| json.to_string());
    Ok(document.map(|document| DocumentAnew { document, keys }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::Two;
    use crate::fixture::store;
    use postroom_testkit::on_both;
    use std::num::NonZeroU32;
    use std::time::Duration;

    fn configured(json: &Json) -> Configuration {
        Configuration::default().patched(json).unwrap()
    }

    async fn write(store: &Store, after: i64, json: &Json) -> Result<i64, Error> {
        let (domain, configuration) = (Domain::master(), &configured(json));
        let next = NextConfiguration {
            after,
            domain: &domain,
            author: "ops",
            restored: None,
            configuration,
        };
        store.configuration_write(next).await.map(|kept| kept.number())
    }

    #[on_both]
    async fn versions_are_kept_in_their_order_with_their_authors() {
        let (_directory, store) = store().await;
        let none = store.configuration().await.unwrap();
        assert_eq!((none.number(), &none.configuration), (0, &Configuration::default()));
        for at in 0..3 {
            let json = json!({"limits": {"requestsPerSecond": at + 1}});
            assert_eq!(write(&store, at, &json).await.unwrap(), at + 1);
        }
        let newest = store.configuration().await.unwrap();
        assert_eq!(newest.configuration.requests_per_second(), NonZeroU32::new(3));
        let list = store.configuration_list(2).await.unwrap();
        let list: Vec<_> = list.iter().map(|one| (one.number, one.author.as_str())).collect();
        assert_eq!(list, [(3, "ops"), (2, "ops")]);
        let first = store.configuration_version(1).await.unwrap().unwrap();
        assert_eq!(first.configuration.requests_per_second(), NonZeroU32::new(1));
        assert_eq!(store.configuration_version(9).await.unwrap(), None);
    }

    #[on_both]
    async fn of_many_who_change_the_same_version_one_does() {
        let two = Two::open().await;
        let both = (0..20).map(|at| {
            let store = [&two.one, &two.other][at % 2].clone();
            tokio::spawn(async move {
                write(&store, 0, &json!({"retention": {"feedDays": at + 1}})).await
            })
        });
        let mut written = 0;
        for one in both.collect::<Vec<_>>() {
            match one.await.unwrap() {
                Ok(number) => {
                    assert_eq!(number, 1);
                    written += 1;
                }
                Err(error) => assert!(matches!(error, Error::Condition(Failed::Stale)), "{error}"),
            }
        }
        assert_eq!(written, 1);
        assert_eq!(two.one.configuration_list(9).await.unwrap().len(), 1);
    }

    #[on_both]
    async fn every_process_hears_of_a_change() {
        let two = Two::open().await;
        let mut listener = two.other.listen(Topic::Settings);
        write(&two.one, 0, &json!({"log": {"level": "info"}})).await.unwrap();
        // Without a ring it would look again after a minute.
        let heard = tokio::time::timeout(Duration::from_secs(20), listener.rung()).await;
        heard.expect("a ring");
        assert_eq!(two.other.configuration().await.unwrap().number(), 1);
    }

    #[on_both]
    async fn secrets_are_sealed_before_they_are_stored() {
        let (_directory, store) = store().await;
        let role = json!({"name": "w", "roletype": "web", "apiKey": "canary-secret"});
        write(&store, 0, &json!({"roles": [role]})).await.unwrap();
        let rows = store.read(Statement::new("SELECT \"document\" FROM \"configuration\"")).await;
        let rows = rows.unwrap();
        let stored = rows[0].text(0).unwrap();
        assert!(stored.contains("apiKey") && !stored.contains("canary"), "{stored}");
        let kept = store.configuration().await.unwrap().configuration;
        assert!(!kept.to_json().to_string().contains("canary"));
        // It is sealed once: the next version has the same.
        let next = kept.patched(&json!({"log": {"level": "info"}})).unwrap();
        assert_eq!(next.to_json()["roles"], kept.to_json()["roles"]);
        let sealed = kept.to_json()["roles"][0]["apiKey"]["sealed"].as_str().unwrap().to_owned();
        let sealed = BASE64_STANDARD.decode(sealed).unwrap();
        let opened = store.inner.keys.open(PLACE, &sealed).unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), "canary-secret");
    }

    #[on_both]
    async fn the_password_of_the_proxy_alone_is_opened() {
        let (_directory, store) = store().await;
        let proxy = json!({"proxy": "http://p.test:1", "proxyLogin": "a", "proxyPassword": "hush"});
        write(&store, 0, &json!({"outgoing": proxy})).await.unwrap();
        let kept = store.configuration().await.unwrap().configuration;
        assert!(!kept.to_json().to_string().contains("hush"));
        let opened = store.configured_proxy_password(&kept).unwrap().unwrap();
        assert_eq!(secrecy::ExposeSecret::expose_secret(&opened), "hush");
        let none = store.configured_proxy_password(&Configuration::default()).unwrap();
        assert!(none.is_none());
        let sealed = json!({"sealed": "AAAA"});
        let odd = json!({"proxy": "http://p.test:1", "proxyLogin": "a", "proxyPassword": sealed});
        let odd = json!({"outgoing": odd}).as_object().unwrap().clone();
        let odd = Configuration::new(odd).unwrap();
        assert!(store.configured_proxy_password(&odd).is_err());
    }

    #[on_both]
    async fn the_oldest_of_very_many_versions_are_forgotten() {
        let (_directory, store) = store().await;
        write(&store, 0, &json!({})).await.unwrap();
        let later = VERSIONS_KEPT + 5;
        let renumber = "UPDATE \"configuration\" SET \"number\" = $1";
        store.write(vec![Statement::new(renumber).bind(later)]).await.unwrap();
        assert_eq!(write(&store, later, &json!({})).await.unwrap(), later + 1);
        // It was forgotten, and nobody can write it again.
        let again = write(&store, 3, &json!({})).await;
        assert!(matches!(again, Err(Error::Condition(Failed::Stale))), "{again:?}");
        write(&store, later + 1, &json!({})).await.unwrap();
        let renumber = "UPDATE \"configuration\" SET \"number\" = 1 WHERE \"number\" = $1";
        store.write(vec![Statement::new(renumber).bind(later)]).await.unwrap();
        write(&store, later + 2, &json!({})).await.unwrap();
        assert_eq!(store.configuration_version(1).await.unwrap(), None);
    }
}

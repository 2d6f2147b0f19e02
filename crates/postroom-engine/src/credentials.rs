//! Where the login of a connection comes from. A source is asked each time a connection logs in, so
//! that a new password or token takes effect at the next login.
//!
//! The source is asked before the connection is dialled: a source that is slow holds up its own
//! account, and no other account of the same server.

use crate::account::Account;
use crate::account::ServerKind;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::builtin::names;
use postroom_model::fingerprint;
use postroom_model::oauth::TokenSlot;
use postroom_net::Credentials;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_store::AccountRow;
use postroom_store::Store;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

/// No source makes an account wait for longer than this at once.
const PATIENCE_LONGEST: Duration = Duration::from_secs(3600);

/// The login that a connection needs. Two requests are equal if the same secret may be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct CredentialRequest {
    /// The tenant.
    pub domain: Domain,
    /// The account.
    pub account: AccountId,
    /// The server of the account that asks for the login.
    pub server: ServerKind,
    /// The address of that server. The secret is sent there, and must be meant for it.
    pub endpoint: Endpoint,
    /// The fingerprints that its certificate must have. Empty: any trusted certificate.
    pub fingerprints: Vec<[u8; fingerprint::OCTETS]>,
    /// The name to log in with.
    pub login: String,
    /// Whether an access token is wanted, and no password.
    pub is_oauth: bool,
    /// The tokens of the account that are wanted. `None`: what is stored as its password.
    pub tokens: Option<TokenSlot>,
}

impl CredentialRequest {
    /// The login that an account needs. `None`: the account has no such server.
    pub(crate) fn of(account: &Account, server: ServerKind) -> Option<Self> {
        let at = account.server(server)?;
        Some(Self {
            domain: account.domain.clone(),
            account: account.id,
            server,
            endpoint: at.endpoint.clone(),
            fingerprints: account.fingerprints.clone(),
            login: at.login.name.clone(),
            is_oauth: at.login.is_oauth,
            tokens: at.login.tokens,
        })
    }

    /// Whether the account of a row has this request now.
    #[must_use]
    pub(crate) fn is_of(&self, row: &AccountRow) -> bool {
        Self::of(&Account::from_row(row), self.server).as_ref() == Some(self)
    }
}

/// The answer of a source, some time later.
pub type CredentialAnswer<'a> =
    Pin<Box<dyn Future<Output = Result<Credentials, CredentialError>> + Send + 'a>>;

/// Gives the login of an account at one of its servers.
///
/// It is asked for each login, so it has to keep what is expensive to get. What it gives must be
/// valid for a few minutes, because the connection may have to wait for its turn to dial. Dropping
/// the answer before it is ready must lose nothing.
pub trait CredentialSource: fmt::Debug + Send + Sync {
    /// Gives the login.
    fn get<'a>(&'a self, request: &'a CredentialRequest) -> CredentialAnswer<'a>;

    /// Hears that the server refused what was given. Gives whether it is worth asking again at
    /// once, because there may be something else.
    fn refused(&self, _request: &CredentialRequest, _credentials: &Credentials) -> bool {
        false
    }
}

/// Who has a secret.
fn whose(property: &str) -> &'static str {
    if [names::PRIVATE_KEY, names::CLIENT_SECRET].contains(&property) {
        "the OAuth app"
    } else {
        "the account"
    }
}

/// Why there is no login. The texts are shown to people, so they must not contain secrets.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// Nobody has set one.
    #[error("the account has no password: set `password`")]
    Missing,
    /// It is stored, but cannot be decrypted.
    #[error(
        "the stored `{property}` of {} cannot be decrypted, so nothing was sent to the server: \
         save `{property}` again",
        whose(property)
    )]
    Unreadable {
        /// The property that holds it.
        property: &'static str,
        /// Why.
        #[source]
        source: postroom_store::Error,
    },
    /// It cannot be had now. The server was not asked, so this is no wrong login.
    #[error("the login of the account cannot be had now, so the server was not asked: {reason}")]
    Temporary {
        /// Why.
        reason: String,
        /// How long to wait before the next attempt, if the source knows.
        after: Option<Duration>,
    },
    /// It cannot be had until a person does something.
    #[error("{reason}")]
    NeedsPerson {
        /// What is wrong, and who has to do what.
        reason: String,
    },
    /// The account has another server or login now.
    #[error("the account was changed meanwhile")]
    Changed,
}

impl CredentialError {
    /// A server does not take an access token, and a new one would be the same.
    #[must_use]
    pub(crate) fn token_refused(words: &dyn fmt::Display) -> Self {
        let reason = format!(
            "the server refuses the access token of the account: {words}; let its login be the \
             mailbox whose owner consented, check the scopes of the OAuth app, and whether this \
             mailbox may use the protocol"
        );
        Self::NeedsPerson { reason }
    }

    /// The policy of a server forbids the login by any access token.
    #[must_use]
    pub(crate) fn token_forbidden(words: &dyn fmt::Display) -> Self {
        let reason = format!(
            "the server's policy forbids this login, although the access token of the account may \
             be good: {words}; let the administrator of the mailbox allow the protocol for it at \
             the provider"
        );
        Self::NeedsPerson { reason }
    }

    /// How long to wait before the next attempt at least.
    #[must_use]
    pub(crate) fn hint(&self) -> Duration {
        match self {
            Self::Temporary { after, .. } => after.unwrap_or_default().min(PATIENCE_LONGEST),
            Self::Missing | Self::Unreadable { .. } | Self::NeedsPerson { .. } | Self::Changed => {
                Duration::ZERO
            }
        }
    }

    /// Whether a quick retry is useless.
    #[must_use]
    pub(crate) fn needs_a_person(&self) -> bool {
        match self {
            Self::Missing | Self::Unreadable { .. } | Self::NeedsPerson { .. } => true,
            Self::Temporary { .. } | Self::Changed => false,
        }
    }
}

/// Asks a source for a login. A source that does not answer `within` a limit counts as a temporary
/// problem.
///
/// # Errors
///
/// Why there is none.
pub(crate) async fn ask(
    source: &dyn CredentialSource,
    request: &CredentialRequest,
    within: Duration,
) -> Result<Credentials, CredentialError> {
    tokio::time::timeout(within, source.get(request)).await.unwrap_or_else(|_| {
        let reason = format!("its source did not answer within {} s", within.as_secs());
        Err(CredentialError::Temporary { reason, after: None })
    })
}

/// The passwords and tokens that clients have stored with the accounts.
#[derive(Debug)]
pub(crate) struct StoredCredentials {
    store: Store,
}

impl StoredCredentials {
    /// Those of a store.
    #[must_use]
    pub(crate) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Reads the account anew. A secret that was saved for another server or login is not given
    /// out, because it would be sent to the server that the connection was meant for.
    async fn read(&self, request: &CredentialRequest) -> Result<Credentials, CredentialError> {
        let row = self.store.account_find(request.account).await.map_err(|error| {
            CredentialError::Temporary { reason: error.to_string(), after: None }
        })?;
        let row = row.ok_or(CredentialError::Changed)?;
        if !request.is_of(&row) {
            return Err(CredentialError::Changed);
        }
        let own = row.secrets.smtp_password.as_ref().map(|secret| (secret, "smtpPassword"));
        let own = own.filter(|_| request.server == ServerKind::Smtp);
        let common = row.secrets.password.as_ref().map(|secret| (secret, "password"));
        let (sealed, property) = own.or(common).ok_or(CredentialError::Missing)?;
        let secret =
            sealed.open().map_err(|source| CredentialError::Unreadable { property, source })?;
        let is_oauth = request.is_oauth;
        let secret = if is_oauth { Secret::OAuth2(secret) } else { Secret::Password(secret) };
        Ok(Credentials { login: request.login.clone(), secret })
    }
}

impl CredentialSource for StoredCredentials {
    fn get<'a>(&'a self, request: &'a CredentialRequest) -> CredentialAnswer<'a> {
        Box::pin(self.read(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::change;
    use crate::fixture::create;
    use postroom_model::builtin;
    use postroom_model::builtin::ACCOUNTS;
    use postroom_model::builtin::PROFILES;
    use postroom_store::Clock;
    use postroom_store::FeedRetention;
    use postroom_store::MasterKey;
    use postroom_store::ObjectsAccess;
    use postroom_store::SqliteDirectory;
    use postroom_store::StoreConfig;
    use postroom_store::Work;
    use secrecy::ExposeSecret;
    use secrecy::SecretString;
    use serde_json::json;

    async fn open(directory: &std::path::Path) -> Store {
        let database = SqliteDirectory::open_inline(directory, Clock::system()).unwrap();
        let config = StoreConfig {
            key: MasterKey::from_hex(&SecretString::from("5".repeat(64))).unwrap(),
            classes: builtin::classes().unwrap(),
            clock: Clock::system(),
            work: Work::Inline,
            member: postroom_store::Member::alone(),
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        Store::open(database, &config).await.unwrap()
    }

    async fn account(store: &Store) -> Account {
        Account::from_row(&store.account_list().await.unwrap()[0])
    }

    fn password(given: Result<Credentials, CredentialError>) -> String {
        match given.unwrap().secret {
            Secret::Password(secret) => secret.expose_secret().to_owned(),
            Secret::OAuth2(_) => panic!("a token"),
        }
    }

    #[tokio::test]
    async fn a_secret_is_given_for_the_server_alone_that_it_was_saved_for() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let hosts = json!({"name": "p", "imapHost": "one.test", "smtpHost": "one.test"});
        let profile = create(&store, PROFILES, hosts).await;
        let profile_id = profile.to_string();
        let other = json!({"name": "q", "imapHost": "two.test", "smtpHost": "two.test"});
        let other = create(&store, PROFILES, other).await;
        let anna = json!({"address": "a@one.test", "password": "old", "profile_id": profile_id});
        let id = create(&store, ACCOUNTS, anna).await;
        let source = StoredCredentials::new(store.clone());
        let before = account(&store).await;
        let request = |account: &Account, server| CredentialRequest::of(account, server).unwrap();
        let imap = request(&before, ServerKind::Imap);
        let smtp = request(&before, ServerKind::Smtp);
        assert_eq!(password(source.get(&imap).await), "old");
        assert_eq!(password(source.get(&smtp).await), "old");

        // The account that asks need not know of a new password.
        change(&store, ACCOUNTS, id, json!({"password": "new", "smtpPassword": "own"})).await;
        assert_eq!(password(source.get(&imap).await), "new");
        assert_eq!(password(source.get(&smtp).await), "own");
        assert!(!account(&store).await.connects_like(&before));

        // A password for another server, login or certificate must not reach this one.
        let elsewhere = [
            (ACCOUNTS, id, json!({"password": "of two", "profile_id": other.to_string()})),
            (ACCOUNTS, id, json!({"profile_id": profile_id, "login": "another"})),
            (ACCOUNTS, id, json!({"login": null})),
            (PROFILES, profile, json!({"imapPort": 1993, "smtpPort": 1465})),
            (PROFILES, profile, json!({"tlsFingerprint": "ab".repeat(32)})),
            (PROFILES, profile, json!({"auth": "oauth2"})),
        ];
        for (class, id, values) in elsewhere {
            let before = account(&store).await;
            change(&store, class, id, values.clone()).await;
            for server in [ServerKind::Imap, ServerKind::Smtp] {
                let given = source.get(&request(&before, server)).await;
                assert!(matches!(given, Err(CredentialError::Changed)), "{values} {given:?}");
            }
        }
        let now = account(&store).await;
        let given = source.get(&request(&now, ServerKind::Imap)).await.unwrap();
        assert!(matches!(given.secret, Secret::OAuth2(_)));
    }

    #[tokio::test]
    async fn a_damaged_secret_is_unreadable_and_one_that_is_not_there_is_missing() {
        let directory = tempfile::tempdir().unwrap();
        let store = open(directory.path()).await;
        let hosts = json!({"name": "p", "imapHost": "one.test"});
        let profile = create(&store, PROFILES, hosts).await;
        let profile_id = profile.to_string();
        let anna = json!({"address": "a@one.test", "password": "old", "profile_id": profile_id});
        let id = create(&store, ACCOUNTS, anna).await;
        let database = rusqlite::Connection::open(directory.path().join("postroom.db")).unwrap();
        let sql = "UPDATE \"email/Accounts\" SET \"password\" = x'00'";
        assert_eq!(database.execute(sql, []).unwrap(), 1);
        let request = CredentialRequest::of(&account(&store).await, ServerKind::Imap).unwrap();
        let source = StoredCredentials::new(store.clone());
        let given = source.get(&request).await;
        let is_unreadable =
            matches!(given, Err(CredentialError::Unreadable { property: "password", .. }));
        assert!(is_unreadable, "{given:?}");
        change(&store, ACCOUNTS, id, json!({"password": null})).await;
        let given = source.get(&request).await;
        assert!(matches!(given, Err(CredentialError::Missing)), "{given:?}");
    }
}

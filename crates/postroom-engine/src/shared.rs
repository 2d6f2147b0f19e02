//! What all accounts share: the store, the settings, and budgets.

use crate::account::Account;
use crate::account::ServerKind;
use crate::consent::OAuthConsents;
use crate::credentials;
use crate::credentials::CredentialError;
use crate::credentials::CredentialRequest;
use crate::credentials::CredentialSource;
use crate::enders::Enders;
use crate::error::Error;
use crate::lanes::Lanes;
use crate::oauth_credentials::OAuthCredentials;
use crate::proxied::through_proxy;
use crate::pulse::Pulse;
use crate::settings::CurrentDialing;
use crate::settings::Dialing;
use crate::settings::Redial;
use crate::settings::Settings;
use crate::under_way::UnderWay;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_store::Clock;
use postroom_store::Store;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

/// What all accounts share.
#[derive(Debug)]
pub struct Shared {
    /// The store.
    pub store: Store,
    /// The time of day, new ids and chance.
    pub clock: Clock,
    /// The settings.
    pub settings: Settings,
    /// Where decompositions run.
    pub lanes: Lanes,
    /// One permit for each byte of arriving messages in memory.
    pub bytes_in_flight: Arc<Semaphore>,
    /// One permit for each connection that is being opened, by server. There is no common limit for
    /// all servers, because a few silent servers would keep all others waiting.
    connects: Mutex<HashMap<(String, u16), Arc<Semaphore>>>,
    /// The messages that are being sent now.
    pub under_way: UnderWay,
    /// The recipients at whom a server ended the session.
    pub(crate) enders: Enders,
    /// The health of the engine.
    pub pulse: Pulse,
    /// Where logins come from.
    credentials: Arc<dyn CredentialSource>,
    dialing: CurrentDialing,
    /// Wakes who asks about consents on other devices: one was begun, or is due at another time.
    pub(crate) device_begun: Notify,
    /// Questions for tokens that must not be ended.
    asking: TaskTracker,
    /// One permit: long lists of mailboxes are recorded one after another.
    long_surveys: Arc<Semaphore>,
    /// Held by the one who asks whether the database is back.
    pub(crate) asks_store: tokio::sync::Mutex<()>,
}

/// A list of more mailboxes is a long one.
const SURVEY_LONG_COUNT: usize = 1000;

/// A login that has waited so long for its turn to dial is asked for again. A source gives logins
/// that are valid for a few minutes.
const LOGIN_WAITS_MAX: Duration = Duration::from_secs(60);
/// How long its source is waited for then. The turn is held meanwhile, and a slow source must not
/// hold up other accounts.
const LOGIN_AGAIN_MAX: Duration = Duration::from_secs(5);

/// The right to open a connection. Dropping it gives it back.
#[derive(Debug)]
pub struct ConnectionPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Shared {
    /// Makes the budgets, and an empty spool directory. From now on this process leads its group,
    /// so an engine that led it before writes nothing more.
    ///
    /// # Errors
    ///
    /// When the spool directory cannot be made, or the store fails.
    pub async fn new(store: Store, settings: Settings) -> Result<Arc<Self>, Error> {
        settings.spool_begin()?;
        Ok(Self::of_leader(store.lead().await?, settings))
    }

    /// Makes the budgets for a store that leads. The spool directory exists.
    #[must_use]
    pub(crate) fn of_leader(store: Store, settings: Settings) -> Arc<Self> {
        let dialing = CurrentDialing::new(settings.redial());
        let asking = TaskTracker::new();
        let stored = || {
            let (store, dialing) = (store.clone(), dialing.clone());
            Arc::new(OAuthCredentials::new(store, dialing, asking.clone())) as _
        };
        Arc::new(Self {
            credentials: settings.credentials.clone().unwrap_or_else(stored),
            lanes: Lanes::new(settings.decompositions_max, store.work()),
            bytes_in_flight: Arc::new(Semaphore::new(settings.bytes_in_flight_max)),
            connects: Mutex::default(),
            under_way: UnderWay::default(),
            enders: Enders::default(),
            pulse: Pulse::default(),
            long_surveys: Arc::new(Semaphore::new(1)),
            device_begun: Notify::new(),
            asks_store: tokio::sync::Mutex::default(),
            dialing,
            asking,
            clock: store.clock().clone(),
            store,
            settings,
        })
    }

    /// The login of an account at one of its servers.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub(crate) async fn credentials(
        &self,
        account: &Account,
        server: ServerKind,
    ) -> Result<Credentials, CredentialError> {
        // An account without this server has no task that connects to it.
        let request = CredentialRequest::of(account, server).ok_or(CredentialError::Changed)?;
        credentials::ask(&*self.credentials, &request, self.settings.credentials_timeout).await
    }

    /// Waits for providers of OAuth that were asked for a token, within a limit. An answer may have
    /// the only token that the provider will accept from now on.
    pub(crate) async fn answered(&self) {
        self.asking.close();
        let answered = tokio::time::timeout(self.settings.stop_within, self.asking.wait());
        if answered.await.is_err() {
            tracing::warn!("a provider of OAuth did not answer in time; it is asked again");
        }
    }

    /// Questions for tokens that must not be ended.
    #[must_use]
    pub(crate) const fn asking(&self) -> &TaskTracker {
        &self.asking
    }

    /// Hears that a server refused a login. Gives whether it is worth asking for another at once.
    #[must_use]
    pub(crate) fn refused(
        &self,
        account: &Account,
        server: ServerKind,
        credentials: &Credentials,
    ) -> bool {
        let request = CredentialRequest::of(account, server);
        request.is_some_and(|request| self.credentials.refused(&request, credentials))
    }

    /// The consents of this engine. Providers are asked in tasks that the stop waits for.
    pub(crate) fn consents(&self) -> OAuthConsents {
        OAuthConsents::new(self.store.clone(), self.dialing.clone(), self.asking.clone())
    }

    /// How connections are made now.
    #[must_use]
    pub fn dialing(&self) -> Dialing {
        self.dialing.now().dialing.clone()
    }

    /// What connects to the servers of an account, as its profile and the configuration demand.
    ///
    /// # Errors
    ///
    /// When TLS cannot be set up, or the password of the proxy cannot be had.
    pub(crate) async fn mail_dialer(
        &self,
        account: &Account,
    ) -> Result<Dialer, postroom_net::Error> {
        if let Some(name) = account.unusable {
            let reason = format!(
                "`{name}` of the profile has a value that is not understood, so nothing connects: \
                 save `{name}` again"
            );
            return Err(postroom_net::Error::Trust { reason });
        }
        let now = self.dialing.now();
        let dialer = now.dialing.dialer.pinned(&account.fingerprints)?;
        let dialer = dialer.tls_from(account.tls_minimum)?;
        let dialer = through_proxy(dialer, &now.outgoing, &self.store, account).await?;
        Ok(now.outgoing.for_mail(&account.domain, dialer))
    }

    /// How connections are made now, and where they may lead.
    pub(crate) fn redial(&self) -> Arc<Redial> {
        self.dialing.now()
    }

    /// From now on connections are made in another way, and to these addresses.
    pub fn dial_by(&self, redial: Redial) {
        self.dialing.set(redial);
    }

    /// Waits for the right to record so many mailboxes. Long lists are recorded one after another,
    /// so that only one of them takes memory. Short lists do not wait.
    pub(crate) async fn survey_turn(&self, count: usize) -> ConnectionPermit {
        if count <= SURVEY_LONG_COUNT {
            return ConnectionPermit { _permit: None };
        }
        // The semaphore is never closed.
        ConnectionPermit { _permit: Arc::clone(&self.long_surveys).acquire_owned().await.ok() }
    }

    /// Waits as [`Self::turn`] does, with the login that is to be used then. If the wait is long,
    /// the login is asked for again, because a token may have ended meanwhile. If the source does
    /// not give one at once, the former login stays.
    pub(crate) async fn turn_with(
        &self,
        account: &Account,
        server: ServerKind,
        credentials: &mut Credentials,
    ) -> ConnectionPermit {
        let Some(at) = account.server(server) else {
            // No task connects to it.
            return ConnectionPermit { _permit: None };
        };
        let begun = Instant::now();
        let turn = self.turn(&at.endpoint).await;
        if begun.elapsed() >= LOGIN_WAITS_MAX {
            let again = self.credentials(account, server);
            if let Ok(Ok(again)) = tokio::time::timeout(LOGIN_AGAIN_MAX, again).await {
                *credentials = again;
            }
        }
        turn
    }

    /// Waits for the right to open a connection to a server. The caller holds it until the login is
    /// complete. It waits only for connections to the same host and port.
    pub async fn turn(&self, endpoint: &Endpoint) -> ConnectionPermit {
        let server = (endpoint.host.to_ascii_lowercase(), endpoint.port);
        let semaphore = {
            let mut connects = self.connects.lock().unwrap_or_else(PoisonError::into_inner);
            if !connects.contains_key(&server) {
                // Unused entries are removed, because they equal new ones.
                connects.retain(|_, semaphore| Arc::strong_count(semaphore) > 1);
            }
            let new = || Arc::new(Semaphore::new(self.settings.connects_per_server_max.max(1)));
            Arc::clone(connects.entry(server).or_insert_with(new))
        };
        // The semaphore is never closed.
        ConnectionPermit { _permit: semaphore.acquire_owned().await.ok() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::CredentialAnswer;
    use crate::fixture;
    use crate::settings::OutgoingPolicy;
    use futures_util::FutureExt;
    use postroom_model::AddressRules;
    use postroom_model::Domain;
    use postroom_net::Secret;
    use std::sync::atomic::AtomicUsize;
    use std::sync::atomic::Ordering;

    /// Gives another password each time.
    #[derive(Debug, Default)]
    struct Counting(AtomicUsize);

    impl CredentialSource for Counting {
        fn get<'a>(&'a self, request: &'a CredentialRequest) -> CredentialAnswer<'a> {
            let count = self.0.fetch_add(1, Ordering::Relaxed).to_string();
            let credentials = Credentials {
                login: request.login.clone(),
                secret: Secret::Password(count.into()),
            };
            Box::pin(async { Ok(credentials) })
        }
    }

    #[tokio::test]
    async fn a_login_that_waits_long_for_its_turn_to_dial_is_asked_for_again() {
        let (_directory, mut shared) = fixture::shared().await;
        let own = Arc::get_mut(&mut shared).unwrap();
        own.credentials = Arc::new(Counting::default());
        own.settings.connects_per_server_max = 1;
        let account = fixture::account(&["a"]);
        let endpoint = account.server(ServerKind::Imap).unwrap().endpoint.clone();
        tokio::time::pause();
        for (seconds, asked) in [(59, "0"), (61, "2")] {
            let before = shared.turn(&endpoint).await;
            let mut login = shared.credentials(&account, ServerKind::Imap).await.unwrap();
            let turn = shared.turn_with(&account, ServerKind::Imap, &mut login);
            let (turn, ()) = tokio::join!(turn, async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                drop(before);
            });
            drop(turn);
            let Secret::Password(password) = login.secret else { panic!("{login:?}") };
            assert_eq!(secrecy::ExposeSecret::expose_secret(&password), asked, "{seconds} s");
        }
    }

    #[tokio::test]
    async fn mail_servers_of_other_networks_are_refused_if_the_configuration_says_so() {
        let (_directory, shared) = fixture::shared().await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let account = fixture::account(&["a"]);
        let public_only = OutgoingPolicy { mail_to_public_only: true, ..OutgoingPolicy::default() };
        let list = |allowed: Option<&str>, denied: &[&str]| {
            let allowed = allowed.map(|one| vec![one.parse().unwrap()]);
            let denied = denied.iter().map(|one| one.parse().unwrap()).collect();
            Arc::new(AddressRules { allowed, denied })
        };
        let with = |mail| OutgoingPolicy { mail, ..public_only.clone() };
        #[rustfmt::skip]
        let table = [
            (OutgoingPolicy::default(),                             None),
            (public_only.clone(),                                   Some("--mail-to-public-addresses-only")),
            // A list of allowed ones counts in its place, and a denied one is denied.
            (with(list(Some("127.0.0.1"), &[])),                    None),
            (with(list(Some("127.0.0.1"), &["127.0.0.0/8"])),       Some("outgoing.mailDenied")),
            (with(list(Some("public"), &[])),                       Some("outgoing.mailAllowed")),
            (with(list(None, &["10.0.0.0/8"])),                     Some("--mail-to-public-addresses-only")),
        ];
        for host in ["127.0.0.1", "localhost"] {
            let security = postroom_net::Security::None;
            let endpoint = Endpoint { host: host.to_owned(), port, security };
            for (outgoing, want) in &table {
                shared.dial_by(Redial { dialing: shared.dialing(), outgoing: outgoing.clone() });
                let dialer = shared.mail_dialer(&account).await.unwrap();
                let told = dialer.connect(&endpoint).await.err().map(|error| error.to_string());
                let is_right = match (&told, want) {
                    (Some(told), Some(want)) => told.contains(want),
                    (None, None) => true,
                    (Some(_), None) | (None, Some(_)) => false,
                };
                assert!(is_right, "{host} {outgoing:?}: {told:?}");
            }
        }
    }

    #[tokio::test]
    async fn each_kind_of_connection_has_rules_of_its_own() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let security = postroom_net::Security::None;
        let endpoint = Endpoint { host: "127.0.0.1".to_owned(), port, security };
        let denied = vec!["127.0.0.0/8".parse().unwrap()];
        let closed = Arc::new(AddressRules { allowed: None, denied });
        let open =
            OutgoingPolicy { webhooks_to_private_addresses: true, ..OutgoingPolicy::default() };
        let dialer = || Dialer::new(&postroom_net::Trust::default()).unwrap();
        let domain = Domain::default_domain();
        let all = |outgoing: &OutgoingPolicy| {
            [
                outgoing.for_mail(&domain, dialer()),
                outgoing.for_webhooks(dialer()),
                outgoing.for_oauth(&domain, dialer()),
            ]
        };
        let policies = [
            OutgoingPolicy { mail: Arc::clone(&closed), ..open.clone() },
            OutgoingPolicy { webhooks: Arc::clone(&closed), ..open.clone() },
            OutgoingPolicy { oauth: Arc::clone(&closed), ..open.clone() },
        ];
        for (at, outgoing) in policies.iter().enumerate() {
            for (kind, dialer) in all(outgoing).iter().enumerate() {
                let connected = dialer.connect(&endpoint).await;
                assert_eq!(connected.is_err(), kind == at, "{at} {kind}");
                let usual = &all(&open)[kind];
                assert_eq!(dialer.manner() == usual.manner(), kind != at, "{at} {kind}");
            }
        }
    }

    #[tokio::test]
    async fn tenants_reach_the_network_of_the_host_only_if_a_list_says_so() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let security = postroom_net::Security::None;
        let endpoint = Endpoint { host: "localhost".to_owned(), port, security };
        let dialer = || Dialer::new(&postroom_net::Trust::default()).unwrap();
        let usual = OutgoingPolicy::default();
        let allowed = Some(vec!["127.0.0.0/8".parse().unwrap()]);
        let listed = Arc::new(AddressRules { allowed, denied: vec![] });
        let mail = OutgoingPolicy { mail: Arc::clone(&listed), ..usual.clone() };
        let oauth = OutgoingPolicy { oauth: listed, ..usual.clone() };
        let [default, master] = Domain::of_the_start();
        let tenant = Domain::new("acme").unwrap();
        #[rustfmt::skip]
        let table = [
            (&usual, &default, None,                          None),
            (&usual, &master,  None,                          None),
            (&usual, &tenant,  Some("outgoing.mailAllowed"),  Some("outgoing.oauthAllowed")),
            (&mail,  &tenant,  None,                          Some("outgoing.oauthAllowed")),
            (&oauth, &tenant,  Some("outgoing.mailAllowed"),  None),
        ];
        for (outgoing, domain, mail, oauth) in table {
            let of_mail = outgoing.for_mail(domain, dialer());
            for (dialer, want) in [(of_mail, mail), (outgoing.for_oauth(domain, dialer()), oauth)] {
                let told = dialer.connect(&endpoint).await.err().map(|error| error.to_string());
                let is_right = match (&told, want) {
                    (Some(told), Some(want)) => told.contains(want),
                    (told, want) => told.is_none() && want.is_none(),
                };
                assert!(is_right, "{domain} {outgoing:?}: {told:?}");
            }
        }
    }

    #[tokio::test]
    async fn a_long_survey_waits_for_the_one_before_it_and_a_short_one_does_not() {
        let (_directory, shared) = fixture::shared().await;
        let first = shared.survey_turn(SURVEY_LONG_COUNT + 1).await;
        assert!(shared.survey_turn(SURVEY_LONG_COUNT).now_or_never().is_some());
        let mut second = Box::pin(shared.survey_turn(SURVEY_LONG_COUNT + 1));
        assert!((&mut second).now_or_never().is_none());
        drop(first);
        second.await;
    }
}

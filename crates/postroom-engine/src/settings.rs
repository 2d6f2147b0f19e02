//! The settings of the engine. Those of [`Redial`] can be changed while it runs.

use crate::credentials::CredentialSource;
use crate::error::Error;
use postroom_model::AddressRules;
use postroom_model::Domain;
use postroom_net::Dialer;
use postroom_net::Proxy;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;

/// How connections are made.
#[derive(Debug, Clone)]
pub struct Dialing {
    /// Makes connections, and knows which certificates to trust.
    pub dialer: Dialer,
    /// The name that EHLO gives: a host name or an address literal (RFC 5321 §4.1.4).
    pub ehlo_name: String,
}

/// What to do about a mail server that is not on the public internet.
const MAIL_TO_PUBLIC_ONLY: &str = "mail servers at other addresses are refused by \
                                   --mail-to-public-addresses-only, or by \
                                   outgoing.mailToPublicAddressesOnly in the configuration";
/// What to do about a mail server at an address that is not allowed.
const MAIL_RULES: &str = "see outgoing.mailAllowed and outgoing.mailDenied there";
/// What to do about a provider at an address that is not allowed.
const OAUTH_RULES: &str = "see outgoing.oauthAllowed and outgoing.oauthDenied there";
/// What to do about a mail server of a tenant that is not on the public internet.
const TENANTS_MAIL: &str = "domains other than default and master reach only the public internet, \
                            unless outgoing.mailAllowed in the configuration lists other addresses";
/// What to do about a provider of a tenant that is not on the public internet.
const TENANTS_OAUTH: &str = "domains other than default and master reach only the public \
                             internet, unless outgoing.oauthAllowed in the configuration lists \
                             other addresses";
/// What to do about a receiver of a webhook that is not on the public internet.
const PRIVATE: &str = "private addresses are refused without --webhooks-to-private-addresses, or \
                       outgoing.webhooksToPrivateAddresses in the configuration";
/// What to do about a receiver of a webhook at an address that is not allowed.
const WEBHOOK_RULES: &str = "see outgoing.webhooksAllowed and outgoing.webhooksDenied there";

/// Which addresses may be reached, and by which proxy. It is checked at each connection, after the
/// lookup. Domains other than `default` and `master` reach mail servers and providers of OAuth on
/// the public internet alone. A list of allowed addresses counts in place of that, and of the two
/// flags.
#[derive(Debug, Clone, Default)]
pub struct OutgoingPolicy {
    /// Whether accounts may reach mail servers at addresses of the public internet alone.
    pub mail_to_public_only: bool,
    /// Whether webhooks may reach addresses that are not of the public internet.
    pub webhooks_to_private_addresses: bool,
    /// Which addresses of mail servers may be reached.
    pub mail: Arc<AddressRules>,
    /// Which addresses webhooks may reach.
    pub webhooks: Arc<AddressRules>,
    /// Which addresses of providers of OAuth may be reached.
    pub oauth: Arc<AddressRules>,
    /// The proxy for all connections. The profile of an account may name another one.
    pub proxy: Option<Arc<Proxy>>,
    /// Whether others may be asked for the servers of an address: the DNS, and the domain itself.
    pub autoconfig_lookups: bool,
}

impl OutgoingPolicy {
    /// What reaches the mail servers of a domain, of a dialer that has its proxy.
    pub(crate) fn for_mail(&self, domain: &Domain, dialer: Dialer) -> Dialer {
        let advice = if self.mail_to_public_only {
            Some(MAIL_TO_PUBLIC_ONLY)
        } else {
            is_tenant(domain).then_some(TENANTS_MAIL)
        };
        closed(dialer, &self.mail, advice).allowed(&self.mail, MAIL_RULES)
    }

    /// What reaches the providers of OAuth of a domain, of a dialer that has its proxy.
    pub(crate) fn for_oauth(&self, domain: &Domain, dialer: Dialer) -> Dialer {
        let advice = is_tenant(domain).then_some(TENANTS_OAUTH);
        closed(dialer, &self.oauth, advice).allowed(&self.oauth, OAUTH_RULES)
    }

    /// What reaches the receivers of webhooks.
    pub(crate) fn for_webhooks(&self, dialer: Dialer) -> Dialer {
        let advice = (!self.webhooks_to_private_addresses).then_some(PRIVATE);
        let dialer = closed(dialer, &self.webhooks, advice);
        self.proxied(dialer).allowed(&self.webhooks, WEBHOOK_RULES)
    }

    /// The same dialer through the proxy for all connections, if there is one.
    pub(crate) fn proxied(&self, dialer: Dialer) -> Dialer {
        match &self.proxy {
            Some(proxy) => dialer.through(Arc::clone(proxy)),
            None => dialer,
        }
    }
}

/// Whether people may have the domain who do not run Postroom. They choose the addresses of their
/// servers, and must not reach the network of its host by them.
fn is_tenant(domain: &Domain) -> bool {
    !Domain::of_the_start().contains(domain)
}

/// A dialer that reaches only the public internet and tells `advice` about other addresses. There
/// is nothing to tell if all are allowed, or if a list says which ones are.
fn closed(dialer: Dialer, rules: &AddressRules, advice: Option<&'static str>) -> Dialer {
    match advice.filter(|_| rules.allowed.is_none()) {
        Some(advice) => dialer.public_only(advice),
        None => dialer,
    }
}

/// How connections are made from now on, and where they may lead.
#[derive(Debug, Clone)]
pub struct Redial {
    /// How they are made.
    pub dialing: Dialing,
    /// Which addresses may be reached.
    pub outgoing: OutgoingPolicy,
}

/// How connections are made now. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct CurrentDialing(Arc<RwLock<Arc<Redial>>>);

impl CurrentDialing {
    /// At first in this way.
    #[must_use]
    pub(crate) fn new(redial: Redial) -> Self {
        Self(Arc::new(RwLock::new(Arc::new(redial))))
    }

    /// How connections are made now.
    #[must_use]
    pub(crate) fn now(&self) -> Arc<Redial> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on connections are made in another way.
    pub(crate) fn set(&self, redial: Redial) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(redial);
    }
}

/// Settings of the whole engine. Settings that differ by account are options of the data model.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How connections are made at first. It can be changed while the engine runs.
    pub dialing: Dialing,
    /// The directory for messages that are too large for memory, while they arrive. It is emptied
    /// at start.
    pub spool_directory: PathBuf,
    /// How many portions are decomposed at once, over all accounts.
    pub decompositions_max: usize,
    /// How many bytes of arriving messages may be in memory at once, over all accounts.
    pub bytes_in_flight_max: usize,
    /// A message larger than this goes through the spool directory.
    pub in_memory_bytes_max: usize,
    /// How many connections to one server (host and port) may be opened at the same time, over all
    /// accounts.
    pub connects_per_server_max: usize,
    /// The delay before a failed connection is tried again. It doubles with each failure.
    pub reconnect_first: Duration,
    /// The longest delay between two attempts to connect.
    pub reconnect_longest: Duration,
    /// The delay between attempts after the server refused the password several times.
    pub credentials_probe: Duration,
    /// The delays after the server refused a login that it accepted before: the first, the second
    /// and so on. The last one is repeated.
    pub relogin: [Duration; 4],
    /// Where logins come from. `None`: from the store.
    pub credentials: Option<Arc<dyn CredentialSource>>,
    /// How long it may take to give one.
    pub credentials_timeout: Duration,
    /// The maximum age of a connection, because some servers show stale data on old ones.
    pub connection_longest: Duration,
    /// How long a stop waits for messages after their final dot.
    pub stop_within: Duration,
    /// Which addresses may be reached at first. It can be changed while the engine runs.
    pub outgoing: OutgoingPolicy,
    /// The DNS server that is asked for the servers of an address. `None`: those of the system.
    pub dns_server: Option<SocketAddr>,
    /// The first delay after a request of a webhook has failed.
    pub webhook_retry_first: Duration,
    /// The longest one.
    pub webhook_retry_longest: Duration,
}

impl Settings {
    /// The delay after the `count`th refusal in a row of a login that was accepted before.
    #[must_use]
    pub(crate) fn relogin_after(&self, count: u32) -> Duration {
        let at = usize::try_from(count.saturating_sub(1)).unwrap_or(usize::MAX);
        let [.., last] = self.relogin;
        self.relogin.get(at).copied().unwrap_or(last)
    }

    /// How connections are made at first.
    pub(crate) fn redial(&self) -> Redial {
        Redial { dialing: self.dialing.clone(), outgoing: self.outgoing.clone() }
    }

    /// Makes an empty spool directory.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub(crate) fn spool_begin(&self) -> Result<(), Error> {
        let spool = &self.spool_directory;
        if spool.exists() {
            std::fs::remove_dir_all(spool).map_err(Error::Spool)?;
        }
        std::fs::create_dir_all(spool).map_err(Error::Spool)
    }

    /// Usual settings.
    #[must_use]
    pub fn new(dialing: Dialing, spool_directory: PathBuf) -> Self {
        Self {
            dialing,
            spool_directory,
            decompositions_max: std::thread::available_parallelism().map_or(2, usize::from),
            bytes_in_flight_max: 64 * 1024 * 1024,
            in_memory_bytes_max: 1024 * 1024,
            connects_per_server_max: 8,
            reconnect_first: Duration::from_secs(2),
            reconnect_longest: Duration::from_secs(300),
            credentials_probe: Duration::from_secs(3600),
            relogin: [30, 60, 300, 900].map(Duration::from_secs),
            credentials: None,
            credentials_timeout: Duration::from_secs(60),
            connection_longest: Duration::from_secs(3600),
            stop_within: Duration::from_secs(20),
            outgoing: OutgoingPolicy::default(),
            dns_server: None,
            webhook_retry_first: Duration::from_secs(5),
            webhook_retry_longest: Duration::from_secs(3600),
        }
    }
}

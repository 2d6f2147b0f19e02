//! Looks for the mail servers of an address, beyond the table in the binary.
//!
//! ```text
//!   SRV records ─► file of the domain ─► (database of Thunderbird) ─► MX in the table ─► names
//! ```
//! It ends when it has a server for receiving and one for sending. Nothing is asked unless the
//! configuration allows it. The DNS and the database hear of the domain alone. The file of the
//! domain is asked for with the whole address, as its operator expects it, and at the domain alone.
//!
//! Standards: RFC 6186 and RFC 8314 §5.1 (SRV), RFC 5321 §5.1 (MX).

use crate::https_get;
use crate::https_get::FileWay;
use crate::report;
use crate::shared::Shared;
use postroom_model::Domain;
use postroom_model::address;
use postroom_model::autoconfig;
use postroom_model::autoconfig_file::AutoconfigFile;
use postroom_model::autoconfig_server::FoundBy;
use postroom_model::autoconfig_server::FoundMail;
use postroom_model::autoconfig_server::FoundSecurity;
use postroom_model::autoconfig_server::FoundServer;
use postroom_model::autoconfig_server::LocatedServer;
use postroom_model::autoconfig_server::SRV_OFFERS;
use postroom_model::autoconfig_server::ServerPurpose;
use postroom_model::autoconfig_server::SrvOffer;
use postroom_model::autoconfig_server::first_of;
use postroom_model::autoconfig_server::host_problem;
use postroom_model::webhook::Url;
use postroom_net::DnsClient;
use postroom_net::DnsError;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio::time::timeout_at;

/// How many searches run at the same time. Others wait.
const AT_ONCE_MAX: usize = 8;
/// How long a search may take.
const SEARCH_WITHIN: Duration = Duration::from_secs(40);
/// The database of Thunderbird.
const ISP_DATABASE: &str = "https://autoconfig.thunderbird.net/v1.1/";
/// The usual ports with TLS from the first byte.
const IMAPS: u16 = 993;
const SUBMISSIONS: u16 = 465;

/// Looks for mail servers. Clones share everything.
#[derive(Debug, Clone)]
pub struct ServerSearch {
    shared: Arc<Shared>,
    turns: Arc<Semaphore>,
}

/// What came of a search.
#[derive(Debug, Default)]
pub struct ServersFound {
    /// What was found.
    pub found: FoundMail,
    /// Who was asked, and what came of it, for people.
    pub tried: Vec<TriedSource>,
}

/// Somebody who was asked.
#[derive(Debug)]
pub struct TriedSource {
    /// Who.
    pub by: FoundBy,
    /// What came of it.
    pub result: String,
}

/// What the steps of a search have in common.
struct Searching<'a> {
    /// What asks the DNS, or why nothing does.
    dns: Result<DnsClient, String>,
    way: FileWay,
    address: &'a str,
    /// Its domain, in ASCII.
    domain: String,
}

impl ServerSearch {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, turns: Arc::new(Semaphore::new(AT_ONCE_MAX)) }
    }

    /// Whether the configuration lets it ask anybody.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        self.shared.redial().outgoing.autoconfig_lookups
    }

    /// Looks for the servers of an address, for somebody of the domain `asking`. `None`: the
    /// configuration does not allow it. Each wait has a deadline. `isp_database`: whether the
    /// database of Thunderbird may be asked too.
    pub async fn search(
        &self,
        asking: &Domain,
        address: &str,
        isp_database: bool,
    ) -> Option<ServersFound> {
        if !self.is_allowed() {
            return None;
        }
        // The semaphore is never closed.
        let _turn = self.turns.acquire().await;
        let mut result = ServersFound::default();
        let Some(domain) = address::ascii_domain(address).filter(|it| host_problem(it).is_none())
        else {
            let text = "the domain of the address is no name of the DNS".to_owned();
            result.tried.push(TriedSource { by: FoundBy::Srv, result: text });
            return Some(result);
        };
        let (way, dns) = self.way(asking);
        let searching = Searching { dns, way, address, domain };
        let deadline = Instant::now() + SEARCH_WITHIN;
        for by in
            [FoundBy::Srv, FoundBy::Autoconfig, FoundBy::IspDatabase, FoundBy::Mx, FoundBy::Guess]
        {
            let is_asked = by != FoundBy::IspDatabase || isp_database;
            if result.found.is_whole() || !is_asked {
                continue;
            }
            let step = Box::pin(searching.ask(by));
            let came = timeout_at(deadline, step).await;
            let came = came.unwrap_or_else(|_| Err("no time was left for it".to_owned()));
            let said = match came {
                Ok(found) if found.imap.is_some() || found.smtp.is_some() => {
                    result.found.fill(found);
                    "found".to_owned()
                }
                Ok(_) => "nothing found".to_owned(),
                Err(why) => why,
            };
            result.tried.push(TriedSource { by, result: said });
        }
        Some(result)
    }

    /// The means of a search for a domain, as the configuration has them now.
    fn way(&self, asking: &Domain) -> (FileWay, Result<DnsClient, String>) {
        let redial = self.shared.redial();
        let dialer = redial.outgoing.proxied(redial.dialing.dialer.clone());
        let dns = DnsClient::new(self.shared.settings.dns_server, &dialer);
        let dialer = redial.outgoing.for_mail(asking, dialer);
        let way = FileWay { dialer, dns: dns.as_ref().ok().cloned() };
        (way, dns.map_err(|error| report::chain(&error)))
    }
}

impl Searching<'_> {
    async fn ask(&self, by: FoundBy) -> Result<FoundMail, String> {
        match by {
            FoundBy::Table => Ok(FoundMail::default()),
            FoundBy::Srv => self.srv(self.dns()?).await.map_err(|error| report::chain(&error)),
            FoundBy::Autoconfig => self.autoconfig().await,
            FoundBy::IspDatabase => {
                self.file(FoundBy::IspDatabase, &format!("{ISP_DATABASE}{}", self.domain)).await
            }
            FoundBy::Mx => self.mx(self.dns()?).await.map_err(|error| report::chain(&error)),
            FoundBy::Guess => self.guess(self.dns()?).await.map_err(|error| report::chain(&error)),
        }
    }

    fn dns(&self) -> Result<&DnsClient, String> {
        self.dns.as_ref().map_err(Clone::clone)
    }

    fn located(&self, server: FoundServer, by: FoundBy) -> LocatedServer {
        LocatedServer::new(server, by, &self.domain)
    }

    /// What SRV records name. TLS from the first byte is taken before STARTTLS.
    async fn srv(&self, dns: &DnsClient) -> Result<FoundMail, DnsError> {
        let mut found = FoundMail::default();
        for SrvOffer { labels, purpose, security } in SRV_OFFERS {
            let place = match purpose {
                ServerPurpose::Imap => &mut found.imap,
                ServerPurpose::Smtp => &mut found.smtp,
            };
            if place.is_none() {
                let records = dns.srv(&format!("{labels}.{}", self.domain)).await?;
                let server = first_of(&records, security);
                *place = server.map(|server| self.located(server, FoundBy::Srv));
            }
        }
        Ok(found)
    }

    /// What the domain's file says, at either of its two places.
    async fn autoconfig(&self) -> Result<FoundMail, String> {
        let domain = &self.domain;
        let address = encoded(self.address);
        let first =
            format!("https://autoconfig.{domain}/mail/config-v1.1.xml?emailaddress={address}");
        let second = format!("https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml");
        let why = match self.file(FoundBy::Autoconfig, &first).await {
            Ok(found) => return Ok(found),
            Err(why) => why,
        };
        let tried = self.file(FoundBy::Autoconfig, &second).await;
        tried.map_err(|other| format!("{why}; {other}"))
    }

    async fn file(&self, by: FoundBy, url: &str) -> Result<FoundMail, String> {
        let url = Url::parse(url).map_err(str::to_owned)?;
        let host = url.host.clone();
        let bytes = https_get::file(&self.way, url).await;
        let bytes = bytes.map_err(|error| report::chain(&error))?;
        let file = AutoconfigFile::read(&bytes, self.address);
        let file = file.map_err(|why| format!("the file of {host} cannot be used: {why}"))?;
        let located = |server: Option<FoundServer>| server.map(|it| self.located(it, by));
        let (imap, smtp) = (located(file.imap), located(file.smtp));
        if imap.is_none() && smtp.is_none() {
            return Err(format!("the file of {host} names no IMAP or SMTP server with TLS"));
        }
        Ok(FoundMail { provider: file.provider, note: None, imap, smtp })
    }

    /// The provider whose server receives the mail of the domain, if the table has it.
    async fn mx(&self, dns: &DnsClient) -> Result<FoundMail, DnsError> {
        let records = dns.mx(&self.domain).await?;
        let known = records.iter().find_map(|record| autoconfig::by_mx(&record.exchange));
        Ok(known.unwrap_or_default())
    }

    /// Names that resolve.
    async fn guess(&self, dns: &DnsClient) -> Result<FoundMail, DnsError> {
        let imap = self.first_name(dns, ["imap", "mail"], IMAPS).await?;
        let smtp = self.first_name(dns, ["smtp", "mail"], SUBMISSIONS).await?;
        Ok(FoundMail { imap, smtp, ..FoundMail::default() })
    }

    async fn first_name(
        &self,
        dns: &DnsClient,
        labels: [&str; 2],
        port: u16,
    ) -> Result<Option<LocatedServer>, DnsError> {
        for label in labels {
            let host = format!("{label}.{}", self.domain);
            if !dns.addresses(&host).await?.is_empty() {
                let security = FoundSecurity::Tls;
                let server = FoundServer { host, port, security, login: None, is_oauth: false };
                return Ok(Some(self.located(server, FoundBy::Guess)));
            }
        }
        Ok(None)
    }
}

/// A text as the value of a parameter of a URL.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut done, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            done.push(char::from(byte));
        } else {
            // Writing into a text cannot fail.
            let _ = write!(done, "%{byte:02X}");
        }
        done
    })
}

//! Mail servers that were found for an address, and where each was found.
//!
//! Standards: RFC 2782 (SRV), RFC 6186 (SRV of mail servers), RFC 8314 §5.1 (`_submissions`).

use crate::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// What a server is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerPurpose {
    /// Receiving.
    Imap,
    /// Sending.
    Smtp,
}

/// How a server is made secure. One without TLS is never proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundSecurity {
    /// TLS from the first byte.
    Tls,
    /// STARTTLS.
    StartTls,
}

impl FoundSecurity {
    /// The value of the property.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
        }
    }
}

/// Where a server was found, from the surest to the least sure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FoundBy {
    /// The table of providers in the binary.
    Table,
    /// SRV records of the domain.
    Srv,
    /// The file that the domain offers to mail programs.
    Autoconfig,
    /// The file that the database of Thunderbird has of the domain.
    IspDatabase,
    /// The table of providers, by the server that receives the mail of the domain.
    Mx,
    /// A name that resolves.
    Guess,
}

impl FoundBy {
    /// Its name in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Table => "table",
            Self::Srv => "srv",
            Self::Autoconfig => "autoconfig",
            Self::IspDatabase => "ispDatabase",
            Self::Mx => "mx",
            Self::Guess => "guess",
        }
    }
}

/// A server that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundServer {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How it is made secure.
    pub security: FoundSecurity,
    /// The login there. `None`: nobody says, so it is the address.
    pub login: Option<String>,
    /// Whether it takes access tokens alone.
    pub is_oauth: bool,
}

/// A server, and where it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocatedServer {
    /// The server.
    pub server: FoundServer,
    /// Where it was found.
    pub by: FoundBy,
    /// Whether its host is in the domain of the address.
    pub is_of_domain: bool,
}

impl LocatedServer {
    /// A server of a domain.
    #[must_use]
    pub fn new(server: FoundServer, by: FoundBy, domain: &str) -> Self {
        let is_of_domain = is_within(&server.host, domain);
        Self { server, by, is_of_domain }
    }

    /// How sure it is: `high`, `medium` or `low`. SRV records are usually not signed, so one that
    /// leads out of the domain is no better than a guess until a person confirms it (RFC 6186 §6).
    #[must_use]
    pub fn sureness(&self) -> &'static str {
        match self.by {
            FoundBy::Table | FoundBy::Autoconfig => "high",
            FoundBy::Srv if self.is_of_domain => "medium",
            FoundBy::IspDatabase | FoundBy::Mx => "medium",
            FoundBy::Srv | FoundBy::Guess => "low",
        }
    }
}

/// Whether a host is a domain, or within it.
#[must_use]
pub fn is_within(host: &str, domain: &str) -> bool {
    let (host, domain) = (host.to_ascii_lowercase(), domain.to_ascii_lowercase());
    host.strip_suffix(&domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// What was found for an address so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FoundMail {
    /// The name of the provider, for people.
    pub provider: Option<String>,
    /// What a person has to do at the provider first.
    pub note: Option<String>,
    /// The server for receiving.
    pub imap: Option<LocatedServer>,
    /// The server for sending.
    pub smtp: Option<LocatedServer>,
}

impl FoundMail {
    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.imap.is_some() && self.smtp.is_some()
    }

    /// Takes what is missing so far from what was found elsewhere.
    pub fn fill(&mut self, other: Self) {
        let is_used = (self.imap.is_none() && other.imap.is_some())
            || (self.smtp.is_none() && other.smtp.is_some());
        if is_used {
            self.provider = self.provider.take().or(other.provider);
            self.note = self.note.take().or(other.note);
        }
        self.imap = self.imap.take().or(other.imap);
        self.smtp = self.smtp.take().or(other.smtp);
    }

    /// The answer to clients: values of a profile and of an account, which can be created as they
    /// are, and where each value is from. `None`: there is no server for receiving or for sending.
    #[must_use]
    pub fn to_json(&self, address: &str) -> Option<Json> {
        if self.imap.is_none() && self.smtp.is_none() {
            return None;
        }
        let domain = address.rsplit_once('@').map_or(address, |(_, domain)| domain);
        let provider = self.provider.as_deref().unwrap_or(domain);
        let (mut profile, mut sources) = (Map::new(), Map::new());
        let mut account = Map::from_iter([(names::ADDRESS.to_owned(), json!(address))]);
        profile.insert(names::NAME.to_owned(), json!(provider));
        for (found, properties) in [(&self.imap, IMAP_PROPERTIES), (&self.smtp, SMTP_PROPERTIES)] {
            let Some(located) = found else { continue };
            let server = &located.server;
            let ServerProperties { host, port, security, login } = properties;
            let source = json!({"source": located.by.as_str(), "sure": located.sureness()});
            let values = [
                (host, json!(server.host)),
                (port, json!(server.port)),
                (security, json!(server.security.as_str())),
            ];
            for (name, value) in values {
                profile.insert(name.to_owned(), value);
                sources.insert(name.to_owned(), source.clone());
            }
            // The login is the address, unless somebody says otherwise.
            let own = server.login.as_deref().filter(|login| *login != address);
            if let Some(own) = own.filter(|own| account.get(names::LOGIN) != Some(&json!(own))) {
                account.insert(login.to_owned(), json!(own));
                sources.insert(login.to_owned(), source);
            }
        }
        let both = [&self.imap, &self.smtp];
        let found = both.into_iter().flatten();
        let auth = if found.clone().all(|it| it.server.is_oauth) { "oauth2" } else { "password" };
        profile.insert(names::AUTH.to_owned(), json!(auth));
        if let Some(first) = found.clone().next() {
            let source = json!({"source": first.by.as_str(), "sure": first.sureness()});
            sources.insert(names::AUTH.to_owned(), source);
        }
        Some(json!({
            "provider": provider, "profile": profile, "account": account, "sources": sources,
            "note": self.note,
        }))
    }
}

/// The properties that a server is written to.
struct ServerProperties {
    host: &'static str,
    port: &'static str,
    security: &'static str,
    login: &'static str,
}

const IMAP_PROPERTIES: ServerProperties = ServerProperties {
    host: names::IMAP_HOST,
    port: names::IMAP_PORT,
    security: names::IMAP_SECURITY,
    login: names::LOGIN,
};
const SMTP_PROPERTIES: ServerProperties = ServerProperties {
    host: names::SMTP_HOST,
    port: names::SMTP_PORT,
    security: names::SMTP_SECURITY,
    login: names::SMTP_LOGIN,
};

/// An SRV record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SrvRecord {
    /// The lowest one comes first.
    pub priority: u16,
    /// Among records of a priority, the highest one comes first.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host. `.` or nothing: the domain does not offer this.
    pub target: String,
}

/// A service that a domain may have SRV records of.
#[derive(Debug, Clone, Copy)]
pub struct SrvOffer {
    /// The labels before the domain.
    pub labels: &'static str,
    /// What it is for.
    pub purpose: ServerPurpose,
    /// How it is made secure.
    pub security: FoundSecurity,
}

/// The services that are asked for. TLS from the first byte comes first (RFC 8314 §3).
pub const SRV_OFFERS: [SrvOffer; 4] = [
    SrvOffer { labels: "_imaps._tcp", purpose: ServerPurpose::Imap, security: FoundSecurity::Tls },
    SrvOffer {
        labels: "_imap._tcp",
        purpose: ServerPurpose::Imap,
        security: FoundSecurity::StartTls,
    },
    SrvOffer {
        labels: "_submissions._tcp",
        purpose: ServerPurpose::Smtp,
        security: FoundSecurity::Tls,
    },
    SrvOffer {
        labels: "_submission._tcp",
        purpose: ServerPurpose::Smtp,
        security: FoundSecurity::StartTls,
    },
];

/// The server that SRV records name first. RFC 2782 draws by weight. A profile has one server, so
/// the heaviest is taken, and each question has the same answer. `None`: it is not offered.
#[must_use]
pub fn first_of(records: &[SrvRecord], security: FoundSecurity) -> Option<FoundServer> {
    let offered = records.iter().filter_map(|record| {
        let host = record.target.trim_end_matches('.').to_ascii_lowercase();
        (record.port != 0 && host_problem(&host).is_none()).then_some((record, host))
    });
    let key = |record: &SrvRecord| (record.priority, u16::MAX - record.weight);
    let (record, host) =
        offered.min_by(|(one, name), (two, other)| (key(one), name).cmp(&(key(two), other)))?;
    Some(FoundServer { host, port: record.port, security, login: None, is_oauth: false })
}

/// Why a text from outside is no name of a mail server. An address is none, because certificates
/// are made for names. `None`: it is one.
#[must_use]
pub fn host_problem(host: &str) -> Option<&'static str> {
    let is_label = |label: &str| {
        let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_');
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && label.chars().all(is_part)
    };
    let top = host.rsplit('.').next().unwrap_or_default();
    let is_name = host.len() <= 253
        && host.contains('.')
        && host.split('.').all(is_label)
        && top.chars().any(|char| char.is_ascii_alphabetic());
    (!is_name).then_some("is no name of a host")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::validate;

    fn record(priority: u16, weight: u16, target: &str) -> SrvRecord {
        SrvRecord { priority, weight, port: 993, target: target.to_owned() }
    }

    fn first(records: &[SrvRecord]) -> String {
        let found = first_of(records, FoundSecurity::Tls);
        found.map_or_else(String::new, |server| server.host)
    }

    #[test]
    fn the_lowest_priority_and_then_the_highest_weight_comes_first() {
        #[rustfmt::skip]
        let table: &[(&[SrvRecord], &str)] = &[
            (&[record(20, 9, "c.test"), record(9, 1, "B.test."), record(9, 5, "a.test")], "a.test"),
            (&[record(20, 9, "c.test"), record(10, 0, "b.test")],                        "b.test"),
            (&[record(0, 0, "b.test"), record(0, 0, "a.test")],                          "a.test"),
            (&[record(0, 0, ".")],                                                       ""),
            (&[record(0, 0, ""), record(5, 0, "b.test")],                                "b.test"),
            (&[record(0, 0, "10.0.0.1"), record(0, 0, "a b.test")],                      ""),
            (&[],                                                                        ""),
        ];
        for (records, want) in table {
            assert_eq!(first(records), *want, "{records:?}");
        }
    }

    #[test]
    fn only_names_of_hosts_are_taken_from_outside() {
        for good in ["a.test", "mail-1.a.test", "xn--bcher-kva.test", "my_host.test"] {
            assert_eq!(host_problem(good), None, "{good}");
        }
        let long = format!("{}.test", "a".repeat(64));
        let odd =
            ["", "localhost", "a..test", "-a.test", "127.0.0.1", "a.test:993", "a/b.test", &long];
        for odd in odd {
            assert!(host_problem(odd).is_some(), "{odd}");
        }
        for (host, domain, want) in [
            ("imap.a.test", "A.test", true),
            ("a.test", "a.test", true),
            ("evila.test", "a.test", false),
            ("b.test", "a.test", false),
        ] {
            assert_eq!(is_within(host, domain), want, "{host} {domain}");
        }
    }

    #[test]
    fn an_answer_can_be_created_as_it_is_and_says_where_each_value_is_from() {
        let server = |host: &str, login: Option<&str>| FoundServer {
            host: host.to_owned(),
            port: 993,
            security: FoundSecurity::Tls,
            login: login.map(str::to_owned),
            is_oauth: false,
        };
        let located = |host: &str, by, login| LocatedServer::new(server(host, login), by, "a.test");
        let mut found = FoundMail {
            imap: Some(located("imap.a.test", FoundBy::Srv, None)),
            ..FoundMail::default()
        };
        found.fill(FoundMail {
            provider: Some("A".to_owned()),
            note: None,
            imap: Some(located("other.a.test", FoundBy::Guess, None)),
            smtp: Some(located("smtp.b.test", FoundBy::Autoconfig, Some("anna"))),
        });
        assert!(found.is_whole());
        let shown = found.to_json("anna@a.test").unwrap();
        assert_eq!(shown["profile"]["imapHost"], "imap.a.test");
        assert_eq!(shown["sources"]["imapHost"], json!({"source": "srv", "sure": "medium"}));
        assert_eq!(shown["sources"]["smtpPort"], json!({"source": "autoconfig", "sure": "high"}));
        assert_eq!(shown["account"], json!({"address": "anna@a.test", "smtpLogin": "anna"}));
        let classes = builtin::classes().unwrap();
        validate::create(&classes[0], &shown["profile"]).unwrap();
        assert_eq!(FoundMail::default().to_json("anna@a.test"), None);
        let far = located("imap.b.test", FoundBy::Srv, None);
        assert_eq!(far.sureness(), "low", "a record that leads out of the domain");
        let both = FoundMail {
            imap: Some(located("i.a.test", FoundBy::Autoconfig, Some("anna"))),
            smtp: Some(located("s.a.test", FoundBy::Autoconfig, Some("anna"))),
            ..FoundMail::default()
        };
        let account = json!({"address": "anna@a.test", "login": "anna"});
        assert_eq!(both.to_json("anna@a.test").unwrap()["account"], account);
    }
}

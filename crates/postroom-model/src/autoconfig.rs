//! The servers of well-known providers, by the domain of an address. It is a table in the binary,
//! so nothing is asked and nobody learns of the address.

use crate::address::ascii_domain;
use crate::autoconfig_server::FoundBy;
use crate::autoconfig_server::FoundMail;
use crate::autoconfig_server::FoundSecurity;
use crate::autoconfig_server::FoundServer;
use crate::autoconfig_server::LocatedServer;
use crate::autoconfig_server::is_within;
use serde::Deserialize;
use std::sync::LazyLock;

/// A provider, with the values of a profile for its accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Provider {
    /// Its name, for people.
    pub name: String,
    /// The domains of its addresses, in lower case.
    pub domains: Vec<String>,
    /// The names below which its servers receive the mail of other domains.
    #[serde(default)]
    pub mx: Vec<String>,
    /// The IMAP server, with TLS at its usual port.
    pub imap_host: String,
    /// The SMTP server, at the usual port of its security.
    pub smtp_host: String,
    /// `tls` or `starttls`.
    pub smtp_security: String,
    /// `password` or `oauth2`.
    pub auth: String,
    /// What a person has to do at the provider first.
    pub note: Option<String>,
}

const TABLE: &str = include_str!("providers.json");

/// A test proves that the table can be read.
static PROVIDERS: LazyLock<Vec<Provider>> =
    LazyLock::new(|| serde_json::from_str(TABLE).unwrap_or_default());

/// The servers of the provider of an address. `None`: the table has none.
#[must_use]
pub fn by_domain(address: &str) -> Option<FoundMail> {
    let domain = ascii_domain(address)?;
    let known = PROVIDERS.iter().find(|provider| provider.domains.contains(&domain));
    known.map(|provider| provider.found(FoundBy::Table))
}

/// The servers of the provider whose server receives the mail of a domain. `None`: the table has
/// none.
#[must_use]
pub fn by_mx(host: &str) -> Option<FoundMail> {
    let receives = |names: &[String]| names.iter().any(|name| is_within(host, name));
    let by_name = PROVIDERS.iter().find(|provider| receives(&provider.mx));
    let known = by_name.or_else(|| PROVIDERS.iter().find(|provider| receives(&provider.domains)));
    known.map(|provider| provider.found(FoundBy::Mx))
}

impl Provider {
    fn found(&self, by: FoundBy) -> FoundMail {
        let server = |host: &str, port: u16, security: FoundSecurity| {
            let is_oauth = self.auth == "oauth2";
            let server =
                FoundServer { host: host.to_owned(), port, security, login: None, is_oauth };
            Some(LocatedServer::new(server, by, ""))
        };
        let (port, security) = match self.smtp_security.as_str() {
            "starttls" => (587, FoundSecurity::StartTls),
            _ => (465, FoundSecurity::Tls),
        };
        FoundMail {
            provider: Some(self.name.clone()),
            note: self.note.clone(),
            imap: server(&self.imap_host, 993, FoundSecurity::Tls),
            smtp: server(&self.smtp_host, port, security),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::validate;
    use std::collections::BTreeSet;

    #[test]
    fn every_provider_gives_a_profile_that_can_be_created() {
        let all: Vec<Provider> = serde_json::from_str(TABLE).unwrap();
        let profiles = builtin::classes().unwrap().remove(0);
        let mut domains = BTreeSet::new();
        for provider in all {
            let profile = provider.found(FoundBy::Table).to_json("a@b.test").unwrap();
            let profile = &profile["profile"];
            validate::create(&profiles, profile).unwrap();
            assert_eq!(profile["smtpSecurity"], provider.smtp_security);
            assert_eq!(profile["auth"], provider.auth);
            assert!(!provider.domains.is_empty() || !provider.mx.is_empty());
            for domain in provider.domains {
                assert_eq!(domain, domain.to_ascii_lowercase());
                assert!(domains.insert(domain.clone()), "{domain} is there twice");
            }
        }
    }

    #[test]
    fn an_address_is_known_by_its_domain() {
        let name = |address: &str| {
            by_domain(address).and_then(|found| found.imap).map(|it| it.server.host)
        };
        let posteo = Some(["posteo", "de"].join("."));
        for domain in [["posteo", "net"].join("."), ["POSTEO", "DE."].join(".")] {
            assert_eq!(name(&format!("a@b@{domain}")), posteo);
        }
        for other in ["a@mail.example", "posteo", "", "a@"] {
            assert_eq!(name(other), None, "{other}");
        }
    }

    #[test]
    fn a_provider_is_known_by_the_server_that_receives_mail() {
        let imap = |host: &str| by_mx(host).and_then(|found| found.imap).map(|it| it.server.host);
        let name = |labels: &[&str]| labels.join(".");
        let google = name(&["aspmx", "l", "google", "com"]);
        assert_eq!(imap(&google), Some(name(&["imap", "gmail", "com"])));
        let microsoft = name(&["firm-test", "mail", "protection", "outlook", "com"]);
        assert_eq!(imap(&microsoft), Some(name(&["outlook", "office365", "com"])));
        let posteo = name(&["mx01", "posteo", "de"]);
        assert_eq!(imap(&posteo), Some(name(&["posteo", "de"])), "a domain of the table will do");
        for other in
            ["mx.a.test", "", &format!("{google}.a.test"), &google.replace(".google", ".xgoogle")]
        {
            assert_eq!(imap(other), None, "{other}");
        }
    }
}

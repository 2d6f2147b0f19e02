//! The servers of well-known providers, by the domain of an address. It is a table in the binary,
//! so nothing is asked and nobody learns of the address.

use serde::Deserialize;

/// A provider, with the values of a profile for its accounts.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Provider {
    /// Its name, for people.
    pub name: String,
    /// The domains of its addresses, in lower case.
    pub domains: Vec<String>,
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

/// The provider of an address. `None`: the table has none.
///
/// # Errors
///
/// When the table is not of its form; a test of this module proves that it is.
pub fn provider_of(address: &str) -> Result<Option<Provider>, serde_json::Error> {
    let domain = address.rsplit_once('@').map_or("", |(_, domain)| domain).to_ascii_lowercase();
    let domain = domain.trim_end_matches('.');
    let all: Vec<Provider> = serde_json::from_str(TABLE)?;
    Ok(all.into_iter().find(|provider| provider.domains.iter().any(|known| known == domain)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::validate;
    use serde_json::json;
    use std::collections::BTreeSet;

    #[test]
    fn every_provider_gives_a_profile_that_can_be_created() {
        let all: Vec<Provider> = serde_json::from_str(TABLE).unwrap();
        let profiles = builtin::classes().unwrap().remove(0);
        let mut domains = BTreeSet::new();
        for provider in all {
            let profile = json!({
                "name": provider.name, "imapHost": provider.imap_host,
                "smtpHost": provider.smtp_host, "smtpSecurity": provider.smtp_security,
                "auth": provider.auth,
            });
            validate::create(&profiles, &profile).unwrap();
            assert!(!provider.domains.is_empty());
            for domain in provider.domains {
                assert_eq!(domain, domain.to_ascii_lowercase());
                assert!(domains.insert(domain.clone()), "{domain} is there twice");
            }
        }
    }

    #[test]
    fn an_address_is_known_by_its_domain() {
        let name = |address: &str| provider_of(address).unwrap().map(|provider| provider.imap_host);
        let posteo = Some(["posteo", "de"].join("."));
        for domain in [["posteo", "net"].join("."), ["POSTEO", "DE."].join(".")] {
            assert_eq!(name(&format!("a@b@{domain}")), posteo);
        }
        for other in ["a@mail.example", "posteo", "", "a@"] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}

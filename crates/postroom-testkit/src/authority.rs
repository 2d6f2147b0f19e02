//! A certificate authority for tests, and certificates with a flaw on purpose.

use anyhow::Result;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::DnType;
use rcgen::IsCa;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;

/// What is wrong with a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Flaw {
    /// Nothing: it is good for `localhost`, `127.0.0.1` and `::1`.
    #[default]
    None,
    /// Signed by an authority that nobody knows.
    UnknownIssuer,
    /// It ended years ago.
    Expired,
    /// It names another host.
    WrongName,
}

/// A certificate (with its chain) and its private key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key.
    pub key_pem: String,
}

/// A certificate authority that exists only for one test.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    /// Makes an authority with a fresh key.
    ///
    /// # Errors
    ///
    /// When the key cannot be made.
    pub fn new() -> Result<Self> {
        Self::named("Postroom test authority")
    }

    fn named(name: &str) -> Result<Self> {
        let mut params = CertificateParams::new(vec![])?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        Ok(Self { issuer })
    }

    /// The authority's own certificate, to be trusted by clients.
    pub fn ca_pem(&self) -> String {
        self.issuer.pem()
    }

    /// Makes a certificate for a server on loopback.
    ///
    /// # Errors
    ///
    /// When the key or the certificate cannot be made.
    pub fn identity(&self, flaw: Flaw) -> Result<Identity> {
        let names = match flaw {
            Flaw::WrongName => vec!["elsewhere.example".to_owned()],
            Flaw::None | Flaw::UnknownIssuer | Flaw::Expired => {
                ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec()
            }
        };
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, "localhost");
        if flaw == Flaw::Expired {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        }
        let key = KeyPair::generate()?;
        let certificate = if flaw == Flaw::UnknownIssuer {
            params.signed_by(&key, &Self::named("An authority that nobody knows")?.issuer)?
        } else {
            params.signed_by(&key, &self.issuer)?
        };
        Ok(Identity { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }
}

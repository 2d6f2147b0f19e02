//! Certificates of the sandbox: a test authority, and leaf certificates that are good or bad in
//! one way each.
//!
//! Nothing is written to disk and no key outlives the process.

use crate::error::Error;
use rcgen::BasicConstraints;
use rcgen::CertificateParams;
use rcgen::DnType;
use rcgen::ExtendedKeyUsagePurpose;
use rcgen::IsCa;
use rcgen::Issuer;
use rcgen::KeyPair;
use rcgen::KeyUsagePurpose;
use rcgen::date_time_ymd;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// The certificate that the sandbox shows in TLS handshakes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Certificate {
    /// For `localhost`, `127.0.0.1` and `::1`, signed by the sandbox's authority.
    #[default]
    Good,
    /// As `Good`, but it expired long ago.
    Expired,
    /// As `Good`, but for another host.
    WrongName,
    /// As `Good`, but signed by an unknown authority.
    Untrusted,
}

/// The test authority with one TLS configuration per kind of certificate.
pub(crate) struct TestAuthority {
    ca_pem: String,
    good: TlsAcceptor,
    expired: TlsAcceptor,
    wrong_name: TlsAcceptor,
    untrusted: TlsAcceptor,
}

type Boxed = Box<dyn std::error::Error + Send + Sync>;

impl TestAuthority {
    /// Makes new keys and certificates.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] if the library refuses.
    pub(crate) fn new() -> Result<Self, Error> {
        Self::make().map_err(|source| Error::Certificate { source })
    }

    fn make() -> Result<Self, Boxed> {
        let (issuer, ca_pem) = authority("Postroom sandbox authority")?;
        let (stranger, _) = authority("Authority that nobody has heard of")?;
        let local = ["localhost", "127.0.0.1", "::1"];
        Ok(Self {
            ca_pem,
            good: acceptor(&issuer, &local, 2100)?,
            expired: acceptor(&issuer, &local, 2001)?,
            wrong_name: acceptor(&issuer, &["elsewhere.example"], 2100)?,
            untrusted: acceptor(&stranger, &local, 2100)?,
        })
    }

    /// The authority's certificate in PEM: what a client has to trust.
    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    /// The acceptor of TLS with the `certificate`.
    pub(crate) fn acceptor(&self, certificate: Certificate) -> &TlsAcceptor {
        match certificate {
            Certificate::Good => &self.good,
            Certificate::Expired => &self.expired,
            Certificate::WrongName => &self.wrong_name,
            Certificate::Untrusted => &self.untrusted,
        }
    }
}

fn authority(name: &str) -> Result<(Issuer<'static, KeyPair>, String), Boxed> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    let key = KeyPair::generate()?;
    let pem = params.self_signed(&key)?.pem();
    Ok((Issuer::new(params, key), pem))
}

fn acceptor(
    issuer: &Issuer<'static, KeyPair>,
    names: &[&str],
    not_after_year: i32,
) -> Result<TlsAcceptor, Boxed> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Postroom sandbox");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(not_after_year, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

//! Which certificates are trusted, and why one is refused.
//!
//! ```text
//!   pinned? ──► equal fingerprint
//!   else    ──► signed by a trusted authority, or itself among the certificates given to us
//! ```
//!
//! A self-signed certificate is not one of an authority, so a chain verifier refuses it even if it
//! is listed as trusted. It is accepted here all the same, because the user named this very
//! certificate. Its host name and dates are still checked. If it has no `subjectAltName`, as the
//! ones of many appliances, its common name is its host name.
//!
//! A pinned or listed certificate may be of X.509 version 1, which `openssl x509 -req` makes. The
//! TLS library does not read those, so their key is read here.

use crate::certificate::CertificateFacts;
use crate::certificate::EarlierKey;
use crate::dial_log::DialLog;
use crate::dial_log::SeenCertificate;
use crate::error::Error;
use postroom_model::Timestamp;
use postroom_model::fingerprint;
use rustls::CertificateError;
use rustls::DigitallySignedStruct;
use rustls::OtherError;
use rustls::RootCertStore;
use rustls::SignatureScheme;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::client::danger::ServerCertVerified;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::crypto::verify_tls13_signature_with_raw_key;
use rustls::server::ParsedCertificate;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::ServerName;
use rustls_pki_types::SubjectPublicKeyInfoDer;
use rustls_pki_types::UnixTime;
use rustls_pki_types::pem::PemObject;
use sha2::Digest;
use sha2::Sha256;
use std::sync::Arc;

/// Which certificates to trust.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Trust {
    /// Those that the system trusts.
    pub system: bool,
    /// Certificates of further authorities and servers, in PEM. Empty: none.
    pub extra_ca_pem: Vec<u8>,
}

/// Verifies the certificates of servers.
#[derive(Debug, Clone)]
pub(crate) struct Verifier {
    /// `None` where no authority is trusted.
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
    named: Arc<[CertificateDer<'static>]>,
    pinned: Arc<[[u8; fingerprint::OCTETS]]>,
    /// Where the certificate of the server is noted.
    log: Option<DialLog>,
}

/// Why a certificate is refused, in the form in which the TLS library passes it on.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
struct RefusedCertificate {
    reason: String,
}

impl Verifier {
    /// Trusts what `trust` names.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] when it holds no certificate, or one that cannot be used.
    pub(crate) fn new(trust: &Trust) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        if trust.system {
            let found = rustls_native_certs::load_native_certs();
            for error in found.errors {
                tracing::warn!(%error, "a certificate of the system is not read");
            }
            roots.add_parsable_certificates(found.certs);
        }
        let named = if trust.extra_ca_pem.is_empty() { vec![] } else { named(trust)? };
        for certificate in &named {
            let added = roots.add(certificate.clone());
            added.map_err(|error| Error::Trust { reason: error.to_string() })?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let chains = if roots.is_empty() {
            None
        } else {
            let builder =
                WebPkiServerVerifier::builder_with_provider(roots.into(), Arc::clone(&provider));
            Some(builder.build().map_err(|error| Error::Trust { reason: error.to_string() })?)
        };
        Ok(Self { chains, provider, named: named.into(), pinned: Arc::new([]), log: None })
    }

    /// A verifier that accepts the certificates with these fingerprints and no others.
    #[must_use]
    pub(crate) fn pinned(&self, fingerprints: &[[u8; fingerprint::OCTETS]]) -> Self {
        Self { pinned: fingerprints.into(), ..self.clone() }
    }

    /// The same, which notes the certificates that servers show.
    #[must_use]
    pub(crate) fn noting(&self, log: &DialLog) -> Self {
        Self { log: Some(log.clone()), ..self.clone() }
    }

    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        by_chain: Result<ServerCertVerified, rustls::Error>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let digest: [u8; fingerprint::OCTETS] = Sha256::digest(certificate).into();
        if !self.pinned.is_empty() {
            if self.pinned.contains(&digest) {
                return Ok(ServerCertVerified::assertion());
            }
            return Err(refused(pinned_otherwise(&digest)));
        }
        let problem = match by_chain {
            Ok(verified) => return Ok(verified),
            Err(rustls::Error::InvalidCertificate(problem)) => problem,
            Err(error) => return Err(error),
        };
        let is_named = self.named.iter().any(|named| named == certificate);
        let problem =
            if is_named { named_problem(problem, certificate, name, now) } else { Some(problem) };
        match problem {
            Some(problem) => Err(refused(reason(&problem, &digest))),
            None => Ok(ServerCertVerified::assertion()),
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if let Some(log) = &self.log {
            let fingerprint = fingerprint::written(&Sha256::digest(certificate).into());
            let facts = CertificateFacts::read(certificate).unwrap_or_default();
            let seen = SeenCertificate { fingerprint, facts };
            log.note(|steps| steps.certificate = Some(seen));
        }
        let by_chain = match &self.chains {
            Some(chains) => chains.verify_server_cert(certificate, intermediates, name, ocsp, now),
            None => Err(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        };
        self.check(certificate, name, by_chain, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        if let Some(key) = EarlierKey::of(certificate) {
            return verify_tls12_by_key(message, key, signed, known);
        }
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        if let Some(EarlierKey { info, .. }) = EarlierKey::of(certificate) {
            let key = SubjectPublicKeyInfoDer::from(info);
            return verify_tls13_signature_with_raw_key(message, &key, signed, known);
        }
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn named(trust: &Trust) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&trust.extra_ca_pem).collect();
    let named = read.map_err(|_| {
        let reason = "the file is not PEM, or is damaged within a certificate".to_owned();
        Error::Trust { reason }
    })?;
    if named.is_empty() {
        let reason = "the file holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned();
        return Err(Error::Trust { reason });
    }
    Ok(named)
}

fn refused(reason: String) -> rustls::Error {
    let refused = OtherError(Arc::new(RefusedCertificate { reason }));
    rustls::Error::InvalidCertificate(CertificateError::Other(refused))
}

/// Why a certificate was refused, taken from the error of a handshake.
pub(crate) fn reason_of(error: &rustls::Error) -> Option<String> {
    if let rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) = error {
        return Some(inner.to_string());
    }
    None
}

fn pinned_otherwise(digest: &[u8; fingerprint::OCTETS]) -> String {
    let shown = fingerprint::written(digest);
    format!(
        "its SHA-256 fingerprint is {shown}, which `tlsFingerprint` of the profile does not name; \
         if the server has a new certificate, put this one there"
    )
}

/// What is wrong with a certificate that we were given, which a verifier of chains refuses. `None`:
/// nothing.
fn named_problem(
    problem: CertificateError,
    certificate: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> Option<CertificateError> {
    if is_of_time(&problem) {
        return Some(problem);
    }
    let facts = CertificateFacts::read(certificate).unwrap_or_default();
    if EarlierKey::of(certificate).is_some() {
        // The verifier of chains has not come to its dates.
        let at = |text: &str| Timestamp::parse(text).ok();
        let (Some(begin), Some(end)) = (at(&facts.not_before), at(&facts.not_after)) else {
            return Some(CertificateError::BadEncoding);
        };
        let now_s = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        if now_s < begin.as_ms().div_euclid(1_000) {
            return Some(CertificateError::NotValidYet);
        }
        if now_s > end.as_ms().div_euclid(1_000) {
            return Some(CertificateError::Expired);
        }
    }
    let is_of_host = if facts.names.is_empty() {
        facts.subject_cn.is_some_and(|common| common.eq_ignore_ascii_case(&name.to_str()))
    } else {
        ParsedCertificate::try_from(certificate)
            .and_then(|parsed| verify_server_name(&parsed, name))
            .is_ok()
    };
    (!is_of_host).then_some(CertificateError::NotValidForName)
}

fn is_of_time(problem: &CertificateError) -> bool {
    matches!(
        problem,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
            | CertificateError::Revoked
    )
}

/// Verifies the signature of a TLS 1.2 handshake by a key that the TLS library does not take out of
/// its certificate.
fn verify_tls12_by_key(
    message: &[u8],
    key: EarlierKey<'_>,
    signed: &DigitallySignedStruct,
    known: &WebPkiSupportedAlgorithms,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let of_scheme = known.mapping.iter().find(|(scheme, _)| *scheme == signed.scheme);
    let algorithms = of_scheme.map_or(&[][..], |(_, algorithms)| algorithms);
    let algorithm = algorithms.iter().find(|it| it.public_key_alg_id().as_ref() == key.algorithm);
    let verified = algorithm
        .is_some_and(|it| it.verify_signature(key.key, message, signed.signature()).is_ok());
    if verified {
        return Ok(HandshakeSignatureValid::assertion());
    }
    Err(rustls::Error::InvalidCertificate(CertificateError::BadSignature))
}

/// What is wrong with a certificate, and what to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of a library, which grows")]
fn reason(problem: &CertificateError, digest: &[u8; fingerprint::OCTETS]) -> String {
    let what = match problem {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "it has expired; the server needs a new one (or this clock is wrong)"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "it is not valid yet (or this clock is wrong)"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name, or for none without a subjectAltName; use the host name that \
             it was issued for"
        }
        CertificateError::UnknownIssuer => "its issuer is not trusted",
        CertificateError::BadSignature => {
            "it is signed with another key than its issuer has; the issuer may be a newer one"
        }
        CertificateError::Revoked => return "it was revoked".to_owned(),
        CertificateError::BadEncoding => "it is not well formed",
        _ => "it is self-signed, or was not issued for servers",
    };
    let shown = fingerprint::written(digest);
    format!(
        "{what}. If this is the right server, either start Postroom with --trust-ca and a file \
         that holds this certificate or its issuer's (after the file changed, send SIGHUP), or \
         set `tlsFingerprint` of the profile to its SHA-256 fingerprint {shown}"
    )
}

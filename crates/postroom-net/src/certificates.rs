//! The certificate and the key of a listener, which are read again when their files change.
//!
//! ```text
//!   files ──read──► pair that fits and is valid ──► used for the next connections
//!              └──► anything else ──► one warning; the former pair stays
//! ```
//! At the start, and in place of a pair that is not valid either, a pair that is not valid is used.
//! One that is not valid yet is used as soon as it is.
//!
//! A program that renews certificates may replace both files at once or one after the other. What
//! is between the two states does not fit, so nothing changes until both are new.
//!
//! Standards: RFC 7301 (ALPN).

use crate::cause::cause;
use crate::certificate_end::CertificateEnd;
use crate::certificate_end::LastWarning;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use secrecy::SecretSlice;
use sha2::Digest;
use sha2::Sha256;
use std::fs::File;
use std::io;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::RwLock;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio_rustls::TlsAcceptor;

/// How often the files are looked at.
const LOOK_AGAIN: Duration = Duration::from_secs(2);
/// How many bytes such a file may have.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The protocols that clients may choose, the best first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The file for the certificate has none.
    #[error("{}: it has no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// The file for the key has none.
    #[error("{}: it has no private key in PEM (-----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// The key needs a password.
    #[error(
        "{}: its key is encrypted; write it without a password: openssl pkey -in KEY -out NEW",
        path.display()
    )]
    EncryptedKey {
        /// Which file.
        path: PathBuf,
    },
    /// Clients would refuse it, and not the former one.
    #[error("{}: {reason}", path.display())]
    NotValid {
        /// Which file.
        path: PathBuf,
        /// When it is valid.
        reason: String,
    },
    /// The two do not fit, or TLS takes no such certificate or key.
    #[error("{} and {}: {reason}", certificate.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// Why.
        reason: String,
    },
}

/// The certificate of a listener. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Certificates(Arc<CertificateFiles>);

#[derive(Debug)]
struct CertificateFiles {
    certificate: PathBuf,
    key: PathBuf,
    used: Arc<UsedCertificate>,
    config: Arc<ServerConfig>,
    seen: Mutex<SeenFiles>,
    last_warning: Mutex<LastWarning>,
}

/// A SHA-256 of what was found.
type FilesDigest = [u8; 32];

/// What was found the last time.
#[derive(Debug)]
struct SeenFiles {
    /// Of both files, or of the error.
    digest: FilesDigest,
    /// Whether the pair is good but for its time, so that it may become valid.
    is_for_later: bool,
}

/// The pair that new connections get.
#[derive(Debug)]
struct UsedCertificate(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for UsedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

/// What the two files have.
struct ReadFiles {
    certificate: Vec<u8>,
    key: SecretSlice<u8>,
}

impl Certificates {
    /// Reads a chain of certificates, the own one first, and its key. Both are PEM.
    ///
    /// # Errors
    ///
    /// When a file cannot be read, has no certificate or key, or the two do not fit.
    pub fn open(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = ReadFiles::of(certificate, key)?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let pair = read.pair(certificate, key, &provider)?;
        let used = Arc::new(UsedCertificate(RwLock::new(Arc::new(pair))));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(certificate, key, &error))?;
        let resolver: Arc<dyn ResolvesServerCert> = Arc::clone(&used) as _;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Self(Arc::new(CertificateFiles {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            used,
            config: Arc::new(config),
            seen: Mutex::new(SeenFiles { digest: read.digest(), is_for_later: false }),
            last_warning: Mutex::default(),
        })))
    }

    /// Reads the files again. New connections get the new pair if it is good. Otherwise the former
    /// one stays, and the log says why, once for each state of the files. `now_ms` is in
    /// milliseconds since 1970.
    pub fn reload(&self, now_ms: i64) {
        let files = &*self.0;
        let mut seen = files.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = ReadFiles::of(&files.certificate, &files.key);
        let digest = match &read {
            Ok(read) => read.digest(),
            Err(error) => Sha256::digest(error.to_string()).into(),
        };
        let is_known = seen.digest == digest;
        if is_known && !seen.is_for_later {
            return;
        }
        let provider = files.config.crypto_provider();
        let pair = read.and_then(|read| read.pair(&files.certificate, &files.key, provider));
        let pair = pair.and_then(|pair| self.in_time(pair, now_ms));
        let is_for_later = matches!(pair, Err(CertificateError::NotValid { .. }));
        *seen = SeenFiles { digest, is_for_later };
        let file = files.certificate.display();
        match pair {
            Ok(pair) => {
                *files.used.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(pair);
                tracing::info!(%file, "the new certificate of REST holds for new connections");
            }
            Err(_) if is_known => {}
            Err(error) => {
                tracing::warn!(%error, "the certificate of REST is the former one");
            }
        }
    }

    /// The pair, unless it is not valid now and the one that is used is.
    fn in_time(&self, pair: CertifiedKey, now_ms: i64) -> Result<CertifiedKey, CertificateError> {
        let refused = |pair: &CertifiedKey| {
            let end = CertificateEnd::of(pair.end_entity_cert().ok()?)?;
            end.refused_for(now_ms)
        };
        match refused(&pair) {
            Some(reason) if refused(&self.used()).is_none() => {
                Err(CertificateError::NotValid { path: self.0.certificate.clone(), reason })
            }
            Some(_) | None => Ok(pair),
        }
    }

    /// The pair that new connections get.
    fn used(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.used.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether the certificate ends soon or is not valid, in words for people. `None`: neither, or
    /// this was said already. `now_ms` is in milliseconds since 1970.
    #[must_use]
    pub fn warning(&self, now_ms: i64) -> Option<String> {
        let end = CertificateEnd::of(self.used().end_entity_cert().ok()?)?;
        let mut last = self.0.last_warning.lock().unwrap_or_else(PoisonError::into_inner);
        end.warning(&mut last, now_ms)
    }

    /// Reads the files again and again, for as long as it is polled. The log warns before the
    /// certificate ends. `now_ms` gives the time of day, in milliseconds since 1970.
    pub async fn watch(&self, now_ms: impl Fn() -> i64) {
        loop {
            if let Some(warning) = self.warning(now_ms()) {
                let file = self.0.certificate.display();
                tracing::warn!(%file, "the certificate of REST: {warning}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
            let (certificates, now_ms) = (self.clone(), now_ms());
            let read = tokio::task::spawn_blocking(move || certificates.reload(now_ms)).await;
            if let Err(error) = read {
                tracing::error!(%error, "the certificate of REST was not looked at");
            }
        }
    }

    /// Takes a connection of a client, which may choose HTTP/2 or HTTP/1.1.
    ///
    /// # Errors
    ///
    /// When the client does not speak TLS, or not as we do.
    pub async fn accept<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
        &self,
        stream: S,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static + use<S>> {
        TlsAcceptor::from(Arc::clone(&self.0.config)).accept(stream).await
    }
}

impl ReadFiles {
    fn of(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let read = |path: &Path| {
            let mut bytes = vec![];
            let file = File::open(path);
            let read = file.and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes));
            let failed = |error: io::Error| {
                let (path, reason) = (path.to_owned(), cause(&error));
                CertificateError::File { path, reason }
            };
            read.map_err(failed).map(|_| bytes)
        };
        Ok(Self { certificate: read(certificate)?, key: read(key)?.into() })
    }

    fn digest(&self) -> FilesDigest {
        let certificate = Sha256::digest(&self.certificate);
        Sha256::new()
            .chain_update(certificate)
            .chain_update(self.key.expose_secret())
            .finalize()
            .into()
    }

    fn pair(
        &self,
        certificate: &Path,
        key: &Path,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, CertificateError> {
        let none = || CertificateError::NoCertificate { path: certificate.to_owned() };
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&self.certificate).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or_else(none)?;
        let own = PrivateKeyDer::from_pem_slice(self.key.expose_secret());
        let own = own.map_err(|_| {
            let path = key.to_owned();
            let is_encrypted = has(self.key.expose_secret(), b"ENCRYPTED");
            if is_encrypted {
                CertificateError::EncryptedKey { path }
            } else {
                CertificateError::NoKey { path }
            }
        })?;
        let made = CertifiedKey::from_der(chain, own, provider);
        made.map_err(|error| unusable(certificate, key, &error))
    }
}

fn has(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|window| window == word)
}

fn unusable(certificate: &Path, key: &Path, error: &rustls::Error) -> CertificateError {
    let is_of_other = matches!(error, rustls::Error::InconsistentKeys(_));
    let reason = if is_of_other {
        "they do not fit: the certificate is of another key".to_owned()
    } else {
        error.to_string()
    };
    CertificateError::Unusable { certificate: certificate.to_owned(), key: key.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::CertifiedKey as Made;

    /// In 2027.
    const NOW_MS: i64 = 1_800_000_000_000;

    struct Files {
        directory: tempfile::TempDir,
    }

    impl Files {
        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) {
            std::fs::write(self.path(name), text).unwrap();
        }

        fn opened(&self) -> Result<Certificates, CertificateError> {
            Certificates::open(&self.path("cert"), &self.path("key"))
        }
    }

    fn made() -> (String, String, Vec<u8>) {
        let Made { cert, signing_key } =
            rcgen::generate_simple_self_signed(["postroom.test".to_owned()]).unwrap();
        (cert.pem(), signing_key.serialize_pem(), cert.der().to_vec())
    }

    /// A certificate for these years, with its key.
    fn of_years(begin: i32, end: i32) -> (String, String, Vec<u8>) {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["postroom.test".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(begin, 1, 1);
        params.not_after = rcgen::date_time_ymd(end, 1, 1);
        let certificate = params.self_signed(&key).unwrap();
        (certificate.pem(), key.serialize_pem(), certificate.der().to_vec())
    }

    fn used(certificates: &Certificates) -> Vec<u8> {
        certificates.used().end_entity_cert().unwrap().to_vec()
    }

    #[test]
    fn a_certificate_out_of_its_time_replaces_no_valid_one() {
        let files = Files { directory: tempfile::tempdir().unwrap() };
        let write = |made: &(String, String, Vec<u8>)| {
            files.write("cert", &made.0);
            files.write("key", &made.1);
        };
        let year = |year: i64| (year - 1970) * 31_557_600_000;
        let [ended, older] = [2020, 2021].map(|end| of_years(2019, end));
        let (valid, later) = (of_years(2019, 2030), of_years(2028, 2040));
        // What there is at the start is used, and warned about.
        write(&ended);
        let certificates = files.opened().unwrap();
        assert_eq!(used(&certificates), ended.2);
        let warning = certificates.warning(NOW_MS).unwrap();
        assert!(warning.contains("it ended at 2020-01-01T00:00:00Z"), "{warning}");
        // Of two that are not valid, the newer files hold.
        write(&older);
        certificates.reload(NOW_MS);
        assert_eq!(used(&certificates), older.2);
        write(&valid);
        certificates.reload(NOW_MS);
        assert_eq!(used(&certificates), valid.2);
        for (other, why) in
            [(&ended, "it ended at 2020-"), (&later, "it is not valid before 2028-")]
        {
            write(other);
            let read = ReadFiles::of(&files.path("cert"), &files.path("key")).unwrap();
            let provider = certificates.0.config.crypto_provider();
            let pair = read.pair(&files.path("cert"), &files.path("key"), provider).unwrap();
            let error = certificates.in_time(pair, NOW_MS).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            for _ in 0..2 {
                certificates.reload(NOW_MS);
                assert_eq!(used(&certificates), valid.2, "{why}");
            }
        }
        // The files are the same, and their time has come.
        certificates.reload(year(2029));
        assert_eq!(used(&certificates), later.2);
    }

    #[test]
    fn files_that_are_replaced_one_after_the_other_hold_when_both_are_new() {
        let files = Files { directory: tempfile::tempdir().unwrap() };
        let ((first, key, first_der), (second, new_key, second_der)) = (made(), made());
        files.write("cert", &first);
        files.write("key", &key);
        let certificates = files.opened().unwrap();
        assert_eq!(used(&certificates), first_der);
        for between in [&second, "nothing", ""] {
            files.write("cert", between);
            certificates.reload(NOW_MS);
            assert_eq!(used(&certificates), first_der);
        }
        std::fs::remove_file(files.path("cert")).unwrap();
        certificates.reload(NOW_MS);
        assert_eq!(used(&certificates), first_der);
        files.write("key", &new_key);
        files.write("cert", &second);
        certificates.reload(NOW_MS);
        assert_eq!(used(&certificates), second_der);
    }

    #[test]
    fn the_end_of_the_certificate_that_is_used_is_warned_about() {
        let files = Files { directory: tempfile::tempdir().unwrap() };
        let (certificate, key, _) = made();
        files.write("cert", &certificate);
        files.write("key", &key);
        let certificates = files.opened().unwrap();
        // It is valid until the year 4096.
        assert_eq!(certificates.warning(1_800_000_000_000), None);
        let ended = certificates.warning(70_000_000_000_000).unwrap();
        assert!(ended.contains("it ended at 4096-01-01T00:00:00Z"), "{ended}");
        assert_eq!(certificates.warning(70_000_000_000_000), None);
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let files = Files { directory: tempfile::tempdir().unwrap() };
        let ((certificate, key, _), (_, other, _)) = (made(), made());
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE \
                         KEY-----\n";
        let error = files.opened().unwrap_err().to_string();
        assert!(error.contains("cert: it does not exist"), "{error}");
        #[rustfmt::skip]
        let table: [(&str, &str, &str); 5] = [
            ("",           &key,      "no certificate in PEM"),
            (&key,         &key,      "no certificate in PEM"),
            (&certificate, "",        "no private key in PEM"),
            (&certificate, encrypted, "openssl pkey"),
            (&certificate, &other,    "another key"),
        ];
        for (certificate, key, want) in table {
            files.write("cert", certificate);
            files.write("key", key);
            let error = files.opened().unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        }
    }
}

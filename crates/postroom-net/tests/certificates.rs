//! Which servers the dialer talks to, and what it says of the others.
#![expect(clippy::unwrap_used, reason = "tests")]

use base64::Engine;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::TlsMinimum;
use postroom_net::Trust;
use rcgen::CertificateParams;
use rcgen::CertifiedIssuer;
use rcgen::KeyPair;
use rcgen::PublicKeyData;
use rcgen::SigningKey;
use rustls::ServerConfig;
use rustls::SupportedProtocolVersion;
use rustls::sign::CertifiedKey;
use rustls::sign::SingleCertAndKey;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivateKeyDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self { issuer: CertifiedIssuer::self_signed(params, key).unwrap() }
    }

    fn trust(&self) -> Trust {
        Trust { system: false, extra_ca_pem: self.issuer.pem().into_bytes() }
    }

    /// Starts a TLS server for `name`, valid in these years, that echoes.
    async fn serve(&self, name: &str, years: [i32; 2]) -> u16 {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let [from, to] = years;
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        serve_with(certificate.der().clone(), &key).await
    }
}

/// Starts a TLS server with a certificate, that echoes.
async fn serve_with(certificate: CertificateDer<'static>, key: &KeyPair) -> u16 {
    serve_versions(certificate, key, rustls::DEFAULT_VERSIONS).await
}

async fn serve_versions(
    certificate: CertificateDer<'static>,
    key: &KeyPair,
    versions: &[&'static SupportedProtocolVersion],
) -> u16 {
    let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = provider.key_provider.load_private_key(secret).unwrap();
    // Nothing compares certificate and key here, or reads the certificate.
    let shown = SingleCertAndKey::from(CertifiedKey::new(vec![certificate], key));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(shown));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            // A client that refuses the certificate goes away.
            if let Ok(mut stream) = acceptor.accept(socket).await {
                let mut byte = [0];
                let _ = stream.read_exact(&mut byte).await;
                let _ = stream.write_all(&byte).await;
            }
        }
    });
    port
}

async fn connect(trust: &Trust, host: &str, port: u16, security: Security) -> Result<(), String> {
    connect_by(&Dialer::new(trust).unwrap(), host, port, security).await
}

async fn connect_by(
    dialer: &Dialer,
    host: &str,
    port: u16,
    security: Security,
) -> Result<(), String> {
    let dialer = dialer.clone().with_deadline(Duration::from_secs(2));
    let endpoint = Endpoint { host: host.to_owned(), port, security };
    let mut stream = dialer.connect(&endpoint).await.map_err(|error| error.to_string())?;
    if security == Security::StartTls {
        stream = dialer.start_tls(stream, host).await.map_err(|error| error.to_string())?;
    }
    assert!(stream.is_tls());
    stream.write_all(b"x").await.unwrap();
    stream.flush().await.unwrap();
    let mut byte = [0];
    stream.read_exact(&mut byte).await.unwrap();
    assert_eq!(&byte, b"x");
    Ok(())
}

#[tokio::test]
async fn only_a_certificate_that_is_good_is_accepted() {
    let authority = Authority::new("ours");
    let good = [2020, 2090];
    let trusted = authority.trust();
    let stranger = Authority::new("another").trust();
    let impostor = Authority::new("ours").trust();
    #[rustfmt::skip]
    let table = [
        ("localhost",   good,         &trusted,  ""),
        ("127.0.0.1",   good,         &trusted,  "is for another name"),
        ("mail.test",   good,         &trusted,  "is for another name"),
        ("localhost",   [2020, 2021], &trusted,  "has expired"),
        ("localhost",   [2080, 2090], &trusted,  "is not valid yet"),
        ("localhost",   good,         &stranger, "its issuer is not trusted. If this is the right server, either start Postroom with --trust-ca"),
        ("localhost",   good,         &impostor, "is signed with another key than its issuer has"),
    ];
    for (name, years, trust, want) in table {
        let port = authority.serve(name, years).await;
        for security in [Security::Tls, Security::StartTls] {
            match connect(trust, "localhost", port, security).await {
                Ok(()) => assert_eq!(want, "", "{name} {years:?} was accepted"),
                Err(error) => {
                    assert!(!want.is_empty() && error.contains(want), "{error}, not {want}");
                    assert!(error.contains("localhost"), "{error}");
                }
            }
        }
    }
}

/// A certificate that signs itself, as `openssl req -x509` makes it, for `name` and these years.
fn self_signed(name: &str, years: [i32; 2], is_ca: bool) -> (rcgen::Certificate, KeyPair) {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    let [from, to] = years;
    params.not_before = rcgen::date_time_ymd(from, 1, 1);
    params.not_after = rcgen::date_time_ymd(to, 1, 1);
    if is_ca {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    (params.self_signed(&key).unwrap(), key)
}

/// A certificate of X.509 version 1 that signs itself, as `openssl x509 -req -signkey` makes it.
fn version_1(name: &str, years: [i32; 2], algorithm: Algorithm) -> (Vec<u8>, KeyPair) {
    let key = KeyPair::generate_for(algorithm.0).unwrap();
    let signature = der(0x30, &der(0x06, algorithm.1));
    let common_name = [der(0x06, &[0x55, 0x04, 0x03]), der(0x0c, name.as_bytes())].concat();
    let subject = der(0x30, &der(0x31, &der(0x30, &common_name)));
    let time = |year| der(0x18, format!("{year}0101000000Z").as_bytes());
    let validity = der(0x30, &years.map(time).concat());
    let info = key.subject_public_key_info();
    let serial = der(0x02, &[1]);
    let fields = [&serial, &signature, &subject, &validity, &subject, &info].map(Vec::as_slice);
    let signed = der(0x30, &fields.concat());
    let bits = [vec![0], key.sign(&signed).unwrap()].concat();
    (der(0x30, &[signed, signature, der(0x03, &bits)].concat()), key)
}

/// A kind of signatures, and its object identifier.
type Algorithm = (&'static rcgen::SignatureAlgorithm, &'static [u8]);

/// ecdsa-with-SHA256 and Ed25519.
const ALGORITHMS: [Algorithm; 2] = [
    (&rcgen::PKCS_ECDSA_P256_SHA256, &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02]),
    (&rcgen::PKCS_ED25519, &[0x2b, 0x65, 0x70]),
];

/// An element of DER.
fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let head = match (u8::try_from(length), u16::try_from(length).unwrap().to_be_bytes()) {
        (Ok(short @ 0..0x80), _) => vec![tag, short],
        (Ok(octet), _) => vec![tag, 0x81, octet],
        (Err(_), [high, low]) => vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

fn pem(der: &[u8]) -> Vec<u8> {
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n").into_bytes()
}

#[tokio::test]
async fn a_certificate_of_version_1_is_accepted_when_it_is_named_itself() {
    let good = [2020, 2090];
    #[rustfmt::skip]
    let table = [
        ("localhost", good,         ""),
        ("mail.test", good,         "is for another name"),
        ("localhost", [2020, 2021], "has expired"),
        ("localhost", [2080, 2090], "not valid yet"),
    ];
    let versions = [&rustls::version::TLS12, &rustls::version::TLS13];
    for algorithm in ALGORITHMS {
        for version in versions {
            for (name, years, want) in table {
                let (certificate, key) = version_1(name, years, algorithm);
                let shown = CertificateDer::from(certificate.clone());
                let port = serve_versions(shown.clone(), &key, &[version]).await;
                let trust = Trust { system: false, extra_ca_pem: pem(&certificate) };
                let named = connect(&trust, "localhost", port, Security::Tls).await;
                assert_said(named, want, name, years);
                let stranger = Dialer::new(&Authority::new("another").trust()).unwrap();
                let refused = connect_by(&stranger, "localhost", port, Security::Tls).await;
                let pinned = stranger.pinned(&[fingerprint(&refused.unwrap_err())]).unwrap();
                connect_by(&pinned, "localhost", port, Security::Tls).await.unwrap();
                // Who has copied the certificate has not its key.
                let (_, other_key) = version_1(name, years, algorithm);
                let thief = serve_versions(shown, &other_key, &[version]).await;
                connect_by(&pinned, "localhost", thief, Security::Tls).await.unwrap_err();
            }
        }
    }
}

#[tokio::test]
async fn a_certificate_without_alternative_names_is_for_its_common_name_when_it_is_named_itself() {
    for (name, want) in [("LocalHost", ""), ("mail.test", "without a subjectAltName")] {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let port = serve_with(certificate.der().clone(), &key).await;
        let trust = Trust { system: false, extra_ca_pem: certificate.pem().into_bytes() };
        let named = connect(&trust, "localhost", port, Security::Tls).await;
        assert_said(named, want, name, []);
    }
}

/// A connection was refused with these words, or made if there are none.
fn assert_said<const N: usize>(
    connected: Result<(), String>,
    want: &str,
    name: &str,
    years: [i32; N],
) {
    match connected {
        Ok(()) => assert_eq!(want, "", "{name} {years:?} was accepted"),
        Err(error) => assert!(!want.is_empty() && error.contains(want), "{error}, not {want}"),
    }
}

fn fingerprint(error: &str) -> [u8; 32] {
    let (_, after) = error.split_once("SHA-256 fingerprint ").unwrap();
    *postroom_model::fingerprint::parse(after).unwrap().first().unwrap()
}

#[tokio::test]
async fn a_certificate_that_signs_itself_is_trusted_when_it_is_named_itself() {
    for is_ca in [true, false] {
        let good = [2020, 2090];
        #[rustfmt::skip]
        let table = [
            ("localhost", good,         ""),
            ("mail.test", good,         "is for another name"),
            ("localhost", [2020, 2021], "has expired"),
        ];
        for (name, years, want) in table {
            let (certificate, key) = self_signed(name, years, is_ca);
            let port = serve_with(certificate.der().clone(), &key).await;
            let trust = Trust { system: false, extra_ca_pem: certificate.pem().into_bytes() };
            let named = connect(&trust, "localhost", port, Security::Tls).await;
            assert_said(named, want, name, years);
            let stranger = Authority::new("another").trust();
            let error = connect(&stranger, "localhost", port, Security::Tls).await.unwrap_err();
            assert!(error.contains("--trust-ca"), "{error}");
            assert!(error.contains("`tlsFingerprint` of the profile"), "{error}");
        }
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_accepted_alone_and_whatever_else_is_wrong_with_it() {
    let (certificate, key) = self_signed("mail.test", [2020, 2021], true);
    let port = serve_with(certificate.der().clone(), &key).await;
    let authority = Authority::new("ours");
    let dialer = Dialer::new(&authority.trust()).unwrap();
    let error = connect_by(&dialer, "localhost", port, Security::Tls).await.unwrap_err();
    let pin = fingerprint(&error);
    let pinned = dialer.pinned(&[pin]).unwrap();
    connect_by(&pinned, "localhost", port, Security::Tls).await.unwrap();
    // A good certificate that is another one is none of it.
    let other = authority.serve("localhost", [2020, 2090]).await;
    let error = connect_by(&pinned, "localhost", other, Security::Tls).await.unwrap_err();
    assert!(error.contains("which `tlsFingerprint` of the profile does not name"), "{error}");
    connect_by(&dialer.pinned(&[]).unwrap(), "localhost", other, Security::Tls).await.unwrap();
}

#[tokio::test]
async fn an_address_is_a_name_too() {
    let authority = Authority::new("ours");
    let port = authority.serve("127.0.0.1", [2020, 2090]).await;
    connect(&authority.trust(), "127.0.0.1", port, Security::Tls).await.unwrap();
}

#[tokio::test]
async fn each_failure_says_what_to_do() {
    let trust = Authority::new("another").trust();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = closed.local_addr().unwrap().port();
    drop(closed);
    let error = connect(&trust, "127.0.0.1", port, Security::Tls).await.unwrap_err();
    assert!(error.contains("does not accept connections on port"), "{error}");

    let error = connect(&trust, "no-such-host.invalid", 1, Security::Tls).await.unwrap_err();
    assert!(error.contains("no-such-host.invalid has no address"), "{error}");

    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = plain.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = plain.accept().await.unwrap();
        socket.write_all(b"220 mx.test ESMTP\r\n").await.unwrap();
        let mut rest = vec![];
        let _ = socket.read_to_end(&mut rest).await;
    });
    let error = connect(&trust, "127.0.0.1", port, Security::Tls).await.unwrap_err();
    assert!(error.contains("is the security setting right for this port"), "{error}");
}

#[tokio::test]
async fn a_version_of_tls_below_the_minimum_is_refused_with_words() {
    let authority = Authority::new("ca");
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority.issuer).unwrap();
    let serve = async |versions: &[&'static SupportedProtocolVersion]| {
        serve_versions(certificate.der().clone(), &key, versions).await
    };
    let old = serve(&[&rustls::version::TLS12]).await;
    let new = serve(&[&rustls::version::TLS13]).await;
    let usual = Dialer::new(&authority.trust()).unwrap();
    let strict = usual.tls_from(TlsMinimum::V1_3).unwrap();
    for port in [old, new] {
        connect_by(&usual, "localhost", port, Security::Tls).await.unwrap();
    }
    connect_by(&strict, "localhost", new, Security::Tls).await.unwrap();
    let error = connect_by(&strict, "localhost", old, Security::Tls).await.unwrap_err();
    assert!(error.contains("does not support TLS 1.3, which `tlsMinimum`"), "{error}");
    // A login can be bound to TLS 1.3 alone.
    for (port, want) in [(old, "None"), (new, "Exporter")] {
        let host = "localhost".to_owned();
        let endpoint = Endpoint { host, port, security: Security::Tls };
        let stream = usual.connect(&endpoint).await.unwrap();
        assert_eq!(format!("{:?}", stream.channel_binding()), want);
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let dialer = Dialer::new(&Trust::default()).unwrap().with_deadline(Duration::from_millis(100));
    let host = "127.0.0.1".to_owned();
    let endpoint = Endpoint { host, port, security: Security::Tls };
    let error = dialer.connect(&endpoint).await.unwrap_err().to_string();
    assert!(error.contains("did not answer in time (TLS handshake)"), "{error}");
    let plain = Endpoint { security: Security::StartTls, ..endpoint };
    let plain = dialer.connect(&plain).await.unwrap();
    let error = dialer.start_tls(plain, "127.0.0.1").await.unwrap_err().to_string();
    assert!(error.contains(&format!("127.0.0.1:{port} did not answer in time")), "{error}");
}

#[test]
fn a_file_without_certificates_is_no_trust() {
    let trust = Trust { system: false, extra_ca_pem: b"nothing here".to_vec() };
    let error = Dialer::new(&trust).unwrap_err().to_string();
    assert!(error.contains("holds no certificate"), "{error}");
}

//! A client that sends what it is told and reads what comes.

use postroom_sandbox::Sandbox;
use postroom_sandbox::SandboxConfig;
use rustls::ClientConfig;
use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const ANNA: &str = "anna@demo.test";
pub const BEN: &str = "ben@demo.test";
pub const PASSWORD: &str = "secret";

pub async fn sandbox() -> Sandbox {
    sandbox_with(SandboxConfig::default()).await
}

pub async fn sandbox_with(config: SandboxConfig) -> Sandbox {
    let user = |address: &str| (address.to_owned(), PASSWORD.to_owned());
    let config = SandboxConfig { users: vec![user(ANNA), user(BEN)], ..config };
    Sandbox::start(config).await.unwrap()
}

trait Both: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Both for T {}

pub struct Client {
    stream: BufReader<Box<dyn Both>>,
    tag: u32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        let stream: Box<dyn Both> = Box::new(TcpStream::connect(address).await.unwrap());
        Self { stream: BufReader::new(stream), tag: 0 }
    }

    pub async fn connect_tls(address: SocketAddr, ca_pem: &str) -> Self {
        Self::connect(address).await.start_tls(ca_pem).await.unwrap()
    }

    /// Connects, reads the greeting and logs in.
    pub async fn imap(sandbox: &Sandbox, user: &str) -> Self {
        let mut client = Self::connect(sandbox.imap()).await;
        client.line().await;
        client.ok(&format!("LOGIN {user} {PASSWORD}")).await;
        client
    }

    /// Connects, reads the greeting and says EHLO.
    pub async fn smtp(sandbox: &Sandbox) -> Self {
        let mut client = Self::connect(sandbox.smtp()).await;
        client.line().await;
        client.reply("EHLO client.test").await;
        client
    }

    pub async fn start_tls(self, ca_pem: &str) -> io::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, self.stream.into_inner()).await?;
        Ok(Self { stream: BufReader::new(Box::new(tls)), tag: self.tag })
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next line with its end; empty when the server has closed.
    pub async fn line(&mut self) -> String {
        let mut line = Vec::new();
        let read = self.stream.read_until(b'\n', &mut line);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        String::from_utf8(line).unwrap()
    }

    /// Sends an IMAP command; what the server says up to the tagged response, tag aside.
    pub async fn command(&mut self, command: &str) -> String {
        let tag = self.begin(command).await;
        self.until_tagged(&tag).await
    }

    /// As `command`, which is to be answered OK.
    pub async fn ok(&mut self, command: &str) -> String {
        let said = self.command(command).await;
        assert!(said.lines().last().unwrap_or_default().starts_with("OK"), "{command}: {said}");
        said
    }

    /// Sends an IMAP command and returns its tag.
    pub async fn begin(&mut self, command: &str) -> String {
        self.tag += 1;
        let tag = format!("a{}", self.tag);
        self.send(format!("{tag} {command}\r\n")).await;
        tag
    }

    pub async fn until_tagged(&mut self, tag: &str) -> String {
        let mut said = String::new();
        loop {
            let line = self.line().await;
            assert!(!line.is_empty(), "closed after: {said}");
            if let Some(rest) = line.strip_prefix(tag).and_then(|rest| rest.strip_prefix(' ')) {
                return said + rest;
            }
            said.push_str(&line);
        }
    }

    /// Sends an SMTP command and reads the reply.
    pub async fn reply(&mut self, command: &str) -> String {
        self.send(format!("{command}\r\n")).await;
        self.next_reply().await
    }

    pub async fn next_reply(&mut self) -> String {
        let mut reply = String::new();
        loop {
            let line = self.line().await;
            let last = line.as_bytes().get(3) != Some(&b'-');
            reply.push_str(&line);
            if last {
                return reply;
            }
        }
    }

    /// Exactly this many bytes.
    pub async fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        let read = self.stream.read_exact(&mut bytes);
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap();
        bytes
    }

    /// What is still said until the end, and how the connection ends.
    pub async fn rest(mut self) -> (String, io::Result<usize>) {
        let mut rest = Vec::new();
        let read = self.stream.read_to_end(&mut rest);
        let end = tokio::time::timeout(PATIENCE, read).await.unwrap();
        (String::from_utf8(rest).unwrap(), end)
    }
}

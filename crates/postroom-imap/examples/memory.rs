//! The memory of IMAP connections, measured against a server in a process of its own.
//!
//! `memory [CONNECTIONS]` prints two figures with their bounds: what an idle connection over TLS
//! takes beyond what the TLS library takes for a bare one (at most 12 KB), and how far the memory
//! grows while a message of 50 MB streams through (at most 4 MB). It ends with an error when a
//! bound is passed.
#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_imap::ImapOptions;
use postroom_imap::MailboxName;
use postroom_imap::Mode;
use postroom_imap::UidSet;
use postroom_net::Credentials;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Secret;
use postroom_net::Security;
use postroom_net::Stream;
use postroom_net::Trust;
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use secrecy::SecretString;
use std::error::Error;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// The first argument of the process that is the server.
const SERVER: &str = "--server";
/// How many connections are measured unless said otherwise.
const CONNECTIONS: usize = 500;
/// The size of the message that streams through.
const MESSAGE_BYTES: usize = 50 * 1024 * 1024;
/// The bounds.
const IDLE_BYTES_MAX: usize = 12 * 1024;
const STREAMING_BYTES_MAX: usize = 4 * 1024 * 1024;

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--");
    match arguments.next().as_deref() {
        Some(SERVER) => serve().await,
        Some(count) => measure(count.parse()?).await,
        None => measure(CONNECTIONS).await,
    }
}

async fn measure(count: usize) -> Outcome<()> {
    let mut server = tokio::process::Command::new(std::env::current_exe()?)
        .arg(SERVER)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(server.stdout.take().ok_or("no output")?).lines();
    let port = lines.next_line().await?.ok_or("no port")?.parse()?;
    let mut extra_ca_pem = vec![];
    while let Some(line) = lines.next_line().await?.filter(|line| !line.is_empty()) {
        extra_ca_pem.extend_from_slice(line.as_bytes());
        extra_ca_pem.push(b'\n');
    }
    let dialer = Dialer::new(&Trust { system: false, extra_ca_pem })?;
    let host = "localhost".to_owned();
    let endpoint = Endpoint { host, port, security: Security::Tls };

    // What is made once (roots, session tickets, threads) belongs to neither figure.
    let warm = [bare(&dialer, &endpoint).await?, bare(&dialer, &endpoint).await?];
    let warm_too = ready(&dialer, &endpoint).await?;
    let (bare_bytes, bare_held) = each(count, || bare(&dialer, &endpoint)).await?;
    let (ready_bytes, ready_held) = each(count, || ready(&dialer, &endpoint)).await?;
    drop((warm, warm_too, bare_held, ready_held));
    let beyond = ready_bytes.saturating_sub(bare_bytes);
    println!("{count} idle connections over TLS, resident bytes each:");
    println!("  bare TLS          {bare_bytes:>9}");
    println!("  IMAP, logged in   {ready_bytes:>9}");
    println!("  beyond TLS        {beyond:>9}   (at most {IDLE_BYTES_MAX})");

    let grown = streaming(&dialer, &endpoint).await?;
    println!("a message of {MESSAGE_BYTES} bytes streams through:");
    println!("  memory grows by   {grown:>9}   (at most {STREAMING_BYTES_MAX})");
    if beyond > IDLE_BYTES_MAX || grown > STREAMING_BYTES_MAX {
        return Err("a bound is passed".into());
    }
    Ok(())
}

/// How many resident bytes each of `count` connections takes, all held at once. They are given back
/// to be held on: what is freed would be used again, and not be seen to grow.
async fn each<T, F>(count: usize, open: impl Fn() -> F) -> Outcome<(usize, Vec<T>)>
where
    F: Future<Output = Outcome<T>>,
{
    let before = resident("VmRSS:")?;
    let mut held = Vec::with_capacity(count);
    for _ in 0..count {
        held.push(open().await?);
    }
    let after = resident("VmRSS:")?;
    Ok((after.saturating_sub(before) / count, held))
}

/// A TLS connection that has carried bytes both ways, as the TLS library leaves it.
async fn bare(dialer: &Dialer, endpoint: &Endpoint) -> Outcome<Stream> {
    let mut stream = dialer.connect(endpoint).await?;
    let mut greeting = [0; 64];
    let _count = stream.read(&mut greeting).await?;
    stream.write_all(b"a NOOP\r\n").await?;
    stream.flush().await?;
    let _count = stream.read(&mut greeting).await?;
    Ok(stream)
}

/// An IMAP connection, logged in, with a mailbox selected, idle.
async fn ready(dialer: &Dialer, endpoint: &Endpoint) -> Outcome<ImapConnection> {
    let mut connection = ImapConnection::open(dialer, endpoint, &ImapOptions::default()).await?;
    let secret = Secret::Password(SecretString::from("secret"));
    connection.login(&Credentials { login: "anna".to_owned(), secret }).await?;
    connection.select(&MailboxName::inbox(), Mode::Examine).await?;
    Ok(connection)
}

/// How far the peak lies above what was resident before, while the large message is fetched.
async fn streaming(dialer: &Dialer, endpoint: &Endpoint) -> Outcome<usize> {
    let mut connection = ready(dialer, endpoint).await?;
    // Writing 5 makes the peak begin anew (proc(5)).
    std::fs::write("/proc/self/clear_refs", "5")?;
    let before = resident("VmRSS:")?;
    let mut fetch = connection.uid_fetch(&UidSet::from_uids(&[1]), FetchItems::Message).await?;
    let mut received = 0;
    while let Some(event) = fetch.next().await? {
        if let FetchEvent::Chunk(bytes) = event {
            received += bytes.len();
        }
    }
    if received != MESSAGE_BYTES {
        return Err(format!("{received} bytes arrived").into());
    }
    Ok(resident("VmHWM:")?.saturating_sub(before))
}

/// A figure of this process in bytes.
fn resident(name: &str) -> Outcome<usize> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such figure")?;
    let kib: usize = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}

/// The server: prints its port and the certificate to trust, then serves until it is killed.
async fn serve() -> Outcome<()> {
    let issued = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()])?;
    let key = PrivateKeyDer::try_from(issued.signing_key.serialize_der())?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![issued.cert.der().clone()], key)?;
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}\n{}", listener.local_addr()?.port(), issued.cert.pem());
    loop {
        let (socket, _) = listener.accept().await?;
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // A client that goes away ends its connection, and no other.
            let _ended = speak(socket, acceptor).await;
        });
    }
}

async fn speak(socket: TcpStream, acceptor: TlsAcceptor) -> std::io::Result<()> {
    let (reading, mut writing) = tokio::io::split(acceptor.accept(socket).await?);
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"* OK ready\r\n").await?;
    writing.flush().await?;
    while let Some(line) = lines.next_line().await? {
        let mut words = line.splitn(3, ' ');
        let tag = words.next().unwrap_or_default();
        match words.next().unwrap_or_default().to_ascii_uppercase().as_str() {
            "CAPABILITY" => writing.write_all(b"* CAPABILITY IMAP4rev1\r\n").await?,
            "SELECT" | "EXAMINE" => {
                writing.write_all(b"* 1 EXISTS\r\n* OK [UIDVALIDITY 1] x\r\n").await?;
            }
            "UID" => {
                let head = format!("* 1 FETCH (UID 1 BODY[] {{{MESSAGE_BYTES}}}\r\n");
                writing.write_all(head.as_bytes()).await?;
                let piece = vec![b'x'; 1024 * 1024];
                for _ in 0..MESSAGE_BYTES / piece.len() {
                    writing.write_all(&piece).await?;
                }
                writing.write_all(b")\r\n").await?;
            }
            _ => {}
        }
        writing.write_all(format!("{tag} OK done\r\n").as_bytes()).await?;
        writing.flush().await?;
    }
    Ok(())
}

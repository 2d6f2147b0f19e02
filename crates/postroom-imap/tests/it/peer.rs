//! The other end of a connection, which tests play by hand.

use postroom_imap::ImapConnection;
use postroom_imap::ImapOptions;
use postroom_net::Credentials;
use postroom_net::Secret;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;
use tokio::io::duplex;

/// A server that is played by hand.
pub struct Peer<S> {
    stream: S,
}

impl Peer<DuplexStream> {
    /// A pipe, and the server at its other end.
    pub fn new() -> (DuplexStream, Self) {
        let (ours, theirs) = duplex(64 << 10);
        (ours, Self { stream: theirs })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    /// Plays on a stream.
    pub fn on(stream: S) -> Self {
        Self { stream }
    }

    /// Sends bytes; fails where nobody takes them.
    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("the client takes what we send");
    }

    /// Sends bytes; `false` when nobody takes them any more.
    pub async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// The next line that the client sends, without its line end.
    pub async fn take_command(&mut self) -> String {
        let mut line = vec![];
        while !line.ends_with(b"\r\n") {
            line.push(self.stream.read_u8().await.expect("the client sends a line"));
        }
        String::from_utf8_lossy(&line).trim_end().to_owned()
    }

    /// Takes a command that begins so after its tag, sends responses, and completes it.
    pub async fn answer(&mut self, command: &str, responses: &str) -> String {
        self.complete(command, responses, "OK done").await
    }

    /// As [`Self::answer`], with another completion.
    pub async fn complete(&mut self, command: &str, responses: &str, completion: &str) -> String {
        let line = self.take_command().await;
        let (tag, rest) = line.split_once(' ').expect("a tag");
        assert!(rest.starts_with(command), "{rest}");
        self.send(format!("{responses}{tag} {completion}\r\n").as_bytes()).await;
        rest.to_owned()
    }

    /// Whether the client closes without another byte.
    pub async fn is_closed(&mut self) -> bool {
        matches!(self.stream.read(&mut [0; 100]).await, Ok(0) | Err(_))
    }
}

/// Options that tests start from.
pub fn options() -> ImapOptions {
    ImapOptions::default()
}

/// A connection to a peer that has these capabilities.
pub async fn connect(capabilities: &str) -> (ImapConnection, Peer<DuplexStream>) {
    connect_with(capabilities, &options()).await
}

/// The same with options.
pub async fn connect_with(
    capabilities: &str,
    options: &ImapOptions,
) -> (ImapConnection, Peer<DuplexStream>) {
    let (stream, mut peer) = Peer::new();
    let greeting = format!("* OK [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n");
    peer.send(greeting.as_bytes()).await;
    (ImapConnection::over(stream, options).await.unwrap(), peer)
}

/// A login with a password.
pub fn credentials() -> Credentials {
    let secret = Secret::Password("secret".into());
    Credentials { login: "anna".to_owned(), secret }
}

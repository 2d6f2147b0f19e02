//! A client of HTTP/1.1 that takes little of the machine's time: one connection, kept alive.

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use tokio::io::AsyncBufReadExt;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::BufReader;
use tokio::net::TcpStream;

/// A server of REST, and how it knows the client.
#[derive(Debug, Clone)]
pub struct Server {
    /// Its host and port.
    pub address: String,
    /// The value of `Authorization`.
    pub authorization: String,
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    pub method: &'static str,
    /// With its query, percent-encoded.
    pub path: String,
    /// JSON. Empty: none.
    pub body: String,
}

impl Ask {
    /// A GET.
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), body: String::new() }
    }
}

/// An answer with a status of 2xx.
#[derive(Debug)]
pub struct Answered {
    /// The header, with its line ends.
    pub head: String,
    pub body: Vec<u8>,
}

impl Answered {
    /// The value of a field of the header.
    pub fn field(&self, name: &str) -> Option<&str> {
        let of =
            |line: &str| line.split_once(':').is_some_and(|(n, _)| n.eq_ignore_ascii_case(name));
        let line = self.head.lines().find(|line| of(line))?;
        line.split_once(':').map(|(_, value)| value.trim())
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body)?)
    }
}

/// A connection to a server.
pub struct Connection {
    server: Server,
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    #[expect(clippy::disallowed_methods, reason = "a client of loopback, not of mail servers")]
    pub async fn open(server: &Server) -> Result<Self> {
        let stream = TcpStream::connect(&server.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { server: server.clone(), stream: BufReader::with_capacity(1 << 16, stream) })
    }

    /// Asks, and reads the whole answer.
    ///
    /// # Errors
    ///
    /// When the connection ends, or the status is no 2xx. Then the text has the answer.
    pub async fn ask(&mut self, ask: &Ask) -> Result<Answered> {
        let Ask { method, path, body } = ask;
        let Server { address, authorization } = &self.server;
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: {authorization}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).await?;
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            ensure!(self.stream.read_line(&mut head).await? > 0, "the server closed");
        }
        let mut answered = Answered { head, body: vec![] };
        if answered.field("transfer-encoding").is_some_and(|how| how.contains("chunked")) {
            self.chunks(&mut answered.body).await?;
        } else if let Some(size) = answered.field("content-length") {
            answered.body = vec![0; size.parse()?];
            self.stream.read_exact(&mut answered.body).await?;
        }
        let status = answered.head.split(' ').nth(1).context("no status")?;
        if !status.starts_with('2') {
            bail!("{method} {path}: {status} {}", String::from_utf8_lossy(&answered.body));
        }
        Ok(answered)
    }

    async fn chunks(&mut self, body: &mut Vec<u8>) -> Result<()> {
        loop {
            let mut line = String::new();
            self.stream.read_line(&mut line).await?;
            let size = usize::from_str_radix(line.trim(), 16)?;
            let begin = body.len();
            body.resize(begin + size + 2, 0);
            let chunk = body.get_mut(begin..).context("a chunk")?;
            self.stream.read_exact(chunk).await?;
            body.truncate(begin + size);
            if size == 0 {
                return Ok(());
            }
        }
    }
}

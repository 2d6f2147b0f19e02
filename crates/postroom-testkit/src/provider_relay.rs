//! Stands before a provider of tokens: counts questions, may answer one a second time, and tells
//! when an answer with a token has left.

use postroom_sandbox::TokenServer;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many bytes a request may have.
const REQUEST_BYTES_MAX: usize = 64 * 1024;

/// The answer to a refresh token that was replaced.
const REFUSED: &[u8] = b"HTTP/1.1 400 X\r\ncontent-type: application/json\r\n\
    content-length: 25\r\nconnection: close\r\n\r\n{\"error\":\"invalid_grant\"}";

/// A provider on loopback, as long as this is kept.
pub(crate) struct ProviderRelay {
    /// Where it listens.
    pub address: SocketAddr,
    /// Gets something whenever an answer with a token has left.
    pub answers: UnboundedReceiver<()>,
    state: RelayState,
    task: AbortHandle,
}

/// What all connections share.
#[derive(Clone)]
struct RelayState {
    provider: TokenServer,
    /// For how long the same question gets the same answer. Providers do so for clients that lost
    /// an answer.
    grace: Duration,
    tell: UnboundedSender<()>,
    seen: Arc<Mutex<SeenQuestions>>,
}

#[derive(Default)]
struct SeenQuestions {
    /// The answers by their questions.
    given: HashMap<Vec<u8>, GivenAnswer>,
    again: usize,
    /// How often each question is asked now.
    running: HashMap<Vec<u8>, usize>,
    at_once: usize,
}

#[derive(Clone)]
struct GivenAnswer {
    at: Instant,
    bytes: Vec<u8>,
}

impl Drop for ProviderRelay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl ProviderRelay {
    /// Listens on a free port.
    pub(crate) async fn listen(provider: TokenServer, grace: Duration) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (tell, answers) = mpsc::unbounded_channel();
        let state = RelayState { provider, grace, tell, seen: Arc::default() };
        let serving = state.clone();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = serving.clone();
                tokio::spawn(async move { state.serve(stream).await });
            }
        });
        Ok(Self { address, answers, state, task: task.abort_handle() })
    }

    /// How often the same question was asked at the same time, at most.
    pub(crate) fn at_once(&self) -> usize {
        self.state.seen().at_once
    }

    /// How often a question was answered again.
    pub(crate) fn again(&self) -> usize {
        self.state.seen().again
    }
}

impl RelayState {
    fn seen(&self) -> MutexGuard<'_, SeenQuestions> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let request = request(&mut stream).await?;
        if request.starts_with(b"POST /introspect") {
            let answer = self.ask(&request).await?;
            return stream.write_all(&answer).await;
        }
        self.seen().begin(&request);
        let answer = match self.given(&request) {
            Some(answer) => Ok(answer),
            None => self.ask(&request).await,
        };
        self.seen().end(&request);
        let answer = answer?;
        let is_token = answer.starts_with(b"HTTP/1.1 200");
        if is_token {
            let given = GivenAnswer { at: Instant::now(), bytes: answer.clone() };
            self.seen().given.entry(request).or_insert(given);
        }
        stream.write_all(&answer).await?;
        stream.shutdown().await?;
        if is_token {
            // Nobody listens at the end.
            let _ = self.tell.send(());
        }
        Ok(())
    }

    /// The answer to a question that was answered before: the same within the time of grace, and
    /// later a refusal. The provider itself would take consents away that were given since.
    fn given(&self, request: &[u8]) -> Option<Vec<u8>> {
        let mut seen = self.seen();
        let given = seen.given.get(request)?;
        if given.at.elapsed() >= self.grace {
            return Some(REFUSED.to_vec());
        }
        let bytes = given.bytes.clone();
        seen.again += 1;
        Some(bytes)
    }

    async fn ask(&self, request: &[u8]) -> io::Result<Vec<u8>> {
        let (mut client, server) = tokio::io::duplex(REQUEST_BYTES_MAX);
        let provider = self.provider.clone();
        tokio::spawn(async move { provider.serve(server).await });
        client.write_all(request).await?;
        let mut answer = vec![];
        client.read_to_end(&mut answer).await?;
        Ok(answer)
    }
}

impl SeenQuestions {
    fn begin(&mut self, request: &[u8]) {
        let running = self.running.entry(request.to_owned()).or_default();
        *running += 1;
        self.at_once = self.at_once.max(*running);
    }

    fn end(&mut self, request: &[u8]) {
        if let Some(running) = self.running.get_mut(request) {
            *running -= 1;
        }
    }
}

/// A whole request.
async fn request(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut read = vec![];
    loop {
        let text = String::from_utf8_lossy(&read).to_ascii_lowercase();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.split("content-length:").nth(1);
            let length = length.and_then(|rest| rest.lines().next()?.trim().parse().ok());
            if body.len() >= length.unwrap_or(0) {
                return Ok(read);
            }
        }
        if read.len() > REQUEST_BYTES_MAX || stream.read_buf(&mut read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

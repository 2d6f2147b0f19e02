//! The byte stream of one connection, as the HTTP server sees it.
//!
//! It adds two things to a socket. (1) A client that reads nothing for too long loses its
//! connection. (2) If the HTTP server itself refuses a request because its head is malformed or too
//! long, its answer has no body. That answer is replaced by one that says what is wrong.

use crate::answering::Answering;
use crate::problem::Problem;
use axum::http::StatusCode;
use std::io;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::task::ready;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::io::ReadBuf;
use tokio::time::Instant;
use tokio::time::Sleep;

/// A stream with a deadline for writing.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    answering: Answering,
    /// How many requests have been answered to the last byte.
    answered: u64,
    /// How many requests had begun when the last complete first line of a head arrived.
    line_behind: Option<u64>,
    /// The answer that replaces the server's own refusal, and how much of it is written.
    refusal: Option<(Vec<u8>, usize)>,
    within: Duration,
    /// The timer that runs while the client reads nothing.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncWrite + Unpin> Socket<S> {
    /// A stream whose client must read something within each `within`.
    pub(crate) fn new(stream: S, answering: Answering, within: Duration) -> Self {
        let (answered, line_behind, refusal, deadline) = (0, None, None, None);
        Self { stream, answering, answered, line_behind, refusal, within, deadline }
    }

    /// Passes a result on. A result that is pending for too long becomes an error.
    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        result: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if result.is_ready() {
            self.deadline = None;
            return result;
        }
        let within = self.within;
        let deadline = self
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + within)));
        ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client reads nothing")))
    }

    /// Whether the current output can only be a refusal of the server itself.
    fn is_refusal(&self) -> bool {
        self.answering.begun() == self.answered
    }

    /// Writes the rest of a refusal.
    fn write_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((bytes, written)) = &mut self.refusal {
            let left = bytes.get(*written..).unwrap_or_default();
            if left.is_empty() {
                self.refusal = None;
                break;
            }
            let wrote = Pin::new(&mut self.stream).poll_write(context, left);
            if let Poll::Ready(Ok(count)) = &wrote {
                *written += *count;
                if *count == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
            }
            ready!(self.in_time(context, wrote))?;
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let begun = self.answering.begun();
        if self.line_behind != Some(begun) {
            let come = buffer.filled().get(before..).unwrap_or_default();
            if come.contains(&b'\n') {
                self.line_behind = Some(begun);
            }
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.write_refusal(context))?;
        if this.is_refusal()
            && let Some(first) = slices.iter().find(|slice| !slice.is_empty())
            && let Some(answer) = refusal(first, this.line_behind == Some(this.answered))
        {
            this.refusal = Some((answer, 0));
            return Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()));
        }
        let wrote = Pin::new(&mut this.stream).poll_write_vectored(context, slices);
        this.in_time(context, wrote)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.write_refusal(context))?;
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        ready!(this.in_time(context, flushed))?;
        this.answered = this.answering.all_ended().unwrap_or(this.answered);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.write_refusal(context))?;
        let shut = Pin::new(&mut this.stream).poll_shutdown(context);
        this.in_time(context, shut)
    }
}

/// The complete answer that replaces the server's head without a body. `None`: it is another head.
/// `has_line`: the first line of the request has arrived completely.
fn refusal(head: &[u8], has_line: bool) -> Option<Vec<u8>> {
    let code = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let code = StatusCode::from_bytes(code).ok().filter(|code| code.is_client_error())?;
    let code = match code {
        // The server's buffer was full before the path ended.
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE if !has_line => StatusCode::URI_TOO_LONG,
        code => code,
    };
    let (kind, detail) = match code {
        StatusCode::URI_TOO_LONG => (
            "uri-too-long",
            "the path with its parameters is longer than 65,534 bytes; ask for less at once, for \
             example with a shorter filter",
        ),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            ("head-too-large", "the header fields are too many (at most 100) or too long")
        }
        _ => (
            "malformed",
            "the head of the request is not HTTP/1.1; for example, a character of the path is not \
             percent-encoded and ends it too early",
        ),
    };
    Some(whole_answer(&Problem::new(code, kind, detail)))
}

/// A problem as the last answer of a connection, with its head.
pub(crate) fn whole_answer(problem: &Problem) -> Vec<u8> {
    let (status, body) = (problem.status(), problem.to_json().to_string());
    let reason = status.canonical_reason().unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {reason}\r\nconnection: close\r\ncontent-type: application/problem+json\r\n\
         content-length: {}\r\n\r\n",
        status.as_str(),
        body.len()
    );
    [head, body].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;
    use tokio::io::AsyncWriteExt;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_reads_nothing_loses_its_connection() {
        let (near, mut far) = tokio::io::duplex(1000);
        let answering = Answering::default();
        let _running = answering.begin();
        let mut socket = Socket::new(near, answering, Duration::from_secs(30));
        let begun = Instant::now();
        socket.write_all(&[b'x'; 900]).await.unwrap();
        let mut buffer = [0; 500];
        let slow = async {
            for _ in 0..4 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                far.read_exact(&mut buffer).await.unwrap();
            }
        };
        let (wrote, ()) = tokio::join!(socket.write_all(&[b'x'; 3000]), slow);
        assert_eq!(wrote.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(begun.elapsed() >= Duration::from_secs(4 * 29 + 30));
    }

    #[tokio::test]
    async fn only_a_refusal_without_a_request_is_replaced() {
        const BARE: &[u8] = b"HTTP/1.1 414 URI Too Long\r\ncontent-length: 0\r\n\r\n";
        for (is_answering, replaced) in [(false, true), (true, false)] {
            let (near, mut far) = tokio::io::duplex(10_000);
            let answering = Answering::default();
            let _running = is_answering.then(|| answering.begin());
            let mut socket = Socket::new(near, answering, Duration::from_secs(30));
            socket.write_all(BARE).await.unwrap();
            socket.shutdown().await.unwrap();
            let mut text = String::new();
            far.read_to_string(&mut text).await.unwrap();
            assert_eq!(text.contains("65,534"), replaced, "{text}");
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("content-length: {}", body.len())), "{text}");
        }
    }
}

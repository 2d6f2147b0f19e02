//! Serves the interface on a listener until it is told to stop.
//!
//! ```text
//!   TCP ──► TLS, where there is a certificate ──► HTTP/1.1 or HTTP/2 ──► router
//! ```
//! A slow client loses its connection and takes nothing from others. There are deadlines for TLS
//! and the first head of a request together, for later heads, and for reading answers. The number
//! of connections is limited, and `crate::connections` decides which one gives way.
//!
//! Standards: RFC 9113 (HTTP/2).

use crate::answering::AnswerBody;
use crate::answering::Attention;
use crate::answering::GivenUp;
use crate::app::App;
use crate::caller::IsHttps;
use crate::connections::Connection;
use crate::connections::Connections;
use crate::connections::Leave;
use crate::connections::Seat;
use crate::limits::Limits;
use crate::listeners::RestListeners;
use crate::problem::Problem;
use crate::routes::router;
use crate::socket;
use crate::socket::Socket;
use crate::trusted_proxies::TrustedProxies;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Version;
use axum::http::header::CONNECTION;
use axum::http::header::TRANSFER_ENCODING;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use postroom_net::Certificates;
use postroom_store::Clock;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tower::Service;

/// How long to wait after accepting failed. The usual reason is a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);
/// How many requests of one HTTP/2 connection run at once.
const STREAMS_MAX: u32 = 64;
/// How many bytes a client may send of one HTTP/2 request before they are read.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// How many bytes a client may send of all requests of an HTTP/2 connection before they are read.
const CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;
/// How many bytes of one HTTP/2 answer wait to be sent.
const SEND_BYTES_MAX: usize = 64 * 1024;
/// How much of a request without TLS is read, where TLS is needed.
const REFUSED_BYTES_MAX: u64 = 128 * 1024;
/// How often an HTTP/2 client is asked whether it is still there.
const PING: Duration = Duration::from_secs(30);
/// How long it may take to answer that.
const PONG_WITHIN: Duration = Duration::from_secs(20);

/// Where clients connect.
#[derive(Debug)]
pub struct Listening {
    listeners: RestListeners,
    certificates: Option<Certificates>,
}

impl Listening {
    /// Clients speak TLS there.
    #[must_use]
    pub fn with_tls(listeners: impl Into<RestListeners>, certificates: Certificates) -> Self {
        Self { listeners: listeners.into(), certificates: Some(certificates) }
    }
}

impl From<RestListeners> for Listening {
    fn from(listeners: RestListeners) -> Self {
        Self { listeners, certificates: None }
    }
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Self {
        RestListeners::from(listener).into()
    }
}

/// Serves until `stop` is ready. Then it finishes the running requests.
pub async fn serve(
    listening: impl Into<Listening>,
    app: App,
    stop: impl Future<Output = ()> + Send,
) {
    let Listening { listeners, certificates } = listening.into();
    let ending = app.ending.clone();
    let (connections, clock) = (Connections::new(&app.limits), app.store.clock().clone());
    tokio::select! {
        () = accept(&listeners, app, &connections, certificates.as_ref()) => {}
        () = watch(certificates.as_ref(), &clock) => {}
        () = stop => {}
    }
    listeners.close();
    ending.cancel();
    connections.end().await;
}

async fn watch(certificates: Option<&Certificates>, clock: &Clock) {
    match certificates {
        Some(certificates) => certificates.watch(|| clock.now_ms()).await,
        None => std::future::pending().await,
    }
}

/// Takes connections for as long as it is polled.
async fn accept(
    listeners: &RestListeners,
    app: App,
    connections: &Connections,
    certificates: Option<&Certificates>,
) {
    let (limits, proxies) = (Arc::clone(&app.limits), app.proxies.clone());
    let router = router(app);
    loop {
        match listeners.accept().await {
            Ok((stream, peer)) => {
                let one = One {
                    router: router.clone(),
                    peer,
                    is_tls: certificates.is_some(),
                    proxies: proxies.clone(),
                    connections: connections.clone(),
                    seat: Arc::new(connections.seat(peer.ip()).await),
                };
                tokio::spawn(run(stream, one, certificates.cloned(), Arc::clone(&limits)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
}

/// Serves one connection to its end.
async fn run(stream: TcpStream, one: One, tls: Option<Certificates>, limits: Arc<Limits>) {
    // Answers are sent at once. A small answer must not wait until the client acknowledges the one
    // before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    // A WebSocket keeps it for longer.
    let seat = Arc::clone(&one.seat);
    let silent = pin!(silent(&seat.connection, limits.first_head_within));
    match tls {
        None => attend(stream, one, &limits, silent).await,
        Some(tls) => {
            let mut silent = silent;
            if let Some(stream) = secured(stream, &tls, &seat.connection, silent.as_mut()).await {
                attend(stream, one, &limits, silent).await;
            }
        }
    }
}

/// The connection with TLS. `None`: its client did not get so far.
async fn secured(
    stream: TcpStream,
    tls: &Certificates,
    connection: &Connection,
    silent: impl Future<Output = ()>,
) -> Option<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
    let mut leaving = connection.leaving();
    let accepted = async {
        let mut first = [0];
        match stream.peek(&mut first).await {
            Ok(1) if first[0].is_ascii_uppercase() => refuse_plain(stream).await,
            Ok(_) => match tls.accept(stream).await {
                Ok(stream) => return Some(stream),
                Err(error) => tracing::debug!(%error, "a connection brought no TLS"),
            },
            Err(error) => tracing::debug!(%error, "a connection ended"),
        }
        None
    };
    tokio::select! {
        accepted = accepted => accepted,
        () = silent => {
            tracing::debug!("a connection did not finish TLS in time");
            None
        }
        _ = leaving.wait_for(|leave| *leave != Leave::No) => None,
    }
}

/// Tells a client that speaks HTTP without TLS what to do.
async fn refuse_plain(mut stream: TcpStream) {
    let detail = "this port speaks TLS: use https in place of http";
    let problem = Problem::new(StatusCode::BAD_REQUEST, "tls-needed", detail);
    let told = async {
        stream.write_all(&socket::whole_answer(&problem)).await?;
        stream.shutdown().await?;
        // If the request were not read, the answer could be lost with the connection.
        let mut request = stream.take(REFUSED_BYTES_MAX);
        tokio::io::copy(&mut request, &mut tokio::io::sink()).await
    };
    if let Err(error) = told.await {
        tracing::debug!(%error, "a connection without TLS ended");
    }
}

/// Answers what comes over a connection.
async fn attend(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    one: One,
    limits: &Limits,
    mut silent: Pin<&mut impl Future<Output = ()>>,
) {
    let seat = Arc::clone(&one.seat);
    let answering = seat.connection.answering().clone();
    let mut leaving = seat.connection.leaving();
    let mut attention = Attention::new(answering.clone(), limits);
    let socket = TokioIo::new(Socket::new(stream, answering, limits.read_within));
    let http = http(limits);
    let service = service_fn(move |request| one.answer(request));
    let mut served = pin!(http.serve_connection_with_upgrades(socket, service));
    let mut is_told = false;
    loop {
        tokio::select! {
            ended = served.as_mut() => {
                // An error here is the client's, and refusals were answered.
                if let Err(error) = ended {
                    tracing::debug!(%error, "a connection ended");
                }
                return;
            }
            () = silent.as_mut() => {
                tracing::debug!("a connection brought no request in time");
                return;
            }
            given_up = attention.ends() => match given_up {
                GivenUp::Rests if !is_told => {
                    is_told = true;
                    served.as_mut().graceful_shutdown();
                }
                GivenUp::Rests | GivenUp::ReadsNothing => {
                    tracing::debug!(?given_up, "a connection ended");
                    return;
                }
            },
            told = leaving.changed() => match *leaving.borrow_and_update() {
                // This cannot fail, because the seat is held here.
                Leave::No if told.is_ok() => {}
                Leave::WhenDone => served.as_mut().graceful_shutdown(),
                Leave::No | Leave::Now => {
                    tracing::debug!("a connection gave way to another");
                    return;
                }
            }
        }
    }
}

/// HTTP/1.1, and HTTP/2 where a client begins with it.
fn http(limits: &Limits) -> auto::Builder<TokioExecutor> {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http1()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head_within)
        .max_buf_size(limits.head_bytes_max);
    http.http2()
        .timer(TokioTimer::new())
        .max_header_list_size(u32::try_from(limits.head_bytes_max).unwrap_or(u32::MAX))
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES_MAX)
        .keep_alive_interval(PING)
        .keep_alive_timeout(PONG_WITHIN);
    http
}

/// Ends if no request arrives in time.
async fn silent(connection: &Connection, within: Duration) {
    tokio::time::sleep(within).await;
    if connection.has_asked() {
        std::future::pending::<()>().await;
    }
}

/// The router for one connection, which knows the client's address.
struct One {
    router: Router,
    peer: SocketAddr,
    is_tls: bool,
    proxies: TrustedProxies,
    connections: Connections,
    seat: Arc<Seat>,
}

impl One {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send + use<> {
        let running = self.seat.connection.answering().begin();
        self.connections.used(&self.seat.connection);
        let in_pieces = request.version() == Version::HTTP_2;
        let is_last = is_last(&request);
        let mut request = request.map(Body::new);
        let client = self.proxies.client(self.peer, request.headers());
        let is_https = self.is_tls || self.proxies.say_https(self.peer, request.headers());
        request.extensions_mut().insert(IsHttps(is_https));
        request.extensions_mut().insert(ConnectInfo(client));
        request.extensions_mut().insert(Arc::clone(&self.seat));
        let answered = self.router.clone().call(request);
        async move {
            let mut answer = answered.await?.map(|body| running.body(body, in_pieces));
            if is_last {
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            }
            Ok(answer)
        }
    }
}

/// Whether the connection ends with the answer to this request. hyper does not tell whether a
/// request in chunks had a Content-Length too. A proxy that goes by that length would take the rest
/// for another request of another client (RFC 9112 §6.3).
fn is_last(request: &Request<Incoming>) -> bool {
    request.version() < Version::HTTP_2 && request.headers().contains_key(TRANSFER_ENCODING)
}

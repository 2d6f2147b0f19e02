//! Serves the interface on a listener until it is told to stop.
//!
//! A slow client loses its connection and takes nothing from others. There are deadlines for the
//! first head of a request, for later heads, and for reading answers. The number of connections is
//! limited, and `crate::connections` decides which one gives way.

use crate::app::App;
use crate::connections::Connection;
use crate::connections::Connections;
use crate::connections::Leave;
use crate::connections::Seat;
use crate::limits::Limits;
use crate::routes::router;
use crate::socket::Answering;
use crate::socket::Socket;
use axum::Router;
use axum::body::Body;
use axum::body::Bytes;
use axum::extract::ConnectInfo;
use axum::response::Response;
use hyper::Request;
use hyper::body::Frame;
use hyper::body::Incoming;
use hyper::body::SizeHint;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::rt::TokioTimer;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tower::Service;

/// How long to wait after accepting failed. The usual reason is a lack of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_secs(1);

/// Serves until `stop` is ready. Then it finishes the running requests.
pub async fn serve(listener: TcpListener, app: App, stop: impl Future<Output = ()> + Send) {
    let (limits, ending) = (Arc::clone(&app.limits), app.ending.clone());
    let connections = Connections::new(&limits);
    let router = router(app);
    tokio::pin!(stop);
    loop {
        let accepted = async {
            let accepted = listener.accept().await?;
            let seat = connections.seat(accepted.1.ip()).await;
            std::io::Result::Ok((accepted, seat))
        };
        let accepted = tokio::select! {
            () = &mut stop => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok(((stream, peer), seat)) => {
                let one = One {
                    router: router.clone(),
                    peer,
                    connections: connections.clone(),
                    seat: Arc::new(seat),
                    answering: Answering::default(),
                };
                tokio::spawn(run(stream, one, Arc::clone(&limits)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    ending.cancel();
    connections.end().await;
}

/// Serves one connection to its end.
async fn run(stream: TcpStream, one: One, limits: Arc<Limits>) {
    // Answers are sent at once. A small answer must not wait until the client acknowledges the one
    // before.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps its delay");
    }
    // A WebSocket keeps it for longer.
    let seat = Arc::clone(&one.seat);
    let mut leaving = seat.connection.leaving();
    let socket = Socket::new(stream, one.answering.clone(), limits.read_within);
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head_within);
    http.max_buf_size(limits.head_bytes_max);
    let service = service_fn(move |request| one.answer(request));
    let served = http.serve_connection(TokioIo::new(socket), service).with_upgrades();
    let silent = silent(&seat.connection, limits.first_head_within);
    tokio::pin!(served, silent);
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
    connections: Connections,
    seat: Arc<Seat>,
    answering: Answering,
}

impl One {
    fn answer(
        &self,
        request: Request<Incoming>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + Send + use<> {
        self.answering.begin();
        self.connections.used(&self.seat.connection);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        request.extensions_mut().insert(Arc::clone(&self.seat));
        let answered = self.router.clone().call(request);
        let answering = self.answering.clone();
        async move { Ok(answered.await?.map(|body| AnswerBody { body, answering })) }
    }
}

/// The body of an answer. It notes when the server has read all of it.
struct AnswerBody {
    body: Body,
    answering: Answering,
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        self.answering.end();
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

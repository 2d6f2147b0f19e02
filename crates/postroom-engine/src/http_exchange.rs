//! One request of HTTP with a form, within a deadline, with a bounded answer.
//!
//! Redirects are answers like others: nothing follows them.
//!
//! Standards: RFC 9112 (HTTP/1.1).

use crate::retry_after::RetryAfter;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::Request;
use hyper::client::conn::http1;
use hyper::header;
use hyper_util::rt::TokioIo;
use postroom_model::webhook::Url;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::time::Duration;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How long a request may take, from the lookup to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How long the lookup and TCP may take, and how long TLS. Together they end before [`DEADLINE`],
/// so that it is known whether anything was sent.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// How many bytes of an answer are read.
const ANSWER_BYTES_MAX: usize = 128 * 1024;
/// How many bytes the head of an answer may have.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What requests say of who sends them.
pub(crate) const USER_AGENT: &str = concat!("Postroom/", env!("CARGO_PKG_VERSION"));

/// What is sent.
#[derive(Debug)]
pub(crate) struct FormRequest<'a> {
    /// Where it goes.
    pub url: &'a Url,
    /// The form (`application/x-www-form-urlencoded`). It is sent by POST.
    pub form: SecretString,
    /// Who asks, where that is not in the form (RFC 6750 §2.1).
    pub bearer: Option<&'a SecretString>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct FormAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// How long to wait before the next request.
    pub retry_after: Option<RetryAfter>,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// There is no connection, so nothing was sent.
    #[error(transparent)]
    Connect(postroom_net::Error),
    /// The request has characters that HTTP does not allow.
    #[error("the request cannot be sent")]
    Unsendable(#[source] hyper::http::Error),
    /// The connection ended, or what came was no HTTP.
    #[error("the connection ended before the answer, or the answer was no HTTP")]
    Lost(#[source] hyper::Error),
    /// The answer is too long.
    #[error("the answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// It took too long.
    #[error("no whole answer within 30 seconds")]
    Timeout,
}

impl ExchangeError {
    /// Whether the server may have got the request.
    pub(crate) fn may_be_sent(&self) -> bool {
        match self {
            Self::Connect(_) | Self::Unsendable(_) => false,
            Self::Lost(_) | Self::TooLong | Self::Timeout => true,
        }
    }
}

/// Sends a form.
///
/// # Errors
///
/// Why there is no answer.
pub(crate) async fn post(
    dialer: &Dialer,
    request: FormRequest<'_>,
) -> Result<FormAnswer, ExchangeError> {
    let exchange = Box::pin(exchange(dialer, request));
    timeout(DEADLINE, exchange).await.map_err(|_| ExchangeError::Timeout)?
}

async fn exchange(
    dialer: &Dialer,
    FormRequest { url, form, bearer }: FormRequest<'_>,
) -> Result<FormAnswer, ExchangeError> {
    let mut request = Request::post(&url.path)
        .header(header::HOST, &url.authority)
        .header(header::USER_AGENT, USER_AGENT)
        .header(header::ACCEPT, "application/json")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
    if let Some(bearer) = bearer {
        let text = SecretString::from(format!("Bearer {}", bearer.expose_secret()));
        let value = header::HeaderValue::from_str(text.expose_secret());
        let mut value = value.map_err(|error| ExchangeError::Unsendable(error.into()))?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request
        .body(Full::new(Bytes::from(form.expose_secret().to_owned())))
        .map_err(ExchangeError::Unsendable)?;
    let security = if url.is_tls { Security::Tls } else { Security::None };
    let endpoint = Endpoint { host: url.host.clone(), port: url.port, security };
    let dialer = dialer.clone().with_deadline(CONNECT_WITHIN);
    let stream = dialer.connect(&endpoint).await.map_err(ExchangeError::Connect)?;
    over(stream, request).await
}

/// Sends a request over a connection. The caller has a deadline.
///
/// # Errors
///
/// Why there is no answer.
pub(crate) async fn over(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<FormAnswer, ExchangeError> {
    let mut builder = http1::Builder::new();
    let builder = builder.max_buf_size(HEAD_BYTES_MAX);
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(ExchangeError::Lost)?;
    let _connection = AbortOnDropHandle::new(tokio::spawn(async move {
        // Whoever waits for the answer hears of its end.
        let _ = connection.await;
    }));
    let response = sender.send_request(request).await.map_err(ExchangeError::Lost)?;
    let status = response.status().as_u16();
    let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let retry_after = text(header::RETRY_AFTER).and_then(RetryAfter::parse);
    let location = text(header::LOCATION).map(str::to_owned);
    let mut incoming = response.into_body();
    let mut body = vec![];
    while let Some(frame) = incoming.frame().await {
        if let Ok(bytes) = frame.map_err(ExchangeError::Lost)?.into_data() {
            if body.len() + bytes.len() > ANSWER_BYTES_MAX {
                return Err(ExchangeError::TooLong);
            }
            body.extend_from_slice(&bytes);
        }
    }
    Ok(FormAnswer { status, retry_after, location, body })
}

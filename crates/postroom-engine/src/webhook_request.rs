//! One request to the receiver of a webhook: signed, within a deadline, with a bounded answer.
//!
//! The address is checked when the connection is made, after the lookup. Redirects are answers
//! like others: nothing follows them.
//!
//! Standards: Standard Webhooks; RFC 9112 (HTTP/1.1).

use crate::retry_after::RetryAfter;
use bytes::Bytes;
use http_body_util::BodyExt;
use http_body_util::Full;
use hyper::Request;
use hyper::Response;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::client::conn::http1::SendRequest;
use hyper::header;
use hyper_util::rt::TokioIo;
use postroom_model::Invalid;
use postroom_model::Timestamp;
use postroom_model::builtin::names;
use postroom_model::webhook;
use postroom_model::webhook::Url;
use postroom_net::DialManner;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_store::Sealed;
use postroom_store::WebhookRow;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use standardwebhooks::HEADER_WEBHOOK_ID;
use standardwebhooks::HEADER_WEBHOOK_SIGNATURE;
use standardwebhooks::HEADER_WEBHOOK_TIMESTAMP;
use standardwebhooks::Webhook;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

/// How long a request may take, from the lookup to the end of the answer.
const DEADLINE: Duration = Duration::from_secs(30);
/// How many bytes of an answer are read.
const ANSWER_BYTES_MAX: usize = 4096;
/// How many bytes the head of an answer may have.
const HEAD_BYTES_MAX: usize = 32 * 1024;
/// What requests say of who sends them.
const USER_AGENT: &str = concat!("Postroom/", env!("CARGO_PKG_VERSION"));

/// Where the requests of a webhook go, and what they have. Secrets stay encrypted until a request.
#[derive(Debug)]
pub(crate) struct WebhookReceiver {
    url: Url,
    secrets: Vec<Sealed>,
    headers: Option<Sealed>,
}

/// What is sent.
#[derive(Debug)]
pub(crate) struct WebhookMessage {
    /// The same whenever it is sent again.
    pub id: String,
    /// When it is sent.
    pub at: Timestamp,
    /// JSON.
    pub body: Bytes,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct WebhookAnswer {
    /// The status of HTTP.
    pub status: u16,
    /// How long to wait before the next request.
    pub retry_after: Option<RetryAfter>,
    /// The media type.
    pub content_type: Option<String>,
    /// How the body begins.
    pub body: Vec<u8>,
}

/// What a secret that cannot sign is told as.
const ODD_SECRET: &str = "a secret of the webhook is not of the form whsec_…: save it again";

/// What a header field that HTTP does not allow is told as.
fn unsendable(name: &str) -> String {
    format!(
        "the value of `{name}` in `headers` has characters that HTTP does not allow: save \
         `headers` again"
    )
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WebhookError {
    /// What is stored cannot be used.
    #[error("{0}")]
    Setting(String),
    /// The secrets cannot be read.
    #[error("the secrets of the webhook cannot be decrypted, so nothing was sent: save them again")]
    Sealed(#[from] postroom_store::Error),
    /// The address is refused.
    #[error("{0}")]
    Private(postroom_net::Error),
    /// There is no connection.
    #[error("{0}")]
    Connect(postroom_net::Error),
    /// The connection ended, or what came was no HTTP.
    #[error("the receiver ended the connection before its answer, or its answer was no HTTP")]
    Lost(#[source] hyper::Error),
    /// It took too long.
    #[error("the receiver gave no whole answer within 30 seconds")]
    Timeout,
}

/// A connection that is kept for the next request.
#[derive(Debug)]
pub(crate) struct KeptLink {
    sender: SendRequest<Full<Bytes>>,
    /// How it was made.
    manner: DialManner,
    _connection: AbortOnDropHandle<()>,
}

impl WebhookReceiver {
    /// The receiver of a webhook.
    ///
    /// # Errors
    ///
    /// What of it cannot be used.
    pub(crate) fn of(row: &WebhookRow) -> Result<Self, Invalid> {
        let url = row.webhook.text(names::URL).unwrap_or_default();
        let url = Url::parse(url).map_err(|reason| Invalid::new(names::URL, reason))?;
        let secrets: Vec<_> = [&row.secret, &row.second_secret].into_iter().flatten().collect();
        if secrets.is_empty() {
            return Err(Invalid::new(names::SECRET, "is missing: set one"));
        }
        let secrets = secrets.into_iter().cloned().collect();
        Ok(Self { url, secrets, headers: row.headers.clone() })
    }

    /// Sends a message, over the kept connection if there is one. A kept connection that has ended
    /// meanwhile is made anew. It is kept again if the receiver allows it.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(crate) async fn send(
        &self,
        dialer: &Dialer,
        kept: &mut Option<KeptLink>,
        message: &WebhookMessage,
    ) -> Result<WebhookAnswer, WebhookError> {
        // A link may lead where none may be made any more.
        let may_stay = |link: &KeptLink| link.manner == dialer.manner();
        let former = kept.take().filter(|link| !link.sender.is_closed() && may_stay(link));
        let exchange = async {
            if let Some(link) = former
                && let Ok(answered) = self.exchange(link, message).await
            {
                return Ok(answered);
            }
            let link = self.connect(dialer).await?;
            self.exchange(link, message).await
        };
        let (answer, link) =
            timeout(DEADLINE, Box::pin(exchange)).await.map_err(|_| WebhookError::Timeout)??;
        *kept = link;
        Ok(answer)
    }

    async fn connect(&self, dialer: &Dialer) -> Result<KeptLink, WebhookError> {
        let Url { is_tls, host, port, .. } = &self.url;
        let security = if *is_tls { Security::Tls } else { Security::None };
        let endpoint = Endpoint { host: host.clone(), port: *port, security };
        let stream = dialer.connect(&endpoint).await.map_err(|error| {
            let is_refused = matches!(
                error,
                postroom_net::Error::NotPublic { .. } | postroom_net::Error::NotAllowed { .. }
            );
            if is_refused { WebhookError::Private(error) } else { WebhookError::Connect(error) }
        })?;
        let mut builder = http1::Builder::new();
        let builder = builder.max_buf_size(HEAD_BYTES_MAX);
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(WebhookError::Lost)?;
        let connection = tokio::spawn(async move {
            // Whoever waits for the answer hears of its end.
            let _ = connection.await;
        });
        let (manner, connection) = (dialer.manner(), AbortOnDropHandle::new(connection));
        Ok(KeptLink { sender, manner, _connection: connection })
    }

    async fn exchange(
        &self,
        mut link: KeptLink,
        message: &WebhookMessage,
    ) -> Result<(WebhookAnswer, Option<KeptLink>), WebhookError> {
        let request = self.request(message)?;
        link.sender.ready().await.map_err(WebhookError::Lost)?;
        let response = link.sender.send_request(request).await.map_err(WebhookError::Lost)?;
        let status = response.status().as_u16();
        let text = |name| Some(response.headers().get(name)?.to_str().ok()?.to_owned());
        let content_type = text(header::CONTENT_TYPE);
        let retry_after = text(header::RETRY_AFTER).and_then(|text| RetryAfter::parse(&text));
        let (body, is_whole) = beginning(response).await?;
        let link = Some(link).filter(|_| is_whole);
        Ok((WebhookAnswer { status, retry_after, content_type, body }, link))
    }

    fn request(&self, message: &WebhookMessage) -> Result<Request<Full<Bytes>>, WebhookError> {
        let mut request = Request::post(&self.url.path)
            .header(header::HOST, &self.url.authority)
            .header(header::USER_AGENT, USER_AGENT)
            .header(header::CONTENT_TYPE, "application/json")
            .header(HEADER_WEBHOOK_ID, &message.id)
            .header(HEADER_WEBHOOK_TIMESTAMP, seconds(message.at))
            .header(HEADER_WEBHOOK_SIGNATURE, self.signatures(message)?);
        if let Some(sealed) = &self.headers {
            let text = sealed.open()?;
            let json = serde_json::from_str(text.expose_secret());
            let json =
                json.map_err(|_| WebhookError::Setting("`headers` is no JSON".to_owned()))?;
            let fields = webhook::headers(&json);
            let fields = fields.map_err(|invalid| WebhookError::Setting(invalid.to_string()))?;
            for (name, value) in fields {
                let mut value = header::HeaderValue::from_str(&value)
                    .map_err(|_| WebhookError::Setting(unsendable(&name)))?;
                value.set_sensitive(true);
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::new(message.body.clone()));
        request.map_err(|error| WebhookError::Setting(error.to_string()))
    }

    /// One signature for each secret.
    fn signatures(&self, message: &WebhookMessage) -> Result<String, WebhookError> {
        let mut all = vec![];
        for sealed in &self.secrets {
            let secret: SecretString = sealed.open()?;
            let unusable = |_| WebhookError::Setting(ODD_SECRET.to_owned());
            let signs = Webhook::new(secret.expose_secret()).map_err(unusable)?;
            let at = seconds(message.at);
            all.push(signs.sign(&message.id, at, &message.body).map_err(unusable)?);
        }
        Ok(all.join(" "))
    }
}

/// A moment as seconds since 1970.
fn seconds(at: Timestamp) -> i64 {
    at.as_ms().div_euclid(1000)
}

/// How an answer begins, and whether that is all of it.
async fn beginning(response: Response<Incoming>) -> Result<(Vec<u8>, bool), WebhookError> {
    let mut body = response.into_body();
    let mut read = vec![];
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(WebhookError::Lost)?.into_data() else {
            continue;
        };
        let room = ANSWER_BYTES_MAX - read.len();
        read.extend(bytes.iter().take(room));
        if bytes.len() > room {
            return Ok((read, false));
        }
    }
    Ok((read, true))
}

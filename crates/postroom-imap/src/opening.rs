//! From a dialed socket to a session that is ready to log in.
//!
//! ```text
//!   greeting ──► [CAPABILITY ──► STARTTLS ──► handshake, all forgotten] ──► CAPABILITY
//! ```
//!
//! Nothing that was read before the handshake is used after it. If STARTTLS is required, the
//! handshake cannot be skipped: a PREAUTH greeting, which would make STARTTLS impossible, ends the
//! attempt.
//!
//! Standards: RFC 3501 §6.2.1 and §7.1.4, RFC 8314 §3.

use crate::command::Command;
use crate::error::Error;
use crate::error::Refusal;
use crate::limits::ImapOptions;
use crate::response::Response;
use crate::response::StatusKind;
use crate::response_timer::ResponseTimer;
use crate::session::SessionEvent;
use crate::wire::ImapWire;
use postroom_net::ChannelBinding;
use postroom_net::Dialer;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::Stream;
use std::sync::Arc;
use tokio::io::AsyncRead;
use tokio::io::AsyncWrite;

/// An open session, and whether it is logged in already.
pub(crate) struct Opened<S> {
    /// The session.
    pub wire: ImapWire<S>,
    /// Where the login is.
    pub login: LoginState,
}

/// Where the login of a connection is.
#[derive(Debug)]
pub(crate) struct LoginState {
    /// Whether it is done, from the start if the greeting was PREAUTH.
    pub is_done: bool,
    /// How it can be bound to the connection.
    pub binding: ChannelBinding,
    /// Whether ID was sent.
    pub is_identified: bool,
}

/// Dials, secures the connection as the endpoint demands, and asks for the capabilities.
///
/// # Errors
///
/// No connection, no safe connection, or a server that does not greet.
pub(crate) async fn dial(
    dialer: &Dialer,
    endpoint: &Endpoint,
    options: Arc<ImapOptions>,
) -> Result<Opened<Stream>, Error> {
    let stream = dialer.connect(endpoint).await?;
    let binding = stream.channel_binding();
    let opened = greet(stream, Arc::clone(&options)).await?;
    let mut opened = match endpoint.security {
        Security::Tls | Security::None => {
            let is_done = opened.login.is_done;
            Opened { login: LoginState { is_done, binding, is_identified: false }, ..opened }
        }
        Security::StartTls => {
            let plain = start_tls(opened).await?;
            let stream = dialer.start_tls(plain, endpoint.bare_host()).await?;
            let binding = stream.channel_binding();
            let login = LoginState { is_done: false, binding, is_identified: false };
            Opened { wire: ImapWire::new(stream, options), login }
        }
    };
    know_capabilities(&mut opened.wire).await?;
    Ok(opened)
}

/// Takes over a stream that is connected to a server, such as a pipe, and asks for the
/// capabilities.
///
/// # Errors
///
/// A server that does not greet.
pub(crate) async fn adopt<S>(stream: S, options: Arc<ImapOptions>) -> Result<Opened<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut opened = greet(stream, options).await?;
    know_capabilities(&mut opened.wire).await?;
    Ok(opened)
}

async fn greet<S>(stream: S, options: Arc<ImapOptions>) -> Result<Opened<S>, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let deadline = options.deadlines.greeting;
    let mut timer = ResponseTimer::whole(deadline, deadline);
    let mut wire = ImapWire::new(stream, options);
    wire.begin(&mut timer).await?;
    loop {
        if let SessionEvent::Response(Response::State(line)) = wire.event(&mut timer).await? {
            let is_done = match line.state {
                StatusKind::Ok => false,
                StatusKind::Preauth => true,
                StatusKind::No | StatusKind::Bad | StatusKind::Bye => {
                    let code = line.code.map(|code| code.name);
                    return Err(Error::Bye { code, text: line.text });
                }
            };
            let binding = ChannelBinding::ClearText;
            let login = LoginState { is_done, binding, is_identified: false };
            return Ok(Opened { wire, login });
        }
    }
}

/// Sends STARTTLS. Gives the socket, ready for the handshake.
async fn start_tls<S>(mut opened: Opened<S>) -> Result<S, Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if opened.login.is_done {
        return Err(Error::StartTls { reason: "the server greets with PREAUTH" });
    }
    know_capabilities(&mut opened.wire).await?;
    if !opened.wire.session().capabilities().has("STARTTLS") {
        return Err(Error::StartTls { reason: "the server does not offer STARTTLS" });
    }
    match opened.wire.command(Command::start_tls()).await {
        Ok(_) => opened.wire.into_stream(),
        Err(Error::Refused { refusal: Refusal::No | Refusal::Bad, .. }) => {
            Err(Error::StartTls { reason: "the server refuses STARTTLS" })
        }
        Err(error) => Err(error),
    }
}

/// Asks for the capabilities, unless the server has sent them already.
///
/// # Errors
///
/// What ended the connection, or the server's refusal.
pub(crate) async fn know_capabilities<S>(wire: &mut ImapWire<S>) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    if wire.session().capabilities().is_empty() {
        wire.command(Command::capability()).await?;
    }
    Ok(())
}

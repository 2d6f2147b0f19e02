//! Flights: attempts with their connections, which go on by themselves if the server is silent.
//!
//! A server may be silent for 5 minutes about a recipient, and for 10 about a message (RFC 5321
//! §4.5.3.2). After 30 seconds the account and the message say so, and the next messages go over
//! another connection. If that falls silent too, no further message is begun.

use crate::account::Account;
use crate::report::Trouble;
use crate::send::handed_over::HandedOver;
use crate::send::kept::Ready;
use crate::send::kept::SILENT;
use crate::send::transmit;
use crate::shared::Shared;
use postroom_smtp::Awaited;
use postroom_smtp::Silence;
use postroom_smtp::SmtpConnection;
use postroom_store::Claimed;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many attempts wait for a silent server at most.
const STUCK_MAX: usize = 2;

/// An attempt that has ended.
pub(crate) struct Landed {
    /// Its connection.
    pub connection: SmtpConnection,
    /// Whether that was made for it.
    pub is_new: bool,
    /// The delivery, with the results of its recipients.
    pub claimed: Claimed,
    /// How it ended.
    pub ended: Result<HandedOver, postroom_smtp::Error>,
    /// Whether that was soon, as on a connection that is out of step.
    was_soon: bool,
}

impl Landed {
    /// Whether the message is handed over again at once, on a new connection.
    pub(crate) fn is_repeated(&mut self) -> bool {
        match &self.ended {
            Ok(handed_over) => handed_over.may_go_on(),
            // What is waited out for long would be waited out again and again.
            Err(postroom_smtp::Error::Protocol { .. }) if !self.was_soon => false,
            Err(error) => !self.is_new && transmit::is_repeated(&mut self.claimed, error),
        }
    }

    /// Whether the server accepted the message for somebody.
    pub(crate) fn was_accepted(&self) -> bool {
        self.ended.as_ref().is_ok_and(|handed_over| handed_over.was_accepted)
    }
}

/// An attempt that is being made.
pub(crate) struct Flight {
    running: Pin<Box<dyn Future<Output = Landed> + Send>>,
    silence: Silence,
    of: Claimed,
}

impl Flight {
    /// Begins an attempt.
    #[must_use]
    pub(crate) fn begin(
        shared: &Arc<Shared>,
        account: &Account,
        ready: Ready,
        claimed: Claimed,
    ) -> Self {
        let Ready { mut connection, is_new } = ready;
        let (silence, of) = (connection.silence(), claimed.clone());
        let (shared, address) = (Arc::clone(shared), account.address.clone());
        let uncertain = account.options.uncertain();
        let running = Box::pin(async move {
            let (mut claimed, begun) = (claimed, Instant::now());
            let _under_way = shared.under_way.enter(&address, claimed.message);
            let ended =
                transmit::hand_over(&shared, &mut connection, &mut claimed, uncertain).await;
            let was_soon = begun.elapsed() < SILENT;
            Landed { connection, is_new, claimed, ended, was_soon }
        });
        Self { running, silence, of }
    }

    /// Goes on until the attempt ends, or the server was silent for long. Then it gives for what it
    /// is silent.
    pub(crate) async fn go_on(&mut self) -> Result<Landed, Awaited> {
        loop {
            let awaited = self.silence.awaited();
            let silent = awaited.map_or(Duration::ZERO, |it| it.since.elapsed());
            if let Some(awaited) = awaited.filter(|_| silent >= SILENT) {
                return Err(awaited);
            }
            tokio::select! {
                biased;
                landed = &mut self.running => return Ok(landed),
                () = tokio::time::sleep(SILENT.saturating_sub(silent)) => {}
            }
        }
    }
}

/// The attempts that wait for a silent server.
#[derive(Default)]
pub(crate) struct Stuck {
    flights: JoinSet<Landed>,
    said: String,
    /// Whether the server took another message meanwhile.
    was_overtaken: bool,
}

impl Stuck {
    /// Lets an attempt go on by itself. The account and its message say why.
    pub(crate) async fn add(&mut self, shared: &Shared, flight: Flight, awaited: Awaited) {
        let Flight { running, of, .. } = flight;
        let text = format!(
            "the server has not answered {} for {} seconds",
            awaited.what,
            SILENT.as_secs()
        );
        let of_message = format!("{text}; Postroom waits for it");
        self.said = format!(
            "{text}: message {}. Postroom waits for it, and sends other messages over another \
             connection",
            of.message
        );
        self.was_overtaken &= self.is_any();
        self.flights.spawn(running);
        let told = shared.store.delivery_explain(&of.domain, of.message, &of_message).await;
        if let Err(error) = told {
            let message = of.message;
            tracing::error!(%message, %error, "a message does not say why it waits");
        }
    }

    /// What the account says meanwhile.
    #[must_use]
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.is_any().then(|| Trouble::new(self.said.clone()))
    }

    /// Whether any attempt waits for a silent server.
    #[must_use]
    pub(crate) fn is_any(&self) -> bool {
        !self.flights.is_empty()
    }

    /// Whether no further message may be begun.
    #[must_use]
    pub(crate) fn is_full(&self) -> bool {
        self.flights.len() >= STUCK_MAX
    }

    /// Notes that the server took a message.
    pub(crate) fn overtaken(&mut self) {
        self.was_overtaken = self.is_any();
    }

    /// Whether the server took another message since these are silent.
    #[must_use]
    pub(crate) fn was_overtaken(&self) -> bool {
        self.was_overtaken
    }

    /// Waits until one of them has ended. Without any it waits for ever. `None`: the attempt broke
    /// off, and its delivery must be recovered.
    pub(crate) async fn landed(&mut self) -> Option<Landed> {
        match self.flights.join_next().await {
            Some(Ok(landed)) => Some(landed),
            Some(Err(error)) => {
                tracing::error!(%error, "an attempt to send a message broke off");
                None
            }
            None => pending().await,
        }
    }
}

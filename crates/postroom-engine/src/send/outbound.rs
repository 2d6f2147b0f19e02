//! Outbound: sends one claimed delivery after the other for an account, and settles each attempt.
//!
//! An answer is about its message, unless it names a limit of the account, or the next messages get
//! the same answer.

use crate::account::Account;
use crate::error::Error;
use crate::report::Reporter;
use crate::report::chain;
use crate::report::is_of_login;
use crate::report::needs_a_person;
use crate::send::flight::Flight;
use crate::send::flight::Landed;
use crate::send::flight::Stuck;
use crate::send::handed_over::HandedOver;
use crate::send::held::Held;
use crate::send::kept::Kept;
use crate::send::kept::Ready;
use crate::send::pace::Pace;
use crate::send::pause::Pause;
use crate::send::prepare;
use crate::send::suspect::AboutAccount;
use crate::send::suspect::AnsweredMessage;
use crate::send::suspect::Suspect;
use crate::send::transmit;
use crate::send::verdict;
use crate::shared::Shared;
use postroom_smtp::Awaited;
use postroom_smtp::LoginRefusal;
use postroom_smtp::Reply;
use postroom_store::Claimed;
use postroom_watch::Watcher;
use std::sync::Arc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How many times a message goes on at once over another connection, after one that brought it to
/// nobody.
const REPEATS_MAX: u32 = 10;

/// What an account sends with, and what is known of its server.
pub(crate) struct Outbound {
    shared: Arc<Shared>,
    /// Writes how the account is.
    pub reporter: Arc<Reporter>,
    /// The connection.
    pub kept: Kept,
    /// Answers that are not stored yet.
    pub held: Held,
    /// How fast the server takes mail.
    pub pace: Pace,
    /// Answers that may be about the account.
    pub suspect: Suspect,
    /// Attempts that wait for a silent server.
    pub stuck: Stuck,
    /// Whether the deliveries that earlier senders left are recovered.
    pub is_recovered: bool,
    /// How many times in a row nothing could be sent.
    pub failures: u32,
    /// Why no connection is tried for a while.
    pub pause: Option<Pause>,
}

impl Outbound {
    /// Nothing is known of the server yet.
    #[must_use]
    pub(crate) fn new(
        shared: &Arc<Shared>,
        reporter: Arc<Reporter>,
        setup: Watcher<Arc<Account>>,
        stop: CancellationToken,
    ) -> Self {
        Self {
            shared: Arc::clone(shared),
            held: Held::new(Arc::clone(shared), setup.clone()),
            kept: Kept::new(Arc::clone(shared), Arc::clone(&reporter), setup, stop),
            reporter,
            pace: Pace::default(),
            suspect: Suspect::default(),
            stuck: Stuck::default(),
            is_recovered: false,
            failures: 0,
            pause: None,
        }
    }

    /// Sends one delivery, and settles it. If the server is silent, the attempt goes on by itself.
    ///
    /// # Errors
    ///
    /// Why the next message must not be tried now.
    pub(crate) async fn send(
        &mut self,
        account: &Account,
        mut claimed: Claimed,
    ) -> Result<(), Error> {
        let mut ready = match self.kept.take(account).await {
            Ok(ready) => ready,
            Err(error) => return self.no_connection(account, claimed, error).await,
        };
        self.pause = None;
        let mut repeats = 0;
        loop {
            // Each connection may be to another server.
            let (shared, connection) = (&self.shared, &ready.connection);
            if prepare::is_composed_anew(shared, account, connection, &claimed).await? {
                self.kept.keep(ready.connection).await;
                return Ok(());
            }
            let mut flight = Flight::begin(&self.shared, account, ready, claimed);
            let mut landed = match self.follow(account, &mut flight).await {
                Ok(landed) => landed,
                Err(awaited) => {
                    self.kept.speak_in_turn();
                    self.stuck.add(&self.shared, flight, awaited).await;
                    self.reporter.sending(self.stuck.trouble()).await;
                    return Ok(());
                }
            };
            if repeats == REPEATS_MAX || !landed.is_repeated() {
                self.kept.keep(landed.connection).await;
                return self.ended(account, landed.claimed, landed.ended).await;
            }
            // Who has the message is not named again, so these have an end.
            repeats += u32::from(!landed.was_accepted());
            landed.connection.quit().await;
            claimed = landed.claimed;
            ready = match self.kept.open(account).await {
                Ok(connection) => Ready { connection, is_new: true },
                Err(error) => return self.no_connection(account, claimed, error).await,
            };
        }
    }

    /// Goes on with an attempt, and settles others that end meanwhile. What these say of the
    /// account is not needed: this attempt says how the server is now.
    async fn follow(&mut self, account: &Account, flight: &mut Flight) -> Result<Landed, Awaited> {
        loop {
            let landed = tokio::select! {
                biased;
                ended = flight.go_on() => return ended,
                landed = self.stuck.landed() => landed,
            };
            if let Err(error) = self.landed(account, landed).await {
                tracing::warn!(account = account.address, error = chain(&error), "a late answer");
            }
        }
    }

    /// Settles an attempt whose server was silent. If other messages were sent meanwhile, its end
    /// says nothing of the account.
    ///
    /// # Errors
    ///
    /// As [`Self::send`].
    pub(crate) async fn landed(
        &mut self,
        account: &Account,
        landed: Option<Landed>,
    ) -> Result<(), Error> {
        let was_overtaken = self.stuck.was_overtaken();
        let Some(mut landed) = landed else {
            self.is_recovered = false;
            return Ok(());
        };
        // What was refused before the end is settled, because it would be lost otherwise.
        if landed.ended.is_err() && landed.is_repeated() {
            return Ok(self.shared.store.delivery_release(landed.claimed.message).await?);
        }
        landed.connection.quit().await;
        match self.ended(account, landed.claimed, landed.ended).await {
            Err(Error::Smtp(_)) if was_overtaken => {
                self.well().await;
                Ok(())
            }
            ended => ended,
        }
    }

    /// Settles an attempt. An error means that the next message must not be tried now.
    async fn ended(
        &mut self,
        account: &Account,
        mut claimed: Claimed,
        ended: Result<HandedOver, postroom_smtp::Error>,
    ) -> Result<(), Error> {
        let ended = match ended {
            Ok(HandedOver { held_back: Some(held_back), .. }) => {
                let verdict = verdict::held_back(&claimed, &held_back);
                self.held.settle(claimed, verdict).await?;
                return Err(held_back.into());
            }
            ended => ended,
        };
        if ended.as_ref().is_ok_and(|handed_over| handed_over.was_accepted) {
            self.pace.accepted(Instant::now());
            self.stuck.overtaken();
        }
        let is_hint = match self.suspect.about_account(&claimed, &ended, &account.address) {
            AboutAccount::Yes(reply) => return self.limited(account, claimed, reply, false).await,
            AboutAccount::Probably(reply) => {
                return self.limited(account, claimed, reply, true).await;
            }
            it @ (AboutAccount::Perhaps | AboutAccount::No) => it == AboutAccount::Perhaps,
        };
        if let Some(reply) = self.suspect.refused_sender(&claimed, &ended, &account.address) {
            transmit::wait_again(&mut claimed, &reply);
            self.held.settle(claimed, verdict::not_at_fault(&reply)).await?;
            return Err(Error::SenderRefused { reply });
        }
        match &ended {
            Err(error @ postroom_smtp::Error::Credentials { reply, .. })
                if reply.login_refusal() == LoginRefusal::Encryption
                    && !error.is_login_for_the_message() =>
            {
                let verdict = verdict::not_at_fault(reply);
                self.held.settle(claimed, verdict).await?;
                return ended.map(drop).map_err(Error::from);
            }
            Err(error) if error.is_out_of_step() => self.kept.speak_in_turn(),
            Ok(_) | Err(_) => {}
        }
        let confirmed = match &ended {
            Err(error) if !is_hint && !error.concerns_all() => {
                self.suspect.is_confirmed(AnsweredMessage::of(&claimed), error)
            }
            Ok(_) | Err(_) => None,
        };
        let verdict =
            verdict::of_attempt(&self.shared, &mut claimed, &ended, &account.options).await;
        self.held.settle(claimed, verdict).await?;
        match ended {
            Ok(_) | Err(_) if is_hint => Ok(()),
            Ok(handed_over) if handed_over.ended_at_ender && !handed_over.was_accepted => Ok(()),
            Ok(_) => {
                self.suspect.clear();
                self.well().await;
                Ok(())
            }
            Err(error) if error.concerns_all() => Err(error.into()),
            Err(error) => match confirmed {
                Some(true) => Err(Error::Alike(error)),
                Some(false) => Ok(()),
                None => {
                    self.well().await;
                    Ok(())
                }
            },
        }
    }

    /// The account has reached a limit of the server, or most probably has (`is_guess`): it pauses,
    /// and no attempt is counted.
    async fn limited(
        &mut self,
        account: &Account,
        mut claimed: Claimed,
        reply: Reply,
        is_guess: bool,
    ) -> Result<(), Error> {
        self.suspect.limited(&claimed);
        transmit::wait_again(&mut claimed, &reply);
        let (pause, error) = if is_guess {
            // It may be about the session.
            self.kept.close().await;
            let pause = self.pace.suspected();
            (pause, Error::RefusedAlike { reply, pause })
        } else {
            self.kept.limited(&reply);
            let pause = self.pace.limited();
            (pause, Error::Limited { reply, pause })
        };
        let verdict = verdict::limited(&claimed, chain(&error), pause, &account.options);
        self.held.settle(claimed, verdict).await?;
        Err(error)
    }

    /// Postpones a delivery without a connection. The attempt counts, unless the login failed.
    async fn no_connection(
        &mut self,
        account: &Account,
        claimed: Claimed,
        error: Error,
    ) -> Result<(), Error> {
        if needs_a_person(&error) || matches!(error, Error::Superseded) {
            self.shared.store.delivery_release(claimed.message).await?;
        } else {
            self.postpone(account, claimed, &error).await?;
        }
        // The other deliveries wait for the server too.
        Err(error)
    }

    /// Clears the trouble of the account.
    pub(crate) async fn well(&mut self) {
        self.failures = 0;
        self.reporter.sending(self.stuck.trouble()).await;
    }

    /// Postpones a delivery without a connection. If the login failed, the attempt does not count.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn postpone(
        &mut self,
        by: &Account,
        it: Claimed,
        error: &Error,
    ) -> Result<(), Error> {
        let verdict = if is_of_login(error) {
            verdict::no_login(&it, chain(error), &by.options)
        } else {
            verdict::later(chain(error), verdict::tried(&it), &by.options)
        };
        self.held.settle(it, verdict).await
    }
}

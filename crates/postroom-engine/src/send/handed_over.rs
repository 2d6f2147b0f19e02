//! Handed over: what came of an attempt that ended without an error.

use crate::error::Error;
use crate::send::settle;
use postroom_smtp::Reply;
use postroom_smtp::TransactionReplies;

/// The result of an attempt without an error.
#[derive(Debug, Default)]
pub(crate) struct HandedOver {
    /// Whether the server accepted the message for at least one recipient.
    pub was_accepted: bool,
    /// The server's reply about a limit of the account. Then nothing more was tried.
    pub limit: Option<Reply>,
    /// The server's last reply that may be about the account, and may be about the message alone.
    pub hint: Option<Reply>,
    /// The server's reply that refuses the sender for good.
    pub sender_refusal: Option<Reply>,
    /// The server's reply that refuses the message for good and for all, in words that may be about
    /// the account.
    pub refusal: Option<Reply>,
    /// Whether the server refuses the address of the sender for good, whoever the recipient is.
    pub blames_sender: bool,
    /// Whether the session ended, or is not used further, after it brought something about, and
    /// others still wait. They may be tried at once on another connection.
    pub goes_on: bool,
    /// Whether the session ended at a recipient at whom one had ended before. It says nothing of
    /// the account.
    pub ended_at_ender: bool,
    /// Why the final dot was not sent. Then the server does not have the message, and nothing more
    /// was tried.
    pub held_back: Option<HeldBack>,
}

impl HandedOver {
    /// Whether the others may be tried at once: what was refused is not about the account.
    pub(crate) fn may_go_on(&self) -> bool {
        let words = [&self.limit, &self.hint, &self.sender_refusal];
        self.goes_on && words.into_iter().all(Option::is_none)
    }

    /// Takes what the replies of a transaction say about the account. What may be about the account
    /// is not, if the server accepts the message after it, or means the session.
    pub(crate) fn take_words(&mut self, outcome: &TransactionReplies, has_earlier: bool) {
        let is_accepted = outcome.data.as_ref().is_some_and(Reply::is_success);
        self.limit = settle::limit(outcome, has_earlier).cloned();
        self.hint = if is_accepted || settle::is_session_full(outcome, has_earlier) {
            None
        } else {
            settle::hint(outcome).cloned().or(self.hint.take())
        };
        self.sender_refusal = settle::sender_refusal(outcome).cloned();
        self.refusal = settle::refusal(outcome).cloned().or(self.refusal.take());
        self.blames_sender = settle::blames_sender(outcome);
    }
}

/// Why Postroom did not send the final dot, though the server waited for it.
#[derive(Debug)]
pub(crate) enum HeldBack {
    /// Our own store could not record that the dot is sent next.
    Unrecorded(postroom_store::Error),
    /// The account may not send any more.
    Stopped,
}

impl From<HeldBack> for Error {
    fn from(held_back: HeldBack) -> Self {
        match held_back {
            HeldBack::Unrecorded(error) => Self::Store(error),
            HeldBack::Stopped => Self::Superseded,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_smtp::RecipientReply;

    #[test]
    fn what_may_be_about_the_account_is_not_if_the_message_is_accepted_after_it() {
        let said = |code, text: &str| Reply {
            code,
            has_code: true,
            is_mixed: false,
            enhanced: Some((4, 7, 1)),
            lines: vec![text.to_owned()],
        };
        let outcome = |data: Reply| {
            let reply = Reply { enhanced: None, ..said(250, "ok") };
            let recipients = vec![RecipientReply { address: String::new(), reply }];
            TransactionReplies { recipients, data: Some(data) }
        };
        let (later, refused, ok) = (said(451, "later"), said(550, "no"), said(250, "ok"));
        for (data, want) in [
            (vec![&later], true),
            (vec![&later, &refused], true),
            (vec![&later, &ok], false),
            (vec![&ok, &later], true),
        ] {
            let mut handed_over = HandedOver::default();
            for data in &data {
                handed_over.take_words(&outcome((*data).clone()), false);
            }
            assert_eq!(handed_over.hint.is_some(), want, "{data:?}");
        }
    }
}

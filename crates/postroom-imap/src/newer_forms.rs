//! Remembers which newer forms of commands end the connections to a server.
//!
//! A server that refuses a newer form is asked in the older one at once. Where the connection ends
//! instead, nothing can be asked any more. So the next connections leave that form out. EXAMINE is
//! left out where it is refused too, because it is sent at each poll.

use crate::error::Error;
use crate::error::ImapVerdict;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// So many connections in a row must end, because a network ends any of them by chance. So often in
/// a row EXAMINE must be refused, because a busy server refuses any command.
const ENDED_MIN: u32 = 2;
/// How long the older form is used then.
const OLDER_FOR: Duration = Duration::from_secs(24 * 3600);

/// A newer form of a command. There is an older one, or the session works without it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum NewerForm {
    /// EXAMINE in place of SELECT.
    Examine,
    /// ID.
    Id,
    /// `LIST .. RETURN` (RFC 5258).
    ExtendedList,
    /// `UID SEARCH RETURN` (RFC 4731).
    ExtendedSearch,
}

#[derive(Debug, Clone, Copy)]
struct EndedByForm {
    count: u32,
    last: Instant,
}

/// What the connections to one server, one after another, know of its newer forms. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct NewerForms(Arc<Mutex<BTreeMap<NewerForm, EndedByForm>>>);

impl PartialEq for NewerForms {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for NewerForms {}

impl NewerForms {
    /// Whether a form may be used.
    #[must_use]
    pub(crate) fn allow(&self, form: NewerForm) -> bool {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&form).copied();
        ended.is_none_or(|it| it.count < ENDED_MIN || it.last.elapsed() >= OLDER_FOR)
    }

    /// Notes how a form was answered. A refusal of EXAMINE says nothing before SELECT was answered.
    pub(crate) fn answered<T>(&self, form: NewerForm, result: &Result<T, Error>) {
        match result {
            // The connection had ended before.
            Err(Error::Ended) => {}
            // A server that ends the session because of the password blames no form.
            Err(error) if error.verdict() == ImapVerdict::Credentials => {}
            Err(error) if !error.leaves_connection_open() => self.gave_way(form),
            Err(_) if form == NewerForm::Examine => {}
            Ok(_) | Err(_) => {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&form);
            }
        }
    }

    /// Notes that a form had to give way to the older one.
    pub(crate) fn gave_way(&self, form: NewerForm) {
        let (mut ended, now) =
            (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let it = ended.entry(form).or_insert(EndedByForm { count: 0, last: now });
        it.count = it.count.saturating_add(1);
        it.last = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_form_is_left_out_after_two_connections_in_a_row_have_ended_by_it() {
        let forms = NewerForms::default();
        let closed = || Err::<(), _>(Error::Closed { command: "ID" });
        forms.answered(NewerForm::Id, &closed());
        forms.answered(NewerForm::Id, &Ok(()));
        forms.answered(NewerForm::Id, &closed());
        assert!(forms.allow(NewerForm::Id));
        forms.clone().answered(NewerForm::Id, &closed());
        assert!(!forms.allow(NewerForm::Id));
        assert!(forms.allow(NewerForm::ExtendedList));
        tokio::time::advance(OLDER_FOR).await;
        assert!(forms.allow(NewerForm::Id));
        forms.answered(NewerForm::Id, &closed());
        assert!(!forms.allow(NewerForm::Id));
    }
}

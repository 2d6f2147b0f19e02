//! Remembers which ways to log in with a password end the connections to a server.
//!
//! A server that refuses a way is asked in another one at once. Where the connection ends instead,
//! nothing can be asked any more. So the next connections leave that way out.

use crate::error::Error;
use postroom_net::sasl::Mechanism;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// How long a way is left out.
const LEFT_OUT_FOR: Duration = Duration::from_secs(24 * 3600);

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LoginForm {
    /// SCRAM, bound to the connection.
    ScramPlus,
    /// SCRAM.
    Scram,
    /// CRAM-MD5.
    CramMd5,
    /// AUTH PLAIN with an initial response.
    PlainAtOnce,
    /// AUTH PLAIN, whose response follows the answer 334.
    Plain,
    /// AUTH LOGIN.
    Login,
}

impl LoginForm {
    /// The ways of a mechanism, the usual one first.
    pub(crate) fn of(mechanism: Mechanism) -> &'static [Self] {
        match mechanism {
            Mechanism::ScramPlus => &[Self::ScramPlus],
            Mechanism::Scram => &[Self::Scram],
            Mechanism::CramMd5 => &[Self::CramMd5],
            Mechanism::Plain => &[Self::PlainAtOnce, Self::Plain],
            Mechanism::Login => &[Self::Login],
        }
    }
}

/// What the connections to one server, one after another, know of its ways to log in. Clones share
/// it.
#[derive(Debug, Clone, Default)]
pub struct LoginForms(Arc<Mutex<BTreeMap<LoginForm, Instant>>>);

impl PartialEq for LoginForms {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoginForms {}

impl LoginForms {
    /// Whether a way may be used.
    #[must_use]
    pub(crate) fn allow(&self, form: LoginForm) -> bool {
        let ended = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&form).copied();
        ended.is_none_or(|at| at.elapsed() >= LEFT_OUT_FOR)
    }

    /// Whether any way of a mechanism may be used.
    #[must_use]
    pub(crate) fn allow_any(&self, mechanism: Mechanism) -> bool {
        LoginForm::of(mechanism).iter().any(|form| self.allow(*form))
    }

    /// Begins anew, because no way is left.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Notes how a way was answered.
    pub(crate) fn answered(&self, form: LoginForm, result: &Result<(), Error>) {
        let mut ended = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Err(error) if error.ended_at_login() => {
                ended.insert(form, Instant::now());
            }
            Ok(()) | Err(_) => {
                ended.remove(&form);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_way_that_ended_the_connection_is_left_out_for_a_day() {
        let forms = LoginForms::default();
        forms.answered(LoginForm::PlainAtOnce, &Err(Error::Timeout { command: "AUTH" }));
        forms.answered(LoginForm::Login, &Err(Error::Timeout { command: "MAIL" }));
        assert!(!forms.allow(LoginForm::PlainAtOnce) && forms.allow_any(Mechanism::Plain));
        assert!(forms.allow(LoginForm::Login));
        forms.clone().answered(LoginForm::Plain, &Err(Error::Timeout { command: "AUTH" }));
        assert!(!forms.allow_any(Mechanism::Plain));
        tokio::time::advance(LEFT_OUT_FOR).await;
        assert!(forms.allow(LoginForm::PlainAtOnce));
    }
}

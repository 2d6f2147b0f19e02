//! Remembers what happened at the ways to log in, from one connection to a server to the next.
//!
//! A server that refuses a way can be asked in another one at once. Where the connection ends,
//! nothing can be asked any more. So the next connections leave that way out, until every way was
//! tried. No connection tries more ways because of it.

use crate::sasl::mechanism::Mechanism;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// So many connections in a row must end, because a network ends any of them by chance.
const ENDED_MIN: u32 = 2;
/// How long a way is left out, or counts as the one that the server took.
const REMEMBERED_FOR: Duration = Duration::from_secs(24 * 3600);

/// A way to log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LoginWay {
    /// SCRAM, bound to the connection.
    ScramPlus,
    /// SCRAM.
    Scram,
    /// CRAM-MD5.
    CramMd5,
    /// PLAIN, whose response goes with the command where the server allows it.
    Plain,
    /// PLAIN whose response waits for the server, although it need not.
    PlainAsked,
    /// LOGIN.
    Login,
    /// An access token that goes with the command.
    TokenAtOnce,
    /// An access token that waits for the server.
    Token,
}

impl LoginWay {
    /// The usual way of a mechanism.
    #[must_use]
    pub fn of(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::ScramPlus => Self::ScramPlus,
            Mechanism::Scram => Self::Scram,
            Mechanism::CramMd5 => Self::CramMd5,
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::Login,
        }
    }

    /// How a password is sent. `None`: it is no way of a password.
    #[must_use]
    pub fn mechanism(self) -> Option<Mechanism> {
        match self {
            Self::ScramPlus => Some(Mechanism::ScramPlus),
            Self::Scram => Some(Mechanism::Scram),
            Self::CramMd5 => Some(Mechanism::CramMd5),
            Self::Plain | Self::PlainAsked => Some(Mechanism::Plain),
            Self::Login => Some(Mechanism::Login),
            Self::TokenAtOnce | Self::Token => None,
        }
    }
}

#[derive(Debug, Default)]
struct TriedWays {
    left_out: BTreeMap<LoginWay, Instant>,
    /// How many connections in a row have ended by a way.
    ended: BTreeMap<LoginWay, u32>,
    /// The way that the server took last, and since when it is that.
    taken: Option<(LoginWay, Instant)>,
}

/// What the connections with one login to one server, one after another, know of its ways to log
/// in. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LoginWays(Arc<Mutex<TriedWays>>);

impl PartialEq for LoginWays {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for LoginWays {}

impl LoginWays {
    /// Those of some ways that are to be tried now, in their order. If all are left out, they begin
    /// anew.
    #[must_use]
    pub fn to_try(&self, ways: &[LoginWay]) -> Vec<LoginWay> {
        let mut tried = self.lock();
        tried.left_out.retain(|_, at| at.elapsed() < REMEMBERED_FOR);
        if ways.iter().all(|way| tried.left_out.contains_key(way)) {
            tried.left_out.clear();
        }
        let is_left = |way: &LoginWay| !tried.left_out.contains_key(way);
        ways.iter().copied().filter(is_left).collect()
    }

    /// The same. The one that the server took last is the first.
    #[must_use]
    pub fn taken_first(&self, ways: &[LoginWay]) -> Vec<LoginWay> {
        let mut ways = self.to_try(ways);
        let taken = self.lock().taken.filter(|(_, since)| since.elapsed() < REMEMBERED_FOR);
        ways.sort_by_key(|way| taken.is_none_or(|(taken, _)| taken != *way));
        ways
    }

    /// The server took a login.
    pub fn took(&self, way: LoginWay) {
        let mut tried = self.lock();
        tried.ended.clear();
        tried.left_out.remove(&way);
        if tried.taken.is_none_or(|(taken, _)| taken != way) {
            tried.taken = Some((way, Instant::now()));
        }
    }

    /// The server answered a login, although it did not take it. So ends before and behind it are
    /// not in a row.
    pub fn answered(&self, way: LoginWay) {
        self.lock().ended.remove(&way);
    }

    /// The other ways are tried before this one is tried again.
    pub fn leave_out(&self, way: LoginWay) {
        self.lock().leave_out(way);
    }

    /// The connection ended by a way, or is silent. After two in a row the way is left out.
    pub fn ended(&self, way: LoginWay) {
        let mut tried = self.lock();
        let count = tried.ended.entry(way).or_default();
        *count = count.saturating_add(1);
        if *count >= ENDED_MIN {
            tried.leave_out(way);
        }
    }

    fn lock(&self) -> MutexGuard<'_, TriedWays> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TriedWays {
    fn leave_out(&mut self, way: LoginWay) {
        self.left_out.insert(way, Instant::now());
        self.ended.remove(&way);
        self.taken = self.taken.filter(|(taken, _)| *taken != way);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LoginWay::*;

    const WAYS: [LoginWay; 3] = [Scram, Plain, Login];

    #[tokio::test(start_paused = true)]
    async fn a_way_is_left_out_after_one_refusal_or_two_ends_until_all_were_tried() {
        let ways = LoginWays::default();
        ways.ended(Scram);
        assert_eq!(ways.to_try(&WAYS), [Scram, Plain, Login]);
        ways.clone().ended(Scram);
        assert_eq!(ways.to_try(&WAYS), [Plain, Login]);
        ways.leave_out(Plain);
        assert_eq!(ways.to_try(&WAYS), [Login]);
        // Where there is no other, it is tried.
        assert_eq!(ways.to_try(&[Plain]), [Plain]);
        ways.leave_out(Scram);
        ways.leave_out(Plain);
        ways.leave_out(Login);
        assert_eq!(ways.to_try(&WAYS), [Scram, Plain, Login]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_server_took_is_first_until_it_refuses_it_or_a_day_is_over() {
        let ways = LoginWays::default();
        ways.ended(Login);
        ways.took(Login);
        ways.ended(Login);
        assert_eq!(ways.taken_first(&WAYS), [Login, Scram, Plain]);
        assert_eq!(ways.to_try(&WAYS), [Scram, Plain, Login]);
        ways.leave_out(Login);
        assert_eq!(ways.taken_first(&WAYS), [Scram, Plain]);
        ways.took(Plain);
        tokio::time::advance(REMEMBERED_FOR / 2).await;
        ways.took(Plain);
        assert_eq!(ways.taken_first(&WAYS), [Plain, Scram]);
        tokio::time::advance(REMEMBERED_FOR / 2).await;
        assert_eq!(ways.taken_first(&WAYS), [Scram, Plain, Login]);
    }

    #[tokio::test(start_paused = true)]
    async fn two_ends_with_an_answer_between_them_are_not_in_a_row() {
        let ways = LoginWays::default();
        ways.ended(Scram);
        ways.answered(Scram);
        ways.ended(Scram);
        assert_eq!(ways.to_try(&WAYS), [Scram, Plain, Login]);
        // What another way is answered says nothing of this one.
        ways.answered(Plain);
        ways.ended(Scram);
        assert_eq!(ways.to_try(&WAYS), [Plain, Login]);
    }
}

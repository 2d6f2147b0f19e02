//! The ways to log in that IMAP has, in the order in which they are tried.

use postroom_net::sasl::LoginWay;
use postroom_net::sasl::Mechanism;

/// The ways of some mechanisms. `at_once`: a response may go with the command (SASL-IR).
#[must_use]
pub(crate) fn of_password(mechanisms: &[Mechanism], at_once: bool) -> Vec<LoginWay> {
    let usual = mechanisms.iter().map(|mechanism| LoginWay::of(*mechanism));
    // LOGIN is plainer still.
    let is_last = mechanisms.last() == Some(&Mechanism::Plain);
    usual.chain((at_once && is_last).then_some(LoginWay::PlainAsked)).collect()
}

/// The ways of an access token. `at_once`: as for a password.
#[must_use]
pub(crate) fn of_token(at_once: bool) -> &'static [LoginWay] {
    if at_once { &[LoginWay::TokenAtOnce, LoginWay::Token] } else { &[LoginWay::Token] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use LoginWay::*;

    #[test]
    fn plain_waits_for_the_server_where_nothing_else_is_left() {
        let of = of_password;
        assert_eq!(of(&[Mechanism::Plain, Mechanism::Login], true), [Plain, Login]);
        assert_eq!(of(&[Mechanism::Scram, Mechanism::Plain], true), [Scram, Plain, PlainAsked]);
        assert_eq!(of(&[Mechanism::Plain], false), [Plain]);
    }
}

//! Which mechanisms to log in by with a password, in which order.

use crate::credentials::Credentials;
use crate::sasl::exchange::SaslExchange;
use crate::sasl::scram::BindingUse;
use crate::sasl::scram::Scram;
use crate::sasl_error::SaslError;
use crate::stream::ChannelBinding;
use postroom_model::options::MechanismChoice;

/// A way to log in with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS: SCRAM that is bound to the TLS connection.
    ScramPlus,
    /// SCRAM-SHA-256.
    Scram,
    /// CRAM-MD5.
    CramMd5,
    /// PLAIN.
    Plain,
    /// LOGIN.
    Login,
}

impl Mechanism {
    /// Its name, as servers offer it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ScramPlus => "SCRAM-SHA-256-PLUS",
            Self::Scram => "SCRAM-SHA-256",
            Self::CramMd5 => "CRAM-MD5",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// Begins a login. `None`: it has no challenges, and the password is sent as it is.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unpreparable`] if it cannot carry the login or the password.
    pub fn begin(
        self,
        credentials: &Credentials,
        link: &SaslLink<'_>,
    ) -> Result<Option<SaslExchange>, SaslError> {
        let usage = match self {
            Self::Plain | Self::Login => return Ok(None),
            Self::CramMd5 => return Ok(Some(SaslExchange::cram_md5(credentials))),
            Self::ScramPlus => BindingUse::Bound,
            Self::Scram if link.could_bind() && !(link.offers)(Self::ScramPlus) => {
                BindingUse::NotOffered
            }
            Self::Scram => BindingUse::Unbound,
        };
        let scram = Scram::new(credentials, usage, link.binding.clone())?;
        Ok(Some(SaslExchange::scram(scram)))
    }

    /// Whether the password may be tried by `next` after the server refused it by this mechanism.
    /// `has_proved`: the server had our proof, so the refusal is about the login.
    ///
    /// Servers offer SCRAM although they keep passwords in a form that SCRAM cannot use. So PLAIN
    /// follows, but only under TLS. It does not follow a proof that was bound to the connection,
    /// because then somebody may be between the server and us.
    #[must_use]
    pub fn gives_way_to(self, next: Self, has_proved: bool, link: &SaslLink<'_>) -> bool {
        match self {
            Self::ScramPlus | Self::Scram if !has_proved => true,
            Self::Scram => *link.binding != ChannelBinding::ClearText && next != Self::ScramPlus,
            Self::ScramPlus | Self::CramMd5 | Self::Plain | Self::Login => false,
        }
    }

    /// Whether the next connections may leave it out because of what happened at this one.
    /// `has_proved`: as in [`Self::gives_way_to`]. Otherwise whoever cuts connections after our
    /// proof could have the password sent as it is.
    #[must_use]
    pub fn may_be_left_out(self, has_proved: bool, link: &SaslLink<'_>) -> bool {
        self.sends_password() || self.gives_way_to(Self::Plain, has_proved, link)
    }

    /// Whether the password is sent as it is, and no proof of it. Then no other way is weaker.
    #[must_use]
    pub fn sends_password(self) -> bool {
        match self {
            Self::Plain | Self::Login => true,
            Self::ScramPlus | Self::Scram | Self::CramMd5 => false,
        }
    }
}

/// What a login by password has to know of its connection.
pub struct SaslLink<'a> {
    /// How it can be bound.
    pub binding: &'a ChannelBinding,
    /// Whether the server offers a mechanism.
    pub offers: &'a (dyn Fn(Mechanism) -> bool + Sync),
}

impl SaslLink<'_> {
    fn could_bind(&self) -> bool {
        matches!(self.binding, ChannelBinding::Exporter(_))
    }

    /// The mechanisms to try in turn, as chosen and offered.
    #[must_use]
    pub fn mechanisms(&self, choice: MechanismChoice) -> Vec<Mechanism> {
        let known: &[Mechanism] = match choice {
            MechanismChoice::Best => {
                &[Mechanism::ScramPlus, Mechanism::Scram, Mechanism::Plain, Mechanism::Login]
            }
            MechanismChoice::Scram => &[Mechanism::Scram],
            MechanismChoice::Plain => &[Mechanism::Plain, Mechanism::Login],
            MechanismChoice::CramMd5 => &[Mechanism::CramMd5],
        };
        let is_usable = |mechanism: &Mechanism| {
            (self.offers)(*mechanism) && (*mechanism != Mechanism::ScramPlus || self.could_bind())
        };
        known.iter().copied().filter(is_usable).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXPORTER: ChannelBinding = ChannelBinding::Exporter([0; 32]);

    #[test]
    fn the_strongest_mechanism_is_the_first_and_md5_must_be_chosen() {
        use Mechanism::*;
        let all = |_: Mechanism| true;
        let plain = |mechanism| mechanism == Plain;
        let of = |binding: &ChannelBinding, offers: &(dyn Fn(Mechanism) -> bool + Sync), choice| {
            SaslLink { binding, offers }.mechanisms(choice)
        };
        let best = MechanismChoice::Best;
        assert_eq!(of(&EXPORTER, &all, best), [ScramPlus, Scram, Plain, Login]);
        assert_eq!(of(&ChannelBinding::None, &all, best), [Scram, Plain, Login]);
        assert_eq!(of(&ChannelBinding::ClearText, &all, best), [Scram, Plain, Login]);
        assert_eq!(of(&EXPORTER, &plain, best), [Plain]);
        assert_eq!(of(&EXPORTER, &all, MechanismChoice::Scram), [Scram]);
        assert_eq!(of(&EXPORTER, &plain, MechanismChoice::Scram), []);
        assert_eq!(of(&EXPORTER, &all, MechanismChoice::Plain), [Plain, Login]);
        assert_eq!(of(&EXPORTER, &all, MechanismChoice::CramMd5), [CramMd5]);
    }

    #[test]
    fn a_password_is_sent_in_the_clear_only_where_nobody_can_have_made_scram_fail() {
        use Mechanism::*;
        let all = |_: Mechanism| true;
        #[rustfmt::skip]
        let table = [
            // Refused, tried next, after our proof, binding, whether it is tried.
            (ScramPlus, Scram, false, EXPORTER,                  true),
            (ScramPlus, Plain, true,  EXPORTER,                  false),
            (ScramPlus, Scram, true,  EXPORTER,                  false),
            (Scram,     Plain, false, ChannelBinding::ClearText, true),
            (Scram,     Plain, true,  ChannelBinding::ClearText, false),
            (Scram,     Plain, true,  ChannelBinding::None,      true),
            (Plain,     Login, true,  EXPORTER,                  false),
            (CramMd5,   Plain, false, EXPORTER,                  false),
        ];
        for (refused, next, has_proved, binding, want) in table {
            let link = SaslLink { binding: &binding, offers: &all };
            let got = refused.gives_way_to(next, has_proved, &link);
            assert_eq!(got, want, "{refused:?} {next:?} {has_proved}");
        }
    }

    #[test]
    fn no_later_connection_goes_around_a_proof_that_nothing_may_follow() {
        use Mechanism::*;
        let all = |_: Mechanism| true;
        #[rustfmt::skip]
        let table = [
            // Tried, after our proof, binding, whether the next connections may leave it out.
            (ScramPlus, false, EXPORTER,                  true),
            (ScramPlus, true,  EXPORTER,                  false),
            (Scram,     false, ChannelBinding::ClearText, true),
            (Scram,     true,  ChannelBinding::ClearText, false),
            (Scram,     true,  ChannelBinding::None,      true),
            (CramMd5,   false, EXPORTER,                  false),
            (Plain,     false, ChannelBinding::ClearText, true),
            (Login,     false, EXPORTER,                  true),
        ];
        for (tried, has_proved, binding, want) in table {
            let link = SaslLink { binding: &binding, offers: &all };
            assert_eq!(tried.may_be_left_out(has_proved, &link), want, "{tried:?} {has_proved}");
        }
    }

    #[test]
    fn a_server_learns_that_its_offer_was_changed() {
        let secret = crate::credentials::Secret::Password("p".into());
        let credentials = Credentials { login: "tim".to_owned(), secret };
        let no_plus = |mechanism| mechanism != Mechanism::ScramPlus;
        let all = |_: Mechanism| true;
        let first = |binding: &ChannelBinding, offers: &(dyn Fn(Mechanism) -> bool + Sync)| {
            let link = SaslLink { binding, offers };
            let begun = Mechanism::Scram.begin(&credentials, &link).unwrap().unwrap();
            secrecy::ExposeSecret::expose_secret(&begun.initial().unwrap())[..4].to_owned()
        };
        // `y,,`, `n,,` in base64.
        assert_eq!(first(&EXPORTER, &no_plus), "eSws");
        assert_eq!(first(&EXPORTER, &all), "biws");
        assert_eq!(first(&ChannelBinding::None, &no_plus), "biws");
    }
}

//! SCRAM-SHA-256: both sides prove that they know the password, and none of them sends it.
//!
//! ```text
//!   client-first ──► salt, iterations ──► client-final (our proof) ──► the server's signature
//! ```
//! With PLUS the proof covers the TLS connection too, so nobody between the two can pass it on.
//!
//! Standards: RFC 5802, RFC 7677, RFC 9266 (tls-exporter), RFC 4013 (SASLprep).

use crate::credentials::Credentials;
use crate::credentials::Secret;
use crate::sasl_error::SaslError;
use crate::stream::ChannelBinding;
use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::pbkdf2;
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use secrecy::SecretBox;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::RangeInclusive;

/// How often a server may have the password hashed. Fewer rounds than RFC 7677 §4 demands would
/// help those who guess passwords. More would hold up others.
pub(crate) const ITERATIONS: RangeInclusive<u32> = 4096..=200_000;

const HASH_OCTETS: usize = digest::SHA256_OUTPUT_LEN;
/// 18 octets become 24 characters.
const NONCE_OCTETS: usize = 18;

type Hash = [u8; HASH_OCTETS];

/// Where a login is.
enum ScramState {
    /// The first message is or was sent. The server's first message is expected.
    First,
    /// The proof was sent. The server's signature must verify by this key.
    Proved { server_key: SecretBox<Hash>, message: String },
    /// The server proved that it knows the password.
    Verified,
    /// The server said that it refuses the login.
    Refused,
}

/// One login by SCRAM-SHA-256.
pub(crate) struct Scram {
    password: SecretString,
    /// The header of GS2 (RFC 5802 §7), such as `n,,`.
    header: &'static str,
    binding: ChannelBinding,
    nonce: String,
    /// `client-first-message-bare`.
    first: String,
    state: ScramState,
}

impl fmt::Debug for Scram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scram").field("header", &self.header).finish_non_exhaustive()
    }
}

/// What the header of GS2 tells the server about binding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BindingUse {
    /// The proof covers the TLS connection.
    Bound,
    /// We could bind it, and the server offers no PLUS. A server that does offer it knows by this
    /// that somebody changed its offer.
    NotOffered,
    /// It is not bound.
    Unbound,
}

impl Scram {
    /// A login with a password, and a nonce of its own.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unpreparable`] if SCRAM cannot carry the login or the password.
    pub(crate) fn new(
        credentials: &Credentials,
        usage: BindingUse,
        binding: ChannelBinding,
    ) -> Result<Self, SaslError> {
        let mut octets = [0; NONCE_OCTETS];
        rand::fill(&mut octets).map_err(|_| SaslError::NoChance)?;
        Self::with_nonce(credentials, usage, binding, STANDARD.encode(octets))
    }

    fn with_nonce(
        credentials: &Credentials,
        usage: BindingUse,
        binding: ChannelBinding,
        nonce: String,
    ) -> Result<Self, SaslError> {
        let header = match usage {
            BindingUse::Bound => "p=tls-exporter,,",
            BindingUse::NotOffered => "y,,",
            BindingUse::Unbound => "n,,",
        };
        let binding = if usage == BindingUse::Bound { binding } else { ChannelBinding::None };
        let Secret::Password(password) = &credentials.secret else {
            return Err(SaslError::Unpreparable { what: "the token" });
        };
        let password = stringprep::saslprep(password.expose_secret())
            .map_err(|_| SaslError::Unpreparable { what: "the password" })?;
        if password.is_empty() {
            return Err(SaslError::Unpreparable { what: "the password" });
        }
        let login = stringprep::saslprep(&credentials.login)
            .map_err(|_| SaslError::Unpreparable { what: "the login name" })?;
        let login = login.replace('=', "=3D").replace(',', "=2C");
        let first = format!("n={login},r={nonce}");
        let password = SecretString::from(password.into_owned());
        Ok(Self { password, header, binding, nonce, first, state: ScramState::First })
    }

    /// The first message.
    pub(crate) fn first(&self) -> SecretString {
        SecretString::from(format!("{}{}", self.header, self.first))
    }

    /// Whether our proof was sent, so that a refusal is about the login.
    pub(crate) fn has_proved(&self) -> bool {
        !matches!(self.state, ScramState::First)
    }

    /// Whether the server has proved that it knows the password.
    pub(crate) fn is_verified(&self) -> bool {
        matches!(self.state, ScramState::Verified)
    }

    /// The answer to what the server says.
    ///
    /// # Errors
    ///
    /// Why the login must be broken off.
    pub(crate) fn answer(&mut self, said: &str) -> Result<SecretString, SaslError> {
        match &self.state {
            // It overlooked the first message, which came with the command.
            ScramState::First if said.is_empty() => Ok(self.first()),
            ScramState::First => self.prove(said),
            ScramState::Proved { server_key, message } => {
                self.state = verify(said, server_key.expose_secret(), message)?;
                Ok(SecretString::default())
            }
            ScramState::Verified | ScramState::Refused => Ok(SecretString::default()),
        }
    }

    fn prove(&mut self, said: &str) -> Result<SecretString, SaslError> {
        let ServerFirst { nonce, salt, iterations } = ServerFirst::parse(said)?;
        let is_longer = nonce.len() > self.nonce.len();
        if !is_longer || !nonce.starts_with(&self.nonce) {
            return Err(SaslError::Malformed { what: "nonce" });
        }
        let binding = [self.header.as_bytes(), self.binding.octets()].concat();
        let last = format!("c={},r={nonce}", STANDARD.encode(binding));
        let message = format!("{},{said},{last}", self.first);
        let salted = self.salted(&salt, iterations);
        let client_key = Zeroizing::new(signed(salted.as_ref(), b"Client Key"));
        let stored_key = Zeroizing::new(hash(client_key.as_ref()));
        let mut proof = Zeroizing::new(signed(stored_key.as_ref(), message.as_bytes()));
        for (octet, key) in proof.iter_mut().zip(client_key.iter()) {
            *octet ^= key;
        }
        let server_key = SecretBox::new(Box::new(signed(salted.as_ref(), b"Server Key")));
        self.state = ScramState::Proved { server_key, message };
        Ok(SecretString::from(format!("{last},p={}", STANDARD.encode(proof.as_ref()))))
    }

    fn salted(&self, salt: &[u8], iterations: NonZeroU32) -> Zeroizing<Hash> {
        let mut salted = Zeroizing::new([0; HASH_OCTETS]);
        let password = self.password.expose_secret().as_bytes();
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password, salted.as_mut());
        salted
    }
}

/// The server's first message (RFC 5802 §7).
struct ServerFirst<'a> {
    nonce: &'a str,
    salt: Vec<u8>,
    iterations: NonZeroU32,
}

impl<'a> ServerFirst<'a> {
    fn parse(said: &'a str) -> Result<Self, SaslError> {
        let malformed = |what| SaslError::Malformed { what };
        let mut parts = said.split(',');
        let mut next = |name: &str, what| {
            let part = parts.next().and_then(|part| part.strip_prefix(name));
            part.filter(|value| !value.is_empty()).ok_or(malformed(what))
        };
        let nonce = next("r=", "nonce")?;
        let salt = next("s=", "salt")?;
        let salt = STANDARD.decode(salt).map_err(|_| malformed("salt"))?;
        let count: u32 = next("i=", "iterations")?.parse().map_err(|_| malformed("iterations"))?;
        match NonZeroU32::new(count).filter(|_| ITERATIONS.contains(&count)) {
            Some(iterations) => Ok(Self { nonce, salt, iterations }),
            None => Err(SaslError::Iterations { count }),
        }
    }
}

/// Checks the server's last message.
fn verify(said: &str, server_key: &Hash, message: &str) -> Result<ScramState, SaslError> {
    if said.starts_with("e=") {
        return Ok(ScramState::Refused);
    }
    let signature = said.strip_prefix("v=").map(|rest| rest.split(',').next().unwrap_or(rest));
    let signature = signature.ok_or(SaslError::Malformed { what: "signature" })?;
    let signature =
        STANDARD.decode(signature).map_err(|_| SaslError::Malformed { what: "signature" })?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, server_key);
    hmac::verify(&key, message.as_bytes(), &signature).map_err(|_| SaslError::Signature)?;
    Ok(ScramState::Verified)
}

fn signed(key: &[u8], text: &[u8]) -> Hash {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text);
    fixed(tag.as_ref())
}

fn hash(octets: &[u8]) -> Hash {
    fixed(digest::digest(&digest::SHA256, octets).as_ref())
}

fn fixed(octets: &[u8]) -> Hash {
    let mut fixed = [0; HASH_OCTETS];
    assert_eq!(octets.len(), HASH_OCTETS, "SHA-256 gives 32 octets");
    fixed.copy_from_slice(octets);
    fixed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7677 §3.
    const NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
    const FIRST: &str = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
    const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
    const LAST: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

    fn scram(login: &str, password: &str, usage: BindingUse) -> Result<Scram, SaslError> {
        let secret = Secret::Password(SecretString::from(password));
        let credentials = Credentials { login: login.to_owned(), secret };
        let binding = ChannelBinding::Exporter([7; 32]);
        Scram::with_nonce(&credentials, usage, binding, NONCE.to_owned())
    }

    fn user() -> Scram {
        scram("user", "pencil", BindingUse::Unbound).unwrap()
    }

    #[test]
    fn the_example_of_the_standard() {
        let mut scram = user();
        assert_eq!(scram.first().expose_secret(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
        assert_eq!(scram.answer("").unwrap().expose_secret(), scram.first().expose_secret());
        assert!(!scram.has_proved());
        assert_eq!(scram.answer(FIRST).unwrap().expose_secret(), PROOF);
        assert!(scram.has_proved() && !scram.is_verified());
        assert_eq!(scram.answer(LAST).unwrap().expose_secret(), "");
        assert!(scram.is_verified());
    }

    #[test]
    fn a_server_that_does_not_know_the_password_is_found_out() {
        let other = "v=7rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";
        let malformed = |what| SaslError::Malformed { what };
        #[rustfmt::skip]
        let table = [
            (other,   Some(SaslError::Signature)),
            ("v=",    Some(SaslError::Signature)),
            ("v=AA==", Some(SaslError::Signature)),
            ("v=?",   Some(malformed("signature"))),
            ("",      Some(malformed("signature"))),
            ("e=invalid-proof", None),
        ];
        for (said, want) in table {
            let mut scram = user();
            scram.answer(FIRST).unwrap();
            assert_eq!(scram.answer(said).err(), want, "{said}");
            assert!(!scram.is_verified(), "{said}");
        }
    }

    #[test]
    fn a_first_message_that_is_not_of_the_standard_gets_no_proof() {
        let malformed = |what| SaslError::Malformed { what };
        let (ours, theirs) = (NONCE, "rOprNGfwEbeRWgbNEkqOx");
        #[rustfmt::skip]
        let table = [
            (format!("r={ours},s=AAAA,i=4096"),       malformed("nonce")),
            ("r=another,s=AAAA,i=4096".to_owned(),    malformed("nonce")),
            ("m=x,r=a,s=AAAA,i=4096".to_owned(),      malformed("nonce")),
            ("e=other-error".to_owned(),              malformed("nonce")),
            (format!("r={theirs},s=,i=4096"),         malformed("salt")),
            (format!("r={theirs},s=?,i=4096"),        malformed("salt")),
            (format!("r={theirs},s=AAAA"),            malformed("iterations")),
            (format!("r={theirs},s=AAAA,i=99999999999"), malformed("iterations")),
            (format!("r={theirs},s=AAAA,i=0"),        SaslError::Iterations { count: 0 }),
            (format!("r={theirs},s=AAAA,i=4095"),     SaslError::Iterations { count: 4095 }),
            (format!("r={theirs},s=AAAA,i=200001"),   SaslError::Iterations { count: 200_001 }),
        ];
        for (said, want) in table {
            let mut scram = user();
            assert_eq!(scram.answer(&said).err(), Some(want), "{said}");
            assert!(!scram.has_proved(), "{said}");
        }
    }

    #[test]
    fn names_and_passwords_are_prepared() {
        let first = |login| {
            let scram = scram(login, "pencil", BindingUse::NotOffered).unwrap();
            scram.first().expose_secret().to_owned()
        };
        assert_eq!(first("a=b,c"), format!("y,,n=a=3Db=2Cc,r={NONCE}"));
        assert_eq!(first("I\u{ad}X"), format!("y,,n=IX,r={NONCE}"));
        let plain = |password| scram("user", password, BindingUse::Unbound).unwrap().password;
        assert_eq!(plain("\u{2168}").expose_secret(), "IX");
        for (login, password, what) in [
            ("user", "\u{7}", "the password"),
            ("user", "", "the password"),
            ("\u{7}", "p", "the login name"),
        ] {
            let error = scram(login, password, BindingUse::Unbound).err();
            assert_eq!(error, Some(SaslError::Unpreparable { what }));
        }
    }

    #[test]
    fn a_bound_proof_covers_the_connection() {
        let mut scram = scram("user", "pencil", BindingUse::Bound).unwrap();
        let first = scram.first().expose_secret().to_owned();
        assert_eq!(first, format!("p=tls-exporter,,n=user,r={NONCE}"));
        let proof = scram.answer(FIRST).unwrap().expose_secret().to_owned();
        let (binding, _) = proof.strip_prefix("c=").unwrap().split_once(',').unwrap();
        let want = [&b"p=tls-exporter,,"[..], &[7; 32]].concat();
        assert_eq!(STANDARD.decode(binding).unwrap(), want);
    }
}

//! A login of several messages: what to answer to each challenge of the server.
//!
//! Standards: RFC 2195 (CRAM-MD5), RFC 4954 §4 and RFC 3501 §6.2.2 (base64).

use crate::credentials::Credentials;
use crate::sasl::encoding::encode;
use crate::sasl::encoding::exposed;
use crate::sasl::scram::Scram;
use crate::sasl_error::SaslError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::Hmac;
use hmac::KeyInit;
use hmac::Mac;
use md5::Md5;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// The rules of one mechanism.
#[derive(Debug)]
enum ExchangeRules {
    Scram(Box<Scram>),
    CramMd5(Credentials),
}

/// One login by a mechanism that answers challenges. The debug output shows no secret.
#[derive(Debug)]
pub struct SaslExchange {
    rules: ExchangeRules,
    has_proved: Arc<AtomicBool>,
}

/// Says, while and after a login runs, whether our proof was sent.
#[derive(Debug, Clone)]
pub struct ProofMark(Arc<AtomicBool>);

impl ProofMark {
    /// Whether the proof of the password was sent. A refusal before it is not about the password.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl SaslExchange {
    pub(crate) fn scram(scram: Scram) -> Self {
        let rules = ExchangeRules::Scram(Box::new(scram));
        Self { rules, has_proved: Arc::default() }
    }

    pub(crate) fn cram_md5(credentials: &Credentials) -> Self {
        let rules = ExchangeRules::CramMd5(credentials.clone());
        Self { rules, has_proved: Arc::default() }
    }

    /// What says later whether the proof was sent.
    #[must_use]
    pub fn mark(&self) -> ProofMark {
        ProofMark(Arc::clone(&self.has_proved))
    }

    /// The message that begins the login, in base64. `None`: the server speaks first.
    #[must_use]
    pub fn initial(&self) -> Option<SecretString> {
        match &self.rules {
            ExchangeRules::Scram(scram) => Some(encode(scram.first().expose_secret())),
            ExchangeRules::CramMd5(_) => None,
        }
    }

    /// The answer to a challenge. Both are in base64.
    ///
    /// # Errors
    ///
    /// Why the login must be broken off.
    pub fn answer(&mut self, challenge: &str) -> Result<SecretString, SaslError> {
        let challenge = STANDARD.decode(challenge.trim()).map_err(|_| SaslError::NotBase64)?;
        match &mut self.rules {
            ExchangeRules::Scram(scram) => {
                let said = std::str::from_utf8(&challenge).map_err(|_| SaslError::NotBase64)?;
                let answer = scram.answer(said)?;
                self.has_proved.store(scram.has_proved(), Ordering::Relaxed);
                Ok(encode(answer.expose_secret()))
            }
            ExchangeRules::CramMd5(credentials) => {
                self.has_proved.store(true, Ordering::Relaxed);
                Ok(encode(&cram_md5(credentials, &challenge)))
            }
        }
    }

    /// Whether the server may say that the login succeeded.
    ///
    /// # Errors
    ///
    /// [`SaslError::Unproven`] if it owes its own proof.
    pub fn finish(&self) -> Result<(), SaslError> {
        match &self.rules {
            ExchangeRules::Scram(scram) if !scram.is_verified() => Err(SaslError::Unproven),
            ExchangeRules::Scram(_) | ExchangeRules::CramMd5(_) => Ok(()),
        }
    }
}

/// The login name and the digest of the challenge (RFC 2195 §2).
fn cram_md5(credentials: &Credentials, challenge: &[u8]) -> String {
    let mut answer = format!("{} ", credentials.login);
    // A key of any length is taken.
    if let Ok(mut mac) = Hmac::<Md5>::new_from_slice(exposed(credentials).as_bytes()) {
        mac.update(challenge);
        for octet in mac.finalize().into_bytes() {
            // Writing into a string does not fail.
            let _ = write!(answer, "{octet:02x}");
        }
    }
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::Secret;

    #[test]
    fn the_example_of_cram_md5() {
        let secret = Secret::Password(SecretString::from("tanstaaftanstaaf"));
        let tim = Credentials { login: "tim".to_owned(), secret };
        let mut exchange = SaslExchange::cram_md5(&tim);
        assert!(exchange.initial().is_none() && !exchange.mark().is_set());
        let challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+";
        let answer = exchange.answer(challenge).unwrap();
        let want = "tim b913a602c7eda7a495b4e6e7334d3890";
        assert_eq!(STANDARD.decode(answer.expose_secret()).unwrap(), want.as_bytes());
        assert!(exchange.mark().is_set());
        exchange.finish().unwrap();
        assert_eq!(exchange.answer("?").err(), Some(SaslError::NotBase64));
    }
}

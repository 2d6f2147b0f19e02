//! Assertions of service accounts: who acts for which mailbox, signed with the key of the app.
//!
//! Standards: RFC 7515 (JSON Web Signature), RFC 7518 §3.3 (RS256), RFC 7519 (JSON Web Token), RFC
//! 7523 §2.1 and §3 (as a grant).

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::RSA_PKCS1_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use postroom_model::Timestamp;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::json;

/// For how many seconds an assertion is good. Providers allow an hour.
const LIFE_SECONDS: i64 = 300;
/// The header: RSA with SHA-256.
const HEADER: &str = r#"{"alg":"RS256","typ":"JWT"}"#;

/// What an assertion says.
#[derive(Debug)]
pub(crate) struct AssertedClaims<'a> {
    /// Who says it: the service account.
    pub issuer: &'a str,
    /// The mailbox for which it acts.
    pub subject: &'a str,
    /// What the token is to be good for, with spaces between.
    pub scope: &'a str,
    /// Who is to believe it: where tokens are given.
    pub audience: &'a str,
}

/// An assertion that is good from now on, signed with a key in PEM.
///
/// # Errors
///
/// What is wrong with the key, for people.
pub(crate) fn assertion(
    key: &SecretString,
    claims: &AssertedClaims<'_>,
    now: Timestamp,
) -> Result<SecretString, &'static str> {
    let key = key_pair(key)?;
    let issued_at = now.as_ms().div_euclid(1000);
    let mut said = json!({
        "iss": claims.issuer, "sub": claims.subject, "aud": claims.audience,
        "iat": issued_at, "exp": issued_at.saturating_add(LIFE_SECONDS),
    });
    if let (false, Some(members)) = (claims.scope.is_empty(), said.as_object_mut()) {
        members.insert("scope".to_owned(), json!(claims.scope));
    }
    let encoded = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let signed = format!("{}.{}", encoded(HEADER.as_bytes()), encoded(said.to_string().as_bytes()));
    let mut signature = vec![0; key.public_modulus_len()];
    let done = key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature);
    done.map_err(|_| "is no key that can sign")?;
    Ok(SecretString::from(format!("{signed}.{}", encoded(&signature))))
}

fn key_pair(pem: &SecretString) -> Result<RsaKeyPair, &'static str> {
    const FORM: &str = "is no RSA key in PEM, such as `private_key` of the file that the provider \
                        gives for a service account";
    let der = PrivateKeyDer::from_pem_slice(pem.expose_secret().as_bytes()).map_err(|_| FORM)?;
    let read = match &der {
        PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()),
        PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()),
        PrivateKeyDer::Sec1(_) | _ => return Err(FORM),
    };
    read.map_err(|_| FORM)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_sandbox::TokenServer;
    use serde_json::Value as Json;

    #[test]
    fn an_assertion_says_who_acts_for_whom_and_what_is_no_key_is_named() {
        let claims = AssertedClaims {
            issuer: "robot@a.test",
            subject: "anna@a.test",
            scope: "mail",
            audience: "https://b.test/token",
        };
        let now = Timestamp::parse("2026-11-29T10:00:00.900Z").unwrap();
        let key = SecretString::from(TokenServer::default().robot_account("robot@a.test"));
        let made = assertion(&key, &claims, now).unwrap();
        let parts: Vec<_> = made.expose_secret().split('.').collect();
        let read = |part: &str| {
            let bytes = BASE64_URL_SAFE_NO_PAD.decode(part).unwrap();
            serde_json::from_slice::<Json>(&bytes).unwrap()
        };
        assert_eq!(read(parts[0]), json!({"alg": "RS256", "typ": "JWT"}));
        let want = json!({
            "iss": "robot@a.test", "sub": "anna@a.test", "aud": "https://b.test/token",
            "iat": 1_795_946_400, "exp": 1_795_946_700, "scope": "mail",
        });
        assert_eq!(read(parts[1]), want);
        let ec = "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g";
        let pem =
            |body| format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
        for wrong in ["".to_owned(), "hush".to_owned(), pem("AAAA"), pem(ec)] {
            let refused = assertion(&SecretString::from(wrong), &claims, now).unwrap_err();
            assert!(refused.contains("no RSA key in PEM"), "{refused}");
        }
    }
}

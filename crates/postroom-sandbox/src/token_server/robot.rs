//! A service account: what it says is believed if its key has signed it.
//!
//! Standards: RFC 7515 (JSON Web Signature), RFC 7523 §3.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::encoding::Pkcs8V1Der;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::KeyPair;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use aws_lc_rs::signature::RsaKeyPair;
use aws_lc_rs::signature::UnparsedPublicKey;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::Value as Json;

/// The type of the grant.
pub(crate) const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// For how many seconds an assertion may be good.
const LIFE_SECONDS_MAX: i64 = 3600;
/// How many characters a line of PEM has.
const PEM_LINE: usize = 64;

/// A service account.
pub(crate) struct RobotAccount {
    address: String,
    public_key: Vec<u8>,
    /// Whether it may act for users.
    pub is_allowed: bool,
}

impl RobotAccount {
    /// One with a new key, and the key in PEM.
    pub(crate) fn new(address: &str) -> (Self, String) {
        let key = RsaKeyPair::generate(KeySize::Rsa2048).ok();
        let public_key = key.as_ref().map(|key| key.public_key().as_ref().to_vec());
        let private: Option<Pkcs8V1Der<'_>> = key.as_ref().and_then(|key| key.as_der().ok());
        let private = private.map(|der| pem(der.as_ref())).unwrap_or_default();
        let public_key = public_key.unwrap_or_default();
        (Self { address: address.to_owned(), public_key, is_allowed: true }, private)
    }

    /// The user for whom an assertion acts.
    ///
    /// # Errors
    ///
    /// The error of a token endpoint.
    pub(crate) fn subject_of(&self, assertion: &str) -> Result<String, &'static str> {
        const GRANT: &str = "invalid_grant";
        let (signed, signature) = assertion.rsplit_once('.').ok_or(GRANT)?;
        let (header, claims) = signed.split_once('.').ok_or(GRANT)?;
        let decoded = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| GRANT);
        let read = |text: &str| serde_json::from_slice::<Json>(&decoded(text)?).map_err(|_| GRANT);
        let (header, claims) = (read(header)?, read(claims)?);
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &self.public_key);
        key.verify(signed.as_bytes(), &decoded(signature)?).map_err(|_| GRANT)?;
        let text = |name: &str| claims.get(name).and_then(Json::as_str).unwrap_or_default();
        let number = |name: &str| claims.get(name).and_then(Json::as_i64).unwrap_or_default();
        let life = number("exp").saturating_sub(number("iat"));
        let is_it = header.get("alg").and_then(Json::as_str) == Some("RS256")
            && text("iss") == self.address
            && text("aud").ends_with("/token")
            && !text("sub").is_empty()
            && (1..=LIFE_SECONDS_MAX).contains(&life);
        if !is_it {
            return Err(GRANT);
        }
        if self.is_allowed { Ok(text("sub").to_owned()) } else { Err("unauthorized_client") }
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut lines = String::new();
    for (at, char) in encoded.chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            lines.push('\n');
        }
        lines.push(char);
    }
    format!("-----BEGIN PRIVATE KEY-----\n{lines}\n-----END PRIVATE KEY-----\n")
}

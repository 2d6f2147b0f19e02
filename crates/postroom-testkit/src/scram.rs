//! The other side of SCRAM-SHA-256, for servers that tests script.
//!
//! Standards: RFC 5802, RFC 7677.

use anyhow::Context;
use anyhow::Result;
use aws_lc_rs::digest;
use aws_lc_rs::hmac;
use aws_lc_rs::pbkdf2;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::num::NonZeroU32;

const ITERATIONS: NonZeroU32 = NonZeroU32::new(4096).unwrap();

/// A server that knows one password. It takes and gives messages in base64.
#[derive(Debug)]
pub struct ScramServer {
    password: String,
    client_first: String,
    server_first: String,
}

impl ScramServer {
    /// Takes the client's first message.
    ///
    /// # Errors
    ///
    /// When it is not SCRAM.
    pub fn begin(password: &str, said: &str) -> Result<Self> {
        let said = decoded(said)?;
        let bare = said.splitn(3, ',').nth(2).context("no header of GS2")?.to_owned();
        let (_, nonce) = bare.split_once(",r=").context("no nonce")?;
        let salt = STANDARD.encode(b"a salt of tests");
        let server_first = format!("r={nonce}theirs,s={salt},i={ITERATIONS}");
        Ok(Self { password: password.to_owned(), client_first: bare, server_first })
    }

    /// The server's first message.
    pub fn first(&self) -> String {
        STANDARD.encode(&self.server_first)
    }

    /// Checks the client's proof. The server's last message, if it is right.
    ///
    /// # Errors
    ///
    /// When it is not SCRAM.
    pub fn last(&self, said: &str) -> Result<Option<String>> {
        let said = decoded(said)?;
        let (without, proof) = said.rsplit_once(",p=").context("no proof")?;
        let proof = STANDARD.decode(proof)?;
        let message = format!("{},{},{without}", self.client_first, self.server_first);
        let mut salted = [0; 32];
        let (salt, password) = (b"a salt of tests", self.password.as_bytes());
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, ITERATIONS, salt, password, &mut salted);
        let signed = |key: &[u8], text: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), text).as_ref().to_vec()
        };
        let client_key = signed(&salted, b"Client Key");
        let stored_key = digest::digest(&digest::SHA256, &client_key);
        let signature = signed(stored_key.as_ref(), message.as_bytes());
        let want: Vec<u8> = client_key.iter().zip(signature).map(|(a, b)| a ^ b).collect();
        let server_signature = signed(&signed(&salted, b"Server Key"), message.as_bytes());
        let last = format!("v={}", STANDARD.encode(server_signature));
        Ok((proof == want).then(|| STANDARD.encode(last)))
    }
}

fn decoded(said: &str) -> Result<String> {
    Ok(String::from_utf8(STANDARD.decode(said)?)?)
}

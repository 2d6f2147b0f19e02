//! Why a login was broken off by us.

/// Why we broke a login off. No text shows what the server said.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SaslError {
    /// The server's signature is wrong.
    #[error(
        "the server did not prove that it knows the password (SCRAM), so it may be another server \
         than it claims to be: check the host and its certificate before you set the password \
         again"
    )]
    Signature,
    /// The server ended the login before it proved that it knows the password.
    #[error(
        "the server accepted the login but did not prove that it knows the password (SCRAM), so \
         it may be another server than it claims to be: check the host and its certificate"
    )]
    Unproven,
    /// The server sent something that is not SCRAM.
    #[error(
        "the server's {what} of SCRAM is not as RFC 5802 demands: tell its operator, or set the \
         option `mechanism` to `plain`"
    )]
    Malformed {
        /// Which part.
        what: &'static str,
    },
    /// The server wants the password hashed too rarely, or too often.
    #[error(
        "the server wants the password hashed {count} times for SCRAM, where 4096 to 200000 times \
         are accepted: tell its operator, or set the option `mechanism` to `plain`"
    )]
    Iterations {
        /// How often.
        count: u32,
    },
    /// The mechanism cannot carry a value.
    #[error(
        "{what} has characters that SCRAM does not allow (RFC 4013): change it, or set the option \
         `mechanism` to `plain`"
    )]
    Unpreparable {
        /// Which one.
        what: &'static str,
    },
    /// What the server says is not base64.
    #[error("the server broke the protocol of the login: it sent something that is not base64")]
    NotBase64,
    /// The system gives no random numbers.
    #[error("the system gives no random numbers, which SCRAM needs")]
    NoChance,
}

//! What the audit tells of.

/// What the audit tells of. The items of the property `event` are these, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuditEvent {
    /// An entity was created.
    Create,
    /// An entity was changed.
    Change,
    /// An entity was deleted.
    Delete,
    /// A user signed in, or somebody with a token began a session.
    Login,
    /// Somebody did not sign in.
    LoginRefused,
    /// Somebody was not even looked at, after too many failures.
    LoginLockedOut,
    /// The password of a user was right, and the code of the second factor was missing.
    LoginCodeAsked,
    /// A session was ended by who had it.
    Logout,
    /// A token was used from an address for the first time of a day.
    TokenUse,
    /// A token is not known.
    TokenRefused,
    /// A request lacked a right.
    Refused,
    /// The configuration was changed.
    Configure,
    /// A class was created, changed or deleted.
    Design,
    /// The erasure of a domain began.
    Erase,
    /// The erasure of a domain ended.
    Erased,
    /// Another master key is accepted, or one is no longer.
    KeyRotate,
    /// The sending of a copy was resumed.
    SendingResume,
    /// A user set a second factor up.
    TotpEnrol,
    /// The second factor of a user was removed.
    TotpRemove,
    /// A recovery code was used in place of a code.
    TotpRecover,
}

impl AuditEvent {
    /// All events.
    pub const ALL: [Self; 20] = [
        Self::Create,
        Self::Change,
        Self::Delete,
        Self::Login,
        Self::LoginRefused,
        Self::LoginLockedOut,
        Self::LoginCodeAsked,
        Self::Logout,
        Self::TokenUse,
        Self::TokenRefused,
        Self::Refused,
        Self::Configure,
        Self::Design,
        Self::Erase,
        Self::Erased,
        Self::KeyRotate,
        Self::SendingResume,
        Self::TotpEnrol,
        Self::TotpRemove,
        Self::TotpRecover,
    ];

    /// Its word in `event`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Login => "login",
            Self::LoginRefused => "login.refused",
            Self::LoginLockedOut => "login.locked-out",
            Self::LoginCodeAsked => "login.code-asked",
            Self::Logout => "logout",
            Self::TokenUse => "token.use",
            Self::TokenRefused => "token.refused",
            Self::Refused => "refused",
            Self::Configure => "configure",
            Self::Design => "design",
            Self::Erase => "erase",
            Self::Erased => "erased",
            Self::KeyRotate => "key.rotate",
            Self::SendingResume => "sending.resume",
            Self::TotpEnrol => "totp.enrol",
            Self::TotpRemove => "totp.remove",
            Self::TotpRecover => "totp.recover",
        }
    }
}

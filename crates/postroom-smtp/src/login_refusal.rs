//! What a refusal of a login means, and what to do.
//!
//! Standards: RFC 4954 §6, RFC 3207 §4.

use crate::reply::Reply;

/// Why a server refuses a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// Login or password are wrong, as far as it says.
    Password,
    /// It accepts logins only over an encrypted connection.
    Encryption,
    /// There were too many logins.
    Limit,
    /// It cannot check the login now.
    Unavailable,
    /// Its policy forbids this way of logging in.
    Policy,
    /// It does not know the command, or this form of it.
    Command,
    /// It demands a login before anything else.
    Missing,
}

impl Reply {
    /// Why the server refused a login, or a command that needs one.
    #[must_use]
    pub fn login_refusal(&self) -> LoginRefusal {
        let encryption = ["starttls", "encrypt", "ssl", "tls "];
        let policy = [
            "disabled",
            "blocked",
            "suspended",
            "locked",
            "not allowed",
            "not permitted",
            "not enabled",
            "policy",
            "web browser",
            "application-specific",
            "app password",
            "two-factor",
            "2fa",
        ];
        let wanted = ["log in", "login first", "authentication required", "authenticate first"];
        if self.is_mixed {
            LoginRefusal::Unavailable
        } else if self.code == 538 || self.says_any(&encryption) {
            LoginRefusal::Encryption
        } else if self.is_of_the_command() {
            LoginRefusal::Command
        } else if self.is_over_limit() || self.says_any(&["too many", "too often"]) {
            LoginRefusal::Limit
        } else if (400..500).contains(&self.code) {
            LoginRefusal::Unavailable
        } else if self.code == 534 || self.says_any(&policy) {
            LoginRefusal::Policy
        } else if self.code == 530 || self.says_any(&wanted) {
            LoginRefusal::Missing
        } else {
            LoginRefusal::Password
        }
    }
}

impl LoginRefusal {
    /// What happened, and what to do, before the server's words.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Password => {
                "the server refuses this login and password (check login and password)"
            }
            Self::Encryption => {
                "the server demands an encrypted connection (set smtpSecurity to `starttls` or \
                 `tls`)"
            }
            Self::Limit => {
                "the server limits how often an account may log in (Postroom tries \
                            again later)"
            }
            Self::Unavailable => {
                "the server cannot check the login now (Postroom tries again; the password may be \
                 right)"
            }
            Self::Policy => {
                "the server's policy forbids this login (the password may be right; allow SMTP for \
                 this mailbox at the provider, or use an application password)"
            }
            Self::Command => {
                "the server does not understand how Postroom logs in (the password may be right; \
                 set the option `mechanism`, or check that smtpPort is its submission port)"
            }
            Self::Missing => {
                "the server demands a login (set smtpLogin and smtpPassword, or check that \
                 smtpPort is its submission port)"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_password_is_told_from_all_else() {
        #[rustfmt::skip]
        let table = [
            ("535 5.7.8 authentication failed",                       LoginRefusal::Password),
            ("500 what",                                              LoginRefusal::Command),
            ("501 5.5.4 Too many arguments",                          LoginRefusal::Command),
            ("504 5.5.4 not that one",                                LoginRefusal::Command),
            ("530 5.7.0 Must issue a STARTTLS command first",         LoginRefusal::Encryption),
            ("538 5.7.11 no",                                         LoginRefusal::Encryption),
            ("535 5.7.8 too many failed logins",                      LoginRefusal::Limit),
            ("454 4.7.0 Too many login attempts, please try later",   LoginRefusal::Limit),
            ("421 4.7.0 busy",                                        LoginRefusal::Limit),
            ("454 4.7.0 temporary authentication failure",            LoginRefusal::Unavailable),
            ("535 5.7.139 SmtpClientAuthentication is disabled",      LoginRefusal::Policy),
            ("534 5.7.9 Application-specific password required",      LoginRefusal::Policy),
            ("530 5.7.0 Authentication Required",                     LoginRefusal::Missing),
        ];
        for (line, want) in table {
            assert_eq!(Reply::of_line(line).login_refusal(), want, "{line}");
        }
    }
}

//! What a person can do about a step that failed.

use crate::account::ServerKind;
use crate::verify::steps::VerifyPhase;

/// The advice for a connection to a server that failed. Before TLS, a proxy is asked for all of it.
pub(crate) fn advice_of_opening(
    server: ServerKind,
    phase: VerifyPhase,
    is_by_proxy: bool,
) -> &'static str {
    let is_of_proxy = is_by_proxy && matches!(phase, VerifyPhase::Dns | VerifyPhase::Tcp);
    if is_of_proxy {
        return "check `proxy`, `proxyLogin` and `proxyPassword` of the profile (or \
                `outgoing.proxy` of the configuration, if the profile has none), and then the \
                host and port of the server that the proxy connects to";
    }
    advice(server, phase)
}

/// The advice for a step at a server. What the server said is told beside it.
pub(crate) fn advice(server: ServerKind, phase: VerifyPhase) -> &'static str {
    match (phase, server) {
        (VerifyPhase::Dns, ServerKind::Imap) => "check `imapHost` of the profile",
        (VerifyPhase::Dns, ServerKind::Smtp) => "check `smtpHost` of the profile",
        (VerifyPhase::Tcp, ServerKind::Imap) => {
            "check `imapHost` and `imapPort` of the profile, and whether a firewall is between"
        }
        (VerifyPhase::Tcp, ServerKind::Smtp) => {
            "check `smtpHost` and `smtpPort` of the profile, and whether a firewall is between: \
             many networks block port 25"
        }
        (VerifyPhase::Tls, ServerKind::Imap) => {
            "check `imapPort` and `imapSecurity` of the profile: tls goes with port 993, starttls \
             with 143; compare the fingerprint with what the operator tells you before you put it \
             into `tlsFingerprint`"
        }
        (VerifyPhase::Tls, ServerKind::Smtp) => {
            "check `smtpPort` and `smtpSecurity` of the profile: tls goes with port 465, starttls \
             with 587; compare the fingerprint with what the operator tells you before you put it \
             into `tlsFingerprint`"
        }
        (VerifyPhase::Greeting, ServerKind::Imap) => {
            "check that `imapPort` and `imapSecurity` of the profile fit together, and that the \
             port is one of IMAP"
        }
        (VerifyPhase::Greeting, ServerKind::Smtp) => {
            "check that `smtpPort` and `smtpSecurity` of the profile fit together, and that the \
             port is one of SMTP submission"
        }
        (VerifyPhase::Login, ServerKind::Imap) => {
            "check `login` and `password` of the account; many providers want a password for apps, \
             or that IMAP is switched on in their settings"
        }
        (VerifyPhase::Login, ServerKind::Smtp) => {
            "check `smtpLogin` and `smtpPassword` of the account, or `login` and `password` if \
             these are not set; many providers want a password for apps"
        }
        (VerifyPhase::List, ServerKind::Imap | ServerKind::Smtp) => {
            "ask the operator of the server why it lists no mailboxes for this login"
        }
    }
}

//! Causes: failures of the system and of TLS, in words.

use std::error::Error;
use std::io;

/// The words for the cause of a failure. An error of the system is told by its kind, without its
/// number, and one of TLS without addresses of documentation. Other errors tell themselves.
#[must_use]
pub fn cause(error: &(dyn Error + 'static)) -> String {
    error.downcast_ref::<io::Error>().map_or_else(|| error.to_string(), of_system)
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of the library, which grows")]
fn of_system(error: &io::Error) -> String {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    if let Some(tls) = tls {
        return of_tls(tls).to_owned();
    }
    let words = match error.kind() {
        io::ErrorKind::ConnectionRefused => "the connection was refused",
        io::ErrorKind::ConnectionReset => "the other side reset the connection",
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionAborted => "the other side closed the connection",
        io::ErrorKind::TimedOut => "no answer came in time",
        io::ErrorKind::HostUnreachable
        | io::ErrorKind::NetworkUnreachable
        | io::ErrorKind::NetworkDown => "the network has no way to it",
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "the disk is full",
        io::ErrorKind::PermissionDenied => "permission denied",
        io::ErrorKind::NotFound if error.raw_os_error().is_some() => "it does not exist",
        _ => return without_number(&error.to_string()),
    };
    words.to_owned()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "an enum of the library, which grows")]
fn of_tls(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::AlertReceived(_) => "the other side ended TLS",
        rustls::Error::InvalidMessage(_)
        | rustls::Error::DecryptError
        | rustls::Error::InappropriateMessage { .. }
        | rustls::Error::InappropriateHandshakeMessage { .. }
        | rustls::Error::PeerMisbehaved(_) => "the other side sent something that is not valid TLS",
        _ => "TLS failed",
    }
}

/// What the system says, without the number of the error and the call that failed.
fn without_number(text: &str) -> String {
    let text = text.split_once(" (os error ").map_or(text, |(words, _)| words);
    text.strip_prefix("failed to lookup address information: ").unwrap_or(text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_words_of_a_library_reach_people() {
        let tls = |error| io::Error::new(io::ErrorKind::InvalidData, rustls::Error::from(error));
        let lookup = "failed to lookup address information: Name or service not known";
        let notify = "peer closed connection without sending TLS close_notify: https://docs.rs/x";
        let table = [
            (io::Error::from_raw_os_error(111), "the connection was refused"),
            (io::Error::from_raw_os_error(104), "the other side reset the connection"),
            (io::Error::from_raw_os_error(24), "Too many open files"),
            (io::Error::from_raw_os_error(2), "it does not exist"),
            (io::Error::other(lookup), "Name or service not known"),
            (
                io::Error::new(io::ErrorKind::UnexpectedEof, notify),
                "the other side closed the connection",
            ),
            (
                tls(rustls::InvalidMessage::InvalidCcs),
                "the other side sent something that is not valid TLS",
            ),
            (io::Error::other("a text of our own"), "a text of our own"),
        ];
        for (error, want) in table {
            assert_eq!(cause(&error), want);
        }
        assert_eq!(cause(&std::fmt::Error), std::fmt::Error.to_string());
    }
}

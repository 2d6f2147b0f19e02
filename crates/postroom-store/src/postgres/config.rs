//! The address of a PostgreSQL database, and how Postroom connects to it.

use crate::error::Error;
use crate::postgres::tls::Secure;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::OnceLock;
use std::time::Duration;
use tokio_postgres::config::Host;
use tokio_postgres::config::SslMode;
use tokio_postgres::config::TargetSessionAttrs;

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How long sent bytes may stay unacknowledged before the connection counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// The maximum number of connections, besides the one that listens.
pub(crate) const CONNECTIONS: usize = 24;

/// A PostgreSQL database and how to connect to it.
#[derive(Clone)]
pub struct PostgresConfig {
    pub(crate) server: tokio_postgres::Config,
    pub(crate) tls: Option<Arc<dyn Secure>>,
    /// How long the server may take to answer. Not set: as long as it needs.
    patience: Arc<OnceLock<Duration>>,
}

impl fmt::Debug for PostgresConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresConfig").field("server", &self.server).finish_non_exhaustive()
    }
}

impl PostgresConfig {
    /// Reads `postgresql://user:password@host:port/database?sslmode=…`. Without `sslmode`, TLS is
    /// used and the certificate is verified, except for a server on the same machine.
    ///
    /// # Errors
    ///
    /// [`Error::DatabaseAddress`] says what is wrong with the address. It never shows the password.
    pub fn parse(address: &str) -> Result<Self, Error> {
        let wrong = |reason: String| Error::DatabaseAddress { reason };
        if !address.starts_with("postgresql://") && !address.starts_with("postgres://") {
            return Err(wrong("it must begin with `postgresql://`".to_owned()));
        }
        let (address, mode) = without_ssl_mode(address);
        let mut server: tokio_postgres::Config =
            address.parse().map_err(|error: tokio_postgres::Error| wrong(chain(&error)))?;
        if server.get_hosts().is_empty() {
            return Err(wrong("it names no host".to_owned()));
        }
        if server.get_user().is_none() {
            return Err(wrong("it names no user".to_owned()));
        }
        if server.get_dbname().is_none() {
            return Err(wrong("it names no database".to_owned()));
        }
        let is_near = server.get_hosts().iter().all(is_near);
        let mode = match (mode.as_deref(), is_near) {
            (Some("disable"), _) | (None, true) => SslMode::Disable,
            (None, false) | (Some("require" | "verify-ca" | "verify-full"), _) => SslMode::Require,
            (Some(_), _) => {
                let reason = "`sslmode` is `verify-full` or `disable`";
                return Err(wrong(reason.to_owned()));
            }
        };
        server.ssl_mode(mode).target_session_attrs(TargetSessionAttrs::ReadWrite);
        if server.get_application_name().is_none() {
            server.application_name("postroom");
        }
        if server.get_connect_timeout().is_none() {
            server.connect_timeout(CONNECT);
        }
        if server.get_tcp_user_timeout().is_none() {
            server.tcp_user_timeout(UNACKNOWLEDGED);
        }
        server.keepalives_idle(UNACKNOWLEDGED);
        Ok(Self { server, tls: None, patience: Arc::default() })
    }

    /// The same database, with this password instead of the one in the address.
    #[must_use]
    pub fn with_password(mut self, password: &SecretString) -> Self {
        self.server.password(password.expose_secret());
        self
    }

    /// The same database, with the TLS that its connections use.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<dyn Secure>) -> Self {
        self.tls = Some(tls);
        self
    }

    /// From now on, gives the server up if it has not answered a request for so long. It holds for
    /// all connections that are made from this value and its clones. Nothing was done then, unless
    /// COMMIT was sent. Changes of tables, and queries with a limit of their own, may take longer.
    /// The upgrade of a database may take very long, so this is for after it.
    pub fn give_up_after(&self, patience: Duration) {
        self.patience.get_or_init(|| patience);
    }

    pub(crate) fn patience(&self) -> Option<Duration> {
        self.patience.get().copied()
    }

    /// Whether connections use TLS, so that [`Self::with_tls`] is needed.
    #[must_use]
    pub(crate) fn needs_tls(&self) -> bool {
        self.server.get_ssl_mode() != SslMode::Disable
    }
}

/// An address without its `sslmode`, and the `sslmode`.
fn without_ssl_mode(address: &str) -> (String, Option<String>) {
    let Some((place, options)) = address.split_once('?') else {
        return (address.to_owned(), None);
    };
    let mut mode = None;
    let mut others = vec![];
    for option in options.split('&').filter(|option| !option.is_empty()) {
        match option.strip_prefix("sslmode=") {
            Some(value) => mode = Some(value.to_owned()),
            None => others.push(option),
        }
    }
    let question = if others.is_empty() { "" } else { "?" };
    (format!("{place}{question}{}", others.join("&")), mode)
}

/// Whether a host is this machine.
fn is_near(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    }
}

/// An error with its causes, without the numbers of the system.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let plain = |error: &dyn std::error::Error| {
        let text = error.to_string();
        text.split_once(" (os error ").map_or(text.clone(), |(said, _)| said.to_owned())
    };
    let mut text = plain(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        let why = plain(error);
        if !text.contains(&why) {
            text = format!("{text}: {why}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_left_out_only_on_the_same_machine_or_when_that_is_asked_for() {
        #[rustfmt::skip]
        let table = [
            ("postgresql://a@127.0.0.1:5432/b",                          Ok(false)),
            ("postgresql://a@localhost/b",                               Ok(false)),
            ("postgresql://a@%2Fvar%2Frun%2Fpostgresql/b",               Ok(false)),
            ("postgresql://a@localhost/b?sslmode=verify-full",           Ok(true)),
            ("postgres://a@db.example/b",                                Ok(true)),
            ("postgresql://a@localhost,db.example/b",                    Ok(true)),
            ("postgresql://a@db.example/b?sslmode=require",              Ok(true)),
            ("postgresql://a@db.example/b?sslmode=disable",              Ok(false)),
            ("postgresql://a@db.example/b?connect_timeout=3&sslmode=disable", Ok(false)),
            ("postgresql://a@db.example/b?sslmode=prefer",               Err("`sslmode`")),
            ("postgresql://db.example/b",                                Err("no user")),
            ("postgresql://a@db.example",                                Err("no database")),
            ("postgresql://a:secret@db.example:x/b",                     Err("port")),
            ("mysql://a@db.example/b",                                   Err("postgresql://")),
        ];
        for (address, want) in table {
            match (PostgresConfig::parse(address), want) {
                (Ok(config), Ok(tls)) => assert_eq!(config.needs_tls(), tls, "{address}"),
                (Err(error), Err(part)) => {
                    let text = error.to_string();
                    assert!(text.contains(part) && !text.contains("secret"), "{address}: {text}");
                }
                (found, _) => panic!("{address}: {found:?}"),
            }
        }
    }

    #[test]
    fn causes_are_told_in_words() {
        let refused = std::io::Error::from_raw_os_error(111);
        let text = chain(&Error::File { path: "there".into(), source: refused });
        assert_eq!(text, "there: Connection refused");
    }

    #[test]
    fn a_password_is_never_shown() {
        let config = PostgresConfig::parse("postgresql://a:hidden@localhost/b").unwrap();
        let config = config.with_password(&SecretString::from("concealed"));
        let text = format!("{config:?}");
        assert!(!text.contains("hidden") && !text.contains("concealed"), "{text}");
    }
}

//! Connections through a proxy: SOCKS5 and HTTP CONNECT. TLS is spoken with the mail server, within
//! the connection that the proxy makes.
//!
//! Standards: RFC 1928 (SOCKS5), RFC 1929 (its login), RFC 9110 §9.3.6 (CONNECT), RFC 7617 (Basic).

use crate::cause::cause;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use secrecy::zeroize::Zeroizing;
use std::fmt;
use std::io;
use std::net::IpAddr;
use tokio::io::AsyncRead;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWrite;
use tokio::io::AsyncWriteExt;

/// How long the answer to CONNECT may be.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
/// The longest name and password of SOCKS5.
const SOCKS_TEXT_BYTES_MAX: usize = 255;

const SOCKS: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const NO_LOGIN: u8 = 0;
const BY_PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const IS_V4: u8 = 1;
const IS_NAME: u8 = 3;
const IS_V6: u8 = 4;

/// How a proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// SOCKS5.
    Socks5,
    /// HTTP CONNECT.
    HttpConnect,
}

/// The login at a proxy. The debug output shows no password.
#[derive(Debug, Clone)]
pub struct ProxyLogin {
    /// The name.
    pub name: String,
    /// The password.
    pub password: SecretString,
}

/// A proxy.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// How it is spoken to.
    pub protocol: ProxyProtocol,
    /// Its host name, or an IP address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The login. `None`: it needs none.
    pub login: Option<ProxyLogin>,
    /// Whether it may have any address, whatever addresses its targets may have: those who say
    /// which ones are allowed have named it themselves.
    pub is_everywhere_allowed: bool,
}

/// What a proxy is asked to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ProxyTarget {
    /// A host that the proxy looks up.
    Name(String),
    /// An address.
    Address(IpAddr),
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

impl Proxy {
    /// Asks the proxy, over a connection to it, to connect to a target. What follows on the stream
    /// is the target's.
    ///
    /// # Errors
    ///
    /// What went wrong and what to do, for people. No text has the password.
    pub(crate) async fn ask<S>(
        &self,
        stream: &mut S,
        target: &ProxyTarget,
        port: u16,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        match self.protocol {
            ProxyProtocol::Socks5 => self.socks(stream, target, port).await,
            ProxyProtocol::HttpConnect => self.connect(stream, target, port).await,
        }
    }

    async fn socks<S>(&self, stream: &mut S, target: &ProxyTarget, port: u16) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let offered = if self.login.is_some() { BY_PASSWORD } else { NO_LOGIN };
        send(stream, &[SOCKS, 1, offered]).await?;
        let [version, chosen] = read(stream).await?;
        if version != SOCKS {
            return Err("it does not speak SOCKS5: check its port and protocol".to_owned());
        }
        match (chosen, &self.login) {
            (NO_LOGIN, None) => {}
            (BY_PASSWORD, Some(login)) => log_in(stream, login).await?,
            (_, Some(_)) => {
                return Err("it takes no login by password: remove proxyLogin".to_owned());
            }
            (_, None) => {
                return Err("it demands a login: set proxyLogin and proxyPassword".to_owned());
            }
        }
        let mut request = vec![SOCKS, CONNECT, 0];
        match target {
            ProxyTarget::Name(name) => {
                let length = u8::try_from(name.len())
                    .map_err(|_| "the name of the mail server is too long for it".to_owned())?;
                request.extend([IS_NAME, length]);
                request.extend(name.as_bytes());
            }
            ProxyTarget::Address(IpAddr::V4(address)) => {
                request.push(IS_V4);
                request.extend(address.octets());
            }
            ProxyTarget::Address(IpAddr::V6(address)) => {
                request.push(IS_V6);
                request.extend(address.octets());
            }
        }
        request.extend(port.to_be_bytes());
        send(stream, &request).await?;
        let [_, reply, _, kind] = read(stream).await?;
        if reply != 0 {
            return Err(refusal(reply).to_owned());
        }
        // The address that it connects from, which nobody needs, and its port.
        let octets = match kind {
            IS_V4 => 4,
            IS_V6 => 16,
            IS_NAME => usize::from(read::<1, _>(stream).await?[0]),
            _ => return Err("its answer is not SOCKS5".to_owned()),
        };
        let mut rest = vec![0; octets + 2];
        stream.read_exact(&mut rest).await.map_err(|error| lost(&error))?;
        Ok(())
    }

    async fn connect<S>(
        &self,
        stream: &mut S,
        target: &ProxyTarget,
        port: u16,
    ) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = match target {
            ProxyTarget::Name(name) => name.clone(),
            ProxyTarget::Address(IpAddr::V4(address)) => address.to_string(),
            ProxyTarget::Address(IpAddr::V6(address)) => format!("[{address}]"),
        };
        let mut request =
            Zeroizing::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"));
        if let Some(login) = &self.login {
            let pair = format!("{}:{}", login.name, login.password.expose_secret());
            let pair = Zeroizing::new(STANDARD.encode(Zeroizing::new(pair).as_bytes()));
            request.push_str("Proxy-Authorization: Basic ");
            request.push_str(&pair);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        send(stream, request.as_bytes()).await?;
        let mut answer = vec![];
        // Byte by byte, because what follows is the mail server's.
        while !answer.ends_with(b"\r\n\r\n") {
            if answer.len() >= ANSWER_BYTES_MAX {
                return Err("its answer has no end: check its port and protocol".to_owned());
            }
            answer.extend(read::<1, _>(stream).await?);
        }
        let line = answer.split(|octet| *octet == b'\r').next().unwrap_or_default();
        let line = std::str::from_utf8(line).unwrap_or_default();
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
        match status.and_then(|status| status.parse::<u16>().ok()) {
            Some(200..=299) => Ok(()),
            Some(407) if self.login.is_some() => {
                Err("it refuses the login (407): check proxyLogin and proxyPassword".to_owned())
            }
            Some(407) => {
                Err("it demands a login (407): set proxyLogin and proxyPassword".to_owned())
            }
            Some(status) => Err(format!(
                "it answers {status} to CONNECT {host}:{port}: check whether it allows this port"
            )),
            None => Err("it does not speak HTTP: check its port and protocol".to_owned()),
        }
    }
}

async fn log_in<S>(stream: &mut S, login: &ProxyLogin) -> Result<(), String>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let password = login.password.expose_secret();
    let mut request = Zeroizing::new(vec![LOGIN_VERSION]);
    for (what, text) in [("proxyLogin", login.name.as_str()), ("proxyPassword", password)] {
        let fits = (1..=SOCKS_TEXT_BYTES_MAX).contains(&text.len());
        let length = u8::try_from(text.len()).ok().filter(|_| fits);
        let length = length.ok_or_else(|| format!("{what} is empty or longer than 255 bytes"))?;
        request.push(length);
        request.extend(text.as_bytes());
    }
    send(stream, &request).await?;
    let [_, status] = read(stream).await?;
    if status == 0 {
        return Ok(());
    }
    Err("it refuses the login: check proxyLogin and proxyPassword".to_owned())
}

/// What SOCKS5 replies (RFC 1928 §6).
fn refusal(reply: u8) -> &'static str {
    match reply {
        2 => "its rules do not allow the connection",
        3 => "it has no way to the network of the mail server",
        4 => "it cannot reach the mail server: check the host",
        5 => "the mail server refuses the connection: check host and port",
        6 => "the mail server did not answer it in time",
        7 | 8 => "it does not support what was asked",
        _ => "it cannot make the connection",
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, octets: &[u8]) -> Result<(), String> {
    stream.write_all(octets).await.map_err(|error| lost(&error))?;
    stream.flush().await.map_err(|error| lost(&error))
}

async fn read<const N: usize, S>(stream: &mut S) -> Result<[u8; N], String>
where
    S: AsyncRead + Unpin,
{
    let mut octets = [0; N];
    stream.read_exact(&mut octets).await.map_err(|error| lost(&error))?;
    Ok(octets)
}

fn lost(error: &io::Error) -> String {
    format!("{}: check its port and protocol", cause(error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn proxy(protocol: ProxyProtocol, login: Option<&str>) -> Proxy {
        let login = login.map(|password| ProxyLogin {
            name: "anna".to_owned(),
            password: SecretString::from(password),
        });
        Proxy {
            protocol,
            host: "proxy.test".to_owned(),
            port: 1080,
            login,
            is_everywhere_allowed: false,
        }
    }

    /// How many bytes the proxy waits for, and what it answers then.
    type ScriptStep<'a> = (usize, &'a [u8]);

    /// What a proxy was told that answers these pieces, each after so many octets, and the outcome.
    async fn play(
        proxy: &Proxy,
        target: ProxyTarget,
        script: &[ScriptStep<'_>],
    ) -> (Vec<u8>, Result<Vec<u8>, String>) {
        let (mut ours, mut theirs) = tokio::io::duplex(16 * 1024);
        let server = async {
            let mut told = vec![];
            for (octets, answer) in script {
                let mut part = vec![0; *octets];
                theirs.read_exact(&mut part).await.unwrap();
                told.extend(part);
                theirs.write_all(answer).await.unwrap();
            }
            // The mail server's first words follow at once.
            theirs.write_all(b"* OK").await.unwrap();
            drop(theirs);
            told
        };
        let client = async {
            proxy.ask(&mut ours, &target, 993).await?;
            let mut rest = vec![];
            ours.read_to_end(&mut rest).await.unwrap();
            Ok(rest)
        };
        tokio::join!(server, client)
    }

    #[tokio::test]
    async fn socks_asks_for_the_name_and_leaves_what_follows() {
        let name = ProxyTarget::Name("mx.test".to_owned());
        let usual = proxy(ProxyProtocol::Socks5, None);
        let done = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50";
        let (told, outcome) = play(&usual, name, &[(3, b"\x05\x00"), (14, done)]).await;
        assert_eq!(told, b"\x05\x01\x00\x05\x01\x00\x03\x07mx.test\x03\xe1");
        assert_eq!(outcome.unwrap(), b"* OK");
        let address = ProxyTarget::Address(Ipv4Addr::new(192, 0, 2, 1).into());
        let with_login = proxy(ProxyProtocol::Socks5, Some("hush"));
        let named = b"\x05\x00\x00\x03\x02ab\x00\x50";
        let script: &[(usize, &[u8])] = &[(3, b"\x05\x02"), (11, b"\x01\x00"), (10, named)];
        let (told, outcome) = play(&with_login, address, script).await;
        let want = b"\x05\x01\x02\x01\x04anna\x04hush\x05\x01\x00\x01\xc0\x00\x02\x01\x03\xe1";
        assert_eq!(told, want);
        assert_eq!(outcome.unwrap(), b"* OK");
    }

    #[tokio::test]
    async fn what_socks_refuses_is_said_in_words() {
        let name = || ProxyTarget::Name("mx.test".to_owned());
        #[rustfmt::skip]
        let table: &[(Option<&str>, &[ScriptStep], &str)] = &[
            (None,         &[(3, b"\x05\xff")],                      "demands a login"),
            (Some("hush"), &[(3, b"\x05\xff")],                      "takes no login by password"),
            (Some("hush"), &[(3, b"\x05\x02"), (11, b"\x01\x01")],   "refuses the login"),
            (None,         &[(3, b"\x05\x00"), (14, b"\x05\x05\x00\x01")], "the mail server refuses"),
            (None,         &[(3, b"\x05\x00"), (14, b"\x05\x63\x00\x01")], "cannot make the connection"),
            (None,         &[(3, b"HT")],                            "does not speak SOCKS5"),
            (Some(""),     &[(3, b"\x05\x02")],                      "proxyPassword is empty"),
        ];
        for (login, script, want) in table {
            let (_, outcome) = play(&proxy(ProxyProtocol::Socks5, *login), name(), script).await;
            let error = outcome.unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
            assert!(!error.contains("hush"));
        }
    }

    #[tokio::test]
    async fn connect_asks_for_the_name_and_leaves_what_follows() {
        let name = || ProxyTarget::Name("mx.test".to_owned());
        let usual = proxy(ProxyProtocol::HttpConnect, Some("hush"));
        let request = "CONNECT mx.test:993 HTTP/1.1\r\nHost: mx.test:993\r\n\
                       Proxy-Authorization: Basic YW5uYTpodXNo\r\n\r\n";
        let ok = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n";
        let (told, outcome) = play(&usual, name(), &[(request.len(), ok)]).await;
        assert_eq!(std::str::from_utf8(&told).unwrap(), request);
        assert_eq!(outcome.unwrap(), b"* OK");
        #[rustfmt::skip]
        let table: &[(&[u8], &str)] = &[
            (b"HTTP/1.1 407 Who?\r\n\r\n",  "refuses the login (407)"),
            (b"HTTP/1.1 403 No\r\n\r\n",    "answers 403 to CONNECT mx.test:993"),
            (b"220 mx.test\r\n\r\n",        "does not speak HTTP"),
            (&[b'x'; ANSWER_BYTES_MAX],     "has no end"),
        ];
        for (answer, want) in table {
            let (_, outcome) = play(&usual, name(), &[(request.len(), answer)]).await;
            let error = outcome.unwrap_err();
            assert!(error.contains(want), "{want}: {error}");
            assert!(!error.contains("hush") && !error.contains("YW5uYTpodXNo"));
        }
    }
}

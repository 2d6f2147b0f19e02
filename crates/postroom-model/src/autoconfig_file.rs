//! The file that a domain offers to mail programs (`config-v1.1.xml`, as Thunderbird reads it).
//!
//! It comes from outside, so it is read without anything that XML could do beyond elements: no
//! document type, no entities but the five of XML, and no namespaces.

use crate::autoconfig_server::FoundSecurity;
use crate::autoconfig_server::FoundServer;
use crate::autoconfig_server::ServerPurpose;
use crate::autoconfig_server::host_problem;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::BytesStart;
use quick_xml::events::Event;

/// How many bytes a file may have.
pub const FILE_BYTES_MAX: usize = 128 * 1024;
/// How deep its elements may be within each other.
const DEPTH_MAX: usize = 32;
/// How many characters of a text are read.
const TEXT_CHARS_MAX: usize = 1000;

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AutoconfigFile {
    /// The name of the provider, for people.
    pub provider: Option<String>,
    /// The first server for receiving that can be used.
    pub imap: Option<FoundServer>,
    /// The first server for sending that can be used.
    pub smtp: Option<FoundServer>,
}

/// A server of a file, while it is read.
#[derive(Debug, Default)]
struct ReadServer {
    purpose: Option<ServerPurpose>,
    host: String,
    port: String,
    socket: String,
    login: String,
    /// The ways to log in, the best first.
    authentication: Vec<String>,
}

impl AutoconfigFile {
    /// Reads a file for an address.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn read(bytes: &[u8], address: &str) -> Result<Self, &'static str> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err("it is too large");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "it is not UTF-8")?;
        let mut reader = Reader::from_str(text.trim_start_matches('\u{feff}'));
        let mut reading = FileReading { address, ..FileReading::default() };
        loop {
            match reader.read_event().map_err(|_| "it is not well-formed")? {
                Event::Start(start) => reading.begin(&start)?,
                Event::End(_) => reading.end(),
                Event::Empty(start) => {
                    reading.begin(&start)?;
                    reading.end();
                }
                Event::Text(text) => {
                    reading.add(&text.decode().map_err(|_| "it is not UTF-8")?);
                }
                Event::CData(text) => {
                    reading.add(&text.decode().map_err(|_| "it is not UTF-8")?);
                }
                Event::GeneralRef(name) => {
                    let char = name.resolve_char_ref().map_err(|_| "it has a bad reference")?;
                    let name = name.decode().map_err(|_| "it is not UTF-8")?;
                    match (char, resolve_xml_entity(&name)) {
                        (Some(char), _) => reading.add(char.encode_utf8(&mut [0; 4])),
                        (None, Some(text)) => reading.add(text),
                        (None, None) => return Err("it has entities of its own"),
                    }
                }
                Event::DocType(_) => return Err("it has a document type"),
                Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
                Event::Eof => break,
            }
        }
        if !reading.path.is_empty() {
            return Err("it is cut off");
        }
        if !reading.is_config {
            return Err("it is no clientConfig");
        }
        Ok(reading.file)
    }
}

#[derive(Debug, Default)]
struct FileReading<'a> {
    address: &'a str,
    file: AutoconfigFile,
    is_config: bool,
    /// The elements that are open.
    path: Vec<String>,
    text: String,
    server: Option<ReadServer>,
}

impl FileReading<'_> {
    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), &'static str> {
        if self.path.len() >= DEPTH_MAX {
            return Err("its elements are too deep");
        }
        let name = start.local_name();
        let name = std::str::from_utf8(name.as_ref()).map_err(|_| "it is not UTF-8")?;
        self.path.push(name.to_owned());
        self.text.clear();
        match self.path.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            ["clientConfig"] => self.is_config = true,
            ["clientConfig", "emailProvider", "incomingServer"] => {
                let purpose = is_of_type(start, "imap")?.then_some(ServerPurpose::Imap);
                self.server = Some(ReadServer { purpose, ..ReadServer::default() });
            }
            ["clientConfig", "emailProvider", "outgoingServer"] => {
                let purpose = is_of_type(start, "smtp")?.then_some(ServerPurpose::Smtp);
                self.server = Some(ReadServer { purpose, ..ReadServer::default() });
            }
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, text: &str) {
        let left = TEXT_CHARS_MAX.saturating_sub(self.text.chars().count());
        self.text.extend(text.chars().take(left));
    }

    fn end(&mut self) {
        let text = std::mem::take(&mut self.text).trim().to_owned();
        let path: Vec<_> = self.path.iter().map(String::as_str).collect();
        match (path.as_slice(), &mut self.server) {
            (["clientConfig", "emailProvider", "displayName"], _) if !text.is_empty() => {
                let name = text.chars().filter(|char| !char.is_control()).take(100).collect();
                self.file.provider.get_or_insert(name);
            }
            (["clientConfig", "emailProvider", _, name], Some(server)) => match *name {
                "hostname" => server.host = text,
                "port" => server.port = text,
                "socketType" => server.socket = text,
                "username" => server.login = text,
                "authentication" => server.authentication.push(text),
                _ => {}
            },
            (["clientConfig", "emailProvider", "incomingServer" | "outgoingServer"], _) => {
                self.take();
            }
            _ => {}
        }
        self.path.pop();
    }

    /// Takes a server that was read, if it is the first of its kind that can be used.
    fn take(&mut self) {
        let Some(read) = self.server.take() else { return };
        let place = match read.purpose {
            Some(ServerPurpose::Imap) => &mut self.file.imap,
            Some(ServerPurpose::Smtp) => &mut self.file.smtp,
            None => return,
        };
        let is_better = |known: &FoundServer, new: &FoundServer| {
            known.security == FoundSecurity::StartTls && new.security == FoundSecurity::Tls
        };
        let Some(server) = read.server(self.address) else { return };
        if place.as_ref().is_none_or(|known| is_better(known, &server)) {
            *place = Some(server);
        }
    }
}

impl ReadServer {
    /// The server, if it can be used: with TLS, and by a name.
    fn server(&self, address: &str) -> Option<FoundServer> {
        let host = filled(&self.host, address).trim_end_matches('.').to_ascii_lowercase();
        let port: u16 = self.port.parse().ok().filter(|port| *port != 0)?;
        let security = match self.socket.to_ascii_uppercase().as_str() {
            "SSL" | "TLS" => FoundSecurity::Tls,
            "STARTTLS" => FoundSecurity::StartTls,
            _ => return None,
        };
        if host_problem(&host).is_some() {
            return None;
        }
        let login = filled(&self.login, address);
        let login = Some(login).filter(|login| {
            !login.is_empty() && !login.contains('%') && !login.chars().any(char::is_control)
        });
        let is_oauth = |way: &String| way.eq_ignore_ascii_case("OAuth2");
        let mut ways = self.authentication.iter();
        let is_oauth = ways.next().is_some_and(is_oauth) && ways.all(is_oauth);
        Some(FoundServer { host, port, security, login, is_oauth })
    }
}

fn is_of_type(start: &BytesStart<'_>, wanted: &str) -> Result<bool, &'static str> {
    let of = start.try_get_attribute("type").map_err(|_| "it is not well-formed")?;
    Ok(of.is_some_and(|of| of.value.eq_ignore_ascii_case(wanted.as_bytes())))
}

/// A text with the address in place of its marks.
fn filled(text: &str, address: &str) -> String {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    // Marks that an address itself has are not filled.
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, mark) = rest.split_at(at);
        done.push_str(before);
        let marks =
            [("%EMAILADDRESS%", address), ("%EMAILLOCALPART%", local), ("%EMAILDOMAIN%", domain)];
        let known = marks.into_iter().find(|(name, _)| mark.starts_with(name));
        let (value, length) = known.map_or(("%", 1), |(name, value)| (value, name.len()));
        done.push_str(value);
        rest = mark.get(length..).unwrap_or_default();
    }
    done.push_str(rest);
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::autoconfig_server::FoundSecurity::StartTls;
    use crate::autoconfig_server::FoundSecurity::Tls;

    const ANNA: &str = "anna@a.test";

    fn config(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?>\n<clientConfig version=\"1.1\"><emailProvider id=\"a.test\">\
             <domain>a.test</domain><displayName>A &amp; B</displayName>{inner}</emailProvider>\
             </clientConfig>"
        )
    }

    fn server(element: &str, kind: &str, inner: &str) -> String {
        format!("<{element} type=\"{kind}\">{inner}</{element}>")
    }

    fn at(host: &str, port: u16, socket: &str) -> String {
        format!("<hostname>{host}</hostname><port>{port}</port><socketType>{socket}</socketType>")
    }

    fn imap(inner: &str) -> Option<FoundServer> {
        let text = config(&server("incomingServer", "imap", inner));
        AutoconfigFile::read(text.as_bytes(), ANNA).unwrap().imap
    }

    #[test]
    fn a_file_names_the_servers_of_a_domain() {
        let incoming = [
            server("incomingServer", "pop3", &at("pop.a.test", 995, "SSL")),
            server("incomingServer", "imap", &at("old.a.test", 143, "plain")),
            server("incomingServer", "imap", &at("imap.%EMAILDOMAIN%", 143, "STARTTLS")),
            server(
                "incomingServer",
                "imap",
                &format!("{}<username>%EMAILLOCALPART%</username>", at("Imap.a.test.", 993, "SSL")),
            ),
        ];
        let outgoing = server(
            "outgoingServer",
            "smtp",
            &format!(
                "{}<authentication>OAuth2</authentication>",
                at("smtp.b.test", 587, "STARTTLS")
            ),
        );
        let text = config(&format!("{}{outgoing}", incoming.concat()));
        let file = AutoconfigFile::read(text.as_bytes(), ANNA).unwrap();
        assert_eq!(file.provider.as_deref(), Some("A & B"));
        let imap = file.imap.unwrap();
        assert_eq!((imap.host.as_str(), imap.port, imap.security), ("imap.a.test", 993, Tls));
        assert_eq!((imap.login.as_deref(), imap.is_oauth), (Some("anna"), false));
        let smtp = file.smtp.unwrap();
        assert_eq!((smtp.host.as_str(), smtp.port, smtp.security), ("smtp.b.test", 587, StartTls));
        assert_eq!((smtp.login, smtp.is_oauth), (None, true));
    }

    #[test]
    fn a_server_without_tls_or_without_a_name_is_left_out() {
        for odd in [
            at("imap.a.test", 143, "plain"),
            at("imap.a.test", 143, ""),
            at("127.0.0.1", 993, "SSL"),
            at("", 993, "SSL"),
            at("a.test/x", 993, "SSL"),
            at("imap.a.test", 0, "SSL"),
            "<hostname>imap.a.test</hostname><socketType>SSL</socketType>".to_owned(),
        ] {
            assert_eq!(imap(&odd), None, "{odd}");
        }
        let both = "<authentication>OAuth2</authentication>\
                    <authentication>password-cleartext</authentication>";
        let found = imap(&format!("{}{both}", at("i.a.test", 993, "SSL"))).unwrap();
        assert!(!found.is_oauth, "a password will do");
        assert_eq!(filled("%EMAILADDRESS%", "%EMAILDOMAIN%@a.test"), "%EMAILDOMAIN%@a.test");
        assert_eq!(filled("a%b%EMAILDOMAIN%%", ANNA), "a%ba.test%");
    }

    #[test]
    fn what_xml_could_do_beyond_elements_is_refused() {
        let entity = "<!DOCTYPE x [<!ENTITY a \"aaaa\">]>";
        #[rustfmt::skip]
        let table = [
            (format!("{entity}{}", config("")),               "it has a document type"),
            (config("<x>&lol;</x>"),                          "it has entities of its own"),
            (config("<x>&#xFFFFFFFFF;</x>"),                  "it has a bad reference"),
            (config(&"<x>".repeat(40)),                       "its elements are too deep"),
            ("<clientConfig><emailProvider>".to_owned(),      "it is cut off"),
            ("<html></html>".to_owned(),                      "it is no clientConfig"),
            ("<a></b>".to_owned(),                            "it is not well-formed"),
            (String::new(),                                   "it is no clientConfig"),
            ("x".repeat(FILE_BYTES_MAX + 1),                  "it is too large"),
        ];
        for (text, want) in table {
            let shown: String = text.chars().take(80).collect();
            assert_eq!(AutoconfigFile::read(text.as_bytes(), ANNA), Err(want), "{shown}");
        }
        assert_eq!(AutoconfigFile::read(b"\xff\xfe", ANNA), Err("it is not UTF-8"));
    }
}

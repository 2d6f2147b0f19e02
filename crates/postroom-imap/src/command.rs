//! Commands. What cannot be sent safely is refused before anything is sent.
//!
//! Standards: RFC 3501 §6, RFC 2971 (ID), RFC 4315 (UID EXPUNGE), RFC 4731 (ESEARCH), RFC 4959
//! (SASL-IR), RFC 6154 §3 (SPECIAL-USE).

use crate::capabilities::Capabilities;
use crate::date;
use crate::encoder::CommandPart;
use crate::encoder::Encoder;
use crate::encoder::NameForm;
use crate::error::Error;
use crate::items::FetchItems;
use crate::mailbox::MailboxName;
use crate::set::UidSet;
use bytes::Bytes;
use postroom_net::sasl::Mechanism;
use postroom_net::sasl::SaslExchange;
use secrecy::ExposeSecret;
use secrecy::SecretString;

/// How a mailbox is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// SELECT: messages can be changed.
    Select,
    /// EXAMINE: nothing changes, not even `\Recent`.
    Examine,
}

/// A change of the flags of messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlagChange {
    sign: char,
    pub(crate) is_silent: bool,
    flags: Vec<String>,
}

impl FlagChange {
    /// Adds a flag; the server tells which messages have it now.
    #[must_use]
    pub fn add(flag: &str) -> Self {
        Self { sign: '+', is_silent: false, flags: vec![flag.to_owned()] }
    }

    /// Adds a flag; the server is asked not to tell the new flags.
    #[must_use]
    pub fn add_silent(flag: &str) -> Self {
        Self { sign: '+', is_silent: true, flags: vec![flag.to_owned()] }
    }

    /// The same change; the server tells the new flags.
    pub(crate) fn told(&self) -> Self {
        Self { is_silent: false, ..self.clone() }
    }

    /// Removes a flag; the server is asked not to tell the new flags.
    #[must_use]
    pub fn remove_silent(flag: &str) -> Self {
        Self { sign: '-', is_silent: true, flags: vec![flag.to_owned()] }
    }
}

/// A command without its tag, ready to be sent.
pub struct Command {
    /// Its name, for errors.
    pub name: &'static str,
    /// Its pieces; the last ends with CRLF.
    pub parts: Vec<CommandPart>,
    /// What to answer if the server asks for more after the last part.
    pub last_answer: Option<&'static [u8]>,
    /// What answers the challenges of the server after the last part.
    pub exchange: Option<Box<SaslExchange>>,
    /// Whether it asks for whole messages.
    pub wants_bodies: bool,
    /// How many octets one may have; `None`: as many as the limits of the connection say.
    pub body_bytes_max: Option<u64>,
    /// The messages that a FETCH asks for.
    pub asked: UidSet,
}

impl Command {
    fn of(name: &'static str, encoder: Encoder) -> Self {
        let (parts, asked) = (encoder.finish(), UidSet::default());
        Self {
            name,
            parts,
            last_answer: None,
            exchange: None,
            wants_bodies: false,
            body_bytes_max: None,
            asked,
        }
    }

    fn plain(name: &'static str, text: &str) -> Self {
        let mut encoder = Encoder::new(&Capabilities::default());
        encoder.text(text);
        Self::of(name, encoder)
    }

    /// CAPABILITY.
    pub fn capability() -> Self {
        Self::plain("CAPABILITY", "CAPABILITY")
    }

    /// STARTTLS.
    pub fn start_tls() -> Self {
        Self::plain("STARTTLS", "STARTTLS")
    }

    /// NAMESPACE (RFC 2342).
    pub fn namespace() -> Self {
        Self::plain("NAMESPACE", "NAMESPACE")
    }

    /// NOOP.
    pub fn noop() -> Self {
        Self::plain("NOOP", "NOOP")
    }

    /// LOGOUT.
    pub fn logout() -> Self {
        Self::plain("LOGOUT", "LOGOUT")
    }

    /// LIST of the mailboxes that match a pattern of ours. `with_special_use` also asks for their
    /// special uses.
    pub fn list(pattern: &'static str, with_special_use: bool) -> Self {
        let options = if with_special_use { " RETURN (SPECIAL-USE)" } else { "" };
        Self::plain("LIST", &format!("LIST \"\" \"{pattern}\"{options}"))
    }

    /// LOGIN.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if login or password has a NUL.
    pub fn login(
        capabilities: &Capabilities,
        login: &str,
        password: &SecretString,
    ) -> Result<Self, Error> {
        let mut encoder = Encoder::new(capabilities);
        encoder.text("LOGIN ");
        encoder.string(login.as_bytes(), "the login name")?;
        encoder.text(" ");
        encoder.string(password.expose_secret().as_bytes(), "the password")?;
        Ok(Self::of("LOGIN", encoder))
    }

    /// AUTHENTICATE with one message. `last_answer` answers a server that asks for more.
    pub fn authenticate(
        capabilities: &Capabilities,
        mechanism: &str,
        message: &SecretString,
        last_answer: &'static [u8],
    ) -> Self {
        let mut encoder = Encoder::new(capabilities);
        encoder.text(&format!("AUTHENTICATE {mechanism}"));
        if capabilities.has("SASL-IR") {
            encoder.text(" ");
        } else {
            encoder.text("\r\n");
            encoder.next_part(true);
        }
        encoder.text(message.expose_secret());
        let mut command = Self::of("AUTHENTICATE", encoder);
        command.last_answer = Some(last_answer);
        command
    }

    /// AUTHENTICATE by a mechanism that answers challenges.
    pub fn converse(
        capabilities: &Capabilities,
        mechanism: Mechanism,
        exchange: SaslExchange,
    ) -> Self {
        let mut command = match exchange.initial() {
            Some(message) => Self::authenticate(capabilities, mechanism.name(), &message, b"*\r\n"),
            None => Self::plain("AUTHENTICATE", &format!("AUTHENTICATE {}", mechanism.name())),
        };
        command.exchange = Some(Box::new(exchange));
        command
    }

    /// ID with our fields (RFC 2971).
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if a field has a NUL.
    pub fn id(capabilities: &Capabilities, fields: &[(String, String)]) -> Result<Self, Error> {
        let mut encoder = Encoder::new(capabilities);
        for (at, (field, value)) in fields.iter().enumerate() {
            encoder.text(if at == 0 { "ID (" } else { " " });
            encoder.string(field.as_bytes(), "a field of ID")?;
            encoder.text(" ");
            encoder.string(value.as_bytes(), "a value of ID")?;
        }
        encoder.text(")");
        Ok(Self::of("ID", encoder))
    }

    /// SELECT or EXAMINE of the mailbox whose name has exactly these octets.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the name has a NUL.
    pub fn select(
        capabilities: &Capabilities,
        mailbox: &[u8],
        mode: Mode,
        form: NameForm,
    ) -> Result<Self, Error> {
        let name = match mode {
            Mode::Select => "SELECT",
            Mode::Examine => "EXAMINE",
        };
        let mut encoder = Encoder::new(capabilities);
        encoder.text(name);
        encoder.text(" ");
        encoder.name(mailbox, form)?;
        Ok(Self::of(name, encoder))
    }

    /// STATUS.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the name has a NUL.
    pub fn status(capabilities: &Capabilities, mailbox: &MailboxName) -> Result<Self, Error> {
        let mut encoder = Encoder::new(capabilities);
        encoder.text("STATUS ");
        encoder.mailbox(mailbox)?;
        let more = if capabilities.has("CONDSTORE") { " HIGHESTMODSEQ" } else { "" };
        encoder.text(&format!(" (MESSAGES UIDNEXT UIDVALIDITY UNSEEN{more})"));
        Ok(Self::of("STATUS", encoder))
    }

    /// UID SEARCH; `compact` asks for ranges (RFC 4731).
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the criteria are not printable ASCII.
    pub fn uid_search(criteria: &str, compact: bool) -> Result<Self, Error> {
        if criteria.is_empty() || !criteria.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err(Error::Unsendable { what: "a search" });
        }
        let options = if compact { "RETURN (ALL) " } else { "" };
        Ok(Self::plain("UID SEARCH", &format!("UID SEARCH {options}{criteria}")))
    }

    /// UID FETCH.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the set is empty.
    pub fn uid_fetch(set: &UidSet, items: FetchItems) -> Result<Self, Error> {
        let (written, names) = (written(set)?, items.names());
        let mut command = Self::plain("UID FETCH", &format!("UID FETCH {written} {names}"));
        command.wants_bodies = items.wants_bodies();
        command.body_bytes_max = items.body_bytes_max();
        command.asked = set.clone();
        Ok(command)
    }

    /// UID FETCH of all messages of the mailbox, whatever their UIDs.
    pub fn uid_fetch_all(items: FetchItems) -> Self {
        let mut command = Self::plain("UID FETCH", &format!("UID FETCH 1:* {}", items.names()));
        command.wants_bodies = items.wants_bodies();
        command.asked = UidSet::from_range(1..=u64::MAX);
        command
    }

    /// FETCH of one message by its sequence number; its UID is expected to be this one.
    pub fn fetch(sequence: u32, uid: u64, items: FetchItems) -> Self {
        let mut command = Self::plain("FETCH", &format!("FETCH {sequence} {}", items.names()));
        command.wants_bodies = items.wants_bodies();
        command.asked = UidSet::from_uids(&[uid]);
        command
    }

    /// UID STORE.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the set is empty, or a flag is none.
    pub fn uid_store(set: &UidSet, change: &FlagChange) -> Result<Self, Error> {
        let (written, sign, flags) = (written(set)?, change.sign, flag_list(&change.flags)?);
        let item = if change.is_silent { "FLAGS.SILENT" } else { "FLAGS" };
        Ok(Self::plain("UID STORE", &format!("UID STORE {written} {sign}{item} {flags}")))
    }

    /// EXPUNGE of all that is `\Deleted` (RFC 3501 §6.4.3).
    pub fn expunge() -> Self {
        Self::plain("EXPUNGE", "EXPUNGE")
    }

    /// UID EXPUNGE (RFC 4315 §2.1).
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the set is empty.
    pub fn uid_expunge(set: &UidSet) -> Result<Self, Error> {
        Ok(Self::plain("UID EXPUNGE", &format!("UID EXPUNGE {}", written(set)?)))
    }

    /// APPEND.
    ///
    /// # Errors
    ///
    /// [`Error::Unsendable`] if the name or the message has a NUL, or a flag is none.
    pub fn append(
        capabilities: &Capabilities,
        mailbox: &MailboxName,
        flags: &[String],
        date_ms: Option<i64>,
        body: Bytes,
    ) -> Result<Self, Error> {
        if memchr::memchr(0, &body).is_some() {
            return Err(Error::Unsendable { what: "the message" });
        }
        let mut encoder = Encoder::new(capabilities);
        encoder.text("APPEND ");
        encoder.mailbox(mailbox)?;
        encoder.text(&format!(" {} ", flag_list(flags)?));
        if let Some(date_ms) = date_ms {
            encoder.text(&date::write(date_ms));
            encoder.text(" ");
        }
        encoder.body(body);
        Ok(Self::of("APPEND", encoder))
    }
}

/// A set as the argument of a command. An empty set is refused, because it would not be valid.
fn written(set: &UidSet) -> Result<String, Error> {
    if set.is_empty() {
        return Err(Error::Unsendable { what: "an empty set of UIDs" });
    }
    Ok(set.to_string())
}

fn flag_list(flags: &[String]) -> Result<String, Error> {
    let is_letter = |byte: u8| {
        matches!(byte, b'!'..=b'~')
            && !matches!(byte, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
    };
    let is_flag = |flag: &String| {
        let atom = flag.strip_prefix('\\').unwrap_or(flag);
        !atom.is_empty() && atom.bytes().all(is_letter)
    };
    if !flags.iter().all(is_flag) {
        return Err(Error::Unsendable { what: "a flag" });
    }
    Ok(format!("({})", flags.join(" ")))
}

#[cfg(test)]
mod tests;

//! Everything that the sandbox holds: users with their mailboxes, accepted mail, rules, the
//! transcript.

use crate::certificate::Certificate;
use crate::clock::NowMs;
use crate::error::Error;
use crate::mailbox::Mailbox;
use crate::mailbox_ids::MailboxIds;
use crate::mailbox_name;
use crate::script::RuleId;
use crate::script::Rules;
use crate::token_server::TokenServer;
use crate::transcript::CommandLine;
use crate::transcript::Protocol;
use crate::transcript::Transcript;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The mailboxes of a new user, with their special use (RFC 6154).
const MAILBOXES: [(&str, Option<&str>); 6] = [
    ("INBOX", None),
    ("Archive", Some("\\Archive")),
    ("Drafts", Some("\\Drafts")),
    ("Junk", Some("\\Junk")),
    ("Sent", Some("\\Sent")),
    ("Trash", Some("\\Trash")),
];

/// A message that the SMTP server accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedMail {
    /// The connection it came on.
    pub connection: u64,
    /// Whether it came under TLS.
    pub tls: bool,
    /// Who was logged in.
    pub login: Option<String>,
    /// The address of MAIL; empty for `<>`.
    pub reverse_path: String,
    /// The addresses of RCPT that were accepted, in their order.
    pub forward_paths: Vec<String>,
    /// The parameters of MAIL, such as `SIZE=1000` and `BODY=8BITMIME`.
    pub parameters: Vec<String>,
    /// The message without dot-stuffing.
    pub bytes: Bytes,
}

/// How the capabilities of a server differ from the usual ones. The server does not do what it does
/// not offer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CapabilityChanges {
    /// Capabilities or EHLO keywords that it lacks: `UIDPLUS`, `AUTH=PLAIN`, `PIPELINING`, `AUTH`.
    pub without: Vec<String>,
    /// Capabilities that it offers in addition. `LOGINDISABLED` makes LOGIN fail.
    pub with: Vec<String>,
}

impl CapabilityChanges {
    /// The `usual` ones, without the lacking ones and with the additional ones.
    pub(crate) fn applied(&self, usual: Vec<String>) -> Vec<String> {
        let lacks = |line: &String| {
            let keyword = line.split(' ').next().unwrap_or(line);
            self.without
                .iter()
                .any(|out| out.eq_ignore_ascii_case(line) || out.eq_ignore_ascii_case(keyword))
        };
        let kept = usual.into_iter().filter(|line| !lacks(line));
        kept.chain(self.with.iter().cloned()).collect()
    }
}

/// A connection that is open now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenConnection {
    /// Its number, as in the transcript.
    pub id: u64,
    /// Which server.
    pub protocol: Protocol,
    /// Who is logged in.
    pub user: Option<String>,
    /// Whether IDLE is in progress.
    pub idling: bool,
}

struct User {
    password: String,
    mailboxes: BTreeMap<String, Mailbox>,
    said: Vec<Bytes>,
}

/// Logins that are refused although the password is right.
struct RefusedLogins {
    /// The user. `None`: every user.
    user: Option<String>,
    /// How many are left. `None`: no limit.
    left: Option<u32>,
}

/// All that the sandbox holds.
pub struct SandboxState {
    /// How the capabilities of the IMAP server differ.
    pub imap_capabilities: CapabilityChanges,
    /// How the capabilities of the SMTP server differ.
    pub smtp_capabilities: CapabilityChanges,
    /// How the IMAP server tells MAILBOXID.
    pub mailbox_ids: MailboxIds,
    /// How many times it told one.
    pub(crate) mailbox_ids_told: u64,
    /// The certificate that the next TLS handshakes show.
    pub certificate: Certificate,
    /// The provider whose access tokens are taken. `None`: the token of a user is the password.
    pub(crate) tokens: Option<TokenServer>,
    users: BTreeMap<String, User>,
    refusals: Vec<RefusedLogins>,
    accepted: Vec<AcceptedMail>,
    connections: BTreeMap<u64, OpenConnection>,
    connection_last: u64,
    uid_validity_last: u32,
    pub(crate) rules: Rules,
    pub(crate) transcript: Transcript,
    pub(crate) now_ms: NowMs,
}

impl SandboxState {
    /// Without any user.
    pub(crate) fn new(now_ms: NowMs, uid_validity_first: u32) -> Self {
        Self {
            imap_capabilities: CapabilityChanges::default(),
            smtp_capabilities: CapabilityChanges::default(),
            mailbox_ids: MailboxIds::default(),
            mailbox_ids_told: 0,
            certificate: Certificate::Good,
            tokens: None,
            users: BTreeMap::new(),
            refusals: Vec::new(),
            accepted: Vec::new(),
            connections: BTreeMap::new(),
            connection_last: 0,
            uid_validity_last: uid_validity_first.saturating_sub(1),
            rules: Rules::default(),
            transcript: Transcript::default(),
            now_ms,
        }
    }

    /// Adds a user with the usual mailboxes; if the user is there, only the password changes.
    pub fn add_user(&mut self, address: &str, password: &str) {
        if let Some(user) = self.users.get_mut(&key(address)) {
            password.clone_into(&mut user.password);
            return;
        }
        let mut mailboxes = BTreeMap::new();
        for (name, special_use) in MAILBOXES {
            let mut mailbox = self.new_mailbox();
            mailbox.attributes = special_use.map(str::to_owned).into_iter().collect();
            mailboxes.insert(name.to_owned(), mailbox);
        }
        let user = User { password: password.to_owned(), mailboxes, said: Vec::new() };
        self.users.insert(key(address), user);
    }

    /// A mailbox with a UIDVALIDITY and a MAILBOXID that no other has.
    pub(crate) fn new_mailbox(&mut self) -> Mailbox {
        self.uid_validity_last += 1;
        let mut mailbox = Mailbox::new(self.uid_validity_last);
        mailbox.mailbox_id = Some(format!("F{}", self.uid_validity_last));
        mailbox
    }

    /// Tells a MAILBOXID once more.
    pub(crate) fn told_mailbox_id<T>(&mut self, tell: impl FnOnce(MailboxIds, u64) -> T) -> T {
        self.mailbox_ids_told += 1;
        tell(self.mailbox_ids, self.mailbox_ids_told)
    }

    /// Whether there is this user.
    pub(crate) fn has_user(&self, address: &str) -> bool {
        self.users.contains_key(&key(address))
    }

    /// Whether some user has an address in the same domain as `address`.
    pub(crate) fn is_local(&self, address: &str) -> bool {
        let domain = |address: &str| address.rsplit('@').next().map(str::to_ascii_lowercase);
        self.users.keys().any(|own| domain(own) == domain(address))
    }

    /// Whether the user may log in: the password is right, and no refusal is left.
    pub(crate) fn lets_in(&mut self, address: &str, password: &str) -> bool {
        let is_right = self.users.get(&key(address)).is_some_and(|user| user.password == password);
        is_right && self.is_let_in(address)
    }

    /// Whether somebody whose access token is good may log in: the user is there, and no refusal is
    /// left.
    pub(crate) fn lets_in_by_token(&mut self, address: &str) -> bool {
        self.has_user(address) && self.is_let_in(address)
    }

    fn is_let_in(&mut self, address: &str) -> bool {
        let user = key(address);
        let refusal = self.refusals.iter_mut().find(|refusal| {
            refusal.left != Some(0) && refusal.user.as_ref().is_none_or(|whose| *whose == user)
        });
        let Some(refusal) = refusal else {
            return true;
        };
        refusal.left = refusal.left.map(|left| left - 1);
        false
    }

    /// Refuses the next `count` logins of a user by IMAP and SMTP, although the password is right.
    /// No user: the logins of every user. No count: all logins.
    pub fn refuse_logins(&mut self, address: Option<&str>, times: Option<u32>) {
        self.refusals.push(RefusedLogins { user: address.map(key), left: times });
    }

    /// The mailboxes of a user by name, as people write them.
    pub fn mailboxes(&self, user: &str) -> Vec<String> {
        self.wire_mailboxes(user).map(|(name, _)| mailbox_name::decode(name)).collect()
    }

    /// The mailboxes of a user by wire name; none if there is no such user.
    pub(crate) fn wire_mailboxes(&self, user: &str) -> impl Iterator<Item = (&String, &Mailbox)> {
        self.users.get(&key(user)).into_iter().flat_map(|user| &user.mailboxes)
    }

    /// The map that holds a user's mailboxes by wire name.
    pub(crate) fn wire_mailboxes_mut(
        &mut self,
        user: &str,
    ) -> Option<&mut BTreeMap<String, Mailbox>> {
        self.users.get_mut(&key(user)).map(|user| &mut user.mailboxes)
    }

    /// One mailbox by wire name.
    pub(crate) fn wire_mailbox(&self, user: &str, name: &str) -> Option<&Mailbox> {
        self.users.get(&key(user))?.mailboxes.get(name)
    }

    /// One mailbox, by the name that people write.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn mailbox(&self, user: &str, name: &str) -> Result<&Mailbox, Error> {
        let found = self.users.get(&key(user)).ok_or_else(|| no_user(user))?;
        found.mailboxes.get(&mailbox_name::encode(name)).ok_or_else(|| no_mailbox(user, name))
    }

    /// One mailbox, to change it.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn mailbox_mut(&mut self, user: &str, name: &str) -> Result<&mut Mailbox, Error> {
        let found = self.users.get_mut(&key(user)).ok_or_else(|| no_user(user))?;
        found.mailboxes.get_mut(&mailbox_name::encode(name)).ok_or_else(|| no_mailbox(user, name))
    }

    /// Makes an empty mailbox.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::MailboxExists`].
    pub fn create_mailbox(&mut self, user: &str, name: &str) -> Result<&mut Mailbox, Error> {
        let created = self.new_mailbox();
        let wire = mailbox_name::encode(name);
        let mailboxes = self.wire_mailboxes_mut(user).ok_or_else(|| no_user(user))?;
        if mailboxes.contains_key(&wire) {
            return Err(Error::MailboxExists { user: user.to_owned(), mailbox: name.to_owned() });
        }
        Ok(mailboxes.entry(wire).or_insert(created))
    }

    /// Renames a mailbox, as another client of the user would.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`], [`Error::MailboxExists`].
    pub fn rename_mailbox(&mut self, user: &str, from: &str, to: &str) -> Result<(), Error> {
        let (wire, former) = (mailbox_name::encode(to), mailbox_name::encode(from));
        let mailboxes = self.wire_mailboxes_mut(user).ok_or_else(|| no_user(user))?;
        if mailboxes.contains_key(&wire) {
            return Err(Error::MailboxExists { user: user.to_owned(), mailbox: to.to_owned() });
        }
        let renamed = mailboxes.remove(&former).ok_or_else(|| no_mailbox(user, from))?;
        mailboxes.insert(wire, renamed);
        Ok(())
    }

    /// Deletes a mailbox with its messages, as another client of the user would.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn delete_mailbox(&mut self, user: &str, name: &str) -> Result<(), Error> {
        let mailboxes = self.wire_mailboxes_mut(user).ok_or_else(|| no_user(user))?;
        let deleted = mailboxes.remove(&mailbox_name::encode(name));
        deleted.map(drop).ok_or_else(|| no_mailbox(user, name))
    }

    /// Puts a message into a mailbox, without flags, as of now; returns its UID.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`], [`Error::NoMailbox`].
    pub fn deliver(
        &mut self,
        user: &str,
        mailbox: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<u32, Error> {
        let now_ms = (self.now_ms)();
        Ok(self.mailbox_mut(user, mailbox)?.append(bytes.into(), Vec::new(), now_ms))
    }

    /// Sends these bytes to each IMAP connection of the user: at once in IDLE, otherwise before the
    /// next tagged reply.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`].
    pub fn say(&mut self, user: &str, bytes: impl Into<Bytes>) -> Result<(), Error> {
        let found = self.users.get_mut(&key(user)).ok_or_else(|| no_user(user))?;
        found.said.push(bytes.into());
        Ok(())
    }

    /// The bytes that were to be sent to the user, without the first `count`.
    pub(crate) fn said_since(&self, user: &str, count: usize) -> &[Bytes] {
        self.users.get(&key(user)).and_then(|user| user.said.get(count..)).unwrap_or_default()
    }

    /// The messages that the SMTP server accepted, oldest first.
    pub fn accepted(&self) -> &[AcceptedMail] {
        &self.accepted
    }

    /// Records a message, and puts it into INBOX of each known user among its recipients.
    pub(crate) fn accept(&mut self, mail: AcceptedMail) {
        let now_ms = (self.now_ms)();
        let mut users: Vec<String> = mail.forward_paths.iter().map(|path| key(path)).collect();
        users.sort_unstable();
        users.dedup();
        for user in users {
            if let Some(inbox) =
                self.users.get_mut(&user).and_then(|user| user.mailboxes.get_mut("INBOX"))
            {
                inbox.append(mail.bytes.clone(), Vec::new(), now_ms);
            }
        }
        self.accepted.push(mail);
    }

    /// The lines that clients sent, oldest first.
    pub fn transcript(&self) -> impl DoubleEndedIterator<Item = &CommandLine> {
        self.transcript.lines()
    }

    /// How often a rule has acted; zero once it is removed.
    pub fn acted_count(&self, rule: RuleId) -> u32 {
        self.rules.acted_count(rule)
    }

    /// The connections that are open.
    pub fn connections(&self) -> impl Iterator<Item = &OpenConnection> {
        self.connections.values()
    }

    pub(crate) fn connection_open(&mut self, protocol: Protocol) -> u64 {
        self.connection_last += 1;
        let id = self.connection_last;
        self.connections.insert(id, OpenConnection { id, protocol, user: None, idling: false });
        id
    }

    pub(crate) fn connection_mut(&mut self, id: u64) -> Option<&mut OpenConnection> {
        self.connections.get_mut(&id)
    }

    pub(crate) fn connection_closed(&mut self, id: u64) {
        self.connections.remove(&id);
    }
}

fn key(address: &str) -> String {
    address.to_ascii_lowercase()
}

fn no_user(user: &str) -> Error {
    Error::NoUser { user: user.to_owned() }
}

fn no_mailbox(user: &str, mailbox: &str) -> Error {
    Error::NoMailbox { user: user.to_owned(), mailbox: mailbox.to_owned() }
}

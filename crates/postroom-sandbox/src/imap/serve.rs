//! The dialogue from the first byte to the last.

use crate::imap::command::OnMailbox;
use crate::imap::command::OnMessages;
use crate::imap::command::ParsedCommand;
use crate::imap::command::Plain;
use crate::imap::items::Item;
use crate::imap::mailboxes::Appended;
use crate::imap::mailboxes::ListFilter;
use crate::imap::receive::Received;
use crate::imap::receive::with_tag;
use crate::imap::selected::Messages;
use crate::imap::session::ImapDialogue;
use crate::imap::token::Malformed;
use crate::peer::Flow;
use crate::peer::Peer;
use crate::script::ImapCommand;
use crate::script::Point;
use std::io;

/// Serves one client until it leaves.
///
/// # Errors
///
/// The connection is lost, or ended by a rule.
pub(crate) async fn serve(mut peer: Peer, implicit_tls: bool) -> io::Result<()> {
    if let Flow::Instead(bytes, ending) = peer.at(Point::ImapConnect, &[]).await? {
        peer.say(&bytes, ending).await?;
    }
    if implicit_tls {
        peer.start_tls(Point::ImapTls).await?;
    }
    let mut session = ImapDialogue::new(peer);
    let greeting = format!("* OK [CAPABILITY {}] sandbox\r\n", session.capabilities().join(" "));
    match session.peer.at(Point::ImapGreeting, &[]).await? {
        Flow::Instead(bytes, ending) => session.peer.say(&bytes, ending).await?,
        Flow::Then(bytes) => session.peer.wire.push(&[greeting.as_bytes(), &bytes].concat()),
        Flow::Go | Flow::Without(_) | Flow::Fault(_) => {
            session.peer.wire.push(greeting.as_bytes());
        }
    }
    session.run().await
}

impl ImapDialogue {
    async fn run(mut self) -> io::Result<()> {
        let mut pipelined = false;
        loop {
            if self.peer.wire.input().is_empty() {
                self.peer.wire.flush().await?;
                self.listen().await?;
            }
            if let Some(received) = self.receive(pipelined).await? {
                let name = received.name;
                let done = self.step(received).await?;
                if done && name == ImapCommand::Logout {
                    return self.peer.wire.close().await;
                }
                if done && name == ImapCommand::StartTls {
                    self.peer.start_tls(Point::ImapTls).await?;
                }
            }
            pipelined = !self.peer.wire.input().is_empty();
        }
    }

    /// Carries out one command, as the rules demand. True: it was carried out and answered OK.
    async fn step(&mut self, received: Received) -> io::Result<bool> {
        let Received { tag, name, uid, command } = received;
        let subject = self.subject(command.as_ref().ok());
        let items = items_of(command.as_ref().ok());
        let subjects: Vec<&str> = subject.iter().chain(&items).map(String::as_str).collect();
        let mut behind = Vec::new();
        match self.peer.at(Point::ImapCommand(name), &subjects).await? {
            Flow::Instead(bytes, ending) => {
                self.peer.say(&with_tag(&bytes, &tag), ending).await?;
                return Ok(false);
            }
            Flow::Then(bytes) => behind = bytes,
            Flow::Without(item) => self.without = Some(item),
            Flow::Go | Flow::Fault(_) => {}
        }
        let text = match (command, self.refuses(name)) {
            (_, Some(refusal)) => refusal.to_owned(),
            (Err(Malformed(text)), None) => format!("BAD {text}"),
            (Ok(command), None) => self.carry_out(&tag, command).await?,
        };
        self.without = None;
        // No EXPUNGE may be sent during these commands, because it would shift the numbers that
        // they use (RFC 3501 §7.4.1).
        let counts = matches!(name, ImapCommand::Fetch | ImapCommand::Store | ImapCommand::Search);
        if uid || !counts {
            self.tell_news();
        }
        let mut tagged = format!("{tag} {text}\r\n").into_bytes();
        match self.peer.at(Point::ImapDone(name), &subjects).await? {
            Flow::Instead(bytes, ending) => {
                self.peer.say(&with_tag(&bytes, &tag), ending).await?;
                tagged.clear();
            }
            Flow::Then(bytes) => behind.extend(bytes),
            Flow::Go | Flow::Without(_) | Flow::Fault(_) => {}
        }
        self.peer.wire.push(&tagged);
        self.peer.wire.push(&behind);
        Ok(text.starts_with("OK"))
    }

    /// The subject of a command besides the user: the user who logs in, or the mailbox.
    fn subject(&self, command: Option<&ParsedCommand>) -> Option<String> {
        match command? {
            ParsedCommand::Login { user, .. } => Some(user.clone()),
            ParsedCommand::Mailbox(
                OnMailbox::Select { mailbox, .. }
                | OnMailbox::Status { mailbox, .. }
                | OnMailbox::Append { mailbox, .. },
            ) => Some(mailbox.clone()),
            ParsedCommand::Messages(_) => self.view.as_ref().map(|view| view.mailbox.clone()),
            ParsedCommand::Plain(_)
            | ParsedCommand::Authenticate { .. }
            | ParsedCommand::Mailbox(_)
            | ParsedCommand::Unknown => None,
        }
    }

    /// Carries out a command; the text of its tagged response.
    async fn carry_out(&mut self, tag: &str, command: ParsedCommand) -> io::Result<String> {
        match command {
            ParsedCommand::Unknown => Ok("BAD command not known".to_owned()),
            ParsedCommand::Plain(plain) => self.plain(plain).await,
            ParsedCommand::Login { user, password } => Ok(self.login(&user, &password)),
            ParsedCommand::Authenticate { mechanism, initial } => {
                self.authenticate(&mechanism, initial.as_deref()).await
            }
            ParsedCommand::Mailbox(command) => Ok(self.on_mailbox(command)),
            ParsedCommand::Messages(command) => self.on_messages(tag, command).await,
        }
    }

    async fn plain(&mut self, plain: Plain) -> io::Result<String> {
        Ok(match plain {
            Plain::Capability => self.capability(),
            Plain::Noop | Plain::Check => "OK here".to_owned(),
            Plain::Id => self.id(),
            Plain::Namespace => self.namespace(),
            Plain::StartTls => "OK begin TLS".to_owned(),
            Plain::Unselect => self.unselect(false),
            Plain::Close => self.unselect(true),
            Plain::Idle => return self.idle().await,
            Plain::Logout => {
                self.peer.wire.push(b"* BYE goodbye\r\n");
                "OK goodbye".to_owned()
            }
        })
    }

    fn on_mailbox(&mut self, command: OnMailbox) -> String {
        match command {
            OnMailbox::List { subscribed, special_use, reference, patterns } => {
                let word = if subscribed { "LSUB" } else { "LIST" };
                let (reference, patterns) = (reference.as_str(), patterns.as_slice());
                self.list(word, &ListFilter { subscribed, special_use, reference, patterns })
            }
            OnMailbox::Subscribe { mailbox, subscribe } => self.subscribe(&mailbox, subscribe),
            OnMailbox::Create { mailbox, special_use } => self.create(&mailbox, special_use),
            OnMailbox::Delete { mailbox } => self.delete(&mailbox),
            OnMailbox::Rename { from, to } => self.rename(&from, &to),
            OnMailbox::Select { mailbox, read_only } => self.select(&mailbox, read_only),
            OnMailbox::Status { mailbox, items } => self.status(&mailbox, &items),
            OnMailbox::Append { mailbox, flags, date_ms, bytes } => {
                self.append(&mailbox, Appended { flags, date_ms, bytes })
            }
        }
    }

    async fn on_messages(&mut self, tag: &str, command: OnMessages) -> io::Result<String> {
        Ok(match command {
            OnMessages::Search { returns: Some(_), .. } if !self.offers("ESEARCH") => {
                "BAD RETURN is not offered".to_owned()
            }
            OnMessages::Search { charset: Some(charset), .. } if !is_known_charset(&charset) => {
                "NO [BADCHARSET (US-ASCII UTF-8)] charset not known".to_owned()
            }
            OnMessages::Search { uid, returns, key, .. } => {
                self.search(tag, uid, returns.as_deref(), &key)
            }
            OnMessages::Fetch { uid, set, items } => {
                return self.fetch(Messages { set: &set, uid }, items).await;
            }
            OnMessages::Store { uid, set, change, silent, flags } => {
                return self.store(Messages { set: &set, uid }, change, &flags, silent).await;
            }
            OnMessages::Expunge { set: Some(_) } if !self.offers("UIDPLUS") => {
                "BAD UID EXPUNGE is not offered".to_owned()
            }
            OnMessages::Expunge { set } => self.expunge(set.as_ref()),
            OnMessages::Copy { uid, set, mailbox, remove } => {
                self.copy(Messages { set: &set, uid }, &mailbox, remove)
            }
        })
    }
}

/// The names of the items that a FETCH asks for.
fn items_of(command: Option<&ParsedCommand>) -> Vec<String> {
    if let Some(ParsedCommand::Messages(OnMessages::Fetch { items, .. })) = command {
        return items.iter().map(Item::name).collect();
    }
    vec![]
}

fn is_known_charset(charset: &str) -> bool {
    ["UTF-8", "US-ASCII"].iter().any(|known| known.eq_ignore_ascii_case(charset))
}

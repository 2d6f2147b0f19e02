//! SELECT and the commands that change the selected mailbox (RFC 3501 §6.3.1, §6.4, RFC 4315,
//! 6851).

use crate::imap::command::Change;
use crate::imap::mailboxes::no_such_mailbox;
use crate::imap::session::ImapDialogue;
use crate::imap::set::Set;
use crate::imap::set::compact;
use crate::imap::view::View;
use crate::mailbox::Mailbox;
use crate::mailbox::StoredMessage;
use std::io;

/// The flags that every mailbox knows.
const FLAGS: &str = "\\Answered \\Flagged \\Deleted \\Seen \\Draft";

/// The messages of a command.
pub(crate) struct Messages<'a> {
    /// The set as it was given.
    pub set: &'a Set,
    /// Whether its numbers are UIDs.
    pub uid: bool,
}

impl ImapDialogue {
    /// SELECT, EXAMINE.
    pub(crate) fn select(&mut self, name: &str, read_only: bool) -> String {
        self.view = None;
        let mailbox_id = self.mailbox_id(name);
        let opened = self.mailbox(name, |mailbox| {
            let closed =
                mailbox.attributes.iter().any(|own| own.eq_ignore_ascii_case("\\Noselect"));
            (!closed).then(|| (View::new(name, mailbox, read_only), greeting(mailbox, read_only)))
        });
        let Some(Some((view, mut lines))) = opened else {
            return no_such_mailbox();
        };
        lines.extend(mailbox_id.map(|id| format!("* OK [MAILBOXID ({id})] its identity\r\n")));
        let without = self.without.take();
        for line in lines {
            let code = line.split_once('[').map_or("", |(_, code)| code);
            let left_out = without.as_deref().is_some_and(|without| code.starts_with(without));
            if !left_out {
                self.peer.wire.push(line.as_bytes());
            }
        }
        self.view = Some(view);
        let access = if read_only { "READ-ONLY" } else { "READ-WRITE" };
        format!("OK [{access}] selected")
    }

    /// MAILBOXID of a mailbox, as SELECT and EXAMINE tell it.
    fn mailbox_id(&self, name: &str) -> Option<String> {
        let right = self.mailbox(name, |mailbox| mailbox.mailbox_id.clone())??;
        let told = || {
            self.peer
                .house
                .shared
                .edit(|state| state.told_mailbox_id(|ids, times| ids.selected(right, times)))
        };
        self.offers("OBJECTID").then(told)
    }

    /// CLOSE, which also removes what is marked \Deleted, and UNSELECT, which does not.
    pub(crate) fn unselect(&mut self, expunge: bool) -> String {
        if let Some(view) = self.view.take()
            && expunge
            && !view.read_only
        {
            self.remove_deleted(&view.mailbox, None);
        }
        "OK closed".to_owned()
    }

    /// EXPUNGE; with a set only those of the UIDs (RFC 4315 §2.1).
    pub(crate) fn expunge(&mut self, set: Option<&Set>) -> String {
        let Some(view) = &self.view else {
            return not_selected();
        };
        if view.read_only {
            return read_only();
        }
        self.remove_deleted(&view.mailbox, set);
        self.tell_news();
        "OK expunged".to_owned()
    }

    fn remove_deleted(&self, name: &str, set: Option<&Set>) {
        self.mailbox_edit(name, |mailbox| {
            let last = mailbox.messages().last().map_or(0, |message| message.uid);
            let gone = |message: &&StoredMessage| {
                message.has_flag("\\Deleted") && set.is_none_or(|set| set.has(message.uid, last))
            };
            let gone: Vec<u32> =
                mailbox.messages().filter(gone).map(|message| message.uid).collect();
            for uid in gone {
                mailbox.expunge(uid);
            }
        });
    }

    /// STORE.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn store(
        &mut self,
        messages: Messages<'_>,
        change: Change,
        flags: &[String],
        silent: bool,
    ) -> io::Result<String> {
        let Some(view) = &self.view else {
            return Ok(not_selected());
        };
        if view.read_only {
            return Ok(read_only());
        }
        for position in messages.set.positions(self.uids(), messages.uid) {
            if let Some(line) = self.store_one(position, change, flags)
                && !silent
            {
                self.peer.wire.write(line.as_bytes()).await?;
            }
        }
        Ok("OK stored".to_owned())
    }

    /// Changes the flags of one message. Gives the FETCH response with the new flags.
    pub(crate) fn store_one(
        &mut self,
        position: usize,
        change: Change,
        flags: &[String],
    ) -> Option<String> {
        let mut view = self.view.take()?;
        let uid = view.uids.get(position).copied();
        let (id, name) = (self.peer.id(), view.mailbox.clone());
        let stored = uid.and_then(|uid| {
            self.mailbox_edit(&name, |mailbox| {
                let was_current = view.is_current(mailbox);
                let own = mailbox.message(uid)?;
                let changed = changed(&own.flags, change, flags);
                let text = changed.join(" ");
                mailbox.set_flags_from(uid, changed, id);
                if was_current {
                    view.now_current(mailbox);
                }
                Some(format!("* {} FETCH (UID {uid} FLAGS ({text}))\r\n", position + 1))
            })
        });
        self.view = Some(view);
        stored.flatten()
    }

    /// COPY, MOVE.
    pub(crate) fn copy(&mut self, messages: Messages<'_>, to: &str, remove: bool) -> String {
        let Some(view) = &self.view else {
            return not_selected();
        };
        if remove && view.read_only {
            return read_only();
        }
        let positions = messages.set.positions(&view.uids, messages.uid);
        let uids: Vec<u32> =
            positions.iter().filter_map(|at| view.uids.get(*at)).copied().collect();
        let user = self.user();
        let copied = self.peer.house.shared.edit(|state| {
            let mailboxes = state.wire_mailboxes_mut(user)?;
            let from = mailboxes.get(&view.mailbox)?;
            let found: Vec<StoredMessage> =
                uids.iter().filter_map(|uid| from.message(*uid)).cloned().collect();
            let target = mailboxes.get_mut(to)?;
            let (mut old, mut new) = (Vec::new(), Vec::new());
            for message in found {
                old.push(message.uid);
                new.push(target.append(message.bytes, message.flags, message.internal_date_ms));
            }
            let uid_validity = target.uid_validity();
            if remove && let Some(from) = mailboxes.get_mut(&view.mailbox) {
                for uid in &old {
                    from.expunge(*uid);
                }
            }
            Some((uid_validity, compact(&old), compact(&new)))
        });
        let Some((uid_validity, old, new)) = copied else {
            return "NO [TRYCREATE] no such mailbox".to_owned();
        };
        let code = if self.offers("UIDPLUS") && !old.is_empty() {
            format!("[COPYUID {uid_validity} {old} {new}] ")
        } else {
            String::new()
        };
        if !remove {
            return format!("OK {code}copied");
        }
        // RFC 6851 §4.3: COPYUID comes before the EXPUNGE responses.
        if !code.is_empty() {
            self.peer.wire.push(format!("* OK {code}moved\r\n").as_bytes());
        }
        self.tell_news();
        "OK moved".to_owned()
    }
}

/// The untagged responses to SELECT.
fn greeting(mailbox: &Mailbox, read_only: bool) -> Vec<String> {
    let permanent = if read_only { String::new() } else { format!("{FLAGS} \\*") };
    let unseen = mailbox.messages().position(|message| !message.has_flag("\\Seen"));
    let mut lines = vec![
        format!("* FLAGS ({FLAGS})\r\n"),
        format!("* {} EXISTS\r\n", mailbox.len()),
        "* 0 RECENT\r\n".to_owned(),
        format!("* OK [PERMANENTFLAGS ({permanent})] flags that stay\r\n"),
        format!("* OK [UIDVALIDITY {}] UIDs are valid\r\n", mailbox.uid_validity()),
        format!("* OK [UIDNEXT {}] the next UID\r\n", mailbox.uid_next()),
    ];
    lines.extend(unseen.map(|at| format!("* OK [UNSEEN {}] the first unseen\r\n", at + 1)));
    lines
}

fn changed(own: &[String], change: Change, flags: &[String]) -> Vec<String> {
    let among =
        |flag: &String, set: &[String]| set.iter().any(|one| one.eq_ignore_ascii_case(flag));
    match change {
        Change::Replace => flags.to_vec(),
        Change::Remove => own.iter().filter(|flag| !among(flag, flags)).cloned().collect(),
        Change::Add => {
            let new = flags.iter().filter(|flag| !among(flag, own));
            own.iter().chain(new).cloned().collect()
        }
    }
}

/// The tagged response when no mailbox is selected.
pub(crate) fn not_selected() -> String {
    "BAD no mailbox is selected".to_owned()
}

fn read_only() -> String {
    "NO [READ-ONLY] the mailbox was opened by EXAMINE".to_owned()
}

//! LIST, LSUB, STATUS, and the commands that make, name and fill mailboxes (RFC 3501 §6.3).

use crate::imap::session::ImapDialogue;
use crate::imap::token::string;
use bytes::Bytes;

/// What APPEND puts into a mailbox.
pub(crate) struct Appended {
    /// With these flags.
    pub flags: Vec<String>,
    /// With this INTERNALDATE, else now.
    pub date_ms: Option<i64>,
    /// The message.
    pub bytes: Bytes,
}

/// Which mailboxes LIST shows.
pub(crate) struct ListFilter<'a> {
    /// Only those that are subscribed to.
    pub subscribed: bool,
    /// Only those with a special use.
    pub special_use: bool,
    /// What the patterns are relative to.
    pub reference: &'a str,
    /// Names with `*` and `%`.
    pub patterns: &'a [String],
}

impl ImapDialogue {
    /// LIST, or LSUB under that `word`.
    pub(crate) fn list(&mut self, word: &str, wanted: &ListFilter<'_>) -> String {
        let delimiter = self.peer.house.delimiter;
        if wanted.patterns.iter().all(String::is_empty) {
            let line = format!("* {word} (\\Noselect) \"{delimiter}\" \"\"\r\n");
            self.peer.wire.push(line.as_bytes());
            return "OK said".to_owned();
        }
        let special_use = self.offers("SPECIAL-USE");
        let lines = self.peer.house.shared.look(|state| {
            let names: Vec<&String> =
                state.wire_mailboxes(self.user()).map(|(name, _)| name).collect();
            let mut lines = Vec::new();
            for (name, mailbox) in state.wire_mailboxes(self.user()) {
                let special = mailbox.attributes.iter().any(|attribute| is_special_use(attribute));
                let shown = (mailbox.subscribed || !wanted.subscribed)
                    && (special || !wanted.special_use)
                    && wanted.has(name, delimiter);
                if !shown {
                    continue;
                }
                let below = format!("{name}{delimiter}");
                let parent = names.iter().any(|other| other.starts_with(&below));
                let children = if parent { "\\HasChildren" } else { "\\HasNoChildren" };
                let own = mailbox.attributes.iter().map(String::as_str);
                let attributes: Vec<&str> = std::iter::once(children)
                    .chain(own.filter(|attribute| special_use || !is_special_use(attribute)))
                    .collect();
                let start = format!("* {word} ({}) \"{delimiter}\" ", attributes.join(" "));
                lines.extend([start.as_bytes(), &*string(name.as_bytes()), b"\r\n"].concat());
            }
            lines
        });
        self.peer.wire.push(&lines);
        "OK said".to_owned()
    }

    /// STATUS.
    pub(crate) fn status(&mut self, name: &str, items: &[String]) -> String {
        let without = self.without.take();
        let offers_ids = self.offers("OBJECTID");
        let right = self.mailbox(name, |mailbox| mailbox.mailbox_id.clone()).flatten();
        let mailbox_id = right.filter(|_| offers_ids).map(|right| {
            self.peer
                .house
                .shared
                .edit(|state| state.told_mailbox_id(|ids, times| ids.status(right, times)))
        });
        let said = self.mailbox(name, |mailbox| {
            let unseen =
                || mailbox.messages().filter(|message| !message.has_flag("\\Seen")).count();
            let mut said: Vec<Vec<u8>> = Vec::new();
            for item in items.iter().filter(|item| without.as_ref() != Some(*item)) {
                let value = match item.as_str() {
                    "MESSAGES" => mailbox.len() as u64,
                    "RECENT" => 0,
                    "UIDNEXT" => u64::from(mailbox.uid_next()),
                    "UIDVALIDITY" => u64::from(mailbox.uid_validity()),
                    "UNSEEN" => unseen() as u64,
                    "SIZE" => mailbox.messages().map(|message| message.bytes.len() as u64).sum(),
                    "MAILBOXID" if offers_ids => {
                        let told = mailbox_id.as_deref().unwrap_or_default();
                        said.push([&b"MAILBOXID ("[..], told, b")"].concat());
                        continue;
                    }
                    _ => return Err("BAD no such STATUS item".to_owned()),
                };
                said.push(format!("{item} {value}").into_bytes());
            }
            Ok(said.join(&b" "[..]))
        });
        match said {
            None => no_such_mailbox(),
            Some(Err(bad)) => bad,
            Some(Ok(said)) => {
                let name = string(name.as_bytes());
                let line = [b"* STATUS ", &*name, b" (", &said, b")\r\n"].concat();
                self.peer.wire.push(&line);
                "OK said".to_owned()
            }
        }
    }

    /// CREATE; a name that ends with the delimiter is the same without it.
    pub(crate) fn create(&mut self, name: &str, special_use: Vec<String>) -> String {
        let name = name.trim_end_matches(self.peer.house.delimiter);
        let user = self.user();
        let created = self.peer.house.shared.edit(|state| {
            let mut mailbox = state.new_mailbox();
            mailbox.attributes = special_use;
            let mailboxes = state.wire_mailboxes_mut(user)?;
            let free = !name.is_empty() && !mailboxes.contains_key(name);
            free.then(|| mailboxes.insert(name.to_owned(), mailbox))
        });
        match created {
            Some(_) => "OK created".to_owned(),
            None => "NO [ALREADYEXISTS] there is one".to_owned(),
        }
    }

    /// DELETE.
    pub(crate) fn delete(&mut self, name: &str) -> String {
        if name == "INBOX" {
            return "NO [CANNOT] INBOX stays".to_owned();
        }
        let user = self.user();
        let removed = self.peer.house.shared.edit(|state| {
            state.wire_mailboxes_mut(user).and_then(|mailboxes| mailboxes.remove(name))
        });
        removed.map_or_else(no_such_mailbox, |_| "OK deleted".to_owned())
    }

    /// RENAME, including the mailboxes below. INBOX stays and is emptied (RFC 3501 §6.3.5).
    pub(crate) fn rename(&mut self, from: &str, to: &str) -> String {
        let below = format!("{from}{}", self.peer.house.delimiter);
        let user = self.user();
        self.peer.house.shared.edit(|state| {
            let fresh = state.new_mailbox();
            let Some(mailboxes) = state.wire_mailboxes_mut(user) else {
                return no_such_mailbox();
            };
            if mailboxes.contains_key(to) || to == "INBOX" {
                return "NO [ALREADYEXISTS] there is one".to_owned();
            }
            let Some(moved) = mailboxes.remove(from) else {
                return no_such_mailbox();
            };
            mailboxes.insert(to.to_owned(), moved);
            if from == "INBOX" {
                mailboxes.insert("INBOX".to_owned(), fresh);
                return "OK renamed".to_owned();
            }
            let names: Vec<String> = mailboxes.keys().cloned().collect();
            for name in names.iter().filter(|name| name.starts_with(&below)) {
                if let Some(moved) = mailboxes.remove(name) {
                    mailboxes.insert(name.replacen(from, to, 1), moved);
                }
            }
            "OK renamed".to_owned()
        })
    }

    /// SUBSCRIBE, UNSUBSCRIBE.
    pub(crate) fn subscribe(&mut self, name: &str, subscribed: bool) -> String {
        let found = self.mailbox_edit(name, |mailbox| mailbox.subscribed = subscribed);
        found.map_or_else(no_such_mailbox, |()| "OK noted".to_owned())
    }

    /// APPEND.
    pub(crate) fn append(&mut self, name: &str, appended: Appended) -> String {
        let date_ms = appended
            .date_ms
            .unwrap_or_else(|| self.peer.house.shared.look(|state| (state.now_ms)()));
        let added = self.mailbox_edit(name, |mailbox| {
            let uid = mailbox.append(appended.bytes, appended.flags, date_ms);
            (mailbox.uid_validity(), uid)
        });
        match added {
            None => "NO [TRYCREATE] no such mailbox".to_owned(),
            Some((uid_validity, uid)) if self.offers("UIDPLUS") => {
                format!("OK [APPENDUID {uid_validity} {uid}] appended")
            }
            Some(_) => "OK appended".to_owned(),
        }
    }
}

impl ListFilter<'_> {
    fn has(&self, name: &str, delimiter: char) -> bool {
        self.patterns.iter().any(|pattern| {
            let pattern = format!("{}{pattern}", self.reference);
            // INBOX in upper or lower case is INBOX, but only as a whole name.
            let pattern = if pattern.eq_ignore_ascii_case("INBOX") { "INBOX" } else { &pattern };
            is_like(name.as_bytes(), pattern.as_bytes(), delimiter as u32)
        })
    }
}

/// Whether a name matches a pattern: `*` is anything, `%` anything within one level.
fn is_like(name: &[u8], pattern: &[u8], delimiter: u32) -> bool {
    // For each prefix of the name: whether the pattern so far matches it.
    let mut reached = vec![false; name.len() + 1];
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    for wild in pattern {
        let mut next = Vec::with_capacity(reached.len());
        let mut before = false;
        for (at, here) in reached.iter().enumerate() {
            let byte = at.checked_sub(1).and_then(|at| name.get(at)).copied();
            let matched = match wild {
                b'*' => *here || next.last() == Some(&true),
                b'%' => {
                    let stays = byte.is_some_and(|byte| u32::from(byte) != delimiter);
                    *here || (stays && next.last() == Some(&true))
                }
                wild => before && byte == Some(*wild),
            };
            next.push(matched);
            before = *here;
        }
        reached = next;
    }
    reached.last() == Some(&true)
}

fn is_special_use(attribute: &str) -> bool {
    const USES: [&str; 7] =
        ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash"];
    USES.iter().any(|special| special.eq_ignore_ascii_case(attribute))
}

/// The tagged response for a mailbox that is not there.
pub(crate) fn no_such_mailbox() -> String {
    "NO [NONEXISTENT] no such mailbox".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names() {
        for (name, pattern, want) in [
            ("a/b", "*", true),
            ("a/b", "%", false),
            ("a", "%", true),
            ("a/b", "a/%", true),
            ("a/b/c", "a/%", false),
            ("a/b/c", "a/*c", true),
            ("a/b/c", "%/%/%", true),
            ("abc", "abc", true),
            ("abc", "ab", false),
            ("abc", "abcd", false),
            ("", "*", true),
        ] {
            let got = is_like(name.as_bytes(), pattern.as_bytes(), u32::from('/'));
            assert_eq!(got, want, "{name} like {pattern}");
        }
    }
}

//! FETCH and SEARCH in the selected mailbox.

use crate::imap::command::Change;
use crate::imap::items;
use crate::imap::items::Item;
use crate::imap::search::SearchKey;
use crate::imap::search::SearchPosition;
use crate::imap::selected::Messages;
use crate::imap::selected::not_selected;
use crate::imap::session::ImapDialogue;
use crate::imap::set::compact;
use crate::mailbox::StoredMessage;
use crate::peer::Flow;
use crate::script::MessageFault;
use crate::script::Occasion;
use std::io;

impl ImapDialogue {
    /// FETCH: one message at a time, so that memory does not grow with the set.
    ///
    /// # Errors
    ///
    /// The connection is lost, or ended by a rule.
    pub(crate) async fn fetch(
        &mut self,
        messages: Messages<'_>,
        mut items: Vec<Item>,
    ) -> io::Result<String> {
        if self.view.is_none() {
            return Ok(not_selected());
        }
        if messages.uid && !items.contains(&Item::Uid) {
            items.insert(0, Item::Uid);
        }
        for position in messages.set.positions(self.uids(), messages.uid) {
            if let Some(message) = self.message_for(position, &items) {
                let refusal = self.fetch_one(position + 1, &message, &items).await?;
                if let Some(words) = refusal {
                    return Ok(format!("NO {words}"));
                }
            }
        }
        Ok("OK fetched".to_owned())
    }

    /// The message, with \Seen set if the items do that.
    fn message_for(&mut self, position: usize, items: &[Item]) -> Option<StoredMessage> {
        let view = self.view.as_ref()?;
        let uid = *view.uids.get(position)?;
        let sees = |item: &Item| matches!(item, Item::Section(section) if !section.peek);
        let sees = !view.read_only && items.iter().any(sees);
        let find = |session: &Self| {
            let view = session.view.as_ref()?;
            session.mailbox(&view.mailbox, |mailbox| mailbox.message(uid).cloned()).flatten()
        };
        let message = find(self)?;
        if !sees || message.has_flag("\\Seen") {
            return Some(message);
        }
        let told = self.store_one(position, Change::Add, &["\\Seen".to_owned()]);
        if let Some(line) = told.filter(|_| !items.contains(&Item::Flags)) {
            self.peer.wire.push(line.as_bytes());
        }
        find(self)
    }

    /// Answers for one message. Gives the words with which a rule refuses it.
    async fn fetch_one(
        &mut self,
        sequence: usize,
        message: &StoredMessage,
        items: &[Item],
    ) -> io::Result<Option<String>> {
        let mailbox = self.view.as_ref().map(|view| view.mailbox.clone());
        let subjects: Vec<&str> = mailbox.as_deref().into_iter().collect();
        let (fault, behind): (Option<MessageFault>, Vec<u8>) =
            match self.peer.reach(Occasion::Message(message.uid), &subjects).await? {
                Flow::Instead(bytes, ending) => {
                    return self.peer.say(&bytes, ending).await.map(|()| None);
                }
                Flow::Fault(MessageFault::Refused(words)) => return Ok(Some(words)),
                Flow::Fault(fault) => (Some(fault), Vec::new()),
                Flow::Then(bytes) => (None, bytes),
                Flow::Go | Flow::Without(_) => (None, Vec::new()),
            };
        for piece in items::response(items, sequence, message, fault.as_ref()).unwrap_or_default() {
            self.peer.wire.write(&piece).await?;
        }
        self.peer.wire.write(&behind).await.map(|()| None)
    }

    /// SEARCH; with `returns` the response is ESEARCH (RFC 4731 §3.1), under this `tag`.
    pub(crate) fn search(
        &mut self,
        tag: &str,
        uid: bool,
        returns: Option<&[String]>,
        key: &SearchKey,
    ) -> String {
        let Some(view) = &self.view else {
            return not_selected();
        };
        let (sequence_last, uid_last) =
            (view.uids.len() as u32, view.uids.last().copied().unwrap_or(0));
        let found = self.mailbox(&view.mailbox, |mailbox| {
            let mut found = Vec::new();
            for (sequence, own) in (1..).zip(&view.uids) {
                let place = SearchPosition { sequence, sequence_last, uid_last };
                if mailbox.message(*own).is_some_and(|message| key.matches(message, place)) {
                    found.push(if uid { *own } else { sequence });
                }
            }
            found
        });
        let found = found.unwrap_or_default();
        let line = match returns {
            Some(returns) => esearch(tag, uid, returns, &found),
            None => {
                let numbers: Vec<String> = found.iter().map(u32::to_string).collect();
                format!("* SEARCH {}", numbers.join(" ")).trim_end().to_owned() + "\r\n"
            }
        };
        self.peer.wire.push(line.as_bytes());
        "OK searched".to_owned()
    }
}

fn esearch(tag: &str, uid: bool, returns: &[String], found: &[u32]) -> String {
    // RFC 4731 §3.1: an empty list of options means ALL.
    let wants = |option: &str| {
        returns.iter().any(|own| own == option) || (returns.is_empty() && option == "ALL")
    };
    let mut line = format!("* ESEARCH (TAG \"{tag}\")");
    if uid {
        line.push_str(" UID");
    }
    if let [first, ..] = found
        && wants("MIN")
    {
        line.push_str(&format!(" MIN {first}"));
    }
    if let [.., last] = found
        && wants("MAX")
    {
        line.push_str(&format!(" MAX {last}"));
    }
    if wants("COUNT") {
        line.push_str(&format!(" COUNT {}", found.len()));
    }
    if wants("ALL") && !found.is_empty() {
        line.push_str(&format!(" ALL {}", compact(found)));
    }
    line + "\r\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn esearch_says_what_is_wanted() {
        let of = |returns: &[&str], found: &[u32]| {
            let returns: Vec<String> = returns.iter().map(|own| (*own).to_owned()).collect();
            esearch("a", true, &returns, found)
        };
        assert_eq!(of(&[], &[1, 2, 5]), "* ESEARCH (TAG \"a\") UID ALL 1:2,5\r\n");
        let all = ["MIN", "MAX", "COUNT"];
        assert_eq!(of(&all, &[1, 2, 5]), "* ESEARCH (TAG \"a\") UID MIN 1 MAX 5 COUNT 3\r\n");
        assert_eq!(of(&["ALL", "COUNT"], &[]), "* ESEARCH (TAG \"a\") UID COUNT 0\r\n");
    }
}

//! The selected mailbox as one client knows it: which message has which sequence number.

use crate::mailbox::Mailbox;

/// What a client was told of the selected mailbox.
#[derive(Debug)]
pub(crate) struct View {
    /// The wire name of the mailbox.
    pub mailbox: String,
    /// Whether it was opened by EXAMINE.
    pub read_only: bool,
    /// The UIDs in the order of sequence numbers.
    pub uids: Vec<u32>,
    /// The version of the mailbox that the client knows.
    version: u64,
}

impl View {
    /// The mailbox as it is now.
    pub(crate) fn new(name: &str, mailbox: &Mailbox, read_only: bool) -> Self {
        Self {
            mailbox: name.to_owned(),
            read_only,
            uids: mailbox.messages().map(|message| message.uid).collect(),
            version: mailbox.version(),
        }
    }

    /// Whether the client knows every change.
    pub(crate) fn is_current(&self, mailbox: &Mailbox) -> bool {
        self.version == mailbox.version()
    }

    /// Notes that the client knows every change.
    pub(crate) fn now_current(&mut self, mailbox: &Mailbox) {
        self.version = mailbox.version();
    }

    /// The changes that the client does not know, as untagged responses: EXPUNGE, then EXISTS, then
    /// FETCH with flags that another connection than `connection` changed.
    pub(crate) fn news(&mut self, mailbox: &Mailbox, connection: u64) -> Vec<u8> {
        if self.is_current(mailbox) {
            return Vec::new();
        }
        let mut news = String::new();
        let (mut kept, mut removed) = (Vec::with_capacity(self.uids.len()), 0);
        for (at, uid) in self.uids.iter().enumerate() {
            if mailbox.message(*uid).is_some() {
                kept.push(*uid);
            } else {
                news.push_str(&format!("* {} EXPUNGE\r\n", at + 1 - removed));
                removed += 1;
            }
        }
        self.uids = mailbox.messages().map(|message| message.uid).collect();
        if self.uids.len() != kept.len() {
            news.push_str(&format!("* {} EXISTS\r\n* 0 RECENT\r\n", self.uids.len()));
        }
        for (at, message) in mailbox.messages().enumerate() {
            let (version, by) = message.flags_changed;
            if version > self.version
                && by != connection
                && kept.binary_search(&message.uid).is_ok()
            {
                let (sequence, flags) = (at + 1, message.flags.join(" "));
                news.push_str(&format!(
                    "* {sequence} FETCH (UID {} FLAGS ({flags}))\r\n",
                    message.uid
                ));
            }
        }
        self.version = mailbox.version();
        news.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn news_are_told_once() {
        let mut mailbox = Mailbox::new(1);
        for _ in 0..4 {
            mailbox.append(Bytes::new(), vec![], 0);
        }
        let mut view = View::new("INBOX", &mailbox, false);
        assert_eq!(view.news(&mailbox, 9), b"");
        mailbox.expunge(1);
        mailbox.expunge(3);
        mailbox.append(Bytes::new(), vec![], 0);
        mailbox.set_flags(4, vec!["\\Seen".to_owned()]);
        mailbox.set_flags_from(2, vec![], 9);
        let want = "* 1 EXPUNGE\r\n* 2 EXPUNGE\r\n* 3 EXISTS\r\n* 0 RECENT\r\n\
                    * 2 FETCH (UID 4 FLAGS (\\Seen))\r\n";
        assert_eq!(String::from_utf8(view.news(&mailbox, 9)).unwrap(), want);
        assert_eq!(view.uids, [2, 4, 5]);
        assert_eq!(view.news(&mailbox, 9), b"");
    }
}

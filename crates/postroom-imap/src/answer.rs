//! What a server answered to one command, collected from its responses.
//!
//! Standards: RFC 3501 §7.

use crate::capabilities::Capabilities;
use crate::error::Error;
use crate::limits::ImapLimits;
use crate::mailbox::MailboxName;
use crate::response::Code;
use crate::response::Fetched;
use crate::response::Listed;
use crate::response::Namespaces;
use crate::response::Response;
use crate::response::Selected;
use crate::response::Status;
use crate::token::number;
use crate::token::uid;
use postroom_model::MailboxId;
use std::sync::Arc;

/// How many octets a UID takes in a SEARCH response, at most, with its blank.
const UID_OCTETS_MAX: u64 = 20;

/// The answer to one command.
#[derive(Debug, Default)]
pub(crate) struct CommandResponses {
    /// What was said of the selected mailbox.
    pub selected: Selected,
    /// The UIDs found, in the server's order.
    pub uids: Vec<u64>,
    /// How many numbers the server listed that are no UIDs.
    pub unusable: u64,
    /// Whether there was a SEARCH result, even an empty one.
    pub has_found: bool,
    /// The limit that the UIDs found are beyond. Then none of them is kept.
    pub found_over: Option<u64>,
    /// The messages in FETCH responses.
    pub fetched: Vec<Fetched>,
    /// The listed mailboxes, up to the limit.
    pub listed: Vec<Listed>,
    /// How many bytes those have that are kept.
    listed_bytes: usize,
    /// How many were listed beyond the limit.
    pub listed_over: u64,
    /// The counts of mailboxes.
    pub statuses: Vec<(MailboxName, Status)>,
    /// The namespaces.
    pub namespaces: Option<Namespaces>,
    /// The code of the tagged response.
    pub code: Option<Code>,
    /// The server's capabilities after the command.
    pub capabilities: Arc<Capabilities>,
}

impl CommandResponses {
    /// Takes one response. `received_bytes`: how many bytes of the answer have arrived so far.
    ///
    /// # Errors
    ///
    /// [`Error::Limit`] when it is too much. Too many UIDs are read to their end.
    pub(crate) fn take(
        &mut self,
        response: Response,
        received_bytes: u64,
        limits: &ImapLimits,
    ) -> Result<(), Error> {
        match response {
            Response::State(line) => self.take_code(line.code),
            Response::Exists(exists) => self.selected.exists = Some(exists),
            Response::Flags(flags) => self.selected.flags = flags,
            Response::Search(uids, unusable) => {
                self.has_found = true;
                self.unusable = self.unusable.saturating_add(unusable);
                self.find(uids.len() as u64, uids.into_iter(), limits);
            }
            Response::Esearch(set, unusable) => {
                self.has_found = true;
                self.unusable = self.unusable.saturating_add(unusable);
                self.find(set.count(), set.iter(), limits);
            }
            Response::List(listed)
                if self.listed.len() < limits.mailboxes_count_max
                    && self.listed_bytes <= limits.answer_bytes_max / 2 =>
            {
                self.listed_bytes += listed.size_bytes();
                self.listed.push(listed);
            }
            Response::List(_) => self.listed_over += 1,
            Response::Status(name, status) => self.statuses.push((name, status)),
            Response::Namespace(namespaces) => self.namespaces = Some(namespaces),
            Response::Fetch(fetched) => self.fetched.push(fetched),
            Response::Capability(_) | Response::Expunge | Response::Other => {}
        }
        let bytes_max = if self.listed_over > 0 || self.found_over.is_some() {
            // Those beyond the limit are only counted.
            limits.skip_bytes_max
        } else {
            limits.answer_bytes_max as u64 + self.uids.len() as u64 * UID_OCTETS_MAX
        };
        check("bytes of an answer", received_bytes, bytes_max)
    }

    /// Takes UIDs that a search found. If there are too many, all of them are discarded, also those
    /// that follow.
    fn find(&mut self, count: u64, uids: impl Iterator<Item = u64>, limits: &ImapLimits) {
        let max = limits.uids_count_max as u64;
        if (self.uids.len() as u64).saturating_add(count) > max {
            self.found_over = Some(max);
        }
        if self.found_over.is_some() {
            self.uids = vec![];
        } else {
            self.uids.extend(uids);
        }
    }

    /// Takes a response code.
    pub(crate) fn take_code(&mut self, code: Option<Code>) {
        let Some(code) = code else {
            return;
        };
        let mut words = code.arguments.split_ascii_whitespace();
        let argument = words.next().unwrap_or_default().as_bytes();
        let selected = &mut self.selected;
        match code.name.as_str() {
            "UIDVALIDITY" => selected.uid_validity = uid(argument),
            "UIDNEXT" => selected.uid_next = uid(argument),
            "HIGHESTMODSEQ" => selected.highest_mod_seq = number(argument).filter(|n| *n > 0),
            "MAILBOXID" => {
                let written = code.arguments.trim().trim_start_matches('(').trim_end_matches(')');
                selected.mailbox_id = MailboxId::parse(written.trim());
            }
            "READ-ONLY" => selected.read_only = true,
            "READ-WRITE" => selected.read_only = false,
            "PERMANENTFLAGS" => {
                let flags = code.arguments.trim_matches(['(', ')']).split_ascii_whitespace();
                selected.permanent_flags = flags.map(str::to_owned).collect();
            }
            _ => {}
        }
        self.code = Some(code);
    }

    /// UIDVALIDITY and UID of an appended message (RFC 4315 §3).
    pub(crate) fn appended(&self) -> Option<(u64, u64)> {
        let code = self.code.as_ref().filter(|code| code.name == "APPENDUID")?;
        let mut numbers = code.arguments.split_ascii_whitespace().map(|n| uid(n.as_bytes()));
        Some((numbers.next()??, numbers.next()??))
    }

    /// The UIDs found, ascending, each once.
    pub(crate) fn sorted_uids(mut self) -> Vec<u64> {
        if !self.uids.is_sorted() {
            self.uids.sort_unstable();
        }
        self.uids.dedup();
        self.uids
    }

    /// The counts of one mailbox. If the server writes the name in another way, the last counts of
    /// the answer.
    pub(crate) fn status(&self, mailbox: &MailboxName) -> Status {
        let named = self.statuses.iter().find(|(name, _)| name == mailbox);
        named.or(self.statuses.last()).map(|(_, status)| *status).unwrap_or_default()
    }
}

fn check(what: &'static str, count: u64, max: u64) -> Result<(), Error> {
    if count > max {
        return Err(Error::Limit { what, max });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::UidSet;

    #[test]
    fn a_search_result_is_bounded_however_it_is_written() {
        let limits =
            ImapLimits { uids_count_max: 10, answer_bytes_max: 1000, ..ImapLimits::default() };
        let mut answer = CommandResponses::default();
        let mut take = |response, bytes| answer.take(response, bytes, &limits).is_ok();
        assert!(take(Response::Esearch(UidSet::from_range(5..=9), 0), 40));
        assert!(take(Response::Search(vec![9, 1, 2, 1], 0), 60));
        assert!(!take(Response::Other, 1200));
        assert_eq!(answer.sorted_uids(), [1, 2, 5, 6, 7, 8, 9]);
        for endless in [1..=u64::MAX, 1..=11] {
            let limits = ImapLimits { skip_bytes_max: 5000, ..limits.clone() };
            let mut answer = CommandResponses::default();
            let mut take = |response, bytes| answer.take(response, bytes, &limits).is_ok();
            assert!(take(Response::Esearch(UidSet::from_range(endless), 0), 70));
            assert!(take(Response::Search(vec![1, 2], 0), 1200));
            assert!(!take(Response::Other, 5001));
            assert_eq!((answer.found_over, answer.uids.len()), (Some(10), 0));
        }
    }

    #[test]
    fn mailboxes_beyond_the_limit_are_counted_and_not_kept() {
        let limits = ImapLimits { mailboxes_count_max: 2, ..ImapLimits::default() };
        let mut answer = CommandResponses::default();
        for _ in 0..5 {
            answer.take(Response::List(Listed::inbox()), 40, &limits).unwrap();
        }
        assert_eq!((answer.listed.len(), answer.listed_over), (2, 3));
    }

    #[test]
    fn a_list_of_any_length_is_counted_and_what_is_kept_of_it_is_bounded_in_bytes() {
        let size_bytes = Listed::inbox().size_bytes();
        let limits = ImapLimits {
            answer_bytes_max: size_bytes * 20,
            skip_bytes_max: 1 << 30,
            ..ImapLimits::default()
        };
        let mut answer = CommandResponses::default();
        for received in 1..=1000 {
            let received_bytes = received * size_bytes as u64;
            answer.take(Response::List(Listed::inbox()), received_bytes, &limits).unwrap();
        }
        assert_eq!((answer.listed.len(), answer.listed_over), (11, 989));
        // A flood has an end all the same.
        let one_more = answer.take(Response::List(Listed::inbox()), (1 << 30) + 1, &limits);
        assert!(matches!(one_more, Err(Error::Limit { .. })));
    }

    #[test]
    fn codes_tell_of_the_mailbox() {
        let mut answer = CommandResponses::default();
        for (name, arguments) in [
            ("UIDVALIDITY", "7"),
            ("UIDNEXT", "0"),
            ("HIGHESTMODSEQ", "715194045007"),
            ("PERMANENTFLAGS", "(\\Seen \\*)"),
            ("MAILBOXID", "(F2212ea87-6097)"),
            ("READ-ONLY", ""),
            ("APPENDUID", "3 9"),
        ] {
            let code = Code { name: name.to_owned(), arguments: arguments.to_owned() };
            answer.take_code(Some(code));
        }
        assert_eq!(answer.appended(), Some((3, 9)));
        let want = Selected {
            uid_validity: Some(7),
            highest_mod_seq: Some(715_194_045_007),
            mailbox_id: MailboxId::parse("F2212ea87-6097"),
            permanent_flags: vec!["\\Seen".to_owned(), "\\*".to_owned()],
            read_only: true,
            ..Selected::default()
        };
        assert_eq!(answer.selected, want);
    }
}

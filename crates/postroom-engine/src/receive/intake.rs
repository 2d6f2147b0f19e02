//! Intake: sorts fetched bytes into messages, messages that are too large, and messages to fetch
//! again.

use crate::error::Error;
use crate::original::Original;
use crate::receive::collector::Collector;
use crate::receive::decompose::Arrived;
use crate::receive::incomplete;
use crate::receive::news::News;
use crate::source::joining::JoinedMessage;
use crate::source::joining::NoContent;
use crate::source::message::CONTRADICTION;
use crate::source::message::SourceMessage;
use postroom_model::MESSAGE_BYTES_LIMIT;
use postroom_store::MissedMessage;
use postroom_store::SourceKey;

/// A message to ask for in other ways.
#[derive(Debug)]
pub(crate) struct IncompleteMessage {
    /// Its key.
    pub key: SourceKey,
    /// Why, in words for people.
    pub reason: String,
    /// The bytes that arrived, which cannot be the whole message. `None`: no bytes arrived.
    pub came: Option<(SourceMessage, Original)>,
}

/// The sorted result of a fetch.
pub(crate) struct Intake<'a> {
    /// The collector of messages.
    pub collector: Collector<'a>,
    /// What the poll has found in the mailbox.
    pub news: &'a News,
    /// Messages that could not be fetched.
    pub missed: Vec<MissedMessage>,
    /// How many messages are not deleted at the server because they may not be whole.
    pub withheld: u64,
    /// Messages that did not arrive, or whose bytes cannot be the whole message.
    pub incomplete: Vec<IncompleteMessage>,
    /// Messages whose bytes were handed on before the server contradicted them.
    pub doubted: Vec<SourceKey>,
}

impl<'a> Intake<'a> {
    /// Makes an intake that has no messages yet.
    #[must_use]
    pub(crate) fn new(collector: Collector<'a>, news: &'a News) -> Self {
        let (missed, incomplete, doubted) = (vec![], vec![], vec![]);
        Self { collector, news, missed, withheld: 0, incomplete, doubted }
    }

    /// Whether single messages are asked for after the set: those that did not arrive as a whole,
    /// and the headers of those that are too large.
    #[must_use]
    pub(crate) fn asks_singly(&self) -> bool {
        let lacks_header = |missed: &MissedMessage| missed.is_too_big && missed.hash.is_none();
        !self.incomplete.is_empty() || self.missed.iter().any(lacks_header)
    }

    /// How many bytes the message may have. The limit is that of the folder, unless a client asked
    /// for the whole message.
    #[must_use]
    pub(crate) fn bytes_max(&self, key: SourceKey) -> u64 {
        let is_requested = self.news.oversized.get(&key).is_some_and(|one| one.is_requested);
        if is_requested { MESSAGE_BYTES_LIMIT } else { self.collector.message_bytes_max }
    }

    /// Sorts a message of a fetch. If its bytes cannot be the whole message, it becomes one of
    /// `incomplete`. Returns how many bytes came.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be read, or [`Error::Unheard`].
    pub(crate) async fn come(&mut self, joined: JoinedMessage) -> Result<u64, Error> {
        let JoinedMessage { message, content } = joined;
        let key = message.key;
        let original = match content {
            Ok(original) => original,
            // Such a response has facts alone, and the message is asked for again.
            Err(NoContent::Missing) => return Ok(0),
            Err(NoContent::TooBig { size_bytes }) => {
                let bytes_max = self.bytes_max(key);
                self.missed.push(too_big(key, size_bytes, bytes_max));
                return Ok(0);
            }
            Err(NoContent::Unusable(reason)) => {
                let reason = reason.to_owned();
                self.incomplete.push(IncompleteMessage { key, reason, came: None });
                return Ok(0);
            }
        };
        let size_bytes = original.size_bytes();
        match why_incomplete(&message, &original)? {
            None => self.take(message, original, true).await?,
            Some(reason) => {
                let came = Some((message, original));
                self.incomplete.push(IncompleteMessage { key, reason, came });
            }
        }
        Ok(size_bytes)
    }

    /// Takes back a message that the server contradicted in the answer that gave it, and asks for
    /// it in other ways. If its bytes were handed on already, it is only not deleted at the server.
    pub(crate) fn doubt(&mut self, key: SourceKey) {
        let is_known = self.doubted.contains(&key)
            || self.incomplete.iter().any(|incomplete| incomplete.key == key)
            || self.missed.iter().any(|missed| missed.key == key);
        if is_known {
            return;
        }
        if self.collector.take_back(key) {
            let reason = CONTRADICTION.to_owned();
            self.incomplete.push(IncompleteMessage { key, reason, came: None });
        } else {
            self.withheld += u64::from(self.collector.deletes());
            self.doubted.push(key);
        }
    }

    /// Gives a message to the collector, unless it is too large. `is_whole`: nothing shows that
    /// bytes are missing.
    ///
    /// # Errors
    ///
    /// When the spool file cannot be read, or [`Error::Unheard`].
    pub(crate) async fn take(
        &mut self,
        message: SourceMessage,
        original: Original,
        is_whole: bool,
    ) -> Result<(), Error> {
        let key = message.key;
        let bytes_max = self.bytes_max(key);
        if original.size_bytes() > bytes_max {
            self.missed.push(too_big(key, original.size_bytes(), bytes_max));
            return Ok(());
        }
        let may_be_deleted = is_whole
            && incomplete::may_be_deleted(message.size_bytes, &original).map_err(Error::Spool)?;
        self.withheld += u64::from(self.collector.deletes() && !may_be_deleted);
        let arrived = Arrived {
            key,
            known_as: self.news.oversized.get(&key).map(|one| one.message),
            flags: message.flags,
            internal_date_ms: message.internal_date_ms,
            size_bytes: message.size_bytes,
            may_be_deleted,
            original,
        };
        self.collector.add(arrived).await
    }

    /// Makes the incomplete messages pending, so that they are retried later.
    pub(crate) fn give_up_incomplete(&mut self) {
        let missed = |incomplete: IncompleteMessage| {
            MissedMessage::pending(incomplete.key, incomplete.reason)
        };
        self.missed.extend(self.incomplete.drain(..).map(missed));
    }
}

/// Why the bytes cannot be the whole message, in words for people. `None`: they may be.
///
/// # Errors
///
/// When the spool file cannot be read.
pub(crate) fn why_incomplete(
    message: &SourceMessage,
    original: &Original,
) -> Result<Option<String>, Error> {
    if incomplete::notice(original).map_err(Error::Spool)?.is_some() {
        let reason = "the server cannot read the message, and returned a notice instead";
        return Ok(Some(reason.to_owned()));
    }
    if message.is_called_part && message.size_bytes != Some(original.size_bytes()) {
        let reason = "the server calls what it returned a part of the message";
        return Ok(Some(reason.to_owned()));
    }
    Ok(incomplete::too_few(message.size_bytes, original.size_bytes()))
}

/// The record of a message that is too large.
fn too_big(key: SourceKey, size_bytes: u64, bytes_max: u64) -> MissedMessage {
    let limit = match bytes_max {
        MESSAGE_BYTES_LIMIT => {
            format!("the {MESSAGE_BYTES_LIMIT} that any message may have: it stays at the server")
        }
        _ => "`message_bytes_max`: raise that option, or ask for the message by FETCH, to load it"
            .to_owned(),
    };
    let reason = format!("the message has {size_bytes} bytes, more than {limit}");
    let size_bytes = Some(size_bytes);
    MissedMessage { is_too_big: true, size_bytes, ..MissedMessage::pending(key, reason) }
}

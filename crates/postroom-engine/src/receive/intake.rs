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
use crate::source::joining::UnspooledBytes;
use crate::source::message::CONTRADICTION;
use crate::source::message::SourceMessage;
use postroom_model::MESSAGE_BYTES_LIMIT;
use postroom_store::MissedMessage;
use postroom_store::Oversized;
use postroom_store::SourceKey;

/// A message to ask for in other ways.
#[derive(Debug)]
pub(crate) struct IncompleteMessage {
    /// Its key.
    pub key: SourceKey,
    /// Why, in words for people.
    pub reason: String,
    /// The bytes that arrived. `None`: no bytes arrived.
    pub came: Option<(SourceMessage, Original)>,
    /// Whether the bytes that arrived are doubtful. Otherwise they cannot be the whole message.
    pub is_doubtful: bool,
    /// Whether the source refuses it in the usual form.
    pub is_refused: bool,
}

impl IncompleteMessage {
    /// A message of which no bytes arrived.
    #[must_use]
    pub(crate) const fn absent(key: SourceKey, reason: String) -> Self {
        Self { key, reason, came: None, is_doubtful: false, is_refused: false }
    }

    /// A message that the source refuses in the usual form.
    #[must_use]
    pub(crate) fn refused(key: SourceKey, reason: String) -> Self {
        Self { is_refused: true, ..Self::absent(key, reason) }
    }
}

/// What the bytes of an answer may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Wholeness {
    /// Nothing shows that bytes are missing.
    Whole,
    /// They are the whole message if the server gives them a second time: they have no header, or
    /// line ends do not explain why they are fewer than announced.
    Doubtful,
    /// They cannot be the whole message, for this reason in words for people.
    Incomplete(String),
}

/// Why a doubtful message is not recorded yet.
pub(crate) const DOUBTFUL: &str = "the server returned bytes that have no header or are fewer \
    than it announced, and other ones when it was asked again";

/// After so many messages whose doubtful bytes came twice, the server is known to announce wrong
/// sizes, and the others of the turn are not asked for twice.
const AGREED_MIN: u32 = 3;

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
    /// Messages that did not arrive, or whose bytes are doubtful or cannot be the whole message.
    pub incomplete: Vec<IncompleteMessage>,
    /// How many messages had doubtful bytes that came twice.
    pub agreed: u32,
    /// Messages whose bytes were handed on before the server contradicted them.
    pub doubted: Vec<SourceKey>,
}

impl<'a> Intake<'a> {
    /// Makes an intake that has no messages yet.
    #[must_use]
    pub(crate) fn new(collector: Collector<'a>, news: &'a News) -> Self {
        let (missed, incomplete, doubted) = (vec![], vec![], vec![]);
        Self { collector, news, missed, withheld: 0, incomplete, agreed: 0, doubted }
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
        let is_requested = self.news.oversized.get(&key).is_some_and(Oversized::is_requested);
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
                self.incomplete.push(IncompleteMessage::absent(key, reason.to_owned()));
                return Ok(0);
            }
            Err(NoContent::Unspooled(unspooled)) => {
                let size_bytes = unspooled.size_bytes;
                self.hold(key, unspooled);
                return Ok(size_bytes);
            }
        };
        let size_bytes = original.size_bytes();
        let (reason, is_doubtful) = match wholeness(&message, &original)? {
            Wholeness::Whole => {
                self.take(message, original, true).await?;
                return Ok(size_bytes);
            }
            Wholeness::Doubtful => (DOUBTFUL.to_owned(), true),
            Wholeness::Incomplete(reason) => (reason, false),
        };
        let came = Some((message, original));
        self.incomplete.push(IncompleteMessage {
            key,
            reason,
            came,
            is_doubtful,
            is_refused: false,
        });
        Ok(size_bytes)
    }

    /// Holds a message that the spool directory did not take, so that others go on.
    pub(crate) fn hold(&mut self, key: SourceKey, unspooled: UnspooledBytes) {
        let error = Error::Spool(unspooled.error);
        self.collector.pulse().spool_failed(&error);
        self.missed.push(MissedMessage::held(key, error.to_string()));
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
            self.incomplete.push(IncompleteMessage::absent(key, CONTRADICTION.to_owned()));
        } else {
            self.withheld += u64::from(self.collector.deletes());
            self.doubted.push(key);
        }
    }

    /// Whether doubtful bytes are believed, because the server announces wrong sizes.
    #[must_use]
    pub(crate) const fn believes(&self) -> bool {
        self.agreed >= AGREED_MIN
    }

    /// Gives a message to the collector, unless it is too large. `may_be_deleted`: its bytes are
    /// good enough for the message to be deleted at the server.
    ///
    /// # Errors
    ///
    /// [`Error::Unheard`].
    pub(crate) async fn take(
        &mut self,
        message: SourceMessage,
        original: Original,
        may_be_deleted: bool,
    ) -> Result<(), Error> {
        let key = message.key;
        let bytes_max = self.bytes_max(key);
        if original.size_bytes() > bytes_max {
            self.missed.push(too_big(key, original.size_bytes(), bytes_max));
            return Ok(());
        }
        if let Original::Spool { .. } = original {
            self.collector.pulse().spool_works();
        }
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

/// What the bytes may be.
///
/// # Errors
///
/// When the spool file cannot be read.
pub(crate) fn wholeness(message: &SourceMessage, original: &Original) -> Result<Wholeness, Error> {
    let (announced, octets) = (message.size_bytes, original.size_bytes());
    if incomplete::notice(original).map_err(Error::Spool)?.is_some() {
        let reason = "the server cannot read the message, and returned a notice instead";
        return Ok(Wholeness::Incomplete(reason.to_owned()));
    }
    if message.is_called_part && announced != Some(octets) {
        let reason = "the server calls what it returned a part of the message";
        return Ok(Wholeness::Incomplete(reason.to_owned()));
    }
    if let Some(reason) = incomplete::too_few(announced, octets) {
        return Ok(Wholeness::Incomplete(reason));
    }
    let is_whole = incomplete::may_be_deleted(announced, original).map_err(Error::Spool)?;
    Ok(if is_whole { Wholeness::Whole } else { Wholeness::Doubtful })
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

//! What a source gives of messages.

use bytes::Bytes;
use postroom_store::SourceKey;

/// Why bytes are not used that other facts of the same answer contradict.
pub(crate) const CONTRADICTION: &str = "the server contradicts itself in one answer about it";

/// What is asked about messages. `F` is [`crate::source::contract::Source::Form`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchScope<F> {
    /// All of each message.
    Whole,
    /// The same, with this limit of bytes for each message in place of the usual one.
    UpTo(u64),
    /// All of one message, asked for in another way.
    Form(F),
    /// The header.
    Header,
    /// Cheap facts that distinguish one message from another: size, date, a few header fields.
    Witness,
    /// Size and date.
    Sizes,
}

/// What a source said about one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct SourceMessage {
    /// Its key.
    pub key: SourceKey,
    /// Its flags, as IMAP spells them.
    pub flags: Vec<String>,
    /// When the source received it, in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// The announced size. It is only a hint, because servers announce wrong sizes.
    pub size_bytes: Option<u64>,
    /// Its header, or some fields of it.
    pub header: Option<Bytes>,
    /// Its bytes.
    pub body: SourceBody,
    /// Whether the source calls the bytes a part of the message although all of it was asked for.
    pub is_called_part: bool,
}

/// The bytes of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SourceBody {
    /// The source gave no bytes, and no reason.
    #[default]
    Missing,
    /// All of them.
    Bytes(Bytes),
    /// Earlier events had them, in chunks.
    Streamed,
    /// The message is larger than the limit of the fetch. Its bytes were discarded.
    TooBig {
        /// The announced size.
        size_bytes: u64,
    },
    /// They cannot be used, and why.
    Unusable(&'static str),
}

/// One event of a fetch. A small message is one event, `Message`. For a large message, `Begin` and
/// `Chunk`s come before that event.
#[derive(Debug)]
pub(crate) enum MessageEvent {
    /// A large message begins.
    Begin,
    /// Its next bytes.
    Chunk(Bytes),
    /// A message is complete.
    Message(SourceMessage),
}

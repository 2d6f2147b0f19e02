//! What a source gives of messages.

use bytes::Bytes;
use postroom_store::SourceKey;

/// What is asked about messages. `F`: the source's other forms of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FetchScope<F> {
    /// All of each message.
    Whole,
    /// The same, and each may have so many bytes, whatever the usual limit is.
    UpTo(u64),
    /// All of one message, in another form.
    Form(F),
    /// The header.
    Header,
    /// The facts that tell one message from another at little cost: size, date, a few fields.
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
    /// When the source got it, in milliseconds since 1970.
    pub internal_date_ms: Option<i64>,
    /// The announced size: a hint.
    pub size_bytes: Option<u64>,
    /// Its header, or some fields of it.
    pub header: Option<Bytes>,
    /// Its bytes.
    pub body: SourceBody,
}

/// The bytes of a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum SourceBody {
    /// The source did not speak of them.
    #[default]
    Missing,
    /// All of them.
    Bytes(Bytes),
    /// They were given in chunks before.
    Streamed,
    /// They are more than were asked for, and were not kept.
    TooBig {
        /// The announced size.
        size_bytes: u64,
    },
    /// They cannot be used, and why.
    Unusable(&'static str),
}

/// One event of a fetch. A message is one event, unless it is large: then `Begin` and `Chunk`s
/// come before it.
#[derive(Debug)]
pub(crate) enum MessageEvent {
    /// A large message begins.
    Begin,
    /// Its next bytes.
    Chunk(Bytes),
    /// A message is complete.
    Message(SourceMessage),
}

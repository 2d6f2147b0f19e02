//! Items: what a FETCH asks for of each message.

/// As many octets as a message can have in the partial form: 31 bits, which every server reads.
const PARTIAL_OCTETS: u32 = 0x7fff_ffff;

/// What a FETCH asks for. ENVELOPE and BODYSTRUCTURE are never asked for: servers get them wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FetchItems {
    /// All of the message, without setting `\Seen`.
    Message,
    /// As [`Self::Message`], and it may have so many octets, whatever the limit of the connection
    /// is.
    MessageUpTo(u64),
    /// As [`Self::Message`], in the partial form (RFC 3501 §6.4.5), which other code of the server
    /// answers.
    MessagePartial,
    /// As [`Self::Message`], in the oldest form. It sets `\Seen` where the mailbox is not
    /// opened by EXAMINE.
    MessageOld,
    /// The message and nothing beside it, without setting `\Seen`.
    MessageAlone,
    /// As [`Self::MessageAlone`]. It sets `\Seen` where the mailbox is not opened by EXAMINE.
    MessageAloneOld,
    /// The header, beside flags, date and size.
    Header,
    /// What tells one message from another at little cost: size, date, a few header fields.
    Witness,
    /// Size and date.
    Sizes,
    /// UID and flags.
    Flags,
    /// The UID alone.
    Uids,
}

impl FetchItems {
    /// As they stand in the command.
    #[must_use]
    pub fn names(self) -> String {
        const KNOWN: &str = "UID FLAGS INTERNALDATE RFC822.SIZE";
        match self {
            Self::Message | Self::MessageUpTo(_) => format!("({KNOWN} BODY.PEEK[])"),
            Self::MessagePartial => format!("({KNOWN} BODY.PEEK[]<0.{PARTIAL_OCTETS}>)"),
            Self::MessageOld => format!("({KNOWN} RFC822)"),
            Self::MessageAlone => "BODY.PEEK[]".to_owned(),
            Self::MessageAloneOld => "BODY[]".to_owned(),
            Self::Header => format!("({KNOWN} BODY.PEEK[HEADER])"),
            Self::Witness => {
                let fields = "MESSAGE-ID DATE FROM SUBJECT";
                format!("(UID INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS ({fields})])")
            }
            Self::Sizes => "(UID INTERNALDATE RFC822.SIZE)".to_owned(),
            Self::Flags => "(UID FLAGS)".to_owned(),
            Self::Uids => "(UID)".to_owned(),
        }
    }

    /// Whether whole messages may come. A server that answers with the whole message when it is
    /// asked for one field is read, too.
    #[must_use]
    pub fn wants_bodies(self) -> bool {
        match self {
            Self::Message
            | Self::MessageUpTo(_)
            | Self::MessagePartial
            | Self::MessageOld
            | Self::MessageAlone
            | Self::MessageAloneOld
            | Self::Witness => true,
            Self::Header | Self::Sizes | Self::Flags | Self::Uids => false,
        }
    }

    /// How many octets a message may have, where that is not the limit of the connection.
    #[must_use]
    pub fn body_bytes_max(self) -> Option<u64> {
        match self {
            Self::MessageUpTo(bytes_max) => Some(bytes_max),
            Self::Message
            | Self::MessagePartial
            | Self::MessageOld
            | Self::MessageAlone
            | Self::MessageAloneOld
            | Self::Header
            | Self::Witness
            | Self::Sizes
            | Self::Flags
            | Self::Uids => None,
        }
    }
}

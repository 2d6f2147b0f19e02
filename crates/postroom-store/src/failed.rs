//! The named conditions of batches. A refused batch says which one did not hold.
//!
//! A rule is enforced in every batch that could break it. A check before the batch only makes the
//! error text better.

use postroom_model::Invalid;
use std::fmt;

/// The condition that did not hold. Nothing of its batch was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The entity still has the version that was read.
    Stale,
    /// The message is not being sent at this moment.
    Sending,
    /// The message is still to be sent.
    NotSending,
    /// The account of the message may send: it is enabled, and has a server.
    MayNotSend,
    /// The message does not wait for a server-side action.
    Acting,
    /// Nothing of that id or name is there.
    Exists {
        /// What is there.
        what: String,
    },
    /// A client may make of the entity what it wants to.
    Invalid {
        /// What it may not, each with its property.
        problems: Vec<Invalid>,
    },
    /// The files may be changed.
    ReadOnly {
        /// Why they may not.
        reason: &'static str,
    },
    /// The folder of a message is of the account of the message.
    OtherAccount,
    /// What a property refers to is there.
    Reference {
        /// The property.
        property: String,
    },
    /// Nothing refers to what is deleted.
    InUse {
        /// What refers to it.
        by: String,
    },
    /// References lead to what is there, whatever else a batch looked at.
    Referred,
    /// An account has one folder for each mailbox, or its mail would arrive twice.
    OneFolder,
    /// The account has the folders that were read, and no others.
    OtherFolders,
    /// A login at a server has one account, unless the client asks for two.
    SameLogin,
    /// Nothing was created before under the key of the client.
    KeyUsed,
    /// The account is there.
    NoAccount,
    /// The folder is there.
    NoFolder,
    /// The epoch of the mailbox is the present one.
    EpochOver,
    /// The job is there, and open.
    NoJob,
    /// The UID of the mailbox has no message yet.
    Recorded,
    /// The receipt of a former epoch is still there.
    Relinked,
    /// The content that was written ahead is still there, and belongs to nothing yet.
    Finished,
    /// The message is not in the queue already.
    Queued,
    /// The delivery is in the queue, in a phase that allows the step.
    NotQueued,
    /// The file is still the one that the client saw.
    OtherFile,
    /// The file is no part of the original.
    PartOfOriginal {
        /// The name of the file.
        name: String,
    },
    /// The entity stays the same for the moment that a change takes.
    Crowded,
    /// The classes are those that the batch was built with.
    OtherClasses,
    /// The client knows how much a change of a class takes away.
    Unconfirmed {
        /// How much.
        count: u64,
        /// What, in words.
        what: &'static str,
    },
    /// The entity has the work claim whose token was shown.
    ClaimLost,
    /// This process still leads its group. If it does not, another process has taken over.
    Deposed,
}

impl Failed {
    /// The condition that a constraint of the schema stands for, by the name of the constraint:
    /// that of its index. A key is named by its table and columns in SQLite, and by its table and
    /// `_pkey` in PostgreSQL.
    #[must_use]
    pub(crate) fn of_constraint(name: &str) -> Self {
        match name {
            "email/Folders one each" => Self::OneFolder,
            "receipt(folder, epoch, key)" | "receipt_pkey" => Self::Recorded,
            "once(domain, class, key)" | "once_pkey" => Self::KeyUsed,
            "delivery(message)" | "delivery_pkey" => Self::Queued,
            "file(entity, property, name)" | "file_pkey" => exists("a file of this name"),
            _ if name.ends_with("(id)") || name.ends_with("_pkey") => {
                exists("an entity of this id")
            }
            _ => exists("the same"),
        }
    }
}

fn exists(what: &str) -> Failed {
    Failed::Exists { what: what.to_owned() }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "the entity was changed or deleted at the same moment",
            Self::Sending => "the message is being sent just now",
            Self::Acting => "the message waits until something is done with it at its server",
            Self::NotSending => "the message is no longer to be sent",
            Self::MayNotSend => "the account of the message may not send any more",
            Self::Exists { what } => return write!(f, "{what} exists already"),
            Self::Reference { property } => {
                return write!(f, "{property} refers to an entity that does not exist");
            }
            Self::InUse { by } => return write!(f, "still used by {by}"),
            Self::Invalid { problems } => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                return f.write_str(&problems.join("; "));
            }
            Self::ReadOnly { reason } => reason,
            Self::OtherAccount => "folder_id is a folder of another account",
            Self::Referred => {
                "another entity refers to it, or it refers to one that does not exist"
            }
            Self::OneFolder => "the account has a folder for this mailbox already",
            Self::OtherFolders => "the account got another folder at the same moment",
            Self::SameLogin => "another account has this login at this server",
            Self::KeyUsed => "something was created under this key before",
            Self::NoAccount => "the account was deleted at the same moment",
            Self::NoFolder => "the folder was deleted at the same moment",
            Self::EpochOver => "another epoch of the mailbox has begun",
            Self::NoJob => "the job has ended, or was taken away",
            Self::Recorded => "the UID is recorded already",
            Self::Relinked => "the message of a former epoch was linked at the same moment",
            Self::Finished => "the content that was written ahead is finished, or gone",
            Self::Queued => "the message is in the queue already",
            Self::NotQueued => {
                "the delivery of the message is not in the queue, or not at this step: its message \
                 was withdrawn or changed at the same moment"
            }
            Self::OtherFile => "the file was changed meanwhile: read it again",
            Self::PartOfOriginal { name } => {
                return write!(f, "`{name}` is part of the original message");
            }
            Self::OtherClasses => {
                "the classes were changed at the same moment, and nothing was done; try again"
            }
            Self::Unconfirmed { count, what } => {
                return write!(
                    f,
                    "{count} {what} would be lost, and nothing was done. If that is meant, send \
                     the request again with ?confirm={count}"
                );
            }
            Self::ClaimLost => {
                "the claim of this token has ended: the entity was given back, or its lease \
                 expired and another worker has claimed it. Nothing was changed"
            }
            Self::Deposed => "another process has taken over; this one writes no more",
            Self::Crowded => "the entity is changed by many at once; try again",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_is_told_by_its_name() {
        #[rustfmt::skip]
        let table = [
            ("email/Folders one each",           Failed::OneFolder),
            ("receipt(folder, epoch, key)", Failed::Recorded),
            ("receipt_pkey",                     Failed::Recorded),
            ("once(domain, class, key)",         Failed::KeyUsed),
            ("file(entity, property, name)",     exists("a file of this name")),
            ("email/Messages(id)",               exists("an entity of this id")),
            ("email/Messages_pkey",              exists("an entity of this id")),
        ];
        for (name, want) in table {
            assert_eq!(Failed::of_constraint(name), want, "{name}");
        }
    }
}

//! The named conditions of batches. A refused batch names the one that did not hold.
//!
//! A rule is enforced in every batch that could break it. A check before the batch only makes the
//! error text better.

use crate::domain_limit::DomainLimit;
use postroom_model::EntityId;
use postroom_model::Invalid;
use std::fmt;

/// Why a batch was refused. Nothing of it was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failed {
    /// The entity does not have the version that was read: it was changed or deleted since.
    Stale,
    /// The message is being sent, or its outcome is unknown.
    Sending,
    /// The message is no longer to be sent.
    NotSending,
    /// The account of the message is gone, disabled or without a server, or sending is suspended.
    MayNotSend,
    /// The message waits for a server-side action.
    Acting,
    /// An entity or a file of that id or name exists already.
    Exists {
        /// What exists.
        what: String,
    },
    /// The client may not make such an entity.
    Invalid {
        /// The problems, each with its property.
        problems: Vec<Invalid>,
    },
    /// The files may not be changed.
    ReadOnly {
        /// Why, in words.
        reason: &'static str,
    },
    /// The folder of the message belongs to another account than the message.
    OtherAccount,
    /// A property refers to an entity that does not exist.
    Reference {
        /// The property.
        property: String,
    },
    /// An entity refers to the one that is to be deleted.
    InUse {
        /// What refers to it.
        by: String,
    },
    /// A reference that the database itself checks would lead to nothing.
    Referred,
    /// The account would have two folders for one mailbox, so its mail would arrive twice.
    OneFolder,
    /// The account has other folders than those that were read.
    OtherFolders,
    /// Two accounts would have the same login at the same server, and the client did not ask for
    /// that.
    SameLogin,
    /// Something was created before under the key of the client.
    KeyUsed,
    /// A message had the id that the client gave this one, and was deleted since.
    IdUsed {
        /// The id.
        id: EntityId,
    },
    /// The account does not exist.
    NoAccount,
    /// The folder does not exist.
    NoFolder,
    /// Another consent of the account was begun, or this one has ended.
    NoConsent,
    /// A later epoch of the mailbox has begun.
    EpochOver,
    /// The job does not exist, has ended, or no longer has the entity.
    NoJob,
    /// The UID of the mailbox has a message already.
    Recorded,
    /// The receipt of a former epoch is gone, because its message was linked meanwhile.
    Relinked,
    /// The content that was written ahead is gone, or something refers to it already.
    Finished,
    /// The message is in the queue already.
    Queued,
    /// The delivery is not in the queue, or in a phase that does not allow the step.
    NotQueued,
    /// The file is another one than the client saw.
    OtherFile,
    /// The file is a part of the original, so it cannot be changed.
    PartOfOriginal {
        /// The name of the file.
        name: String,
    },
    /// Others change the entity again and again, or a batch has too many changes.
    Crowded,
    /// The classes changed since the batch was built.
    OtherClasses,
    /// A class of this name or id was deleted, and its entities are still being deleted.
    BeingDeleted {
        /// The name of the class that is to be made.
        class: String,
    },
    /// A change of a class would delete values or entities, and the client did not confirm how
    /// many.
    Unconfirmed {
        /// How many.
        count: u64,
        /// What, in words.
        what: &'static str,
    },
    /// The entity no longer has the work claim with the token that the client sent.
    ClaimLost,
    /// The rights of the client do not reach the entity, as it is or as it would become.
    OutOfReach,
    /// This process no longer leads its group, because another process has taken over.
    Deposed,
    /// The domain is being erased, or was erased.
    DomainErased,
    /// The domain would have more than it may have.
    Limit {
        /// Of what.
        limit: DomainLimit,
        /// How much it may have. `None`: it is not known.
        max: Option<i64>,
    },
    /// The key that a secret was sealed with is gone, or another process has made the root key.
    OtherKey,
}

impl Failed {
    /// What it means that a constraint of the schema was violated. `name` is the name of its index.
    /// A primary key is named by its table and columns in SQLite, and by its table and `_pkey` in
    /// PostgreSQL.
    #[must_use]
    pub(crate) fn of_constraint(name: &str) -> Self {
        match name {
            "email/Folders one each" => Self::OneFolder,
            "iam/Tokens(domain, name)" | "iam/Tokens one each" => exists("a token of this name"),
            "iam/Users(domain, login)" | "iam/Users one each" => exists("a user of this login"),
            "iam/Domains(domain, name)" | "iam/Domains one each" => exists("a domain of this name"),
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

// The longer texts of the conditions.
const REFERRED: &str = "another entity refers to it, or it refers to one that does not exist";
const NOT_QUEUED: &str = "the delivery of the message is not in the queue, or not at this step: \
                          its message was withdrawn or changed at the same moment";
const OTHER_CLASSES: &str =
    "the classes were changed at the same moment, and nothing was done; try again";
const CLAIM_LOST: &str = "the claim of this token has ended: the entity was given back, or its \
                          lease expired and another worker has claimed it. Nothing was changed";
const OUT_OF_REACH: &str =
    "the rights of this token do not reach the entity, as it is or as it would become";
const OTHER_KEY: &str =
    "a key was erased or replaced at the same moment, and nothing was done; try again";

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
            Self::Referred => REFERRED,
            Self::OneFolder => "the account has a folder for this mailbox already",
            Self::OtherFolders => "the account got another folder at the same moment",
            Self::SameLogin => "another account has this login at this server",
            Self::KeyUsed => "something was created under this key before",
            Self::IdUsed { id } => {
                return write!(
                    f,
                    "the message {id} was deleted since it was created; this request creates and \
                     sends nothing. Use another id for another message"
                );
            }
            Self::NoAccount => "the account was deleted at the same moment",
            Self::NoConsent => "another consent was begun, or this one has ended",
            Self::NoFolder => "the folder was deleted at the same moment",
            Self::EpochOver => "another epoch of the mailbox has begun",
            Self::NoJob => "the job has ended, or was taken away",
            Self::Recorded => "the UID is recorded already",
            Self::Relinked => "the message of a former epoch was linked at the same moment",
            Self::Finished => "the content that was written ahead is finished, or gone",
            Self::Queued => "the message is in the queue already",
            Self::NotQueued => NOT_QUEUED,
            Self::OtherFile => "the file was changed meanwhile: read it again",
            Self::PartOfOriginal { name } => {
                return write!(f, "`{name}` is part of the original message");
            }
            Self::OtherClasses => OTHER_CLASSES,
            Self::BeingDeleted { class } => {
                return write!(
                    f,
                    "a class of the name or the id of {class} is still being deleted with its \
                     entities: try again when SYNC of the classes is answered, or use another name \
                     and id"
                );
            }
            Self::Unconfirmed { count, what } => {
                return write!(
                    f,
                    "{count} {what} would be lost, and nothing was done. If that is meant, send \
                     the request again with ?confirm={count}"
                );
            }
            Self::ClaimLost => CLAIM_LOST,
            Self::OutOfReach => OUT_OF_REACH,
            Self::Deposed => "another process has taken over; this one writes no more",
            Self::DomainErased => "the domain is being deleted with all that it has",
            Self::Limit { limit, max } => return limited(f, *limit, *max),
            Self::OtherKey => OTHER_KEY,
            Self::Crowded => "the entity is changed by many at once; try again",
        })
    }
}

/// Tells which limit it is.
fn limited(f: &mut fmt::Formatter<'_>, limit: DomainLimit, max: Option<i64>) -> fmt::Result {
    let (what, property) = (limit.what(), limit.property());
    let max = max.map_or_else(|| "only so many".to_owned(), |max| max.to_string());
    write!(
        f,
        "the domain may have {max} {what}, and would have more: delete some, or let who \
         administers the domains raise `{property}`"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_constraint_is_told_by_its_name() {
        #[rustfmt::skip]
        let table = [
            ("email/Folders one each",           Failed::OneFolder),
            ("iam/Tokens(domain, name)",         exists("a token of this name")),
            ("iam/Tokens one each",              exists("a token of this name")),
            ("iam/Domains one each",             exists("a domain of this name")),
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

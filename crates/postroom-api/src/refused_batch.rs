//! What clients are told of a condition of a batch that does not hold.

use crate::problem::Problem;
use axum::http::StatusCode;
use postroom_model::Invalid;
use postroom_store::Failed;

impl From<Failed> for Problem {
    fn from(failed: Failed) -> Self {
        let text = failed.to_string();
        match failed {
            Failed::Exists { .. } | Failed::OneFolder | Failed::KeyUsed => {
                Self::conflict("exists", text)
            }
            Failed::Invalid { problems } => problems.into(),
            Failed::ReadOnly { .. } => Self::conflict("read-only", text),
            Failed::OtherAccount => {
                Invalid::new("folder_id", "is a folder of another account").into()
            }
            Failed::InUse { .. } | Failed::Referred | Failed::DomainErased => {
                Self::conflict("in-use", text)
            }
            Failed::Reference { property } => {
                let reason = "refers to an entity that does not exist, or that this token may not \
                              read";
                Invalid::new(property, reason).into()
            }
            Failed::IdUsed { .. } => Self::new(StatusCode::GONE, "gone", text),
            Failed::OutOfReach => Self::new(StatusCode::FORBIDDEN, "forbidden", text),
            Failed::OtherFile => Self::new(StatusCode::PRECONDITION_FAILED, "stale", text),
            Failed::ClaimLost => Self::new(StatusCode::PRECONDITION_FAILED, "claim-lost", text),
            Failed::SameLogin => Self::conflict("same-login", text),
            Failed::Limit { .. } => Self::conflict("limit", text),
            Failed::Deposed | Failed::OtherKey => {
                Self::later(StatusCode::SERVICE_UNAVAILABLE, &text, text.as_str())
            }
            Failed::OtherClasses => Self::of_other_classes(&text),
            Failed::Unconfirmed { .. } => Self::conflict("unconfirmed", text),
            Failed::Stale
            | Failed::Sending
            | Failed::NotSending
            | Failed::MayNotSend
            | Failed::Acting
            | Failed::OtherFolders
            | Failed::NoAccount
            | Failed::NoConsent
            | Failed::NoFolder
            | Failed::EpochOver
            | Failed::NoJob
            | Failed::Recorded
            | Failed::Relinked
            | Failed::Finished
            | Failed::Queued
            | Failed::NotQueued
            | Failed::PartOfOriginal { .. }
            | Failed::BeingDeleted { .. }
            | Failed::Crowded => Self::conflict("busy", text),
        }
    }
}

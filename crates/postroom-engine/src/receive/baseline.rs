//! Baseline: the key up to which a mailbox is not loaded, when an epoch of it begins.
//!
//! Without `load_existing`, messages that were there when the folder was enabled are not loaded.
//! In another epoch, all messages that arrived since the folder was last proven
//! complete are loaded, whatever their keys are now.

use crate::account::Folder;
use crate::error::Error;
use crate::source::contract::ListRange;
use crate::source::contract::Source;
use postroom_model::options;
use postroom_store::Origin;
use postroom_store::SourceKey;

/// The key up to which the mailbox is not loaded; 0 when all of it is.
///
/// # Errors
///
/// What ended the connection, or a refusal.
pub(crate) async fn baseline<S: Source>(
    folder: &Folder,
    origin: &Origin,
    listed: &[SourceKey],
    source: &mut S,
) -> Result<u64, Error> {
    if folder.options.flag(&options::LOAD_EXISTING) {
        return Ok(0);
    }
    let last = listed.last().map_or(0, |last| last.uid());
    match origin.last_proof_ms {
        _ if origin.epoch.is_none() => Ok(last),
        // Nothing shows which messages were there when the folder was enabled.
        None => Ok(0),
        Some(proven_ms) => {
            let came = source.list(ListRange::Since(proven_ms)).await?;
            Ok(came.keys.first().map_or(last, |first| first.uid().saturating_sub(1)))
        }
    }
}

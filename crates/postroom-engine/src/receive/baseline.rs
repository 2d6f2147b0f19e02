//! Baseline: the UID up to which a mailbox is not loaded, when an epoch of it begins.
//!
//! Without `load_existing`, messages that were there when the folder was enabled are not loaded.
//! After a change of UIDVALIDITY, all messages that arrived since the folder was last proven
//! complete are loaded, whatever their UIDs are now.

use crate::account::Folder;
use crate::error::Error;
use postroom_imap::ImapConnection;
use postroom_model::Timestamp;
use postroom_model::options;
use postroom_store::Origin;

/// The margin is needed because INTERNALDATE is compared by day, in the time zone of the server
/// (RFC 3501 §6.4.4).
const MARGIN_MS: i64 = 2 * 86_400_000;

/// The UID up to which the mailbox is not loaded; 0 when all of it is.
///
/// # Errors
///
/// What ended the connection, or the server's refusal.
pub(crate) async fn baseline(
    folder: &Folder,
    origin: &Origin,
    listed: &[u64],
    connection: &mut ImapConnection,
) -> Result<u64, Error> {
    if folder.options.flag(&options::LOAD_EXISTING) {
        return Ok(0);
    }
    let last = listed.last().copied().unwrap_or(0);
    match origin.last_proof_ms {
        _ if origin.epoch.is_none() => Ok(last),
        // Nothing shows which messages were there when the folder was enabled.
        None => Ok(0),
        Some(proven_ms) => {
            let since = search_date(proven_ms - MARGIN_MS);
            let came = connection.uid_search(&format!("SINCE {since}")).await?;
            Ok(came.first().map_or(last, |first| first.saturating_sub(1)))
        }
    }
}

/// A date as SEARCH takes it: `25-Nov-2026`.
fn search_date(ms: i64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    // `2026-11-25T..`
    let text = Timestamp::from_ms(ms).to_string();
    let mut numbers = text.get(..10).unwrap_or_default().split('-');
    let mut number = || numbers.next().unwrap_or_default();
    let (year, month, day) = (number(), number(), number());
    let month = month.parse::<usize>().ok().and_then(|month| MONTHS.get(month.checked_sub(1)?));
    format!("{day}-{}-{year}", month.unwrap_or(&"Jan"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_standard() {
        assert_eq!(search_date(0), "01-Jan-1970");
        assert_eq!(search_date(1_795_000_000_000), "18-Nov-2026");
    }
}

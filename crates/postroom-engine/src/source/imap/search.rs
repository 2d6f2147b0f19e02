//! Lists UIDs by SEARCH. If the result does not agree with the server's count or UIDNEXT, FETCH
//! lists UIDs too.
//!
//! QUIRK: a UID SEARCH that answers sequence numbers. They are as many as the messages. Messages
//! whose UIDs are among them would be found, and the others would wait for ever.

use crate::error::Error;
use crate::source::imap::uids::keys_of;
use crate::source::imap::uids::set_of;
use crate::source::listing::MailboxListing;
use postroom_imap::FetchEvent;
use postroom_imap::FetchItems;
use postroom_imap::ImapConnection;
use postroom_model::Timestamp;
use postroom_store::SourceKey;

/// What the server said of a mailbox when it was opened. `None`: it did not say it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ToldMailbox {
    /// How many messages it has.
    pub exists: Option<u32>,
    /// UIDNEXT: a number above all UIDs so far.
    pub uid_next: Option<u64>,
}

/// Lists the messages of the selected mailbox. `told` is what the server said when it was opened.
/// `distrusts`: whether FETCH did not give a message that SEARCH listed. Then FETCH lists them too,
/// until both agree.
///
/// # Errors
///
/// When the connection ended, or when SEARCH is refused and FETCH lists nothing either.
pub(crate) async fn list(
    connection: &mut ImapConnection,
    told: ToldMailbox,
    distrusts: &mut bool,
) -> Result<MailboxListing, Error> {
    let mut listing =
        MailboxListing { counted: told.exists.map(u64::from), ..MailboxListing::default() };
    if listing.counted == Some(0) {
        return Ok(listing);
    }
    let refused = match connection.search("ALL").await {
        Ok(found) => {
            listing.counted = found.exists.map(u64::from).or(listing.counted);
            (listing.keys, listing.unusable) = (keys_of(found.uids), found.unusable);
            None
        }
        Err(error) if error.leaves_connection_open() => Some(error),
        Err(error) => return Err(error.into()),
    };
    if lists_numbers(connection, &listing, told.uid_next).await? {
        tracing::warn!("the server answers UID SEARCH with sequence numbers, so FETCH lists UIDs");
        listing.keys.clear();
    }
    let denied = denied_by(&listing, told);
    if refused.is_some() || !listing.is_whole() || *distrusts || denied.is_some() {
        let found = listing.keys.clone();
        let doubts = *distrusts || denied.is_some();
        match fetched(connection, &mut listing, doubts).await {
            Err(error) if !error.leaves_connection_open() => return Err(error.into()),
            Ok(given) => {
                *distrusts &= found != listing.keys;
                let is_denied = |key: &SourceKey| denied.is_some_and(|from| key.uid() >= from);
                let is_given = |key: &SourceKey| given.binary_search(key).is_ok();
                let mut keys = listing.keys.iter();
                listing.is_contradicted = keys.any(|key| is_denied(key) && !is_given(key));
            }
            Err(_) => listing.is_contradicted = doubts,
        }
    }
    match refused {
        Some(error) if listing.keys.is_empty() => Err(error.into()),
        _ if listing.keys.is_empty() && listing.counted != Some(0) && listing.unusable == 0 => {
            Err(Error::Unlisted { count: told.exists })
        }
        _ => Ok(listing),
    }
}

/// UIDNEXT, if the list contradicts it: no message can have a key that is not below it. Mail that
/// came since the mailbox was opened has such keys, if the server counts it.
fn denied_by(listing: &MailboxListing, told: ToldMailbox) -> Option<u64> {
    let uid_next = told.uid_next?;
    let below = listing.keys.partition_point(|key| key.uid() < uid_next);
    let others = (listing.keys.len() - below) as u64;
    let (before, now) = (told.exists.map_or(u64::MAX, u64::from), listing.counted.unwrap_or(0));
    (others > now.saturating_sub(before)).then_some(uid_next)
}

/// Whether a listing has the sequence numbers of the messages and not their UIDs. If the last one
/// has its number as UID, so have all others.
async fn lists_numbers(
    connection: &mut ImapConnection,
    listing: &MailboxListing,
    uid_next: Option<u64>,
) -> Result<bool, Error> {
    let count = listing.keys.len() as u64;
    let are_numbers = listing.is_whole() && listing.keys.last() == Some(&SourceKey::of_uid(count));
    let number = u32::try_from(count).ok().filter(|_| are_numbers && uid_next != Some(count + 1));
    let Some(number) = number.filter(|number| *number > 0) else {
        return Ok(false);
    };
    let mut is_other = false;
    let mut fetch = connection.fetch(number, count, FetchItems::Uids).await.map_err(Error::from)?;
    loop {
        match fetch.next().await {
            Ok(Some(FetchEvent::Message(message))) => {
                is_other |= message.uid.is_some_and(|uid| uid > count);
            }
            Ok(Some(_)) => {}
            Ok(None) => return Ok(is_other),
            Err(error) if error.leaves_connection_open() => return Ok(is_other),
            Err(error) => return Err(error.into()),
        }
    }
}

/// The maximum number of UIDs, whatever the server counts.
const UIDS_COUNT_MAX: u64 = 10_000_000;
/// The word for them in the error text of the limit.
const UIDS: &str = "UIDs";
/// How many more UIDs than the server's count are accepted, because some servers count too few.
const UIDS_BEYOND_COUNT_MAX: u64 = 100_000;
/// If SEARCH gives so many UIDs more than the server counts, and FETCH gives just as many as it
/// counts, SEARCH gives UIDs that are not there.
const UIDS_FEIGNED_MIN: u64 = 1000;

/// Adds the UIDs that FETCH gives. The result has these, ascending. If there are far more than the
/// server's count, none of them is added. The fetch is then dropped, which ends the connection if
/// more UIDs follow.
///
/// QUIRK: a SEARCH that answers `1:100000` for five messages. If each of these UIDs counted as a
/// message, each would be pending.
async fn fetched(
    connection: &mut ImapConnection,
    listing: &mut MailboxListing,
    distrusts: bool,
) -> Result<Vec<SourceKey>, postroom_imap::Error> {
    let max = uids_max(listing);
    let mut more: Vec<SourceKey> = vec![];
    let mut fetch = connection.uid_fetch_all(FetchItems::Uids).await?;
    while let Some(event) = fetch.next().await? {
        if let FetchEvent::Message(message) = event {
            more.extend(message.uid.map(SourceKey::of_uid));
        }
        if more.len() as u64 > max {
            return Err(postroom_imap::Error::Limit { what: UIDS, max });
        }
    }
    more.sort_unstable();
    more.dedup();
    if (distrusts || is_feigned(listing)) && listing.counted == Some(more.len() as u64) {
        listing.keys.clear();
    }
    listing.keys.extend(&more);
    listing.keys.sort_unstable();
    listing.keys.dedup();
    Ok(more)
}

/// Whether SEARCH gives far more UIDs than the mailbox has messages.
fn is_feigned(listing: &MailboxListing) -> bool {
    let listed = listing.keys.len() as u64;
    listing.counted.is_some_and(|count| listed >= count.saturating_add(UIDS_FEIGNED_MIN))
}

/// How many UIDs FETCH may give, from what was counted or listed before.
fn uids_max(listing: &MailboxListing) -> u64 {
    let known = listing.counted.unwrap_or(0).max(listing.keys.len() as u64);
    known.saturating_add(UIDS_BEYOND_COUNT_MAX).min(UIDS_COUNT_MAX)
}

/// How much earlier than asked for a search begins, because the server compares INTERNALDATE by
/// day, in its own time zone (RFC 3501 §6.4.4).
const MARGIN_MS: i64 = 2 * 86_400_000;

/// Lists the messages that match. The result has no count of the server.
///
/// # Errors
///
/// What ended the connection, or the server's refusal.
pub(crate) async fn matching(
    connection: &mut ImapConnection,
    criteria: &str,
) -> Result<MailboxListing, Error> {
    let keys = keys_of(connection.uid_search(criteria).await?);
    Ok(MailboxListing { keys, ..MailboxListing::default() })
}

/// Which of these messages, ascending, exist. If the server names others, its answer says nothing,
/// so all of them count.
///
/// # Errors
///
/// As [`matching`].
pub(crate) async fn among(
    connection: &mut ImapConnection,
    keys: &[SourceKey],
) -> Result<MailboxListing, Error> {
    let listing = matching(connection, &format!("UID {}", set_of(keys))).await?;
    if listing.keys.iter().all(|key| keys.binary_search(key).is_ok()) {
        return Ok(listing);
    }
    Ok(MailboxListing { keys: keys.to_vec(), ..listing })
}

/// The search key for messages that came since this time.
#[must_use]
pub(crate) fn since(ms: i64) -> String {
    format!("SINCE {}", search_date(ms - MARGIN_MS))
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
    use postroom_imap::ImapOptions;
    use tokio::io::AsyncBufReadExt;
    use tokio::io::AsyncWriteExt;
    use tokio::io::BufReader;

    /// How many UIDs the server would send.
    const FLOOD: u64 = 500_000;

    #[tokio::test]
    async fn a_flood_of_uids_is_ended_and_none_of_it_is_kept() {
        let (stream, server) = tokio::io::duplex(1 << 16);
        let flood = tokio::spawn(async move {
            let mut server = BufReader::new(server);
            let mut line = String::new();
            let greeting = b"* PREAUTH [CAPABILITY IMAP4rev1] hello\r\n";
            server.get_mut().write_all(greeting).await.unwrap();
            server.read_line(&mut line).await.unwrap();
            for uid in 1..=FLOOD {
                let response = format!("* {uid} FETCH (UID {uid})\r\n");
                if server.get_mut().write_all(response.as_bytes()).await.is_err() {
                    return uid;
                }
            }
            FLOOD
        });
        let mut connection = ImapConnection::over(stream, &ImapOptions::default()).await.unwrap();
        let mut listing =
            MailboxListing { keys: keys_of([7]), counted: Some(2), ..MailboxListing::default() };
        let result = fetched(&mut connection, &mut listing, false).await;
        assert!(
            matches!(result, Err(postroom_imap::Error::Limit { what: UIDS, max: 100_002 })),
            "{result:?}"
        );
        assert_eq!(listing.keys, keys_of([7]));
        let sent = flood.await.unwrap();
        assert!(sent < FLOOD, "the connection ends, after {sent} UIDs");
    }

    /// A mailbox of three messages that is open, in which SEARCH answers so.
    async fn opened(capabilities: &str, found: &str) -> (ImapConnection, ToldMailbox) {
        let (stream, server) = tokio::io::duplex(1 << 16);
        let greeting = format!("* PREAUTH [CAPABILITY IMAP4rev1 {capabilities}] hello\r\n");
        let (found, refuses) = (found.to_owned(), capabilities == "REFUSING");
        tokio::spawn(async move {
            let mut server = BufReader::new(server);
            server.get_mut().write_all(greeting.as_bytes()).await.unwrap();
            let mut line = String::new();
            while server.read_line(&mut line).await.unwrap_or(0) > 0 {
                let (tag, command) = line.split_once(' ').unwrap();
                let said = match command {
                    command if command.starts_with("EXAMINE") => "* 3 EXISTS\r\n",
                    command if command.starts_with("UID SEARCH") => &found,
                    command if command.contains("FETCH") && refuses => {
                        let said = format!("{tag} NO not now\r\n");
                        server.get_mut().write_all(said.as_bytes()).await.unwrap();
                        line.clear();
                        continue;
                    }
                    command if command.starts_with("FETCH 3 ") => "* 3 FETCH (UID 6)\r\n",
                    _ => "* 1 FETCH (UID 2)\r\n* 2 FETCH (UID 5)\r\n* 3 FETCH (UID 6)\r\n",
                };
                let said = format!("{said}{tag} OK done\r\n");
                if server.get_mut().write_all(said.as_bytes()).await.is_err() {
                    return;
                }
                line.clear();
            }
        });
        let mut connection = ImapConnection::over(stream, &ImapOptions::default()).await.unwrap();
        let inbox = postroom_imap::MailboxName::inbox();
        let selected = connection.select(&inbox, postroom_imap::Mode::Examine).await.unwrap();
        let told = ToldMailbox { exists: selected.exists, uid_next: selected.uid_next };
        (connection, told)
    }

    /// The keys of such a mailbox.
    async fn listed(capabilities: &str, found: &str) -> Vec<SourceKey> {
        let (mut connection, told) = opened(capabilities, found).await;
        list(&mut connection, told, &mut false).await.unwrap().keys
    }

    #[tokio::test]
    async fn a_search_among_messages_that_names_others_says_nothing() {
        for (found, want) in
            [("5", vec![5]), ("", vec![]), ("2 3", vec![5, 6]), ("5 3", vec![5, 6])]
        {
            let (mut connection, _) = opened("", &format!("* SEARCH {found}\r\n")).await;
            let keys = keys_of([5, 6]);
            let listing = among(&mut connection, &keys).await.unwrap();
            assert_eq!(listing.keys, keys_of(want), "{found}");
        }
    }

    #[tokio::test]
    async fn where_a_search_finds_more_than_there_can_be_fetch_lists_the_mailbox() {
        for range in ["1:4294967295", "4294967295:1", "1:99999999999,1:*", "1:50000"] {
            let found = format!("* ESEARCH UID ALL {range}\r\n");
            assert_eq!(listed("ESEARCH", &found).await, keys_of([2, 5, 6]), "{range}");
        }
        for count in [5000_u64, 300_000] {
            let found: String = (1..=count).map(|uid| format!(" {uid}")).collect();
            let found = format!("* SEARCH{found}\r\n");
            assert_eq!(listed("", &found).await, keys_of([2, 5, 6]), "{count}");
        }
        // Sequence numbers.
        assert_eq!(listed("", "* SEARCH 1 2 3\r\n").await, keys_of([2, 5, 6]));
        // A few more may be messages that the server does not count.
        assert_eq!(listed("", "* SEARCH 2 5 6 9\r\n").await, keys_of([2, 5, 6, 9]));
    }

    #[tokio::test]
    async fn a_search_that_contradicts_uidnext_is_believed_only_where_fetch_agrees() {
        // FETCH lists the UIDs 2, 5 and 6.
        for (found, uid_next) in [("2 5 9", 9), ("2 5 6 9", 9), ("2 5 6", 6), ("2 5", 7)] {
            let (mut connection, told) = opened("", &format!("* SEARCH {found}\r\n")).await;
            let told = ToldMailbox { uid_next: Some(uid_next), ..told };
            let listing = list(&mut connection, told, &mut false).await.unwrap();
            assert_eq!((&listing.keys, listing.is_whole()), (&keys_of([2, 5, 6]), true), "{found}");
        }
        // Both list what cannot be there, and one more than the other.
        let (mut connection, _) = opened("", "* SEARCH 2 5 6 9\r\n").await;
        let told = ToldMailbox { uid_next: Some(6), exists: Some(4) };
        let listing = list(&mut connection, told, &mut false).await.unwrap();
        assert_eq!((listing.keys.len(), listing.is_whole()), (4, false));
        // FETCH is refused.
        for (uid_next, distrusts) in [(9, false), (10, true), (10, false)] {
            let (mut connection, told) = opened("REFUSING", "* SEARCH 2 5 9\r\n").await;
            let mut misled = distrusts;
            let told = ToldMailbox { uid_next: Some(uid_next), ..told };
            let listing = list(&mut connection, told, &mut misled).await.unwrap();
            let is_believed = uid_next == 10 && !distrusts;
            assert_eq!((listing.is_whole(), misled), (is_believed, distrusts), "{uid_next}");
        }
    }

    #[test]
    fn mail_that_came_since_the_mailbox_was_opened_contradicts_nothing() {
        let told = ToldMailbox { exists: Some(2), uid_next: Some(7) };
        for (uids, counted, is_denied) in [
            (vec![2, 6, 7], Some(3), false),
            (vec![2, 6, 7, 8], Some(3), true),
            (vec![2, 7], Some(2), true),
            (vec![2, 6], Some(2), false),
            (vec![2, 7], None, true),
        ] {
            let keys = keys_of(uids);
            let listing = MailboxListing { keys, counted, ..MailboxListing::default() };
            assert_eq!(denied_by(&listing, told).is_some(), is_denied, "{listing:?}");
            let says_less = ToldMailbox { uid_next: None, ..told };
            assert_eq!(denied_by(&listing, says_less), None);
        }
    }

    #[test]
    fn fetch_may_give_few_more_uids_than_the_server_counts() {
        let max = |counted, listed: usize| {
            let keys = keys_of(1..=listed as u64);
            uids_max(&MailboxListing { keys, counted, ..MailboxListing::default() })
        };
        assert_eq!(max(Some(5), 3), 100_005);
        assert_eq!(max(None, 3), 100_003);
        assert_eq!(max(Some(u64::from(u32::MAX)), 0), UIDS_COUNT_MAX);
    }

    #[test]
    fn dates_are_those_of_the_standard() {
        assert_eq!(search_date(0), "01-Jan-1970");
        assert_eq!(search_date(1_795_000_000_000), "18-Nov-2026");
    }
}

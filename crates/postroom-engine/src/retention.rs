//! Retention: deletes what has expired, as the classes and the options say.
//!
//! ```text
//!   once a minute, and when the configuration changes:
//!     each folder, each account ──► `retention_days` ──► messages by `dateTime` ┐
//!     each class ──► `expires_mode`, `expires_after` ──► entities by their time ┴─► deleted, a few
//!                                                                                   at once
//! ```
//! The ledger stays, so nothing is loaded again. Nothing is deleted at the server. What cannot be
//! deleted now is looked at again in the next round. The time is the one that the store believes:
//! a clock that jumps deletes nothing. An entity that cannot be deleted, for example because its
//! row is damaged, is named in the log, and the others expire.

use crate::error::Error;
use crate::report::chain;
use crate::shared::Shared;
use futures_util::StreamExt;
use futures_util::stream;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::FolderId;
use postroom_model::Options;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;
use postroom_model::options;
use postroom_store::EntityPlace;
use postroom_store::Error as StoreError;
use postroom_store::Expired;
use postroom_store::Expiring;
use postroom_store::ExpiryPage;
use postroom_store::Topic;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The time between two rounds.
const ROUND: Duration = Duration::from_secs(60);
/// How long changes of the configuration are collected.
const SETTLE: Duration = Duration::from_secs(1);
/// How many entities are read together.
const PAGE: u32 = 200;
/// How many entities are deleted at once, which databases commit together.
const AT_ONCE: usize = 8;
/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// Runs until it is stopped.
pub(crate) async fn run(shared: Arc<Shared>, stop: CancellationToken) {
    let mut news = shared.store.listen(Topic::Configuration);
    loop {
        news.catch_up();
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            done = round(&shared) => match done {
                Ok(0) => {}
                Ok(count) => tracing::info!(count, "entities that had expired were deleted"),
                Err(error) => {
                    tracing::error!(error = chain(&error), "what has expired was not deleted");
                }
            },
        }
        let next = async {
            tokio::select! {
                biased;
                () = news.rung() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(ROUND) => {}
            }
        };
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

/// What expires, and since when.
#[derive(Debug, Clone, Copy)]
struct ExpiryRule<'a> {
    domain: &'a Domain,
    class: &'a Class,
    of: Expiring,
    property: &'a str,
    before_ms: i64,
}

/// Deletes everything that has expired by now; returns how much it was.
async fn round(shared: &Shared) -> Result<u64, Error> {
    let mut count = 0;
    let now_ms = shared.store.expiry_now_ms().await?;
    let class = shared.store.builtin(MESSAGES)?;
    for row in shared.store.account_list().await? {
        let levels = [row.account.get(names::OPTIONS), row.profile.get(names::OPTIONS)];
        let of_account =
            (Expiring::Account(AccountId::of(row.account.id)), Options::cascade(levels));
        let of_folders = row.folders.iter().map(|folder| {
            let levels = [folder.get(names::OPTIONS)].into_iter().chain(levels);
            (Expiring::Folder(FolderId::of(folder.id)), Options::cascade(levels))
        });
        for (of, options) in of_folders.chain([of_account]) {
            let days = i64::try_from(options.count(&options::RETENTION_DAYS)).unwrap_or(i64::MAX);
            if days == 0 {
                continue;
            }
            let before_ms = now_ms.saturating_sub(days.saturating_mul(DAY_MS));
            let (domain, property) = (&row.domain, names::DATE_TIME);
            let rule = ExpiryRule { domain, class: &class, of, property, before_ms };
            count += expire(shared, rule).await?;
        }
    }
    count += classes(shared, now_ms).await?;
    Ok(count)
}

/// Deletes the expired entities of all classes that let entities expire.
async fn classes(shared: &Shared, now_ms: i64) -> Result<u64, Error> {
    let mut count = 0;
    let all = shared.store.classes();
    let expiring = all.iter().filter_map(|class| Some((class, class.expiry()?)));
    for (class, expiry) in expiring {
        let after_ms = expiry.after_seconds.saturating_mul(1_000);
        for domain in shared.store.domain_list(class).await? {
            let rule = ExpiryRule {
                domain: &domain,
                class,
                of: Expiring::All,
                property: expiry.property,
                before_ms: now_ms.saturating_sub(after_ms),
            };
            count += expire(shared, rule).await?;
        }
    }
    Ok(count)
}

/// Deletes what a rule is about, page by page.
async fn expire(shared: &Shared, rule: ExpiryRule<'_>) -> Result<u64, Error> {
    let ExpiryRule { domain, class, of, property, before_ms } = rule;
    let (mut count, mut behind): (u64, Option<Expired>) = (0, None);
    loop {
        let page = ExpiryPage { domain, class, of, property, before_ms, behind, limit: PAGE };
        let found = match shared.store.expired_list(page).await {
            Ok(found) => found,
            Err(error @ StoreError::Damaged { .. }) => {
                let class = class.classname.as_str();
                tracing::error!(%domain, class, %error, "what has expired here was not found");
                return Ok(count);
            }
            Err(error) => return Err(error.into()),
        };
        let Some(last) = found.last() else {
            return Ok(count);
        };
        behind = Some(*last);
        let delete = |expired: Expired| async move {
            let place = EntityPlace::new(domain, class, expired.id);
            (expired.id, shared.store.entity_expire(place, property, before_ms).await)
        };
        // In order, so that a simulation has one history.
        let deletions: Vec<_> = found.into_iter().map(delete).collect();
        let mut deletions = stream::iter(deletions).buffered(AT_ONCE);
        while let Some((id, deleted)) = deletions.next().await {
            match deleted {
                Ok(is_deleted) => count += u64::from(is_deleted),
                // The store has named a damaged row.
                Err(StoreError::Damaged { .. }) => {}
                Err(error) if error.is_about_one() => {
                    let class = class.classname.as_str();
                    tracing::error!(class, %id, %error, "it has expired and was not deleted");
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::fixture::change;
    use crate::fixture::create;
    use postroom_model::EntityId;
    use postroom_model::Query;
    use postroom_model::Timestamp;
    use postroom_model::builtin;
    use serde_json::Value as Json;
    use serde_json::json;

    /// The subjects of all messages.
    async fn subjects(shared: &Shared) -> Vec<String> {
        let class = shared.store.builtin(MESSAGES).unwrap();
        let query = Query { limit: 1_000, ..Query::default() };
        let found = shared.store.entity_list(&Domain::default_domain(), &class, &query).await;
        let found = found.unwrap().into_iter();
        let mut found: Vec<_> = found.map(|one| one.text("subject").unwrap().to_owned()).collect();
        found.sort_unstable();
        found
    }

    /// Changes the class of messages.
    async fn opts(shared: &Shared, sent: Json) {
        let former = shared.store.classes();
        let change = postroom_model::patched(former.get(MESSAGES).unwrap(), &sent).unwrap();
        shared.store.class_change(&former, change, None).await.unwrap();
    }

    fn keep(days: u64) -> Json {
        json!({"options": {"retention_days": days}})
    }

    /// A profile, an account of it, and a folder of that.
    async fn anna(shared: &Shared) -> (EntityId, EntityId, EntityId) {
        let profile = create(&shared.store, builtin::PROFILES, json!({"name": "x"})).await;
        let account = json!({"address": "anna@x.test", "profile_id": profile.to_string()});
        let account = create(&shared.store, builtin::ACCOUNTS, account).await;
        let folder = json!({"account_id": account.to_string(), "title": "anna@x.test/INBOX"});
        (profile, account, create(&shared.store, builtin::FOLDERS, folder).await)
    }

    /// Messages of an account, in a folder and in none, of this age in days.
    async fn messages(shared: &Shared, account: EntityId, folder: EntityId, days: i64) {
        let at = Timestamp::from_ms(shared.clock.now_ms() - days * DAY_MS - 1_000).to_string();
        for (place, folder) in [("in", Some(folder.to_string())), ("none", None)] {
            let message = json!({
                "messageDirection": "out", "account_id": account.to_string(), "dateTime": at,
                "folder_id": folder, "subject": format!("{place} {days}"),
            });
            create(&shared.store, MESSAGES, message).await;
        }
    }

    #[tokio::test]
    async fn messages_expire_as_the_options_of_folder_account_and_profile_say() {
        let (_directory, shared) = fixture::shared().await;
        let (profile, account, folder) = anna(&shared).await;
        for days in [9, 20, 40] {
            messages(&shared, account, folder, days).await;
        }
        // More than one page, so that nothing is left behind.
        for _ in 0..PAGE {
            messages(&shared, account, folder, 99).await;
        }
        assert_eq!(round(&shared).await.unwrap(), 0, "nothing expires by itself");
        change(&shared.store, builtin::PROFILES, profile, keep(30)).await;
        assert_eq!(round(&shared).await.unwrap(), u64::from(PAGE) * 2 + 2);
        assert_eq!(subjects(&shared).await, ["in 20", "in 9", "none 20", "none 9"]);
        change(&shared.store, builtin::FOLDERS, folder, keep(0)).await;
        change(&shared.store, builtin::ACCOUNTS, account, keep(10)).await;
        assert_eq!(round(&shared).await.unwrap(), 1);
        assert_eq!(subjects(&shared).await, ["in 20", "in 9", "none 9"]);
        change(&shared.store, builtin::FOLDERS, folder, keep(1)).await;
        assert_eq!(round(&shared).await.unwrap(), 2);
        assert_eq!(subjects(&shared).await, ["none 9"]);
    }

    #[tokio::test]
    async fn a_damaged_row_is_left_as_it_is_and_the_others_expire() {
        let (_directory, shared, trouble) = fixture::shared_with_trouble().await;
        let (profile, account, folder) = anna(&shared).await;
        let (_, other, inbox) = anna(&shared).await;
        for days in [40, 30, 20] {
            messages(&shared, account, folder, days).await;
            messages(&shared, other, inbox, days).await;
        }
        let class = shared.store.builtin(MESSAGES).unwrap();
        let query = Query { limit: 1_000, ..Query::default() };
        let all = shared.store.entity_list(&Domain::default_domain(), &class, &query).await;
        let oldest = all.unwrap().into_iter().find(|one| one.text("subject") == Some("in 40"));
        let spoil = "UPDATE \"email/Messages\" SET \"end of row\" = 0 WHERE \"id\" = $1";
        trouble.spoil(spoil, oldest.unwrap().id).await;
        // An account whose row is damaged is none that others wait for.
        let spoil = "UPDATE \"email/Accounts\" SET \"end of row\" = 0 WHERE \"id\" = $1";
        trouble.spoil(spoil, other).await;
        change(&shared.store, builtin::PROFILES, profile, keep(10)).await;
        assert_eq!(round(&shared).await.unwrap(), 5);
        assert_eq!(round(&shared).await.unwrap(), 0);
        assert!(shared.store.damage().await.unwrap().is_some());
    }

    #[tokio::test]
    async fn entities_expire_as_the_opts_of_their_class_say() {
        let (_directory, shared) = fixture::shared().await;
        for (subject, days, own) in [("old", 11, 0), ("young", 9, 0), ("mine", 9, 1)] {
            let at = |days| Timestamp::from_ms(shared.clock.now_ms() - days * DAY_MS).to_string();
            let (at, own) = (at(days), at(own));
            let message = json!({"messageDirection": "out", "dateTime": at, "subject": subject});
            let id = create(&shared.store, MESSAGES, message).await;
            if subject == "mine" {
                let sent = json!({"properties": [{"name": "until", "data_type": "datetime"}]});
                opts(&shared, sent).await;
                change(&shared.store, MESSAGES, id, json!({"until": own})).await;
            }
        }
        assert_eq!(round(&shared).await.unwrap(), 0);
        let mode = json!({"expires_mode": "create", "expires_after": 10 * 86_400});
        opts(&shared, json!({"opts": mode})).await;
        assert_eq!(round(&shared).await.unwrap(), 1);
        assert_eq!(subjects(&shared).await, ["mine", "young"]);
        let mode =
            json!({"expires_mode": "custom", "expires_ts_property": "until", "expires_after": 1});
        opts(&shared, json!({"opts": mode})).await;
        assert_eq!(round(&shared).await.unwrap(), 1);
        assert_eq!(subjects(&shared).await, ["young"]);
    }

    #[tokio::test]
    async fn a_change_of_the_options_takes_effect_at_once() {
        let (_directory, shared) = fixture::shared().await;
        let (profile, account, folder) = anna(&shared).await;
        messages(&shared, account, folder, 9).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(Arc::clone(&shared), stop.clone()));
        change(&shared.store, builtin::PROFILES, profile, keep(3)).await;
        let gone = async {
            while !subjects(&shared).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(ROUND / 2, gone).await.unwrap();
        stop.cancel();
        running.await.unwrap();
    }
}

//! The clients: they write through the store, as the REST interface does for them.

use crate::process::EngineProcess;
use crate::servers::HOSTS;
use crate::servers::IMAP_PORT;
use crate::servers::PASSWORD;
use crate::servers::SMTP_PORT;
use crate::servers::USERS;
use crate::servers::WORK;
use crate::truth::Deleted;
use crate::truth::KnownAccount;
use crate::truth::KnownFolder;
use crate::truth::SubmittedMail;
use crate::truth::UserMailbox;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use anyhow::bail;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Query;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::validate;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::NewEntity;
use postroom_store::Store;
use postroom_store::Updated;
use serde_json::Value as Json;
use serde_json::json;
use std::time::Duration;

/// How long the first survey may take.
const SURVEY_MAX: Duration = Duration::from_secs(60);
/// More entities than there ever are.
const ALL: u32 = 1_000_000;

/// All entities of a class.
///
/// # Errors
///
/// When the store fails.
pub async fn list(store: &Store, class: &'static str) -> Result<Vec<Entity>> {
    let class = store.builtin(class)?;
    let query = Query { limit: ALL, ..Query::default() };
    Ok(store.entity_list(&Domain::default_domain(), &class, &query).await?)
}

/// Creates an entity.
///
/// # Errors
///
/// When it is refused.
pub async fn create(store: &Store, class: &'static str, values: Json) -> Result<EntityId> {
    let class = store.builtin(class)?;
    let checked = validate::create(&class, &values).map_err(|found| anyhow!("{found:?}"))?;
    let id = checked.id.unwrap_or_else(|| store.clock().new_id());
    let new = NewEntity { entity: Entity::new(id, checked.properties), files: vec![] };
    store.entity_create(&Domain::default_domain(), &class, vec![new]).await?;
    Ok(id)
}

/// Changes an entity.
///
/// # Errors
///
/// When it is refused.
pub async fn change(
    store: &Store,
    class: &'static str,
    id: EntityId,
    values: Json,
) -> Result<Updated, Error> {
    let class = store.builtin(class)?;
    let domain = Domain::default_domain();
    let place = EntityPlace::new(&domain, &class, id);
    let Json::Object(values) = values else {
        return Ok(Updated::Missing);
    };
    store.entity_update(place, &values, None).await
}

/// The properties that every profile has.
fn profile(server: usize, host: &str) -> Json {
    json!({
        "name": format!("server {server}"),
        "imapHost": host, "imapPort": IMAP_PORT, "imapSecurity": "none",
        "smtpHost": host, "smtpPort": SMTP_PORT, "smtpSecurity": "none",
        "options": {
            "after_read_timeout": 10, "survey_interval": 60, "greeting_timeout": 10,
            "command_timeout": 60, "silence_timeout": 30, "retry_first": 5, "retry_longest": 60,
            "portion_limit": 4,
        },
    })
}

/// Makes all accounts, and enables their folders once the engine has found them.
///
/// # Errors
///
/// When something is refused, or the engine finds nothing.
pub async fn set_up(world: &mut World, process: &EngineProcess) -> Result<()> {
    let store = &process.store;
    for (server, host) in HOSTS.iter().enumerate() {
        let profile = create(store, builtin::PROFILES, profile(server, host)).await?;
        world.truth.profiles.push(profile);
    }
    for (place, user) in USERS.iter().enumerate() {
        make_account(world, store, place, user.server).await?;
        for name in ["INBOX", WORK] {
            world.truth.folders.entry(UserMailbox { user: place, name }).or_default();
        }
    }
    let began = world.time.passed();
    while !adopt(world, store).await? {
        if world.time.passed() > began + SURVEY_MAX {
            bail!("the engine has not found the folders of all accounts");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    Ok(())
}

/// Makes the account of a user at a server.
///
/// # Errors
///
/// When it is refused.
pub async fn make_account(
    world: &mut World,
    store: &Store,
    place: usize,
    server: usize,
) -> Result<()> {
    let user = world.user(place)?;
    let uncertain = if user.resends { "resend" } else { "hold" };
    let profile = world.truth.profiles.get(server).context("no such profile")?;
    let account = json!({
        "profile_id": profile, "address": user.address, "password": PASSWORD,
        "options": {"uncertain": uncertain},
    });
    let id = Some(create(store, builtin::ACCOUNTS, account).await?);
    let enabled_at = Some(world.time.passed());
    world.truth.accounts.insert(place, KnownAccount { id, server, enabled_at, expires: false });
    Ok(())
}

/// Finds folders that are to be monitored and are not known, and enables them. Says whether all
/// are known.
///
/// # Errors
///
/// When the store refuses something.
pub async fn adopt(world: &mut World, store: &Store) -> Result<bool> {
    let unknown = world.truth.folders.iter().filter(|(_, folder)| folder.id.is_none());
    let unknown: Vec<UserMailbox> = unknown.map(|(mailbox, _)| *mailbox).collect();
    if unknown.is_empty() {
        return Ok(true);
    }
    let folders = list(store, builtin::FOLDERS).await?;
    let mut all = true;
    for mailbox in unknown {
        let account = world.truth.accounts.get(&mailbox.user).and_then(|account| account.id);
        let name = world.mailbox_name(mailbox);
        let found = folders.iter().find(|folder| {
            account.is_some()
                && folder.reference("account_id") == account
                && folder.text("name") == name
        });
        match (found, world.truth.folders.get_mut(&mailbox)) {
            (Some(found), Some(folder)) => {
                folder.id = Some(found.id);
                enable_folder(world, store, mailbox, true).await?;
            }
            _ => all = false,
        }
    }
    Ok(all)
}

/// Begins or ends monitoring a folder.
///
/// # Errors
///
/// When it is refused.
pub async fn enable_folder(
    world: &mut World,
    store: &Store,
    mailbox: UserMailbox,
    enabled: bool,
) -> Result<()> {
    let folder = world.truth.folders.get_mut(&mailbox).context("no such folder")?;
    folder.enabled_at = None;
    let Some(id) = folder.id else {
        return Ok(());
    };
    change(store, builtin::FOLDERS, id, json!({"enabled": enabled})).await?;
    let passed = world.time.passed();
    if let Some(KnownFolder { enabled_at, .. }) = world.truth.folders.get_mut(&mailbox) {
        *enabled_at = enabled.then_some(passed);
    }
    Ok(())
}

/// Enables or disables an account.
///
/// # Errors
///
/// When it is refused.
pub async fn enable_account(
    world: &mut World,
    store: &Store,
    user: usize,
    enabled: bool,
) -> Result<()> {
    let account = world.truth.accounts.get_mut(&user).context("no such account")?;
    account.enabled_at = None;
    let Some(id) = account.id else {
        return Ok(());
    };
    change(store, builtin::ACCOUNTS, id, json!({"enabled": enabled})).await?;
    let passed = world.time.passed();
    if let Some(account) = world.truth.accounts.get_mut(&user) {
        account.enabled_at = enabled.then_some(passed);
    }
    Ok(())
}

/// Has a message sent.
///
/// # Errors
///
/// When it is refused.
pub async fn submit(world: &mut World, store: &Store, user: usize) -> Result<()> {
    let known = world.truth.accounts.get(&user).context("no such account")?;
    let expires = known.expires;
    let Some(account) = known.id else {
        return Ok(());
    };
    let subject = world.truth.subject("out");
    let count = world.chance.usize(1..=3);
    let recipients: Vec<String> =
        (0..count).map(|number| format!("{subject}-{number}@else.test")).collect();
    let id = store.clock().new_id();
    let outgoing = SubmittedMail {
        id,
        user,
        recipients: recipients.clone(),
        at: world.time.passed(),
        is_acknowledged: false,
        unknown_outcomes_before: world.unknown_outcomes(),
        refusals_before: world.refusals(),
        deleted: Deleted::No,
        withdrawn: Deleted::No,
        account_is_gone: false,
        may_expire: expires,
    };
    world.truth.outgoing.insert(subject.clone(), outgoing);
    world.note(&format!("client: submit {subject} for user {user} to {count}"));
    let date_time = Timestamp::from_ms(store.clock().now_ms()).to_string();
    let values = json!({
        "id": id, "account_id": account, "messageDirection": "out", "messageState": "sending",
        "to": recipients, "subject": subject, "text": "Hello.\n.\n", "dateTime": date_time,
    });
    create(store, builtin::MESSAGES, values).await?;
    if let Some(outgoing) = world.truth.outgoing.get_mut(&subject) {
        outgoing.is_acknowledged = true;
    }
    Ok(())
}

/// Takes a message back that is not sent yet.
///
/// # Errors
///
/// When the store fails.
pub async fn withdraw(world: &mut World, store: &Store, subject: &str) -> Result<()> {
    let outgoing = world.truth.outgoing.get_mut(subject).context("no such message")?;
    let id = outgoing.id;
    let class = store.builtin(builtin::MESSAGES)?;
    let current = store.entity_get(&Domain::default_domain(), &class, id).await?;
    let Some(current) = current.filter(|m| m.text("messageState") == Some("sending")) else {
        return Ok(());
    };
    outgoing.withdrawn = Deleted::Asked;
    let values = serde_json::Map::from_iter([("messageState".to_owned(), Json::Null)]);
    let domain = Domain::default_domain();
    let place = EntityPlace::new(&domain, &class, id);
    let withdrawn = store.entity_update(place, &values, Some(current.version)).await;
    outgoing.withdrawn = match withdrawn {
        Ok(Updated::Done(_)) => Deleted::Yes,
        Ok(Updated::Stale { .. } | Updated::Missing) | Err(Error::Condition(Failed::Sending)) => {
            Deleted::No
        }
        Err(error) => return Err(error.into()),
    };
    let line = format!("client: withdraw {subject}: {:?}", outgoing.withdrawn);
    world.note(&line);
    Ok(())
}

/// Does what clients asked for and do not know to be done.
///
/// # Errors
///
/// When it is refused again.
pub async fn ask_again(world: &mut World, store: &Store) -> Result<()> {
    while let Some(asked) = world.truth.asked.first().cloned() {
        match asked.values {
            Some(values) => drop(change(store, asked.class, asked.id, values).await?),
            None => drop(delete(store, asked.class, asked.id).await?),
        }
        world.truth.asked.remove(0);
    }
    Ok(())
}

/// Deletes an entity; says whether it is gone.
///
/// # Errors
///
/// When the store fails.
pub async fn delete(store: &Store, class: &'static str, id: EntityId) -> Result<Deleted> {
    let class = store.builtin(class)?;
    let domain = Domain::default_domain();
    let place = EntityPlace::new(&domain, &class, id);
    match store.entity_delete(place, None).await {
        Ok(Updated::Done(_)) => Ok(Deleted::Yes),
        Ok(Updated::Missing | Updated::Stale { .. }) | Err(Error::Condition(Failed::Sending)) => {
            Ok(Deleted::No)
        }
        Err(error) => Err(error.into()),
    }
}

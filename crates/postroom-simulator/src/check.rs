//! The checks: what must hold at any time, and what must hold in the end.

use crate::client;
use crate::process::EngineProcess;
use crate::servers::DIALS_MAX;
use crate::servers::HOSTS;
use crate::truth::ArrivedMail;
use crate::truth::Deleted;
use crate::truth::Truth;
use crate::truth::UserMailbox;
use crate::world::PROMPT;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_model::builtin::files;
use postroom_sandbox::StoredMessage;
use postroom_store::BlobReader;
use postroom_store::FileSource;
use postroom_store::Store;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

/// What the store has, sorted.
#[derive(Default)]
struct StoredMessages<'a> {
    received: BTreeMap<&'a str, Vec<&'a Entity>>,
    /// Those of folders that clients have deleted.
    former: BTreeSet<&'a str>,
    outgoing: BTreeMap<&'a str, &'a Entity>,
}

/// Checks what must hold at any time, of all messages.
///
/// # Errors
///
/// Says what does not hold.
pub async fn always(world: &mut World, process: &EngineProcess) -> Result<Vec<Entity>> {
    world.note_kept()?;
    let there = look_at_servers(world)?;
    let entities = client::list(&process.store, builtin::MESSAGES).await?;
    let stored = sort(&world.truth, &entities)?;
    verify_bytes(world, &process.store, &stored).await?;
    for (subject, found) in &stored.received {
        let arrival = world.truth.arrivals.get(*subject);
        let arrival = arrival.with_context(|| format!("{subject} was recorded and never came"))?;
        recorded(world, subject, arrival, found)?;
    }
    at_servers(world, &there, &stored)?;
    copies(world, &stored)?;
    if world.plan.calm && !world.plan.jumps {
        prompt(world, process, &stored)?;
    }
    for (server, host) in world.servers.all().zip(HOSTS) {
        let most = server.dials_most();
        ensure!(most <= DIALS_MAX, "{host} was dialled {most} times within a minute");
    }
    let has_room = world.disk.room_since().is_some_and(|at| at + PROMPT < world.time.passed());
    if let Some(problem) = process.problem().filter(|_| has_room) {
        bail!("the engine is not well: {problem}");
    }
    Ok(entities)
}

fn sort<'a>(truth: &Truth, entities: &'a [Entity]) -> Result<StoredMessages<'a>> {
    let mut stored = StoredMessages::default();
    for entity in entities {
        let subject = entity.text("subject").unwrap_or_default();
        let folder = entity.reference("folder_id");
        let is_former = folder.is_none_or(|folder| truth.former_folders.contains(&folder));
        if entity.text("messageDirection") == Some("in") && is_former {
            stored.former.insert(subject);
        } else if entity.text("messageDirection") == Some("in") {
            stored.received.entry(subject).or_default().push(entity);
        } else {
            let twin = stored.outgoing.insert(subject, entity);
            ensure!(twin.is_none(), "{subject} is there twice");
        }
    }
    Ok(stored)
}

/// A message is recorded once, for the folder where it is.
fn recorded(world: &World, subject: &str, arrival: &ArrivedMail, found: &[&Entity]) -> Result<()> {
    let most = 1 + usize::from(arrival.may_be_twice);
    ensure!(found.len() <= most, "{subject} is recorded {} times", found.len());
    ensure!(arrival.deleted != Deleted::Yes, "{subject} is back although a client deleted it");
    let folder = world.truth.folders.get(&arrival.mailbox).and_then(|folder| folder.id);
    let account = world.truth.accounts.get(&arrival.mailbox.user).and_then(|account| account.id);
    for entity in found {
        ensure!(entity.reference("folder_id") == folder, "{subject} is in another folder");
        ensure!(entity.reference("account_id") == account, "{subject} is in another account");
        let state = entity.text("messageState");
        ensure!(matches!(state, Some("received" | "raw")), "{subject} is {state:?}");
    }
    Ok(())
}

/// What was recorded has the very bytes.
async fn verify_bytes(world: &mut World, store: &Store, stored: &StoredMessages<'_>) -> Result<()> {
    for (subject, found) in &stored.received {
        let Some(arrival) = world.truth.arrivals.get_mut(*subject) else {
            continue;
        };
        for entity in found {
            if arrival.verified == Some(entity.id) {
                continue;
            }
            let domain = Domain::default_domain();
            let rows = store.file_list(&domain, entity.id, files::RAW_MESSAGE).await?;
            if rows.is_empty() && arrival.may_expire && !is_there(store, entity).await? {
                continue;
            }
            let row = rows.first().with_context(|| format!("{subject} has no original"))?;
            let (FileSource::Blob(blob) | FileSource::Part { blob, .. }) = &row.source;
            let reader = store.blob_read(*blob, 0..row.size_bytes);
            match read(reader).await {
                // It expires while it is read.
                Err(_) if arrival.may_expire && !is_there(store, entity).await? => {}
                bytes => {
                    ensure!(bytes? == arrival.bytes, "{subject} is recorded with other bytes");
                    arrival.verified = Some(entity.id);
                }
            }
        }
    }
    Ok(())
}

async fn read(mut reader: BlobReader) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    while let Some(piece) = reader.next().await? {
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

/// Whether a message is there now.
async fn is_there(store: &Store, message: &Entity) -> Result<bool> {
    let class = store.builtin(builtin::MESSAGES)?;
    let domain = Domain::default_domain();
    Ok(store.entity_get(&domain, &class, message.id).await?.is_some())
}

/// What the mailboxes have.
type AtServers = BTreeMap<UserMailbox, Vec<StoredMessage>>;

fn look_at_servers(world: &World) -> Result<AtServers> {
    let all = world.truth.folders.keys();
    all.map(|mailbox| Ok((*mailbox, world.messages(*mailbox)?))).collect()
}

/// Nothing was deleted or marked at a server that should not have been. Servers were looked at
/// before the store: what they show must have been recorded by then.
fn at_servers(world: &World, there: &AtServers, stored: &StoredMessages<'_>) -> Result<()> {
    for (subject, arrival) in &world.truth.arrivals {
        let folder = world.truth.folders.get(&arrival.mailbox).context("no such folder")?;
        let there = there.get(&arrival.mailbox).context("no such mailbox")?;
        let message = there.iter().find(|message| message.bytes == arrival.bytes);
        let subject = subject.as_str();
        let is_recorded = stored.received.contains_key(subject)
            || stored.former.contains(subject)
            || arrival.was_recorded;
        let Some(message) = message else {
            if !arrival.removed_by_others {
                // One that is stored again under another UID is a message that comes later.
                ensure!(
                    !arrival.must_stay || arrival.may_be_twice,
                    "{subject} was deleted at the server after it was to stay"
                );
                ensure!(folder.may_delete, "{subject} was deleted at the server, and nobody asked");
                let may_be_gone = arrival.deleted != Deleted::No || arrival.may_expire;
                let was_recorded = is_recorded || may_be_gone;
                ensure!(was_recorded, "{subject} was deleted at the server and is not recorded");
            }
            continue;
        };
        if message.has_flag("\\Seen") && !arrival.seen_by_others {
            ensure!(folder.may_mark, "{subject} was marked, and nobody asked");
            let may_be_gone = arrival.deleted != Deleted::No || arrival.may_expire;
            let was_recorded = is_recorded || may_be_gone;
            ensure!(was_recorded, "{subject} was marked and is not recorded");
        }
    }
    Ok(())
}

/// What a server took is what was to be sent: once, or more often where that is right.
fn copies(world: &World, stored: &StoredMessages<'_>) -> Result<()> {
    let mut taken: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut bytes = BTreeMap::new();
    for server in world.servers.all() {
        for mail in server.sandbox.accepted() {
            let subject = subject_of(&mail.bytes).context("a message without subject was sent")?;
            let known = world.truth.outgoing.get(&subject);
            let known = known.with_context(|| format!("{subject} was sent and never asked for"))?;
            for path in &mail.forward_paths {
                ensure!(known.recipients.contains(path), "{subject} was sent to {path}");
                *taken.entry((subject.clone(), path.clone())).or_default() += 1;
            }
            let first = bytes.entry(subject.clone()).or_insert_with(|| mail.bytes.clone());
            let same = *first == mail.bytes || known.withdrawn != Deleted::No;
            ensure!(same, "{subject} was sent with other bytes the second time");
        }
    }
    for (subject, outgoing) in &world.truth.outgoing {
        let entity = stored.outgoing.get(subject.as_str());
        let unknown_outcomes = world.unknown_outcomes() - outgoing.unknown_outcomes_before;
        let resends = world.user(outgoing.user)?.resends || outgoing.withdrawn != Deleted::No;
        let most = if resends { 1 + unknown_outcomes } else { 1 };
        let copies =
            |to: &String| taken.get(&(subject.clone(), to.clone())).copied().unwrap_or_default();
        for to in &outgoing.recipients {
            ensure!(copies(to) <= most, "{to} has {subject} {} times", copies(to));
        }
        let sent = |to: &String| copies(to) > 0;
        let refusals = world.refusals() - outgoing.refusals_before;
        let Some(entity) = entity else {
            // It expires once nothing more is to be done for it.
            let is_done = outgoing.recipients.iter().all(sent)
                || refusals > 0
                || outgoing.withdrawn != Deleted::No
                || outgoing.account_is_gone;
            let may_be_gone = !outgoing.is_acknowledged
                || outgoing.deleted != Deleted::No
                || outgoing.may_expire && is_done;
            ensure!(may_be_gone, "{subject} is gone, and the client was told that it is kept");
            continue;
        };
        ensure!(outgoing.deleted != Deleted::Yes, "{subject} is back although it was deleted");
        let (state, code) = (entity.text("messageState"), entity.text("errorCode"));
        match (state, code) {
            (Some("sending"), _) => {}
            (None, _) if outgoing.withdrawn != Deleted::No => {}
            (Some("sent"), _) => {
                ensure!(outgoing.recipients.iter().all(sent), "{subject} is `sent` and was not");
            }
            (Some("error"), Some("uncertain")) => {
                ensure!(unknown_outcomes > 0, "{subject} is uncertain, and nothing was");
            }
            (Some("error"), Some("refused")) => {
                ensure!(refusals > 0, "{subject} is refused, and nobody refused it");
            }
            (Some("error"), Some("account_deleted")) if outgoing.account_is_gone => {}
            (state, code) => {
                let text = entity.text("errorText").unwrap_or_default();
                bail!("{subject} is {state:?} {code:?}: {text}");
            }
        }
    }
    Ok(())
}

/// The subject of a message that was sent.
fn subject_of(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find_map(|line| line.strip_prefix("Subject: "))?;
    Some(line.trim().to_owned())
}

/// The accounts of a server that is well never wait for those of another.
fn prompt(world: &World, process: &EngineProcess, stored: &StoredMessages<'_>) -> Result<()> {
    let now = world.time.passed();
    let is_long_ago = |at: Duration| at + PROMPT < now;
    if !is_long_ago(process.began) {
        return Ok(());
    }
    if !world.disk.room_since().is_some_and(is_long_ago) {
        return Ok(());
    }
    let is_up = |user: &usize| {
        let account = world.truth.accounts.get(user).filter(|account| account.server == 1);
        account.and_then(|account| account.enabled_at).is_some_and(is_long_ago)
    };
    for (subject, arrival) in &world.truth.arrivals {
        let folder = world.truth.folders.get(&arrival.mailbox);
        let is_due = is_up(&arrival.mailbox.user)
            && folder.and_then(|folder| folder.enabled_at).is_some_and(is_long_ago)
            && is_long_ago(arrival.at)
            && !arrival.removed_by_others
            && !arrival.may_expire
            && arrival.deleted == Deleted::No;
        let is_there = stored.received.contains_key(subject.as_str());
        ensure!(!is_due || is_there, "{subject} waits, and its server is well");
    }
    for (subject, outgoing) in &world.truth.outgoing {
        let is_due = is_up(&outgoing.user) && is_long_ago(outgoing.at);
        let state = stored.outgoing.get(subject.as_str()).and_then(|e| e.text("messageState"));
        ensure!(!is_due || state != Some("sending"), "{subject} waits, and its server is well");
    }
    Ok(())
}

/// Whether the time that a client set has not come: the time of day went back behind it.
fn is_later(process: &EngineProcess, entity: &Entity) -> bool {
    let moment = entity.text("dateTime").and_then(|text| Timestamp::parse(text).ok());
    moment.is_some_and(|moment| moment.as_ms() > process.store.clock().now_ms())
}

/// What is still missing in the end, when all servers are well; `None` when nothing is.
///
/// # Errors
///
/// Says what must always hold and does not.
pub async fn missing(world: &mut World, process: &EngineProcess) -> Result<Option<String>> {
    let entities = always(world, process).await?;
    let stored = sort(&world.truth, &entities)?;
    for (subject, arrival) in &world.truth.arrivals {
        let there = world.messages(arrival.mailbox)?;
        let is_there = there.iter().any(|message| message.bytes == arrival.bytes);
        let is_recorded = stored.received.contains_key(subject.as_str());
        let may_be_gone = arrival.deleted != Deleted::No || arrival.may_expire;
        if is_there && !is_recorded && !may_be_gone {
            return Ok(Some(format!("{subject} is in its mailbox and not recorded")));
        }
    }
    for (subject, outgoing) in &world.truth.outgoing {
        let entity = stored.outgoing.get(subject.as_str());
        let state = entity.and_then(|entity| entity.text("messageState"));
        let waits_for_time = entity.is_some_and(|entity| is_later(process, entity));
        if state == Some("sending") && !waits_for_time {
            return Ok(Some(format!("{subject} is still `sending`")));
        }
        if outgoing.withdrawn == Deleted::Yes && entity.is_some() && state.is_some() {
            bail!("{subject} was taken back and is {state:?}");
        }
    }
    for folder in client::list(&process.store, builtin::FOLDERS).await? {
        let number = |name: &str| folder.number(name).unwrap_or_default();
        if folder.is_set("enabled")
            && (number("pendingCount") != 0 || number("serverCount") != number("storedCount"))
        {
            return Ok(Some(format!("folder {:?} is not complete", folder.text("title"))));
        }
    }
    for account in client::list(&process.store, builtin::ACCOUNTS).await? {
        if account.text("state") != Some("ready") {
            let (address, text) = (account.text("address"), account.text("statusText"));
            return Ok(Some(format!("account {address:?} is not ready: {text:?}")));
        }
    }
    Ok(None)
}

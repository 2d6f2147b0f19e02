//! Expiry: a scene in which messages become too old for their folder or account. What is still to
//! be done with a message keeps it, and no message that expired is fetched again.

use crate::client;
use crate::process::EngineProcess;
use crate::scenes;
use crate::truth::Deleted;
use crate::truth::UserMailbox;
use crate::world::PROMPT;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::RuleId;
use postroom_sandbox::When;
use serde_json::json;
use std::collections::BTreeSet;

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;

/// The folder whose messages expire, or whose account's do.
#[derive(Debug, Clone, Copy)]
struct ExpiringFolder {
    mailbox: UserMailbox,
    folder: EntityId,
    by_account: bool,
}

/// Messages that wait to be deleted at the server.
#[derive(Debug, Default)]
struct WaitingMail {
    fault: Option<RuleId>,
    ids: BTreeSet<EntityId>,
}

/// Days pass, and a client lets the messages of a folder or of an account expire.
///
/// # Errors
///
/// When a client is refused, or something does not hold.
pub async fn scene(world: &mut World, process: &EngineProcess) -> Result<()> {
    let mailbox = world.any_mailbox();
    let folder = world.truth.folders.get(&mailbox).and_then(|folder| folder.id);
    let account = world.truth.accounts.get(&mailbox.user).and_then(|account| account.id);
    let (Some(folder), Some(account)) = (folder, account) else {
        return Ok(());
    };
    let days = world.chance.i64(1..4);
    let jump_ms = days * DAY_MS + 3_600_000;
    if world.mailbox_name(mailbox).is_none() || !world.time.can_jump(jump_ms) {
        return Ok(());
    }
    let at = ExpiringFolder { mailbox, folder, by_account: world.chance.bool() };
    let waiting = wait_to_be_deleted(world, process, at).await?;
    world.note(&format!("scene: messages expire after {days} days: {at:?}"));
    may_expire(world, at);
    world.time.jump(jump_ms);
    // Without this, a clock that jumps lets nothing expire.
    process.store.clock_believe().await;
    let before = client::list(&process.store, builtin::MESSAGES).await?;
    let began = world.time.passed();
    let store = &process.store;
    let uncertain = if world.user(mailbox.user)?.resends { "resend" } else { "hold" };
    let (keep, expire) = match at.by_account {
        true => (
            json!({"options": {"uncertain": uncertain}}),
            json!({"options": {"uncertain": uncertain, "retention_days": days}}),
        ),
        false => (json!({"options": {}}), json!({"options": {"retention_days": days}})),
    };
    // What the folder says goes before what its account says.
    client::change(store, builtin::FOLDERS, folder, json!({"options": {}})).await?;
    let (class, id) =
        if at.by_account { (builtin::ACCOUNTS, account) } else { (builtin::FOLDERS, folder) };
    client::change(store, class, id, expire).await?;
    tokio::time::sleep(PROMPT).await;
    let oldest_ms = store.clock().now_ms() - days * DAY_MS - 2 * ms(PROMPT);
    let after = client::list(store, builtin::MESSAGES).await?;
    let has_room = world.disk.room_since().is_some_and(|since| since <= began);
    expired(world, at, ExpiryTurn { before, after, oldest_ms, has_room }, &waiting)?;
    if let Some(fault) = waiting.fault {
        let server = world.truth.accounts.get(&mailbox.user).map_or(0, |account| account.server);
        world.servers.get(server)?.unscript_one(fault);
        world.note("scene: the server deletes again");
    }
    if world.chance.bool() {
        world.note("scene: messages do not expire any more");
        client::change(store, class, id, keep).await?;
    }
    scenes::pause(world, 60..120).await;
    Ok(())
}

/// Mail comes that is to be deleted at the server, which refuses it, or nothing of the kind.
async fn wait_to_be_deleted(
    world: &mut World,
    process: &EngineProcess,
    ExpiringFolder { mailbox, folder, .. }: ExpiringFolder,
) -> Result<WaitingMail> {
    let server = world.truth.accounts.get(&mailbox.user).map_or(0, |account| account.server);
    let may_refuse = server == 0 || !world.plan.calm;
    let count = world.chance.usize(1..8);
    if !may_refuse || world.chance.bool() {
        scenes::arrive(world, mailbox, count)?;
        scenes::pause(world, 30..60).await;
        return Ok(WaitingMail::default());
    }
    // What happened to the mailbox before is found out first.
    scenes::pause(world, 75..90).await;
    let stored = client::list(&process.store, builtin::MESSAGES).await?;
    world.may_delete(mailbox, &stored)?;
    client::change(&process.store, builtin::FOLDERS, folder, json!({"deleteOnServer": true}))
        .await?;
    let act = Action::tagged("NO [INUSE] not now");
    let rule = Rule { on: Point::ImapCommand(ImapCommand::Store), when: When::Always, act };
    let fault = world.servers.get(server)?.script(rule, false);
    world.note(&format!("scene: mail comes to {mailbox:?} that is to be deleted, and is not yet"));
    scenes::arrive(world, mailbox, count)?;
    scenes::pause(world, 60..90).await;
    let mut ids = BTreeSet::new();
    // Otherwise the engine may have had reasons not to delete some of it.
    if !(world.plan.restores || world.plan.imap_faults || world.plan.mailboxes || world.plan.moves)
    {
        let now = client::list(&process.store, builtin::MESSAGES).await?;
        let is_new = |one: &&Entity| !stored.iter().any(|before| before.id == one.id);
        let came = now.iter().filter(is_new);
        ids.extend(came.filter(|one| one.reference("folder_id") == Some(folder)).map(|one| one.id));
    }
    Ok(WaitingMail { fault: Some(fault), ids })
}

/// What was there before messages expired, and what is there now.
struct ExpiryTurn {
    before: Vec<Entity>,
    after: Vec<Entity>,
    /// What is older than this has expired.
    oldest_ms: i64,
    /// Whether there was room on the disk all the time.
    has_room: bool,
}

/// What has expired is gone, what something is still to be done with is there.
fn expired(
    world: &mut World,
    at: ExpiringFolder,
    turn: ExpiryTurn,
    waiting: &WaitingMail,
) -> Result<()> {
    let ExpiryTurn { before, after, oldest_ms, has_room } = turn;
    let still: BTreeSet<_> = after.iter().map(|one| one.id).collect();
    let known = world.truth.folders.get(&at.mailbox).context("no such folder")?;
    let acts = known.may_delete || known.may_mark;
    let mut count = 0;
    for entity in &before {
        let subject = entity.text("subject").unwrap_or_default();
        let is_there = still.contains(&entity.id);
        let at_ms = entity.text("dateTime").and_then(|text| Timestamp::parse(text).ok());
        let is_old = at_ms.is_some_and(|moment| moment.as_ms() < oldest_ms);
        ensure!(
            is_there || !waiting.ids.contains(&entity.id),
            "{subject} has expired, and was still to be deleted at the server"
        );
        let is_uncertain = entity.text("errorCode") == Some("uncertain");
        ensure!(is_there || !is_uncertain, "{subject} has expired, and its outcome is unknown");
        let is_in = entity.text("messageDirection") == Some("in");
        let is_its = entity.reference("folder_id") == Some(at.folder);
        let must_go = is_in && is_its && is_old && !acts && has_room;
        ensure!(!must_go || !is_there, "{subject} has expired, and is there");
        if is_there {
            continue;
        }
        count += 1;
        if let Some(arrival) = world.truth.arrivals.get_mut(subject).filter(|_| is_in) {
            ensure!(arrival.may_expire, "{subject} is gone, and it was to stay");
            let is_former = entity
                .reference("folder_id")
                .is_none_or(|folder| world.truth.former_folders.contains(&folder));
            // It does not come again.
            let may_be_there = is_former || arrival.may_be_twice;
            arrival.deleted = if may_be_there { arrival.deleted } else { Deleted::Yes };
        }
    }
    world.note(&format!("scene: {count} messages have expired"));
    Ok(())
}

/// From now on messages of that folder, or of all folders of its account, may expire.
fn may_expire(world: &mut World, at: ExpiringFolder) {
    let user = at.mailbox.user;
    for (mailbox, folder) in &mut world.truth.folders {
        folder.expires |= *mailbox == at.mailbox || at.by_account && mailbox.user == user;
    }
    for arrival in world.truth.arrivals.values_mut() {
        let mailbox = arrival.mailbox;
        arrival.may_expire |= mailbox == at.mailbox || at.by_account && mailbox.user == user;
    }
    if at.by_account {
        for outgoing in world.truth.outgoing.values_mut() {
            outgoing.may_expire |= outgoing.user == user;
        }
        if let Some(account) = world.truth.accounts.get_mut(&user) {
            account.expires = true;
        }
    }
}

fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

//! Events: what happens next, by chance, as far as the plan lets it.

use crate::client;
use crate::expiry;
use crate::faults;
use crate::low_uid;
use crate::others;
use crate::process::EngineProcess;
use crate::scenes;
use crate::servers::Reach;
use crate::servers::USERS;
use crate::truth::Deleted;
use crate::upheavals;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_model::EntityId;
use postroom_model::builtin;
use serde_json::json;

/// One thing happens. Where the disk is full, clients are refused.
///
/// # Errors
///
/// When a client is refused what it may do.
pub async fn happen(world: &mut World, process: &EngineProcess) -> Result<()> {
    match one(world, process).await {
        Err(error) if matches!(error.downcast_ref(), Some(postroom_store::Error::Full)) => {
            ensure!(world.disk.room_since().is_none(), "the disk is not full: {error:#}");
            world.note("client: refused, the disk is full");
            Ok(())
        }
        happened => happened,
    }
}

async fn one(world: &mut World, process: &EngineProcess) -> Result<()> {
    world.note_kept()?;
    client::ask_again(world, &process.store).await?;
    client::adopt(world, &process.store).await?;
    let plan = world.plan;
    let server = world.chance.usize(..2);
    let may_fail = server == 0 || !plan.calm;
    match world.chance.u8(..37) {
        0..6 => arrive(world),
        6..10 => {
            let user = world.chance.usize(..USERS.len());
            for _ in 0..world.chance.usize(1..4) {
                client::submit(world, &process.store, user).await?;
            }
            Ok(())
        }
        10..12 if plan.imap_faults && may_fail => fault(world, server, FaultKind::Imap),
        12..14 if plan.smtp_faults && may_fail => fault(world, server, FaultKind::Smtp),
        14 if plan.refusals && may_fail => fault(world, server, FaultKind::Refusal),
        15 => mend(world, server),
        16 if plan.outages && may_fail => outage(world, server),
        17 if plan.jumps => {
            jump(world);
            Ok(())
        }
        18 | 19 if plan.changes => change(world, process).await,
        20 if plan.deletions => delete_received(world, process).await,
        21 if plan.deletions => delete_outgoing(world, process).await,
        22 | 23 if plan.others => others::work(world),
        24 if plan.refuses_actions => scenes::delayed_deletion(world, process).await,
        24 | 25 if plan.restores => others::restore(world),
        26 if plan.refuses_actions && may_fail => refuse_actions(world, server),
        27 | 28 if plan.mailboxes => upheavals::mailbox(world),
        29 if plan.moves => upheavals::configuration(world, &process.store).await,
        30 if plan.full_disk => {
            upheavals::disk(world);
            Ok(())
        }
        31 if plan.passwords => upheavals::password(world),
        32 if plan.restores && !plan.imap_faults && world.chance.bool() => {
            low_uid::scene(world, process).await
        }
        32 if plan.restores => scenes::swap_unfetched(world, process).await,
        33 | 34 if plan.retention => expiry::scene(world, process).await,
        35 | 36 if plan.classes => scenes::classes(world, process).await,
        _ => Ok(()),
    }
}

/// Mail comes: a little, or so much that not all of it is looked at in each poll.
fn arrive(world: &mut World) -> Result<()> {
    let mailbox = world.any_mailbox();
    let is_much = world.plan.restores && world.chance.u8(..5) == 0;
    let count = if is_much { 10..30 } else { 1..6 };
    let count = world.chance.usize(count);
    scenes::arrive(world, mailbox, count)
}

#[derive(Debug, Clone, Copy)]
enum FaultKind {
    Imap,
    Smtp,
    Refusal,
}

/// Something goes wrong from now on.
fn fault(world: &mut World, server: usize, kind: FaultKind) -> Result<()> {
    let rule = match kind {
        FaultKind::Imap => faults::imap(&mut world.chance),
        FaultKind::Smtp => faults::smtp(&mut world.chance),
        FaultKind::Refusal => faults::refusal(&mut world.chance),
    };
    world.note(&format!("server {server}: {rule:?}"));
    let _ = world.servers.get(server)?.script(rule, matches!(kind, FaultKind::Refusal));
    Ok(())
}

/// One of the things that go wrong does not any more.
fn mend(world: &mut World, server: usize) -> Result<()> {
    let count = world.servers.get(server)?.faults_count();
    if count > 0 {
        let place = world.chance.usize(..count);
        world.note(&format!("server {server}: fault {place} is mended"));
        world.servers.get(server)?.unscript(place);
    }
    Ok(())
}

/// A server does not mark and delete messages for a while, so that what is to be deleted waits.
fn refuse_actions(world: &mut World, server: usize) -> Result<()> {
    let rule = faults::refused_action(&mut world.chance);
    world.note(&format!("server {server}: {rule:?}"));
    let _ = world.servers.get(server)?.script(rule, false);
    Ok(())
}

/// A server goes down or comes back, cuts connections, or refuses logins.
fn outage(world: &mut World, server: usize) -> Result<()> {
    let what = world.chance.u8(..5);
    world.note(&format!("server {server}: outage {what}"));
    let at = world.servers.get(server)?;
    match what {
        0 => at.set_reach(Reach::Refuses),
        1 => at.set_reach(Reach::Silent),
        2 => at.cut(),
        3 => at.sandbox.edit(|state| state.refuse_logins(None, Some(2))),
        _ => at.set_reach(Reach::Up),
    }
    Ok(())
}

/// The time of day jumps, by seconds or by days.
fn jump(world: &mut World) {
    let longest: i64 = if world.chance.bool() { 120_000 } else { 3 * 86_400_000 };
    let ms = world.chance.i64(-longest..longest);
    world.note(&format!("the time of day jumps by {} s", ms / 1000));
    world.time.jump(ms);
}

/// A client changes the configuration.
async fn change(world: &mut World, process: &EngineProcess) -> Result<()> {
    let mailbox = world.any_mailbox();
    let store = &process.store;
    let Some(id) = world.truth.folders.get(&mailbox).context("no such folder")?.id else {
        return Ok(());
    };
    let what = world.chance.u8(..7);
    world.note(&format!("client: change {what} of {mailbox:?}"));
    let values = match what {
        0 => return client::enable_folder(world, store, mailbox, false).await,
        1 => return client::enable_folder(world, store, mailbox, true).await,
        2 => return client::enable_account(world, store, mailbox.user, false).await,
        3 => return client::enable_account(world, store, mailbox.user, true).await,
        4 => {
            let stored = client::list(store, builtin::MESSAGES).await?;
            world.may_delete(mailbox, &stored)?;
            json!({"deleteOnServer": true})
        }
        5 => {
            if let Some(folder) = world.truth.folders.get_mut(&mailbox) {
                folder.may_mark = true;
            }
            json!({"options": {"keep_unseen": false}})
        }
        _ => json!({"deleteOnServer": false, "options": {}}),
    };
    client::change(store, builtin::FOLDERS, id, values).await?;
    let passed = world.time.passed();
    if let (6.., Some(folder)) = (what, world.truth.folders.get_mut(&mailbox)) {
        folder.keeps_since = Some(passed);
    }
    Ok(())
}

/// A client deletes a message that was received.
async fn delete_received(world: &mut World, process: &EngineProcess) -> Result<()> {
    let received = client::list(&process.store, builtin::MESSAGES).await?;
    // Those of a folder that was deleted may come again in another.
    let is_former = |folder| world.truth.former_folders.contains(&folder);
    let received: Vec<_> = received
        .iter()
        .filter(|m| m.text("messageDirection") == Some("in"))
        .filter(|m| m.reference("folder_id").is_some_and(|folder| !is_former(folder)))
        .collect();
    let Some(entity) = world.chance.choice(&received) else {
        return Ok(());
    };
    let subject = entity.text("subject").unwrap_or_default().to_owned();
    let arrival = world.truth.arrivals.get_mut(&subject);
    let Some(arrival) = arrival.filter(|arrival| !arrival.may_be_twice) else {
        return Ok(());
    };
    arrival.deleted = Deleted::Asked;
    let deleted = client::delete(&process.store, builtin::MESSAGES, entity.id).await?;
    arrival.deleted = deleted;
    world.note(&format!("client: delete {subject}: {deleted:?}"));
    Ok(())
}

/// A client deletes a message that was to be sent, or takes it back.
async fn delete_outgoing(world: &mut World, process: &EngineProcess) -> Result<()> {
    let kept = world.truth.outgoing.iter().filter(|(_, one)| one.deleted == Deleted::No);
    let kept: Vec<(String, EntityId)> =
        kept.map(|(subject, one)| (subject.clone(), one.id)).collect();
    let Some((subject, id)) = world.chance.choice(&kept).cloned() else {
        return Ok(());
    };
    if world.chance.bool() {
        return client::withdraw(world, &process.store, &subject).await;
    }
    if let Some(outgoing) = world.truth.outgoing.get_mut(&subject) {
        outgoing.deleted = Deleted::Asked;
        let deleted = client::delete(&process.store, builtin::MESSAGES, id).await?;
        outgoing.deleted = deleted;
        world.note(&format!("client: delete {subject}: {deleted:?}"));
    }
    Ok(())
}

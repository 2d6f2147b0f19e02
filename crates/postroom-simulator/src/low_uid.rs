//! Low UIDs: a scene in which a server gives a stored message a UID below UIDNEXT, under the same
//! UIDVALIDITY. A process that has proven the mailbox complete before knows the message again.

use crate::client;
use crate::others;
use crate::process::EngineProcess;
use crate::scenes;
use crate::scenes::ScenePlace;
use crate::servers::Reach;
use crate::truth::UserMailbox;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin;
use std::time::Duration;

/// How long a folder may take to be proven complete. Otherwise the scene ends.
const PROVEN_WITHIN: Duration = Duration::from_secs(400);
/// How long the engine may work on what it got before the server went away.
const UNDER_WAY: Duration = Duration::from_secs(5);

/// A proof that a folder is complete.
#[derive(Debug, Clone, Copy)]
struct WantedProof {
    folder: EntityId,
    /// It is not older than this, by the time of day of the engine.
    since_ms: i64,
    /// UIDNEXT is above this.
    uid: u32,
}

impl WantedProof {
    /// Whether the folder has been proven complete, and nothing is known since then that is not
    /// stored. A mailbox whose epoch has ended since shows no UIDNEXT.
    async fn is_there(self, process: &EngineProcess) -> Result<bool> {
        let folders = client::list(&process.store, builtin::FOLDERS).await?;
        let folder = folders.iter().find(|folder| folder.id == self.folder);
        let folder = folder.context("no such folder")?;
        let at = folder.text("lastProofAt").and_then(|text| Timestamp::parse(text).ok());
        let number = |name: &str| folder.number(name).unwrap_or_default();
        Ok(at.is_some_and(|at| at.as_ms() >= self.since_ms)
            && number("uidNext") > i64::from(self.uid)
            && number("serverCount") == number("storedCount"))
    }

    /// Waits until it is there. Gives whether that was soon enough.
    async fn comes(self, world: &World, process: &EngineProcess) -> Result<bool> {
        let began = world.time.passed();
        while world.time.passed() < began + PROVEN_WITHIN {
            if self.is_there(process).await? {
                return Ok(true);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        Ok(false)
    }
}

/// Mail comes while a server is away. When the server is back, a stored message has a UID that no
/// message had, and that no new one can get.
///
/// # Errors
///
/// When the store fails, or the engine records the message twice.
pub async fn scene(world: &mut World, process: &EngineProcess) -> Result<()> {
    let Some(ScenePlace { mailbox, server, folder }) = scenes::any_place(world) else {
        return Ok(());
    };
    world.note(&format!("scene: {mailbox:?} gets mail and is complete"));
    let uid = others::leave_out_uids(world, mailbox)?;
    let since_ms = process.store.clock().now_ms();
    let count = world.chance.usize(2..6);
    scenes::arrive(world, mailbox, count)?;
    let proof = WantedProof { folder, since_ms, uid };
    if !proof.comes(world, process).await? {
        return Ok(());
    }
    world.servers.get(server)?.set_reach(Reach::Refuses);
    tokio::time::sleep(UNDER_WAY).await;
    let moved = match proof.is_there(process).await? {
        true => give_low_uid(world, process, mailbox, uid).await?,
        false => None,
    };
    let since_ms = process.store.clock().now_ms();
    scenes::arrive(world, mailbox, 1)?;
    let last = world.messages(mailbox)?.last().map_or(0, |message| message.uid);
    world.servers.get(server)?.set_reach(Reach::Up);
    let proof = WantedProof { folder, since_ms, uid: last };
    if let (Some(subject), true) = (moved, proof.comes(world, process).await?) {
        let stored = client::list(&process.store, builtin::MESSAGES).await?;
        let count = stored.iter().filter(|it| is(it, folder, &subject)).count();
        ensure!(count <= 1, "{subject} was recorded again under a UID below UIDNEXT");
        world.note(&format!("scene: {subject} is known under its low UID"));
        if let Some(arrival) = world.truth.arrivals.get_mut(&subject) {
            arrival.may_be_twice = false;
        }
    }
    Ok(())
}

/// Gives one of the stored messages this UID. Gives its subject.
async fn give_low_uid(
    world: &mut World,
    process: &EngineProcess,
    mailbox: UserMailbox,
    uid: u32,
) -> Result<Option<String>> {
    let folder = world.truth.folders.get(&mailbox).and_then(|folder| folder.id);
    let mut stored = client::list(&process.store, builtin::MESSAGES).await?;
    stored.retain(|entity| entity.reference("folder_id") == folder);
    let there = world.messages(mailbox)?;
    let mut known = vec![];
    for (subject, arrival) in &world.truth.arrivals {
        let is_stored = stored.iter().any(|it| it.text("subject") == Some(subject));
        let message = there.iter().find(|message| message.bytes == arrival.bytes);
        if let (Some(message), true) = (message, is_stored && !arrival.may_be_twice) {
            known.push((subject.clone(), message.uid));
        }
    }
    let Some((subject, former)) = world.chance.choice(&known).cloned() else {
        return Ok(None);
    };
    // If the process ends before it has seen that, the next one cannot know it.
    if let Some(arrival) = world.truth.arrivals.get_mut(&subject) {
        arrival.may_be_twice = true;
    }
    others::give_uid(world, mailbox, former, uid)?;
    Ok(Some(subject))
}

/// Whether it is the message of that folder with that subject.
fn is(message: &Entity, folder: EntityId, subject: &str) -> bool {
    message.reference("folder_id") == Some(folder) && message.text("subject") == Some(subject)
}

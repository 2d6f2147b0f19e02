//! Scenes: several things that happen one after the other, because chance alone hardly ever brings
//! them together.

use crate::check;
use crate::client;
use crate::mail;
use crate::others;
use crate::process::EngineProcess;
use crate::servers::Reach;
use crate::truth::ArrivedMail;
use crate::truth::Deleted;
use crate::truth::NOTE;
use crate::truth::UserMailbox;
use crate::world::PROMPT;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use anyhow::anyhow;
use postroom_model::EntityId;
use postroom_model::builtin;
use postroom_sandbox::Action;
use postroom_sandbox::ImapCommand;
use postroom_sandbox::Point;
use postroom_sandbox::Rule;
use postroom_sandbox::When;
use postroom_store::Error;
use postroom_store::Failed;
use serde_json::json;
use std::time::Duration;

/// Mail comes to a mailbox.
///
/// # Errors
///
/// When the server does not take it.
pub fn arrive(world: &mut World, mailbox: UserMailbox, count: usize) -> Result<()> {
    for _ in 0..count {
        let subject = world.truth.subject("in");
        let bytes = mail::make(&mut world.chance, &subject);
        let address = world.user(mailbox.user)?.address;
        let Some(name) = world.mailbox_name(mailbox) else {
            return Ok(());
        };
        let server = world.server_of(mailbox.user)?;
        let uid = server.sandbox.deliver(address, name, bytes.clone())?;
        let may_expire = world.truth.folders.get(&mailbox).is_some_and(|folder| folder.expires);
        let arrival = ArrivedMail {
            mailbox,
            bytes,
            at: world.time.passed(),
            removed_by_others: false,
            seen_by_others: false,
            must_stay: false,
            deleted: Deleted::No,
            was_recorded: false,
            may_expire,
            may_be_twice: false,
            verified: None,
        };
        world.truth.arrivals.insert(subject.clone(), arrival);
        world.note(&format!("{subject} arrives: {mailbox:?} UID {uid}"));
    }
    Ok(())
}

/// Where a scene takes place.
#[derive(Debug, Clone, Copy)]
pub struct ScenePlace {
    /// The mailbox.
    pub mailbox: UserMailbox,
    /// The number of its server.
    pub server: usize,
    /// Its folder, which the engine knows.
    pub folder: EntityId,
}

/// A mailbox of any user. `None`: it has no folder yet, is not there, or is at a server that has to
/// stay calm.
pub fn any_place(world: &mut World) -> Option<ScenePlace> {
    let mailbox = world.any_mailbox();
    let server = world.truth.accounts.get(&mailbox.user).map_or(0, |account| account.server);
    let folder = world.truth.folders.get(&mailbox).and_then(|folder| folder.id)?;
    world.mailbox_name(mailbox)?;
    let is_calm = server == 1 && world.plan.calm;
    (!is_calm).then_some(ScenePlace { mailbox, server, folder })
}

/// A server refuses to delete what is to be deleted. Before it does so again, UIDs come to mean
/// other messages, or the client does not want it any more.
///
/// # Errors
///
/// When a client is refused, or something does not hold.
pub async fn delayed_deletion(world: &mut World, process: &EngineProcess) -> Result<()> {
    let Some(ScenePlace { mailbox, server, folder }) = any_place(world) else {
        return Ok(());
    };
    world.note(&format!("scene: {mailbox:?} gets mail that is to stay"));
    let (stays, goes) = (world.chance.usize(10..24), world.chance.usize(8..14));
    arrive(world, mailbox, stays)?;
    pause(world, 30..60).await;
    let stored = client::list(&process.store, builtin::MESSAGES).await?;
    world.may_delete(mailbox, &stored)?;
    let on = json!({"deleteOnServer": true});
    client::change(&process.store, builtin::FOLDERS, folder, on).await?;
    let act = Action::tagged("NO [INUSE] not now");
    let rule = Rule { on: Point::ImapCommand(ImapCommand::Store), when: When::Always, act };
    let fault = world.servers.get(server)?.script(rule, false);
    world.note("scene: mail comes that is to be deleted, and is not yet");
    arrive(world, mailbox, goes)?;
    pause(world, 30..60).await;
    if world.plan.restores {
        let away = world.servers.get(server)?;
        away.set_reach(Reach::Refuses);
        let later = client::list(&process.store, builtin::MESSAGES).await?;
        let to_stay = others::uids_of(world, mailbox, &stored)?;
        let mut to_go = others::uids_of(world, mailbox, &later)?;
        to_go.retain(|uid| !to_stay.contains(uid));
        if let (Some(one), Some(other)) = (to_stay.last(), to_go.first()) {
            others::swap_two(world, mailbox, *one, *other)?;
        }
        world.servers.get(server)?.unscript_one(fault);
        pause(world, 120..400).await;
        world.servers.get(server)?.set_reach(Reach::Up);
    } else {
        world.note("scene: the client does not want it any more");
        let off = json!({"deleteOnServer": false});
        client::change(&process.store, builtin::FOLDERS, folder, off).await?;
        let passed = world.time.passed();
        let known = world.truth.folders.get_mut(&mailbox).context("no such folder")?;
        known.keeps_since = Some(passed);
        tokio::time::sleep(PROMPT).await;
        pause(world, 1..30).await;
        check::always(world, process).await?;
        world.servers.get(server)?.unscript_one(fault);
    }
    world.note("scene: the server deletes again");
    Ok(())
}

/// Mail comes while a server is away. When the server is back, its index was rebuilt: a UID that
/// was never fetched means a message that is stored, and the UID of that one means new mail.
///
/// # Errors
///
/// When the store fails, or there is no such server.
pub async fn swap_unfetched(world: &mut World, process: &EngineProcess) -> Result<()> {
    let mailbox = world.any_mailbox();
    let server = world.truth.accounts.get(&mailbox.user).map_or(0, |account| account.server);
    if world.mailbox_name(mailbox).is_none() || server == 1 && world.plan.calm {
        return Ok(());
    }
    world.note(&format!("scene: {mailbox:?} gets more mail than each poll checks"));
    let count = world.chance.usize(20..40);
    arrive(world, mailbox, count)?;
    pause(world, 60..120).await;
    world.note("scene: mail comes while the server is away");
    world.servers.get(server)?.set_reach(Reach::Refuses);
    let stored = client::list(&process.store, builtin::MESSAGES).await?;
    let recorded = others::uids_of(world, mailbox, &stored)?;
    let count = world.chance.usize(1..6);
    arrive(world, mailbox, count)?;
    let there = world.messages(mailbox)?.into_iter().map(|message| message.uid);
    let unfetched: Vec<_> = there.filter(|uid| !recorded.contains(uid)).collect();
    let (one, other) = (world.chance.choice(&recorded), world.chance.choice(&unfetched));
    if let (Some(one), Some(other)) = (one, other) {
        others::swap_two(world, mailbox, *one, *other)?;
    }
    world.servers.get(server)?.set_reach(Reach::Up);
    pause(world, 120..200).await;
    Ok(())
}

/// A client gives the class of messages one more property, or removes it with its values, while
/// mail comes.
///
/// # Errors
///
/// When the store refuses it.
pub async fn classes(world: &mut World, process: &EngineProcess) -> Result<()> {
    let store = &process.store;
    let former = store.classes();
    let class = former.get(builtin::MESSAGES).context("no class of messages")?;
    let has = class.property(NOTE).is_some();
    world.note(&format!("client: the class of messages has {NOTE}: {}", !has));
    let mailbox = world.any_mailbox();
    let count = world.chance.usize(1..12);
    arrive(world, mailbox, count)?;
    pause(world, 0..12).await;
    let property = match has {
        true => json!({"name": NOTE, "removed": true}),
        false => json!({"name": NOTE, "data_type": "string"}),
    };
    let change = |class| {
        let change = postroom_model::patched(class, &json!({"properties": [property]}));
        change.map_err(|found| anyhow!("{found:?}"))
    };
    let changed = match store.class_change(&former, change(class)?, None).await {
        Err(Error::Condition(Failed::Unconfirmed { count, .. })) => {
            world.note(&format!("client: {count} values of it are lost"));
            store.class_change(&former, change(class)?, Some(count)).await
        }
        changed => changed,
    };
    changed?;
    let messages = client::list(store, builtin::MESSAGES).await?;
    if let (false, Some(message)) = (has, world.chance.choice(&messages)) {
        client::change(store, builtin::MESSAGES, message.id, json!({NOTE: "read this"})).await?;
    }
    Ok(())
}

/// Waits for some of these seconds.
pub async fn pause(world: &mut World, seconds: std::ops::Range<u64>) {
    let seconds = world.chance.u64(seconds);
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

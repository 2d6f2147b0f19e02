//! Upheavals: mailboxes, accounts, folders, passwords and the disk are not what they were.

use crate::client;
use crate::disk::Fullness;
use crate::servers::HOSTS;
use crate::servers::PASSWORD;
use crate::servers::USERS;
use crate::servers::WORK;
use crate::truth::AskedChange;
use crate::truth::Deleted;
use crate::truth::UserMailbox;
use crate::world::World;
use anyhow::Context;
use anyhow::Result;
use postroom_model::EntityId;
use postroom_model::builtin;
use postroom_store::Store;
use serde_json::json;

/// The other name of the mailbox that is renamed.
const RENAMED: &str = "Done";

/// Somebody renames a mailbox or renames it back, removes it with its mail, or makes it again.
///
/// # Errors
///
/// When the server refuses it.
pub fn mailbox(world: &mut World) -> Result<()> {
    let user = world.chance.usize(..USERS.len());
    let mailbox = UserMailbox { user, name: WORK };
    let what = world.chance.u8(..3);
    match (world.mailbox_name(mailbox), what) {
        (None, _) => make_again(world, mailbox),
        (Some(_), 0) => remove(world, mailbox),
        (Some(name), _) => rename(world, mailbox, if name == WORK { RENAMED } else { WORK }),
    }
}

/// All mailboxes are there again, under the names that they had last.
///
/// # Errors
///
/// When the server refuses it.
pub fn restore_mailboxes(world: &mut World) -> Result<()> {
    for user in 0..USERS.len() {
        let mailbox = UserMailbox { user, name: WORK };
        if world.mailbox_name(mailbox).is_none() {
            make_again(world, mailbox)?;
        }
    }
    Ok(())
}

/// A person deletes the folders that have not followed their renamed mailboxes, because nothing
/// showed that these are the same. The mailboxes have folders of their own, which are taken then.
///
/// # Errors
///
/// When the store fails.
pub async fn delete_left_behind(world: &mut World, store: &Store) -> Result<()> {
    for folder in client::list(store, builtin::FOLDERS).await? {
        let mut known = world.truth.folders.iter();
        let of = known.find(|(_, known)| known.id == Some(folder.id)).map(|(mailbox, _)| *mailbox);
        let Some(mailbox) = of else {
            continue;
        };
        if folder.text("name") != world.mailbox_name(mailbox) {
            world.note(&format!("client: delete the folder that {mailbox:?} has left behind"));
            forget_folder(world, mailbox)?;
            client::delete(store, builtin::FOLDERS, folder.id).await?;
        }
    }
    Ok(())
}

fn rename(world: &mut World, mailbox: UserMailbox, name: &'static str) -> Result<()> {
    let former = world.mailbox_name(mailbox).context("no such mailbox")?;
    let address = world.user(mailbox.user)?.address;
    world.note(&format!("{mailbox:?} is renamed from {former} to {name}"));
    for server in world.servers.all() {
        server.sandbox.edit(|state| state.rename_mailbox(address, former, name))?;
    }
    if let Some(folder) = world.truth.folders.get_mut(&mailbox) {
        folder.renamed = (name != WORK).then_some(name);
        // Whether the folder follows depends on what is recorded.
        folder.enabled_at = None;
    }
    Ok(())
}

fn remove(world: &mut World, mailbox: UserMailbox) -> Result<()> {
    let name = world.mailbox_name(mailbox).context("no such mailbox")?;
    let address = world.user(mailbox.user)?.address;
    world.note(&format!("{mailbox:?} is removed"));
    for server in world.servers.all() {
        server.sandbox.delete_mailbox(address, name)?;
    }
    for arrival in world.truth.arrivals_in(mailbox) {
        arrival.removed_by_others = true;
    }
    if let Some(folder) = world.truth.folders.get_mut(&mailbox) {
        (folder.is_away, folder.enabled_at) = (true, None);
    }
    Ok(())
}

fn make_again(world: &mut World, mailbox: UserMailbox) -> Result<()> {
    let address = world.user(mailbox.user)?.address;
    world.note(&format!("{mailbox:?} is made again"));
    if let Some(folder) = world.truth.folders.get_mut(&mailbox) {
        folder.is_away = false;
    }
    let name = world.mailbox_name(mailbox).unwrap_or(WORK);
    for server in world.servers.all() {
        server.sandbox.create_mailbox(address, name)?;
    }
    Ok(())
}

/// A client moves an account to the other server, or deletes a folder or an account, which is made
/// again later.
///
/// # Errors
///
/// When the store fails.
pub async fn configuration(world: &mut World, store: &Store) -> Result<()> {
    let user = world.chance.usize(..USERS.len());
    let Some(id) = world.truth.accounts.get(&user).context("no such account")?.id else {
        return make_accounts(world, store).await;
    };
    match world.chance.u8(..4) {
        0 | 1 => move_account(world, store, user, id).await,
        2 => {
            let name = if world.chance.bool() { "INBOX" } else { WORK };
            let mailbox = UserMailbox { user, name };
            let folder = world.truth.folders.get(&mailbox).and_then(|folder| folder.id);
            let Some(folder) = folder else {
                return Ok(());
            };
            world.note(&format!("client: delete the folder of {mailbox:?}"));
            forget_folder(world, mailbox)?;
            let asked = AskedChange { class: builtin::FOLDERS, id: folder, values: None };
            world.truth.asked.push(asked);
            client::ask_again(world, store).await
        }
        _ => {
            world.note(&format!("client: delete the account of user {user}"));
            for name in ["INBOX", WORK] {
                forget_folder(world, UserMailbox { user, name })?;
            }
            for outgoing in world.truth.outgoing.values_mut().filter(|one| one.user == user) {
                outgoing.account_is_gone = true;
            }
            if let Some(account) = world.truth.accounts.get_mut(&user) {
                (account.id, account.enabled_at) = (None, None);
            }
            let asked = AskedChange { class: builtin::ACCOUNTS, id, values: None };
            world.truth.asked.push(asked);
            client::ask_again(world, store).await
        }
    }
}

/// Makes the accounts again that clients have deleted.
///
/// # Errors
///
/// When the store refuses it.
pub async fn make_accounts(world: &mut World, store: &Store) -> Result<()> {
    let gone = world.truth.accounts.iter().filter(|(_, account)| account.id.is_none());
    let gone: Vec<(usize, usize)> = gone.map(|(user, account)| (*user, account.server)).collect();
    for (user, server) in gone {
        world.note(&format!("client: make the account of user {user} again"));
        client::make_account(world, store, user, server).await?;
    }
    Ok(())
}

/// A folder is about to be deleted with what is known of its mailbox: a new folder gets all of its
/// mail, the deleted one too.
fn forget_folder(world: &mut World, mailbox: UserMailbox) -> Result<()> {
    let there = world.messages(mailbox)?;
    let now = world.time.passed();
    for arrival in world.truth.arrivals_in(mailbox) {
        arrival.was_recorded |= arrival.deleted != Deleted::No;
        arrival.removed_by_others |= !there.iter().any(|message| message.bytes == arrival.bytes);
        (arrival.deleted, arrival.verified) = (Deleted::No, None);
    }
    let folder = world.truth.folders.get_mut(&mailbox).context("no such folder")?;
    let former = folder.id.take();
    (folder.enabled_at, folder.keeps_since) = (None, Some(now));
    world.truth.former_folders.extend(former);
    Ok(())
}

/// The account of a user moves. Its mail has been copied to the new server, or not.
async fn move_account(world: &mut World, store: &Store, user: usize, id: EntityId) -> Result<()> {
    let from = world.truth.accounts.get(&user).context("no such account")?.server;
    let to = (from + 1) % HOSTS.len();
    let is_copied = world.chance.u8(..3) > 0;
    let address = world.user(user)?.address;
    world.note(&format!("client: user {user} moves to server {to}, mail copied: {is_copied}"));
    let profile = *world.truth.profiles.get(to).context("no such profile")?;
    for name in ["INBOX", WORK] {
        let mailbox = UserMailbox { user, name };
        let Some(there) = world.mailbox_name(mailbox) else {
            continue;
        };
        let old = world.messages(mailbox)?;
        let server = world.servers.get(to)?;
        let new = server.sandbox.messages(address, there);
        let is_there = |bytes| new.iter().any(|message| message.bytes == bytes);
        for message in old.iter().filter(|message| is_copied && !is_there(&message.bytes)) {
            server.sandbox.edit(|state| {
                let (bytes, flags) = (message.bytes.clone(), message.flags.clone());
                let date = message.internal_date_ms;
                state.mailbox_mut(address, there).map(|found| found.append(bytes, flags, date))
            })?;
        }
    }
    let former = world.truth.accounts.get_mut(&user).context("no such account")?;
    let is_enabled = former.enabled_at.take().is_some();
    former.server = to;
    for name in ["INBOX", WORK] {
        let mailbox = UserMailbox { user, name };
        let there = world.messages(mailbox)?;
        for arrival in world.truth.arrivals_in(mailbox) {
            let is_there = there.iter().any(|message| message.bytes == arrival.bytes);
            (arrival.removed_by_others, arrival.seen_by_others) = (!is_there, true);
        }
    }
    let values = Some(json!({"profile_id": profile}));
    world.truth.asked.push(AskedChange { class: builtin::ACCOUNTS, id, values });
    client::ask_again(world, store).await?;
    let now = world.time.passed();
    if let Some(account) = world.truth.accounts.get_mut(&user) {
        account.enabled_at = is_enabled.then_some(now);
    }
    Ok(())
}

/// The disk is full, fuller, or has room again.
pub fn disk(world: &mut World) {
    let fullness = match world.chance.u8(..4) {
        0 => Fullness::Full,
        1 => Fullness::NotEvenReserve,
        _ => Fullness::Room,
    };
    world.note(&format!("the disk: {fullness:?}"));
    world.disk.set(fullness, world.time.passed());
}

/// A server does not take the password of a user, or takes it again.
///
/// # Errors
///
/// When there is no such user.
pub fn password(world: &mut World) -> Result<()> {
    let user = world.chance.usize(..USERS.len());
    let is_right = world.chance.bool();
    let account = world.truth.accounts.get_mut(&user).context("no such account")?;
    if world.plan.calm && account.server == 1 {
        return Ok(());
    }
    // It may have given up for a long while.
    account.enabled_at = None;
    let address = world.user(user)?.address;
    world.note(&format!("server: the password of {address} is right: {is_right}"));
    let password = if is_right { PASSWORD } else { "another" };
    world.server_of(user)?.sandbox.add_user(address, password);
    Ok(())
}

/// All servers take all passwords again.
pub fn restore_passwords(world: &World) {
    for server in world.servers.all() {
        for user in USERS {
            server.sandbox.add_user(user.address, PASSWORD);
        }
    }
}

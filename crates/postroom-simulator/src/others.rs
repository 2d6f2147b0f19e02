//! Others: who works in the mailboxes beside the engine, and servers that give UIDs other meanings.

use crate::truth::UserMailbox;
use crate::world::World;
use anyhow::Result;
use postroom_model::Entity;
use postroom_sandbox::Mailbox;
use postroom_sandbox::StoredMessage;

/// Somebody removes or reads a message, or the server numbers its messages anew.
///
/// # Errors
///
/// When there is no such mailbox.
pub fn work(world: &mut World) -> Result<()> {
    let mailbox = world.any_mailbox();
    let messages = world.messages(mailbox)?;
    let chosen = world.chance.choice(&messages).cloned();
    match (world.chance.u8(..4), chosen) {
        (0, Some(message)) => {
            note_message(world, &message, true);
            in_mailbox(world, mailbox, |found| drop(found.expunge(message.uid)))
        }
        (1, Some(message)) => {
            note_message(world, &message, false);
            in_mailbox(world, mailbox, |found| {
                found.set_flags(message.uid, vec!["\\Seen".to_owned()]);
            })
        }
        (2, _) => {
            let (validity, first) = (world.chance.u32(1..1_000_000), world.chance.u32(1..5));
            world.note(&format!("{mailbox:?} is numbered anew: {validity} from {first} on"));
            in_mailbox(world, mailbox, |found| found.renumber(validity, first))
        }
        (_, Some(message)) => {
            // Somebody marks it, and never expunges it.
            world.note(&format!("others: UID {} of {mailbox:?} is marked", message.uid));
            in_mailbox(world, mailbox, |found| {
                let flags = [message.flags.clone(), vec!["\\Deleted".to_owned()]].concat();
                found.set_flags(message.uid, flags);
            })
        }
        _ => Ok(()),
    }
}

/// Makes a backup of a mailbox, or does what gives UIDs other meanings under the same UIDVALIDITY:
/// restores it, rebuilds its index, or numbers its messages from 1 on.
///
/// Sessions do not survive that. Otherwise nobody could know what a UID means.
///
/// # Errors
///
/// When there is no such mailbox.
pub fn restore(world: &mut World) -> Result<()> {
    let mailbox = world.any_mailbox();
    let address = world.user(mailbox.user)?.address;
    let Some(name) = world.mailbox_name(mailbox) else {
        return Ok(());
    };
    let server = world.server_of(mailbox.user)?;
    let now = server.sandbox.look(|state| state.mailbox(address, name).cloned())?;
    match world.chance.u8(..8) {
        0..3 => {
            world.note(&format!("{mailbox:?} is saved: {} messages", now.len()));
            world.truth.backups.insert(mailbox, now);
            return Ok(());
        }
        3 => from_backup(world, mailbox)?,
        4 => {
            // From a higher UID on it would look as if all messages were moved away and back, and
            // such messages are recorded again.
            world.note(&format!("{mailbox:?} is numbered anew under the same UIDVALIDITY"));
            in_mailbox(world, mailbox, |found| found.renumber(now.uid_validity(), 1))?;
        }
        _ => {
            let times = world.chance.usize(1..4);
            swap(world, mailbox, times)?;
        }
    }
    world.server_of(mailbox.user)?.cut();
    Ok(())
}

/// UIDs mean other messages, because the index of a mailbox was rebuilt. Those that were never
/// fetched do so too.
///
/// # Errors
///
/// When there is no such mailbox.
fn swap(world: &mut World, mailbox: UserMailbox, times: usize) -> Result<()> {
    let uids: Vec<_> = world.messages(mailbox)?.iter().map(|message| message.uid).collect();
    for _ in 0..times {
        let (one, other) = (world.chance.choice(&uids), world.chance.choice(&uids));
        if let (Some(one), Some(other)) = (one, other) {
            swap_two(world, mailbox, *one, *other)?;
        }
    }
    Ok(())
}

/// Two UIDs mean each the message of the other.
///
/// # Errors
///
/// When there is no such mailbox.
pub fn swap_two(world: &mut World, mailbox: UserMailbox, one: u32, other: u32) -> Result<()> {
    world.note(&format!("{mailbox:?}: UIDs {one} and {other} are swapped"));
    in_mailbox(world, mailbox, |found| {
        found.swap(one, other);
    })
}

/// The next messages of a mailbox get UIDs from a later one on. Gives a UID that no message has
/// had.
///
/// # Errors
///
/// When there is no such mailbox.
pub fn leave_out_uids(world: &mut World, mailbox: UserMailbox) -> Result<u32> {
    let count = world.chance.u32(1..4);
    let mut first = 0;
    in_mailbox(world, mailbox, |found| {
        let above = found.messages().last().map_or(0, |message| message.uid);
        first = found.uid_next().max(above.saturating_add(1));
        found.set_uid_next(first.saturating_add(count));
    })?;
    world.note(&format!("others: {mailbox:?} leaves out {count} UIDs from {first} on"));
    Ok(first)
}

/// A message gets another UID, which may be below UIDNEXT.
///
/// # Errors
///
/// When there is no such mailbox.
pub fn give_uid(world: &mut World, mailbox: UserMailbox, uid: u32, other: u32) -> Result<()> {
    world.note(&format!("{mailbox:?}: UID {uid} is {other} now"));
    in_mailbox(world, mailbox, |found| {
        found.give_uid(uid, other);
    })
}

/// The UIDs of the messages of a mailbox that are among the `stored` ones.
///
/// # Errors
///
/// When there is no such user.
pub fn uids_of(world: &World, mailbox: UserMailbox, stored: &[Entity]) -> Result<Vec<u32>> {
    let is_stored = |message: &StoredMessage| {
        let mut known = world.truth.arrivals.iter();
        let subject = known.find(|(_, one)| one.bytes == message.bytes).map(|(subject, _)| subject);
        subject.is_some_and(|subject| stored.iter().any(|e| e.text("subject") == Some(subject)))
    };
    let messages = world.messages(mailbox)?;
    Ok(messages.iter().filter(|one| is_stored(one)).map(|message| message.uid).collect())
}

/// What came since is lost, and what was removed is back.
fn from_backup(world: &mut World, mailbox: UserMailbox) -> Result<()> {
    let Some(backup) = world.truth.backups.get(&mailbox).cloned() else {
        return Ok(());
    };
    world.note(&format!("{mailbox:?} is restored: {} messages", backup.len()));
    for arrival in world.truth.arrivals.values_mut().filter(|one| one.mailbox == mailbox) {
        let is_back = backup.messages().any(|message| message.bytes == arrival.bytes);
        arrival.removed_by_others = !is_back;
    }
    in_mailbox(world, mailbox, |found| found.restore(&backup))
}

/// Notes what others do with a message.
fn note_message(world: &mut World, message: &StoredMessage, removes: bool) {
    let known = world.truth.arrivals.iter_mut().find(|(_, one)| one.bytes == message.bytes);
    if let Some((subject, arrival)) = known {
        let line = format!("others: {subject} is {}", if removes { "removed" } else { "seen" });
        arrival.removed_by_others |= removes;
        arrival.seen_by_others = true;
        world.note(&line);
    }
}

fn in_mailbox(
    world: &World,
    mailbox: UserMailbox,
    change: impl FnOnce(&mut Mailbox),
) -> Result<()> {
    let address = world.user(mailbox.user)?.address;
    if let Some(name) = world.mailbox_name(mailbox) {
        let server = world.server_of(mailbox.user)?;
        server.sandbox.edit(|state| state.mailbox_mut(address, name).map(change))?;
    }
    Ok(())
}

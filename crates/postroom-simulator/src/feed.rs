//! The feed: every entity as it was at the last look follows from how it is now, with the changes
//! since undone. So no change is missing in the feed, and none says what was not.

use crate::client;
use crate::process::EngineProcess;
use crate::truth::NOTE;
use anyhow::Result;
use anyhow::ensure;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Operation;
use postroom_model::builtin;
use std::collections::BTreeMap;
use std::collections::BTreeSet;

/// The classes that are looked at.
const CLASSES: [&str; 4] =
    [builtin::PROFILES, builtin::ACCOUNTS, builtin::FOLDERS, builtin::MESSAGES];
/// Moments that are shown and written without a row of the feed.
const SHOWN: [&str; 2] = ["lastPollAt", "lastProofAt"];
/// More changes than there ever are between two looks.
const ALL: u32 = 1_000_000;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub struct FeedCheck {
    seq: i64,
    /// The version of the classes.
    classes: i64,
    entities: BTreeMap<EntityId, Entity>,
}

/// Compares but for what is only shown, and no change to anybody.
fn same(columns: &BTreeSet<String>, rebuilt: &Entity, entity: &Entity) -> Result<()> {
    let id = entity.id;
    ensure!(rebuilt.version == entity.version, "{id} has another version by the feed");
    for name in columns.iter().filter(|name| !SHOWN.contains(&name.as_str())) {
        let (by_feed, was) = (rebuilt.get(name), entity.get(name));
        ensure!(by_feed == was, "{id}: {name} was {was}, and the feed leads to {by_feed}");
    }
    Ok(())
}

impl FeedCheck {
    /// Looks, and compares with the last look.
    ///
    /// # Errors
    ///
    /// Says which entity does not follow.
    pub async fn check(&mut self, process: &EngineProcess) -> Result<()> {
        let store = &process.store;
        // Files have rows of their own.
        let all = store.classes();
        let classes = all.iter().flat_map(|class| class.columns());
        let mut columns: BTreeSet<String> = classes.map(|property| property.name.clone()).collect();
        if all.version() != self.classes {
            // With a property its values go, and the feed does not keep them.
            columns.remove(NOTE);
            self.classes = all.version();
        }
        let (domain, mut tries) = (Domain::default_domain(), 0);
        // Nothing may change while all of it is read.
        let (now, rows) = loop {
            let before = store.feed_list(&domain, self.seq, ALL).await?;
            let mut now = BTreeMap::new();
            for class in CLASSES {
                let list = client::list(store, class).await?;
                now.extend(list.into_iter().map(|entity| (entity.id, entity)));
            }
            let rows = store.feed_list(&domain, self.seq, ALL).await?;
            if rows.len() == before.len() {
                break (now, rows);
            }
            tries += 1;
            if tries > 20 {
                return Ok(());
            }
        };
        let mut then: BTreeMap<EntityId, Option<Entity>> =
            now.iter().map(|(id, entity)| (*id, Some(entity.clone()))).collect();
        for row in rows.iter().rev() {
            if row.operation == Operation::Delete {
                ensure!(!now.contains_key(&row.entity), "{} is deleted and there", row.entity);
                ensure!(row.replaced.is_none(), "the feed keeps what a deletion replaced");
            }
            let after = then.remove(&row.entity).flatten();
            let before = after.and_then(|after| row.undo(after));
            then.insert(row.entity, before);
        }
        for (id, entity) in &self.entities {
            let Some(rebuilt) = then.get(id) else {
                anyhow::bail!("{id} is gone, and the feed does not say so");
            };
            if let (Some(rebuilt), true) = (rebuilt, now.contains_key(id)) {
                same(&columns, rebuilt, entity)?;
            }
        }
        for (id, before) in &then {
            let is_new = before.is_some() && !self.entities.contains_key(id);
            ensure!(!is_new || self.seq == 0, "{id} is new, and the feed does not say so");
        }
        self.seq = rows.last().map_or(self.seq, |row| row.seq);
        self.entities = now;
        Ok(())
    }
}

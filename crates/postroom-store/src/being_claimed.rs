//! The entities that claims of this process choose at this moment, so that claims which run at once
//! choose different ones. It is no rule: the statement that claims keeps that.

use postroom_model::EntityId;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::PoisonError;

/// The entities that are being claimed. Each is there for as long as one statement takes.
#[derive(Debug, Clone, Default)]
pub(crate) struct BeingClaimed(Arc<Mutex<HashSet<EntityId>>>);

/// Entities that were chosen. Others may choose them when it is dropped.
#[derive(Debug)]
pub(crate) struct Chosen {
    among: BeingClaimed,
    entities: Vec<EntityId>,
}

impl BeingClaimed {
    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Chooses the first `count` of these entities that nobody else has chosen.
    pub(crate) fn choose(&self, free: &[EntityId], count: usize) -> Chosen {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let entities = free.iter().copied().filter(|id| !all.contains(id)).take(count);
        let entities: Vec<_> = entities.collect();
        all.extend(&entities);
        drop(all);
        Chosen { among: self.clone(), entities }
    }
}

impl Chosen {
    /// The entities, in their order.
    pub(crate) fn entities(&self) -> &[EntityId] {
        &self.entities
    }
}

impl Drop for Chosen {
    fn drop(&mut self) {
        let mut all = self.among.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in &self.entities {
            all.remove(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_has_chosen_no_other_chooses_until_it_is_done() {
        let ids: Vec<_> = (1..=3).map(EntityId::from_u128).collect();
        let all = BeingClaimed::default();
        let first = all.choose(&ids, 2);
        assert_eq!((first.entities(), all.count()), (&ids[..2], 2));
        let second = all.choose(&ids, 2);
        assert_eq!(second.entities(), &ids[2..]);
        assert!(all.choose(&ids, 2).entities().is_empty());
        drop(first);
        assert_eq!(all.choose(&ids, 9).entities(), &ids[..2]);
        assert_eq!(all.count(), 1);
    }
}

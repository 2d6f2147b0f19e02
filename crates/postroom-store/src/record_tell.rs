//! What the engine records of an entity, again and again until it is recorded.

use crate::error::Error;
use crate::failed::Failed;
use crate::record::ATTEMPTS;
use crate::record::Records;
use postroom_model::EntityId;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;

impl Records<'_> {
    /// Sets properties that only the engine sets, as [`Self::report`] does, and tries again when
    /// somebody else changes the entity meanwhile. If there is no such entity, nothing is done.
    ///
    /// # Errors
    ///
    /// When the store fails; [`Failed::Crowded`] if others change the entity again and again.
    pub(crate) async fn tell(&self, id: EntityId, values: &Map<String, Json>) -> Result<(), Error> {
        for _ in 0..ATTEMPTS {
            let class = self.store.class_of(self.domain, &self.class.classname);
            let class = class.ok_or(Error::Condition(Failed::OtherClasses))?;
            let records = Records { class: &class, ..*self };
            let Some(current) = self.store.entity_get(self.domain, &class, id).await? else {
                return Ok(());
            };
            let batch = records.report(&current, values)?;
            if batch.is_empty() {
                return Ok(());
            }
            // A new text uses the reserve, because it may say that the disk is full.
            let text = values.get(names::STATUS_TEXT);
            let written = if text.is_some_and(|text| text != current.get(names::STATUS_TEXT)) {
                self.store.write_at_need(batch).await
            } else {
                self.store.write(batch).await
            };
            match written {
                Ok(_) => return Ok(()),
                // Somebody else changed the entity or the classes first: try again.
                Err(Error::Condition(Failed::Stale | Failed::OtherClasses)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }
}

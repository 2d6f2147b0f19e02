//! The work claims of many entities at once, for lists.

use crate::columns::places;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::file_page::padded;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use std::collections::HashMap;

/// The work claim of an entity as everybody may see it, without the token. The default: it has
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ListedClaim {
    /// Its worker. `None`: nobody has it now.
    pub by: Option<String>,
    /// When the claim expires. `None`: nobody has it now.
    pub until: Option<Timestamp>,
    /// How often the entity was claimed since it was acknowledged last, or ever.
    pub claims: u64,
}

impl Store {
    /// The claims of entities of a class. It is one query, whatever the number of entities. Those
    /// that were never claimed are absent.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn claim_page(
        &self,
        domain: &Domain,
        class: &Class,
        entities: &[EntityId],
    ) -> Result<HashMap<EntityId, ListedClaim>, Error> {
        if entities.is_empty() {
            return Ok(HashMap::new());
        }
        let mut statement = Statement::new("").bind(class.classname.as_str()).bind(domain.as_str());
        let ids = padded(entities);
        let of = places(statement.values.len() + 1, ids.len());
        statement.values.extend(ids);
        statement.sql = format!(
            "SELECT \"entity\", \"claims\", \"by\", \"until\" FROM \"work claim\"
             WHERE \"class\" = $1 AND \"domain\" = $2 AND \"entity\" IN ({of})"
        )
        .into();
        let now_ms = self.clock().now_ms();
        let rows = self.read(statement).await?;
        let listed: Option<_> = rows.iter().map(|row| of_row(row, now_ms)).collect();
        listed.ok_or(Error::Damaged { what: "a claim" })
    }
}

fn of_row(row: &Row, now_ms: i64) -> Option<(EntityId, ListedClaim)> {
    let (entity, until) = (row.id(0)?, row.whole(3)?);
    let claims = u64::try_from(row.whole(1)?).ok()?;
    // One that was given back or acknowledged has no worker, or has expired.
    let by = row.text(2).filter(|_| until > now_ms).map(str::to_owned);
    let until = by.is_some().then(|| Timestamp::from_ms(until));
    Some((entity, ListedClaim { by, until, claims }))
}

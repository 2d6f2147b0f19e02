//! A token gets a new value, and its former one stays valid for a while, so that the programs that
//! have it can change over one after the other.

use crate::columns::quoted;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::random_token;
use crate::record::ATTEMPTS;
use crate::store::Store;
use crate::untold;
use postroom_model::Entity;
use postroom_model::Timestamp;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::names;
use postroom_model::client;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::json;

/// A token with its new value.
#[derive(Debug)]
pub struct RotatedToken {
    /// The token.
    pub entity: Entity,
    /// Its new value, which is known to nobody else.
    pub value: SecretString,
}

impl Store {
    /// Gives a token of `iam/Tokens` a new value. The former one is valid for so many milliseconds
    /// more, and the one before that ends at once. `if_version`: only this version. `None`: the
    /// domain has no such token.
    ///
    /// # Errors
    ///
    /// [`Failed::Stale`] for another version; when the store fails.
    pub async fn token_rotate(
        &self,
        place: EntityPlace<'_>,
        overlap_ms: i64,
        if_version: Option<i64>,
    ) -> Result<Option<RotatedToken>, Error> {
        let EntityPlace { domain, class, id } = place;
        let sql = format!(
            "SELECT \"token\" FROM {} WHERE \"id\" = $1 AND \"domain\" = $2 AND \"version\" = $3",
            quoted(TOKENS)
        );
        for _ in 0..ATTEMPTS {
            let Some(current) = self.entity_get(domain, class, id).await? else {
                return Ok(None);
            };
            if if_version.is_some_and(|version| version != current.version) {
                return Err(Error::Condition(Failed::Stale));
            }
            let former = Statement::new(sql.clone()).bind(id).bind(domain.as_str());
            let former = self.read(former.bind(current.version)).await?;
            let Some(former) = former.first() else { continue };
            let (value, until) = (random_token(), self.clock().now_ms().saturating_add(overlap_ms));
            let overlaps = overlap_ms > 0;
            let former = former.bytes(0).filter(|_| overlaps).map(<[u8]>::to_vec);
            let until = overlaps.then(|| Timestamp::from_ms(until).to_string());
            let mut changes = Map::new();
            changes.insert(names::TOKEN.to_owned(), json!(value.expose_secret()));
            changes.insert(names::FORMER_TOKEN_UNTIL.to_owned(), json!(until));
            let mut batch = self.records(domain, class).change(&current, &changes, Map::new())?;
            let former = former.map_or(Value::Null, Value::Bytes);
            batch.push(untold::set(class, id, vec![(names::FORMER_TOKEN, former)]));
            match self.write_numbered(batch).await {
                Ok(before) => {
                    changes.shift_remove(names::TOKEN);
                    let mut entity = client::after(&current, &changes);
                    entity.version += 1;
                    entity.seq = before + 1;
                    self.changed(class, &entity);
                    return Ok(Some(RotatedToken { entity, value }));
                }
                // Somebody was faster: look again.
                Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }
}

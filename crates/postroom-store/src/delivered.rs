//! Who has a message already, while it is not `sent` as a whole.
//!
//! This, and not what a client may write into `recipients`, says to whom it is not sent again.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::store::Store;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use uuid::Uuid;

/// The recipients that have a message, by address, with the server's reply.
pub type Delivered = HashMap<String, Option<String>>;

impl Store {
    /// The recipients that have a message already.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_delivered(&self, message: Uuid) -> Result<Delivered, Error> {
        let sql = "SELECT \"address\", \"reply\" FROM \"delivered\" WHERE \"message\" = $1";
        let rows = self.read(Statement::new(sql).bind(message)).await?;
        let text = |row: &Row, column| row.text(column).map(str::to_owned);
        Ok(rows.iter().filter_map(|row| Some((text(row, 0)?, text(row, 1)))).collect())
    }

    /// Makes it durable which recipients have the message after one of several transactions; the
    /// attempt goes on.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn delivery_part(&self, message: Uuid, recipients: &[Json]) -> Result<(), Error> {
        let mut batch = self.newly_delivered(message, recipients).await?;
        let sql = "UPDATE \"delivery\" SET \"phase\" = 'claimed' WHERE \"message\" = $1";
        batch.push(Statement::new(sql).bind(message));
        self.write(batch).await.map(drop)
    }

    /// The statements that keep which recipients are `sent` and were not before.
    pub(crate) async fn newly_delivered(
        &self,
        message: Uuid,
        recipients: &[Json],
    ) -> Result<Vec<Statement>, Error> {
        let known = self.delivery_delivered(message).await?;
        let insert = |recipient: &Json| {
            let address = recipient.get("address")?.as_str()?;
            let is_new = recipient["state"] == "sent" && !known.contains_key(address);
            let sql = "INSERT INTO \"delivered\" (\"message\", \"address\", \"reply\")
                VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
            let row = Statement::new(sql).bind(message).bind(address);
            is_new.then(|| row.bind(recipient["reply"].as_str()))
        };
        Ok(recipients.iter().filter_map(insert).collect())
    }
}

/// Says of a recipient that it has the message, when it does.
pub fn mark(recipient: &mut Json, delivered: &Delivered) {
    let Some(row) = recipient.as_object_mut() else {
        return;
    };
    let reply = row.get("address").and_then(Json::as_str).and_then(|at| delivered.get(at));
    if let Some(reply) = reply {
        row.insert("state".to_owned(), json!("sent"));
        row.insert("reply".to_owned(), json!(reply));
    }
}

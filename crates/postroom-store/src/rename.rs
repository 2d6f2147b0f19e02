//! What follows when a mailbox has another name at its server.

use crate::error::Error;
use crate::store::Store;
use postroom_model::Domain;
use postroom_model::FolderId;
use postroom_model::builtin::FOLDERS;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

impl Store {
    /// Follows a mailbox that has another name at the server: byte for byte, and for people.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folder_follow(
        &self,
        domain: &Domain,
        folder: FolderId,
        mailbox: &str,
        name: &str,
    ) -> Result<(), Error> {
        let class = self.builtin(FOLDERS)?;
        let Some(current) = self.entity_get(domain, &class, folder.into()).await? else {
            return Ok(());
        };
        let mut values = Map::new();
        values.insert("mailbox".to_owned(), json!(mailbox));
        values.insert("name".to_owned(), json!(name));
        values.insert("statusText".to_owned(), Json::Null);
        let former = current.text("name").unwrap_or_default();
        if let Some(before) = current.text("title").and_then(|title| title.strip_suffix(former)) {
            values.insert("title".to_owned(), json!(format!("{before}{name}")));
        }
        self.records(domain, &class).tell(folder.into(), &values).await?;
        self.reconfigured();
        Ok(())
    }
}

//! The changes of folders after a mailbox was renamed at its server.
//!
//! A mailbox has one folder. If an enabled folder follows its mailbox to a new name, another folder
//! of that name, which is not enabled, loses the mailbox. It is deleted if it has no messages, and
//! no client made or changed it. Otherwise it stays without a mailbox, and its `statusText` says
//! why.

use crate::database::Lock;
use crate::database::Statement;
use crate::deletion::ledger_gone;
use crate::error::Error;
use crate::failed::Failed;
use crate::record::ATTEMPTS;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;

/// The end of the name of a folder that lost its mailbox.
const REPLACED: &str = "(replaced)";
/// How many such folders of one name there may be.
const REPLACED_MAX: u32 = 1000;

/// The new name of the mailbox of a folder.
#[derive(Debug, Clone, Copy)]
pub struct Renamed<'a> {
    /// The bytes of the name, percent-encoded.
    pub mailbox: &'a str,
    /// The name for people.
    pub name: &'a str,
    /// The folder that has the mailbox of this name so far. `None`: there is none.
    pub former: Option<FolderId>,
}

/// A folder, and its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedMailbox {
    /// The folder.
    pub folder: FolderId,
    /// The bytes of the name of its mailbox, percent-encoded.
    pub mailbox: String,
}

impl Store {
    /// Lets two folders exchange the names of their mailboxes, because the mailboxes have done so.
    /// `false`: one of them has another mailbox meanwhile, so nothing is changed.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folders_exchange(
        &self,
        domain: &Domain,
        folders: [NamedMailbox; 2],
    ) -> Result<bool, Error> {
        let class = self.builtin(FOLDERS)?;
        let [one, other] = &folders;
        let mut is_free = false;
        for _ in 0..ATTEMPTS {
            let first = self.entity_get(domain, &class, one.folder.into()).await?;
            let second = self.entity_get(domain, &class, other.folder.into()).await?;
            let (Some(first), Some(second)) = (first, second) else {
                return Ok(false);
            };
            let has = |folder: &Entity, named: &NamedMailbox| {
                folder.text(names::MAILBOX) == Some(&named.mailbox)
            };
            let is_left = is_free && first.get(names::MAILBOX).is_null();
            if !(has(&first, one) || is_left) || !has(&second, other) {
                return Ok(false);
            }
            let records = self.records(domain, &class);
            let batch = if is_left {
                let name =
                    |folder: &Entity| folder.text(names::NAME).unwrap_or_default().to_owned();
                let (first_name, second_name) = (name(&first), name(&second));
                let (mailbox, name) = (one.mailbox.as_str(), first_name.as_str());
                let to_first = Renamed { mailbox, name, former: None };
                let (mailbox, name) = (other.mailbox.as_str(), second_name.as_str());
                let to_second = Renamed { mailbox, name, former: None };
                let mut batch = records.report(&second, &followed(&second, &to_first))?;
                batch.extend(records.report(&first, &followed(&first, &to_second))?);
                batch
            } else {
                // Two folders never have the same mailbox. If nothing follows, a survey gives the
                // first one its mailbox again, by its name.
                let free = json!({names::MAILBOX: null});
                records.report(&first, free.as_object().unwrap_or(&Map::new()))?
            };
            match self.write(batch).await {
                Ok(_) if is_left => {
                    self.reconfigured();
                    return Ok(true);
                }
                Ok(_) => is_free = true,
                // Somebody else changed one of the folders first: try again.
                Err(Error::Condition(Failed::Stale)) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Gives a folder the new name of its mailbox. `false`: the folder that has this mailbox so far
    /// was enabled meanwhile, so nothing is changed.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folder_follow(
        &self,
        domain: &Domain,
        folder: FolderId,
        renamed: &Renamed<'_>,
    ) -> Result<bool, Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        for _ in 0..ATTEMPTS {
            let Some(current) = self.entity_get(domain, &class, folder.into()).await? else {
                return Ok(true);
            };
            let values = followed(&current, renamed);
            let mut batch = match renamed.former {
                Some(former) if former != folder => {
                    let former = self.entity_get(domain, &class, former.into()).await?;
                    if former.as_ref().is_some_and(|former| former.is_set(names::ENABLED)) {
                        return Ok(false);
                    }
                    match former {
                        Some(former) => self.mailbox_left(domain, &class, &former, &values).await?,
                        None => vec![],
                    }
                }
                Some(_) | None => vec![],
            };
            batch.extend(self.records(domain, &class).report(&current, &values)?);
            match self.write(batch).await {
                Ok(_) => {
                    self.reconfigured();
                    return Ok(true);
                }
                // Somebody else changed one of the folders first: try again.
                Err(Error::Condition(Failed::Stale | Failed::InUse { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// The statements that take the mailbox from a folder, because another folder with these values
    /// has it from now on.
    async fn mailbox_left(
        &self,
        domain: &Domain,
        class: &Class,
        former: &Entity,
        values: &Map<String, Json>,
    ) -> Result<Vec<Statement>, Error> {
        let records = self.records(domain, class);
        if self.is_untouched(class, former).await? {
            let folder = FolderId::of(former.id);
            let mut batch = vec![has_no_messages(folder)];
            batch.extend(ledger_gone(folder));
            batch.extend(records.delete(former));
            return Ok(batch);
        }
        let name = self.replaced_name(former).await?;
        let text = format!(
            "the folder {} stands for the mailbox of this name now, because the mailbox of that \
             folder was renamed to it; no mail is received here; received messages stay here; \
             delete this folder when nobody needs them",
            values.get(names::TITLE).and_then(Json::as_str).unwrap_or_default()
        );
        let mut left = Map::new();
        left.insert(names::MAILBOX.to_owned(), Json::Null);
        left.insert(names::STATUS_TEXT.to_owned(), json!(text));
        if former.get(names::TITLE) == values.get(names::TITLE).unwrap_or(&Json::Null) {
            let title = former.text(names::TITLE).unwrap_or_default();
            let end = former.text(names::NAME).unwrap_or_default();
            let before = title.strip_suffix(end).unwrap_or_default();
            left.insert(names::TITLE.to_owned(), json!(format!("{before}{name}")));
        }
        left.insert(names::NAME.to_owned(), json!(name));
        records.report(former, &left)
    }

    /// Whether a folder is still as a survey made it: it has no messages, and no client made or
    /// changed it.
    async fn is_untouched(&self, class: &Class, folder: &Entity) -> Result<bool, Error> {
        let is_default = |name: &str| {
            let default = class.property(name).map(|property| &property.default);
            default.is_some_and(|default| folder.get(name) == default)
        };
        if folder.version > 1 || !["options", "deleteOnServer", "mode"].into_iter().all(is_default)
        {
            return Ok(false);
        }
        let sql = "SELECT 1 FROM \"change\" WHERE \"entity\" = $1 AND \"modifier_type\" = 'client'
            UNION ALL SELECT 1 FROM \"email/Messages\" WHERE \"folder_id\" = $1
              AND \"domain\" = (SELECT \"domain\" FROM \"email/Folders\" WHERE \"id\" = $1)
            LIMIT 1";
        Ok(self.read(Statement::new(sql).bind(folder.id)).await?.is_empty())
    }

    /// A name for a folder that lost its mailbox, which no other folder of the account has.
    async fn replaced_name(&self, former: &Entity) -> Result<String, Error> {
        let account = former.reference(names::ACCOUNT_ID).map(AccountId::of);
        let sql = "SELECT \"name\" FROM \"email/Folders\" WHERE \"account_id\" = $1";
        let rows = self.read(Statement::new(sql).bind(account)).await?;
        let is_free = |name: &String| rows.iter().all(|row| row.text(0) != Some(name));
        let name = former.text(names::NAME).unwrap_or_default();
        let numbered = (2..REPLACED_MAX).map(|number| format!("{name} {REPLACED} {number}"));
        let mut names = std::iter::once(format!("{name} {REPLACED}")).chain(numbered);
        names.find(is_free).ok_or(Error::Condition(Failed::OneFolder))
    }
}

/// The values of a folder that follows its mailbox to a new name.
fn followed(current: &Entity, renamed: &Renamed<'_>) -> Map<String, Json> {
    let Renamed { mailbox, name, .. } = *renamed;
    let mut values = Map::new();
    values.insert(names::MAILBOX.to_owned(), json!(mailbox));
    values.insert(names::NAME.to_owned(), json!(name));
    values.insert(names::STATUS_TEXT.to_owned(), Json::Null);
    let former = current.text(names::NAME).unwrap_or_default();
    if let Some(before) = current.text(names::TITLE).and_then(|title| title.strip_suffix(former)) {
        values.insert(names::TITLE.to_owned(), json!(format!("{before}{name}")));
    }
    values
}

/// The condition that the folder has no messages.
fn has_no_messages(folder: FolderId) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS
        (SELECT 1 FROM \"email/Messages\" WHERE \"folder_id\" = $1
           AND \"domain\" = (SELECT \"domain\" FROM \"email/Folders\" WHERE \"id\" = $1))";
    let lock = Lock::row(FOLDERS, folder);
    Statement::new(sql).bind(folder).assert(Failed::InUse { by: "a message".to_owned() }, lock)
}

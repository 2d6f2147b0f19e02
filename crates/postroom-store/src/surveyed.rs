//! The result of a survey, and which folder belongs to which mailbox.
//!
//! Each mailbox is looked up in a map, never searched in a list, because a server may list very
//! many.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::integrity::mailbox_name;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::FolderId;
use postroom_model::builtin::names;
use serde_json::json;
use std::collections::HashMap;

/// How the `statusText` of a folder begins that a client made, while its mailbox is not found.
pub const UNFOUND: &str = "no mailbox of this name has been found at the server yet, so \
    nothing is received here: create the mailbox, or correct `name`; POST …/Accounts/ID:try looks \
    again at once. For outgoing mail only, set `mode` to `sendOnly`";

/// Whether a folder waits for a survey that finds its mailbox.
#[must_use]
pub fn is_unfound(folder: &Entity) -> bool {
    ["mailbox", "lastPollAt"].iter().all(|name| folder.get(name).is_null())
        && folder.text(names::MODE) != Some("sendOnly")
}

/// The title of a folder under a new name, where a client gives it the name of another mailbox and
/// no title. `None`: the title does not end with the name, or a survey has found the mailbox.
#[must_use]
pub(crate) fn title_of(current: &Entity, name: &str) -> Option<String> {
    let former = current.text(names::NAME).filter(|_| current.get(names::MAILBOX).is_null())?;
    let before = current.text(names::TITLE)?.strip_suffix(former)?;
    before.ends_with('/').then(|| format!("{before}{name}"))
}

/// What a survey found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The mailboxes.
    pub folders: Vec<SurveyedFolder>,
    /// Whether these are all mailboxes of the server. If not, a mailbox that is missing here may
    /// still exist.
    pub is_whole: bool,
}

/// The mailbox of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FolderMailbox {
    /// As a survey found it, percent-encoded.
    Surveyed(String),
    /// As a client named it. No survey has found it yet.
    Named(String),
}

/// A folder of an account, and its mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxHolder {
    /// The folder.
    pub folder: FolderId,
    /// Its mailbox.
    pub mailbox: FolderMailbox,
    /// Whether the folder is not enabled, and not for sending only. Then another folder may take
    /// its mailbox.
    pub is_idle: bool,
}

/// A mailbox that a survey found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SurveyedFolder {
    /// Its name exactly as the server gave it, bytes outside ASCII percent-encoded.
    pub mailbox: String,
    /// Its name for people.
    pub name: String,
    /// The title of the folder.
    pub title: String,
    /// The hierarchy delimiter. Empty: there is none.
    pub delimiter: String,
    /// Its attributes.
    pub flags: Vec<String>,
    /// Its special use.
    pub special_use: Option<String>,
}

/// The folders of an account by the mailbox, title and name under which a mailbox may have a
/// folder. If several folders have the same, the first one counts.
pub(crate) struct Index<'a> {
    linked: HashMap<&'a str, &'a Entity>,
    titles: HashMap<&'a str, (usize, &'a Entity)>,
    names: HashMap<&'a str, (usize, &'a Entity)>,
}

impl<'a> Index<'a> {
    /// Makes an index of folders.
    pub(crate) fn of(folders: &'a [Entity]) -> Self {
        let (mut linked, mut titles, mut names) = (HashMap::new(), HashMap::new(), HashMap::new());
        for (at, folder) in folders.iter().enumerate() {
            if let Some(mailbox) = folder.text(names::MAILBOX) {
                linked.entry(mailbox).or_insert(folder);
            }
            // A folder that a client made is found by its name or title.
            if !folder.get(names::MAILBOX).is_null() || folder.text(names::MODE) == Some("sendOnly")
            {
                continue;
            }
            if let Some(title) = folder.text(names::TITLE) {
                titles.entry(title).or_insert((at, folder));
            }
            if let Some(name) = folder.text(names::NAME) {
                names.entry(mailbox_name(name)).or_insert((at, folder));
            }
        }
        Self { linked, titles, names }
    }

    /// The folder of a mailbox. `None`: it has none.
    pub(crate) fn folder(&self, found: &SurveyedFolder) -> Option<&'a Entity> {
        if let Some(folder) = self.linked.get(found.mailbox.as_str()) {
            return Some(folder);
        }
        let title = self.titles.get(found.title.as_str());
        let name = self.names.get(mailbox_name(&found.name));
        title.into_iter().chain(name).min_by_key(|(at, _)| *at).map(|(_, folder)| *folder)
    }
}

impl Store {
    /// Gives a new folder that has a name and no title the title that a survey would give it.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn folder_titled(
        &self,
        domain: &Domain,
        folder: &mut Entity,
    ) -> Result<(), Error> {
        let name = folder.text(names::NAME).filter(|_| folder.get(names::TITLE).is_null());
        let Some((name, account)) = name.zip(folder.reference(names::ACCOUNT_ID)) else {
            return Ok(());
        };
        let sql =
            "SELECT \"address\" FROM \"email/Accounts\" WHERE \"id\" = $1 AND \"domain\" = $2";
        let rows = self.read(Statement::new(sql).bind(account).bind(domain.as_str())).await?;
        if let Some(address) = rows.first().and_then(|row| row.text(0)) {
            let title = format!("{address}/{name}");
            folder.properties.insert(names::TITLE.to_owned(), json!(title));
        }
        Ok(())
    }

    /// All folders of an account with their mailboxes.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folders_known(
        &self,
        domain: &Domain,
        account: AccountId,
    ) -> Result<Vec<MailboxHolder>, Error> {
        let sql =
            "SELECT \"id\", \"mailbox\", \"name\", \"enabled\", \"mode\" FROM \"email/Folders\"
            WHERE \"account_id\" = $1 AND \"domain\" = $2";
        let rows = self.read(Statement::new(sql).bind(account).bind(domain.as_str())).await?;
        let known = |row: &Row| {
            let mailbox = match (row.text(1), row.text(2)) {
                (Some(encoded), _) => FolderMailbox::Surveyed(encoded.to_owned()),
                (None, name) => FolderMailbox::Named(name.unwrap_or_default().to_owned()),
            };
            let is_idle = row.whole(3) != Some(1) && row.text(4) != Some("sendOnly");
            Some(MailboxHolder { folder: FolderId::of(row.id(0)?), mailbox, is_idle })
        };
        Ok(rows.iter().filter_map(known).collect())
    }
}

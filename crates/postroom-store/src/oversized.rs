//! Oversized messages: only their headers are stored, until the whole messages are loaded.
//!
//! A client may ask for the whole message, however large it is. The request is in the receipt until
//! the message is loaded, or it turns out that it cannot be loaded.

use crate::database::Statement;
use crate::database::Value;
use crate::entity_row::EntityRow;
use crate::error::Error;
use crate::failed::Failed;
use crate::file;
use crate::origin::MailboxEpoch;
use crate::receipt::Oversized;
use crate::source_key::SourceKey;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageDirection;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use serde_json::json;

/// The result of a request for a whole message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LoadRequest {
    /// The request is recorded.
    Noted,
    /// There is no such message.
    Missing,
    /// The message cannot be loaded, and why.
    Refused(Unloadable),
}

/// Why a message cannot be loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unloadable {
    /// It is not a message of which only the header is stored.
    #[error(
        "only a received message in state `error` with errorCode `too_big` can be loaded; \
         this one is not: {0}"
    )]
    Whole(String),
    /// It is larger than any message may be.
    #[error(
        "the message has {size_bytes} bytes, and no message of more than {bytes_max} can be \
         loaded; it stays at the server"
    )]
    TooLarge {
        /// How many bytes it has.
        size_bytes: u64,
        /// How many bytes a message may have.
        bytes_max: u64,
    },
    /// Its folder or account is gone.
    #[error("the {0} of the message is no longer here, so nobody can load it")]
    Gone(&'static str),
    /// Its folder is not monitored.
    #[error("the folder {0} is not enabled, or is for sending only; enable it, then ask again")]
    FolderDisabled(String),
    /// Its account is not enabled.
    #[error("the account {0} is not enabled; enable it, then ask again")]
    AccountDisabled(String),
    /// Its account has no server that receives.
    #[error("the profile of the account {0} has no imapHost; set it, then ask again")]
    NoServer(String),
    /// A new epoch of the mailbox has begun, and the message was not recognised in it so far.
    #[error(
        "the server has numbered the mailbox anew, and the message was not found in it so far; \
         ask again when the folder is proven (lastProofAt)"
    )]
    NotFound,
}

impl Store {
    /// Records a request for the whole of a message that was not loaded because of its size, and
    /// makes its account due at once. A message of more than `bytes_max` bytes cannot be loaded.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn message_request(
        &self,
        domain: &Domain,
        message: MessageEntityId,
        bytes_max: u64,
    ) -> Result<LoadRequest, Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let Some(found) = self.entity_get(domain, &class, message.into()).await? else {
            return Ok(LoadRequest::Missing);
        };
        if let Some(why) = not_oversized(&found, bytes_max) {
            return Ok(LoadRequest::Refused(why));
        }
        let (folder, account) = match self.receiving(domain, &found).await? {
            Ok(receiving) => receiving,
            Err(why) => return Ok(LoadRequest::Refused(why)),
        };
        let Some(epoch) = self.origin(folder).await?.epoch else {
            return Ok(LoadRequest::Refused(Unloadable::NotFound));
        };
        let noted = "UPDATE \"receipt\" SET \"next_attempt\" = $4 WHERE \"folder\" = $1
              AND \"epoch\" = $2 AND \"message\" = $3 AND \"reason\" IS NOT NULL";
        let noted = Statement::new(noted).bind(folder).bind(epoch.number).bind(message);
        match self
            .write(vec![noted.bind(self.clock().now_ms()).must_change(Failed::Relinked)])
            .await
        {
            Ok(_) => {}
            Err(Error::Condition(Failed::Relinked)) => {
                return Ok(LoadRequest::Refused(Unloadable::NotFound));
            }
            Err(error) => return Err(error),
        }
        self.account_noted(domain, account).await?;
        Ok(LoadRequest::Noted)
    }

    /// The folder and the account of a message, if they receive.
    async fn receiving(
        &self,
        domain: &Domain,
        message: &Entity,
    ) -> Result<Result<(FolderId, AccountId), Unloadable>, Error> {
        let Some(folder) = self.referred(domain, message, "folder_id", FOLDERS).await? else {
            return Ok(Err(Unloadable::Gone("folder")));
        };
        let Some(account) = self.referred(domain, &folder, "account_id", ACCOUNTS).await? else {
            return Ok(Err(Unloadable::Gone("account")));
        };
        let profile = self.referred(domain, &account, "profile_id", PROFILES).await?;
        let host = profile.as_ref().and_then(|profile| profile.text(names::IMAP_HOST));
        let name = |entity: &Entity, property| entity.text(property).unwrap_or_default().to_owned();
        Ok(if !account.is_set(names::ENABLED) {
            Err(Unloadable::AccountDisabled(name(&account, "address")))
        } else if !folder.is_set(names::ENABLED) || folder.text(names::MODE) == Some("sendOnly") {
            Err(Unloadable::FolderDisabled(name(&folder, "title")))
        } else if host.is_none_or(|host| host.trim().is_empty()) {
            Err(Unloadable::NoServer(name(&account, "address")))
        } else {
            Ok((FolderId::of(folder.id), AccountId::of(account.id)))
        })
    }

    async fn referred(
        &self,
        domain: &Domain,
        from: &Entity,
        property: &str,
        class: &'static str,
    ) -> Result<Option<Entity>, Error> {
        match from.reference(property) {
            Some(id) => {
                let class = self.builtin_of(domain, class)?;
                self.entity_get(domain, &class, id).await
            }
            None => Ok(None),
        }
    }

    /// Removes the request for a whole message, because it has failed. The `errorText` of the
    /// message says why. A request that a client has made since the ledger was read stays.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn request_failed(
        &self,
        domain: &Domain,
        epoch: MailboxEpoch,
        oversized: &Oversized,
        reason: &str,
    ) -> Result<(), Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let size =
            oversized.size_bytes.map_or_else(String::new, |size| format!(" of {size} bytes"));
        let text = format!(
            "the message{size} was asked for, and could not be loaded: {reason}; what is here is \
             its header; ask for it again when the cause is mended"
        );
        let says = [("errorText".to_owned(), json!(text))].into_iter().collect();
        self.records(domain, &class).tell(oversized.message.into(), &says).await?;
        let done = "UPDATE \"receipt\" SET \"next_attempt\" = NULL
            WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" = $3
              AND \"message\" IS NOT NULL AND \"next_attempt\" IS NOT DISTINCT FROM $4";
        let done = Statement::new(done).bind(epoch.folder).bind(epoch.number);
        let done = done.bind(oversized.key.number()).bind(oversized.requested_ms);
        self.write(vec![done]).await.map(drop)
    }

    /// The statements that give a message with only a header the values of the whole message.
    /// Values that the whole message lacks stay, and so does a state that a client has set.
    /// `properties` are those that get files in the same batch.
    pub(crate) async fn complete(
        &self,
        domain: &Domain,
        id: MessageEntityId,
        row: EntityRow,
        properties: &[String],
    ) -> Result<[Statement; 2], Error> {
        let class = self.builtin_of(domain, MESSAGES)?;
        let Some(current) = self.entity_get(domain, &class, id.into()).await? else {
            // A client deleted it meanwhile. Nothing of the portion is stored, and the next poll
            // skips the message.
            return Err(Error::Condition(Failed::Stale));
        };
        let state = current.text(names::MESSAGE_STATE);
        let is_own = state.is_some_and(|state| state != MessageState::Error.as_str());
        let present = self.file_list_all(domain, id.into()).await?;
        let former = properties.iter().flat_map(|property| file::former_of(property, &present));
        let former = former.collect();
        self.records(domain, &class).fill(&current, row, former, |name, value| match name {
            "messageState" => !is_own,
            "errorText" | "errorCode" => true,
            _ => *value != Value::Null,
        })
    }
}

/// Why a whole message cannot be loaded. `None`: it can.
fn not_oversized(message: &Entity, bytes_max: u64) -> Option<Unloadable> {
    let text = |name| message.text(name);
    let is_it = MessageState::Error.is_of(message)
        && text(names::ERROR_CODE) == Some(ErrorCode::TooBig.as_str());
    if !is_it || !MessageDirection::In.is_of(message) {
        let shown = |name| text(name).unwrap_or("not set").to_owned();
        let (state, code) = (shown("messageState"), shown("errorCode"));
        let is = format!("messageState is {state}, errorCode is {code}");
        return Some(Unloadable::Whole(is));
    }
    let size_bytes = message.number(names::SIZE).and_then(|size| u64::try_from(size).ok());
    let too_large = size_bytes.filter(|size_bytes| *size_bytes > bytes_max);
    too_large.map(|size_bytes| Unloadable::TooLarge { size_bytes, bytes_max })
}

/// The statement that moves the request for a message from its former receipt to its new one.
pub(crate) fn request_moved(
    former: MailboxEpoch,
    former_key: SourceKey,
    epoch: MailboxEpoch,
    key: SourceKey,
) -> Statement {
    let sql = "UPDATE \"receipt\" SET \"next_attempt\" = (SELECT f.\"next_attempt\"
          FROM \"receipt\" f WHERE f.\"folder\" = $1 AND f.\"epoch\" = $4
            AND f.\"key\" = $5)
        WHERE \"folder\" = $1 AND \"epoch\" = $2 AND \"key\" = $3";
    let statement = Statement::new(sql).bind(epoch.folder).bind(epoch.number).bind(key.number());
    statement.bind(former.number).bind(former_key.number())
}

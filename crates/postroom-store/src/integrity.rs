//! The statements that enforce the rules of the data model, for the batches of changes.

use crate::classes::Classes;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::Invalid;
use postroom_model::MessageState;
use postroom_model::OAuthAppId;
use postroom_model::ProfileId;
use postroom_model::Rights;
use postroom_model::Timestamp;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::builtin::names;
use postroom_model::right_problems;
use postroom_model::rights_in_vain;
use postroom_model::webhook_problems;
use serde_json::Map;
use serde_json::Value as Json;

/// The condition that an entity exists, for a batch that deletes it. The batch waits for running
/// batches that need the entity, and no such batch can begin until it is committed.
pub(crate) fn alone(domain: &Domain, class: &Class, id: EntityId) -> Statement {
    let table = quoted(&class.classname);
    let sql = format!("SELECT 1 FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
    let there = Statement::new(sql).bind(id).bind(domain.as_str());
    there.assert(Failed::Stale, Lock::row(class.classname.clone(), id))
}

/// The condition that the account exists.
pub(crate) fn account_must_be(domain: &Domain, account: AccountId) -> Statement {
    let table = quoted(ACCOUNTS);
    let sql = format!("SELECT 1 FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
    let there = Statement::new(sql).bind(account).bind(domain.as_str());
    there.assert(Failed::NoAccount, Lock::Found)
}

/// The condition that the folder exists.
pub(crate) fn folder_must_be(domain: &Domain, folder: FolderId) -> Statement {
    let table = quoted(FOLDERS);
    let sql = format!("SELECT 1 FROM {table} WHERE \"id\" = $1 AND \"domain\" = $2");
    let there = Statement::new(sql).bind(folder).bind(domain.as_str());
    there.assert(Failed::NoFolder, Lock::Found)
}

/// The condition that the account has as many folders as were read.
pub(crate) fn no_others(account: AccountId, known: usize) -> Statement {
    let sql = "SELECT 1
        WHERE (SELECT COUNT(*) FROM \"email/Folders\" WHERE \"account_id\" = $1) = $2";
    let count = i64::try_from(known).unwrap_or(i64::MAX);
    let lock = Lock::row(ACCOUNTS, account);
    Statement::new(sql).bind(account).bind(count).assert(Failed::OtherFolders, lock)
}

/// The condition that no client made a folder for the mailbox of a new folder, which no survey has
/// found yet. If there is one, it must be used.
pub(crate) fn none_of_clients(account: AccountId, new: &Map<String, Json>) -> Statement {
    let text = |name: &str| new.get(name).and_then(Json::as_str);
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"email/Folders\"
        WHERE \"account_id\" = $1 AND \"mailbox\" IS NULL
          AND COALESCE(\"mode\", '') <> 'sendOnly'
          AND ((CASE WHEN UPPER(\"name\") = 'INBOX' THEN 'INBOX' ELSE \"name\" END) = $2
            OR \"title\" = $3))";
    let lock = Lock::row(ACCOUNTS, account);
    let names = Statement::new(sql).bind(account).bind(text(names::NAME).map(mailbox_name));
    names.bind(text(names::TITLE)).assert(Failed::OtherFolders, lock)
}

/// The condition that no account uses a profile.
pub(crate) fn profile_unused(profile: ProfileId) -> Statement {
    let accounts = quoted(ACCOUNTS);
    let sql =
        format!("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {accounts} WHERE \"profile_id\" = $1)");
    let lock = Lock::row(PROFILES, profile);
    Statement::new(sql).bind(profile).assert(Failed::InUse { by: "an account".to_owned() }, lock)
}

/// Lets a batch fail while an account uses an OAuth app.
pub(crate) fn oauth_app_unused(app: OAuthAppId) -> Statement {
    let accounts = quoted(ACCOUNTS);
    let sql = format!(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM {accounts}
         WHERE \"oauthApp_id\" = $1 OR \"smtpOauthApp_id\" = $1)"
    );
    let lock = Lock::row(OAUTH_APPS, app);
    Statement::new(sql)
        .bind(EntityId::from(app))
        .assert(Failed::InUse { by: "an account".to_owned() }, lock)
}

/// The condition that no other folder of the account has the same mailbox. `None`: the entity is
/// not a folder, or names no mailbox.
pub(crate) fn one_folder(domain: &Domain, class: &Class, folder: &Entity) -> Option<Statement> {
    let other = OtherFolder::of(class, folder)?;
    let lock = Lock::row(ACCOUNTS, other.account);
    let sql = format!("SELECT 1 WHERE NOT EXISTS ({OTHER})");
    Some(other.bound(Statement::new(sql), domain).assert(Failed::OneFolder, lock))
}

/// The condition that the folder of a message belongs to the account of the message. `None`: the
/// entity is not a message, or lacks one of the two.
pub(crate) fn one_account(domain: &Domain, class: &Class, message: &Entity) -> Option<Statement> {
    let is_message = class.classname == MESSAGES;
    let folder = message.reference(names::FOLDER_ID).filter(|_| is_message)?;
    let account = message.reference(names::ACCOUNT_ID)?;
    let folders = quoted(FOLDERS);
    let sql = format!(
        "SELECT 1 FROM {folders}
         WHERE \"id\" = $1 AND \"domain\" = $2 AND \"account_id\" = $3"
    );
    let same = Statement::new(sql).bind(folder).bind(domain.as_str()).bind(account);
    Some(same.assert(Failed::OtherAccount, Lock::Found))
}

/// The condition that the account of a message that is to be sent exists. `None`: the entity is not
/// a message that is to be sent.
pub(crate) fn has_sender(domain: &Domain, class: &Class, message: &Entity) -> Option<Statement> {
    let sends = MessageState::Sending.is_of(message);
    let account = message.reference(names::ACCOUNT_ID);
    let account = account.filter(|_| sends && class.classname == MESSAGES)?;
    let sql = format!("SELECT 1 FROM {} WHERE \"id\" = $1 AND \"domain\" = $2", quoted(ACCOUNTS));
    let there = Statement::new(sql).bind(account).bind(domain.as_str());
    let missing = Failed::Reference { property: "account_id".to_owned() };
    Some(there.assert(missing, Lock::Found))
}

/// Finds another folder for the same mailbox: one of the same name, INBOX in either case (RFC 9051
/// §5.1), or of the same title.
const OTHER: &str = "SELECT \"id\" FROM \"email/Folders\"
    WHERE \"account_id\" = $1 AND \"domain\" = $2 AND \"id\" <> $3
      AND ((CASE WHEN UPPER(\"name\") = 'INBOX' THEN 'INBOX' ELSE \"name\" END) = $4
        OR \"title\" = $5)";

/// What [`OTHER`] asks for.
struct OtherFolder<'a> {
    account: AccountId,
    folder: FolderId,
    name: Option<&'a str>,
    title: Option<&'a str>,
}

impl<'a> OtherFolder<'a> {
    fn of(class: &Class, folder: &'a Entity) -> Option<Self> {
        let (name, title) = (folder.text(names::NAME), folder.text(names::TITLE));
        if class.classname != FOLDERS || (name.is_none() && title.is_none()) {
            return None;
        }
        let account = folder.reference(names::ACCOUNT_ID)?;
        Some(Self {
            account: AccountId::of(account),
            folder: FolderId::of(folder.id),
            name: name.map(mailbox_name),
            title,
        })
    }

    fn bound(self, statement: Statement, domain: &Domain) -> Statement {
        let place = statement.bind(self.account).bind(domain.as_str()).bind(self.folder);
        place.bind(self.name).bind(self.title)
    }
}

/// The name of a mailbox, as it is compared: INBOX is the same in any case (RFC 9051 §5.1).
pub(crate) fn mailbox_name(name: &str) -> &str {
    if name.eq_ignore_ascii_case("INBOX") { "INBOX" } else { name }
}

/// What is wrong with the filters of rights.
fn rights_problems(rights: Option<Rights>, classes: &Classes) -> Vec<Invalid> {
    rights.map(|rights| right_problems(&rights, classes)).unwrap_or_default()
}

impl Store {
    /// What is wrong with the news that a webhook wants. Nothing for other classes.
    pub(crate) fn wanted_problems(
        &self,
        domain: &Domain,
        class: &Class,
        entity: &Entity,
    ) -> Vec<Invalid> {
        let classes = self.classes().of(domain);
        match class.classname.as_str() {
            WEBHOOKS => webhook_problems(&classes, entity),
            // What else is wrong with the rights is said by the model.
            TOKENS => rights_problems(Rights::of_token(entity).ok(), &classes),
            USERS => rights_problems(Rights::of_user(entity).ok(), &classes),
            _ => vec![],
        }
    }

    /// What is given in vain to a token. Nothing for other classes. Rights that a token has already
    /// may come to be in vain when a class is deleted.
    pub(crate) fn given_in_vain(
        &self,
        domain: &Domain,
        class: &Class,
        token: &Entity,
    ) -> Vec<Invalid> {
        if class.classname != TOKENS {
            return vec![];
        }
        let rights = Rights::of_token(token);
        rights.map(|it| rights_in_vain(&it, domain, &self.classes().of(domain))).unwrap_or_default()
    }

    /// Why a new token would never be valid. `None`: it is, or is no token.
    pub(crate) fn born_expired(&self, class: &Class, token: &Entity) -> Option<Invalid> {
        let ends = token.text(names::EXPIRES_AT).filter(|_| class.classname == TOKENS)?;
        let ends_ms = Timestamp::parse(ends).ok()?.as_ms();
        let reason = "is in the past, so the token would never be valid";
        (ends_ms <= self.clock().now_ms()).then(|| Invalid::new(names::EXPIRES_AT, reason))
    }

    /// Gives a message the account of its folder when it has none of its own. `before` is the
    /// stored message. `None`: a new one. Nothing is read for a new message that names both,
    /// because the batch that creates it checks them.
    ///
    /// # Errors
    ///
    /// [`Failed::OtherAccount`]; [`Failed::Reference`] for a folder that is not there, unless it
    /// was deleted since the message got it.
    pub async fn message_placed(
        &self,
        domain: &Domain,
        message: &mut Entity,
        before: Option<&Entity>,
    ) -> Result<(), Error> {
        let is_same = |name: &str| before.is_some_and(|was| was.get(name) == message.get(name));
        let is_left = is_same("folder_id");
        let Some(folder) = message.reference(names::FOLDER_ID) else {
            return Ok(());
        };
        let names_both = message.reference(names::ACCOUNT_ID).is_some();
        if is_left && is_same("account_id") || before.is_none() && names_both {
            return Ok(());
        }
        let folders = self.builtin_of(domain, FOLDERS)?;
        let Some(folder) = self.entity_get(domain, &folders, folder).await? else {
            let gone = Failed::Reference { property: "folder_id".to_owned() };
            return if is_left { Ok(()) } else { Err(Error::Condition(gone)) };
        };
        match (message.reference(names::ACCOUNT_ID), folder.get(names::ACCOUNT_ID)) {
            (None, its) => {
                message.properties.insert(names::ACCOUNT_ID.to_owned(), its.clone());
                Ok(())
            }
            (Some(own), _) if folder.reference(names::ACCOUNT_ID) == Some(own) => Ok(()),
            (Some(_), _) => Err(Error::Condition(Failed::OtherAccount)),
        }
    }

    /// Another folder of the account with the same mailbox as `folder`.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn folder_same(
        &self,
        domain: &Domain,
        folder: &Entity,
    ) -> Result<Option<EntityId>, Error> {
        let class = self.builtin_of(domain, FOLDERS)?;
        let Some(other) = OtherFolder::of(&class, folder) else {
            return Ok(None);
        };
        let rows = self.read(other.bound(Statement::new(OTHER), domain)).await?;
        Ok(rows.first().and_then(|row| row.id(0)))
    }
}

//! Deletes entities that have expired.
//!
//! A message that has expired is deleted as if a client deleted it: with its files, and with a row
//! of the feed. Its receipt stays, so it is not loaded again. Nothing is deleted at the server.

use crate::change::Updated;
use crate::columns::quoted;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::delete_terms::DeleteTerms;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::ErrorCode;
use postroom_model::FolderId;
use postroom_model::MessageEntityId;
use postroom_model::MessageState;
use postroom_model::Timestamp;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::names;

/// Before all moments that a property can have.
const BEGIN_MS: i64 = -62_167_219_200_001;

/// Which entities of a class may expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiring {
    /// The messages of a folder.
    Folder(FolderId),
    /// The messages of an account that are in no folder.
    Account(AccountId),
    /// All of the domain.
    All,
}

/// A page of entities that have expired.
#[derive(Debug, Clone, Copy)]
pub struct ExpiryPage<'a> {
    /// The tenant.
    pub domain: &'a Domain,
    /// Their class.
    pub class: &'a Class,
    /// Which entities of the class.
    pub of: Expiring,
    /// The property with the time that decides.
    pub property: &'a str,
    /// An entity has expired if that time is before this one, in milliseconds since 1970.
    pub before_ms: i64,
    /// The last entity of the previous page. `None`: this is the first page.
    pub behind: Option<Expired>,
    /// How many entities it has at most.
    pub limit: u32,
}

/// An entity that has expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expired {
    /// Its id.
    pub id: EntityId,
    /// The time that decides, in milliseconds since 1970.
    pub at_ms: i64,
}

/// Whether an entity stays whatever its age: a message that is to be sent, or whose outcome is
/// unknown.
fn is_kept(class: &Class, entity: &Entity) -> bool {
    let is = |name: &str, word: &str| entity.text(name) == Some(word);
    class.classname == MESSAGES
        && (is(names::MESSAGE_STATE, MessageState::Sending.as_str())
            || is(names::ERROR_CODE, ErrorCode::Uncertain.as_str()))
}

/// The condition that a message does not wait for a server-side action.
fn has_no_action(message: MessageEntityId) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS
        (SELECT 1 FROM \"receipt\" WHERE \"message\" = $1 AND \"wish\" > 0)";
    Statement::new(sql).bind(message).assert(Failed::Acting, Lock::row(MESSAGES, message))
}

impl Store {
    /// The domains that have entities of a class. Each is one look into an index, however many
    /// entities it has.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn domain_list(&self, class: &Class) -> Result<Vec<Domain>, Error> {
        let table = quoted(&class.table());
        let sql = format!("SELECT MIN(\"domain\") FROM {table} WHERE \"domain\" > $1");
        let (mut domains, mut behind) = (vec![], String::new());
        loop {
            let rows = self.read(Statement::new(sql.clone()).bind(behind)).await?;
            let Some(name) = rows.first().and_then(|row| row.text(0)) else {
                return Ok(domains);
            };
            // A name that is none is damage, which hides no other domain.
            domains.extend(Domain::new(name));
            behind = name.to_owned();
        }
    }

    /// The next entities that have expired, by their moments.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn expired_list(&self, page: ExpiryPage<'_>) -> Result<Vec<Expired>, Error> {
        let (table, at) = (quoted(&page.class.table()), quoted(page.property));
        let (which, owner) = match page.of {
            Expiring::Folder(folder) => ("\"folder_id\" = $4", Some(EntityId::from(folder))),
            Expiring::Account(account) => {
                ("\"account_id\" = $4 AND \"folder_id\" IS NULL", Some(account.into()))
            }
            Expiring::All => ("$4", None),
        };
        let owner = owner.map_or(Value::Boolean(true), Value::Id);
        let begin = page.behind.unwrap_or(Expired { id: EntityId::nil(), at_ms: BEGIN_MS });
        let ascending = self.inner.database.dialect().ascending();
        let sql = format!(
            "SELECT \"id\", {at} FROM {table}
             WHERE \"domain\" = $1 AND {at} < $2 AND ({at}, \"id\") > ($3, $5) AND {which}
             ORDER BY {at} {ascending}, \"id\" LIMIT $6"
        );
        let some = Statement::new(sql)
            .bind(page.domain.as_str())
            .bind_all([Value::Moment(page.before_ms), Value::Moment(begin.at_ms), owner])
            .bind(begin.id)
            .bind(page.limit);
        let rows = self.read(some).await?;
        let expired = |row: &Row| Some(Expired { id: row.id(0)?, at_ms: row.whole(1)? });
        rows.iter().map(|row| expired(row).ok_or(Error::Damaged { what: "an entity" })).collect()
    }

    /// Deletes an entity if it has expired. Returns whether it was deleted. A message that is to be
    /// sent, whose outcome is unknown, or that waits for a server-side action stays.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn entity_expire(
        &self,
        place: EntityPlace<'_>,
        property: &str,
        before_ms: i64,
    ) -> Result<bool, Error> {
        let Some(current) = self.entity_get(place.domain, place.class, place.id).await? else {
            return Ok(false);
        };
        let at = current.text(property).and_then(|at| Timestamp::parse(at).ok());
        let is_due = at.is_some_and(|at| at.as_ms() < before_ms);
        if !is_due || is_kept(place.class, &current) {
            return Ok(false);
        }
        let is_message = place.class.classname == MESSAGES;
        let rules = is_message.then(|| has_no_action(MessageEntityId::of(place.id)));
        let rules = rules.into_iter().collect();
        let terms = DeleteTerms { if_version: Some(current.version), read: Some(&current) };
        match self.entity_delete_if(place, terms, rules).await {
            Ok(Updated::Done(_)) => Ok(true),
            Ok(Updated::Missing | Updated::Stale { .. }) => Ok(false),
            // It is used by others, is being changed, or waits for a server-side action: later.
            Err(Error::Condition(
                Failed::Acting
                | Failed::Sending
                | Failed::Crowded
                | Failed::Referred
                | Failed::InUse { .. }
                | Failed::OtherClasses,
            )) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

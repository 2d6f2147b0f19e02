//! The rows of work claims, as far as changes and deletions of entities need them
//! (`crate::work_claim`).

use crate::database::Lock;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::failed::Failed;
use postroom_model::ClaimToken;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::builtin::MESSAGES;
use std::borrow::Cow;

/// What a change of an entity has to do with its claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimStep {
    /// The claim under which it is made. If the entity has another one, nothing is changed.
    pub token: ClaimToken,
    /// What becomes of the claim.
    pub then: ClaimThen,
}

/// What becomes of a claim with a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimThen {
    /// It stays.
    Stays,
    /// The work is done.
    Acknowledged,
    /// Nobody could do the work. The count begins anew if the entity is claimed again.
    Forgotten,
}

impl ClaimStep {
    /// The statements that belong to the change of an entity. They come behind it, because whoever
    /// claims locks the entity before its claim.
    pub(crate) fn statements(&self, place: EntityPlace<'_>, now_ms: i64) -> Vec<Statement> {
        match self.then {
            ClaimThen::Stays => vec![held(place, self.token)],
            ClaimThen::Acknowledged => {
                let done = acknowledge(place, self.token, now_ms);
                let deletes = (place.class.classname == MESSAGES).then(|| may_be_deleted(place.id));
                std::iter::once(done).chain(deletes).collect()
            }
            ClaimThen::Forgotten => {
                let gone = format!("DELETE FROM \"work claim\" WHERE {IS_HELD}");
                vec![of_claim(gone, place, self.token).must_change(Failed::ClaimLost)]
            }
        }
    }
}

/// The condition of a claim under a token that has not ended. It may have expired, as long as
/// nobody else has claimed the entity since.
pub(crate) const IS_HELD: &str =
    "\"class\" = $1 AND \"entity\" = $2 AND \"domain\" = $3 AND \"token\" = $4
    AND \"acknowledged\" IS NULL";

/// A statement in these words with the first four values of [`IS_HELD`].
pub(crate) fn of_claim(
    sql: impl Into<Cow<'static, str>>,
    place: EntityPlace<'_>,
    token: ClaimToken,
) -> Statement {
    let EntityPlace { domain, class, id } = place;
    let statement = Statement::new(sql).bind(class.classname.as_str()).bind(id);
    statement.bind(domain.as_str()).bind(Value::Id(token.into()))
}

/// The statement that lets a batch fail without the claim.
fn held(place: EntityPlace<'_>, token: ClaimToken) -> Statement {
    let sql = format!("SELECT 1 FROM \"work claim\" WHERE {IS_HELD}");
    of_claim(sql, place, token).assert(Failed::ClaimLost, Lock::Found)
}

/// The statement that ends a claim whose work is done. The row stays for a while, so that an
/// acknowledgement that is repeated is recognised.
fn acknowledge(place: EntityPlace<'_>, token: ClaimToken, now_ms: i64) -> Statement {
    let sql = format!(
        "UPDATE \"work claim\" SET \"acknowledged\" = $5, \"until\" = $5, \"claims\" = 0
         WHERE {IS_HELD}"
    );
    let done = of_claim(sql, place, token).bind(Value::Moment(now_ms));
    done.must_change(Failed::ClaimLost)
}

/// The statement after which a message that waits for its acknowledgement is deleted at the server.
fn may_be_deleted(message: EntityId) -> Statement {
    // In a former epoch, which may come back, it is negative.
    let sql = "UPDATE \"receipt\" SET \"wish\" = CASE \"wish\" WHEN 3 THEN 4 ELSE -4 END
        WHERE \"message\" = $1 AND \"wish\" IN (3, -3)";
    Statement::new(sql).bind(message)
}

/// The statement that forgets the claim of a deleted entity.
pub(crate) fn forget(class: &Class, id: EntityId) -> Statement {
    let sql = "DELETE FROM \"work claim\" WHERE \"class\" = $1 AND \"entity\" = $2";
    Statement::new(sql).bind(class.classname.as_str()).bind(id)
}

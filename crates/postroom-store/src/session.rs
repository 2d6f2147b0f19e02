//! Sessions of those who have signed in: as a user, or with a token, which a browser need not keep.
//!
//! ```text
//!   login + password (+ code) ─┬─► row of `session` ──► token_verify, as for tokens
//!   token ─────────────────────┘     ends: DELETE, the user is disabled, deleted or gets another
//!                                    password, the token ends, 30 minutes idle, 12 hours
//! ```
//! The database has a keyed hash of what the client shows. When a session was used is in memory,
//! and is written once a minute.

use crate::audit::AuditEntry;
use crate::audit_actor::Asker;
use crate::audit_actor::AuditActor;
use crate::audit_event::AuditEvent;
use crate::bell::Topic;
use crate::columns;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::failed::Failed;
use crate::key::random_token;
use crate::made::Made;
use crate::modifier::Bearer;
use crate::modifier::KnownToken;
use crate::modifier::TokenHash;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Rights;
use postroom_model::Timestamp;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use postroom_model::user_name;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;
use std::sync::Arc;

/// After how long without a request a session ends.
pub const SESSION_IDLE_MS: i64 = 30 * 60 * 1000;
/// How long a session lasts.
const LASTS_MS: i64 = 12 * 3600 * 1000;
/// How many sessions a user has at once. The oldest ends when there would be more.
const SESSIONS_MAX: u32 = 50;
/// The uses of how many sessions are written in one transaction.
const USES_AT_ONCE: usize = 100;

/// A session that has begun.
#[derive(Debug)]
pub struct BegunSession {
    /// What the client shows.
    pub token: SecretString,
    /// When it ends in any case.
    pub ends: Timestamp,
}

/// Whose session it is.
pub(crate) enum SessionHolder {
    User(EntityId),
    /// The hash of a token.
    Token(TokenHash),
}

impl Store {
    /// Begins a session that stands for a token, and ends with it. `None`: it is not valid, or is
    /// that of a session itself.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn session_begin_with(&self, token: &str) -> Result<Option<BegunSession>, Error> {
        // From now on it has a hash of this version.
        if self.token_verify(token).await?.is_none() {
            return Ok(None);
        }
        let hash = self.inner.keys.token_hash(token);
        let Some(known) = self.token_listed(&hash).await? else {
            return Ok(None);
        };
        let (holder, domain) = (SessionHolder::Token(hash), &known.bearer.domain);
        let actor = AuditActor::of(&known.bearer);
        let told = self.session_told(domain, actor, &AuditEntry::of(AuditEvent::Login));
        self.session_write(domain, holder, told).await.map(Some)
    }

    /// Writes a new session behind other statements, and ends the oldest of its holder.
    pub(crate) async fn session_write(
        &self,
        domain: &Domain,
        holder: SessionHolder,
        mut batch: Vec<Statement>,
    ) -> Result<BegunSession, Error> {
        let (token, now_ms) = (random_token(), self.clock().now_ms());
        let ends_ms = now_ms.saturating_add(LASTS_MS);
        let sql = "INSERT INTO \"session\"
            (\"hash\", \"domain\", \"user\", \"token\", \"begun\", \"used\", \"until\", \"ends\")
            VALUES ($1, $2, $3, $4, $5, $5, $6, $7)";
        let hash = self.inner.keys.token_hash(token.expose_secret()).to_vec();
        let begin = Statement::new(sql).bind(hash).bind(domain.as_str()).makes(Made::other(domain));
        let (begin, oldest) = match holder {
            SessionHolder::User(user) => {
                let sql = "DELETE FROM \"session\" WHERE \"user\" = $1 AND \"hash\" NOT IN
                    (SELECT \"hash\" FROM \"session\" WHERE \"user\" = $1
                      ORDER BY \"begun\" DESC, \"hash\" DESC LIMIT $2)";
                (begin.bind(user).bind(Value::Null), Statement::new(sql).bind(user))
            }
            SessionHolder::Token(hash) => {
                let sql = "DELETE FROM \"session\" WHERE \"token\" = $1 AND \"hash\" NOT IN
                    (SELECT \"hash\" FROM \"session\" WHERE \"token\" = $1
                      ORDER BY \"begun\" DESC, \"hash\" DESC LIMIT $2)";
                let hash = hash.to_vec();
                (begin.bind(Value::Null).bind(hash.clone()), Statement::new(sql).bind(hash))
            }
        };
        let begin = begin.bind(Value::Moment(now_ms));
        let begin = begin.bind(Value::Moment(now_ms.saturating_add(SESSION_IDLE_MS)));
        batch.push(begin.bind(Value::Moment(ends_ms)));
        batch.push(oldest.bind(SESSIONS_MAX));
        let written = self.write(batch).await?;
        // What goes on by a session that ended for this one looks at once.
        if written.last().is_some_and(|oldest| oldest.changed > 0) {
            self.inner.database.ring(Topic::Tokens);
        }
        Ok(BegunSession { token, ends: Timestamp::from_ms(ends_ms) })
    }

    /// Ends the session of which a client shows this. `false`: there is none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn session_end(&self, token: &str) -> Result<bool, Error> {
        let sql = "DELETE FROM \"session\" WHERE \"hash\" = $1";
        let hash = self.inner.keys.token_hash(token);
        let Some(known) = self.session_find(&hash).await? else {
            return Ok(false);
        };
        let end = Statement::new(sql).bind(hash.to_vec()).must_change(Failed::Stale);
        let (domain, actor) = (&known.bearer.domain, AuditActor::of(&known.bearer));
        let mut batch = vec![end];
        batch.extend(self.session_told(domain, actor, &AuditEntry::of(AuditEvent::Logout)));
        match self.write_at_need(batch).await {
            Ok(_) => {}
            // Somebody else has ended it.
            Err(Error::Condition(Failed::Stale)) => return Ok(false),
            Err(error) => return Err(error),
        }
        self.inner.database.ring(Topic::Tokens);
        Ok(true)
    }

    /// The statements that tell in the audit what becomes of a session. They are in its batch: who
    /// is not told does not get in.
    pub(crate) fn session_told(
        &self,
        domain: &Domain,
        actor: AuditActor,
        entry: &AuditEntry<'_>,
    ) -> Vec<Statement> {
        let origin = self.asker.as_ref().map(|asker| asker.origin.clone()).unwrap_or_default();
        self.audited_by(domain, &Asker { actor, origin }, entry)
    }

    /// The session of a hash, whether it has ended or not.
    pub(crate) async fn session_find(&self, hash: &TokenHash) -> Result<Option<KnownToken>, Error> {
        const DAMAGED: Error = Error::Damaged { what: "a session" };
        let sql = "SELECT \"user\", \"used\", \"ends\", \"token\" FROM \"session\"
            WHERE \"hash\" = $1";
        let rows = self.read(Statement::new(sql).bind(hash.to_vec())).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (used_ms, ends_ms) = (row.whole(1).ok_or(DAMAGED)?, row.whole(2).ok_or(DAMAGED)?);
        if let Some(token) = row.bytes(3) {
            let token = TokenHash::try_from(token).map_err(|_| DAMAGED)?;
            let known = self.token_listed(&token).await?;
            return Ok(known.map(|token| KnownToken {
                ends_ms: Some(token.ends_ms.map_or(ends_ms, |end_ms| end_ms.min(ends_ms))),
                used_ms: Some(used_ms),
                ..token
            }));
        }
        let id = row.id(0).ok_or(DAMAGED)?;
        let class = self.builtin(USERS)?;
        let sql = format!("{} WHERE \"id\" = $1 AND \"enabled\"", Self::select(&class));
        let rows = self.read(Statement::new(sql).bind(id).of_class(&*class)).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let (domain, user) = (columns::domain(row)?, self.entity_of(&class, row)?);
        let Ok(rights) = Rights::of_user(&user) else {
            tracing::error!(user = %user.id, "the rights of a user are not understood");
            return Ok(None);
        };
        let name = user_name(user.text(names::LOGIN).ok_or(DAMAGED)?);
        let is_suspended = self.domain_is_suspended(&domain).await?;
        let (user, rights) = (Some(user.id), Arc::new(rights));
        let bearer = Bearer { domain, name, token: None, user, rights, is_suspended };
        Ok(Some(KnownToken { bearer, ends_ms: Some(ends_ms), used_ms: Some(used_ms) }))
    }

    /// Notes that a session is used. `None`: nobody used it for too long.
    pub(crate) async fn session_used(
        &self,
        hash: TokenHash,
        known: KnownToken,
    ) -> Result<Option<KnownToken>, Error> {
        let now_ms = self.clock().now_ms();
        let uses = &self.inner.session_uses;
        let is_idle = |used_ms: Option<i64>| {
            let last = used_ms.max(uses.last(hash)).unwrap_or(now_ms);
            now_ms.saturating_sub(last) >= SESSION_IDLE_MS
        };
        let known = match is_idle(known.used_ms) {
            false => Some(known),
            // Another process may have written that it was used there.
            true => self.session_find(&hash).await?.filter(|known| !is_idle(known.used_ms)),
        };
        if known.is_some() {
            uses.note(hash, now_ms);
        }
        Ok(known)
    }

    /// Writes when sessions were used, and deletes those that have ended.
    ///
    /// # Errors
    ///
    /// When the store fails. The times are lost then, and later ones follow.
    pub(crate) async fn session_uses_write(&self) -> Result<(), Error> {
        let sql = "UPDATE \"session\" SET \"used\" = $2, \"until\" = CASE
            WHEN $3 < \"ends\" THEN $3 ELSE \"ends\" END WHERE \"hash\" = $1";
        for some in self.inner.session_uses.take().chunks(USES_AT_ONCE) {
            let used = |(hash, at_ms): &(TokenHash, i64)| {
                let until = at_ms.saturating_add(SESSION_IDLE_MS);
                let used = Statement::new(sql).bind(hash.to_vec()).bind(Value::Moment(*at_ms));
                used.bind(Value::Moment(until))
            };
            self.write(some.iter().map(used).collect()).await?;
        }
        let old = Statement::new("DELETE FROM \"session\" WHERE \"until\" < $1");
        self.write_at_need(vec![old.bind(self.clock().now_ms())]).await.map(drop)
    }
}

/// The statement that ends the sessions of a user whose changes end them.
pub(crate) fn ended(
    class: &Class,
    user: EntityId,
    changes: &Map<String, Json>,
) -> Option<Statement> {
    let is_ending = changes.contains_key(names::PASSWORD)
        || changes.get(names::ENABLED).is_some_and(|enabled| enabled.as_bool() != Some(true));
    (class.classname == USERS && is_ending).then(|| all_ended(user))
}

/// The statement that ends all sessions of a user.
pub(crate) fn all_ended(user: EntityId) -> Statement {
    Statement::new("DELETE FROM \"session\" WHERE \"user\" = $1").bind(user)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::entity::NewEntity;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use crate::sign_in::LoginOutcome;
    use crate::sign_in::OfferedLogin;
    use postroom_model::Entity;
    use postroom_model::builtin::TOKENS;
    use postroom_testkit::on_both;
    use serde_json::json;

    const MINUTE_MS: i64 = 60_000;
    const PASSWORD: &str = "correct horse battery";

    async fn create(store: &Store, class: &str, values: Json) -> EntityId {
        let class = store.class(class).unwrap();
        let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
        let id = entity.id;
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create(&Domain::default_domain(), &class, new).await.unwrap();
        id
    }

    async fn sign_in(store: &Store) -> String {
        let (domain, password) = (&Domain::default_domain(), SecretString::from(PASSWORD));
        let login = OfferedLogin { domain, login: "anna", password, code: None };
        let signed_in = store.session_begin(login).await.unwrap();
        let LoginOutcome::Begun(begun) = signed_in else {
            panic!("{signed_in:?}");
        };
        begun.token.expose_secret().to_owned()
    }

    #[on_both]
    async fn a_session_ends_when_nobody_uses_it_and_after_twelve_hours() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let user =
            json!({"login": "anna", "role": "reader", "enabled": true, "password": PASSWORD});
        create(&store, USERS, user).await;
        let token = json!({"name": "t", "role": "reader", "enabled": true, "token": "the value",
            "expiresAt": Timestamp::from_ms(50 * MINUTE_MS).to_string()});
        create(&store, TOKENS, token).await;
        let is_known = async |token: &str| store.token_verify(token).await.unwrap().is_some();
        let (used, unused) = (sign_in(&store).await, sign_in(&store).await);
        let of_token = store.session_begin_with("the value").await.unwrap().unwrap().token;
        // Whether its use is written or only in memory makes no difference.
        for minutes in (0..12 * 60).step_by(29) {
            time.set(minutes * MINUTE_MS);
            assert!(is_known(&used).await, "after {minutes} minutes");
            let is_there = minutes < 50;
            assert_eq!(is_known(of_token.expose_secret()).await, is_there, "{minutes}");
            if minutes % 2 == 0 {
                store.session_uses_write().await.unwrap();
            }
        }
        assert!(!is_known(&unused).await);
        time.set(12 * 60 * MINUTE_MS);
        assert!(!is_known(&used).await);
        let idle = sign_in(&store).await;
        time.set((12 * 60 + 30) * MINUTE_MS);
        assert!(!is_known(&idle).await);
        time.set((12 * 60 + 31) * MINUTE_MS);
        store.session_uses_write().await.unwrap();
        let left = store.read(Statement::new("SELECT 1 FROM \"session\"")).await.unwrap();
        assert!(left.is_empty(), "none stays behind");
    }

    #[on_both]
    async fn the_oldest_session_of_a_user_ends_for_the_fifty_first() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Threads).await;
        let token = json!({"name": "t", "role": "reader", "enabled": true, "token": "the value"});
        create(&store, TOKENS, token).await;
        let mut begun = vec![];
        for at in 0..=i64::from(SESSIONS_MAX) {
            time.set(at);
            begun.push(store.session_begin_with("the value").await.unwrap().unwrap().token);
            // It is in memory.
            store.token_verify(begun[0].expose_secret()).await.unwrap();
        }
        let known = async |token: &SecretString| {
            store.token_verify(token.expose_secret()).await.unwrap().is_some()
        };
        assert!(!known(&begun[0]).await && known(&begun[1]).await);
    }
}

//! Users sign in: by a login, a password and, if they have a second factor, a code.
//!
//! ```text
//!   login ─► user ─► is it the password? ─► is a code needed, and right? ─► row of `session`
//! ```
//! What is refused before the second question is the same for all, and takes equally long. The
//! batch that begins the session asserts that password and second factor are still those that were
//! looked at.

use crate::audit::AuditEntry;
use crate::audit_actor::AuditActor;
use crate::audit_event::AuditEvent;
use crate::columns::secret_place;
use crate::database::Lock;
use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::record::ATTEMPTS;
use crate::sealed::Sealed;
use crate::second_factor::CodeCheck;
use crate::session::BegunSession;
use crate::session::SessionHolder;
use crate::store::Store;
use crate::untold;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use postroom_model::user_name;
use secrecy::SecretString;
use serde_json::json;

/// Who wants to sign in.
#[derive(Debug)]
pub struct OfferedLogin<'a> {
    /// The domain of the user.
    pub domain: &'a Domain,
    /// The login of the user.
    pub login: &'a str,
    /// The password.
    pub password: SecretString,
    /// The code of the second factor, or a recovery code. `None`: none was given.
    pub code: Option<SecretString>,
}

/// What becomes of who wants to sign in.
#[derive(Debug)]
pub enum LoginOutcome {
    /// A session has begun.
    Begun(BegunSession),
    /// There is no such user, it is disabled, or the password is another one.
    Refused,
    /// The password is right, and the code is missing that this user needs.
    CodeMissing,
    /// The password is right. The code is not, or it was used before.
    CodeWrong,
}

/// A user as the row has it.
struct KnownUser {
    id: EntityId,
    /// The password as it is encrypted. It differs for each saving.
    sealed: Vec<u8>,
    /// The second factor as it is encrypted. Null: the user has none.
    factor: Value,
    /// Whether `secondFactor` says that there is one.
    needs_code: bool,
}

impl Store {
    /// Begins a session. All that is refused takes equally long. A code is looked at only if the
    /// password is right, and each one lets in once.
    ///
    /// # Errors
    ///
    /// [`Error::Crowded`] if too many sign in at this moment; when the store fails.
    pub async fn session_begin(&self, login: OfferedLogin<'_>) -> Result<LoginOutcome, Error> {
        let mut proven = None;
        for _ in 0..ATTEMPTS {
            let Some(user) = self.user_proven(&login, &mut proven).await? else {
                return Ok(LoginOutcome::Refused);
            };
            match self.session_try(&login, user).await {
                // The user was disabled, got another password, or used a code, at this moment.
                Err(Error::Condition(Failed::Stale)) => {}
                tried => return tried,
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// The user of a login whose password is right. `proven`: the password as it is encrypted, if
    /// that was seen before. `None`: it is not right, or there is no such user.
    async fn user_proven(
        &self,
        login: &OfferedLogin<'_>,
        proven: &mut Option<Vec<u8>>,
    ) -> Result<Option<KnownUser>, Error> {
        let class = self.builtin(USERS)?;
        let known = self.user_find(login.domain, login.login).await?;
        if proven.is_some() && known.as_ref().map(|user| &user.sealed) == proven.as_ref() {
            return Ok(known);
        }
        let sealed = known.as_ref().map(|user| {
            let place = secret_place(&class, user.id, names::PASSWORD);
            Sealed::new(&self.inner.keys, place, &user.sealed)
        });
        let hash = sealed.map(|sealed| sealed.open()).transpose()?;
        let is_right = self.password_is(login.password.clone(), hash).await?;
        let known = known.filter(|_| is_right);
        *proven = known.as_ref().map(|user| user.sealed.clone());
        Ok(known)
    }

    /// Begins the session of a user whose password is right, if the code is.
    async fn session_try(
        &self,
        login: &OfferedLogin<'_>,
        user: KnownUser,
    ) -> Result<LoginOutcome, Error> {
        let (domain, class) = (login.domain, self.builtin(USERS)?);
        if user.needs_code && user.factor == Value::Null {
            return Err(Error::Damaged { what: "a second factor" });
        }
        let place = EntityPlace::new(domain, &class, user.id);
        let (used, left) = match self.code_checked(place, &user.factor, login.code.as_ref())? {
            CodeCheck::Right { used, left } => (used, left),
            CodeCheck::Missing => return Ok(LoginOutcome::CodeMissing),
            CodeCheck::Wrong { noted } => {
                // A guess counts before it is answered, so of many at once few are looked at.
                if !noted.is_empty() {
                    self.write(noted).await?;
                }
                return Ok(LoginOutcome::CodeWrong);
            }
        };
        let same = "SELECT 1 FROM \"iam/Users\"
            WHERE \"id\" = $1 AND \"domain\" = $2 AND \"enabled\" AND \"password\" = $3
              AND \"totp\" IS NOT DISTINCT FROM $4";
        let same = Statement::new(same).bind(user.id).bind(domain.as_str()).bind(user.sealed);
        let same = same.bind(user.factor);
        let at = vec![(names::LAST_LOGIN_AT, Value::Moment(self.clock().now_ms()))];
        let noted = untold::set(&class, user.id, at);
        let same = same.assert(Failed::Stale, Lock::Found);
        let name = user_name(login.login);
        let (kind, name, id, of) = ("user", Some(name), Some(user.id), Some(domain.clone()));
        let actor = AuditActor { kind, name, id, domain: of };
        let mut batch = vec![same, noted];
        batch.extend(used);
        if let Some(left) = left {
            let entry = AuditEntry::of(AuditEvent::TotpRecover).at(USERS, user.id);
            let entry = entry.with(json!({"left": left}));
            batch.extend(self.session_told(domain, actor.clone(), &entry));
        }
        batch.extend(self.session_told(domain, actor, &AuditEntry::of(AuditEvent::Login)));
        let begun = self.session_write(domain, SessionHolder::User(user.id), batch).await?;
        Ok(LoginOutcome::Begun(begun))
    }

    async fn user_find(&self, domain: &Domain, login: &str) -> Result<Option<KnownUser>, Error> {
        let sql = "SELECT \"id\", \"password\", \"totp\", \"secondFactor\" FROM \"iam/Users\"
            WHERE \"domain\" = $1 AND \"login\" = $2 AND \"enabled\"
              AND \"password\" IS NOT NULL";
        let rows = self.read(Statement::new(sql).bind(domain.as_str()).bind(login)).await?;
        self.keys_learn(&rows).await?;
        let known = |row: &Row| {
            let (sealed, factor) = (row.bytes(1)?.to_vec(), row.value(2).clone());
            let needs_code = row.whole(3) == Some(1);
            Some(KnownUser { id: row.id(0)?, sealed, factor, needs_code })
        };
        Ok(rows.first().and_then(known))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Work;
    use crate::entity::NewEntity;
    use crate::fixture::Time;
    use crate::fixture::store_in;
    use crate::second_factor::TotpRefusal;
    use postroom_model::Entity;
    use postroom_testkit::TOTP_STEP_MS;
    use postroom_testkit::on_both;
    use postroom_testkit::totp_code;
    use secrecy::ExposeSecret;
    use serde_json::json;
    use std::sync::Arc;

    const MINUTE_MS: i64 = 60_000;
    const PASSWORD: &str = "correct horse battery";

    /// A user without a second factor.
    async fn user(store: &Store) -> EntityId {
        let class = store.builtin(USERS).unwrap();
        let values =
            json!({"login": "anna", "role": "reader", "enabled": true, "password": PASSWORD});
        let entity = Entity::new(store.clock().new_id(), values.as_object().unwrap().clone());
        let id = entity.id;
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create(&Domain::default_domain(), &class, new).await.unwrap();
        id
    }

    async fn try_in(store: &Store, code: Option<&str>) -> Result<LoginOutcome, Error> {
        let domain = &Domain::default_domain();
        let (password, code) = (SecretString::from(PASSWORD), code.map(SecretString::from));
        store.session_begin(OfferedLogin { domain, login: "anna", password, code }).await
    }

    async fn signed_in(store: &Store, code: Option<&str>) -> LoginOutcome {
        try_in(store, code).await.unwrap()
    }

    fn is_begun(signed_in: &LoginOutcome) -> bool {
        matches!(signed_in, LoginOutcome::Begun(_))
    }

    /// A user who needs codes from the third step on. Gives the key and the recovery codes.
    async fn with_second_factor(store: &Store, time: &Time) -> (EntityId, String, Vec<String>) {
        let user = user(store).await;
        time.set(2 * TOTP_STEP_MS);
        let domain = &Domain::default_domain();
        let key = store.totp_begin(domain, user).await.unwrap().unwrap().key;
        let key = key.expose_secret().to_owned();
        let first = SecretString::from(totp_code(&key, 2 * TOTP_STEP_MS));
        let recovery = store.totp_activate(domain, user, &first).await.unwrap().unwrap();
        let recovery = recovery.iter().map(|code| code.expose_secret().to_owned()).collect();
        (user, key, recovery)
    }

    #[on_both]
    async fn a_code_lets_in_at_its_time_and_once() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let (_, key, recovery) = with_second_factor(&store, &time).await;
        let try_code =
            async |step: i64| signed_in(&store, Some(&totp_code(&key, step * TOTP_STEP_MS))).await;
        assert!(matches!(signed_in(&store, None).await, LoginOutcome::CodeMissing));
        assert!(matches!(signed_in(&store, Some(" -")).await, LoginOutcome::CodeMissing));
        assert!(matches!(try_code(2).await, LoginOutcome::CodeWrong), "it activated the factor");
        time.set(10 * TOTP_STEP_MS + 29_999);
        for (step, want) in [(8, false), (12, false), (9, true), (9, false), (11, true)] {
            assert_eq!(is_begun(&try_code(step).await), want, "{step}");
        }
        assert!(!is_begun(&try_code(10).await), "a later one was used");
        let own = recovery[3].to_uppercase().replace('-', " ");
        for (code, want) in [(&own, true), (&recovery[3], false), (&recovery[4], true)] {
            assert_eq!(is_begun(&signed_in(&store, Some(code)).await), want, "{code}");
        }
        let wrong = OfferedLogin {
            domain: &Domain::default_domain(),
            login: "anna",
            password: SecretString::from("wrong"),
            code: Some(SecretString::from(recovery[5].as_str())),
        };
        assert!(matches!(store.session_begin(wrong).await.unwrap(), LoginOutcome::Refused));
        assert!(is_begun(&signed_in(&store, Some(&recovery[5])).await), "it was not used");
    }

    #[on_both]
    async fn of_many_logins_with_one_code_one_succeeds() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Threads).await;
        let (_, key, recovery) = with_second_factor(&store, &time).await;
        time.set(5 * TOTP_STEP_MS);
        for code in [totp_code(&key, 5 * TOTP_STEP_MS), recovery[0].clone()] {
            let all = (0..16).map(|_| signed_in(&store, Some(&code)));
            let all = futures_util::future::join_all(all).await;
            let begun = all.iter().filter(|one| is_begun(one)).count();
            assert_eq!(begun, 1, "{all:?}");
            let wrong = all.iter().filter(|one| matches!(one, LoginOutcome::CodeWrong)).count();
            assert_eq!(wrong, 15, "{all:?}");
        }
    }

    /// As they are at several processes: all have seen the password and the same second factor.
    #[on_both(flavor = "multi_thread")]
    async fn of_many_batches_with_one_code_one_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Threads).await;
        let (_, key, _) = with_second_factor(&store, &time).await;
        let domain = Domain::default_domain();
        for step in 5..10 {
            time.set(step * TOTP_STEP_MS);
            let login = OfferedLogin {
                domain: &domain,
                login: "anna",
                password: SecretString::from(PASSWORD),
                code: Some(SecretString::from(totp_code(&key, step * TOTP_STEP_MS))),
            };
            let mut users = vec![];
            for _ in 0..16 {
                users.push(store.user_find(&domain, "anna").await.unwrap().unwrap());
            }
            let all = users.into_iter().map(|user| store.session_try(&login, user));
            let all = futures_util::future::join_all(all).await;
            let begun = all.iter().filter(|one| matches!(one, Ok(LoginOutcome::Begun(_)))).count();
            let stale = Error::Condition(Failed::Stale).to_string();
            let is_stale =
                |one: &&Result<_, Error>| one.as_ref().is_err_and(|it| it.to_string() == stale);
            assert_eq!((begun, all.iter().filter(is_stale).count()), (1, 15), "{all:?}");
        }
    }

    #[on_both]
    async fn too_many_wrong_codes_bar_the_codes_of_the_app() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Threads).await;
        let (user, key, recovery) = with_second_factor(&store, &time).await;
        let domain = &Domain::default_domain();
        let code = |step: i64| totp_code(&key, step * TOTP_STEP_MS);
        let wrong = code(1000);
        let first = 10 * TOTP_STEP_MS;
        time.set(first);
        for _ in 0..4 {
            assert!(matches!(signed_in(&store, Some(&wrong)).await, LoginOutcome::CodeWrong));
        }
        assert!(is_begun(&signed_in(&store, Some(&code(10))).await), "a right one begins anew");
        let all = (0..16).map(|_| signed_in(&store, Some(&wrong)));
        futures_util::future::join_all(all).await;
        time.set(first + 29_999);
        assert!(!is_begun(&signed_in(&store, Some(&code(11))).await), "codes are barred");
        let at_removal = SecretString::from(code(11));
        let removed = store.totp_remove(domain, user, &at_removal).await.unwrap();
        assert_eq!(removed, Err(TotpRefusal::WrongCode));
        assert!(is_begun(&signed_in(&store, Some(&recovery[0])).await), "no recovery code is");
        time.set(first + 30_000);
        let again = SecretString::from(wrong.as_str());
        let removed = store.totp_remove(domain, user, &again).await.unwrap();
        assert_eq!(removed, Err(TotpRefusal::WrongCode));
        time.set(first + 30_000 + 59_999);
        assert!(!is_begun(&signed_in(&store, Some(&code(12))).await), "each time for longer");
        time.set(first + 30_000 + 60_000);
        assert!(is_begun(&signed_in(&store, Some(&code(13))).await));
    }

    #[on_both]
    async fn a_second_factor_that_is_gone_lets_nobody_in() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let (user, ..) = with_second_factor(&store, &time).await;
        let gone = untold::set(&store.builtin(USERS).unwrap(), user, vec![("totp", Value::Null)]);
        store.write(vec![gone]).await.unwrap();
        let refused = try_in(&store, None).await;
        assert!(matches!(refused, Err(Error::Damaged { what: "a second factor" })), "{refused:?}");
    }

    #[on_both]
    async fn a_key_waits_for_its_first_code_for_ten_minutes() {
        let directory = tempfile::tempdir().unwrap();
        let time = Arc::new(Time::default());
        let store = store_in(directory.path(), time.clock(), Work::Inline).await;
        let user = user(&store).await;
        let domain = &Domain::default_domain();
        let activate = async |key: &SecretString, at_ms: i64| {
            time.set(at_ms);
            let code = SecretString::from(totp_code(key.expose_secret(), at_ms));
            store.totp_activate(domain, user, &code).await.unwrap().map(|codes| codes.len())
        };
        let first = store.totp_begin(domain, user).await.unwrap().unwrap();
        assert_eq!(activate(&first.key, 10 * MINUTE_MS).await, Err(TotpRefusal::HasNone));
        assert!(is_begun(&signed_in(&store, None).await), "it does not count yet");
        let second = store.totp_begin(domain, user).await.unwrap().unwrap();
        let at_ms = 20 * MINUTE_MS - 1;
        assert_eq!(activate(&first.key, at_ms).await, Err(TotpRefusal::WrongCode));
        assert_eq!(activate(&second.key, at_ms).await, Ok(10));
        assert_eq!(activate(&second.key, at_ms).await, Err(TotpRefusal::HasOne));
        assert!(matches!(store.totp_begin(domain, user).await, Ok(Err(TotpRefusal::HasOne))));
        let nobody = EntityId::from_u128(9);
        assert!(matches!(store.totp_begin(domain, nobody).await, Ok(Err(TotpRefusal::NoUser))));
        assert_eq!(store.totp_state(nobody).await.unwrap(), None);
    }
}

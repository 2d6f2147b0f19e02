//! The second factor of users: codes of an app (`crate::totp`), and recovery codes for who lost it.
//!
//! ```text
//!   begin: a new key waits ─► activate: its first code ─► each login needs a code
//!                                └─► 10 recovery codes, shown once     └─► remove
//! ```
//! All of it is one secret of the user, encrypted as the others are. Whoever uses a code writes
//! that secret only if it is still the one that was read. So of several logins with one code, one
//! succeeds. Recovery codes are kept as hashes with a key of the database.
//!
//! Standards: RFC 6238.

use crate::audit::AuditEntry;
use crate::audit_event::AuditEvent;
use crate::columns::secret_place;
use crate::database::Statement;
use crate::database::Value;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::kept_factor::KeptFactor;
use crate::kept_factor::RECOVERY_CODES;
use crate::kept_factor::RightCode;
use crate::kept_factor::WaitingKey;
use crate::kept_factor::plain;
use crate::kept_factor::recovery_code;
use crate::key_bytes::random_bytes;
use crate::record::ATTEMPTS;
use crate::store::Store;
use crate::totp;
use crate::untold;
use crate::untold::SecretSwap;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Timestamp;
use postroom_model::builtin::USERS;
use postroom_model::builtin::names;
use secrecy::SecretString;
use serde_json::Map;
use serde_json::Value as Json;
use zeroize::Zeroizing;

/// How long a new key waits for its first code.
const WAITS_MS: i64 = 10 * 60 * 1000;
/// A key that waits for its first code.
#[derive(Debug)]
pub struct NewTotpKey {
    /// The key in base32, for an app.
    pub key: SecretString,
    /// Until when a code of it is taken.
    pub until: Timestamp,
}

/// What a user has as a second factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TotpState {
    /// Whether each login needs a code.
    pub is_active: bool,
    /// How many recovery codes are left.
    pub recovery_codes: usize,
}

/// Why a second factor is not set up or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TotpRefusal {
    /// The user has one.
    HasOne,
    /// The user has none, and none was begun in the last ten minutes.
    HasNone,
    /// It is not the code of this moment, or was used.
    WrongCode,
    /// There is no such user any more.
    NoUser,
}

/// Whether a code lets somebody in whose password is right.
#[derive(Debug)]
pub(crate) enum CodeCheck {
    /// It does, or none is needed.
    Right {
        /// What must succeed in the batch of the login. None: no code was needed.
        used: Vec<Statement>,
        /// How many recovery codes are left, if one was used.
        left: Option<usize>,
    },
    /// None was given, and the user has a second factor.
    Missing,
    /// It is not right, or was used, or too many were wrong.
    Wrong {
        /// What notes it. It fails with [`Failed::Stale`] if the second factor changed meanwhile.
        noted: Vec<Statement>,
    },
}

/// The second factor of a user, with the bytes from which it was read.
struct ReadFactor {
    kept: KeptFactor,
    bytes: Value,
}

impl Store {
    /// What a user has. `None`: there is no such user.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn totp_state(&self, user: EntityId) -> Result<Option<TotpState>, Error> {
        let class = self.builtin(USERS)?;
        let read = self.factor_read(&class, user).await?;
        Ok(read.map(|read| TotpState {
            is_active: read.kept.key.is_some(),
            recovery_codes: read.kept.recovery.len(),
        }))
    }

    /// Makes a key for a user, which waits for its first code for ten minutes. A former one that
    /// waits is forgotten.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn totp_begin(
        &self,
        domain: &Domain,
        user: EntityId,
    ) -> Result<Result<NewTotpKey, TotpRefusal>, Error> {
        let class = self.builtin(USERS)?;
        for _ in 0..ATTEMPTS {
            let Some(ReadFactor { kept, bytes }) = self.factor_read(&class, user).await? else {
                return Ok(Err(TotpRefusal::NoUser));
            };
            if kept.key.is_some() {
                return Ok(Err(TotpRefusal::HasOne));
            }
            let key = Zeroizing::new(random_bytes::<{ totp::KEY_BYTES }>().to_vec());
            let shown = SecretString::from(totp::base32(&key).as_str());
            let until_ms = self.clock().now_ms().saturating_add(WAITS_MS);
            let waiting = Some(WaitingKey { key, until_ms });
            let kept = KeptFactor { waiting, ..kept };
            let place = EntityPlace::new(domain, &class, user);
            if self.is_done(self.factor_swap(place, bytes, Some(&kept))).await? {
                return Ok(Ok(NewTotpKey { key: shown, until: Timestamp::from_ms(until_ms) }));
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// From now on each login needs a code of the key that waits, of which this one is the first.
    /// Gives the recovery codes, which nobody can read again.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn totp_activate(
        &self,
        domain: &Domain,
        user: EntityId,
        code: &SecretString,
    ) -> Result<Result<Vec<SecretString>, TotpRefusal>, Error> {
        let class = self.builtin(USERS)?;
        let place = EntityPlace::new(domain, &class, user);
        for _ in 0..ATTEMPTS {
            let Some(ReadFactor { kept, bytes }) = self.factor_read(&class, user).await? else {
                return Ok(Err(TotpRefusal::NoUser));
            };
            if kept.key.is_some() {
                return Ok(Err(TotpRefusal::HasOne));
            }
            let now_ms = self.clock().now_ms();
            let Some(waiting) = kept.waiting.filter(|waiting| now_ms < waiting.until_ms) else {
                return Ok(Err(TotpRefusal::HasNone));
            };
            let given = plain(code);
            let step = Some(given).filter(|given| totp::is_code(given));
            let step = step.and_then(|it| totp::accepted(&waiting.key, &it, now_ms, i64::MIN));
            let Some(step) = step else {
                return Ok(Err(TotpRefusal::WrongCode));
            };
            let codes: Vec<_> = (0..RECOVERY_CODES).map(|_| recovery_code()).collect();
            let recovery = codes.iter().map(|code| self.recovery_hash(user, &plain(code)));
            let kept = KeptFactor {
                key: Some(waiting.key),
                step,
                recovery: recovery.collect(),
                ..KeptFactor::default()
            };
            let swap = self.factor_swap(place, bytes, Some(&kept));
            if self.factor_turned(place, true, swap).await? {
                return Ok(Ok(codes));
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Removes the second factor of a user who proves to have it, by a code or a recovery code.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn totp_remove(
        &self,
        domain: &Domain,
        user: EntityId,
        code: &SecretString,
    ) -> Result<Result<(), TotpRefusal>, Error> {
        let class = self.builtin(USERS)?;
        let place = EntityPlace::new(domain, &class, user);
        for _ in 0..ATTEMPTS {
            let Some(ReadFactor { mut kept, bytes }) = self.factor_read(&class, user).await? else {
                return Ok(Err(TotpRefusal::NoUser));
            };
            if kept.key.is_none() {
                return Ok(Err(TotpRefusal::HasNone));
            }
            let (given, now_ms) = (plain(code), self.clock().now_ms());
            let hash = self.recovery_hash(user, &given);
            if kept.proof(&given, &hash, now_ms).is_none() {
                if !kept.note_wrong(&given, now_ms)
                    || self.is_done(self.factor_swap(place, bytes, Some(&kept))).await?
                {
                    return Ok(Err(TotpRefusal::WrongCode));
                }
                continue;
            }
            let swap = self.factor_swap(place, bytes, None);
            if self.factor_turned(place, false, swap).await? {
                return Ok(Ok(()));
            }
        }
        Err(Error::Condition(Failed::Crowded))
    }

    /// Whether a code lets a user in whose password is right. `sealed`: the second factor as it was
    /// read. Null: the user has none.
    pub(crate) fn code_checked(
        &self,
        place: EntityPlace<'_>,
        sealed: &Value,
        code: Option<&SecretString>,
    ) -> Result<CodeCheck, Error> {
        let mut kept = self.factor_opened(place.class, place.id, sealed)?;
        if kept.key.is_none() {
            return Ok(CodeCheck::Right { used: vec![], left: None });
        }
        let Some(given) = code.map(plain).filter(|given| !given.is_empty()) else {
            return Ok(CodeCheck::Missing);
        };
        let hash = self.recovery_hash(place.id, &given);
        let left = match kept.proof(&given, &hash, self.clock().now_ms()) {
            None => {
                let is_noted = kept.note_wrong(&given, self.clock().now_ms());
                let swap = || self.factor_swap(place, sealed.clone(), Some(&kept));
                return Ok(CodeCheck::Wrong { noted: is_noted.then(swap).into_iter().collect() });
            }
            Some(RightCode::Step(step)) => {
                (kept.step, kept.wrong) = (step, 0);
                None
            }
            Some(RightCode::Recovery(at)) => {
                kept.recovery.remove(at);
                Some(kept.recovery.len())
            }
        };
        let used = vec![self.factor_swap(place, sealed.clone(), Some(&kept))];
        Ok(CodeCheck::Right { used, left })
    }

    /// The statements with which a client's change of a user removes the second factor.
    pub(crate) fn factor_removed(
        &self,
        place: EntityPlace<'_>,
        changes: &Map<String, Json>,
    ) -> Vec<Statement> {
        let is_removed = changes.get(names::SECOND_FACTOR).and_then(Json::as_bool) == Some(false);
        if place.class.classname != USERS || !is_removed {
            return vec![];
        }
        let none = vec![(names::TOTP, Value::Null)];
        let mut batch = vec![untold::set(place.class, place.id, none)];
        let entry = AuditEntry::of(AuditEvent::TotpRemove).at(USERS, place.id);
        batch.extend(self.audited(place.domain, &entry));
        batch
    }

    /// Says of a user whether logins need a code, with the statement that makes it so. `false`:
    /// somebody was faster.
    async fn factor_turned(
        &self,
        place: EntityPlace<'_>,
        is_active: bool,
        swap: Statement,
    ) -> Result<bool, Error> {
        let EntityPlace { domain, class, id } = place;
        let Some(current) = self.entity_get(domain, class, id).await? else {
            return Ok(false);
        };
        let changes = Map::from_iter([(names::SECOND_FACTOR.to_owned(), Json::Bool(is_active))]);
        let mut batch = vec![swap];
        batch.extend(self.records(domain, class).change(&current, &changes, Map::new())?);
        let event = if is_active { AuditEvent::TotpEnrol } else { AuditEvent::TotpRemove };
        batch.extend(self.audited(domain, &AuditEntry::of(event).at(USERS, id)));
        match self.write_numbered(batch).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::Stale)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes another second factor. `false`: somebody was faster.
    pub(crate) async fn is_done(&self, swap: Statement) -> Result<bool, Error> {
        match self.write(vec![swap]).await {
            Ok(_) => Ok(true),
            Err(Error::Condition(Failed::Stale)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The second factor of a user. `None`: there is no such user.
    async fn factor_read(
        &self,
        class: &Class,
        user: EntityId,
    ) -> Result<Option<ReadFactor>, Error> {
        let sql = "SELECT \"totp\" FROM \"iam/Users\" WHERE \"id\" = $1";
        let rows = self.read(Statement::new(sql).bind(user)).await?;
        self.keys_learn(&rows).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let bytes = row.value(0).clone();
        let kept = self.factor_opened(class, user, &bytes)?;
        Ok(Some(ReadFactor { kept, bytes }))
    }

    fn factor_opened(
        &self,
        class: &Class,
        user: EntityId,
        sealed: &Value,
    ) -> Result<KeptFactor, Error> {
        match sealed {
            Value::Null => Ok(KeptFactor::default()),
            Value::Bytes(bytes) => {
                let place = secret_place(class, user, names::TOTP);
                let opened = self.inner.keys.open(&place, bytes)?;
                KeptFactor::read(&opened).ok_or(Error::Damaged { what: "a second factor" })
            }
            Value::Boolean(_)
            | Value::Whole(_)
            | Value::Moment(_)
            | Value::Float(_)
            | Value::Text(_)
            | Value::Json(_)
            | Value::Id(_) => Err(Error::Damaged { what: "a second factor" }),
        }
    }

    /// The statement that keeps another second factor of a user in the place of the one that was
    /// read.
    fn factor_swap(
        &self,
        place: EntityPlace<'_>,
        former: Value,
        kept: Option<&KeptFactor>,
    ) -> Statement {
        let EntityPlace { domain, class, id } = place;
        let at = secret_place(class, id, names::TOTP);
        let seal = |kept: &KeptFactor| self.inner.keys.seal(domain, &at, &kept.to_text());
        let now = kept.map(seal).map_or(Value::Null, Value::Bytes);
        untold::swap(class, id, SecretSwap { property: names::TOTP, former, now })
    }

    /// The hash of a recovery code of a user, in hexadecimal digits.
    fn recovery_hash(&self, user: EntityId, code: &str) -> String {
        let text = Zeroizing::new(format!("recovery code of {user}: {code}"));
        blake3::Hash::from_bytes(self.inner.keys.token_hash(&text)).to_hex().to_string()
    }
}

//! Consents on another device: the provider is asked again and again until the person has decided.
//!
//! ```text
//!   device_ask ──► a row ──► device_claim ──► (question) ──► device_step: later, or how it ended
//!                                                      └──► `device_given`: with the tokens
//! ```
//! The device code is encrypted, and is forgotten as soon as it is of no more use. A question is
//! noted before it is asked, so of two processes one asks, and a kill between the question and its
//! answer is known of. A slot of an account has one row, that of the last consent, which stays to
//! say how it ended. It goes with the account.

use crate::database::Row;
use crate::database::Statement;
use crate::database::Value;
use crate::error::Error;
use crate::integrity;
use crate::keyring::KeyNumber;
use crate::sealed::Sealed;
use crate::store::Store;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::OAuthAppId;
use postroom_model::Timestamp;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth_device::DeviceState;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::time::Duration;

/// How many are read at once.
const PAGE: u32 = 100;

/// A consent on another device that was begun.
#[derive(Debug, Clone)]
pub struct DeviceRequest {
    /// The domain of the account.
    pub domain: Domain,
    /// Whose mail it is about.
    pub account: AccountId,
    /// The tokens that it is to give.
    pub slot: TokenSlot,
    /// The app that asks.
    pub app: OAuthAppId,
    /// How long to wait between two questions.
    pub interval: Duration,
    /// Until when the person may consent.
    pub until: Timestamp,
}

/// One that nobody has decided on so far.
#[derive(Debug, Clone)]
pub struct DevicePending {
    /// What was begun.
    pub request: DeviceRequest,
    /// When the provider is to be asked next.
    pub due: Timestamp,
    /// Whether the answer to the last question was lost.
    pub is_interrupted: bool,
    /// What the provider is asked with.
    pub code: Sealed,
    /// The same as it is stored, which tells this consent from any other.
    bytes: Vec<u8>,
}

/// What became of a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeviceStep {
    /// It is to be asked again.
    Later {
        /// When.
        due: Timestamp,
        /// How long to wait between two questions from now on.
        interval: Duration,
        /// Whether the provider may have given tokens, and its answer was lost.
        is_open: bool,
    },
    /// It has ended without tokens.
    Ended {
        /// How.
        state: DeviceState,
        /// Why, for people. It has no secret.
        detail: Option<String>,
    },
}

/// How the last one of a slot is, for clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSeen {
    /// How it is.
    pub state: DeviceState,
    /// Why, for people.
    pub detail: Option<String>,
    /// Until when the person may consent.
    pub until: Timestamp,
}

impl Store {
    /// Keeps a consent that was begun. It takes the place of the last one of the slot.
    ///
    /// # Errors
    ///
    /// [`Failed::NoAccount`](crate::Failed::NoAccount) if the account is gone.
    pub async fn device_ask(
        &self,
        request: &DeviceRequest,
        code: &SecretString,
        due: Timestamp,
    ) -> Result<(), Error> {
        let DeviceRequest { domain, account, slot, app, interval, until } = request;
        let sql = "INSERT INTO \"device consent\"
               (\"account\", \"slot\", \"domain\", \"app\", \"code\", \"interval\", \"due\",
                \"until\", \"asking\", \"state\", \"detail\")
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, 0, $9, NULL)
             ON CONFLICT (\"account\", \"slot\") DO UPDATE SET \"domain\" = excluded.\"domain\",
               \"app\" = excluded.\"app\", \"code\" = excluded.\"code\",
               \"interval\" = excluded.\"interval\", \"due\" = excluded.\"due\",
               \"until\" = excluded.\"until\", \"asking\" = 0, \"state\" = excluded.\"state\",
               \"detail\" = NULL";
        let sealed = self.inner.keys.seal(domain, &place(*account, *slot), code.expose_secret());
        let number = KeyNumber::of(&sealed);
        let ask = Statement::new(sql).bind(*account).bind(slot.as_str()).bind(domain.as_str());
        let ask = ask.bind(EntityId::from(*app)).bind(sealed).bind(milliseconds(*interval));
        let ask = ask.bind(Value::Moment(due.as_ms())).bind(Value::Moment(until.as_ms()));
        let ask = ask.bind(DeviceState::Pending.as_str()).sealed_with(number);
        self.write(vec![integrity::account_must_be(domain, *account), ask]).await?;
        Ok(())
    }

    /// How the last one of a slot is. `None`: there was none.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn device_seen(
        &self,
        domain: &Domain,
        account: AccountId,
        slot: TokenSlot,
    ) -> Result<Option<DeviceSeen>, Error> {
        let sql = "SELECT \"state\", \"detail\", \"until\" FROM \"device consent\"
            WHERE \"account\" = $1 AND \"slot\" = $2 AND \"domain\" = $3";
        let seen = Statement::new(sql).bind(account).bind(slot.as_str()).bind(domain.as_str());
        let rows = self.read(seen).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let state = row.text(0).and_then(DeviceState::parse).ok_or_else(damaged)?;
        let until = Timestamp::from_ms(row.whole(2).ok_or_else(damaged)?);
        Ok(Some(DeviceSeen { state, detail: row.text(1).map(str::to_owned), until }))
    }

    /// Those that nobody has decided on so far, at most 100, those that are due first at first.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn device_list_pending(&self) -> Result<Vec<DevicePending>, Error> {
        let sql = "SELECT \"domain\", \"account\", \"slot\", \"app\", \"code\", \"interval\",
               \"due\", \"until\", \"asking\"
             FROM \"device consent\" WHERE \"code\" IS NOT NULL ORDER BY \"due\" LIMIT $1";
        let rows = self.read(Statement::new(sql).bind(PAGE)).await?;
        self.keys_learn(&rows).await?;
        let read = rows.iter().filter_map(|row| {
            let read = self.device_of(row);
            read.inspect_err(|error| tracing::error!(%error, "it is not asked about")).ok()
        });
        Ok(read.collect())
    }

    /// Notes that the provider is about to be asked, and when it is asked next if no answer comes.
    /// `false`: somebody else asks, or it is another consent by now.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn device_claim(
        &self,
        pending: &DevicePending,
        next: Timestamp,
    ) -> Result<bool, Error> {
        let sql = "UPDATE \"device consent\" SET \"due\" = $5, \"asking\" = 1
            WHERE \"account\" = $1 AND \"slot\" = $2 AND \"code\" = $3 AND \"due\" = $4";
        let claim = pending.bound(sql).bind(Value::Moment(pending.due.as_ms()));
        self.device_changed(claim.bind(Value::Moment(next.as_ms()))).await
    }

    /// Notes what became of a question. `false`: it is another consent by now.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn device_step(
        &self,
        pending: &DevicePending,
        step: &DeviceStep,
    ) -> Result<bool, Error> {
        let statement = match step {
            DeviceStep::Later { due, interval, is_open } => {
                let sql = "UPDATE \"device consent\"
                    SET \"due\" = $4, \"interval\" = $5, \"asking\" = $6
                    WHERE \"account\" = $1 AND \"slot\" = $2 AND \"code\" = $3";
                let later = pending.bound(sql).bind(Value::Moment(due.as_ms()));
                later.bind(milliseconds(*interval)).bind(i64::from(*is_open))
            }
            DeviceStep::Ended { state, detail } => pending.ended(*state, detail.as_deref()),
        };
        self.device_changed(statement).await
    }

    async fn device_changed(&self, statement: Statement) -> Result<bool, Error> {
        let outcomes = self.write_at_need(vec![statement]).await?;
        Ok(outcomes.first().is_some_and(|outcome| outcome.changed > 0))
    }

    fn device_of(&self, row: &Row) -> Result<DevicePending, Error> {
        let domain = row.text(0).and_then(|name| Domain::new(name).ok()).ok_or_else(damaged)?;
        let account = AccountId::of(row.id(1).ok_or_else(damaged)?);
        let slot = row.text(2).and_then(TokenSlot::parse).ok_or_else(damaged)?;
        let app = OAuthAppId::of(row.id(3).ok_or_else(damaged)?);
        let bytes = row.bytes(4).ok_or_else(damaged)?.to_vec();
        let whole = |column: usize| row.whole(column).ok_or_else(damaged);
        let interval = Duration::from_millis(whole(5)?.unsigned_abs());
        let (due, until) = (Timestamp::from_ms(whole(6)?), Timestamp::from_ms(whole(7)?));
        let code = Sealed::new(&self.inner.keys, place(account, slot), &bytes);
        let request = DeviceRequest { domain, account, slot, app, interval, until };
        Ok(DevicePending { request, due, is_interrupted: whole(8)? != 0, code, bytes })
    }
}

impl DevicePending {
    /// A statement whose first parameters say which consent it is about.
    fn bound(&self, sql: &'static str) -> Statement {
        let DeviceRequest { account, slot, .. } = &self.request;
        Statement::new(sql).bind(*account).bind(slot.as_str()).bind(self.bytes.clone())
    }

    /// The statement that ends it. The device code is of no more use.
    pub(crate) fn ended(&self, state: DeviceState, detail: Option<&str>) -> Statement {
        let sql = "UPDATE \"device consent\"
            SET \"code\" = NULL, \"asking\" = 0, \"state\" = $4, \"detail\" = $5
            WHERE \"account\" = $1 AND \"slot\" = $2 AND \"code\" = $3";
        self.bound(sql).bind(state.as_str()).bind(detail.map(str::to_owned))
    }
}

fn damaged() -> Error {
    Error::Damaged { what: "a consent on another device" }
}

fn milliseconds(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

/// The place of a device code, so that it cannot be decrypted for another place.
fn place(account: AccountId, slot: TokenSlot) -> String {
    format!("device consent/{account}/{}", slot.as_str())
}

/// The statement that forgets what was begun for an account that is deleted.
pub(crate) fn forgotten(account: AccountId) -> Statement {
    Statement::new("DELETE FROM \"device consent\" WHERE \"account\" = $1").bind(account)
}

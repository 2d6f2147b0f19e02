//! Seals the secrets of an earlier version anew: with the keys of their domains in place of the
//! master key.
//!
//! It goes through the secrets page by page, and each page is one batch. A secret that was sealed
//! anew, or that a client changed meanwhile, is left as it is. So the work can end at any point and
//! begin again. The row of `meta` that says that there may be such secrets is deleted last.

use crate::columns::quoted;
use crate::columns::secret_place;
use crate::configuration;
use crate::consent;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::keyring::KeyNumber;
use crate::record::ATTEMPTS;
use crate::store::Inner;
use crate::store::Store;
use crate::untold;
use crate::untold::SealedAnew;
use crate::wrapped_key;
use postroom_model::AccountId;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::oauth::TokenSlot;
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::sync::Weak;
use std::time::Duration;
use tokio::time::Instant;

/// How many rows are read and written at once.
const PAGE: u32 = 100;
/// How many bytes are read at once.
const BYTES_AT_ONCE: usize = 4 * 1024 * 1024;
/// How long it takes until the leader looks, or tries again.
const TRIED_AGAIN: Duration = Duration::from_secs(5);
/// After a page, the next one waits for so many times as long, so that others can write.
const PAUSE: u32 = 2;

/// What became of the secrets of an earlier version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Resealed {
    /// How many were sealed anew.
    pub secrets: u64,
    /// How many cannot be opened, because they are damaged. They stay as they are.
    pub damaged: u64,
}

/// A secret as an earlier version sealed it.
struct FormerSecret<'a> {
    domain: &'a Domain,
    place: &'a str,
    bytes: &'a [u8],
}

impl Store {
    /// Seals the secrets of an earlier version anew, as long as the store exists and some are left.
    /// Only the leader does it.
    pub(crate) async fn reseal_on(inner: Weak<Inner>) {
        loop {
            tokio::time::sleep(TRIED_AGAIN).await;
            let Some(inner) = inner.upgrade() else {
                return;
            };
            let lease = inner.lease();
            let store = Self { lease, ..Self::of_inner(inner) };
            if store.lease.is_none() || store.is_deposed() {
                continue;
            }
            match store.secrets_reseal().await {
                Ok(Resealed { secrets, damaged: 0 }) => {
                    tracing::info!(secrets, "the secrets are sealed with the keys of domains now");
                    return;
                }
                Ok(Resealed { secrets, damaged }) => {
                    tracing::error!(
                        secrets,
                        damaged,
                        "the secrets are sealed with the keys of domains now, but some of them are \
                         damaged: set them again"
                    );
                    return;
                }
                Err(error) => tracing::warn!(
                    %error,
                    "the secrets of an earlier version were not all sealed anew; it is tried again"
                ),
            }
        }
    }

    /// Begins to seal the secrets of an earlier version anew, if there may be any.
    pub(crate) async fn reseal_follow(&self) -> Result<(), Error> {
        if self.secrets_are_former().await? {
            tokio::spawn(Self::reseal_on(Arc::downgrade(&self.inner)));
        }
        Ok(())
    }

    /// Reads the keys of the secrets in these rows that are not in memory so far.
    pub(crate) async fn keys_learn(&self, rows: &[Row]) -> Result<(), Error> {
        wrapped_key::learn(self.inner.database.as_ref(), &self.inner.keys, rows).await
    }

    /// Whether an earlier version may have sealed secrets with the master key.
    pub(crate) async fn secrets_are_former(&self) -> Result<bool, Error> {
        let sql = "SELECT 1 FROM \"meta\" WHERE \"name\" = $1";
        Ok(!self.read(Statement::new(sql).bind(wrapped_key::BY_MASTER)).await?.is_empty())
    }

    /// Seals all secrets anew that an earlier version sealed with the master key.
    ///
    /// # Errors
    ///
    /// When the store fails. A later call does the rest.
    pub async fn secrets_reseal(&self) -> Result<Resealed, Error> {
        let mut all = Resealed::default();
        let names: Vec<_> = self.classes().iter().map(|class| class.classname.clone()).collect();
        for name in names {
            for attempt in 1.. {
                let Some(class) = self.class(&name) else { break };
                match self.reseal_class(&class, &mut all).await {
                    Err(Error::Condition(Failed::OtherClasses)) if attempt < ATTEMPTS => {
                        self.classes_refresh().await?;
                    }
                    done => {
                        done?;
                        break;
                    }
                }
            }
        }
        self.reseal_consents(&mut all).await?;
        self.reseal_configurations(&mut all).await?;
        let done = Statement::new("DELETE FROM \"meta\" WHERE \"name\" = $1");
        self.write_at_need(vec![done.bind(wrapped_key::BY_MASTER)]).await?;
        Ok(all)
    }

    /// The new bytes of a secret. `None`: it is no former one, or is damaged.
    fn anew(&self, former: &FormerSecret<'_>, all: &mut Resealed) -> Option<Vec<u8>> {
        let FormerSecret { domain, place, bytes } = *former;
        if KeyNumber::of(bytes).is_some() {
            return None;
        }
        match self.inner.keys.open(place, bytes) {
            Ok(secret) => {
                all.secrets += 1;
                Some(self.inner.keys.seal(domain, place, secret.expose_secret()))
            }
            Err(error) => {
                all.damaged += 1;
                tracing::error!(%error, place, "a secret cannot be opened: set it again");
                None
            }
        }
    }

    async fn reseal_class(&self, class: &Class, all: &mut Resealed) -> Result<(), Error> {
        let secrets =
            class.columns().filter(|property| property.write_only() && !property.hashed());
        let names: Vec<&str> = secrets.map(|property| property.name.as_str()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let columns: Vec<_> = names.iter().map(|name| quoted(name)).collect();
        let sql = format!(
            "SELECT \"domain\", \"id\", {} FROM {} WHERE \"id\" > $1 ORDER BY \"id\" LIMIT $2",
            columns.join(", "),
            quoted(&class.table())
        );
        let mut behind = EntityId::nil();
        loop {
            let page = Statement::new(sql.clone()).bind(behind).bind(PAGE).of_class(class);
            let began = Instant::now();
            let rows = self.read(page.at_most(BYTES_AT_ONCE)).await?;
            let Some(last) = rows.last().and_then(|row| row.id(1)) else {
                return Ok(());
            };
            behind = last;
            let mut batch = vec![];
            for row in &rows {
                batch.extend(self.reseal_row(class, &names, row, all)?);
            }
            self.reseal_page(batch, began).await?;
        }
    }

    /// The statements that seal the secrets of a row of domain, id and these properties anew.
    fn reseal_row(
        &self,
        class: &Class,
        names: &[&str],
        row: &Row,
        all: &mut Resealed,
    ) -> Result<Vec<Statement>, Error> {
        const DAMAGED: Error = Error::Damaged { what: "an entity" };
        let domain = &crate::columns::domain(row)?;
        let id = row.id(1).ok_or(DAMAGED)?;
        let mut batch = vec![];
        for (property, at) in names.iter().zip(2..) {
            let Some(bytes) = row.bytes(at) else { continue };
            let place = &secret_place(class, id, property);
            if let Some(now) = self.anew(&FormerSecret { domain, place, bytes }, all) {
                let former = bytes.to_vec();
                batch.push(untold::seal_anew(class, id, SealedAnew { property, former, now }));
            }
        }
        Ok(batch)
    }

    /// Writes a page, and lets others write.
    async fn reseal_page(&self, batch: Vec<Statement>, began: Instant) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.write_at_need(batch).await?;
        tokio::time::sleep(began.elapsed() * PAUSE).await;
        Ok(())
    }

    async fn reseal_consents(&self, all: &mut Resealed) -> Result<(), Error> {
        const DAMAGED: Error = Error::Damaged { what: "a consent that was asked for" };
        let sql = "SELECT \"domain\", \"account\", \"slot\", \"verifier\" FROM \"consent\"
            WHERE (\"account\", \"slot\") > ($1, $2) ORDER BY \"account\", \"slot\" LIMIT $3";
        let mut behind = (EntityId::nil(), String::new());
        loop {
            let (account, slot) = &behind;
            let page = Statement::new(sql).bind(*account).bind(slot.as_str()).bind(PAGE);
            let began = Instant::now();
            let rows = self.read(page).await?;
            let mut batch = vec![];
            for row in &rows {
                let domain = &crate::columns::domain(row)?;
                let account = row.id(1).ok_or(DAMAGED)?;
                let slot = row.text(2).and_then(TokenSlot::parse).ok_or(DAMAGED)?;
                let bytes = row.bytes(3).ok_or(DAMAGED)?;
                let place = &consent::place(AccountId::of(account), slot);
                if let Some(now) = self.anew(&FormerSecret { domain, place, bytes }, all) {
                    let number = KeyNumber::of(&now);
                    let sql = "UPDATE \"consent\" SET \"verifier\" = $4
                        WHERE \"account\" = $1 AND \"slot\" = $2 AND \"verifier\" = $3";
                    let anew = Statement::new(sql).bind(account).bind(slot.as_str());
                    batch.push(anew.bind(bytes.to_vec()).bind(now).sealed_with(number));
                }
                behind = (account, slot.as_str().to_owned());
            }
            if rows.is_empty() {
                return Ok(());
            }
            self.reseal_page(batch, began).await?;
        }
    }

    /// Each version of the configuration of all instances, one after the other.
    async fn reseal_configurations(&self, all: &mut Resealed) -> Result<(), Error> {
        let mut behind = 0;
        loop {
            let began = Instant::now();
            let sql = "SELECT \"number\", \"document\" FROM \"configuration\"
                WHERE \"number\" > $1 ORDER BY \"number\" LIMIT 1";
            let rows = self.read(Statement::new(sql).bind(behind)).await?;
            let Some((number, document)) =
                rows.first().and_then(|row| row.whole(0).zip(row.text(1)))
            else {
                return Ok(());
            };
            behind = number;
            let domain = Domain::master();
            let anew = configuration::sealed_anew(document, |place, bytes| {
                self.anew(&FormerSecret { domain: &domain, place, bytes }, all)
            })?;
            if let Some(anew) = anew {
                let sql = "UPDATE \"configuration\" SET \"document\" = $2 WHERE \"number\" = $1";
                let update = Statement::new(sql).bind(number).bind(anew.document);
                self.reseal_page(vec![update.sealed_with(anew.keys)], began).await?;
            }
        }
    }
}

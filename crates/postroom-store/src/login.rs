//! One account for each login at a server, because two accounts would fetch every message twice.
//!
//! The rule is a condition of the batch that creates or changes an account or a profile. It follows
//! the change, and compares the stored values: host and login without case (the address if there
//! is no login), and the port. A client may ask for an exception.

use crate::database::Lock;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::store::Store;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::names;
use serde_json::Map;
use serde_json::Value as Json;

/// Whether two accounts may have the same login at the same server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SameLogin {
    /// They may not.
    #[default]
    Refused,
    /// They may.
    Allowed,
}

/// An existing account with the same login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// Its id.
    pub id: EntityId,
    /// Its address.
    pub address: String,
}

/// The properties that decide which mailboxes an account has, by class.
const SAYING: [(&str, [&str; 3]); 2] = [
    (ACCOUNTS, ["profile_id", "login", "address"]),
    (PROFILES, ["imapHost", "imapPort", "imapSecurity"]),
];

/// The login of the account `x`, with the letters of ASCII in lower case. There is an index on it.
const LOGIN: &str = "LOWER(COALESCE(x.\"login\", x.\"address\"))";
/// The host of the profile `x`. It is NULL for a profile that only sends, and equals nothing then.
const HOST: &str = "LOWER(RTRIM(x.\"imapHost\", '.'))";
/// The port of the profile `x`.
const PORT: &str =
    "COALESCE(x.\"imapPort\", CASE x.\"imapSecurity\" WHEN 'tls' THEN 993 ELSE 143 END)";

/// The SQL condition that a term has the same value for two tables.
fn same(term: &str, one: &str, other: &str) -> String {
    format!("{} = {}", term.replace("x.", one), term.replace("x.", other))
}

/// The condition that the earlier statements of the batch made no second account of one login.
/// `None`: `values` do not concern the login.
pub(crate) fn rule(class: &Class, id: EntityId, values: &Map<String, Json>) -> Option<Statement> {
    let (_, saying) = SAYING.iter().find(|(name, _)| *name == class.classname)?;
    if !saying.iter().any(|name| values.contains_key(*name)) {
        return None;
    }
    let own = if class.classname == PROFILES { "a.\"profile_id\"" } else { "a.\"id\"" };
    let (login, host, port) =
        (same(LOGIN, "b.", "a."), same(HOST, "q.", "p."), same(PORT, "q.", "p."));
    let sql = format!(
        "SELECT 1 WHERE NOT EXISTS (SELECT 1
           FROM \"email/Accounts\" a JOIN \"email/Profiles\" p ON p.\"id\" = a.\"profile_id\"
           JOIN \"email/Accounts\" b ON {login}
           JOIN \"email/Profiles\" q ON q.\"id\" = b.\"profile_id\"
           WHERE {own} = $1 AND b.\"domain\" = a.\"domain\" AND b.\"id\" <> a.\"id\"
             AND {host} AND {port})"
    );
    Some(Statement::new(sql).bind(id).assert(Failed::SameLogin, Lock::Name("login")))
}

impl Store {
    /// The existing account with the login that `wanted`, a new or changed account or profile,
    /// would use too. `None`: there is none any more.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn login_twin(
        &self,
        domain: &Domain,
        class: &Class,
        wanted: &Entity,
    ) -> Result<Option<Twin>, Error> {
        // Few accounts have the same login, and a domain may have very many.
        let of_domain = self.inner.database.dialect().unindexed("b.\"domain\"");
        let statement = if class.classname == PROFILES {
            of_profile(wanted, &of_domain)
        } else {
            of_account(wanted, &of_domain)
        };
        let rows = self.read(statement.bind(wanted.id).bind(domain.as_str())).await?;
        let twin = rows.first().and_then(|row| Some((row.id(0)?, row.text(1)?)));
        Ok(twin.map(|(id, address)| Twin { id, address: address.to_owned() }))
    }
}

/// Finds the twin of an account: `$3` is its id, `$4` the domain.
fn of_account(account: &Entity, of_domain: &str) -> Statement {
    let login =
        account.text(names::LOGIN).or_else(|| account.text(names::ADDRESS)).unwrap_or_default();
    let (own, host, port) =
        (LOGIN.replace("x.", "b."), same(HOST, "q.", "p."), same(PORT, "q.", "p."));
    let sql = format!(
        "SELECT b.\"id\", b.\"address\" FROM \"email/Accounts\" b
           JOIN \"email/Profiles\" q ON q.\"id\" = b.\"profile_id\"
           JOIN \"email/Profiles\" p ON p.\"id\" = $1
           WHERE {own} = $2 AND b.\"id\" <> $3 AND {of_domain} = $4 AND {host} AND {port}
           ORDER BY b.\"id\" LIMIT 1"
    );
    let profile = account.reference(names::PROFILE_ID).unwrap_or(EntityId::nil());
    Statement::new(sql).bind(profile).bind(login.to_ascii_lowercase())
}

/// Finds the twin of an account of a profile: `$3` is the profile's id, `$4` the domain.
fn of_profile(profile: &Entity, of_domain: &str) -> Statement {
    let host = profile.text(names::IMAP_HOST).unwrap_or_default().trim_end_matches('.');
    let is_tls = profile.text(names::IMAP_SECURITY) == Some("tls");
    let port = profile.number(names::IMAP_PORT).unwrap_or(if is_tls { 993 } else { 143 });
    let (login, its_host, its_port) =
        (same(LOGIN, "b.", "a."), HOST.replace("x.", "q."), PORT.replace("x.", "q."));
    let sql = format!(
        "SELECT b.\"id\", b.\"address\" FROM \"email/Accounts\" a
           JOIN \"email/Accounts\" b ON {login}
           JOIN \"email/Profiles\" q ON q.\"id\" = b.\"profile_id\"
           WHERE a.\"profile_id\" = $3 AND b.\"id\" <> a.\"id\" AND a.\"domain\" = $4
             AND {of_domain} = $4
             AND (b.\"profile_id\" = $3 OR ({its_host} = $1 AND {its_port} = $2))
           ORDER BY b.\"id\" LIMIT 1"
    );
    Statement::new(sql).bind(host.to_ascii_lowercase()).bind(port)
}

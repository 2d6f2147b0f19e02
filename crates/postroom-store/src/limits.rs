//! The limits of domains, as conditions of the batches that make something in one.
//!
//! Accounts and tokens are counted by an index, while a lock keeps others from making any. Messages
//! and their bytes have counts in the row of their domain in the table `usage`, which is there once
//! the domain has such a limit. Each batch changes the counts and then checks them, so the limits
//! are exact. The row is the last that a batch locks.
//!
//! Reads and writes `usage`.

use crate::database::Lock;
use crate::database::Statement;
use crate::domain_limit::DomainLimit;
use crate::failed::Failed;
use crate::living_domain;
use crate::living_domain::ERASURE;
use crate::made::Made;
use crate::made::MadeThing;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::MessageEntityId;
use std::collections::BTreeMap;

/// What those lock who make accounts or tokens.
const COUNTED: &str = "domain limits";

/// What a batch makes in a domain.
#[derive(Default)]
struct Sum {
    accounts: i64,
    tokens: i64,
    messages: i64,
    bytes: i64,
}

fn sums(batch: &[Statement]) -> BTreeMap<&Domain, Sum> {
    let mut sums: BTreeMap<&Domain, Sum> = BTreeMap::new();
    for Made { domain, what } in batch.iter().filter_map(|one| one.made.as_ref()) {
        let sum = sums.entry(domain).or_default();
        match what {
            MadeThing::Account => sum.accounts += 1,
            MadeThing::Token => sum.tokens += 1,
            MadeThing::Message => sum.messages += 1,
            MadeThing::Bytes(count) => sum.bytes = sum.bytes.saturating_add(*count),
            MadeThing::Other => {}
        }
    }
    sums
}

/// The domains in which a batch makes something that has a limit.
pub(crate) fn domains(batch: &[Statement]) -> Vec<Domain> {
    sums(batch).into_keys().filter(|domain| living_domain::may_be_erased(domain)).cloned().collect()
}

/// The conditions at the front of a batch: the domains in which it makes something are not erased,
/// and may have so many accounts and tokens.
pub(crate) fn conditions(batch: &[Statement]) -> Vec<Statement> {
    let mut all = vec![];
    for (domain, Sum { accounts, tokens, .. }) in sums(batch) {
        let Some(lives) = living_domain::domain_lives(domain) else {
            continue;
        };
        all.push(lives);
        let accounts = (accounts > 0).then(|| {
            let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"iam/Domains\" d
                WHERE d.\"domain\" = 'master' AND d.\"name\" = $1 AND d.\"accountsMax\" < $2 +
                  (SELECT COUNT(*) FROM \"email/Accounts\" a WHERE a.\"domain\" = $1))";
            limited(Statement::new(sql).bind(domain.as_str()).bind(accounts), DomainLimit::Accounts)
        });
        let tokens = (tokens > 0).then(|| {
            let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"iam/Domains\" d
                WHERE d.\"domain\" = 'master' AND d.\"name\" = $1 AND d.\"tokensMax\" < $2 +
                  (SELECT COUNT(*) FROM \"iam/Tokens\" a WHERE a.\"domain\" = $1))";
            limited(Statement::new(sql).bind(domain.as_str()).bind(tokens), DomainLimit::Tokens)
        });
        all.extend(accounts.into_iter().chain(tokens));
    }
    all
}

fn limited(count: Statement, limit: DomainLimit) -> Statement {
    count.assert(Failed::Limit { limit, max: None }, Lock::Name(COUNTED))
}

/// The statements at the end of a batch: they count its messages and bytes, and check the counts.
pub(crate) fn counted(batch: &[Statement]) -> Vec<Statement> {
    let mut all = vec![];
    for (domain, Sum { messages, bytes, .. }) in sums(batch) {
        if !living_domain::may_be_erased(domain) || (messages, bytes) == (0, 0) {
            continue;
        }
        let sql =
            "UPDATE \"usage\" SET \"messages\" = \"messages\" + $2, \"bytes\" = \"bytes\" + $3
            WHERE \"domain\" = $1";
        all.push(Statement::new(sql).bind(domain.as_str()).bind(messages).bind(bytes));
        let within = |sql: &'static str, limit| {
            let within = Statement::new(sql).bind(domain.as_str());
            within.assert(Failed::Limit { limit, max: None }, Lock::Shared(ERASURE))
        };
        let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"usage\" u JOIN \"iam/Domains\" d
              ON d.\"domain\" = 'master' AND d.\"name\" = u.\"domain\"
            WHERE u.\"domain\" = $1
              AND u.\"messages_before\" + u.\"messages\" > d.\"messagesMax\")";
        all.extend((messages > 0).then(|| within(sql, DomainLimit::Messages)));
        let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"usage\" u JOIN \"iam/Domains\" d
              ON d.\"domain\" = 'master' AND d.\"name\" = u.\"domain\"
            WHERE u.\"domain\" = $1 AND u.\"bytes_before\" + u.\"bytes\" > d.\"bytesMax\")";
        all.extend((bytes > 0).then(|| within(sql, DomainLimit::Bytes)));
    }
    all
}

/// The statements that no longer count a message and its files, before they are deleted.
pub(crate) fn forget(domain: &Domain, message: MessageEntityId) -> Vec<Statement> {
    if !living_domain::may_be_erased(domain) {
        return vec![];
    }
    let sql = "UPDATE \"usage\" SET \"messages\" = \"messages\" - 1, \"bytes\" = \"bytes\" -
        (SELECT CAST(COALESCE(SUM(\"size\"), 0) AS BIGINT) FROM \"file\"
         WHERE \"entity\" = $2 
           AND (\"offset\" IS NULL OR \"property\" = 'rawMessage')) WHERE \"domain\" = $1";
    let forget = Statement::new(sql).bind(domain.as_str()).bind(message);
    // Whoever begins to count waits for this batch.
    let waits = Statement::new("SELECT 1").assert(Failed::Stale, Lock::Shared(ERASURE));
    vec![waits, forget]
}

/// The statement that no longer counts a file of a message. It does nothing for other entities.
pub(crate) fn forget_file(entity: EntityId, size_bytes: u64) -> Statement {
    let sql = "UPDATE \"usage\" SET \"bytes\" = \"bytes\" - $2 WHERE \"domain\" =
        (SELECT \"domain\" FROM \"email/Messages\" WHERE \"id\" = $1)";
    Statement::new(sql).bind(entity).bind(size_bytes)
}

//! The conditions that a domain is not erased, for batches that make or change something in it.

use crate::database::Lock;
use crate::database::Statement;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::DOMAINS;
use std::collections::BTreeSet;

/// What those share who make something in a domain, and what the erasure of one locks.
pub(crate) const ERASURE: &str = "erasure";

/// The conditions that the domains in which a batch makes something are not erased.
pub(crate) fn conditions(batch: &[Statement]) -> Vec<Statement> {
    let domains: BTreeSet<_> = batch.iter().filter_map(|one| one.domain.as_ref()).collect();
    domains.into_iter().filter_map(domain_lives).collect()
}

/// The condition that a domain is not being erased and was not erased, for a batch that makes
/// something in it. `None`: it cannot be erased.
fn domain_lives(domain: &Domain) -> Option<Statement> {
    let is_lasting = *domain == Domain::default_domain() || *domain == Domain::master();
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"erasure\" WHERE \"domain\" = $1)
        OR EXISTS (SELECT 1 FROM \"iam/Domains\" d WHERE d.\"domain\" = 'master' AND d.\"name\" = $1
          AND NOT EXISTS (SELECT 1 FROM \"erasure\" e WHERE e.\"id\" = d.\"id\"))";
    let lives = || {
        let lives = Statement::new(sql).bind(domain.as_str());
        lives.assert(Failed::DomainErased, Lock::Shared(ERASURE))
    };
    (!is_lasting).then(lives)
}

/// The condition that a domain is not being erased, for a batch that changes its entity.
pub(crate) fn is_not_erased(class: &Class, id: EntityId) -> Option<Statement> {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"erasure\" WHERE \"id\" = $1)";
    let not = || Statement::new(sql).bind(id).assert(Failed::DomainErased, Lock::row(DOMAINS, id));
    (class.classname == DOMAINS).then(not)
}

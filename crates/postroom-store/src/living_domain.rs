//! The conditions that a domain is not erased, for batches that make or change something in it.

use crate::database::Lock;
use crate::database::Statement;
use crate::failed::Failed;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::builtin::DOMAINS;

/// What those share who make something in a domain, and what the erasure of one locks.
pub(crate) const ERASURE: &str = "erasure";

/// Whether a domain can be erased and limited: `default` and `master` cannot.
pub(crate) fn may_be_erased(domain: &Domain) -> bool {
    *domain != Domain::default_domain() && *domain != Domain::master()
}

/// The condition that a domain is not being erased and was not erased, for a batch that makes
/// something in it. `None`: it cannot be erased.
pub(crate) fn domain_lives(domain: &Domain) -> Option<Statement> {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"erasure\" WHERE \"domain\" = $1)
        OR EXISTS (SELECT 1 FROM \"iam/Domains\" d WHERE d.\"domain\" = 'master' AND d.\"name\" = $1
          AND NOT EXISTS (SELECT 1 FROM \"erasure\" e WHERE e.\"id\" = d.\"id\"))";
    let lives = || {
        let lives = Statement::new(sql).bind(domain.as_str());
        lives.assert(Failed::DomainErased, Lock::Shared(ERASURE))
    };
    may_be_erased(domain).then(lives)
}

/// The condition that a domain is not being erased, for a batch that changes its entity.
pub(crate) fn is_not_erased(class: &Class, id: EntityId) -> Option<Statement> {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"erasure\" WHERE \"id\" = $1)";
    let not = || Statement::new(sql).bind(id).assert(Failed::DomainErased, Lock::row(DOMAINS, id));
    (class.classname == DOMAINS).then(not)
}

/// The condition that a domain adds nothing to classes, for a batch that deletes it.
pub(crate) fn adds_nothing(id: EntityId) -> Statement {
    let sql = "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"domain class\" c
        JOIN \"iam/Domains\" d ON d.\"name\" = c.\"domain\" WHERE d.\"id\" = $1 AND c.\"adds\")";
    let by = "what this domain adds to classes: delete it with its name in `confirm`".to_owned();
    Statement::new(sql).bind(id).assert(Failed::InUse { by }, Lock::row(DOMAINS, id))
}

//! What a batch makes in a domain.

use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::TOKENS;

/// What a statement makes in a domain.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    pub domain: Domain,
    pub what: MadeThing,
}

/// What is made, as far as it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MadeThing {
    Account,
    Token,
    Message,
    /// So many bytes of a message.
    Bytes(i64),
    /// Something that has no limit.
    Other,
}

impl Made {
    /// An entity of a class.
    pub(crate) fn entity(domain: &Domain, class: &Class) -> Self {
        let what = match class.classname.as_str() {
            ACCOUNTS => MadeThing::Account,
            TOKENS => MadeThing::Token,
            MESSAGES => MadeThing::Message,
            _ => MadeThing::Other,
        };
        Self { domain: domain.clone(), what }
    }

    /// A file of a message with so many bytes.
    pub(crate) fn bytes(domain: &Domain, count: i64) -> Self {
        Self { domain: domain.clone(), what: MadeThing::Bytes(count) }
    }

    /// Something that has no limit.
    pub(crate) fn other(domain: &Domain) -> Self {
        Self { domain: domain.clone(), what: MadeThing::Other }
    }
}

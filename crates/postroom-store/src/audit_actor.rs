//! Who did something, as the audit tells it.

use crate::modifier::Bearer;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::is_user_name;

/// How many characters a name has in the audit.
const NAME_CHARS_MAX: usize = 100;

/// Who did something, as the audit tells it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct AuditActor {
    /// `actorType`.
    pub kind: &'static str,
    /// The name of a token, or `user:` and a login.
    pub name: Option<String>,
    /// The id of a token or a user.
    pub id: Option<EntityId>,
    /// The domain. `None`: that in which something happens, or none.
    pub domain: Option<Domain>,
}

impl AuditActor {
    /// Postroom, or somebody at its command line.
    pub(crate) fn system() -> Self {
        Self { kind: "system", name: None, id: None, domain: None }
    }

    /// Somebody who is not known. `name`: what was given as a login.
    pub(crate) fn nobody(name: Option<&str>) -> Self {
        Self { kind: "nobody", name: name.map(capped), id: None, domain: None }
    }

    /// Who has a token or a session.
    pub(crate) fn of(bearer: &Bearer) -> Self {
        let domain = Some(bearer.domain.clone());
        Self { id: bearer.user.or(bearer.token), domain, ..Self::named(&bearer.name) }
    }

    /// The client of this name in the feed.
    pub(crate) fn named(name: &str) -> Self {
        let kind = if is_user_name(name) { "user" } else { "token" };
        Self { kind, name: Some(capped(name)), id: None, domain: None }
    }
}

fn capped(name: &str) -> String {
    name.chars().take(NAME_CHARS_MAX).collect()
}

/// Where a request comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestOrigin {
    /// The address of the client. `None`: it is not known.
    pub source: Option<String>,
    /// The id of the request in the log. `None`: it has none.
    pub request: Option<String>,
}

/// Who asks for what a store does.
#[derive(Debug, Clone)]
pub(crate) struct Asker {
    pub actor: AuditActor,
    pub origin: RequestOrigin,
}

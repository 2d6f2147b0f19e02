//! What rights are about: the actions of requests.

/// What a request does with entities of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RightAction {
    /// Reads, lists, counts and follows entities, and their files.
    Read,
    /// Makes entities.
    Create,
    /// Changes entities, and their files.
    Change,
    /// Deletes entities.
    Delete,
    /// Claims entities for a worker, and gives them back.
    Claim,
    /// Starts work: tries accounts, loads and parses messages again, ends jobs.
    Operate,
    /// Changes the class itself.
    Design,
}

impl RightAction {
    /// All actions.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Create,
        Self::Change,
        Self::Delete,
        Self::Claim,
        Self::Operate,
        Self::Design,
    ];

    /// Its name in `rights` and in problems.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Create => "create",
            Self::Change => "change",
            Self::Delete => "delete",
            Self::Claim => "claim",
            Self::Operate => "operate",
            Self::Design => "design",
        }
    }

    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == text)
    }

    /// Whether its answer or its result tells about entities that exist, so that it needs the right
    /// to read them too. What is created is known to its maker, and every token knows the classes.
    pub(crate) fn tells(self) -> bool {
        !matches!(self, Self::Create | Self::Design)
    }
}

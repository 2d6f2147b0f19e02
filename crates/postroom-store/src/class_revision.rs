//! The definition of a class with which a statement was built.

use postroom_model::Class;
use postroom_model::Domain;

/// The definition of a class at the time when a statement or a row was built with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRevision {
    /// The name of the class.
    pub classname: String,
    /// The domain that has it so. `None`: it is as the domains have it that add nothing to it.
    pub domain: Option<Domain>,
    /// The version of the classes that changed this class last.
    pub revision: i64,
}

impl From<&Class> for ClassRevision {
    fn from(class: &Class) -> Self {
        let (classname, domain) = (class.classname.clone(), class.domain.clone());
        Self { classname, domain, revision: class.revision }
    }
}

//! The definition of a class that a statement was built with.

use postroom_model::Class;

/// The definition of a class, as it was when something was built with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRevision {
    /// The name of the class.
    pub classname: String,
    /// The version of the classes with which it changed last.
    pub revision: i64,
}

impl From<&Class> for ClassRevision {
    fn from(class: &Class) -> Self {
        Self { classname: class.classname.clone(), revision: class.revision }
    }
}

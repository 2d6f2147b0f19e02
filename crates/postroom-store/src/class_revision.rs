//! The definition of a class with which a statement was built.

use postroom_model::Class;

/// The definition of a class at the time when a statement or a row was built with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassRevision {
    /// The name of the class.
    pub classname: String,
    /// The version of the classes that changed this class last.
    pub revision: i64,
}

impl From<&Class> for ClassRevision {
    fn from(class: &Class) -> Self {
        Self { classname: class.classname.clone(), revision: class.revision }
    }
}

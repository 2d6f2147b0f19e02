//! The step that lets a class be deleted in steps.

/// `deleted class` has the classes that were deleted and whose entities are still being deleted:
/// the present name of the table of each, what the class was, who deleted it, and up to which
/// entity the feed tells the deletions. Earlier versions told all in one batch, and noted the
/// table in `retired`.
pub(super) const STEP: &[&str] = &["CREATE TABLE \"deleted class\" (
    \"table\" {text} PRIMARY KEY, \"id\" {text} NOT NULL, \"name\" {text} NOT NULL,
    \"modifier_type\" {text} NOT NULL, \"modifier_id\" {text}, \"told\" {id})"];

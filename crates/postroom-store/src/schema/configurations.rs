//! The step that makes the table of the configuration.

/// Each version of the configuration of all instances. Version 0 has no row, and is empty.
pub(super) const STEP: &[&str] = &["CREATE TABLE \"configuration\" (
    \"number\" {whole} PRIMARY KEY, \"at\" {moment} NOT NULL, \"domain\" {text} NOT NULL,
    \"author\" {text} NOT NULL, \"restored\" {whole}, \"document\" {text} NOT NULL) {clustered}"];

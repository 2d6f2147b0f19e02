//! The step that makes the table of what domains with limits have.

/// A row counts from when it is made. `…_before`: what there was before, counted at `counted`.
pub(super) const STEP: &[&str] = &["CREATE TABLE \"usage\" (
   \"domain\" {text} PRIMARY KEY, \"messages\" {whole} NOT NULL, \"bytes\" {whole} NOT NULL,
   \"messages_before\" {whole}, \"bytes_before\" {whole}, \"counted\" {moment})"];

//! The step that gives each domain a key of its own.

/// The root key is wrapped by the master key, once for each master key that is accepted. It wraps
/// the other keys: those of domains, and that of hashes (`purpose`), which has no domain. A process
/// tells in its row with which master key it runs (`key`), by the mark of the key.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"root key\" (
       \"master\" {bytes} PRIMARY KEY, \"wrapped\" {bytes} NOT NULL, \"since\" {moment} NOT NULL)",
    "CREATE TABLE \"data key\" (
       \"number\" {whole} PRIMARY KEY, \"domain\" {text} NOT NULL, \"purpose\" {text} NOT NULL,
       \"wrapped\" {bytes} NOT NULL, \"since\" {moment} NOT NULL)",
    "CREATE INDEX \"data key of domain\" ON \"data key\" (\"domain\")",
    "ALTER TABLE \"owner\" ADD COLUMN \"key\" {bytes}",
];

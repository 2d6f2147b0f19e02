//! The step that lets clients change classes.

/// What changes of classes need:
///
/// - `class.base` is the definition that was built in, and `class.revision` the version of the
///   classes with which the class changed last.
/// - `owner.classes` is the version that a process uses.
/// - `retired` lists the columns and tables whose values are still to be deleted.
/// - `counter` has the counters of increments.
/// - The index finds the files of a property that is not built in.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"class\" ADD COLUMN \"base\" {json}",
    "ALTER TABLE \"class\" ADD COLUMN \"revision\" {whole} NOT NULL DEFAULT 0",
    "UPDATE \"class\" SET \"revision\" =
       (SELECT \"number\" FROM \"meta\" WHERE \"name\" = 'classes')",
    "ALTER TABLE \"owner\" ADD COLUMN \"classes\" {whole}",
    "CREATE TABLE \"retired\" (
       \"table\" {text} NOT NULL, \"column\" {text} NOT NULL,
       PRIMARY KEY (\"table\", \"column\"))",
    "CREATE TABLE \"counter\" (
       \"domain\" {text} NOT NULL, \"class\" {text} NOT NULL, \"property\" {text} NOT NULL,
       \"number\" {whole} NOT NULL, PRIMARY KEY (\"domain\", \"class\", \"property\"))",
    "CREATE INDEX \"file by property\" ON \"file\" (\"property\")
       WHERE \"property\" NOT IN ('file', 'html', 'inlines', 'rawMessage')",
];

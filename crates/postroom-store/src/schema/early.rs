//! Steps of early versions.

/// Chunks have a checksum. Older chunks have none.
pub(super) const SUMS: &[&str] = &[
    "ALTER TABLE \"chunk\" ADD COLUMN \"sum\" {whole}",
    "INSERT INTO \"meta\" (\"name\", \"number\")
       SELECT 'chunks without sum', COALESCE(MAX(\"id\"), 0) FROM \"chunk\"",
];

/// The feed says who changed an entity. The index finds the changes of an entity in their order.
pub(super) const MODIFIERS: &[&str] = &[
    "ALTER TABLE \"change\" ADD COLUMN \"modifier_type\" {text}",
    "ALTER TABLE \"change\" ADD COLUMN \"modifier_id\" {text}",
    "CREATE INDEX \"change of entity\" ON \"change\" (\"entity\", \"seq\")",
    "DROP INDEX \"change replaced\"",
];

/// The index finds the few receipts whose message is pending, or is stored by its header alone.
pub(super) const UNSETTLED: &[&str] =
    &["CREATE INDEX \"receipt unsettled\" ON \"receipt\" (\"folder\", \"generation\")
       WHERE \"reason\" IS NOT NULL"];

/// The server and the login at which the mailbox of a folder was read.
pub(super) const ORIGINS: &[&str] = &["CREATE TABLE \"origin\" (
    \"folder\" {id} PRIMARY KEY, \"login\" {text} NOT NULL, \"moves\" {whole} NOT NULL)"];

/// The MAILBOXID of the mailbox of a folder.
pub(super) const MAILBOX_IDS: &[&str] =
    &["ALTER TABLE \"origin\" ADD COLUMN \"mailbox_id\" {text}"];

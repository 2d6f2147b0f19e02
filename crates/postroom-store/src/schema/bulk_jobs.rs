//! The step that lets jobs change and delete entities.

/// The table `job entity` has the entities of a job until each is done.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"job\" ADD COLUMN \"kind\" {text} NOT NULL DEFAULT 'redecompose'",
    "ALTER TABLE \"job\" ADD COLUMN \"changes\" {text}",
    "ALTER TABLE \"job\" ADD COLUMN \"modifier\" {text}",
    "CREATE INDEX \"job open\" ON \"job\" (\"id\") WHERE \"state\" = 'open'",
    "CREATE TABLE \"job entity\" (
       \"job\" {id} NOT NULL, \"entity\" {id} NOT NULL,
       PRIMARY KEY (\"job\", \"entity\")) {clustered}",
    "CREATE INDEX \"job entity by entity\" ON \"job entity\" (\"entity\")",
];

//! The step that notes when all messages of a folder were stored.

/// When a folder was proven complete last before one of its messages became pending, in
/// milliseconds since 1970. Null: none is pending since the last proof. 0: it was not proven
/// before. Of messages that are pending already, that time is not known any more.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"origin\" ADD COLUMN \"proof_before_pending\" {whole}",
    "UPDATE \"origin\" SET \"proof_before_pending\" = 0 WHERE EXISTS
       (SELECT 1 FROM \"receipt\" WHERE \"receipt\".\"folder\" = \"origin\".\"folder\"
         AND \"reason\" IS NOT NULL AND \"message\" IS NULL)",
];

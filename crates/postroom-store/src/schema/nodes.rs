//! The step that makes the processes of a database known to each other.

/// The row of an owner says which instance it is, until when it counts as there (`alive`), when it
/// was there last (`seen`), and on which data directory it runs (`seat`). `since` is the time from
/// which it is as it is. Versions before this step leave these columns empty.
pub(super) const STEP: &[&str] = &[
    "ALTER TABLE \"owner\" ADD COLUMN \"group\" {text}",
    "ALTER TABLE \"owner\" ADD COLUMN \"order\" {whole}",
    "ALTER TABLE \"owner\" ADD COLUMN \"role\" {text}",
    "ALTER TABLE \"owner\" ADD COLUMN \"failback\" {boolean}",
    "ALTER TABLE \"owner\" ADD COLUMN \"version\" {text}",
    "ALTER TABLE \"owner\" ADD COLUMN \"since\" {moment}",
    "ALTER TABLE \"owner\" ADD COLUMN \"seen\" {moment}",
    "ALTER TABLE \"owner\" ADD COLUMN \"alive\" {moment}",
    "ALTER TABLE \"owner\" ADD COLUMN \"lag\" {whole}",
    "ALTER TABLE \"owner\" ADD COLUMN \"seat\" {text}",
    "ALTER TABLE \"lease\" ADD COLUMN \"seat\" {text}",
    "ALTER TABLE \"lease\" ADD COLUMN \"since\" {moment}",
];

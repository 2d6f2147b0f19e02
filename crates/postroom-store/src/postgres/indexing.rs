//! Indexes that are made while others write.

/// Ends the making of the indexes of a table, by any process. Sessions of other roles go on.
pub(crate) const ENDED: &str =
    "SELECT pg_cancel_backend(\"pid\") FROM \"pg_stat_progress_create_index\"
        WHERE \"relid\" = to_regclass($1)
          AND \"pid\" IN
            (SELECT \"pid\" FROM \"pg_stat_activity\" WHERE \"usename\" = current_user)";

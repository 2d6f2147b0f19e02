//! The ends of the help of the commands that work on data.

/// The end of the help of `redecompose`.
pub(crate) const REDECOMPOSE_HELP: &str = "\
Environment:
  POSTROOM_MASTER_KEY  the key of the data directory, if it is not in it
  RUST_LOG             what is logged (default: error)

Example:
  postroom redecompose --data ./data --filter '[\"<\", [\"property\", \"parserVersion\"], 6]'";

/// The end of the help of `backup`.
pub(crate) const BACKUP_HELP: &str = "\
The file holds all mail, and with the key the passwords of all accounts: protect it.

Environment:
  POSTROOM_MASTER_KEY  the key of the data directory, if it is not in it

Example:
  postroom backup --data ./data --to postroom-2026-11-28.backup";

/// The end of the help of `restore`.
pub(crate) const RESTORE_HELP: &str = "\
A backup does not know what was sent after it was made. So nothing is sent from the restored
data until POST /rest/v1/sending:resume, and messages that wait say so. Webhooks rest too, and
nothing is deleted or marked at mail servers, because the original may use the same mailboxes. With
--send nothing waits.

Environment:
  POSTROOM_MASTER_KEY  the key, for a backup without it

Example:
  postroom restore --from postroom-2026-11-28.backup --data ./data
  postroom restore --database postgresql://postroom@db.example/postroom --data ./data";

/// The end of the help of `rotate-key`.
pub(crate) const ROTATE_KEY_HELP: &str = "\
The master key opens the keys of the domains, which encrypt the secrets. So a new one changes one
row, however much is stored. Backups that were made before need the former key.

Environment:
  POSTROOM_MASTER_KEY         the present key, if it is not in the directory
  POSTROOM_DATABASE_PASSWORD  the password of the database's user

Examples:
  postroom rotate-key --data ./data              stopped: a new key in the directory
  postroom rotate-key --data ./data --database URL --new-key-file ./new-key
                                                 while nodes run: both keys are accepted
  postroom rotate-key --data ./data --database URL --master-key-file ./new-key --finish
                                                 when all nodes have the new key";

/// The end of the help of `move`.
pub(crate) const MOVE_HELP: &str = "\
A place is sqlite:DIR or postgresql://user@host:port/database. The place to move to has no data,
or what an interrupted move has left there. The place to move from cannot be used any more, unless
the move is given up with --cancel before it is complete.

Environment:
  POSTROOM_MASTER_KEY         the key, if it is not in the directory
  POSTROOM_DATABASE_PASSWORD  the password of the database's user

Examples:
  postroom move --from sqlite:./data --to postgresql://postroom@db.example/postroom
  postroom move --from postgresql://postroom@db.example/postroom --data ./data --to sqlite:./new";

//! The step that makes the table of consents on another device.

/// The last one of each slot of an account. `code` is the device code, encrypted, as long as the
/// provider is asked with it. `interval` is in milliseconds. `asking` is 1 from before a question
/// until its answer is written.
pub(super) const STEP: &[&str] = &[
    "CREATE TABLE \"device consent\" (
       \"account\" {id} NOT NULL, \"slot\" {text} NOT NULL, \"domain\" {text} NOT NULL,
       \"app\" {id} NOT NULL, \"code\" {bytes}, \"interval\" {whole} NOT NULL,
       \"due\" {moment} NOT NULL, \"until\" {moment} NOT NULL, \"asking\" {whole} NOT NULL,
       \"state\" {text} NOT NULL, \"detail\" {text},
       PRIMARY KEY (\"account\", \"slot\")) {clustered}",
    "CREATE INDEX \"device consent due\" ON \"device consent\" (\"due\")
       WHERE \"code\" IS NOT NULL",
];

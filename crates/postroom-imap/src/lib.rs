//! An IMAP client: tokenizer, session without I/O, connection.

//! An SMTP submission client: replies, session without I/O, connection.

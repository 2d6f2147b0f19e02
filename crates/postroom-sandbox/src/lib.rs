//! A scriptable IMAP and SMTP server with faults, for demos and tests.

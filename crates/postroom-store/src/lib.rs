//! The store: SQL, blobs, ledger, queue and change feed.

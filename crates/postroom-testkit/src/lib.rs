//! Real mail servers, private and on loopback, for tests and benchmarks.

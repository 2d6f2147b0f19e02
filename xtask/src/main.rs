//! Tidy and benchmarks.
fn main() {}

//! Tests of several modules together.

mod plans;

//! What a client may rely on, one sentence a test. The other modules test the same things in depth.

mod classes;
mod files;
mod filters;
mod forms;
mod lists;
mod requests;

//! Stories: the whole binary as a user runs it, against real servers and against the sandbox with
//! faults. What needs a Debian package that is not there says so and is passed over.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod world;

mod autoconfig;
mod bridges;
mod clients;
mod consents;
mod demo;
mod documents;
mod log;
mod nodes;
mod sandbox_fails;
mod signals;
mod verify;
mod webhooks;

mod bounces;
mod odd_server;
mod proxy;
mod receive;

mod secrets;
mod send;

mod disk;

mod backups;
mod moving;
mod objects;
mod operations;
mod people;
mod redecompose;
mod rotate_key;

mod tls;
mod tokens;
mod trouble;

mod faults;

mod acknowledged;
mod answers;
mod bad_server;
mod composing;
mod configuration;
mod connections;
mod copies;
mod deliveries;
mod identity;
mod too_large;

mod fleet;

mod bad_input;

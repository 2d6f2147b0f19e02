//! The REST interface against a real store, over HTTP on loopback: what a client may rely on.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod audit;
mod autoconfig;
mod server;
mod walk;

mod access;
mod accounts;
mod bad_input;
mod bodies;
mod bulk;
mod bulk_jobs;
mod claims;
mod class_races;
mod classes;
mod codings;
mod configuration;
mod console;
mod contract;
mod cors;
mod damage;
mod docs_page;
mod domains;
mod entities;
mod events;
mod files;
mod health;
mod http_2;
mod jobs;

mod lists;
mod lookup;
mod meanwhile;
mod messages;
mod oauth;
mod oauth_apps;
mod once;
mod openapi;
mod reach;
mod schemathesis;
mod second_factor;
mod sessions;
mod shown;
mod tls;
mod together;
mod tokens;
mod web_socket;

mod verify;
mod webhooks;

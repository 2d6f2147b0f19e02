//! Real mail servers, private and on loopback, for tests and benchmarks.
//!
//! [`Dovecot`] and [`Postfix`] start the programs of the Debian packages with configurations,
//! mail and queues of their own below `/tmp`, on free ports; [`Postroom`] runs the built binary and
//! talks to it by REST. [`Postgres`] is a database server, and [`S3`] an object store. Each ends
//! with its value, and also when this process dies. [`on_both`] makes two tests of one: on SQLite
//! and on PostgreSQL.
//!
//! A test that needs them begins with [`require`], which says what is missing.

#![warn(unreachable_pub)]
#![expect(clippy::indexing_slicing, reason = "a JSON value answers null for a missing key")]

mod packages;
mod process;

mod access_tokens;
mod authority;
mod corpus;
mod imap;
mod totp;

mod postgres;
mod test_database;

mod dovecot;
mod postfix;
mod postroom;

mod mail_servers;

mod s3;

mod scram;

mod sent_once;

mod kill_loop;

mod database_loop;

mod database_proxy;
mod failover_world;

mod failover_loop;

mod bridge;
mod bridge_loop;

mod provider_relay;
mod refresh_loop;

pub use access_tokens::TokenLogin;
pub use access_tokens::TokenMechanism;
pub use authority::Authority;
pub use authority::Flaw;
pub use authority::Identity;
pub use bridge::BridgeLanguage;
pub use bridge_loop::BridgeLoop;
pub use bridge_loop::BridgeLoopResult;
pub use corpus::sample;
pub use database_loop::DatabaseLoop;
pub use database_loop::DatabaseLoopResult;
pub use dovecot::Dovecot;
pub use dovecot::DovecotOptions;
pub use failover_loop::FailoverLoop;
pub use failover_loop::FailoverLoopResult;
pub use imap::FetchedMessage;
pub use imap::ImapClient;
pub use imap::sha256;
pub use kill_loop::KillLoop;
pub use kill_loop::KillLoopResult;
pub use packages::Missing;
pub use packages::Need;
pub use packages::chromium;
pub use packages::missing;
pub use packages::node_modules;
pub use packages::node_program;
pub use packages::python_program;
pub use packages::require;
pub use packages::skipped;
pub use postfix::Postfix;
pub use postfix::PostfixOptions;
pub use postgres::Postgres;
pub use postgres::PostgresEnd;
pub use postgres::PostgresOptions;
pub use postroom::Postroom;
pub use postroom::PostroomOptions;
pub use postroom::wait_until;
pub use postroom_on_both::on_both;
pub use postroom_sandbox::DnsServer;
pub use refresh_loop::TokenLoop;
pub use refresh_loop::TokenLoopResult;
pub use s3::S3;
pub use scram::ScramServer;
pub use test_database::TestDatabase;
pub use totp::TOTP_STEP_MS;
pub use totp::totp_code;

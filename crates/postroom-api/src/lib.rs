//! The REST interface: the data model over HTTP, on axum.
//!
//! ```text
//!   routes ──► caller (whose domain?) ──► place (what of it?) ──► entity │ create │ change │ file
//!                                                                    │ one call each
//!                                                                  store, engine::content
//! ```
//! A handler does four things: it authorises, extracts, calls one function of a lower crate, and
//! returns a view. Every refusal is a `Problem`. Everything that a request holds in memory has a
//! limit, and files stream in both directions.
#![warn(unreachable_pub)]

mod limits;

mod problem;

mod refused_batch;

mod source;

mod exact;

mod json;

mod budget;

mod lockout;

mod rates;

mod scans;

mod origins;

mod trusted_proxies;

mod answering;

mod connections;

mod socket;

mod answer_budget;

mod described;

mod app;

mod asking;

mod caller;

mod trace;

mod host;

mod escaped;

mod percent;

mod parameters;

mod place;

mod children;

mod verb;

mod rows;

mod format;

mod cursor;

mod listing;

mod range;

mod replay;

mod etag;

mod media_type;

mod disposition;

mod attributes;

mod enclosed;

mod coding;

mod compress;

mod decode;

mod body;

mod form;

mod made_secrets;

mod webhook;

mod view;

mod parts;

mod sums;

mod folder;

mod account;

mod upload;

mod once;

mod claim_token;

mod create;

mod same_files;

mod change;

mod erasure;

mod event_request;

mod events;

mod socket_message;

mod socket_telling;

mod web_socket;

mod entity;

mod query;

mod download;

mod harmless;

mod message_html;

mod message_text;

mod file;

mod domain;

mod job;

mod lookup;

mod claim_request;

mod claim;

mod bulk;

mod try_now;

mod rotate;

mod autoconfig;

mod verify;

mod fetch;

mod design;

mod configuration;

mod health;

mod sending;

mod session;
mod totp;

mod node;

mod docs_page;

mod oauth;

mod oauth_device;

mod console_client;

mod console_form;

mod console_page;

mod console_answer;

mod console_entities;

mod console_tokens;

mod console_audit;
mod console_domains;
mod console_second_factor;
mod console_users;

mod console_sign_in;

mod console;

mod openapi;

mod cors;

mod routes;

mod listeners;

mod serve;

pub use app::App;
pub use limits::Limits;
pub use listeners::RestListeners;
pub use origins::NoOrigin;
pub use origins::Origins;
pub use routes::router;
pub use serve::Listening;
pub use serve::serve;
pub use trusted_proxies::NoProxy;
pub use trusted_proxies::TrustedProxies;

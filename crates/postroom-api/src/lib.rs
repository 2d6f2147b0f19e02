//! The REST interface: the data model over HTTP, on axum.
//!
//! ```text
//!   routes ──► caller (whose domain?) ──► place (what of it?) ──► entity │ create │ change │ file
//!                                                                    │ one call each
//!                                                                  store, engine::content
//! ```
//! A handler does four things: it authorises, extracts, calls one function of a lower crate, and
//! returns a view. Every refusal is a [`problem::Problem`]. Everything that a request keeps in
//! memory has a limit, and files stream in both directions.

pub mod limits;

pub mod problem;

pub mod source;

pub mod json;

pub mod budget;

pub mod lockout;

pub mod connections;

pub mod socket;

pub mod app;

pub mod caller;

pub mod trace;

pub mod host;

pub mod percent;

pub mod parameters;

pub mod place;

pub mod verb;

pub mod mask;

pub mod cursor;

pub mod listing;

pub mod range;

pub mod etag;

pub mod media_type;

pub mod disposition;

pub mod attributes;

pub mod enclosed;

pub mod body;

pub mod form;

pub mod view;

pub mod parts;

pub mod message;

pub mod references;

pub mod folder;

pub mod account;

pub mod upload;

pub mod once;

pub mod create;

pub mod change;

pub mod entity;

pub mod download;

pub mod file;

pub mod job;

mod try_now;

pub mod design;

pub mod health;

pub mod routes;

pub mod serve;

pub use app::App;
pub use limits::Limits;
pub use routes::router;
pub use serve::serve;

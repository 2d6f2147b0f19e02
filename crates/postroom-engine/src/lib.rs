//! The engine: moves mail between the servers and the data model.
//!
//! ```text
//!   supervisor ──► one receiver and one sender for each enabled account
//!   receiver:  survey │ watch ──► fetch ──► decompose ──► commit ──► wishes      (receive/)
//!   sender:    prepare ──► claim ──► transmit ──► settle                         (send/)
//! ```
//! Wake-ups carry no data. Each loop asks the store what to do, so start, crash and change are one
//! code path. Rules of this crate: (1) Nothing is changed at a server before its record is durable.
//! (2) One bad message never stops a folder. (3) One bad server never delays another account.

pub mod error;

pub mod backoff;

pub mod settings;

pub mod under_way;

pub mod pulse;

pub mod lanes;

pub mod shared;

pub mod account;

pub mod journal;

pub mod report;

pub mod content;

pub mod original;

pub mod derive;

pub mod outgoing;

pub mod receive;

pub mod connect;

pub mod alone;

mod renamed;

pub mod survey;

pub mod send;

pub mod polls;

mod refusals;

pub mod receiver;

pub mod sender;

pub mod redecompose;

pub mod supervisor;

pub use error::Error;
pub use settings::Dialing;
pub use settings::Settings;
pub use supervisor::Supervisor;

//! The processor: what moves mail between the servers and the data model.
//!
//! ```text
//!   supervisor ──► one receiver and one sender for each enabled account
//!   receiver:  survey │ watch ──► fetch ──► decompose ──► commit ──► wishes      (receive/)
//!   sender:    prepare ──► claim ──► transmit ──► settle                         (send/)
//! ```
//! Wake-ups carry nothing: each loop asks the store what to do, so start, crash and failover are
//! one code path. Rules that hold here: nothing is changed at a server before its record is
//! durable; one bad message never stops a folder; one bad server never delays another account.

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

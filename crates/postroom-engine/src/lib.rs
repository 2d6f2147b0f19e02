//! The engine: moves mail between the servers and the data model.
//!
//! ```text
//!   supervisor ──► one receiver and one sender for each enabled account
//!   receiver:  survey │ watch ──► fetch ──► decompose ──► commit ──► actions      (receive/)
//!   sender:    prepare ──► claim ──► transmit ──► settle                         (send/)
//! ```
//! Wake-ups carry no data. Each loop asks the store what to do, so start, crash and change are one
//! code path. Rules of this crate: (1) Nothing is changed at a server before its record is durable.
//! (2) One bad message never stops a folder. (3) One bad server never delays another account.
#![warn(unreachable_pub)]

mod unusable_profile;

mod account;

mod account_changes;

mod credentials;

mod counted;

mod source_error;

mod error;

mod backoff;

mod settings;

mod retry_after;

mod http_exchange;

mod https_get;

mod proxied;

mod token_request;

mod token_assertion;

mod token_found;

mod token_known;

mod oauth_credentials;

mod under_way;

mod enders;

mod news_board;

mod news_event;

mod pulse;

mod lanes;

mod consent;

pub mod shared;

mod store_away;

mod journal;

mod report;

pub mod content;

mod original;

pub mod text;

mod derive;

pub mod outgoing;

pub mod carried;

pub mod posted;

pub mod claiming;

mod claiming_together;

mod source;

mod receive;

mod alerts;

mod pool;

mod alone;

mod renamed;

mod survey;

mod send;

mod polls;

mod refusals;

mod attempts;

mod worn;

mod surveys;

mod receiver;

mod sender;

pub mod redecompose;

pub mod bulk;

pub mod jobs;

mod retention;

mod full_text;

mod webhook_request;

mod webhook_progress;

mod webhook_part;

mod webhook_follower;

mod webhooks;

mod verify;

mod server_search;

mod device_consent;

mod device_poll;

mod supervisor;

mod for_clients;

mod node_beats;
mod node_place;

mod node_view;

mod group_node;

pub use account::ServerKind;
pub use consent::ConsentError;
pub use consent::ConsentGiven;
pub use consent::ConsentPage;
pub use consent::OAuthConsents;
pub use credentials::CredentialAnswer;
pub use credentials::CredentialError;
pub use credentials::CredentialRequest;
pub use credentials::CredentialSource;
pub use device_consent::DeviceConsents;
pub use device_consent::DevicePage;
pub use error::Error;
pub use group_node::GroupNode;
pub use group_node::NodeTerms;
pub use news_board::NewsBoard;
pub use news_board::NewsFollower;
pub use news_event::ShownEvent;
pub use node_place::NodePlace;
pub use node_view::NodeView;
pub use pulse::SpoolTrouble;
pub use report::chain;
pub use server_search::ServerSearch;
pub use server_search::ServersFound;
pub use server_search::TriedSource;
pub use settings::Dialing;
pub use settings::OutgoingPolicy;
pub use settings::Redial;
pub use settings::Settings;
pub use source_error::Remedy;
pub use source_error::SourceError;
pub use source_error::SourceFailure;
pub use source_error::SourceMeaning;
pub use supervisor::Supervisor;
pub use verify::AccountVerifier;
pub use verify::VerifyPhase;
pub use verify::VerifyResult;
pub use verify::VerifyStep;
pub use webhooks::WebhookPing;
pub use webhooks::WebhookTester;

#[cfg(test)]
mod fixture;

#[cfg(test)]
mod tests;

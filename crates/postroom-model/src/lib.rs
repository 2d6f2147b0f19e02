//! The data model: classes, properties, entities, filters, states, options and limits.
//!
//! Values and pure functions only: no I/O, no async, no clock. All other crates share these types.
//! The rules that clients rely on are defined here, once.
//!
//! ```text
//!   builtin/*.json ──► class ──► validate ──► entity ──► (store, engine, api)
//!                               filter, query: what to look for
//!                               state, options: what may happen, and how
//! ```

#![warn(unreachable_pub)]

mod limits;

mod zero;

mod fold;

mod domain;
mod error_code;
mod invalid;

mod json_problem;

mod merge_patch;

mod secret_member;

mod json_difference;

mod mailbox_id;
mod recipient_state;
mod timestamp;

pub mod address;

pub mod client_id;

pub mod fingerprint;

pub mod proxy;

mod address_rules;

mod id;

mod property;

mod class;

pub mod builtin;

mod entity;

mod direction;

pub mod webhook;

pub mod oauth_answer;

pub mod oauth_device;

pub mod oauth;

mod right_action;

mod rights;

mod right_holder;

pub mod state;

pub mod standing;

mod news;

mod instance;

pub mod client;

pub mod autoconfig_server;

pub mod autoconfig_file;

pub mod autoconfig;

mod option_key;

pub mod options;

pub mod validate;

mod class_opts;

mod class_check;

mod class_change;

mod class_members;

mod class_form;

mod class_merge;

mod class_extension;

mod class_named;

mod words;

mod match_query;

mod effort;

pub mod like;

pub mod filter;

mod query;

mod aggregate;

mod configured_role;

mod configuration_setting;

mod configuration;

mod instance_place;

mod mask;

mod wanted;

mod right_reach;

mod right_vain;

mod socket_call;

pub use address_rules::AddressRules;
pub use address_rules::AllowedSubnet;
pub use address_rules::NoSubnet;
pub use address_rules::Subnet;
pub use aggregate::Aggregate;
pub use aggregate::Computed;
pub use aggregate::Function;
pub use aggregate::parse_aggregate;
pub use class::Class;
pub use class::OF_EVERY_ENTITY;
pub use class::StorageMode;
pub use class::ancestors;
pub use class::inherit;
pub use class_change::ClassStep;
pub use class_change::Demand;
pub use class_change::RenamedProperty;
pub use class_change::class_steps;
pub use class_change::demands;
pub use class_extension::Extension;
pub use class_form::ClassChange;
pub use class_form::as_sent;
pub use class_form::created;
pub use class_form::patched;
pub use class_form::replaced;
pub use class_merge::merged;
pub use class_named::with_class_ids;
pub use configuration::Configuration;
pub use configuration::ConfiguredProxy;
pub use configured_role::ConfiguredRole;
pub use direction::MessageDirection;
pub use domain::Domain;
pub use domain::NotADomain;
pub use entity::Entity;
pub use error_code::ErrorCode;
pub use filter::Filter;
pub use fold::fold;
pub use id::AccountId;
pub use id::ClaimToken;
pub use id::ClassId;
pub use id::EntityId;
pub use id::FolderId;
pub use id::JobId;
pub use id::MessageEntityId;
pub use id::OAuthAppId;
pub use id::ProfileId;
pub use id::WebhookId;
pub use instance::GROUPS;
pub use instance::INSTANCE_NAME_CHARS_MAX;
pub use instance::Instance;
pub use instance::InstanceRole;
pub use instance::NotARole;
pub use instance::ORDERS;
pub use instance_place::HostInterfaces;
pub use instance_place::InstancePlace;
pub use instance_place::InstanceRest;
pub use invalid::Invalid;
pub use json_difference::Difference;
pub use json_problem::json_problem;
pub use limits::PROBLEMS_MAX;
pub use limits::QUOTED_CHARS_MAX;
pub use mailbox_id::MailboxId;
pub use mask::CLAIM_FIELDS;
pub use mask::FILES;
pub use mask::Mask;
pub use mask::MaskedReference;
pub use match_query::MatchQuery;
pub use match_query::MatchTerm;
pub use news::Changed;
pub use news::EventName;
pub use news::MAILBOX_GONE;
pub use news::Operation;
pub use option_key::CountKey;
pub use option_key::DurationKey;
pub use option_key::FlagKey;
pub use options::DeleteAfter;
pub use options::MESSAGE_BYTES_LIMIT;
pub use options::Options;
pub use options::Uncertain;
pub use options::option_names;
pub use property::DataType;
pub use property::Property;
pub use query::Order;
pub use query::Query;
pub use query::parse_order;
pub use query::steps;
pub use recipient_state::RecipientState;
pub use right_action::RightAction;
pub use right_holder::is_user_name;
pub use right_reach::RightReach;
pub use right_reach::right_problems;
pub use right_vain::rights_in_vain;
pub use rights::ADMINISTRATOR;
pub use rights::GrantedRight;
pub use rights::MissingRight;
pub use rights::Rights;
pub use rights::TokenRole;
pub use rights::is_administrative;
pub use rights::user_name;
pub use secret_member::MASK;
pub use secret_member::each_secret;
pub use secret_member::is_secret;
pub use socket_call::CallAsks;
pub use socket_call::CallProblem;
pub use socket_call::CallRefused;
pub use socket_call::EventParameters;
pub use socket_call::PLATFORM_EVENT;
pub use socket_call::SocketCall;
pub use socket_call::SubscribeCall;
pub use standing::Standing;
pub use state::MessageState;
pub use timestamp::NotATimestamp;
pub use timestamp::Timestamp;
pub use wanted::WantedNews;
pub use wanted::wanted_by_webhook;
pub use wanted::wanted_class;
pub use wanted::wanted_filter;
pub use wanted::wanted_mask;
pub use wanted::webhook_problems;
pub use words::INDEXED_TEXT_CHARS_MAX;
pub use words::IndexedWords;
pub use words::indexed_words;

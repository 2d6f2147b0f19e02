//! The store: everything durable, in one database. The names of its functions begin with a noun.
//!
//! ```text
//!   entity  file  token          what clients see
//!   receipt  delivery  account  job   what the engine keeps: ledger, queue, reports
//!        │ statements and batches
//!   database (the seam) ──► sqlite_directory (lock, disk) ──► sqlite (writer thread, readers)
//! ```
//! No other crate has SQL. Values are bound. Only the default of a new column is written into the
//! SQL, as a quoted constant, because ALTER TABLE cannot bind it. Names of tables and columns come
//! from class definitions. A batch commits or fails as one, and its conditions are SQL statements
//! of the batch. A change of an entity writes its row of the feed in the same batch.
#![warn(unreachable_pub)]

mod clock;

mod work;

mod domain_limit;

mod failed;

mod error;

mod feed_retention;

mod feed_marks;

mod believed_time;

mod object_address;

mod objects_state;

mod objects;

mod key_bytes;

mod key;

mod totp;

mod kept_factor;

mod keyring;

mod sealed;

mod bell;

mod class_revision;

mod batch_change;

mod column_kind;

mod nul;

mod lock;

mod made;

mod room;

mod scan_meter;

mod emptying_step;

mod full_text_dialect;

mod dialect;

mod database;
mod database_front;

mod seq;

mod feed_gap;

mod database_state;

mod sqlite;

mod disk;

mod sqlite_directory;

mod columns;

mod foreign_key;

mod shared_column;

mod postgres;

mod file_property;

mod class_index;
mod sending;

mod phase;

mod built_in_index;

mod schema;

mod full_text_row;

mod condition;

mod living_domain;

mod limits;

mod page;

mod words_page;

mod modifier;

mod audit_actor;

mod audit_event;

mod notices;

mod chunk;

mod queue;

mod object_id;

mod copied;

mod wrapped_key;

mod set_up;

mod dated_time;

mod classes;

mod class_tables;

mod class_begin;

mod node_details;

mod lease;

mod seen_lease;

mod moved_value;

mod moved_table;

mod in_use;

mod moving;

mod object_place;

mod poll_times;

mod being_claimed;

mod damaged_rows;

mod store;

mod entity_of;

mod told;

mod usage;

mod expiry_clock;

mod sweep;

mod class_sync;

mod leading;

mod handover;

mod node;

#[cfg(test)]
mod fixture;

mod feed;

mod audit;

mod audit_notice;

mod audit_trim;

mod entity_place;

mod reach;

mod claim_row;

mod entity_row;

mod whole;

mod record;

mod record_tell;

mod untold;

mod class_deleted;

mod integrity;

mod backup;

mod verify;

mod object;

mod blob_reader;

mod blob;

mod file;

mod once;

mod job;

mod file_change;

mod login;

mod surveyed;

mod entity_list;

mod domain_row;

mod password;

mod entity;

mod full_text_feed;

mod full_text;

mod full_text_lag;

mod work_claim;

mod claim_taking;

mod claims_trim;

mod news;

mod feed_trim;

mod aggregate;

mod file_page;

mod claim_page;

mod configuration;

mod delete_terms;

mod purge;

mod consent;

mod device_consent;

mod reseal;

mod rotation;

mod session;

mod second_factor;

mod sign_in;

mod referrers;

mod change;

mod deletion;

mod device_given;

mod bulk;

mod erasing;

mod erasure;

mod retention;

mod source_key;

mod witness;

mod unloaded;

mod origin;

mod receipt;

mod remembered;

mod oversized;

mod report_link;

mod former_receipt;

mod held_message;

mod receive;

mod missed;

mod recorded_bytes;

mod redecompose;

mod delivered;

mod outcome;

mod verdict;

mod before_dot;

mod delivery;

mod unsendable;

mod prepared;

mod waiting;

mod oauth_app;

mod saved;

mod account;

mod account_list;

mod token_step;

mod rename;

mod account_try;

mod account_unsaved;

mod proxy_password;

mod webhook;

mod token;

mod token_rotate;

mod overview;

mod class_demand;

mod class_write;

mod retired;

mod retired_value;

mod verify_added;

mod class_extend;

#[cfg(test)]
mod tests;

pub use account::AccountReport;
pub use account::AccountRow;
pub use account::FolderReport;
pub use account::Secrets;
pub use account_try::TryRequest;
pub use aggregate::WantedGroups;
pub use audit_actor::RequestOrigin;
pub use audit_event::AuditEvent;
pub use audit_notice::AuditNotice;
pub use backup::ToBeSent;
pub use backup::backup_key;
pub use backup::copy_database;
pub use before_dot::BeforeDot;
pub use bell::Listener;
pub use bell::Topic;
pub use blob::BlobWriter;
pub use blob::Content;
pub use blob_reader::BlobReader;
pub use bulk::BulkOrder;
pub use bulk::BulkWork;
pub use change::ChangeTerms;
pub use change::Updated;
pub use chunk::BlobId;
pub use claim_page::ListedClaim;
pub use claim_row::ClaimStep;
pub use claim_row::ClaimThen;
pub use claim_taking::ChosenEntities;
pub use claim_taking::TakenClaim;
pub use class_sync::Synced;
pub use classes::Classes;
pub use clock::Clock;
pub use clock::TimeAndChance;
pub use configuration::ConfigurationVersion;
pub use configuration::KeptConfiguration;
pub use configuration::NextConfiguration;
pub use consent::ConsentRequest;
pub use copied::Suspended;
pub use database::Answer;
pub use database::ClassRevision;
pub use database::Database;
pub use database::Dialect;
pub use database::Outcome;
pub use database::PlaceQueries;
pub use database::Room;
pub use database::Row;
pub use database::Statement;
pub use database::Value;
pub use database_front::DatabaseFront;
pub use delete_terms::DeleteTerms;
pub use delivered::Delivered;
pub use delivered::Earlier;
pub use delivery::Claimed;
pub use delivery::DueAt;
pub use device_consent::DevicePending;
pub use device_consent::DeviceRequest;
pub use device_consent::DeviceSeen;
pub use device_consent::DeviceStep;
pub use disk::DirectoryLock;
pub use domain_limit::DomainLimit;
pub use entity::NewEntity;
pub use entity::Terms;
pub use entity_list::ListPart;
pub use entity_place::EntityPlace;
pub use entity_row::EntityRow;
pub use erasure::ErasedClass;
pub use erasure::Erasure;
pub use error::DAMAGED_OBJECT;
pub use error::Error;
pub use failed::Failed;
pub use feed::FeedRow;
pub use feed_retention::FeedRetention;
pub use feed_retention::RetentionOutOfRange;
pub use file::FileRow;
pub use file::FileSource;
pub use file::NewContent;
pub use file::NewFile;
pub use file_change::Replace;
pub use file_page::ListedFile;
pub use full_text::WordsLeft;
pub use held_message::HeldMessage;
pub use in_use::is_filled;
pub use in_use::nobody_uses;
pub use job::Job;
pub use job::JobCounts;
pub use job::JobKind;
pub use job::JobState;
pub use job::JobStep;
pub use key::DATABASE_FILE;
pub use key::KEY_FILE;
pub use key::KeyFiles;
pub use key::MasterKey;
pub use key::random_token;
pub use key::webhook_secret;
pub use key_bytes::KeyMark;
pub use lease::Member;
pub use login::SameLogin;
pub use login::Twin;
pub use missed::MissedAt;
pub use missed::MissedMessage;
pub use modifier::Bearer;
pub use modifier::Modifier;
pub use moving::Move;
pub use moving::Moved;
pub use moving::move_cancel;
pub use news::EntityNews;
pub use news::FeedBounds;
pub use news::NewsPage;
pub use node::BEAT;
pub use node::NodeRow;
pub use node::NodeState;
pub use node_details::NodeDetails;
pub use oauth_app::AccountTokens;
pub use oauth_app::OAuthAppRow;
pub use object::KeptObjects;
pub use object_place::objects_place;
pub use objects::Objects;
pub use objects::ObjectsAccess;
pub use objects::ObjectsConfig;
pub use objects_state::ObjectsTrouble;
pub use once::Before;
pub use once::Once;
pub use origin::Beginning;
pub use origin::MailboxEpoch;
pub use origin::Origin;
pub use origin::ReturnedEpoch;
pub use oversized::LoadRequest;
pub use oversized::Unloadable;
pub use poll_times::PollTimes;
pub use postgres::ByteLink;
pub use postgres::PostgresConfig;
pub use postgres::PostgresDatabase;
pub use postgres::Secure;
pub use postgres::Securing;
pub use prepared::PrepareEnd;
pub use prepared::Prepared;
pub use receipt::Ledger;
pub use receipt::OpenActions;
pub use receipt::Oversized;
pub use receipt::Pending;
pub use receipt::ServerAction;
pub use receive::ReceiveBatch;
pub use receive::ReceiveOutcome;
pub use receive::ReceivedMessage;
pub use recorded_bytes::RecordedKey;
pub use redecompose::OriginalFound;
pub use redecompose::OriginalPage;
pub use redecompose::Recorded;
pub use redecompose::Redecomposed;
pub use remembered::Remembered;
pub use rename::NamedMailbox;
pub use rename::Renamed;
pub use reseal::Resealed;
pub use retention::Expired;
pub use retention::Expiring;
pub use retention::ExpiryPage;
pub use scan_meter::ScanMeter;
pub use sealed::Sealed;
pub use sealed::SecretMark;
pub use second_factor::NewTotpKey;
pub use second_factor::TotpRefusal;
pub use second_factor::TotpState;
pub use session::BegunSession;
pub use session::SESSION_IDLE_MS;
pub use sign_in::LoginOutcome;
pub use sign_in::OfferedLogin;
pub use source_key::SourceKey;
pub use sqlite_directory::SqliteDirectory;
pub use store::Store;
pub use store::StoreConfig;
pub use surveyed::FolderMailbox;
pub use surveyed::MailboxHolder;
pub use surveyed::Survey;
pub use surveyed::SurveyedFolder;
pub use surveyed::UNFOUND;
pub use surveyed::is_unfound;
pub use token_rotate::RotatedToken;
pub use token_step::TokenStep;
pub use unloaded::Unloaded;
pub use unloaded::UnloadedMessage;
pub use unsendable::Unsendable;
pub use verdict::Verdict;
pub use verify::Verified;
pub use waiting::Orphaned;
pub use waiting::Wait;
pub use waiting::Why;
pub use webhook::WebhookProgress;
pub use webhook::WebhookRow;
pub use witness::Witness;
pub use work::Work;
pub use work_claim::ClaimState;
pub use work_claim::WantedClaim;
pub use work_claim::WorkClaim;
pub use wrapped_key::KeptMaster;

//! Mail messages: decomposition into fields and parts, and composition.
//!
//! ```text
//!   source ──► header ──► structure ──► fields ───────┐
//!                             └───────► body ──► files ──► parse ──► Message
//! ```
//!
//! The parser is our own. It makes one pass without recursion, in linear time and memory, and its
//! only errors are those of a file. A malformation becomes a [`Defect`]. The bytes are never
//! changed, and parts are positions in them.

#![warn(unreachable_pub)]

mod calendar;
mod date;

pub mod compose;
mod uuencode;
mod yenc;

mod defect;
mod limits;

mod transfer;

mod encoding_field;

pub mod charset;

mod tnef;

pub mod encoded_word;

mod field_text;

mod parameter;

mod address;
mod flowed;
pub mod html;

mod source;

mod content;
mod header;

pub mod structure;

mod headers;

mod plain;

mod whole_text;

mod report;

mod message;

mod cms;
mod fields;
mod preview;
mod security;

mod leaf;

mod encoded_multipart;

mod reported;

mod body;
mod file_name;

mod files;

mod parse;

pub use address::parse as parse_addresses;
pub use calendar::Attendee;
pub use calendar::Calendar;
pub use calendar::Moment;
pub use calendar::summarise as summarise_calendar;
pub use cms::Cms;
pub use cms::kind as cms_kind;
pub use cms::signed_content as cms_signed_content;
pub use compose::Address;
pub use content::ContentFields;
pub use content::Disposition;
pub use date::parse as parse_date;
pub use defect::Defect;
pub use defect::Defects;
pub use field_text::FieldText;
pub use flowed::unflow;
pub use header::FieldRange;
pub use headers::Headers;
pub use limits::ParserLimits;
pub use message::BodyKind;
pub use message::Container;
pub use message::Message;
pub use message::Part;
pub use message::PartSource;
pub use message::Protection;
pub use message::TextSource;
pub use parameter::Parameters;
pub use parse::PARSER_VERSION;
pub use parse::parse;
pub use parse::parse_reader;
pub use report::Report;
pub use report::ReportKind;
pub use report::ReportedRecipient;
pub use source::ByteSource;
pub use source::Slice;
pub use source::Windows;
pub use tnef::Tnef;
pub use tnef::open as open_tnef;
pub use transfer::TransferDecoder;
pub use transfer::TransferEncoding;
pub use uuencode::UuencodeBlock;
pub use uuencode::blocks as uuencode_blocks;
pub use whole_text::TextDecoder;
pub use whole_text::TextPlace;
pub use yenc::YencBlock;
pub use yenc::blocks as yenc_blocks;

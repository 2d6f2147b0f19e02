//! Mail messages: decomposition into fields and parts, and composition.
//!
//! ```text
//!   source ──► header ──► structure ──► fields ───────┐
//!                             └───────► body ──► files ──► parse ──► Message
//! ```
//!
//! Decomposition is a parser of our own: one pass, no recursion, linear time and memory, no error
//! but those of a file. What is malformed becomes a [`Defect`]; the bytes are never cut, and parts
//! are places in them.

pub mod calendar;
pub mod compose;
pub mod uuencode;
pub mod yenc;

pub mod defect;
pub mod limits;

pub mod transfer;

pub mod charset;

pub mod tnef;

pub mod encoded_word;

pub mod field_text;

pub mod parameter;

pub mod address;
pub mod date;
pub mod flowed;
pub mod html;

pub mod source;

pub mod content;
pub mod header;

pub mod structure;

pub mod headers;

pub mod message;

pub mod cms;
mod fields;
mod plain;
mod preview;
mod security;

mod leaf;

mod body;
mod file_name;

mod files;

mod parse;

pub use compose::Address;
pub use defect::Defect;
pub use headers::Headers;
pub use limits::Limits;
pub use message::Container;
pub use message::Kind;
pub use message::Message;
pub use message::Part;
pub use message::PartSource;
pub use message::Security;
pub use message::TextSource;
pub use parse::PARSER_VERSION;
pub use parse::parse;
pub use parse::parse_reader;
pub use transfer::TransferDecoder;
pub use transfer::TransferEncoding;

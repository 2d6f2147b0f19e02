//! The tables from which the description is made: operations, parameters, problems and schemas.
//!
//! They are JSON, so that a new verb, path or problem is a few lines. Tests compare them with the
//! router and the sources.

use serde::Deserialize;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::HashMap;

/// All tables.
#[derive(Debug)]
pub(crate) struct DescriptionTables {
    /// The operations.
    pub operations: Vec<DescribedOperation>,
    /// Parameters and header fields.
    pub fields: FieldTable,
    /// The problems, by status.
    pub problems: Vec<ProblemStatus>,
    /// The schemas that do not depend on the classes.
    pub shapes: Map<String, Json>,
}

impl DescriptionTables {
    /// Reads the tables.
    ///
    /// # Errors
    ///
    /// When one of them is not well formed, which a test would find.
    pub(crate) fn read() -> serde_json::Result<Self> {
        Ok(Self {
            operations: serde_json::from_str(include_str!("operations.json"))?,
            fields: serde_json::from_str(include_str!("fields.json"))?,
            problems: serde_json::from_str(include_str!("problems.json"))?,
            shapes: serde_json::from_str(include_str!("shapes.json"))?,
        })
    }

    /// The example of a schema.
    #[must_use]
    pub(crate) fn example(&self, shape: &str) -> Json {
        self.shapes.get(shape).and_then(|shape| shape.get("example")).cloned().unwrap_or_default()
    }
}

/// Parameters and header fields, by the names that operations give them.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FieldTable {
    /// What requests may have.
    pub parameters: Map<String, Json>,
    /// What answers have.
    pub headers: Map<String, Json>,
}

/// The problems of a status.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProblemStatus {
    /// The status.
    pub status: u16,
    /// What it says.
    pub says: String,
    /// The header fields that it brings.
    pub headers: Vec<String>,
    /// Its kinds, each with an example of what people read.
    pub kinds: Map<String, Json>,
}

/// An operation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DescribedOperation {
    /// Where it is.
    pub at: Spot,
    /// The method. One of our own is described as its twin: `POST …:verb`.
    pub method: String,
    /// The last word of its id.
    pub id: String,
    /// What it does, in a sentence.
    pub says: String,
    /// The parameters.
    #[serde(default)]
    pub parameters: Vec<String>,
    /// Parameters that only a class has, or only a property that holds a file.
    #[serde(default)]
    pub more: HashMap<String, Vec<String>>,
    /// The body of the request. `None`: there is none.
    #[serde(default)]
    pub sends: Option<DescribedBody>,
    /// Whether the body may be left out.
    #[serde(default)]
    pub may_be_empty: bool,
    /// The answers that are no problems.
    pub gives: Vec<Gives>,
    /// The problems that not all operations have.
    #[serde(default)]
    pub problems: Vec<u16>,
    /// Whether it needs no token.
    #[serde(default)]
    pub open: bool,
}

/// One answer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Gives {
    /// The status.
    pub status: u16,
    /// What it is.
    pub says: String,
    /// The body. `None`: there is none.
    #[serde(default)]
    pub content: Option<DescribedBody>,
    /// The header fields that it may have.
    #[serde(default)]
    pub headers: Vec<String>,
}

/// Where an operation is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum Spot {
    /// At this path.
    Path(String),
    /// The entities of each class.
    Collection,
    /// An entity of each class.
    Entity,
    /// The whole text of a message.
    Text,
    /// A ping to the receiver of a webhook.
    WebhookTest,
    /// The tokens of a domain.
    DomainTokens,
    /// The files of each property that has a list of them.
    FileList,
    /// One of these files.
    FileOfList,
    /// The file of each property that has one.
    File,
}

impl From<String> for Spot {
    fn from(text: String) -> Self {
        match text.as_str() {
            "Collection" => Self::Collection,
            "Entity" => Self::Entity,
            "Text" => Self::Text,
            "WebhookTest" => Self::WebhookTest,
            "DomainTokens" => Self::DomainTokens,
            "FileList" => Self::FileList,
            "FileOfList" => Self::FileOfList,
            "File" => Self::File,
            _ => Self::Path(text),
        }
    }
}

/// What a body holds.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum DescribedBody {
    /// JSON of this schema.
    Of(String),
    /// A JSON list of this schema.
    ListOf(String),
    /// A list of entities, in one of the formats.
    Rows,
    /// An entity, or a part of it.
    Row,
    /// A whole entity.
    Whole,
    /// What was created: an entity or a list.
    Created,
    /// What creates entities: one, a list, or a form with one and its files.
    New,
    /// A replacement of an entity.
    Replacement,
    /// A change of an entity.
    Change,
    /// The bytes of a file, or a form with them.
    FileBytes,
    /// A form with files.
    Form,
    /// The bytes of a file.
    Bytes,
    /// Plain text.
    Text,
    /// A page for people.
    Page,
    /// Events, as JSON or as a stream.
    News,
}

impl From<String> for DescribedBody {
    fn from(text: String) -> Self {
        match text.as_str() {
            "(Rows)" => Self::Rows,
            "(Row)" => Self::Row,
            "(Whole)" => Self::Whole,
            "(Created)" => Self::Created,
            "(New)" => Self::New,
            "(Replacement)" => Self::Replacement,
            "(Change)" => Self::Change,
            "(FileBytes)" => Self::FileBytes,
            "(Form)" => Self::Form,
            "(Bytes)" => Self::Bytes,
            "(Text)" => Self::Text,
            "(Page)" => Self::Page,
            "(News)" => Self::News,
            _ => match text.strip_prefix("list of ") {
                Some(shape) => Self::ListOf(shape.to_owned()),
                None => Self::Of(text),
            },
        }
    }
}

/// The methods that every client and every description can name.
const STANDARD: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

impl DescribedOperation {
    /// The word of its twin, if the method is one of our own.
    #[must_use]
    pub(crate) fn twin(&self) -> Option<String> {
        (!STANDARD.contains(&self.method.as_str())).then(|| self.method.to_ascii_lowercase())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    /// The kinds that a source names: the first text behind a constructor of a problem.
    fn kinds(source: &str) -> Vec<String> {
        let source = source.split("#[cfg(test)]").next().unwrap();
        let mut found = vec![];
        for constructor in ["Problem::new(", "Self::new(", "::conflict(", "Self::later("] {
            for after in source.split(constructor).skip(1) {
                let arguments = after.split(");").next().unwrap();
                let text = arguments.split('"').nth(1).unwrap_or_default();
                let is_kind = |char: char| char.is_ascii_lowercase() || char == '-';
                let is_listed = arguments.split('"').next().unwrap().split(',').count() < 3;
                if is_listed && !text.is_empty() && text.chars().all(is_kind) {
                    found.push(text.to_owned());
                }
            }
        }
        found
    }

    fn sources(directory: &Path, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.extend(kinds(&fs::read_to_string(path).unwrap()));
            }
        }
    }

    #[test]
    fn every_kind_of_problem_that_the_sources_name_is_in_the_table() {
        let mut found = BTreeSet::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
        let tables = DescriptionTables::read().unwrap();
        let known: BTreeSet<_> =
            tables.problems.iter().flat_map(|row| row.kinds.keys().cloned()).collect();
        let missing: Vec<_> = found.difference(&known).collect();
        assert!(missing.is_empty(), "not in problems.json: {missing:?}");
        assert!(found.len() > 25, "{found:?}");
    }
}

//! Places: what a path below `/rest/v1/model/` names.
//!
//! ```text
//!   email/Messages                                    a collection: the class name has slashes
//!   email/Messages/<id>                               one entity
//!   email/Messages/<id>/html                          a property that holds one file
//!   email/Messages/<id>/text                          the whole text of a message
//!   email/Webhooks/<id>/test                          a ping to the receiver of a webhook
//!   iam/Domains/<id>/tokens                           the tokens of a domain
//!   email/Messages/<id>/attachments                   a property that holds a list of files
//!   email/Messages/<id>/attachments/Summer%202026.pdf one of them
//! ```
//! Segments are split before they are decoded, so that a file name may contain a slash. After a
//! collection or an entity, a colon introduces a verb: `email/Messages:redecompose`
//! (`crate::verb`).

use crate::percent;
use crate::problem::Problem;
use postroom_model::Class;
use postroom_model::EntityId;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::builtin::names;
use std::sync::Arc;

/// The last segment of the tokens of a domain.
pub(crate) const DOMAIN_TOKENS: &str = "tokens";
/// The last segment of a ping.
pub(crate) const WEBHOOK_TEST: &str = "test";

/// A class, and the part of it that a path names.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Place {
    /// The class.
    pub class: Arc<Class>,
    /// The part of the class.
    pub target: Target,
    /// The word after a colon, which must be a verb. `None`: there is no colon.
    pub word: Option<String>,
}

/// The part of a class that a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// All entities.
    Collection,
    /// One entity.
    Entity(EntityId),
    /// The files of a property that holds a list.
    FileList(EntityId, String),
    /// One file. For a property with a list of files, the name chooses it. Otherwise it is the only
    /// one.
    File(EntityId, String, Option<String>),
    /// The whole text of a message.
    Text(EntityId),
    /// A ping to the receiver of a webhook.
    WebhookTest(EntityId),
    /// The tokens of a domain.
    DomainTokens(EntityId),
}

impl Target {
    /// The entity that it is, or that it belongs to.
    pub(crate) fn entity(&self) -> Option<EntityId> {
        match self {
            Self::Collection => None,
            Self::Entity(id)
            | Self::FileList(id, _)
            | Self::File(id, ..)
            | Self::Text(id)
            | Self::WebhookTest(id)
            | Self::DomainTokens(id) => Some(*id),
        }
    }
}

/// Finds what a path names. `path` is what follows `/rest/v1/model/`, still percent-encoded.
///
/// # Errors
///
/// 404 with the segment that names nothing; 400 if a segment is not percent-encoded UTF-8.
pub(crate) fn find(path: &str, classes: &[Arc<Class>]) -> Result<Place, Problem> {
    let segments: Vec<String> = path
        .split('/')
        .map(percent::decode)
        .collect::<Option<_>>()
        .ok_or_else(|| Problem::malformed("the path is not percent-encoded UTF-8"))?;
    // Neither class names nor ids have a colon; names of files may have one.
    if let Some((last, before)) = segments.split_last()
        && let Some((last, word)) = last.rsplit_once(':')
    {
        let place = named(&[before, &[last.to_owned()]].concat(), classes)?;
        if matches!(place.target, Target::Collection | Target::Entity(_)) {
            return Ok(Place { word: Some(word.to_owned()), ..place });
        }
    }
    named(&segments, classes)
}

fn named(segments: &[String], classes: &[Arc<Class>]) -> Result<Place, Problem> {
    let (class, rest) = class_of(segments, classes)?;
    let target = match rest {
        [] => Target::Collection,
        [id] => Target::Entity(id_of(id)?),
        [id, property] if class.classname == MESSAGES && property == names::TEXT => {
            Target::Text(id_of(id)?)
        }
        [id, test] if class.classname == WEBHOOKS && test == WEBHOOK_TEST => {
            Target::WebhookTest(id_of(id)?)
        }
        [id, tokens] if class.classname == DOMAINS && tokens == DOMAIN_TOKENS => {
            Target::DomainTokens(id_of(id)?)
        }
        [id, property] => {
            let id = id_of(id)?;
            match files_of(&class, property)? {
                (name, true) => Target::FileList(id, name),
                (name, false) => Target::File(id, name, None),
            }
        }
        [id, property, file] => {
            let id = id_of(id)?;
            match files_of(&class, property)? {
                (name, true) => Target::File(id, name, Some(file.clone())),
                (_, false) => {
                    let detail = format!("`{property}` is one file, and has no path below it");
                    return Err(Problem::not_found(detail));
                }
            }
        }
        _ => return Err(Problem::not_found("the path has too many segments")),
    };
    Ok(Place { class, target, word: None })
}

/// The class with the longest name that the path begins with, and the segments after it.
fn class_of<'a>(
    segments: &'a [String],
    classes: &[Arc<Class>],
) -> Result<(Arc<Class>, &'a [String]), Problem> {
    let behind = |class: &Arc<Class>| {
        let mut rest = segments.iter();
        let same = class.classname.split('/').all(|word| rest.next().is_some_and(|s| s == word));
        same.then(|| (Arc::clone(class), rest.as_slice()))
    };
    let found = classes.iter().filter_map(behind);
    found.min_by_key(|(_, rest)| rest.len()).ok_or_else(|| {
        Problem::not_found("no class of that name; /rest/v1/design/classes lists those that exist")
    })
}

fn id_of(segment: &str) -> Result<EntityId, Problem> {
    // Only the canonical form of an id counts, so that an entity has one path.
    let id = segment.parse::<EntityId>().ok();
    id.filter(|_| segment.len() == 36)
        .ok_or_else(|| Problem::not_found("the path of an entity ends with its id, a UUID"))
}

/// The name of a file property, and whether it holds a list.
fn files_of(class: &Class, segment: &str) -> Result<(String, bool), Problem> {
    if let Some(property) = class.file_property(segment) {
        return Ok((property.name.clone(), property.multi));
    }
    let name = &class.classname;
    let detail = match class.property(segment) {
        Some(_) => format!("`{segment}` of {name} is not a file: read it in the entity"),
        None => format!("{name} has no property `{segment}` that holds files"),
    };
    Err(Problem::not_found(detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;

    const ID: &str = "018f0000-0000-7000-8000-000000000000";

    #[test]
    fn a_colon_names_a_verb_but_not_in_names_of_files() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let word = |path: &str| find(path, &classes).map(|place| place.word).ok();
        #[rustfmt::skip]
        let table = [
            ("email/Messages:redecompose".to_owned(),    Some(Some("redecompose"))),
            ("email/Messages%3Aredecompose".to_owned(),  Some(Some("redecompose"))),
            (format!("email/Messages/{ID}:x:y"),         None),
            (format!("email/Messages/{ID}:"),            Some(Some(""))),
            (format!("email/Messages/{ID}/file:x"),      None),
            (format!("email/Messages/{ID}/file/a:b"),    Some(None)),
            ("email/Nothing:redecompose".to_owned(),     None),
        ];
        for (path, want) in table {
            assert_eq!(word(&path), want.map(|word| word.map(str::to_owned)), "{path}");
        }
    }

    fn look(path: &str) -> Result<(String, Target), String> {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        match find(path, &classes) {
            Ok(place) => Ok((place.class.classname.clone(), place.target)),
            Err(problem) => Err(problem.status().as_u16().to_string()),
        }
    }

    #[test]
    fn paths_name_places() {
        let id: EntityId = ID.parse().unwrap();
        let file = || "file".to_owned();
        #[rustfmt::skip]
        let table = [
            ("email/Messages".to_owned(),                     "email/Messages", Target::Collection),
            ("email/Profiles".to_owned(),                     "email/Profiles", Target::Collection),
            ("email%2FProfiles".replace("%2F", "/"),          "email/Profiles", Target::Collection),
            (format!("email/Accounts/{ID}"),                  "email/Accounts", Target::Entity(id)),
            (format!("email/Messages/{}", ID.to_uppercase()), "email/Messages", Target::Entity(id)),
            (format!("email/Messages/{ID}/file"),             "email/Messages", Target::FileList(id, file())),
            (format!("email/Messages/{ID}/attachments"),      "email/Messages", Target::FileList(id, file())),
            (format!("email/Messages/{ID}/inlines"),          "email/Messages", Target::FileList(id, "inlines".to_owned())),
            (format!("email/Messages/{ID}/html"),             "email/Messages", Target::File(id, "html".to_owned(), None)),
            (format!("email/Messages/{ID}/text"),             "email/Messages", Target::Text(id)),
            (format!("iam/Domains/{ID}/tokens"),              "iam/Domains", Target::DomainTokens(id)),
            (format!("email/Webhooks/{ID}/test"),             "email/Webhooks", Target::WebhookTest(id)),
            (format!("email/Messages/{ID}/rawMessage"),       "email/Messages", Target::File(id, "rawMessage".to_owned(), None)),
            (format!("email/Messages/{ID}/file/a%2Fb%20%C3%BC.txt"), "email/Messages", Target::File(id, file(), Some("a/b ü.txt".to_owned()))),
        ];
        for (path, class, target) in table {
            assert_eq!(look(&path), Ok((class.to_owned(), target)), "{path}");
        }
    }

    #[test]
    fn what_names_nothing_is_not_found() {
        #[rustfmt::skip]
        let table = [
            ("email".to_owned(),                             "404"),
            ("email/Nothing".to_owned(),                     "404"),
            ("Email/messages".to_owned(),                    "404"),
            ("email/Messages/".to_owned(),                   "404"),
            ("email/Messages/7".to_owned(),                  "404"),
            ("email/Messages/..".to_owned(),                 "404"),
            (format!("email/Messages/{}", ID.replace('-', "")), "404"),
            (format!("email/Messages/{{{ID}}}"),             "404"),
            (format!("email/Messages/{ID}/subject"),         "404"),
            (format!("email/Messages/{ID}/nope"),            "404"),
            (format!("email/Accounts/{ID}/test"),            "404"),
            (format!("email/Accounts/{ID}/file"),            "404"),
            (format!("email/Messages/{ID}/html/x"),          "404"),
            (format!("email/Messages/{ID}/file/x/y"),        "404"),
            (format!("email/Messages/{ID}/file/%FF"),        "400"),
            (format!("email/Messages/{ID}/file/%2"),         "400"),
        ];
        for (path, want) in table {
            assert_eq!(look(&path), Err(want.to_owned()), "{path}");
        }
    }
}

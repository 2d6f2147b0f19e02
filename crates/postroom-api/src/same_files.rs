//! Files in the JSON of a PUT of an existing entity. They must equal those that the entity has.
//!
//! A file is changed by a request of its own. So a large file need not be sent again, and a PUT
//! that does not name a file does not delete it.

use crate::app::Asked;
use crate::enclosed;
use crate::enclosed::Enclosed;
use crate::problem::Problem;
use postroom_engine::content;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_store::EntityPlace;
use postroom_store::FileRow;
use serde_json::Value as Json;

/// Takes the files out of the JSON, and checks that they are those of the entity.
///
/// # Errors
///
/// 422 that says how to change files, for each property whose files differ.
pub(crate) async fn check(asked: &Asked, id: EntityId, json: &mut Json) -> Result<(), Problem> {
    let class = &asked.class;
    // Null says that there are none, as in a new entity.
    let members = json.as_object().into_iter().flatten();
    let named = members.filter_map(|(name, _)| Some((name.clone(), class.file_property(name)?)));
    let named: Vec<_> = named.collect();
    let sent = enclosed::take(class, json)?;
    let mut problems = vec![];
    for (name, property) in named {
        let place = EntityPlace::new(&asked.domain, asked.class.as_ref(), id);
        let stored = asked.app.store.file_list_of(place, &property.name).await?;
        let sent: Vec<_> = sent.iter().filter(|file| file.property == property.name).collect();
        let mut is_same = sent.len() == stored.len();
        for file in sent {
            let present =
                stored.iter().find(|one| file.name.as_ref().is_none_or(|n| *n == one.name));
            is_same = is_same
                && match present {
                    Some(present) => is_equal(asked, file, present).await?,
                    None => false,
                };
        }
        if !is_same {
            let reason = format!(
                "has other files than the entity, and PUT does not replace files: change them at \
                 …/ID/{name}, or leave `{name}` out"
            );
            problems.push(Invalid::new(name, reason));
        }
    }
    if problems.is_empty() { Ok(()) } else { Err(Problem::invalid(problems)) }
}

async fn is_equal(asked: &Asked, sent: &Enclosed, stored: &FileRow) -> Result<bool, Problem> {
    let is_said = |said: &Option<String>, is: Option<&str>| {
        said.as_deref().is_none_or(|said| Some(said) == is)
    };
    if sent.bytes.len() as u64 != stored.size_bytes
        || !is_said(&sent.media_type, Some(&stored.media_type))
        || !is_said(&sent.content_id, stored.content_id.as_deref())
    {
        return Ok(false);
    }
    let mut rest = sent.bytes.as_slice();
    let mut download = content::open(&asked.app.store, stored, None);
    while let Some(piece) = download.next().await? {
        match rest.strip_prefix(piece.as_ref()) {
            Some(behind) => rest = behind,
            None => return Ok(false),
        }
    }
    Ok(rest.is_empty())
}

//! Rows: the entities as an answer shows them. A row has the properties of an entity. If the mask
//! asks for them, it also has the entities to which the entity refers, the descriptions of its
//! files, and who has claimed it.
//!
//! These are read with one query for each reference, one for the files and one for the claims,
//! however many entities a page has.

use postroom_model::CLAIM_FIELDS;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FILES;
use postroom_model::Filter;
use postroom_model::Mask;
use postroom_model::MaskedReference;
use postroom_model::Query;
use postroom_store::Error;
use postroom_store::ListedClaim;
use postroom_store::ListedFile;
use postroom_store::Store;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

/// The running query for the entities to which others refer, by id.
type Referred<'a> =
    Pin<Box<dyn Future<Output = Result<HashMap<EntityId, Json>, Error>> + Send + 'a>>;

/// How many entities are read by their ids at once.
const AT_ONCE: usize = 512;

/// How rows are shown.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    /// The store from which referred entities and files are read.
    pub store: Store,
    /// The tenant.
    pub domain: Domain,
    /// The class of the entities.
    pub class: Arc<Class>,
    /// The shown fields. `None`: all properties.
    pub mask: Option<Mask>,
    /// Whether objects inside are shown as fields with dotted names.
    pub flat: bool,
}

/// The referred entities and the files of the entities of a page.
#[derive(Debug, Default)]
pub(crate) struct Companions {
    /// For each reference of the mask, the other entities by id.
    others: Vec<HashMap<EntityId, Json>>,
    files: HashMap<EntityId, Vec<ListedFile>>,
    claims: HashMap<EntityId, ListedClaim>,
}

impl Rows {
    /// Reads the referred entities and the files of the entities of a page.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub(crate) async fn companions(&self, entities: &[Entity]) -> Result<Companions, Error> {
        let Some(mask) = &self.mask else {
            return Ok(Companions::default());
        };
        let mut companions = Companions::default();
        for reference in mask.references() {
            companions.others.push(self.others(reference, entities).await?);
        }
        let ids: Vec<_> = entities.iter().map(|entity| entity.id).collect();
        for ids in ids.chunks(AT_ONCE) {
            let (store, domain, class) = (&self.store, &self.domain, &self.class);
            if mask.has_files() {
                companions.files.extend(store.file_page(domain, class, ids).await?);
            }
            if mask.has_claim() {
                companions.claims.extend(store.claim_page(domain, class, ids).await?);
            }
        }
        Ok(companions)
    }

    /// The entities to which a property refers, as they are shown.
    fn others<'a>(
        &'a self,
        reference: &'a MaskedReference,
        entities: &'a [Entity],
    ) -> Referred<'a> {
        Box::pin(async move {
            let ids: BTreeSet<_> = entities
                .iter()
                .flat_map(|entity| ids_of(entity.get(&reference.property)))
                .collect();
            let ids: Vec<_> = ids.into_iter().collect();
            let rows = Self {
                class: Arc::clone(&reference.class),
                mask: Some(reference.mask.clone()),
                flat: false,
                ..self.clone()
            };
            let mut others = HashMap::new();
            for ids in ids.chunks(AT_ONCE) {
                let query = Query {
                    shown: Some(reference.mask.properties()),
                    ..Query::filtered(Filter::of_ids(ids), u32::MAX)
                };
                let found = self.store.entity_list(&self.domain, &rows.class, &query).await?;
                let companions = rows.companions(&found).await?;
                for other in found {
                    others.insert(other.id, rows.row(&other, &companions));
                }
            }
            // An entity that no longer exists is shown with its id alone.
            for id in ids {
                let gone = || rows.row(&Entity::new(id, Map::new()), &Companions::default());
                others.entry(id).or_insert_with(|| without_version(gone()));
            }
            Ok(others)
        })
    }

    /// An entity as it is shown.
    #[must_use]
    pub(crate) fn row(&self, entity: &Entity, companions: &Companions) -> Json {
        let mut row = entity.to_json(&self.class);
        let Some(mask) = &self.mask else {
            return self.flattened(row);
        };
        if let Some(members) = row.as_object_mut() {
            for (at, reference) in mask.references().iter().enumerate() {
                let others = companions.others.get(at);
                let other = |id| others.and_then(|others| others.get(&id)).cloned();
                let value = members.get(&reference.property).cloned().unwrap_or_default();
                let mut shown = ids_of(&value).map(|id| other(id).unwrap_or_default());
                let shown = match value.is_array() {
                    true => Json::Array(shown.collect()),
                    false => shown.next().unwrap_or_default(),
                };
                members.insert(reference.property.clone(), shown);
            }
            if mask.has_files() {
                let files = companions.files.get(&entity.id);
                let files = files.map(|files| files.iter().map(described).collect());
                members.insert(FILES.to_owned(), Json::Array(files.unwrap_or_default()));
            }
            if mask.has_claim() {
                let claim = companions.claims.get(&entity.id).cloned().unwrap_or_default();
                let ListedClaim { by, until, claims } = claim;
                let until = until.map(|until| until.to_string());
                let values = [json!(by), json!(until), json!(claims)];
                let names = CLAIM_FIELDS.into_iter().map(str::to_owned);
                members.extend(names.zip(values));
            }
        }
        self.flattened(mask.apply(&row))
    }

    fn flattened(&self, row: Json) -> Json {
        match row {
            Json::Object(members) if self.flat => {
                let mut flat = Map::new();
                flatten(String::new(), members, &mut flat);
                Json::Object(flat)
            }
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_) => row,
        }
    }

    /// The names of the fields of a row in the order of the mask, each as its path.
    #[must_use]
    pub(crate) fn columns(&self) -> Vec<Vec<String>> {
        if let Some(mask) = &self.mask {
            return mask.columns();
        }
        let shown = self.class.columns().filter(|property| !property.write_only());
        let names = shown.map(|property| property.name.as_str());
        let names = std::iter::once("id").chain(names).chain(["version", "seq"]);
        names.map(|name| vec![name.to_owned()]).collect()
    }
}

/// The ids that the value of a reference holds.
fn ids_of(value: &Json) -> impl Iterator<Item = EntityId> {
    let one = std::iter::once(value).filter(|value| !value.is_array());
    let list = value.as_array().into_iter().flatten();
    one.chain(list).filter_map(|id| id.as_str()?.parse().ok())
}

fn without_version(mut row: Json) -> Json {
    if let Some(version) = row.get_mut("version") {
        *version = Json::Null;
    }
    row
}

fn described(file: &ListedFile) -> Json {
    json!({
        "property": file.property,
        "name": file.name,
        "size": file.size_bytes,
        "contentType": file.media_type,
        "contentId": file.content_id,
    })
}

fn flatten(place: String, members: Map<String, Json>, flat: &mut Map<String, Json>) {
    for (name, value) in members {
        let dot = if place.is_empty() { "" } else { "." };
        let name = format!("{place}{dot}{name}");
        match value {
            Json::Object(members) if !members.is_empty() => flatten(name, members, flat),
            Json::Null
            | Json::Bool(_)
            | Json::Number(_)
            | Json::String(_)
            | Json::Array(_)
            | Json::Object(_) => {
                flat.insert(name, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_become_fields_with_dotted_names() {
        let row = json!({
            "id": "x", "account_id": {"address": "a", "profile_id": {"name": "p"}},
            "recipients": [{"kind": "to"}], "options": {}, "text": null,
        });
        let mut flat = Map::new();
        flatten(String::new(), row.as_object().unwrap().clone(), &mut flat);
        let want = json!({
            "id": "x", "account_id.address": "a", "account_id.profile_id.name": "p",
            "recipients": [{"kind": "to"}], "options": {}, "text": null,
        });
        assert_eq!(Json::Object(flat), want);
    }

    #[test]
    fn a_reference_is_one_id_or_a_list() {
        let [one, two] = [1, 2].map(EntityId::from_u128);
        let of = |value: Json| ids_of(&value).collect::<Vec<_>>();
        assert_eq!(of(json!(one.to_string())), [one]);
        assert_eq!(of(json!([one.to_string(), two.to_string()])), [one, two]);
        assert_eq!(of(json!(null)), []);
        assert_eq!(of(json!([])), []);
    }
}

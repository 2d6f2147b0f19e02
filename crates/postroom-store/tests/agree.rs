//! The databases and the evaluator agree on every filter: random classes, rows and filters.
//!
//! `PROPTEST_RNG_SEED` repeats a run, and `PROPTEST_CASES` says how many classes there are.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

#[path = "opened/directory.rs"]
mod directory;
#[path = "opened/config.rs"]
mod opened;

use postroom_model::Class;
use postroom_model::ClassId;
use postroom_model::DataType;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Property;
use postroom_model::Query;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::created;
use postroom_model::filter;
use postroom_model::filter::Names;
use postroom_model::patched;
use postroom_model::validate;
use postroom_store::*;
use postroom_testkit::on_both;
use proptest::strategy::Strategy;
use proptest::strategy::ValueTree;
use proptest::test_runner::Config;
use proptest::test_runner::RngSeed;
use proptest::test_runner::TestRunner;
use serde_json::Value as Json;
use serde_json::json;
use std::sync::Arc;

const CLASSES: u32 = 30;
const ROWS: usize = 14;
const FILTERS: usize = 80;

/// Names that SQL, or a table of JSON values, has for something else.
const NAMES: [&str; 8] = ["value", "key", "type", "json", "item", "path", "order", "a"];
const TYPES: [&str; 11] = [
    "string", "boolean", "integer", "long", "float", "datetime", "date", "time", "uuid", "enum",
    "any",
];
const ITEMS: [&str; 3] = ["x", "X", "Ж"];
#[rustfmt::skip]
const TEXTS: [&str; 24] = [
    "", "a", "A", "ab", "b", "Привет", "привет", "ПРИВЕТ МИР", "Straße", "STRASSE", "ΟΔΟΣ", "οδος", "100%", "a_b", "é",
    "e\u{301}", "日本", "\\", "'", "\"", "0", "true", "null", "\u{10FFFF}",
];
#[rustfmt::skip]
const PIECES: [&str; 14] = ["", "%", "_", "a%", "%B", "при%", "%СС%", "ss", "%ς", "__", "\\", "%\\%", "'", "100%"];
const MOMENTS: [&str; 5] = [
    "1970-01-01T00:00:00Z",
    "2026-11-23T10:00:00.001Z",
    "2026-11-23T12:00:00.001+02:00",
    "1969-12-31T23:59:59.999Z",
    "2999-01-01T00:00:00Z",
];
const WHOLE: [i64; 9] =
    [0, 1, -1, 5, i32::MAX as i64, i32::MIN as i64, 1 << 53, i64::MAX, i64::MIN];
const FLOATS: [f64; 7] = [0.0, -0.0, 0.1, 1.0, -2.5, 5.000_000_1, 1e9];
const OPERATORS: [&str; 13] = [
    "==",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "in",
    "between",
    "like",
    "startswith",
    "contains",
    "isnull",
    "any",
];

/// Chance, and its seed.
struct Dice(TestRunner, u64);

impl Dice {
    fn below(&mut self, count: usize) -> usize {
        (0..count).new_tree(&mut self.0).unwrap().current()
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }

    fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    fn several<T>(&mut self, max: usize, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(max + 1)).map(|_| one(self)).collect()
    }

    fn property(&mut self, name: &str) -> Json {
        // JSON has the most to go wrong.
        let of_type = if self.chance(3) { "any" } else { self.of(&TYPES) };
        let multi = self.chance(3);
        let items = if of_type == "enum" { json!(ITEMS) } else { json!([]) };
        json!({"name": name, "data_type": of_type, "multi": multi, "items": items})
    }

    fn scalar(&mut self, data_type: DataType) -> Json {
        match data_type {
            DataType::String | DataType::Attachment => json!(self.of(&TEXTS)),
            DataType::Boolean => json!(self.chance(2)),
            DataType::Integer => json!(self.of(&WHOLE[..6])),
            DataType::Long | DataType::Increment => json!(self.of(&WHOLE)),
            DataType::Float => json!(self.of(&FLOATS)),
            DataType::Datetime => json!(self.of(&MOMENTS)),
            DataType::Date => json!(self.of(&["2026-11-23", "1999-01-01"])),
            DataType::Time => json!(self.of(&["10:00:00", "10:00:00.5", "09:00:00"])),
            DataType::Uuid | DataType::Entity => {
                json!(EntityId::from_u128(self.of(&[1, 1 << 127, 7])).to_string())
            }
            DataType::Enum => json!(self.of(&ITEMS)),
            DataType::Any => self.any(2),
        }
    }

    /// Any JSON that a property may have.
    fn any(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 5 } else { 8 }) {
            0 => Json::Null,
            1 => json!(self.chance(2)),
            // As many are 0 or 1 as booleans might be taken for.
            2 if self.chance(2) => json!(self.below(2)),
            2 => json!(self.of(&WHOLE[..7])),
            3 => json!(self.of(&FLOATS)),
            4 => json!(self.of(&TEXTS)),
            5 => Json::Array(self.several(3, |dice| dice.any(depth - 1))),
            _ => {
                let members = self.several(3, |dice| {
                    (dice.of(&["a", "b", "value", "ключ"]).to_owned(), dice.any(depth - 1))
                });
                Json::Object(members.into_iter().collect())
            }
        }
    }

    fn values(&mut self, class: &Class, earlier: &[EntityId]) -> Json {
        let mut values = json!({});
        for property in class.columns().filter(|property| property.name != "other") {
            if self.chance(4) {
                continue;
            }
            let data_type = property.data_type;
            values[&property.name] = match property.multi {
                true => Json::Array(self.several(3, |dice| {
                    loop {
                        let value = dice.scalar(data_type);
                        if data_type == DataType::Any || !value.is_null() {
                            return value;
                        }
                    }
                })),
                false => self.scalar(data_type),
            };
        }
        if !earlier.is_empty() && !self.chance(3) {
            values["other"] = json!(self.of(earlier).to_string());
        }
        values
    }

    fn filter(&mut self, class: &Class, depth: usize) -> Json {
        match self.below(if depth == 0 { 4 } else { 7 }) {
            4 => json!(["not", self.filter(class, depth - 1)]),
            5 | 6 => {
                let mut all = vec![json!(self.of(&["and", "or"]))];
                all.extend(self.several(3, |dice| dice.filter(class, depth - 1)));
                Json::Array(all)
            }
            _ => self.condition(class),
        }
    }

    fn condition(&mut self, class: &Class) -> Json {
        let columns: Vec<&Property> = class.columns().collect();
        let property = self.of(&columns);
        let mut name = property.name.clone();
        if property.data_type == DataType::Any && !self.chance(5) {
            let path = self.several(1, |dice| dice.of(&["a", "b", "value", "ключ"]));
            name = [vec![name.as_str()], vec![self.of(&["a", "b"])], path].concat().join(".");
        }
        for _ in 0..self.below(3) {
            if self.chance(2) {
                name = format!("other.{name}");
            }
        }
        let of = json!(["property", name]);
        let is_list = property.multi || property.data_type == DataType::Any;
        if is_list && self.chance(2) {
            let operator = self.of(&["any", "all"]);
            return json!([operator, of, self.of_item(property.data_type)]);
        }
        self.compared(&of, property.data_type)
    }

    /// A condition on the item of a list.
    fn of_item(&mut self, data_type: DataType) -> Json {
        let member = self.of(&["a", "b", "a.b", "value"]);
        let is_member = data_type == DataType::Any && self.chance(2);
        let of = if is_member { json!(["property", member]) } else { json!(["item"]) };
        let one = if data_type == DataType::Any && self.chance(4) {
            json!([self.of(&["any", "all"]), of, self.compared(&json!(["item"]), data_type)])
        } else {
            self.compared(&of, data_type)
        };
        if self.chance(3) { json!(["not", one]) } else { one }
    }

    fn compared(&mut self, of: &Json, data_type: DataType) -> Json {
        let operator = self.of(&OPERATORS);
        let is_any = data_type == DataType::Any;
        let mut literal = || {
            if self.chance(9) {
                Json::Null
            } else if is_any && self.chance(3) {
                // What is not of one type is compared too.
                json!(self.of(&["0", "1", "5", "true"]))
            } else if is_any {
                self.any(0)
            } else {
                self.scalar(data_type)
            }
        };
        match operator {
            "in" => json!(["in", of, [literal(), literal(), literal()]]),
            "between" => json!(["between", of, literal(), literal()]),
            "isnull" => json!(["isnull", of]),
            "like" | "startswith" => json!([operator, of, self.of(&PIECES)]),
            "any" => json!(["contains", of, literal()]),
            _ => json!([operator, of, literal()]),
        }
    }
}

async fn made(store: &Store, domain: &Domain, class: &Class, dice: &mut Dice) -> Vec<Entity> {
    let mut ids = vec![];
    for _ in 0..ROWS {
        let values = dice.values(class, &ids);
        let checked = validate::create(class, &values).unwrap();
        let entity = Entity::new(store.clock().new_id(), checked.properties);
        ids.push(entity.id);
        let new = vec![NewEntity { entity, files: vec![] }];
        store.entity_create(domain, class, new).await.unwrap();
    }
    store.entity_list(domain, class, &Query::default()).await.unwrap()
}

/// The rows of a class in a domain.
struct Rows<'a> {
    store: &'a Store,
    domain: &'a Domain,
    class: &'a Class,
    all: &'a Classes,
}

impl Rows<'_> {
    /// Asks with filters about the properties of `about`. Gives how many were asked, and how many
    /// of them found some of the rows.
    async fn agree(&self, entities: &[Entity], about: &Class, dice: &mut Dice) -> (usize, usize) {
        let Rows { store, domain, class, all } = *self;
        let (mut read, mut found_some) = (0, 0);
        for _ in 0..FILTERS {
            let json = dice.filter(about, 2);
            let Ok(filter) = filter::parse(Names::among(class, all), &json) else {
                continue;
            };
            let referred = |_: &filter::Through, id: EntityId| {
                entities.iter().find(|entity| entity.id == id).cloned()
            };
            let wanted: Vec<_> =
                entities.iter().filter(|one| filter::matches(&filter, one, &referred)).collect();
            let query = Query { filter: Some(filter.clone()), ..Query::default() };
            let found = store.entity_list(domain, class, &query).await;
            let seed = dice.1;
            assert!(found.is_ok(), "seed {seed}: {json}: {found:?}");
            let found = found.unwrap();
            let only = |these: &[&Entity], others: &[&Entity]| -> Vec<String> {
                let there =
                    these.iter().filter(|one| !others.iter().any(|other| other.id == one.id));
                there.map(|one| one.to_json(class).to_string()).collect()
            };
            let found: Vec<_> = found.iter().collect();
            assert_eq!(
                (only(&found, &wanted), only(&wanted, &found)),
                (vec![], vec![]),
                "seed {seed}: {json}\nthe database alone has the first, the evaluator the second"
            );
            read += 1;
            found_some += usize::from(!wanted.is_empty() && wanted.len() < ROWS);
        }
        (read, found_some)
    }
}

/// Chance, and how many classes it makes.
fn dice(store: &Store) -> (Dice, u32) {
    let mut config = Config::default();
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => {
            u64::from_be_bytes(store.clock().new_id().uuid().as_bytes()[8..].try_into().unwrap())
        }
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let classes = if config.cases == 256 { CLASSES } else { config.cases };
    (Dice(TestRunner::new(config), seed), classes)
}

/// Properties that domains add, under the same names, with types of their own.
#[on_both]
async fn they_agree_on_the_properties_that_domains_add_to_one_class() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory::open(directory.path(), "a").await.unwrap();
    let (mut dice, count) = dice(&store);
    let (mut read, mut found_some) = (0, 0);
    for number in 0..count.div_ceil(3) {
        let domain = Domain::new(&format!("d{number}")).unwrap();
        let former = store.classes();
        let before = former.of(&domain).get(PROFILES).unwrap().extended();
        let mut properties: Vec<_> = NAMES.iter().map(|name| dice.property(name)).collect();
        let id = before.id.to_string();
        properties.push(json!({"name": "other", "data_type": "entity", "idclass": id}));
        let change = patched(&before, &json!({"properties": properties})).unwrap();
        let all = store.class_extend(&domain, &former, change, None).await.unwrap().of(&domain);
        let class = Arc::clone(all.get(PROFILES).unwrap());
        let mut added = class.as_ref().clone();
        added.properties.retain(|property| property.column.is_some());
        let mut ids = vec![];
        for _ in 0..ROWS {
            let mut values = dice.values(&added, &ids);
            values["name"] = json!("p");
            let checked = validate::create(&class, &values).unwrap();
            let entity = Entity::new(store.clock().new_id(), checked.properties);
            ids.push(entity.id);
            let new = vec![NewEntity { entity, files: vec![] }];
            store.entity_create(&domain, &class, new).await.unwrap();
        }
        let entities = store.entity_list(&domain, &class, &Query::default()).await.unwrap();
        assert_eq!(entities.len(), ROWS);
        let rows = Rows { store: &store, domain: &domain, class: &class, all: &all };
        let (these, some) = rows.agree(&entities, &added, &mut dice).await;
        read += these;
        found_some += some;
    }
    let asked = FILTERS * usize::try_from(count.div_ceil(3)).unwrap();
    assert!(read * 3 > asked && found_some * 8 > read, "{found_some} of {read} of {asked}");
}

#[on_both]
async fn the_database_and_the_evaluator_agree_on_every_filter() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory::open(directory.path(), "a").await.unwrap();
    let domain = Domain::default_domain();
    let (mut dice, classes) = dice(&store);
    let (mut read, mut found_some) = (0, 0);
    for number in 0..classes {
        let id = store.clock().new_id();
        let mut properties: Vec<_> = NAMES.iter().map(|name| dice.property(name)).collect();
        let of_its_own = json!({"name": "other", "data_type": "entity", "idclass": id.to_string()});
        properties.push(of_its_own);
        let name = format!("t/Class{number}");
        let form = json!({"id": id.to_string(), "classname": name, "properties": properties});
        let class = created(&form, ClassId::nil()).unwrap();
        let all = store.class_create(&store.classes(), class).await.unwrap();
        let class = Arc::clone(all.get(&name).unwrap());
        let entities = made(&store, &domain, &class, &mut dice).await;
        assert_eq!(entities.len(), ROWS);
        let rows = Rows { store: &store, domain: &domain, class: &class, all: &all };
        let (these, some) = rows.agree(&entities, &class, &mut dice).await;
        read += these;
        found_some += some;
    }
    let asked = FILTERS * usize::try_from(classes).unwrap();
    assert!(read * 3 > asked && found_some * 8 > read, "{found_some} of {read} of {asked}");
}

#[on_both]
async fn filters_as_large_as_they_may_be_are_answered() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory::open(directory.path(), "a").await.unwrap();
    let (domain, class) = (Domain::default_domain(), store.class(MESSAGES).unwrap());
    let subject = json!(["property", "subject"]);
    let one = |operator: &str, of: &Json| json!([operator, of, "x"]);
    let several = |operator: &str, count: usize, one: &Json| {
        Json::Array([vec![json!(operator)], vec![one.clone(); count]].concat())
    };
    let far = json!(["property", format!("recipients{}", ".a".repeat(15))]);
    let mut deep = one("==", &far);
    for level in 0..31 {
        deep = match level % 3 {
            0 => json!(["not", deep]),
            1 => several("or", 1, &deep),
            _ => json!(["any", ["property", "a"], deep]),
        };
    }
    let deep = json!(["any", ["property", "recipients"], deep[1]]);
    let mut steps = one("like", &subject);
    for _ in 0..31 {
        let mut level = several("or", 31, &one("like", &subject));
        level[1] = steps;
        steps = level;
    }
    let values: Vec<_> = (0..1000).map(|n| n.to_string()).collect();
    #[rustfmt::skip]
    let table = [
        several("or", 999, &one("==", &subject)),
        several("and", 999, &one("!=", &subject)),
        several("or", 60, &one("==", &far)),
        several("or", 499, &one("==", &json!(["property", "recipients.a"]))),
        several("or", 499, &json!(["not", one("like", &subject)])),
        several("or", 10, &json!(["in", far, values])),
        deep, steps,
    ];
    for (number, json) in table.into_iter().enumerate() {
        let filter = filter::parse(&class, &json);
        let filter = filter.unwrap_or_else(|invalid| panic!("{invalid}"));
        let query = Query { filter: Some(filter), ..Query::default() };
        let found = store.entity_list(&domain, &class, &query).await;
        assert!(found.unwrap_or_else(|error| panic!("{number}: {error:?}")).is_empty());
    }
}

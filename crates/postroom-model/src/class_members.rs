//! The members of a JSON object that describes a class or a property: each is read by its type, and
//! what is wrong is noted with its place.

use crate::class::StorageMode;
use crate::invalid::Invalid;
use crate::limits::PROBLEMS_MAX;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value as Json;

/// Reads the members of an object, and notes what is wrong with them.
pub(crate) struct Members<'a> {
    members: &'a Map<String, Json>,
    place: &'a str,
    /// What is wrong with them.
    pub problems: Vec<Invalid>,
}

impl<'a> Members<'a> {
    pub(crate) fn of(json: &'a Json, place: &'a str, keys: &[&str]) -> Result<Self, Vec<Invalid>> {
        let members = json.as_object();
        let members =
            members.ok_or_else(|| vec![Invalid::new(place, "takes a JSON object: a class")])?;
        Ok(Self::of_members(members, place, keys))
    }

    pub(crate) fn of_members(
        members: &'a Map<String, Json>,
        place: &'a str,
        keys: &[&str],
    ) -> Self {
        let mut read = Self { members, place, problems: vec![] };
        for name in members.keys().filter(|name| !keys.contains(&name.as_str())) {
            if read.problems.len() <= PROBLEMS_MAX {
                let reason = format!("there is no such key; there are {}", keys.join(", "));
                read.wrong(name, &reason);
            }
        }
        read
    }

    /// Whether a member is there, and not this.
    pub(crate) fn has_other(&self, name: &str, present: &Json) -> bool {
        self.members.get(name).is_some_and(|sent| sent != present)
    }

    pub(crate) fn wrong(&mut self, name: &str, reason: &str) {
        let name = if name.is_empty() { "\"\"" } else { name };
        let dot = if self.place.is_empty() { "" } else { "." };
        self.problems.push(Invalid::new(format!("{}{dot}{name}", self.place), reason));
    }

    /// A member of a type. `None`: it is not there, null, or of another type, which is noted.
    pub(crate) fn member<T: DeserializeOwned>(&mut self, name: &str, takes: &str) -> Option<T> {
        let value = self.members.get(name).filter(|value| !value.is_null())?;
        let read = T::deserialize(value).ok();
        if read.is_none() {
            self.wrong(name, &format!("takes {takes}"));
        }
        read
    }

    pub(crate) fn text(&mut self, name: &str) -> Option<String> {
        self.member(name, "a text")
    }

    pub(crate) fn object(&mut self, name: &str) -> Option<Map<String, Json>> {
        self.member(name, "a JSON object")
    }

    pub(crate) fn mode(&mut self) -> Option<StorageMode> {
        self.member("storage_mode", "category or history")
    }

    /// The properties that are sent, each with its place.
    pub(crate) fn properties(&mut self) -> Vec<(String, Map<String, Json>)> {
        let list: Vec<Json> = self.member("properties", "a list of properties").unwrap_or_default();
        let mut properties = vec![];
        for (at, property) in list.into_iter().enumerate() {
            let place = format!("properties[{at}]");
            if let Json::Object(members) = property {
                properties.push((place, members));
            } else {
                self.wrong(&place, "takes a JSON object: a property");
            }
        }
        properties
    }

    /// What was read, if nothing is wrong with it.
    pub(crate) fn done<T>(self, read: T) -> Result<T, Vec<Invalid>> {
        if self.problems.is_empty() { Ok(read) } else { Err(self.problems) }
    }
}

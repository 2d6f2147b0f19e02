//! What a node tells of itself, beside its place in the group. Its row has it as JSON, so a later
//! release may tell more.

use postroom_model::InstanceRest;
use postroom_model::InstanceRole;
use serde_json::Value as Json;
use serde_json::json;

/// What a node tells of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeDetails {
    /// Why it rests. `None`: it does not.
    pub rest: Option<InstanceRest>,
    /// The network interface that the configuration names.
    pub iface: Option<String>,
    /// Where its REST interface listens, as `ADDRESS:PORT`.
    pub addresses: Vec<String>,
    /// The network interfaces of its host. `None`: it does not tell them.
    pub interfaces: Option<Vec<String>>,
    /// The number of the version of the configuration that is in force there.
    pub configuration: Option<i64>,
    /// What is wrong, and what to do, for people. `None`: nothing is.
    pub status_text: Option<String>,
}

impl NodeDetails {
    /// As the row has it. `role` is what the node does when it does not rest.
    pub(crate) fn to_json(&self, role: InstanceRole) -> Json {
        json!({
            "role": role.as_str(),
            "rests": self.rest.map(InstanceRest::as_str),
            "iface": self.iface,
            "addresses": self.addresses,
            "interfaces": self.interfaces,
            "configuration": self.configuration,
            "statusText": self.status_text,
        })
    }

    /// From a row, with the role. What is not known is as if it were not said.
    pub(crate) fn from_text(text: Option<&str>) -> (Self, Option<String>) {
        let json: Json = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        let word = |name: &str| json.get(name).and_then(Json::as_str).map(str::to_owned);
        let words = |name: &str| -> Option<Vec<String>> {
            let all = json.get(name)?.as_array()?.iter();
            Some(all.filter_map(Json::as_str).map(str::to_owned).collect())
        };
        let rests = word("rests");
        let details = Self {
            rest: InstanceRest::ALL
                .into_iter()
                .find(|rest| Some(rest.as_str()) == rests.as_deref()),
            iface: word("iface"),
            addresses: words("addresses").unwrap_or_default(),
            interfaces: words("interfaces"),
            configuration: json.get("configuration").and_then(Json::as_i64),
            status_text: word("statusText"),
        };
        (details, word("role"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_read_again_and_what_is_odd_is_nothing() {
        let told = NodeDetails {
            rest: Some(InstanceRest::Disabled),
            iface: Some("eth0".to_owned()),
            addresses: vec!["10.0.0.1:80".to_owned()],
            interfaces: Some(vec!["eth0".to_owned(), "lo".to_owned()]),
            configuration: Some(7),
            status_text: Some("x".to_owned()),
        };
        let text = told.to_json(InstanceRole::Api).to_string();
        assert_eq!(NodeDetails::from_text(Some(&text)), (told, Some("api".to_owned())));
        for odd in [None, Some("{"), Some("5"), Some(r#"{"rests": "later", "addresses": 5}"#)] {
            assert_eq!(NodeDetails::from_text(odd), (NodeDetails::default(), None), "{odd:?}");
        }
    }
}

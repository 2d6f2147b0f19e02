//! What the IMAP command ID tells a server about us.
//!
//! Standards: RFC 2971 §3.3.

use serde_json::Value as Json;

const FIELDS_MAX: usize = 30;
const FIELD_BYTES_MAX: usize = 30;
const VALUE_BYTES_MAX: usize = 1024;

/// A field of ID with its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientIdField {
    /// Its name, such as `name` or `support-url`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// Reads the value of `clientId`.
///
/// # Errors
///
/// What it takes instead, for people.
pub fn parse(value: &Json) -> Result<Vec<ClientIdField>, String> {
    let form = || "takes a JSON object of texts, such as {\"name\": \"Mail of ACME\"}".to_owned();
    let fields = value.as_object().ok_or_else(form)?;
    if fields.len() > FIELDS_MAX {
        return Err(format!("takes at most {FIELDS_MAX} fields"));
    }
    let is_plain = |text: &str| !text.chars().any(char::is_control);
    let field = |(name, text): (&String, &Json)| {
        let text = text.as_str().ok_or_else(form)?;
        if name.is_empty() || name.len() > FIELD_BYTES_MAX || !is_plain(name) {
            return Err(format!(
                "takes names of fields from 1 to {FIELD_BYTES_MAX} bytes without control characters"
            ));
        }
        if text.len() > VALUE_BYTES_MAX || !is_plain(text) {
            return Err(format!(
                "takes texts up to {VALUE_BYTES_MAX} bytes without control characters; `{name}` \
                 is another"
            ));
        }
        Ok(ClientIdField { name: name.clone(), text: text.to_owned() })
    };
    fields.iter().map(field).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_are_texts_of_the_lengths_of_the_standard() {
        let field =
            |name: &str, text: &str| ClientIdField { name: name.to_owned(), text: text.to_owned() };
        let two = json!({"name": "Mail of ACME", "version": ""});
        assert_eq!(parse(&two), Ok(vec![field("name", "Mail of ACME"), field("version", "")]));
        assert_eq!(parse(&json!({})), Ok(vec![]));
        let many: serde_json::Map<_, _> = (0..31).map(|n| (n.to_string(), json!(""))).collect();
        #[rustfmt::skip]
        let table = [
            (json!("Postroom"),               "takes a JSON object of texts"),
            (json!({"name": 1}),              "takes a JSON object of texts"),
            (json!({"": "x"}),                "takes names of fields from 1 to 30 bytes"),
            (json!({"n".repeat(31): "x"}),    "takes names of fields from 1 to 30 bytes"),
            (json!({"name": "a\r\nb"}),       "takes texts up to 1024 bytes without control"),
            (json!({"name": "x".repeat(1025)}), "takes texts up to 1024 bytes"),
            (json!(many),                     "takes at most 30 fields"),
        ];
        for (value, want) in table {
            let problem = parse(&value).unwrap_err();
            assert!(problem.starts_with(want), "{value}: {problem}");
        }
    }
}

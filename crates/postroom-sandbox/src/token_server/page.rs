//! The page where a user consents, and where the browser goes from there.
//!
//! Standards: RFC 6749 §4.1.1 and §4.1.2, RFC 7636 §4.3.

use crate::token_server::form::encoded;
use crate::token_server::form::escaped;
use std::collections::HashMap;
use std::fmt::Write;

/// What is asked for on the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AskedConsent {
    /// The app that asks.
    pub client_id: String,
    /// Where the browser goes from here.
    pub redirect_uri: String,
    /// What the app wants back.
    pub state: String,
    /// The hash of the verifier, which the app shows with the code.
    pub challenge: String,
}

impl AskedConsent {
    /// Reads the parameters of the page.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub(crate) fn of(fields: &HashMap<String, String>) -> Result<Self, &'static str> {
        let field = |name: &str| fields.get(name).cloned().unwrap_or_default();
        if field("response_type") != "code" {
            return Err("response_type must be code");
        }
        if field("code_challenge_method") != "S256" || field("code_challenge").is_empty() {
            return Err("a code_challenge of the method S256 is required");
        }
        let redirect_uri = field("redirect_uri");
        let is_url = redirect_uri.starts_with("http://") || redirect_uri.starts_with("https://");
        if !is_url || !redirect_uri.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("redirect_uri must be an http URL");
        }
        Ok(Self {
            client_id: field("client_id"),
            redirect_uri,
            state: field("state"),
            challenge: field("code_challenge"),
        })
    }

    /// The page, where this user is filled in. Its one button consents.
    pub(crate) fn page(&self, user: &str) -> String {
        let mut hidden = String::new();
        let fields = [
            ("response_type", "code"),
            ("code_challenge_method", "S256"),
            ("client_id", &self.client_id),
            ("redirect_uri", &self.redirect_uri),
            ("state", &self.state),
            ("code_challenge", &self.challenge),
        ];
        for (name, value) in fields {
            let value = escaped(value);
            // Writing into a text cannot fail.
            let _ = writeln!(hidden, "<input type=\"hidden\" name=\"{name}\" value=\"{value}\">");
        }
        include_str!("page.html")
            .replace("{hidden}", &hidden)
            .replace("{client}", &escaped(&self.client_id))
            .replace("{user}", &escaped(user))
    }

    /// Where the browser goes with this answer.
    pub(crate) fn back(&self, name: &str, value: &str) -> String {
        let joint = if self.redirect_uri.contains('?') { '&' } else { '?' };
        let (value, state) = (encoded(value), encoded(&self.state));
        format!("{}{joint}{name}={value}&state={state}", self.redirect_uri)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(redirect_uri: &str, method: &str) -> HashMap<String, String> {
        let all = [
            ("response_type", "code"),
            ("client_id", "<b>"),
            ("redirect_uri", redirect_uri),
            ("state", "s&\""),
            ("code_challenge", "c"),
            ("code_challenge_method", method),
        ];
        all.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }

    #[test]
    fn a_page_needs_a_challenge_and_a_url_to_go_to() {
        let asked = AskedConsent::of(&fields("http://a.test/cb?x=1", "S256")).unwrap();
        assert_eq!(asked.back("code", "a b"), "http://a.test/cb?x=1&code=a%20b&state=s%26%22");
        let page = asked.page("anna@a.test");
        assert!(page.contains("&lt;b&gt;") && page.contains("value=\"s&amp;&quot;\""), "{page}");
        assert!(page.contains("anna@a.test"));
        for (uri, method) in
            [("http://a.test/", "plain"), ("a.test", "S256"), ("http://a\r\n", "S256")]
        {
            AskedConsent::of(&fields(uri, method)).unwrap_err();
        }
    }
}

//! Alerts: texts of a mail server that a person must see (RFC 3501 §7.1).

use crate::account::Account;
use crate::journal;
use std::collections::VecDeque;

/// How many texts are remembered as logged.
const LOGGED_MAX: usize = 32;
/// How many texts the account shows.
const SHOWN_MAX: usize = 3;

/// The alerts of an account's IMAP server. Servers repeat them at each login, so each is logged
/// once.
#[derive(Debug, Default)]
pub(crate) struct Alerts {
    /// The alerts of the present connection.
    shown: Vec<String>,
    logged: VecDeque<String>,
}

impl Alerts {
    /// Takes what was said on the present connection.
    pub(crate) fn hear(&mut self, account: &Account, alerts: Vec<String>) {
        for text in alerts {
            if !self.logged.contains(&text) {
                let (address, said) = (journal::short(&account.address), journal::short(&text));
                tracing::warn!(account = address, text = said, "the mail server has a message");
                self.logged.truncate(LOGGED_MAX - 1);
                self.logged.push_front(text.clone());
            }
            if self.shown.len() < SHOWN_MAX && !self.shown.contains(&text) {
                self.shown.push(text);
            }
        }
    }

    /// Notes a new connection. An alert that its server does not repeat is over.
    pub(crate) fn begin(&mut self) {
        self.shown.clear();
    }

    /// What the account shows while all is well.
    #[must_use]
    pub(crate) fn shown(&self) -> String {
        if self.shown.is_empty() {
            return String::new();
        }
        format!("mail is received; the mail server says: {}", self.shown.join(" | "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_account_shows_a_few_texts_of_its_connection_each_once() {
        let (account, mut alerts) = (fixture::account(&["INBOX"]), Alerts::default());
        assert_eq!(alerts.shown(), "");
        alerts.hear(&account, texts(&["one", "two", "one"]));
        alerts.hear(&account, texts(&["two", "three", "four"]));
        let shown = "mail is received; the mail server says: one | two | three";
        assert_eq!(alerts.shown(), shown);
        // What the next connection does not repeat is over.
        alerts.begin();
        assert_eq!(alerts.shown(), "");
        alerts.hear(&account, texts(&["four"]));
        assert_eq!(alerts.shown(), "mail is received; the mail server says: four");
    }

    #[test]
    fn a_server_that_says_ever_new_texts_is_remembered_within_a_limit() {
        let (account, mut alerts) = (fixture::account(&["INBOX"]), Alerts::default());
        for number in 0..1_000 {
            alerts.hear(&account, vec![format!("{number}")]);
        }
        assert_eq!(alerts.logged.len(), LOGGED_MAX);
        assert_eq!(alerts.logged.front().map(String::as_str), Some("999"));
        assert_eq!(alerts.shown.len(), SHOWN_MAX);
    }
}

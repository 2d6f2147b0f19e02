//! What a server offers in its answer to EHLO.
//!
//! Standards: RFC 5321 §4.1.1.1, RFC 9422; the old form `AUTH=LOGIN` is understood too.

use crate::reply::Reply;

/// The extensions that a server offers; empty after HELO.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Extensions {
    /// STARTTLS (RFC 3207).
    pub start_tls: bool,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// SIZE (RFC 1870): whether it is offered, and the largest message in bytes when it says so.
    pub size: Option<Option<u64>>,
    /// Mechanisms of AUTH (RFC 4954), in upper case.
    pub auth: Vec<String>,
    /// How many RCPT a transaction may have, at least 1 (RCPTMAX of RFC 9422 §4.2). `None`: the
    /// server does not say it.
    pub rcpt_max: Option<u32>,
    /// How many MAIL a session may have, at least 1 (MAILMAX of RFC 9422 §4.1). `None`: as above.
    pub mail_max: Option<u32>,
}

impl Extensions {
    /// Reads the answer to EHLO. The first line is the greeting.
    #[must_use]
    pub fn from_reply(reply: &Reply) -> Self {
        let mut found = Self::default();
        for line in reply.lines.iter().skip(1) {
            found.add(&line.to_ascii_uppercase());
        }
        found
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split([' ', '\t']).filter(|word| !word.is_empty());
        let keyword = words.next().unwrap_or_default();
        match keyword {
            "STARTTLS" => self.start_tls = true,
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtp_utf8 = true,
            "SIZE" => {
                let bytes = words.next().and_then(|number| number.parse().ok());
                self.size = Some(bytes.filter(|bytes| *bytes > 0));
            }
            "AUTH" => self.add_mechanisms(words),
            "LIMITS" => words.for_each(|word| self.add_limit(word)),
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.add_mechanisms(std::iter::once(first).chain(words));
                }
            }
        }
    }

    /// A limit that is no number, or that would forbid everything, is none.
    fn add_limit(&mut self, word: &str) {
        let Some((name, number)) = word.split_once('=') else {
            return;
        };
        let max = number.parse().ok().filter(|max| *max > 0);
        match name {
            "RCPTMAX" => self.rcpt_max = max,
            "MAILMAX" => self.mail_max = max,
            _ => {}
        }
    }

    fn add_mechanisms<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words {
            if !word.is_empty() && !self.auth.iter().any(|known| known == word) {
                self.auth.push(word.to_owned());
            }
        }
    }

    /// Whether any mechanism of AUTH is offered.
    #[must_use]
    pub fn offers_auth(&self) -> bool {
        !self.auth.is_empty()
    }

    /// Whether a mechanism of AUTH is offered; `mechanism` in upper case.
    #[must_use]
    pub fn offers(&self, mechanism: &str) -> bool {
        self.auth.iter().any(|known| known == mechanism)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_ehlo() {
        let lines =
            ["mx greets you", "size 1000", "AUTH=LOGIN", "AUTH PLAIN LOGIN", "8bitmime", "X"];
        let lines = lines.map(str::to_owned).to_vec();
        let found = Extensions::from_reply(&Reply {
            code: 250,
            has_code: true,
            is_mixed: false,
            enhanced: None,
            lines,
        });
        assert_eq!(found.size, Some(Some(1000)));
        assert_eq!(found.auth, ["LOGIN", "PLAIN"]);
        assert!(found.eight_bit_mime && !found.pipelining && found.offers("PLAIN"));
        assert_eq!((found.rcpt_max, found.mail_max), (None, None));
    }

    #[test]
    fn limits_are_positive_numbers() {
        #[rustfmt::skip]
        let table = [
            // line,                                     RCPTMAX,   MAILMAX
            ("LIMITS RCPTMAX=20 MAILMAX=5",              Some(20),  Some(5)),
            ("limits mailmax=1",                         None,      Some(1)),
            ("LIMITS RCPTDOMAINMAX=3 RCPTMAX=7 NEW",     Some(7),   None),
            ("LIMITS RCPTMAX=0 MAILMAX=-1",              None,      None),
            ("LIMITS RCPTMAX=many MAILMAX=",             None,      None),
            ("LIMITS",                                   None,      None),
        ];
        for (line, rcpt_max, mail_max) in table {
            let mut found = Extensions::default();
            found.add(&line.to_ascii_uppercase());
            assert_eq!((found.rcpt_max, found.mail_max), (rcpt_max, mail_max), "{line}");
        }
    }
}

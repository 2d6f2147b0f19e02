//! Blame: whether a refusal for good is certainly about the sender's address, one recipient, or one
//! text. All others may be about the account, in words that nobody knows.
//!
//! Standards: RFC 3463 §3.2 to §3.7.

use crate::reply::Reply;
use crate::reply::ReplyCollector;
use crate::reply::ReplyProgress;

/// Words for the address of the sender.
const SENDER_ADDRESS_WORDS: [&str; 21] = [
    "sender address",
    "sender rejected",
    "sender denied",
    "sender refused",
    "sender unknown",
    "sender not",
    "sender is not",
    "sender verif",
    "sender domain",
    "invalid sender",
    "bad sender",
    "unknown sender",
    "envelope sender",
    "envelope from",
    "from address",
    "return path",
    "return-path",
    "reverse path",
    "reverse-path",
    "send as ",
    "sendasdenied",
];

/// Words for an address that does not exist, and for a mailbox that is full.
const ADDRESS_WORDS: [&str; 23] = [
    "no such",
    "user unknown",
    "unknown user",
    "recipient unknown",
    "unknown recipient",
    "address unknown",
    "unknown address",
    "unknown local",
    "not exist",
    "doesn't exist",
    "no mailbox",
    "mailbox not found",
    "user not found",
    "recipient not found",
    "address not found",
    "domain not found",
    "host not found",
    "invalid recipient",
    "invalid mailbox",
    "unrouteable",
    "unroutable",
    "mailbox full",
    "mailbox is full",
];

/// Words for what a text is refused for.
const TEXT_WORDS: [&str; 10] = [
    "spam",
    "virus",
    "malware",
    "phishing",
    "content",
    "attachment",
    "links",
    " hops",
    "hop count",
    "line too long",
];

/// Words for the size of a message.
const SIZE_WORDS: [&str; 3] = ["size", "too large", "too big"];

/// How many letters of a wording are compared.
const WORDING_MAX: usize = 1000;

impl Reply {
    /// Whether it refuses the address of the sender for good, so that no recipient would help.
    #[must_use]
    pub fn refuses_sender_address(&self) -> bool {
        let is_by_code = matches!(self.enhanced, Some((5, 1, 7 | 8)));
        let is_by_words = self.says_any(&SENDER_ADDRESS_WORDS)
            || (self.code == 553 && self.says_any(&["sender"]));
        self.is_permanent() && (is_by_code || is_by_words) && !self.is_for_some()
    }

    /// Whether it is certainly about the recipient that it answers, or about the number of them.
    #[must_use]
    pub fn is_of_recipient(&self) -> bool {
        match self.enhanced {
            Some((_, 2, 1..) | (_, 3, 4) | (_, 4, 1 | 4 | 6)) => true,
            Some(_) | None => {
                self.is_of_address() || self.says_any(&ADDRESS_WORDS) || self.says_too_many()
            }
        }
    }

    /// Whether it is certainly about the text that it answers, or about who gets it. Words that
    /// speak of the account too may be about all texts.
    #[must_use]
    pub fn is_of_text(&self) -> bool {
        match self.enhanced {
            Some((_, 4, 6) | (_, 6, _)) => true,
            Some(_) | None => {
                let by_words = self.says_any(&TEXT_WORDS) && !self.says_any(&["account"]);
                self.is_of_address() || self.is_of_size() || by_words || self.says_too_many()
            }
        }
    }

    /// Whether it is certainly about the parameters of a message: its size, or its kind of text.
    #[must_use]
    pub fn is_of_parameters(&self) -> bool {
        matches!(self.enhanced, Some((_, 6, _))) || self.is_of_size()
    }

    fn is_of_address(&self) -> bool {
        // 5.1.7 and 5.1.8 are about the sender, and 5.1.90 is about a day.
        matches!(self.enhanced, Some((_, 1, 0..=6 | 9..90)))
    }

    fn is_of_size(&self) -> bool {
        matches!(self.enhanced, Some((_, 3, 4) | (_, 2, 3))) || self.says_any(&SIZE_WORDS)
    }

    /// Its codes and words without what differs from message to message: addresses, numbers, ids,
    /// and names of hosts.
    #[must_use]
    pub fn wording(&self) -> String {
        let (class, subject, detail) = self.enhanced.unwrap_or_default();
        let mut wording = format!("{} {class}.{subject}.{detail}", self.code);
        let words = self.lines.iter().flat_map(|line| line.split_whitespace());
        for word in words.filter_map(same_word) {
            if wording.len() + word.len() >= WORDING_MAX {
                break;
            }
            wording.push(' ');
            wording.push_str(&word);
        }
        wording
    }
}

/// The wording of a reply that was written as text. `None`: it is none.
#[must_use]
pub fn wording_of(text: &str) -> Option<String> {
    match ReplyCollector::default().push(text.as_bytes()) {
        Ok(ReplyProgress::Whole(reply)) => Some(reply.wording()),
        Ok(ReplyProgress::More | ReplyProgress::Cut(_)) | Err(_) => None,
    }
}

/// A word in small letters. `None`: it may be another one in the same reply to another message.
fn same_word(word: &str) -> Option<String> {
    let word = word.trim_matches(|one: char| !one.is_alphanumeric());
    let is_inner = |one: char| one.is_alphabetic() || matches!(one, '-' | '\'' | '’');
    let mut letters = word.chars().skip_while(|one| one.is_uppercase());
    let is_id = letters.any(char::is_uppercase);
    if word.is_ascii() && (is_id || !word.chars().all(is_inner)) || word.contains('@') {
        return None;
    }
    // Languages that put no blanks between words have numbers in the midst of them.
    let word: String = word.chars().filter(|one| one.is_alphabetic()).collect();
    Some(word.to_lowercase()).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_senders_address_is_told_from_all_else() {
        #[rustfmt::skip]
        let table = [
            ("550 5.1.7 bad",                                                  true),
            ("550 5.1.8 <anna@b.test>: no",                                    true),
            ("553 5.7.1 <anna@b.test>: Sender address rejected: not owned by user anna", true),
            ("553 sorry, your sender is not in my list",                       true),
            ("550 Sender <anna@b.test> rejected",                              true),
            ("550 Sender verify failed",                                       true),
            ("550 5.7.60 Client does not have permissions to send as this sender", true),
            ("554 5.2.252 SendAsDenied; anna",                                 true),
            ("450 4.1.8 <anna@b.test>: Sender address rejected: Domain not found", false),
            ("553 5.1.3 bad mailbox",                                          false),
            ("550 5.7.1 sender address may not write to this recipient",       false),
            ("550 5.1.1 <sender.address@b.test>: unknown",                     false),
            ("550 5.7.1 no",                                                   false),
            ("550 5.4.5 sender address: daily limit",                          false),
        ];
        for (line, want) in table {
            assert_eq!(Reply::of_line(line).refuses_sender_address(), want, "{line}");
        }
    }

    #[test]
    fn what_is_certainly_about_one_message_is_told_from_what_may_be_about_all() {
        #[rustfmt::skip]
        let table = [
            // line,                                              recipient, text,  parameters
            ("550 5.1.1 <x@b.test>: Recipient address rejected",   true,  true,  false),
            ("550 5.1.0 no",                                       true,  true,  false),
            ("550 5.1.10 no",                                      true,  true,  false),
            ("550 5.1.8 no",                                       false, false, false),
            ("550 5.2.1 closed",                                   true,  false, false),
            ("550 5.2.0 nein",                                     false, false, false),
            ("550 No such user here",                              true,  false, false),
            ("550 <x@b.test>... User unknown",                     true,  false, false),
            ("550 Unrouteable address",                            true,  false, false),
            ("552 5.3.4 message too big",                          true,  true,  true),
            ("552 Message size exceeds fixed maximum",             false, true,  true),
            ("550 5.6.7 SMTPUTF8 required",                        false, true,  true),
            ("554 5.7.1 Message rejected as spam",                 false, true,  false),
            ("554 5.7.1 this account sends spam, kein Versand",    false, false, false),
            ("554 5.4.6 loop",                                     true,  true,  false),
            ("550 5.7.1 too many recipients",                      true,  true,  false),
            ("550 5.7.1 <x@b.test>: Recipient address rejected: Limite atteinte", false, false, false),
            ("550 Sie haben heute genug versendet",                false, false, false),
            ("554 5.7.1 relaying denied",                          false, false, false),
            ("550",                                                false, false, false),
        ];
        for (line, recipient, text, parameters) in table {
            let reply = Reply::of_line(line);
            let got = (reply.is_of_recipient(), reply.is_of_text(), reply.is_of_parameters());
            assert_eq!(got, (recipient, text, parameters), "{line}");
        }
    }

    #[test]
    fn the_wording_is_what_does_not_differ_from_message_to_message() {
        #[rustfmt::skip]
        let table = [
            ("550 5.7.1 <x@b.test>: Límite de 500 excedido (id 4XyZ-1)", "550 5.7.1 límite de excedido id"),
            ("550 5.7.1 <y@c.test>: Límite de 20 excedido (id 9AbC-2)",  "550 5.7.1 límite de excedido id"),
            ("554 mx1.b.test: Sending blocked, see http://b.test/x?id=1", "554 0.0.0 sending blocked see"),
            ("554 QUOTA kJhGfDs 'out'",                             "554 0.0.0 quota out"),
            ("550 您今天发送了100封邮件",                              "550 0.0.0 您今天发送了封邮件"),
            ("550 user bob unknown",                                "550 0.0.0 user bob unknown"),
            ("550",                                                 "550 0.0.0"),
        ];
        for (line, want) in table {
            let reply = Reply::of_line(line);
            assert_eq!(reply.wording(), want, "{line}");
            assert_eq!(wording_of(&reply.to_string()).as_deref(), Some(want), "{line}");
        }
        assert_eq!(wording_of("no answer"), None);
        let long = format!("550 {}", "word ".repeat(1000));
        assert!(Reply::of_line(&long).wording().len() <= WORDING_MAX);
    }
}

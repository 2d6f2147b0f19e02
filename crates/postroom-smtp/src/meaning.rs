//! What a reply means: whether it is about a recipient, the message or the account, and whether it
//! is temporary.
//!
//! A reply to one message may be about the account: the account has reached a sending limit, or
//! must log in. Servers announce a limit with 421, with an enhanced code, or in words. The words
//! count only if no enhanced code says that the reply is about a mailbox, a size or a loop.
//! Standards: RFC 5321 §4.2 and §4.5.3.1.10, RFC 3463 §3, RFC 4954 §6.

use crate::reply::Reply;

/// Words for a sending limit of an account.
const LIMIT_WORDS: [&str; 21] = [
    "rate limit",
    "ratelimit",
    "rate-limit",
    "rate exceeded",
    "throttl",
    "sending limit",
    "sending rate",
    "sending quota",
    "send limit",
    "send quota",
    "message limit",
    "messages limit",
    "outgoing limit",
    "submission limit",
    "too many messages",
    "too many emails",
    "too many mails",
    "too much mail",
    "too fast",
    "slow down",
    "unusual rate",
];

/// Words for a sending limit whatever the enhanced code is.
const SENDING_WORDS: [&str; 6] = [
    "unusual sending",
    "sending limit",
    "sending quota",
    "sending rate",
    "outgoing limit",
    "submission limit",
];

/// Words for who sends, and for all that it sends. They mean a sending limit whatever the enhanced
/// code is, if one of [`AMOUNT_WORDS`] is there too.
const SENT_WORDS: [&str; 13] = [
    "outgoing m",
    "outgoing e",
    "outbound m",
    "outbound e",
    "submission",
    "relay quota",
    "relay limit",
    "sender over",
    "sender quota",
    "sender limit",
    "sender thread",
    "sender exceed",
    "sender has exceed",
];

/// The same, but servers say them of the mail that a recipient has too. So they count only if the
/// enhanced code is about something else.
const NUMBER_WORDS: [&str; 8] = [
    "number of messages",
    "number of emails",
    "number of e-mails",
    "number of mails",
    "allowed messages",
    "allowed emails",
    "allowed mails",
    "tenant",
];

/// Words for one session. They mean a limit that ends with it if one of [`AMOUNT_WORDS`] and one of
/// [`MAIL_WORDS`] are there too.
const SESSION_WORDS: [&str; 8] = [
    "in this session",
    "per session",
    "a session",
    "one session",
    "on this connection",
    "per connection",
    "a connection",
    "one connection",
];

/// Words for what is sent in a session.
const MAIL_WORDS: [&str; 4] = ["messages", "mails", "transactions", "deliveries"];

/// Words for a period of time. They mean a sending limit if one of [`AMOUNT_WORDS`] is there too.
const SPAN_WORDS: [&str; 8] =
    ["per second", "per minute", "per hour", "per day", "hourly", "daily", "last hour", "24 hours"];

/// Words for an amount.
const AMOUNT_WORDS: [&str; 6] = ["limit", "quota", "exceed", "too many", "maximum", "reached"];

/// Words for who sends. They mean a sending limit if a threshold is exceeded.
const THRESHOLD_OF_WORDS: [&str; 4] = ["account", "tenant", "sender", "sending"];

/// Words for too many recipients.
const TOO_MANY_WORDS: [&str; 2] = ["too many recipients", "too many rcpt"];

/// Words for how many recipients there are. They mean the same with one of [`AMOUNT_WORDS`].
const COUNT_WORDS: [&str; 4] =
    ["number of recipients", "recipients limit", "recipient limit", "recipients per"];

/// Words for a storage that is full. They say that 452 and 552 are not about the number of
/// recipients.
const FULL_WORDS: [&str; 9] =
    ["full", "quota", "storage", "space", "disk", "mailbox", "size", "too large", "too big"];

/// Words that may mean a sending limit in a 4yz reply. They are said of recipients too.
const PASSING_LIMIT_WORDS: [&str; 5] =
    ["too many", "too frequent", "too quickly", "limit exceeded", "exceeded"];

/// Words that show that a limit is about a recipient or the message, or is not a limit.
const OTHER_WORDS: [&str; 25] = [
    "greylist",
    "graylist",
    "grey-list",
    "gray-list",
    " hops",
    "hop count",
    "received header",
    "size",
    "too large",
    "too big",
    "mailbox",
    "recipient has",
    "recipient over",
    "recipient is",
    "recipient quota",
    "recipient exceed",
    "recipient reached",
    "of recipient ",
    "for recipient ",
    "recipient's",
    "the recipient",
    "spam",
    "virus",
    "content",
    "links",
];

/// Words for all that an account sends. With [`CLOSED_WORDS`] they say that it may not send.
const SENDER_WORDS: [&str; 8] = [
    "outgoing mail",
    "outgoing email",
    "outgoing message",
    "outbound sender",
    "outbound mail",
    "outbound email",
    "this account",
    "your account",
];

/// Words that say that something is not allowed.
const CLOSED_WORDS: [&str; 8] = [
    "suspended",
    "blocked",
    "disabled",
    "denied",
    "restricted",
    "locked",
    "not allowed",
    "rejected",
];

/// Words that say that this is so for some recipients, or for this text.
const SOMETIMES_WORDS: [&str; 10] = [
    "recipient",
    "relay",
    "this domain",
    "that domain",
    "the domain",
    "destination",
    "send to ",
    "sending to ",
    "mail to ",
    "reputation",
];

impl Reply {
    /// Whether it is 5yz and not about a temporary limit. One whose lines contradict each other
    /// refuses nothing for good.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        (500..600).contains(&self.code) && !self.is_mixed && !self.is_over_limit()
    }

    /// Whether the account, not the message, has reached a limit. Such a reply is temporary
    /// whatever its first digit is (RFC 3463 §3.5).
    #[must_use]
    pub fn is_over_limit(&self) -> bool {
        match self.enhanced {
            // QUIRK(Gmail): "550 5.4.5 Daily user sending limit exceeded".
            // QUIRK(Exchange Online): "550 5.1.90" when the recipients of a day are used up.
            Some((_, 4, 5) | (_, 1, 90)) => true,
            // The size of a message.
            Some((_, 3, 4) | (_, 2, 3)) => false,
            // QUIRK(Zoho): "550 5.4.6 Unusual sending activity detected".
            Some(_) | None if self.is_of_the_sender() || self.is_limit_of_session() => true,
            // Addresses, mailboxes, loops, too many recipients.
            Some((_, 1 | 2 | 6, 1..) | (_, 4, 6) | (_, 5, 3)) => false,
            Some(_) | None => self.code == 421 || self.has_limit_words(),
        }
    }

    /// Whether another session helps at once.
    #[must_use]
    pub fn is_about_session(&self) -> bool {
        self.code == 421
            || self.says_any(&["session", "this connection"])
            || self.is_limit_of_session()
    }

    /// Whether it may be about the account: its code suggests that, or words that are said of
    /// recipients too. Servers answer so to one recipient or one text as well.
    #[must_use]
    pub fn hints_at_limit(&self) -> bool {
        let by_words = (400..500).contains(&self.code) && self.speaks_of(&PASSING_LIMIT_WORDS);
        match (self.code, self.enhanced) {
            (451, Some((_, 7, _))) | (454, None | Some((_, 0 | 3 | 7, _))) => !self.is_of_other(),
            (_, Some((_, 1 | 2 | 6, 1..) | (_, 3, 4) | (_, 4, 6))) => false,
            (_, _) => by_words && !self.says_too_many() && !self.is_of_storage(),
        }
    }

    /// Whether it refuses the sender for good, whoever the recipient is and whatever the text says.
    #[must_use]
    pub fn refuses_sender(&self) -> bool {
        let is_by_code = matches!(self.enhanced, Some((5, 1, 7 | 8)));
        let is_by_words = self.says_any(&SENDER_WORDS) && self.says_any(&CLOSED_WORDS);
        self.is_permanent() && (is_by_code || is_by_words) && !self.is_for_some()
    }

    /// Whether it says that this is so for some recipients, or for this text.
    pub(crate) fn is_for_some(&self) -> bool {
        self.says_any(&SOMETIMES_WORDS)
    }

    /// Whether a device has hidden the text: only `*`, `0`, `2` and spaces are left of it.
    #[must_use]
    pub(crate) fn is_hidden(&self) -> bool {
        let is_left = |character| matches!(character, '*' | '0' | '2' | ' ');
        let said = self.lines.join(" ");
        said.contains("***") && said.chars().all(is_left)
    }

    fn has_limit_words(&self) -> bool {
        let of_a_span = self.says_any(&SPAN_WORDS) && self.says_any(&AMOUNT_WORDS);
        let of_a_number = self.says_any(&NUMBER_WORDS) && self.says_any(&AMOUNT_WORDS);
        let of_a_threshold = self.says_any(&THRESHOLD_OF_WORDS)
            && self.says_any(&["threshold"])
            && self.says_any(&["exceed", "reached"]);
        let said = self.says_any(&LIMIT_WORDS) || of_a_span || of_a_number || of_a_threshold;
        let is_other = self.is_of_other() || self.is_too_many() || self.is_of_storage();
        self.code >= 400 && said && !is_other
    }

    /// Whether it names a limit of what the sender may send.
    fn is_of_the_sender(&self) -> bool {
        let is_sent = self.says_any(&SENT_WORDS) && self.says_any(&AMOUNT_WORDS);
        let is_sent = is_sent && !self.counts_recipients();
        self.code >= 400 && (is_sent || self.says_any(&SENDING_WORDS)) && !self.is_of_other()
    }

    /// Whether it says that a session had its number of messages. The next one has another.
    fn is_limit_of_session(&self) -> bool {
        let all = [&SESSION_WORDS[..], &AMOUNT_WORDS, &MAIL_WORDS];
        let is_other = self.is_of_other() || self.says_any(&["recipient", "rcpt", "error"]);
        self.code >= 400 && all.iter().all(|words| self.says_any(words)) && !is_other
    }

    /// Whether it is about a recipient, a text or a refused relay.
    fn is_of_other(&self) -> bool {
        let is_relay = self.says_any(&["relay"]) && !self.says_any(&["quota", "limit"]);
        is_relay || self.says_any(&OTHER_WORDS)
    }

    fn speaks_of(&self, words: &[&str]) -> bool {
        self.says_any(words) && !self.is_of_other()
    }

    /// Whether it refuses a command because the client is not logged in (RFC 4954 §6).
    #[must_use]
    pub fn wants_login(&self) -> bool {
        matches!(self.code, 530 | 534 | 535 | 538)
    }

    /// Whether it says that there are too many recipients, so that the others go into the next
    /// transaction (RFC 5321 §4.5.3.1.10).
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        match (self.code, self.enhanced) {
            (_, Some((_, 5, 3))) => true,
            (400..600, None) | (452 | 552, Some((_, 0, 0))) => self.counts_recipients(),
            (_, _) => false,
        }
    }

    /// Whether it says so whatever its enhanced code is, as in `550 5.7.1 Too many recipients`. It
    /// counts if fewer recipients were accepted.
    #[must_use]
    pub fn says_too_many(&self) -> bool {
        self.is_too_many() || self.refuses_number()
    }

    /// Whether it may say so, if it is the answer to a recipient after one that was accepted: the
    /// code is 452, or 552, which counts as 452 there, and nothing says otherwise. A full mailbox
    /// has the same codes.
    #[must_use]
    pub fn may_be_too_many(&self) -> bool {
        self.says_too_many() || (self.is_of_storage() && !self.says_any(&FULL_WORDS))
    }

    /// Whether all that its codes say is that some storage is full, or that there are too many
    /// recipients.
    fn is_of_storage(&self) -> bool {
        matches!((self.code, self.enhanced), (452 | 552, None | Some((_, 0, 0))))
    }

    /// Whether it refuses a text for the number of its recipients. 452 and 552 alone do not: they
    /// are about its size.
    #[must_use]
    pub fn refuses_number(&self) -> bool {
        self.code >= 400 && self.counts_recipients() && !self.is_over_limit()
    }

    /// Whether it is about the number of recipients of one message.
    fn counts_recipients(&self) -> bool {
        let of_count = self.says_any(&COUNT_WORDS) && self.says_any(&AMOUNT_WORDS);
        let said = of_count || self.says_any(&TOO_MANY_WORDS);
        matches!(self.enhanced, Some((_, 5, 3))) || (said && !self.says_any(&SPAN_WORDS))
    }

    /// Whether it refuses a command as such, or its parameters (RFC 5321 §4.2.2).
    #[must_use]
    pub fn is_of_the_command(&self) -> bool {
        matches!(self.code, 500..=502 | 504)
    }

    /// Whether it has one of these words. Addresses in it are no words: everybody may be called so.
    pub(crate) fn says_any(&self, words: &[&str]) -> bool {
        let said = self.lines.join(" ").to_lowercase();
        let said: Vec<_> = said.split(' ').filter(|word| !word.contains('@')).collect();
        let said = said.join(" ");
        words.iter().any(|word| said.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::too_many_lines, reason = "one table")]
    fn what_passes_and_whom_it_is_about() {
        #[rustfmt::skip]
        let table = [
            // line,                                                   permanent, limit, too many
            ("452 4.5.3 too many recipients",                           false, false, true),
            ("451 Too many recipients, slow down",                      false, false, true),
            ("451 4.5.3 Too many messages in this session",             false, true,  true),
            ("550 5.4.6 Unusual sending activity detected",             false, true,  false),
            ("552 5.2.2 You exceeded your daily sending quota",         false, true,  false),
            ("550 5.7.1 daily limit of the recipient exceeded",         true,  false, false),
            ("550 5.4.1 daily quota of recipient exceeded",             true,  false, false),
            ("550 daily limit for recipient bob reached",               true,  false, false),
            ("550 daily recipient quota exceeded",                      true,  false, false),
            ("550 daily limit of recipient bob reached",                true,  false, false),
            ("550 daily limit of recipients exceeded",                  false, true,  false),
            ("554 5.7.1 rejected: too many messages with this content", true,  false, false),
            ("550 5.7.1 refused by the spam filter: rate limit",        true,  false, false),
            ("450 4.7.1 spam suspected, too many links",                false, false, false),
            ("450 too many connections to external.test",               false, false, false),
            ("451 4.4.1 host does not answer, limit exceeded",          false, false, false),
            ("552 too many recipients",                                 true,  false, true),
            ("452 4.0.0 Too many recipients",                           false, false, true),
            ("552 5.0.0 no",                                            true,  false, false),
            ("552 mailbox full",                                        true,  false, false),
            ("552 quota exceeded",                                      true,  false, false),
            ("452 no more",                                             false, false, false),
            ("550 5.5.3 too many recipients",                           true,  false, true),
            ("552 5.3.4 message too big",                               true,  false, false),
            ("552 5.2.2 mailbox full",                                  true,  false, false),
            ("452 4.2.2 over quota, limit exceeded",                    false, false, false),
            ("452 4.3.1 out of memory",                                 false, false, false),
            ("550 5.4.5 Daily user sending limit reached",              false, true,  false),
            ("550 5.1.90 daily limit for recipients",                   false, true,  false),
            ("550 5.1.1 nobody",                                        true,  false, false),
            ("554 5.4.6 too many hops",                                 true,  false, false),
            ("450 too many hops in a loop",                             false, false, false),
            ("421 4.7.0 unusual rate of mail",                          false, true,  false),
            ("421 closing",                                             false, true,  false),
            ("454 Throttling failure: Maximum sending rate exceeded.",  false, true,  false),
            ("450 4.7.1 hourly sending limit exceeded",                 false, true,  false),
            ("450 4.2.1 user receives mail at a rate too fast",         false, false, false),
            ("450 4.7.1 Greylisted, try again in an hour, too many",    false, false, false),
            ("554 You have exceeded the max messages per hour",         false, true,  false),
            ("550 Domain x has exceeded the max emails per hour (9/5)", false, true,  false),
            ("550 5.2.0 daily quota of messages exceeded",              false, true,  false),
            ("554 5.7.1 spam: the daily deal",                          true,  false, false),
            ("550 5.7.1 spam: too many links",                          true,  false, false),
            ("552 5.7.0 message size exceeds the daily maximum",        true,  false, false),
            // What the sender may send: a number, a quota, a threshold.
            ("554 5.7.0 Your message could not be sent. The limit on the number of allowed \
              outgoing messages was exceeded. Try again later.",        false, true,  false),
            ("550 5.7.705 Access denied, tenant has exceeded threshold", false, true, false),
            ("554 5.2.0 STOREDRV.Submission.Exception:SubmissionQuotaExceededException; Failed \
              to process message due to a permanent exception",         false, true,  false),
            ("432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded", false, true, false),
            ("550 5.7.0 Mail relay quota exceeded",                     false, true,  false),
            ("550 Daily SMTP relay limit exceeded",                     false, true,  false),
            ("552 5.2.2 Sender over quota",                             false, true,  false),
            ("550 5.7.1 account has exceeded the threshold",            false, true,  false),
            ("550 Domain shop.test has exceeded the max emails per hour", false, true, false),
            ("550 5.7.1 Maximum number of emails reached",              false, true,  false),
            ("552 5.2.2 mailbox over quota",                            true,  false, false),
            ("552 5.2.2 <a@b.test>: account is over quota",             true,  false, false),
            ("550 5.2.2 maximum number of messages of the user exceeded", true, false, false),
            ("552 5.2.2 The recipient's tenant has exceeded its quota", true,  false, false),
            ("552 5.3.4 message exceeds the submission limit",          true,  false, false),
            ("552 5.2.3 message exceeds the submission limit",          true,  false, false),
            ("552 5.2.2 <submissions@journal.test>: user is over quota", true, false, false),
            ("550 5.1.1 <submission@limited.test>: no such user",       true,  false, false),
            ("452 4.5.3 too many recipients for outgoing mail, limit 50", false, false, true),
            ("550 5.7.1 the score exceeded the threshold",              true,  false, false),
            ("550 5.7.1 number of attachments exceeds maximum",         true,  false, false),
            ("554 5.4.6 Hop count exceeded, possible mail loop",        true,  false, false),
            ("550 5.7.1 relaying denied: too many messages",            true,  false, false),
            // A new session may send as much again.
            ("550 maximum allowed messages per session",                false, true,  false),
            ("550 5.7.1 Number of messages exceeds maximum per connection", false, true, false),
            ("452 4.5.3 Too many messages per session",                 false, true,  true),
            ("451 4.5.3 too many recipients per session",               false, false, true),
            ("550 5.5.1 too many errors per connection, send no more mails", true, false, false),
            ("554 5.7.1 spam: a limit of outgoing messages is reached", true,  false, false),
            ("550 5.7.1 Too many recipients",                           true,  false, false),
            ("550 maximum number of recipients reached",                true,  false, true),
            ("550 too many recipients per hour",                        false, true,  false),
        ];
        for (line, permanent, limit, too_many) in table {
            let got = Reply::of_line(line);
            let got = (got.is_permanent(), got.is_over_limit(), got.is_too_many());
            assert_eq!(got, (permanent, limit, too_many), "{line}");
        }
        for line in ["421 bye", "550 5.7.1 Number of messages exceeds maximum per connection"] {
            assert!(Reply::of_line(line).is_about_session(), "{line}");
        }
        assert!(!Reply::of_line("550 5.7.1 Maximum number of emails reached").is_about_session());
        for line in [
            "451 4.7.1 please try again later",
            "454 4.7.0 not now",
            "450 too many connections to external.test",
            "451 4.4.1 host does not answer, limit exceeded",
        ] {
            assert!(Reply::of_line(line).hints_at_limit(), "{line}");
        }
        for line in [
            "451 4.7.1 greylisting in action",
            "451 4.3.0 disk full",
            "454 4.7.1 <a@b.test>: Relay access denied",
            "451 4.7.0 Recipient over quota, exceeded",
            "450 4.7.1 spam suspected, too many links",
            "452 4.5.3 too many recipients",
            "450 4.7.1 too many recipients",
            "452 quota exceeded",
            "452 4.0.0 exceeded storage allocation",
        ] {
            assert!(!Reply::of_line(line).hints_at_limit(), "{line}");
        }
    }

    #[test]
    fn the_number_of_recipients_is_told_from_all_else() {
        #[rustfmt::skip]
        let table = [
            // line,                                                   may be too many, refuses a text
            ("550 5.7.1 Too many recipients",                           true,  true),
            ("554 5.7.1 Too many RCPTs in this message",                true,  true),
            ("550 5.7.0 message exceeds the maximum number of recipients", true, true),
            ("552 5.3.2 recipients limit exceeded",                     true,  true),
            ("452 4.5.3 your message has too many recipients",          true,  true),
            ("550 5.5.3 no more",                                       true,  true),
            ("552 no more",                                             true,  false),
            ("552 5.0.0 no",                                            true,  false),
            ("452 4.0.0 later",                                         true,  false),
            ("450 later",                                               false, false),
            ("452 insufficient system storage",                         false, false),
            ("452 4.0.0 Mailbox full",                                  false, false),
            ("552 exceeded storage allocation",                         false, false),
            ("552 5.0.0 user is over quota",                            false, false),
            ("552 quota exceeded: too many recipients",                 true,  true),
            ("552 5.2.2 mailbox full",                                  false, false),
            ("550 5.1.90 daily recipients limit exceeded",              false, false),
            ("550 5.7.1 too many recipients per hour",                  false, false),
            ("550 5.7.1 the number of recipients is odd",               false, false),
            ("550 5.1.1 <too-many-recipients@b.test> unknown",          false, false),
            ("250 not too many recipients",                             false, false),
        ];
        for (line, may_be, refuses) in table {
            let got =
                (Reply::of_line(line).may_be_too_many(), Reply::of_line(line).refuses_number());
            assert_eq!(got, (may_be, refuses), "{line}");
        }
    }

    #[test]
    fn a_refusal_of_the_sender_is_told_from_all_else() {
        #[rustfmt::skip]
        let table = [
            ("550 5.1.8 Access denied, bad outbound sender",                        true),
            ("554 5.7.1 Message rejected: outgoing mail suspended for this account", true),
            ("550 5.1.7 bad sender",                                                true),
            ("550 your account has been blocked",                                   true),
            ("450 4.1.8 sender domain not found",                                   false),
            ("550 5.1.1 no such user",                                              false),
            ("550 the recipient has blocked your account",                          false),
            ("550 Your account is not allowed to send to this domain",              false),
            ("550 Your account is denied access to destination",                    false),
            ("550 5.7.1 Your account is not permitted to send mail to external addresses, blocked \
              by policy",                                                           false),
            ("550 5.7.1 Message rejected due to your account reputation, blocked",  false),
            ("550 5.7.1 Your account has been suspended for sending spam",          true),
            ("550 5.7.1 message rejected as spam",                                  false),
            ("550 5.4.5 daily limit of this account, suspended",                    false),
        ];
        for (line, want) in table {
            assert_eq!(Reply::of_line(line).refuses_sender(), want, "{line}");
        }
    }

    #[test]
    fn a_greeting_that_a_device_has_hidden_is_known() {
        #[rustfmt::skip]
        let table = [
            ("220 ****",                                 true),
            ("220 ***********2*********0*0 *****2*****", true),
            ("220 mx.test ESMTP ***",                    false),
            ("220 20",                                   false),
            ("220",                                      false),
        ];
        for (line, want) in table {
            assert_eq!(Reply::of_line(line).is_hidden(), want, "{line}");
        }
    }
}

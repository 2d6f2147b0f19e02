//! The options of folders, accounts and profiles: each declared once, with unit, range and default.
//!
//! A value is looked up in the folder, then in its account, then in its profile. If none has it,
//! the default holds. Durations are seconds, and the ranges refuse values that were meant as
//! milliseconds.

use crate::invalid::Invalid;
use crate::limits::PROBLEMS_MAX;
use crate::option_key::CountKey;
use crate::option_key::Declaration;
use crate::option_key::DurationKey;
use crate::option_key::FlagKey;
use crate::option_key::OptionKind;
use crate::option_key::count;
use crate::option_key::flag;
use crate::option_key::seconds;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;

const MIB: u64 = 1024 * 1024;

/// No message of more bytes is loaded, whatever the options say.
pub const MESSAGE_BYTES_LIMIT: u64 = 2048 * MIB;

/// The time between two polls of a folder.
pub const AFTER_READ_TIMEOUT: DurationKey = seconds("after_read_timeout", [0.1, 3600.0, 30.0]);

/// The time between two surveys of the mailboxes of an account.
pub const SURVEY_INTERVAL: DurationKey = seconds("survey_interval", [1.0, 7200.0, 600.0]);

/// How many mailboxes of an account become folders. Further mailboxes are ignored, and the account
/// says so.
pub const MAILBOXES_MAX: CountKey = count("mailboxes_max", "mailboxes", [1, 100_000, 10_000]);

/// How long an IMAP server may take for its greeting.
pub const GREETING_TIMEOUT: DurationKey = seconds("greeting_timeout", [1.0, 600.0, 30.0]);

/// How long an IMAP server may take for the whole answer to a command. A FETCH may take longer
/// while it makes progress.
pub const COMMAND_TIMEOUT: DurationKey = seconds("command_timeout", [1.0, 3600.0, 600.0]);

/// How long an IMAP server may be silent within an answer. After an eighth of it, the message that
/// is late is fetched on a connection of its own, and the others go on.
pub const SILENCE_TIMEOUT: DurationKey = seconds("silence_timeout", [1.0, 3600.0, 120.0]);

/// How many messages are fetched and committed together at most.
pub const PORTION_LIMIT: CountKey = count("portion_limit", "messages", [1, 10_000, 200]);

/// A portion is committed as soon as it has this size.
pub const PORTION_BYTES: CountKey =
    count("portion_bytes", "bytes", [64 * 1024, 256 * MIB, 8 * MIB]);

/// A larger message is not loaded. It appears in state `error` with the code `too_big`.
pub const MESSAGE_BYTES_MAX: CountKey =
    count("message_bytes_max", "bytes", [1024, MESSAGE_BYTES_LIMIT, 150 * MIB]);

/// How much of the text body `text` holds. The original message has all of it.
pub const TEXT_BYTES_MAX: CountKey = count("text_bytes_max", "bytes", [0, 16 * MIB, 256 * 1024]);

/// Whether messages that were in the folder before it was enabled are loaded.
pub const LOAD_EXISTING: FlagKey = flag("load_existing", true);

/// With `true`, the flags in the mailbox stay as they are. With `false`, a stored message is marked
/// \Seen.
pub const KEEP_UNSEEN: FlagKey = flag("keep_unseen", true);

/// Whether the original message is kept in `rawMessage`.
pub const STORE_RAW_AS_FILE: FlagKey = flag("store_raw_as_file", true);

/// Whether the html body is kept in `html`.
pub const STORE_HTML_AS_FILE: FlagKey = flag("store_html_as_file", true);

/// The delay before the second attempt to send a message, or to load one that the server lists but
/// does not give. Each further delay is twice as long.
pub const RETRY_FIRST: DurationKey = seconds("retry_first", [0.1, 3600.0, 60.0]);

/// The longest delay between two attempts to send. For loading it is one day.
pub const RETRY_LONGEST: DurationKey = seconds("retry_longest", [0.1, 7200.0, 3600.0]);

/// How long a message is tried before it ends as `error` with the code `gave_up`.
pub const RETRY_FOR: DurationKey = seconds("retry_for", [0.0, 2_592_000.0, 432_000.0]);

/// After how many days a message expires, counted from its `dateTime`. 0: never.
pub const RETENTION_DAYS: CountKey = count("retention_days", "days", [0, 36_500, 0]);

/// Whether `match` finds the messages.
pub const FULL_TEXT: FlagKey = flag("full_text", true);

/// What becomes of a message whose outcome is unknown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Uncertain {
    /// It ends as `error` with the code `uncertain`.
    #[default]
    Hold,
    /// It is sent again, until a server takes it or `retry_for` is over.
    Resend,
}

impl Uncertain {
    /// The words in their order. The first is the default.
    const WORDS: [&'static str; 2] = ["hold", "resend"];

    fn from_word(word: &str) -> Option<Self> {
        let [hold, resend] = Self::WORDS;
        [(hold, Self::Hold), (resend, Self::Resend)]
            .into_iter()
            .find_map(|(known, value)| (known == word).then_some(value))
    }
}

/// What becomes of a message whose outcome is unknown.
const UNCERTAIN: Declaration = Declaration {
    name: "uncertain",
    unit: "",
    kind: OptionKind::Word { words: &Uncertain::WORDS },
};

/// When a message of a folder with `deleteOnServer` is deleted at the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum DeleteAfter {
    /// Once it is stored.
    #[default]
    Stored,
    /// Once a client has acknowledged a claim of it, too.
    Acknowledged,
}

impl DeleteAfter {
    /// The words in their order. The first is the default.
    const WORDS: [&'static str; 2] = ["stored", "acknowledged"];

    fn from_word(word: &str) -> Option<Self> {
        let [stored, acknowledged] = Self::WORDS;
        [(stored, Self::Stored), (acknowledged, Self::Acknowledged)]
            .into_iter()
            .find_map(|(known, value)| (known == word).then_some(value))
    }
}

/// When a message is deleted at the server.
const DELETE_AFTER: Declaration = Declaration {
    name: "delete_after",
    unit: "",
    kind: OptionKind::Word { words: &DeleteAfter::WORDS },
};

/// How passwords are sent to servers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum MechanismChoice {
    /// By the best mechanism that the server offers: SCRAM, else PLAIN or LOGIN.
    #[default]
    Best,
    /// By SCRAM alone, not bound to the TLS connection. The password itself is never sent.
    Scram,
    /// By PLAIN or LOGIN alone.
    Plain,
    /// By CRAM-MD5 alone.
    CramMd5,
}

impl MechanismChoice {
    /// The words in their order. The first is the default.
    const WORDS: [&'static str; 4] = ["best", "scram", "plain", "cram_md5"];

    fn from_word(word: &str) -> Option<Self> {
        let [best, scram, plain, cram_md5] = Self::WORDS;
        let known = [
            (best, Self::Best),
            (scram, Self::Scram),
            (plain, Self::Plain),
            (cram_md5, Self::CramMd5),
        ];
        known.into_iter().find_map(|(known, value)| (known == word).then_some(value))
    }
}

/// How passwords are sent to servers.
const MECHANISM: Declaration = Declaration {
    name: "mechanism",
    unit: "",
    kind: OptionKind::Word { words: &MechanismChoice::WORDS },
};

/// Every option there is.
pub(crate) const DECLARATIONS: &[Declaration] = &[
    AFTER_READ_TIMEOUT.declaration,
    SURVEY_INTERVAL.declaration,
    MAILBOXES_MAX.declaration,
    GREETING_TIMEOUT.declaration,
    COMMAND_TIMEOUT.declaration,
    SILENCE_TIMEOUT.declaration,
    PORTION_LIMIT.declaration,
    PORTION_BYTES.declaration,
    MESSAGE_BYTES_MAX.declaration,
    TEXT_BYTES_MAX.declaration,
    LOAD_EXISTING.declaration,
    KEEP_UNSEEN.declaration,
    STORE_RAW_AS_FILE.declaration,
    STORE_HTML_AS_FILE.declaration,
    RETRY_FIRST.declaration,
    RETRY_LONGEST.declaration,
    RETRY_FOR.declaration,
    RETENTION_DAYS.declaration,
    FULL_TEXT.declaration,
    UNCERTAIN,
    DELETE_AFTER,
    MECHANISM,
];

/// The names of all options, as clients set them.
pub fn option_names() -> impl Iterator<Item = &'static str> {
    DECLARATIONS.iter().map(|declaration| declaration.name)
}

/// The declaration of that name.
#[must_use]
pub(crate) fn declaration(name: &str) -> Option<&'static Declaration> {
    DECLARATIONS.iter().find(|declaration| declaration.name == name)
}

/// Checks the value of an `options` property. The problems name it as `property`.
///
/// `null` removes an option, so that the value of the next level holds.
#[must_use]
pub(crate) fn problems(property: &str, options: &Json) -> Vec<Invalid> {
    let Some(options) = options.as_object() else {
        return vec![Invalid::new(property, "takes a JSON object of options")];
    };
    let problem = |(name, value): (&String, &Json)| {
        let at = format!("{property}.{name}");
        match declaration(name) {
            None => {
                let names: Vec<_> = DECLARATIONS.iter().map(|known| known.name).collect();
                Some(Invalid::new(at, format!("no such option; there are {}", names.join(", "))))
            }
            Some(_) if value.is_null() => None,
            Some(known) => known.problem(value).map(|reason| Invalid::new(at, reason)),
        }
    };
    options.iter().filter_map(problem).take(PROBLEMS_MAX + 1).collect()
}

/// The options that hold for one folder (or account, when no folder is given).
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Options {
    levels: Vec<Map<String, Json>>,
}

impl Options {
    /// Looks values up in `levels` in their order: folder, account, profile. A level that is not an
    /// object counts as empty.
    #[must_use]
    pub fn cascade<'a>(levels: impl IntoIterator<Item = &'a Json>) -> Self {
        let levels = levels.into_iter().filter_map(Json::as_object).cloned().collect();
        Self { levels }
    }

    /// The value of a boolean option.
    #[must_use]
    pub fn flag(&self, key: &FlagKey) -> bool {
        self.value(&key.declaration).and_then(Json::as_bool).unwrap_or(key.default)
    }

    /// The value of a whole number.
    #[must_use]
    pub fn count(&self, key: &CountKey) -> u64 {
        self.value(&key.declaration).and_then(Json::as_u64).unwrap_or(key.default)
    }

    /// The value of a duration.
    #[must_use]
    pub fn duration(&self, key: &DurationKey) -> Duration {
        let seconds = self.value(&key.declaration).and_then(Json::as_f64).unwrap_or(key.default);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// What becomes of a message whose outcome is unknown.
    #[must_use]
    pub fn uncertain(&self) -> Uncertain {
        let word = self.value(&UNCERTAIN).and_then(Json::as_str);
        word.and_then(Uncertain::from_word).unwrap_or_default()
    }

    /// When a message is deleted at the server, if its folder says that it is.
    #[must_use]
    pub fn delete_after(&self) -> DeleteAfter {
        let word = self.value(&DELETE_AFTER).and_then(Json::as_str);
        word.and_then(DeleteAfter::from_word).unwrap_or_default()
    }

    /// How passwords are sent to servers.
    #[must_use]
    pub fn mechanism(&self) -> MechanismChoice {
        let word = self.value(&MECHANISM).and_then(Json::as_str);
        word.and_then(MechanismChoice::from_word).unwrap_or_default()
    }

    /// The nearest valid value. A value that was stored before its range was narrowed is ignored.
    fn value(&self, known: &Declaration) -> Option<&Json> {
        let valid = |value: &&Json| !value.is_null() && known.problem(value).is_none();
        self.levels.iter().filter_map(|level| level.get(known.name)).find(valid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn the_folder_wins_then_the_account_then_the_profile() {
        let folder = json!({"portion_limit": 7, "keep_unseen": null});
        let account = json!({"portion_limit": 8, "after_read_timeout": 1.5});
        let profile = json!({"after_read_timeout": 9, "keep_unseen": false, "uncertain": "resend"});
        let options = Options::cascade([&folder, &account, &profile]);
        assert_eq!(options.count(&PORTION_LIMIT), 7);
        assert_eq!(options.duration(&AFTER_READ_TIMEOUT), Duration::from_millis(1500));
        assert!(!options.flag(&KEEP_UNSEEN));
        assert_eq!(options.uncertain(), Uncertain::Resend);
        assert_eq!(options.count(&PORTION_BYTES), 8 * MIB);
        assert!(options.flag(&LOAD_EXISTING));
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        #[rustfmt::skip]
        let table = [
            (json!({"after_read_timeout": 30000}), "options.after_read_timeout: takes seconds (not milliseconds) from 0.1 to 3600"),
            (json!({"portion_limit": 0}),          "options.portion_limit: takes a whole number of messages from 1 to 10000"),
            (json!({"portion_limit": "9"}),        "options.portion_limit: takes a whole number of messages from 1 to 10000"),
            (json!({"keep_unseen": 1}),            "options.keep_unseen: takes true or false"),
            (json!({"uncertain": "maybe"}),        "options.uncertain: takes one of hold, resend"),
            (json!([]),                            "options: takes a JSON object of options"),
        ];
        for (options, want) in table {
            let found = problems("options", &options);
            assert_eq!(found.first().map(ToString::to_string).as_deref(), Some(want), "{options}");
        }
        let unknown = problems("options", &json!({"poll": 1}));
        assert!(
            unknown[0].to_string().starts_with("options.poll: no such option; there are after")
        );
        assert!(problems("options", &json!({"portion_limit": 5, "uncertain": null})).is_empty());
    }

    #[test]
    fn every_default_is_in_its_range() {
        for known in DECLARATIONS {
            let default = match known.kind {
                OptionKind::Boolean { default } => json!(default),
                OptionKind::Count { default, .. } => json!(default),
                OptionKind::Seconds { default, .. } => json!(default),
                OptionKind::Word { words } => json!(words[0]),
            };
            assert_eq!(known.problem(&default), None, "{}", known.name);
        }
    }

    #[test]
    fn every_key_is_declared_and_every_word_has_its_meaning() {
        let keys = include_str!("options.rs").matches("Key =").count();
        // The line above stands for `uncertain`. Neither `delete_after` nor `mechanism` has a key.
        assert_eq!(keys + 2, DECLARATIONS.len());
        let all = [
            MechanismChoice::Best,
            MechanismChoice::Scram,
            MechanismChoice::Plain,
            MechanismChoice::CramMd5,
        ];
        assert_eq!(MechanismChoice::WORDS.map(MechanismChoice::from_word), all.map(Some));
        let meanings = DeleteAfter::WORDS.map(DeleteAfter::from_word);
        assert_eq!(meanings, [Some(DeleteAfter::Stored), Some(DeleteAfter::Acknowledged)]);
        let meanings = Uncertain::WORDS.map(Uncertain::from_word);
        assert_eq!(meanings, [Some(Uncertain::Hold), Some(Uncertain::Resend)]);
        assert_eq!(Uncertain::from_word("maybe"), None);
    }

    /// Any value that a client, or a database of an older version, may hold for an option.
    fn any_value() -> impl Strategy<Value = Json> {
        prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            (0_u64..400 * MIB).prop_map(Json::from),
            (0.0..10_000.0).prop_map(Json::from),
            "hold|resend|stored|acknowledged|scram|cram_md5|[a-z]{0,8}".prop_map(Json::from),
        ]
    }

    proptest! {
        #[test]
        fn whatever_is_stored_what_holds_is_in_range(
            at in 0..DECLARATIONS.len(), values in proptest::collection::vec(any_value(), 0..4),
        ) {
            let known = &DECLARATIONS[at];
            let levels: Vec<_> = values.iter().map(|value| json!({known.name: value})).collect();
            let options = Options::cascade(&levels);
            let holds = match known.kind {
                OptionKind::Boolean { default } => {
                    json!(options.flag(&FlagKey { declaration: *known, default }))
                }
                OptionKind::Count { default, .. } => {
                    json!(options.count(&CountKey { declaration: *known, default }))
                }
                OptionKind::Seconds { default, .. } => {
                    let key = DurationKey { declaration: *known, default };
                    json!(options.duration(&key).as_secs_f64())
                }
                OptionKind::Word { words } if known.name == DELETE_AFTER.name => {
                    json!(words[options.delete_after() as usize])
                }
                OptionKind::Word { words } if known.name == MECHANISM.name => {
                    json!(words[options.mechanism() as usize])
                }
                OptionKind::Word { words } => json!(words[options.uncertain() as usize]),
            };
            prop_assert_eq!(known.problem(&holds), None);
            // What was checked holds, the nearest level first.
            let nearest = values.iter().find(|value| {
                !value.is_null() && problems("options", &json!({known.name: value})).is_empty()
            });
            if let (Some(nearest), OptionKind::Boolean { .. } | OptionKind::Count { .. } | OptionKind::Word { .. }) =
                (nearest, known.kind)
            {
                prop_assert_eq!(&holds, nearest);
            }
        }
    }
}

//! The options of folders, accounts and profiles: each declared once, with unit, range and default.
//!
//! A value is looked up in the folder, then in its account, then in its profile. If none has it,
//! the default holds. Durations are seconds, and the ranges refuse values that were meant as
//! milliseconds.

use crate::invalid::Invalid;
use crate::limits::PROBLEMS_MAX;
use serde_json::Map;
use serde_json::Value as Json;
use std::time::Duration;

/// The type of the values of an option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum OptionKind {
    /// `true` or `false`.
    Boolean {
        /// Used when nothing is set.
        default: bool,
    },
    /// A whole number.
    Count {
        /// The smallest value.
        minimum: u64,
        /// The largest value.
        maximum: u64,
        /// Used when nothing is set.
        default: u64,
    },
    /// A duration in seconds, fractions allowed.
    Seconds {
        /// The smallest value.
        minimum: f64,
        /// The largest value.
        maximum: f64,
        /// Used when nothing is set.
        default: f64,
    },
    /// One of a few words; the first is the default.
    Word {
        /// The allowed words.
        words: &'static [&'static str],
    },
}

/// One option.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Declaration {
    /// Its name in `options`.
    pub name: &'static str,
    /// The unit of its number, for people: `seconds`, `messages`, `bytes`, or empty.
    pub unit: &'static str,
    /// The type of its values, with range and default.
    pub kind: OptionKind,
    /// What it does.
    pub doc: &'static str,
}

const fn flag(name: &'static str, default: bool, doc: &'static str) -> Declaration {
    Declaration { name, unit: "", kind: OptionKind::Boolean { default }, doc }
}

const fn seconds(
    name: &'static str,
    [minimum, maximum, default]: [f64; 3],
    doc: &'static str,
) -> Declaration {
    Declaration {
        name,
        unit: "seconds",
        kind: OptionKind::Seconds { minimum, maximum, default },
        doc,
    }
}

const fn count(
    name: &'static str,
    unit: &'static str,
    [minimum, maximum, default]: [u64; 3],
    doc: &'static str,
) -> Declaration {
    Declaration { name, unit, kind: OptionKind::Count { minimum, maximum, default }, doc }
}

const MIB: u64 = 1024 * 1024;

/// No message of more bytes is loaded, whatever the options say.
pub const MESSAGE_BYTES_MAX: u64 = 2048 * MIB;

/// Every option there is.
pub(crate) const DECLARATIONS: &[Declaration] = &[
    seconds("after_read_timeout", [0.1, 3600.0, 30.0], "The time between two polls of a folder."),
    seconds(
        "survey_interval",
        [1.0, 7200.0, 600.0],
        "The time between two surveys of the mailboxes of an account.",
    ),
    count(
        "mailboxes_max",
        "mailboxes",
        [1, 100_000, 10_000],
        "How many mailboxes of an account become folders. Further mailboxes are ignored, and the \
         account says so.",
    ),
    seconds(
        "greeting_timeout",
        [1.0, 600.0, 30.0],
        "How long an IMAP server may take for its greeting.",
    ),
    seconds(
        "command_timeout",
        [1.0, 3600.0, 600.0],
        "How long an IMAP server may take for the whole answer to a command. A FETCH may take \
         longer while it makes progress.",
    ),
    seconds(
        "silence_timeout",
        [1.0, 3600.0, 120.0],
        "How long an IMAP server may be silent within an answer. After an eighth of it, the \
         message that is late is fetched on a connection of its own, and the others go on.",
    ),
    count(
        "portion_limit",
        "messages",
        [1, 10_000, 200],
        "How many messages are fetched and committed together at most.",
    ),
    count(
        "portion_bytes",
        "bytes",
        [64 * 1024, 256 * MIB, 8 * MIB],
        "A portion is committed as soon as it has this size.",
    ),
    count(
        "message_bytes_max",
        "bytes",
        [1024, MESSAGE_BYTES_MAX, 150 * MIB],
        "A larger message is not loaded. It appears in state `error` with the code `too_big`.",
    ),
    count(
        "text_bytes_max",
        "bytes",
        [0, 16 * MIB, 256 * 1024],
        "How much of the text body `text` holds. The original message has all of it.",
    ),
    flag(
        "load_existing",
        true,
        "Whether messages that were in the folder before it was enabled are loaded.",
    ),
    flag(
        "keep_unseen",
        true,
        "With `true`, the flags in the mailbox stay as they are. With `false`, a stored message is \
         marked \\Seen.",
    ),
    flag("store_raw_as_file", true, "Whether the original message is kept in `rawMessage`."),
    flag("store_html_as_file", true, "Whether the html body is kept in `html`."),
    seconds(
        "retry_first",
        [0.1, 3600.0, 60.0],
        "The delay before the second attempt to send a message, or to load one that the server \
         lists but does not give. Each further delay is twice as long.",
    ),
    seconds(
        "retry_longest",
        [0.1, 7200.0, 3600.0],
        "The longest delay between two attempts to send. For loading it is one day.",
    ),
    seconds(
        "retry_for",
        [0.0, 2_592_000.0, 432_000.0],
        "How long a message is tried before it ends as `error` with the code `gave_up`.",
    ),
    Declaration {
        name: "uncertain",
        unit: "",
        kind: OptionKind::Word { words: &["hold", "resend"] },
        doc: "What becomes of a message whose connection was lost after its last byte: `hold` ends \
              it as `error` with the code `uncertain`, `resend` sends it again until a server \
              takes it or `retry_for` is over.",
    },
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

impl Declaration {
    /// What is wrong with a value. `None`: nothing.
    #[must_use]
    pub(crate) fn problem(&self, value: &Json) -> Option<String> {
        let wanted = match self.kind {
            OptionKind::Boolean { .. } => {
                return (!value.is_boolean()).then(|| "takes true or false".to_owned());
            }
            OptionKind::Count { minimum, maximum, .. } => {
                let good = value.as_u64().is_some_and(|n| (minimum..=maximum).contains(&n));
                if good {
                    return None;
                }
                format!("takes a whole number of {} from {minimum} to {maximum}", self.unit)
            }
            OptionKind::Seconds { minimum, maximum, .. } => {
                let good = value.as_f64().is_some_and(|n| (minimum..=maximum).contains(&n));
                if good {
                    return None;
                }
                format!("takes seconds (not milliseconds) from {minimum} to {maximum}")
            }
            OptionKind::Word { words } => {
                if value.as_str().is_some_and(|word| words.contains(&word)) {
                    return None;
                }
                format!("takes one of {}", words.join(", "))
            }
        };
        Some(wanted)
    }
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

    /// The value of a boolean option; `false` when there is no such option.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        let default = match declaration(name).map(|known| known.kind) {
            Some(OptionKind::Boolean { default }) => default,
            Some(
                OptionKind::Count { .. } | OptionKind::Seconds { .. } | OptionKind::Word { .. },
            )
            | None => false,
        };
        self.value(name).and_then(Json::as_bool).unwrap_or(default)
    }

    /// The value of a whole number; 0 when there is no such option.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        let default = match declaration(name).map(|known| known.kind) {
            Some(OptionKind::Count { default, .. }) => default,
            Some(
                OptionKind::Boolean { .. } | OptionKind::Seconds { .. } | OptionKind::Word { .. },
            )
            | None => 0,
        };
        self.value(name).and_then(Json::as_u64).unwrap_or(default)
    }

    /// The value of a duration; zero when there is no such option.
    #[must_use]
    pub fn duration(&self, name: &str) -> Duration {
        let default = match declaration(name).map(|known| known.kind) {
            Some(OptionKind::Seconds { default, .. }) => default,
            Some(
                OptionKind::Boolean { .. } | OptionKind::Count { .. } | OptionKind::Word { .. },
            )
            | None => 0.0,
        };
        let seconds = self.value(name).and_then(Json::as_f64).unwrap_or(default);
        Duration::try_from_secs_f64(seconds).unwrap_or_default()
    }

    /// The word of an option; empty when there is no such option.
    #[must_use]
    pub fn word(&self, name: &str) -> &str {
        let default = match declaration(name).map(|known| known.kind) {
            Some(OptionKind::Word { words }) => words.first().copied().unwrap_or_default(),
            Some(
                OptionKind::Boolean { .. } | OptionKind::Count { .. } | OptionKind::Seconds { .. },
            )
            | None => "",
        };
        self.value(name).and_then(Json::as_str).unwrap_or(default)
    }

    /// The nearest valid value. A value that was stored before its range was narrowed is ignored.
    fn value(&self, name: &str) -> Option<&Json> {
        let known = declaration(name)?;
        let valid = |value: &&Json| !value.is_null() && known.problem(value).is_none();
        self.levels.iter().filter_map(|level| level.get(name)).find(valid)
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
        assert_eq!(options.count("portion_limit"), 7);
        assert_eq!(options.duration("after_read_timeout"), Duration::from_millis(1500));
        assert!(!options.flag("keep_unseen"));
        assert_eq!(options.word("uncertain"), "resend");
        assert_eq!(options.count("portion_bytes"), 8 * MIB);
        assert!(options.flag("load_existing"));
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
            assert!(known.doc.ends_with('.'), "{}", known.name);
        }
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
            "hold|resend|[a-z]{0,8}".prop_map(Json::from),
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
                OptionKind::Boolean { .. } => json!(options.flag(known.name)),
                OptionKind::Count { .. } => json!(options.count(known.name)),
                OptionKind::Seconds { .. } => json!(options.duration(known.name).as_secs_f64()),
                OptionKind::Word { .. } => json!(options.word(known.name)),
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

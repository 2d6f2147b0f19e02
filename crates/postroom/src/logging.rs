//! The log: one line for each event on standard error, as text or as JSON.
//!
//! Text of servers and messages cannot begin another line or control a terminal, because control
//! characters are escaped in both forms. With `--log-json`, every line is JSON, even the address,
//! errors at the start and panics.

use anyhow::Context;
use anyhow::ensure;
use postroom_model::Timestamp;
use postroom_store::Clock;
use serde_json::json;
use std::fmt::Write as _;
use std::io;
use std::io::Write as _;
use std::sync::OnceLock;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;

/// The environment variable that chooses what is logged.
const VARIABLE: &str = "RUST_LOG";

/// Starts the log. `RUST_LOG` chooses what is logged. Without it, the level `usual` and above is
/// logged.
///
/// # Errors
///
/// `RUST_LOG` is not a valid filter.
pub(crate) fn start(json: bool, usual: LevelFilter) -> anyhow::Result<()> {
    if let Some(asked) = std::env::var_os(VARIABLE) {
        check(&asked.to_string_lossy())?;
    }
    let filter = filter(usual)?;
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // There are no colours, because colours are control characters, and ours could not be told
        // from those of a server.
        .with_ansi(false)
        // It would tell of a failed line on standard error, and panic if that fails too.
        .log_internal_errors(false)
        .with_writer(|| Escaping);
    // A second start keeps the first log. That is not an error.
    if json {
        let log = log.json().with_filter_reloading();
        let handle = log.reload_handle();
        if log.try_init().is_ok() {
            let _ = CHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
        }
    } else {
        let log = log.with_filter_reloading();
        let handle = log.reload_handle();
        if log.try_init().is_ok() {
            let _ = CHANGE.set(Box::new(move |filter| drop(handle.reload(filter))));
        }
    }
    Ok(())
}

/// Changes what is logged, since the log was started.
static CHANGE: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// What is logged: what `RUST_LOG` says, or this level and above.
fn filter(usual: LevelFilter) -> anyhow::Result<EnvFilter> {
    let filter = EnvFilter::builder().with_env_var(VARIABLE).with_default_directive(usual.into());
    let refused = || format!("{VARIABLE} takes a level, or CRATE=LEVEL,CRATE=LEVEL");
    filter.from_env().with_context(refused)
}

/// From now on this level and above is logged. `None`: what `RUST_LOG` says, or `usual`.
///
/// # Errors
///
/// `RUST_LOG` is not a valid filter.
pub(crate) fn change(level: Option<LevelFilter>, usual: LevelFilter) -> anyhow::Result<()> {
    let filter = match level {
        Some(level) => EnvFilter::default().add_directive(level.into()),
        None => filter(usual)?,
    };
    if let Some(change) = CHANGE.get() {
        change(filter);
    }
    Ok(())
}

/// Tells a person the result of a command, on standard output.
#[expect(clippy::print_stdout, reason = "what a person waits for")]
pub(crate) fn say(line: &str) {
    println!("{line}");
}

/// From now on, even a panic is written as JSON.
pub(crate) fn tell_faults_as_json() {
    std::panic::set_hook(Box::new(|fault| {
        complain(true, &format!("a fault of Postroom, please report it: {fault}"));
    }));
}

/// Refuses a word that is not a level, such as `verbose`. Otherwise it would count as the name of a
/// crate, and nothing of all other crates would be logged.
fn check(asked: &str) -> anyhow::Result<()> {
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let is_ours = |word: &str| word.starts_with("postroom");
    for word in asked.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let is_known = word.contains(['=', '[']) || is_level(word) || is_ours(word);
        ensure!(
            is_known,
            "{VARIABLE}: `{word}` is not a level; use off, error, warn, info, debug or trace, and \
             CRATE=LEVEL for one crate"
        );
    }
    Ok(())
}

/// Writes to standard error why the program ends.
pub(crate) fn complain(json: bool, text: &str) {
    // If standard error does not work, nobody can be told.
    let _ = if json {
        writeln!(io::stderr(), "{}", escaped(&line("ERROR", text)))
    } else {
        writeln!(io::stderr(), "postroom: {}", escaped(text))
    };
}

/// Writes to standard output what the person or script that started us waits for.
pub(crate) fn announce(json: bool, text: &str) {
    let text = if json { line("INFO", text) } else { text.to_owned() };
    let mut out = io::stdout().lock();
    // The other end may be closed.
    let _ = writeln!(out, "{}", escaped(&text)).and_then(|()| out.flush());
}

/// A line in the form of the JSON log.
fn line(level: &str, text: &str) -> String {
    let now = Timestamp::from_ms(Clock::system().now_ms()).to_string();
    let fields = json!({"message": text});
    json!({"timestamp": now, "level": level, "fields": fields, "target": "postroom"}).to_string()
}

/// Writes events to standard error, escaped. Each event comes in one piece.
struct Escaping;

impl io::Write for Escaping {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let mut line = escaped(text);
        line.push('\n');
        // A full disk or a closed pipe costs lines of the log, and nothing else.
        let _ = io::stderr().lock().write_all(line.as_bytes());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Escapes every character that ends a line, controls a terminal, or changes the order in which
/// text is shown. The escapes are those of JSON, where such characters occur only in strings.
fn escaped(text: &str) -> String {
    if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return text.to_owned();
    }
    let mut line = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        match char {
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            char if acts(char) => {
                // Writing to a String cannot fail.
                let _ = write!(line, "\\u{:04x}", u32::from(char));
            }
            char => line.push(char),
        }
    }
    line
}

fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}')
        || matches!(char, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_and_acts_on_no_terminal() {
        let table = [
            ("a\r\n2026 INFO forged", "a\\r\\n2026 INFO forged"),
            ("\u{1b}[2Jgone\u{7}\u{9b}31m\u{7f}", "\\u001b[2Jgone\\u0007\\u009b31m\\u007f"),
            ("\u{2028}next\u{202e}txt.exe", "\\u2028next\\u202etxt.exe"),
            ("Grüße 北京 😀 \"q\" \\n", "Grüße 北京 😀 \"q\" \\n"),
        ];
        for (text, want) in table {
            assert_eq!(escaped(text), want);
        }
    }

    #[test]
    fn a_word_that_is_no_level_is_refused() {
        for good in ["", "info", "INFO", "warn,postroom_api=debug", "postroom_imap", "off", "3"] {
            assert!(check(good).is_ok(), "{good}");
        }
        for bad in ["verbose", "info,all", "\u{fffd}"] {
            assert!(check(bad).unwrap_err().to_string().contains("is not a level"), "{bad}");
        }
    }

    #[test]
    fn a_line_of_json_is_json_with_the_text_in_it() {
        let text = "a\"b\r\n\u{9b}\u{7f}\u{2028}ü";
        let line = escaped(&line("ERROR", text));
        assert!(!line.chars().any(acts), "{line}");
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&json["fields"]["message"], &json["level"]), (&text.into(), &"ERROR".into()));
    }
}

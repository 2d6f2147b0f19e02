//! SQL functions that compare texts with patterns. SQLite's own functions know the case only of
//! ASCII, search a text again for each `%`, and cannot be interrupted.
//!
//! An argument that is NULL, or no UTF-8, gives NULL.

use crate::error::Error;
use crate::sqlite::statement;
use memchr::memmem::Finder;
use postroom_model::fold;
use postroom_model::like;
use postroom_model::like::Effort;
use postroom_model::like::Pattern;
use postroom_model::like::TimeIsUp;
use rusqlite::Connection;
use rusqlite::ffi;
use rusqlite::functions::Context;
use rusqlite::functions::FunctionFlags;
use rusqlite::types::ValueRef;
use std::convert::Infallible;
use std::sync::Arc;

/// Whether a text matches a pattern.
pub(crate) const LIKE: &str = "postroom_like";
/// Whether a text contains another one.
pub(crate) const HAS: &str = "postroom_has";
/// Whether a text begins with another one.
pub(crate) const BEGINS: &str = "postroom_begins";

/// How much is folded at once.
const FOLD_BYTES: usize = 64 << 10;

/// Says whether the time of a connection's query is over.
pub(crate) type IsOver = Arc<dyn Fn() -> bool + Send + Sync>;

/// Adds the functions to a connection.
///
/// # Errors
///
/// When the database does not take them.
pub(crate) fn teach(connection: &Connection, is_over: &IsOver) -> Result<(), Error> {
    define(connection, LIKE, is_over, Pattern::new, |text, pattern, effort| {
        pattern.matches(&folded(text, effort)?, effort)
    })?;
    let finder = |text: &str| Finder::new(text).into_owned();
    define(connection, HAS, is_over, finder, |text, finder, effort| {
        Ok(like::place(finder, &folded(text, effort)?, effort)?.is_some())
    })?;
    define(connection, BEGINS, is_over, str::to_owned, |text, start, effort| {
        begins(text, start, effort)
    })
}

/// Defines a function that compares a text with a second argument. The second argument is folded
/// and prepared once for all rows.
fn define<T: Send + Sync + 'static>(
    connection: &Connection,
    name: &str,
    is_over: &IsOver,
    prepare: impl Fn(&str) -> T + Send + 'static,
    compare: impl Fn(&str, &T, &mut Effort<'_>) -> Result<bool, TimeIsUp> + Send + 'static,
) -> Result<(), Error> {
    let flags = FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_INNOCUOUS;
    let is_over = Arc::clone(is_over);
    let defined = connection.create_scalar_function(name, 2, flags, move |context| {
        let Some(text) = text_of(context, 0) else {
            return Ok(None);
        };
        let prepared = context.get_or_create_aux(1, |_| {
            Ok::<_, Infallible>(text_of(context, 1).map(|other| prepare(&fold(other))))
        })?;
        let Some(prepared) = prepared.as_ref() else {
            return Ok(None);
        };
        let is_over = || is_over();
        compare(text, prepared, &mut Effort::new(&is_over)).map(Some).map_err(interrupted)
    });
    defined.map_err(statement::failed)
}

fn text_of<'a>(context: &'a Context<'_>, argument: usize) -> Option<&'a str> {
    match context.get_raw(argument) {
        ValueRef::Text(bytes) => str::from_utf8(bytes).ok(),
        ValueRef::Null | ValueRef::Integer(_) | ValueRef::Real(_) | ValueRef::Blob(_) => None,
    }
}

/// The error of SQLite for an interrupted query.
fn interrupted(_: TimeIsUp) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_INTERRUPT), None)
}

fn folded(text: &str, effort: &mut Effort<'_>) -> Result<String, TimeIsUp> {
    if text.len() <= FOLD_BYTES {
        effort.spend(text.len())?;
        return Ok(fold(text));
    }
    let mut folded = String::with_capacity(text.len());
    for piece in pieces(text) {
        effort.spend(piece.len())?;
        folded.push_str(&fold(piece));
    }
    Ok(folded)
}

/// Whether a text begins with a folded one. Only as much of the text is folded as is needed.
fn begins(text: &str, start: &str, effort: &mut Effort<'_>) -> Result<bool, TimeIsUp> {
    let mut start = start;
    for piece in pieces(text) {
        if start.is_empty() {
            break;
        }
        effort.spend(piece.len())?;
        // Folding makes no text shorter than the number of its characters.
        let enough = piece.char_indices().nth(start.len()).map_or(piece.len(), |(at, _)| at);
        let folded = fold(piece.get(..enough).unwrap_or(piece));
        let length = folded.len().min(start.len());
        if folded.as_bytes().get(..length) != start.as_bytes().get(..length) {
            return Ok(false);
        }
        // `length` may lie within a character of one of them only when they differ there.
        start = start.get(length..).unwrap_or_default();
    }
    Ok(start.is_empty())
}

/// A text in pieces that can be folded by themselves.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (piece, behind) = rest.split_at(rest.floor_char_boundary(FOLD_BYTES));
        rest = behind;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering;

    fn connection(is_over: &Arc<AtomicBool>) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        let is_over = Arc::clone(is_over);
        let is_over: IsOver = Arc::new(move || is_over.load(Ordering::Relaxed));
        teach(&connection, &is_over).unwrap();
        connection
    }

    #[test]
    fn texts_are_compared_whatever_their_case_and_null_stays_null() {
        let connection = connection(&Arc::default());
        let long = |end: &str| format!("{}{end}", "ÄßΣ".repeat(FOLD_BYTES));
        #[rustfmt::skip]
        let table = [
            (LIKE,   Some("Grüße"),   Some("GR_SSE"),  Some(true)),
            (LIKE,   Some("ΟΔΟΣ"),    Some("%ς"),      Some(true)),
            (LIKE,   Some("abc"),     Some("b"),       Some(false)),
            (LIKE,   None,            Some("%"),       None),
            (LIKE,   Some("abc"),     None,            None),
            (HAS,    Some("Straße"),  Some("ASS"),     Some(true)),
            (HAS,    Some("Straße"),  Some("as%"),     Some(false)),
            (HAS,    Some("any"),     Some(""),        Some(true)),
            (HAS,    None,            Some("a"),       None),
            (BEGINS, Some("ßa"),      Some("SS"),      Some(true)),
            (BEGINS, Some("ßa"),      Some("ssab"),    Some(false)),
            (BEGINS, Some("ﬃx"),      Some("ff"),      Some(true)),
            (BEGINS, Some("é"),       Some("è"),       Some(false)),
            (BEGINS, Some(""),        Some(""),        Some(true)),
            (BEGINS, Some("a"),       Some("a%"),      Some(false)),
        ];
        let ask = |function: &str, text: Option<&str>, other: Option<&str>| {
            let sql = format!("SELECT {function}(?1, ?2)");
            connection.query_row(&sql, (text, other), |row| row.get::<_, Option<bool>>(0)).unwrap()
        };
        for (function, text, other, want) in table {
            assert_eq!(ask(function, text, other), want, "{function} {text:?} {other:?}");
        }
        let (text, start) = (long("x"), long("X"));
        for function in [LIKE, HAS, BEGINS] {
            assert_eq!(ask(function, Some(&text), Some(&start)), Some(true));
            assert_eq!(ask(function, Some(&text), Some(&long("y"))), Some(false));
        }
    }

    proptest! {
        #[test]
        fn a_text_begins_as_its_folded_form_does(text in "[aßΣéﬃ]{0,6}", start in "[aAßsSσς]{0,4}") {
            let want = fold(&text).starts_with(&fold(&start));
            let found = begins(&text, &fold(&start), &mut Effort::new(&|| false));
            prop_assert_eq!(found, Ok(want));
        }
    }

    #[test]
    fn a_call_that_takes_too_long_is_interrupted() {
        let is_over = Arc::new(AtomicBool::new(true));
        let connection = connection(&is_over);
        let text = "a".repeat(1 << 20);
        for function in [LIKE, HAS, BEGINS] {
            let sql = format!("SELECT {function}(?1, ?1 || '%')");
            let ask = || connection.query_row(&sql, [&text], |row| row.get::<_, bool>(0));
            is_over.store(true, Ordering::Relaxed);
            let error = statement::failed(ask().unwrap_err());
            assert!(matches!(error, Error::TooSlow), "{function}: {error}");
            is_over.store(false, Ordering::Relaxed);
            assert_eq!(ask().unwrap(), function == LIKE);
        }
    }
}

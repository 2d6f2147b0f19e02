//! The form of nearly all dates: `Mon, 23 Nov 2026 10:00:00 +0100 (CET)`.
//!
//! Standards: RFC 5322 §3.3.

use crate::date::names::WEEKDAYS;
use crate::date::names::begins;
use crate::date::names::month;
use crate::date::read::Date;
use crate::date::read::TEXT_BYTES_MAX;
use crate::date::read::number;

/// Reads a date. `None` if it has another form, or something in it is out of its range.
pub(crate) fn read(text: &str) -> Option<Date<'static>> {
    let (weekday, rest) = text.trim_matches([' ', '\t']).split_at_checked(3)?;
    let (day, rest) = rest.strip_prefix(", ")?.split_once(' ')?;
    let [_, _, _, b' ', _, _, _, _, b' ', _, _, b':', _, _, b':', _, _, b' ', sign, ..] =
        rest.as_bytes()
    else {
        return None;
    };
    let digits = |start, end| rest.get(start..end).and_then(number);
    let (hour, minute, second) = (digits(9, 11)?, digits(12, 14)?, digits(15, 17)?);
    let (zone_hour, zone_minute) = (digits(19, 21)?, digits(21, 23)?);
    let east = match sign {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let after = rest.get(23..)?;
    let comment = after.strip_prefix(" (").and_then(|after| after.strip_suffix(')'));
    let is_usual = WEEKDAYS.iter().any(|name| begins(name, weekday))
        && (hour < 24 && minute < 60 && second < 60 && zone_hour < 24 && zone_minute < 60)
        && (after.is_empty() || comment.is_some_and(|comment| !comment.contains(['(', ')'])))
        && text.len() <= TEXT_BYTES_MAX;
    let date = Date {
        day: Some(number(day).filter(|value| day.len() <= 3 && *value <= 31)?),
        month: Some(month(rest.get(..3)?)?),
        year: Some(digits(4, 8)?),
        time: Some(hour * 3600 + minute * 60 + second),
        zone: Some(east * (zone_hour * 60 + zone_minute)),
        has_offset: true,
        ..Date::default()
    };
    is_usual.then_some(date)
}

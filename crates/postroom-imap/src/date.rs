//! INTERNALDATE, read leniently and written strictly.
//!
//! Standards: RFC 3501 §9 (`date-time`).

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAY_MS: i64 = 86_400_000;

/// Reads `" 1-Jan-2020 00:00:00 +0100"` as Unix milliseconds.
///
/// The day may have one digit. If the zone is missing, it is UTC. `None` for a text that is not a
/// date, for impossible days and zones, and for 1970 and earlier, because servers write such dates
/// if they do not know the date.
pub(crate) fn parse(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next());
    let mut parts = date.splitn(3, '-');
    let day: i64 = parts.next()?.parse().ok()?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    let month = i64::try_from(month).ok()? + 1;
    let year: i64 = parts.next()?.parse().ok()?;
    let mut parts = time.splitn(3, ':');
    let hour: i64 = parts.next()?.parse().ok()?;
    let minute: i64 = parts.next()?.parse().ok()?;
    let second: i64 = parts.next()?.parse().ok()?;
    let clock_fits =
        (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    if !clock_fits || !(1971..=9999).contains(&year) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second - zone_seconds(zone.unwrap_or("+0000"))?;
    Some(days_from_civil(year, month, day) * DAY_MS + seconds * 1000)
}

/// Writes Unix milliseconds as a date-time in UTC, quoted. Years outside 1 to 9999 are clamped.
pub(crate) fn write(ms: i64) -> String {
    let ms = ms.clamp(-62_135_596_800_000, 253_402_300_799_000);
    let (days, rest) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS) / 1000);
    let (year, month, day) = civil_from_days(days);
    let name = usize::try_from(month - 1).ok().and_then(|at| MONTHS.get(at)).unwrap_or(&"Jan");
    let (hour, minute, second) = (rest / 3600, rest / 60 % 60, rest % 60);
    format!("\"{day:2}-{name}-{year:04} {hour:02}:{minute:02}:{second:02} +0000\"")
}

fn zone_seconds(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return matches!(zone, "UT" | "UTC" | "GMT" | "Z").then_some(0),
    };
    let [a @ b'0'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', d @ b'0'..=b'9'] = digits else {
        return None;
    };
    let number = |high: &u8, low: &u8| i64::from(high - b'0') * 10 + i64::from(low - b'0');
    let (hours, minutes) = (number(a, b), number(c, d));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970 of a date of the proleptic Gregorian calendar. A year begins in March here, so
/// that the leap day is its last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The inverse of [`days_from_civil`].
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (era * 400 + year + carry, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn dates_of_servers() {
        #[rustfmt::skip]
        let table: &[(&str, Option<i64>)] = &[
            ("17-Jul-1996 02:44:25 -0700", Some(837_596_665_000)),
            (" 1-Jan-2020 00:00:00 +0000", Some(1_577_836_800_000)),
            ("1-Jan-2020 00:00:00 +0000",  Some(1_577_836_800_000)),
            ("01-Jan-2020 00:00:00",       Some(1_577_836_800_000)),
            ("01-jan-2020 00:00:00 GMT",   Some(1_577_836_800_000)),
            ("29-Feb-2024 12:00:00 +0530", Some(1_709_188_200_000)),
            ("29-Feb-2023 12:00:00 +0530", None),
            ("00-Jan-1970 00:00:00 +0000", None),
            ("01-Jan-1970 00:00:00 +0000", None),
            ("01-Jan-2020 00:00:00 +9999", None),
            ("01-Jan-2020 25:00:00 +0000", None),
            ("01-Foo-2020 00:00:00 +0000", None),
            ("-1-Jan-2020 00:00:00 +0000", None),
            ("",                           None),
        ];
        for (text, want) in table {
            assert_eq!(parse(text.as_bytes()), *want, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 31_536_000_i64..253_402_300_799) {
            let text = write(seconds * 1000);
            prop_assert_eq!(parse(text.trim_matches('"').as_bytes()), Some(seconds * 1000));
        }

        #[test]
        fn any_number_and_any_text_have_an_answer(ms: i64, text: Vec<u8>) {
            prop_assert_eq!(write(ms).len(), 28);
            let _ = parse(&text);
        }
    }
}

//! Dates as IMAP writes them (RFC 3501 §9: `date-time`, `date`).

use jiff::Timestamp;
use jiff::ZonedDateTime;
use jiff::civil::Date;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

const DATE_TIME: &str = "%d-%b-%Y %H:%M:%S %z";

/// `01-Feb-2024 10:00:00 +0000`, always in UTC, for Unix time in milliseconds.
pub(crate) fn internal_date(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    ZonedDateTime::new(at, TimeZone::UTC).strftime(DATE_TIME).to_string()
}

/// Unix time in milliseconds of a `date-time`; the day may have a space for its first digit.
pub(crate) fn parse_internal_date(text: &str) -> Option<i64> {
    let parsed = strtime::parse(DATE_TIME, text.trim_start()).ok()?;
    Some(parsed.to_timestamp().ok()?.as_millisecond())
}

/// The day of a `date` such as `1-Feb-2024`.
pub(crate) fn parse_day(text: &str) -> Option<Date> {
    strtime::parse("%d-%b-%Y", text).ok()?.to_date().ok()
}

/// The day of Unix time in milliseconds, in UTC.
pub(crate) fn day(ms: i64) -> Date {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
    TimeZone::UTC.to_datetime(at).date()
}

/// The day of a `Date` header field, as it is written there.
pub(crate) fn header_day(value: &str) -> Option<Date> {
    let value = value.split_once(',').map_or(value, |(_, after)| after);
    let mut words = value.split_ascii_whitespace();
    parse_day(&format!("{}-{}-{}", words.next()?, words.next()?, words.next()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written() {
        assert_eq!(internal_date(1_706_781_600_000), "01-Feb-2024 10:00:00 +0000");
        assert_eq!(parse_internal_date("01-Feb-2024 12:00:00 +0200"), Some(1_706_781_600_000));
        assert_eq!(parse_internal_date(" 1-Feb-2024 10:00:00 +0000"), Some(1_706_781_600_000));
        assert_eq!(parse_internal_date("31-Feb-2024 10:00:00 +0000"), None);
        assert_eq!(parse_day("1-Feb-2024"), Some(day(1_706_781_600_000)));
        assert_eq!(header_day("Thu, 1 Feb 2024 10:00:00 +0000"), Some(day(1_706_781_600_000)));
        assert_eq!(header_day("soon"), None);
    }
}

//! A moment, as the data model writes it.
//!
//! Standards: RFC 3339.

use jiff::civil::DateTime;
use jiff::civil::date;
use jiff::fmt::temporal::Pieces;
use std::fmt;

/// 1970-01-01T00:00:00.
const EPOCH: DateTime = date(1970, 1, 1).at(0, 0, 0, 0);

/// A moment in UTC, in milliseconds since 1970-01-01T00:00:00Z; years 0000 to 9999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

/// Why a text is not a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotATimestamp {
    /// It does not have the form of RFC 3339.
    #[error("takes a time as in RFC 3339, with an offset: 2026-11-23T10:00:00.000Z")]
    Form,
    /// Its year is out of range.
    #[error("takes a time from 0000-01-01T00:00:00.000Z to 9999-12-31T23:59:59.999Z")]
    Range,
}

/// 0000-01-01T00:00:00.000Z.
const EARLIEST_MS: i64 = -62_167_219_200_000;
/// 9999-12-31T23:59:59.999Z.
const LATEST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// A moment from milliseconds since 1970. It is clamped to the years 0000 to 9999.
    #[must_use]
    pub fn from_ms(ms: i64) -> Self {
        Self(ms.clamp(EARLIEST_MS, LATEST_MS))
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn as_ms(self) -> i64 {
        self.0
    }

    /// Reads RFC 3339 with any offset; fractions beyond the millisecond are cut.
    ///
    /// # Errors
    ///
    /// [`NotATimestamp`] when the text is of another form, or its year is outside 0000 to 9999.
    pub fn parse(text: &str) -> Result<Self, NotATimestamp> {
        // Date, time and offset are read separately, because jiff's range ends a day before the
        // year 9999 does.
        let text = text.trim();
        let digits = text.trim_start_matches(['+', '-']).find(|char: char| !char.is_ascii_digit());
        if digits.is_some_and(|digits| digits > 4) && text.contains('T') {
            return Err(NotATimestamp::Range);
        }
        let pieces = Pieces::parse(text).map_err(|_| NotATimestamp::Form)?;
        let (Some(time), Some(offset)) = (pieces.time(), pieces.to_numeric_offset()) else {
            return Err(NotATimestamp::Form);
        };
        if pieces.time_zone_annotation().is_some() {
            return Err(NotATimestamp::Form);
        }
        let local = pieces.date().to_datetime(time).duration_since(EPOCH);
        let local_ms =
            local.as_secs() * 1000 + i64::from(local.subsec_nanos().div_euclid(1_000_000));
        let ms = local_ms - i64::from(offset.seconds()) * 1000;
        if !(EARLIEST_MS..=LATEST_MS).contains(&ms) {
            return Err(NotATimestamp::Range);
        }
        Ok(Self(ms))
    }

    /// Reads a time of a header field: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110 §5.6.7). `None`
    /// for another form.
    #[must_use]
    pub fn parse_http(text: &str) -> Option<Self> {
        let moment = jiff::fmt::rfc2822::parse(text.trim()).ok()?;
        Some(Self::from_ms(moment.timestamp().as_millisecond()))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let days = self.0.div_euclid(86_400_000);
        let of_day = self.0.rem_euclid(86_400_000);
        let (year, month, day) = civil_from_days(days);
        let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
        let (second, ms) = (of_day / 1000 % 60, of_day % 1000);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
    }
}

/// The proleptic Gregorian date of a day count since 1970-01-01.
///
/// It is hand-written because every received message formats several moments, and this is ten times
/// as fast as a general formatter.
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_can_be_read() {
        let table = [
            ("2026-11-23T10:00:00Z", "2026-11-23T10:00:00.000Z"),
            ("2026-11-23T10:00:00.1234+02:00", "2026-11-23T08:00:00.123Z"),
            ("1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z"),
            ("1969-12-31T23:59:59.9999Z", "1969-12-31T23:59:59.999Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-31T23:59:59Z", "9999-12-31T23:59:59.000Z"),
            ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59.999+14:00", "9999-12-31T09:59:59.999Z"),
            ("2026-11-23t10:00:00z", "2026-11-23T10:00:00.000Z"),
        ];
        for (text, want) in table {
            assert_eq!(Timestamp::parse(text).unwrap().to_string(), want, "{text}");
        }
    }

    #[test]
    fn other_forms_are_refused() {
        #[rustfmt::skip]
        let table = [
            "", "yesterday", "2026-11-23", "2026-11-23T10:00:00", "1795428000000", "10:00:00Z",
            "2026-02-30T10:00:00Z", "2026-11-23T25:00:00Z", "2026-11-23T10:00:00+01:00[Europe/Berlin]",
        ];
        for text in table {
            assert_eq!(Timestamp::parse(text), Err(NotATimestamp::Form), "{text}");
        }
        for text in
            ["9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+00:01", "-000001-01-01T00:00:00Z"]
        {
            assert_eq!(Timestamp::parse(text), Err(NotATimestamp::Range), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_millisecond_survives(ms in EARLIEST_MS..=LATEST_MS) {
            let moment = Timestamp::from_ms(ms);
            prop_assert_eq!(Timestamp::parse(&moment.to_string()).unwrap(), moment);
        }
    }
}

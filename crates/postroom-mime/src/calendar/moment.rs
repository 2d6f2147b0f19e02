//! Dates and times of calendars (RFC 5545 §3.3.4, §3.3.5, §3.3.6).

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::calendar::content_line::ContentLine;
use crate::calendar::defined_zone::DefinedZones;
use crate::calendar::zone;

/// When something is, as the calendar says it and as everyone understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// `2026-07-25` for a whole day, `2026-07-25T10:00:00` for a time on the wall of `zone`.
    pub local: String,
    /// The time zone as the calendar names it, `UTC` for UTC. `None` means the zone of the reader.
    pub zone: Option<String>,
    /// Unix time in milliseconds, if the zone is known.
    pub utc_ms: Option<i64>,
    /// Whether it is a whole day, which has no time and no zone.
    pub is_day: bool,
}

impl Moment {
    /// Reads the value of a property. `None` if it is no date or time.
    pub fn read(line: &ContentLine, zones: &DefinedZones) -> Option<Self> {
        let value = line.value.trim();
        let Some((day, time)) = value.split_once(['T', 't']) else {
            return date(value).map(Self::day);
        };
        let (time, is_utc) = match time.strip_suffix(['Z', 'z']) {
            Some(time) => (time, true),
            None => (time, false),
        };
        let datetime = DateTime::from_parts(date(day)?, clock(time)?);
        let zone = if is_utc {
            Some("UTC".to_owned())
        } else {
            line.parameter("TZID").map(|zone| zone.trim().chars().take(200).collect())
        };
        Some(Self::time(datetime, zone, zones))
    }

    fn day(date: Date) -> Self {
        Self { local: date.to_string(), zone: None, utc_ms: None, is_day: true }
    }

    fn time(datetime: DateTime, zone: Option<String>, zones: &DefinedZones) -> Self {
        let known = zone.as_deref().and_then(|name| known_zone(name, zones));
        let timestamp = known.and_then(|zone| zone.to_timestamp(datetime).ok());
        Self {
            local: datetime.strftime("%Y-%m-%dT%H:%M:%S").to_string(),
            zone,
            utc_ms: timestamp.map(Timestamp::as_millisecond),
            is_day: false,
        }
    }
}

/// Returns the end of what begins at `start` and lasts `duration`: days are days on the calendar,
/// hours are exact.
pub(crate) fn duration_end(start: &Moment, duration: &str, zones: &DefinedZones) -> Option<Moment> {
    let (days, seconds) = duration_of(duration)?;
    let days = jiff::Span::new().try_days(days).ok()?;
    if start.is_day {
        let date: Date = start.local.parse().ok()?;
        return Some(Moment::day(date.checked_add(days).ok()?));
    }
    let datetime: DateTime = start.local.parse().ok()?;
    let datetime = datetime.checked_add(days).ok()?;
    let exact = jiff::SignedDuration::from_secs(seconds);
    let zone = start.zone.as_deref().and_then(|name| known_zone(name, zones));
    let Some(zone) = zone else {
        return Some(Moment::time(datetime.checked_add(exact).ok()?, start.zone.clone(), zones));
    };
    let end = zone.to_timestamp(datetime).ok()?.checked_add(exact).ok()?;
    let mut moment = Moment::time(zone.to_datetime(end), start.zone.clone(), zones);
    moment.utc_ms = Some(end.as_millisecond());
    Some(moment)
}

/// The zone of a name that everybody knows, else of one that the calendar defines.
fn known_zone(name: &str, zones: &DefinedZones) -> Option<TimeZone> {
    if name == "UTC" {
        return Some(TimeZone::UTC);
    }
    zone::find(name).or_else(|| zones.find(name))
}

/// Reads a duration as days and seconds.
fn duration_of(text: &str) -> Option<(i64, i64)> {
    let text = text.trim().to_ascii_uppercase();
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (-1, text.to_owned()),
        None => (1, text.trim_start_matches('+').to_owned()),
    };
    let mut days: i64 = 0;
    let mut seconds: i64 = 0;
    let mut number: Option<i64> = None;
    for char in text.strip_prefix('P')?.chars() {
        if let Some(digit) = char.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())?);
            continue;
        }
        if char == 'T' {
            continue;
        }
        let count = number.take()?;
        let (total, unit) = match char {
            'W' => (&mut days, 7),
            'D' => (&mut days, 1),
            'H' => (&mut seconds, 3600),
            'M' => (&mut seconds, 60),
            'S' => (&mut seconds, 1),
            _ => return None,
        };
        *total = total.checked_add(count.checked_mul(unit)?)?;
    }
    Some((sign * days, sign * seconds))
}

fn date(text: &str) -> Option<Date> {
    let digits = digits(text, 8)?;
    Date::new(
        i16::try_from(digits / 10_000).ok()?,
        i8::try_from(digits / 100 % 100).ok()?,
        i8::try_from(digits % 100).ok()?,
    )
    .ok()
}

fn clock(text: &str) -> Option<Time> {
    // Seconds are left out by some, and may be those of a leap second.
    let digits = if text.len() == 4 { digits(text, 4)? * 100 } else { digits(text, 6)? };
    Time::new(
        i8::try_from(digits / 10_000).ok()?,
        i8::try_from(digits / 100 % 100).ok()?,
        i8::try_from(digits % 100).ok()?.min(59),
        0,
    )
    .ok()
}

fn digits(text: &str, count: usize) -> Option<u32> {
    let good = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    good.then(|| text.parse().ok()).flatten()
}

//! Time zones that a calendar defines itself (VTIMEZONE, RFC 5545 §3.6.5), as rules of POSIX.
//!
//! ```text
//!   STANDARD   TZOFFSETTO:+0100  DTSTART:16011028T030000  RRULE:…;BYDAY=-1SU;BYMONTH=10 ─┐
//!   DAYLIGHT   TZOFFSETTO:+0200  DTSTART:16010325T020000  RRULE:…;BYDAY=-1SU;BYMONTH=3 ──┴─►
//!              STD-1DST-2,M3.5.0/2,M10.5.0/3
//! ```
//! They matter where the name says nothing: `Customized Time Zone`. Of the rules of earlier years
//! and the present ones the last counts.

use crate::calendar::content_line::ContentLine;
use jiff::tz::TimeZone;

/// More zones of one calendar are left out.
const ZONES_MAX: usize = 50;
const DAYS: [&str; 7] = ["SU", "MO", "TU", "WE", "TH", "FR", "SA"];

/// The zones that a calendar defines.
#[derive(Debug, Default)]
pub struct DefinedZones {
    zones: Vec<Zone>,
    /// The open components below the calendar.
    open: Vec<String>,
}

#[derive(Debug, Default)]
struct Zone {
    name: String,
    standard: Option<Observance>,
    daylight: Option<Observance>,
    /// The one that is being read.
    present: Observance,
}

/// What holds for a part of the year.
#[derive(Debug, Default, Clone)]
struct Observance {
    /// TZOFFSETTO, in seconds.
    offset_seconds: Option<i32>,
    /// When it began first, as it is written.
    begin: String,
    /// When it begins each year, as POSIX says it: `M3.5.0`.
    rule: Option<String>,
}

impl DefinedZones {
    /// Takes a line of the calendar.
    pub fn line(&mut self, line: &ContentLine) {
        match line.name.as_str() {
            "BEGIN" => self.begin(line.value.trim().to_ascii_uppercase()),
            "END" => self.end(),
            _ => self.property(line),
        }
    }

    /// The zone of that name.
    pub fn find(&self, name: &str) -> Option<TimeZone> {
        let zone = self.zones.iter().find(|zone| zone.name == name)?;
        TimeZone::posix(&zone.posix()?).ok()
    }

    fn begin(&mut self, component: String) {
        // The calendar itself, a zone, and what is in it.
        if self.open.len() == 1 && component == "VTIMEZONE" && self.zones.len() < ZONES_MAX {
            self.zones.push(Zone::default());
        }
        self.open.push(component);
    }

    fn end(&mut self) {
        let component = self.open.pop().unwrap_or_default();
        if self.open.last().is_some_and(|around| around == "VTIMEZONE")
            && let Some(zone) = self.zones.last_mut()
        {
            let present = std::mem::take(&mut zone.present);
            let place = match component.as_str() {
                "STANDARD" => &mut zone.standard,
                "DAYLIGHT" => &mut zone.daylight,
                _ => return,
            };
            if place.as_ref().is_none_or(|before| before.begin <= present.begin) {
                *place = Some(present);
            }
        }
    }

    fn property(&mut self, line: &ContentLine) {
        let [_, around, inner @ ..] = self.open.as_slice() else {
            return;
        };
        let Some(zone) = self.zones.last_mut().filter(|_| around == "VTIMEZONE") else {
            return;
        };
        let value = line.value.trim();
        match (line.name.as_str(), inner) {
            ("TZID", []) => value.clone_into(&mut zone.name),
            ("TZOFFSETTO", [_]) => zone.present.offset_seconds = offset(value),
            ("DTSTART", [_]) => value.clone_into(&mut zone.present.begin),
            ("RRULE", [_]) => zone.present.rule = rule(value),
            _ => {}
        }
    }
}

impl Zone {
    /// The zone as POSIX writes it. `None` when its rules are none that it knows.
    fn posix(&self) -> Option<String> {
        let standard = self.standard.as_ref().or(self.daylight.as_ref())?;
        let daylight = self.daylight.as_ref().unwrap_or(standard);
        let (offset, other) = (standard.offset_seconds?, daylight.offset_seconds?);
        if offset == other {
            return Some(format!("STD{}", posix_offset(offset)));
        }
        Some(format!(
            "STD{}DST{},{},{}",
            posix_offset(offset),
            posix_offset(other),
            daylight.change()?,
            standard.change()?,
        ))
    }
}

impl Observance {
    /// When it begins each year: `M3.5.0/2`.
    fn change(&self) -> Option<String> {
        let (_, time) = self.begin.split_once(['T', 't'])?;
        let hours: u32 = time.get(..2)?.parse().ok()?;
        let minutes: u32 = time.get(2..4)?.parse().ok()?;
        Some(format!("{}/{hours}:{minutes:02}", self.rule.as_ref()?))
    }
}

/// Reads `+0100` or `-033015` as seconds east of Greenwich.
fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let part = |from: usize| digits.get(from..from + 2)?.parse::<u8>().ok().map(i32::from);
    let seconds = if digits.len() > 4 { part(4)? } else { 0 };
    Some(sign * (part(0)? * 3600 + part(2)? * 60 + seconds))
}

/// Seconds east of Greenwich as POSIX writes them: hours west.
fn posix_offset(seconds: i32) -> String {
    let sign = if seconds > 0 { "-" } else { "" };
    let all = seconds.unsigned_abs();
    format!("{sign}{}:{:02}:{:02}", all / 3600, all / 60 % 60, all % 60)
}

/// Reads a rule for one weekday of one month each year: `BYDAY=-1SU;BYMONTH=10`, or the weekday and
/// the days of the month among which it is.
fn rule(text: &str) -> Option<String> {
    let text = text.to_ascii_uppercase();
    let part = |name: &str| {
        let mut parts = text.split(';').filter_map(|part| part.split_once('='));
        parts.find(|(key, _)| *key == name).map(|(_, value)| value)
    };
    if part("FREQ") != Some("YEARLY") || part("UNTIL").is_some() {
        return None;
    }
    let month: u8 = part("BYMONTH")?.parse().ok()?;
    let by_day = part("BYDAY")?;
    let (number, day) = by_day.split_at_checked(by_day.len().checked_sub(2)?)?;
    let day = DAYS.iter().position(|name| *name == day)?;
    let number = if number.is_empty() { part("BYSETPOS").unwrap_or_default() } else { number };
    let week = match number.parse::<i8>() {
        Ok(-1) => 5,
        Ok(week @ 1..=5) => week,
        Ok(_) => return None,
        // The first of seven days, such as 8 to 14.
        Err(_) => match part("BYMONTHDAY")?.split(',').next()?.parse::<i8>().ok()? {
            first @ 1..=22 if first % 7 == 1 => first / 7 + 1,
            23..=31 | -7 => 5,
            _ => return None,
        },
    };
    Some(format!("M{month}.{week}.{day}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(lines: &str) -> Option<String> {
        let mut zones = DefinedZones::default();
        let text = format!("BEGIN:VCALENDAR\nBEGIN:VTIMEZONE\nTZID:x\n{lines}\nEND:VTIMEZONE");
        for line in text.split('\n').filter_map(ContentLine::read) {
            zones.line(&line);
        }
        zones.zones.first()?.posix().filter(|posix| TimeZone::posix(posix).is_ok())
    }

    #[test]
    fn rules_become_those_of_posix() {
        let standard = |offset: &str, rule: &str| {
            format!(
                "BEGIN:STANDARD\nTZOFFSETTO:{offset}\nDTSTART:16010101T030000\n{rule}\nEND:STANDARD\n"
            )
        };
        let daylight = |rule: &str| {
            format!(
                "BEGIN:DAYLIGHT\nTZOFFSETTO:+0200\nDTSTART:16010101T020000\n{rule}\nEND:DAYLIGHT\n"
            )
        };
        let october = standard("+0100", "RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10");
        #[rustfmt::skip]
        let table = [
            (standard("+0530", ""), Some("STD-5:30:00")),
            (standard("-0330", ""), Some("STD3:30:00")),
            (standard("+0000", ""), Some("STD0:00:00")),
            (format!("{october}{}", daylight("RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3")), Some("STD-1:00:00DST-2:00:00,M3.5.0/2:00,M10.5.0/3:00")),
            (format!("{october}{}", daylight("RRULE:FREQ=YEARLY;BYMONTHDAY=8,9,10,11,12,13,14;BYDAY=SU;BYMONTH=3")), Some("STD-1:00:00DST-2:00:00,M3.2.0/2:00,M10.5.0/3:00")),
            (format!("{october}{}", daylight("RRULE:FREQ=YEARLY;BYSETPOS=1;BYDAY=MO;BYMONTH=4")), Some("STD-1:00:00DST-2:00:00,M4.1.1/2:00,M10.5.0/3:00")),
            // What began last counts, wherever it stands.
            (format!("{}{}", standard("+0300", "").replace("1601", "2014"), standard("+0400", "")), Some("STD-3:00:00")),
            (format!("{october}{}", daylight("")), None),
            (format!("{october}{}", daylight("RRULE:FREQ=YEARLY;BYDAY=-1SU;BYMONTH=3;UNTIL=20200101T000000Z")), None),
            (standard("east", ""), None),
            (standard("+9900", ""), None),
            (String::new(), None),
        ];
        for (lines, want) in table {
            assert_eq!(zone(&lines).as_deref(), want, "{lines}");
        }
    }
}

//! Dates as mail writes them.
//!
//! The parser accepts day or month first; full or short names in any case, in English, Swedish,
//! Danish, Norwegian, Dutch and German; years of two digits; missing seconds or zone; zones of
//! three digits or by name; and the forms of RFC 850, asctime and ISO 8601. An impossible date (30
//! February, the year 9999, a zone of 24 hours) is not a date.
//!
//! Standards: RFC 5322 §3.3, §4.3.

use crate::date::names::WEEKDAYS;
use crate::date::names::ZONES;
use crate::date::names::begins;
use crate::date::names::month;
use crate::date::read::Date;
use crate::date::read::TEXT_BYTES_MAX;
use crate::date::read::number;

mod names;
mod read;
mod usual;

/// Years that a date can be of. 9999 is what programs write for "never".
const YEARS: std::ops::RangeInclusive<i64> = 1900..=9998;
/// `2026-11-23`.
const ISO_DATE_BYTES: usize = 10;

/// Reads a date; Unix time in milliseconds. Without a zone it is taken as UTC.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    match usual::read(text) {
        Some(date) => date.unix_ms(),
        None => by_words(text),
    }
}

/// Reads a date of any form.
fn by_words(text: &str) -> Option<i64> {
    let start = text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default();
    let mut text = without_comments(start);
    if text.contains(" :") || text.contains(": ") {
        text = joined_clock(&text);
    }
    text.make_ascii_lowercase();
    // Tuesday in Romance languages, not March.
    let text = text.trim_start();
    let text = text.strip_prefix("mar,").or_else(|| text.strip_prefix("mar.,")).unwrap_or(text);
    let mut date = Date::default();
    let is_blank = |char| matches!(char, ' ' | '\t' | ',' | '\r' | '\n' | '\u{a0}');
    for word in text.split(is_blank).filter(|word| !word.is_empty()) {
        date.pending.push(word);
        while let Some(word) = date.pending.pop() {
            date.word(word);
        }
    }
    date.unix_ms()
}

fn without_comments(text: &str) -> String {
    if !text.contains('(') {
        return text.to_owned();
    }
    let mut depth = 0_usize;
    let mut plain = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '(' => depth += 1,
            ')' if depth > 0 => {
                depth -= 1;
                plain.push(' ');
            }
            _ if depth == 0 => plain.push(char),
            _ => {}
        }
    }
    plain
}

/// Leaves out the blanks around colons (obsolete, RFC 5322 §4.3).
fn joined_clock(text: &str) -> String {
    let fields: Vec<&str> = text.split(':').collect();
    let last = fields.len() - 1;
    let mut joined = String::with_capacity(text.len());
    for (at, field) in fields.into_iter().enumerate() {
        let field = if at > 0 { field.trim_start() } else { field };
        joined.push_str(if at < last { field.trim_end() } else { field });
        if at < last {
            joined.push(':');
        }
    }
    joined
}

impl<'a> Date<'a> {
    fn word(&mut self, word: &'a str) {
        let is_weekday = |name: &&str| word.len() >= 2 && begins(name, word.trim_end_matches('.'));
        let is_number = word.starts_with(|char: char| char.is_ascii_digit());
        let word = if is_number { word.trim_end_matches('.') } else { word };
        let iso = (word.len() > ISO_DATE_BYTES).then(|| word.split_once('t')).flatten();
        if let Some(value) = number(word) {
            self.number(word, value);
        } else if let Some((date, time)) = iso.filter(|(date, _)| is_iso(date)) {
            self.pending.push(time);
            self.date_word(date);
        } else if word.starts_with(['+', '-']) {
            self.numeric_zone(word);
        } else if is_number && word.contains(':') {
            self.clock(word);
        } else if let Some(month) = month(word) {
            let may_be_weekday = std::mem::take(&mut self.may_be_weekday);
            self.may_be_weekday = matches!(word, "mar" | "mar.") && self.day.is_none();
            self.month = self.month.filter(|_| !may_be_weekday).or(Some(month));
        } else if matches!(word, "am" | "pm") {
            self.half(word);
        } else if let Some((first, _)) = word.split_once(['-', '/'])
            && (number(first).is_some() || WEEKDAYS.iter().any(|name| name.starts_with(first)))
        {
            self.date_word(word);
        } else if WEEKDAYS.iter().any(is_weekday) {
        } else if let Some(day) = ordinal(word) {
            self.day = self.day.or(Some(day));
        } else if is_number && word.contains('.') && self.time.is_none() && self.day.is_some() {
            self.clock(word);
        } else {
            self.named_zone(word);
        }
    }

    /// A single number: the first is the day, the next the year, the next a time without its colon.
    fn number(&mut self, word: &str, value: i64) {
        if self.day.is_none() && word.len() <= 3 && value <= 31 {
            self.day = Some(value);
        } else if self.year.is_none() {
            self.year = Some(full_year(word, value));
        } else if self.time.is_none() && word.len() == 4 {
            self.set_time(value / 100, value % 100, 0);
        } else if self.day.is_none() {
            self.day = Some(value);
        }
    }

    /// `21-nov-1997`, `2026-11-23`, `11/23/2026`.
    fn date_word(&mut self, word: &'a str) {
        let fields: Vec<_> = word.split(['-', '/']).filter(|field| !field.is_empty()).collect();
        let numbers: Vec<_> = fields.iter().map(|field| number(field)).collect();
        match (fields.as_slice(), numbers.as_slice()) {
            ([first, ..], [Some(year), Some(month), Some(day)]) if first.len() == 4 => {
                (self.year, self.month, self.day) = (Some(*year), Some(*month), Some(*day));
            }
            ([_, _, last], [Some(first), Some(second), Some(year)]) => {
                let (month, day) = if *first > 12 { (second, first) } else { (first, second) };
                (self.month, self.day) = (Some(*month), Some(*day));
                self.year = Some(full_year(last, *year));
            }
            _ if fields.len() > 1 => self.pending.extend(fields.iter().rev()),
            _ => self.is_wrong = true,
        }
    }

    /// `10:00`, `10:00:00.5`, with a zone or `pm` glued on.
    fn clock(&mut self, word: &'a str) {
        if self.time.is_some() {
            return;
        }
        let end = word.find(|char: char| !char.is_ascii_digit() && char != ':' && char != '.');
        let (clock, rest) = word.split_at_checked(end.unwrap_or(word.len())).unwrap_or((word, ""));
        let is_dotted = !clock.contains(':');
        let mut fields = clock.trim_end_matches('.').split(if is_dotted { '.' } else { ':' });
        let seconds = |text: &str| number(text.split('.').next().unwrap_or(text));
        let hour = fields.next().and_then(number);
        let minute = fields.next().and_then(number);
        let second = fields.next().map_or(Some(0), seconds);
        match (hour, minute, second) {
            (Some(hour), Some(minute), Some(second)) => self.set_time(hour, minute, second),
            _ => self.is_wrong = true,
        }
        if !rest.is_empty() && rest.len() < word.len() {
            self.pending.push(rest);
        }
    }

    fn set_time(&mut self, hour: i64, minute: i64, second: i64) {
        // 24:00 is the end of the day (ISO 8601).
        let is_midnight = (hour, minute, second) == (24, 0, 0);
        self.is_wrong |= (hour > 23 && !is_midnight) || minute > 59 || second > 60;
        self.time = Some(hour * 3600 + minute * 60 + second);
    }

    fn half(&mut self, word: &str) {
        const NOON: i64 = 12 * 3600;
        match self.time {
            Some(time) if word == "pm" && time < NOON => self.time = Some(time + NOON),
            Some(time) if word == "am" && (NOON..NOON + 3600).contains(&time) => {
                self.time = Some(time - NOON);
            }
            _ => {}
        }
    }

    fn numeric_zone(&mut self, word: &str) {
        let digits = word.get(1..).unwrap_or_default();
        let (hours, minutes) = match digits.split_once(':') {
            Some((hours, minutes)) => (number(hours), number(minutes)),
            None => match number(digits) {
                // A digit at the end was lost: `+070`.
                Some(value) if digits.len() == 3 && digits.starts_with('0') => {
                    (Some(value / 10), Some(value % 10 * 10))
                }
                Some(value) if digits.len() <= 2 => (Some(value), Some(0)),
                Some(value) if digits.len() <= 4 => (Some(value / 100), Some(value % 100)),
                _ => (None, None),
            },
        };
        match (hours, minutes) {
            (Some(hours @ ..24), Some(minutes @ ..60)) => {
                let east = if word.starts_with('-') { -1 } else { 1 };
                if !std::mem::replace(&mut self.has_offset, true) {
                    self.zone = Some(east * (hours * 60 + minutes));
                }
            }
            // A sign that begins no zone (`- 0500`, `--`) says nothing. One of 24 hours is wrong.
            (Some(_), _) => self.is_wrong = true,
            (None, _) => {}
        }
    }

    fn named_zone(&mut self, word: &str) {
        let end = word.find(['+', '-']).filter(|at| *at > 0).unwrap_or(word.len());
        let (name, rest) = word.split_at_checked(end).unwrap_or((word, ""));
        let name = name.trim_matches(['"', '.', ';']);
        let known = ZONES.iter().find(|(known, _)| *known == name);
        if self.zone.is_none() {
            self.zone = known.map(|(_, minutes)| *minutes);
        }
        if !rest.is_empty() && known.is_some() {
            self.numeric_zone(rest);
        }
        // Otherwise, a time that cannot be read would become midnight.
        let is_time = self.time.is_none()
            && word.contains(':')
            && word.contains(|char: char| char.is_ascii_digit());
        self.is_wrong |= known.is_none() && is_time;
    }

    fn unix_ms(&self) -> Option<i64> {
        let (day, month, year) = (self.day?, self.month?, self.year?);
        let is_leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        let last = match month {
            2 if is_leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if self.is_wrong || !YEARS.contains(&year) || !(1..=last).contains(&day) {
            return None;
        }
        // Days since 1970 of the proleptic Gregorian calendar; years begin in March.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted / 400;
        let of_era = shifted % 400;
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
        let seconds = days * 86_400 + self.time.unwrap_or(0) - self.zone.unwrap_or(0) * 60;
        Some(seconds * 1000)
    }
}

fn is_iso(date: &str) -> bool {
    date.len() == ISO_DATE_BYTES && date.bytes().filter(|byte| *byte == b'-').count() == 2
}

fn ordinal(word: &str) -> Option<i64> {
    let digits = word.strip_suffix("st").or_else(|| word.strip_suffix("nd"));
    let digits = digits.or_else(|| word.strip_suffix("rd")).or_else(|| word.strip_suffix("th"));
    digits.and_then(number)
}

/// A year with its century (RFC 5322 §4.3). One of three digits that begins with 0 has two.
fn full_year(word: &str, value: i64) -> i64 {
    match word.len() {
        ..=3 if value < 50 => value + 2000,
        ..=3 => value + 1900,
        _ => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, want: Option<&str>) {
        let got = parse(text).and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        assert_eq!(got.map(|time| time.to_string()).as_deref(), want, "{text}");
    }

    #[test]
    fn dates_are_read_as_they_arrive() {
        #[rustfmt::skip]
        let table = [
            ("Mon, 23 Nov 2026 10:00:00 +0000",       Some("2026-11-23T10:00:00Z")),
            ("Mon, 23 Nov 2026 10:00:00 +0530 (IST)", Some("2026-11-23T04:30:00Z")),
            ("23 Nov 26 10:00 -0800",                 Some("2026-11-23T18:00:00Z")),
            ("Sun, 06 Nov 94 08:49:37 GMT",           Some("1994-11-06T08:49:37Z")),
            ("Sunday, 06-Nov-94 08:49:37 GMT",        Some("1994-11-06T08:49:37Z")),
            ("Sun Nov  6 08:49:37 1994",              Some("1994-11-06T08:49:37Z")),
            ("Sun Nov  6 08:49:37 PST 1994",          Some("1994-11-06T16:49:37Z")),
            ("November 6, 1994 8:49 PM",              Some("1994-11-06T20:49:00Z")),
            ("6 november 1994 08:49:37 gmt",          Some("1994-11-06T08:49:37Z")),
            ("Tue, 1 Jul 2003 10:52:37 +200",         Some("2003-07-01T08:52:37Z")),
            ("Tue, 1 Jul 2003 10:52:37 GMT+0200",     Some("2003-07-01T08:52:37Z")),
            ("Tue, 1 Jul 2003 10:52:37 +02:00",       Some("2003-07-01T08:52:37Z")),
            ("Fri, 5 Aug 022 05:22:50 +0900",         Some("2022-08-04T20:22:50Z")),
            ("Tue, 1 Jul 103 10:52:37",               Some("2003-07-01T10:52:37Z")),
            ("Tue,  1 Jul 2003 10.52.37 est",         Some("2003-07-01T15:52:37Z")),
            ("Fri, 21 Nov 1997 09(comment):   55  :  06 -0600", Some("1997-11-21T15:55:06Z")),
            ("Fri, 21 Nov 1997 09:55:06 +1200 +1200", Some("1997-11-20T21:55:06Z")),
            ("Tue, 1 Jul 2003 10:52:37 EST -0500",    Some("2003-07-01T15:52:37Z")),
            ("Tue, 1 Jul 2003 10:52:37 CET+0100",     Some("2003-07-01T09:52:37Z")),
            ("Tue, 1 Jul 2003 10:52:37 GMT+02:00",    Some("2003-07-01T08:52:37Z")),
            ("Tue Jul 01 10:52:37 GMT-05:00 2003",    Some("2003-07-01T15:52:37Z")),
            ("Mar, 24 Nov 2026 10:00:00 +0100",       Some("2026-11-24T09:00:00Z")),
            ("mar. 24 nov. 2026 10:00:00 +0100",      Some("2026-11-24T09:00:00Z")),
            ("mar nov 24 10:00:00 2026",              Some("2026-11-24T10:00:00Z")),
            ("Mar, 01 Dic 2015 10:00:00 +0100",       None),
            ("Mon, 23 Nov 2026 T10:00:00 +0100",      None),
            ("Tue Mar 24 10:00:00 2026",              Some("2026-03-24T10:00:00Z")),
            ("Mon, 23. Nov 2026 10:00:00 +0000",      Some("2026-11-23T10:00:00Z")),
            ("Fri, 1 Nov 2019 10:21:39 +070",         Some("2019-11-01T03:21:39Z")),
            ("Fri, 1 Nov 2019 10:21:39 -053",         Some("2019-11-01T15:51:39Z")),
            ("Fri, 1 Nov 2019 10:21:39 +930",         Some("2019-11-01T00:51:39Z")),
            ("fre, 1 maj 2026 10:00:00 +0200",        Some("2026-05-01T08:00:00Z")),
            ("den 3 oktober 2026 10:00:00 +0200",     Some("2026-10-03T08:00:00Z")),
            ("tis, 24 mars 2026 10:00:00 +0100",      Some("2026-03-24T09:00:00Z")),
            ("lördag 3 januari 2026 kl. 10:00 +0100", Some("2026-01-03T09:00:00Z")),
            ("Sö, 2 augusti 2026 10.00 +0200",        Some("2026-08-02T08:00:00Z")),
            ("Di, 3 März 2026 10:00:00 +0100",        Some("2026-03-03T09:00:00Z")),
            ("Do, 3. Dez. 2026 10:00:00 +0100",       Some("2026-12-03T09:00:00Z")),
            ("wo 6 mei 2026 10:00:00 +0200",          Some("2026-05-06T08:00:00Z")),
            ("Date: Mon, 23 Nov 2026 10:00:00 +0000", Some("2026-11-23T10:00:00Z")),
            ("27 Aug 76 0932 PDT",                    Some("1976-08-27T16:32:00Z")),
            ("2026-11-23T10:00:00Z",                  Some("2026-11-23T10:00:00Z")),
            ("2026-11-23T10:00:00.123+01:00",         Some("2026-11-23T09:00:00Z")),
            ("Mon, 23 Nov 2026",                      Some("2026-11-23T00:00:00Z")),
            ("Mon, 023 Nov 2026 1:02 +0",             Some("2026-11-23T01:02:00Z")),
            ("Thu, 13 Feb 1969 23:32 -0330",          Some("1969-02-14T03:02:00Z")),
            ("Tue, 19 Jan 2038 03:14:08 +0000",       Some("2038-01-19T03:14:08Z")),
            ("Thu, 29 Feb 2024 23:59:60 +0000",       Some("2024-03-01T00:00:00Z")),
            ("Mon, 23 Nov 2026 24:00:00 +0000",       Some("2026-11-24T00:00:00Z")),
            ("Mon, 23 Nov 2026 24:01:00 +0000",       None),
            ("Sat, 29 Feb 2023 10:00:00 +0000",       None),
            ("Fri, 31 Dec 9999 23:59:59 +0000",       None),
            ("Mon, 1 Jan 0001 00:00:00 +0000",        None),
            ("Mon, 23 Nov 2026 10:00:60 -2400",       None),
            ("Fri, 99 Foo 99999 99:99:99 +9999",      None),
            ("yesterday",                             None),
            ("",                                      None),
        ];
        for (text, want) in table {
            check(text, want);
        }
    }

    proptest! {
        #[test]
        fn any_text(text in "\\PC{0,40}", words in "([0-9]{1,5}|[-+:/., ]|mon|jan|pm|gmt|t){0,20}") {
            let _ = (parse(&text), parse(&words));
        }

        #[test]
        fn dates_of_the_usual_form_are_read_alike(
            text in " ?(mon|Tue|Oct), [0-9]{1,4} (jan|Feb|sun) [0-9]{4} [0-2][0-9]:[0-6][0-9]:[0-6][0-9] [-+][012][0-9][0-6][0-9]( \\([A-Z(]{0,2}\\))?",
        ) {
            prop_assert_eq!(parse(&text), by_words(&text), "{}", text);
        }
    }
}

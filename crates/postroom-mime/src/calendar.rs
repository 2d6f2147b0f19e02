//! The summary of a calendar part (`text/calendar`).
//!
//! The first event counts. If there is none, the first task, journal or free-busy time counts. The
//! part itself stays an attachment. The summary is for showing and answering invitations.
//!
//! Standards: RFC 5545 (iCalendar), RFC 5546 (iTIP).

use crate::calendar::moment::duration_end;

mod content_line;
mod defined_zone;
mod moment;
mod zone;

use crate::calendar::content_line::{ContentLine, content_lines};
use crate::calendar::defined_zone::DefinedZones;
pub use crate::calendar::moment::Moment;

/// The summary of a calendar part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Calendar {
    /// The method (RFC 5546 §1.4), in capitals: `REQUEST`, `REPLY`, `CANCEL`, ...
    pub method: Option<String>,
    /// The kind of component, in capitals: `VEVENT`, `VTODO`, `VJOURNAL` or `VFREEBUSY`.
    pub component: Option<String>,
    /// The identifier of the event, the same in all versions.
    pub uid: Option<String>,
    /// Which version of the event this is.
    pub sequence: Option<i64>,
    /// The state of the event, in capitals: `CONFIRMED`, `TENTATIVE`, `CANCELLED`, ...
    pub status: Option<String>,
    /// The title.
    pub summary: Option<String>,
    /// Where it takes place.
    pub location: Option<String>,
    /// When it begins.
    pub start: Option<Moment>,
    /// When it ends, or is due; computed if only the duration is told. The end of whole days is the
    /// day after the last.
    pub end: Option<Moment>,
    /// The rule by which it recurs (RFC 5545 §3.3.10), as it is written.
    pub recurrence: Option<String>,
    /// Which instance of a recurring event this is about.
    pub recurrence_id: Option<Moment>,
    /// Who organizes it.
    pub organizer: Option<Attendee>,
    /// Who is invited, or answers.
    pub attendees: Vec<Attendee>,
}

/// Someone who takes part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attendee {
    /// The address, or what stands in its place.
    pub address: String,
    /// The display name.
    pub name: Option<String>,
    /// What is known of the answer (PARTSTAT, RFC 5545 §3.2.12), in lower case: `needs-action`,
    /// `accepted`, `declined`, `tentative`, `delegated`, ...
    pub state: String,
}

/// More attendees are left out.
const ATTENDEES_MAX: usize = 2_000;
/// Longer values are cut off.
const VALUE_CHARS_MAX: usize = 4_000;

/// Reads a calendar. `None` if the text is none.
#[must_use]
pub fn summarise(text: &str) -> Option<Calendar> {
    let text = text.trim_start_matches(['\u{feff}', ' ', '\t', '\r', '\n']);
    let is_calendar =
        text.get(..15).is_some_and(|head| head.eq_ignore_ascii_case("BEGIN:VCALENDAR"));
    if !is_calendar {
        return None;
    }
    let lines = || content_lines(text).filter_map(|line| ContentLine::read(&line));
    let mut zones = DefinedZones::default();
    // They may stand behind the event.
    lines().for_each(|line| zones.line(&line));
    let mut reader = CalendarReader { zones, ..CalendarReader::default() };
    lines().for_each(|line| reader.line(&line));
    Some(reader.finish())
}

#[derive(Default)]
struct CalendarReader {
    zones: DefinedZones,
    calendar: Calendar,
    /// How many components are open.
    depth: usize,
    /// Whether the open component is the one that counts.
    active: bool,
    duration: Option<String>,
}

impl CalendarReader {
    fn line(&mut self, line: &ContentLine) {
        match (line.name.as_str(), self.depth) {
            ("BEGIN", depth) => {
                self.depth += 1;
                if depth == 1 {
                    self.begin(line.value.trim().to_ascii_uppercase());
                }
            }
            ("END", depth) => {
                self.depth = depth.saturating_sub(1);
                self.active &= self.depth > 1;
            }
            ("METHOD", 1) => set(&mut self.calendar.method, upper(line)),
            (_, 2) if self.active => self.property(line),
            _ => {}
        }
    }

    fn begin(&mut self, component: String) {
        const KINDS: [&str; 4] = ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"];
        let is_kind = KINDS.contains(&component.as_str());
        let better = match self.calendar.component.as_deref() {
            None => true,
            Some(present) => present != "VEVENT" && component == "VEVENT",
        };
        if is_kind && better {
            let method = self.calendar.method.take();
            self.calendar = Calendar { method, ..Calendar::default() };
            self.calendar.component = Some(component);
            self.duration = None;
            self.active = true;
        }
    }

    fn property(&mut self, line: &ContentLine) {
        let calendar = &mut self.calendar;
        match line.name.as_str() {
            "UID" => set(&mut calendar.uid, text(line)),
            "SEQUENCE" => set(&mut calendar.sequence, line.value.trim().parse().ok()),
            "STATUS" => set(&mut calendar.status, upper(line)),
            "SUMMARY" => set(&mut calendar.summary, text(line)),
            "LOCATION" => set(&mut calendar.location, text(line)),
            "DTSTART" => set(&mut calendar.start, Moment::read(line, &self.zones)),
            "DTEND" | "DUE" => set(&mut calendar.end, Moment::read(line, &self.zones)),
            "DURATION" => set(&mut self.duration, text(line)),
            "RRULE" => set(&mut calendar.recurrence, text(line)),
            "RECURRENCE-ID" => {
                set(&mut calendar.recurrence_id, Moment::read(line, &self.zones));
            }
            "ORGANIZER" => set(&mut calendar.organizer, Some(attendee(line))),
            "ATTENDEE" if calendar.attendees.len() < ATTENDEES_MAX => {
                calendar.attendees.push(attendee(line));
            }
            _ => {}
        }
    }

    fn finish(mut self) -> Calendar {
        if let (Some(start), Some(duration), None) =
            (&self.calendar.start, &self.duration, &self.calendar.end)
        {
            self.calendar.end = duration_end(start, duration, &self.zones);
        }
        self.calendar
    }
}

/// Sets what is not set yet: the first property of a name counts.
fn set<T>(place: &mut Option<T>, value: Option<T>) {
    if place.is_none() {
        *place = value;
    }
}

fn text(line: &ContentLine) -> Option<String> {
    let text = line.text();
    let text = text.trim();
    (!text.is_empty()).then(|| text.chars().take(VALUE_CHARS_MAX).collect())
}

fn upper(line: &ContentLine) -> Option<String> {
    text(line).map(|text| text.to_ascii_uppercase())
}

fn attendee(line: &ContentLine) -> Attendee {
    let value = line.value.trim();
    let mail = value
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("mailto:"))
        .and_then(|_| value.get(7..));
    // Some name a principal of their server, and the address beside it.
    let address = mail.or_else(|| line.parameter("EMAIL")).unwrap_or(value).trim();
    let name = line.parameter("CN").map(str::trim).filter(|name| !name.is_empty());
    let state = line.parameter("PARTSTAT").unwrap_or("needs-action");
    Attendee {
        address: address.chars().take(VALUE_CHARS_MAX).collect(),
        name: name.map(|name| name.chars().take(VALUE_CHARS_MAX).collect()),
        state: state.trim().to_ascii_lowercase().chars().take(64).collect(),
    }
}

#[cfg(test)]
mod tests;

//! The summary of a calendar part (`text/calendar`).
//!
//! The first event counts, unless it is one instance of a series that follows: then the series
//! counts. If there is no event, the first task, journal or free-busy time counts. The part itself
//! stays an attachment. The summary is for showing and answering invitations.
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
    method: Option<String>,
    /// The component that counts, so far.
    calendar: Calendar,
    /// How many components are open.
    depth: usize,
    /// The component that is open.
    open: Calendar,
    /// How long it takes.
    duration: Option<String>,
}

impl CalendarReader {
    fn line(&mut self, line: &ContentLine) {
        match (line.name.as_str(), self.depth) {
            ("BEGIN", depth) => {
                self.depth += 1;
                if depth == 1 {
                    self.end();
                    self.begin(line.value.trim().to_ascii_uppercase());
                }
            }
            ("END", depth) => {
                self.depth = depth.saturating_sub(1);
                if self.depth <= 1 {
                    self.end();
                }
            }
            ("METHOD", 1) => set(&mut self.method, upper(line)),
            (_, 2) if self.open.component.is_some() => self.property(line),
            _ => {}
        }
    }

    fn begin(&mut self, component: String) {
        const KINDS: [&str; 4] = ["VEVENT", "VTODO", "VJOURNAL", "VFREEBUSY"];
        if KINDS.contains(&component.as_str()) {
            self.open.component = Some(component);
        }
    }

    /// Takes the open component, if it says more than the one before.
    fn end(&mut self) {
        let mut ended = std::mem::take(&mut self.open);
        if let (Some(start), Some(duration), None) =
            (&ended.start, self.duration.take(), &ended.end)
        {
            ended.end = duration_end(start, &duration, &self.zones);
        }
        let present = &self.calendar;
        let is_event = |it: &Calendar| it.component.as_deref() == Some("VEVENT");
        let is_series = is_event(&ended)
            && present.recurrence_id.is_some()
            && ended.recurrence_id.is_none()
            && ended.uid == present.uid;
        let is_better =
            present.component.is_none() || is_event(&ended) && (!is_event(present) || is_series);
        if ended.component.is_some() && is_better {
            self.calendar = ended;
        }
    }

    fn property(&mut self, line: &ContentLine) {
        let calendar = &mut self.open;
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
        // A text that was cut off may have no end of its component.
        self.end();
        Calendar { method: self.method, ..self.calendar }
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

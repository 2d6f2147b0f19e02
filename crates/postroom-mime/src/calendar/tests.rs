//! Calendars and what is summarised of them.

use proptest::prelude::*;

use super::*;

fn event(lines: &str) -> Calendar {
    let text =
        format!("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n{lines}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n");
    summarise(&text).unwrap()
}

fn moment(local: &str, zone: Option<&str>, utc_ms: Option<i64>) -> Option<Moment> {
    Some(Moment {
        local: local.to_owned(),
        zone: zone.map(str::to_owned),
        utc_ms,
        is_day: !local.contains('T'),
    })
}

#[test]
fn an_invitation() {
    let text = "\u{feff}begin:vcalendar\nVERSION:2.0\nMETHOD:request\n\
        BEGIN:VTIMEZONE\nTZID:Europe/Berlin\nBEGIN:STANDARD\n\
        DTSTART:19701025T030000\nEND:STANDARD\nEND:VTIMEZONE\n\
        BEGIN:VEVENT\nUID:1@demo.test\nSEQUENCE:2\nSTATUS:CONFIRMED\n\
        SUMMARY:Plan\\, and\\n more\\; of\n  it\n\
        LOCATION;LANGUAGE=de:Raum \\\\7\n\
        DTSTART;TZID=Europe/Berlin:20260725T100000\nDTEND;TZID=\"Europe/Berlin\":20260725T113000\n\
        RRULE:FREQ=WEEKLY;COUNT=3\nRECURRENCE-ID:20260725T080000Z\n\
        ORGANIZER;CN=\"Berg; Anna: x\":MAILTO:anna@demo.test\n\
        ATTENDEE;PARTSTAT=ACCEPTED;CN=Bob;ROLE=REQ-PARTICIPANT:mailto:bob@demo.test\n\
        ATTENDEE:mailto:carl@demo.\n test\n\
        ATTENDEE;EMAIL=dora@demo.test:/principals/dora\n\
        BEGIN:VALARM\nSUMMARY:no\nUID:no\nATTENDEE:mailto:no@demo.test\nEND:VALARM\n\
        SUMMARY:second\nEND:VEVENT\n\
        BEGIN:VEVENT\nUID:2@demo.test\nLOCATION:x\nEND:VEVENT\nEND:VCALENDAR";
    let person = |address: &str, name: Option<&str>, state: &str| Attendee {
        address: address.to_owned(),
        name: name.map(str::to_owned),
        state: state.to_owned(),
    };
    let some = |text: &str| Some(text.to_owned());
    let want = Calendar {
        method: some("REQUEST"),
        component: some("VEVENT"),
        uid: some("1@demo.test"),
        sequence: Some(2),
        status: some("CONFIRMED"),
        summary: some("Plan, and\n more; of it"),
        location: some("Raum \\7"),
        start: moment("2026-07-25T10:00:00", Some("Europe/Berlin"), Some(1_784_966_400_000)),
        end: moment("2026-07-25T11:30:00", Some("Europe/Berlin"), Some(1_784_971_800_000)),
        recurrence: some("FREQ=WEEKLY;COUNT=3"),
        recurrence_id: moment("2026-07-25T08:00:00", Some("UTC"), Some(1_784_966_400_000)),
        organizer: Some(person("anna@demo.test", Some("Berg; Anna: x"), "needs-action")),
        attendees: vec![
            person("bob@demo.test", Some("Bob"), "accepted"),
            person("carl@demo.test", None, "needs-action"),
            person("dora@demo.test", None, "needs-action"),
        ],
    };
    assert_eq!(summarise(text), Some(want));
}

#[test]
fn a_series_counts_before_an_instance_of_it() {
    let event = |lines: &str| format!("BEGIN:VEVENT\n{lines}\nEND:VEVENT\n");
    let instance = event("UID:1\nRECURRENCE-ID:20260725T080000Z\nSUMMARY:moved\nDURATION:PT1H");
    let series = event("UID:1\nRRULE:FREQ=DAILY\nSUMMARY:series\nDTSTART:20260724T080000Z");
    let other = event("UID:2\nSUMMARY:other");
    #[rustfmt::skip]
    let table = [
        (format!("{instance}{series}"),        "series"),
        (format!("{series}{instance}"),        "series"),
        (format!("{instance}{other}"),         "moved"),
        (format!("{instance}{other}{series}"), "series"),
        (instance.clone(),                     "moved"),
        (instance.replace("END:VEVENT", ""),   "moved"),
    ];
    for (events, want) in table {
        let text = format!("BEGIN:VCALENDAR\nMETHOD:CANCEL\n{events}END:VCALENDAR");
        let calendar = summarise(&text).unwrap();
        assert_eq!(calendar.summary.as_deref(), Some(want), "{events}");
        assert_eq!(calendar.method.as_deref(), Some("CANCEL"));
        assert_eq!(calendar.recurrence_id.is_some(), want == "moved");
        // A duration is that of its own component.
        assert_eq!(calendar.end, None);
    }
}

#[test]
fn moments() {
    let start = |line: &str| event(line).start;
    assert_eq!(start("DTSTART;VALUE=DATE:20260725"), moment("2026-07-25", None, None));
    assert_eq!(start("DTSTART:20260725T1000"), moment("2026-07-25T10:00:00", None, None));
    assert_eq!(
        start("DTSTART;TZID=W. Europe Standard Time:20260125T100000"),
        moment("2026-01-25T10:00:00", Some("W. Europe Standard Time"), Some(1_769_331_600_000))
    );
    assert_eq!(
        start("DTSTART;TZID=My Zone:20260725T235960"),
        moment("2026-07-25T23:59:59", Some("My Zone"), None)
    );
    for line in ["DTSTART:20261325", "DTSTART:tomorrow", "DTSTART:20260725T", "DTSTART:", "DTSTART"]
    {
        assert_eq!(start(line), None, "{line}");
    }
}

#[test]
fn a_zone_that_nobody_knows_is_as_the_calendar_defines_it() {
    let zone = "BEGIN:VTIMEZONE\nTZID:Customized Time Zone\n\
        BEGIN:STANDARD\nDTSTART:16010101T030000\nTZOFFSETFROM:+0200\nTZOFFSETTO:+0100\n\
        RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=10\nEND:STANDARD\n\
        BEGIN:DAYLIGHT\nDTSTART:16010101T020000\nTZOFFSETFROM:+0100\nTZOFFSETTO:+0200\n\
        RRULE:FREQ=YEARLY;INTERVAL=1;BYDAY=-1SU;BYMONTH=3\nEND:DAYLIGHT\nEND:VTIMEZONE\n";
    let zone_name = Some("Customized Time Zone");
    for (local, utc_ms) in [
        ("20260725T100000", 1_784_966_400_000),
        ("20260125T100000", 1_769_331_600_000),
        ("20261025T043000", 1_792_899_000_000),
    ] {
        let event = format!(
            "BEGIN:VEVENT\nDTSTART;TZID=\"Customized Time Zone\":{local}\nDURATION:PT1H\nEND:VEVENT\n"
        );
        for text in [format!("{zone}{event}"), format!("{event}{zone}")] {
            let text = format!("BEGIN:VCALENDAR\n{text}END:VCALENDAR\n");
            let calendar = summarise(&text).unwrap();
            let start = calendar.start.unwrap();
            assert_eq!((start.zone.as_deref(), start.utc_ms), (zone_name, Some(utc_ms)), "{local}");
            assert_eq!(calendar.end.unwrap().utc_ms, Some(utc_ms + 3_600_000), "{local}");
        }
    }
}

#[test]
fn ends_by_duration() {
    let end = |line: &str| event(line).end;
    assert_eq!(
        end("DTSTART:20260725T100000Z\nDURATION:P1DT2H30M"),
        moment("2026-07-26T12:30:00", Some("UTC"), Some(1_785_069_000_000))
    );
    assert_eq!(end("DTSTART;VALUE=DATE:20260730\nDURATION:P1W"), moment("2026-08-06", None, None));
    // The clocks go back at three: four hours later it is five.
    assert_eq!(
        end("DTSTART;TZID=Europe/Berlin:20261025T020000\nDURATION:PT4H").map(|end| end.local),
        Some("2026-10-25T05:00:00".to_owned())
    );
    assert_eq!(
        end("DTSTART:20260725T100000\nDURATION:-PT15M"),
        moment("2026-07-25T09:45:00", None, None)
    );
    for duration in ["", "P", "1D", "PX", "P99999999999999999999D", "P9999999999D", "P-1D"] {
        let end = end(&format!("DTSTART:20260725T100000Z\nDURATION:{duration}"));
        assert!(end.is_none() || duration == "P", "{duration} {end:?}");
    }
}

#[test]
fn other_components_and_other_texts() {
    let task = "BEGIN:VCALENDAR\nBEGIN:VTODO\nUID:t\nDUE:20260725T100000Z\nEND:VTODO\n";
    let task_only = summarise(task).unwrap();
    assert_eq!(
        (task_only.component.as_deref(), task_only.uid.as_deref()),
        (Some("VTODO"), Some("t"))
    );
    let both = summarise(&format!(
        "{task}BEGIN:VEVENT\nUID:e\nMETHOD:X\nEND:VEVENT\nMETHOD:PUBLISH\nEND:VCALENDAR"
    ))
    .unwrap();
    assert_eq!(
        (both.uid.as_deref(), both.end, both.method.as_deref()),
        (Some("e"), None, Some("PUBLISH"))
    );
    assert_eq!(summarise("BEGIN:VCALENDAR"), Some(Calendar::default()));
    for text in ["", "BEGIN:VCARD\nEND:VCARD", "hello", "BEGIN:VCALENDÄR"] {
        assert_eq!(summarise(text), None, "{text}");
    }
}

proptest! {
    #[test]
    fn any_lines(lines in proptest::collection::vec(
        "(BEGIN|END):(V(EVENT|ALARM|TODO|CALENDAR|TIMEZONE)|STANDARD|DAYLIGHT)|\
         TZID:[ab]|DTSTART;TZID=[ab]:20260725T1000|TZOFFSETTO:[+-]?[0-9]{0,7}|\
         RRULE:FREQ=YEARLY;(BYDAY=-?[0-9]?SU;BYMONTH=[0-9]{1,3}|BYMONTHDAY=\\PC{0,5}){0,2}|\
         (DTSTART|DURATION|ATTENDEE|METHOD)(;[A-Z]{0,4}=?\"?[^\n]{0,9}){0,2}:\\PC{0,20}|\
         DTSTART:[0-9TZ]{8,16}|DURATION:-?P[0-9WDTHMS]{0,12}| \\PC{0,9}",
        0..30,
    )) {
        let _ = summarise(&format!("BEGIN:VCALENDAR\n{}", lines.join("\n")));
    }
}

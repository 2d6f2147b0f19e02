//! Time zones by the names that calendars give them.

use jiff::tz::TimeZone;

/// Names of Windows, and the zone of the IANA database that CLDR has for each.
#[rustfmt::skip]
const WINDOWS: [(&str, &str); 52] = [
    ("AUS Eastern Standard Time", "Australia/Sydney"),
    ("Alaskan Standard Time", "America/Anchorage"),
    ("Arab Standard Time", "Asia/Riyadh"),
    ("Arabian Standard Time", "Asia/Dubai"),
    ("Argentina Standard Time", "America/Buenos_Aires"),
    ("Atlantic Standard Time", "America/Halifax"),
    ("Belarus Standard Time", "Europe/Minsk"),
    ("Canada Central Standard Time", "America/Regina"),
    ("Caucasus Standard Time", "Asia/Yerevan"),
    ("Central America Standard Time", "America/Guatemala"),
    ("Central Asia Standard Time", "Asia/Almaty"),
    ("Central Europe Standard Time", "Europe/Budapest"),
    ("Central European Standard Time", "Europe/Warsaw"),
    ("Central Standard Time", "America/Chicago"),
    ("Central Standard Time (Mexico)", "America/Mexico_City"),
    ("China Standard Time", "Asia/Shanghai"),
    ("E. Africa Standard Time", "Africa/Nairobi"),
    ("E. Australia Standard Time", "Australia/Brisbane"),
    ("E. Europe Standard Time", "Europe/Chisinau"),
    ("E. South America Standard Time", "America/Sao_Paulo"),
    ("Eastern Standard Time", "America/New_York"),
    ("Egypt Standard Time", "Africa/Cairo"),
    ("Ekaterinburg Standard Time", "Asia/Yekaterinburg"),
    ("FLE Standard Time", "Europe/Kiev"),
    ("GMT Standard Time", "Europe/London"),
    ("GTB Standard Time", "Europe/Bucharest"),
    ("Georgian Standard Time", "Asia/Tbilisi"),
    ("Greenwich Standard Time", "Atlantic/Reykjavik"),
    ("Hawaiian Standard Time", "Pacific/Honolulu"),
    ("India Standard Time", "Asia/Calcutta"),
    ("Israel Standard Time", "Asia/Jerusalem"),
    ("Korea Standard Time", "Asia/Seoul"),
    ("Mountain Standard Time", "America/Denver"),
    ("N. Central Asia Standard Time", "Asia/Novosibirsk"),
    ("New Zealand Standard Time", "Pacific/Auckland"),
    ("Pacific SA Standard Time", "America/Santiago"),
    ("Pacific Standard Time", "America/Los_Angeles"),
    ("Romance Standard Time", "Europe/Paris"),
    ("Russian Standard Time", "Europe/Moscow"),
    ("SA Pacific Standard Time", "America/Bogota"),
    ("SE Asia Standard Time", "Asia/Bangkok"),
    ("Singapore Standard Time", "Asia/Singapore"),
    ("South Africa Standard Time", "Africa/Johannesburg"),
    ("Taipei Standard Time", "Asia/Taipei"),
    ("Tokyo Standard Time", "Asia/Tokyo"),
    ("Turkey Standard Time", "Europe/Istanbul"),
    ("US Mountain Standard Time", "America/Phoenix"),
    ("UTC", "UTC"),
    ("Ulaanbaatar Standard Time", "Asia/Ulaanbaatar"),
    ("W. Australia Standard Time", "Australia/Perth"),
    ("W. Europe Standard Time", "Europe/Berlin"),
    ("West Asia Standard Time", "Asia/Tashkent"),
];

/// Finds a zone by the name of the IANA database, also at the end of a path as some programs write
/// it, or by the name that Windows has for it.
pub(crate) fn find(name: &str) -> Option<TimeZone> {
    if let Some((_, zone)) = WINDOWS.iter().find(|(windows, _)| windows.eq_ignore_ascii_case(name))
    {
        return TimeZone::get(zone).ok();
    }
    let fits = |char: char| char.is_ascii_alphanumeric() || "+-_/".contains(char);
    let name = match name.strip_prefix('/') {
        None => name,
        Some(path) => {
            let before_last = path.rmatch_indices('/').nth(1);
            before_last.and_then(|(at, _)| path.get(at + 1..)).unwrap_or(path)
        }
    };
    // The database may be a folder of files, so nothing but a name may reach it.
    let is_name = !name.is_empty() && name.len() <= 100 && name.chars().all(fits);
    if !is_name || name.starts_with('/') || name.contains("//") {
        return None;
    }
    TimeZone::get(name).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_zone_of_windows_is_known() {
        for (windows, _) in WINDOWS {
            assert!(find(windows).is_some(), "{windows}");
        }
        assert!(find("/example.test/20260101/Europe/Berlin").is_some());
        assert!(find("Europe/Berlin").is_some());
        for name in ["", "../../etc/passwd", "/etc/passwd", "My Zone", "//"] {
            assert!(find(name).is_none(), "{name}");
        }
    }
}

//! Names in dates: months, days of the week, zones.

/// Months, in English.
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];
/// Names in Swedish, Danish, Norwegian, Dutch and German that do not begin as the English ones, and
/// how many bytes of them their shortest form has.
const FOREIGN_MONTHS: [(&str, usize, i64); 17] = [
    ("januari", 7, 1),
    ("februari", 8, 2),
    ("mars", 4, 3),
    ("maart", 3, 3),
    ("mrt", 3, 3),
    ("märz", 4, 3),
    ("mrz", 3, 3),
    ("maj", 3, 5),
    ("mai", 3, 5),
    ("mei", 3, 5),
    ("juni", 4, 6),
    ("juli", 4, 7),
    ("augusti", 7, 8),
    ("augustus", 8, 8),
    ("oktober", 3, 10),
    ("dezember", 3, 12),
    ("desember", 3, 12),
];
/// The shortest name of a month.
const MONTH_BYTES_MIN: usize = 3;
/// Days of the week.
pub(crate) const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
/// Zones by name, in minutes east of Greenwich.
pub(crate) const ZONES: &[(&str, i64)] = &[
    ("ut", 0),
    ("utc", 0),
    ("gmt", 0),
    ("z", 0),
    ("wet", 0),
    ("west", 60),
    ("bst", 60),
    ("est", -300),
    ("edt", -240),
    ("cst", -360),
    ("cdt", -300),
    ("mst", -420),
    ("mdt", -360),
    ("pst", -480),
    ("pdt", -420),
    ("ast", -240),
    ("adt", -180),
    ("nst", -210),
    ("ndt", -150),
    ("akst", -540),
    ("akdt", -480),
    ("hst", -600),
    ("brt", -180),
    ("brst", -120),
    ("art", -180),
    ("cet", 60),
    ("cest", 120),
    ("met", 60),
    ("mest", 120),
    ("mez", 60),
    ("mesz", 120),
    ("eet", 120),
    ("eest", 180),
    ("sast", 120),
    ("msk", 180),
    ("msd", 240),
    ("ist", 330),
    ("ict", 420),
    ("wib", 420),
    ("hkt", 480),
    ("sgt", 480),
    ("awst", 480),
    ("jst", 540),
    ("kst", 540),
    ("acst", 570),
    ("aest", 600),
    ("aedt", 660),
    ("nzst", 720),
    ("nzdt", 780),
];
/// The number of a month, from 1.
pub(crate) fn month(word: &str) -> Option<i64> {
    let word = word.trim_end_matches('.');
    let word = if word.eq_ignore_ascii_case("sept") { "sep" } else { word };
    if word.len() < MONTH_BYTES_MIN {
        return None;
    }
    let at = MONTHS.iter().position(|name| begins(name, word));
    match at {
        Some(at) => i64::try_from(at + 1).ok(),
        None => foreign_month(word),
    }
}

/// A month in another language.
fn foreign_month(word: &str) -> Option<i64> {
    let is_it =
        |(name, bytes_min, _): &&(&str, usize, i64)| word.len() >= *bytes_min && begins(name, word);
    FOREIGN_MONTHS.iter().find(is_it).map(|(_, _, month)| *month)
}

/// Whether a name begins with a word of any case; told by the first byte, mostly.
pub(crate) fn begins(name: &str, word: &str) -> bool {
    let mut pairs = word.bytes().zip(name.bytes());
    word.len() <= name.len() && pairs.all(|(a, b)| a.to_ascii_lowercase() == b)
}

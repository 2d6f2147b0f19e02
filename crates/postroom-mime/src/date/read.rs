//! What is read of a date, whatever its form.

/// A longer text is no date.
pub(crate) const TEXT_BYTES_MAX: usize = 400;

/// What was read so far.
#[derive(Debug, Default)]
pub(crate) struct Date<'a> {
    /// Words that are still to be read, the next one last. Each is shorter than what it came from.
    pub pending: Vec<&'a str>,
    pub day: Option<i64>,
    pub month: Option<i64>,
    /// Whether the month is `mar` before a day, which is Tuesday if another month follows.
    pub may_be_weekday: bool,
    pub year: Option<i64>,
    /// Seconds since midnight.
    pub time: Option<i64>,
    /// Minutes east of Greenwich.
    pub zone: Option<i64>,
    /// Whether these were written in digits, which count more than a name.
    pub has_offset: bool,
    pub is_wrong: bool,
}

/// A number of at most nine digits.
pub(crate) fn number(word: &str) -> Option<i64> {
    (word.len() <= 9 && word.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| word.parse().ok())?
}

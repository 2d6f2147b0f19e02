//! When a listener's certificate is valid, and its end, which the log warns about ahead.

use crate::certificate::CertificateFacts;
use postroom_model::Timestamp;

/// A day in milliseconds.
const DAY_MS: i64 = 86_400_000;
/// The log warns so long before the end.
const AHEAD_MS: i64 = 14 * DAY_MS;
/// But not before so much of the validity is over. Certificates of a few days are renewed later.
const AHEAD_PART: i64 = 3;

/// When a certificate begins and ends, and since when its end is worth a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CertificateEnd {
    /// In UTC, as people read it.
    not_before: String,
    not_after: String,
    begins_ms: i64,
    ends_ms: i64,
    warned_from_ms: i64,
}

/// The warning that was given last.
#[derive(Debug, Default)]
pub(crate) struct LastWarning(Option<GivenWarning>);

#[derive(Debug, PartialEq, Eq)]
struct GivenWarning {
    ends_ms: i64,
    days_left: i64,
}

impl CertificateEnd {
    /// That of a certificate in DER. `None`: it cannot be read.
    #[must_use]
    pub(crate) fn of(der: &[u8]) -> Option<Self> {
        let CertificateFacts { not_before, not_after, .. } = CertificateFacts::read(der)?;
        let ms = |text: &str| Timestamp::parse(text).ok().map(Timestamp::as_ms);
        let (begins_ms, ends_ms) = (ms(&not_before)?, ms(&not_after)?);
        let ahead_ms = AHEAD_MS.min(ends_ms.saturating_sub(begins_ms) / AHEAD_PART);
        let warned_from_ms = ends_ms.saturating_sub(ahead_ms);
        Some(Self { not_before, not_after, begins_ms, ends_ms, warned_from_ms })
    }

    /// Why clients refuse the certificate now. `None`: it is valid.
    #[must_use]
    pub(crate) fn refused_for(&self, now_ms: i64) -> Option<String> {
        if now_ms < self.begins_ms {
            return Some(format!("it is not valid before {}", self.not_before));
        }
        (now_ms > self.ends_ms).then(|| format!("it ended at {}", self.not_after))
    }

    /// What to say now: once before the beginning, when the end is near, then once for each day
    /// that is left, and once after the end. `None`: nothing new.
    #[must_use]
    pub(crate) fn warning(&self, last: &mut LastWarning, now_ms: i64) -> Option<String> {
        let is_early = now_ms < self.begins_ms;
        if !is_early && now_ms < self.warned_from_ms {
            return None;
        }
        let days_left = self.ends_ms.saturating_sub(now_ms).div_euclid(DAY_MS).max(-1);
        // The warning before the beginning keeps back no other one.
        let days_left = if is_early { i64::MAX } else { days_left };
        let given = GivenWarning { ends_ms: self.ends_ms, days_left };
        let is_known = |last: &GivenWarning| {
            last.ends_ms == given.ends_ms && last.days_left <= given.days_left
        };
        if last.0.as_ref().is_some_and(is_known) {
            return None;
        }
        last.0 = Some(given);
        let (from, until) = (&self.not_before, &self.not_after);
        Some(if is_early {
            format!(
                "it is not valid before {from}: clients refuse it until then; look at the clock"
            )
        } else if days_left < 0 {
            format!("it ended at {until}: clients refuse it; replace the files")
        } else {
            format!("it ends at {until}: replace the files before, or clients will refuse it")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate with its end, in whole days since 1970.
    fn made(begin: i64, end: i64) -> CertificateEnd {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["postroom.test".to_owned()]).unwrap();
        let day = |day: i64| {
            rcgen::date_time_ymd(1970, 1, 1)
                + std::time::Duration::from_secs(86_400) * u32::try_from(day).unwrap()
        };
        (params.not_before, params.not_after) = (day(begin), day(end));
        CertificateEnd::of(params.self_signed(&key).unwrap().der()).unwrap()
    }

    /// The days at which a look at noon gives a warning, and how many there are in all.
    fn warned(end: &CertificateEnd, days: std::ops::Range<i64>) -> Vec<i64> {
        let mut last = LastWarning::default();
        let noon = |day: &i64| end.warning(&mut last, day * DAY_MS + DAY_MS / 2).is_some();
        days.filter(noon).collect()
    }

    #[test]
    fn the_log_warns_each_day_before_the_end_and_once_after_it() {
        let usual = made(20_000, 20_090);
        let all: Vec<_> = (20_076..=20_090).collect();
        assert_eq!(warned(&usual, 20_000..20_200), all);
        let short = made(20_000, 20_006);
        assert_eq!(warned(&short, 20_000..20_050), [20_004, 20_005, 20_006]);
        let mut last = LastWarning::default();
        let at = |last: &mut LastWarning, end: &CertificateEnd, day: i64| {
            end.warning(last, day * DAY_MS + 5_000)
        };
        let first = at(&mut last, &usual, 20_089).unwrap();
        assert!(first.contains("it ends at 2025-01-02T00:00:00Z"), "{first}");
        assert_eq!(at(&mut last, &usual, 20_089), None, "the same day");
        assert_eq!(at(&mut last, &usual, 20_080), None, "the clock was set back");
        let ended = at(&mut last, &usual, 20_090).unwrap();
        assert!(ended.contains("it ended at"), "{ended}");
        assert_eq!(at(&mut last, &usual, 20_190), None, "it was said");
        // It is used before it begins, as the clock goes.
        let early = at(&mut last, &made(20_005, 20_010), 20_000).unwrap();
        assert!(early.contains("it is not valid before 2024-10-09T00:00:00Z"), "{early}");
        assert_eq!(at(&mut last, &made(20_005, 20_010), 20_001), None, "it was said");
        assert!(at(&mut last, &made(20_005, 20_010), 20_009).is_some());
        // Another certificate is another matter.
        assert!(at(&mut last, &made(20_000, 20_091), 20_090).is_some());
        assert!(CertificateEnd::of(b"nothing").is_none());
    }

    #[test]
    fn a_certificate_is_valid_from_its_first_to_its_last_second() {
        let (begin, end) = (20_000 * DAY_MS, 20_010 * DAY_MS);
        let made = made(20_000, 20_010);
        for (now_ms, want) in [
            (begin - 1, Some("it is not valid before 2024-10-04T00:00:00Z")),
            (begin, None),
            (end, None),
            (end + 1, Some("it ended at 2024-10-14T00:00:00Z")),
        ] {
            assert_eq!(made.refused_for(now_ms).as_deref(), want, "{now_ms}");
        }
    }
}

//! The time of day that is believed where something is deleted for good.
//!
//! ```text
//!   last believed ──► goes on as long as Postroom runs ──► never later than the clock
//!                     the clock shows more ──► a lead, which needs evidence
//! ```
//! A clock may jump, and what was deleted does not come back. So the believed time grows by the
//! time in which Postroom runs, which no clock decides. After a stop, or a jump, the clock is ahead
//! of it: that is a [`Lead`]. A small lead is a restart, and is believed. Another one needs a mail
//! server that dates a new message as the clock does, and a day in which somebody can see the
//! warning, because that server may run on the same machine. Where no message comes, a week does.
//! If the clock goes back, so does the believed time: then less is deleted.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering;
use tokio::time::Instant;

/// An hour in milliseconds. A lead of at most so much is believed. A message that is dated at most
/// so long before the end of a lead confirms it.
const HOUR_MS: i64 = 3_600_000;
/// How long Postroom runs with a lead that a server has confirmed, until it is believed.
const CONFIRMED_MS: i64 = 24 * HOUR_MS;
/// How long it does if no server has dated a message meanwhile.
const UNSEEN_MS: i64 = 7 * 24 * HOUR_MS;
/// The bytes of a number.
const NUMBER_BYTES: usize = size_of::<i64>();

/// What a leader remembers of the time between two looks at it.
#[derive(Debug, Default)]
pub(crate) struct ExpiryClock {
    /// The epoch in which it leads. `None`: it has read nothing so far.
    pub epoch: Option<i64>,
    /// When it looked last.
    pub at: Option<Instant>,
    /// The time. `None`: it was never stored.
    pub time: Option<BelievedTime>,
    /// What was stored last. `None`: it has changed since.
    pub stored_ms: Option<i64>,
}

/// What servers have said about a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LeadEvidence {
    /// No message has come since it began.
    Unseen,
    /// Messages have come, and each was dated before its end.
    Earlier,
    /// A message was dated at its end.
    Confirmed,
}

/// How much the clock is ahead of the believed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lead {
    /// What the clock has shown, and shows since. In milliseconds since 1970.
    pub until_ms: i64,
    /// How long Postroom has run since it began, in milliseconds.
    pub ran_ms: i64,
    /// What servers have said about it.
    pub evidence: LeadEvidence,
}

impl Lead {
    fn is_believed(&self) -> bool {
        match self.evidence {
            LeadEvidence::Unseen => self.ran_ms >= UNSEEN_MS,
            LeadEvidence::Earlier => false,
            LeadEvidence::Confirmed => self.ran_ms >= CONFIRMED_MS,
        }
    }
}

/// What has become of the believed time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimeStep {
    /// It went on.
    On,
    /// The clock is ahead from now on, and no evidence is there yet.
    Ahead(Lead),
    /// The clock is believed again.
    Believed,
}

/// The time of day that is believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BelievedTime {
    /// In milliseconds since 1970. Never later than the clock.
    pub at_ms: i64,
    /// `None`: the clock agrees.
    pub lead: Option<Lead>,
}

impl BelievedTime {
    /// The clock is believed.
    pub(crate) fn of_clock(clock_ms: i64) -> Self {
        Self { at_ms: clock_ms, lead: None }
    }

    /// Postroom has run for `ran_ms`, and the clock shows `clock_ms` now.
    pub(crate) fn go_on(&mut self, clock_ms: i64, ran_ms: i64) -> TimeStep {
        let ran_ms = ran_ms.max(0);
        let reached_ms = self.at_ms.saturating_add(ran_ms);
        if clock_ms <= reached_ms.saturating_add(HOUR_MS) {
            let was_ahead = self.lead.is_some();
            *self = Self::of_clock(clock_ms);
            return if was_ahead { TimeStep::Believed } else { TimeStep::On };
        }
        self.at_ms = reached_ms;
        let known = self.lead.map(|lead| Lead {
            until_ms: lead.until_ms.saturating_add(ran_ms).min(clock_ms),
            ran_ms: lead.ran_ms.saturating_add(ran_ms),
            ..lead
        });
        // A clock that has gone back since does not show this lead any more. One that is still
        // further ahead waits until this lead is believed.
        let went_back = |lead: Lead| {
            let expected_ms = self.lead.map_or(0, |was| was.until_ms.saturating_add(ran_ms));
            expected_ms > lead.until_ms.saturating_add(HOUR_MS)
        };
        let Some(lead) = known.filter(|lead| !went_back(*lead)) else {
            let evidence = LeadEvidence::Unseen;
            let lead = Lead { until_ms: clock_ms, ran_ms: 0, evidence };
            self.lead = Some(lead);
            return TimeStep::Ahead(lead);
        };
        if lead.is_believed() {
            *self = Self::of_clock(lead.until_ms);
            return TimeStep::Believed;
        }
        self.lead = Some(lead);
        TimeStep::On
    }

    /// As it is stored.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let lead = self.lead.map_or([0, 0, 0], |lead| {
            let evidence = match lead.evidence {
                LeadEvidence::Unseen => 1,
                LeadEvidence::Earlier => 2,
                LeadEvidence::Confirmed => 3,
            };
            [lead.until_ms, lead.ran_ms, evidence]
        });
        [self.at_ms].into_iter().chain(lead).flat_map(i64::to_be_bytes).collect()
    }

    /// What [`Self::to_bytes`] gave. `None`: these are other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<NUMBER_BYTES>() else {
            return None;
        };
        let [at, until, ran, evidence] = numbers else {
            return None;
        };
        let [at_ms, until_ms, ran_ms, evidence] =
            [at, until, ran, evidence].map(|number| i64::from_be_bytes(*number));
        let evidence = match evidence {
            0 => return Some(Self::of_clock(at_ms)),
            1 => LeadEvidence::Unseen,
            2 => LeadEvidence::Earlier,
            3 => LeadEvidence::Confirmed,
            _ => return None,
        };
        Some(Self { at_ms, lead: Some(Lead { until_ms, ran_ms, evidence }) })
    }
}

/// What the dates of new messages say about the present lead. Those who receive write it, without
/// waiting.
#[derive(Debug, Default)]
pub(crate) struct DatesSeen {
    /// The end of the lead. 0: there is none.
    until_ms: AtomicI64,
    is_earlier: AtomicBool,
    is_confirmed: AtomicBool,
}

impl DatesSeen {
    /// A server has dated a new message.
    pub(crate) fn note(&self, dated_ms: i64) {
        let until_ms = self.until_ms.load(Ordering::Relaxed);
        if until_ms == 0 {
            return;
        }
        let is_at_end = dated_ms >= until_ms.saturating_sub(HOUR_MS);
        let seen = if is_at_end { &self.is_confirmed } else { &self.is_earlier };
        seen.store(true, Ordering::Relaxed);
    }

    /// Adds what was seen to the evidence.
    pub(crate) fn add_to(&self, time: &mut BelievedTime) {
        let Some(lead) = time.lead.as_mut() else {
            return;
        };
        let is_confirmed = self.is_confirmed.load(Ordering::Relaxed);
        let is_earlier = self.is_earlier.load(Ordering::Relaxed);
        lead.evidence = match lead.evidence {
            LeadEvidence::Confirmed => LeadEvidence::Confirmed,
            LeadEvidence::Unseen | LeadEvidence::Earlier if is_confirmed => LeadEvidence::Confirmed,
            LeadEvidence::Unseen if is_earlier => LeadEvidence::Earlier,
            LeadEvidence::Unseen => LeadEvidence::Unseen,
            LeadEvidence::Earlier => LeadEvidence::Earlier,
        };
    }

    /// From now on dates are compared with the lead of this time. `step`: what has become of it.
    pub(crate) fn watch(&self, time: &BelievedTime, step: TimeStep) {
        if step != TimeStep::On {
            self.is_earlier.store(false, Ordering::Relaxed);
            self.is_confirmed.store(false, Ordering::Relaxed);
        }
        self.until_ms.store(time.lead.map_or(0, |lead| lead.until_ms), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 24 * HOUR_MS;
    const NOW_MS: i64 = 20_000 * DAY_MS;

    /// Believed time in a process that runs, whose clock shows `offset_ms` more than is right.
    struct Run {
        time: BelievedTime,
        seen: DatesSeen,
        right_ms: i64,
    }

    impl Run {
        fn new() -> Self {
            let (time, seen) = (BelievedTime::of_clock(NOW_MS), DatesSeen::default());
            Self { time, seen, right_ms: NOW_MS }
        }

        /// The process runs for so long.
        fn runs(&mut self, ms: i64, offset_ms: i64) -> TimeStep {
            self.right_ms += ms;
            self.looks(ms, offset_ms)
        }

        /// It does not run for so long, and is started.
        fn rests(&mut self, ms: i64, offset_ms: i64) -> TimeStep {
            self.time = BelievedTime::from_bytes(&self.time.to_bytes()).unwrap();
            self.seen = DatesSeen::default();
            self.right_ms += ms;
            self.looks(0, offset_ms)
        }

        fn looks(&mut self, ran_ms: i64, offset_ms: i64) -> TimeStep {
            self.seen.add_to(&mut self.time);
            let clock_ms = self.right_ms + offset_ms;
            let step = self.time.go_on(clock_ms, ran_ms);
            self.seen.watch(&self.time, step);
            assert!(self.time.at_ms <= clock_ms);
            step
        }

        /// How much the believed time is behind the right one.
        fn behind_ms(&self) -> i64 {
            self.right_ms - self.time.at_ms
        }
    }

    #[test]
    fn a_clock_that_jumps_while_postroom_runs_is_not_believed() {
        for offset_ms in [365 * DAY_MS, 2 * DAY_MS, HOUR_MS + 60_000] {
            let mut run = Run::new();
            assert!(matches!(run.runs(60_000, offset_ms), TimeStep::Ahead(_)));
            for _ in 0..100 * 24 {
                run.runs(HOUR_MS, offset_ms);
                // The right servers date their mail as it is.
                run.seen.note(run.right_ms);
                assert_eq!(run.behind_ms(), 0, "{offset_ms}");
            }
            assert_eq!(run.runs(60_000, 0), TimeStep::Believed);
            assert_eq!(run.behind_ms(), 0);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_deletes_later_and_its_return_is_not_believed_at_once() {
        let mut run = Run::new();
        run.runs(60_000, -300 * DAY_MS);
        assert_eq!(run.behind_ms(), 300 * DAY_MS);
        assert!(matches!(run.runs(60_000, 0), TimeStep::Ahead(_)));
        run.seen.note(run.right_ms);
        assert_eq!(run.runs(CONFIRMED_MS - 1, 0), TimeStep::On);
        assert_eq!(run.runs(1, 0), TimeStep::Believed);
        assert_eq!(run.behind_ms(), 0);
    }

    #[test]
    fn after_a_stop_a_right_clock_is_believed_once_servers_and_a_day_confirm_it() {
        let mut run = Run::new();
        assert_eq!(run.rests(HOUR_MS, 0), TimeStep::On, "a restart");
        assert_eq!(run.behind_ms(), 0);
        assert!(matches!(run.rests(30 * DAY_MS, 0), TimeStep::Ahead(_)));
        run.runs(HOUR_MS, 0);
        run.seen.note(run.right_ms - 60_000);
        run.runs(HOUR_MS, 0);
        assert_eq!(run.time.lead.unwrap().evidence, LeadEvidence::Confirmed);
        run.rests(60_000, 0);
        assert_eq!(run.behind_ms(), 30 * DAY_MS + 60_000, "what was confirmed is kept");
        assert_eq!(run.runs(22 * HOUR_MS, 0), TimeStep::Believed);
        assert_eq!(run.behind_ms(), 60_000);
        assert_eq!(run.runs(60_000, 0), TimeStep::On, "the rest is small");
        assert_eq!(run.behind_ms(), 0);
    }

    #[test]
    fn without_mail_a_week_confirms_and_mail_of_earlier_dates_alone_never_does() {
        for (dated, is_believed) in [(None, true), (Some(2 * HOUR_MS), false)] {
            let mut run = Run::new();
            run.rests(30 * DAY_MS, 0);
            if let Some(earlier_ms) = dated {
                run.seen.note(run.right_ms - earlier_ms);
            }
            run.runs(UNSEEN_MS - 1, 0);
            assert_eq!(run.behind_ms(), 30 * DAY_MS);
            run.runs(1, 0);
            assert_eq!(run.behind_ms() == 0, is_believed);
        }
    }

    #[test]
    fn a_machine_that_runs_eight_hours_a_day_is_at_most_a_week_behind() {
        let mut run = Run::new();
        for _ in 0..60 {
            run.rests(16 * HOUR_MS, 0);
            for _ in 0..8 {
                run.seen.note(run.right_ms);
                run.runs(HOUR_MS, 0);
            }
            assert!(run.behind_ms() <= 7 * DAY_MS, "{}", run.behind_ms());
        }
    }

    #[test]
    fn a_second_jump_confirms_no_first_one() {
        let mut run = Run::new();
        run.runs(60_000, 400 * DAY_MS);
        run.seen.note(run.right_ms + 400 * DAY_MS);
        run.runs(HOUR_MS, 400 * DAY_MS);
        assert!(matches!(run.runs(HOUR_MS, 100 * DAY_MS), TimeStep::Ahead(_)), "it went back");
        run.runs(CONFIRMED_MS, 100 * DAY_MS);
        assert_eq!(run.behind_ms(), 0);
        assert_eq!(run.time.lead.unwrap().evidence, LeadEvidence::Unseen);
    }

    #[test]
    fn other_bytes_are_no_time() {
        let lead = Lead { until_ms: 9, ran_ms: 5, evidence: LeadEvidence::Earlier };
        for lead in [None, Some(lead)] {
            let time = BelievedTime { at_ms: 7, lead };
            assert_eq!(BelievedTime::from_bytes(&time.to_bytes()), Some(time));
        }
        let mut bytes = BelievedTime::of_clock(7).to_bytes();
        assert_eq!(BelievedTime::from_bytes(&bytes[..31]), None);
        assert_eq!(BelievedTime::from_bytes(&bytes[..24]), None);
        bytes[31] = 4;
        assert_eq!(BelievedTime::from_bytes(&bytes), None);
    }
}

//! The script: a short list of rules. Each rule changes what happens at one point of a dialogue.

mod action;
mod point;

pub use action::Action;
pub use action::Ending;
pub use action::MessageFault;
pub use point::ImapCommand;
pub(crate) use point::Occasion;
pub use point::Point;
pub use point::SmtpCommand;

/// One entry of the script.
///
/// If several rules match at a point, only the one that was added first acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The point where it acts.
    pub on: Point,
    /// Which of the visits to the point it acts on.
    pub when: When,
    /// What happens there.
    pub act: Action,
}

/// On which visits to a point a rule acts. They are counted from 1, since the rule was added, over
/// all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// Each time.
    Always,
    /// The n-th time only.
    Nth(u32),
    /// The first n times.
    First(u32),
    /// Each time from the n-th on.
    From(u32),
    /// Each time for this user, address or mailbox. The address is that of MAIL or RCPT, or any of
    /// them at the end of the message. The mailbox, by its name on the wire, is that of SELECT,
    /// EXAMINE, STATUS and APPEND, and of each command on its messages. Upper and lower case are
    /// the same. For FETCH it may be an item too, such as `BODY.PEEK[]`.
    For(String),
    /// The n-th time for this user, address or mailbox.
    NthFor(u32, String),
}

/// Names a rule, to remove it or to ask whether it has acted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleId(u64);

#[derive(Debug)]
struct Active {
    id: RuleId,
    rule: Rule,
    reached_count: u32,
    acted_count: u32,
}

/// The rules that are in force.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    last: u64,
    active: Vec<Active>,
}

impl Rules {
    /// Adds a rule after all others.
    pub(crate) fn add(&mut self, rule: Rule) -> RuleId {
        self.last += 1;
        let id = RuleId(self.last);
        self.active.push(Active { id, rule, reached_count: 0, acted_count: 0 });
        id
    }

    /// Removes a rule. False: it was not there.
    pub(crate) fn remove(&mut self, id: RuleId) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active.id != id);
        self.active.len() != before
    }

    /// Removes all rules.
    pub(crate) fn clear(&mut self) {
        self.active.clear();
    }

    /// Whether the rule is in force.
    pub(crate) fn holds(&self, id: RuleId) -> bool {
        self.active.iter().any(|active| active.id == id)
    }

    /// How often the rule has acted; zero once it is removed.
    pub(crate) fn acted_count(&self, id: RuleId) -> u32 {
        self.active.iter().find(|active| active.id == id).map_or(0, |active| active.acted_count)
    }

    /// The action at `moment`, for the `subjects` (user, addresses).
    pub(crate) fn take(&mut self, moment: Occasion, subjects: &[&str]) -> Option<(RuleId, Action)> {
        let mut taken = None;
        for active in self.active.iter_mut().filter(|active| moment.is_at(active.rule.on)) {
            if !active.rule.when.concerns(subjects) {
                continue;
            }
            active.reached_count += 1;
            if taken.is_none() && active.rule.when.counts(active.reached_count) {
                active.acted_count += 1;
                taken = Some((active.id, active.rule.act.clone()));
            }
        }
        taken
    }
}

impl When {
    fn concerns(&self, subjects: &[&str]) -> bool {
        match self {
            Self::Always | Self::Nth(_) | Self::First(_) | Self::From(_) => true,
            Self::For(who) | Self::NthFor(_, who) => {
                subjects.iter().any(|subject| subject.eq_ignore_ascii_case(who))
            }
        }
    }

    fn counts(&self, time: u32) -> bool {
        match self {
            Self::Always | Self::For(_) => true,
            Self::Nth(n) | Self::NthFor(n, _) => time == *n,
            Self::First(n) => time <= *n,
            Self::From(n) => time >= *n,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOOP: Point = Point::ImapCommand(ImapCommand::Noop);

    fn times(when: When, subjects: &[&[&str]]) -> Vec<bool> {
        let mut rules = Rules::default();
        rules.add(Rule { on: NOOP, when, act: Action::End(Ending::Close) });
        let reach = |who: &&[&str]| rules.take(Occasion::At(NOOP), who).is_some();
        subjects.iter().map(reach).collect()
    }

    #[test]
    fn a_rule_acts_at_its_times_only() {
        let (a, b): (&[&str], &[&str]) = (&["a@x.test"], &["b@x.test"]);
        let four = [a, b, a, a];
        for (when, want) in [
            (When::Always, [true; 4]),
            (When::Nth(2), [false, true, false, false]),
            (When::First(2), [true, true, false, false]),
            (When::From(3), [false, false, true, true]),
            (When::For("A@x.test".to_owned()), [true, false, true, true]),
            (When::NthFor(2, "a@x.test".to_owned()), [false, false, true, false]),
        ] {
            assert_eq!(times(when.clone(), &four), want, "{when:?}");
        }
    }

    #[test]
    fn the_first_of_two_rules_acts_and_a_removed_one_does_not() {
        let mut rules = Rules::default();
        let close = Rule { on: NOOP, when: When::Always, act: Action::End(Ending::Close) };
        let reset = Rule { act: Action::End(Ending::Reset), ..close.clone() };
        let first = rules.add(close);
        let second = rules.add(reset);
        let take = |rules: &mut Rules| rules.take(Occasion::At(NOOP), &[]).map(|taken| taken.1);
        assert_eq!(take(&mut rules), Some(Action::End(Ending::Close)));
        assert!(rules.remove(first) && !rules.remove(first));
        assert_eq!(take(&mut rules), Some(Action::End(Ending::Reset)));
        assert_eq!((rules.acted_count(first), rules.acted_count(second)), (0, 1));
        rules.clear();
        assert_eq!(take(&mut rules), None);
    }
}

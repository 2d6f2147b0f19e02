//! The phases of a delivery, and the only table of the steps between them.
//!
//! ```text
//!   (message becomes `sending`) ─ compose ─► due ─ claim ─► claimed ─ send dot ─► dot-sent
//!                           a client's change ▼▲               │                     │
//!                                           void               │      process ended: in-doubt
//!                                             ▲─ release, postpone ◄─────────────────┤
//!                                              end ─► (no row) ◄─────────────────────┘
//! ```
//! Every statement that changes or deletes a row of the table `delivery` by its phase is built here
//! from a [`DeliveryStep`]. It does nothing to a delivery whose phase the step does not allow.
//! `cargo xtask tidy` refuses the name of a phase elsewhere.

use crate::database::Statement;

/// How far the engine has got with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeliveryPhase {
    /// It is composed, and waits for its next attempt.
    Due,
    /// A sender has it, and has not sent the final dot.
    Claimed,
    /// A sender has it, and has sent the final dot. The server's answer decides.
    DotSent,
    /// Its sender ended after the final dot, so nobody knows the server's answer.
    InDoubt,
    /// A client changed the message. What was composed is discarded.
    Void,
}

/// What can happen to a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum DeliveryStep {
    /// The message is composed: [`crate::Store::delivery_prepare`]. It also makes a missing row.
    Compose,
    /// The message is composed anew during an attempt, because the server cannot take its bytes:
    /// [`crate::Store::delivery_prepare`].
    Recompose,
    /// A sender takes it for an attempt: [`crate::Store::delivery_claim`].
    Claim,
    /// Its final dot is about to be sent: [`crate::Store::delivery_dot_sent`].
    SendDot,
    /// One of several transactions is over, and the attempt continues:
    /// [`crate::Store::delivery_part`].
    RecordPart,
    /// The sender gives it back untried: [`crate::Store::delivery_release`].
    Release,
    /// It is tried again later: [`crate::Store::delivery_settle`].
    Postpone,
    /// The message is sent, or ends as `error`: [`crate::Store::delivery_settle`].
    End,
    /// Its sender has ended before the final dot: [`crate::Store::delivery_recover`].
    Requeue,
    /// Its sender has ended after the final dot: [`crate::Store::delivery_recover`].
    LoseAnswer,
    /// A client changes the message: [`crate::queue::invalidate`].
    Invalidate,
    /// The message is withdrawn, refused or deleted before an attempt, or its account is deleted.
    Leave,
}

/// From which phases a step leads to which. `to`: `None` if the row is deleted.
struct Transition {
    from: &'static [DeliveryPhase],
    to: Option<DeliveryPhase>,
}

impl DeliveryPhase {
    /// Every phase.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 5] =
        [Self::Due, Self::Claimed, Self::DotSent, Self::InDoubt, Self::Void];

    /// The value in the column `phase`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Due => "due",
            Self::Claimed => "claimed",
            Self::DotSent => "dot-sent",
            Self::InDoubt => "in-doubt",
            Self::Void => "void",
        }
    }

    /// Whether a delivery is in this phase. `of`: the name of its table in the query with a dot, or
    /// empty.
    pub(crate) fn is_of(self, of: &str) -> String {
        format!("{of}\"phase\" = '{}'", self.as_str())
    }

    /// Whether a delivery is in one of these phases.
    pub(crate) fn is_one_of(of: &str, phases: &[Self]) -> String {
        // An index of some phases is found by the condition that it has.
        if let [phase] = phases {
            return phase.is_of(of);
        }
        let phases: Vec<_> = phases.iter().map(|phase| format!("'{}'", phase.as_str())).collect();
        format!("{of}\"phase\" IN ({})", phases.join(", "))
    }
}

impl DeliveryStep {
    /// Every step.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 12] = [
        Self::Compose,
        Self::Recompose,
        Self::Claim,
        Self::SendDot,
        Self::RecordPart,
        Self::Release,
        Self::Postpone,
        Self::End,
        Self::Requeue,
        Self::LoseAnswer,
        Self::Invalidate,
        Self::Leave,
    ];

    /// The table of steps.
    #[rustfmt::skip]
    const fn transition(self) -> Transition {
        use DeliveryPhase::*;
        let (from, to): (&[DeliveryPhase], _) = match self {
            Self::Compose    => (&[Void],                           Some(Due)),
            Self::Recompose  => (&[Claimed],                        Some(Due)),
            Self::Claim      => (&[Due],                            Some(Claimed)),
            Self::SendDot    => (&[Claimed],                        Some(DotSent)),
            Self::RecordPart => (&[Claimed, DotSent],               Some(Claimed)),
            Self::Release    => (&[Claimed],                        Some(Due)),
            Self::Postpone   => (&[Due, Claimed, DotSent, InDoubt], Some(Due)),
            Self::End        => (&[Due, Claimed, DotSent, InDoubt], None),
            Self::Requeue    => (&[Claimed],                        Some(Due)),
            Self::LoseAnswer => (&[DotSent],                        Some(InDoubt)),
            Self::Invalidate => (&[Due],                            Some(Void)),
            Self::Leave      => (&[Due, Void],                      None),
        };
        Transition { from, to }
    }

    /// Whether a delivery is in a phase from which the step is possible.
    pub(crate) fn is_possible(self, of: &str) -> String {
        DeliveryPhase::is_one_of(of, self.transition().from)
    }

    /// The phase after the step. `None`: there is no row any more.
    pub(crate) const fn leads_to(self) -> Option<DeliveryPhase> {
        self.transition().to
    }

    /// An INSERT that makes the row, or takes the step with the row that is there. It names the
    /// column as `{phase}`, the phase after the step as `{due}`, and as `{possible}` the condition
    /// for the row of the table `d`.
    pub(crate) fn inserted(self, sql: &str) -> Statement {
        let due = format!("'{}'", DeliveryPhase::Due.as_str());
        let sql = sql.replace("{phase}", "\"phase\"").replace("{due}", &due);
        Statement::new(sql.replace("{possible}", &self.is_possible("d.")))
    }

    /// The statement that takes the step with every delivery of which `whose` holds.
    pub(crate) fn taken(self, whose: &str) -> Statement {
        self.taken_with("", whose)
    }

    /// The same, which also sets columns. `set` begins with a comma, or is empty. A step that
    /// deletes the row sets nothing.
    pub(crate) fn taken_with(self, set: &str, whose: &str) -> Statement {
        let possible = self.is_possible("");
        Statement::new(match self.leads_to() {
            Some(to) => format!(
                "UPDATE \"delivery\" SET \"phase\" = '{}'{set} WHERE {whose} AND {possible}",
                to.as_str()
            ),
            None => format!("DELETE FROM \"delivery\" WHERE {whose} AND {possible}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failed::Failed;
    use crate::fixture::store;
    use postroom_model::MessageEntityId;
    use postroom_testkit::on_both;

    #[test]
    fn every_step_from_every_phase() {
        use DeliveryPhase::*;
        const NO: Option<Option<DeliveryPhase>> = None;
        const ENDS: Option<Option<DeliveryPhase>> = Some(None);
        let to = |phase| Some(Some(phase));
        #[rustfmt::skip]
        let table = [
            // from    compose  recompose claim        send dot     part         release  postpone
            // end   requeue  lose         invalidate leave
            (Due,     [NO,      NO,       to(Claimed), NO,          NO,          NO,      to(Due), ENDS, NO,      NO,          to(Void),  ENDS]),
            (Claimed, [NO,      to(Due),  NO,          to(DotSent), to(Claimed), to(Due), to(Due), ENDS, to(Due), NO,          NO,        NO]),
            (DotSent, [NO,      NO,       NO,          NO,          to(Claimed), NO,      to(Due), ENDS, NO,      to(InDoubt), NO,        NO]),
            (InDoubt, [NO,      NO,       NO,          NO,          NO,          NO,      to(Due), ENDS, NO,      NO,          NO,        NO]),
            (Void,    [to(Due), NO,       NO,          NO,          NO,          NO,      NO,      NO,   NO,      NO,          NO,        ENDS]),
        ];
        assert_eq!(table.map(|(from, _)| from), DeliveryPhase::ALL);
        for (from, row) in table {
            for (step, want) in DeliveryStep::ALL.into_iter().zip(row) {
                let transition = step.transition();
                let after = transition.from.contains(&from).then_some(transition.to);
                assert_eq!(after, want, "{step:?} from {from:?}");
            }
        }
    }

    #[on_both]
    async fn a_database_takes_the_steps_of_the_table_and_no_others() {
        let (_directory, store) = store().await;
        let id = MessageEntityId::of(store.clock().new_id());
        for from in DeliveryPhase::ALL {
            for step in DeliveryStep::ALL {
                store.write(from.row(id).into()).await.unwrap();
                let taken = step.taken("\"message\" = $1").bind(id);
                let taken = taken.must_change(Failed::NotQueued);
                let taken = store.write(vec![taken]).await;
                let phase = DeliveryPhase::of(&store, id).await;
                let is_possible = step.transition().from.contains(&from);
                let after = if is_possible { step.leads_to() } else { Some(from) };
                assert_eq!(taken.is_ok(), is_possible, "{step:?} from {from:?}");
                assert_eq!(phase, after, "{step:?} from {from:?}");
            }
        }
    }

    #[test]
    fn a_step_is_taken_from_its_phases_alone() {
        let sql = |step: DeliveryStep| step.taken_with(", \"epoch\" = $2", "\"message\" = $1").sql;
        assert_eq!(
            sql(DeliveryStep::Claim),
            r#"UPDATE "delivery" SET "phase" = 'claimed', "epoch" = $2 WHERE "message" = $1 AND "phase" = 'due'"#
        );
        assert_eq!(
            sql(DeliveryStep::Leave),
            r#"DELETE FROM "delivery" WHERE "message" = $1 AND "phase" IN ('due', 'void')"#
        );
    }
}

//! How the processes of a group hand the lease over.
//!
//! ```text
//!   waiting ─ the lease is free, and nobody before it in the order waits ─► active (epoch n + 1)
//!      ▲ └─ the lease belongs to an earlier process on the same data directory ─► active    │
//!      └──────────── given up (clean stop, failback), or deposed ◄──────────────────────────┘
//! ```
//! All times are those of the database's clock. If that clock goes back, the lease of a process
//! that has ended holds for longer than it should. So a process also takes a lease that it has seen
//! for so long without a change. The lease of another group counts too: one database has one active
//! process, because two of them would send the same messages.

use crate::database::Lock;
use crate::database::Room;
use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::failed::Failed;
use crate::lease::LEASE;
use crate::lease::LEASE_FOR;
use crate::lease::is_alive;
use crate::lease::number;
use crate::lease::whole;
use crate::seen_lease::HeldLease;
use crate::seen_lease::SeenLease;
use crate::store::Store;
use postroom_model::InstanceRole;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::time::Instant;

/// What stands for the seat of a process that has none. No seat is equal to it.
const NO_SEAT: &str = "none";

/// How long a lease must have been seen without a change: longer than it is valid, so that its
/// holder has missed several beats.
const UNRENEWED_FOR: Duration = Duration::from_secs(LEASE_FOR.as_secs() + 4);
/// After so long without a look, nobody knows what was between two of them.
const LOOKS_WITHIN: Duration = Duration::from_secs(5);

impl Store {
    /// Takes the next epoch if no process leads, and no process waits that comes before this one in
    /// the order of the group. Returns the store that the engine of this process uses. `None`: it
    /// has to wait.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn lead_if_free(&self) -> Result<Option<Self>, Error> {
        self.lead_if_unrenewed(UNRENEWED_FOR).await
    }

    /// The same, if a lease that was not renewed for so long counts as free.
    async fn lead_if_unrenewed(&self, after: Duration) -> Result<Option<Self>, Error> {
        // Most looks find that it is not free, and lock nothing.
        if !self.read(self.may_lead(None)).await?.is_empty() {
            return self.take_if(None).await;
        }
        let held = self.read(self.held_by_other()).await?;
        let Some(unrenewed) = self.unrenewed(&held, after) else {
            return Ok(None);
        };
        if self.read(self.may_lead(Some(&unrenewed))).await?.is_empty() {
            return Ok(None);
        }
        let taken = self.take_if(Some(&unrenewed)).await?;
        if taken.is_some() {
            tracing::warn!(
                epoch = unrenewed.epoch,
                "the lease of another process was not renewed for longer than it is valid, though \
                 it is still valid by the clock of the database: that clock went back, and this \
                 process takes over"
            );
        }
        Ok(taken)
    }

    /// Takes the next epoch if it is free at this moment. `unrenewed` counts as free, as long as
    /// it is as it was seen: its holder renews it under a lock that this excludes.
    async fn take_if(&self, unrenewed: Option<&HeldLease>) -> Result<Option<Self>, Error> {
        let free = self.may_lead(unrenewed).assert(Failed::Deposed, Lock::Name(LEASE));
        let took = self.inner.database.write(vec![free, self.take_lease()], Room::Reserve).await;
        match took {
            Ok(taken) => Ok(Some(self.leading(number(&taken)?))),
            Err(Error::Condition(Failed::Deposed)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The query for the lease of another process.
    fn held_by_other(&self) -> Statement {
        let now = self.inner.database.dialect().now();
        let sql = format!(
            "SELECT \"epoch\", CAST(\"until\" AS TEXT) FROM \"lease\"
             WHERE \"until\" > {now} AND \"holder\" <> $1 ORDER BY \"epoch\" DESC LIMIT 1"
        );
        Statement::new(sql).bind(self.inner.owner)
    }

    /// The lease of these rows, if each look has found the same for so long.
    fn unrenewed(&self, rows: &[Row], after: Duration) -> Option<HeldLease> {
        let row = rows.first();
        let held = row.and_then(|row| Some((row.whole(0)?, row.text(1)?)));
        let held = held.map(|(epoch, until)| HeldLease { epoch, until: until.to_owned() });
        let mut seen = self.inner.seen_lease.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let since = seen.as_ref().filter(|seen| {
            Some(&seen.held) == held.as_ref() && seen.last.elapsed() <= LOOKS_WITHIN
        });
        let since = since.map(|seen| seen.since);
        *seen = held.clone().map(|held| SeenLease { held, since: since.unwrap_or(now), last: now });
        held.filter(|_| since.is_some_and(|since| since.elapsed() >= after))
    }

    /// The query that finds a row if this process may take the lease. `unrenewed` does not count.
    fn may_lead(&self, unrenewed: Option<&HeldLease>) -> Statement {
        let now = self.inner.database.dialect().now();
        let (member, owner) = (self.inner.member(), self.inner.owner);
        let (email, alive) = (InstanceRole::Email.as_str(), is_alive(&*self.inner.database));
        let sql = format!(
            "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM \"lease\" WHERE \"until\" > {now}
               AND \"holder\" <> $1 AND COALESCE(\"seat\", '') <> $2
               AND NOT (\"epoch\" = $5 AND CAST(\"until\" AS TEXT) = $6))
             AND (EXISTS (SELECT 1 FROM \"lease\" WHERE \"until\" > {now} AND \"epoch\" <> $5)
               OR NOT EXISTS (SELECT 1 FROM \"owner\" WHERE \"group\" = $3 AND \"role\" = '{email}'
                 AND (\"order\", \"id\") < ($4, $1) AND {alive}))"
        );
        let (group, order) = (member.group(), whole(member.instance.order));
        let seat = member.seat.unwrap_or_else(|| NO_SEAT.to_owned());
        // No epoch is 0.
        let (epoch, until) = unrenewed.map_or((0, ""), |held| (held.epoch, held.until.as_str()));
        let may = Statement::new(sql).bind(owner).bind(seat).bind(group).bind(order);
        may.bind(epoch).bind(until)
    }

    /// Whether a process waits that comes before this one in the order of the group, and wants the
    /// lease back.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn preferred_waits(&self) -> Result<bool, Error> {
        let (email, alive) = (InstanceRole::Email.as_str(), is_alive(&*self.inner.database));
        let sql = format!(
            "SELECT 1 FROM \"owner\" WHERE \"group\" = $1 AND \"role\" = '{email}' AND \"failback\"
               AND \"order\" < $2 AND \"id\" <> $3 AND {alive} LIMIT 1"
        );
        let member = self.inner.member();
        let order = whole(member.instance.order);
        let waits = Statement::new(sql).bind(member.group()).bind(order);
        Ok(!self.read(waits.bind(self.inner.owner)).await?.is_empty())
    }

    /// Gives up the lease of this store, so that another process can take it at once. The engine
    /// must have ended.
    ///
    /// # Errors
    ///
    /// When the store fails. Then others wait until the lease has expired.
    pub async fn give_up(&self) -> Result<(), Error> {
        self.sweep_last().await;
        self.inner.set_lease(None);
        let Some(lease) = &self.lease else {
            return Ok(());
        };
        let now = self.inner.database.dialect().now();
        let batch = vec![lease.good_until(now), self.waits_again()];
        self.inner.database.write(batch, Room::Reserve).await.map(drop)
    }

    /// Notes that another process has taken the lease of this store.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn stand_back(&self) -> Result<(), Error> {
        self.inner.set_lease(None);
        // The active process knows later ones.
        self.inner.unwritten.clear();
        self.inner.database.write(vec![self.waits_again()], Room::Reserve).await.map(drop)
    }

    fn waits_again(&self) -> Statement {
        let now = self.inner.database.dialect().now();
        let sql = format!("UPDATE \"owner\" SET \"since\" = {now} WHERE \"id\" = $1");
        Statement::new(sql).bind(self.inner.owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Value;
    use crate::fixture::Two;
    use crate::lease::Member;
    use crate::node::NodeState;
    use crate::node_details::NodeDetails;
    use crate::schema;
    use postroom_model::Instance;
    use postroom_testkit::on_both;

    const START_MS: i64 = 1_000_000;
    /// How long a lease is valid.
    const LEASE_MS: i64 = 10_000;
    /// How long a node counts as there.
    const ALIVE_MS: i64 = 5_000;

    fn member(name: &str, order: u64) -> Member {
        Member { instance: Instance { order, ..Instance::named(name) }, seat: None }
    }

    async fn write_nothing(store: &Store) -> Result<(), Error> {
        store.write(vec![Statement::new("DELETE FROM \"once\"")]).await.map(drop)
    }

    #[on_both]
    async fn a_lease_is_taken_when_it_has_expired_by_the_clock_of_the_database() {
        let two = Two::open_as([member("a", 1), member("b", 2)]).await;
        let former = two.one.lead_if_free().await.unwrap().unwrap();
        two.set_time(START_MS + LEASE_MS / 2).await;
        former.beat(None).await.unwrap();
        for late_ms in [0, LEASE_MS - 1] {
            two.set_time(START_MS + LEASE_MS / 2 + late_ms).await;
            assert!(two.other.lead_if_free().await.unwrap().is_none(), "{late_ms}");
        }
        write_nothing(&former).await.unwrap();
        two.set_time(START_MS + LEASE_MS / 2 + LEASE_MS).await;
        let next = two.other.lead_if_free().await.unwrap().unwrap();
        assert_eq!((former.epoch().unwrap(), next.epoch().unwrap()), (1, 2));
        for late in [write_nothing(&former).await, former.beat(None).await] {
            assert!(matches!(late, Err(Error::Condition(Failed::Deposed))), "{late:?}");
        }
        former.stand_back().await.unwrap();
        next.beat(None).await.unwrap();
        assert!(two.one.lead_if_free().await.unwrap().is_none());
    }

    #[on_both]
    async fn the_first_in_the_order_takes_it_and_the_next_one_only_without_it() {
        let two = Two::open_as([member("a", 2), member("b", 1)]).await;
        assert!(two.one.lead_if_free().await.unwrap().is_none(), "the other one comes first");
        two.set_time(START_MS + ALIVE_MS - 1).await;
        assert!(two.one.lead_if_free().await.unwrap().is_none());
        two.set_time(START_MS + ALIVE_MS).await;
        let former = two.one.lead_if_free().await.unwrap().unwrap();
        // It comes back, waits, and gets it without waiting for the end of the lease.
        two.other.beat(None).await.unwrap();
        assert!(two.other.lead_if_free().await.unwrap().is_none());
        assert!(former.preferred_waits().await.unwrap());
        former.give_up().await.unwrap();
        assert!(two.one.lead_if_free().await.unwrap().is_none());
        let next = two.other.lead_if_free().await.unwrap().unwrap();
        assert!(!next.preferred_waits().await.unwrap());
        assert_eq!(next.epoch().unwrap(), 2);
    }

    #[on_both]
    async fn who_does_not_want_it_back_is_not_waited_for() {
        let mut second = member("b", 1);
        second.instance.failback = false;
        let two = Two::open_as([member("a", 2), second]).await;
        let active = two.one.lead().await.unwrap();
        two.other.beat(None).await.unwrap();
        assert!(!active.preferred_waits().await.unwrap());
    }

    #[on_both]
    async fn a_process_on_the_same_directory_does_not_wait_for_the_one_before_it() {
        let seat = |seat: &str| Member { seat: Some(seat.to_owned()), ..member("a", 1) };
        for (second, is_taken) in [("boot 1:2", true), ("boot 1:3", false)] {
            let two = Two::open_as([seat("boot 1:2"), seat(second)]).await;
            // As if the first one had taken it, and were killed.
            let holder = if is_taken { &two.other } else { &two.one };
            let former = "UPDATE \"lease\" SET \"holder\" = 77";
            holder.lead().await.unwrap();
            two.one.write(vec![Statement::new(former)]).await.unwrap();
            let taken = two.other.lead_if_free().await.unwrap();
            assert_eq!(taken.is_some(), is_taken, "{second}");
            let nodes = two.other.nodes().await.unwrap();
            assert_eq!(nodes.len(), if is_taken { 1 } else { 2 }, "{nodes:?}");
        }
    }

    /// An hour back.
    const BACK_MS: i64 = 3_600_000;

    #[on_both]
    async fn a_lease_that_nobody_renews_is_taken_also_when_the_clock_of_the_database_went_back() {
        let two = Two::open_as([member("a", 1), member("b", 2)]).await;
        two.set_time(START_MS + BACK_MS).await;
        let former = two.one.lead_if_free().await.unwrap().unwrap();
        former.beat(None).await.unwrap();
        two.set_time(START_MS).await;
        assert!(two.other.lead_if_free().await.unwrap().is_none(), "seen once");
        assert!(two.other.lead_if_free().await.unwrap().is_none(), "not for long enough");
        // The first one lives: it renews between two looks.
        two.set_time(START_MS + 1).await;
        former.beat(None).await.unwrap();
        assert!(two.other.lead_if_unrenewed(Duration::ZERO).await.unwrap().is_none());
        let held = two.other.read(two.other.held_by_other()).await.unwrap();
        let unrenewed = two.other.unrenewed(&held, Duration::ZERO).unwrap();
        // It has ended, as all can see, but nobody has renewed that since the clock went back.
        two.set_time(START_MS - BACK_MS).await;
        let next = two.other.lead_if_unrenewed(Duration::ZERO).await.unwrap().unwrap();
        assert_eq!((former.epoch().unwrap(), next.epoch().unwrap()), (1, 2));
        for late in [write_nothing(&former).await, former.beat(None).await] {
            assert!(matches!(late, Err(Error::Condition(Failed::Deposed))), "{late:?}");
        }
        // A lease that changed since it was seen is taken by nobody.
        assert!(two.one.take_if(Some(&unrenewed)).await.unwrap().is_none());
        write_nothing(&next).await.unwrap();
    }

    /// Lets the first look of a process be `since` ago, and its last one `last` ago.
    fn looked(store: &Store, since: Duration, last: Duration) {
        let mut seen = store.inner.seen_lease.lock().unwrap();
        let (seen, now) = (seen.as_mut().unwrap(), Instant::now());
        (seen.since, seen.last) = (now - since, now - last);
    }

    #[on_both]
    async fn a_lease_counts_as_not_renewed_once_looks_have_found_the_same_for_long_enough() {
        let two = Two::open_as([member("a", 2), member("b", 1)]).await;
        let second = Duration::from_secs(1);
        let former = two.one.lead().await.unwrap();
        assert!(two.other.lead_if_free().await.unwrap().is_none(), "seen once");
        // As long as it is valid for, it may be that its holder is late.
        let is_early = || {
            let seen = two.other.inner.seen_lease.lock().unwrap();
            seen.as_ref().unwrap().since.elapsed() < UNRENEWED_FOR
        };
        looked(&two.other, LEASE_FOR, Duration::ZERO);
        let taken = two.other.lead_if_free().await.unwrap();
        assert!(taken.is_none() || !is_early(), "{taken:?}");
        let since = two.other.inner.seen_lease.lock().unwrap().as_ref().unwrap().since;
        assert!(since.elapsed() >= LEASE_FOR, "it is known since when it is the same");
        // It was renewed after the last look.
        looked(&two.other, UNRENEWED_FOR, Duration::ZERO);
        two.set_time(START_MS + 1).await;
        former.beat(None).await.unwrap();
        assert!(two.other.lead_if_free().await.unwrap().is_none());
        // Nobody has looked for a while, so it may have been renewed meanwhile, and set back.
        looked(&two.other, UNRENEWED_FOR + second, LOOKS_WITHIN + second);
        assert!(two.other.lead_if_free().await.unwrap().is_none());
        write_nothing(&former).await.unwrap();
        let mut next = None;
        for _ in 0..10 {
            looked(&two.other, UNRENEWED_FOR, Duration::ZERO);
            next = next.or(two.other.lead_if_free().await.unwrap());
        }
        assert_eq!(next.unwrap().epoch().unwrap(), 2);
    }

    #[on_both]
    async fn a_lease_that_nobody_renews_is_taken_by_the_first_in_the_order() {
        let two = Two::open_as([member("a", 1), member("b", 2)]).await;
        // As if a third one had it, and ended.
        two.one.lead().await.unwrap();
        let ended = "UPDATE \"lease\" SET \"holder\" = 77";
        two.one.write(vec![Statement::new(ended)]).await.unwrap();
        for _ in 0..2 {
            let taken = two.other.lead_if_unrenewed(Duration::ZERO).await.unwrap();
            assert!(taken.is_none(), "the other one comes first");
        }
        assert!(two.one.lead_if_unrenewed(Duration::ZERO).await.unwrap().is_none(), "seen once");
        let next = two.one.lead_if_unrenewed(Duration::ZERO).await.unwrap().unwrap();
        assert_eq!(next.epoch().unwrap(), 2);
    }

    #[on_both]
    async fn a_lease_that_is_renewed_at_the_last_moment_is_not_taken() {
        let two = Two::open_as([member("a", 2), member("b", 1)]).await;
        let former = two.one.lead().await.unwrap();
        let held = two.other.read(two.other.held_by_other()).await.unwrap();
        two.other.unrenewed(&held, Duration::ZERO);
        let unrenewed = two.other.unrenewed(&held, Duration::ZERO).unwrap();
        two.set_time(START_MS + 1).await;
        former.beat(None).await.unwrap();
        assert!(two.other.take_if(Some(&unrenewed)).await.unwrap().is_none());
        write_nothing(&former).await.unwrap();
    }

    #[on_both]
    async fn two_that_race_for_an_unrenewed_lease_never_both_lead() {
        let two = Two::open_as([member("a", 1), member("b", 1)]).await;
        let mut led = 0;
        for round in 1..=20 {
            // As if a third one had it, and the clock went back.
            let ended = "UPDATE \"lease\" SET \"holder\" = 77";
            two.set_time(START_MS + BACK_MS + round).await;
            two.one.lead().await.unwrap();
            two.one.write(vec![Statement::new(ended)]).await.unwrap();
            two.set_time(START_MS + round).await;
            let look = async |store: &Store| store.lead_if_unrenewed(Duration::ZERO).await.unwrap();
            let (one, other) =
                tokio::join!(async { (look(&two.one).await, look(&two.one).await) }, async {
                    (look(&two.other).await, look(&two.other).await)
                });
            let leaders: Vec<_> = [one.0, one.1, other.0, other.1].into_iter().flatten().collect();
            let mut able = 0;
            for leader in &leaders {
                able += usize::from(write_nothing(leader).await.is_ok());
            }
            assert!(able <= 1, "round {round}: {leaders:?}");
            led += able;
        }
        assert!(led > 0, "nobody ever took it");
    }

    #[on_both]
    async fn nobody_waits_for_a_process_whose_last_beat_is_in_the_future() {
        let two = Two::open_as([member("a", 2), member("b", 1)]).await;
        two.set_time(START_MS + BACK_MS).await;
        two.other.beat(None).await.unwrap();
        two.set_time(START_MS).await;
        let active = two.one.lead_if_free().await.unwrap().unwrap();
        assert!(!active.preferred_waits().await.unwrap());
        two.other.beat(None).await.unwrap();
        assert!(active.preferred_waits().await.unwrap(), "it is there");
    }

    #[on_both]
    async fn one_database_has_one_active_process_also_with_two_groups() {
        let mut second = member("b", 1);
        second.instance.group = 2;
        let two = Two::open_as([member("a", 1), second]).await;
        let active = two.one.lead_if_free().await.unwrap().unwrap();
        assert!(two.other.lead_if_free().await.unwrap().is_none());
        active.give_up().await.unwrap();
        let next = two.other.lead_if_free().await.unwrap().unwrap();
        assert_eq!(next.epoch().unwrap(), 2);
        assert!(two.one.lead_if_free().await.unwrap().is_none());
    }

    #[on_both]
    async fn a_process_takes_another_place_without_a_restart() {
        let two = Two::open_as([member("a", 1), member("b", 2)]).await;
        let active = two.one.lead_if_free().await.unwrap().unwrap();
        // It is no longer the first, so it hands over, and the other one does not wait for it.
        let last = Instance { order: 3, ..Instance::named("a") };
        active.take_place(last.clone(), NodeDetails::default()).await.unwrap();
        assert!(active.preferred_waits().await.unwrap());
        active.give_up().await.unwrap();
        assert!(two.one.lead_if_free().await.unwrap().is_none());
        let next = two.other.lead_if_free().await.unwrap().unwrap();
        // In another group it may be the first again. The epochs go on.
        next.give_up().await.unwrap();
        let group = Instance { group: 7, ..last };
        two.one.take_place(group, NodeDetails::default()).await.unwrap();
        let again = two.one.lead_if_free().await.unwrap().unwrap();
        assert_eq!(again.epoch().unwrap(), 3);
        write_nothing(&again).await.unwrap();
        assert!(two.other.lead_if_free().await.unwrap().is_none());
        let nodes = two.other.nodes().await.unwrap();
        assert_eq!(nodes.len(), 2, "it had the lease of another group: {nodes:?}");
        let of = nodes.iter().find(|node| node.name == "a").unwrap();
        assert_eq!((of.group.as_deref(), of.state), (Some("7"), NodeState::Active));
    }

    #[on_both]
    async fn nobody_waits_for_a_process_that_rests() {
        let two = Two::open_as([member("a", 2), member("b", 1)]).await;
        assert!(two.one.lead_if_free().await.unwrap().is_none(), "the other one comes first");
        two.set_time(START_MS + 1).await;
        let details = NodeDetails {
            rest: Some(postroom_model::InstanceRest::Disabled),
            status_text: Some("why".to_owned()),
            ..NodeDetails::default()
        };
        let first = Instance { order: 1, ..Instance::named("b") };
        two.other.take_place(first.clone(), details.clone()).await.unwrap();
        let active = two.one.lead_if_free().await.unwrap().unwrap();
        two.other.beat(None).await.unwrap();
        assert!(!active.preferred_waits().await.unwrap());
        let of_other = async || {
            let nodes = two.one.nodes().await.unwrap();
            nodes.into_iter().find(|node| node.name == "b").unwrap()
        };
        let node = of_other().await;
        assert_eq!((node.state, &node.details), (NodeState::Resting, &details));
        assert_eq!(node.role.as_deref(), Some("email"));
        assert_eq!(node.since.unwrap().as_ms(), START_MS + 1);
        two.other.take_place(first, NodeDetails::default()).await.unwrap();
        assert_eq!(of_other().await.state, NodeState::Waiting);
        assert!(active.preferred_waits().await.unwrap());
    }

    #[on_both]
    async fn nodes_are_listed_with_what_they_do() {
        let mut api = member("c", 7);
        api.instance.role = InstanceRole::Api;
        let two = Two::open_as([member("a", 1), api]).await;
        let active = two.one.lead_if_free().await.unwrap().unwrap();
        active.beat(Some(std::time::Duration::from_millis(5))).await.unwrap();
        let earlier = "INSERT INTO \"owner\" (\"id\", \"name\", \"until\") VALUES (0, 'old', $1)";
        let earlier = Statement::new(earlier).bind(Value::Moment(START_MS + 180_000));
        two.one.write(vec![earlier]).await.unwrap();
        let shown = async || {
            let nodes = two.other.nodes().await.unwrap();
            let of = |node: &crate::NodeRow| (node.name.clone(), node.state, node.epoch);
            let mut shown: Vec<_> = nodes.iter().map(of).collect();
            shown.sort_by(|one, other| one.0.cmp(&other.0));
            (shown, nodes)
        };
        let row = |name: &str, state, epoch| (name.to_owned(), state, epoch);
        let (states, nodes) = shown().await;
        let want = [
            row("a", NodeState::Active, Some(1)),
            row("c", NodeState::Passive, None),
            row("old", NodeState::Waiting, None),
        ];
        assert_eq!(states, want);
        let own = nodes.iter().find(|node| node.is_own).unwrap();
        assert_eq!((own.name.as_str(), own.role.as_deref()), ("c", Some("api")));
        let of = nodes.iter().find(|node| node.name == "a").unwrap();
        assert_eq!((of.group.as_deref(), of.order, of.lag_ms), (Some("1"), Some(1), Some(5)));
        assert_eq!(of.version.as_deref(), Some(env!("CARGO_PKG_VERSION")));
        assert_eq!(of.since.unwrap().as_ms(), START_MS);
        two.set_time(START_MS + LEASE_MS).await;
        let (states, _) = shown().await;
        assert_eq!(states[0], row("a", NodeState::Lost, None));
    }

    #[on_both]
    async fn who_is_too_old_for_the_tables_is_told_and_who_is_not_goes_on() {
        let two = Two::open().await;
        let leader = two.one.lead().await.unwrap();
        for (oldest, is_old) in [(schema::VERSION, false), (schema::VERSION + 1, true)] {
            let put = "INSERT INTO \"meta\" (\"name\", \"number\")
                VALUES ('schema', $1), ('oldest schema', $2)
                ON CONFLICT (\"name\") DO UPDATE SET \"number\" = excluded.\"number\"";
            let put = Statement::new(put).bind(schema::VERSION + 1).bind(oldest);
            two.other.write(vec![put]).await.unwrap();
            let beat = leader.beat(None).await;
            assert_eq!(beat.is_err(), is_old, "{beat:?}");
            if let Err(error) = beat {
                let found = schema::VERSION + 1;
                let known = schema::VERSION;
                assert!(matches!(error, Error::Newer { .. }), "{error}");
                assert!(error.to_string().contains(&format!("schema {found}")), "{error}");
                assert!(error.to_string().contains(&format!("knows {known}")), "{error}");
            }
        }
    }
}

//! The nodes: the processes that have the database open, as they see each other.
//!
//! Each writes its row every two seconds (a *beat*), by the clock of the database. A node whose
//! beats stay away counts as lost.

use crate::database::Row;
use crate::database::Statement;
use crate::error::Error;
use crate::key_bytes::KeyMark;
use crate::lease::until;
use crate::node_details::NodeDetails;
use crate::set_up;
use crate::store::Store;
use postroom_model::Instance;
use postroom_model::InstanceRole;
use postroom_model::Timestamp;
use std::time::Duration;

/// The time between two beats.
pub const BEAT: Duration = Duration::from_secs(2);

/// What a node does now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// It receives and sends.
    Active,
    /// It waits to take over.
    Waiting,
    /// It answers REST alone, and never takes over.
    Passive,
    /// It answers REST alone until the configuration lets it work.
    Resting,
    /// It has not been there for some seconds.
    Lost,
}

impl NodeState {
    /// The word that clients see.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Waiting => "waiting",
            Self::Passive => "passive",
            Self::Resting => "resting",
            Self::Lost => "lost",
        }
    }
}

/// A node, as the database knows it.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Its group. `None`: it runs a version that tells only its name.
    pub group: Option<String>,
    /// Its place in the group. The lowest comes first.
    pub order: Option<i64>,
    /// Its role.
    pub role: Option<String>,
    /// What it does now.
    pub state: NodeState,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The epoch in which it leads. `None`: it does not lead.
    pub epoch: Option<i64>,
    /// The version of Postroom that it runs.
    pub version: Option<String>,
    /// When it was there last.
    pub seen: Option<Timestamp>,
    /// How long the database took to answer its beat before the last one, in milliseconds.
    pub lag_ms: Option<i64>,
    /// The mark of its master key. `None`: it runs a version that does not tell it.
    pub key: Option<KeyMark>,
    /// What it tells of itself.
    pub details: NodeDetails,
    /// Whether it is this process.
    pub is_own: bool,
}

impl Store {
    /// Gives this process another place among the others, and other details. The engine must have
    /// ended and given its lease up, if the group or the role is another, or the process rests.
    ///
    /// # Errors
    ///
    /// When the store fails. Then the next beat tells the others.
    pub async fn take_place(&self, instance: Instance, details: NodeDetails) -> Result<(), Error> {
        self.inner.set_presence(instance, details);
        self.write_at_need(vec![self.present()]).await.map(drop)
    }

    /// Says that this process is there, and renews its lease if this store leads. `lag` is how long
    /// the beat before took.
    ///
    /// # Errors
    ///
    /// [`Error::Newer`] if the tables were made for newer versions only;
    /// [`crate::Failed::Deposed`] if another process has taken over; when the store fails.
    pub async fn beat(&self, lag: Option<Duration>) -> Result<(), Error> {
        set_up::check_version(&*self.inner.database).await?;
        let lease = self.lease.as_ref();
        let mut batch = vec![self.present()];
        if let Some(lag) = lag {
            let sql = "UPDATE \"owner\" SET \"lag\" = $2 WHERE \"id\" = $1";
            let lag_ms = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
            batch.push(Statement::new(sql).bind(self.inner.owner).bind(lag_ms));
        }
        batch.extend(lease.map(|lease| lease.good_until(&until(&*self.inner.database))));
        self.write_at_need(batch).await.map(drop)
    }

    /// All nodes of the database, by group, order and name.
    ///
    /// # Errors
    ///
    /// When the store fails.
    pub async fn nodes(&self) -> Result<Vec<NodeRow>, Error> {
        let now = self.inner.database.dialect().now();
        let sql = format!(
            "SELECT o.\"id\", o.\"name\", o.\"group\", o.\"order\", o.\"role\", o.\"version\",
               o.\"since\", o.\"seen\", o.\"lag\",
               CASE WHEN o.\"alive\" > {now} OR o.\"alive\" IS NULL AND o.\"until\" > {now}
                 THEN 1 ELSE 0 END,
               CASE WHEN l.\"until\" > {now} THEN l.\"epoch\" END, l.\"since\", o.\"key\",
               o.\"details\"
             FROM \"owner\" o LEFT JOIN \"lease\" l ON l.\"holder\" = o.\"id\"
               AND l.\"group\" = COALESCE(o.\"group\", l.\"group\")
             ORDER BY o.\"group\", o.\"order\", o.\"name\", o.\"id\""
        );
        let rows = self.read(Statement::new(sql)).await?;
        let lease = self.inner.lease().filter(|lease| !*lease.is_over.borrow());
        let own = OwnNode {
            owner: self.inner.owner,
            epoch: lease.map(|lease| lease.epoch),
            details: self.inner.presence().details,
        };
        Ok(rows.iter().map(|row| node(row, &own)).collect())
    }
}

/// What this process knows of itself, also when its row is old because nobody else reads it.
struct OwnNode {
    owner: i64,
    /// The epoch in which it leads.
    epoch: Option<i64>,
    details: NodeDetails,
}

fn node(row: &Row, own: &OwnNode) -> NodeRow {
    let is_own = row.whole(0) == Some(own.owner);
    let text = |at: usize| row.text(at).map(str::to_owned);
    let moment = |at: usize| row.whole(at).map(Timestamp::from_ms);
    let (told, resting_role) = NodeDetails::from_text(row.text(13));
    let details = if is_own { own.details.clone() } else { told };
    let role = text(4).or(resting_role);
    let epoch = if is_own { own.epoch } else { row.whole(10) };
    let state = match epoch {
        _ if !is_own && row.whole(9) != Some(1) => NodeState::Lost,
        Some(_) => NodeState::Active,
        None if details.rest.is_some() => NodeState::Resting,
        None if role.as_deref() == Some(InstanceRole::Api.as_str()) => NodeState::Passive,
        None => NodeState::Waiting,
    };
    NodeRow {
        name: text(1).unwrap_or_default(),
        group: text(2),
        order: row.whole(3),
        role,
        state,
        since: if epoch.is_some() { moment(11) } else { moment(6) },
        epoch,
        version: text(5),
        seen: moment(7),
        lag_ms: row.whole(8),
        key: row.bytes(12).and_then(KeyMark::from_bytes),
        details,
        is_own,
    }
}

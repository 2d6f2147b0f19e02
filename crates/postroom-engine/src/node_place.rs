//! What a process is among those that share its database.

use postroom_model::Instance;
use postroom_model::InstanceRest;
use postroom_model::InstanceRole;
use postroom_store::NodeDetails;

/// What a process is among the others, and what it tells of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePlace {
    /// Its name, role, and place in its group.
    pub instance: Instance,
    /// Why it rests, and what else it tells.
    pub details: NodeDetails,
}

impl NodePlace {
    /// The place of an instance that tells nothing of itself.
    #[must_use]
    pub fn of(instance: Instance) -> Self {
        Self { instance, details: NodeDetails::default() }
    }

    /// Whether it may receive and send.
    #[must_use]
    pub fn may_lead(&self) -> bool {
        self.instance.may_lead(self.details.rest)
    }

    /// Whether a process that leads in this place goes on in the next one. Otherwise its engine
    /// ends, and the lease of its group is given up.
    pub(crate) fn leads_on(&self, next: &Self) -> bool {
        next.may_lead() && next.instance.group == self.instance.group
    }

    /// Whether it does, and may do, the same in the next place.
    pub(crate) fn is_alike(&self, next: &Self) -> bool {
        self.instance == next.instance && self.details.rest == next.details.rest
    }

    /// Logs what it does while it does not lead.
    pub(crate) fn tell_waiting(&self) {
        let Instance { name, group, order, .. } = &self.instance;
        match (self.details.rest, self.instance.role) {
            (Some(rest @ InstanceRest::NotNamed), _) => tracing::warn!("{}", rest.text(name)),
            (Some(rest @ InstanceRest::Disabled), _) => tracing::info!("{}", rest.text(name)),
            (None, InstanceRole::Api) => tracing::info!("this process answers REST alone"),
            (None, InstanceRole::Email) => tracing::info!(
                group,
                order,
                "this process answers REST, and waits until it can take over: another one is \
                 active"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leader_goes_on_in_its_group_alone() {
        let place = NodePlace::of(Instance { group: 5, ..Instance::named("a") });
        let with = |instance: Instance| NodePlace { instance, ..place.clone() };
        let own = || place.instance.clone();
        let mut rests = place.clone();
        rests.details.rest = Some(InstanceRest::Disabled);
        let table = [
            (with(Instance { order: 9, failback: false, ..own() }), true),
            (with(Instance { group: 6, ..own() }), false),
            (with(Instance { role: InstanceRole::Api, ..own() }), false),
            (rests, false),
        ];
        for (next, want) in table {
            assert_eq!(place.leads_on(&next), want, "{next:?}");
            assert!(!place.is_alike(&next), "{next:?}");
        }
    }
}

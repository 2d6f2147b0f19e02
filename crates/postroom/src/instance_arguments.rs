//! Which instance `serve` is: its name, and its place among those that share its database.

use clap::Args;
use postroom_model::Instance;
use postroom_model::InstanceRole;
use postroom_model::NotARole;

/// Which instance this is.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct InstanceArguments {
    /// The name of this instance, as `GET /rest/v1/nodes` shows it (default: the name of the host).
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// The group of instances that share a PostgreSQL database, 1 to 2147483648 (default: 1). One
    /// of them receives and sends, and the others wait to take over. All of them answer REST.
    #[arg(long, value_name = "NUMBER")]
    pub group: Option<u64>,
    /// The place in the group (default: 1). The instance with the lowest one takes over first.
    #[arg(long, value_name = "NUMBER")]
    pub order: Option<u64>,
    /// What this instance does: `email`, or `api` to answer REST alone (default: email).
    #[arg(long, value_name = "ROLE", value_parser = role)]
    pub role: Option<InstanceRole>,
    /// Whether this instance takes the work back from one with a higher order, after that one has
    /// finished what it has begun (default: true).
    #[arg(long, value_name = "BOOLEAN")]
    pub failback: Option<bool>,
}

fn role(word: &str) -> Result<InstanceRole, NotARole> {
    word.parse()
}

impl InstanceArguments {
    /// These, and those of the configuration file where an argument is missing.
    pub(crate) fn or(self, file: Self) -> Self {
        Self {
            name: self.name.or(file.name),
            group: self.group.or(file.group),
            order: self.order.or(file.order),
            role: self.role.or(file.role),
            failback: self.failback.or(file.failback),
        }
    }

    /// The instance.
    ///
    /// # Errors
    ///
    /// When a member is out of its range.
    pub(crate) fn instance(self, host_name: impl FnOnce() -> String) -> anyhow::Result<Instance> {
        let default = Instance::named(self.name.unwrap_or_else(host_name));
        let instance = Instance {
            group: self.group.unwrap_or(default.group),
            order: self.order.unwrap_or(default.order),
            role: self.role.unwrap_or(default.role),
            failback: self.failback.unwrap_or(default.failback),
            name: default.name,
        };
        let problems = instance.problems();
        let problems: Vec<_> = problems.iter().map(|one| format!("--{one}")).collect();
        anyhow::ensure!(problems.is_empty(), "{}", problems.join("; "));
        Ok(instance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_its_range_is_named() {
        let given = InstanceArguments { group: Some(0), order: Some(7), ..Default::default() };
        let error = given.instance(|| "host".to_owned()).unwrap_err().to_string();
        assert_eq!(error, "--group: takes 1 to 2147483648");
    }

    #[test]
    fn an_argument_overrides_the_file() {
        let given = InstanceArguments { order: Some(2), ..Default::default() };
        let file = InstanceArguments {
            name: Some("e1".to_owned()),
            order: Some(1),
            role: Some(InstanceRole::Api),
            ..Default::default()
        };
        let instance = given.or(file).instance(|| "host".to_owned()).unwrap();
        let want = Instance { order: 2, role: InstanceRole::Api, ..Instance::named("e1") };
        assert_eq!(instance, want);
    }
}

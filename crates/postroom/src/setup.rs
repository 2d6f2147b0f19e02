//! The settings of `postroom serve`, from its arguments and its configuration file.

use crate::blobs::BlobsArguments;
use crate::cli::ServeArguments;
use crate::config;
use crate::config::FileInstance;
use crate::dialing;
use crate::feed::FeedArguments;
use crate::rest::RestArguments;
use anyhow::bail;
use postroom_engine::OutgoingPolicy;
use postroom_engine::Redial;
use postroom_model::Configuration;
use postroom_model::Instance;
use postroom_store::FeedRetention;
use postroom_store::Store;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use tracing::level_filters::LevelFilter;

/// The default address.
const LISTEN_DEFAULT: &str = "127.0.0.1:8025";

/// The settings that may change while Postroom runs.
#[derive(Debug)]
pub(crate) struct InForce {
    pub redial: Redial,
    pub feed: FeedRetention,
    pub requests_per_second: Option<NonZeroU32>,
    /// `None`: what `RUST_LOG` says.
    pub log_level: Option<LevelFilter>,
}

/// The settings from arguments and configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub data: PathBuf,
    pub database: Option<String>,
    pub database_password_file: Option<PathBuf>,
    pub blobs: BlobsArguments,
    pub feed: FeedArguments,
    pub listen: String,
    pub rest: RestArguments,
    pub trust_ca: Option<PathBuf>,
    pub ehlo_name: Option<String>,
    pub mail_to_public_addresses_only: bool,
    pub webhooks_to_private_addresses: bool,
    pub autoconfig_lookups: bool,
    pub dns_server: Option<SocketAddr>,
    pub instance: Instance,
    pub standby: bool,
}

impl Setup {
    /// The settings, each from its argument, or from the file, or by default.
    ///
    /// # Errors
    ///
    /// When the file is wrong, or the data directory is not given.
    pub(crate) fn of(arguments: &ServeArguments) -> anyhow::Result<Self> {
        let instance = match &arguments.config {
            Some(path) => config::instance(path, arguments.instance.as_deref())?,
            None => FileInstance::default(),
        };
        let in_node = instance.node();
        let (in_file, rest) = (instance.blobs(), arguments.rest.clone().or(instance.rest()));
        let feed = arguments.feed.or(instance.feed());
        feed.retention()?;
        let Some(data) = arguments.data.clone().or(instance.data) else {
            bail!("the data directory is missing: give it with --data DIR");
        };
        let listen = arguments.listen.clone().or(instance.listen);
        let node = arguments.node.clone().or(in_node).instance(dialing::host_name)?;
        let database = arguments.database.clone().or(instance.database);
        let standby = arguments.standby || instance.standby;
        if standby && database.is_some() {
            bail!(
                "--standby is for a data directory without --database: the instances of a group \
                 that share a PostgreSQL database wait for each other anyway"
            );
        }
        let password_file = arguments.database_password_file.clone();
        Ok(Self {
            data,
            database,
            database_password_file: password_file.or(instance.database_password_file),
            blobs: arguments.blobs.clone().or(in_file),
            feed,
            listen: listen.unwrap_or_else(|| LISTEN_DEFAULT.to_owned()),
            rest,
            trust_ca: arguments.trust_ca.clone().or(instance.trust_ca),
            ehlo_name: arguments.ehlo_name.clone().or(instance.ehlo_name),
            mail_to_public_addresses_only: arguments.mail_to_public_addresses_only
                || instance.mail_to_public_addresses_only,
            webhooks_to_private_addresses: arguments.webhooks_to_private_addresses
                || instance.webhooks_to_private_addresses,
            autoconfig_lookups: arguments.autoconfig_lookups || instance.autoconfig_lookups,
            dns_server: arguments.dns_server.or(instance.dns_server),
            instance: node,
            standby,
        })
    }

    /// These settings with those of `read` that hold at once: how connections are made.
    pub(crate) fn dialing_as(&self, read: &Self) -> Self {
        Self {
            trust_ca: read.trust_ca.clone(),
            ehlo_name: read.ehlo_name.clone(),
            mail_to_public_addresses_only: read.mail_to_public_addresses_only,
            webhooks_to_private_addresses: read.webhooks_to_private_addresses,
            autoconfig_lookups: read.autoconfig_lookups,
            ..self.clone()
        }
    }

    /// What is in force: a setting of the configuration of all instances, or the one of the
    /// arguments and the file, with the certificates that the file has now. `store` opens the
    /// password of the proxy. `None`: it is not open yet, and nothing is connected to but the
    /// database.
    ///
    /// # Errors
    ///
    /// When certificates cannot be read, or that password cannot be decrypted.
    pub(crate) fn in_force(
        &self,
        configuration: &Configuration,
        store: Option<&Store>,
    ) -> anyhow::Result<InForce> {
        let feed = FeedArguments {
            feed_days: configuration.feed_days(),
            feed_changes: configuration.feed_changes(),
        };
        let (trust_ca, ehlo_name) = (self.trust_ca.as_deref(), self.ehlo_name.as_deref());
        let per_second = configuration.requests_per_second();
        let private = configuration.webhooks_to_private_addresses();
        let public_only = configuration.mail_to_public_only();
        Ok(InForce {
            redial: Redial {
                dialing: dialing::of(trust_ca, &configuration.authorities(), ehlo_name)?,
                outgoing: OutgoingPolicy {
                    mail_to_public_only: public_only.unwrap_or(self.mail_to_public_addresses_only),
                    webhooks_to_private_addresses: private
                        .unwrap_or(self.webhooks_to_private_addresses),
                    mail: Arc::new(configuration.mail_rules()),
                    webhooks: Arc::new(configuration.webhook_rules()),
                    oauth: Arc::new(configuration.oauth_rules()),
                    proxy: match store {
                        Some(store) => dialing::proxy_for_all(store, configuration)?,
                        None => None,
                    },
                    autoconfig_lookups: configuration
                        .autoconfig_lookups()
                        .unwrap_or(self.autoconfig_lookups),
                },
            },
            feed: feed.or(self.feed).retention()?,
            requests_per_second: per_second.or(self.rest.requests_per_second),
            log_level: configuration.log_level().map(str::parse).transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArguments,
    }

    #[test]
    fn what_is_read_again_holds_for_all_that_connects_and_for_nothing_else() {
        let line = Line::parse_from(["postroom", "--data", "d", "--ehlo-name", "a.test"]);
        let present = Setup::of(&line.serve).unwrap();
        let read = Setup {
            ehlo_name: Some("b.test".to_owned()),
            mail_to_public_addresses_only: true,
            webhooks_to_private_addresses: true,
            listen: "127.0.0.1:1".to_owned(),
            ..present.clone()
        };
        let merged = present.dialing_as(&read);
        let redial = merged.in_force(&Configuration::default(), None).unwrap().redial;
        assert!(redial.outgoing.mail_to_public_only);
        assert!(redial.outgoing.webhooks_to_private_addresses);
        assert_eq!(redial.dialing.ehlo_name, "b.test");
        assert_eq!(merged.listen, present.listen);
        // A hole that was closed may also be opened again.
        let back = merged.dialing_as(&present);
        assert!(!back.mail_to_public_addresses_only && !back.webhooks_to_private_addresses);
    }
}

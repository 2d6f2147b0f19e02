//! The settings of `postroom serve`, from its arguments and its configuration file.

use crate::blobs::BlobsArguments;
use crate::cli::ServeArguments;
use crate::config;
use crate::config::FileInstance;
use crate::dialing;
use crate::rest::RestArguments;
use anyhow::bail;
use postroom_engine::Dialing;
use postroom_model::Instance;
use postroom_store::FeedRetention;
use std::path::PathBuf;

/// The default address.
const LISTEN_DEFAULT: &str = "127.0.0.1:8025";

/// The settings from arguments and configuration file.
#[derive(Debug)]
pub(crate) struct Setup {
    pub data: PathBuf,
    pub database: Option<String>,
    pub database_password_file: Option<PathBuf>,
    pub blobs: BlobsArguments,
    pub feed: FeedRetention,
    pub listen: String,
    pub rest: RestArguments,
    pub trust_ca: Option<PathBuf>,
    pub ehlo_name: Option<String>,
    pub mail_to_public_addresses_only: bool,
    pub webhooks_to_private_addresses: bool,
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
        let feed = arguments.feed.or(instance.feed()).retention()?;
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
            instance: node,
            standby,
        })
    }

    /// How connections are made, with the present certificates.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub(crate) fn dialing(&self) -> anyhow::Result<Dialing> {
        dialing::of(self.trust_ca.as_deref(), self.ehlo_name.as_deref())
    }
}

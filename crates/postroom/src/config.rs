//! The configuration file. It lists the instances of all roles, and this process is one of them.
//!
//! ```json
//! { "roles": [ { "name": "email1", "roletype": "email", "iface": "lo", "group": 11330, "order": 1,
//!                "data": "/var/lib/postroom", "listen": "127.0.0.1:8025" } ] }
//! ```
//! Instances of other role types are ignored. In an instance of our type, an unknown key is an
//! error.

use crate::blobs::BlobsAccess;
use crate::blobs::BlobsArguments;
use crate::feed::FeedArguments;
use crate::instance_arguments::InstanceArguments;
use crate::rest::RestArguments;
use anyhow::Context;
use anyhow::anyhow;
use anyhow::bail;
use postroom_model::InstanceRole;
use postroom_model::json_problem;
use serde::Deserialize;
use serde_json::Value as Json;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::Path;
use std::path::PathBuf;

/// One instance of a role that this program runs.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileInstance {
    /// The name of the instance, unique in the file.
    pub name: String,
    /// `email` or `api`.
    pub roletype: String,
    /// The network interface of the instance; informative.
    pub iface: Option<String>,
    /// The group of instances that take over from each other (active-passive).
    pub group: Option<u64>,
    /// The order in which they take over.
    pub order: Option<u64>,
    /// Whether it takes the work back from one with a higher order.
    pub failback: Option<bool>,
    /// Whether it waits while another process uses the data directory.
    #[serde(default)]
    pub standby: bool,
    /// The data directory.
    pub data: Option<PathBuf>,
    /// The PostgreSQL database, as `postgresql://user@host:port/database`.
    pub database: Option<String>,
    /// A file with the password of that user.
    pub database_password_file: Option<PathBuf>,
    /// The bucket for large contents, as `s3://bucket/prefix`.
    pub blobs: Option<String>,
    /// The size in bytes from which contents are kept there.
    pub blobs_above: Option<u64>,
    /// The address of an S3 service that is not AWS.
    pub blobs_endpoint: Option<String>,
    /// The region of the bucket.
    pub blobs_region: Option<String>,
    /// Whether that address may be `http:`.
    #[serde(default)]
    pub blobs_allow_http: bool,
    /// Whether the bucket is named in the path instead of the host.
    #[serde(default)]
    pub blobs_path_style: bool,
    /// A file with the credentials, as `~/.aws/credentials`.
    pub blobs_credentials_file: Option<PathBuf>,
    /// How many days the feed keeps changes.
    pub feed_days: Option<u64>,
    /// How many changes it keeps at most.
    pub feed_changes: Option<u64>,
    /// The address of the REST interface, as `HOST:PORT`.
    pub listen: Option<String>,
    /// A file with the certificate of the REST interface.
    pub tls_cert: Option<PathBuf>,
    /// A file with its key.
    pub tls_key: Option<PathBuf>,
    /// The origins whose pages may use the REST interface.
    #[serde(default)]
    pub cors_origin: Vec<String>,
    /// The proxies whose word about the address of a client is taken.
    #[serde(default)]
    pub trusted_proxy: Vec<String>,
    /// How many requests a token may send in each second.
    pub requests_per_second: Option<NonZeroU32>,
    /// Certificates (PEM) of authorities to trust in addition to those of the system.
    pub trust_ca: Option<PathBuf>,
    /// The name that this host gives to SMTP servers.
    pub ehlo_name: Option<String>,
    /// Whether accounts may reach mail servers at addresses of the public internet alone.
    #[serde(default)]
    pub mail_to_public_addresses_only: bool,
    /// Whether webhooks may reach addresses that are not of the public internet.
    #[serde(default)]
    pub webhooks_to_private_addresses: bool,
    /// Whether others may be asked for the servers of an address.
    #[serde(default)]
    pub autoconfig_lookups: bool,
    /// The DNS server that is asked then.
    pub dns_server: Option<SocketAddr>,
}

impl FileInstance {
    /// Which instance it is.
    pub(crate) fn node(&self) -> InstanceArguments {
        InstanceArguments {
            name: (!self.name.is_empty()).then(|| self.name.clone()),
            group: self.group,
            order: self.order,
            role: self.roletype.parse().ok(),
            failback: self.failback,
        }
    }

    /// What the feed keeps.
    pub(crate) fn feed(&self) -> FeedArguments {
        FeedArguments { feed_days: self.feed_days, feed_changes: self.feed_changes }
    }

    /// How REST is offered.
    pub(crate) fn rest(&self) -> RestArguments {
        RestArguments {
            tls_cert: self.tls_cert.clone(),
            tls_key: self.tls_key.clone(),
            cors_origin: self.cors_origin.clone(),
            trusted_proxy: self.trusted_proxy.clone(),
            requests_per_second: self.requests_per_second,
        }
    }

    /// Where large contents are kept.
    pub(crate) fn blobs(&self) -> BlobsArguments {
        BlobsArguments {
            blobs: self.blobs.clone(),
            blobs_above: self.blobs_above,
            access: BlobsAccess {
                blobs_endpoint: self.blobs_endpoint.clone(),
                blobs_region: self.blobs_region.clone(),
                blobs_allow_http: self.blobs_allow_http,
                blobs_path_style: self.blobs_path_style,
                blobs_credentials_file: self.blobs_credentials_file.clone(),
            },
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    roles: Vec<Json>,
}

/// Reads the file and finds this instance: the one with the name `name`, or the only one of type
/// `email` or `api`.
pub(crate) fn instance(path: &Path, name: Option<&str>) -> anyhow::Result<FileInstance> {
    let at = || format!("configuration file {}", path.display());
    let text = std::fs::read_to_string(path).with_context(at)?;
    parse(&text, name).with_context(at)
}

fn parse(text: &str, name: Option<&str>) -> anyhow::Result<FileInstance> {
    let file: File = serde_json::from_str(text)
        .map_err(|error| anyhow!("it is not valid JSON: {}", json_problem(&error)))?;
    let mut found = vec![];
    for (at, role) in file.roles.into_iter().enumerate() {
        let role_type = role.get("roletype").and_then(Json::as_str);
        if role_type.is_none_or(|word| word.parse::<InstanceRole>().is_err()) {
            continue;
        }
        let instance: FileInstance =
            serde_json::from_value(role).with_context(|| format!("roles[{at}]"))?;
        if name.is_none_or(|name| name == instance.name) {
            found.push(instance);
        }
    }
    let names: Vec<_> = found.iter().map(|instance| instance.name.clone()).collect();
    match (found.pop(), found.is_empty(), name) {
        (Some(instance), true, _) => Ok(instance),
        (Some(_), false, _) => {
            bail!("it has several instances ({}): choose one with --instance", names.join(", "))
        }
        (None, _, Some(name)) => {
            bail!(
                "it has no instance `{name}` of the role type `email` or `api`: add it to `roles`, \
                 or choose another one with --instance"
            )
        }
        (None, _, None) => {
            bail!("it has no instance of the role type `email` or `api` in `roles`: add one")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWO: &str = r#"{"roles": [
        {"name": "im1", "roletype": "im", "iface": "eth0", "group": 1, "order": 1, "x": 1},
        {"name": "e1", "roletype": "email", "iface": "lo", "group": 11330, "order": 1},
        {"name": "e2", "roletype": "email", "group": 11330, "order": 2, "listen": "0.0.0.0:80"}]}"#;

    #[test]
    fn an_instance_is_found_by_name() {
        let instance = parse(TWO, Some("e2")).unwrap();
        assert_eq!(instance.listen.as_deref(), Some("0.0.0.0:80"));
        assert_eq!(instance.order, Some(2));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (TWO, None, "several instances (e1, e2)"),
            (TWO, Some("im1"), "no instance `im1`"),
            (r#"{"roles": []}"#, None, "no instance of the role type `email`"),
            (r#"{"rolls": []}"#, None, "unknown field `rolls`"),
            ("{", None, "it ends within an object"),
            (
                r#"{"roles": [{"name": "e", "roletype": "email", "lisen": "x"}]}"#,
                None,
                "roles[0]: unknown field `lisen`",
            ),
            (
                r#"{"roles": [{"name": "e", "roletype": "email", "group": "x"}]}"#,
                None,
                "roles[0]: invalid type: string \"x\"",
            ),
        ];
        for (text, name, want) in table {
            let error = format!("{:#}", parse(text, name).unwrap_err());
            assert!(error.contains(want), "{error}");
        }
    }
}

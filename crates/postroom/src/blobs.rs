//! `--blobs`: large contents in a bucket of S3, and how it is reached.
//!
//! Credentials come from a file in the form of `~/.aws/credentials`, from a credential of systemd,
//! or from the variables of the AWS tools. Without any, the roles of the machine are asked, as
//! `object_store` does.

use crate::secrets;
use anyhow::Context;
use anyhow::bail;
use anyhow::ensure;
use clap::Args;
use postroom_store::Objects;
use postroom_store::ObjectsConfig;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;

/// The credential of systemd that may hold them.
const CREDENTIAL: &str = "postroom.blobs-credentials";
/// The maximum size of a file with credentials.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// The lines of such a file that are used.
const LINES: [&str; 3] = ["aws_access_key_id", "aws_secret_access_key", "aws_session_token"];

/// Where `serve` keeps large contents.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct BlobsArguments {
    /// A bucket of S3 for large contents: s3://bucket/prefix. The database remembers it.
    #[arg(long, value_name = "PLACE")]
    pub blobs: Option<String>,
    /// The size in bytes from which contents are kept there, 4096 to 4194304 (default: 262144).
    #[arg(long, value_name = "BYTES")]
    pub blobs_above: Option<u64>,
    /// How the bucket is reached.
    #[command(flatten)]
    pub access: BlobsAccess,
}

/// How a bucket is reached.
#[derive(Debug, Clone, Default, PartialEq, Args)]
pub(crate) struct BlobsAccess {
    /// The address of an S3 service that is not AWS: https://host:port.
    #[arg(long, value_name = "URL")]
    pub blobs_endpoint: Option<String>,
    /// The region of the bucket, instead of AWS_REGION.
    #[arg(long, value_name = "NAME")]
    pub blobs_region: Option<String>,
    /// Allow an address with http, in a private network.
    #[arg(long)]
    pub blobs_allow_http: bool,
    /// Name the bucket in the path instead of the host, as private services often need it.
    #[arg(long)]
    pub blobs_path_style: bool,
    /// A file with the credentials, as ~/.aws/credentials, instead of AWS_ACCESS_KEY_ID.
    #[arg(long, value_name = "FILE")]
    pub blobs_credentials_file: Option<PathBuf>,
}

impl BlobsArguments {
    /// These, and those of the configuration file where an argument is missing.
    pub(crate) fn or(self, file: Self) -> Self {
        let (access, other) = (self.access, file.access);
        Self {
            blobs: self.blobs.or(file.blobs),
            blobs_above: self.blobs_above.or(file.blobs_above),
            access: BlobsAccess {
                blobs_endpoint: access.blobs_endpoint.or(other.blobs_endpoint),
                blobs_region: access.blobs_region.or(other.blobs_region),
                blobs_allow_http: access.blobs_allow_http || other.blobs_allow_http,
                blobs_path_style: access.blobs_path_style || other.blobs_path_style,
                blobs_credentials_file: access
                    .blobs_credentials_file
                    .or(other.blobs_credentials_file),
            },
        }
    }

    /// The bucket. `None`: contents are kept in the database.
    pub(crate) fn objects(&self, trust_ca: Option<&Path>) -> anyhow::Result<Option<Objects>> {
        match &self.blobs {
            Some(place) => self.access.objects(place, self.blobs_above, trust_ca).map(Some),
            None if self.blobs_above.is_some() || self.access != BlobsAccess::default() => {
                bail!("the options --blobs-... need --blobs s3://bucket/prefix")
            }
            None => Ok(None),
        }
    }
}

impl BlobsAccess {
    /// The bucket at a place.
    pub(crate) fn objects(
        &self,
        place: &str,
        above_bytes: Option<u64>,
        trust_ca: Option<&Path>,
    ) -> anyhow::Result<Objects> {
        let trust_pem = trust_ca.map(std::fs::read).transpose().context("certificates to trust")?;
        let config = ObjectsConfig {
            place: place.to_owned(),
            above_bytes,
            endpoint: self.blobs_endpoint.clone(),
            region: self.blobs_region.clone(),
            allow_http: self.blobs_allow_http,
            path_style: self.blobs_path_style,
            answer_within: None,
            trust_pem,
            settings: self.settings()?,
        };
        Objects::s3(&config).context("--blobs")
    }

    /// The variables of the AWS tools. The credentials of a file take the place of theirs.
    fn settings(&self) -> anyhow::Result<Vec<(String, SecretString)>> {
        let mut settings = vec![];
        for (name, value) in std::env::vars_os() {
            if let (Some(name), Some(value)) = (name.to_str(), value.to_str())
                && (name.starts_with("AWS_") || name == "CREDENTIALS_DIRECTORY")
            {
                settings.push((name.to_owned(), SecretString::from(value)));
            }
        }
        let of = |name: &str| {
            let found = settings.iter().find(|(one, _)| one == name);
            found.map(|(_, value)| value.expose_secret().to_owned())
        };
        let by_systemd =
            of("CREDENTIALS_DIRECTORY").map(|in_it| Path::new(&in_it).join(CREDENTIAL));
        let by_systemd = by_systemd.filter(|file| file.exists());
        let shared = of("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
        let shared = shared.filter(|_| of("AWS_ACCESS_KEY_ID").is_none());
        let file = self.blobs_credentials_file.clone().or(by_systemd).or(shared);
        if let Some(file) = file {
            let profile = of("AWS_PROFILE").unwrap_or_else(|| "default".to_owned());
            secrets::warn_if_open("credentials for --blobs", &file);
            let found = from_file(&file, &profile)
                .with_context(|| format!("credentials for --blobs: {}", file.display()))?;
            settings.retain(|(name, _)| !LINES.contains(&name.to_ascii_lowercase().as_str()));
            settings.extend(found);
        }
        Ok(settings)
    }
}

/// The credentials of a profile in a file. Its text is never repeated.
fn from_file(file: &Path, profile: &str) -> anyhow::Result<Vec<(String, SecretString)>> {
    let mut text = String::new();
    std::fs::File::open(file)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    let text = SecretString::from(text);
    let mut found = vec![];
    let mut is_ours = false;
    for line in text.expose_secret().lines().map(str::trim) {
        if let Some(section) = line.strip_prefix('[') {
            is_ours = section.trim_end_matches(']').trim() == profile;
        } else if let Some((name, value)) = line.split_once('=').filter(|_| is_ours) {
            let name = name.trim().to_ascii_lowercase();
            if LINES.contains(&name.as_str()) {
                found.push((name.to_ascii_uppercase(), SecretString::from(value.trim())));
            }
        }
    }
    let has = |wanted: &str| found.iter().any(|(name, _)| name == wanted);
    ensure!(
        has("AWS_ACCESS_KEY_ID") && has("AWS_SECRET_ACCESS_KEY"),
        "it has no section [{profile}] with aws_access_key_id and aws_secret_access_key"
    );
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_those_of_the_profile() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("credentials");
        let text = "# mine\n[other]\naws_access_key_id = a\naws_secret_access_key=b\n\
                    [default]\n aws_access_key_id=c\naws_secret_access_key = d=\nregion=x\n";
        std::fs::write(&file, text).unwrap();
        let read = |profile| {
            let found = from_file(&file, profile)?;
            Ok(found.iter().map(|(_, value)| value.expose_secret().to_owned()).collect::<Vec<_>>())
        };
        let read = |profile| -> anyhow::Result<Vec<String>> { read(profile) };
        assert_eq!(read("default").unwrap(), ["c", "d="]);
        assert_eq!(read("other").unwrap(), ["a", "b"]);
        let missing = format!("{:#}", read("third").unwrap_err());
        assert!(missing.contains("[third]") && !missing.contains("d="), "{missing}");
    }

    #[test]
    fn options_without_a_place_are_refused() {
        let without = BlobsArguments { blobs_above: Some(5000), ..BlobsArguments::default() };
        assert!(without.objects(None).unwrap_err().to_string().contains("need --blobs"));
    }
}

//! The object store: a bucket of S3 for the contents above a size.
//!
//! ```text
//!   PREFIX/<id of the database>/<owner>/<blob>-<random>     an object, written once
//! ```
//! An object has the chunks of one blob, one after the other, as they would be in the database. No
//! name is given twice. Errors have texts of Postroom, because the texts of S3 may repeat
//! credentials.

use crate::error::Error;
use crate::object_address::address;
use crate::object_address::parse;
use crate::object_address::wrong;
use crate::objects_state::ObjectsFailure;
use crate::objects_state::ObjectsState;
use crate::objects_state::ObjectsTrouble;
use crate::objects_state::ObjectsUse;
use crate::objects_state::lost;
use bytes::Bytes;
use futures_util::Stream;
use futures_util::StreamExt;
use object_store::BackoffConfig;
use object_store::Certificate;
use object_store::ClientOptions;
use object_store::ObjectStore;
use object_store::ObjectStoreExt;
use object_store::PutPayload;
use object_store::RetryConfig;
use object_store::WriteMultipart;
use object_store::aws::AmazonS3Builder;
use object_store::aws::AmazonS3ConfigKey;
use object_store::path::Path;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The default size from which contents are objects.
const ABOVE_BYTES: u64 = 256 * 1024;
/// The least and the greatest size that can be configured. So many bytes are held in memory until
/// it is known whether the content becomes an object.
const ABOVE_BYTES_MIN: u64 = 4 * 1024;
const ABOVE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// How long a connection may take, an answer to begin or to go on, and a request with its body.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
const REQUEST_WITHIN: Duration = Duration::from_secs(60);
/// What a connection to S3 carries at least in a second.
const BYTES_PER_SECOND_MIN: u64 = 256 * 1024;
/// How long a request that failed is repeated before its caller gets the error.
const RETRY_FOR: Duration = Duration::from_secs(10);
const RETRIES_MAX: usize = 3;

/// The size of a part of a large object. S3 takes 10,000 of them, each of 5 MiB at least.
const PART_BYTES: usize = 8 * 1024 * 1024;

/// Where a bucket of S3 is, and how it is reached.
#[derive(Debug, Clone, Default)]
pub struct ObjectsConfig {
    /// `s3://BUCKET/PREFIX`. The prefix may be missing.
    pub place: String,
    /// Contents of at least so many bytes are objects, 4 KiB to 4 MiB. `None`: 256 KiB.
    pub above_bytes: Option<u64>,
    /// The address of the service, as `https://HOST:PORT`. `None`: that of AWS, or what `settings`
    /// say.
    pub endpoint: Option<String>,
    /// The region.
    pub region: Option<String>,
    /// Whether the address may be `http:`.
    pub allow_http: bool,
    /// Whether the bucket is named in the path instead of the host.
    pub path_style: bool,
    /// How long S3 may take to begin an answer, and to go on with it. `None`: ten seconds.
    pub answer_within: Option<Duration>,
    /// Certificates (PEM) of authorities to trust in addition to those of the system.
    pub trust_pem: Option<Vec<u8>>,
    /// Settings, named as the environment variables of the AWS tools, such as `AWS_ACCESS_KEY_ID`.
    /// Unknown settings are ignored.
    pub settings: Vec<(String, SecretString)>,
}

/// A bucket of S3, and the place in it. Clones share the connections.
#[derive(Clone)]
pub struct Objects {
    /// For requests whose answers come at once and go on.
    reads: Arc<dyn ObjectStore>,
    /// For requests with large bodies, which are answered when S3 has them.
    writes: Arc<dyn ObjectStore>,
    answer_within: Duration,
    state: Arc<ObjectsState>,
    place: Arc<str>,
    prefix: Arc<str>,
    above_bytes: u64,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Objects").field(&self.place).finish()
    }
}

/// How the contents of a database that are objects can be reached.
#[derive(Debug, Clone, Default)]
pub enum ObjectsAccess {
    /// The database has no objects.
    #[default]
    None,
    /// They are in this bucket.
    At(Objects),
    /// The database may have objects, but they are neither read nor removed.
    LeftAlone,
}

/// A complete object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub name: String,
    pub length_bytes: u64,
    /// BLAKE3 of its bytes.
    pub hash: [u8; 32],
}

/// An object of a listing.
#[derive(Debug)]
pub(crate) struct ListedObject {
    pub name: String,
    /// When it was written by the clock of S3, in milliseconds since 1970.
    pub written_ms: i64,
}

impl Objects {
    /// A bucket of S3. This makes no connection.
    ///
    /// # Errors
    ///
    /// [`Error::ObjectsConfig`] when the place, the size or the address is of another form.
    pub fn s3(config: &ObjectsConfig) -> Result<Self, Error> {
        let (bucket, prefix) = parse(&config.place)?;
        let above_bytes = config.above_bytes.unwrap_or(ABOVE_BYTES);
        if !(ABOVE_BYTES_MIN..=ABOVE_BYTES_MAX).contains(&above_bytes) {
            return Err(wrong(format!(
                "--blobs-above takes {ABOVE_BYTES_MIN} to {ABOVE_BYTES_MAX} bytes"
            )));
        }
        let mut client =
            ClientOptions::new().with_timeout(REQUEST_WITHIN).with_connect_timeout(CONNECT_WITHIN);
        if let Some(pem) = &config.trust_pem {
            let certificates = Certificate::from_pem_bundle(pem)
                .map_err(|_| wrong("the certificates to trust are not PEM".to_owned()))?;
            client = certificates.into_iter().fold(client, ClientOptions::with_root_certificate);
        }
        let answer_within = config.answer_within.unwrap_or(ANSWER_WITHIN);
        let mut builders = [client.clone().with_read_timeout(answer_within), client]
            .map(|client| AmazonS3Builder::new().with_client_options(client));
        let (mut endpoint, mut allow_http) = (config.endpoint.clone(), config.allow_http);
        let mut path_style = config.path_style;
        for (name, value) in &config.settings {
            let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() else {
                continue;
            };
            let said = value.expose_secret();
            if matches!(key, AmazonS3ConfigKey::Endpoint | AmazonS3ConfigKey::S3Endpoint) {
                endpoint = endpoint.or_else(|| Some(said.to_owned()));
            } else if name.eq_ignore_ascii_case("AWS_ALLOW_HTTP") {
                allow_http |= said.eq_ignore_ascii_case("true");
            } else if matches!(key, AmazonS3ConfigKey::VirtualHostedStyleRequest) {
                path_style |= said.eq_ignore_ascii_case("false");
            } else {
                builders = builders.map(|builder| builder.with_config(key, said));
            }
        }
        if let Some(region) = &config.region {
            builders = builders.map(|builder| builder.with_region(region));
        }
        if let Some(endpoint) = endpoint {
            let endpoint = address(&endpoint, &bucket, allow_http, path_style)?;
            builders = builders.map(|builder| builder.with_endpoint(&endpoint));
        }
        let backoff = BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        };
        let retry = RetryConfig { backoff, max_retries: RETRIES_MAX, retry_timeout: RETRY_FOR };
        let built = |builder: AmazonS3Builder| {
            let builder = builder
                .with_allow_http(allow_http)
                .with_virtual_hosted_style_request(!path_style)
                .with_bucket_name(&bucket)
                .with_retry(retry.clone());
            builder.build().map_err(|_| wrong("the settings of S3 do not fit together".to_owned()))
        };
        let [reads, writes] = builders.map(built);
        let (reads, writes) = (Arc::new(reads?), Arc::new(writes?));
        let place = match prefix.as_str() {
            "" => format!("s3://{bucket}"),
            prefix => format!("s3://{bucket}/{prefix}"),
        };
        let (place, prefix) = (place.into(), prefix.into());
        let state = Arc::default();
        Ok(Self { reads, writes, answer_within, state, place, prefix, above_bytes })
    }

    /// Where it is, as `s3://BUCKET/PREFIX`.
    #[must_use]
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What is wrong with the place. `None`: nothing is known to be.
    pub(crate) fn trouble(&self) -> Option<ObjectsTrouble> {
        self.state.trouble(&self.place)
    }

    /// Whether a content of so many bytes is an object.
    pub(crate) fn takes(&self, size_bytes: u64) -> bool {
        size_bytes >= self.above_bytes
    }

    fn path(&self, name: &str) -> Path {
        Path::from_iter(
            self.prefix.split('/').chain(name.split('/')).filter(|part| !part.is_empty()),
        )
    }

    /// Writes an object in one request.
    pub(crate) async fn put(&self, name: String, pieces: Vec<Bytes>) -> Result<Object, Error> {
        let mut hasher = Box::new(blake3::Hasher::new());
        for piece in &pieces {
            hasher.update(piece);
        }
        let length_bytes = pieces.iter().map(|piece| piece.len() as u64).sum();
        let payload: PutPayload = pieces.into_iter().collect();
        let within = self.answer_within + Duration::from_secs(length_bytes / BYTES_PER_SECOND_MIN);
        let (path, write) = (self.path(&name), ObjectsUse::Write);
        self.asked(write, within, self.writes.put(&path, payload)).await?;
        Ok(Object { name, length_bytes, hash: hasher.finalize().into() })
    }

    /// Begins to write an object in parts.
    pub(crate) async fn begin(&self, name: String) -> Result<Upload, Error> {
        let (path, write) = (self.path(&name), ObjectsUse::Write);
        let begun = self.writes.put_multipart(&path);
        let parts = self.asked(write, self.answer_within, begun).await?;
        let parts = WriteMultipart::new_with_chunk_size(parts, PART_BYTES);
        let (objects, hasher) = (self.clone(), Box::new(blake3::Hasher::new()));
        Ok(Upload { objects, name, parts: Some(parts), length_bytes: 0, hasher })
    }

    /// Reads a range of an object. `None`: it is missing, or too short.
    pub(crate) async fn read(&self, name: &str, range: Range<u64>) -> Result<Option<Bytes>, Error> {
        let (path, wanted) = (self.path(name), range.end - range.start);
        let bytes = async {
            let error = match self.reads.get_range(&path, range.clone()).await {
                Err(object_store::Error::NotFound { .. }) => return Ok(None),
                Err(error) if lost(&error).is_none() => error,
                read => return read.map(Some),
            };
            // A range behind the end is refused.
            match self.reads.head(&path).await {
                Ok(found) if found.size < range.end => Ok(None),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Ok(_) | Err(_) => Err(error),
            }
        };
        let bytes = self.asked(ObjectsUse::Read, REQUEST_WITHIN, bytes).await?;
        Ok(bytes.filter(|bytes| bytes.len() as u64 == wanted))
    }

    /// Removes an object. It is no error if there is none.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), Error> {
        let path = self.path(name);
        let removed = async {
            match self.reads.delete(&path).await {
                Err(object_store::Error::NotFound { .. }) => Ok(()),
                removed => removed,
            }
        };
        self.asked(ObjectsUse::Read, REQUEST_WITHIN, removed).await
    }

    /// Lists the objects below a name, in parts.
    pub(crate) fn list(
        &self,
        below: &str,
    ) -> impl Stream<Item = Result<ListedObject, Error>> + use<'_> {
        let start = match self.prefix.as_ref() {
            "" => String::new(),
            prefix => format!("{prefix}/"),
        };
        self.reads.list(Some(&self.path(below))).filter_map(move |found| {
            let listed = self.told(ObjectsUse::Read, found).map(|found| {
                let written_ms = found.last_modified.timestamp_millis();
                let name = found.location.as_ref().strip_prefix(&start).map(str::to_owned);
                name.map(|name| ListedObject { name, written_ms })
            });
            std::future::ready(listed.transpose())
        })
    }

    /// Waits for the answer to a request, for so long at most.
    async fn asked<T>(
        &self,
        asked: ObjectsUse,
        within: Duration,
        request: impl Future<Output = object_store::Result<T>>,
    ) -> Result<T, Error> {
        match tokio::time::timeout(within, request).await {
            Ok(answer) => self.told(asked, answer),
            Err(_) => Err(self.failed(asked, ObjectsFailure::late())),
        }
    }

    /// An answer of S3. It shows whether S3 works.
    fn told<T>(&self, asked: ObjectsUse, answer: object_store::Result<T>) -> Result<T, Error> {
        let answer = answer.map_err(|error| self.failed(asked, ObjectsFailure::of(&error)))?;
        self.state.works(&self.place, asked);
        Ok(answer)
    }

    fn failed(&self, asked: ObjectsUse, failure: ObjectsFailure) -> Error {
        self.state.failed(&self.place, asked, &failure);
        Error::Objects { place: self.place.to_string(), reason: failure.reason }
    }
}

/// An object that is being written in parts.
pub(crate) struct Upload {
    objects: Objects,
    name: String,
    /// `None`: it is complete.
    parts: Option<WriteMultipart>,
    length_bytes: u64,
    hasher: Box<blake3::Hasher>,
}

impl fmt::Debug for Upload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upload").field(&self.name).finish()
    }
}

impl Upload {
    /// How many bytes were given to it so far.
    pub(crate) fn length_bytes(&self) -> u64 {
        self.length_bytes
    }

    /// Takes more bytes. One part is sent while the next one is filled.
    pub(crate) async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), Error> {
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        for piece in pieces {
            self.hasher.update(&piece);
            self.length_bytes += piece.len() as u64;
            self.objects.told(ObjectsUse::Write, parts.wait_for_capacity(1).await)?;
            parts.put(piece);
        }
        Ok(())
    }

    /// Completes the object.
    pub(crate) async fn complete(mut self) -> Result<Object, Error> {
        if let Some(parts) = self.parts.take() {
            self.objects.told(ObjectsUse::Write, parts.finish().await)?;
        }
        let (name, hash) = (std::mem::take(&mut self.name), self.hasher.finalize().into());
        Ok(Object { name, length_bytes: self.length_bytes, hash })
    }
}

impl Drop for Upload {
    /// Aborts the upload. If that fails, its parts stay until a lifecycle rule of the bucket for
    /// incomplete uploads removes them.
    fn drop(&mut self) {
        if let (Some(parts), Ok(runtime)) =
            (self.parts.take(), tokio::runtime::Handle::try_current())
        {
            runtime.spawn(async move {
                if parts.abort().await.is_err() {
                    tracing::debug!("parts of an object that was given up are left in the bucket");
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(place: &str) -> ObjectsConfig {
        ObjectsConfig { place: place.to_owned(), ..ObjectsConfig::default() }
    }

    #[test]
    fn a_place_has_one_form() {
        for (place, want) in [
            ("s3://mail", Some("s3://mail")),
            ("s3://mail/", Some("s3://mail")),
            ("s3://mail/a/b/", Some("s3://mail/a/b")),
            ("s3://", None),
            ("s3:mail", None),
            ("https://mail", None),
            ("s3://mail//a", None),
            ("s3://mail/a/../b", None),
            ("s3://key:secret@mail", None),
        ] {
            let got = Objects::s3(&config(place)).ok().map(|objects| objects.place().to_owned());
            assert_eq!(got.as_deref(), want, "{place}");
        }
    }

    #[test]
    fn a_size_that_memory_cannot_hold_is_refused() {
        for (above, is_taken) in [(0, false), (4096, true), (4 << 20, true), ((4 << 20) + 1, false)]
        {
            let config = ObjectsConfig { above_bytes: Some(above), ..config("s3://mail") };
            assert_eq!(Objects::s3(&config).is_ok(), is_taken, "{above}");
        }
    }
}

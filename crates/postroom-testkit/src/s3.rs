//! An S3 server in a directory, on loopback, that can be taken away and damaged.

use anyhow::Context;
use anyhow::Result;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::S3Service;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::task::JoinSet;

/// A server with one bucket, in the runtime that started it.
pub struct S3 {
    directory: TempDir,
    address: SocketAddr,
    serving: Option<JoinHandle<()>>,
}

impl S3 {
    /// The only bucket.
    pub const BUCKET: &'static str = "mail";
    /// The access key that it takes.
    pub const KEY: &'static str = "canary-7a3b-access-key";
    /// The secret key of it.
    pub const SECRET: &'static str = "canary-7a3b-secret-key";

    /// Starts it with an empty bucket.
    ///
    /// # Errors
    ///
    /// When loopback or the temporary directory cannot be used.
    pub async fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        fs::create_dir(directory.path().join(Self::BUCKET))?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let mut s3 = Self { directory, address, serving: None };
        s3.serve(listener)?;
        Ok(s3)
    }

    /// Takes it away: connections end, and nobody listens.
    pub async fn down(&mut self) {
        if let Some(serving) = self.serving.take() {
            serving.abort();
            // It was aborted, which is no error here.
            let _ = serving.await;
        }
    }

    /// Lets it hang: it takes connections, and never answers.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn hang(&mut self) -> Result<()> {
        self.down().await;
        let listener = TcpListener::bind(self.address).await.context("the port of S3")?;
        self.serving = Some(tokio::spawn(async move {
            let mut held = vec![];
            while let Ok(taken) = listener.accept().await {
                held.push(taken);
            }
        }));
        Ok(())
    }

    /// Brings it back under the same address.
    ///
    /// # Errors
    ///
    /// When the port is taken.
    pub async fn up(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address).await.context("the port of S3")?;
        self.serve(listener)
    }

    fn serve(&mut self, listener: TcpListener) -> Result<()> {
        let files = FileSystem::new(self.directory.path());
        let files = files.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        let mut service = S3ServiceBuilder::new(files);
        service.set_auth(SimpleAuth::from_single(Self::KEY, Self::SECRET));
        self.serving = Some(tokio::spawn(accept(listener, service.build())));
        Ok(())
    }

    /// Its address, as `http://HOST:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What the AWS tools would have in their environment to use it.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        [("AWS_ACCESS_KEY_ID", Self::KEY), ("AWS_SECRET_ACCESS_KEY", Self::SECRET)]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into()
    }

    /// The files of all objects in the bucket, in order of their names.
    ///
    /// # Errors
    ///
    /// When the directory cannot be read.
    pub fn objects(&self) -> Result<Vec<PathBuf>> {
        let mut found = vec![];
        files_below(&self.directory.path().join(Self::BUCKET), &mut found)?;
        found.sort();
        Ok(found)
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.abort();
        }
    }
}

fn files_below(directory: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            files_below(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Serves until it is aborted. Then all its connections end.
async fn accept(listener: TcpListener, service: S3Service) {
    let mut connections = JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        let connection =
            hyper_util::server::conn::auto::Builder::new(hyper_util::rt::TokioExecutor::new())
                .http1_only();
        let service = service.clone();
        connections.spawn(async move {
            // A client may go away at any time.
            let _ = connection.serve_connection(TokioIo::new(socket), service).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

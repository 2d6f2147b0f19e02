//! A small REST client.

use anyhow::Context;
use anyhow::bail;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use std::time::Duration;

/// The path that all collections are below.
pub(super) const MODEL: &str = "/rest/v1/model/";
/// How long the demo waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// Talks to one Postroom.
pub(super) struct Client {
    base: String,
    token: SecretString,
    http: reqwest::Client,
}

impl Client {
    /// A client of the Postroom at `base`.
    pub(super) fn new(base: &str, token: SecretString) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { base: base.to_owned(), token, http })
    }

    /// Creates an entity.
    pub(super) async fn post(&self, class: &str, body: &Json) -> anyhow::Result<Json> {
        let request = self.http.post(self.url(class)).json(body);
        self.answer(request).await
    }

    /// Changes an entity.
    pub(super) async fn patch(&self, path: &str, body: &Json) -> anyhow::Result<Json> {
        let request = self.http.patch(self.url(path)).json(body);
        self.answer(request).await
    }

    /// Reads a collection, or something below it, as JSON.
    pub(super) async fn get(&self, path: &str) -> anyhow::Result<Json> {
        self.answer(self.http.get(self.url(path))).await
    }

    /// Reads `path` again and again until `wanted` finds what it looks for.
    pub(super) async fn wait_for<T>(
        &self,
        path: &str,
        what: &str,
        wanted: impl Fn(&Json) -> Option<T>,
    ) -> anyhow::Result<T> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let json = self.get(path).await?;
            if let Some(found) = wanted(&json) {
                return Ok(found);
            }
            if tokio::time::Instant::now() > deadline {
                bail!("{what} did not happen within {} s; last answer: {json}", PATIENCE.as_secs());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn answer(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Json> {
        let response = request.bearer_auth(self.token.expose_secret()).send().await?;
        let status = response.status();
        let json: Json = response.json().await.context("the answer is no JSON")?;
        if !status.is_success() {
            bail!("{status}: {json}");
        }
        Ok(json)
    }

    fn url(&self, path: &str) -> String {
        format!("{}{MODEL}{path}", self.base)
    }
}

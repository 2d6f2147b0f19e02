//! A small REST client that shows each request as the `curl` that does the same.

use crate::demo::terminal::Terminal;
use anyhow::Context;
use anyhow::bail;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::Value as Json;
use std::time::Duration;

/// The path that all collections are below.
const MODEL: &str = "/rest/v1/model/";
/// How long the demo waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(30);

/// Talks to one Postroom.
pub struct Client {
    base: String,
    token: SecretString,
    http: reqwest::Client,
    /// Where it tells what it does.
    pub terminal: Terminal,
}

impl Client {
    /// A client of the Postroom at `base`.
    pub fn new(base: &str, token: SecretString, terminal: Terminal) -> anyhow::Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build()?;
        Ok(Self { base: base.to_owned(), token, http, terminal })
    }

    /// Creates an entity, and shows how.
    pub async fn post(&self, class: &str, body: &Json) -> anyhow::Result<Json> {
        self.terminal.shell(&format!(
            "curl -X POST -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
             $POSTROOM{MODEL}{class} -d '{}'",
            shown(body)
        ));
        let request = self.http.post(self.url(class)).json(body);
        self.answer(request).await
    }

    /// Changes an entity, and shows how.
    pub async fn patch(&self, class: &str, id: &str, body: &Json) -> anyhow::Result<Json> {
        self.terminal.shell(&format!(
            "curl -X PATCH -H \"Authorization: Bearer $TOKEN\" -H 'Content-Type: application/json' \
             $POSTROOM{MODEL}{class}/{id} -d '{}'",
            shown(body)
        ));
        let request = self.http.patch(self.url(&format!("{class}/{id}"))).json(body);
        self.answer(request).await
    }

    /// Shows how a collection, or something below it, is read.
    pub fn show_get(&self, path: &str) {
        self.terminal
            .shell(&format!("curl -H \"Authorization: Bearer $TOKEN\" \"$POSTROOM{MODEL}{path}\""));
    }

    /// Reads a collection, or something below it, as JSON.
    pub async fn get(&self, path: &str) -> anyhow::Result<Json> {
        self.answer(self.http.get(self.url(path))).await
    }

    /// Downloads a file.
    pub async fn download(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = self.http.get(self.url(path)).bearer_auth(self.token.expose_secret());
        let response = request.send().await?.error_for_status()?;
        Ok(response.bytes().await?.to_vec())
    }

    /// Reads `path` again and again until `wanted` finds what it looks for.
    pub async fn wait_for<T>(
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
            tokio::time::sleep(Duration::from_millis(50)).await;
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

/// The JSON of a command, with long texts (contents of files) cut for the eye.
fn shown(body: &Json) -> String {
    let mut cut = body.clone();
    shorten(&mut cut);
    cut.to_string().replace('\'', "'\\''")
}

fn shorten(json: &mut Json) {
    const CHARACTERS: usize = 120;
    match json {
        Json::String(text) if text.chars().count() > CHARACTERS => {
            *text = text.chars().take(CHARACTERS).chain("…".chars()).collect();
        }
        Json::Array(items) => items.iter_mut().for_each(shorten),
        Json::Object(members) => members.values_mut().for_each(shorten),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}

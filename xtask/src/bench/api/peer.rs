//! What is measured of each server, so that they can be put beside each other.

use crate::bench::api::goals::Goals;
use crate::bench::api::http::Ask;
use crate::bench::api::http::Connection;
use crate::bench::api::http::Server;
use crate::bench::api::load::Asking;
use crate::bench::api::load::clients;
use crate::terminal;
use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde_json::Value;
use serde_json::json;
use std::net::TcpStream;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long a peer may take to start.
const START: Duration = Duration::from_secs(180);

/// How many clients ask a peer.
const CLIENTS: u64 = 16;

/// How often in a second, with 16 clients.
#[derive(Debug, Clone)]
pub struct PeerRates {
    pub create: f64,
    pub patch: f64,
    /// Lists of the newest 100.
    pub list: f64,
}

/// How many times as fast creation and PATCH must be, and lists.
const WRITES: f64 = 2.0;
const LISTS: f64 = 3.0;

impl PeerRates {
    /// Checks how many times as fast these are.
    pub fn beside(&self, peer: &Self, goals: &mut Goals) {
        terminal::say(&format!(
            "  16 clients: create {:.0}/s, PATCH {:.0}/s, 100 newest {:.0}/s",
            peer.create, peer.patch, peer.list
        ));
        goals.at_least("create, to this peer", self.create / peer.create, WRITES);
        goals.at_least("PATCH, to this peer", self.patch / peer.patch, WRITES);
        goals.at_least("100 newest, to this peer", self.list / peer.list, LISTS);
    }
}

/// A peer that runs. It ends with this.
pub struct PeerProcess(Child);

impl Drop for PeerProcess {
    fn drop(&mut self) {
        // One that has ended needs no end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl PeerProcess {
    /// Starts a program, and waits until somebody listens at its address.
    ///
    /// # Errors
    ///
    /// When it does not start.
    pub async fn start(command: &mut Command, address: &str) -> Result<Self> {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = Self(child.context("starting a peer")?);
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if begin.elapsed() > START {
                bail!("nobody listens at {address}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(process)
    }
}

/// A free address of loopback.
///
/// # Errors
///
/// When there is none.
pub fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    Ok(listener.local_addr()?.to_string())
}

/// A collection of messages of a peer.
pub struct PeerCollection {
    pub server: Server,
    /// The path of its entities.
    pub path: String,
    /// The query of a list of the newest 100.
    pub newest: &'static str,
    /// The member of an answer that has the entities.
    pub entities: &'static str,
}

/// The same as Postroom gets.
fn message(number: u64) -> Value {
    let words = format!("offer {number} about the delivery of part {} ", number % 977);
    let (day, minute) = (1 + number / 1_440 % 28, number % 1_440);
    json!({
        "folder_id": format!("folder {}", number % 10), "account_id": "account",
        "dateTime": format!("2026-01-{day:02}T{:02}:{:02}:00.000Z", minute / 60, minute % 60),
        "messageDirection": "out", "from": format!("user{}@bench.example", number % 1_000),
        "to": ["anna@bench.example"], "subject": words.trim(), "text": words.repeat(20),
        "messageId": format!("{number}@bench.example"),
        "headers": [["X-Mailer", "bench"], ["List-Id", words]],
    })
}

impl PeerCollection {
    /// Measures it.
    ///
    /// # Errors
    ///
    /// When a request is refused.
    pub async fn measure(&self, time: Duration) -> Result<PeerRates> {
        let path = self.path.clone();
        let creating: Asking = Arc::new(move |number| Ask {
            method: "POST",
            path: path.clone(),
            body: message(number).to_string(),
        });
        let create = clients(&self.server, CLIENTS, time, &creating).await?.rate();
        let newest = Ask::get(format!("{}?{}", self.path, self.newest));
        let page = Connection::open(&self.server).await?.ask(&newest).await?.json()?;
        let id = |entity: &Value| entity["id"].as_str().map(str::to_owned);
        let ids = page[self.entities].as_array().into_iter().flatten().filter_map(id);
        let ids: Vec<_> = ids.collect();
        let path = self.path.clone();
        let patching: Asking = Arc::new(move |number| {
            let at = usize::try_from(number).unwrap_or_default() % ids.len().max(1);
            let id = ids.get(at).cloned().unwrap_or_default();
            let body = json!({"subject": format!("changed {number}")}).to_string();
            Ask { method: "PATCH", path: format!("{path}/{id}"), body }
        });
        let patch = clients(&self.server, CLIENTS, time, &patching).await?.rate();
        let listing: Asking = Arc::new(move |_| newest.clone());
        let list = clients(&self.server, CLIENTS, time, &listing).await?.rate();
        Ok(PeerRates { create, patch, list })
    }
}

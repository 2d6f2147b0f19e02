//! The REST interface: what clients do most, on both databases, beside the same statements without
//! Postroom and beside other servers of REST, in one run.
//!
//! `--rows N` messages are filled in by REST, with `--accounts N` enabled accounts that have
//! nothing to do. Each measurement takes `--seconds N`. `--pocketbase FILE` is a program of
//! PocketBase. Only ratios of one run count, because others may use the machine.

mod goals;
mod http;
mod lists;
mod load;
pub mod news;
mod peer;
mod plain;
mod pocketbase;
mod words;
mod world;

use crate::arguments::Arguments;
use crate::bench;
use crate::bench::api::goals::Goals;
use crate::bench::api::http::Ask;
use crate::bench::api::http::Server;
use crate::bench::api::lists::ListRun;
use crate::bench::api::lists::Lists;
use crate::bench::api::load::Asking;
use crate::bench::api::load::Times;
use crate::bench::api::load::clients;
use crate::bench::api::peer::PeerRates;
use crate::bench::api::plain::Plain;
use crate::bench::api::world::MESSAGES;
use crate::bench::api::world::Owners;
use crate::bench::api::world::id_of;
use crate::bench::api::world::server;
use crate::terminal;
use crate::workspace;
use anyhow::Context;
use anyhow::Result;
use postroom_testkit::Postgres;
use postroom_testkit::PostgresOptions;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use serde_json::json;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How many messages there are when pages are counted first.
const FEW: u64 = 1_000;

/// How many folders have messages.
const FOLDERS: usize = 10;

/// How many PATCHes are made one after the other while their pages are counted.
const PATCHES: u32 = 300;

/// The master key of nodes that share a database.
const KEY: &str = "3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a3b0a";

/// The size of a page of SQLite.
const PAGE_BYTES: f64 = 8192.0;

/// What is measured, and how.
struct Plan {
    binary: PathBuf,
    rows: u64,
    accounts: u64,
    time: Duration,
}

/// `cargo xtask bench api`.
///
/// # Errors
///
/// When a program is missing, or refuses a request.
pub fn run(arguments: &mut Arguments) -> Result<()> {
    if let Some(measured) = bench::released("api", arguments) {
        return measured;
    }
    let rows = arguments.option("--rows", 100_000)?;
    let accounts = arguments.option("--accounts", 1_000)?;
    let seconds = arguments.option("--seconds", 2.0)?;
    let databases = bench::databases(arguments)?;
    let pocketbase = arguments.option("--pocketbase", String::new())?;
    let binary = arguments.option("--binary", String::new())?;
    arguments.end()?;
    let binary = workspace::release_or(&binary)?;
    let plan = Plan { binary, rows, accounts, time: Duration::from_secs_f64(seconds) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut goals = Goals::default();
        let mut ours = None;
        for database in databases {
            let rates = plan.measure(database, &mut goals).await?;
            ours = ours.or(Some(rates));
        }
        let ours = ours.context("no database")?;
        if !pocketbase.is_empty() {
            terminal::say("PocketBase, which does not fsync:");
            let theirs = pocketbase::measure(Path::new(&pocketbase), plan.time).await?;
            ours.beside(&theirs, &mut goals);
        }
        goals.end();
        anyhow::Ok(())
    })
}

/// A Postroom that is measured.
struct Measuring<'a> {
    plan: &'a Plan,
    postroom: Postroom,
    server: Server,
    owners: Owners,
}

impl Plan {
    /// Everything on a database.
    async fn measure(&self, database: &str, goals: &mut Goals) -> Result<PeerRates> {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        terminal::say(&format!("Postroom on {database}; the load of the machine: {}", load.trim()));
        let durable = PostgresOptions { is_durable: true, ..PostgresOptions::default() };
        let postgres = match database {
            "postgres" => Some(Postgres::start(&durable)?),
            _ => None,
        };
        let mut url = None;
        if let Some(postgres) = &postgres {
            postgres.database_create("api").await?;
            url = Some(postgres.url("api"));
        }
        let postroom = self.node(url.as_deref(), &["--name", "one"])?;
        let owners = Owners::create(&postroom, self.accounts, FOLDERS).await?;
        let measuring = Measuring { plan: self, server: server(&postroom), postroom, owners };
        measuring.all(url.as_deref(), goals).await
    }

    /// A node of the database. `None`: that of the data directory.
    fn node(&self, database: Option<&str>, arguments: &[&str]) -> Result<Postroom> {
        let options = PostroomOptions {
            database: database.map(ToOwned::to_owned),
            arguments: arguments.iter().map(|&argument| argument.to_owned()).collect(),
            environment: vec![("POSTROOM_MASTER_KEY".to_owned(), KEY.to_owned())],
            ..PostroomOptions::default()
        };
        Postroom::start(&self.binary, options)
    }
}

impl Measuring<'_> {
    /// `postgres`: the address of the database. `None`: it is that of the data directory.
    async fn all(&self, postgres: Option<&str>, goals: &mut Goals) -> Result<PeerRates> {
        self.owners.fill(&self.server, 0..FEW).await?;
        words::until_kept(&self.postroom).await?;
        let few = self.one_patch().await?;
        let begin = Instant::now();
        self.owners.fill(&self.server, FEW..self.plan.rows).await?;
        let rate = (self.plan.rows.saturating_sub(FEW)) as f64 / begin.elapsed().as_secs_f64();
        terminal::say(&format!("  filled in by arrays of 200: {rate:.0}/s"));
        words::until_kept(&self.postroom).await?;
        let many = self.one_patch().await?;
        goals.at_most("one PATCH among all messages, ms (median)", many.ms, 3.0);
        if many.pages > 0.0 {
            let more = many.pages / few.pages.max(1.0);
            terminal::say(&format!(
                "  pages read by a PATCH: {:.1} among {FEW} messages, {:.1} among all",
                few.pages, many.pages
            ));
            goals.at_most("pages read among all, to those among 1,000", more, 1.1);
        }
        let lists = Lists::of(&self.postroom, &self.owners, self.plan.rows).await?;
        let file = self.postroom.data_directory().join("postroom.db");
        let file = file.to_str().context("a path")?;
        let mut plain = Plain::start(postgres.unwrap_or(file))?;
        let run = ListRun { time: self.plan.time, is_sqlite: postgres.is_none() };
        lists.measure(&self.server, &mut plain, run, goals).await?;
        drop(plain);
        let newest = lists.newest(&self.server, self.plan.time).await?;
        self.files().await?;
        self.scanned(goals).await?;
        let rates = self.writes(newest, goals).await?;
        if let Some(postgres) = postgres {
            self.two_nodes(postgres).await?;
        }
        self.property(goals).await?;
        words::measure(&self.postroom, &self.server, self.plan.time, goals).await?;
        Ok(rates)
    }

    async fn run(&self, what: &str, count: u64, asking: &Asking) -> Result<Times> {
        let times = clients(&self.server, count, self.plan.time, asking).await?;
        terminal::say(&format!("  {what:34} {count:3} clients {}", times.told()));
        Ok(times)
    }

    /// Creations and changes.
    async fn writes(&self, newest: Times, goals: &mut Goals) -> Result<PeerRates> {
        let creating = self.owners.creating();
        let one = self.run("create", 1, &creating).await?;
        let sixteen = self.run("create", 16, &creating).await?;
        let many = self.run("create", 64, &creating).await?;
        goals.at_least("create: 64 clients to one", many.rate() / one.rate(), 5.0);
        let patching = self.patching().await?;
        self.run("PATCH", 1, &patching).await?;
        let patched = self.run("PATCH", 16, &patching).await?;
        Ok(PeerRates { create: sixteen.rate(), patch: patched.rate(), list: newest.rate() })
    }

    /// Creations, changes and reads by clients of one node, and by as many of two.
    async fn two_nodes(&self, postgres: &str) -> Result<()> {
        let second = self.plan.node(Some(postgres), &["--name", "two", "--order", "2"])?;
        let server = server(&second);
        let creating = self.owners.creating();
        let (patching, getting) = (self.patching().await?, self.getting().await?);
        for (what, asking) in [("create", creating), ("PATCH", patching), ("GET by id", getting)] {
            let of = |server, count| clients(server, count, self.plan.time, &asking);
            let one = of(&self.server, 16).await?;
            let (left, right) = tokio::try_join!(of(&self.server, 8), of(&server, 8))?;
            let two = left.rate() + right.rate();
            terminal::say(&format!(
                "  {what:34}  16 clients of two nodes {two:.1}/s, {:.2} of one node",
                two / one.rate()
            ));
        }
        Ok(())
    }

    /// PATCHes of some messages, each of another one than the last.
    async fn patching(&self) -> Result<Asking> {
        let page = self.postroom.get("email/Messages?limit=1000&mask=id&order=-dateTime").await?;
        let ids: Vec<_> = page.as_array().into_iter().flatten().map(id_of).collect();
        Ok(Arc::new(move |number| {
            let at = usize::try_from(number).unwrap_or_default() % ids.len().max(1);
            let id = ids.get(at).cloned().unwrap_or_default();
            let body = json!({"subject": format!("changed {number}")}).to_string();
            Ask { method: "PATCH", path: format!("{MESSAGES}/{id}"), body }
        }))
    }

    /// Reads of one message each.
    async fn getting(&self) -> Result<Asking> {
        let patching = self.patching().await?;
        Ok(Arc::new(move |number| Ask::get(patching(number).path)))
    }

    /// How long a PATCH takes, and how much it reads, when nobody else asks.
    async fn one_patch(&self) -> Result<OnePatch> {
        let patching = self.patching().await?;
        let mut connection = http::Connection::open(&self.server).await?;
        let mut each = vec![];
        let (before, begin) = (self.read_bytes(), Instant::now());
        for number in 0..PATCHES {
            let asked = Instant::now();
            connection.ask(&patching(u64::from(number))).await?;
            each.push(asked.elapsed());
        }
        let bytes = self.read_bytes().saturating_sub(before) as f64;
        let times = Times::of(begin.elapsed(), each);
        let pages = bytes / PAGE_BYTES / f64::from(PATCHES);
        Ok(OnePatch { ms: times.ms_of(0.5), pages })
    }

    /// How many bytes the process has read from files and connections. On PostgreSQL, the server
    /// reads the pages, so that this is 0.
    fn read_bytes(&self) -> u64 {
        if !self.postroom.data_directory().join("postroom.db").exists() {
            return 0;
        }
        let id = self.postroom.id().unwrap_or_default();
        let io = fs::read_to_string(format!("/proc/{id}/io")).unwrap_or_default();
        let read = io.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.and_then(|digits| digits.parse().ok()).unwrap_or(0)
    }

    /// Files of a message: put and read.
    async fn files(&self) -> Result<()> {
        let page = self.postroom.get("email/Messages?limit=1&mask=id").await?;
        let path = format!("{MESSAGES}/{}/file/a.txt", id_of(&page[0]));
        let body = "a line of a file\n".repeat(600);
        let to = path.clone();
        let put: Asking =
            Arc::new(move |_| Ask { method: "PUT", path: to.clone(), body: body.clone() });
        self.run("PUT of a file of 10 KB", 1, &put).await?;
        let get: Asking = Arc::new(move |_| Ask::get(path.clone()));
        self.run("GET of a file of 10 KB", 1, &get).await.map(drop)
    }

    /// Reads and changes of one message while eight clients look through all texts.
    async fn scanned(&self, goals: &mut Goals) -> Result<()> {
        let (getting, patching) = (self.getting().await?, self.patching().await?);
        let idle_get = self.run("GET by id, others idle", 1, &getting).await?;
        let idle_patch = self.run("PATCH, others idle", 1, &patching).await?;
        let nothing = "%5B%22%3D%3D%22%2C%5B%22property%22%2C%22subject%22%5D%2C%22none%22%5D";
        let path = format!("{MESSAGES}?filter={nothing}&limit=100");
        let scan: Asking = Arc::new(move |_| Ask::get(path.clone()));
        let (server, time) = (self.server.clone(), self.plan.time * 3);
        let scanning = tokio::spawn(async move { clients(&server, 8, time, &scan).await });
        tokio::time::sleep(self.plan.time / 4).await;
        let get = self.run("GET by id, 8 scan", 1, &getting).await?;
        let patch = self.run("PATCH, 8 scan", 1, &patching).await?;
        let scans = scanning.await??;
        terminal::say(&format!("  {:34}   8 clients {}", "scans", scans.told()));
        let ratio = get.ms_of(0.99) / idle_get.ms_of(0.99);
        goals.at_most("p99 of GET under 8 scans, to idle", ratio, 10.0);
        let ratio = patch.ms_of(0.99) / idle_patch.ms_of(0.99);
        goals.at_most("p99 of PATCH under 8 scans, to idle", ratio, 10.0);
        Ok(())
    }

    /// A property is added to the class of all messages.
    async fn property(&self, goals: &mut Goals) -> Result<()> {
        let ticket = json!({"properties": [{"name": "ticket", "data_type": "string"}]});
        let begin = Instant::now();
        self.postroom.patch("/rest/v1/design/classes/email/Messages", &ticket).await?;
        goals.at_most("adding a property, s", begin.elapsed().as_secs_f64(), 0.3);
        Ok(())
    }
}

/// What one PATCH took.
struct OnePatch {
    /// Its median, in milliseconds.
    ms: f64,
    /// How many pages it read. 0: not known.
    pages: f64,
}

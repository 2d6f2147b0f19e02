//! The interface on a free port of loopback, with a store in a directory of its own.

use bytes::Bytes;
use postroom_api::App;
use postroom_api::Limits;
use postroom_api::Listening;
use postroom_api::Origins;
use postroom_api::TrustedProxies;
use postroom_engine::text::WholeTexts;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::builtin;
use postroom_net::Certificates;
use postroom_store::Beginning;
use postroom_store::Clock;
use postroom_store::Content;
use postroom_store::Database;
use postroom_store::FeedRetention;
use postroom_store::FeedRow;
use postroom_store::MailboxEpoch;
use postroom_store::MasterKey;
use postroom_store::MissedAt;
use postroom_store::MissedMessage;
use postroom_store::NewContent;
use postroom_store::NewFile;
use postroom_store::ObjectsAccess;
use postroom_store::PostgresConfig;
use postroom_store::PostgresDatabase;
use postroom_store::ReceiveBatch;
use postroom_store::ReceivedMessage;
use postroom_store::Room;
use postroom_store::SourceKey;
use postroom_store::SqliteDirectory;
use postroom_store::Statement;
use postroom_store::Store;
use postroom_store::StoreConfig;
use postroom_store::Witness;
use postroom_testkit::TestDatabase;
use reqwest::Method;
use reqwest::header::HeaderMap;
use secrecy::SecretString;
use serde_json::Value as Json;
use serde_json::json;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

pub const TOKEN: &str = "a-token-of-the-default-domain";
pub const OTHER_TOKEN: &str = "a-token-of-another-domain";

/// The original of a received message with an html body in Latin-1, an inline and an attachment.
pub const ORIGINAL: &[u8] = b"Subject: hi\r\n\r\n<p>gr\xFCn</p>aGVsbG8=PNG";

/// How long a test waits until readers may pass what was written.
const FEED_WITHIN: Duration = Duration::from_secs(60);

pub struct Server {
    pub store: Store,
    base: String,
    client: reqwest::Client,
    directory: Arc<TempDir>,
}

/// An interface that ends when it is told to.
pub struct Stoppable {
    pub address: SocketAddr,
    pub stop: tokio::sync::oneshot::Sender<()>,
    pub serving: tokio::task::JoinHandle<()>,
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("{}: {:?}", self.status, self.bytes))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Whether the answer depends on this header field of the request.
    pub fn varies_by(&self, name: &str) -> bool {
        self.headers.get_all("vary").iter().any(|value| value == name)
    }

    /// The answer's JSON, when it has the status.
    pub fn expect(&self, status: u16) -> Json {
        assert_eq!(self.status, status, "{:?}", self.bytes);
        if self.bytes.is_empty() { Json::Null } else { self.json() }
    }
}

impl Server {
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    pub async fn start_with(limits: Limits) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Self::open(&directory).await;
        Self::with_tokens(store, limits, directory).await
    }

    /// The interface to a store that has something in front of its database.
    pub async fn start_behind(front: impl FnOnce(Arc<dyn Database>) -> Arc<dyn Database>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let key = MasterKey::in_directory(directory.path()).unwrap();
        let database = front(database(&directory).await);
        let store = Self::open_on(database, key).await;
        Self::with_tokens(store, Limits::default(), directory).await
    }

    async fn with_tokens(store: Store, limits: Limits, directory: TempDir) -> Self {
        let other = Domain::new("other").unwrap();
        for (domain, token) in [(&Domain::default_domain(), TOKEN), (&other, OTHER_TOKEN)] {
            store.token_set(domain, "admin", &SecretString::from(token)).await.unwrap();
        }
        Self::serve(store, limits, Arc::new(directory)).await
    }

    async fn open(directory: &TempDir) -> Store {
        // A key is made only where there is no database yet.
        let key = MasterKey::in_directory(directory.path()).unwrap();
        Self::open_on(database(directory).await, key).await
    }

    async fn open_on(database: Arc<dyn Database>, key: MasterKey) -> Store {
        let config = StoreConfig {
            key,
            classes: builtin::classes().unwrap(),
            clock: Clock::system(),
            work: postroom_store::Work::Threads,
            member: postroom_store::Member::alone(),
            objects: ObjectsAccess::None,
            feed: FeedRetention::default(),
        };
        Store::open(database, &config).await.unwrap()
    }

    /// Flips one bit of the stored `bytes` at `place` or soon after.
    pub async fn damaged(self, bytes: &[u8], place: usize) -> Self {
        if TestDatabase::present() == TestDatabase::Postgres {
            let at = "position($1 IN \"bytes\") - 1";
            let sql = format!(
                "UPDATE \"chunk\" SET \"bytes\" = set_byte(\"bytes\", {at},
                   get_byte(\"bytes\", {at}) # 4) WHERE position($1 IN \"bytes\") > 0"
            );
            let flip = Statement::new(sql).bind(bytes[place..place + 32].to_vec());
            let database = database(&self.directory).await;
            let flipped = database.write(vec![flip], Room::Free).await.unwrap();
            assert_eq!(flipped[0].changed, 1);
            return self;
        }
        // In a copy, because the database is in use.
        self.store.close().await.unwrap();
        let copy = tempfile::tempdir().unwrap();
        copy_files(&self.directory, &copy);
        let path = copy.path().join(postroom_store::DATABASE_FILE);
        let mut whole = std::fs::read(&path).unwrap();
        // Bytes are stored in pages. One of these pieces does not reach over the end of a page.
        let find = |piece: &[u8]| whole.windows(piece.len()).position(|window| window == piece);
        let at = bytes[place..].chunks(32).take(3).find_map(find).unwrap();
        whole[at] ^= 4;
        std::fs::write(&path, whole).unwrap();
        Self::serve(Self::open(&copy).await, Limits::default(), Arc::new(copy)).await
    }

    /// The same store after a statement that no client can send.
    pub async fn spoiled(self, sql: &'static str) -> Self {
        let spoil = async |directory: &TempDir| {
            let database = database(directory).await;
            let written = database.write(vec![Statement::new(sql)], Room::Free).await.unwrap();
            assert_eq!(written[0].changed, 1);
            database.close();
        };
        if TestDatabase::present() == TestDatabase::Postgres {
            spoil(&self.directory).await;
            return self;
        }
        // In a copy of a copy, because each stays in use by those who had it.
        self.store.close().await.unwrap();
        let (copy, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        copy_files(&self.directory, &copy);
        spoil(&copy).await;
        copy_files(&copy, &second);
        Self::serve(Self::open(&second).await, Limits::default(), Arc::new(second)).await
    }

    /// The same store with other limits.
    pub async fn again(&self, limits: Limits) -> Self {
        Self::serve(self.store.clone(), limits, Arc::clone(&self.directory)).await
    }

    async fn serve(store: Store, limits: Limits, directory: Arc<TempDir>) -> Self {
        let app = App::with_limits(store.clone(), limits);
        Self::serve_app(app, directory).await
    }

    /// The same store, which decodes so much of a text in memory.
    pub async fn with_texts(&self, text_bytes_max: usize) -> Self {
        let texts = WholeTexts::new(self.directory.path().to_owned());
        let app = App::new(self.store.clone()).with_texts(texts.with_bytes_max(text_bytes_max));
        Self::serve_app(app, Arc::clone(&self.directory)).await
    }

    /// The same store with an engine that has a problem.
    pub async fn with_engine(
        &self,
        problem: impl Fn() -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let app = App::new(self.store.clone()).with_engine(problem);
        Self::serve_app(app, Arc::clone(&self.directory)).await
    }

    async fn serve_app(app: App, directory: Arc<TempDir>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let store = app.store.clone();
        tokio::spawn(postroom_api::serve(listener, app, std::future::pending()));
        Self { store, base, client: reqwest::Client::new(), directory }
    }

    /// The same store, which pages of other origins may use.
    pub async fn with_origins(&self, origins: &[&str]) -> Self {
        let origins: Vec<_> = origins.iter().map(|origin| (*origin).to_owned()).collect();
        let app = App::new(self.store.clone()).with_origins(Origins::new(&origins).unwrap());
        Self::serve_app(app, Arc::clone(&self.directory)).await
    }

    /// The same store behind a proxy on this host.
    pub async fn behind_proxy(&self) -> Self {
        let proxies = TrustedProxies::new(&["127.0.0.1".to_owned()]).unwrap();
        let app = App::new(self.store.clone()).with_proxies(proxies);
        Self::serve_app(app, Arc::clone(&self.directory)).await
    }

    /// The same store at another address, with TLS.
    pub async fn secure(&self, limits: Limits, certificates: Certificates) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = App::with_limits(self.store.clone(), limits);
        let listening = Listening::with_tls(listener, certificates);
        tokio::spawn(postroom_api::serve(listening, app, std::future::pending()));
        address
    }

    /// The same store, served by a process that can be stopped.
    pub async fn stoppable(&self) -> Stoppable {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let app = App::new(self.store.clone());
        let serving = postroom_api::serve(listener, app, async { drop(stopped.await) });
        Stoppable { address, stop, serving: tokio::spawn(serving) }
    }

    /// A request to a path under `/rest/v1/model/`, or from the root when it begins with a slash.
    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        self.anonymous(method, path).bearer_auth(TOKEN)
    }

    pub fn anonymous(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let root = if path.starts_with('/') { "" } else { "/rest/v1/model/" };
        let url = format!("{}{root}{path}", self.base);
        self.client.request(Method::from_bytes(method.as_bytes()).unwrap(), url)
    }

    /// A connection of its own, for what no client sends.
    #[expect(clippy::disallowed_methods, reason = "a test of our own listener")]
    pub async fn connect(&self) -> tokio::net::TcpStream {
        let address = self.base.strip_prefix("http://").unwrap();
        tokio::net::TcpStream::connect(address).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        answer(self.request("GET", path)).await
    }

    pub async fn send(&self, method: &str, path: &str, body: &Json) -> Answer {
        answer(self.request(method, path).json(body)).await
    }

    /// Creates an entity and gives its id.
    pub async fn create(&self, class: &str, body: &Json) -> String {
        let created = self.send("POST", class, body).await.expect(201);
        created["id"].as_str().unwrap().to_owned()
    }

    /// A profile with an account and a folder: the ids of the latter.
    pub async fn account(&self) -> (String, String) {
        let profile = self.create(builtin::PROFILES, &json!({"name": "p"})).await;
        let account =
            json!({"profile_id": profile, "address": "anna@b.test", "password": "canary"});
        let account = self.create(builtin::ACCOUNTS, &account).await;
        let folder = json!({"account_id": account, "name": "INBOX", "title": "anna@b.test/INBOX"});
        (account, self.create(builtin::FOLDERS, &folder).await)
    }

    /// A received message, as the engine records it.
    pub async fn received(&self, account: &str, folder: &str) -> String {
        let values = json!({
            "account_id": account, "folder_id": folder, "messageDirection": "in", "uid": 1,
            "dateTimeSource": "arrival",
            "messageState": "received", "subject": "hi", "uidValidity": 1,
        });
        let part =
            |property: &str, name: &str, (offset, length, size_bytes): (u64, u64, u64)| NewFile {
                property: property.to_owned(),
                name: name.to_owned(),
                media_type: if property == "html" { "text/html" } else { "text/plain" }.to_owned(),
                content_id: None,
                content: NewContent::Part {
                    offset,
                    length,
                    size_bytes,
                    transfer_encoding: if size_bytes == 5 { "base64" } else { "8bit" }.to_owned(),
                    charset: Some("iso-8859-1".to_owned()),
                },
            };
        let files = vec![
            part("html", "message.html", (15, 11, 11)),
            part("file", "hello.txt", (26, 8, 5)),
            part("inlines", "a/b \"ü\".png", (34, 3, 3)),
        ];
        self.received_as(folder, &values, files, Some(ORIGINAL)).await
    }

    /// A received message with these values and files, as the engine records it.
    pub async fn received_as(
        &self,
        folder: &str,
        values: &Json,
        files: Vec<NewFile>,
        original: Option<&[u8]>,
    ) -> String {
        let entity = Entity::new(Clock::system().new_id(), values.as_object().unwrap().clone());
        let id = entity.id.to_string();
        let class = self.store.builtin(builtin::MESSAGES).unwrap();
        let message = ReceivedMessage {
            key: SourceKey::of_uid(u64::try_from(values["uid"].as_i64().unwrap()).unwrap()),
            row: self.store.entity_row(&Domain::default_domain(), &class, &entity).unwrap(),
            files,
            original: original.map(Content::prepare),
            hash: [0; 16],
            witness: Witness::default(),
            reported: None,
            action: None,
        };
        let batch = ReceiveBatch {
            domain: Domain::default_domain(),
            epoch: MailboxEpoch {
                folder: FolderId::of(folder.parse::<EntityId>().unwrap()),
                number: 1,
            },
            messages: vec![message],
            relink: false,
        };
        self.store.receive_commit(batch).await.unwrap();
        id
    }

    /// Messages of these sizes that are there by their headers alone, as the engine records them.
    pub async fn too_large<const N: usize>(
        &self,
        account: &str,
        folder: &str,
        sizes: [u64; N],
    ) -> [String; N] {
        let (account, folder) = (account.parse().unwrap(), folder.parse().unwrap());
        let begun = Beginning {
            login: "anna@b.test",
            uid_validity: 1,
            mailbox_id: None,
            baseline: 0,
            unloaded: None,
            former: None,
        };
        let epoch = self.store.epoch_begin(folder, begun).await.unwrap();
        let miss = |(uid, size): (u64, u64)| MissedMessage {
            is_too_big: true,
            size_bytes: Some(size),
            ..MissedMessage::pending(SourceKey::of_uid(uid), "too large".to_owned())
        };
        let misses: Vec<_> = (10..).zip(sizes).map(miss).collect();
        let domain = &Domain::default_domain();
        let at = MissedAt { domain, account, epoch, uid_validity: 1 };
        self.store.receive_missed(at, &misses, |_| 0).await.unwrap();
        let path = "email/Messages?errorCode=too_big&order=uid";
        let found = self.get(path).await.expect(200);
        std::array::from_fn(|at| found[at]["id"].as_str().unwrap().to_owned())
    }

    /// The changes behind a number, once readers may pass so many. Writers of other databases of
    /// the same server can hold them back for a while.
    pub async fn feed(&self, after: i64, count: usize) -> Vec<FeedRow> {
        let domain = Domain::default_domain();
        let begun = tokio::time::Instant::now();
        loop {
            let feed = self.store.feed_list(&domain, after, 10_000).await.unwrap();
            if feed.len() >= count || begun.elapsed() > FEED_WITHIN {
                return feed;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Every byte that is stored.
    pub fn stored_bytes(&self) -> Vec<u8> {
        TestDatabase::stored_bytes(self.directory.path()).unwrap()
    }
}

fn copy_files(from: &TempDir, to: &TempDir) {
    for entry in std::fs::read_dir(from.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
}

/// The database of a directory, of the kind that the present test runs on.
async fn database(directory: &TempDir) -> Arc<dyn Database> {
    match TestDatabase::postgres_url(directory.path()).unwrap() {
        Some(url) => PostgresDatabase::open(PostgresConfig::parse(&url).unwrap()).await.unwrap(),
        None => SqliteDirectory::open(directory.path(), 2, Clock::system()).unwrap(),
    }
}

pub async fn answer(request: reqwest::RequestBuilder) -> Answer {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Answer { status, headers, bytes: response.bytes().await.unwrap() }
}

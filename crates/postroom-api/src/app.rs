//! What every request needs.

use crate::answer_budget::AnswerBudget;
use crate::budget::Budget;
use crate::described::Described;
use crate::limits::Limits;
use crate::lockout::Lockout;
use crate::origins::Origins;
use crate::rates::Rates;
use crate::scans::Scans;
use crate::trusted_proxies::TrustedProxies;
use axum::http::HeaderMap;
use axum::http::Uri;
use postroom_engine::NewsBoard;
use postroom_engine::NodeView;
use postroom_engine::text::WholeTexts;
use postroom_model::Class;
use postroom_model::Domain;
use postroom_model::Rights;
use postroom_store::Bearer;
use postroom_store::Store;
use std::fmt;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

/// The store as a request sees it, and what all requests share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct App {
    /// The store.
    pub store: Store,
    shared: Arc<AppShared>,
}

/// What all requests share.
#[derive(Debug, Clone)]
pub struct AppShared {
    /// How much a client may send.
    pub limits: Arc<Limits>,
    /// How much JSON is in memory.
    pub budget: Arc<Budget>,
    /// The addresses that send wrong tokens.
    pub lockout: Arc<Lockout>,
    /// The addresses that fail to sign in.
    pub logins: Arc<Lockout>,
    /// What tokens have sent in the last second.
    pub rates: Arc<Rates>,
    /// The tokens whose lists take long.
    pub scans: Arc<Scans>,
    /// Reports the health of the engine.
    pub engine: Engine,
    /// Held while the store is checked, so that one check runs at a time.
    pub looking: Arc<Mutex<()>>,
    /// Reads the news once for all who follow them.
    pub news: NewsBoard,
    /// This process among those that share its database.
    pub node: NodeView,
    /// Finds the whole texts of messages.
    pub texts: Arc<WholeTexts>,
    /// The description of the interface.
    pub described: Arc<Described>,
    /// Cancelled when Postroom ends, so that requests that wait for news end too.
    pub ending: CancellationToken,
    /// The origins whose pages may use the interface.
    pub(crate) origins: Origins,
    /// The proxies whose word about the address of a client is taken.
    pub(crate) proxies: TrustedProxies,
    /// Limits the memory of answers that are made as a whole.
    pub(crate) held: AnswerBudget,
    /// Limits the memory of news that are on their way to clients.
    pub(crate) held_news: AnswerBudget,
}

impl App {
    /// The interface of a store, with the default limits.
    #[must_use]
    pub fn new(store: Store) -> Self {
        Self::with_limits(store, Limits::default())
    }

    /// The interface of a store, with other limits.
    #[must_use]
    pub fn with_limits(store: Store, limits: Limits) -> Self {
        let budget = Budget::new(limits.json_read_bytes_max, limits.json_parsed_bytes_max);
        let (limits, budget) = (Arc::new(limits), Arc::new(budget));
        let (lockout, rates) = (Arc::default(), Rates::default());
        rates.limit(limits.requests_per_second);
        let rates = Arc::new(rates);
        let (scans, looking) = (Arc::default(), Arc::default());
        let texts = Arc::new(WholeTexts::new(std::env::temp_dir()));
        let (engine, held) = (Engine::default(), AnswerBudget::default());
        let (ending, news) = (CancellationToken::new(), NewsBoard::new(store.clone()));
        let shared = AppShared {
            limits,
            budget,
            lockout,
            logins: Arc::default(),
            rates,
            scans,
            engine,
            looking,
            news,
            node: NodeView::default(),
            texts,
            described: Arc::default(),
            ending,
            origins: Origins::default(),
            proxies: TrustedProxies::default(),
            held,
            held_news: AnswerBudget::default(),
        };
        Self { store, shared: Arc::new(shared) }
    }

    /// The same, with another view of the store.
    pub(crate) fn through(&self, store: Store) -> Self {
        Self { store, shared: Arc::clone(&self.shared) }
    }

    /// The same, after a change of what requests share.
    fn changed(self, change: impl FnOnce(&mut AppShared)) -> Self {
        let mut shared = Arc::unwrap_or_clone(self.shared);
        change(&mut shared);
        Self { store: self.store, shared: Arc::new(shared) }
    }

    /// The same, with another way to find the whole texts of messages.
    #[must_use]
    pub fn with_texts(self, texts: WholeTexts) -> Self {
        self.changed(|shared| shared.texts = Arc::new(texts))
    }

    /// The same, of a process that may have an engine.
    #[must_use]
    pub fn with_node(self, node: NodeView) -> Self {
        let health = node.clone();
        self.changed(|shared| shared.node = node).with_engine(move || health.problem())
    }

    /// The same, which pages of other origins may use.
    #[must_use]
    pub fn with_origins(self, origins: Origins) -> Self {
        self.changed(|shared| shared.origins = origins)
    }

    /// A function that changes how many requests each token may send in a second. `None`: any
    /// number.
    pub fn request_limit(&self) -> impl Fn(Option<NonZeroU32>) + Send + Sync + use<> {
        let rates = Arc::clone(&self.rates);
        move |per_second| rates.limit(per_second)
    }

    /// The same, which takes the word of these proxies about the addresses of clients.
    #[must_use]
    pub fn with_proxies(self, proxies: TrustedProxies) -> Self {
        self.changed(|shared| shared.proxies = proxies)
    }

    /// The same, with a function that reports the health of the engine.
    #[must_use]
    pub fn with_engine(self, problem: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.changed(|shared| shared.engine = Engine(Some(Arc::new(problem))))
    }
}

impl Deref for App {
    type Target = AppShared;

    fn deref(&self) -> &AppShared {
        &self.shared
    }
}

/// The function that reports the health of the engine.
#[derive(Clone, Default)]
pub struct Engine(Option<Arc<dyn Fn() -> Option<String> + Send + Sync>>);

impl Engine {
    /// What is wrong with it. `None`: nothing, or there is no engine.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        self.0.as_ref().and_then(|problem| problem())
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Engine").field(&self.problem()).finish()
    }
}

/// One authorised request at a place of the data model, without its body.
#[derive(Debug)]
pub(crate) struct Asked {
    /// What every request needs.
    pub app: App,
    /// The domain of the token.
    pub domain: Domain,
    /// What the token may do.
    pub rights: Arc<Rights>,
    /// Who asks.
    pub bearer: Bearer,
    /// The class that the path names.
    pub class: Arc<Class>,
    /// The path with its parameters.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
}

impl Asked {
    /// The classes through which filters and masks of this request may look.
    #[must_use]
    pub(crate) fn classes(&self) -> Vec<Arc<Class>> {
        let classes = self.app.store.classes().of(&self.domain);
        let may_read = |class: &&Arc<Class>| self.rights.reads(&class.classname);
        classes.iter().filter(may_read).cloned().collect()
    }
}

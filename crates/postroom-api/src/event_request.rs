//! Which news a client asks for, and how an event is shown.

use crate::caller::readable;
use crate::parameters;
use crate::problem::Problem;
use axum::http::Uri;
use postroom_engine::ShownEvent;
use postroom_model::Class;
use postroom_model::Entity;
use postroom_model::EventName;
use postroom_model::Invalid;
use postroom_model::Operation;
use postroom_model::RightAction;
use postroom_model::RightReach;
use postroom_model::Rights;
use postroom_model::WantedNews;
use postroom_model::wanted_class;
use postroom_model::wanted_filter;
use postroom_model::wanted_mask;
use postroom_store::EntityNews;
use postroom_store::FeedRow;
use std::sync::Arc;
use std::time::Duration;

/// The parameters.
const PARAMETERS: [&str; 8] =
    ["after", "class", "filter", "mask", "operation", "event", "limit", "wait"];
/// How many events an answer has at most, by default.
const LIMIT: u32 = 100;
/// How many events a client may ask for.
const LIMIT_MAX: u32 = 1000;
/// How long an answer waits at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Where a client begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// With the oldest change that is kept.
    First,
    /// With the changes from now on.
    Now,
    /// After the change of this number.
    Seq(i64),
}

/// Who asks for news.
#[derive(Debug)]
pub(crate) struct NewsReader {
    /// The classes whose entities it may read.
    pub classes: Vec<Arc<Class>>,
    /// What it may do.
    pub rights: Arc<Rights>,
}

impl NewsReader {
    /// A reader with these rights. `classes` are all present ones.
    pub(crate) fn new(rights: &Arc<Rights>, classes: &[Arc<Class>]) -> Self {
        Self { classes: readable(rights, classes), rights: Arc::clone(rights) }
    }
}

/// Which news a client asks for.
#[derive(Debug, Clone)]
pub(crate) struct EventRequest {
    /// Where to begin. `None`: the client did not say.
    pub after: Option<After>,
    /// How many events an answer has at most.
    pub limit: u32,
    /// How long to wait for the first event.
    pub wait: Duration,
    /// Which news.
    pub wanted: WantedNews,
    /// What the client may read.
    pub rights: Arc<Rights>,
}

impl EventRequest {
    /// Reads the parameters of a request.
    ///
    /// # Errors
    ///
    /// 422 with every parameter that is unknown or wrong; 400 when `filter` is no JSON.
    pub(crate) fn parse(reader: &NewsReader, uri: &Uri) -> Result<Self, Problem> {
        Self::of(reader, &parameters::of(uri, &PARAMETERS)?)
    }

    /// Reads parameters. None of them occurs twice.
    ///
    /// # Errors
    ///
    /// As [`Self::parse`].
    pub(crate) fn of(reader: &NewsReader, pairs: &[(String, String)]) -> Result<Self, Problem> {
        let NewsReader { classes, rights } = reader;
        let value = |name: &str| pairs.iter().find(|(n, _)| n == name).map(|(_, text)| text);
        if let Some(class) = value("class") {
            rights.check(RightAction::Read, class)?;
        }
        let mut problems = vec![];
        let (rights, wanted) = (Arc::clone(rights), WantedNews::default());
        let mut read = Self { after: None, limit: LIMIT, wait: Duration::ZERO, wanted, rights };
        let mut note = |done: Result<(), Invalid>| problems.extend(done.err());
        note(or_none(value("after"), after).map(|after| read.after = after));
        note(or_none(value("limit"), limit).map(|limit| read.limit = limit.unwrap_or(LIMIT)));
        note(or_none(value("wait"), wait).map(|wait| read.wait = wait.unwrap_or_default()));
        note(or_none(value("operation"), operations).map(|all| {
            read.wanted.operations = all.unwrap_or_default();
        }));
        note(or_none(value("event"), events).map(|all| {
            read.wanted.events = all.unwrap_or_default();
        }));
        let class = or_none(value("class"), |name| wanted_class(classes, "class", name));
        note(class.map(|class| read.wanted.class = class));
        let of_class = ["filter", "mask"].into_iter().filter_map(|name| Some((name, value(name)?)));
        for (name, text) in of_class {
            let Some(class) = read.wanted.class.clone() else {
                if value("class").is_none() {
                    let reason = "goes with `class`: class=email/Messages";
                    note(Err(Invalid::new(name, reason)));
                }
                continue;
            };
            if name == "mask" {
                let mask = wanted_mask(&class, classes, text);
                note(mask.map(|mask| read.wanted.mask = Some(mask)));
            } else {
                let json = parameters::filter(text)?;
                let filter = wanted_filter(&class, classes, &json);
                note(filter.map(|filter| read.wanted.filter = Some(filter)));
            }
        }
        if problems.is_empty() { Ok(read) } else { Err(problems.into()) }
    }

    /// The events of changes, as far as the client asks for them. `classes` are the present ones.
    pub(crate) fn events<'a>(
        &'a self,
        classes: &'a [Arc<Class>],
    ) -> impl Fn(&EntityNews) -> Option<ShownEvent> + 'a {
        let reach = RightReach::of(&self.rights, classes);
        move |news| {
            let may_read = self.rights.reads(&news.row.class);
            let bounds = reach.as_ref().filter(|reach| reach.bounds(&news.row.class));
            match bounds.filter(|_| may_read) {
                Some(reach) => ShownEvent::of(&self.wanted, classes, &reached(reach, news)?),
                None => may_read.then(|| ShownEvent::of(&self.wanted, classes, news)).flatten(),
            }
        }
    }
}

/// A change as those see it whose rights reach some entities of the class. `None`: they do not see
/// it. What a deleted entity was is not known any more, so each is told, by its id alone.
fn reached(reach: &RightReach, news: &EntityNews) -> Option<EntityNews> {
    let is_reached = |entity: &&Entity| reach.reaches(RightAction::Read, &news.row.class, entity);
    let before = news.before.as_ref().filter(is_reached).cloned();
    let after = news.after.as_ref().filter(is_reached).cloned();
    let is_unknown = news.before.is_none() && news.after.is_none();
    let operation = match news.row.operation {
        Operation::Delete if is_unknown => Operation::Delete,
        Operation::Create | Operation::Change | Operation::Delete => {
            Operation::seen(before.is_some(), after.is_some())?
        }
    };
    Some(EntityNews { row: FeedRow { operation, ..news.row.clone() }, before, after })
}

fn or_none<T>(
    text: Option<&String>,
    read: impl Fn(&str) -> Result<T, Invalid>,
) -> Result<Option<T>, Invalid> {
    text.map(|text| read(text)).transpose()
}

/// Where to begin.
///
/// # Errors
///
/// Anything but `first`, `now` and a number.
pub(crate) fn after(text: &str) -> Result<After, Invalid> {
    match (text, text.parse()) {
        ("first", _) => Ok(After::First),
        ("now", _) => Ok(After::Now),
        (_, Ok(seq)) if seq >= 0 => Ok(After::Seq(seq)),
        (_, _) => Err(Invalid::new(
            "after",
            "takes the number behind which to go on (`next` of an answer), `first` or `now`",
        )),
    }
}

fn limit(text: &str) -> Result<u32, Invalid> {
    let limit = text.parse().ok().filter(|limit| (1..=LIMIT_MAX).contains(limit));
    limit.ok_or_else(|| Invalid::new("limit", format!("takes a number from 1 to {LIMIT_MAX}")))
}

fn wait(text: &str) -> Result<Duration, Invalid> {
    let seconds = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let reason = || format!("takes a number of seconds from 0 to {}", WAIT_MAX.as_secs());
    seconds.filter(|wait| *wait <= WAIT_MAX).ok_or_else(|| Invalid::new("wait", reason()))
}

fn operations(text: &str) -> Result<Vec<Operation>, Invalid> {
    let all = [Operation::Create, Operation::Change, Operation::Delete];
    let one = |name: &str| all.into_iter().find(|one| one.as_str() == name);
    let read: Option<Vec<_>> = text.split(',').map(str::trim).map(one).collect();
    read.ok_or_else(|| Invalid::new("operation", "takes create, change or delete, with commas"))
}

fn events(text: &str) -> Result<Vec<EventName>, Invalid> {
    let one = |name: &str| {
        EventName::from_text(name).ok_or_else(|| {
            let all: Vec<_> = EventName::all().map(|name| name.to_string()).collect();
            let reason = format!("there is no `{name}`; there are: {}", all.join(", "));
            Invalid::new("event", reason)
        })
    };
    text.split(',').map(str::trim).map(one).collect()
}

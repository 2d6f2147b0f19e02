//! `/rest/v1/design/classes`: the classes. A class is named by its name, with slashes, or its id.
//!
//! Every token may read the classes of its domain. What tokens of the domains `default` and
//! `master` change is so in all domains. What a token of another domain changes is so in its own.

use crate::app::App;
use crate::body;
use crate::caller::Caller;
use crate::caller::administrates;
use crate::etag;
use crate::exact;
use crate::parameters;
use crate::percent;
use crate::problem::Problem;
use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse;
use axum::response::Response;
use postroom_model::Class;
use postroom_model::ClassChange;
use postroom_model::Domain;
use postroom_model::Invalid;
use postroom_model::Property;
use postroom_model::RightAction;
use postroom_model::as_sent;
use postroom_model::created;
use postroom_model::patched;
use postroom_model::replaced;
use postroom_model::with_class_ids;
use postroom_store::Bearer;
use postroom_store::Classes;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::Store;
use serde_json::Value;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// The path of the classes.
pub(crate) const CLASSES: &str = "/rest/v1/design/classes";
/// The verb that waits until every process uses the newest classes.
pub(crate) const SYNC: &str = "SYNC";
/// The word after a colon for clients that know only the common methods.
const TWIN: &str = "sync";
/// How long it waits.
const SYNC_WITHIN: Duration = Duration::from_secs(30);
/// How many times a change is tried if others change classes meanwhile.
const TRIES_MAX: usize = 20;

/// A request about classes, without its body.
struct Asking {
    store: Store,
    bearer: Bearer,
    uri: Uri,
    headers: HeaderMap,
}

/// Everything at and under `/rest/v1/design/classes`.
///
/// # Errors
///
/// 403 for a domain that may not change classes, 404, 405, 409, 412, 422.
pub(crate) async fn classes(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let store = caller.store(&app);
    let bearer = caller.unchecked();
    // What another process has changed is there at once.
    app.store.classes_catch_up().await?;
    let (head, body) = request.into_parts();
    let path = head.uri.path().strip_prefix(CLASSES).unwrap_or_default().to_owned();
    let split = path.rsplit_once(':');
    let (path, word) = split.map_or((path.as_str(), None), |(path, word)| (path, Some(word)));
    let class = path.strip_prefix('/').map(percent::decode);
    let class = match class {
        Some(None) => return Err(Problem::malformed("the path is not percent-encoded UTF-8")),
        Some(Some(name)) => Some(name),
        None => None,
    };
    let asking = Asking { store, bearer, uri: head.uri, headers: head.headers };
    let syncs = head.method.as_str() == SYNC || word.is_some();
    match (class, word, &head.method) {
        (None, Some(word), _) if word != TWIN => {
            let detail = format!("`:{word}` is not a verb of this path; there is: {TWIN}");
            Err(Problem::not_found(detail))
        }
        (None, Some(_), method) if *method != Method::POST => {
            Err(Problem::method_not_allowed("POST"))
        }
        (None, _, _) if syncs => asking.sync().await,
        (Some(_), Some(word), _) => {
            Err(Problem::not_found(format!("`:{word}` is not a verb of a class")))
        }
        (None, _, &Method::GET | &Method::HEAD) => asking.list(),
        (None, _, &Method::POST) => {
            let sent = body::json(&asking.headers, body, &app).await?;
            exact::refuse(&sent.document.rounded)?;
            let named = sent.document.json.get("classname").and_then(Value::as_str);
            asking.designs(named.unwrap_or_default())?;
            asking.create(&sent.document.json).await
        }
        (None, ..) => Err(Problem::method_not_allowed("GET, HEAD, POST, SYNC")),
        (Some(name), _, &Method::GET | &Method::HEAD) => asking.show(&name),
        (Some(name), _, &Method::DELETE) => asking.delete(&name).await,
        (Some(name), _, &Method::PATCH) => asking.change(&name, &app, body, patched).await,
        (Some(name), _, &Method::PUT) => asking.change(&name, &app, body, replaced).await,
        (Some(_), ..) => Err(Problem::method_not_allowed("GET, HEAD, PATCH, PUT, DELETE")),
    }
}

impl Asking {
    /// The classes as the domain has them.
    fn classes(&self) -> Classes {
        self.store.classes().of(&self.bearer.domain)
    }

    /// Whether what it changes is so in all domains.
    fn is_for_all(&self) -> bool {
        Domain::of_the_start().contains(&self.bearer.domain)
    }

    /// Checks that the token may change a class.
    fn designs(&self, classname: &str) -> Result<(), Problem> {
        Ok(self.bearer.rights.check(RightAction::Design, classname)?)
    }

    /// `GET` of all classes.
    fn list(&self) -> Result<Response, Problem> {
        parameters::of(&self.uri, &[])?;
        let classes = self.classes();
        let classes: Vec<_> = classes.iter().map(|class| class.to_json()).collect();
        Ok(Json(classes).into_response())
    }

    /// `GET` of one class.
    fn show(&self, name: &str) -> Result<Response, Problem> {
        parameters::of(&self.uri, &[])?;
        let classes = self.classes();
        let class = find(&classes, name)?;
        let tag = etag::of_version(class.revision);
        if etag::is_known(&self.headers, &tag)? {
            return Ok(crate::view::not_modified(&tag));
        }
        Ok(shown(StatusCode::OK, class))
    }

    /// `POST` of a class.
    async fn create(&self, sent: &Value) -> Result<Response, Problem> {
        administrates(&self.bearer.domain, "the classes that are not built in belong")?;
        parameters::of(&self.uri, &[])?;
        let new_id = self.store.clock().new_class_id();
        let sent = &with_class_ids(sent, &self.store.classes(), Some(new_id));
        let class = created(sent, new_id)?;
        let id = class.id.to_string();
        let parent = class.parent_id.map(|id| id.to_string()).unwrap_or_default();
        let made = self.made(&class).await;
        let inherited = find(&self.store.classes(), &parent).map(|parent| parent.properties.len());
        let classes = made.map_err(|error| {
            placed(error, &class.properties, inherited.unwrap_or_default(), sent)
        })?;
        let class = find(&classes, &id)?;
        let mut response = shown(StatusCode::CREATED, class);
        let place = format!("{CLASSES}/{}", class.classname);
        if let Ok(place) = HeaderValue::from_str(&place) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }

    async fn made(&self, class: &Class) -> Result<Classes, Error> {
        for _ in 0..TRIES_MAX {
            match self.store.class_create(&self.store.classes(), class.clone()).await {
                Err(Error::Condition(Failed::OtherClasses)) => {}
                made => return made,
            }
        }
        Err(Error::Condition(Failed::OtherClasses))
    }

    /// `PATCH` and `PUT` of a class, as `read` reads the body.
    async fn change(
        &self,
        name: &str,
        app: &App,
        body: Body,
        read: fn(&Class, &Value) -> Result<ClassChange, Vec<Invalid>>,
    ) -> Result<Response, Problem> {
        let confirm = confirm(&self.uri)?;
        let classes = self.classes();
        let class = find(&classes, name)?;
        if !class.is_extended() {
            administrates(&self.bearer.domain, "this class belongs")?;
        }
        self.designs(&class.classname)?;
        let sent = body::json(&self.headers, body, app).await?;
        exact::refuse(&sent.document.rounded)?;
        for _ in 0..TRIES_MAX {
            let classes = self.classes();
            let class = find(&classes, name)?;
            etag::check(&self.headers, class.revision)?;
            let before = if self.is_for_all() { class.as_ref().clone() } else { class.extended() };
            let sent = with_class_ids(&sent.document.json, &classes, None);
            let change = read(&before, &sent)?;
            self.designs(&class.classname)?;
            self.designs(&change.class.classname)?;
            if change.class == before && change.renamed.is_empty() {
                return Ok(shown(StatusCode::OK, class));
            }
            let properties = change.class.properties.clone();
            match self.changed(&classes, change, confirm).await {
                Err(Error::Condition(Failed::OtherClasses)) => {}
                Err(error) => return Err(placed(error, &properties, 0, &sent)),
                Ok(changed) => {
                    let changed = changed.of(&self.bearer.domain);
                    return Ok(shown(StatusCode::OK, find(&changed, name)?));
                }
            }
        }
        Err(crowded())
    }

    /// Changes a class in all domains, or in the own one.
    async fn changed(
        &self,
        former: &Classes,
        change: ClassChange,
        confirm: Option<u64>,
    ) -> Result<Classes, Error> {
        match self.is_for_all() {
            true => self.store.class_change(former, change, confirm).await,
            false => {
                let domain = &self.bearer.domain;
                Box::pin(self.store.class_extend(domain, former, change, confirm)).await
            }
        }
    }

    /// `DELETE` of a class with its entities.
    async fn delete(&self, name: &str) -> Result<Response, Problem> {
        administrates(&self.bearer.domain, "the classes belong")?;
        let confirm = confirm(&self.uri)?;
        for _ in 0..TRIES_MAX {
            let classes = self.store.classes();
            let class = find(&classes, name)?;
            self.designs(&class.classname)?;
            etag::check(&self.headers, class.revision)?;
            match self.store.class_delete(&classes, class.id, confirm).await {
                Err(Error::Condition(Failed::OtherClasses)) => {}
                deleted => {
                    deleted?;
                    return Ok(StatusCode::NO_CONTENT.into_response());
                }
            }
        }
        Err(crowded())
    }

    /// `SYNC`: waits until every process uses the newest classes.
    async fn sync(&self) -> Result<Response, Problem> {
        parameters::of(&self.uri, &[])?;
        let synced = self.store.classes_sync(SYNC_WITHIN).await?;
        if synced.behind.is_empty() {
            return Ok(Json(json!({"version": synced.version})).into_response());
        }
        let detail = format!(
            "these processes do not use the newest classes yet: {}; try again",
            synced.behind.join(", ")
        );
        Err(Problem::later(StatusCode::SERVICE_UNAVAILABLE, &detail, detail.as_str()))
    }
}

/// The problem with a class that was not made or changed. Problems of properties name their places
/// in the sent JSON.
fn placed(error: Error, properties: &[Property], inherited: usize, sent: &Value) -> Problem {
    let Error::Condition(Failed::Invalid { problems }) = error else {
        return error.into();
    };
    as_sent(problems, properties, inherited, sent).into()
}

/// The problem if others change classes again and again.
fn crowded() -> Problem {
    Error::Condition(Failed::OtherClasses).into()
}

/// The class of that name or id.
fn find<'a>(classes: &'a Classes, name: &str) -> Result<&'a Arc<Class>, Problem> {
    let id = name.parse().ok();
    let class = classes.iter().find(|class| class.classname == name || Some(class.id) == id);
    class.ok_or_else(|| Problem::not_found("no class of that name or id"))
}

/// The parameter `confirm`.
fn confirm(uri: &Uri) -> Result<Option<u64>, Problem> {
    let pairs = parameters::of(uri, &["confirm"])?;
    let number = |(_, text): &(String, String)| {
        let number = text.parse::<u64>();
        number.map_err(|_| Invalid::new("confirm", "takes how many values or entities are lost"))
    };
    Ok(pairs.first().map(number).transpose()?)
}

fn shown(status: StatusCode, class: &Class) -> Response {
    let mut response = (status, Json(class.to_json())).into_response();
    if let Some(tag) = etag::header(&etag::of_version(class.revision)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

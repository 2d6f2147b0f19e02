//! All routes.

use crate::app::App;
use crate::app::Asked;
use crate::asking;
use crate::autoconfig;
use crate::body;
use crate::bulk;
use crate::caller;
use crate::caller::AnyToken;
use crate::caller::Caller;
use crate::change;
use crate::children;
use crate::claim;
use crate::claim::ClaimedBy;
use crate::claim_token;
use crate::compress;
use crate::configuration;
use crate::console;
use crate::console_client::RestWithin;
use crate::cors;
use crate::create;
use crate::design;
use crate::docs_page;
use crate::domain;
use crate::entity;
use crate::erasure;
use crate::events;
use crate::fetch;
use crate::file;
use crate::file::FilePlace;
use crate::health;
use crate::host;
use crate::job;
use crate::lookup;
use crate::message_text;
use crate::node;
use crate::oauth;
use crate::oauth_device;
use crate::openapi;
use crate::place;
use crate::place::Place;
use crate::place::Target;
use crate::problem::Problem;
use crate::query;
use crate::replay::Replay;
use crate::rotate;
use crate::scans::ListedBy;
use crate::sending;
use crate::session;
use crate::totp;
use crate::trace;
use crate::try_now;
use crate::verb;
use crate::verb::Verb;
use crate::verify;
use crate::web_socket;
use crate::webhook;
use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::State;
use axum::http::Method;
use axum::http::StatusCode;
use axum::http::header;
use axum::middleware;
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::routing::any;
use axum::routing::get;
use axum::routing::post;
use postroom_model::Domain;
use postroom_model::EntityId;
use postroom_model::Invalid;
use postroom_model::RightAction;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::oauth::CONSENT_CALLBACK;
use postroom_model::oauth::CONSENT_START;
use postroom_model::oauth_device::CONSENT_DEVICE;
use postroom_store::Bearer;
use postroom_store::EntityPlace;
use postroom_store::Error;
use postroom_store::Failed;
use postroom_store::ScanMeter;
use postroom_store::Store;
use std::sync::Arc;

/// How often a request is answered again when the classes were changed at the same moment.
const AGAIN_MAX: usize = 20;
/// The path of the entities.
const MODEL: &str = "/rest/v1/model/";

/// The REST interface. Everything but health, the pages for people and the end of a consent asks
/// for a token first.
pub fn router(app: App) -> Router {
    let (clock, origins) = (app.store.clock().clone(), app.origins.clone());
    let store = app.store.clone();
    let routes = routes().into_iter();
    let rest = routes.fold(Router::new(), |router, (path, methods)| router.route(path, methods));
    // The pages of the application are made by requests to the interface.
    let within = RestWithin(rest.clone().with_state(app.clone()));
    let pages = console::routes().layer(Extension(within));
    rest.merge(pages)
        .fallback(nothing)
        .method_not_allowed_fallback(other_method)
        .layer(middleware::from_fn(host::check))
        .layer(middleware::from_fn(compress::compress))
        .layer(middleware::from_fn_with_state(origins, cors::allow))
        .layer(middleware::from_fn_with_state(store, asking::tell))
        .layer(middleware::from_fn_with_state(clock, trace::trace))
        .with_state(app)
}

/// All paths with their methods. `operations.json` describes them.
fn routes() -> Vec<(&'static str, MethodRouter<App>)> {
    vec![
        ("/healthz", get(health::show)),
        ("/readyz", get(health::ready)),
        ("/livez", get(health::alive)),
        ("/rest/v1/version", get(health::version)),
        (openapi::OPENAPI, get(openapi::show)),
        (docs_page::DOCS, get(docs_page::reference)),
        (docs_page::CHAPTER, get(docs_page::chapter)),
        (docs_page::PAGE_FILE, get(docs_page::file)),
        (design::CLASSES, any(design::classes)),
        ("/rest/v1/design/classes:sync", any(design::classes)),
        ("/rest/v1/design/classes/{*classname}", any(design::classes)),
        (configuration::CONFIG, get(configuration::show).patch(configuration::change)),
        (configuration::ROLLBACK, post(configuration::rollback)),
        (configuration::TRIMMED, get(configuration::trimmed)),
        (configuration::VERSIONS, get(configuration::versions)),
        (configuration::VERSION, get(configuration::version)),
        (events::EVENTS, get(events::show)),
        (caller::WEB_SOCKET, get(web_socket::open)),
        (autoconfig::AUTOCONFIG, get(autoconfig::show)),
        (CONSENT_START, get(oauth::start)),
        (CONSENT_CALLBACK, get(oauth::callback)),
        (CONSENT_DEVICE, get(oauth_device::show).post(oauth_device::start)),
        (session::SESSIONS, post(session::begin).delete(session::end)),
        (totp::TOTP, get(totp::show).post(totp::set_up).delete(totp::remove)),
        (job::JOBS, get(job::list)),
        ("/rest/v1/jobs/{id}", get(job::show).delete(job::delete)),
        (node::NODES, get(node::list)),
        (erasure::ERASURES, get(erasure::list)),
        (sending::SENDING, get(sending::show)),
        (sending::RESUME, post(sending::resume)),
        (MODEL, any(model)),
        ("/rest/v1/model/{*path}", any(model)),
    ]
}

/// Answers all requests under `/rest/v1/model/`, because class names contain slashes. If the
/// classes change while a request is answered, it is answered again.
async fn model(
    State(app): State<App>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let (head, mut body, replay) = Replay::of(request);
    for _ in 0..AGAIN_MAX {
        let version = app.store.classes().version();
        let problem = match answer(app.clone(), caller.clone(), head.clone(), body).await {
            Err(problem) => problem,
            answered => return answered,
        };
        if problem.is_of_other_classes() {
            app.store.classes_refresh().await?;
        } else if problem.may_be_of_former_classes() {
            app.store.classes_catch_up().await?;
            if app.store.classes().version() == version {
                return Err(problem);
            }
        } else {
            return Err(problem);
        }
        body = replay.again().ok_or(problem)?;
    }
    answer(app, caller, head, body).await
}

async fn answer(
    app: App,
    caller: Caller,
    head: axum::http::Request<()>,
    body: Body,
) -> Result<Response, Problem> {
    let (head, ()) = head.into_parts();
    let path = head.uri.path().strip_prefix(MODEL).unwrap_or_default();
    let classes = app.store.classes().of(caller.domain());
    if path.is_empty() || path.ends_with('/') {
        return children::list(&head.method, &head.uri, path, &classes);
    }
    let place = place::find(path, &classes)?;
    let (verb, methods) = (Verb::of(&head.method, &place)?, verb::methods(&place));
    let store = caller.store(&app);
    let bearer = allowed(caller, verb, &place)?;
    let Bearer { domain, name, rights, .. } = bearer.clone();
    let store = store.within(&domain, &rights);
    reached(&store, &domain, &place, verb).await?;
    let (class, uri, mut headers) = (place.class, head.uri, head.headers);
    if head.method == Method::HEAD {
        // Only GET has ranges (RFC 9110 §14.2).
        headers.remove(header::RANGE);
    }
    let (scans, limits) = (Arc::clone(&app.scans), Arc::clone(&app.limits));
    let (token, meter) = (format!("{} {name}", domain.as_str()), ScanMeter::default());
    let app = app.through(store.measured_by(&meter));
    let by = ListedBy { token, limits, meter };
    if !matches!(verb, Verb::Patch | Verb::Claim | Verb::Nack) {
        claim_token::none(&headers)?;
    }
    let claimed_by = ClaimedBy { name: &name, scans: &scans, listed: by.clone() };
    let asked = Asked { app, domain, rights, bearer, class, uri, headers };
    let target = place.target;
    let body = taken(&asked, &target, verb, body).await?;
    #[rustfmt::skip]
    let answered = match (&target, verb) {
        (Target::Collection, Verb::Claim)    => claim::claim(asked, claimed_by, body).await,
        (Target::Entity(id), Verb::Claim)    => claim::extend(asked, *id, body).await,
        (Target::Entity(id), Verb::Nack)     => claim::nack(asked, *id, body).await,
        (Target::Collection, Verb::Get)      => scans.list(&by, entity::list(asked)).await,
        (Target::Collection, Verb::Query)    => scans.list(&by, query::query(asked, body)).await,
        (Target::Collection, Verb::Lookup)   => scans.list(&by, lookup::lookup(asked, body)).await,
        (Target::Collection, Verb::Patch)    => bulk::patch(asked, by, body).await,
        (Target::Collection, Verb::Delete)   => bulk::delete(asked, by, body).await,
        (Target::Collection, Verb::Clear)    => bulk::clear(asked, by, body).await,
        (Target::Collection, Verb::Post)     => create::create(asked, body).await,
        (Target::Collection, Verb::Redecompose) => job::redecompose(asked, body).await,
        (Target::Entity(id), Verb::Get)      => entity::show(asked, *id).await,
        (Target::Entity(id), Verb::Patch)    => change::patch(asked, *id, body).await,
        (Target::Entity(id), Verb::Put)      => change::put(asked, *id, body).await,
        (Target::Entity(id), Verb::Delete)   => match erasure::confirmed(&asked)? {
            Some(name)                       => erasure::begin(asked, *id, &name).await,
            None                             => change::delete(asked, *id).await,
        },
        (Target::Entity(id), Verb::Try)      => try_now::try_now(asked, *id).await,
        (Target::Entity(id), Verb::Verify)   => verify::stored(asked, *id).await,
        (Target::Collection, Verb::Verify)   => verify::unsaved(asked, body).await,
        (Target::Entity(id), Verb::Fetch)    => fetch::fetch(asked, *id).await,
        (Target::Entity(id), Verb::Rotate)   => rotate::rotate(asked, *id, body).await,
        (Target::Text(id), Verb::Get)        => message_text::show(asked, *id).await,
        (Target::WebhookTest(id), Verb::Post) => webhook::test(asked, *id).await,
        (Target::DomainTokens(id), Verb::Post) => domain::token(asked, *id, body).await,
        (Target::FileList(id, p), Verb::Get)  => file::list(asked, *id, p).await,
        (Target::FileList(id, p), Verb::Post) => file::add(asked, *id, p, body).await,
        (Target::File(id, p, n), Verb::Get)   => file::show(asked, at(*id, p, n)).await,
        (Target::File(id, p, n), Verb::Put) => file::put(asked, at(*id, p, n), body).await,
        (Target::File(id, p, n), Verb::Delete) => file::delete(asked, at(*id, p, n)).await,
        (_, _)                               => Err(Problem::method_not_allowed(&methods)),
    };
    answered
}

/// The body, if the request takes one. What takes none refuses members of a body, because a client
/// would believe that they count.
async fn taken(asked: &Asked, target: &Target, verb: Verb, body: Body) -> Result<Body, Problem> {
    let takes_none = match target {
        Target::Entity(_) => matches!(verb, Verb::Try | Verb::Verify | Verb::Fetch),
        Target::WebhookTest(_) => verb == Verb::Post,
        Target::Collection
        | Target::FileList(..)
        | Target::File(..)
        | Target::Text(_)
        | Target::DomainTokens(_) => false,
    };
    if !takes_none {
        return Ok(body);
    }
    let sent = body::json_or_none(&asked.headers, body, &asked.app).await?;
    let name = match sent.document.json.as_object() {
        Some(members) => members.keys().next().cloned(),
        None => Some(String::new()),
    };
    match name {
        Some(name) => Err(Invalid::new(name, "this request takes no body").into()),
        None => Ok(Body::empty()),
    }
}

/// The bearer, if it may do this at a place. This is the check of every request for entities.
fn allowed(caller: Caller, verb: Verb, place: &Place) -> Result<Bearer, Problem> {
    let (actions, classname) = (verb.actions(&place.target), place.class.classname.as_str());
    let bearer = caller.may(actions, classname)?;
    if classname == DOMAINS {
        return domain::of_master(bearer, actions);
    }
    let writes = [RightAction::Create, RightAction::Change];
    let is_told = classname == WEBHOOKS && actions.iter().any(|action| writes.contains(action));
    if is_told && !bearer.rights.reads_all() {
        let detail = "this token lacks the right `read` for all classes (`*`), which a webhook \
                      tells about";
        return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail));
    }
    Ok(bearer)
}

/// Checks that the rights reach the entity of a place. What may not be read is not there.
async fn reached(store: &Store, domain: &Domain, place: &Place, verb: Verb) -> Result<(), Problem> {
    let Some(id) = place.target.entity().filter(|_| store.is_bounded(&place.class.classname))
    else {
        return Ok(());
    };
    let (at, is_put) = (EntityPlace::new(domain, &place.class, id), verb == Verb::Put);
    if !store.entity_reached(at, RightAction::Read).await? {
        let may_be_new = is_put && matches!(place.target, Target::Entity(_));
        return if may_be_new { Ok(()) } else { Err(change::missing(&place.class)) };
    }
    for action in verb.actions(&place.target) {
        let is_made = is_put && *action == RightAction::Create;
        if !is_made && !store.entity_reached(at, *action).await? {
            return Err(Error::Condition(Failed::OutOfReach).into());
        }
    }
    Ok(())
}

fn at<'a>(entity: EntityId, property: &'a str, name: &'a Option<String>) -> FilePlace<'a> {
    FilePlace { entity, property, name: name.as_deref() }
}

async fn nothing(_: AnyToken) -> Problem {
    Problem::not_found("this path does not exist; the model is under /rest/v1/model/<class>")
}

/// `Allow` is added by the router, which knows the methods.
async fn other_method() -> Problem {
    let detail = "this path does not take this method: the header field `Allow` has those it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use postroom_model::builtin;
    use std::collections::BTreeSet;

    #[test]
    fn the_description_has_all_paths_and_no_others() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let document = openapi::document(&classes).unwrap();
        let described = document["paths"].as_object().unwrap().keys();
        let of_model = |path: &str| path.starts_with("/rest/v1/model/");
        let described: BTreeSet<_> = described.filter(|path| !of_model(path)).cloned().collect();
        let routed = routes().into_iter().map(|(path, _)| path.replace("{*", "{"));
        let routed: BTreeSet<_> = routed.filter(|path| !of_model(path)).collect();
        assert_eq!(described, routed);
    }
}

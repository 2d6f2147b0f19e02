//! Verbs: what a request does at its place.
//!
//! In addition to the common methods, Postroom has verbs of its own. Each is a method (`REDECOMPOSE
//! <path>`). For clients and proxies that know only the common methods, each has another form:
//! `POST <path>:redecompose`. A new verb needs a row of the table `OWN` and an arm in the router.

use crate::place::Place;
use crate::place::Target;
use crate::problem::Problem;
use axum::http::Method;
use postroom_model::Class;
use postroom_model::RightAction;
use postroom_model::Rights;
use postroom_model::TokenRole;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::TOKENS;

/// What a request does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `GET` and `HEAD`. The server drops the body for `HEAD`.
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// Lists, with the parameters in a JSON body.
    Query,
    /// Deletes all entities, or those of a filter.
    Clear,
    /// Finds the id of the entity that has a key.
    Lookup,
    /// Claims entities for a worker, or extends the claim of one.
    Claim,
    /// Gives back an entity that was claimed.
    Nack,
    /// Parses stored messages again.
    Redecompose,
    /// Tries the servers of an account at once.
    Try,
    /// Tries the servers of an account, and answers what came of each step.
    Verify,
    /// Loads a message that was too large.
    Fetch,
    /// Gives a token a new value.
    Rotate,
}

impl Verb {
    /// What the verb does at a target, as rights name it. All of it must be allowed.
    #[must_use]
    pub(crate) fn actions(self, target: &Target) -> &'static [RightAction] {
        let is_file = matches!(target, Target::File(..) | Target::FileList(..));
        match self {
            Self::Get | Self::Query | Self::Lookup => &[RightAction::Read],
            Self::Post if *target == Target::Collection => &[RightAction::Create],
            Self::Post if matches!(target, Target::WebhookTest(_)) => &[RightAction::Operate],
            Self::Post | Self::Patch | Self::Rotate => &[RightAction::Change],
            Self::Put | Self::Delete if is_file => &[RightAction::Change],
            // It creates an entity whose id does not exist.
            Self::Put => &[RightAction::Change, RightAction::Create],
            Self::Delete | Self::Clear => &[RightAction::Delete],
            Self::Claim | Self::Nack => &[RightAction::Claim],
            Self::Redecompose | Self::Try | Self::Verify | Self::Fetch => &[RightAction::Operate],
        }
    }
}

/// A verb of Postroom, and the places that accept it.
struct Own {
    verb: Verb,
    method: &'static str,
    /// `None`: it is a verb of all classes.
    classname: Option<&'static str>,
    /// Whether it is for one entity. Otherwise it is for the collection.
    of_entity: bool,
}

/// The verbs of Postroom.
const OWN: &[Own] = &[
    Own { verb: Verb::Query, method: "QUERY", classname: None, of_entity: false },
    Own { verb: Verb::Clear, method: "CLEAR", classname: None, of_entity: false },
    Own { verb: Verb::Lookup, method: "LOOKUP", classname: None, of_entity: false },
    Own { verb: Verb::Claim, method: "CLAIM", classname: None, of_entity: false },
    Own { verb: Verb::Claim, method: "CLAIM", classname: None, of_entity: true },
    Own { verb: Verb::Nack, method: "NACK", classname: None, of_entity: true },
    Own {
        verb: Verb::Redecompose,
        method: "REDECOMPOSE",
        classname: Some(MESSAGES),
        of_entity: false,
    },
    Own { verb: Verb::Try, method: "TRY", classname: Some(ACCOUNTS), of_entity: true },
    Own { verb: Verb::Verify, method: "VERIFY", classname: Some(ACCOUNTS), of_entity: false },
    Own { verb: Verb::Verify, method: "VERIFY", classname: Some(ACCOUNTS), of_entity: true },
    Own { verb: Verb::Fetch, method: "FETCH", classname: Some(MESSAGES), of_entity: true },
    Own { verb: Verb::Rotate, method: "ROTATE", classname: Some(TOKENS), of_entity: true },
];

/// Whether a class is changed by nobody, whatever rights there are.
#[must_use]
pub(crate) fn is_only_read(class: &Class) -> bool {
    Rights::Role(TokenRole::Admin).check(RightAction::Change, &class.classname).is_err()
}

impl Own {
    /// Whether some right allows it for a class.
    fn may_be_allowed(&self, class: &Class) -> bool {
        let reads = matches!(self.verb, Verb::Query | Verb::Lookup);
        reads || !is_only_read(class)
    }
}

impl Verb {
    /// The verb of a request.
    ///
    /// # Errors
    ///
    /// 404 for a word after a colon that is not a verb of the place; 405 for a method that the
    /// place does not accept.
    pub(crate) fn of(method: &Method, place: &Place) -> Result<Self, Problem> {
        if let Some(word) = &place.word {
            let own = own(place).find(|own| own.method.eq_ignore_ascii_case(word));
            let own = own.ok_or_else(|| no_verb(word, place))?;
            let posted = method == Method::POST;
            return posted.then_some(own.verb).ok_or_else(|| Problem::method_not_allowed("POST"));
        }
        match *method {
            Method::GET | Method::HEAD => Ok(Self::Get),
            Method::POST => Ok(Self::Post),
            Method::PUT => Ok(Self::Put),
            Method::PATCH => Ok(Self::Patch),
            Method::DELETE => Ok(Self::Delete),
            _ => {
                let own = own(place).find(|own| own.method == method.as_str());
                own.map(|own| own.verb).ok_or_else(|| Problem::method_not_allowed(&methods(place)))
            }
        }
    }
}

/// The methods that a place accepts, for `Allow`. Of a class that nobody changes, those that read.
#[must_use]
pub(crate) fn methods(place: &Place) -> String {
    let class = &place.class;
    let common = match place.target {
        Target::Collection | Target::Entity(_) if is_only_read(class) => "GET, HEAD",
        Target::Collection => "GET, HEAD, POST, PATCH, DELETE",
        Target::FileList(..) => "GET, HEAD, POST",
        Target::Entity(_) => "GET, HEAD, PATCH, PUT, DELETE",
        Target::File(..) => "GET, HEAD, PUT, DELETE",
        Target::Text(_) => "GET, HEAD",
        Target::WebhookTest(_) | Target::DomainTokens(_) => "POST",
    };
    let own = own(place).filter(|own| own.may_be_allowed(class)).map(|own| own.method);
    let all = std::iter::once(common).chain(own);
    all.collect::<Vec<_>>().join(", ")
}

/// The verbs of Postroom that a place accepts.
fn own(place: &Place) -> impl Iterator<Item = &'static Own> {
    let of_entity = match place.target {
        Target::Collection => Some(false),
        Target::Entity(_) => Some(true),
        Target::FileList(..)
        | Target::File(..)
        | Target::Text(_)
        | Target::WebhookTest(_)
        | Target::DomainTokens(_) => None,
    };
    let classname = place.class.classname.as_str();
    OWN.iter().filter(move |own| {
        own.classname.is_none_or(|name| name == classname) && Some(own.of_entity) == of_entity
    })
}

/// The methods of our own, each once.
pub(crate) fn own_methods() -> impl Iterator<Item = &'static str> {
    let is_first = |at: &usize, method: &str| !OWN.iter().take(*at).any(|own| own.method == method);
    let methods = OWN.iter().map(|own| own.method).enumerate();
    methods.filter(move |(at, method)| is_first(at, method)).map(|(_, method)| method)
}

/// Whether entities, or the collection, of a class accept a method of Postroom that some right
/// allows.
#[must_use]
pub(crate) fn is_own(class: &Class, of_entity: bool, method: &str) -> bool {
    OWN.iter().any(|own| {
        own.method == method
            && own.of_entity == of_entity
            && own.classname.is_none_or(|name| name == class.classname)
            && own.may_be_allowed(class)
    })
}

fn no_verb(word: &str, place: &Place) -> Problem {
    let verbs: Vec<_> = own(place).map(|own| own.method.to_ascii_lowercase()).collect();
    let there = match verbs.is_empty() {
        true => "there is none here".to_owned(),
        false => format!("there are: {}", verbs.join(", ")),
    };
    Problem::not_found(format!("`:{word}` is not a verb of this path; {there}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place;
    use postroom_model::builtin;
    use std::sync::Arc;

    #[test]
    fn a_verb_is_a_method_or_what_follows_a_colon() {
        let classes: Vec<_> = builtin::classes().unwrap().into_iter().map(Arc::new).collect();
        let of_account = format!("email/Accounts/{}", postroom_model::EntityId::nil());
        let tried = format!("{of_account}:try");
        let of_message = format!("email/Messages/{}", uuid::Uuid::nil());
        let fetched = format!("{of_message}:fetch");
        #[rustfmt::skip]
        let table = [
            ("GET",         "email/Messages",             Ok(Verb::Get)),
            ("HEAD",        "email/Messages",             Ok(Verb::Get)),
            ("QUERY",       "email/Messages",             Ok(Verb::Query)),
            ("QUERY",       "email/Profiles",             Ok(Verb::Query)),
            ("POST",        "email/Profiles:query",       Ok(Verb::Query)),
            ("QUERY",       &of_account,                  Err(405)),
            ("CLEAR",       "email/Messages",             Ok(Verb::Clear)),
            ("POST",        "email/Folders:clear",        Ok(Verb::Clear)),
            ("CLEAR",       &of_account,                  Err(405)),
            ("LOOKUP",      "email/Messages",             Ok(Verb::Lookup)),
            ("POST",        "email/Accounts:lookup",      Ok(Verb::Lookup)),
            ("LOOKUP",      &of_account,                  Err(405)),
            ("CLAIM",       "email/Messages",             Ok(Verb::Claim)),
            ("POST",        "email/Profiles:claim",       Ok(Verb::Claim)),
            ("CLAIM",       &of_account,                  Ok(Verb::Claim)),
            ("NACK",        &of_account,                  Ok(Verb::Nack)),
            ("NACK",        "email/Messages",             Err(405)),
            ("POST",        "email/Messages:nack",        Err(404)),
            ("REDECOMPOSE", "email/Messages",             Ok(Verb::Redecompose)),
            ("POST",        "email/Messages:redecompose", Ok(Verb::Redecompose)),
            ("POST",        "email/Messages:REDECOMPOSE", Ok(Verb::Redecompose)),
            ("GET",         "email/Messages:redecompose", Err(405)),
            ("REDECOMPOSE", "email/Messages:redecompose", Err(405)),
            ("TRY",         &of_account,                  Ok(Verb::Try)),
            ("POST",        &tried,                       Ok(Verb::Try)),
            ("GET",         &tried,                       Err(405)),
            ("POST",        "email/Accounts:try",         Err(404)),
            ("VERIFY",      &of_account,                  Ok(Verb::Verify)),
            ("POST",        "email/Accounts:verify",      Ok(Verb::Verify)),
            ("VERIFY",      "email/Profiles",             Err(405)),
            ("FETCH",       &of_message,                  Ok(Verb::Fetch)),
            ("POST",        &fetched,                     Ok(Verb::Fetch)),
            ("GET",         &fetched,                     Err(405)),
            ("POST",        "email/Messages:fetch",       Err(404)),
            ("FETCH",       &of_account,                  Err(405)),
            ("POST",        "email/Messages:nope",        Err(404)),
            ("POST",        "email/Messages:",            Err(404)),
            ("POST",        "email/Profiles:redecompose", Err(404)),
            ("REDECOMPOSE", "email/Profiles",             Err(405)),
            ("redecompose", "email/Messages",             Err(405)),
            ("NOPE",        "email/Messages",             Err(405)),
        ];
        for (method, path, want) in table {
            let place = place::find(path, &classes).unwrap();
            let found = Verb::of(&Method::from_bytes(method.as_bytes()).unwrap(), &place);
            assert_eq!(found.map_err(|p| p.status().as_u16()), want, "{method} {path}");
        }
        let place = place::find("email/Messages", &classes).unwrap();
        let want = "GET, HEAD, POST, PATCH, DELETE, QUERY, CLEAR, LOOKUP, CLAIM, REDECOMPOSE";
        assert_eq!(methods(&place), want);
    }
}

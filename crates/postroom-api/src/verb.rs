//! Verbs: what a request asks for at its place.
//!
//! Beside the common methods there are verbs of our own. Each is a method (`REDECOMPOSE <path>`),
//! and has a twin for clients and proxies that know only the common ones:
//! `POST <path>:redecompose`.
//! A new verb is a row of the table `OWN`, and an arm of the router.

use crate::place::Part;
use crate::place::Place;
use crate::problem::Problem;
use axum::http::Method;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::MESSAGES;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `GET` and `HEAD`; the server leaves the body of the latter out.
    Get,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
    /// Stored messages are decomposed again.
    Redecompose,
    /// The servers of an account are tried at once.
    Try,
}

/// A verb of our own, and where it is taken.
struct Own {
    verb: Verb,
    method: &'static str,
    classname: &'static str,
    /// At one entity, else at the collection.
    of_entity: bool,
}

/// The verbs of our own.
const OWN: &[Own] = &[
    Own { verb: Verb::Redecompose, method: "REDECOMPOSE", classname: MESSAGES, of_entity: false },
    Own { verb: Verb::Try, method: "TRY", classname: ACCOUNTS, of_entity: true },
];

impl Verb {
    /// The verb of a request.
    ///
    /// # Errors
    ///
    /// 404 for a word behind a colon that is no verb of the place; 405 for a method that it does
    /// not take.
    pub fn of(method: &Method, place: &Place) -> Result<Self, Problem> {
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

/// The methods that a place takes, for `Allow`.
#[must_use]
pub fn methods(place: &Place) -> String {
    let common = match place.part {
        Part::Collection | Part::FileList(..) => "GET, HEAD, POST",
        Part::Entity(_) => "GET, HEAD, PATCH, PUT, DELETE",
        Part::File(..) => "GET, HEAD, PUT, DELETE",
    };
    let all = std::iter::once(common).chain(own(place).map(|own| own.method));
    all.collect::<Vec<_>>().join(", ")
}

/// The verbs of our own that a place takes.
fn own(place: &Place) -> impl Iterator<Item = &'static Own> {
    let of_entity = match place.part {
        Part::Collection => Some(false),
        Part::Entity(_) => Some(true),
        Part::FileList(..) | Part::File(..) => None,
    };
    let classname = place.class.classname.as_str();
    OWN.iter().filter(move |own| own.classname == classname && Some(own.of_entity) == of_entity)
}

fn no_verb(word: &str, place: &Place) -> Problem {
    let verbs: Vec<_> = own(place).map(|own| own.method.to_ascii_lowercase()).collect();
    let there = match verbs.is_empty() {
        true => "there is none here".to_owned(),
        false => format!("there are: {}", verbs.join(", ")),
    };
    Problem::not_found(format!("`:{word}` is no verb of this path; {there}"))
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
        let of_account = format!("email/Accounts/{}", uuid::Uuid::nil());
        let tried = format!("{of_account}:try");
        #[rustfmt::skip]
        let table = [
            ("GET",         "email/Messages",             Ok(Verb::Get)),
            ("HEAD",        "email/Messages",             Ok(Verb::Get)),
            ("REDECOMPOSE", "email/Messages",             Ok(Verb::Redecompose)),
            ("POST",        "email/Messages:redecompose", Ok(Verb::Redecompose)),
            ("POST",        "email/Messages:REDECOMPOSE", Ok(Verb::Redecompose)),
            ("GET",         "email/Messages:redecompose", Err(405)),
            ("REDECOMPOSE", "email/Messages:redecompose", Err(405)),
            ("TRY",         &of_account,                  Ok(Verb::Try)),
            ("POST",        &tried,                       Ok(Verb::Try)),
            ("GET",         &tried,                       Err(405)),
            ("POST",        "email/Accounts:try",         Err(404)),
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
        assert_eq!(methods(&place), "GET, HEAD, POST, REDECOMPOSE");
    }
}

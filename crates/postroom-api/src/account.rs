//! The rule that a login at a server has one account, because two accounts would fetch every
//! message twice.
//!
//! The store enforces it in the batch that creates or changes. This module reads the client's
//! request for an exception, and names the existing account.

use crate::app::Asked;
use crate::parameters;
use crate::problem::Problem;
use postroom_model::Entity;
use postroom_model::Invalid;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::PROFILES;
use postroom_store::SameLogin;

/// The parameter that asks for the exception.
const PARAMETER: &str = "duplicate";

/// Whether a request that changes an entity allows a second account of one login. The server of a
/// profile is a part of the logins of its accounts.
///
/// # Errors
///
/// 422 for every parameter that the request does not take.
pub(crate) fn same_login(asked: &Asked) -> Result<SameLogin, Problem> {
    said(asked, [ACCOUNTS, PROFILES].contains(&asked.class.classname.as_str()))
}

/// Whether a request that creates entities allows a second account of one login. A new profile has
/// no accounts.
///
/// # Errors
///
/// As [`same_login`].
pub(crate) fn same_login_of_new(asked: &Asked) -> Result<SameLogin, Problem> {
    said(asked, asked.class.classname == ACCOUNTS)
}

fn said(asked: &Asked, is_about: bool) -> Result<SameLogin, Problem> {
    let names: &[&str] = if is_about { &[PARAMETER] } else { &[] };
    let mut said = SameLogin::Refused;
    for (name, text) in parameters::of(&asked.uri, names)? {
        said = match text.as_str() {
            "allow" => SameLogin::Allowed,
            "refuse" => SameLogin::Refused,
            _ => return Err(Invalid::new(name, "takes allow or refuse").into()),
        };
    }
    Ok(said)
}

/// What becomes of the messages of an account that is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MessagesFate {
    /// They stay.
    Kept,
    /// They are deleted too.
    Deleted,
}

/// What a request to delete an account says about its messages. By default, they stay.
///
/// # Errors
///
/// 422 for every parameter that the request does not take.
pub(crate) fn fate_of_messages(asked: &Asked) -> Result<MessagesFate, Problem> {
    let names: &[&str] = if asked.class.classname == ACCOUNTS { &["messages"] } else { &[] };
    let mut fate = MessagesFate::Kept;
    for (name, text) in parameters::of(&asked.uri, names)? {
        fate = match text.as_str() {
            "keep" => MessagesFate::Kept,
            "delete" => MessagesFate::Deleted,
            _ => return Err(Invalid::new(name, "takes keep or delete").into()),
        };
    }
    Ok(fate)
}

/// The problem for accounts or profiles that would make a second account of one login.
pub(crate) async fn twin(asked: &Asked, wanted: &[Entity]) -> Problem {
    let mut other = "another account of the same request".to_owned();
    for wanted in wanted {
        match asked.app.store.login_twin(&asked.domain, &asked.class, wanted).await {
            Ok(Some(_)) if asked.app.store.is_bounded(ACCOUNTS) => {
                other = "another account".to_owned();
                break;
            }
            Ok(Some(twin)) => {
                other = format!("the account {} ({})", twin.id, twin.address);
                break;
            }
            Ok(None) => {}
            Err(error) => return error.into(),
        }
    }
    let detail = format!(
        "{other} has this login at this server, and two accounts would fetch every mail twice: use \
         the existing one, or allow two with ?{PARAMETER}=allow"
    );
    Problem::conflict("same-login", detail)
}

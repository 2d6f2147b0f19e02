//! Who has rights: tokens and users. What is wrong with one is said here.

use crate::builtin::names;
use crate::entity::Entity;
use crate::invalid::Invalid;
use crate::rights::ADMINISTRATOR;
use crate::rights::Rights;
use crate::rights::TokenRole;
use crate::rights::USER;
use serde_json::Map;
use serde_json::Value as Json;

/// How many characters a login has.
const LOGIN_CHARS_MAX: usize = 100;
/// How many characters a password has at least.
const PASSWORD_CHARS_MIN: usize = 12;

/// What is wrong with a user, new or changed.
pub(crate) fn user_problems(user: &Entity) -> Vec<Invalid> {
    let mut problems = Rights::of_user(user).err().unwrap_or_default();
    let is_of_login =
        |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "._-@+".contains(char);
    let login = user.text(names::LOGIN).unwrap_or_default();
    let is_login = (1..=LOGIN_CHARS_MAX).contains(&login.len()) && login.chars().all(is_of_login);
    if !is_login {
        let reason = format!("takes 1 to {LOGIN_CHARS_MAX} of a-z 0-9 . _ - @ +");
        problems.push(Invalid::new(names::LOGIN, reason));
    }
    let password = user.text(names::PASSWORD);
    if password.is_some_and(|password| password.chars().count() < PASSWORD_CHARS_MIN) {
        let reason = format!("takes at least {PASSWORD_CHARS_MIN} characters");
        problems.push(Invalid::new(names::PASSWORD, reason));
    }
    problems.extend(accounts_problem(user));
    problems
}

/// What is wrong with a token, new or changed.
pub(crate) fn token_problems(token: &Entity) -> Vec<Invalid> {
    let mut problems = Rights::of_token(token).err().unwrap_or_default();
    if token.text(names::NAME).is_some_and(|name| name.starts_with(USER)) {
        let reason = format!("begins with `{USER}`, as the names of users: choose another name");
        problems.push(Invalid::new(names::NAME, reason));
    }
    if token.text(names::NAME) == Some(ADMINISTRATOR) {
        let reason = "is that of the administrator's token: choose another name";
        problems.push(Invalid::new(names::NAME, reason));
    }
    problems.extend(accounts_problem(token));
    problems
}

/// Why a client may not give a user this `secondFactor`: only the user knows the key of the codes.
pub(crate) fn factor_problem(before: Option<&Entity>, sent: &Map<String, Json>) -> Option<Invalid> {
    let is_given = sent.get(names::SECOND_FACTOR).and_then(Json::as_bool) == Some(true);
    let has_one = before.is_some_and(|user| *user.get(names::SECOND_FACTOR) == Json::Bool(true));
    let reason = "is set when the user confirms a code at /rest/v1/iam/totp: only `false` can be \
                  sent, which removes the second factor";
    (is_given && !has_one).then(|| Invalid::new(names::SECOND_FACTOR, reason))
}

/// Why a token or a user may not name accounts.
fn accounts_problem(holder: &Entity) -> Option<Invalid> {
    let has_accounts = holder.get(names::ACCOUNTS).as_array().is_some_and(|all| !all.is_empty());
    let is_sender = holder.text(names::ROLE) == Some(TokenRole::Sender.as_str());
    let reason = "goes with the role `sender` alone";
    (has_accounts && !is_sender).then(|| Invalid::new(names::ACCOUNTS, reason))
}

/// Whether it is the name of a user, and not of a token.
#[must_use]
pub fn is_user_name(name: &str) -> bool {
    name.starts_with(USER)
}

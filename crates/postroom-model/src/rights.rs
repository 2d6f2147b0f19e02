//! Rights: what the holder of a token may do.
//!
//! ```text
//!   action (what a request does) × class ──► Rights::check ──► yes, or the right that is missing
//! ```
//! A token has a role, or rights of its own. [`Rights::check`] is the only place that decides. A
//! right with a filter reaches only the entities that match: `right_reach` says which.

use crate::builtin::ACCOUNTS;
use crate::builtin::AUDIT;
use crate::builtin::MESSAGES;
use crate::builtin::OAUTH_APPS;
use crate::builtin::PROFILES;
use crate::builtin::names;
use crate::entity::Entity;
use crate::invalid::Invalid;
use crate::right_action::RightAction;
use serde_json::Map;
use serde_json::Value as Json;
use serde_json::json;
use std::fmt;

/// The name of the administrator's token, which is no entity.
pub const ADMINISTRATOR: &str = "admin";
/// How the names of users begin where they stand beside those of tokens.
pub(crate) const USER: &str = "user:";
/// How the names of classes begin that say who may do what.
const ADMINISTRATIVE: &str = "iam/";
/// How many rights a token may have.
const RIGHTS_MAX: usize = 50;
/// How many classes a right may name.
const CLASSES_MAX: usize = 100;
/// The member of a right with its filter.
pub(crate) const FILTER: &str = "filter";
/// The classes whose entities know who made them.
const WITH_MAKER: [&str; 4] = [PROFILES, OAUTH_APPS, ACCOUNTS, MESSAGES];

/// A usual set of rights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenRole {
    /// Everything in the domain.
    Admin,
    /// Everything but the classes that say who may do what, and changes of classes.
    Operator,
    /// Reads what an operator reads.
    Reader,
    /// Makes and sends messages, and sees only those. [`Rights::of_token`] writes its rights out.
    Sender,
    /// Does all that an operator does, with what it made itself. [`Rights::of_token`] writes its
    /// rights out.
    Own,
}

impl TokenRole {
    /// All roles.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Operator, Self::Reader, Self::Sender, Self::Own];

    /// Its name in `role`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Reader => "reader",
            Self::Sender => "sender",
            Self::Own => "own",
        }
    }

    /// Its rights, if they reach only some entities. `holder` is the token or the user that has
    /// it, and `name` the modifier of what they change.
    fn written_out(self, holder: &Entity, name: &str) -> Option<Vec<GrantedRight>> {
        let made = json!(["==", ["property", names::CREATED_BY], name]);
        let right = |actions: &[RightAction], classes: &[&str], filter: Json| GrantedRight {
            actions: actions.to_vec(),
            classes: classes.iter().map(|name| (*name).to_owned()).collect(),
            filter: Some(filter),
        };
        match self {
            Self::Admin | Self::Operator | Self::Reader => None,
            Self::Sender => {
                let out = json!(["==", ["property", names::MESSAGE_DIRECTION], "out"]);
                let mut own = vec![json!("and"), made, out];
                let accounts = holder.get(names::ACCOUNTS);
                if accounts.as_array().is_some_and(|accounts| !accounts.is_empty()) {
                    own.push(json!(["in", ["property", names::ACCOUNT_ID], accounts]));
                }
                let actions = [RightAction::Read, RightAction::Create, RightAction::Change];
                Some(vec![right(&actions, &[MESSAGES], Json::Array(own))])
            }
            Self::Own => {
                let actions = RightAction::ALL.into_iter().filter(|it| *it != RightAction::Design);
                let actions: Vec<_> = actions.collect();
                Some(vec![right(&actions, &WITH_MAKER, made)])
            }
        }
    }

    fn has(self, action: RightAction, classname: &str) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => !is_administrative(classname) && action != RightAction::Design,
            Self::Reader => !is_administrative(classname) && action == RightAction::Read,
            Self::Sender | Self::Own => false,
        }
    }
}

/// Some actions with the entities of some classes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedRight {
    /// The actions.
    pub actions: Vec<RightAction>,
    /// The classes: a name, a beginning (`email/*`), or `*` for all. `*` leaves out `iam/…`.
    pub classes: Vec<String>,
    /// Only the entities that match. The classes are named whole then. `None`: all entities.
    pub filter: Option<Json>,
}

impl GrantedRight {
    /// Whether it allows an action with some entities of a class.
    pub(crate) fn has(&self, action: RightAction, classname: &str) -> bool {
        let is_of = |pattern: &String| match pattern.strip_suffix('*') {
            Some("") => !is_administrative(classname),
            Some(beginning) => classname.starts_with(beginning),
            None => pattern == classname,
        };
        self.actions.contains(&action) && self.classes.iter().any(is_of)
    }
}

/// What the holder of a token may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rights {
    /// What the role has.
    Role(TokenRole),
    /// What is listed.
    Granted(Vec<GrantedRight>),
}

/// The right that a request needs and its token lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingRight {
    /// The action.
    pub action: RightAction,
    /// The class.
    pub classname: String,
}

impl fmt::Display for MissingRight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { action, classname } = self;
        if is_only_read(classname) && *action != RightAction::Read {
            return write!(f, "{classname} is only read: Postroom alone writes the audit");
        }
        write!(f, "this token lacks the right `{}` for {classname}", action.as_str())
    }
}

impl Rights {
    /// The rights that a token of the class `iam/Tokens` has.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with its role and its rights.
    pub fn of_token(token: &Entity) -> Result<Self, Vec<Invalid>> {
        Self::of_holder(token, token.text(names::NAME).unwrap_or_default())
    }

    /// The rights that a user of the class `iam/Users` has.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with its role and its rights.
    pub fn of_user(user: &Entity) -> Result<Self, Vec<Invalid>> {
        Self::of_holder(user, &user_name(user.text(names::LOGIN).unwrap_or_default()))
    }

    fn of_holder(token: &Entity, name: &str) -> Result<Self, Vec<Invalid>> {
        let (role, rights) = (token.text(names::ROLE), token.get(names::RIGHTS));
        match (role, rights.is_null()) {
            (Some(role), true) => {
                let known = TokenRole::ALL.into_iter().find(|known| known.as_str() == role);
                let unknown = || vec![Invalid::new(names::ROLE, "is a role that does not exist")];
                let role = known.ok_or_else(unknown)?;
                let of_role = |rights: Option<_>| rights.map_or(Self::Role(role), Self::Granted);
                Ok(of_role(role.written_out(token, name)))
            }
            (None, false) => granted(rights).map(Self::Granted),
            (None, true) => {
                let reason = "is required, unless `rights` say what the token may do";
                Err(vec![Invalid::new(names::ROLE, reason)])
            }
            (Some(_), false) => {
                let reason = "goes without `role`: give one of the two, and unset the other";
                Err(vec![Invalid::new(names::RIGHTS, reason)])
            }
        }
    }

    /// Whether an action with entities of a class is allowed.
    ///
    /// # Errors
    ///
    /// The right that is missing.
    pub fn check(&self, action: RightAction, classname: &str) -> Result<(), MissingRight> {
        if is_only_read(classname) && action != RightAction::Read {
            return Err(MissingRight { action, classname: classname.to_owned() });
        }
        let needed = [action, RightAction::Read];
        let needed = if action.tells() { needed.as_slice() } else { &needed[..1] };
        match needed.iter().find(|action| !self.has(**action, classname)) {
            Some(action) => Err(MissingRight { action: *action, classname: classname.to_owned() }),
            None => Ok(()),
        }
    }

    /// Whether entities of a class may be read.
    #[must_use]
    pub fn reads(&self, classname: &str) -> bool {
        self.check(RightAction::Read, classname).is_ok()
    }

    /// Whether an action with all entities of a class is allowed, whatever they are.
    ///
    /// # Errors
    ///
    /// The right that is missing.
    pub fn check_whole(&self, action: RightAction, classname: &str) -> Result<(), MissingRight> {
        self.check(action, classname)?;
        let is_whole = |action: RightAction| match self {
            Self::Role(_) => true,
            Self::Granted(all) => {
                all.iter().any(|right| right.filter.is_none() && right.has(action, classname))
            }
        };
        match [action, RightAction::Read].into_iter().find(|action| !is_whole(*action)) {
            Some(action) => Err(MissingRight { action, classname: format!("all {classname}") }),
            None => Ok(()),
        }
    }

    /// The rights as `rights` of a token shows them. `None`: they are those of a role.
    #[must_use]
    pub fn to_json(&self) -> Option<Json> {
        let Self::Granted(all) = self else {
            return None;
        };
        let right = |right: &GrantedRight| {
            let actions: Vec<_> = right.actions.iter().map(|action| action.as_str()).collect();
            let mut shown = json!({"actions": actions, "classes": right.classes});
            if let (Some(filter), Some(members)) = (&right.filter, shown.as_object_mut()) {
                members.insert(FILTER.to_owned(), filter.clone());
            }
            shown
        };
        Some(Json::Array(all.iter().map(right).collect()))
    }

    /// The rights that [`Self::to_json`] wrote.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with them.
    pub fn from_json(json: &Json) -> Result<Self, Vec<Invalid>> {
        granted(json).map(Self::Granted)
    }

    /// Whether everything may be read that a webhook tells.
    #[must_use]
    pub fn reads_all(&self) -> bool {
        match self {
            Self::Role(_) => true,
            Self::Granted(all) => {
                let is_all = |right: &GrantedRight| {
                    let every = right.classes.iter().any(|pattern| pattern == "*");
                    let all = every && right.filter.is_none();
                    all && right.actions.contains(&RightAction::Read)
                };
                all.iter().any(is_all)
            }
        }
    }

    fn has(&self, action: RightAction, classname: &str) -> bool {
        match self {
            Self::Role(role) => role.has(action, classname),
            Self::Granted(all) => all.iter().any(|right| right.has(action, classname)),
        }
    }
}

/// Whether a class says who may do what.
#[must_use]
pub fn is_administrative(classname: &str) -> bool {
    classname.starts_with(ADMINISTRATIVE)
}

/// Whether a class is changed by nobody, whatever rights there are.
fn is_only_read(classname: &str) -> bool {
    classname == AUDIT
}

/// The name of a user where it stands beside those of tokens: the modifier of changes.
#[must_use]
pub fn user_name(login: &str) -> String {
    format!("{USER}{login}")
}

fn granted(json: &Json) -> Result<Vec<GrantedRight>, Vec<Invalid>> {
    let list = json.as_array().filter(|list| (1..=RIGHTS_MAX).contains(&list.len()));
    let Some(list) = list else {
        let reason = format!(
            "takes a list of 1 to {RIGHTS_MAX} rights: [{{\"actions\": [\"read\"], \
             \"classes\": [\"email/Messages\"]}}]"
        );
        return Err(vec![Invalid::new(names::RIGHTS, reason)]);
    };
    let (mut all, mut problems) = (vec![], vec![]);
    for (at, one) in list.iter().enumerate() {
        match right(one) {
            Ok(right) => all.push(right),
            Err(reason) => {
                problems.push(Invalid::new(format!("{}[{at}]", names::RIGHTS), reason));
            }
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(problems) }
}

fn right(json: &Json) -> Result<GrantedRight, String> {
    let members = json.as_object().ok_or("takes an object with `actions` and `classes`")?;
    if let Some(other) =
        members.keys().find(|name| !["actions", "classes", FILTER].contains(&name.as_str()))
    {
        return Err(format!("takes `actions`, `classes` and `{FILTER}`, and no `{other}`"));
    }
    let actions = texts(members, "actions", RightAction::ALL.len())?;
    let action = |text: &&str| {
        let known: Vec<_> = RightAction::ALL.into_iter().map(RightAction::as_str).collect();
        let unknown = || format!("has the action `{text}`, but there are {}", known.join(", "));
        RightAction::from_text(text).ok_or_else(unknown)
    };
    let actions: Vec<_> = actions.iter().map(action).collect::<Result<_, _>>()?;
    let classes = texts(members, "classes", CLASSES_MAX)?;
    let is_odd = |name: &&str| name.is_empty() || name.trim_end_matches('*').contains('*');
    if let Some(odd) = classes.iter().copied().find(is_odd) {
        return Err(format!("has the class `{odd}`: give a name, a beginning with * behind, or *"));
    }
    // Who writes tokens could give itself all rights.
    let writes = actions.iter().any(|action| *action != RightAction::Read);
    if let Some(name) = classes.iter().find(|name| writes && may_be_administrative(name)) {
        return Err(format!(
            "lets its holder change `{name}`: only the role `{}` does that, and a right can only \
             read it",
            TokenRole::Admin.as_str()
        ));
    }
    let filter = members.get(FILTER).filter(|filter| !filter.is_null()).cloned();
    if filter.is_some() {
        if let Some(pattern) = classes.iter().find(|name| name.ends_with('*')) {
            return Err(format!(
                "has a filter for `{pattern}`: name each class whole, because a filter is about \
                 its properties"
            ));
        }
        if actions.contains(&RightAction::Design) {
            return Err("has a filter for `design`, which is about no entity".to_owned());
        }
    }
    let classes = classes.into_iter().map(str::to_owned).collect();
    Ok(GrantedRight { actions, classes, filter })
}

/// Whether a pattern other than `*` may mean a class that says who may do what.
fn may_be_administrative(pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some("") => false,
        Some(beginning) => {
            beginning.starts_with(ADMINISTRATIVE) || ADMINISTRATIVE.starts_with(beginning)
        }
        None => is_administrative(pattern),
    }
}

fn texts<'a>(
    members: &'a Map<String, Json>,
    name: &str,
    count_max: usize,
) -> Result<Vec<&'a str>, String> {
    let list = members.get(name).and_then(Json::as_array);
    let texts = list.map(|list| list.iter().map(Json::as_str).collect::<Option<Vec<_>>>());
    let texts = texts.flatten().filter(|texts| (1..=count_max).contains(&texts.len()));
    texts.ok_or_else(|| format!("takes in `{name}` a list of 1 to {count_max} texts"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::TOKENS;
    use crate::id::EntityId;
    use crate::right_holder::token_problems;

    fn token(values: &Json) -> Entity {
        Entity::new(EntityId::nil(), values.as_object().unwrap().clone())
    }

    fn rights(json: Json) -> Rights {
        Rights::of_token(&token(&json!({"rights": json}))).unwrap()
    }

    #[test]
    fn each_role_has_its_rights_cell_by_cell() {
        use RightAction::{Change, Claim, Create, Delete, Design, Operate, Read};
        use TokenRole::{Admin, Operator, Own, Reader, Sender};
        const ACTIONS: [RightAction; 7] = [Read, Create, Change, Delete, Claim, Operate, Design];
        assert_eq!(ACTIONS, RightAction::ALL);
        let (yes, no) = (true, false);
        #[rustfmt::skip]
        let table = [
            // role      class      read create change delete claim operate design
            (Admin,    MESSAGES,   [yes, yes,   yes,   yes,   yes,  yes,    yes]),
            (Admin,    "crm/Deal", [yes, yes,   yes,   yes,   yes,  yes,    yes]),
            (Admin,    TOKENS,     [yes, yes,   yes,   yes,   yes,  yes,    yes]),
            (Admin,    AUDIT,      [yes, no,    no,    no,    no,   no,     no ]),
            (Operator, MESSAGES,   [yes, yes,   yes,   yes,   yes,  yes,    no ]),
            (Operator, "crm/Deal", [yes, yes,   yes,   yes,   yes,  yes,    no ]),
            (Operator, TOKENS,     [no,  no,    no,    no,    no,   no,     no ]),
            (Operator, AUDIT,      [no,  no,    no,    no,    no,   no,     no ]),
            (Reader,   MESSAGES,   [yes, no,    no,    no,    no,   no,     no ]),
            (Reader,   "crm/Deal", [yes, no,    no,    no,    no,   no,     no ]),
            (Reader,   TOKENS,     [no,  no,    no,    no,    no,   no,     no ]),
            (Reader,   AUDIT,      [no,  no,    no,    no,    no,   no,     no ]),
            (Sender,   MESSAGES,   [yes, yes,   yes,   no,    no,   no,     no ]),
            (Sender,   ACCOUNTS,   [no,  no,    no,    no,    no,   no,     no ]),
            (Sender,   "crm/Deal", [no,  no,    no,    no,    no,   no,     no ]),
            (Sender,   TOKENS,     [no,  no,    no,    no,    no,   no,     no ]),
            (Sender,   AUDIT,      [no,  no,    no,    no,    no,   no,     no ]),
            (Own,      MESSAGES,   [yes, yes,   yes,   yes,   yes,  yes,    no ]),
            (Own,      ACCOUNTS,   [yes, yes,   yes,   yes,   yes,  yes,    no ]),
            (Own,      "crm/Deal", [no,  no,    no,    no,    no,   no,     no ]),
            (Own,      TOKENS,     [no,  no,    no,    no,    no,   no,     no ]),
            (Own,      AUDIT,      [no,  no,    no,    no,    no,   no,     no ]),
        ];
        for (role, classname, cells) in table {
            for (action, want) in ACTIONS.into_iter().zip(cells) {
                let token = token(&json!({"name": "a", "role": role.as_str()}));
                let rights = Rights::of_token(&token).unwrap();
                let found = rights.check(action, classname).is_ok();
                assert_eq!(found, want, "{role:?} {action:?} {classname}");
                let is_whole = rights.check_whole(action, classname).is_ok();
                let reaches_some = [Sender, Own].contains(&role);
                assert_eq!(is_whole, want && !reaches_some, "all: {role:?} {action:?} {classname}");
            }
        }
        let rows: Vec<_> = table.iter().map(|(role, ..)| *role).collect();
        assert!(TokenRole::ALL.iter().all(|role| rows.contains(role)));
    }

    #[test]
    fn each_action_of_a_right_is_of_its_classes_cell_by_cell() {
        // What is granted for `email/*` beside reading, and what is allowed then.
        for granted in RightAction::ALL {
            let with_read = rights(json!([
                {"actions": ["read"], "classes": ["email/Messages"]},
                {"actions": [granted.as_str()], "classes": ["email/*"]},
            ]));
            let alone = rights(json!([{"actions": [granted.as_str()], "classes": ["email/*"]}]));
            for asked in RightAction::ALL {
                let (is_read, is_same) = (asked == RightAction::Read, asked == granted);
                let at = format!("{granted:?} granted, {asked:?} asked");
                assert_eq!(with_read.check(asked, MESSAGES).is_ok(), is_same || is_read, "{at}");
                let tells = !matches!(asked, RightAction::Create | RightAction::Design);
                let by_itself = is_same && (is_read || !tells);
                assert_eq!(alone.check(asked, MESSAGES).is_ok(), by_itself, "{at}, alone");
                assert!(with_read.check(asked, "crm/Deal").is_err(), "{at}, another class");
                assert!(with_read.check(asked, TOKENS).is_err(), "{at}, tokens");
            }
        }
        let missing = rights(json!([{"actions": ["change"], "classes": ["email/Messages"]}]));
        let missing = missing.check(RightAction::Change, MESSAGES).unwrap_err();
        assert_eq!(missing.to_string(), "this token lacks the right `read` for email/Messages");
    }

    #[test]
    fn a_class_is_named_whole_or_by_its_beginning() {
        #[rustfmt::skip]
        let table = [
            ("email/Messages", "email/Messages",  true),
            ("email/Messages", "email/Messages2", false),
            ("email/*",        "email/Messages",  true),
            ("email/*",        "emails/Messages", false),
            ("*",              "crm/Deal",        true),
            ("*",              "iam/Tokens",      false),
            ("iam/*",          "iam/Tokens",      true),
            ("iam/Tokens",     "iam/Tokens",      true),
        ];
        for (pattern, classname, want) in table {
            let one = rights(json!([{"actions": ["read"], "classes": [pattern]}]));
            assert_eq!(one.reads(classname), want, "{pattern} {classname}");
            assert_eq!(one.reads_all(), pattern == "*", "{pattern}");
        }
        assert!(!rights(json!([{"actions": ["create"], "classes": ["*"]}])).reads_all());
    }

    #[test]
    fn a_token_that_says_nothing_or_too_much_is_refused() {
        let of = |actions: Json, classes: Json| json!([{"actions": actions, "classes": classes}]);
        #[rustfmt::skip]
        let table = [
            (json!({"role": "admin"}),                                                     ""),
            (json!({"rights": of(json!(["read", "claim"]), json!(["*"]))}),                ""),
            (json!({"rights": of(json!(["read"]), json!(["iam/Tokens"]))}),                ""),
            (json!({}),                                                                    "role: is required, unless"),
            (json!({"role": "admin", "name": "admin"}),                                    "name: is that of"),
            (json!({"role": "king"}),                                                      "role: is a role that does not exist"),
            (json!({"role": "admin", "rights": of(json!(["read"]), json!(["*"]))}),        "rights: goes without `role`"),
            (json!({"rights": {}}),                                                        "rights: takes a list of 1 to 50"),
            (json!({"rights": []}),                                                        "rights: takes a list of 1 to 50"),
            (json!({"rights": ["read"]}),                                                  "rights[0]: takes an object"),
            (json!({"rights": [{"actions": ["read"]}]}),                                   "rights[0]: takes in `classes`"),
            (json!({"rights": of(json!([]), json!(["*"]))}),                               "rights[0]: takes in `actions`"),
            (json!({"rights": of(json!(["fly"]), json!(["*"]))}),                          "rights[0]: has the action `fly`"),
            (json!({"rights": of(json!(["read"]), json!([7]))}),                           "rights[0]: takes in `classes`"),
            (json!({"rights": of(json!(["read"]), json!(["*/x"]))}),                       "rights[0]: has the class `*/x`"),
            (json!({"rights": of(json!(["create"]), json!(["iam/Tokens"]))}),              "rights[0]: lets its holder change `iam/Tokens`"),
            (json!({"rights": of(json!(["create"]), json!(["i*"]))}),                      "rights[0]: lets its holder change `i*`"),
            (json!({"rights": [{"actions": ["read"], "classes": ["*"], "filter": []}]}),   "rights[0]: has a filter for `*`"),
            (json!({"rights": [{"actions": ["read"], "classes": ["a/*"], "filter": []}]}), "rights[0]: has a filter for `a/*`"),
            (json!({"rights": [{"actions": ["design"], "classes": ["a"], "filter": []}]}), "rights[0]: has a filter for `design`"),
            (json!({"rights": [{"actions": ["read"], "classes": ["a"], "filter": null}]}), ""),
            (json!({"rights": [{"actions": ["read"], "classes": ["a"], "only": []}]}),     "rights[0]: takes `actions`, `classes` and `filter`, and no `only`"),
            (json!({"role": "sender", "accounts": ["a"]}),                                 ""),
            (json!({"role": "own", "accounts": ["a"]}),                                    "accounts: goes with the role `sender`"),
        ];
        for (values, want) in table {
            let problems = token_problems(&token(&values));
            let found = problems.first().map(ToString::to_string).unwrap_or_default();
            assert!(
                found.starts_with(want) && found.is_empty() == want.is_empty(),
                "{values}: {found}"
            );
        }
    }
}

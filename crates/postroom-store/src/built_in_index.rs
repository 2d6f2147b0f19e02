//! The indexes that are built in.

use crate::columns::quoted;
use crate::database::Dialect;
use crate::database::Statement;
use crate::sending;
use postroom_model::Class;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::AUDIT;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;

/// The indexes of messages that earlier versions had in place of the present ones.
const FORMER_INDEXES: &[&str] =
    &["outgoing", "by folder", "by time", "by message id", "received by message id"];

/// The properties by which lists of messages are usually filtered, in the order of `id` or
/// `dateTime`.
const LISTED_BY: &[&str] = &["folder_id", "account_id", "messageState"];

/// The statements that remove the indexes of earlier versions.
pub(crate) fn former() -> impl Iterator<Item = Statement> {
    let drop = |name| format!("DROP INDEX IF EXISTS \"email/Messages {name}\"");
    FORMER_INDEXES.iter().map(drop).map(|sql| Statement::new(sql))
}

/// The built-in indexes of a class table: one for each reference, and for messages those of lists
/// and of the queue.
pub(crate) fn indexes(dialect: &dyn Dialect, class: &Class) -> Vec<String> {
    let table = quoted(&class.table());
    let index = |name: &str, on: &str| {
        let name = quoted(&format!("{} {name}", class.table()));
        format!("CREATE INDEX IF NOT EXISTS {name} ON {table} {on}")
    };
    let by = dialect.indexed();
    let whole = index("listed", "(\"domain\", \"id\")");
    let changed = index("changed", "(\"domain\", \"seq\", \"id\")");
    let whole = [whole, changed].into_iter();
    if class.classname == MESSAGES {
        return whole.chain(of_messages(by, index)).collect();
    }
    // Those of clients are made outside of the transaction (`class_index`).
    let built_in = class.properties.iter().take(if class.is_built_in() { class.fixed } else { 0 });
    let references = built_in.filter(|property| property.idclass.is_some());
    let references = references.map(|p| index(&p.name, &format!("({})", quoted(&p.name))));
    // For the rule that a login has one account.
    let by_login = "(LOWER(COALESCE(\"login\", \"address\")))";
    let login = (class.classname == ACCOUNTS).then(|| index("by login", by_login));
    // For a survey, which looks for folders that clients made.
    let unmet = (class.classname == FOLDERS)
        .then(|| index("not surveyed", "(\"account_id\") WHERE \"mailbox\" IS NULL"));
    // The newest entries are those that people look at.
    let in_time = format!("(\"domain\", \"at\"{by}, \"id\")");
    let in_time = (class.classname == AUDIT).then(|| index("listed in time", &in_time));
    let by_token = "(\"token\") WHERE \"token\" IS NOT NULL";
    let by_token = (class.classname == TOKENS).then(|| index("by token", by_token));
    let by_former = "(\"formerToken\") WHERE \"formerToken\" IS NOT NULL";
    let by_former = (class.classname == TOKENS).then(|| index("by former token", by_former));
    // Domains are all of the domain `master`.
    let by_name = "(\"name\") WHERE \"suspended\"";
    let by_name = (class.classname == DOMAINS).then(|| index("suspended", by_name));
    let each = [TOKENS, DOMAINS].contains(&class.classname.as_str()).then(|| {
        let each = quoted(&format!("{} one each", class.classname));
        format!("CREATE UNIQUE INDEX IF NOT EXISTS {each} ON {table} (\"domain\", \"name\")")
    });
    let each = each.or_else(|| {
        let each = quoted(&format!("{} one each", class.classname));
        let on = "(\"domain\", \"login\")";
        let is_user = class.classname == USERS;
        is_user.then(|| format!("CREATE UNIQUE INDEX IF NOT EXISTS {each} ON {table} {on}"))
    });
    let iam = in_time.into_iter().chain(by_token).chain(by_former).chain(by_name).chain(each);
    whole.chain(references).chain(login).chain(unmet).chain(iam).collect()
}

/// The indexes of messages.
fn of_messages(by: &str, index: impl Fn(&str, &str) -> String) -> Vec<String> {
    let mut all = vec![
        index("listed in time", &format!("(\"domain\", \"dateTime\"{by}, \"id\")")),
        index(
            "sending",
            &format!("(\"account_id\", \"dateTime\", \"id\") WHERE {}", sending::is_in_index("")),
        ),
    ];
    for name in LISTED_BY {
        let (of, time) = (format!("\"domain\", \"{name}\""), format!("\"dateTime\"{by}"));
        all.push(index(&format!("{name} listed"), &format!("({of}, \"id\")")));
        all.push(index(&format!("{name} listed in time"), &format!("({of}, {time}, \"id\")")));
    }
    // Few messages have the same Message-ID, so the index needs no order. Many may have none.
    let (set, unset) = ("\"messageId\" IS NOT NULL", "\"messageId\" IS NULL");
    let in_time = format!("(\"domain\", \"dateTime\"{by}, \"id\") WHERE {unset}");
    all.push(index("messageId listed", &format!("(\"messageId\") WHERE {set}")));
    all.push(index("unidentified listed", &format!("(\"domain\", \"id\") WHERE {unset}")));
    all.push(index("unidentified listed in time", &in_time));
    all
}

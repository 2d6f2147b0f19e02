//! The ten classes that exist from the start, as JSON definitions.

pub mod names;

use crate::class::Class;

/// The class name of profiles.
pub const PROFILES: &str = "email/Profiles";
/// The class name of accounts.
pub const ACCOUNTS: &str = "email/Accounts";
/// The class name of folders.
pub const FOLDERS: &str = "email/Folders";
/// The class name of messages.
pub const MESSAGES: &str = "email/Messages";
/// The class name of webhooks.
pub const WEBHOOKS: &str = "email/Webhooks";
/// The class name of OAuth apps.
pub const OAUTH_APPS: &str = "email/OAuthApps";
/// The class name of domains.
pub const DOMAINS: &str = "iam/Domains";
/// The class name of tokens.
pub const TOKENS: &str = "iam/Tokens";
/// The class name of users.
pub const USERS: &str = "iam/Users";

/// The class name of the audit.
pub const AUDIT: &str = "iam/Audit";

/// The files of a message, by the name of their property.
pub mod files {
    /// Attachments; the path segment `attachments` is its alias.
    pub const ATTACHMENTS: &str = "file";
    /// The html body.
    pub const HTML: &str = "html";
    /// Files that the html refers to.
    pub const INLINES: &str = "inlines";
    /// The message in its original form.
    pub const RAW_MESSAGE: &str = "rawMessage";
    /// The files that an outgoing message is composed of.
    pub const COMPOSED: [&str; 3] = [ATTACHMENTS, HTML, INLINES];
}

/// The properties that an outgoing message is composed of and sent by. If one of them changes, the
/// composed bytes are discarded. A change of another property discards nothing.
pub const COMPOSED: [&str; 17] = [
    names::ACCOUNT_ID,
    names::MESSAGE_DIRECTION,
    names::MESSAGE_STATE,
    names::DATE_TIME,
    names::MESSAGE_ID,
    names::FROM,
    names::FROM_DISPLAY_NAME,
    names::TO,
    names::CC,
    names::BCC,
    names::RECIPIENTS,
    names::REPLY_TO,
    names::SUBJECT,
    names::TEXT,
    names::IN_REPLY_TO,
    names::REFERENCES,
    names::HEADERS,
];

/// The enums whose values Postroom obeys. They take no items of extensions, because Postroom would
/// not know what such a value means.
pub const OBEYED: [&str; 8] = [
    names::IMAP_SECURITY,
    names::SMTP_SECURITY,
    names::TLS_MINIMUM,
    names::AUTH,
    names::MODE,
    names::PROVIDER,
    names::GRANT,
    names::ROLE,
];

/// The properties whose null Postroom obeys: a message without a state is a draft, and is withdrawn
/// by null, and a token without a role has its rights alone. They take no default, because a client
/// could not set null then.
pub const NULL_OBEYED: [&str; 2] = [names::MESSAGE_STATE, names::ROLE];

const DEFINITIONS: [&str; 10] = [
    include_str!("builtin/profiles.json"),
    include_str!("builtin/accounts.json"),
    include_str!("builtin/folders.json"),
    include_str!("builtin/messages.json"),
    include_str!("builtin/webhooks.json"),
    include_str!("builtin/oauth_apps.json"),
    include_str!("builtin/tokens.json"),
    include_str!("builtin/domains.json"),
    include_str!("builtin/users.json"),
    include_str!("builtin/audit.json"),
];

/// The built-in classes: profiles, accounts, folders, messages, webhooks, OAuth apps, tokens,
/// domains, users and the audit.
///
/// # Errors
///
/// When a definition is not of the form of [`Class`]; a test of this module proves that none is.
pub fn classes() -> Result<Vec<Class>, serde_json::Error> {
    let classes: Result<Vec<Class>, _> =
        DEFINITIONS.into_iter().map(serde_json::from_str).collect();
    let fixed = |class: Class| Class { fixed: class.properties.len(), ..class };
    Ok(classes?.into_iter().map(fixed).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::property::DataType;

    #[test]
    fn definitions_are_classes() {
        let classes = classes().unwrap();
        let names: Vec<_> = classes.iter().map(|class| class.classname.as_str()).collect();
        let mail = [PROFILES, ACCOUNTS, FOLDERS, MESSAGES, WEBHOOKS, OAUTH_APPS];
        let all = [mail.as_slice(), &[TOKENS, DOMAINS, USERS, AUDIT]].concat();
        assert_eq!(names, all);
        for class in &classes {
            for property in &class.properties {
                let at = format!("{}.{}", class.classname, property.name);
                assert!(!property.caption.is_empty(), "{at} has no caption");
                assert_eq!(
                    property.data_type == DataType::Enum,
                    !property.items.is_empty(),
                    "{at}"
                );
                let target = property.idclass.map(|id| classes.iter().any(|class| class.id == id));
                let is_reference = property.data_type == DataType::Entity;
                assert_eq!(target, is_reference.then_some(true), "{at}");
            }
        }
    }

    #[test]
    fn attachments_are_reached_by_both_names() {
        let messages = classes().unwrap().remove(3);
        for (segment, want) in [("file", "file"), ("attachments", "file"), ("html", "html")] {
            assert_eq!(messages.file_property(segment).unwrap().name, want);
        }
        assert!(messages.file_property("subject").is_none());
    }
}

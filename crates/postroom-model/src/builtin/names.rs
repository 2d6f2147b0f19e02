//! The names of the properties of the built-in classes.
//!
//! Code names a property by its constant, so that a misspelt one does not compile. A test compares
//! the constants with the definitions of the classes.

/// `accessToken` of an account.
pub const ACCESS_TOKEN: &str = "accessToken";
/// `account_id` of a folder and a message.
pub const ACCOUNT_ID: &str = "account_id";
/// `accounts` of a token.
pub const ACCOUNTS: &str = "accounts";
/// `accountsMax` of a domain.
pub const ACCOUNTS_MAX: &str = "accountsMax";
/// `actor` of the audit.
pub const ACTOR: &str = "actor";
/// `actorDomain` of the audit.
pub const ACTOR_DOMAIN: &str = "actorDomain";
/// `actorId` of the audit.
pub const ACTOR_ID: &str = "actorId";
/// `actorType` of the audit.
pub const ACTOR_TYPE: &str = "actorType";
/// `address` of an account.
pub const ADDRESS: &str = "address";
/// `affectedDomain` of the audit.
pub const AFFECTED_DOMAIN: &str = "affectedDomain";
/// `at` of the audit.
pub const AT: &str = "at";
/// `attachmentCount` of a message.
pub const ATTACHMENT_COUNT: &str = "attachmentCount";
/// `attempts` of a message.
pub const ATTEMPTS: &str = "attempts";
/// `auth` of a profile.
pub const AUTH: &str = "auth";
/// `authorizeUrl` of an OAuth app.
pub const AUTHORIZE_URL: &str = "authorizeUrl";
/// `batch` of a webhook.
pub const BATCH: &str = "batch";
/// `bcc` of a message.
pub const BCC: &str = "bcc";
/// `bytesMax` of a domain.
pub const BYTES_MAX: &str = "bytesMax";
/// `calendar` of a message.
pub const CALENDAR: &str = "calendar";
/// `cc` of a message.
pub const CC: &str = "cc";
/// `class` of the audit.
pub const CLASS: &str = "class";
/// `classes` of a webhook.
pub const CLASSES: &str = "classes";
/// `clientId` of a profile and an OAuth app.
pub const CLIENT_ID: &str = "clientId";
/// `clientSecret` of an OAuth app.
pub const CLIENT_SECRET: &str = "clientSecret";
/// `consentedAt` of an account.
pub const CONSENTED_AT: &str = "consentedAt";
/// `count` of the audit.
pub const COUNT: &str = "count";
/// `createdBy` of a profile, an account, a message and an OAuth app.
pub const CREATED_BY: &str = "createdBy";
/// `cursor` of a webhook.
pub const CURSOR: &str = "cursor";
/// `dateTime` of a message.
pub const DATE_TIME: &str = "dateTime";
/// `dateTimeSource` of a message.
pub const DATE_TIME_SOURCE: &str = "dateTimeSource";
/// `defects` of a message.
pub const DEFECTS: &str = "defects";
/// `deleteOnServer` of a folder.
pub const DELETE_ON_SERVER: &str = "deleteOnServer";
/// `delimiter` of a folder.
pub const DELIMITER: &str = "delimiter";
/// `details` of the audit.
pub const DETAILS: &str = "details";
/// `deviceUrl` of an OAuth app.
pub const DEVICE_URL: &str = "deviceUrl";
/// `enabled` of an account, a folder, a token and a webhook.
pub const ENABLED: &str = "enabled";
/// `entity` of the audit.
pub const ENTITY: &str = "entity";
/// `errorCode` of a message.
pub const ERROR_CODE: &str = "errorCode";
/// `errorText` of a message.
pub const ERROR_TEXT: &str = "errorText";
/// `event` of the audit.
pub const EVENT: &str = "event";
/// `events` of a webhook.
pub const EVENTS: &str = "events";
/// `expiresAt` of a token.
pub const EXPIRES_AT: &str = "expiresAt";
/// `failingSince` of a webhook.
pub const FAILING_SINCE: &str = "failingSince";
/// `failures` of a webhook.
pub const FAILURES: &str = "failures";
/// `file` of a message.
pub const FILE: &str = "file";
/// `filter` of a webhook.
pub const FILTER: &str = "filter";
/// `flags` of a folder and a message.
pub const FLAGS: &str = "flags";
/// `folder_id` of a message.
pub const FOLDER_ID: &str = "folder_id";
/// `formerToken` of a token.
pub const FORMER_TOKEN: &str = "formerToken";
/// `formerTokenUntil` of a token.
pub const FORMER_TOKEN_UNTIL: &str = "formerTokenUntil";
/// `from` of a message.
pub const FROM: &str = "from";
/// `fromDisplayName` of an account and a message.
pub const FROM_DISPLAY_NAME: &str = "fromDisplayName";
/// `grant` of an OAuth app.
pub const GRANT: &str = "grant";
/// `headers` of a message and a webhook.
pub const HEADERS: &str = "headers";
/// `html` of a message.
pub const HTML: &str = "html";
/// `imapHost` of a profile.
pub const IMAP_HOST: &str = "imapHost";
/// `imapPort` of a profile.
pub const IMAP_PORT: &str = "imapPort";
/// `imapSecurity` of a profile.
pub const IMAP_SECURITY: &str = "imapSecurity";
/// `inlines` of a message.
pub const INLINES: &str = "inlines";
/// `internalDate` of a message.
pub const INTERNAL_DATE: &str = "internalDate";
/// `inReplyTo` of a message.
pub const IN_REPLY_TO: &str = "inReplyTo";
/// `isSystem` of an account.
pub const IS_SYSTEM: &str = "isSystem";
/// `lag` of a webhook.
pub const LAG: &str = "lag";
/// `lastAttempts` of a webhook.
pub const LAST_ATTEMPTS: &str = "lastAttempts";
/// `lastConnectedAt` of an account.
pub const LAST_CONNECTED_AT: &str = "lastConnectedAt";
/// `lastDeliveryAt` of a webhook.
pub const LAST_DELIVERY_AT: &str = "lastDeliveryAt";
/// `lastPollAt` of a folder.
pub const LAST_POLL_AT: &str = "lastPollAt";
/// `lastProofAt` of a folder.
pub const LAST_PROOF_AT: &str = "lastProofAt";
/// `lastLoginAt` of a user.
pub const LAST_LOGIN_AT: &str = "lastLoginAt";
/// `lastUsedAt` of a token.
pub const LAST_USED_AT: &str = "lastUsedAt";
/// `login` of an account.
pub const LOGIN: &str = "login";
/// `mailbox` of a folder.
pub const MAILBOX: &str = "mailbox";
/// `mask` of a webhook.
pub const MASK: &str = "mask";
/// `messageDirection` of a message.
pub const MESSAGE_DIRECTION: &str = "messageDirection";
/// `messageId` of a message.
pub const MESSAGE_ID: &str = "messageId";
/// `messageState` of a message.
pub const MESSAGE_STATE: &str = "messageState";
/// `messageType` of a message.
pub const MESSAGE_TYPE: &str = "messageType";
/// `messagesMax` of a domain.
pub const MESSAGES_MAX: &str = "messagesMax";
/// `mode` of a folder.
pub const MODE: &str = "mode";
/// `name` of a profile, an account, a folder, a webhook and an OAuth app.
pub const NAME: &str = "name";
/// `nextAttemptAt` of a message.
pub const NEXT_ATTEMPT_AT: &str = "nextAttemptAt";
/// `oauthApp_id` of an account.
pub const OAUTH_APP_ID: &str = "oauthApp_id";
/// `options` of a profile, an account and a folder.
pub const OPTIONS: &str = "options";
/// `parserVersion` of a message.
pub const PARSER_VERSION: &str = "parserVersion";
/// `password` of an account.
pub const PASSWORD: &str = "password";
/// `pendingCount` of a folder.
pub const PENDING_COUNT: &str = "pendingCount";
/// `preview` of a message.
pub const PREVIEW: &str = "preview";
/// `privateKey` of an OAuth app.
pub const PRIVATE_KEY: &str = "privateKey";
/// `profile_id` of an account.
pub const PROFILE_ID: &str = "profile_id";
/// `properties` of the audit.
pub const PROPERTIES: &str = "properties";
/// `provider` of an OAuth app.
pub const PROVIDER: &str = "provider";
/// `rawMessage` of a message.
pub const RAW_MESSAGE: &str = "rawMessage";
/// `proxy` of a profile.
pub const PROXY: &str = "proxy";
/// `proxyLogin` of a profile.
pub const PROXY_LOGIN: &str = "proxyLogin";
/// `proxyPassword` of a profile.
pub const PROXY_PASSWORD: &str = "proxyPassword";
/// `recipients` of a message.
pub const RECIPIENTS: &str = "recipients";
/// `redirectUri` of an OAuth app.
pub const REDIRECT_URI: &str = "redirectUri";
/// `report` of a message.
pub const REPORT: &str = "report";
/// `reportType` of a message.
pub const REPORT_TYPE: &str = "reportType";
/// `reportedMessage_id` of a message.
pub const REPORTED_MESSAGE_ID: &str = "reportedMessage_id";
/// `references` of a message.
pub const REFERENCES: &str = "references";
/// `refreshingSince` of an account.
pub const REFRESHING_SINCE: &str = "refreshingSince";
/// `refreshToken` of an account.
pub const REFRESH_TOKEN: &str = "refreshToken";
/// `refusedAppVersion` of an account.
pub const REFUSED_APP_VERSION: &str = "refusedAppVersion";
/// `replyTo` of an account and a message.
pub const REPLY_TO: &str = "replyTo";
/// `request` of the audit.
pub const REQUEST: &str = "request";
/// `retryFor` of a webhook.
pub const RETRY_FOR: &str = "retryFor";
/// `rights` of a token.
pub const RIGHTS: &str = "rights";
/// `role` of a token.
pub const ROLE: &str = "role";
/// `scopes` of an OAuth app.
pub const SCOPES: &str = "scopes";
/// `secondFactor` of a user.
pub const SECOND_FACTOR: &str = "secondFactor";
/// `secondSecret` of a webhook.
pub const SECOND_SECRET: &str = "secondSecret";
/// `secret` of a webhook.
pub const SECRET: &str = "secret";
/// `security` of a message.
pub const SECURITY: &str = "security";
/// `sentAt` of a message.
pub const SENT_AT: &str = "sentAt";
/// `serverCount` of a folder.
pub const SERVER_COUNT: &str = "serverCount";
/// `size` of a message.
pub const SIZE: &str = "size";
/// `smtpAccessToken` of an account.
pub const SMTP_ACCESS_TOKEN: &str = "smtpAccessToken";
/// `smtpConsentedAt` of an account.
pub const SMTP_CONSENTED_AT: &str = "smtpConsentedAt";
/// `smtpHost` of a profile.
pub const SMTP_HOST: &str = "smtpHost";
/// `smtpLogin` of an account.
pub const SMTP_LOGIN: &str = "smtpLogin";
/// `smtpOauthApp_id` of an account.
pub const SMTP_OAUTH_APP_ID: &str = "smtpOauthApp_id";
/// `smtpPassword` of an account.
pub const SMTP_PASSWORD: &str = "smtpPassword";
/// `smtpPort` of a profile.
pub const SMTP_PORT: &str = "smtpPort";
/// `smtpRefreshingSince` of an account.
pub const SMTP_REFRESHING_SINCE: &str = "smtpRefreshingSince";
/// `smtpRefreshToken` of an account.
pub const SMTP_REFRESH_TOKEN: &str = "smtpRefreshToken";
/// `smtpRefusedAppVersion` of an account.
pub const SMTP_REFUSED_APP_VERSION: &str = "smtpRefusedAppVersion";
/// `smtpSecurity` of a profile.
pub const SMTP_SECURITY: &str = "smtpSecurity";
/// `smtpTokenExpiresAt` of an account.
pub const SMTP_TOKEN_EXPIRES_AT: &str = "smtpTokenExpiresAt";
/// `smtpTokenRefusal` of an account.
pub const SMTP_TOKEN_REFUSAL: &str = "smtpTokenRefusal";
/// `smtpTokenState` of an account.
pub const SMTP_TOKEN_STATE: &str = "smtpTokenState";
/// `source` of the audit.
pub const SOURCE: &str = "source";
/// `specialUse` of a folder.
pub const SPECIAL_USE: &str = "specialUse";
/// `state` of an account.
pub const STATE: &str = "state";
/// `statusText` of an account, a folder and a webhook.
pub const STATUS_TEXT: &str = "statusText";
/// `storedCount` of a folder.
pub const STORED_COUNT: &str = "storedCount";
/// `subject` of a message.
pub const SUBJECT: &str = "subject";
/// `suspended` of a domain.
pub const SUSPENDED: &str = "suspended";
/// `tenant` of an OAuth app.
pub const TENANT: &str = "tenant";
/// `text` of a message.
pub const TEXT: &str = "text";
/// `textSource` of a message.
pub const TEXT_SOURCE: &str = "textSource";
/// `title` of a domain and a folder.
pub const TITLE: &str = "title";
/// `tlsFingerprint` of a profile.
pub const TLS_FINGERPRINT: &str = "tlsFingerprint";
/// `tlsMinimum` of a profile.
pub const TLS_MINIMUM: &str = "tlsMinimum";
/// `to` of a message.
pub const TO: &str = "to";
/// `token` of a token.
pub const TOKEN: &str = "token";
/// `tokenExpiresAt` of an account.
pub const TOKEN_EXPIRES_AT: &str = "tokenExpiresAt";
/// `tokenRefusal` of an account.
pub const TOKEN_REFUSAL: &str = "tokenRefusal";
/// `tokenState` of an account.
pub const TOKEN_STATE: &str = "tokenState";
/// `tokenUrl` of an OAuth app.
pub const TOKEN_URL: &str = "tokenUrl";
/// `totp` of a user.
pub const TOTP: &str = "totp";
/// `tokensMax` of a domain.
pub const TOKENS_MAX: &str = "tokensMax";
/// `tryRequestedAt` of an account.
pub const TRY_REQUESTED_AT: &str = "tryRequestedAt";
/// `uid` of a message.
pub const UID: &str = "uid";
/// `uidBaseline` of a folder.
pub const UID_BASELINE: &str = "uidBaseline";
/// `uidNext` of a folder.
pub const UID_NEXT: &str = "uidNext";
/// `uidValidity` of a folder and a message.
pub const UID_VALIDITY: &str = "uidValidity";
/// `url` of a webhook.
pub const URL: &str = "url";

#[cfg(test)]
mod tests {
    use crate::builtin;
    use std::collections::BTreeSet;

    #[test]
    fn each_property_has_a_constant_and_each_constant_a_property() {
        let classes = builtin::classes().unwrap();
        let names = classes.iter().flat_map(|class| &class.properties);
        let names: BTreeSet<&str> = names.map(|property| property.name.as_str()).collect();
        let declared =
            include_str!("names.rs").lines().filter(|line| line.starts_with("pub const"));
        let values = declared.filter_map(|line| line.split('"').nth(1));
        assert_eq!(values.collect::<BTreeSet<_>>(), names);
    }
}

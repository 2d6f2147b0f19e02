//! OAuth apps, and the tokens that accounts get by them.
//!
//! `oauth_presets.json` has the URLs and scopes of providers. An app has its own where it differs.
//!
//! Standards: RFC 6749 (OAuth 2.0), RFC 6750 (bearer tokens), RFC 7523 (service accounts).

use crate::builtin::names;
use crate::entity::Entity;
use crate::id::AccountId;
use crate::invalid::Invalid;
use crate::oauth_device::CONSENT_DEVICE;
use crate::timestamp::Timestamp;
use crate::webhook::Url;
use serde::Deserialize;
use serde_json::Map;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::collections::HashMap;
use std::sync::LazyLock;

/// The URLs and scopes of all providers, by the items of `provider`.
const PRESETS: &str = include_str!("oauth_presets.json");
/// What stands for the tenant in the URLs of a preset.
const TENANT_MARK: &str = "{tenant}";
/// The tenant of an app that names none: accounts of all directories.
const TENANT_DEFAULT: &str = "common";
/// The provider of an app that has all URLs of its own.
const CUSTOM: &str = "custom";

/// Where software begins a consent.
pub const CONSENT_START: &str = "/rest/v1/oauth/start";
/// Where the provider sends people back to.
pub const CONSENT_CALLBACK: &str = "/rest/v1/oauth/callback";
/// The parameter with the account of a consent.
pub const CONSENT_ACCOUNT: &str = "account";
/// The parameter with the slot of a consent.
pub const CONSENT_SLOT: &str = "slot";

/// What is known of a provider.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Preset {
    authorize_url: Option<String>,
    token_url: Option<String>,
    device_url: Option<String>,
    scopes: Vec<String>,
    /// The scopes of an app that gets tokens by its own credentials.
    application_scopes: Vec<String>,
    /// What its page of consent needs beyond RFC 6749 §4.1.1 to give a refresh token.
    authorize_parameters: BTreeMap<String, String>,
}

/// A test proves that the file can be read.
static BY_PROVIDER: LazyLock<HashMap<String, Preset>> =
    LazyLock::new(|| serde_json::from_str(PRESETS).unwrap_or_default());

/// Times of tokens. They change all the time, so they are no news.
pub const TOKEN_TIMES: [&str; 4] = [
    names::TOKEN_EXPIRES_AT,
    names::SMTP_TOKEN_EXPIRES_AT,
    names::REFRESHING_SINCE,
    names::SMTP_REFRESHING_SINCE,
];

/// Which tokens of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TokenSlot {
    /// Those of the account, for both servers.
    Account,
    /// Those for the SMTP server alone.
    Smtp,
}

impl TokenSlot {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Account, Self::Smtp];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.of("account", "smtp")
    }

    /// The slot of a name. `None`: there is none of that name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|slot| slot.as_str() == name)
    }

    /// The property of the app.
    #[must_use]
    pub fn app(self) -> &'static str {
        self.of(names::OAUTH_APP_ID, names::SMTP_OAUTH_APP_ID)
    }

    /// The property of the refresh token.
    #[must_use]
    pub fn refresh_token(self) -> &'static str {
        self.of(names::REFRESH_TOKEN, names::SMTP_REFRESH_TOKEN)
    }

    /// The property of the access token.
    #[must_use]
    pub fn access_token(self) -> &'static str {
        self.of(names::ACCESS_TOKEN, names::SMTP_ACCESS_TOKEN)
    }

    /// The property that says when the access token expires.
    #[must_use]
    pub fn expires_at(self) -> &'static str {
        self.of(names::TOKEN_EXPIRES_AT, names::SMTP_TOKEN_EXPIRES_AT)
    }

    /// The property with the [`TokenState`].
    #[must_use]
    pub fn state(self) -> &'static str {
        self.of(names::TOKEN_STATE, names::SMTP_TOKEN_STATE)
    }

    /// The property that says when somebody last gave tokens.
    #[must_use]
    pub fn consented_at(self) -> &'static str {
        self.of(names::CONSENTED_AT, names::SMTP_CONSENTED_AT)
    }

    /// The property that says since when a token is being asked for.
    #[must_use]
    pub fn refreshing_since(self) -> &'static str {
        self.of(names::REFRESHING_SINCE, names::SMTP_REFRESHING_SINCE)
    }

    /// The property with what the provider said when it refused the refresh token.
    #[must_use]
    pub fn refusal(self) -> &'static str {
        self.of(names::TOKEN_REFUSAL, names::SMTP_TOKEN_REFUSAL)
    }

    /// The property with the version that the app had then.
    #[must_use]
    pub fn refused_app_version(self) -> &'static str {
        self.of(names::REFUSED_APP_VERSION, names::SMTP_REFUSED_APP_VERSION)
    }

    fn of(self, account: &'static str, smtp: &'static str) -> &'static str {
        match self {
            Self::Account => account,
            Self::Smtp => smtp,
        }
    }
}

/// The values of `tokenState`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenState {
    /// There is a token.
    Valid,
    /// The token has expired or soon will, and no new one can be had at the moment.
    Expiring,
    /// The provider gives no more tokens until somebody consents again.
    Refused,
    /// There is none so far.
    None,
}

impl TokenState {
    /// The value of the property.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expiring => "expiring",
            Self::Refused => "refused",
            Self::None => "none",
        }
    }
}

/// What entitles an app to tokens: the values of `grant`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GrantKind {
    /// The refresh token of each account.
    RefreshToken,
    /// The id and the secret of the app, for the mailboxes of its organisation (RFC 6749 §4.4).
    ClientCredentials,
    /// Nothing: software of the client has the tokens, and is asked for them.
    External,
    /// The key of a service account, which acts for each mailbox (RFC 7523 §2.1).
    JwtBearer,
}

/// An app with what its provider adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthApp {
    /// Its name, for people.
    pub name: String,
    /// Where people consent.
    pub authorize_url: Option<Url>,
    /// Where tokens are given.
    pub token_url: Option<Url>,
    /// Where device codes are given.
    pub device_url: Option<Url>,
    /// Its id at the provider.
    pub client_id: Option<String>,
    /// What entitles it to tokens.
    pub grant: GrantKind,
    /// What tokens are good for, with spaces between.
    pub scope: String,
    /// Where people come back to after they consented.
    pub redirect_uri: Option<String>,
    /// What the page of consent needs further.
    pub authorize_parameters: Vec<(String, String)>,
}

impl OAuthApp {
    /// An app of the class OAuthApps. A URL that cannot be read counts as none.
    #[must_use]
    pub fn of(app: &Entity) -> Self {
        let text = |name: &str| app.text(name).filter(|text| !text.is_empty());
        let unknown = Preset::default();
        let preset = BY_PROVIDER.get(text(names::PROVIDER).unwrap_or(CUSTOM)).unwrap_or(&unknown);
        let tenant = text(names::TENANT).unwrap_or(TENANT_DEFAULT);
        let url = |name: &str, preset: Option<&String>| {
            let usual = || preset.map(|url| url.replace(TENANT_MARK, tenant));
            let url = text(name).map(str::to_owned).or_else(usual)?;
            Url::parse(&url).ok()
        };
        let grant = match text(names::GRANT) {
            Some("client_credentials") => GrantKind::ClientCredentials,
            Some("external") => GrantKind::External,
            Some("jwt_bearer") => GrantKind::JwtBearer,
            _ => GrantKind::RefreshToken,
        };
        let usual = match grant {
            GrantKind::ClientCredentials => &preset.application_scopes,
            GrantKind::RefreshToken | GrantKind::External | GrantKind::JwtBearer => &preset.scopes,
        };
        let own: Vec<_> = app.texts(names::SCOPES).collect();
        Self {
            name: text(names::NAME).unwrap_or_default().to_owned(),
            authorize_url: url(names::AUTHORIZE_URL, preset.authorize_url.as_ref()),
            token_url: url(names::TOKEN_URL, preset.token_url.as_ref()),
            device_url: url(names::DEVICE_URL, preset.device_url.as_ref()),
            client_id: text(names::CLIENT_ID).map(str::to_owned),
            grant,
            scope: if own.is_empty() { usual.join(" ") } else { own.join(" ") },
            redirect_uri: text(names::REDIRECT_URI).map(str::to_owned),
            authorize_parameters: preset
                .authorize_parameters
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
        }
    }

    /// Where a consent for a slot of an account begins. It is a whole URL if the provider sends
    /// people back to Postroom, because that address says where Postroom is. Otherwise it is the
    /// path.
    #[must_use]
    pub fn consent_start(&self, account: AccountId, slot: TokenSlot) -> String {
        self.begun_at(CONSENT_START, account, slot)
    }

    /// The same for a consent on another device.
    #[must_use]
    pub fn device_start(&self, account: AccountId, slot: TokenSlot) -> String {
        self.begun_at(CONSENT_DEVICE, account, slot)
    }

    fn begun_at(&self, path: &str, account: AccountId, slot: TokenSlot) -> String {
        let redirect_uri = self.redirect_uri.as_deref();
        let base = redirect_uri.and_then(|uri| uri.strip_suffix(CONSENT_CALLBACK));
        let mut start = format!("{}{path}?{CONSENT_ACCOUNT}={account}", base.unwrap_or_default());
        if slot != TokenSlot::Account {
            start.push_str(&format!("&{CONSENT_SLOT}={}", slot.as_str()));
        }
        start
    }
}

/// Why a text is no URL that secrets may be sent to. `None`: it is one.
#[must_use]
pub fn url_problem(text: &str) -> Option<&'static str> {
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(problem) => return Some(problem),
    };
    let is_here = matches!(url.host.as_str(), "localhost" | "127.0.0.1" | "[::1]");
    (!url.is_tls && !is_here)
        .then_some("begins with http://, by which secrets would go in clear text: use https://")
}

/// Why a text is no tenant. `None`: it is one.
#[must_use]
pub fn tenant_problem(text: &str) -> Option<&'static str> {
    let is_part = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | '_');
    (text.is_empty() || !text.chars().all(is_part))
        .then_some("takes the id of a directory, or its domain")
}

/// Why a text is no private key in PEM. `None`: it looks like one. Whether it is one is seen when
/// it signs.
#[must_use]
pub fn private_key_problem(text: &str) -> Option<&'static str> {
    let text = text.trim();
    let kinds = ["PRIVATE KEY", "RSA PRIVATE KEY"];
    let is_key = kinds.into_iter().any(|kind| {
        text.starts_with(&format!("-----BEGIN {kind}-----"))
            && text.ends_with(&format!("-----END {kind}-----"))
    });
    (!is_key).then_some(
        "takes an RSA key in PEM: from -----BEGIN PRIVATE KEY----- to -----END PRIVATE KEY-----, \
         with line breaks",
    )
}

/// What is wrong with an app, new or changed, beyond the forms of its values.
#[must_use]
pub fn problems(app: &Entity) -> Vec<Invalid> {
    let is_custom = app.text(names::PROVIDER).is_none_or(|provider| provider == CUSTOM);
    let is_missing = is_custom && app.text(names::TOKEN_URL).is_none();
    let reason = "is required, unless `provider` names one that Postroom knows";
    let url = is_missing.then(|| Invalid::new(names::TOKEN_URL, reason));
    let is_service = OAuthApp::of(app).grant == GrantKind::JwtBearer;
    let is_nameless = is_service && app.text(names::CLIENT_ID).is_none();
    let reason = "is required with this `grant`: the address of the service account";
    let name = is_nameless.then(|| Invalid::new(names::CLIENT_ID, reason));
    url.into_iter().chain(name).collect()
}

/// Completes what a client sent for an account, new (`before` has nothing) or changed. Tokens of
/// one app are never sent to another. An access token ends with the refresh token it came by.
/// The moment tells one consent from the next.
pub fn tokens_implied(before: &Entity, sent: &mut Map<String, Json>, now: Timestamp) {
    for slot in TokenSlot::ALL {
        let is_sent = |name: &str| sent.contains_key(name);
        let is_other_app = sent.get(slot.app()).is_some_and(|app| app != before.get(slot.app()));
        let given = [slot.refresh_token(), slot.access_token()];
        if !is_other_app && !given.into_iter().any(is_sent) {
            continue;
        }
        let is_renewed = is_other_app || is_sent(slot.refresh_token());
        for name in given.into_iter().filter(|_| is_renewed) {
            if !sent.contains_key(name) {
                sent.insert(name.to_owned(), Json::Null);
            }
        }
        let is_given = |name: &str| sent.get(name).is_some_and(|secret| !secret.is_null());
        let at = given.into_iter().any(is_given).then(|| now.to_string());
        sent.insert(slot.consented_at().to_owned(), Json::from(at));
        sent.insert(slot.state().to_owned(), Json::from(TokenState::None.as_str()));
        sent.insert(slot.expires_at().to_owned(), Json::Null);
        sent.insert(slot.refreshing_since().to_owned(), Json::Null);
        sent.insert(slot.refusal().to_owned(), Json::Null);
        sent.insert(slot.refused_app_version().to_owned(), Json::Null);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::builtin::OAUTH_APPS;
    use crate::id::EntityId;
    use serde_json::json;

    fn entity(values: &Json) -> Entity {
        Entity::new(EntityId::nil(), values.as_object().unwrap().clone())
    }

    fn at(url: Option<Url>) -> String {
        url.map(|url| format!("{}{}", url.host, url.path)).unwrap_or_default()
    }

    /// The file has what each provider needs, and the class has the same providers.
    #[test]
    fn presets_are_whole_and_of_the_providers_of_the_class() {
        let presets: HashMap<String, Preset> = serde_json::from_str(PRESETS).unwrap();
        let classes = builtin::classes().unwrap();
        let class = classes.iter().find(|class| class.classname == OAUTH_APPS).unwrap();
        let mut items = class.property(names::PROVIDER).unwrap().items.clone();
        items.sort_unstable();
        let mut known: Vec<_> = presets.keys().cloned().collect();
        known.sort_unstable();
        assert_eq!(known, items);
        for (provider, preset) in presets.iter().filter(|(provider, _)| *provider != CUSTOM) {
            for url in [&preset.authorize_url, &preset.token_url, &preset.device_url] {
                let Some(url) = url else { continue };
                let url = url.replace(TENANT_MARK, TENANT_DEFAULT);
                assert_eq!(url_problem(&url), None, "{provider}: {url}");
                assert!(Url::parse(&url).unwrap().is_tls, "{provider}: {url}");
            }
            assert!(preset.authorize_url.is_some() && preset.token_url.is_some(), "{provider}");
            assert!(!preset.scopes.is_empty(), "{provider}");
            assert!(preset.scopes.iter().all(|scope| !scope.contains(' ')), "{provider}");
        }
        // Google gives a refresh token only to those who ask for it, and only with a new consent.
        let google: Vec<_> = presets["google"].authorize_parameters.iter().collect();
        let want = [("access_type", "offline"), ("prompt", "consent")];
        assert!(google.iter().map(|(name, value)| (name.as_str(), value.as_str())).eq(want));
        assert!(presets["microsoft"].scopes.iter().any(|scope| scope == "offline_access"));
    }

    #[test]
    fn an_app_has_what_its_provider_has_unless_it_says_otherwise() {
        let app = OAuthApp::of(&entity(&json!({"provider": "microsoft"})));
        let token = at(app.token_url);
        assert!(token.ends_with("/common/oauth2/v2.0/token"), "{token}");
        assert!(app.scope.contains("SMTP.Send offline_access"), "{}", app.scope);
        let own = json!({
            "provider": "microsoft", "tenant": "firm.example", "scopes": ["a", "b"],
            "authorizeUrl": "https://login.example/consent",
        });
        let app = OAuthApp::of(&entity(&own));
        assert!(at(app.token_url).contains("/firm.example/"));
        assert_eq!(
            (at(app.authorize_url).as_str(), app.scope.as_str()),
            ("login.example/consent", "a b")
        );
        let daemon = json!({"provider": "microsoft", "grant": "client_credentials"});
        let daemon = OAuthApp::of(&entity(&daemon));
        assert_eq!(daemon.grant, GrantKind::ClientCredentials);
        assert!(daemon.scope.ends_with("/.default"), "{}", daemon.scope);
        let none = OAuthApp::of(&entity(&json!({"name": "x"})));
        assert_eq!((none.token_url, none.scope.as_str(), none.name.as_str()), (None, "", "x"));
    }

    #[test]
    fn a_consent_begins_where_postroom_is() {
        let account = AccountId::of(EntityId::from_u128(7));
        #[rustfmt::skip]
        let table = [
            (Some("https://a.test/x/rest/v1/oauth/callback"), "https://a.test/x/rest/v1/oauth/start"),
            (Some("https://ours.test/consented"),             "/rest/v1/oauth/start"),
            (None,                                            "/rest/v1/oauth/start"),
        ];
        for (redirect_uri, want) in table {
            let app = OAuthApp::of(&entity(&json!({"redirectUri": redirect_uri})));
            let want = format!("{want}?account={account}");
            assert_eq!(app.consent_start(account, TokenSlot::Account), want);
            assert_eq!(app.consent_start(account, TokenSlot::Smtp), format!("{want}&slot=smtp"));
        }
        for slot in TokenSlot::ALL {
            assert_eq!(TokenSlot::parse(slot.as_str()), Some(slot));
        }
        assert_eq!(TokenSlot::parse("imap"), None);
    }

    #[test]
    fn an_app_of_no_known_provider_names_its_token_url() {
        let wrong = |values: Json| problems(&entity(&values)).len();
        assert_eq!(wrong(json!({})), 1);
        assert_eq!(wrong(json!({"provider": "custom"})), 1);
        assert_eq!(wrong(json!({"tokenUrl": "https://a.test/"})), 0);
        assert_eq!(wrong(json!({"provider": "google"})), 0);
        assert_eq!(wrong(json!({"provider": "google", "grant": "jwt_bearer"})), 1);
        let service = json!({"provider": "google", "grant": "jwt_bearer", "clientId": "r@a.test"});
        assert_eq!(wrong(service), 0);
    }

    #[test]
    fn secrets_go_by_tls_or_stay_on_this_host() {
        #[rustfmt::skip]
        let table = [
            ("https://a.test/token",        true),
            ("http://localhost:8080/token", true),
            ("http://127.0.0.1/",           true),
            ("http://[::1]:81/",            true),
            ("http://a.test/",              false),
            ("http://localhost.a.test/",    false),
            ("ftp://a.test/",               false),
        ];
        for (url, want) in table {
            assert_eq!(url_problem(url).is_none(), want, "{url}");
        }
        let (begin, end) = ("-----BEGIN PRIVATE KEY-----", "-----END PRIVATE KEY-----");
        assert_eq!(private_key_problem(&format!("{begin}\nAA==\n{end}\n")), None);
        for wrong in ["hush", begin, "-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----"]
        {
            assert!(private_key_problem(wrong).is_some(), "{wrong}");
        }
        for (tenant, want) in [("common", true), ("a.example", true), ("a/b", false), ("", false)] {
            assert_eq!(tenant_problem(tenant).is_none(), want, "{tenant}");
        }
    }

    #[test]
    fn tokens_of_one_app_are_never_left_for_another() {
        let now = Timestamp::parse("2026-11-29T10:00:00Z").unwrap();
        let then = json!("2026-11-29T10:00:00.000Z");
        let implied = |before: &Json, sent: Json| {
            let mut sent = sent.as_object().unwrap().clone();
            tokens_implied(&entity(before), &mut sent, now);
            Json::Object(sent)
        };
        let (none, had) = (json!({}), json!({"oauthApp_id": "one"}));
        // Nothing about tokens: nothing follows.
        assert_eq!(implied(&had, json!({"oauthApp_id": "one"})), json!({"oauthApp_id": "one"}));
        assert_eq!(implied(&had, json!({"name": "x"})), json!({"name": "x"}));

        let given = implied(&none, json!({"oauthApp_id": "one", "refreshToken": "r"}));
        assert_eq!((&given["refreshToken"], &given["accessToken"]), (&json!("r"), &Json::Null));
        assert_eq!(given["consentedAt"], then);
        assert_eq!((&given["tokenState"], &given["tokenExpiresAt"]), (&json!("none"), &Json::Null));
        assert_eq!(given.get("smtpTokenState"), None);
        assert_eq!(given.get("tokenRefusal"), Some(&Json::Null), "a refusal ends with a consent");
        assert_eq!(given.get("refusedAppVersion"), Some(&Json::Null));

        let moved = implied(&had, json!({"oauthApp_id": "two"}));
        let is_null = |name: &str| moved.get(name) == Some(&Json::Null);
        assert!(["refreshToken", "accessToken", "consentedAt"].into_iter().all(is_null), "{moved}");
        // An access token alone goes with the refresh token that is there.
        let access = implied(&had, json!({"accessToken": "a"}));
        assert_eq!((access.get("refreshToken"), &access["consentedAt"]), (None, &then));
        let smtp = implied(&had, json!({"smtpRefreshToken": "s"}));
        assert_eq!((&smtp["smtpAccessToken"], smtp.get("refreshToken")), (&Json::Null, None));
        assert_eq!(smtp["smtpConsentedAt"], then);
    }
}

//! An account of the data model, in the types of the engine.

use crate::unusable_profile::unusable;
use postroom_imap::ImapDeadlines;
use postroom_imap::ImapLimits;
use postroom_imap::ImapOptions;
use postroom_imap::MailboxName;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::Options;
use postroom_model::ProfileId;
use postroom_model::builtin::names;
use postroom_model::client_id;
use postroom_model::client_id::ClientIdField;
use postroom_model::fingerprint;
use postroom_model::oauth::TokenSlot;
use postroom_model::options;
use postroom_model::proxy::ProfileProxy;
use postroom_net::Endpoint;
use postroom_net::Security;
use postroom_net::TlsMinimum;
use postroom_store::AccountRow;
use postroom_store::Sealed;
use postroom_store::SecretMark;
use postroom_store::Secrets;
use std::time::Duration;

/// A message that is silent for this part of `silence_timeout` holds up the others.
const STALL_PART: u32 = 8;

/// The name of the folder that a system account gets for its outgoing mail.
pub(crate) const SYSTEM_SEND_BOX: &str = "Virtual_System_Send_Box";

/// Which of the two servers of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKind {
    /// The server of its mailboxes.
    Imap,
    /// The server that takes its outgoing mail.
    Smtp,
}

/// One server of an account, and how to log in there.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Server {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The login.
    pub login: Login,
    /// Whether the login is meant for this server, so that the server must accept it. Otherwise it
    /// is that of the other server, and is used only if this server offers a login.
    pub must_log_in: bool,
}

/// How to log in. The secret itself is asked for when a connection logs in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Login {
    /// The name.
    pub name: String,
    /// Whether the secret is an access token.
    pub is_oauth: bool,
    /// The tokens of the account to log in with. `None`: the secret is what is stored as password.
    pub tokens: Option<TokenSlot>,
    /// Tells one saving of the secret from the next. `None`: none is stored.
    saved: Option<SecretMark>,
    /// Tells one consent from the next.
    consent: Option<Consent>,
}

/// What somebody consented to. Postroom replaces the tokens that come by it.
#[derive(Debug, Clone, PartialEq)]
struct Consent {
    app: EntityId,
    at: Option<String>,
}

/// A folder that may be monitored.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folder {
    /// Its id in the data model.
    pub id: FolderId,
    /// The mailbox at the server, byte for byte.
    pub mailbox: MailboxName,
    /// The title, for people and logs.
    pub title: String,
    /// Whether it is to be monitored: enabled, and not of mode `sendOnly`.
    pub monitored: bool,
    /// Whether a client made it for a mailbox that has not been found so far.
    pub is_unfound: bool,
    /// Whether messages are deleted at the server once they are stored.
    pub delete_on_server: bool,
    /// The options that hold for it.
    pub options: Options,
}

/// An account with its servers and folders, as the data model has it now.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    /// The tenant.
    pub domain: Domain,
    /// Its id in the data model.
    pub id: AccountId,
    /// Its mail address.
    pub address: String,
    /// The display name of its outgoing mail, when a message has none.
    pub display_name: Option<String>,
    /// The reply address of its outgoing mail, when a message has none.
    pub reply_to: Option<String>,
    /// Whether Postroom works for it.
    pub enabled: bool,
    /// Whether it gets [`SYSTEM_SEND_BOX`].
    pub is_system: bool,
    /// The IMAP server. `None`: the account only sends.
    pub imap: Option<Server>,
    /// The SMTP server. `None`: the account only receives.
    pub smtp: Option<Server>,
    /// The options that hold for the account itself.
    pub options: Options,
    /// Its folders.
    pub folders: Vec<Folder>,
    /// The state that the data model shows.
    pub state: String,
    /// How often the settings for connections have changed since the start.
    pub dialing: u64,
    /// Whether a login at its servers ever succeeded.
    pub was_let_in: bool,
    /// The property of the profile whose value is not understood. Nothing connects then.
    pub unusable: Option<&'static str>,
    /// The fingerprints that its servers' certificates must have. Empty: any trusted certificate.
    pub fingerprints: Vec<[u8; fingerprint::OCTETS]>,
    /// The oldest version of TLS that is used with them.
    pub tls_minimum: TlsMinimum,
    /// The profile with its servers.
    pub profile: ProfileId,
    /// The proxy that they are reached through.
    pub proxy: ProfileProxy,
    /// The login name there. The password is asked for when a connection is made.
    pub proxy_login: Option<String>,
    /// The password there, of an account that is not stored.
    pub proxy_password: Option<Sealed>,
    /// What ID tells the IMAP server. `None`: what Postroom tells by itself.
    pub client_id: Option<Vec<ClientIdField>>,
    /// A value that changes whenever its secrets or its profile are saved, even unchanged, and with
    /// each request to try at once.
    pub saved: [u8; 16],
}

/// A mailbox that an account receives from, as the data model has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonitoredMailbox<'a> {
    /// The account.
    pub account: &'a Account,
    /// The folder that stands for the mailbox.
    pub folder: &'a Folder,
}

impl Account {
    /// Reads an account from its rows.
    #[must_use]
    pub(crate) fn from_row(row: &AccountRow) -> Self {
        let (account, profile) = (&row.account, &row.profile);
        let text = |name: &str| account.text(name).filter(|text| !text.is_empty());
        let address = text(names::ADDRESS).unwrap_or_default().to_owned();
        let levels = [account.get(names::OPTIONS), profile.get(names::OPTIONS)];
        let folders = row.folders.iter().map(|folder| Folder::from_entity(folder, levels));
        let login = text(names::LOGIN).unwrap_or(&address).to_owned();
        let smtp_login = text(names::SMTP_LOGIN).unwrap_or(&login).to_owned();
        let Secrets { password, smtp_password: own_password, .. } = &row.secrets;
        let has_app = |slot: TokenSlot| account.reference(slot.app()).is_some();
        let sends_only = ServerKind::Imap.endpoint(profile).is_none();
        let must_log_in = sends_only || own_password.is_some() || text(names::SMTP_LOGIN).is_some();
        let must_log_in = must_log_in || has_app(TokenSlot::Smtp);
        let smtp_password = own_password.as_ref().or(password.as_ref());
        let tokens = has_app(TokenSlot::Account).then_some(TokenSlot::Account);
        let smtp_tokens = match own_password {
            _ if has_app(TokenSlot::Smtp) => Some(TokenSlot::Smtp),
            Some(_) => None,
            None => tokens,
        };
        let oauth = profile.text(names::AUTH) == Some("oauth2");
        let server = |kind: ServerKind, name: String, password: Option<&Sealed>| {
            let endpoint = kind.endpoint(profile)?;
            let tokens = match kind {
                ServerKind::Imap => tokens,
                ServerKind::Smtp => smtp_tokens,
            };
            let saved = password.filter(|_| tokens.is_none()).map(Sealed::mark);
            let consent = tokens.and_then(|slot| Consent::of(account, slot));
            let is_oauth = oauth || tokens.is_some();
            let login = Login { name, is_oauth, tokens, saved, consent };
            let must_log_in = must_log_in || kind == ServerKind::Imap;
            Some(Server { endpoint, login, must_log_in })
        };
        Self {
            domain: row.domain.clone(),
            id: AccountId::of(account.id),
            display_name: text(names::FROM_DISPLAY_NAME).map(str::to_owned),
            reply_to: text(names::REPLY_TO).map(str::to_owned),
            enabled: account.is_set(names::ENABLED),
            is_system: account.is_set(names::IS_SYSTEM),
            imap: server(ServerKind::Imap, login, password.as_ref()),
            smtp: server(ServerKind::Smtp, smtp_login, smtp_password),
            options: Options::cascade(levels),
            folders: folders.collect(),
            state: text(names::STATE).unwrap_or_default().to_owned(),
            dialing: 0,
            was_let_in: text(names::LAST_CONNECTED_AT).is_some(),
            unusable: unusable(profile),
            fingerprints: profile
                .text(names::TLS_FINGERPRINT)
                .and_then(|text| fingerprint::parse(text).ok())
                .unwrap_or_default(),
            tls_minimum: match profile.text(names::TLS_MINIMUM) {
                Some("1.3") => TlsMinimum::V1_3,
                _ => TlsMinimum::V1_2,
            },
            profile: ProfileId::of(profile.id),
            proxy: ProfileProxy::parse(profile.text(names::PROXY)).unwrap_or_default(),
            proxy_password: row.secrets.proxy_password.clone(),
            proxy_login: profile.text(names::PROXY_LOGIN).map(str::to_owned),
            client_id: client_id::parse(profile.get(names::CLIENT_ID)).ok(),
            saved: row.saved,
            address,
        }
    }

    /// The monitored folders.
    pub(crate) fn monitored(&self) -> impl Iterator<Item = &Folder> {
        self.folders.iter().filter(|folder| folder.monitored)
    }

    /// The server and login of its mailboxes. Under another one, the same UIDs mean other messages.
    #[must_use]
    pub(crate) fn mailbox_origin(&self) -> String {
        let Some(server) = &self.imap else {
            return String::new();
        };
        let login = &server.login.name;
        let host = server.endpoint.bare_host().to_ascii_lowercase();
        match server.endpoint.port {
            // The usual ports lead to the same server.
            143 | 993 => format!("{login}@{host}"),
            port => format!("{login}@{host}:{port}"),
        }
    }

    /// The largest message that any of its folders accepts. It is the limit of the connection.
    #[must_use]
    pub(crate) fn message_bytes_max(&self) -> u64 {
        let folders = self.monitored().map(|folder| &folder.options);
        let options = folders.chain([&self.options]);
        options.map(|options| options.count(&options::MESSAGE_BYTES_MAX)).max().unwrap_or(0)
    }

    /// What its IMAP connections are opened with.
    #[must_use]
    pub(crate) fn imap_options(&self, limits: ImapLimits, deadlines: ImapDeadlines) -> ImapOptions {
        let mechanism = self.options.mechanism();
        let usual = ImapOptions { limits, deadlines, mechanism, ..ImapOptions::default() };
        match &self.client_id {
            Some(fields) => {
                let field = |it: &ClientIdField| (it.name.clone(), it.text.clone());
                ImapOptions { client_id: fields.iter().map(field).collect(), ..usual }
            }
            None => usual,
        }
    }

    /// How long a fetch of messages may be silent if other messages wait for it.
    #[must_use]
    pub(crate) fn stall(&self) -> Duration {
        self.options.duration(&options::SILENCE_TIMEOUT) / STALL_PART
    }

    /// How many mailboxes of the account become folders.
    #[must_use]
    pub(crate) fn mailboxes_max(&self) -> usize {
        usize::try_from(self.options.count(&options::MAILBOXES_MAX)).unwrap_or(usize::MAX)
    }

    /// Whether both have the same servers and the same logins there.
    #[must_use]
    pub(crate) fn logs_in_like(&self, other: &Self) -> bool {
        self.imap == other.imap && self.smtp == other.smtp
    }

    /// One of its servers.
    #[must_use]
    pub(crate) fn server(&self, kind: ServerKind) -> Option<&Server> {
        match kind {
            ServerKind::Imap => self.imap.as_ref(),
            ServerKind::Smtp => self.smtp.as_ref(),
        }
    }

    /// Whether a connection that was made for `other` can serve this account.
    #[must_use]
    pub(crate) fn connects_like(&self, other: &Self) -> bool {
        self.logs_in_like(other)
            && self.message_bytes_max() == other.message_bytes_max()
            && self.mailboxes_max() == other.mailboxes_max()
            && self.dialing == other.dialing
            && (self.unusable, &self.fingerprints) == (other.unusable, &other.fingerprints)
            && self.tls_minimum == other.tls_minimum
            && self.client_id == other.client_id
            && self.proxy == other.proxy
            && self.proxy_login == other.proxy_login
            && self.options.mechanism() == other.options.mechanism()
    }

    /// Whether to try at once what was refused for `other`, because this account connects in
    /// another way, or a person asked for it.
    #[must_use]
    pub(crate) fn is_tried_anew(&self, other: &Self) -> bool {
        !self.connects_like(other) || self.saved != other.saved
    }

    /// Whether the engine would do the same for both.
    #[must_use]
    pub(crate) fn works_like(&self, other: &Self) -> bool {
        !self.is_tried_anew(other)
            && self.enabled == other.enabled
            && self.is_system == other.is_system
            && self.address == other.address
            && self.display_name == other.display_name
            && self.reply_to == other.reply_to
            && self.options == other.options
            && self.folders == other.folders
    }
}

impl Consent {
    fn of(account: &Entity, slot: TokenSlot) -> Option<Self> {
        let at = account.text(slot.consented_at()).map(str::to_owned);
        Some(Self { app: account.reference(slot.app())?, at })
    }
}

impl Folder {
    fn from_entity(folder: &Entity, levels: [&serde_json::Value; 2]) -> Self {
        let [account, profile] = levels;
        let mailbox = match folder.text(names::MAILBOX) {
            Some(encoded) => MailboxName::from_percent_encoded(encoded),
            None => MailboxName::from_display(folder.text(names::NAME).unwrap_or_default()),
        };
        let nameless =
            folder.text(names::MAILBOX).or(folder.text(names::NAME)).is_none_or(str::is_empty);
        let sends_only = folder.text(names::MODE) == Some("sendOnly");
        Self {
            id: FolderId::of(folder.id),
            mailbox,
            title: folder.text(names::TITLE).unwrap_or_default().to_owned(),
            monitored: folder.is_set(names::ENABLED) && !sends_only && !nameless,
            is_unfound: postroom_store::is_unfound(folder),
            delete_on_server: folder.is_set(names::DELETE_ON_SERVER),
            options: Options::cascade([folder.get(names::OPTIONS), account, profile]),
        }
    }
}

impl ServerKind {
    fn endpoint(self, profile: &Entity) -> Option<Endpoint> {
        let (host, port, security) = match self {
            Self::Imap => ("imapHost", "imapPort", "imapSecurity"),
            Self::Smtp => ("smtpHost", "smtpPort", "smtpSecurity"),
        };
        let host = profile.text(host).map(str::trim).filter(|host| !host.is_empty())?;
        let security = match profile.text(security) {
            Some("starttls") => Security::StartTls,
            Some("none") => Security::None,
            _ => Security::Tls,
        };
        let given = profile.number(port).and_then(|port| u16::try_from(port).ok());
        let port = given.unwrap_or(match (self, security) {
            (Self::Imap, Security::Tls) => 993,
            (Self::Imap, Security::StartTls | Security::None) => 143,
            (Self::Smtp, Security::Tls) => 465,
            (Self::Smtp, Security::StartTls | Security::None) => 587,
        });
        Some(Endpoint { host: host.to_owned(), port, security })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::fixture::account_of;
    use serde_json::Value as Json;
    use serde_json::json;

    const ANNA: &str = "anna@a.test";

    fn of_profile(profile: Json) -> Account {
        account_of(profile, json!({"address": ANNA}), &[])
    }

    #[test]
    fn a_server_has_the_usual_port_of_its_security_unless_another_is_given() {
        #[rustfmt::skip]
        let table = [
            // The security, the ports that are given, those that follow.
            (json!(null),       json!(null), (993, 465)),
            (json!("tls"),      json!(null), (993, 465)),
            (json!("starttls"), json!(null), (143, 587)),
            (json!("none"),     json!(null), (143, 587)),
            (json!("none"),     json!(2525), (2525, 2525)),
            (json!("tls"),      json!(70_000), (993, 465)),
        ];
        for (security, port, want) in table {
            let account = of_profile(json!({
                "imapHost": " mail.test ", "imapSecurity": security, "imapPort": port,
                "smtpHost": "mail.test", "smtpSecurity": security, "smtpPort": port,
            }));
            let (imap, smtp) = (account.imap.unwrap().endpoint, account.smtp.unwrap().endpoint);
            assert_eq!((imap.port, smtp.port), want, "{security} {port}");
            assert_eq!(imap.host, "mail.test");
        }
        let none = of_profile(json!({"imapHost": " ", "smtpHost": null}));
        assert!(none.imap.is_none() && none.smtp.is_none());
    }

    #[test]
    fn a_profile_says_which_tls_and_which_words_about_us() {
        let usual = of_profile(json!({"imapHost": "a.test"}));
        assert_eq!((usual.tls_minimum, usual.client_id), (TlsMinimum::V1_2, None));
        assert_eq!(usual.unusable, None);
        let own = json!({"imapHost": "a.test", "tlsMinimum": "1.3", "clientId": {"name": "ACME"}});
        let own = of_profile(own);
        let field = ClientIdField { name: "name".to_owned(), text: "ACME".to_owned() };
        assert_eq!((own.tls_minimum, own.client_id), (TlsMinimum::V1_3, Some(vec![field])));
    }

    #[test]
    fn a_login_for_imap_is_not_forced_upon_a_server_for_sending() {
        let both = json!({"imapHost": "a.test", "smtpHost": "a.test"});
        let sends_only = json!({"smtpHost": "a.test"});
        let plain = json!({"address": ANNA, "login": "anna"});
        let own = json!({"address": ANNA, "login": "anna", "smtpLogin": "sender"});
        for (profile, account, login, must_log_in) in [
            (&both, &plain, "anna", false),
            (&both, &own, "sender", true),
            (&sends_only, &plain, "anna", true),
            (&sends_only, &json!({"address": ANNA}), ANNA, true),
        ] {
            let smtp = account_of(profile.clone(), account.clone(), &[]).smtp.unwrap();
            assert_eq!((smtp.login.name.as_str(), smtp.must_log_in), (login, must_log_in));
        }
    }

    #[test]
    fn uids_are_those_of_a_server_and_login_whatever_the_way_there_is() {
        let origin = |profile: Json| of_profile(profile).mailbox_origin();
        let usual = origin(json!({"imapHost": "Mail.test"}));
        assert_eq!(usual, "anna@a.test@mail.test");
        let starttls = json!({"imapHost": "mail.test", "imapSecurity": "starttls"});
        assert_eq!(origin(starttls), usual);
        for other in [
            json!({"imapHost": "mail.test", "imapPort": 1143}),
            json!({"imapHost": "other.test"}),
            json!({"smtpHost": "mail.test"}),
        ] {
            assert_ne!(origin(other.clone()), usual, "{other}");
        }
    }

    #[test]
    fn a_folder_is_monitored_if_it_is_enabled_receives_and_has_a_mailbox() {
        for (values, want) in [
            (json!({"name": "a", "enabled": true}), true),
            (json!({"name": "a", "enabled": false}), false),
            (json!({"name": "a", "enabled": true, "mode": "sendOnly"}), false),
            (json!({"name": "a", "enabled": true, "mode": "sync"}), true),
            (json!({"name": "", "enabled": true}), false),
            (json!({"enabled": true}), false),
        ] {
            let entity =
                Entity::new(postroom_model::EntityId::nil(), values.as_object().unwrap().clone());
            let folder = Folder::from_entity(&entity, [&Json::Null, &Json::Null]);
            assert_eq!(folder.monitored, want, "{values}");
        }
    }

    #[test]
    fn each_change_has_the_consequence_that_it_needs() {
        /// A change of an account.
        type Change = fn(&mut Account);
        let before = fixture::account(&["a"]);
        #[rustfmt::skip]
        let table: &[(Change, [bool; 3])] = &[
            // The same connection, nothing to be tried again, the same work.
            (|_| {},                                                   [true,  true,  true]),
            (|it| it.dialing += 1,                                     [false, false, false]),
            (|it| it.fingerprints.push([7; fingerprint::OCTETS]),      [false, false, false]),
            (|it| it.tls_minimum = TlsMinimum::V1_3,                   [false, false, false]),
            (|it| it.proxy_login = Some("x".to_owned()),               [false, false, false]),
            (|it| it.proxy = ProfileProxy::Direct,                         [false, false, false]),
            (|it| it.client_id = Some(vec![]),                         [false, false, false]),
            (|it| it.options = Options::cascade([&json!({"mechanism": "plain"})]), [false, false, false]),
            (|it| it.imap.as_mut().unwrap().login.name.push('x'),      [false, false, false]),
            (|it| it.imap = None,                                      [false, false, false]),
            (|it| it.saved = [1; 16],                                  [true,  false, false]),
            (|it| it.enabled = !it.enabled,                            [true,  true,  false]),
            (|it| it.is_system = true,                                 [true,  true,  false]),
            (|it| it.address.push('x'),                                [true,  true,  false]),
            (|it| it.display_name = Some("Anna".to_owned()),           [true,  true,  false]),
            (|it| it.reply_to = Some("x@y.test".to_owned()),           [true,  true,  false]),
            (|it| it.folders[0].delete_on_server = true,               [true,  true,  false]),
            (|it| it.folders.clear(),                                  [true,  true,  false]),
            (|it| it.state = "ready".to_owned(),                       [true,  true,  true]),
            (|it| it.was_let_in = true,                                [true,  true,  true]),
        ];
        for (at, (change, want)) in table.iter().enumerate() {
            let mut after = before.clone();
            change(&mut after);
            let got = [
                after.connects_like(&before),
                !after.is_tried_anew(&before),
                after.works_like(&before),
            ];
            assert_eq!(got, *want, "change {at}");
        }
    }

    #[tokio::test]
    async fn a_demand_that_is_not_understood_is_never_taken_for_none() {
        let (_directory, shared) = crate::fixture::shared().await;
        for (name, value) in
            [("tlsFingerprint", "sha512:00"), ("tlsMinimum", "1.4"), ("proxy", "tor://a:1")]
        {
            let account = of_profile(json!({"imapHost": "a.test", name: value}));
            let refused = shared.mail_dialer(&account).await.map(drop).unwrap_err().to_string();
            assert!(refused.contains(&format!("`{name}` of the profile")), "{refused}");
        }
        let usual = of_profile(json!({"imapHost": "a.test", "tlsMinimum": "1.2"}));
        assert!(shared.mail_dialer(&usual).await.is_ok());
    }
}

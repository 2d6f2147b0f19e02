//! The other work of the engine, and the work that the store does by itself.

use crate::AuditEvent;
use crate::AuditNotice;
use crate::RequestOrigin;
use crate::account::AccountReport;
use crate::account::FolderReport;
use crate::backup::backup_key;
use crate::blob::BlobWriter;
use crate::change::Updated;
use crate::columns;
use crate::configuration::NextConfiguration;
use crate::consent::ConsentRequest;
use crate::database::Statement;
use crate::delete_terms::DeleteTerms;
use crate::device_consent::DeviceRequest;
use crate::device_consent::DeviceStep;
use crate::entity::NewEntity;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::feed_gap;
use crate::feed_marks::LastTrim;
use crate::file::NewContent;
use crate::file::NewFile;
use crate::file_change::Replace;
use crate::key::random_token;
use crate::poll_times::PollTimes;
use crate::rename::NamedMailbox;
use crate::rename::Renamed;
use crate::retention::Expiring;
use crate::retention::ExpiryPage;
use crate::session::BegunSession;
use crate::sign_in::LoginOutcome;
use crate::sign_in::OfferedLogin;
use crate::store::Store;
use crate::surveyed::Survey;
use crate::surveyed::SurveyedFolder;
use crate::tests::life::clients;
use crate::tests::life::world::CLASS;
use crate::tests::life::world::World;
use crate::tests::life::world::file;
use crate::tests::life::world::object;
use crate::token_step::TokenStep;
use crate::untold;
use crate::webhook::WebhookProgress;
use postroom_model::AccountId;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::FolderId;
use postroom_model::OAuthAppId;
use postroom_model::ProfileId;
use postroom_model::RightAction;
use postroom_model::Rights;
use postroom_model::Timestamp;
use postroom_model::WebhookId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::DOMAINS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::OAUTH_APPS;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::TOKENS;
use postroom_model::builtin::USERS;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::oauth::TokenSlot;
use postroom_model::oauth_device::DeviceState;
use postroom_testkit::TOTP_STEP_MS;
use postroom_testkit::totp_code;
use secrecy::ExposeSecret;
use secrecy::SecretString;
use serde_json::json;
use std::time::Duration;

fn mailbox(name: &str) -> SurveyedFolder {
    SurveyedFolder {
        mailbox: name.to_owned(),
        name: name.to_owned(),
        title: format!("life@b.test/{name}"),
        delimiter: "/".to_owned(),
        flags: vec![],
        special_use: None,
    }
}

/// Accounts are read, mailboxes listed, polled and renamed.
pub(super) async fn surveys(world: &World) {
    let (store, domain, account) = (&world.engine, &world.domain, world.account);
    store.account_list().await.unwrap();
    store.account_list_enabled_folders().await.unwrap();
    let row = store.account_find(account).await.unwrap().unwrap();
    store.proxy_password(ProfileId::of(row.profile.id)).await.unwrap();
    let report = AccountReport {
        state: "ok",
        status_text: "fine".to_owned(),
        last_connected_at: Some(Timestamp::from_ms(7)),
    };
    store.account_report(domain, account, &report).await.unwrap();
    let folders = vec![mailbox("INBOX"), mailbox("Old"), mailbox("New")];
    let survey = Survey { folders, is_whole: true };
    store.survey_commit(domain, account, &survey).await.unwrap();
    store.send_box_ensure(domain, account, "life@b.test", "Outbox").await.unwrap();
    let now = Some(Timestamp::from_ms(7));
    let times = PollTimes { poll: now, proof: now };
    let report = FolderReport { uid_next: Some(9), times, ..FolderReport::default() };
    store.folder_report(domain, world.folder, &report).await.unwrap();
    let later = Some(Timestamp::from_ms(9));
    let report =
        FolderReport { times: PollTimes { poll: later, proof: later }, ..FolderReport::default() };
    store.folder_report(domain, world.folder, &report).await.unwrap();
    store.poll_times_write().await.unwrap();
    let known = store.folders_known(domain, account).await.unwrap();
    let class = world.class(FOLDERS);
    let mut named = vec![];
    for holder in known {
        let folder = store.entity_get(domain, &class, holder.folder.into()).await.unwrap().unwrap();
        named.push((folder.text("name").unwrap().to_owned(), folder));
    }
    let of = |name: &str| named.iter().find(|(is, _)| is == name).map(|(_, f)| f.clone()).unwrap();
    let (old, new) = (of("Old"), of("New"));
    let follow = async |folder, former, name| {
        let renamed = Renamed { mailbox: name, name, former: Some(former) };
        assert!(store.folder_follow(domain, folder, &renamed).await.unwrap());
    };
    // Of two folders for one mailbox the untouched one goes, and one that a client changed stays.
    follow(FolderId::of(old.id), FolderId::of(new.id), "New").await;
    let survey = Survey { folders: vec![mailbox("Third")], is_whole: false };
    store.survey_commit(domain, account, &survey).await.unwrap();
    let all = store.folders_known(domain, account).await.unwrap();
    let third = all.iter().map(|holder| holder.folder).max().unwrap();
    let class = world.class(FOLDERS);
    let third = store.entity_get(domain, &class, third.into()).await.unwrap().unwrap();
    world.update(FOLDERS, &third, json!({"mode": "sendOnly"})).await;
    follow(FolderId::of(old.id), FolderId::of(third.id), "Third").await;
    let survey = Survey { folders: vec![mailbox("Fourth")], is_whole: false };
    store.survey_commit(domain, account, &survey).await.unwrap();
    let all = store.folders_known(domain, account).await.unwrap();
    let folder = all.iter().map(|holder| holder.folder).max().unwrap();
    let named = |folder, mailbox: &str| NamedMailbox { folder, mailbox: mailbox.to_owned() };
    let both = [named(FolderId::of(old.id), "Third"), named(folder, "Fourth")];
    assert!(store.folders_exchange(domain, both).await.unwrap());
}

/// Webhooks are read, make progress, and are disabled.
pub(super) async fn webhooks(world: &World) {
    let (store, domain) = (&world.engine, &world.domain);
    let values = json!({"url": "https://hook.test/", "secret": "whsec_", "enabled": true});
    let webhook = world.create(WEBHOOKS, values).await;
    let (id, all) = (WebhookId::of(webhook.id), store.webhook_list_enabled().await.unwrap());
    assert_eq!(all.iter().map(|row| row.webhook.id).collect::<Vec<_>>(), [webhook.id]);
    let begin = store.webhook_begin(domain, &webhook).await.unwrap();
    assert_eq!(begin, webhook.seq);
    let progress = WebhookProgress {
        known: begin,
        cursor: begin + 1,
        last_delivery_at: Some(Timestamp::from_ms(7)),
        lag_seconds: 3,
        failures: 2,
        failing_since: Some(Timestamp::from_ms(8)),
        status_text: Some("so it is".to_owned()),
        attempts: json!([{"status": 500}]),
    };
    store.webhook_progress_write(&[(id, progress.clone())]).await.unwrap();
    let row = store.webhook_find(domain, id).await.unwrap().unwrap();
    assert_eq!((row.webhook.version, row.webhook.seq), (webhook.version, webhook.seq));
    assert_eq!(row.webhook.number("cursor"), Some(begin + 1));
    let is_done = store.webhook_disable(domain, id, row.webhook.seq + 1, &progress).await;
    assert!(!is_done.unwrap(), "another change");
    assert!(store.webhook_disable(domain, id, row.webhook.seq, &progress).await.unwrap());
    assert!(store.webhook_list_enabled().await.unwrap().is_empty());
    clients::webhook_made_again(world, &row.webhook, progress).await;
}

/// An account gets tokens by an OAuth app, which cannot be deleted as long as it is used.
pub(super) async fn tokens(world: &World) {
    let (store, domain) = (&world.engine, &world.domain);
    let app = world.create(OAUTH_APPS, json!({"name": "a", "provider": "google"})).await;
    let values = json!({
        "address": "t@b.test", "profile_id": world.profile.id.to_string(),
        "oauthApp_id": app.id.to_string(), "refreshToken": "r",
    });
    let account = world.create(ACCOUNTS, values).await;
    let row = store.account_find(AccountId::of(account.id)).await.unwrap().unwrap();
    let step = TokenStep::Asking(Timestamp::from_ms(7));
    assert!(store.token_step(&row, TokenSlot::Account, &step).await.unwrap());
    let (state, until) = (random_token(), Timestamp::from_ms(7));
    let asked = ConsentRequest {
        domain: domain.clone(),
        account: AccountId::of(account.id),
        slot: TokenSlot::Account,
        app: OAuthAppId::of(app.id),
        verifier: random_token(),
        until,
    };
    store.consent_ask(&state, &asked).await.unwrap();
    let taken = store.consent_take(state.expose_secret()).await.unwrap();
    assert_eq!(taken.map(|taken| taken.app), Some(asked.app));
    device_consents(store, asked).await;
    for (class, entity, is_gone) in
        [(OAUTH_APPS, &app, false), (ACCOUNTS, &account, true), (OAUTH_APPS, &app, true)]
    {
        let class = store.builtin(class).unwrap();
        let place = EntityPlace::new(domain, &class, entity.id);
        assert_eq!(store.entity_delete(place, None).await.is_ok(), is_gone);
    }
}

/// A consent on another device is asked about, and is given.
async fn device_consents(store: &Store, asked: ConsentRequest) {
    let ConsentRequest { domain, account, slot, app, until, .. } = asked;
    let interval = Duration::from_secs(5);
    let request = DeviceRequest { domain: domain.clone(), account, slot, app, interval, until };
    store.device_ask(&request, &random_token(), until).await.unwrap();
    let pending = store.device_list_pending().await.unwrap().remove(0);
    assert!(store.device_claim(&pending, until).await.unwrap());
    let later = DeviceStep::Later { due: until, interval, is_open: false };
    assert!(store.device_step(&pending, &later).await.unwrap());
    let row = store.account_find(account).await.unwrap().unwrap();
    let given = store.device_give(&pending, &random_token(), row.account.version).await;
    assert!(matches!(given, Ok(Some(Updated::Done(_)))), "{given:?}");
    let seen = store.device_seen(&domain, account, slot).await.unwrap();
    assert_eq!(seen.map(|seen| seen.state), Some(DeviceState::Given));
}

/// A token with rights is used, and its use is written.
pub(super) async fn rights(world: &World) {
    let store = &world.store;
    let value = "a token with rights, long enough for all of them";
    let values = json!({"name": "t", "role": "reader", "enabled": true, "token": value});
    let token = world.create(TOKENS, values).await;
    for _ in 0..2 {
        let bearer = store.token_verify(value).await.unwrap().unwrap();
        assert_eq!(bearer.token, Some(token.id));
    }
    store.token_uses_write().await.unwrap();
    let class = store.builtin(TOKENS).unwrap();
    let used = store.entity_get(&world.domain, &class, token.id).await.unwrap().unwrap();
    assert!(used.text("lastUsedAt").is_some() && used.version == token.version, "{used:?}");
}

async fn signed_in(world: &World, password: &str, code: Option<String>) -> Option<BegunSession> {
    let (password, code) = (SecretString::from(password), code.map(SecretString::from));
    let login = OfferedLogin { domain: &world.domain, login: "anna", password, code };
    match world.store.session_begin(login).await.unwrap() {
        LoginOutcome::Begun(begun) => Some(begun),
        LoginOutcome::Refused | LoginOutcome::CodeMissing | LoginOutcome::CodeWrong => None,
    }
}

/// A user sets a second factor up, uses it, and gives it up.
async fn second_factor(world: &World, user: EntityId, password: &str) {
    let (store, domain) = (&world.store, &world.domain);
    let key = store.totp_begin(domain, user).await.unwrap().unwrap().key;
    let code =
        |steps: i64| totp_code(key.expose_secret(), store.clock().now_ms() + steps * TOTP_STEP_MS);
    let first = SecretString::from(code(-1));
    let recovery = store.totp_activate(domain, user, &first).await.unwrap().unwrap();
    assert!(store.totp_state(user).await.unwrap().unwrap().is_active);
    assert!(signed_in(world, password, None).await.is_none());
    assert!(signed_in(world, password, Some(code(0))).await.is_some());
    let spare = recovery[0].expose_secret().to_owned();
    assert!(signed_in(world, password, Some(spare)).await.is_some());
    store.totp_remove(domain, user, &SecretString::from(code(1))).await.unwrap().unwrap();
}

/// A token gets another value, and a user signs in and out.
pub(super) async fn sessions(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let values = json!({"name": "rotated", "role": "reader", "enabled": true, "token": "first"});
    let token = world.create(TOKENS, values).await;
    let class = store.builtin(TOKENS).unwrap();
    let place = EntityPlace::new(domain, &class, token.id);
    let rotated = store.token_rotate(place, 60_000, None).await.unwrap().unwrap();
    let second = rotated.value.expose_secret();
    for value in ["first", second] {
        assert_eq!(store.token_verify(value).await.unwrap().unwrap().token, Some(token.id));
    }
    let password = "correct horse battery";
    let values = json!({"login": "anna", "role": "reader", "enabled": true, "password": password});
    let user = world.create(USERS, values).await;
    let sign_in = async |password: &str| signed_in(world, password, None).await;
    assert!(sign_in("wrong").await.is_none());
    for event in [AuditEvent::LoginRefused, AuditEvent::TokenUse] {
        let (bearer, login) = (None, Some("anna".to_owned()));
        let (domain, origin) = (Domain::new("acme").ok(), RequestOrigin::default());
        store.audit_notice(AuditNotice { event, bearer, domain, login, origin }).await;
    }
    world.engine.audit_keep(None);
    world.engine.audit_trim().await.unwrap();
    for _ in 0..2 {
        let begun = sign_in(password).await.unwrap();
        let bearer = store.token_verify(begun.token.expose_secret()).await.unwrap().unwrap();
        assert_eq!((bearer.user, bearer.token), (Some(user.id), None));
        store.session_uses_write().await.unwrap();
        assert!(store.session_end(begun.token.expose_secret()).await.unwrap());
    }
    second_factor(world, user.id, password).await;
    let begun = store.session_begin_with(second).await.unwrap().unwrap();
    let bearer = store.token_verify(begun.token.expose_secret()).await.unwrap().unwrap();
    assert_eq!((bearer.user, bearer.token), (None, Some(token.id)));
    assert!(store.session_begin_with(begun.token.expose_secret()).await.unwrap().is_none());
    let begun = sign_in(password).await.unwrap();
    let class = store.builtin(USERS).unwrap();
    let place = EntityPlace::new(domain, &class, user.id);
    let other = object(&json!({"password": "another horse battery"}));
    store.entity_update(place, &other, None).await.unwrap();
    assert!(store.token_verify(begun.token.expose_secret()).await.unwrap().is_none());
    store.entity_delete(place, None).await.unwrap();
}

/// A client whose rights reach some profiles makes one, changes and deletes it.
pub(super) async fn reach(world: &World) {
    let domain = &world.domain;
    let own = json!(["==", ["property", "name"], "own"]);
    let actions = ["read", "create", "change", "delete"];
    let own = json!([{"actions": actions, "classes": [PROFILES], "filter": own}]);
    let store = world.store.of_client("t").within(domain, &Rights::from_json(&own).unwrap());
    let class = store.builtin(PROFILES).unwrap();
    let new = |name: &str| {
        let entity = Entity::new(store.clock().new_id(), object(&json!({"name": name})));
        NewEntity { entity, files: vec![] }
    };
    let other = store.entity_create(domain, &class, vec![new("other")]).await;
    assert!(matches!(other, Err(Error::Condition(Failed::OutOfReach))), "{other:?}");
    let made = store.entity_create(domain, &class, vec![new("own")]).await.unwrap().remove(0);
    assert_eq!(made.text("createdBy"), Some("t"));
    let place = EntityPlace::new(domain, &class, made.id);
    assert!(store.entity_reached(place, RightAction::Change).await.unwrap());
    let away = store.entity_update(place, &object(&json!({"name": "other"})), None).await;
    assert!(matches!(away, Err(Error::Condition(Failed::OutOfReach))), "{away:?}");
    let stays = object(&json!({"imapHost": "mail.example"}));
    store.entity_update(place, &stays, None).await.unwrap();
    store.entity_delete(place, None).await.unwrap();
}

/// Secrets that an earlier version sealed are sealed anew.
pub(super) async fn secrets(world: &World) {
    let store = &world.store;
    let former = store.inner.keys.opened().master.seal("elsewhere", "hush");
    let class = world.class(ACCOUNTS);
    let earlier = vec![("password", former.into())];
    store.write(vec![untold::set(&class, world.account.into(), earlier)]).await.unwrap();
    assert_eq!(store.secrets_reseal().await.unwrap().damaged, 1, "it is of another place");
    let place = columns::secret_place(&class, world.account.into(), "password");
    let former = store.inner.keys.opened().master.seal(&place, "hush");
    let earlier = vec![("password", former.into())];
    store.write(vec![untold::set(&class, world.account.into(), earlier)]).await.unwrap();
    assert_eq!(store.secrets_reseal().await.unwrap().secrets, 1);
    assert!(!store.secrets_are_former().await.unwrap());
}

/// A domain is suspended, goes on, and is deleted.
pub(super) async fn domains(world: &World) {
    let (store, domain) = (&world.store, Domain::master());
    let class = store.builtin(DOMAINS).unwrap();
    let values = json!({"name": "gone", "suspended": true});
    let entity = Entity::new(store.clock().new_id(), object(&values));
    let place = EntityPlace::new(&domain, &class, entity.id);
    let new = NewEntity { entity, files: vec![] };
    store.entity_create(&domain, &class, vec![new]).await.unwrap();
    assert!(store.domain_is_suspended(&Domain::new("gone").unwrap()).await.unwrap());
    assert!(store.domains_suspended().await.unwrap().contains("gone"));
    let goes_on = object(&json!({"suspended": false}));
    store.entity_update(place, &goes_on, None).await.unwrap();
    assert!(store.domains_suspended().await.unwrap().is_empty());
    store.entity_delete(place, None).await.unwrap();
    erasure(world).await;
}

fn new_message(store: &Store) -> NewEntity {
    let values = object(&json!({"messageDirection": "out"}));
    NewEntity { entity: Entity::new(store.clock().new_id(), values), files: vec![] }
}

/// A domain is deleted with all that it has.
async fn erasure(world: &World) {
    let (store, master) = (&world.store, Domain::master());
    let (class, erased) = (store.builtin(DOMAINS).unwrap(), Domain::new("erased").unwrap());
    let entity =
        Entity::new(store.clock().new_id(), object(&json!({"name": "erased", "bytesMax": 1})));
    let new = NewEntity { entity, files: vec![] };
    let entity = store.entity_create(&master, &class, vec![new]).await.unwrap().remove(0);
    let mut profile = None;
    for (class, values) in [
        (PROFILES, json!({"name": "p", "proxyPassword": "hush"})),
        (ACCOUNTS, json!({"address": "e@b.test"})),
    ] {
        let mut entity = Entity::new(store.clock().new_id(), object(&values));
        if let Some(profile) = profile.replace(entity.id) {
            entity.properties.insert("profile_id".to_owned(), json!(profile));
        }
        let class = store.builtin(class).unwrap();
        let new = NewEntity { entity, files: vec![] };
        store.entity_create(&erased, &class, vec![new]).await.unwrap();
    }
    store.usage_count().await.unwrap();
    let tokens = json!({"name": "t", "role": "reader", "token": "of a domain that is erased"});
    let empty = new_message(store);
    store.entity_create(&erased, &world.class(MESSAGES), vec![empty]).await.unwrap();
    for (class, values) in [(TOKENS, tokens), (MESSAGES, json!({"messageDirection": "out"}))] {
        let class = store.builtin(class).unwrap();
        let entity = Entity::new(store.clock().new_id(), object(&values));
        let files = if class.classname == MESSAGES { vec![file("file", "a")] } else { vec![] };
        let made = store.entity_create(&erased, &class, vec![NewEntity { entity, files }]).await;
        let is_limit = matches!(made, Err(Error::Condition(Failed::Limit { max: Some(1), .. })));
        assert_eq!(is_limit, class.classname == MESSAGES, "{made:?}");
    }
    store.erasure_begin(&entity).await.unwrap();
    while store.erasures(Some(entity.id)).await.unwrap()[0].ended.is_none() {
        world.engine.erase().await.unwrap();
    }
    assert_eq!(store.erasures(None).await.unwrap()[0].classes.len(), 5);
}

/// Messages expire.
pub(super) async fn retention(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(MESSAGES);
    assert!(!store.domain_list(&class).await.unwrap().is_empty());
    let before_ms = Timestamp::parse("2021-01-01T00:00:00Z").unwrap().as_ms();
    for of in [Expiring::Folder(world.folder), Expiring::Account(world.account), Expiring::All] {
        let page = ExpiryPage {
            domain,
            class: &class,
            of,
            property: "dateTime",
            before_ms,
            behind: None,
            limit: 9,
        };
        let expired = store.expired_list(page).await.unwrap();
        for message in expired {
            let place = EntityPlace::new(domain, &class, message.id);
            store.entity_expire(place, "dateTime", before_ms).await.unwrap();
        }
    }
}

/// The database is marked as a copy. It sends nothing until somebody resumes sending.
pub(super) async fn backups(world: &World) {
    let store = &world.store;
    store.backup_mark(true).await.unwrap();
    assert!(store.sending_suspended().await.unwrap().is_some());
    backup_key(store.inner.database.as_ref()).await.unwrap().unwrap();
    store.restored(false).await.unwrap();
    assert_eq!(feed_gap::all(store.inner.database.as_ref()).await.unwrap().len(), 1);
    store.sending_list(9).await.unwrap();
    store.sending_resume().await.unwrap();
}

/// The configuration is changed, listed, and read in its versions.
pub(super) async fn configuration(world: &World) {
    let store = &world.store;
    let kept = store.configuration().await.unwrap();
    let next = NextConfiguration {
        after: kept.number(),
        domain: &world.domain,
        author: "life",
        restored: None,
        configuration: &kept.configuration,
    };
    let number = store.configuration_write(next).await.unwrap().number();
    assert_eq!(store.configuration_list(9).await.unwrap()[0].number, number);
    assert!(store.configuration_version(number).await.unwrap().is_some());
}

/// Entities of all classes are deleted. An account is deleted with its folders and messages.
pub(super) async fn deletions(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let deal = world.create(CLASS, json!({"title": "t", "buyer": world.account.to_string()})).await;
    world.delete(CLASS, &deal).await;
    let profile = world.create(PROFILES, json!({"name": "spare"})).await;
    world.delete(PROFILES, &profile).await;
    let account = json!({"profile_id": world.profile.id.to_string(), "address": "gone@b.test"});
    let account = world.create(ACCOUNTS, account).await;
    let folder = json!({"account_id": account.id.to_string(), "name": "g"});
    let folder = world.create(FOLDERS, folder).await;
    world.delete(FOLDERS, &folder).await;
    world.delete(ACCOUNTS, &account).await;
    let class = world.class(PROFILES);
    let used = EntityPlace::new(domain, &class, world.profile.id);
    assert!(store.entity_delete(used, None).await.is_err(), "an account uses it");
    let class = world.class(ACCOUNTS);
    let account = world.account;
    let place = EntityPlace::new(domain, &class, account.into());
    store.account_delete_whole(place, DeleteTerms::default()).await.unwrap();
    store.purge().await.unwrap();
}

/// The work that the store does once a minute, and when it is closed.
pub(super) async fn sweeps(world: &World) {
    let store = &world.store;
    let mut begun: BlobWriter = store.blob_writer();
    // What does not compress is written ahead.
    let noise: Vec<u8> = (0..4_500_000).map(|_| fastrand::u8(..)).collect();
    begun.write(&noise).await.unwrap();
    drop(begun);
    let mut begun = store.blob_writer();
    begun.write(&noise).await.unwrap();
    let content = begun.finish_ahead().await.unwrap();
    let deal = world.create(CLASS, json!({"title": "large"})).await;
    let class = world.class(CLASS);
    let place = EntityPlace::new(&world.domain, &class, deal.id);
    let large = NewFile { content: NewContent::Own(content), ..file("scan", "large") };
    store.file_add(place, vec![large], &Replace::Nothing).await.unwrap();
    let blob = store.file_list_of(place, "scan").await.unwrap()[0].blob();
    assert!(store.blob_read(blob, 0..9).next().await.unwrap().is_some());
    // A process that is no more there has left something.
    let left = "INSERT INTO \"unfinished\" (\"blob\", \"owner\") VALUES (7, 999)";
    store.write(vec![Statement::new(left)]).await.unwrap();
    store.blob_sweep_abandoned(Duration::ZERO).await.unwrap();
    store.sweep().await;
    world.delete(CLASS, &deal).await;
    // S3 completed an object whose writer had ended.
    let own = store.inner.objects.own.clone().unwrap();
    own.objects.put(format!("{}/999/1-late", own.id), vec![]).await.unwrap();
    let engine = &world.engine;
    engine.objects_sweep(Duration::ZERO).await.unwrap();
    engine.objects_remove().await.unwrap();
    store.objects_kept().await.unwrap().unwrap();
    store.trim_to(100).await.unwrap();
    // Once to mark the changes, and once when the mark is old.
    let mut last = LastTrim::default();
    for _ in 0..2 {
        let long = Duration::from_secs(8 * 86_400);
        engine.feed_trim_after(&mut last, long).await.unwrap();
    }
    store.sweep_last().await;
    store.damage().await.unwrap();
    Box::pin(nodes(world)).await;
    store.resign().await.unwrap();
}

/// A process of a group leads, lists the others, and gives the lease up.
async fn nodes(world: &World) {
    let (engine, store) = (&world.engine, &world.store);
    engine.beat(Some(Duration::ZERO)).await.unwrap();
    store.nodes().await.unwrap();
    assert!(!engine.preferred_waits().await.unwrap());
    engine.give_up().await.unwrap();
    let engine = store.lead_if_free().await.unwrap().unwrap();
    engine.stand_back().await.unwrap();
}

//! The requests of clients.

use crate::account_try::TryRequest;
use crate::aggregate::WantedGroups;
use crate::bulk::BulkOrder;
use crate::bulk::BulkWork;
use crate::change::ChangeTerms;
use crate::claim_row::ClaimStep;
use crate::claim_row::ClaimThen;
use crate::database::Statement;
use crate::delete_terms::DeleteTerms;
use crate::entity::NewEntity;
use crate::entity::Terms;
use crate::entity_place::EntityPlace;
use crate::error::Error;
use crate::failed::Failed;
use crate::file::FileSource;
use crate::file_change::Replace;
use crate::job::JobKind;
use crate::job::JobStep;
use crate::login::SameLogin;
use crate::once::Once;
use crate::redecompose::OriginalPage;
use crate::redecompose::Redecomposed;
use crate::tests::life::world::CLASS;
use crate::tests::life::world::DELETED_CLASS;
use crate::tests::life::world::World;
use crate::tests::life::world::file;
use crate::tests::life::world::object;
use crate::webhook::WebhookProgress;
use crate::work_claim::ClaimState;
use crate::work_claim::WantedClaim;
use postroom_model::ClaimToken;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::Filter;
use postroom_model::Query;
use postroom_model::WebhookId;
use postroom_model::builtin::ACCOUNTS;
use postroom_model::builtin::FOLDERS;
use postroom_model::builtin::MESSAGES;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::created;
use postroom_model::filter;
use postroom_model::parse_aggregate;
use postroom_model::patched;
use secrecy::SecretString;
use serde_json::json;

/// Lists, counts, files, and the feed.
pub(super) async fn read(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(MESSAGES);
    let folder = world.folder.to_string();
    let of_folder = filter::equality(&class, "folder_id", &folder).unwrap();
    let query = Query::filtered(of_folder.clone(), 100);
    let page = store.entity_part(domain, &class, &query, 1 << 20).await.unwrap();
    assert!(!page.entities.is_empty());
    store.entity_count(domain, &class, &query).await.unwrap();
    let ids = store.entity_ids(domain, &class, Some(&of_folder), 9).await.unwrap();
    store
        .entity_matching(EntityPlace::new(domain, &class, ids[0]), Some(&of_folder))
        .await
        .unwrap();
    let aggregate = parse_aggregate(&class, "count", Some("messageState")).unwrap();
    let wanted = WantedGroups { aggregate: &aggregate, limit: 9 };
    store.entity_aggregate(domain, &class, Some(&of_folder), wanted).await.unwrap();
    store.file_page(domain, &class, &ids).await.unwrap();
    for id in &ids {
        for file in store.file_list_all(domain, *id).await.unwrap() {
            let FileSource::Blob(blob) = file.source else { continue };
            let mut reader = store.blob_read(blob, 0..file.size_bytes);
            while reader.next().await.unwrap().is_some() {}
        }
        store.file_list_of(EntityPlace::new(domain, &class, *id), "file").await.unwrap();
    }
    store.overview(domain).await.unwrap();
    let bounds = store.feed_bounds().await.unwrap();
    store.news(domain, bounds.newest - 1, 9).await.unwrap();
    store.feed_list(domain, bounds.oldest, 9).await.unwrap();
    store.feed_of(domain, &ids, bounds.oldest).await.unwrap();
    news_of_one_that_changes_often(world, ids[0]).await;
    let token = SecretString::from("a token of a client, long enough for all");
    store.token_set(domain, "client", &token).await.unwrap();
    assert!(!store.token_make(domain, "client", &token).await.unwrap());
    assert!(store.token_exists(domain, "client").await.unwrap());
    store.token_verify("another token of a client, long enough").await.unwrap();
}

/// The first of many changes of an entity, one of which tells the whole entity.
async fn news_of_one_that_changes_often(world: &World, id: EntityId) {
    let (store, domain, class) = (&world.store, &world.domain, world.class(MESSAGES));
    let change = async |number: u32| {
        let text = json!({"errorText": number.to_string()}).as_object().cloned().unwrap();
        store.records(domain, &class).tell(id, &text).await.unwrap();
        store.entity_get(domain, &class, id).await.unwrap().unwrap().seq
    };
    // By chance, the first change may tell the whole entity. What counts is a later one.
    let first = change(0).await;
    let mut number = 0;
    while store.feed_wholes(domain, MESSAGES, &[id], first).await.unwrap().is_empty() {
        number += 1;
        change(number).await;
    }
    // The changes that were written may not be visible yet.
    while store.feed_bounds().await.unwrap().newest < first {}
    store.news(domain, first - 1, 1).await.unwrap();
}

/// Workers that share messages.
pub(super) async fn claims(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(MESSAGES);
    let received = filter::equality(&class, "messageState", "received").unwrap();
    let query = Query::filtered(received, 3);
    let once = Once { key: "claim".to_owned(), request: [7; 32] };
    let token = ClaimToken::of(store.clock().new_id());
    let wanted =
        WantedClaim { query: &query, token, by: "worker", lease_ms: 60_000, once: Some(&once) };
    let claims = store.work_claim(domain, &class, wanted).await.unwrap();
    assert_eq!(claims.len(), 3);
    assert_eq!(store.claims_under(domain, &class, token).await.unwrap().len(), 3);
    let ids: Vec<_> = claims.iter().map(|claim| claim.entity).collect();
    assert_eq!(store.claim_page(domain, &class, &ids).await.unwrap().len(), 3);
    let place = |at: usize| EntityPlace::new(domain, &class, claims[at].entity);
    store.claim_extend(place(0), token, 90_000).await.unwrap();
    store.claim_acknowledge(place(0), token).await.unwrap();
    assert_eq!(store.claim_state(place(0), token).await.unwrap(), ClaimState::Acknowledged);
    store.claim_give_back(place(1), token, 0).await.unwrap();
    store.claim_forget(place(2), token).await.unwrap();
    let deals = world.class(CLASS);
    let worth = filter::equality(&deals, "worth", "7").unwrap();
    let query = Query::filtered(worth, 1);
    let of_deals = WantedClaim { query: &query, once: None, ..wanted };
    let deal = store.work_claim(domain, &deals, of_deals).await.unwrap().remove(0).entity;
    let claim = Some(ClaimStep { token, then: ClaimThen::Stays });
    let terms = ChangeTerms { claim, ..ChangeTerms::default() };
    let deal = EntityPlace::new(domain, &deals, deal);
    store.entity_update_on(deal, &object(&json!({"worth": 1})), terms).await.unwrap();
    let worth = filter::equality(&deals, "worth", "1").unwrap();
    let query = Query::filtered(worth, 1);
    let token = ClaimToken::of(store.clock().new_id());
    let of_deals = WantedClaim { query: &query, token, ..of_deals };
    store.claim_give_back(deal, terms.claim.unwrap().token, 0).await.unwrap();
    assert!(store.claim_choose(domain, &deals, of_deals).await.unwrap().is_some());
    let taken = store.claim_taking(deal, of_deals).await.unwrap();
    assert_eq!(taken.claim.claims, 2);
    let terms = ChangeTerms { takes: Some(&taken), ..ChangeTerms::default() };
    store.entity_update_on(deal, &object(&json!({"worth": 2})), terms).await.unwrap();
    let token = ClaimToken::of(store.clock().new_id());
    let wanted = WantedClaim { token, once: Some(&once), ..wanted };
    store.work_claim(domain, &class, wanted).await.unwrap_err();
    let wanted = WantedClaim { once: None, ..wanted };
    let claims = store.work_claim(domain, &class, wanted).await.unwrap();
    let place = EntityPlace::new(domain, &class, claims[0].entity);
    let read = store.entity_get(domain, &class, claims[0].entity).await.unwrap().unwrap();
    store.claims_undo(domain, &class, &claims, Some(&once)).await.unwrap();
    assert_eq!(store.claim_state(place, token).await.unwrap(), ClaimState::Lost);
    assert_eq!(store.entity_get(domain, &class, read.id).await.unwrap().unwrap(), read);
}

/// Changes of all classes, once each where a key says so.
pub(super) async fn change(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(CLASS);
    let deal = world.create(CLASS, json!({"title": "t", "worth": 7})).await;
    let place = EntityPlace::new(domain, &class, deal.id);
    store.file_add(place, vec![file("paper", "a")], &Replace::Nothing).await.unwrap();
    store.file_add(place, vec![file("paper", "a")], &Replace::Any).await.unwrap();
    store.file_add(place, vec![file("paper", "b")], &Replace::Nothing).await.unwrap();
    store.file_delete(place, "paper", "a", None).await.unwrap();
    let once = Once { key: "k".to_owned(), request: [7; 32] };
    let entity = Entity::new(store.clock().new_id(), object(&json!({"title": "once"})));
    let new = vec![NewEntity { entity, files: vec![] }];
    let terms = Terms { once: Some(&once), same_login: SameLogin::Refused, brings_ids: true };
    let made = store.entity_create_on(domain, &class, new, terms).await.unwrap().unwrap();
    store.once_find(domain, &class, "k").await.unwrap().unwrap();
    let put = Once::put(made[0].id, [7; 32]);
    let terms = ChangeTerms { once: Some(&put), ..ChangeTerms::default() };
    let place = EntityPlace::new(domain, &class, made[0].id);
    store.entity_update_on(place, &object(&json!({"title": "put"})), terms).await.unwrap();
    world.delete(CLASS, &made[0]).await;
    accounts(world).await;
}

async fn accounts(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let account = json!({
        "profile_id": world.profile.id.to_string(), "address": "other@b.test", "enabled": false,
    });
    let account = world.create(ACCOUNTS, account).await;
    store.login_twin(domain, &world.class(ACCOUNTS), &account).await.unwrap();
    store.login_twin(domain, &world.class(PROFILES), &world.profile).await.unwrap();
    world.update(ACCOUNTS, &account, json!({"login": "login"})).await;
    world.update(PROFILES, &world.profile, json!({"imapHost": "imap2.life.test"})).await;
    assert_eq!(store.account_try(domain, world.account).await.unwrap(), TryRequest::Noted);
    let folder = json!({
        "account_id": account.id.to_string(), "title": "other", "name": "other",
    });
    let folder = world.create(FOLDERS, folder).await;
    store.folder_same(domain, &folder).await.unwrap();
    world.update(FOLDERS, &folder, json!({"title": "another"})).await;
    let message = json!({"folder_id": folder.id.to_string(), "messageDirection": "in"});
    let mut message = Entity::new(store.clock().new_id(), object(&message));
    store.message_placed(domain, &mut message, None).await.unwrap();
    let values = serde_json::Value::Object(message.properties);
    world.create(MESSAGES, values).await;
}

/// Jobs: of clients, and the decomposition of what is stored.
pub(super) async fn jobs(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(MESSAGES);
    let mut entities = vec![];
    for subject in ["one", "two", "three"] {
        entities.push(
            world.create(MESSAGES, json!({"subject": subject, "messageDirection": "out"})).await.id,
        );
    }
    for work in [BulkWork::Delete, BulkWork::Patch(json!({"subject": "x"}))] {
        let order = BulkOrder { filter: None, work, entities: &entities, once: None };
        let job = store.bulk_create(domain, &class, order).await.unwrap();
        store.job_get(domain, job.id).await.unwrap().unwrap();
        store.job_list(domain, 9).await.unwrap();
        store.job_next(&[JobKind::Delete, JobKind::Patch], None).await.unwrap();
        let next = store.bulk_next(job.id, 9).await.unwrap();
        let step = JobStep { job: job.id, entity: next[0], changed: true, failed: None };
        let place = EntityPlace::new(domain, &class, next[0]);
        if job.kind == JobKind::Delete {
            store.bulk_delete(place, DeleteTerms::default(), step).await.unwrap();
        }
        let step = JobStep { entity: next[1], failed: Some("why"), ..step };
        assert!(store.bulk_record(step).await.unwrap());
        store.bulk_end(job.id, Some("stopped")).await.unwrap();
        assert!(store.job_delete(domain, job.id).await.unwrap());
    }
    redecompose(world).await;
}

async fn redecompose(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    let class = world.class(MESSAGES);
    let of = filter::equality(&class, "folder_id", &world.folder.to_string()).unwrap();
    let job = store.job_create(domain, &class, Some((of.clone(), json!([])))).await.unwrap();
    store.job_create(domain, &class, None).await.unwrap();
    let page = OriginalPage { filter: None, behind: None, limit: 9 };
    store.original_list(domain, &class, page).await.unwrap();
    let filter: Option<&Filter> = Some(&of);
    let page = OriginalPage { filter, behind: None, limit: 9 };
    let all = store.original_list(domain, &class, page).await.unwrap();
    let rows = store.file_list_all(domain, all[0].id).await.unwrap();
    let derived = vec![file("file", "a.txt"), file("file", "b.txt")];
    store.files_equal(&rows, &derived).await.unwrap();
    let changes = object(&json!({"subject": "again"}));
    let again = Redecomposed {
        message: all[0].message.clone().unwrap(),
        changes,
        files: Some((rows, derived)),
    };
    store.message_redecompose(domain, &class, again, &job).await.unwrap();
    assert!(store.job_progress(&job).await.unwrap());
}

/// A class is changed, and another one deleted.
pub(super) async fn classes(world: &World) {
    let store = &world.store;
    for sent in [
        json!({"properties": [{"name": "more", "data_type": "string"}]}),
        json!({"properties": [{"name": "more", "removed": true}]}),
        json!({"properties": [{"name": "paper", "removed": true}]}),
        json!({"opts": {"indexes": [["worth"], ["title"]]}}),
        json!({"opts": {"indexes": [["worth"]]}}),
    ] {
        let former = store.classes();
        let change = || patched(former.get(CLASS).unwrap(), &sent).unwrap();
        match store.class_change(&former, change(), None).await {
            Err(Error::Condition(Failed::Unconfirmed { count, .. })) => {
                store.class_change(&former, change(), Some(count)).await.unwrap();
            }
            changed => assert!(changed.is_ok(), "{changed:?}"),
        }
        store.classes_settle().await;
    }
    let title = json!({"name": "title", "data_type": "string"});
    let gone = json!({"classname": DELETED_CLASS, "properties": [title]});
    let gone = created(&gone, store.clock().new_class_id()).unwrap();
    let id = gone.id;
    let classes = store.class_create(&store.classes(), gone).await.unwrap();
    world.create(DELETED_CLASS, json!({"title": "t"})).await;
    store.class_delete(&classes, id, Some(1)).await.unwrap();
    // What an earlier version left of a class.
    let left = [
        "CREATE TABLE \"retired table 0 1\" (\"id\" INTEGER PRIMARY KEY)",
        "INSERT INTO \"retired table 0 1\" (\"id\") VALUES (7)",
        "INSERT INTO \"retired\" (\"table\", \"column\") VALUES ('retired table 0 1', '')",
    ];
    store.write(left.map(Statement::new).into()).await.unwrap();
    store.classes_settle().await;
    assert!(store.classes_are_settled().await.unwrap());
    extensions(world).await;
    store.classes_sync(std::time::Duration::ZERO).await.unwrap();
}

/// A domain adds a property to a class for itself, and removes it.
async fn extensions(world: &World) {
    let (store, domain) = (&world.store, &world.domain);
    for sent in [
        json!({"properties": [{"name": "seat", "data_type": "long"}]}),
        json!({"properties": [{"name": "seat", "removed": true}]}),
    ] {
        let former = store.classes();
        let change = patched(&former.of(domain).get(FOLDERS).unwrap().extended(), &sent).unwrap();
        store.class_extend(domain, &former, change, None).await.unwrap();
        store.classes_settle().await;
    }
    assert!(store.classes_are_settled().await.unwrap());
}

/// A webhook is deleted and made again under its id: it is another one.
pub(super) async fn webhook_made_again(world: &World, former: &Entity, progress: WebhookProgress) {
    let (store, domain, id) = (&world.engine, &world.domain, WebhookId::of(former.id));
    assert!(!store.webhook_is_another(domain, id, former.seq).await.unwrap());
    let class = store.class(WEBHOOKS).unwrap();
    let place = EntityPlace::new(domain, &class, former.id);
    store.entity_delete(place, None).await.unwrap();
    let values = json!({"url": "https://hook.test/", "enabled": true});
    let entity = Entity::new(former.id, object(&values));
    store.entity_create(domain, &class, vec![NewEntity { entity, files: vec![] }]).await.unwrap();
    assert!(store.webhook_is_another(domain, id, former.seq).await.unwrap());
    let known = progress.known;
    store.webhook_progress_write(&[(id, progress)]).await.unwrap();
    let row = store.webhook_find(domain, id).await.unwrap().unwrap();
    assert_eq!(row.webhook.number("cursor"), None, "the progress is that of the former one");
    let begin = store.webhook_begin(domain, &row.webhook).await.unwrap();
    assert!(begin > known && begin == row.webhook.seq, "{begin} {known}");
    store.entity_delete(place, None).await.unwrap();
}

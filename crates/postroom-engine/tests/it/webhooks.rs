//! Webhooks on paused time, with receivers that behave badly: days pass in a moment.

use crate::world::World;
use postroom_engine::Settings;
use postroom_model::Domain;
use postroom_model::Entity;
use postroom_model::EntityId;
use postroom_model::WebhookId;
use postroom_model::builtin::PROFILES;
use postroom_model::builtin::WEBHOOKS;
use postroom_model::patched;
use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Network;
use postroom_net::Trust;
use postroom_store::FeedRetention;
use postroom_store::NewsPage;
use postroom_store::WebhookProgress;
use serde_json::Value as Json;
use serde_json::json;
use standardwebhooks::Webhook;
use std::collections::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;
use tokio::io::DuplexStream;
use tokio::time::Instant;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OTHER: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// How long to wait for anything, of paused time.
const PATIENCE: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a receiver does with a request.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Does {
    /// Takes it.
    Takes,
    /// Accepts no connection.
    IsDown,
    /// Answers this status.
    Says(u16),
    /// Answers 429 with Retry-After of so many seconds.
    AsksToWait(u64),
    /// Reads it and never answers.
    IsSilent,
    /// Reads it and ends the connection.
    Cuts,
    /// Takes it, with a body that never ends.
    TalksOn,
    /// Answers something else than HTTP.
    Babbles,
    /// Leads to another place.
    Redirects,
}

/// A request that a receiver has read.
#[derive(Debug, Clone)]
struct Heard {
    at: Instant,
    host: String,
    did: Does,
    fields: HashMap<String, String>,
    body: String,
}

impl Heard {
    fn json(&self) -> Json {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Receivers by host. Each does what it is told, one after the other, and then `always`.
#[derive(Default)]
struct Receivers {
    next: Mutex<HashMap<String, VecDeque<Does>>>,
    always: Mutex<HashMap<String, Does>>,
    heard: Mutex<Vec<Heard>>,
    dialed: Mutex<usize>,
}

#[derive(Clone)]
struct Net(Arc<Receivers>);

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Net")
    }
}

impl Net {
    fn does(&self, host: &str) -> Does {
        let next = self.0.next.lock().unwrap().get_mut(host).and_then(VecDeque::pop_front);
        let always = || self.0.always.lock().unwrap().get(host).copied().unwrap_or(Does::Takes);
        next.unwrap_or_else(always)
    }

    fn then(&self, host: &str, all: &[Does]) {
        self.0.next.lock().unwrap().insert(host.to_owned(), all.iter().copied().collect());
    }

    fn always(&self, host: &str, does: Does) {
        self.0.always.lock().unwrap().insert(host.to_owned(), does);
    }

    fn heard(&self, host: &str) -> Vec<Heard> {
        let heard = self.0.heard.lock().unwrap();
        heard.iter().filter(|one| one.host == host).cloned().collect()
    }

    /// The numbers of the events that a receiver has taken, in the order of its answers.
    fn taken(&self, host: &str) -> Vec<i64> {
        let takes = |one: &Heard| matches!(one.did, Does::Takes | Does::TalksOn);
        let heard = self.heard(host).into_iter().filter(takes);
        let told = heard.map(|one| one.json()).filter(|json| json["type"] != "missed");
        let data = told.map(|mut json| json["data"].take());
        let events = data.flat_map(|data| data.as_array().cloned().unwrap_or(vec![data]));
        events.map(|event| event["seq"].as_i64().unwrap()).collect()
    }

    async fn serve(self, host: String, first: Does, mut stream: DuplexStream) -> io::Result<()> {
        let mut first = Some(first);
        loop {
            let (fields, body) = request(&mut stream).await?;
            let did = first.take().unwrap_or_else(|| self.does(&host));
            let at = Instant::now();
            self.0.heard.lock().unwrap().push(Heard { at, host: host.clone(), did, fields, body });
            let answer = match did {
                Does::Takes => "HTTP/1.1 204 No Content\r\n\r\n".to_owned(),
                Does::IsDown | Does::Cuts => return Ok(()),
                Does::Says(status) => format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nno"),
                Does::AsksToWait(seconds) => {
                    format!("HTTP/1.1 429 X\r\nretry-after: {seconds}\r\ncontent-length: 0\r\n\r\n")
                }
                Does::IsSilent => std::future::pending().await,
                Does::TalksOn => "HTTP/1.1 200 OK\r\n\r\n".to_owned(),
                Does::Babbles => "what do you want?\r\n\r\n".to_owned(),
                Does::Redirects => "HTTP/1.1 302 X\r\nlocation: http://other.test/\r\n\
                                    content-length: 0\r\n\r\n"
                    .to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
            if did == Does::TalksOn {
                loop {
                    stream.write_all(&[b'x'; 1000]).await?;
                }
            }
        }
    }
}

async fn request(stream: &mut DuplexStream) -> io::Result<(HashMap<String, String>, String)> {
    let mut head = vec![];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let fields: HashMap<_, _> = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut body = vec![0; fields["content-length"].parse().unwrap()];
    stream.read_exact(&mut body).await?;
    Ok((fields, String::from_utf8(body).unwrap()))
}

impl Network for Net {
    fn dial(&self, host: &str, _port: u16) -> Dialed {
        let (net, host) = (self.clone(), host.to_owned());
        *net.0.dialed.lock().unwrap() += 1;
        let does = net.does(&host);
        Box::pin(async move {
            if does == Does::IsDown {
                return Err(io::ErrorKind::ConnectionRefused.into());
            }
            let (ours, theirs) = tokio::io::duplex(4096);
            tokio::spawn(net.serve(host, does, theirs));
            Ok(ours)
        })
    }
}

/// A world whose connections lead to these receivers.
async fn place() -> (World, Net, Settings) {
    place_keeping(FeedRetention::default()).await
}

/// The same with a feed that keeps changes otherwise.
async fn place_keeping(feed: FeedRetention) -> (World, Net, Settings) {
    let (world, net) = (World::keeping(feed).await, Net(Arc::default()));
    let settings = place_settings(&world, &net);
    (world, net, settings)
}

async fn webhook(world: &World, host: &str, more: Json) -> EntityId {
    let mut values = json!({"url": format!("http://{host}/hook?x=1"), "secret": SECRET});
    let more = more.as_object().unwrap().clone();
    values.as_object_mut().unwrap().extend(more);
    world.create(WEBHOOKS, values).await
}

/// Makes profiles. Gives the numbers of the changes.
async fn changes(world: &World, count: usize) -> Vec<i64> {
    for number in 0..count {
        world.create(PROFILES, json!({"name": number.to_string()})).await;
    }
    let mut seqs: Vec<_> = world.list(PROFILES).await.iter().map(|one| one.seq).collect();
    seqs.sort_unstable();
    seqs.split_off(seqs.len() - count)
}

async fn until(what: &str, is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Waits until a webhook is so. Gives it.
async fn until_it(world: &World, id: EntityId, is_so: impl Fn(&Entity) -> bool) -> Entity {
    let began = Instant::now();
    loop {
        let it = world.list(WEBHOOKS).await.into_iter().find(|it| it.id == id).unwrap();
        if is_so(&it) {
            return it;
        }
        assert!(began.elapsed() < PATIENCE, "{it:?}");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
}

fn is_on(webhook: &Entity) -> bool {
    webhook.get("enabled") == &json!(true)
}

#[tokio::test(start_paused = true)]
async fn every_event_is_taken_in_order_whatever_the_receiver_does() {
    let (world, net, settings) = place().await;
    let all = [
        Does::IsDown,
        Does::Says(500),
        Does::IsSilent,
        Does::AsksToWait(7200),
        Does::Cuts,
        Does::Babbles,
        Does::Redirects,
        Does::TalksOn,
        Does::Takes,
        Does::Says(503),
        Does::Cuts,
        Does::Cuts,
    ];
    net.then("bad.test", &all);
    let of_profiles = json!({"classes": [PROFILES], "headers": {"X-Key": "hush"}});
    let hook = webhook(&world, "bad.test", of_profiles).await;
    let engine = world.start(settings).await;
    let want = changes(&world, 130).await;
    until("all events", || net.taken("bad.test").len() >= want.len()).await;
    assert_eq!(net.taken("bad.test"), want);
    assert!(net.heard("other.test").is_empty(), "a redirect is followed");
    let heard = net.heard("bad.test");
    assert!(heard.len() <= want.len() + all.len(), "{} requests", heard.len());
    let asked = heard.iter().position(|one| one.did == Does::AsksToWait(7200)).unwrap();
    assert!(heard[asked + 1].at - heard[asked].at >= Duration::from_secs(7200));
    for pair in heard.windows(2).filter(|pair| matches!(pair[0].did, Does::Says(_))) {
        assert!(pair[1].at - pair[0].at >= Duration::from_secs(4), "{:?} and again", pair[0].did);
    }
    // The same event has the same id, and another time.
    let first: Vec<_> = heard.iter().take(6).map(|one| &one.fields["webhook-id"]).collect();
    assert!(first.iter().all(|id| *id == first[0]), "{first:?}");
    for one in &heard {
        let at = one.fields["webhook-timestamp"].parse().unwrap();
        let id = &one.fields["webhook-id"];
        let want = Webhook::new(SECRET).unwrap().sign(id, at, one.body.as_bytes()).unwrap();
        assert_eq!(one.fields["webhook-signature"], want);
        assert_eq!(
            (one.fields["x-key"].as_str(), one.fields["host"].as_str()),
            ("hush", "bad.test")
        );
        assert_eq!(one.json()["type"], "profile.created");
    }
    let written = |it: &Entity| it.number("cursor") >= want.last().copied();
    let it = until_it(&world, hook, |it| written(it) && it.number("lag") == Some(0)).await;
    assert_eq!((it.number("failures"), it.get("statusText")), (Some(0), &Json::Null));
    let attempts = it.get("lastAttempts").as_array().unwrap();
    assert_eq!((attempts.len(), &attempts[0]["status"]), (100, &json!(204)));
    assert!(!it.get("lastAttempts").to_string().contains("hush"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn after_its_time_it_is_disabled_with_an_event_and_goes_on_when_enabled() {
    let (world, net, settings) = place().await;
    net.always("down.test", Does::Says(500));
    let hook = webhook(&world, "down.test", json!({"classes": [PROFILES], "retryFor": 7200})).await;
    let engine = world.start(settings).await;
    let began = Instant::now();
    let want = changes(&world, 3).await;
    let it = until_it(&world, hook, |it| it.number("failures") > Some(2)).await;
    let text = it.text("statusText").unwrap();
    assert!(text.contains("answered 500; it is tried again at"), "{text}");
    let it = until_it(&world, hook, |it| !is_on(it)).await;
    let passed = began.elapsed().as_secs();
    assert!((7_200..12_000).contains(&passed), "{passed}");
    let text = it.text("statusText").unwrap();
    assert!(text.contains("answered 500, and nothing was taken for 1"), "{text}");
    let requests = net.heard("down.test").len();
    assert!((8..16).contains(&requests), "{requests} requests");
    let NewsPage::News { news, .. } =
        world.store.news(&Domain::default_domain(), it.seq - 1, 10).await.unwrap()
    else {
        panic!("no news");
    };
    assert_eq!(news[0].after.as_ref().unwrap().text("statusText"), Some(text));
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(net.heard("down.test").len(), requests, "a disabled webhook is silent");
    net.always("down.test", Does::Takes);
    world.change(WEBHOOKS, hook, json!({"enabled": true})).await;
    until("all events", || net.taken("down.test").len() == 3).await;
    assert_eq!(net.taken("down.test"), want);
    until_it(&world, hook, |it| it.get("statusText").is_null()).await;
    // 410 disables at once.
    net.always("down.test", Does::Says(410));
    changes(&world, 1).await;
    let it = until_it(&world, hook, |it| !is_on(it)).await;
    assert!(it.text("statusText").unwrap().contains("wants no more events"));
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_receiver_delays_nobody_and_a_deleted_webhook_ends_at_once() {
    let (world, net, settings) = place().await;
    net.always("slow.test", Does::IsSilent);
    let slow = webhook(&world, "slow.test", json!({})).await;
    let mut good = vec![];
    for number in 0..50 {
        let host = format!("good{number}.test");
        webhook(&world, &host, json!({"events": ["profile.created"]})).await;
        good.push(host);
    }
    let engine = world.start(settings).await;
    let began = Instant::now();
    let want = changes(&world, 20).await;
    until("all events", || good.iter().all(|host| net.taken(host).len() == want.len())).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(good.iter().all(|host| net.taken(host) == want));
    until("the silent one", || net.heard("slow.test").len() > 3).await;
    let pauses: Vec<_> =
        net.heard("slow.test").windows(2).map(|pair| pair[1].at - pair[0].at).collect();
    assert!(pauses.iter().all(|pause| *pause >= Duration::from_secs(30)), "{pauses:?}");
    world.delete(WEBHOOKS, slow).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let requests = net.heard("slow.test").len();
    tokio::time::sleep(Duration::from_secs(7_200)).await;
    assert_eq!(net.heard("slow.test").len(), requests);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_made_again_under_its_id_is_told_what_happens_from_then_on() {
    let (world, net, settings) = place().await;
    let id = world.store.clock().new_id();
    let make = async |host: &str| {
        let more = json!({"id": id.to_string(), "classes": [PROFILES]});
        webhook(&world, host, more).await;
    };
    let mut engine = world.start(settings).await;
    for pause_seconds in [0, 1, 3, 3_600] {
        let of = |what: &str| format!("{what}{pause_seconds}.test");
        let (former, later) = (of("former"), of("later"));
        make(&former).await;
        let first = changes(&world, 1).await;
        until("the event of the former one", || net.taken(&former) == first).await;
        world.delete(WEBHOOKS, id).await;
        changes(&world, 1).await;
        tokio::time::sleep(Duration::from_secs(pause_seconds)).await;
        make(&later).await;
        let mut want = changes(&world, 1).await;
        until("the event of the later one", || !net.taken(&later).is_empty()).await;
        // What was noted of the former one is not written to it.
        engine.stop().await;
        engine = world.start(place_settings(&world, &net)).await;
        want.extend(changes(&world, 1).await);
        until("the next event", || net.taken(&later).len() >= want.len()).await;
        assert_eq!((net.taken(&former), net.taken(&later)), (first, want), "{pause_seconds} s");
        world.delete(WEBHOOKS, id).await;
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_happens_after_a_change_of_a_webhook_is_told_as_the_change_says() {
    let (world, net, settings) = place().await;
    let hook = webhook(&world, "even.test", json!({"classes": [PROFILES]})).await;
    let engine = world.start(settings).await;
    let mut want = [vec![], vec![]];
    for round in 0..20 {
        let host = if round % 2 == 0 { "even.test" } else { "odd.test" };
        let url = json!({"url": format!("http://{host}/hook")});
        world.change(WEBHOOKS, hook, url).await;
        let told = changes(&world, 1 + round % 3).await;
        want[round % 2].extend(told);
        let all = want.concat().len();
        let taken = || net.taken("even.test").len() + net.taken("odd.test").len();
        until("the events of a round", || taken() == all).await;
    }
    world.change(WEBHOOKS, hook, json!({"enabled": false})).await;
    changes(&world, 1).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!([net.taken("even.test"), net.taken("odd.test")], want);
    engine.stop().await;
}

/// Changes a class by a PATCH with these properties.
async fn patch_class(world: &World, name: &str, properties: Json) {
    let former = world.store.classes();
    let sent = json!({"properties": properties});
    let change = postroom_model::patched(former.get(name).unwrap(), &sent).unwrap();
    world.store.class_change(&former, change, Some(0)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_webhook_whose_filter_does_not_fit_its_class_any_more_stops_and_says_so() {
    let (world, net, settings) = place().await;
    patch_class(&world, PROFILES, json!([{"name": "st", "data_type": "string"}])).await;
    let is = |name: &str| json!(["==", ["property", name], "a"]);
    let filter = json!({"classes": [PROFILES], "filter": is("st")});
    let hook = webhook(&world, "fits.test", filter).await;
    let engine = world.start(settings).await;
    let create = async |name: &str| {
        world.create(PROFILES, json!({"name": "p", (name): "a"})).await;
        world.list(PROFILES).await.iter().map(|one| one.seq).max().unwrap()
    };
    let mut want = vec![create("st").await];
    until("the first event", || net.taken("fits.test") == want).await;
    patch_class(&world, PROFILES, json!([{"name": "state", "renamed_from": "st"}])).await;
    want.push(create("state").await);
    let it = until_it(&world, hook, |it| !is_on(it)).await;
    let text = it.text("statusText").unwrap();
    assert!(text.contains("`st`") && text.contains("mend it"), "{text}");
    world.change(WEBHOOKS, hook, json!({"filter": is("state"), "enabled": true})).await;
    want.push(create("state").await);
    until("the events since", || net.taken("fits.test").len() == want.len()).await;
    assert_eq!(net.taken("fits.test"), want);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_webhook_of_a_domain_knows_what_the_domain_added() {
    let (mut world, net, settings) = place().await;
    let add = |of_type: &str| json!({"properties": [{"name": "ticketId", "data_type": of_type}]});
    let [acme, emca] = ["acme", "emca"].map(|name| Domain::new(name).unwrap());
    for (domain, of_type) in [(&acme, "long"), (&emca, "string")] {
        let former = world.store.classes();
        let class = former.of(domain).get(PROFILES).unwrap().extended();
        let change = patched(&class, &add(of_type)).unwrap();
        world.store.class_extend(domain, &former, change, None).await.unwrap();
    }
    let above = |least: Json| {
        json!({"classes": [PROFILES], "mask": "ticketId",
               "filter": [">", ["property", "ticketId"], least]})
    };
    world.domain = acme.clone();
    webhook(&world, "acme.test", above(json!(5))).await;
    world.domain = emca.clone();
    webhook(&world, "emca.test", above(json!("t5"))).await;
    let engine = world.start(settings).await;
    for (domain, tickets) in
        [(acme, [json!(3), json!(70), json!(7)]), (emca, [json!("t9"), json!("t1"), json!("t6")])]
    {
        world.domain = domain;
        for ticket in tickets {
            world.create(PROFILES, json!({"name": "p", "ticketId": ticket})).await;
        }
    }
    for (host, want) in
        [("acme.test", [json!(70), json!(7)]), ("emca.test", [json!("t9"), json!("t6")])]
    {
        until("the events", || net.heard(host).len() == want.len()).await;
        let told = net.heard(host).into_iter().map(|one| one.json()["data"]["entity"].clone());
        let want: Vec<_> = want.iter().map(|ticket| json!({"ticketId": ticket})).collect();
        assert_eq!(told.collect::<Vec<_>>(), want);
    }
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn batches_and_two_secrets() {
    let (world, net, settings) = place().await;
    let more = json!({"batch": 7, "secondSecret": OTHER, "classes": [PROFILES], "mask": "name",
                      "filter": ["!=", ["property", "name"], "3"]});
    let hook = webhook(&world, "many.test", more).await;
    let mut want = changes(&world, 30).await;
    want.remove(3);
    let engine = world.start(settings).await;
    until("all events", || net.taken("many.test").len() == want.len()).await;
    assert_eq!(net.taken("many.test"), want);
    let heard = net.heard("many.test");
    assert_eq!(heard.len(), 5);
    let first = heard[0].json();
    assert_eq!((&first["type"], first["data"].as_array().unwrap().len()), (&json!("batch"), 7));
    assert_eq!(first["data"][0]["entity"], json!({"name": "0"}));
    let (id, at) = (&heard[0].fields["webhook-id"], &heard[0].fields["webhook-timestamp"]);
    let by = |secret: &str| {
        let signs = Webhook::new(secret).unwrap();
        signs.sign(id, at.parse().unwrap(), heard[0].body.as_bytes()).unwrap()
    };
    let both = format!("{} {}", by(SECRET), by(OTHER));
    assert_eq!(heard[0].fields["webhook-signature"], both);
    // A stop writes how far it has come: nothing is told twice.
    engine.stop().await;
    let it = world.list(WEBHOOKS).await.remove(0);
    assert!(it.number("cursor") >= want.last().copied(), "{it:?}");
    assert_eq!(it.id, hook);
    let engine = world.start(place_settings(&world, &net)).await;
    let more = changes(&world, 1).await;
    until("the next event", || net.taken("many.test").len() > want.len()).await;
    assert_eq!(net.taken("many.test").split_off(want.len()), more);
    engine.stop().await;
}

fn place_settings(world: &World, net: &Net) -> Settings {
    let mut settings = world.settings();
    let dialer = Dialer::new(&Trust::default()).unwrap();
    settings.dialing.dialer = dialer.over(Arc::new(net.clone()));
    settings
}

#[tokio::test(start_paused = true)]
async fn a_cursor_of_other_data_disables_with_the_reason_and_is_moved() {
    let (world, net, settings) = place().await;
    let hook = webhook(&world, "lost.test", json!({"classes": [PROFILES]})).await;
    let progress = WebhookProgress {
        known: i64::MAX,
        cursor: i64::MAX,
        last_delivery_at: None,
        lag_seconds: 0,
        failures: 0,
        failing_since: None,
        status_text: None,
        attempts: json!([]),
    };
    world.store.webhook_progress_write(&[(WebhookId::of(hook), progress)]).await.unwrap();
    changes(&world, 2).await;
    let engine = world.start(settings).await;
    let it = until_it(&world, hook, |it| !is_on(it)).await;
    let text = it.text("statusText").unwrap();
    assert!(text.contains("it is of other data. Read the entities anew"), "{text}");
    assert!(it.number("cursor") < Some(i64::MAX));
    world.change(WEBHOOKS, hook, json!({"enabled": true})).await;
    let want = changes(&world, 2).await;
    until("the next events", || net.taken("lost.test").len() == 2).await;
    assert_eq!(net.taken("lost.test"), want);
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_away_for_too_long_is_told_what_it_missed_and_then_what_is_kept() {
    const KEPT: u64 = 1_000;
    let feed = FeedRetention::new(None, Some(KEPT)).unwrap();
    let (world, net, settings) = place_keeping(feed).await;
    let hook = webhook(&world, "away.test", json!({"classes": [PROFILES]})).await;
    let engine = world.start(settings).await;
    let first = changes(&world, 2).await;
    until("the first events", || net.taken("away.test") == first).await;
    net.always("away.test", Does::IsDown);
    for number in 0..1_500 {
        world.create(PROFILES, json!({"name": number.to_string()})).await;
    }
    // The feed is trimmed once an hour.
    let began = Instant::now();
    while world.store.feed_bounds().await.unwrap().oldest <= first[1] + 10 {
        assert!(began.elapsed() < PATIENCE, "nothing is trimmed");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let requests = net.heard("away.test").len();
    net.then("away.test", &[Does::Says(500), Does::Cuts]);
    net.always("away.test", Does::Takes);
    let oldest = world.store.feed_bounds().await.unwrap().oldest;
    let kept = world.store.feed_list(&Domain::default_domain(), oldest, 5_000).await.unwrap();
    let want: Vec<_> = kept.iter().filter(|row| row.class == PROFILES).map(|row| row.seq).collect();
    assert!((500..1_500).contains(&want.len()), "{} are kept", want.len());
    until("what is kept", || net.taken("away.test").len() >= first.len() + want.len()).await;
    assert_eq!(net.taken("away.test").split_off(first.len()), want);
    // It was told first, under one id until it took it.
    let heard = net.heard("away.test").split_off(requests);
    let told: Vec<_> = heard.iter().take_while(|one| one.json()["type"] == "missed").collect();
    assert_eq!(told.len(), 3, "{:?}", heard.first());
    assert!(told.iter().all(|one| one.fields["webhook-id"] == told[0].fields["webhook-id"]));
    let data = told[2].json()["data"].take();
    assert_eq!((&data["webhook"], &data["to"]), (&json!(hook.to_string()), &json!(oldest)));
    let after = data["after"].as_i64().unwrap();
    assert!((first[1]..first[1] + 10).contains(&after), "{after}");
    assert!(data["text"].as_str().unwrap().contains("Read the entities anew"), "{data}");
    let it = until_it(&world, hook, |it| it.number("cursor") >= want.last().copied()).await;
    assert!(is_on(&it), "{it:?}");
    assert!(it.text("statusText").unwrap().starts_with("events were missed"), "{it:?}");
    engine.stop().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_webhooks_a_dead_one_and_a_slow_one_delay_nobody() {
    const COUNT: usize = 1_000;
    let (world, net, settings) = place().await;
    let mut good = vec![];
    for number in 0..COUNT {
        let host = match number {
            0 => "dead.test".to_owned(),
            1 => "slow.test".to_owned(),
            _ => format!("good{number}.test"),
        };
        let more = json!({"classes": [PROFILES], "batch": if number % 2 == 0 { 1 } else { 100 }});
        webhook(&world, &host, more).await;
        good.extend(Some(host).filter(|_| number > 1));
    }
    net.always("dead.test", Does::IsDown);
    net.always("slow.test", Does::IsSilent);
    let engine = world.start(settings).await;
    let began = Instant::now();
    let want = changes(&world, 5).await;
    until("all events", || good.iter().all(|host| net.taken(host).len() >= want.len())).await;
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(good.iter().all(|host| net.taken(host) == want));
    // Those two are told too, when they are back.
    for host in ["dead.test", "slow.test"] {
        net.always(host, Does::Takes);
        until(host, || net.taken(host).len() >= want.len()).await;
        assert_eq!(net.taken(host), want);
    }
    engine.stop().await;
}

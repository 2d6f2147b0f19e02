//! `/rest/v1/autoconfig` beyond the table: only with the consent of the configuration.

use crate::proxy::HttpProxy;
use crate::proxy::PASSWORD;
use crate::world::*;
use postroom_testkit::DnsServer;
use postroom_testkit::Postroom;
use postroom_testkit::PostroomOptions;
use postroom_testkit::on_both;
use postroom_testkit::wait_until;
use serde_json::Value as Json;
use serde_json::json;
use std::path::Path;

const AUTOCONFIG: &str = "/rest/v1/autoconfig?address=anna@shop.test";
const CONFIG: &str = "/rest/v1/config";

fn asking(dns: Option<&DnsServer>) -> Postroom {
    let server = dns.map(|dns| ["--dns-server".to_owned(), dns.address.to_string()]);
    let arguments = server.into_iter().flatten().collect();
    let options = PostroomOptions { arguments, ..PostroomOptions::default() };
    Postroom::start(Path::new(env!("CARGO_BIN_EXE_postroom")), options).unwrap()
}

/// Lookups through this proxy, with these settings beside it.
async fn lookups_through(postroom: &Postroom, proxy: &HttpProxy, others: Json) {
    let mut outgoing = json!({
        "autoconfigLookups": true, "proxy": format!("http://127.0.0.1:{}", proxy.port),
        "proxyLogin": "anna", "proxyPassword": PASSWORD,
    });
    outgoing.as_object_mut().unwrap().extend(others.as_object().unwrap().clone());
    postroom.patch(CONFIG, &json!({"outgoing": outgoing})).await.unwrap();
}

/// Waits until nothing is found for this reason.
async fn until_refused(postroom: &Postroom, reason: &str) -> String {
    let look = async || {
        let refused = format!("{:#}", postroom.get(AUTOCONFIG).await.unwrap_err());
        Ok(refused.contains(reason).then_some(refused))
    };
    wait_until(reason, PATIENCE, look).await.unwrap()
}

fn went_to(proxy: &HttpProxy, target: &str) -> bool {
    proxy.targets.lock().unwrap().iter().any(|at| at == target)
}

#[on_both(flavor = "multi_thread")]
async fn others_are_asked_as_long_as_the_configuration_allows_it() {
    let dns = DnsServer::start().await.unwrap();
    dns.srv("_imaps._tcp.shop.test", [0, 0, 993], "imap.shop.test");
    let postroom = asking(Some(&dns));
    let refused = postroom.get(AUTOCONFIG).await.unwrap_err().to_string();
    assert!(refused.contains("404") && refused.contains("autoconfigLookups"), "{refused}");
    assert!(dns.asked().is_empty());

    let set = json!({"outgoing": {"autoconfigLookups": true}});
    postroom.patch(CONFIG, &set).await.unwrap();
    let look = async || Ok(postroom.get(AUTOCONFIG).await.ok());
    let found = wait_until("servers", PATIENCE, look).await.unwrap();
    assert_eq!(found["profile"]["imapHost"], "imap.shop.test");
    assert_eq!(found["sources"]["imapHost"], json!({"source": "srv", "sure": "medium"}));
    assert_eq!((&found["missing"], &found["lookups"]["allowed"]), (&json!(["smtp"]), &json!(true)));
    let tried: Vec<_> = found["lookups"]["tried"].as_array().unwrap().iter().collect();
    assert_eq!((&tried[0]["source"], &tried[0]["result"]), (&json!("srv"), &json!("found")));
    assert!(dns.asked().iter().all(|name| !name.contains("anna")));
}

#[on_both(flavor = "multi_thread")]
async fn all_that_is_asked_goes_through_the_proxy_and_by_the_rules_of_the_configuration() {
    let (dns, proxy) = (DnsServer::start().await.unwrap(), HttpProxy::start().await);
    let postroom = asking(Some(&dns));
    lookups_through(&postroom, &proxy, json!({})).await;
    // The proxy looks the name up: it does not exist.
    until_refused(&postroom, "does not connect to autoconfig.shop.test:443").await;
    assert!(went_to(&proxy, "autoconfig.shop.test:443") && went_to(&proxy, "shop.test:443"));
    assert!(went_to(&proxy, &dns.address.to_string()));
    assert!(dns.asked().contains(&"_imaps._tcp.shop.test".to_owned()));
    dns.host("autoconfig.shop.test", [127, 0, 0, 1].into());
    // With rules, the name is looked up here, and the proxy is asked for the address.
    proxy.targets.lock().unwrap().clear();
    lookups_through(&postroom, &proxy, json!({"mailDenied": ["127.0.0.0/8"]})).await;
    until_refused(&postroom, "outgoing.mailDenied").await;
    let is_file = |target: &String| target.ends_with(":443") && !target.contains("shop.test");
    assert!(!proxy.targets.lock().unwrap().iter().any(is_file));
    lookups_through(&postroom, &proxy, json!({"mailDenied": ["10.0.0.0/8"]})).await;
    until_refused(&postroom, "does not connect to 127.0.0.1:443").await;
    assert!(went_to(&proxy, "127.0.0.1:443"));
    dns.srv("_imaps._tcp.shop.test", [0, 0, 993], "imap.shop.test");
    let found = postroom.get(AUTOCONFIG).await.unwrap();
    assert_eq!(found["profile"]["imapHost"], "imap.shop.test");
    assert_eq!(dns.asked_by_udp_count(), 0);
}

#[on_both(flavor = "multi_thread")]
async fn the_dns_of_the_system_is_not_asked_past_the_proxy() {
    let proxy = HttpProxy::start().await;
    let postroom = asking(None);
    lookups_through(&postroom, &proxy, json!({})).await;
    let refused = until_refused(&postroom, "name a DNS server with --dns-server").await;
    for source in ["srv: the DNS is not asked", "mx: the DNS is not", "guess: the DNS is not"] {
        assert!(refused.contains(source), "{refused}");
    }
    assert!(went_to(&proxy, "autoconfig.shop.test:443"));
}

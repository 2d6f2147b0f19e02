//! The servers of an address: who is asked for them, in which order, and who is not.

use crate::world::World;
use postroom_engine::Dialing;
use postroom_engine::OutgoingPolicy;
use postroom_engine::ServersFound;
use postroom_engine::Settings;
use postroom_engine::Supervisor;
use postroom_model::AddressRules;
use postroom_model::Domain;
use postroom_net::Certificates;
use postroom_net::Dialed;
use postroom_net::Dialer;
use postroom_net::Network;
use postroom_net::Trust;
use postroom_sandbox::DnsServer;
use rcgen::generate_simple_self_signed;
use serde_json::Value as Json;
use serde_json::json;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::Mutex;
use tokio::io::AsyncReadExt;
use tokio::io::AsyncWriteExt;

const ANNA: &str = "anna@shop.test";
/// The only host of the network with HTTPS.
const WEB: Ipv4Addr = Ipv4Addr::new(10, 9, 9, 9);

/// Answers of HTTPS, by host and path without its query.
#[derive(Default)]
struct Pages {
    answers: HashMap<String, String>,
    asked: Vec<String>,
}

#[derive(Clone)]
struct Web {
    certificates: Certificates,
    pages: Arc<Mutex<Pages>>,
}

impl fmt::Debug for Web {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Web")
    }
}

impl Network for Web {
    fn dial(&self, host: &str, port: u16) -> Dialed {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let (web, at) = (self.clone(), format!("{host}:{port}"));
        tokio::spawn(async move {
            let Ok(mut stream) = web.certificates.accept(server).await else { return };
            let (mut head, mut chunk) = (vec![], [0; 4096]);
            while !head.windows(4).any(|window| window == b"\r\n\r\n") {
                match stream.read(&mut chunk).await {
                    Ok(length) if length > 0 => head.extend(&chunk[..length]),
                    _ => return,
                }
            }
            let head = String::from_utf8(head).unwrap();
            let path = head.split(' ').nth(1).unwrap().to_owned();
            let host = head.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
            let answer = {
                let mut pages = web.pages.lock().unwrap();
                pages.asked.push(format!("{at} {host}{path}"));
                let path = path.split('?').next().unwrap();
                pages.answers.get(&format!("{host}{path}")).cloned()
            };
            let answer = answer.unwrap_or_else(|| "404 X\r\ncontent-length: 0\r\n\r\n".to_owned());
            let _ = stream.write_all(format!("HTTP/1.1 {answer}").as_bytes()).await;
            let _ = stream.shutdown().await;
        });
        Box::pin(async move { Ok(client) })
    }
}

struct SearchPlace {
    _world: World,
    engine: Supervisor,
    dns: DnsServer,
    web: Web,
}

impl SearchPlace {
    async fn new(autoconfig_lookups: bool) -> Self {
        Self::by(OutgoingPolicy { autoconfig_lookups, ..OutgoingPolicy::default() }).await
    }

    /// One that may not reach these networks.
    async fn denied(networks: &[&str]) -> Self {
        let denied = networks.iter().map(|network| network.parse().unwrap()).collect();
        let mail = Arc::new(AddressRules { allowed: None, denied });
        Self::by(OutgoingPolicy { autoconfig_lookups: true, mail, ..OutgoingPolicy::default() })
            .await
    }

    async fn by(outgoing: OutgoingPolicy) -> Self {
        let (world, dns) = (World::new().await, DnsServer::start().await.unwrap());
        let names = ["autoconfig.shop.test", "shop.test", "far.test", "public.test"];
        let identity = generate_simple_self_signed(names.map(str::to_owned)).unwrap();
        let (pem, key_pem) = (identity.cert.pem(), identity.signing_key.serialize_pem());
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let certificate = file("certificate", &pem);
        let certificates = Certificates::open(&certificate, &file("key", &key_pem));
        let web = Web { certificates: certificates.unwrap(), pages: Arc::default() };
        let trust = Trust { system: false, extra_ca_pem: pem.into_bytes() };
        let dialer = Dialer::new(&trust).unwrap().over(Arc::new(web.clone()));
        let settings = Settings {
            dialing: Dialing { dialer, ehlo_name: "client.test".to_owned() },
            dns_server: Some(dns.address),
            outgoing,
            ..world.settings()
        };
        let engine = world.start(settings).await;
        Self { _world: world, engine, dns, web }
    }

    fn page(&self, at: &str, answer: String) {
        self.web.pages.lock().unwrap().answers.insert(at.to_owned(), answer);
    }

    fn pages_asked(&self) -> Vec<String> {
        self.web.pages.lock().unwrap().asked.clone()
    }

    async fn search(&self) -> ServersFound {
        self.engine.server_search().search(&Domain::default_domain(), ANNA, false).await.unwrap()
    }
}

fn file(imap: &str, smtp: &str) -> String {
    let server = |element: &str, kind: &str, host: &str, port: u16| {
        format!(
            "<{element} type=\"{kind}\"><hostname>{host}</hostname><port>{port}</port>\
             <socketType>SSL</socketType><username>%EMAILLOCALPART%</username></{element}>"
        )
    };
    let text = format!(
        "<clientConfig version=\"1.1\"><emailProvider id=\"shop.test\"><displayName>The Shop\
         </displayName>{}{}</emailProvider></clientConfig>",
        server("incomingServer", "imap", imap, 993),
        server("outgoingServer", "smtp", smtp, 465)
    );
    format!("200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len())
}

fn redirect(to: &str) -> String {
    format!("302 X\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n")
}

fn sources(shown: &Json) -> [&str; 2] {
    ["imapHost", "smtpHost"].map(|name| shown["sources"][name]["source"].as_str().unwrap_or(""))
}

fn result_of(result: &ServersFound, by: &str) -> String {
    let tried = result.tried.iter().find(|tried| tried.by.as_str() == by);
    tried.map_or_else(String::new, |tried| tried.result.clone())
}

#[tokio::test]
async fn nobody_is_asked_without_the_consent_of_the_configuration() {
    let place = SearchPlace::new(false).await;
    assert!(
        place.engine.server_search().search(&Domain::default_domain(), ANNA, true).await.is_none()
    );
    assert!(place.dns.asked().is_empty() && place.pages_asked().is_empty());
    place.engine.stop().await;
}

#[tokio::test]
async fn srv_records_name_the_servers_and_nobody_else_is_asked() {
    let place = SearchPlace::new(true).await;
    let dns = &place.dns;
    dns.srv("_imaps._tcp.shop.test", [20, 0, 993], "late.shop.test");
    dns.srv("_imaps._tcp.shop.test", [10, 1, 993], "light.shop.test");
    dns.srv("_imaps._tcp.shop.test", [10, 9, 1993], "heavy.shop.test");
    dns.srv("_submissions._tcp.shop.test", [0, 0, 0], ".");
    dns.srv("_submission._tcp.shop.test", [0, 0, 587], "smtp.far.test");
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    let want = json!({
        "name": "shop.test", "imapHost": "heavy.shop.test", "imapPort": 1993,
        "imapSecurity": "tls", "smtpHost": "smtp.far.test", "smtpPort": 587,
        "smtpSecurity": "starttls", "auth": "password",
    });
    assert_eq!(shown["profile"], want);
    assert_eq!(shown["sources"]["imapPort"], json!({"source": "srv", "sure": "medium"}));
    assert_eq!(shown["sources"]["smtpPort"], json!({"source": "srv", "sure": "low"}));
    assert!(place.pages_asked().is_empty());
    let asked = dns.asked();
    assert!(asked.iter().all(|name| name.ends_with(".shop.test") && !name.contains("anna")));
    place.engine.stop().await;
}

#[tokio::test]
async fn the_file_of_a_domain_is_asked_for_at_the_domain_alone() {
    let place = SearchPlace::new(true).await;
    place.dns.host("autoconfig.shop.test", WEB);
    place.dns.host("shop.test", WEB);
    let well_known = "shop.test/.well-known/autoconfig/mail/config-v1.1.xml";
    place.page(well_known, file("imap.shop.test", "smtp.far.test"));
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    assert_eq!(sources(&shown), ["autoconfig"; 2]);
    assert_eq!(
        (&shown["provider"], &shown["account"]["login"]),
        (&json!("The Shop"), &json!("anna"))
    );
    let want = [
        "10.9.9.9:443 autoconfig.shop.test/mail/config-v1.1.xml?emailaddress=anna%40shop.test",
        "10.9.9.9:443 shop.test/.well-known/autoconfig/mail/config-v1.1.xml",
    ];
    assert_eq!(place.pages_asked(), want);
    assert!(place.dns.asked().iter().all(|name| !name.contains("anna")));
    place.engine.stop().await;
}

#[tokio::test]
async fn a_redirect_is_followed_to_public_addresses_alone() {
    let place = SearchPlace::new(true).await;
    for (host, address) in [
        ("autoconfig.shop.test", WEB),
        ("far.test", Ipv4Addr::new(169, 254, 169, 254)),
        ("public.test", Ipv4Addr::new(9, 9, 9, 9)),
    ] {
        place.dns.host(host, address);
    }
    let first = "autoconfig.shop.test/mail/config-v1.1.xml";
    for (to, want) in [
        ("https://far.test/x", "far.test is 169.254.169.254, which is no address"),
        ("https://127.0.0.1/x", "127.0.0.1, which is no address"),
        ("https://[::1]/x", "::1, which is no address"),
        ("http://public.test/x", "no HTTPS"),
        (
            "https://autoconfig.shop.test/mail/config-v1.1.xml",
            "autoconfig.shop.test is 10.9.9.9, which",
        ),
    ] {
        place.page(first, redirect(to));
        let result = place.search().await;
        let said = result_of(&result, "autoconfig");
        assert!(said.contains(want), "{to}: {said}");
        assert!(place.pages_asked().iter().all(|asked| asked.starts_with("10.9.9.9:")), "{to}");
    }
    place.page(first, redirect("https://public.test/x"));
    place.page("public.test/x", file("imap.shop.test", "smtp.shop.test"));
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    assert_eq!(sources(&shown), ["autoconfig"; 2]);
    place.page("public.test/x", redirect("https://public.test/x"));
    let said = result_of(&place.search().await, "autoconfig");
    assert!(said.contains("more than 3 redirects"), "{said}");
    place.engine.stop().await;
}

#[tokio::test]
async fn neither_the_file_nor_a_redirect_leads_into_a_denied_network() {
    let place = SearchPlace::denied(&["10.0.0.0/8", "8.8.8.0/24"]).await;
    let refused = "outgoing.mailDenied";
    place.dns.host("autoconfig.shop.test", WEB);
    let said = result_of(&place.search().await, "autoconfig");
    assert!(said.contains("10.9.9.9") && said.contains(refused), "{said}");
    assert!(place.pages_asked().is_empty());
    place.dns.host("autoconfig.shop.test", Ipv4Addr::new(9, 9, 9, 9));
    for (host, address) in [("far.test", [8, 8, 8, 8]), ("public.test", [9, 9, 9, 9])] {
        place.dns.host(host, Ipv4Addr::from(address));
    }
    // Of the addresses of a host, those that are not denied are reached.
    let first = "autoconfig.shop.test/mail/config-v1.1.xml";
    place.page(first, redirect("https://far.test/x"));
    let said = result_of(&place.search().await, "autoconfig");
    assert!(said.contains("8.8.8.8") && said.contains(refused), "{said}");
    place.page(first, redirect("https://public.test/x"));
    place.page("public.test/x", file("imap.shop.test", "smtp.shop.test"));
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    assert_eq!(sources(&shown), ["autoconfig"; 2]);
    assert!(place.pages_asked().iter().all(|asked| asked.starts_with("9.9.9.9:443 ")));
    place.engine.stop().await;
}

#[tokio::test]
async fn a_file_that_cannot_be_used_says_why_and_is_bounded() {
    let place = SearchPlace::new(true).await;
    place.dns.host("autoconfig.shop.test", WEB);
    let first = "autoconfig.shop.test/mail/config-v1.1.xml";
    let text = |text: &str| format!("200 OK\r\ncontent-length: {}\r\n\r\n{text}", text.len());
    for (answer, want) in [
        (text("<!DOCTYPE x><clientConfig/>"), "it has a document type"),
        (text("<html/>"), "it is no clientConfig"),
        (text(&"x".repeat(200 * 1024)), "more than 131072 bytes"),
        (file("127.0.0.1", "::1"), "names no IMAP or SMTP server"),
        ("500 X\r\ncontent-length: 0\r\n\r\n".to_owned(), "answers 500"),
    ] {
        place.page(first, answer);
        let said = result_of(&place.search().await, "autoconfig");
        assert!(said.contains(want) && said.contains("shop.test does not exist"), "{said}");
    }
    place.engine.stop().await;
}

#[tokio::test]
async fn the_receiving_server_and_names_that_resolve_come_last() {
    let place = SearchPlace::new(true).await;
    let receiver = ["shop-test", "mail", "protection", "outlook", "com"].join(".");
    place.dns.host("mail.shop.test", WEB);
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    assert_eq!(sources(&shown), ["guess"; 2]);
    assert_eq!(shown["sources"]["imapHost"]["sure"], "low");
    assert_eq!(shown["profile"]["imapHost"], "mail.shop.test");
    place.dns.mx("shop.test", 20, "mx.shop.test");
    place.dns.mx("shop.test", 10, &receiver);
    let shown = place.search().await.found.to_json(ANNA).unwrap();
    assert_eq!(sources(&shown), ["mx"; 2]);
    assert_eq!(
        (&shown["provider"], &shown["profile"]["auth"]),
        (&json!("Microsoft 365"), &json!("oauth2"))
    );
    place.dns.fail();
    let result = place.search().await;
    assert!(result.found.to_json(ANNA).is_none());
    for tried in &result.tried {
        assert!(tried.result.contains("the DNS gives no answer for"), "{tried:?}");
    }
    place.engine.stop().await;
}

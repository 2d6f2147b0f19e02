//! Tests of the configuration.

use crate::configuration::Configuration;
use crate::secret_member::MASK;
use serde_json::Value as Json;
use serde_json::json;

fn configured(json: Json) -> Result<Configuration, Vec<String>> {
    let Json::Object(members) = json else { panic!("no object") };
    let told = |problems: Vec<crate::Invalid>| problems.iter().map(ToString::to_string).collect();
    Configuration::new(members).map_err(told)
}

#[test]
fn the_sample_of_the_platform_is_taken_as_it_is() {
    let sample = r#"{"name":"im1","roletype":"im","iface":"eth0","group":11330,"order":1}"#;
    let sample: Json = serde_json::from_str(sample).unwrap();
    let whole = configured(json!({"roles": [sample]})).unwrap();
    assert_eq!(whole.to_json(), json!({"roles": [sample]}));
    assert_eq!(whole.trimmed(), json!({"roles": [sample]}));
    let warnings = whole.warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(warnings[0].property, "roles[0].roletype");
}

#[test]
fn parameters_of_other_roles_are_kept_and_not_trimmed_in() {
    let role = json!({"name": "w1", "roletype": "web", "host": "10.0.0.1", "port": 80,
        "x": {"y": [1]}, "group": 1, "order": 1});
    let whole = configured(json!({"roles": [role]})).unwrap();
    assert_eq!(whole.to_json()["roles"][0], role);
    let trimmed = json!({"name": "w1", "roletype": "web", "group": 1, "order": 1});
    assert_eq!(whole.trimmed()["roles"][0], trimmed);
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let role = |more: Json| {
        let mut role = json!({"name": "e1", "roletype": "email"});
        role.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"roles": [{"name": "im1", "roletype": "im", "group": 7, "order": 1}, role]})
    };
    let max = 1_u64 << 31;
    #[rustfmt::skip]
    let table = [
        (json!({"roles": {}}),                    "roles: takes a list"),
        (json!({"roles": [5]}),                   "roles[0]: takes an object"),
        (json!({"rolls": []}),                    "rolls: no such section; there is roles, limits"),
        (role(json!({"name": null})),             "roles[1].name: is required"),
        (role(json!({"name": ""})),               "roles[1].name: takes 1 to 64"),
        (role(json!({"name": " a"})),             "roles[1].name: takes 1 to 64"),
        (role(json!({"name": "x".repeat(65)})),   "roles[1].name: takes 1 to 64"),
        (role(json!({"name": "im1"})),            "roles[1].name: `im1` is the name of roles[0]"),
        (role(json!({"roletype": 5})),            "roles[1].roletype: takes"),
        (role(json!({"roletype": "Email"})),      "roles[1].roletype: is written `email`"),
        (role(json!({"group": 0})),               "roles[1].group: takes a whole number from 1 to 2147483648"),
        (role(json!({"group": max + 1})),         "roles[1].group: takes"),
        (role(json!({"group": "1"})),             "roles[1].group: takes"),
        (role(json!({"group": 1.5})),             "roles[1].group: takes"),
        (role(json!({"order": -1})),              "roles[1].order: takes a whole number from 0"),
        (role(json!({"group": 7, "order": 1})),   "roles[1].order: 1 is the order of roles[0] in group 7"),
        (role(json!({"iface": "a/b"})),           "roles[1].iface: takes the name of a network interface"),
        (role(json!({"iface": ""})),              "roles[1].iface: takes"),
        (role(json!({"enabled": "yes"})),         "roles[1].enabled: takes true or false"),
        (role(json!({"failback": 1})),            "roles[1].failback: takes true or false"),
        (role(json!({"roletype": "api", "failback": true})), "roles[1].failback: no such parameter of the role `api`"),
        (role(json!({"roletype": "API"})),        "roles[1].roletype: is written `api`"),
        (role(json!({"roletype": "a b"})),        "roles[1].roletype: takes 1 to 63"),
        (role(json!({"order": max + 1})),         "roles[1].order: takes a whole number from 0 to 2147483648"),
        (role(json!({"lisen": "x"})),             "roles[1].lisen: no such parameter of the role `email`"),
        (json!({"limits": 5}),                    "limits: takes an object"),
        (json!({"limits": {"x": 5}}),             "limits.x: no such setting; there is requestsPerSecond"),
        (json!({"limits": {"requestsPerSecond": 0}}), "limits.requestsPerSecond: takes a whole number from 1"),
        (json!({"retention": {"feedDays": 4000}}), "retention.feedDays: takes a whole number from 1 to 3650"),
        (json!({"trust": {"authorities": "x"}}),  "trust.authorities: takes a list"),
        (json!({"trust": {"authorities": ["x"]}}), "trust.authorities[0]: takes a certificate"),
        (json!({"log": {"level": "verbose"}}),    "log.level: takes one of off, error"),
        (json!({"outgoing": {"mailAllowed": []}}), "outgoing.mailAllowed: takes a list of 1 to 1000 networks"),
        (json!({"outgoing": {"mailAllowed": ["10.0.0.0/8", "lan"]}}), "outgoing.mailAllowed[1]: is neither an address nor a network"),
        (json!({"outgoing": {"webhooksDenied": ["public"]}}), "outgoing.webhooksDenied[0]: is neither"),
        (json!({"outgoing": {"oauthDenied": "::/0"}}), "outgoing.oauthDenied: takes a list"),
        (json!({"outgoing": {"proxy": "ftp://a:1"}}), "outgoing.proxy: begins with neither"),
        (json!({"outgoing": {"proxy": 5}}),       "outgoing.proxy: takes socks5://"),
        (json!({"outgoing": {"proxyLogin": "a"}}), "outgoing.proxyLogin: is for a proxy"),
        (json!({"outgoing": {"proxy": "http://a:1", "proxyLogin": "a"}}), "outgoing.proxyPassword: is missing"),
        (json!({"outgoing": {"proxy": "http://a:1", "proxyPassword": "a"}}), "outgoing.proxyPassword: is for a login"),
        (json!({"outgoing": {"proxy": "http://a:1", "proxyLogin": "a\n", "proxyPassword": "a"}}), "outgoing.proxyLogin: takes a text of 1 to 255"),
        (json!({"outgoing": {"mailToPublicAddressesOnly": 1}}), "outgoing.mailToPublicAddressesOnly: takes true"),
    ];
    for (json, want) in table {
        let problems = configured(json.clone()).expect_err(want);
        assert!(problems.iter().any(|problem| problem.starts_with(want)), "{json}: {problems:?}");
    }
    for right in [
        json!({"group": max, "order": 0}),
        json!({"name": "x".repeat(64), "order": max, "failback": false}),
        json!({"name": "host é", "roletype": "api"}),
        json!({"roletype": "im2", "failback": "x"}),
    ] {
        assert!(configured(role(right.clone())).is_ok(), "{right}");
    }
    assert!(configured(role(json!({"group": 8, "order": 1}))).is_ok());
}

#[test]
fn all_problems_are_told_at_once() {
    let problems = configured(json!({"roles": [{"name": ""}], "x": 1})).unwrap_err();
    assert_eq!(problems.len(), 3, "{problems:?}");
}

#[test]
fn what_is_much_too_large_is_refused() {
    let role = |at: usize| json!({"name": format!("r{at}"), "roletype": "im"});
    let many: Vec<_> = (0..1001).map(role).collect();
    assert!(configured(json!({"roles": many})).unwrap_err()[0].contains("at most 1000"));
    let long = json!({"roles": [{"name": "a", "roletype": "im", "x": "y".repeat(1 << 20)}]});
    assert!(configured(long).unwrap_err()[0].contains("larger than 1048576 bytes"));
}

#[test]
fn a_change_names_only_what_changes_and_secrets_stay() {
    let sealed = json!({"sealed": "x"});
    let first = configured(json!({
        "roles": [{"name": "w", "roletype": "web", "password": sealed}],
        "limits": {"requestsPerSecond": 5},
    }));
    let first = first.unwrap();
    assert_eq!(first.shown()["roles"][0]["password"], MASK);
    let patch = json!({"retention": {"feedDays": 3}, "limits": null});
    let second = first.patched(&patch).unwrap();
    assert_eq!(second.feed_days(), Some(3));
    assert_eq!(second.requests_per_second(), None);
    assert_eq!(second.to_json()["roles"][0]["password"], sealed);
    let none = json!({"limits": {"requestsPerSecond": null}, "log": {}});
    assert_eq!(second.patched(&none).unwrap(), second);
    // What was shown may be sent back.
    let third = second.patched(&second.shown()).unwrap();
    assert_eq!(third, second);
    let places = second.differences(&first);
    let places: Vec<_> = places.iter().map(|one| one.place.as_str()).collect();
    assert_eq!(places, ["retention", "limits"]);
}

#[test]
fn no_difference_tells_a_secret() {
    let of = |secret: &str| {
        let role = json!({"name": "w", "roletype": "web", "apiKey": {"sealed": secret}});
        configured(json!({"roles": [role]})).unwrap()
    };
    let changed = of("two").differences(&of("one"));
    assert_eq!(changed[0].place, "roles[w].apiKey");
    assert_eq!(changed[0].before, Some(MASK.into()));
    let added = of("two").differences(&Configuration::default());
    assert!(!format!("{added:?}").contains("two"), "{added:?}");
}

#[test]
fn a_sealed_secret_of_a_client_is_refused() {
    let role = json!({"name": "w", "roletype": "web", "password": {"sealed": "x"}});
    let refused = Configuration::default().patched(&json!({"roles": [role]})).unwrap_err();
    assert_eq!(refused[0].property, "roles[0].password");
}

#[test]
fn what_another_release_stored_has_its_effect_as_far_as_it_is_known() {
    let Json::Object(members) = json!({
        "roles": [{"name": "e1", "roletype": "email", "group": 7, "later": 1, "order": "x"}, 5],
        "limits": {"requestsPerSecond": 5, "later": true},
        "later": {},
    }) else {
        panic!("no object")
    };
    let stored = Configuration::stored(members.clone());
    assert_eq!(stored.to_json(), Json::Object(members));
    assert_eq!(stored.requests_per_second().map(std::num::NonZeroU32::get), Some(5));
    let [role] = stored.roles() else { panic!("{:?}", stored.roles()) };
    assert_eq!((role.name.as_str(), role.group, role.order), ("e1", Some(7), None));
    // A client is told, and changes nothing until it is right.
    assert!(stored.patched(&json!({"limits": {"later": null}})).is_err());
}

#[test]
fn the_outgoing_policy_is_read_and_where_the_proxy_is_is_not_trimmed_in() {
    let outgoing = json!({"mailAllowed": ["public", "10.0.0.0/8"], "webhooksDenied": ["::1"],
        "proxy": "socks5://proxy.test:1080", "proxyLogin": "anna", "proxyPassword": "hush"});
    let whole = configured(json!({"outgoing": outgoing})).unwrap();
    assert_eq!(whole.mail_rules().allowed.map(|all| all.len()), Some(2));
    assert_eq!(whole.webhook_rules().denied, ["::1/128".parse().unwrap()]);
    assert!(whole.oauth_rules().is_open());
    let proxy = whole.proxy().unwrap();
    assert_eq!((proxy.address.host.as_str(), proxy.login.as_deref()), ("proxy.test", Some("anna")));
    assert_eq!(whole.shown()["outgoing"]["proxyPassword"], MASK);
    let trimmed = json!({"mailAllowed": 2, "webhooksDenied": 1});
    assert_eq!(whole.trimmed()["outgoing"], trimmed);
}

//! Layers: which crate may use which. The uses are those in Cargo.toml.
//!
//! Cargo forbids cycles between crates. The table here also forbids the wrong direction. Tests may
//! use any layer.

use crate::tidy::source::Offence;
use serde_json::Value;

/// Layers, bottom first, each with the layers that it may use.
const LAYERS: &[(&str, &[&str])] = &[
    ("postroom-model", &[]),
    ("postroom-watch", &[]),
    ("postroom-net", &["postroom-model"]),
    ("postroom-mime", &["postroom-model"]),
    ("postroom-store", &["postroom-model", "postroom-watch"]),
    ("postroom-imap", &["postroom-net", "postroom-model"]),
    ("postroom-smtp", &["postroom-net", "postroom-model"]),
    (
        "postroom-engine",
        &[
            "postroom-imap",
            "postroom-smtp",
            "postroom-mime",
            "postroom-store",
            "postroom-net",
            "postroom-model",
            "postroom-watch",
        ],
    ),
    ("postroom-api", &["postroom-engine", "postroom-store", "postroom-net", "postroom-model"]),
    (
        "postroom",
        &[
            "postroom-api",
            "postroom-engine",
            "postroom-imap",
            "postroom-smtp",
            "postroom-mime",
            "postroom-store",
            "postroom-net",
            "postroom-model",
            "postroom-sandbox",
        ],
    ),
    ("postroom-sandbox", &["postroom-watch"]),
    ("postroom-on-both", &[]),
    ("postroom-testkit", &["postroom-on-both", "postroom-sandbox"]),
    (
        "postroom-simulator",
        &[
            "postroom-engine",
            "postroom-store",
            "postroom-net",
            "postroom-model",
            "postroom-sandbox",
        ],
    ),
    ("xtask", &["postroom-testkit"]),
];

/// Dependencies that only some crates may have, with the rule behind it.
const RESTRICTED: &[(&str, &[&str], &str)] = &[
    (
        "anyhow",
        &["postroom", "postroom-simulator", "postroom-testkit", "xtask"],
        "libraries have an error enum",
    ),
    ("rusqlite", &["postroom-store"], "SQL stays in the store"),
    ("tokio-postgres", &["postroom-store", "postroom-testkit"], "SQL stays in the store"),
    ("axum", &["postroom-api"], "HTTP stays in the api"),
    ("clap", &["postroom"], "arguments stay in the binary"),
    ("tokio-rustls", &["postroom-net", "postroom-sandbox"], "TLS stays in net"),
];

/// Checks the packages of `cargo metadata`.
pub fn check(packages: &[Value]) -> Vec<Offence> {
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Vec<Offence> {
    let name = package["name"].as_str().unwrap_or_default();
    let path =
        if name == "xtask" { "xtask/Cargo.toml" } else { &format!("crates/{name}/Cargo.toml") };
    let offence = |text| Offence { path: path.to_owned(), line: 1, text };
    let Some((_, allowed)) = LAYERS.iter().find(|(layer, _)| *layer == name) else {
        return vec![offence(format!("{name} has no place in the layers of xtask/src/tidy"))];
    };
    let mut offences = vec![];
    for dependency in package["dependencies"].as_array().into_iter().flatten() {
        let used = dependency["name"].as_str().unwrap_or_default();
        if dependency["kind"] == "dev" {
            continue;
        }
        let ours = used == "xtask" || used == "postroom" || used.starts_with("postroom-");
        if ours && !allowed.contains(&used) {
            offences.push(offence(format!("{name} may not use {used}: see the layers")));
        }
        for (restricted, users, rule) in RESTRICTED {
            if used == *restricted && !users.contains(&name) {
                offences.push(offence(format!("{name} may not use {used}: {rule}")));
            }
        }
    }
    offences
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(name: &str, used: &str, kind: Option<&str>) -> Vec<String> {
        let package = json!({"name": name, "dependencies": [{"name": used, "kind": kind}]});
        check_package(&package).into_iter().map(|offence| offence.to_string()).collect()
    }

    #[test]
    fn lower_layers_may_be_used_and_higher_ones_not() {
        assert!(check("postroom-imap", "postroom-net", None).is_empty());
        assert_eq!(
            check("postroom-imap", "postroom-store", None),
            ["crates/postroom-imap/Cargo.toml:1: postroom-imap may not use postroom-store: \
              see the layers"]
        );
        assert_eq!(check("postroom-model", "postroom-mime", None).len(), 1);
        assert!(check("postroom-model", "postroom-testkit", Some("dev")).is_empty());
        assert!(check("postroom-model", "serde", None).is_empty());
    }

    #[test]
    fn some_dependencies_belong_to_one_place() {
        assert!(check("postroom-store", "rusqlite", None).is_empty());
        assert_eq!(check("postroom-engine", "rusqlite", None).len(), 1);
        assert_eq!(check("postroom-engine", "anyhow", None).len(), 1);
    }

    #[test]
    fn a_new_crate_needs_a_place() {
        assert_eq!(check("postroom-stuff", "serde", None).len(), 1);
    }

    #[test]
    fn the_table_itself_has_one_direction() {
        for (at, (layer, used)) in LAYERS.iter().enumerate() {
            for used in used.iter().filter(|used| !used.ends_with("sandbox")) {
                let place = LAYERS.iter().position(|(layer, _)| layer == used);
                assert!(place.is_some_and(|place| place < at), "{layer} uses {used}");
            }
        }
    }
}

//! The crates depend on each other in one direction only, and the pure ones stay pure.
//!
//! `node -> consensus -> chain-core`, `cli -> chain-core`, `tests -> all`. An auditor need trust only
//! chain-core, so `city` must not link the node it checks; consensus can be replayed under a seed only
//! while nothing in its tree owns a socket, a clock or a thread pool.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Each member and the members it may name, in any section of its manifest.
const ARROWS: &[(&str, &[&str])] = &[
    ("city-chain-core", &[]),
    ("city-consensus", &["city-chain-core"]),
    ("city-node", &["city-consensus", "city-chain-core"]),
    ("city-cli", &["city-chain-core"]),
    ("city-sim", &["city-chain-core", "city-consensus"]),
    ("city-tests", &["city-chain-core", "city-consensus", "city-sim", "city-node", "city-cli"]),
];

/// Runtimes, sockets, databases, HTTP: what makes a crate impure. A trailing `*` stands for any ending.
const IMPURE: &[&str] = &[
    "tokio",
    "tokio-*",
    "async-std",
    "smol",
    "mio",
    "polling",
    "socket2",
    "libp2p",
    "libp2p-*",
    "rocksdb",
    "librocksdb-sys",
    "axum",
    "hyper",
    "hyper-util",
    "ureq",
    "reqwest",
    "rustls",
    "rayon",
];
/// What would make the auditor's command trust, or drag along, the node it checks.
const NODE_ONLY: &[&str] = &["rocksdb", "librocksdb-sys", "libp2p", "libp2p-*", "axum", "tokio"];

/// A crate, and what its normal dependency tree must not hold.
const TREES: &[(&str, &[&str])] =
    &[("city-chain-core", IMPURE), ("city-consensus", IMPURE), ("city-sim", IMPURE), ("city-cli", NODE_ONLY)];

/// A crate, and features of it that nothing in the workspace may switch on.
const FEATURES: &[(&str, &[&str])] = &[
    // The first accepts signatures that `verify_strict` refuses; the second hands out raw key material.
    ("ed25519-dalek", &["legacy_compatibility", "hazmat"]),
    // Both would change the bytes of canonical JSON.
    ("serde_json", &["arbitrary_precision", "preserve_order"]),
];

#[test]
fn members_name_only_the_crates_below_them() {
    assert_none(wrong_arrows(&cargo_metadata(&["--no-deps"])));
}

#[test]
fn pure_crates_hold_no_runtime_socket_or_database() {
    assert_none(impure_trees(&cargo_metadata(&["--filter-platform", &host()])));
}

#[test]
fn no_dependency_switches_on_a_forbidden_feature() {
    assert_none(forbidden_features(&cargo_metadata(&["--filter-platform", &host()])));
}

#[test]
fn only_the_tests_can_remove_safety_rules() {
    assert_none(mutant_users(&cargo_metadata(&["--no-deps"])));
}

/// Packages other than city-sim that ask for the feature which lets tests remove safety rules.
fn mutant_users(metadata: &Value) -> Vec<String> {
    let asks = |dependency: &Value| {
        text(&dependency["name"]) == "city-consensus"
            && list(&dependency["features"]).iter().any(|feature| text(feature) == "mutants")
    };
    list(&metadata["packages"])
        .iter()
        .filter(|package| text(&package["name"]) != "city-sim")
        .filter(|package| list(&package["dependencies"]).iter().any(asks))
        .map(|package| format!("{} switches on city-consensus/mutants", text(&package["name"])))
        .collect()
}

fn assert_none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n  {}\n", faults.join("\n  "));
}

fn wrong_arrows(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut seen = BTreeSet::new();
    let members: BTreeSet<&str> = list(&metadata["workspace_members"]).iter().map(text).collect();
    for package in list(&metadata["packages"]).iter().filter(|p| members.contains(text(&p["id"]))) {
        let name = text(&package["name"]);
        seen.insert(name);
        let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
            faults.push(format!("{name} is a member of the workspace, but no arrow is drawn for it"));
            continue;
        };
        for dependency in list(&package["dependencies"]) {
            let to = text(&dependency["name"]);
            if dependency["path"].is_string() && !allowed.contains(&to) {
                faults.push(format!("{name} -> {to} is not an arrow of this workspace"));
            }
        }
    }
    for (member, _) in ARROWS {
        if !seen.contains(member) {
            faults.push(format!("{member} is drawn, but is no member of the workspace"));
        }
    }
    faults
}

fn impure_trees(metadata: &Value) -> Vec<String> {
    let names: BTreeMap<&str, &str> = list(&metadata["packages"])
        .iter()
        .map(|package| (text(&package["id"]), text(&package["name"])))
        .collect();
    let below: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .iter()
        .map(|node| (text(&node["id"]), list(&node["deps"]).iter().filter(is_normal).map(to).collect()))
        .collect();
    let mut faults = Vec::new();
    for (root, forbidden) in TREES {
        let Some(start) = names.iter().find(|(_, name)| *name == root).map(|(id, _)| *id) else {
            faults.push(format!("{root} is not among the packages"));
            continue;
        };
        // Depth first, remembering who brought each package in, so that the message can name the way.
        let mut brought_by = BTreeMap::from([(start, start)]);
        let mut open = vec![start];
        while let Some(id) = open.pop() {
            if id != start && forbidden.iter().any(|pattern| matches(pattern, names[id])) {
                faults.push(format!("{root} reaches {}: {}", names[id], way(id, start, &brought_by, &names)));
                continue;
            }
            for &next in below.get(id).map_or(&[][..], Vec::as_slice) {
                if !brought_by.contains_key(next) {
                    brought_by.insert(next, id);
                    open.push(next);
                }
            }
        }
    }
    faults
}

fn forbidden_features(metadata: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, forbidden) in FEATURES {
        let ids: BTreeSet<&str> = list(&metadata["packages"])
            .iter()
            .filter(|package| text(&package["name"]) == *name)
            .map(|package| text(&package["id"]))
            .collect();
        if ids.is_empty() {
            faults.push(format!("{name} is not among the packages, so its features were not checked"));
        }
        for node in list(&metadata["resolve"]["nodes"]).iter().filter(|node| ids.contains(text(&node["id"])))
        {
            for feature in list(&node["features"]).iter().map(text).filter(|f| forbidden.contains(f)) {
                faults.push(format!("something switches on feature `{feature}` of {name}"));
            }
        }
    }
    faults
}

fn is_normal(dependency: &&Value) -> bool {
    list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
}

fn to(dependency: &Value) -> &str {
    text(&dependency["pkg"])
}

fn matches(pattern: &str, name: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == name, |start| name.starts_with(start))
}

fn way(id: &str, start: &str, brought_by: &BTreeMap<&str, &str>, names: &BTreeMap<&str, &str>) -> String {
    let mut steps = vec![names[id]];
    let mut at = id;
    while at != start {
        at = brought_by[at];
        steps.push(names[at]);
    }
    steps.reverse();
    steps.join(" -> ")
}

fn list(value: &Value) -> &[Value] {
    value.as_array().expect("a list, as `cargo metadata` documents").as_slice()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a string, as `cargo metadata` documents")
}

/// What cargo says of this workspace. Offline, for whoever compiled this test has fetched everything.
fn cargo_metadata(args: &[&str]) -> Value {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--offline", "--locked"])
        .args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")])
        .args(args)
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

/// The platform compiled for; other platforms' packages need not have been fetched.
fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().expect("rustc starts");
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc names its host").to_owned()
}

/// The checks themselves, on workspaces made up to be wrong.
mod synthetic {
    use serde_json::json;

    use super::*;

    /// Packages with their direct dependencies: `(name, [(dependency, kind)])`, and features of each.
    fn workspace(packages: &[(&str, &[(&str, Option<&str>)])], features: &[(&str, &[&str])]) -> Value {
        let is_member = |name: &str| name.starts_with("city-");
        json!({
            "workspace_members": packages.iter().filter(|(name, _)| is_member(name))
                .map(|(name, _)| format!("{name}@1")).collect::<Vec<_>>(),
            "packages": packages.iter().map(|(name, dependencies)| json!({
                "id": format!("{name}@1"),
                "name": name,
                "dependencies": dependencies.iter().map(|(to, kind)| json!({
                    "name": to, "kind": kind, "path": is_member(to).then(|| format!("/{to}")),
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "resolve": { "nodes": packages.iter().map(|(name, dependencies)| json!({
                "id": format!("{name}@1"),
                "features": features.iter().find(|(of, _)| of == name).map_or(&[][..], |(_, on)| on),
                "deps": dependencies.iter().map(|(to, kind)| json!({
                    "pkg": format!("{to}@1"), "dep_kinds": [{ "kind": kind }],
                })).collect::<Vec<_>>(),
            })).collect::<Vec<_>>() },
        })
    }

    type Package = (&'static str, &'static [(&'static str, Option<&'static str>)]);
    const SOUND: [Package; 12] = [
        ("city-chain-core", &[("ed25519-dalek", None), ("proptest", Some("dev"))]),
        ("city-consensus", &[("city-chain-core", None)]),
        ("city-node", &[("city-consensus", None), ("city-chain-core", None), ("tokio", None)]),
        ("city-cli", &[("city-chain-core", None), ("ureq", None)]),
        ("city-sim", &[("city-consensus", None)]),
        ("city-tests", &[("city-consensus", None), ("city-node", Some("dev"))]),
        ("ed25519-dalek", &[]),
        ("serde_json", &[]),
        ("proptest", &[("mio", None)]),
        ("tokio", &[("mio", None)]),
        ("ureq", &[]),
        ("mio", &[]),
    ];

    fn sound_but(replaced: Package) -> Value {
        let packages: Vec<Package> =
            SOUND.iter().map(|package| if package.0 == replaced.0 { replaced } else { *package }).collect();
        workspace(&packages, &[])
    }

    #[test]
    fn a_sound_workspace_has_no_fault() {
        let metadata = workspace(&SOUND, &[("ed25519-dalek", &["alloc", "fast"])]);
        assert_none(wrong_arrows(&metadata));
        assert_none(impure_trees(&metadata));
        assert_none(forbidden_features(&metadata));
    }

    #[test]
    fn each_wrong_arrow_is_named() {
        // (the member's dependencies, what the check says)
        let cases: &[(Package, &str)] = &[
            (("city-consensus", &[("city-node", None)]), "city-consensus -> city-node"),
            (("city-chain-core", &[("city-consensus", None)]), "city-chain-core -> city-consensus"),
            (("city-cli", &[("city-node", None)]), "city-cli -> city-node"),
            (("city-cli", &[("city-consensus", None)]), "city-cli -> city-consensus"),
            (("city-cli", &[("city-node", Some("dev"))]), "city-cli -> city-node"),
            (("city-node", &[("city-tests", Some("dev"))]), "city-node -> city-tests"),
            (("city-chain-core", &[("city-helper", Some("build"))]), "city-chain-core -> city-helper"),
        ];
        for (package, expected) in cases {
            let faults = wrong_arrows(&sound_but(*package));
            assert_eq!(faults.len(), 1, "{expected}: {faults:?}");
            assert!(faults[0].contains(expected), "{expected}: {faults:?}");
        }
    }

    #[test]
    fn a_member_without_an_arrow_and_an_arrow_without_a_member_are_faults() {
        let mut packages = SOUND.to_vec();
        packages.retain(|(name, _)| name.starts_with("city-") && *name != "city-cli");
        packages.push(("city-wallet", &[]));
        let faults = wrong_arrows(&workspace(&packages, &[]));
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("city-wallet") && faults[1].starts_with("city-cli"), "{faults:?}");
    }

    #[test]
    fn a_runtime_deep_in_a_pure_tree_is_found_with_its_way() {
        let faults = impure_trees(&sound_but(("ed25519-dalek", &[("mio", None)])));
        assert_eq!(
            faults,
            [
                "city-chain-core reaches mio: city-chain-core -> ed25519-dalek -> mio",
                "city-consensus reaches mio: city-consensus -> city-chain-core -> ed25519-dalek -> mio",
                "city-sim reaches mio: city-sim -> city-consensus -> city-chain-core -> ed25519-dalek -> mio",
            ]
        );
        let faults = impure_trees(&sound_but(("city-cli", &[("tokio", None)])));
        assert_eq!(faults, ["city-cli reaches tokio: city-cli -> tokio"]);
    }

    #[test]
    fn an_ending_left_open_matches_the_whole_family_and_nothing_else() {
        for (pattern, name, expected) in [
            ("libp2p-*", "libp2p-core", true),
            ("libp2p-*", "libp2p", false),
            ("tokio", "tokio-util", false),
            ("rocksdb", "rocksdb", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn a_forbidden_feature_is_found() {
        let metadata = workspace(&SOUND, &[("ed25519-dalek", &["alloc", "legacy_compatibility"])]);
        assert_eq!(
            forbidden_features(&metadata),
            ["something switches on feature `legacy_compatibility` of ed25519-dalek"]
        );
    }

    #[test]
    fn a_crate_that_vanished_does_not_pass_for_checked() {
        let packages: Vec<Package> =
            SOUND.iter().copied().filter(|(name, _)| *name != "serde_json").collect();
        assert_eq!(forbidden_features(&workspace(&packages, &[])).len(), 1);
    }

    #[test]
    fn a_program_that_could_lose_its_safety_rules_is_named() {
        let dependency =
            |features: &[&str]| serde_json::json!({"name": "city-consensus", "features": features});
        let metadata = serde_json::json!({"packages": [
            {"name": "city-node", "dependencies": [dependency(&["mutants"])]},
            {"name": "city-cli", "dependencies": [dependency(&[])]},
            {"name": "city-sim", "dependencies": [dependency(&["mutants"])]},
        ]});
        assert_eq!(mutant_users(&metadata), ["city-node switches on city-consensus/mutants"]);
    }
}

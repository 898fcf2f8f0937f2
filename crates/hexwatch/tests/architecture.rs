//! The invariants of ARCHITECTURE.md, checked against what cargo and the sources really say.

#![allow(clippy::expect_used, reason = "what a test cannot read is its failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may know of the others.
const MAY_KNOW: [(&str, &[&str]); 12] = [
    ("contract", &[]),
    ("grid", &["contract"]),
    ("sql", &["contract", "grid"]),
    ("ingest", &["contract"]),
    ("relay", &["contract"]),
    ("stream", &["contract", "grid", "sql"]),
    ("risk", &["contract", "grid"]),
    ("alarm", &["contract"]),
    ("history", &["contract", "sql"]),
    ("server", &["contract", "sql"]),
    ("simulate", &["contract", "grid"]),
    (
        "hexwatch",
        &[
            "contract", "grid", "sql", "ingest", "relay", "stream", "risk", "alarm", "history", "server",
            "simulate",
        ],
    ),
];

/// Third-party systems and the only crate that may speak to each.
const OWNER: [(&str, &str); 6] = [
    ("rdkafka", "ingest"),
    ("h3o", "grid"),
    ("geo", "grid"),
    ("axum", "server"),
    ("deltalake", "history"),
    ("object_store", "history"),
];

/// Crates that do no IO and have no `async fn`; so has the binary's `machine`.
const PURE: [&str; 4] = ["contract", "grid", "risk", "alarm"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Each crate's normal dependencies, own crates by their short name.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    packages.iter().map(|package| (short(&package["name"]), normal_dependencies(package))).collect()
}

fn normal_dependencies(package: &Value) -> BTreeSet<String> {
    let all = package["dependencies"].as_array().expect("dependencies");
    all.iter().filter(|dependency| dependency["kind"].is_null()).map(|one| short(&one["name"])).collect()
}

fn short(name: &Value) -> String {
    let name = name.as_str().expect("a name");
    name.strip_prefix("hexwatch-").unwrap_or(name).to_owned()
}

/// Every Rust source below `folder`, with its text.
fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source file");
                found.push((path, text));
            }
        }
    }
    found
}

/// The sources of a crate without their comments: what a comment speaks of is not yet done.
fn crate_sources(name: &str) -> Vec<(PathBuf, String)> {
    let code = |text: &str| -> String {
        text.lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .fold(String::new(), |code, line| code + line + "\n")
    };
    let found = sources(&root().join("crates").join(name).join("src"));
    found.into_iter().map(|(path, text)| (path, code(&text))).collect()
}

#[test]
fn no_crate_knows_more_than_it_may() {
    let dependencies = dependencies();
    let own: BTreeSet<&str> = MAY_KNOW.iter().map(|(name, _)| *name).collect();
    for (name, allowed) in MAY_KNOW {
        let known = dependencies.get(name).unwrap_or_else(|| panic!("the crate {name} is gone"));
        for other in known.iter().filter(|other| own.contains(other.as_str())) {
            assert!(allowed.contains(&other.as_str()), "`{name}` must not know `{other}`");
        }
    }
}

#[test]
fn each_third_party_system_has_one_owner() {
    for (name, known) in dependencies() {
        for (system, owner) in OWNER {
            assert!(
                name == owner || !known.contains(system),
                "`{system}` belongs to `{owner}`, yet `{name}` depends on it"
            );
        }
    }
}

#[test]
fn what_is_pure_is_not_async_and_touches_neither_files_nor_sockets() {
    let machine = crate_sources("hexwatch").into_iter().filter(|(path, _)| {
        path.file_stem().is_some_and(|stem| stem == "machine")
            || path.parent().is_some_and(|folder| folder.ends_with("machine"))
    });
    for (path, text) in PURE.into_iter().flat_map(crate_sources).chain(machine) {
        for word in ["async fn", "std::fs", "std::net", "tokio::"] {
            assert!(!text.contains(word), "{} has `{word}`, but is to be pure", path.display());
        }
    }
}

#[test]
fn the_wall_clock_is_read_in_one_place() {
    for (name, _) in MAY_KNOW {
        for (path, text) in crate_sources(name) {
            if path.ends_with("contract/src/time.rs") {
                continue;
            }
            for word in ["SystemTime::now", "Utc::now", "Local::now"] {
                assert!(!text.contains(word), "{} reads the wall clock with `{word}`", path.display());
            }
        }
    }
}

#[test]
fn one_module_has_unsafe_code() {
    const LET_THROUGH: &str = "crates/ingest/src/reader/fetch.rs";
    for (name, _) in MAY_KNOW {
        for (path, text) in crate_sources(name) {
            let is_unsafe = text.contains("unsafe ") || text.contains("allow(unsafe_code");
            assert_eq!(is_unsafe, path.ends_with(LET_THROUGH), "{}", path.display());
        }
    }
}

#[test]
fn every_queue_has_a_bound() {
    for (name, _) in MAY_KNOW {
        for (path, text) in crate_sources(name) {
            for word in ["unbounded_channel", "mpsc::channel()", "mpsc::unbounded"] {
                assert!(!text.contains(word), "{} has a queue without a bound (`{word}`)", path.display());
            }
        }
    }
}

#[test]
fn no_output_pairs_a_person_with_a_score() {
    for (path, text) in crate_sources("contract") {
        for block in text.split("pub struct ").skip(1) {
            let body = block.split("\n}").next().unwrap_or(block);
            let refers =
                ["credential_ref", "officer_ref", "caller_ref"].iter().any(|name| body.contains(name));
            let scores = ["score:", "risk:", "level:"].iter().any(|name| body.contains(name));
            assert!(!(refers && scores), "{} pairs a person's reference with a score", path.display());
        }
    }
}

#[test]
fn the_lock_file_holds_one_arrow_and_one_datafusion() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    for name in ["arrow", "datafusion", "parquet", "object_store", "h3o", "tokio-tungstenite"] {
        let count = lock.matches(&format!("name = \"{name}\"\n")).count();
        assert_eq!(count, 1, "{count} versions of {name} in Cargo.lock");
    }
}

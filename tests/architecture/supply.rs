//! What comes from outside: the promises that the written exceptions of `deny.toml` rest on.
//!
//! `cargo deny` checks licences, bans and sources. It cannot see that the code an advisory is
//! about is not compiled; these tests can.

use std::collections::BTreeSet;

use toml::{Table, Value};

use crate::source::{assert_none, cargo, read};

/// Packages of ours that stand in for one from crates.io.
const STAND_INS: [&str; 1] = ["cubecl-llvm"];

#[test]
fn the_row_sort_of_arrow2_is_not_compiled() {
    // RUSTSEC-2025-0038: a safe function of `compute::sort::row` reads out of bounds. The module
    // exists only with the feature `compute_sort`, which `compute` and `full` turn on.
    let tree = cargo(&["tree", "--workspace", "--prefix", "none", "--format", "{lib} {f}"]);
    let lines: BTreeSet<_> = tree.lines().filter(|line| line.starts_with("arrow2 ")).collect();
    assert!(
        !lines.is_empty(),
        "arrow2 is gone: take its exceptions out of deny.toml and this test"
    );
    for line in lines {
        let line = line.trim_end_matches(" (*)");
        let features: BTreeSet<_> = line["arrow2 ".len()..].split(',').map(str::trim).collect();
        let pinned = BTreeSet::from(["arrow-format", "io_ipc"]);
        assert_eq!(features, pinned, "features of arrow2 are pinned: see RUSTSEC-2025-0038");
    }
}

#[test]
fn running_and_testing_build_the_same_crates() {
    // Tests and benches may ask for more features of a crate than the program does. Below burn that
    // would be a second build of a quarter of an hour.
    let tree = |arguments: &[&str]| -> BTreeSet<String> {
        let common = ["tree", "--prefix", "none", "--format", "{p}|{f}"];
        let tree = cargo(&[&common, arguments].concat());
        tree.lines().map(|line| line.trim_end_matches(" (*)").to_owned()).collect()
    };
    let run = tree(&["--package", "voxflow", "--edges", "normal,build"]);
    let test = tree(&["--workspace", "--edges", "normal,build,dev"]);
    let only_run: Vec<String> = run.difference(&test).cloned().collect();
    assert!(run.len() > 300, "{}", run.len());
    assert_none(
        "Features of a crate that tests ask for, too, are asked for by the program.",
        &only_run,
    );
}

#[test]
fn packages_come_from_the_registry() {
    let lock: Table = read("Cargo.lock").parse().expect("Cargo.lock is TOML");
    let packages = lock["package"].as_array().expect("a list of packages");
    let mut offenders = Vec::new();
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let source = package.get("source").and_then(Value::as_str);
        let is_ours = name.starts_with("voxflow") || STAND_INS.contains(&name);
        match source {
            None if is_ours => {}
            Some("registry+https://github.com/rust-lang/crates.io-index") => {}
            _ => offenders.push(format!("{name}: {source:?}")),
        }
    }
    assert_none("Packages come from crates.io or are ours.", &offenders);
}

#[test]
fn licences_are_allowed_and_banned_crates_are_not_here() {
    // The same lists that `cargo deny` reads, which takes minutes to build.
    let deny: Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let words = |list: &Value, key: Option<&str>| -> BTreeSet<String> {
        let entries = list.as_array().expect("a list").iter();
        let word = |entry: &Value| key.map_or(entry, |key| &entry[key]).as_str().map(str::to_owned);
        entries.map(|entry| word(entry).expect("a word")).collect()
    };
    let allowed = words(&deny["licenses"]["allow"], None);
    let banned = words(&deny["bans"]["deny"], Some("crate"));
    assert!(allowed.contains("MIT") && banned.contains("tokio"), "{allowed:?} {banned:?}");
    let target = "x86_64-unknown-linux-gnu";
    let arguments = ["tree", "--workspace", "--prefix", "none", "--target", target];
    let tree = cargo(&[arguments.as_slice(), &["--format", "{p}|{l}"]].concat());
    let mut offenders = Vec::new();
    for line in tree.lines().filter(|line| !line.is_empty()).collect::<BTreeSet<_>>() {
        let (package, text) = line.trim_end_matches(" (*)").split_once('|').expect("two parts");
        let name = package.split(' ').next().unwrap_or_default();
        if name.starts_with("voxflow") || STAND_INS.contains(&name) {
            continue;
        }
        if banned.contains(name) {
            offenders.push(format!("{name} is banned"));
        }
        // Old packages write `/` for OR.
        let licence = spdx::Expression::parse_mode(text, spdx::ParseMode::LAX);
        let is_allowed = |wanted: &spdx::LicenseReq| allowed.contains(&wanted.to_string());
        if !licence.is_ok_and(|licence| licence.evaluate(is_allowed)) {
            offenders.push(format!("{name}: licence `{text}`"));
        }
    }
    assert_none("Licences are those of deny.toml, and nothing that it bans is here.", &offenders);
}

#[test]
fn without_training_there_is_no_burn() {
    let arguments = ["tree", "--no-default-features", "--edges", "normal", "--prefix", "none"];
    let tree = cargo(&arguments);
    let offenders: Vec<_> = tree
        .lines()
        .filter(|line| ["burn", "cubecl", "wgpu", "cudarc"].iter().any(|it| line.starts_with(it)))
        .map(str::to_owned)
        .collect();
    assert_none("A build without the feature `train` has no GPU stack in it.", &offenders);
}

#[test]
fn every_exception_has_a_reason_and_a_package() {
    let deny: Table = read("deny.toml").parse().expect("deny.toml is TOML");
    let lock = read("Cargo.lock");
    let ignored = deny["advisories"]["ignore"].as_array().expect("a list");
    let mut offenders = Vec::new();
    for entry in ignored {
        let id = entry["id"].as_str().expect("an id");
        let reason = entry["reason"].as_str().expect("a reason");
        // A reason begins with the package it is about, so that an exception cannot outlive it.
        let package = reason.split([' ', ':']).next().unwrap_or_default();
        if !lock.contains(&format!("name = \"{package}\"\n")) {
            offenders.push(format!("{id}: `{package}` is not in Cargo.lock"));
        }
    }
    assert_none("An ignored advisory says which package it is about, and why.", &offenders);
}

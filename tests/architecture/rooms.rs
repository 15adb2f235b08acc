//! Who may use whom: the table of `ARCHITECTURE.md`, compared with what Cargo and the files say.

use serde_json::Value;

use crate::source::{RustFile, assert_none, cargo, occurrences, read, rust_files};

/// A crate of this workspace, and the rooms it may use.
struct Room {
    package: &'static str,
    may_use: &'static [&'static str],
}

/// All rooms, in order: a room may use only earlier ones, so that a cycle cannot be written down.
const ROOMS: &[Room] = &[
    Room { package: "voxflow-contract", may_use: &[] },
    Room { package: "voxflow-formats", may_use: &["voxflow-contract"] },
    Room { package: "voxflow-sources", may_use: &["voxflow-contract", "voxflow-formats"] },
    // `decode_mesh` parses bytes and `render_views` writes PNG: pure codecs, no paths.
    Room { package: "voxflow-geometry", may_use: &["voxflow-contract", "voxflow-formats"] },
    Room { package: "voxflow-curation", may_use: &["voxflow-contract"] },
    // Rows go to a program and come back as Parquet.
    Room { package: "voxflow-external", may_use: &["voxflow-contract", "voxflow-formats"] },
    Room { package: "voxflow-sinks", may_use: &["voxflow-contract", "voxflow-formats"] },
    Room { package: "voxflow-models", may_use: &[] },
    Room {
        package: "voxflow-training",
        may_use: &["voxflow-contract", "voxflow-formats", "voxflow-models"],
    },
    // The control plane: what is exact about a split it shares with the operator.
    Room { package: "voxflow-changes", may_use: &["voxflow-curation"] },
    Room {
        package: "voxflow",
        may_use: &[
            "voxflow-changes",
            "voxflow-contract",
            "voxflow-formats",
            "voxflow-sources",
            "voxflow-geometry",
            "voxflow-curation",
            "voxflow-external",
            "voxflow-sinks",
            "voxflow-models",
            "voxflow-training",
        ],
    },
];

/// Crates from outside that only some rooms may name, and those rooms. Development dependencies
/// count for the first group only. `burn*` is all crates whose name begins so. A crate that is not
/// here is free for all.
const GUARDED: &[(&str, &[&str])] = &[
    ("timely", &["voxflow", "voxflow-changes"]),
    ("differential-dataflow", &["voxflow-changes"]),
    ("arrow2", &["voxflow-contract", "voxflow-formats"]),
    ("arrow-*", &["voxflow-formats"]),
    ("parquet", &["voxflow-formats"]),
    ("burn*", &["voxflow-models", "voxflow-training"]),
    ("cubecl*", &["voxflow-training"]),
    ("wgpu*", &["voxflow-training"]),
];

/// As [`GUARDED`], but free in development dependencies.
const GUARDED_WHEN_SHIPPED: &[(&str, &[&str])] = &[
    ("anyhow", &["voxflow"]),
    ("bytemuck", &["voxflow-geometry"]),
    ("clap", &["voxflow"]),
    ("ctrlc", &["voxflow"]),
    ("base64", &["voxflow-formats"]),
    ("fast-float2", &["voxflow-formats"]),
    ("flate2", &["voxflow-formats"]),
    ("gltf-json", &["voxflow-formats"]),
    ("half", &["voxflow-formats"]),
    ("image", &["voxflow-formats"]),
    ("indicatif", &["voxflow"]),
    ("libc", &["voxflow"]),
    ("meshopt", &["voxflow-geometry"]),
    ("notify", &["voxflow"]),
    ("rustix", &["voxflow-sinks", "voxflow"]),
    ("safetensors", &["voxflow-training"]),
    ("tempfile", &["voxflow-external", "voxflow-sinks", "voxflow-training", "voxflow"]),
    ("toml", &["voxflow"]),
    ("tracing-subscriber", &["voxflow"]),
    ("walkdir", &["voxflow-sources", "voxflow"]),
    ("wide", &["voxflow-geometry"]),
];

/// A word that may stand in code only below some paths.
struct Word {
    word: &'static str,
    only_in: &'static [&'static str],
    why: &'static str,
}

/// Words that hold one idea in one place.
const WORDS: &[Word] = &[
    Word {
        word: "timely::",
        only_in: &["src/engine/", "src/changes/worker.rs"],
        why: "the engine is the one place that knows timely; the control plane has a worker of its own",
    },
    Word {
        word: "differential_dataflow::",
        only_in: &["src/changes/"],
        why: "one place knows differential-dataflow",
    },
    Word {
        word: "arrow2::",
        only_in: &["operators/contract/", "operators/formats/src/parquet"],
        why: "arrow2 has no releases any more: everyone else sees `Batch`",
    },
    Word {
        word: "unsafe",
        only_in: &[
            "operators/formats/src/parquet/bridge.rs",
            "operators/geometry/src/kernels/simd.rs",
            "operators/models/src/gpu/",
            "src/allocator.rs",
            "fuzz/src/allocator.rs",
        ],
        why: "only the bridge to the C Data Interface, wide registers, kernels of a GPU, the \
              allocator and the fuzz targets' counting need it",
    },
];

/// Rooms that touch nothing outside, and what they may therefore not name in shipped code.
const PURE: &[(&str, &[&str])] = &[
    ("operators/contract/", OUTSIDE),
    ("operators/formats/", OUTSIDE),
    ("operators/formats/", PATHS),
    ("operators/geometry/", OUTSIDE),
    ("operators/geometry/", PATHS),
    ("operators/curation/", OUTSIDE),
    ("operators/curation/", PATHS),
    ("src/changes/", OUTSIDE),
    ("src/changes/", PATHS),
    ("operators/models/", OUTSIDE),
    ("operators/models/", PATHS),
];

const OUTSIDE: &[&str] = &[
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "env::var",
    "fs::",
    "File::open",
    "File::create",
    "Instant::now",
    "OpenOptions",
    "SystemTime",
];

const PATHS: &[&str] = &["std::path", "PathBuf"];

#[test]
fn every_room_is_in_the_table() {
    let mut offenders = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        if room(&name).is_none() {
            offenders.push(format!(
                "`{name}` is not in ROOMS of tests/architecture/rooms.rs: add it there after the \
                 rooms it uses, and give it a section and a row in ARCHITECTURE.md"
            ));
        }
    }
    let names: Vec<_> = packages().iter().map(|package| text(&package["name"])).collect();
    let gone = ROOMS.iter().filter(|room| !names.iter().any(|name| name == room.package));
    offenders.extend(gone.map(|room| format!("`{}` is no crate of this workspace", room.package)));
    assert_none("ROOMS names all crates of the workspace and no others.", &offenders);
}

#[test]
fn rooms_use_earlier_rooms_only() {
    for (i, room) in ROOMS.iter().enumerate() {
        for used in room.may_use {
            let is_earlier = ROOMS[..i].iter().any(|earlier| earlier.package == *used);
            assert!(is_earlier, "`{}` may use `{used}`, which is not before it", room.package);
        }
    }
}

#[test]
fn the_table_is_in_the_architecture_page() {
    let page = read("ARCHITECTURE.md");
    let missing = ROOMS.iter().map(row).filter(|row| !page.lines().any(|l| l.starts_with(row)));
    assert_none("ARCHITECTURE.md has a row for each room.", &missing.collect::<Vec<_>>());
}

/// How a row of the table begins.
fn row(room: &Room) -> String {
    let uses: Vec<_> = room.may_use.iter().map(|used| short(used)).collect();
    let uses = if uses.is_empty() { "–".to_owned() } else { uses.join(", ") };
    format!("| {} | {uses} |", short(room.package))
}

fn short(package: &str) -> &str {
    package.strip_prefix("voxflow-").unwrap_or("src")
}

#[test]
fn crates_use_only_rooms_they_may() {
    let mut offenders = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        let may_use = room(&name).map_or(&[][..], |room| room.may_use);
        for (used, _) in dependencies(&package) {
            // A development dependency on itself turns features on for tests.
            if room(&used).is_some() && used != name && !may_use.contains(&used.as_str()) {
                offenders.push(format!("{}: {name} uses {used}", manifest(&package)));
            }
        }
    }
    let rule = "A room uses only rooms the table in tests/architecture/rooms.rs allows; a new arrow \
                is a commit of its own that edits the table and ARCHITECTURE.md and says why.";
    assert_none(rule, &offenders);
}

#[test]
fn crates_from_outside_are_named_by_their_rooms_only() {
    let mut offenders = Vec::new();
    for package in packages() {
        let name = text(&package["name"]);
        for (used, is_shipped) in dependencies(&package) {
            let shipped = GUARDED_WHEN_SHIPPED.iter().filter(|_| is_shipped);
            let guard = GUARDED.iter().chain(shipped).find(|(guarded, _)| is_named(&used, guarded));
            if guard.is_some_and(|(_, rooms)| !rooms.contains(&name.as_str())) {
                offenders.push(format!("{}: {name} names {used}", manifest(&package)));
            }
        }
    }
    let rule =
        "A guarded crate is named by its rooms only (GUARDED in tests/architecture/rooms.rs).";
    assert_none(rule, &offenders);
}

#[test]
fn ideas_stay_in_their_place() {
    let files = rust_files();
    let mut offenders = Vec::new();
    for Word { word, only_in, why } in WORDS {
        let outside = files.iter().filter(|file| !only_in.iter().any(|p| file.path.starts_with(p)));
        let all = outside.flat_map(|file| hits(file, &file.code, word));
        offenders.extend(all.map(|hit| format!("{hit} (stands only in {only_in:?}: {why})")));
    }
    assert_none("Some words stand in one place only.", &offenders);
}

#[test]
fn pure_rooms_touch_nothing_outside() {
    let mut offenders = Vec::new();
    // Examples are programs around a room, no part of it.
    let is_room = |file: &RustFile| !file.path.contains("/examples/");
    for file in rust_files().into_iter().filter(is_room) {
        let shipped = file.shipped_code();
        for (_, words) in PURE.iter().filter(|(room, _)| file.path.starts_with(room)) {
            offenders.extend(words.iter().flat_map(|word| hits(&file, &shipped, word)));
        }
    }
    offenders.sort();
    offenders.dedup();
    assert_none("Pure rooms open no path and read no clock or environment.", &offenders);
}

fn is_named(package: &str, pattern: &str) -> bool {
    pattern.strip_suffix('*').map_or(package == pattern, |prefix| package.starts_with(prefix))
}

fn hits(file: &RustFile, code: &str, word: &str) -> Vec<String> {
    occurrences(code, word).into_iter().map(|at| format!("{}: {word}", file.at(at))).collect()
}

fn room(package: &str) -> Option<&'static Room> {
    ROOMS.iter().find(|room| room.package == package)
}

/// The workspace's packages, as `cargo metadata` describes them.
fn packages() -> Vec<Value> {
    let json = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&json).expect("cargo metadata is JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// Names of a package's dependencies, and whether they are more than development dependencies.
fn dependencies(package: &Value) -> Vec<(String, bool)> {
    let all = package["dependencies"].as_array().expect("a list of dependencies");
    all.iter().map(|it| (text(&it["name"]), it["kind"] != "dev")).collect()
}

fn manifest(package: &Value) -> String {
    let path = text(&package["manifest_path"]);
    let root = crate::source::root().to_string_lossy().into_owned();
    path.strip_prefix(&root).unwrap_or(&path).trim_start_matches('/').to_owned()
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

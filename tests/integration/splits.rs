//! Splits that do not move: official lists, the split of an earlier run, and a limit of moves.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::program::{Sandbox, bytes, dataset, only_run, stage, summary};
use crate::watched::Watching;

/// A list of short texts, split and written; `$` stands for parameters of the split.
const PIPELINE: &str = "\
[pipeline]
name = \"listed\"

[[stage]]
id = \"list\"
use = \"manifest\"
file = \"list.jsonl\"

[[stage]]
use = \"split\"
$

[[stage]]
id = \"dataset\"
use = \"parquet\"
from = [\"list\", \"split\"]
rows_per_file = 8
";

/// Samples `s000` to `s<count - 1>` of two classes, no two alike.
fn list(count: usize) -> String {
    let line = |i: usize| {
        format!("{{\"sample\":\"s{i:03}\",\"category\":\"c{}\",\"text\":\"{i}\"}}\n", i % 2)
    };
    (0..count).map(line).collect()
}

fn sandbox(count: usize, split: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.write("list.jsonl", list(count));
    sandbox.write("p.toml", PIPELINE.replace('$', split));
    sandbox
}

/// Runs the pipeline with some settings of the split, in this home.
fn run(sandbox: &Sandbox, home: &str, set: &[&str]) -> Value {
    let mut arguments = vec!["--home", home, "run", "p.toml", "--format", "json"];
    set.iter().for_each(|set| arguments.extend(["--set", set]));
    let ended = sandbox.run(&arguments);
    assert_eq!(ended.code, 0, "{ended:?}");
    summary(&ended)
}

/// The folder of a run, relative to the sandbox.
fn folder(summary: &Value) -> PathBuf {
    PathBuf::from(summary["run"].as_str().expect("a folder"))
}

/// The name of a run.
fn name(summary: &Value) -> String {
    folder(summary).file_name().expect("a name").to_string_lossy().into_owned()
}

/// A list that puts every third sample of so many in each part.
fn thirds(count: usize) -> String {
    let part = |i: usize| ["train", "val", "test"][i % 3];
    let line = |i: usize| format!("s{i:03},{}\n", part(i));
    format!("sample,split\n{}", (0..count).map(line).collect::<String>())
}

#[test]
fn the_split_of_an_earlier_run_stays_when_samples_come() {
    let sandbox = sandbox(40, "");
    let first = run(&sandbox, "home", &[]);
    assert_eq!((&first["moved"], &first["official"]), (&json!([]), &json!({})));
    sandbox.write("list.jsonl", list(57));
    let official = format!("split.official={}/dataset", folder(&first).display());
    let pinned = run(&sandbox, "home", &[&official, "split.unlisted=deal", "split.max_moved=0"]);
    let moved = &pinned["moved"][0];
    assert_eq!((&moved["moved"], &moved["of"]), (&json!(0), &json!(40)), "{pinned}");
    let listed = &pinned["official"]["split"];
    let counts = ["listed", "absent", "unlisted"].map(|key| listed[key].as_u64().expect("a count"));
    assert_eq!(counts, [40, 0, 17]);
    // 29 and 28 of a class: 20 + 3 + 6 and 20 + 3 + 5, as a run that deals all of them.
    assert_eq!(pinned["splits"], run(&sandbox, "fresh", &[])["splits"]);
    // Without the list a few move, and they are told.
    let dealt = run(&sandbox, "home", &[]);
    let moved = &dealt["moved"][0];
    assert_eq!(moved["of"], 57);
    let named = moved["first"].as_array().expect("a list").len() as u64;
    assert_eq!(Some(named), moved["moved"].as_u64().map(|moved| moved.min(5)));
}

#[test]
fn a_limit_of_moves_stops_a_run_before_it_replaces_anything() {
    let sandbox = sandbox(60, "max_moved = \"5%\"");
    let first = run(&sandbox, "home", &[]);
    assert_eq!(run(&sandbox, "home", &[])["moved"][0]["moved"], 0, "nothing is another");
    let tables = || {
        let run = sandbox.path(&folder(&first).display().to_string());
        ["dataset", "inputs"].map(|name| bytes(&run.join(name)))
    };
    let (before, resume) = (tables(), format!("--resume={}", name(&first)));
    let other = ["run", "p.toml", &resume, "--set", "split.seed=9"];
    let other = [&["--home", "home"], &other[..]].concat();
    let ended = sandbox.run(&other);
    assert_eq!(ended.code, 22, "{ended:?}");
    for wanted in ["of 60 samples would move in the split, 5% allowed: s0", "`official`", "raise"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in {}", ended.stderr);
    }
    assert!(tables() == before, "nothing was replaced");
    let ended = sandbox.run(&[&other[..], &["--set", "split.max_moved=60"]].concat());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.stdout.contains("moved: ") && ended.stdout.contains("of 60"), "{ended:?}");
    assert!(tables()[0] != before[0], "its data set is another now");
}

#[test]
fn a_broken_list_is_refused_with_its_line_before_anything_is_read() {
    let sandbox = sandbox(4, "official = \"splits.csv\"");
    let refused = |text: &str| {
        sandbox.write("splits.csv", text);
        let ended = sandbox.run(&["plan", "p.toml"]);
        assert_eq!(ended.code, 12, "{ended:?}");
        ended.stderr
    };
    let told = refused("sample,split\ns000,train\ns001,trian\n");
    assert!(told.contains("splits.csv:3:1") && told.contains("`trian` is no part"), "{told}");
    let told = refused("sample,split\ns000,train\n\ns000,test\n");
    assert!(told.contains("splits.csv:4:1") && told.contains("in train on line 2"), "{told}");
    let told = refused("id,part\ns000,train\n");
    assert!(told.contains("splits.csv:1:1") && told.contains("`sample` and `split`"), "{told}");
    assert!(refused("sample,split\n").contains("p.toml:11:12"), "it lists no sample");
    std::fs::remove_file(sandbox.path("splits.csv")).expect("it is there");
    let ended = sandbox.run(&["plan", "p.toml"]);
    assert_eq!((ended.code, ended.stderr.contains("p.toml:11:12")), (12, true), "{ended:?}");
}

#[test]
fn samples_and_lists_that_do_not_fit_are_counted_or_refused() {
    let sandbox = sandbox(6, "official = \"splits.csv\"");
    sandbox.write("splits.csv", thirds(4));
    for command in ["plan", "run"] {
        let ended = sandbox.run(&[command, "p.toml"]);
        assert_eq!(ended.code, 19, "{ended:?}");
        assert!(ended.stderr.contains("2 samples are not in the official list: s004, s005"));
    }
    assert!(!sandbox.path(".voxflow/runs").exists(), "nothing was begun");
    sandbox.write("splits.csv", thirds(8));
    let ran = sandbox.succeed(&["run", "p.toml"]);
    let told = "official: 8 samples listed for split, 0 others; 2 listed ones ABSENT: s006, s007";
    assert!(ran.contains(told), "{ran}");
    let ended = sandbox.run(&["run", "p.toml", "--set", "split.absent=refuse"]);
    assert_eq!((ended.code, ended.stderr.contains("no source has 2 samples")), (19, true));
    // The list wins over equal contents, and that is a leak that is told.
    let alike = list(6).replace("\"text\":\"0\"", "\"text\":\"1\"");
    sandbox.write("list.jsonl", alike);
    let ran = sandbox.succeed(&["run", "p.toml"]);
    assert!(ran.contains("1 of them LEAK"), "{ran}");
}

#[test]
fn a_run_with_a_list_is_repeated_and_its_list_counts() {
    let sandbox = sandbox(30, "official = \"splits.csv\"");
    sandbox.write("splits.csv", thirds(30));
    let first = run(&sandbox, "home", &[]);
    assert_eq!(first["splits"], json!({"train": 10, "val": 10, "test": 10}));
    let again = sandbox.succeed(&["--home", "home", "verify", "--rerun"]);
    assert!(again.contains("identical"), "{again}");
    // Another form that says the same is the same.
    let lines: String = thirds(30)
        .lines()
        .skip(1)
        .filter_map(|line| line.split_once(','))
        .map(|(sample, split)| format!("{{\"sample\":\"{sample}\",\"split\":\"{split}\"}}\n"))
        .collect();
    sandbox.write("same.jsonl", lines);
    let same = run(&sandbox, "home", &["split.official=same.jsonl"]);
    assert_eq!(stage(&same, "dataset")["reused"], 30);
    assert_eq!(same["moved"][0]["moved"], 0);
    // The file of a data set is a list too.
    let part = folder(&first).join("dataset/val/part-00000.parquet");
    let part = format!("split.official={}", part.display());
    let some = run(&sandbox, "home", &[&part, "split.unlisted=train"]);
    assert_eq!(some["official"]["split"]["listed"].as_u64(), some["splits"]["val"].as_u64());
    sandbox.write("splits.csv", thirds(30).replace("s000,train", "s000,test"));
    let ended = sandbox.run(&["--home", "home", "verify", &name(&first), "--rerun"]);
    assert_eq!(ended.code, 40, "{ended:?}");
    assert!(ended.stderr.contains("stage split: digests"), "{}", ended.stderr);
}

#[test]
fn watch_follows_a_list_and_keeps_what_a_fresh_run_makes() {
    let sandbox = sandbox(12, "official = \"splits.csv\"\nunlisted = \"deal\"");
    sandbox.write("splits.csv", thirds(12));
    let mut watching = Watching::start(&sandbox, &["p.toml"]);
    let run_folder = only_run(&sandbox, "home");
    for round in 0..4 {
        match round {
            0 => drop(sandbox.write("splits.csv", thirds(12).replace("s003,train", "s003,test"))),
            1 => drop(sandbox.write("list.jsonl", list(20))),
            // A broken list changes nothing until it is mended.
            2 => drop(sandbox.write("splits.csv", "sample,split\ns000,tr")),
            _ => drop(sandbox.write("splits.csv", thirds(15))),
        }
        let home = format!("fresh{}", if round == 2 { 1 } else { round });
        if round != 2 {
            assert_eq!(sandbox.run(&["--home", &home, "run", "p.toml"]).code, 0);
        }
        let wanted = dataset(&sandbox, &home);
        watching.wait_until(|| bytes(&run_folder.join("dataset")) == wanted);
    }
}

#[test]
fn watch_ends_when_more_would_move_than_may() {
    let sandbox = sandbox(40, "max_moved = 0");
    let mut watching = Watching::start(&sandbox, &["p.toml"]);
    let run_folder = only_run(&sandbox, "home");
    let before = bytes(&run_folder.join("dataset"));
    // Twenty samples less move the quotas.
    sandbox.write("list.jsonl", list(20));
    assert_eq!(watching.ended(), Some(22));
    assert!(bytes(&run_folder.join("dataset")) == before, "nothing was replaced");
}

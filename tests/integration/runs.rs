//! Runs as a whole: the same bytes for any workers and processes, nothing lost, every refusal named.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::program::{
    PREPARATION, Sandbox, TETRAHEDRON_OFF, bytes, dataset, files_below, made, only_run, shipped,
    stage, start, summary, write_hosts,
};

#[test]
fn one_worker_two_workers_and_two_processes_give_the_same_bytes() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    for workers in ["1", "2"] {
        let home = format!("home{workers}");
        let ended = sandbox.run(&[
            "--home",
            &home,
            "run",
            "prepare.toml",
            "--workers",
            workers,
            "--format",
            "json",
        ]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = summary(&ended);
        assert_eq!(summary["rows_in"], 80);
        assert_eq!(summary["rows_out"], 80);
        assert_eq!(summary["splits"], serde_json::json!({ "test": 16, "train": 56, "val": 8 }));
    }
    cluster(&sandbox);
    let one = dataset(&sandbox, "home1");
    assert!((6..=9).contains(&one.len()), "56 rows of train in files of 8 to 16: {}", one.len());
    assert!(one == dataset(&sandbox, "home2"), "two workers give other bytes");
    assert!(one == dataset(&sandbox, "homes"), "two processes give other bytes");
}

fn cluster(sandbox: &Sandbox) {
    write_hosts(sandbox);
    let process = |number| {
        let cluster = ["--workers", "1", "--hosts", "hosts", "--process", number];
        start(sandbox, &[&["--home", "homes", "run", "prepare.toml"], &cluster[..]].concat())
    };
    for mut process in ["0", "1"].map(process) {
        assert!(process.wait().expect("it ends").success());
    }
}

#[test]
fn every_mesh_file_is_in_the_data_set_or_in_the_refusal_table() {
    let sandbox = Sandbox::new();
    sandbox.write("meshes/a/good.off", TETRAHEDRON_OFF);
    sandbox.write("meshes/a/torn.off", "OFF\n4 4 6\n0 0 0\n");
    sandbox.write("meshes/b/empty.obj", "");
    sandbox.write("meshes/b/nan.off", TETRAHEDRON_OFF.replace("1 0 0", "1 nan 0"));
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let mut arguments =
        vec!["--home", "home", "run", &pipeline, "--set", "root=meshes", "--format", "json"];
    let ended = sandbox.run(&arguments);
    assert_eq!(ended.code, 20, "{ended:?}");
    let summary = summary(&ended);
    assert_eq!((&summary["rows_in"], &summary["rows_out"]), (&4.into(), &1.into()));
    assert_eq!(summary["refused"], 3);
    for stage in summary["stages"].as_array().expect("stages") {
        let number = |key: &str| stage[key].as_u64().expect("a number");
        assert_eq!(number("rows_in"), number("rows_out") + number("refused"), "{stage}");
    }
    let table = only_run(&sandbox, "home").join("refusal.parquet");
    let rows = sandbox.succeed(&["inspect", &table.display().to_string(), "--rows", "9"]);
    for wanted in ["a/torn.off", "b/empty.obj", "b/nan.off", "truncated", "empty", "not_finite"] {
        assert!(rows.contains(wanted), "{wanted} is not in\n{rows}");
    }
    arguments.extend(["--allow-refused", "75%"]);
    assert_eq!(sandbox.run(&arguments).code, 0);
}

#[test]
fn refused_samples_are_tried_again_when_asked_and_only_they() {
    let sandbox = Sandbox::new();
    sandbox.write("meshes/a/good.off", TETRAHEDRON_OFF);
    sandbox.write("meshes/a/flat.off", "OFF\n3 1 3\n0 0 0\n0 0 0\n0 0 0\n3 0 1 2\n");
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let root = sandbox.path("meshes").display().to_string();
    let set = format!("root={root}");
    let ended =
        sandbox.run(&["--home", "home", "run", &pipeline, "--set", &set, "--format", "json"]);
    assert_eq!(ended.code, 20, "{ended:?}");
    let run = only_run(&sandbox, "home");
    let refusals = |run: &Path| {
        let table = run.join("refusal.parquet").display().to_string();
        sandbox.succeed(&["inspect", &table, "--rows", "9"])
    };
    assert!(refusals(&run).contains("a/flat.off"), "{}", refusals(&run));

    let none = sandbox.run(&["--home", "home", "retry", "--where", "code=none_such"]);
    assert_eq!((none.code, none.stderr.contains("no such refusal")), (14, true), "{none:?}");
    let wrong = sandbox.run(&["--home", "home", "retry", "--where", "colour=red"]);
    assert_eq!((wrong.code, wrong.stderr.contains("no `colour`")), (14, true), "{wrong:?}");

    let id = run.file_name().expect("a name").to_string_lossy().into_owned();
    let where_sample = "sample=a/flat";
    let arguments = ["--home", "home", "retry", &id, "--where", where_sample, "--format", "json"];
    let again = sandbox.run(&arguments);
    assert_eq!(again.code, 20, "{again:?}");
    let summary = summary(&again);
    assert_eq!(made(&summary, "voxels"), 0, "what was made is reused");
    let new = PathBuf::from(summary["run"].as_str().expect("a folder"));
    assert_ne!(new.file_name(), run.file_name());
    let table = new.join("refusal.parquet").display().to_string();
    let rows = sandbox.succeed(&["inspect", &table, "--rows", "9", "--format", "json"]);
    assert!(rows.contains("\"attempt\": 2"), "{rows}");
}

#[test]
fn a_killed_preparation_goes_on_where_it_was() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    let arguments = ["run", "prepare.toml", "--set", "count=400", "--workers", "2"];
    let whole = sandbox.run(&[&["--home", "whole"], &arguments[..]].concat());
    assert_eq!(whole.code, 0, "{whole:?}");
    let at_once = ["--commit-every", "0"];
    let mut killed = start(&sandbox, &[&["--home", "home"], &arguments[..], &at_once].concat());
    wait_for_shards(&sandbox);
    killed.kill().expect("SIGKILL");
    killed.wait().expect("it ends");
    let resumed = sandbox
        .run(&[&["--home", "home"], &arguments[..], &["--resume", "--format", "json"]].concat());
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let summary = summary(&resumed);
    let reused = stage(&summary, "views")["reused"].as_u64().expect("a number");
    assert!(0 < reused && reused < 400, "{summary}");
    assert!(dataset(&sandbox, "whole") == dataset(&sandbox, "home"), "other bytes after a crash");
}

/// Waits until some rows of every kept stage are durable.
fn wait_for_shards(sandbox: &Sandbox) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while Instant::now() < deadline {
        let stages = fs::read_dir(sandbox.path("home").join("store/rows"));
        let shards = |stage: fs::DirEntry| {
            let files = fs::read_dir(stage.path()).into_iter().flatten().flatten();
            files.filter(|file| file.path().extension().is_some_and(|e| e == "shard")).count()
        };
        if stages.into_iter().flatten().flatten().map(shards).filter(|count| *count > 2).count()
            >= 3
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    panic!("no shard within a minute");
}

#[test]
fn what_was_made_once_is_not_made_again() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    let run = |arguments: &[&str]| {
        let fixed = ["--home", "home", "run", "prepare.toml", "--format", "json"];
        let ended = sandbox.run(&[&fixed[..], arguments].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = summary(&ended);
        ["voxels", "views", "poses"].map(|id| made(&summary, id))
    };
    assert_eq!(run(&[]), [80, 80, 80]);
    assert_eq!(run(&[]), [0, 0, 0]);
    assert_eq!(run(&["--set", "voxels.resolution=8"]), [80, 0, 0]);
    assert_eq!(run(&["--set", "count=88"]), [8, 8, 8], "eight more, and the others as they were");
}

#[test]
fn a_plan_says_what_is_left_to_do_and_why() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    let plan = |arguments: &[&str]| {
        let fixed = ["--home", "home", "plan", "prepare.toml", "--exit-code", "--workers", "1"];
        let ended = sandbox.run(&[&fixed[..], arguments].concat());
        (ended.code, ended.stdout)
    };
    let (code, text) = plan(&[]);
    assert!(code == 1 && text.contains("80 of 80 samples to make (80 new or changed)"), "{text}");
    assert!(text.contains("no timings yet of"), "{text}");
    assert!(!sandbox.path("home").exists(), "looking leaves nothing behind");
    let ended = sandbox.run(&["--home", "home", "run", "prepare.toml"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let (code, text) = plan(&[]);
    assert!(code == 0 && text.contains("nothing: 80 samples reused"), "{text}");
    let (code, text) = plan(&["--set", "voxels.resolution=8"]);
    assert!(code == 1 && text.contains("resolution: 16 -> 8"), "{text}");
    assert!(text.contains("nothing: 80 samples reused"), "views stay: {text}");
    assert!(text.contains(" with 1 worker (") && text.contains("from what was measured"), "{text}");
    let (_, json) = plan(&["--set", "views.size=48", "--format", "json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let price = |name: &str| json["price"][name].as_f64().expect(name);
    assert!(0.0 < price("seconds_low") && price("seconds_low") < price("seconds"), "{json}");
    assert!(price("seconds") < price("seconds_high") && price("bytes") > 0.0, "{json}");
    let stages = json["stages"].as_array().expect("stages");
    let to_do = |id: &str| &stages.iter().find(|s| s["id"] == id).expect("it is there")["to_do"];
    assert_eq!((&to_do("voxels")["to_make"], &to_do("views")["to_make"]), (&0.into(), &80.into()));
    assert_eq!(to_do("poses")["reasons"], serde_json::json!(["`views` before it changed"]));
}

#[test]
fn a_run_is_verified_repeated_and_compared() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    for i in 1..9 {
        let mesh = TETRAHEDRON_OFF.replace("1 0 0", &format!("{i} 0 0"));
        sandbox.write(&format!("meshes/a/m{i}.off"), mesh);
    }
    let run = |set: &str| {
        let ended = sandbox.run(&["run", &pipeline, "--set", "root=meshes", "--set", set]);
        assert_eq!(ended.code, 0, "{ended:?}");
        let folder = ended.stdout.lines().last().expect("the folder").to_owned();
        folder.rsplit('/').next().expect("an id").to_owned()
    };
    let first = run("voxels.resolution=8");
    let verify = |more: &[&str]| sandbox.run(&[&["verify", &first], more].concat());
    assert_eq!(verify(&[]).code, 0);
    let ended = verify(&["--rerun", "--workers", "1", "--progress", "never"]);
    assert!(ended.code == 0 && ended.stdout.contains("identical"), "{ended:?}");
    let diff = |a: &str, b: &str| sandbox.run(&["diff", a, b]);
    let second = run("voxels.resolution=16");
    assert_eq!(diff(&first, &first).code, 0);
    let ended = diff(&first, &second);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.stdout.contains("stage voxels: resolution 8 and 16"), "{ended:?}");

    let path = sandbox.path("meshes/a/m3.off");
    let text = fs::read_to_string(&path).expect("read").replace("3 0 0", "9 0 0");
    fs::write(&path, text).expect("written");
    let ended = verify(&["--rerun", "--progress", "never"]);
    assert_eq!(ended.code, 40, "{ended:?}");
    assert!(ended.stderr.contains("sample of meshes changed: a/m3"), "{ended:?}");
    assert!(!ended.stderr.contains("a/m4"), "{ended:?}");

    let data = files_below(&sandbox.path(".voxflow/runs").join(&first).join("dataset"), ".parquet");
    fs::remove_file(&data[0]).expect("removed");
    let ended = verify(&[]);
    assert!(ended.code == 40 && ended.stderr.contains("gone: dataset/"), "{ended:?}");
}

#[test]
fn planted_duplicates_are_found_and_a_split_can_keep_them_together() {
    let sandbox = Sandbox::new();
    for i in 1..25 {
        let mesh = TETRAHEDRON_OFF.replace("1 0 0", &format!("{}.{} 0 0", 1 + i / 8, i % 8));
        sandbox.write(&format!("meshes/a/m{i:02}.off"), mesh);
    }
    // One shape as the same bytes under other names, and in another format.
    let off = fs::read_to_string(sandbox.path("meshes/a/m01.off")).expect("read");
    for name in ["a/twin.off", "b/twin.off", "a/again.off"] {
        sandbox.write(&format!("meshes/{name}"), off.clone());
    }
    let numbers: Vec<&str> = off.lines().skip(2).collect();
    let vertices = numbers[..4].iter().map(|line| format!("v {line}\n"));
    let face = |line: &&str| {
        let corners = line.split_whitespace().skip(1).map(|v| v.parse::<u32>().expect("a number"));
        format!("f {}\n", corners.map(|v| (v + 1).to_string()).collect::<Vec<_>>().join(" "))
    };
    let obj: String = vertices.chain(numbers[4..].iter().map(face)).collect();
    for i in 0..6 {
        sandbox.write(&format!("meshes/a/exported{i}.obj"), obj.replace('\n', &"\n".repeat(i + 1)));
    }
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let duplicates = |group: &str| {
        let fixed = ["--home", "home", "run", &pipeline, "--set", "root=meshes"];
        let set = format!("split.group={group}");
        let ended = sandbox.run(&[&fixed[..], &["--set", &set, "--format", "json"]].concat());
        (ended.code, summary(&ended)["duplicates"].clone())
    };
    let (code, by_sample) = duplicates("sample");
    assert_eq!(
        (code, &by_sample[0]["values"], &by_sample[0]["samples"]),
        (0, &1.into(), &4.into())
    );
    let (_, by_content) = duplicates("content");
    assert_eq!(by_content[0]["leaking"], 0, "the same bytes stay together");
    let (_, by_grid) = duplicates("voxels");
    assert_eq!((&by_grid[0]["of"], &by_grid[1]["of"]), (&"content".into(), &"voxels".into()));
    assert!(by_grid[1]["samples"].as_u64() >= Some(10), "{by_grid}");
    assert_eq!((&by_grid[0]["leaking"], &by_grid[1]["leaking"]), (&0.into(), &0.into()));
    let ended = sandbox.run(&["plan", &pipeline, "--set", "root=x", "--set", "split.group=voxel"]);
    assert!(ended.code == 12 && ended.stderr.contains("did you mean `voxels`?"), "{ended:?}");
    let ended =
        sandbox.run(&["plan", &pipeline, "--set", "root=x", "--set", "split.group=grid_scale"]);
    assert!(ended.code == 12 && ended.stderr.contains("cannot be grouped"), "{ended:?}");
}

#[test]
fn two_runs_at_once_make_every_row_once() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    let run = || {
        let arguments = ["--home", "home", "run", "prepare.toml", "--set", "count=240"];
        Command::new(env!("CARGO_BIN_EXE_voxflow"))
            .args(arguments)
            .args(["--format", "json", "--progress", "never"])
            .current_dir(sandbox.path("."))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts")
    };
    let ended = [run(), run()].map(|child| child.wait_with_output().expect("it ends"));
    let mut rows = 0;
    for output in &ended {
        assert!(output.status.success());
        let text = String::from_utf8_lossy(&output.stdout);
        let summary: Value =
            serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        rows += made(&summary, "views");
    }
    assert_eq!(rows, 240, "each row is made by one of the two");
    let runs = fs::read_dir(sandbox.path("home/runs")).expect("runs").flatten();
    let data: Vec<_> = runs.map(|run| bytes(&run.path().join("dataset"))).collect();
    assert!(data.len() == 2 && data[0] == data[1] && !data[0].is_empty());
}

#[test]
fn a_sample_is_explained_from_its_file_to_its_row() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    sandbox.write("meshes/a/good.off", TETRAHEDRON_OFF);
    sandbox.write("meshes/a/torn.off", "OFF\n4 4 6\n0 0 0\n");
    let run = ["run", &pipeline, "--set", "root=meshes", "--allow-refused", "1"];
    let ended = sandbox.run(&run);
    assert_eq!(ended.code, 0, "{ended:?}");
    let run = ended.stdout.lines().last().expect("the folder").to_owned();
    let good = sandbox.succeed(&["explain", &run, "a/good"]);
    assert!(good.contains("meshes: a/good.off") && good.contains("row 0 of dataset/"), "{good}");
    let kept = good.lines().find(|line| line.contains("voxels ")).expect("a line");
    let file = kept.rsplit(' ').next().expect("a path");
    assert!(sandbox.path(file).is_file(), "{kept}");
    let torn = sandbox.succeed(&["explain", &run, "a/torn"]);
    assert!(torn.contains("decode_mesh      refused: truncated"), "{torn}");
    let ended = sandbox.run(&["explain", &run, "a/tron"]);
    assert!(ended.code == 14 && ended.stderr.contains("did you mean `a/torn`?"), "{ended:?}");
}

#[test]
fn a_watched_folder_is_kept_up_to_date() {
    use std::io::BufRead;
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let mesh = |i: u32| TETRAHEDRON_OFF.replace("1 0 0", &format!("{i} 0 0"));
    for i in 1..9 {
        sandbox.write(&format!("meshes/a/m{i}.off"), mesh(i));
    }
    let mut watch = Command::new(env!("CARGO_BIN_EXE_voxflow"))
        .args(["watch", &pipeline, "--set", "root=meshes", "--format", "json"])
        .args(["--every-ms", "100", "--revisions", "4"])
        .current_dir(sandbox.path("."))
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let out = watch.stdout.take().expect("a pipe");
    let mut lines = std::io::BufReader::new(out).lines();
    let mut next = || -> Value {
        let line = lines.next().expect("a revision").expect("text");
        serde_json::from_str(&line).expect("JSON")
    };
    let counts = |line: &Value| {
        ["new", "changed", "removed", "rows", "duplicates"]
            .map(|key| line[key].as_u64().expect(key))
    };
    let first = next();
    assert_eq!(counts(&first), [8, 0, 0, 8, 0]);
    // A file appears whole, as careful programs write it.
    sandbox.write("new", mesh(4));
    fs::rename(sandbox.path("new"), sandbox.path("meshes/a/twin.off")).expect("renamed");
    assert_eq!(counts(&next()), [1, 0, 0, 9, 1], "a twin of m4");
    sandbox.write("new", mesh(30));
    fs::rename(sandbox.path("new"), sandbox.path("meshes/a/m1.off")).expect("renamed");
    assert_eq!(counts(&next()), [0, 1, 0, 9, 1]);
    fs::remove_file(sandbox.path("meshes/a/m4.off")).expect("removed");
    let last = next();
    assert_eq!(counts(&last), [0, 0, 1, 8, 0], "the twin is alone");
    assert!(watch.wait().expect("it ends").success());
    let run = sandbox.path(last["run"].as_str().expect("a path"));
    let scratch = ["--home", "fresh", "run", &pipeline, "--set", "root=meshes"];
    assert_eq!(sandbox.run(&scratch).code, 0);
    assert!(bytes(&run.join("dataset")) == dataset(&sandbox, "fresh"), "as from scratch");
}

#[test]
fn a_flipped_bit_in_the_store_is_found_and_never_passed_on() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    assert_eq!(sandbox.run(&["--home", "home", "run", "prepare.toml"]).code, 0);
    let verify = || sandbox.run(&["--home", "home", "store", "verify"]);
    assert_eq!(verify().code, 0);
    let shards = files_below(&sandbox.path("home").join("store/rows"), ".parquet");
    assert!(shards.len() >= 3, "{shards:?}");
    for shard in &shards {
        let mut bytes = fs::read(shard).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        fs::write(shard, bytes).expect("written");
    }
    let ended = verify();
    assert_eq!(ended.code, 40, "{ended:?}");
    assert!(ended.stderr.contains("not those that were written"), "{ended:?}");
    // Files of the data set that are there already need no row; other files do.
    let again = ["run", "prepare.toml", "--set", "dataset.row_group_rows=8"];
    let mut damaged = 0;
    let code = loop {
        let ended = sandbox.run(&[&["--home", "home"], &again[..]].concat());
        if ended.code != 30 || damaged > shards.len() {
            break ended.code;
        }
        assert!(ended.stderr.contains("damaged and was set aside"), "{ended:?}");
        damaged += 1;
    };
    assert!(code == 0 && damaged > 0, "{code} {damaged}");
    let ended = sandbox.run(&[&["--home", "fresh"], &again[..], &["--format", "json"]].concat());
    let fresh = bytes(&only_run(&sandbox, "fresh").join("dataset"));
    assert_eq!(ended.code, 0, "{ended:?}");
    let runs = sandbox.path("home").join("runs");
    let last = fs::read_dir(runs).expect("runs").flatten().map(|run| run.path().join("dataset"));
    assert!(last.filter(|data| data.is_dir()).any(|data| bytes(&data) == fresh));
}

#[test]
fn the_store_is_tidied_of_what_no_run_needs() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    for resolution in ["voxels.resolution=8", "voxels.resolution=16"] {
        let ended = sandbox.run(&["--home", "home", "run", "prepare.toml", "--set", resolution]);
        assert_eq!(ended.code, 0, "{ended:?}");
    }
    let gc = |more: &[&str]| sandbox.succeed(&[&["--home", "home", "store", "gc"], more].concat());
    assert!(gc(&[]).starts_with("0 files"), "all is needed");
    let mut runs: Vec<_> =
        fs::read_dir(sandbox.path("home/runs")).expect("runs").flatten().collect();
    runs.sort_by_key(|run| run.metadata().and_then(|m| m.modified()).expect("a time"));
    let plan =
        |run: &fs::DirEntry| fs::read_to_string(run.path().join("plan.json")).expect("a plan");
    let first = runs.iter().find(|run| plan(run).contains("\"resolution\": 8")).expect("the first");
    fs::remove_dir_all(first.path()).expect("removed");
    let stats = || sandbox.succeed(&["--home", "home", "store", "stats"]);
    assert!(stats().contains("resolution = 8"), "{}", stats());
    assert!(gc(&["--dry-run"]).contains("would be removed"));
    assert!(stats().contains("resolution = 8"), "a dry run removes nothing");
    assert!(!gc(&[]).starts_with("0 files"));
    assert!(!stats().contains("resolution = 8") && stats().contains("resolution = 16"));
    let plan = ["--home", "home", "plan", "prepare.toml", "--exit-code"];
    assert_eq!(sandbox.run(&plan).code, 0, "nothing that is needed was removed");
}

/// Edits a folder of meshes; after each edit the data set is that of a run from scratch.
#[test]
fn after_any_edit_the_data_set_is_that_of_a_run_from_scratch() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let mesh = |size: u32| TETRAHEDRON_OFF.replace("1 0 0", &format!("{size} 0 0"));
    for i in 0..12 {
        sandbox.write(&format!("meshes/{}/m{i}.off", ["a", "b"][i % 2]), mesh(i as u32 + 1));
    }
    let path = |name: &str| sandbox.path("meshes").join(name);
    let edits: [(&str, &dyn Fn()); 7] = [
        ("add", &|| fs::write(path("a/new.off"), mesh(30)).expect("written")),
        ("change", &|| fs::write(path("b/m1.off"), mesh(40)).expect("written")),
        ("remove", &|| fs::remove_file(path("a/m2.off")).expect("removed")),
        ("rename", &|| fs::rename(path("a/m4.off"), path("b/m44.off")).expect("renamed")),
        ("touch", &|| {
            let text = fs::read(path("a/m6.off")).expect("read");
            fs::write(path("a/m6.off"), text).expect("written");
        }),
        // The same bytes in another format are another mesh, here none.
        ("retype", &|| fs::rename(path("b/m11.off"), path("b/m11.obj")).expect("renamed")),
        ("swap", &|| {
            fs::rename(path("a/m8.off"), path("a/t")).expect("renamed");
            fs::rename(path("b/m9.off"), path("a/m8.off")).expect("renamed");
            fs::rename(path("a/t"), path("b/m9.off")).expect("renamed");
        }),
    ];
    let run = |home: &str| {
        let set = ["--set", "root=meshes", "--format", "json", "--allow-refused", "1"];
        let ended = sandbox.run(&[&["--home", home, "run", &pipeline], &set[..]].concat());
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = summary(&ended);
        (
            made(&summary, "voxels"),
            bytes(
                &sandbox.path(".").join(summary["run"].as_str().expect("a path")).join("dataset"),
            ),
        )
    };
    assert_eq!(run("kept").0, 12);
    for (number, (name, edit)) in edits.iter().enumerate() {
        edit();
        let (made, incremental) = run("kept");
        let expected = [1, 1, 0, 1, 0, 0, 2][number];
        assert_eq!(made, expected, "{name}");
        let (_, scratch) = run(&format!("fresh{number}"));
        assert!(incremental == scratch, "{name}: other bytes than from scratch");
    }
}

#[test]
fn without_a_split_all_rows_lie_in_one_folder() {
    let sandbox = Sandbox::new();
    let end = PREPARATION.find("[[stage]]\nuse = \"split\"").expect("the split");
    let without = format!(
        "{}[[stage]]\nuse = \"parquet\"\nfrom = [\"voxels\", \"poses\"]\n",
        &PREPARATION[..end]
    );
    sandbox.write("all.toml", without);
    let ended = sandbox.run(&["--home", "home", "run", "all.toml", "--format", "json"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(summary(&ended)["splits"], serde_json::json!({ "all": 80 }));
}

#[test]
fn a_missing_root_and_a_missing_run_are_told_before_any_work() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let ended = sandbox.run(&["run", &pipeline, "--set", "root=nowhere"]);
    assert_eq!(ended.code, 13, "{ended:?}");
    assert!(ended.stderr.contains("nowhere"), "{ended:?}");
    sandbox.write("prepare.toml", PREPARATION);
    let ended = sandbox.run(&["run", "prepare.toml", "--resume"]);
    assert_eq!(ended.code, 16, "{ended:?}");
    assert!(!sandbox.path(".voxflow").exists());
}

#[cfg(feature = "train")]
#[test]
fn a_killed_training_resumes_to_the_same_weights() {
    let sandbox = Sandbox::new();
    let quickstart = shipped("pipelines/quickstart.toml");
    let arguments = [
        "run",
        &quickstart,
        "--device",
        "cpu",
        "--set",
        "count=40",
        "--set",
        "epochs=4",
        "--set",
        "views.size=32",
    ];
    let whole = sandbox.run(&[&["--home", "whole"], &arguments[..]].concat());
    assert_eq!(whole.code, 0, "{whole:?}");
    let mut killed = start(&sandbox, &[&["--home", "home"], &arguments[..]].concat());
    let deadline = Instant::now() + Duration::from_secs(120);
    let has_checkpoint = || {
        let runs = fs::read_dir(sandbox.path("home").join("runs")).into_iter().flatten().flatten();
        runs.map(|run| run.path().join("train/epoch-0002")).any(|folder| folder.is_dir())
    };
    while !has_checkpoint() {
        assert!(Instant::now() < deadline, "no checkpoint within two minutes");
        std::thread::sleep(Duration::from_millis(5));
    }
    killed.kill().expect("SIGKILL");
    killed.wait().expect("it ends");
    let resumed = sandbox.run(&[&["--home", "home"], &arguments[..], &["--resume"]].concat());
    assert_eq!(resumed.code, 0, "{resumed:?}");
    let last = |home: &str| bytes(&only_run(&sandbox, home).join("train/epoch-0004"));
    let (undisturbed, resumed) = (last("whole"), last("home"));
    for name in ["weights.safetensors", "optimizers.safetensors"] {
        let same = undisturbed[Path::new(name)] == resumed[Path::new(name)];
        assert!(same, "{name} differs after a crash");
    }
    let again = |from: &str| sandbox.run(&[&["--home", "home"], &arguments[..], &[from]].concat());
    let refused = again("--resume=epoch:9");
    assert_eq!(refused.code, 19, "{refused:?}");
    assert!(refused.stderr.contains("there is no checkpoint epoch:9: kept are "), "{refused:?}");
    let gone_back = again("--resume=epoch:3");
    assert_eq!(gone_back.code, 0, "{gone_back:?}");
    let told = "from the checkpoint after epoch 3 (epoch:3); those after epoch 4 set aside in";
    assert!(gone_back.stdout.contains(told), "{gone_back:?}");
    let weights = Path::new("weights.safetensors");
    assert!(last("home")[weights] == undisturbed[weights], "going back gives other weights");
    let lock = fs::read(only_run(&sandbox, "home").join("voxflow.lock")).expect("a record");
    let lock: Value = serde_json::from_slice(&lock).expect("JSON");
    assert!(lock["went_on"]["train"][0].as_str().is_some_and(|text| text.starts_with(told)));
    let files = lock["tasks"]["train"].as_array().expect("files");
    assert!(files.iter().all(|file| !file["path"].as_str().unwrap_or_default().contains("aside")));
}

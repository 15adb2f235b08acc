//! Kills at every commit point: what comes after ends what was begun, to the bytes of a run that nothing
//! disturbed, and nothing is left over.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use voxflow_contract::COMMIT_POINTS;

use crate::program::{Sandbox, TETRAHEDRON_OFF, bytes, files_below, made, shipped, start, summary};

/// Signal of `kill -9`.
const SIGKILL: i32 = 9;
/// Lets pass what is refused: one mesh is torn.
const ALLOW: [&str; 2] = ["--allow-refused", "100%"];

type Bytes = BTreeMap<PathBuf, Vec<u8>>;

/// What a process is doing when it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scene {
    /// A first run makes everything.
    First,
    /// A run goes on with one that had ended, and cuts its data set into other files.
    Resumed,
    /// A run learns what the samples are, as several did before.
    Ninth,
    /// Refused samples are to be tried again.
    Retry,
    /// Two shards of a stage become one.
    Compact,
    /// Rows that no run needs go.
    Gc,
    /// A changed file is watched.
    Watch,
    /// A network is trained.
    Train,
}

/// Where each commit point is passed.
fn scene(point: &str) -> Scene {
    match point {
        "record.withdrawn" => Scene::Resumed,
        "facts.merged" => Scene::Ninth,
        "lifted.renamed" => Scene::Retry,
        "compaction.recorded" | "compaction.removed" => Scene::Compact,
        "gc.removed" => Scene::Gc,
        "twin.exchanged" | "twin.prepared" => Scene::Watch,
        "checkpoint.renamed" | "checkpoint.written" => Scene::Train,
        _ => Scene::First,
    }
}

/// Points that are passed in other scenes, too, and there with something at stake.
const ELSEWHERE: [(Scene, &str); 11] = [
    (Scene::Resumed, "dataset.exchanged"),
    (Scene::Resumed, "dataset.filled"),
    (Scene::Resumed, "inputs.cleared"),
    (Scene::Compact, "shard.keys_renamed"),
    (Scene::Compact, "shard.rows_renamed"),
    (Scene::Compact, "compaction.removed:2"),
    // The data set has changed places by then, and the table of inputs not; both have; the record is new.
    (Scene::Watch, "record.withdrawn"),
    (Scene::Watch, "twin.exchanged:2"),
    (Scene::Watch, "record.renamed:2"),
    (Scene::Watch, "shard.keys_renamed:3"),
    (Scene::Watch, "tables.renamed:4"),
];

#[test]
fn a_kill_at_any_commit_point_loses_nothing() {
    let undisturbed = Home::new().run(&[]);
    let all = COMMIT_POINTS.iter().map(|point| (scene(point), *point)).chain(ELSEWHERE);
    let is_apart = |scene: Scene| matches!(scene, Scene::Watch | Scene::Train);
    let cases: Vec<_> = all.filter(|(scene, _)| !is_apart(*scene)).collect();
    let next = AtomicUsize::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((scene, place)) = cases.get(number) else { break };
            let home = Home::new();
            let wanted = home.kill(*scene, place).unwrap_or_else(|| undisturbed.clone());
            home.goes_on(&wanted, !number.is_multiple_of(3), &format!("{scene:?} at {place}"));
        }
    };
    std::thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
}

#[test]
fn a_watch_that_is_killed_while_a_revision_is_committed_goes_on() {
    let all = COMMIT_POINTS.iter().map(|point| (scene(point), *point)).chain(ELSEWHERE);
    for (_, place) in all.filter(|(scene, _)| *scene == Scene::Watch) {
        let home = Home::new();
        let run = home.kill_watch(place);
        let resume = ["watch", "--resume", "--revisions", "1"];
        let text = home.succeed(&[&resume[..], &home.settings()].concat());
        assert!(text.contains("revision 1: 7 new"), "{place}: {text}");
        let wanted = home.undisturbed();
        assert!(bytes(&run.join("dataset")) == wanted, "{place}: other bytes");
        home.succeed(&["verify", &run.file_name().expect("a name").to_string_lossy()]);
        home.goes_on(&wanted, false, &format!("watch at {place}"));
    }
}

#[cfg(feature = "train")]
#[test]
fn a_kill_at_a_commit_point_of_a_checkpoint_resumes_to_the_same_weights() {
    use crate::faults::TRAINING;
    use crate::program::PREPARATION;
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", format!("{PREPARATION}\n{TRAINING}"));
    let run = |home: &str, more: &[&str]| {
        let fixed =
            ["--home", home, "run", "prepare.toml", "--set", "count=24", "--format", "json"];
        let mut command = sandbox.command(env!("CARGO_BIN_EXE_voxflow"), &fixed);
        command.args(more);
        command
    };
    let weights = |ended: &std::process::Output| {
        let text = String::from_utf8_lossy(&ended.stdout).into_owned();
        let summary: serde_json::Value =
            serde_json::from_str(text.lines().last().expect("a line")).expect("JSON");
        let folder = sandbox.path(summary["run"].as_str().expect("a path"));
        fs::read(folder.join("train/epoch-0002/weights.safetensors")).expect("weights")
    };
    let undisturbed = weights(&run("whole", &[]).output().expect("it starts"));
    for (number, place) in ["checkpoint.written", "checkpoint.renamed"].into_iter().enumerate() {
        assert_eq!(scene(place), Scene::Train);
        let home = format!("home{number}");
        let killed = run(&home, &[]).env("VOXFLOW_KILL_AT", place).output().expect("it starts");
        assert_eq!(killed.status.signal(), Some(SIGKILL), "{place}: {killed:?}");
        let resumed = run(&home, &["--resume"]).output().expect("it starts");
        assert!(weights(&resumed) == undisturbed, "{place}: other weights");
    }
}

#[test]
fn compactions_and_a_run_at_once_lose_nothing() {
    let home = Home::new();
    home.scatter(3);
    assert_eq!(home.shards().into_values().max(), Some(3));
    let run = [&["run"][..], &home.settings(), &ALLOW].concat();
    let commands: [&[&str]; 3] = [&["store", "compact"], &run, &["store", "compact"]];
    let start =
        |arguments: &&[&str]| start(&home.sandbox, &[&["--home", "home"], *arguments].concat());
    for mut process in commands.iter().map(start).collect::<Vec<_>>() {
        assert!(process.wait().expect("it ends").success());
    }
    home.succeed(&["store", "compact"]);
    assert_eq!(home.shards().into_values().max(), Some(1));
    home.goes_on(&home.undisturbed(), false, "at once");
}

#[test]
fn a_commit_point_that_is_none_is_told() {
    let home = Home::new();
    for (place, wanted) in
        [("none", "no commit point `none`"), ("gc.removed:x", "`x` is no number")]
    {
        let ended = home.command(&["store", "stats"]).env("VOXFLOW_KILL_AT", place).output();
        let ended = ended.expect("it starts");
        let stderr = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code() == Some(14) && stderr.contains(wanted), "{place}: {stderr}");
    }
}

/// A folder of meshes, and a home for what is made of them.
struct Home {
    sandbox: Sandbox,
    pipeline: String,
}

impl Home {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        for i in 0..6 {
            sandbox.write(&format!("meshes/cup/m{i}.off"), mesh(i));
        }
        sandbox.write("meshes/cup/torn.off", "OFF\n4 4 6\n0 0");
        Self { sandbox, pipeline: shipped("pipelines/meshes-to-voxels.toml") }
    }

    /// The pipeline, and what it is told.
    fn settings(&self) -> [&str; 7] {
        let set = ["root=meshes", "voxels.resolution=8", "dataset.rows_per_file=2"];
        [&self.pipeline, "--set", set[0], "--set", set[1], "--set", set[2]]
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let arguments = [&["--home", "home"], arguments].concat();
        self.sandbox.command(env!("CARGO_BIN_EXE_voxflow"), &arguments)
    }

    fn succeed(&self, arguments: &[&str]) -> String {
        self.sandbox.succeed(&[&["--home", "home"], arguments].concat())
    }

    /// Runs the pipeline; gives what is in its data set.
    fn run(&self, more: &[&str]) -> Bytes {
        self.run_in("home", more).1
    }

    /// As [`Home::run`], in another home; says how many grids were made, too.
    fn run_in(&self, home: &str, more: &[&str]) -> (u64, Bytes) {
        let fixed = [&["--home", home, "run"][..], &self.settings(), &ALLOW, &["--format", "json"]];
        let ended = self.sandbox.run(&[&fixed.concat()[..], more].concat());
        assert_eq!(ended.code, 0, "{more:?}: {ended:?}");
        let summary = summary(&ended);
        let run = self.sandbox.path(summary["run"].as_str().expect("a path"));
        (made(&summary, "voxels"), bytes(&run.join("dataset")))
    }

    /// What a run from nothing makes of the meshes as they are now.
    fn undisturbed(&self) -> Bytes {
        self.run_in("fresh", &[]).1
    }

    /// Changes a mesh, and runs, several times: a shard and a file of facts each.
    fn scatter(&self, times: usize) {
        for time in 0..times {
            self.sandbox.write("meshes/cup/m0.off", mesh(100 + time));
            self.run(&[]);
        }
    }

    /// Number of shards in each stage that has any.
    fn shards(&self) -> BTreeMap<PathBuf, usize> {
        let mut counts = BTreeMap::new();
        for shard in files_below(&self.sandbox.path("home/store/rows"), ".shard") {
            *counts.entry(shard.with_file_name("")).or_default() += 1;
        }
        counts
    }

    fn runs(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.sandbox.path("home/runs")).into_iter().flatten().flatten();
        let mut runs: Vec<PathBuf> = runs.map(|run| run.path()).collect();
        runs.sort();
        runs
    }

    /// Has a command die at a commit point; it must get there.
    fn dies(&self, place: &str, arguments: &[&str]) {
        let ended = self.command(arguments).env("VOXFLOW_KILL_AT", place).output();
        let ended = ended.expect("the program starts");
        assert_eq!(ended.status.signal(), Some(SIGKILL), "{arguments:?} at {place}: {ended:?}");
    }

    /// Kills in a scene; gives what is to be in the data set, where it is not what a first run makes.
    fn kill(&self, scene: Scene, place: &str) -> Option<Bytes> {
        let run = [&["run"][..], &self.settings(), &ALLOW].concat();
        match scene {
            Scene::First => self.dies(place, &run),
            Scene::Resumed => {
                self.run(&[]);
                let other = ["--resume", "--set", "dataset.row_group_rows=1"];
                self.dies(place, &[&run[..], &other].concat());
            }
            Scene::Ninth => {
                self.scatter(8);
                self.sandbox.write("meshes/cup/m0.off", mesh(7));
                self.dies(place, &run);
                return Some(self.undisturbed());
            }
            Scene::Retry => {
                self.run(&[]);
                self.dies(place, &[&["retry"][..], &ALLOW].concat());
            }
            Scene::Compact => {
                self.scatter(3);
                self.dies(place, &["store", "compact"]);
                return Some(self.undisturbed());
            }
            Scene::Gc => {
                self.run(&["--set", "voxels.resolution=9"]);
                fs::remove_dir_all(&self.runs()[0]).expect("removed");
                self.run(&[]);
                self.dies(place, &["store", "gc"]);
            }
            Scene::Watch | Scene::Train => unreachable!("has a test of its own"),
        }
        None
    }

    /// Kills a `watch` after a mesh was changed; gives the folder of its run.
    fn kill_watch(&self, place: &str) -> PathBuf {
        let watch = [&["watch"][..], &self.settings(), &["--every-ms", "2000"]].concat();
        let mut command = self.command(&watch);
        command.env("VOXFLOW_KILL_AT", place).stdout(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let mut out = std::io::BufReader::new(child.stdout.take().expect("a pipe"));
        let mut line = String::new();
        std::io::BufRead::read_line(&mut out, &mut line).expect("a line");
        assert!(line.starts_with("revision 1: "), "{place}: {line}");
        self.sandbox.write("meshes/cup/m0.off", mesh(50));
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(SIGKILL), "{place}: {status:?}");
        self.runs().remove(0)
    }

    /// A run ends what was begun, one that resumes where that is wished and can be; nothing that is in
    /// the store is damaged, nothing is left over, and no row is made again once all were there.
    fn goes_on(&self, wanted: &Bytes, resumes: bool, what: &str) {
        let has_begun = self.runs().iter().any(|run| run.join("plan.json").is_file());
        let more: &[&str] = if resumes && has_begun { &["--resume"] } else { &[] };
        assert!(self.run(more) == *wanted, "{what}: {more:?}: other bytes");
        self.succeed(&["store", "verify"]);
        self.succeed(&["store", "compact"]);
        self.succeed(&["store", "gc"]);
        let again = self.succeed(&["store", "gc"]);
        assert!(again.starts_with("0 files"), "{what}: {again}");
        self.is_clean(what);
        let (made, bytes) = self.run_in("home", &[]);
        assert!(bytes == *wanted, "{what}: other bytes after a compaction");
        assert_eq!(made, 0, "{what}: rows were lost");
    }

    /// Every file of the store counts, and no run that was begun has anything half done.
    fn is_clean(&self, what: &str) {
        let store = self.sandbox.path("home/store");
        let tmp = fs::read_dir(store.join("tmp")).expect("a folder").count();
        assert_eq!(tmp, 0, "{what}: something is left in tmp");
        let rows = store.join("rows");
        let most = self.shards().into_values().max();
        assert_eq!(most, Some(1), "{what}: they are one shard by now");
        let is_alone = |rows: &PathBuf| !rows.with_extension("shard").is_file();
        let alone = files_below(&rows, ".parquet").into_iter().find(is_alone);
        assert_eq!(alone, None, "{what}: rows without keys");
        assert_eq!(files_below(&rows, ".replaced"), Vec::<PathBuf>::new(), "{what}");
        // One that was killed before it had locked its folder may still be about to.
        let is_locked = |run: &PathBuf| run.join("lock").is_file();
        for run in self.runs().into_iter().filter(is_locked) {
            for entry in fs::read_dir(&run).expect("a folder").flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                let is_left = [".tmp", ".partial", ".old"].iter().any(|end| name.ends_with(end));
                assert!(!is_left, "{what}: {name}");
            }
        }
    }
}

/// A tetrahedron, each another.
fn mesh(number: usize) -> String {
    TETRAHEDRON_OFF.replace("1 0 0", &format!("{} 0 0", number + 1))
}

//! Faults of the machine: kills at random moments, full disks, reads that fail. After each of them the
//! next run ends what was begun, to the bytes of a run that nothing disturbed.
//!
//! `VOXFLOW_KILLS=200` kills so often, over all three ways to spread a run out, instead of a few times.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::time::{Duration, Instant, SystemTime};

use serde_json::json;
use voxflow_contract::Random;

use crate::program::{
    Ended, PREPARATION, Sandbox, TETRAHEDRON_OFF, bytes, dataset, files_below, made, only_run,
    shipped, summary, write_hosts,
};

/// Continues [`PREPARATION`]: a training that takes a moment.
pub(crate) const TRAINING: &str = "\
[[stage]]
use = \"train\"
from = \"dataset\"
cube_len = 16
image_size = 16
batch_size = 16
recon_loss = \"bce\"
z_size = 8
encoder_channels = [4, 4, 8, 8, 8]
generator_channels = 4
discriminator_channels = 2
n_epochs = 2
keep_checkpoints = 1
device = \"cpu\"
";

/// A file that is there, and that nobody can read: its first bytes are no memory of who reads it.
const UNREADABLE: &str = "/proc/self/mem";

/// Kills in the suite, over all ways to spread a run out.
const FEW_KILLS: u32 = 12;

/// How a run is spread out: what each of its processes is told.
type Spread = &'static [&'static [&'static str]];

const ONE_WORKER: Spread = &[&["--workers", "1"]];
const TWO_WORKERS: Spread = &[&["--workers", "2"]];
const TWO_PROCESSES: Spread = &[
    &["--workers", "1", "--hosts", "hosts", "--process", "0"],
    &["--workers", "1", "--hosts", "hosts", "--process", "1"],
];

#[test]
fn one_worker_is_killed_at_random_and_ends_with_the_same_bytes() {
    kill_at_random("1 worker", ONE_WORKER);
}

#[test]
fn two_workers_are_killed_at_random_and_end_with_the_same_bytes() {
    kill_at_random("2 workers", TWO_WORKERS);
}

#[test]
fn two_processes_are_killed_at_random_and_end_with_the_same_bytes() {
    kill_at_random("2 processes", TWO_PROCESSES);
}

/// Begins a run, kills it again and again, and starts it again until it ends; then the next one, until
/// there were kills enough. Each must have left what a run leaves that nobody killed.
fn kill_at_random(name: &str, spread: Spread) {
    #[expect(clippy::disallowed_methods, reason = "a person asks for a longer test")]
    let asked = std::env::var("VOXFLOW_KILLS").ok();
    let all = asked.map_or(FEW_KILLS, |text| text.parse().expect("VOXFLOW_KILLS is a number"));
    let kills = all.div_ceil(3);
    let begun = Instant::now();
    let sandbox = Sandbox::new();
    let training = if cfg!(feature = "train") { TRAINING } else { "" };
    sandbox.write("prepare.toml", format!("{PREPARATION}\n{training}"));
    let whole =
        Killed { sandbox: &sandbox, spread, home: "whole", kills: 0, length: Duration::ZERO };
    let undisturbed = whole.run_to_its_end(&mut Random::new(0, &[])).0;
    let length = begun.elapsed();
    let (mut done, mut runs) = (0, 0u32);
    while done < kills {
        let run = Killed { home: "home", kills: kills - done, length, ..whole };
        let mut random = Random::new(u64::from(runs), &["kills", name]);
        let (folder, killed) = run.run_to_its_end(&mut random);
        compare(&undisturbed, &folder, &format!("{name}, run {runs}, {killed} kills"));
        check_store(&sandbox, "home");
        fs::remove_dir_all(sandbox.path("home")).expect("removed");
        (done, runs) = (done + killed, runs + 1);
    }
    println!(
        "{name}: {done} kills in {runs} runs, all as undisturbed; {:.1} s, a run {:.2} s",
        begun.elapsed().as_secs_f64(),
        length.as_secs_f64()
    );
}

#[test]
fn two_processes_go_on_long_after_they_were_stopped() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    let (length, home) = (Duration::ZERO, "home");
    let run = Killed { sandbox: &sandbox, spread: TWO_PROCESSES, home, kills: 0, length };
    let ends = |resume| {
        let codes = Attempt::start(&run, resume).wait_for_the_end();
        assert_eq!(codes, [Some(0), Some(0)], "{}", run.said("stderr"));
    };
    ends(false);
    let first = dataset(&sandbox, "home");
    for _ in 0..3 {
        run.grow_old();
        fs::write(only_run(&sandbox, "home").join("cluster/stop"), "").expect("written");
        ends(true);
        assert!(dataset(&sandbox, "home") == first, "other bytes");
    }
}

/// A run that is to be killed.
#[derive(Clone, Copy)]
struct Killed<'a> {
    sandbox: &'a Sandbox,
    spread: Spread,
    home: &'a str,
    /// How often it is killed at most.
    kills: u32,
    /// How long it takes undisturbed.
    length: Duration,
}

impl Killed<'_> {
    /// Starts it until it ends; gives its folder, and how often it was killed.
    fn run_to_its_end(&self, random: &mut Random) -> (PathBuf, u32) {
        let (mut killed, mut resume) = (0, false);
        loop {
            self.grow_old();
            let mut attempt = Attempt::start(self, resume);
            if killed < self.kills {
                // Processes that wait for each other do nothing that could go wrong.
                if self.spread.len() > 1 && random.chance(0.8) {
                    attempt.is_at_work_when(|| self.have_met());
                }
                // Most files are written early.
                let moment = self.length.mul_f64(random.unit().powi(2));
                let begun = Instant::now();
                let is_at_work = attempt.is_at_work_when(|| begun.elapsed() >= moment);
                killed += u32::from(is_at_work && self.kill(&mut attempt, random));
            }
            let codes = attempt.wait_for_the_end();
            match codes[0] {
                Some(0) => return (self.folder(), killed),
                // Killed, or its peer was. A person who does not resume begins another run.
                None | Some(33) => resume = self.has_begun() && random.chance(0.8),
                _ => panic!("{codes:?}: {}", self.said("stderr")),
            }
        }
    }

    /// Kills all its processes, or one: then the other ends by itself.
    fn kill(&self, attempt: &mut Attempt, random: &mut Random) -> bool {
        let mut victims: Vec<usize> = (0..attempt.0.len()).collect();
        let one = random.below(3) as usize;
        // One that never met the other waits a minute for it.
        if victims.len() == 2 && one < 2 && self.have_met() {
            victims = vec![one];
        }
        for &victim in &victims {
            attempt.0[victim].kill().expect("SIGKILL");
        }
        let codes = attempt.wait_for_the_end();
        for (number, code) in codes.iter().enumerate().filter(|(i, _)| !victims.contains(i)) {
            assert!(
                matches!(code, Some(0 | 33)),
                "process {number} ended with {code:?}: {}",
                self.said("stderr")
            );
        }
        codes.contains(&None)
    }

    fn runs(&self) -> Vec<PathBuf> {
        let runs = fs::read_dir(self.sandbox.path(self.home).join("runs"));
        runs.into_iter().flatten().flatten().map(|run| run.path()).collect()
    }

    /// There is a run to resume: one that was not killed before it had written what it is.
    fn has_begun(&self) -> bool {
        self.runs().iter().any(|run| run.join("plan.json").is_file())
    }

    /// Heartbeats of the cluster's processes.
    fn hearts(&self) -> Vec<PathBuf> {
        let names = ["cluster/process-0", "cluster/process-1"];
        let hearts = |run: &PathBuf| names.map(|name| run.join(name));
        self.runs().iter().flat_map(hearts).filter(|heart| heart.is_file()).collect()
    }

    fn have_met(&self) -> bool {
        let beats = |heart: &PathBuf| {
            let modified = fs::metadata(heart).and_then(|metadata| metadata.modified());
            modified.is_ok_and(|modified| modified != SystemTime::UNIX_EPOCH)
        };
        self.hearts().iter().filter(|heart| beats(heart)).count() == 2
    }

    /// A person comes back much later.
    fn grow_old(&self) {
        for heart in self.hearts() {
            let file = File::options().append(true).open(heart).expect("a file");
            file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
        }
    }

    /// The folder that the first process names at its end.
    fn folder(&self) -> PathBuf {
        let (stdout, stderr) = (self.said("stdout0"), self.said("stderr0"));
        let summary = summary(&Ended { code: 0, stdout, stderr });
        self.sandbox.path(summary["run"].as_str().expect("a path"))
    }

    /// What the processes wrote to files whose names begin so.
    fn said(&self, what: &str) -> String {
        let names = ["stdout0", "stderr0", "stdout1", "stderr1"];
        let names = names.into_iter().filter(|name| name.starts_with(what));
        names.filter_map(|name| fs::read_to_string(self.sandbox.path(name)).ok()).collect()
    }
}

/// The processes of a run at work; none outlives this.
struct Attempt(Vec<Child>);

impl Attempt {
    fn start(run: &Killed<'_>, resume: bool) -> Self {
        write_hosts(run.sandbox);
        let file = |name: String| File::create(run.sandbox.path(&name)).expect("a file");
        let fixed = ["--home", run.home, "run", "prepare.toml", "--format", "json"];
        let flags: &[&str] = if resume { &["--resume"] } else { &[] };
        let start = |(number, own): (usize, &&[&str])| {
            let arguments = [&fixed[..], &["--commit-every", "0"], flags, own].concat();
            let mut command = run.sandbox.command(env!("CARGO_BIN_EXE_voxflow"), &arguments);
            command.stdout(file(format!("stdout{number}"))).stderr(file(format!("stderr{number}")));
            if number > 0 {
                // One that does not find the first there tries again after a second.
                std::thread::sleep(Duration::from_millis(100));
            }
            command.spawn().expect("the program starts")
        };
        Self(run.spread.iter().enumerate().map(start).collect())
    }

    /// Waits for the moment, or the end; says whether a process is still at work.
    fn is_at_work_when(&mut self, is_due: impl Fn() -> bool) -> bool {
        loop {
            let ended = |process: &mut Child| process.try_wait().expect("a status").is_some();
            if self.0.iter_mut().all(ended) {
                return false;
            }
            if is_due() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The exit code of each process; `None` of a killed one.
    fn wait_for_the_end(&mut self) -> Vec<Option<i32>> {
        let begun = Instant::now();
        let is_hanging = self.is_at_work_when(|| begun.elapsed() >= Duration::from_secs(120));
        assert!(!is_hanging, "it does not end");
        let codes = self.0.iter_mut().map(|process| process.wait().expect("a status"));
        codes.map(|status| status.code()).collect()
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        for process in &mut self.0 {
            // One that has ended cannot be killed.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A run left what another did, but for what it took.
fn compare(undisturbed: &Path, run: &Path, what: &str) {
    let names = |folder: &Path| {
        let names = bytes(folder).into_keys().filter(|name| !name.starts_with("cluster"));
        names.collect::<BTreeSet<PathBuf>>()
    };
    assert_eq!(names(undisturbed), names(run), "{what}");
    let dataset = |run: &Path| bytes(&run.join("dataset"));
    assert!(dataset(undisturbed) == dataset(run), "other rows: {what}");
    if cfg!(feature = "train") {
        compare_checkpoints(undisturbed, run, what);
    }
}

fn compare_checkpoints(undisturbed: &Path, run: &Path, what: &str) {
    let last = |run: &Path| bytes(&run.join("train/epoch-0002"));
    let (undisturbed, run) = (last(undisturbed), last(run));
    for name in ["weights.safetensors", "optimizers.safetensors"] {
        assert!(undisturbed[Path::new(name)] == run[Path::new(name)], "other {name}: {what}");
    }
}

/// All in the store is what was written, and what a dead process left there is gone for good.
fn check_store(sandbox: &Sandbox, home: &str) {
    sandbox.succeed(&["--home", home, "store", "verify"]);
    sandbox.succeed(&["--home", home, "store", "gc"]);
    let again = sandbox.succeed(&["--home", home, "store", "gc"]);
    assert!(again.starts_with("0 files"), "{again}");
}

/// A run of the preparation: one that must succeed, and its summary.
fn prepare(sandbox: &Sandbox, home: &str, more: &[&str]) -> serde_json::Value {
    let ended = try_to_prepare(sandbox, home, more);
    assert_eq!(ended.code, 0, "{more:?}: {ended:?}");
    summary(&ended)
}

fn try_to_prepare(sandbox: &Sandbox, home: &str, more: &[&str]) -> Ended {
    let fixed = ["--home", home, "run", "prepare.toml", "--commit-every", "0", "--format", "json"];
    sandbox.run(&[&fixed[..], more].concat())
}

#[test]
fn a_disk_that_is_full_while_rows_are_made_stops_the_run_and_the_next_makes_the_rest() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    prepare(&sandbox, "home", &["--set", "count=40"]);
    // The pictures of a part take more, other rows do not.
    let fixed = ["--home", "home", "run", "prepare.toml", "--commit-every", "0"];
    let ended = sandbox.run_with_room(12 << 10, &fixed);
    assert_eq!(ended.code, 30, "{ended:?}");
    for wanted in ["cannot write", "File too large", "home/store/tmp/"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in {ended:?}");
    }
    sandbox.succeed(&["--home", "home", "store", "verify"]);
    let rest = prepare(&sandbox, "home", &["--resume"]);
    assert!((1..=40).contains(&made(&rest, "views")), "those of the first run stay: {rest}");
    prepare(&sandbox, "fresh", &[]);
    let run = sandbox.path(rest["run"].as_str().expect("a path"));
    assert!(bytes(&run.join("dataset")) == dataset(&sandbox, "fresh"), "other bytes");
    check_store(&sandbox, "home");
}

#[test]
fn a_disk_that_is_full_while_a_data_set_is_written_leaves_the_old_one() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    prepare(&sandbox, "home", &[]);
    let before = dataset(&sandbox, "home");
    let in_one_file = ["--set", "dataset.rows_per_file=80"];
    let fixed = ["--home", "home", "run", "prepare.toml", "--resume"];
    let ended = sandbox.run_with_room(128 << 10, &[&fixed[..], &in_one_file].concat());
    assert_eq!(ended.code, 30, "{ended:?}");
    for wanted in ["cannot write", "File too large", "/dataset.partial/train/part-00000.parquet"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in {ended:?}");
    }
    let run = only_run(&sandbox, "home");
    assert!(!run.join("dataset.partial").exists() && dataset(&sandbox, "home") == before);
    let rest = prepare(&sandbox, "home", &[&["--resume"], &in_one_file[..]].concat());
    assert_eq!(["voxels", "views", "poses"].map(|id| made(&rest, id)), [0, 0, 0]);
    prepare(&sandbox, "fresh", &in_one_file);
    assert!(dataset(&sandbox, "home") == dataset(&sandbox, "fresh"), "other bytes");
    check_store(&sandbox, "home");
}

#[cfg(feature = "train")]
#[test]
fn a_disk_that_is_full_while_a_checkpoint_is_written_leaves_none_that_is_half() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    prepare(&sandbox, "home", &[]);
    sandbox.write("prepare.toml", format!("{PREPARATION}\n{TRAINING}"));
    // Weights have room there, the states of the optimisers have not.
    let fixed = ["--home", "home", "run", "prepare.toml", "--resume"];
    let ended = sandbox.run_with_room(160 << 10, &fixed);
    assert_eq!(ended.code, 30, "{ended:?}");
    assert!(ended.stderr.contains("optimizers.safetensors"), "{ended:?}");
    let run = only_run(&sandbox, "home");
    assert!(!run.join("train/epoch-0001").exists());
    prepare(&sandbox, "home", &["--resume"]);
    prepare(&sandbox, "fresh", &[]);
    compare(&only_run(&sandbox, "fresh"), &run, "after a full disk");
}

#[test]
fn an_input_that_cannot_be_read_is_refused_and_is_made_once_it_can() {
    let sandbox = Sandbox::new();
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    for i in 1..4 {
        let mesh = TETRAHEDRON_OFF.replace("1 0 0", &format!("{i} 0 0"));
        sandbox.write(&format!("meshes/a/m{i}.off"), mesh);
    }
    let path = sandbox.path("meshes/a/bad.off");
    symlink(UNREADABLE, &path).expect("a link");
    let run = |home: &str| {
        let set = ["--set", "root=meshes", "--set", "voxels.resolution=8", "--format", "json"];
        sandbox.run(&[&["--home", home, "run", &pipeline], &set[..]].concat())
    };
    let ended = run("home");
    assert_eq!(ended.code, 20, "{ended:?}");
    let first = summary(&ended);
    assert_eq!((&first["rows_out"], &first["refused"]), (&3.into(), &1.into()));
    let table = sandbox.path(first["run"].as_str().expect("a path")).join("refusal.parquet");
    let row = sandbox.succeed(&["inspect", &table.display().to_string(), "--rows", "1"]);
    for wanted in ["meshes", "unreadable", "Input/output error", "a/bad.off"] {
        assert!(row.contains(wanted), "{wanted} is not in\n{row}");
    }
    fs::remove_file(&path).expect("removed");
    fs::write(&path, TETRAHEDRON_OFF.replace("1 0 0", "9 0 0")).expect("written");
    let ended = run("home");
    assert_eq!(ended.code, 0, "{ended:?}");
    let second = summary(&ended);
    assert_eq!(made(&second, "voxels"), 1, "{second}");
    assert_eq!(run("fresh").code, 0);
    let run = sandbox.path(second["run"].as_str().expect("a path"));
    assert!(bytes(&run.join("dataset")) == dataset(&sandbox, "fresh"), "other bytes");
}

/// A tetrahedron as glTF whose buffer is the file `name`, and that buffer.
fn gltf(name: &str) -> (String, Vec<u8>) {
    let corners = [[0f32, 0., 0.], [1., 0., 0.], [0., 1., 0.], [0., 0., 1.]];
    let faces = [0u16, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3];
    let corners = corners.as_flattened().iter().flat_map(|number| number.to_le_bytes());
    let buffer: Vec<u8> = corners.chain(faces.into_iter().flat_map(u16::to_le_bytes)).collect();
    let document = json!({
        "asset": { "version": "2.0" },
        "scene": 0,
        "scenes": [{ "nodes": [0] }],
        "nodes": [{ "mesh": 0 }],
        "meshes": [{ "primitives": [{ "attributes": { "POSITION": 0 }, "indices": 1 }] }],
        "buffers": [{ "uri": name, "byteLength": 72 }],
        "bufferViews": [
            { "buffer": 0, "byteOffset": 0, "byteLength": 48 },
            { "buffer": 0, "byteOffset": 48, "byteLength": 24 },
        ],
        "accessors": [
            { "bufferView": 0, "componentType": 5126, "count": 4, "type": "VEC3",
              "min": [0, 0, 0], "max": [1, 1, 1] },
            { "bufferView": 1, "componentType": 5123, "count": 12, "type": "SCALAR" },
        ],
    });
    (document.to_string(), buffer)
}

#[test]
fn a_buffer_that_cannot_be_read_or_is_missing_is_noticed_when_it_can() {
    let sandbox = Sandbox::new();
    let (document, buffer) = gltf("m.bin");
    sandbox.write("meshes/a/m.gltf", document);
    sandbox.write("meshes/a/other.off", TETRAHEDRON_OFF);
    let path = sandbox.path("meshes/a/m.bin");
    symlink(UNREADABLE, &path).expect("a link");
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let run = || {
        let set = ["--set", "root=meshes", "--allow-refused", "1"];
        sandbox.succeed(&[&["--home", "home", "run", &pipeline], &set[..]].concat())
    };
    let said = run();
    assert!(said.contains("refused by meshes: unreadable"), "{said}");
    assert!(said.contains("a/m: cannot read: Input/output error (os error 5): a/m.bin"), "{said}");
    fs::remove_file(&path).expect("removed");
    let said = run();
    assert!(said.contains("refused by decode_mesh: missing_file"), "{said}");
    fs::write(&path, buffer).expect("written");
    let said = run();
    assert!(said.contains("2 samples in, 2 out (2 train), 0 refused"), "{said}");
}

/// A home with all rows, and a shard of one of its stages, one of several.
struct Prepared {
    sandbox: Sandbox,
    /// The rows of the shard.
    rows: PathBuf,
    /// Their keys.
    keys: PathBuf,
}

impl Prepared {
    fn new() -> Self {
        let sandbox = Sandbox::new();
        sandbox.write("prepare.toml", PREPARATION);
        prepare(&sandbox, "home", &[]);
        let shards = files_below(&sandbox.path("home/store/rows"), ".shard");
        let is_of_views = |shard: &&PathBuf| {
            let stage = fs::read_to_string(shard.with_file_name("stage.json")).expect("a stage");
            stage.contains("\"render_views\"")
        };
        let of_views: Vec<_> = shards.iter().filter(is_of_views).collect();
        assert!(of_views.len() > 1, "{shards:?}");
        let keys = of_views[0].clone();
        Self { sandbox, rows: keys.with_extension("parquet"), keys }
    }

    /// A run that needs all rows: its data set has other files.
    fn run(&self, home: &str) -> Ended {
        try_to_prepare(&self.sandbox, home, &["--set", "dataset.row_group_rows=8"])
    }

    fn verify(&self, more: &[&str]) -> Ended {
        self.sandbox.run(&[&["--home", "home", "store", "verify"], more].concat())
    }

    /// The store says that a file is damaged.
    fn is_told(&self, file: &Path) {
        let ended = self.verify(&[]);
        let name = file.file_name().expect("a name").to_string_lossy();
        assert!(ended.code == 40 && ended.stderr.contains(&*name), "{name}: {ended:?}");
    }

    /// A run makes the rows of the shard again, and no others.
    fn is_made_again(&self) -> Ended {
        let ended = self.run("home");
        assert_eq!(ended.code, 0, "{ended:?}");
        let summary = summary(&ended);
        let made = ["voxels", "views", "poses"].map(|id| made(&summary, id));
        assert!(made[0] == 0 && made[2] == 0 && (1..80).contains(&made[1]), "{made:?}");
        assert_eq!(self.run("fresh").code, 0);
        let run = self.sandbox.path(summary["run"].as_str().expect("a path"));
        assert!(bytes(&run.join("dataset")) == dataset(&self.sandbox, "fresh"), "other bytes");
        ended
    }

    /// Nothing is left of the damage.
    fn is_whole_again(&self) {
        self.verify(&["--set-aside"]);
        check_store(&self.sandbox, "home");
    }
}

/// A shard whose rows are damaged is set aside by the run that needs them.
fn damage_rows(damage: impl Fn(&Path)) {
    let prepared = Prepared::new();
    damage(&prepared.rows);
    prepared.is_told(&prepared.rows);
    let ended = prepared.run("home");
    assert_eq!(ended.code, 30, "{ended:?}");
    let name = prepared.rows.file_name().expect("a name").to_string_lossy();
    assert!(ended.stderr.contains("damaged and was set aside"), "{ended:?}");
    assert!(ended.stderr.contains(&*name), "{name} is not in {ended:?}");
    prepared.is_made_again();
    prepared.is_whole_again();
}

/// A shard whose keys are damaged is passed over.
fn damage_keys(damage: impl Fn(&Path)) {
    let prepared = Prepared::new();
    damage(&prepared.keys);
    prepared.is_told(&prepared.keys);
    let ended = prepared.is_made_again();
    assert!(ended.stderr.contains("damaged and passed over"), "{ended:?}");
    prepared.is_whole_again();
}

fn remove(file: &Path) {
    fs::remove_file(file).expect("removed");
}

fn cut_short(file: &Path) {
    let len = fs::metadata(file).expect("a file").len();
    let file = File::options().write(true).open(file).expect("writable");
    file.set_len(len / 2).expect("writable");
}

fn flip_a_bit(file: &Path) {
    let mut bytes = fs::read(file).expect("read");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(file, bytes).expect("written");
}

fn make_unreadable(file: &Path) {
    remove(file);
    symlink(UNREADABLE, file).expect("a link");
}

#[test]
fn a_shard_whose_rows_are_gone_is_made_again() {
    damage_rows(remove);
}

#[test]
fn a_shard_whose_rows_are_cut_short_is_made_again() {
    damage_rows(cut_short);
}

#[test]
fn a_shard_whose_rows_have_another_bit_is_made_again() {
    damage_rows(flip_a_bit);
}

#[test]
fn a_shard_whose_rows_cannot_be_read_is_made_again() {
    damage_rows(make_unreadable);
}

#[test]
fn a_shard_whose_keys_are_cut_short_is_made_again() {
    damage_keys(cut_short);
}

#[test]
fn a_shard_whose_keys_have_another_bit_is_made_again() {
    damage_keys(flip_a_bit);
}

#[test]
fn a_shard_without_keys_does_not_count_and_is_made_again() {
    let prepared = Prepared::new();
    remove(&prepared.keys);
    assert_eq!(prepared.verify(&[]).code, 0);
    prepared.is_made_again();
    prepared.is_whole_again();
}

#[test]
fn a_shard_whose_keys_cannot_be_read_stops_runs_until_it_is_set_aside() {
    let prepared = Prepared::new();
    make_unreadable(&prepared.keys);
    let ended = prepared.run("home");
    assert_eq!(ended.code, 30, "{ended:?}");
    let name = prepared.keys.file_name().expect("a name").to_string_lossy();
    for wanted in [&*name, "voxflow store verify --set-aside"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in {ended:?}");
    }
    prepared.is_told(&prepared.keys);
    assert_eq!(prepared.verify(&["--set-aside"]).code, 40);
    prepared.is_made_again();
    prepared.is_whole_again();
}

#[test]
fn lifted_refusals_that_cannot_be_read_stop_runs_until_they_are_set_aside() {
    let sandbox = Sandbox::new();
    sandbox.write("meshes/a/good.off", TETRAHEDRON_OFF);
    sandbox.write("meshes/a/torn.off", "OFF\n4 4 6\n0 0");
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let fixed = ["--home", "home", "run", &pipeline, "--set", "root=meshes"];
    let run = || sandbox.run(&[&fixed[..], &["--set", "voxels.resolution=8"]].concat());
    assert_eq!(run().code, 20);
    assert_eq!(sandbox.run(&["--home", "home", "retry"]).code, 20);
    let lifted = files_below(&sandbox.path("home/store/rows"), ".lifted");
    assert_eq!(lifted.len(), 1, "{lifted:?}");
    make_unreadable(&lifted[0]);
    let ended = run();
    assert_eq!(ended.code, 30, "{ended:?}");
    let name = lifted[0].file_name().expect("a name").to_string_lossy();
    for wanted in [&*name, "voxflow store verify --set-aside"] {
        assert!(ended.stderr.contains(wanted), "{wanted} is not in {ended:?}");
    }
    let ended = sandbox.run(&["--home", "home", "store", "verify", "--set-aside"]);
    assert!(ended.code == 40 && ended.stderr.contains(&*name), "{ended:?}");
    assert_eq!(run().code, 20, "the sample is refused as it was");
    check_store(&sandbox, "home");
}

/// Changes a file as a bad disk does: its times stay.
fn rot(file: &Path, change: impl Fn(&mut [u8])) {
    let modified = fs::metadata(file).and_then(|metadata| metadata.modified()).expect("a time");
    let mut bytes = fs::read(file).expect("read");
    change(&mut bytes);
    let mut permissions = fs::metadata(file).expect("a file").permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o644);
    fs::set_permissions(file, permissions).expect("allowed");
    fs::write(file, bytes).expect("written");
    let file = File::options().append(true).open(file).expect("writable");
    file.set_modified(modified).expect("a time");
}

#[test]
fn a_flipped_bit_in_a_file_of_a_data_set_is_found_by_verify_and_set_aside() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    prepare(&sandbox, "home", &[]);
    let fresh = dataset(&sandbox, "home");
    let run = only_run(&sandbox, "home");
    rot(&run.join("dataset/val/part-00000.parquet"), |bytes| bytes[4000] ^= 1);
    let ended = sandbox.run(&["--home", "home", "verify"]);
    assert!(ended.code == 40 && ended.stderr.contains("val/part-00000.parquet"), "{ended:?}");
    let verify =
        |more: &[&str]| sandbox.run(&[&["--home", "home", "store", "verify"], more].concat());
    let ended = verify(&["--set-aside"]);
    assert!(ended.code == 40 && ended.stderr.contains("data sets that link to it"), "{ended:?}");
    prepare(&sandbox, "home", &["--resume"]);
    assert!(dataset(&sandbox, "home") == fresh, "it is linked again");
    check_store(&sandbox, "home");
}

#[cfg(feature = "train")]
#[test]
fn a_data_set_that_cannot_be_read_ends_a_training_with_its_name() {
    let sandbox = Sandbox::new();
    sandbox.write("prepare.toml", PREPARATION);
    prepare(&sandbox, "home", &[]);
    let run = only_run(&sandbox, "home");
    // The end of the file says where all else is.
    rot(&run.join("dataset/val/part-00000.parquet"), |bytes| {
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
    });
    sandbox.write("prepare.toml", format!("{PREPARATION}\n{TRAINING}"));
    let ended = try_to_prepare(&sandbox, "home", &["--resume"]);
    assert_eq!(ended.code, 30, "{ended:?}");
    assert!(ended.stderr.contains("dataset/val/part-00000.parquet"), "{ended:?}");
}

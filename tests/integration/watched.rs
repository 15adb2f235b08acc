//! `watch`, told of changes by the system: what it keeps is what a run from nothing makes.

use std::fs;
use std::io::BufRead;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::{Duration, Instant};

use voxflow_contract::Random;

use crate::program::{Sandbox, TETRAHEDRON_OFF, bytes, dataset, only_run, shipped};

/// How long nothing must be told before what there is counts.
const QUIET: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(120);

/// A pipeline of lists: they are split and kept.
const LISTED: &str = "[pipeline]\nname = \"listed\"\n[[stage]]\nid = \"list\"\nuse = \"manifest\"\nfile = \"lists\"\n\
    [[stage]]\nuse = \"split\"\n[[stage]]\nid = \"dataset\"\nuse = \"parquet\"\n\
    from = [\"list\", \"split\"]\nrows_per_file = 8\n";

/// A `watch` that looks at nothing unless it is told of it.
pub(crate) struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    pub(crate) fn start(sandbox: &Sandbox, arguments: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_voxflow"))
            .args(["--home", "home", "watch"])
            .args(arguments)
            .args(["--every-ms", "3600000", "--workers", "2", "--format", "json"])
            .current_dir(sandbox.path("."))
            .stdout(Stdio::piped())
            .stderr(fs::File::create(sandbox.path("stderr")).expect("a file"))
            .spawn()
            .expect("the program starts");
        let out = child.stdout.take().expect("a pipe");
        let (sender, lines) = sync_channel(1000);
        let read = move || {
            for line in std::io::BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        };
        std::thread::Builder::new().name("lines".to_owned()).spawn(read).expect("a thread");
        let watching = Self { child, lines };
        watching.lines.recv_timeout(PATIENCE).expect("a first revision");
        watching
    }

    /// Waits until `is_there` says so, whenever nothing was told for a while.
    pub(crate) fn wait_until(&mut self, is_there: impl Fn() -> bool) {
        let begun = Instant::now();
        loop {
            if self.lines.recv_timeout(QUIET).is_err() && is_there() {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "another data set than that of a fresh run");
            assert!(self.child.try_wait().expect("a state").is_none(), "it ended");
        }
    }
}

impl Watching {
    /// Waits until it ended by itself; gives its exit code.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        while self.lines.recv_timeout(PATIENCE).is_ok() {}
        self.child.wait().expect("a state").code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn edit(sandbox: &Sandbox, random: &mut Random, round: usize) {
    let mut file = || {
        let class = ["cup", "bowl", "cup/small"][random.below(3) as usize];
        let extension = ["off", "off", "off", "OFF"][random.below(4) as usize];
        sandbox.path(&format!("meshes/{class}/m{}.{extension}", random.below(20)))
    };
    let (one, other): (PathBuf, PathBuf) = (file(), file());
    let content = TETRAHEDRON_OFF.replace("1 0 0", &format!("{} 0 0", 1 + random.below(40)));
    let content = if random.below(8) == 0 { "OFF\n4 4 6\n0 0".to_owned() } else { content };
    let folder = sandbox.path(&format!("meshes/moved{round}"));
    // Edits of what is not there change nothing.
    let _ = match random.below(6) {
        0 => fs::remove_file(&one),
        1 => fs::rename(&one, &other),
        2 => fs::copy(&one, &other).map(drop),
        3 if round.is_multiple_of(3) => fs::rename(sandbox.path("meshes/cup/small"), folder),
        _ => {
            fs::create_dir_all(one.parent().expect("a parent")).expect("writable");
            fs::write(&one, content)
        }
    };
}

#[test]
fn after_any_edits_of_files_and_folders_it_is_the_data_set_of_a_fresh_run() {
    let sandbox = Sandbox::new();
    for i in 0..30 {
        let class = ["cup", "bowl", "cup/small"][i % 3];
        let mesh = TETRAHEDRON_OFF.replace("1 0 0", &format!("{} 0 0", 1 + i / 2));
        sandbox.write(&format!("meshes/{class}/m{i}.off"), mesh);
    }
    let pipeline = shipped("pipelines/meshes-to-voxels.toml");
    let set = ["root=meshes", "voxels.resolution=8", "dataset.rows_per_file=5"];
    let arguments = [&*pipeline, "--set", set[0], "--set", set[1], "--set", set[2]];
    let mut watching = Watching::start(&sandbox, &arguments);
    let run = only_run(&sandbox, "home");
    let mut random = Random::new(11, &["watched"]);
    for round in 0..8 {
        (0..1 + random.below(6)).for_each(|_| edit(&sandbox, &mut random, round));
        let home = format!("fresh{round}");
        let fresh = [&["--home", &home, "run"], &arguments[..], &["--allow-refused", "100%"]];
        assert_eq!(sandbox.run(&fresh.concat()).code, 0, "round {round}");
        let wanted = dataset(&sandbox, &home);
        watching.wait_until(|| bytes(&run.join("dataset")) == wanted);
        let inputs = bytes(&only_run(&sandbox, &home).join("inputs/meshes"));
        assert!(bytes(&run.join("inputs/meshes")) == inputs, "round {round}: other inputs");
        let name = run.file_name().expect("a name").to_string_lossy().into_owned();
        let verified = sandbox.run(&["--home", "home", "verify", &name]);
        assert_eq!(verified.code, 0, "round {round}: {verified:?}");
    }
    drop(watching);
    let again = [&["--home", "home", "run"], &arguments[..], &["--format", "json"]].concat();
    let again = [&again[..], &["--allow-refused", "100%"]].concat();
    let ended = sandbox.run(&again);
    let summary = crate::program::summary(&ended);
    let reused = |id| &crate::program::stage(&summary, id)["reused"];
    assert_eq!(reused("dataset"), &summary["rows_out"], "its files are used again: {summary}");
}

#[test]
fn lists_are_kept_up_to_date_too() {
    let sandbox = Sandbox::new();
    let line = |i: usize, text: &str| {
        format!("{{\"sample\":\"s{i:03}\",\"category\":\"c{}\",\"text\":\"{text}\"}}\n", i % 2)
    };
    let list =
        |from: usize, text: &str| (from..from + 20).map(|i| line(i, text)).collect::<String>();
    for n in 0..3 {
        sandbox.write(&format!("lists/{n}.jsonl"), list(20 * n, "1"));
    }
    sandbox.write("listed.toml", LISTED);
    let mut watching = Watching::start(&sandbox, &["listed.toml"]);
    let run = only_run(&sandbox, "home");
    for round in 0..3 {
        match round {
            0 => drop(sandbox.write("lists/1.jsonl", list(20, "2").replacen("\"2\"", "\"x\"", 1))),
            1 => fs::remove_file(sandbox.path("lists/0.jsonl")).expect("removed"),
            _ => drop(sandbox.write("lists/9.jsonl", list(100, "9"))),
        }
        let home = format!("fresh{round}");
        assert_eq!(sandbox.run(&["--home", &home, "run", "listed.toml"]).code, 0);
        let wanted = dataset(&sandbox, &home);
        watching.wait_until(|| bytes(&run.join("dataset")) == wanted);
    }
}

#[test]
fn a_list_that_is_half_written_is_told_and_looked_at_again() {
    let sandbox = Sandbox::new();
    let line = |i: usize, text: &str| {
        format!("{{\"sample\":\"s{i}\",\"category\":\"c\",\"text\":\"{text}\"}}\n")
    };
    sandbox.write("lists/0.jsonl", (0..8).map(|i| line(i, "1")).collect::<String>());
    sandbox.write("lists/1.jsonl", (8..16).map(|i| line(i, "1")).collect::<String>());
    sandbox.write("listed.toml", LISTED);
    let mut watching = Watching::start(&sandbox, &["listed.toml"]);
    let run = only_run(&sandbox, "home");
    let before = bytes(&run.join("dataset"));
    let whole = (8..16).map(|i| line(i, "2")).collect::<String>();
    sandbox.write("lists/1.jsonl", &whole[..whole.len() - 9]);
    let begun = Instant::now();
    let told = || fs::read_to_string(sandbox.path("stderr")).expect("text");
    while !told().contains("lists/1.jsonl") {
        assert!(begun.elapsed() < PATIENCE, "nothing is told");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(told().contains("nothing is done until that is mended"), "{}", told());
    watching.wait_until(|| bytes(&run.join("dataset")) == before);
    sandbox.write("lists/1.jsonl", &whole);
    assert_eq!(sandbox.run(&["--home", "fresh", "run", "listed.toml"]).code, 0);
    let wanted = dataset(&sandbox, "fresh");
    watching.wait_until(|| bytes(&run.join("dataset")) == wanted);
}

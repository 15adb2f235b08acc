//! One run of a program: with a time limit, and with a few words on how it failed.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::Deserialize;
use voxflow_contract::Fault;

/// Bytes of stderr that are read, from its end.
const STDERR_BYTES: u64 = 1 << 20;
/// Characters of stderr that a refusal quotes.
const QUOTED: usize = 400;
/// How long to wait at most before looking again whether the program has ended.
const POLL: Duration = Duration::from_millis(20);

/// How to run a program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    /// Time that one run may take.
    pub(crate) limit: Duration,
    /// Address space that it may use, in MiB.
    pub(crate) memory_mib: Option<u32>,
    pub(crate) passes: Passes,
}

/// How rows come to a program and go from it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Passes {
    /// As two Parquet files, whose paths are arguments.
    #[default]
    Parquet,
    /// As Arrow IPC streams, on standard input and output.
    Arrow,
}

impl Program {
    /// Runs it on the files `from` and `to` in `folder`, and gives what it said on stderr.
    ///
    /// # Errors
    /// When it cannot be started, takes too long, or ends with another code than 0.
    pub(crate) fn run(&self, folder: &Path, from: &Path, to: &Path) -> Result<String, Fault> {
        let said = folder.join("stderr");
        let begun = File::create(&said).and_then(|stderr| {
            let (stdin, stdout) = match self.passes {
                Passes::Parquet => (Stdio::null(), Stdio::null()),
                Passes::Arrow => (File::open(from)?.into(), File::create(to)?.into()),
            };
            self.command(from, to).stdin(stdin).stdout(stdout).stderr(stderr).spawn()
        });
        let mut child = begun.map_err(|e| {
            Fault::new("program_start", format!("cannot start `{}`: {e}", self.name))
        })?;
        let ended = self.wait(&mut child);
        let text = last_text(&said).unwrap_or_default();
        match ended {
            Ok(Some(status)) if status.success() => Ok(text),
            Ok(Some(status)) => {
                let message = format!("`{}` ended with {status}{}", self.name, quote(&text));
                Err(Fault::new("program_failed", message))
            }
            Ok(None) => {
                let seconds = self.limit.as_secs_f64();
                let message =
                    format!("`{}` took longer than {seconds} s{}", self.name, quote(&text));
                Err(Fault::new("time_limit", message))
            }
            Err(e) => {
                Err(Fault::new("program_failed", format!("cannot wait for `{}`: {e}", self.name)))
            }
        }
    }

    /// The command line. The shell sets the limit of memory, then becomes the program.
    fn command(&self, from: &Path, to: &Path) -> Command {
        let mut command = match self.memory_mib {
            Some(mib) => {
                let mut command = Command::new("sh");
                let limited = format!("ulimit -v {} && exec \"$@\"", u64::from(mib) * 1024);
                command.args(["-c", &limited, "sh", &self.name]);
                command
            }
            None => Command::new(&self.name),
        };
        let mentions = |argument: &String| argument.contains("{in}") || argument.contains("{out}");
        let (from, to) = (from.display().to_string(), to.display().to_string());
        for argument in &self.arguments {
            command.arg(argument.replace("{in}", &from).replace("{out}", &to));
        }
        if self.passes == Passes::Parquet && !self.arguments.iter().any(mentions) {
            command.args([&from, &to]);
        }
        command
    }

    /// Waits for the end; `None` when the time was over and it was killed.
    fn wait(&self, child: &mut Child) -> io::Result<Option<ExitStatus>> {
        let begun = Instant::now();
        let mut pause = Duration::from_micros(200);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Some(status));
            }
            if begun.elapsed() >= self.limit {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(POLL);
        }
    }
}

fn last_text(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(STDERR_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(STDERR_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The end of what a program said, on one line.
fn quote(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    let skipped = line.chars().count().saturating_sub(QUOTED);
    let end: String = line.chars().skip(skipped).collect();
    match (end.is_empty(), skipped) {
        (true, _) => String::new(),
        (false, 0) => format!(": {end}"),
        (false, _) => format!(": …{end}"),
    }
}

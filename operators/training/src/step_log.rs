//! The losses of every step, one JSON object a line: to compare devices and to plot.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use voxflow_contract::MachineFault;

use crate::step::StepLosses;

/// Name of the file in the stage's folder.
pub(crate) const FILE: &str = "losses.jsonl";

/// An open log.
pub(crate) struct StepLog {
    file: File,
    path: PathBuf,
}

impl StepLog {
    /// Opens the log and keeps the lines of the first `steps` steps of an earlier run.
    pub(crate) fn open(folder: &Path, steps: u64) -> Result<Self, MachineFault> {
        let path = folder.join(FILE);
        let earlier =
            if steps > 0 { fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let kept: String = earlier
            .lines()
            .filter(|line| step_of(line).is_some_and(|step| step <= steps))
            .map(|line| format!("{line}\n"))
            .collect();
        let open = || {
            let mut file = File::create(&path)?;
            file.write_all(kept.as_bytes())?;
            Ok(file)
        };
        let file = open().map_err(|e| MachineFault::io("write", &path, e))?;
        Ok(Self { file, path })
    }

    /// Adds a line.
    pub(crate) fn write(
        &mut self,
        step: u64,
        epoch: u64,
        losses: &StepLosses,
    ) -> Result<(), MachineFault> {
        let mut line = serde_json::json!({ "step": step, "epoch": epoch });
        for (name, value) in losses.named() {
            line[name] = value.into();
        }
        writeln!(self.file, "{line}").map_err(|e| MachineFault::io("write", &self.path, e))
    }
}

fn step_of(line: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("step")?.as_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_after_the_checkpoint_are_written_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let losses = StepLosses {
            loss_d: 1.0,
            loss_g: 2.0,
            of_seen: Some([0.5, 0.25]),
            d_acc: 0.5,
            d_stepped: 1.0,
        };
        let write = |from: u64, steps: std::ops::RangeInclusive<u64>| {
            let mut log = StepLog::open(folder.path(), from).expect("open");
            steps.for_each(|step| log.write(step, 0, &losses).expect("written"));
        };
        write(0, 1..=4);
        write(2, 3..=3);
        let text = fs::read_to_string(folder.path().join(FILE)).expect("a file");
        let steps: Vec<_> = text.lines().filter_map(step_of).collect();
        assert_eq!(steps, [1, 2, 3]);
        assert!(text.starts_with(r#"{"step":1,"epoch":0,"loss_d":1.0,"#), "{text}");
    }
}

//! Where a training that was begun before goes on: from which checkpoint, counted as which epoch, and
//! what becomes of later ones.
//!
//! Going back makes the checkpoints of later epochs those of another course. They are set aside, not
//! removed: into a folder `.set-aside-1`, ... of the stage, which no command looks into.

use std::fs;
use std::path::{Path, PathBuf};

use voxflow_contract::{CheckpointChoice, GoOn, MachineFault, SetupFault};

use crate::checkpoint::{self, Checkpoint};

/// The checkpoint that is meant; none when there is none at all and none was asked for.
///
/// # Errors
/// When the one that was asked for is not there, with those that are, or is damaged; when all are.
pub(crate) fn find(folder: &Path, go_on: GoOn) -> Result<Option<Checkpoint>, SetupFault> {
    if go_on.from == CheckpointChoice::Latest {
        let newest = newest_whole(folder)?;
        return match (newest, go_on.start_epoch) {
            (None, Some(_)) => Err(checkpoint::none_in(folder)),
            (newest, _) => Ok(newest),
        };
    }
    let found = checkpoint::list(folder);
    if found.is_empty() {
        return Err(checkpoint::none_in(folder));
    }
    checkpoint::load(&checkpoint::pick(&found, go_on.from)?.path).map(Some)
}

/// The newest checkpoint whose hashes hold; none when there is none at all.
pub(crate) fn newest_whole(folder: &Path) -> Result<Option<Checkpoint>, SetupFault> {
    let mut damaged = None;
    for found in checkpoint::list(folder).iter().rev() {
        match checkpoint::load(&found.path) {
            Ok(checkpoint) => return Ok(Some(checkpoint)),
            Err(fault) => {
                tracing::warn!("{fault}");
                damaged.get_or_insert(fault);
            }
        }
    }
    damaged.map_or(Ok(None), Err)
}

/// Makes `found` the newest checkpoint: sets aside what it makes obsolete, and where it is counted as
/// another epoch writes it under that number. Notes in it what was done, unless it just goes on.
///
/// # Errors
/// When the disk fails. What was asked for can then be asked for again.
pub(crate) fn make_newest(
    folder: &Path,
    mut found: Checkpoint,
    go_on: GoOn,
) -> Result<Checkpoint, MachineFault> {
    if go_on == GoOn::LATEST {
        return Ok(found);
    }
    let epoch = found.manifest.epoch;
    let counted = go_on.start_epoch.map_or(epoch, |start| start.saturating_sub(1));
    let is_obsolete = |other: u64| other > epoch || (counted < epoch && other >= counted);
    let obsolete: Vec<_> = checkpoint::list(folder)
        .into_iter()
        .filter(|other| other.manifest.epoch != epoch && is_obsolete(other.manifest.epoch))
        .collect();
    if counted == epoch && obsolete.is_empty() {
        return Ok(found);
    }
    let aside = first_free(folder);
    for other in &obsolete {
        set_aside(&other.path, &aside)?;
    }
    let mut epochs: Vec<u64> = obsolete.iter().map(|other| other.manifest.epoch).collect();
    epochs.extend((counted < epoch).then_some(epoch));
    epochs.sort_unstable();
    found.manifest.went_on.push(sentence(epoch, counted, go_on.from, &epochs, &aside));
    if counted == epoch {
        return Ok(found);
    }
    renumber(&mut found, counted);
    checkpoint::save(folder, found.clone())?;
    // Last, so that until here the one that was asked for is still there.
    if counted < epoch {
        set_aside(&folder.join(checkpoint::folder_name(epoch)), &aside)?;
    }
    Ok(found)
}

/// Counts a checkpoint as one after `counted` epochs: its last record is that of `counted`, those of
/// that epoch and of later ones go.
fn renumber(found: &mut Checkpoint, counted: u64) {
    let history = &mut found.manifest.history;
    let last = history.pop();
    history.retain(|record| record.epoch < counted);
    history.extend(last.map(|record| checkpoint::EpochRecord { epoch: counted, ..record }));
    found.manifest.epoch = counted;
}

fn sentence(
    epoch: u64,
    counted: u64,
    from: CheckpointChoice,
    aside: &[u64],
    folder: &Path,
) -> String {
    let mut text = format!("from the checkpoint after epoch {epoch} ({})", String::from(from));
    if counted != epoch {
        text += &format!(", counted as epoch {counted}");
    }
    if !aside.is_empty() {
        let epochs: Vec<_> = aside.iter().map(u64::to_string).collect();
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        text += &format!("; those after epoch {} set aside in {folder}", epochs.join(", "));
    }
    text
}

fn first_free(folder: &Path) -> PathBuf {
    let name = |number: u64| folder.join(format!(".set-aside-{number}"));
    (1..).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(0))
}

fn set_aside(path: &Path, aside: &Path) -> Result<(), MachineFault> {
    fs::create_dir_all(aside).map_err(|e| MachineFault::io("create", aside, e))?;
    let target = aside.join(path.file_name().unwrap_or_default());
    fs::rename(path, &target).map_err(|e| MachineFault::io("set aside", path, e))
}

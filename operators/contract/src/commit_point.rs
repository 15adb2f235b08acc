//! Commit points: the places between two steps that make something durable. A test has the process
//! die at one of them and looks whether what is on the disk can be gone on with.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// All commit points, sorted. The word before the point is what is being made durable, the word after
/// it what has just happened.
pub const COMMIT_POINTS: [&str; 30] = [
    "checkpoint.renamed",
    "checkpoint.written",
    "compaction.recorded",
    "compaction.removed",
    "cost.renamed",
    "dataset.exchanged",
    "dataset.filled",
    "dataset.linked",
    "facts.merged",
    "facts.renamed",
    "gc.removed",
    "inputs.cleared",
    "inputs.written",
    "kept.described",
    "kept.linked",
    "lifted.renamed",
    "record.renamed",
    "record.withdrawn",
    "report.renamed",
    "run.created",
    "run.planned",
    "run.written",
    "shard.keys_renamed",
    "shard.rows_renamed",
    "shard.rows_synced",
    "stage.described",
    "store.written",
    "tables.renamed",
    "twin.exchanged",
    "twin.prepared",
];

static IS_ARMED: AtomicBool = AtomicBool::new(false);
static ARMED: OnceLock<Armed> = OnceLock::new();

/// Where to die, and how.
struct Armed {
    name: String,
    /// How often the point is still to be passed.
    left: AtomicU32,
    die: fn(),
}

/// Says that a commit point is passed. Costs one relaxed load unless a test armed one.
pub fn commit_point(name: &'static str) {
    if IS_ARMED.load(Ordering::Relaxed) {
        pass(name);
    }
}

#[cold]
fn pass(name: &str) {
    let Some(armed) = ARMED.get().filter(|armed| armed.name == name) else { return };
    if armed.left.fetch_sub(1, Ordering::Relaxed) == 1 {
        (armed.die)();
    }
}

/// Has `die` called when the process passes a commit point: `name` for the first time, or `name:n`
/// for the n-th. Once a process.
///
/// # Errors
/// When there is no such point, `n` is no number above 0, or another was armed before.
pub fn die_at(place: &str, die: fn()) -> Result<(), String> {
    let (name, times) = place.split_once(':').unwrap_or((place, "1"));
    if !COMMIT_POINTS.contains(&name) {
        return Err(format!("there is no commit point `{name}`"));
    }
    let left = times.parse().ok().filter(|times| *times > 0);
    let left = left.ok_or_else(|| format!("`{times}` is no number above 0"))?;
    let armed = Armed { name: name.to_owned(), left: AtomicU32::new(left), die };
    ARMED.set(armed).map_err(|_| "a commit point is armed already".to_owned())?;
    IS_ARMED.store(true, Ordering::Relaxed);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    static DIED: AtomicU32 = AtomicU32::new(0);

    #[test]
    fn it_dies_where_it_was_told_to_and_nowhere_else() {
        assert!(COMMIT_POINTS.is_sorted());
        let die = || {
            DIED.fetch_add(1, Ordering::Relaxed);
        };
        for (wrong, said) in [("none", "no commit point"), ("cost.renamed:0", "no number above 0")]
        {
            assert!(die_at(wrong, die).expect_err(wrong).contains(said), "{wrong}");
        }
        die_at("cost.renamed:2", die).expect("armed");
        assert!(die_at("cost.renamed", die).expect_err("twice").contains("already"));
        let died = |name| {
            commit_point(name);
            DIED.load(Ordering::Relaxed)
        };
        assert_eq!(["gc.removed", "cost.renamed"].map(died), [0, 0], "the first time");
        assert_eq!(["gc.removed", "cost.renamed", "cost.renamed"].map(died), [0, 1, 1]);
    }
}

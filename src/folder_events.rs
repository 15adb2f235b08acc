//! Folder events: the system tells that something below a folder changed, so that it need not be looked
//! at again and again.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// How often who waits looks whether it was asked to stop.
const NAP: Duration = Duration::from_millis(50);
/// How long nothing must happen before a change counts as over: files are written in many steps.
const QUIET: Duration = Duration::from_millis(10);
/// How long a change may go on before it is looked at all the same.
const PATIENCE: Duration = Duration::from_millis(500);

/// Tells when something below some folders changes.
pub(crate) struct FolderEvents {
    /// Ends when it is dropped; none where the system does not tell.
    _watchers: Vec<RecommendedWatcher>,
    changed: Receiver<()>,
}

impl FolderEvents {
    /// Events below these folders. Where the system gives none, a warning says so, and who waits waits as
    /// long as it may.
    pub(crate) fn below(folders: &[PathBuf]) -> Self {
        let (sender, changed) = sync_channel(1);
        let mut watchers = Vec::new();
        for folder in folders {
            let sender = sender.clone();
            let tell = move |event: notify::Result<Event>| {
                let written = AccessKind::Close(AccessMode::Write);
                let is_read = event.is_ok_and(
                    |event| matches!(event.kind, EventKind::Access(kind) if kind != written),
                );
                if !is_read {
                    // One that is waiting there says the same.
                    let _ = sender.try_send(());
                }
            };
            let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
                watcher.watch(folder, RecursiveMode::Recursive)?;
                Ok(watcher)
            });
            match watcher {
                Ok(watcher) => watchers.push(watcher),
                Err(e) => {
                    tracing::warn!("no events, looking now and then: {e}: {}", folder.display());
                }
            }
        }
        Self { _watchers: watchers, changed }
    }

    /// Waits until something changed and that is over, or `most` has passed, or `stops` says so.
    pub(crate) fn wait(&self, most: Duration, stops: &dyn Fn() -> bool) {
        let begun = Instant::now();
        while begun.elapsed() < most && !stops() {
            match self.changed.recv_timeout(NAP.min(most)) {
                Ok(()) => break,
                Err(RecvTimeoutError::Timeout) => {}
                // Nobody watches.
                Err(RecvTimeoutError::Disconnected) => std::thread::sleep(NAP.min(most)),
            }
        }
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE && self.changed.recv_timeout(QUIET).is_ok() {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_told_and_reading_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("a")).expect("a folder");
        let events = FolderEvents::below(&[folder.path().to_owned()]);
        let never = || false;
        let long = Duration::from_secs(600);
        std::fs::write(folder.path().join("a/x"), "1").expect("a file");
        // Would last ten minutes if nothing were told.
        events.wait(long, &never);
        std::fs::rename(folder.path().join("a/x"), folder.path().join("y")).expect("a file");
        events.wait(long, &never);
        std::fs::read(folder.path().join("y")).expect("a file");
        events.wait(Duration::from_millis(50), &never);
        assert!(events.changed.try_recv().is_err(), "reading is no change");
        events.wait(long, &|| true);
    }

    #[test]
    fn without_a_folder_it_only_waits() {
        let events = FolderEvents::below(&[PathBuf::from("there/is/no/such/folder")]);
        let begun = Instant::now();
        events.wait(Duration::from_millis(60), &|| false);
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }
}

//! Folder events: the system tells that something below a folder changed, so that it need not be looked
//! at again and again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// How often who waits looks whether it was asked to stop.
const NAP: Duration = Duration::from_millis(50);
/// How long nothing must happen before a change counts as over: files are written in many steps.
const QUIET: Duration = Duration::from_millis(5);
/// The same where every file that was written was closed, renamed or removed since.
const QUIET_WHEN_CLOSED: Duration = Duration::from_millis(1);
/// How long a change may go on before it is looked at all the same.
const PATIENCE: Duration = Duration::from_millis(500);

/// Paths that are told of one by one at most: beyond them a look at everything is cheaper.
const MOST_PATHS: usize = 10_000;

/// What was told while somebody waited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Told {
    /// Nothing.
    Nothing,
    /// That these paths, and what is below them, may have changed.
    Paths(Vec<PathBuf>),
    /// That much changed, or that events were lost.
    Anything,
}

/// What was told and not yet asked for.
#[derive(Default)]
struct News {
    paths: BTreeSet<PathBuf>,
    /// Those of them that are being written, as far as the system tells.
    unfinished: BTreeSet<PathBuf>,
    is_beyond: bool,
}

/// Tells when something below some folders changes.
pub(crate) struct FolderEvents {
    /// Ends when it is dropped; none where the system does not tell.
    _watchers: Vec<RecommendedWatcher>,
    news: Arc<Mutex<News>>,
    changed: Receiver<()>,
}

impl FolderEvents {
    /// Events below these files and folders. Where the system gives none, a warning says so, and who
    /// waits waits as long as it may.
    pub(crate) fn below(folders: &[PathBuf]) -> Self {
        let (sender, changed) = sync_channel(1);
        let news: Arc<Mutex<News>> = Arc::default();
        let mut watchers = Vec::new();
        for folder in folders {
            let (sender, news) = (sender.clone(), Arc::clone(&news));
            // A file that is replaced is another one: its folder knows.
            let (watched, mode) = match folder.parent() {
                Some(parent) if folder.is_file() => (parent, RecursiveMode::NonRecursive),
                _ => (folder.as_path(), RecursiveMode::Recursive),
            };
            let watched = if watched.as_os_str().is_empty() { Path::new(".") } else { watched };
            let names = Names::new(folder);
            let tell = move |event: notify::Result<Event>| {
                if is_read(&event) {
                    return;
                }
                news.lock().unwrap_or_else(PoisonError::into_inner).add(event, &names);
                // One that is waiting there says the same.
                let _ = sender.try_send(());
            };
            let watcher = notify::recommended_watcher(tell).and_then(|mut watcher| {
                watcher.watch(watched, mode)?;
                Ok(watcher)
            });
            match watcher {
                Ok(watcher) => watchers.push(watcher),
                Err(e) => {
                    tracing::warn!("no events, looking now and then: {e}: {}", folder.display());
                }
            }
        }
        Self { _watchers: watchers, news, changed }
    }

    /// Waits until something changed and that is over, or `most` has passed, or `stops` says so.
    pub(crate) fn wait(&self, most: Duration, stops: &dyn Fn() -> bool) -> Told {
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
        while begun.elapsed() < PATIENCE && self.changed.recv_timeout(self.quiet()).is_ok() {}
        std::mem::take(&mut *self.news()).told()
    }

    fn quiet(&self) -> Duration {
        let is_closed = self.news().unfinished.is_empty();
        if is_closed { QUIET_WHEN_CLOSED } else { QUIET }
    }

    fn news(&self) -> MutexGuard<'_, News> {
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an event only says that something was read.
fn is_read(event: &notify::Result<Event>) -> bool {
    let written = AccessKind::Close(AccessMode::Write);
    event
        .as_ref()
        .is_ok_and(|event| matches!(event.kind, EventKind::Access(kind) if kind != written))
}

/// Whether an event ends a change of a file, or more of it is to come; `None` where it says neither.
fn is_finished(kind: EventKind) -> Option<bool> {
    match kind {
        EventKind::Remove(_)
        | EventKind::Access(AccessKind::Close(AccessMode::Write))
        | EventKind::Modify(ModifyKind::Name(RenameMode::To | RenameMode::Both)) => Some(true),
        // Of a rename this is the first half.
        EventKind::Modify(ModifyKind::Name(_) | ModifyKind::Data(_) | ModifyKind::Any)
        | EventKind::Create(_) => Some(false),
        _ => None,
    }
}

/// A file or folder by the name it was given, and by the one that the system calls it.
struct Names {
    given: PathBuf,
    absolute: PathBuf,
}

impl Names {
    fn new(given: &Path) -> Self {
        let absolute = std::path::absolute(given).unwrap_or_else(|_| given.to_owned());
        Self { given: given.to_owned(), absolute }
    }

    /// A path below it as it would have been given; `None` for what lies beside it.
    fn given(&self, path: &Path) -> Option<PathBuf> {
        let below = path.strip_prefix(&self.absolute).or_else(|_| path.strip_prefix(&self.given));
        let below = below.ok()?;
        let is_itself = below.as_os_str().is_empty();
        Some(if is_itself { self.given.clone() } else { self.given.join(below) })
    }
}

impl News {
    fn add(&mut self, event: notify::Result<Event>, names: &Names) {
        match event {
            Ok(event) if !event.need_rescan() && !event.paths.is_empty() => {
                for path in event.paths.iter().filter_map(|path| names.given(path)) {
                    match is_finished(event.kind) {
                        Some(true) => {
                            self.unfinished.remove(&path);
                        }
                        Some(false) => {
                            self.unfinished.insert(path.clone());
                        }
                        None => {}
                    }
                    self.paths.insert(path);
                }
            }
            _ => self.is_beyond = true,
        }
        if self.paths.len() > MOST_PATHS {
            self.is_beyond = true;
        }
        if self.is_beyond {
            self.paths.clear();
            self.unfinished.clear();
        }
    }

    fn told(self) -> Told {
        match self {
            Self { is_beyond: true, .. } => Told::Anything,
            Self { paths, .. } if paths.is_empty() => Told::Nothing,
            Self { paths, .. } => Told::Paths(paths.into_iter().collect()),
        }
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
        assert_eq!(events.wait(long, &never), Told::Paths(vec![folder.path().join("a/x")]));
        std::fs::rename(folder.path().join("a/x"), folder.path().join("y")).expect("a file");
        let both = ["a/x", "y"].map(|path| folder.path().join(path));
        assert_eq!(events.wait(long, &never), Told::Paths(both.to_vec()));
        std::fs::read(folder.path().join("y")).expect("a file");
        let told = events.wait(Duration::from_millis(50), &never);
        assert_eq!(told, Told::Nothing, "reading is no change");
        events.wait(long, &|| true);
    }

    #[test]
    fn a_file_is_unfinished_until_it_is_closed_renamed_or_removed() {
        use EventKind::{Access, Create, Modify, Remove};
        use notify::event::{CreateKind, DataChange, MetadataKind, RemoveKind};
        let names = Names::new(Path::new("/data"));
        let unfinished = |kinds: &[EventKind]| {
            let mut news = News::default();
            for kind in kinds {
                news.add(Ok(Event::new(*kind).add_path("/data/x".into())), &names);
            }
            assert_eq!(news.paths, BTreeSet::from([PathBuf::from("/data/x")]));
            !news.unfinished.is_empty()
        };
        let created = Create(CreateKind::File);
        let written = Modify(ModifyKind::Data(DataChange::Any));
        let closed = Access(AccessKind::Close(AccessMode::Write));
        let touched = Modify(ModifyKind::Metadata(MetadataKind::Any));
        let renamed = |mode| Modify(ModifyKind::Name(mode));
        assert!(unfinished(&[created, written]));
        assert!(!unfinished(&[created, written, closed, touched]));
        assert!(unfinished(&[written, closed, written, touched]));
        assert!(unfinished(&[renamed(RenameMode::From)]));
        assert!(!unfinished(&[renamed(RenameMode::From), renamed(RenameMode::Both)]));
        assert!(!unfinished(&[written, renamed(RenameMode::To)]));
        assert!(!unfinished(&[written, Remove(RemoveKind::File)]));
    }

    #[test]
    fn without_a_folder_it_only_waits() {
        let events = FolderEvents::below(&[PathBuf::from("there/is/no/such/folder")]);
        let begun = Instant::now();
        events.wait(Duration::from_millis(60), &|| false);
        assert!(begun.elapsed() >= Duration::from_millis(60));
    }
}

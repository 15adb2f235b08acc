//! Several processes: who they are, how they agree on the run, and how they notice that one is gone.
//!
//! timely's TCP mesh carries keys and progress; rows stay where they were made, and the processes
//! share the run's folder (one machine, or a network file system).

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use timely::dataflow::operators::Inspect;
use timely::dataflow::operators::vec::{Broadcast, ToStream};
use timely::worker::Worker;

use super::fault::EngineFault;
use super::shared::Stop;

/// How long to wait for all processes to be there.
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a process says that it lives.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a process may be silent before the others give it up.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(30);

/// This process's place in a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Number of this process.
    pub process: usize,
    /// `host:port` of every process, in order of their numbers.
    pub addresses: Vec<String>,
    /// Exit code for a lost peer.
    pub lost_peer_exit_code: i32,
}

impl Cluster {
    /// timely's configuration for that many workers in each process.
    pub(crate) fn config(&self, workers: usize) -> timely::Config {
        timely::Config {
            communication: timely::CommunicationConfig::Cluster {
                threads: workers,
                process: self.process,
                addresses: self.addresses.clone(),
                report: false,
                zerocopy: false,
            },
            worker: timely::WorkerConfig::default(),
        }
    }

    fn lost(&self, message: &str) -> ! {
        eprintln!("error: {message}");
        eprintln!("help: what was committed stays; start all processes again with --resume");
        std::process::exit(self.lost_peer_exit_code);
    }
}

/// What the first process tells the others before they begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// Name of the run's folder under `runs`.
    pub(crate) run: String,
    /// Digest of pipeline and samples, which must be everyone's.
    pub(crate) digest: String,
}

/// Removes what an earlier attempt left in the run's folder: hearts that beat no more, a wish to stop.
/// The first process does it before it says which run it is: nobody has written there yet.
///
/// # Errors
/// When it cannot be removed.
pub(crate) fn forget_earlier_attempt(run: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(run.join("cluster")) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Sends what the first worker says to all; every worker hears the same.
///
/// # Errors
/// When the workers could not hear it.
pub(crate) fn agree(worker: &mut Worker, said: &Agreement) -> Result<Agreement, EngineFault> {
    let heard: Rc<RefCell<Vec<(String, String)>>> = Rc::default();
    let mine = (worker.index() == 0).then(|| (said.run.clone(), said.digest.clone()));
    let log = Rc::clone(&heard);
    worker.dataflow::<u64, _, _>(|scope| {
        mine.to_stream(scope)
            .broadcast()
            .inspect(move |words| log.borrow_mut().push(words.clone()));
    });
    while worker.has_dataflows() {
        worker.step_or_park(Some(Duration::from_millis(100)));
    }
    let words = heard.borrow().first().cloned();
    let (run, digest) =
        words.ok_or_else(|| EngineFault::Peer("the first process said nothing".to_owned()))?;
    Ok(Agreement { run, digest })
}

/// Watches over a cluster from a thread of its own, until dropped.
pub(crate) struct Watch {
    connected: Arc<AtomicBool>,
    ended: Arc<AtomicBool>,
}

impl Watch {
    /// Begins: ends the process when not all peers come in time.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(cluster: &Cluster) -> std::io::Result<Self> {
        let (connected, ended) =
            (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let watch = Self { connected: Arc::clone(&connected), ended: Arc::clone(&ended) };
        let cluster = cluster.clone();
        std::thread::Builder::new().name("cluster-start".to_owned()).spawn(move || {
            let mut waited = Duration::ZERO;
            while !connected.load(Ordering::Relaxed) && !ended.load(Ordering::Relaxed) {
                if waited >= START_TIMEOUT {
                    cluster.lost("not all processes of the cluster were there within 60 s");
                }
                std::thread::sleep(HEARTBEAT);
                waited += HEARTBEAT;
            }
        })?;
        Ok(watch)
    }

    /// All peers are there: from now on each says that it lives, in the run's folder, and a wish to
    /// stop reaches all.
    ///
    /// # Errors
    /// When the folder cannot be written or the system gives no thread.
    pub(crate) fn connected(
        &self,
        cluster: &Cluster,
        run: &Path,
        stop: &Stop,
    ) -> std::io::Result<()> {
        if self.connected.swap(true, Ordering::SeqCst) {
            return Ok(());
        }
        let folder = run.join("cluster");
        fs::create_dir_all(&folder)?;
        fs::write(heart(&folder, cluster.process), b"")?;
        let (cluster, stop, ended) = (cluster.clone(), stop.clone(), Arc::clone(&self.ended));
        std::thread::Builder::new().name("cluster-heart".to_owned()).spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                beat(&cluster, &folder, &stop);
                std::thread::sleep(HEARTBEAT);
            }
        })?;
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

fn heart(folder: &Path, process: usize) -> PathBuf {
    folder.join(format!("process-{process}"))
}

fn beat(cluster: &Cluster, folder: &Path, stop: &Stop) {
    // A heartbeat that could not be written is noticed by the others, who know what to do.
    let _ = fs::write(heart(folder, cluster.process), b"");
    let wish = folder.join("stop");
    if wish.exists() {
        stop.request();
    } else if stop.is_requested() {
        let _ = fs::write(&wish, b"");
    }
    for peer in (0..cluster.addresses.len()).filter(|&peer| peer != cluster.process) {
        if silence(&heart(folder, peer)).is_some_and(|silence| silence > SILENCE_TIMEOUT) {
            cluster.lost(&format!("process {peer} of the cluster has been silent for 30 s"));
        }
    }
}

/// How long ago the file was touched; `None` while it was not.
#[expect(
    clippy::disallowed_methods,
    reason = "file times can only be compared with the wall clock"
)]
fn silence(file: &Path) -> Option<Duration> {
    let touched = fs::metadata(file).ok()?.modified().ok()?;
    SystemTime::now().duration_since(touched).ok()
}

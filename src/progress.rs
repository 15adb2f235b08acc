//! Progress: one line a stage on stderr while a run is at work, and how long it will take.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use crate::cli;
use crate::engine::{Counters, TaskProgress};
use crate::terminal;

/// How often live lines are drawn.
const LIVE: Duration = Duration::from_millis(200);
/// How often plain lines are printed.
const PLAIN: Duration = Duration::from_secs(5);

/// One stage as progress sees it.
#[derive(Debug, Clone)]
pub(crate) struct StageLine {
    /// Id.
    pub(crate) id: String,
    /// Samples its source has; `None` for a task, which tells its progress itself.
    pub(crate) samples: Option<u64>,
}

/// Shows progress until it is dropped.
pub(crate) struct Progress {
    tasks: Arc<Mutex<Vec<(String, String, f64)>>>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Progress {
    /// Begins to show progress in the way asked for.
    pub(crate) fn start(
        how: cli::Progress,
        stages: Vec<StageLine>,
        counters: Arc<Counters>,
    ) -> Self {
        let (tasks, ended) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let is_live = how == cli::Progress::Auto && std::io::stderr().is_terminal();
        let board = Board { stages, counters, tasks: Arc::clone(&tasks), begun: Instant::now() };
        let thread = (is_live || how == cli::Progress::Plain).then(|| {
            let ended = Arc::clone(&ended);
            let show =
                move || if is_live { board.show_live(&ended) } else { board.show_plain(&ended) };
            std::thread::Builder::new().name("progress".to_owned()).spawn(show).ok()
        });
        Self { tasks, ended, thread: thread.flatten() }
    }

    /// What tasks call.
    pub(crate) fn of_tasks(&self) -> TaskProgress {
        let tasks = Arc::clone(&self.tasks);
        Arc::new(move |stage, line, share| {
            let mut tasks = tasks.lock().unwrap_or_else(PoisonError::into_inner);
            let now = (stage.to_owned(), line.to_owned(), share);
            match tasks.iter_mut().find(|(of, _, _)| of == stage) {
                Some(task) => *task = now,
                None => tasks.push(now),
            }
        })
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            thread.thread().unpark();
            // A progress display that died takes nothing with it.
            let _ = thread.join();
        }
    }
}

struct Board {
    stages: Vec<StageLine>,
    counters: Arc<Counters>,
    tasks: Arc<Mutex<Vec<(String, String, f64)>>>,
    begun: Instant,
}

impl Board {
    fn show_live(&self, ended: &AtomicBool) {
        let board = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:>14} {bar:24} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars: Vec<ProgressBar> = self
            .stages
            .iter()
            .map(|stage| {
                let bar = board.add(ProgressBar::new(stage.samples.unwrap_or(1000)));
                bar.set_style(style.clone());
                bar.set_prefix(stage.id.clone());
                bar
            })
            .collect();
        let total = board.add(ProgressBar::new(0));
        total.set_style(ProgressStyle::with_template("{prefix:>14} {msg}").unwrap_or(style));
        total.set_prefix("all");
        while !ended.load(Ordering::Relaxed) {
            for (stage, bar) in bars.iter().enumerate() {
                let (position, line) = self.line(stage);
                bar.set_position(position);
                bar.set_message(line);
            }
            total.set_message(self.summary());
            std::thread::park_timeout(LIVE);
        }
        // Whether the terminal is still there is not the run's concern.
        let _ = board.clear();
    }

    fn show_plain(&self, ended: &AtomicBool) {
        loop {
            std::thread::park_timeout(PLAIN);
            if ended.load(Ordering::Relaxed) {
                return;
            }
            for (i, stage) in self.stages.iter().enumerate() {
                let (_, line) = self.line(i);
                if !line.is_empty() {
                    eprintln!("{:>14} {line}", stage.id);
                }
            }
            eprintln!("{:>14} {}", "all", self.summary());
        }
    }

    /// Place of the bar and text of a stage's line.
    fn line(&self, stage: usize) -> (u64, String) {
        let Some(samples) = self.stages[stage].samples else {
            let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
            let task = tasks.iter().find(|(of, _, _)| *of == self.stages[stage].id);
            return task.map_or((0, String::new()), |(_, line, share)| {
                ((share * 1000.0) as u64, line.clone())
            });
        };
        let count = self.counters.stage(stage);
        let done = count.rows_out + count.refused;
        let rate = (done.saturating_sub(count.reused)) as f64
            / self.begun.elapsed().as_secs_f64().max(1e-3);
        let refused = match count.refused {
            0 => String::new(),
            refused => format!(", {refused} refused"),
        };
        (done, format!("{done}/{samples} rows, {rate:.0}/s{refused}"))
    }

    fn summary(&self) -> String {
        let elapsed = self.begun.elapsed();
        let duration = |duration: Duration| terminal::duration(duration.as_secs_f64());
        let left = self.left(elapsed).map(|left| format!(", about {} left", duration(left)));
        format!("{}{}", duration(elapsed), left.unwrap_or_default())
    }

    /// Time that is left: of the rows while there are rows to make, foretold by what they are likely to
    /// cost, then of the task at work. Tasks that have not begun are not counted.
    fn left(&self, elapsed: Duration) -> Option<Duration> {
        if let Some(left) = self.counters.left() {
            return Some(left);
        }
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, _, share) = tasks.last()?;
        (*share > 0.02 && *share < 1.0).then(|| elapsed.mul_f64((1.0 - share) / share))
    }
}

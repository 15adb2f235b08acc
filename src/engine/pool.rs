//! The pool: one bounded set of threads a process, for everything dear.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// A set of threads that work on jobs, those furthest down the dataflow first, so that what was
/// begun is finished before more is read.
pub(crate) struct Pool {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    ready: Condvar,
}

#[derive(Default)]
struct State {
    jobs: BTreeMap<(std::cmp::Reverse<usize>, u64), Job>,
    submitted: u64,
    closed: bool,
}

impl Pool {
    /// A pool of that many threads.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn new(threads: usize) -> std::io::Result<Self> {
        let queue = Arc::new(Queue::default());
        let spawn = |i| {
            let queue = Arc::clone(&queue);
            std::thread::Builder::new().name(format!("pool-{i}")).spawn(move || queue.work())
        };
        let threads = (0..threads).map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { queue, threads })
    }

    /// Leaves a job; jobs of greater `depth` are taken first, equal ones in order.
    pub(crate) fn submit(&self, depth: usize, job: impl FnOnce() + Send + 'static) {
        let mut state = self.queue.lock();
        let order = state.submitted;
        state.submitted += 1;
        state.jobs.insert((std::cmp::Reverse(depth), order), Box::new(job));
        drop(state);
        self.queue.ready.notify_one();
    }
}

impl Queue {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn next(&self) -> Option<Job> {
        let mut state = self.lock();
        loop {
            if let Some((_, job)) = state.jobs.pop_first() {
                return Some(job);
            }
            if state.closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work(&self) {
        while let Some(job) = self.next() {
            job();
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        state.jobs.clear();
        drop(state);
        self.queue.ready.notify_all();
        // The last to hold the pool may be a job of its own, whose thread cannot wait for itself.
        let me = std::thread::current().id();
        for thread in self.threads.drain(..).filter(|thread| thread.thread().id() != me) {
            // Jobs catch their own panics; a thread that died has nothing left to give.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::sync_channel;

    #[test]
    fn what_lies_further_down_is_done_first() {
        let pool = Pool::new(1).expect("a thread");
        let (sender, receiver) = sync_channel(8);
        let (open, gate) = sync_channel::<()>(1);
        pool.submit(9, move || gate.recv().expect("the test opens it"));
        for depth in [0, 2, 1, 2] {
            let sender = sender.clone();
            pool.submit(depth, move || sender.send(depth).expect("the test waits"));
        }
        open.send(()).expect("the job waits");
        drop(sender);
        assert_eq!(receiver.iter().collect::<Vec<_>>(), [2, 2, 1, 0]);
    }

    #[test]
    fn a_job_may_be_the_last_to_hold_the_pool() {
        let pool = std::sync::Arc::new(Pool::new(2).expect("threads"));
        let (sender, receiver) = sync_channel(1);
        let (open, gate) = sync_channel::<()>(1);
        let held = std::sync::Arc::clone(&pool);
        pool.submit(0, move || {
            gate.recv().expect("the test opens it");
            drop(held);
            sender.send(()).expect("the test waits");
        });
        drop(pool);
        open.send(()).expect("the job waits");
        assert_eq!(receiver.recv(), Ok(()), "it does not wait for itself");
    }
}

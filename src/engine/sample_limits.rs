//! Limits of a sample: one that never ends or takes all memory costs itself and a thread, not the run.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use voxflow_contract::{Fault, MachineFault};

use crate::allocator;

/// What a stage may spend on one sample.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SampleLimits {
    /// Time, if there is a limit.
    pub time: Option<Duration>,
    /// Bytes of memory beyond what the row came with, if there is a limit.
    pub bytes: Option<u64>,
}

/// What a thread says of a row.
enum Said<T> {
    Done(T),
    WantsMore,
}

impl SampleLimits {
    /// Whether there is none.
    pub(crate) fn are_none(&self) -> bool {
        *self == Self::default()
    }

    /// Works on rows 0 to `rows` one after the other; a fault for each that goes beyond a limit.
    ///
    /// A thread cannot be stopped from outside, so one that takes too long is left to itself: it ends
    /// when its row does, or with the process. One that wants more memory stands still where it does.
    /// What `work` holds stays in memory as long.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn each<T: Send + 'static>(
        self,
        rows: usize,
        work: &Arc<dyn Fn(usize) -> T + Send + Sync>,
    ) -> Result<Vec<Result<T, Fault>>, MachineFault> {
        let mut done = Vec::with_capacity(rows);
        while done.len() < rows {
            let (sender, receiver) = sync_channel(rows);
            let (work, left) = (Arc::clone(work), done.len()..rows);
            let walk = move || {
                for row in left {
                    let said = Said::Done(self.one(&sender, || work(row)));
                    // Nobody waits any more once a row took too long.
                    if sender.send(said).is_err() {
                        return;
                    }
                }
            };
            let thread = std::thread::Builder::new().name("limited".to_owned()).spawn(walk);
            let thread = thread.map_err(|e| MachineFault::new(format!("no thread: {e}")))?;
            while done.len() < rows {
                let said = match self.time {
                    Some(time) => receiver.recv_timeout(time),
                    None => receiver.recv().map_err(RecvTimeoutError::from),
                };
                match said {
                    Ok(Said::Done(result)) => done.push(Ok(result)),
                    Ok(Said::WantsMore) => {
                        done.push(Err(self.takes_too_much()));
                        break;
                    }
                    Err(RecvTimeoutError::Timeout) => {
                        done.push(Err(self.takes_too_long()));
                        break;
                    }
                    Err(RecvTimeoutError::Disconnected) => {
                        drop(thread);
                        return Err(MachineFault::new("a thread ended before its rows"));
                    }
                }
            }
        }
        Ok(done)
    }

    /// Does the work of one row on this thread; does not come back when it wants more memory.
    fn one<T: Send + 'static>(self, sender: &SyncSender<Said<T>>, work: impl FnOnce() -> T) -> T {
        let Some(bytes) = self.bytes else { return work() };
        let sender = sender.clone();
        // There is room for a word on every row.
        let tell = move || drop(sender.try_send(Said::WantsMore));
        allocator::within(bytes, Box::new(tell), work)
    }

    fn takes_too_long(self) -> Fault {
        let seconds = self.time.unwrap_or_default().as_secs_f64();
        Fault::new("time_limit", format!("it took longer than {seconds} s"))
    }

    fn takes_too_much(self) -> Fault {
        let bytes = self.bytes.unwrap_or_default();
        Fault::new("memory_limit", format!("it wanted more memory than {bytes} bytes"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codes(done: Vec<Result<usize, Fault>>) -> Vec<Result<usize, &'static str>> {
        done.into_iter().map(|result| result.map_err(|fault| fault.code)).collect()
    }

    #[test]
    fn a_row_that_never_ends_costs_itself_only() {
        let work: Arc<dyn Fn(usize) -> usize + Send + Sync> = Arc::new(|row| {
            let (never, told) = sync_channel::<()>(1);
            if row == 1 || row == 3 {
                let _ = told.recv();
            }
            drop(never);
            row * 10
        });
        let limits = SampleLimits { time: Some(Duration::from_millis(300)), bytes: None };
        let late = Err("time_limit");
        let done = codes(limits.each(5, &work).expect("threads"));
        assert_eq!(done, [Ok(0), late, Ok(20), late, Ok(40)]);
        assert!(limits.each(0, &work).expect("threads").is_empty());
    }

    #[test]
    fn a_row_that_takes_all_memory_costs_itself_only() {
        let work: Arc<dyn Fn(usize) -> usize + Send + Sync> = Arc::new(|row| {
            let wants = if row == 2 { usize::MAX / 4 } else { 1 << 16 };
            let mut parts: Vec<Vec<u8>> = Vec::new();
            while parts.iter().map(Vec::len).sum::<usize>() < wants {
                parts.push(vec![1; 1 << 15]);
            }
            parts.len()
        });
        let limits = SampleLimits { time: None, bytes: Some(1 << 20) };
        let done = codes(limits.each(4, &work).expect("threads"));
        assert_eq!(done, [Ok(2), Ok(2), Err("memory_limit"), Ok(2)]);
    }
}

//! The time limit of a sample: one that never ends costs itself and a thread, not the run.

use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use voxflow_contract::MachineFault;

/// Works on rows 0 to `rows` one after the other; `None` for one that takes longer than `limit`.
///
/// A thread cannot be stopped from outside, so one that takes too long is left to itself: it ends
/// when its row does, or with the process. What `work` holds stays in memory as long.
///
/// # Errors
/// When the system gives no thread.
pub(crate) fn each_within<T: Send + 'static>(
    rows: usize,
    limit: Duration,
    work: &Arc<dyn Fn(usize) -> T + Send + Sync>,
) -> Result<Vec<Option<T>>, MachineFault> {
    let mut done = Vec::with_capacity(rows);
    while done.len() < rows {
        let (sender, receiver) = sync_channel(rows);
        let (work, left) = (Arc::clone(work), done.len()..rows);
        let walk = move || {
            for row in left {
                // Nobody waits any more once a row took too long.
                if sender.send(work(row)).is_err() {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("limited".to_owned()).spawn(walk);
        let thread = thread.map_err(|e| MachineFault::new(format!("no thread: {e}")))?;
        while done.len() < rows {
            match receiver.recv_timeout(limit) {
                Ok(result) => done.push(Some(result)),
                Err(RecvTimeoutError::Timeout) => {
                    done.push(None);
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

#[cfg(test)]
mod tests {
    use super::*;

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
        let done = each_within(5, Duration::from_millis(300), &work).expect("threads");
        assert_eq!(done, [Some(0), None, Some(20), None, Some(40)]);
        assert!(each_within(0, Duration::from_millis(1), &work).expect("threads").is_empty());
    }
}

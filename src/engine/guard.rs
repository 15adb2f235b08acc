//! The guard: stage code never unwinds into timely, and its panics become messages.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    static MESSAGE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Calls `work`; a panic in it becomes an error with the panic's message and place.
pub(crate) fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    GUARDED.set(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(false);
    result.map_err(|payload| {
        MESSAGE.take().unwrap_or_else(|| {
            let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
            text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default()
        })
    })
}

/// Makes guarded panics silent and keeps their place; a lost peer of a cluster ends the process with
/// the code for it, since timely would unwind through `main`. Other panics stay as they are.
pub fn install_panic_hook(lost_peer_exit_code: i32) {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let text = info.payload_as_str().unwrap_or_default();
        if GUARDED.get() {
            let place = info.location().map(|l| format!(" ({}:{})", l.file(), l.line()));
            MESSAGE.set(Some(format!("{text}{}", place.unwrap_or_default())));
        } else if text.contains("timely communication error") {
            eprintln!("error: lost another process of the cluster ({text})");
            eprintln!("help: what was committed stays; start all processes again with --resume");
            std::process::exit(lost_peer_exit_code);
        } else {
            before(info);
        }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_its_message() {
        assert_eq!(guarded(|| 3), Ok(3));
        let message = guarded(|| panic!("row {} is odd", 7)).expect_err("it panicked");
        assert!(message.starts_with("row 7 is odd"), "{message}");
    }
}

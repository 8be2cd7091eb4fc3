//! Waiting by asserting: look until it is so, within a limit; or look all the time that it stays so.

use std::time::{Duration, Instant};

/// What a look found: the thing itself, or how matters stand instead.
pub type Look<T = ()> = Result<T, String>;

/// `Ok` when it is so, else the word on how matters stand.
pub fn so(holds: bool, otherwise: impl FnOnce() -> String) -> Look {
    if holds { Ok(()) } else { Err(otherwise()) }
}

/// `Ok` when both are the same.
pub fn same<T: PartialEq + std::fmt::Debug>(left: &T, right: &T) -> Look {
    so(left == right, || format!("{left:?} is not {right:?}"))
}

/// Looks until the look succeeds.
///
/// # Panics
/// When it did not within `limit`, with what the last look said.
#[track_caller]
pub fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Look<T>) -> T {
    let start = Instant::now();
    let mut pause = Duration::from_millis(5);
    loop {
        match look() {
            Ok(found) => return found,
            Err(instead) if start.elapsed() >= limit => {
                panic!("not within {limit:?}: {what}; last look: {instead}")
            }
            Err(_) => std::thread::sleep(pause),
        }
        pause = (pause * 3 / 2).min(Duration::from_millis(100));
    }
}

/// Looks for all of `span` that every look succeeds.
///
/// # Panics
/// At the first look that fails.
#[track_caller]
pub fn throughout(span: Duration, what: &str, mut look: impl FnMut() -> Look) {
    let start = Instant::now();
    while start.elapsed() < span {
        if let Err(instead) = look() {
            panic!("after {:?}, not so any more: {what}; {instead}", start.elapsed());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Whole seconds, for limits that read well.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

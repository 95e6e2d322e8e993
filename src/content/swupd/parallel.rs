//! Runs independent tasks on several threads.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Runs `count` tasks on several threads. Returns the results in order, or the first error. After an error, no further
/// tasks are started.
pub(super) fn parallel<T: Send, E: Send>(
    count: usize,
    threads: usize,
    work: impl Fn(usize) -> Result<T, E> + Sync,
) -> Result<Vec<T>, E> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= count {
                return done;
            }
            let outcome = work(index);
            if outcome.is_err() {
                next.store(count, Ordering::Relaxed);
            }
            done.push((index, outcome));
        }
    };
    let mut done: Vec<_> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.min(count)).map(|_| scope.spawn(worker)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<_>| {
            worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().flat_map(join).collect()
    });
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, outcome)| outcome).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    #[test]
    fn results_are_ordered_and_errors_stop_the_run() {
        let squares: Result<Vec<usize>, ()> = parallel(100, 7, |index| Ok(index * index));
        assert_eq!(squares.unwrap(), (0..100).map(|n| n * n).collect::<Vec<_>>());
        let begun = Mutex::new(0);
        let failed: Result<Vec<()>, usize> = parallel(1000, 1, |index| {
            *begun.lock().unwrap() += 1;
            if index == 3 { Err(index) } else { Ok(()) }
        });
        assert_eq!((failed, *begun.lock().unwrap()), (Err(3), 4));
        assert_eq!(parallel(0, 0, |_| Ok::<(), ()>(())), Ok(vec![]));
    }
}

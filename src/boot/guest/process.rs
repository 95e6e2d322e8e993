//! The process of QEMU.

use std::process::Child;
use std::time::Duration;

/// Kills QEMU on drop.
pub(super) struct Process(pub(super) Child);

impl Process {
    /// The process of QEMU itself: the child of the process that set up its namespaces. Source: proc_tid_children(5).
    fn qemu(&self) -> u32 {
        let child = |process: u32| -> Option<u32> {
            let text = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).ok()?;
            text.split_whitespace().next()?.parse().ok()
        };
        child(self.0.id()).unwrap_or_else(|| self.0.id())
    }

    /// How long QEMU's busiest thread was runnable but not scheduled, since its start. Source: Linux,
    /// Documentation/scheduler/sched-stats.rst, `/proc/<pid>/schedstat`: the second number, in nanoseconds.
    pub(super) fn waited_for_cpu(&self) -> Duration {
        let threads = std::fs::read_dir(format!("/proc/{}/task", self.qemu())).into_iter().flatten();
        let waited = |thread: std::fs::DirEntry| -> Option<u64> {
            let text = std::fs::read_to_string(thread.path().join("schedstat")).ok()?;
            text.split_whitespace().nth(1)?.parse().ok()
        };
        Duration::from_nanos(threads.flatten().filter_map(waited).max().unwrap_or(0))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

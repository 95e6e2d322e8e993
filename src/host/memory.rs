//! Available memory.

use std::path::Path;

/// Returns the memory in bytes that can be used without swapping, limited by /proc/meminfo and the control group.
pub fn available_memory() -> u64 {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let free = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024;
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(Path::new("/sys/fs/cgroup").join(file)).ok()?.trim().parse().ok()
    };
    // The page cache of inactive files is reclaimed on demand. Source: Linux, Documentation/admin-guide/cgroup-v2.rst.
    let stat = std::fs::read_to_string("/sys/fs/cgroup/memory.stat").unwrap_or_default();
    let files = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse::<u64>().ok());
    match (number("memory.max"), number("memory.current")) {
        (Some(max), Some(current)) => {
            free.min(max.saturating_sub(current.saturating_sub(files.unwrap_or(0))))
        }
        _ => free,
    }
}

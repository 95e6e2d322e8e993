//! Ends processes that a program on the host leaves running. Inside the namespace all processes end with it; outside,
//! the subreaper attribute makes orphaned descendants our children. Source: prctl(2), PR_SET_CHILD_SUBREAPER.

use rustix::process::{Pid, Signal, WaitOptions, getpid, kill_process, set_child_subreaper, waitpid};

/// Orphaned descendants become children of this process until this value is dropped. No other child processes may run
/// meanwhile.
pub struct Subreaper(());

impl Subreaper {
    pub fn adopt() -> Subreaper {
        // If this fails, orphaned processes keep running, as without the subreaper attribute.
        let _ = set_child_subreaper(Some(getpid()));
        Subreaper(())
    }

    /// Kills all orphaned descendants and returns their number.
    pub fn end(&self) -> usize {
        let mut ended = 0;
        // The children of a killed process become our children in turn.
        loop {
            let children = children();
            if children.is_empty() {
                return ended;
            }
            for child in children {
                let _ = kill_process(child, Signal::KILL);
                if matches!(waitpid(Some(child), WaitOptions::empty()), Ok(Some(_))) {
                    ended += 1;
                }
            }
        }
    }
}

impl Drop for Subreaper {
    fn drop(&mut self) {
        let _ = set_child_subreaper(None);
    }
}

fn children() -> Vec<Pid> {
    let us = getpid().as_raw_nonzero().get();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw)
        else {
            continue;
        };
        // Fields after the name, which is in parentheses and may contain any characters: state, parent. Source:
        // proc(5).
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let fields = stat.rsplit(')').next().unwrap_or_default();
        if fields.split_whitespace().nth(1).and_then(|parent| parent.parse().ok()) == Some(us) {
            found.push(pid);
        }
    }
    found
}

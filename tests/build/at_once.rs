//! Interrupted and concurrent builds.

use super::{Place, assert_matches_plan, host_state, names, ok, one_at_a_time};
use crate::common::{ister, text};
use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Starts a build with a separate cache and waits until it has printed a word.
pub(super) fn started(place: &Place, word: &str) -> Child {
    let mut command = ister(&["build"]);
    command.arg(place.path("small.json")).arg("-o").arg(place.path("out"));
    command.arg("--cache-dir").arg(place.path("cache"));
    let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let found = lines.by_ref().map_while(Result::ok).any(|line| line.contains(word));
    assert!(found, "the build did not print `{word}`");
    // Keep reading so that the build does not block on a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    child
}

/// Asserts that a build has left no process, no temporary file and no mount.
pub(super) fn assert_clean(place: &Place, before: &(String, String)) {
    let until = Instant::now() + Duration::from_secs(20);
    let marker = place.directory.path().to_str().unwrap().to_owned();
    let alive = || -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let pid = entry.file_name().to_string_lossy().into_owned();
            if !pid.bytes().all(|b| b.is_ascii_digit()) || pid == std::process::id().to_string() {
                continue;
            }
            let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            if text(&line).contains(&marker) {
                found.push(text(&line).replace('\0', " "));
            }
        }
        found
    };
    while !alive().is_empty() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(alive(), [""; 0]);
    assert_eq!(&host_state(), before);
    assert_eq!(names(&place.path("out")), [""; 0]);
    assert_eq!(names(&place.path("cache/work")), [""; 0]);
    let remains: Vec<String> =
        names(&place.path("cache/content")).into_iter().filter(|name| !name.ends_with(".lock")).collect();
    assert_eq!(remains, [""; 0]);
}

pub(super) fn interrupted_builds_leave_no_files() {
    let _one = one_at_a_time();
    use rustix::process::{Pid, Signal, kill_process};
    use std::os::unix::process::ExitStatusExt;
    for (signal, code) in [(Signal::INT, Some(130)), (Signal::TERM, Some(143)), (Signal::KILL, None)] {
        let place = Place::new();
        let before = host_state();
        let mut child = started(&place, "unpacking essential packages");
        kill_process(Pid::from_child(&child), signal).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.code(), code, "{signal:?}");
        if code.is_none() {
            assert_eq!(status.signal(), Some(9));
        }
        assert_clean(&place, &before);
    }
}

pub(super) fn concurrent_builds_share_one_download() {
    let _one = one_at_a_time();
    let place = Place::new();
    let mut first = started(&place, "fetching package lists");
    let mut second = ister(&["build"]);
    second.arg(place.path("small.json")).arg("-o").arg(place.path("out2"));
    second.arg("--cache-dir").arg(place.path("cache"));
    let second = second.output().unwrap();
    ok(&second);
    assert!(first.wait().unwrap().success());
    let printed = text(&second.stderr);
    assert!(printed.contains("waiting for another build that downloads the same content"), "{printed}");
    assert!(!printed.contains("installing packages"), "{printed}");

    // A damaged cache entry is detected and downloaded again.
    let content = place.path("cache/content");
    let tar = names(&content).into_iter().find(|name| name.ends_with(".tar")).unwrap();
    let file = std::fs::File::options().write(true).open(content.join(tar)).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"damage", 5 << 20).unwrap();
    let mut third = ister(&["build"]);
    third.arg(place.path("small.json")).arg("-o").arg(place.path("out3"));
    third.arg("--cache-dir").arg(place.path("cache"));
    let third = third.output().unwrap();
    ok(&third);
    assert!(text(&third.stderr).contains("is damaged; downloading it again"), "{}", text(&third.stderr));
    assert_matches_plan(&place.path("out3/small.img"));
}

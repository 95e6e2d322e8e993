//! Judges from the guest's answers whether an update took effect. Pure.

use super::Update;
use crate::boot::session::Answer;
use crate::plan::command_line::words;

/// The kernel before an update, and the kernel that the update installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Kernels {
    pub old: String,
    pub new: String,
}

/// The text after a mark of the guest's script.
fn marked<'a>(answer: &'a Answer, word: &'a str) -> impl Iterator<Item = &'a str> {
    // On a console, other output may precede the mark in the same line.
    let rest = answer.lines.iter().filter_map(|line| Some(line.split_once("ister-update: ")?.1));
    rest.filter_map(move |rest| rest.strip_prefix(word)?.strip_prefix(' ').map(str::trim))
}

fn failed(answer: &Answer, what: &str) -> Vec<String> {
    let said = answer.lines.iter().rev().take(30).rev().cloned();
    std::iter::once(format!("{what} (status {})", answer.status)).chain(said).collect()
}

/// Judges the answers to [`super::upgrade`].
pub(crate) fn judge_upgrade(answers: &[Answer]) -> Result<(Kernels, Update), Vec<String>> {
    let [unpacked, reinstall, upgrade, state, broken @ ..] = answers else {
        return Err(vec!["the update was not run".to_owned()]);
    };
    if unpacked.status != 0 {
        return Err(failed(unpacked, "could not unpack the archive"));
    }
    if reinstall.status != 0 {
        return Err(failed(reinstall, "could not reinstall the installed kernel package"));
    }
    if upgrade.status != 0 {
        return Err(failed(upgrade, "could not upgrade the packages"));
    }
    let running = marked(state, "running").next().unwrap_or_default().to_owned();
    let installed: Vec<&str> = marked(state, "installed").collect();
    let others: Vec<&str> = installed.iter().copied().filter(|version| *version != running).collect();
    let [new] = others[..] else {
        return Err(failed(state, &format!("the update installed {} kernels, expected one", others.len())));
    };
    let offered: Vec<&str> = marked(state, "offered").collect();
    for version in [new, running.as_str()] {
        if !offered.contains(&version) {
            return Err(failed(state, &format!("the boot loader does not offer the kernel {version}")));
        }
    }
    if let Some(answer) = broken.iter().find(|answer| answer.status != 0) {
        return Err(failed(answer, "could not truncate the file of the new kernel"));
    }
    let update = Update {
        fallback: None,
        from: running.clone(),
        to: new.to_owned(),
        reinstalled: marked(reinstall, "reinstalled").next().map(str::to_owned),
        packages: marked(upgrade, "now").map(str::to_owned).collect(),
    };
    Ok((Kernels { old: running, new: new.to_owned() }, update))
}

/// Judges the answers to [`super::fix`].
pub(crate) fn judge_choice(answers: &[Answer], kernels: &Kernels) -> Option<Vec<String>> {
    let [state, fixed] = answers else { return Some(vec!["the state was not queried".to_owned()]) };
    let running = marked(state, "running").next().unwrap_or_default();
    if running != kernels.old {
        let what = format!(
            "kernel {running} is running, but {} was selected in the boot loader's menu",
            kernels.old
        );
        return Some(failed(state, &what));
    }
    (fixed.status != 0).then(|| failed(fixed, "could not restore the file of the new kernel"))
}

/// Judges the answers to [`super::remove`], or with `removed` those to [`super::last`].
pub(crate) fn judge_removal(
    answers: &[Answer],
    kernels: &Kernels,
    planned: Option<&str>,
    removed: bool,
) -> Option<Vec<String>> {
    let state = answers.first()?;
    let running = marked(state, "running").next().unwrap_or_default();
    if running != kernels.new {
        return Some(failed(
            state,
            &format!("kernel {running} is running, but {} was installed", kernels.new),
        ));
    }
    let line = marked(state, "command line").next().unwrap_or_default();
    let has = |word: &str| words(line).contains(&word);
    let missing: Vec<&str> =
        words(planned.unwrap_or_default()).into_iter().filter(|word| !has(word)).collect();
    if !missing.is_empty() {
        let what = format!("the new kernel was started without `{}`", missing.join(" "));
        return Some(failed(state, &what));
    }
    if removed {
        return None;
    }
    let [_, removal, state] = answers else { return Some(vec!["the old kernel was not removed".to_owned()]) };
    if removal.status != 0 {
        return Some(failed(removal, "could not remove the old kernel"));
    }
    if marked(state, "offered").any(|version| version == kernels.old) {
        return Some(failed(
            state,
            &format!("the boot loader still offers the removed kernel {}", kernels.old),
        ));
    }
    (!marked(state, "offered").any(|version| version == kernels.new))
        .then(|| failed(state, &format!("the boot loader no longer offers the kernel {}", kernels.new)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: i32, lines: &[&str]) -> Answer {
        let lines = lines.iter().map(|line| (*line).to_owned()).collect();
        Answer { command: String::new(), status, lines }
    }

    fn state(running: &str, installed: &[&str], offered: &[&str]) -> Answer {
        let mut lines = vec![format!("[  12.1] noise ister-update: running {running}")];
        lines.extend(installed.iter().map(|version| format!("ister-update: installed {version}")));
        lines.extend(offered.iter().map(|version| format!("ister-update: offered {version}")));
        lines.push("ister-update: command line root=x rw".to_owned());
        Answer { command: String::new(), status: 0, lines }
    }

    #[test]
    fn update_installs_one_offered_kernel() {
        let good = |state: Answer| {
            judge_upgrade(&[
                answer(0, &["unpacked"]),
                answer(0, &["ister-update: reinstalled linux-image-1"]),
                answer(0, &["ister-update: now netbase 2"]),
                state,
            ])
        };
        let (kernels, update) = good(state("1", &["1", "2"], &["1", "2"])).unwrap();
        assert_eq!((kernels.old.as_str(), kernels.new.as_str()), ("1", "2"));
        assert_eq!(update.packages, ["netbase 2"]);
        assert_eq!(update.reinstalled.as_deref(), Some("linux-image-1"));
        assert!(good(state("1", &["1"], &["1"])).unwrap_err()[0].contains("installed 0 kernels"));
        assert!(
            good(state("1", &["1", "2"], &["1"])).unwrap_err()[0].contains("does not offer the kernel 2")
        );
        let refused = [answer(0, &[]), answer(100, &["dpkg: error"]), answer(0, &[]), answer(0, &[])];
        assert!(judge_upgrade(&refused).unwrap_err()[0].contains("could not reinstall"));
    }

    #[test]
    fn selected_kernel_has_to_run() {
        let kernels = Kernels { old: "1".into(), new: "2".into() };
        let judge = |running: &str, status: i32| {
            judge_choice(&[state(running, &["1", "2"], &["1", "2"]), answer(status, &[])], &kernels)
        };
        assert_eq!(judge("1", 0), None);
        assert!(
            judge("2", 0).unwrap()[0]
                .contains("kernel 2 is running, but 1 was selected in the boot loader's menu")
        );
        assert!(judge("1", 1).unwrap()[0].contains("could not restore"));
    }

    #[test]
    fn new_kernel_has_to_run_with_planned_options() {
        let kernels = Kernels { old: "1".into(), new: "2".into() };
        let answers = |running: &str, offered: &[&str]| {
            [state(running, &["1", "2"], &["1", "2"]), answer(0, &[]), state(running, &["2"], offered)]
        };
        let judge = |answers: &[Answer], planned| judge_removal(answers, &kernels, planned, false);
        assert_eq!(judge(&answers("2", &["2"]), Some("root=x rw")), None);
        assert!(judge(&answers("1", &["2"]), None).unwrap()[0].contains("kernel 1 is running"));
        assert!(judge(&answers("2", &["1", "2"]), None).unwrap()[0].contains("still offers"));
        assert!(judge(&answers("2", &[]), None).unwrap()[0].contains("no longer offers"));
        assert!(judge(&answers("2", &["2"]), Some("quiet")).unwrap()[0].contains("without `quiet`"));
    }
}

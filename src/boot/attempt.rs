//! One run of an image, and what is looked at once it has come to its prompt.

mod files;

use files::{Opened, Written, credential_files};
mod look;

use super::accel::Accelerator;
use super::attach::Attached;
use super::firmware::{emulator_version, find_ovmf};
use super::guest::Guest;
use super::health;
use super::log::{SHORTEST_SECRET, SerialLog};
use super::machine::Machine;
use super::menu::OlderKernel;
use super::monitor::BootMonitor;
use super::run::{BootOptions, SERIAL_LOG};
use super::session::Answer;
use super::ssh::free_port;
use super::update::{self, Archive, Kernels};
use super::verdict::{Again, Attempt, Class, Note, NoteKind};
use crate::host::{Context, Failure, Progress, inherited_name};
use crate::plan::command_line::words;
use crate::plan::{Firmware, Loader};
use crate::template::Secret;
use look::Look;
use std::fs::File;
use std::time::Duration;

/// Runs an image until it is clear how that ends.
pub(super) fn attempt(
    options: &BootOptions,
    attached: &Attached,
    progress: &dyn Progress,
) -> Result<Attempt, Failure> {
    let kernel = attached.kernel();
    let ovmf = match options.firmware {
        Firmware::Uefi => Some(find_ovmf()?),
        Firmware::Bios => None,
    };
    let ssh_port = match options.ssh {
        Some(_) => Some(free_port().context(|| "could not find a free port for ssh".to_owned())?),
        None => None,
    };
    let credentials = credential_files(&options.credentials)
        .context(|| "could not write the credentials for the guest".to_owned())?;
    let credential_names: Vec<String> = credentials.iter().map(inherited_name).collect();
    let written = Written::begin(attached.disk(), ovmf.as_ref(), options.grow)?;
    let archive = options.update.map(Archive::of_directory).transpose()?;
    let archive_name = archive.as_ref().map(|archive| inherited_name(&archive.file));
    // QEMU sees no names of this host: it inherits what it works on.
    let opened = Opened::of(options)?;
    let mut files = attached.files();
    files.extend(&credentials);
    files.extend(written.disk.iter().chain([&written.variables]).map(|(file, _)| file));
    files.extend(archive.iter().map(|archive| &archive.file));
    files.extend(opened.second_disk.iter().chain(&opened.seed).map(|(file, _)| file));
    files.extend(&opened.kernel_files);
    let mut machine = Machine {
        disk: written.disk.as_ref().map(|(_, name)| name.as_str()),
        hardware: options.hardware,
        sector_size: options.sector_size,
        ovmf: ovmf.as_ref().map(|ovmf| (ovmf.code.as_path(), written.variables.1.as_str())),
        accelerator: options.accelerator.accelerator,
        cmpxchg16b: options.accelerator.accelerator != Accelerator::Tcg || has_good_cmpxchg16b()?,
        network: options.network,
        ssh_port,
        second_disk: opened.second_disk.as_ref().map(|(_, path)| path.as_path()),
        seed: opened.seed.as_ref().map(|(_, path)| path.as_path()),
        update: archive_name.as_deref(),
        credentials: &credential_names,
        direct: opened.direct.as_ref().or(kernel.as_ref()),
        files: &files,
    };
    let secrets = secrets(options);
    let mut log = match options.report.map(|directory| directory.join(SERIAL_LOG)) {
        Some(path) => {
            let file = File::create(&path).context(|| format!("could not create `{}`", path.display()))?;
            Some(SerialLog::new(file, &secrets))
        }
        None => None,
    };
    let mut log = || {
        let shared = log.as_mut().map(SerialLog::share).transpose();
        shared.context(|| "could not share the serial log".to_owned())
    };
    let screenshot = |guest: &mut Guest| {
        if let Some(directory) = options.report {
            guest.screenshot(&directory.join("screen.png"), progress);
        }
    };

    let mut guest = Guest::start(&machine, log()?, progress)?;
    let mut monitor = BootMonitor::new(options.limits());
    let mut ended = guest.watch(&mut monitor, &options.passphrases, progress);
    if guest.wants_more_of_cpu() && !machine.cmpxchg16b {
        progress.warn("the guest needs x86-64-v2: trying again with all that this QEMU has".to_owned());
        guest.end();
        machine.cmpxchg16b = true;
        guest = Guest::start(&machine, log()?, progress)?;
        monitor = BootMonitor::new(options.limits());
        ended = guest.watch(&mut monitor, &options.passphrases, progress);
    }
    let elapsed = guest.age();
    let mut look = Look::of(ended.unwrap_or(Class::EmulatorFailed));
    let menu = options.update.and_then(|_| loader_with_menu(options));
    let upgrade = if options.update.is_some() { update::upgrade(menu.is_some()) } else { Vec::new() };
    let grown = options.grow.iter().map(|_| health::GROWN.to_owned());
    let commands: Vec<String> =
        grown.chain(options.commands.iter().cloned()).chain(upgrade.clone()).collect();
    look.around(options, &commands, ssh_port, &monitor, &mut guest, progress);
    look.at_size(options);
    screenshot(&mut guest);
    let stages = monitor.stages(elapsed);
    let dwelled = monitor.prompted().map_or(Duration::ZERO, |prompted| elapsed.saturating_sub(prompted));
    let mut updated = None;
    // What is done in each further boot, and judged by.
    let mut rounds: Vec<Round> = options.again.then_some(Round::Again).into_iter().collect();
    if look.class == Class::LoginPrompt && options.update.is_some() {
        match update::judge_upgrade(look.last_answers(upgrade.len())) {
            Ok((kernels, update)) => {
                let chosen = menu.map(|loader| Round::Chosen(loader, kernels.clone()));
                rounds = chosen.into_iter().collect();
                rounds.extend([Round::Updated(kernels.clone()), Round::Removed(kernels)]);
                updated = Some(update);
            }
            Err(lines) => (look.class, look.wrong) = (Class::UpdateFailed, lines),
        }
    }
    let mut again = None;
    for round in rounds {
        if look.class != Class::LoginPrompt {
            break;
        }
        progress.begin("switching off");
        let stalls = guest.stalls().len();
        let Some(power_off) = guest.power_off() else {
            look.class = Class::NoPowerOff;
            look.excuse(&mut guest, stalls);
            break;
        };
        // What it comes to this time is what counts.
        monitor = BootMonitor::new(options.limits());
        guest.wait_for_end();
        guest.end();
        guest = Guest::start(&machine, log()?, progress)?;
        if let Round::Chosen(loader, kernels) = &round {
            guest.choose(OlderKernel::new(*loader, options.firmware, &kernels.old));
        }
        let ended = guest.watch(&mut monitor, &options.passphrases, progress);
        let elapsed = guest.age();
        let mut next = Look::of(ended.unwrap_or(Class::EmulatorFailed));
        let commands = round.commands();
        next.around(options, &commands, ssh_port, &monitor, &mut guest, progress);
        if next.class == Class::LoginPrompt
            && let Some(lines) = round.judge(next.last_answers(commands.len()), options)
        {
            (next.class, next.wrong) = (Class::UpdateFailed, lines);
        }
        if let (Round::Chosen(..), Some(update)) = (&round, &mut updated) {
            update.fallback = Some(next.class == Class::LoginPrompt);
        }
        (look.class, look.wrong) = (next.class, next.wrong);
        if !commands.is_empty() {
            look.answers.extend(next.answers);
        }
        again = Some(Again {
            power_off: rounded(power_off),
            stages: monitor.stages(elapsed),
            seconds: rounded(monitor.prompted().unwrap_or(elapsed)),
        });
        if look.class != Class::LoginPrompt {
            screenshot(&mut guest);
        }
    }
    if is_of_the_emulator(look.class, options.accelerator.accelerator, &monitor.proof()) {
        look.class = Class::EmulatorStall;
    }
    let said = guest.end();
    let lines = match look.class {
        Class::EmulatorFailed => said,
        _ if look.wrong.is_empty() => monitor.proof(),
        _ => look.wrong,
    };
    let clean = |lines: &[String]| lines.iter().map(|line| hidden(line, &secrets)).collect::<Vec<_>>();
    Ok(Attempt {
        class: look.class,
        stage: monitor.stage(),
        witnessed: monitor.witnessed(),
        stages,
        seconds: rounded(elapsed),
        dwelled: rounded(dwelled),
        probed: monitor.probed(),
        lines: clean(&lines),
        notes: notes(options, &monitor),
        kernel: monitor.facts().clone(),
        answers: look
            .answers
            .iter()
            .map(|answer| Answer { lines: clean(&answer.lines), ..answer.clone() })
            .collect(),
        again,
        update: updated,
    })
}

/// A further boot of the same disk.
enum Round {
    Again,
    /// The new kernel is broken: the old one is started from the loader's menu.
    Chosen(Loader, Kernels),
    /// With a new kernel; the old one is removed.
    Updated(Kernels),
    /// With the new kernel alone.
    Removed(Kernels),
}

impl Round {
    fn commands(&self) -> Vec<String> {
        match self {
            Round::Again => Vec::new(),
            Round::Chosen(..) => update::fix(),
            Round::Updated(kernels) => update::remove(kernels),
            Round::Removed(_) => update::last(),
        }
    }

    /// What is wrong.
    fn judge(&self, answers: &[Answer], options: &BootOptions) -> Option<Vec<String>> {
        let planned =
            options.plan.and_then(|plan| plan.boot.as_ref()).map(|boot| boot.kernel_command_line.as_str());
        match self {
            Round::Again => None,
            Round::Chosen(_, kernels) => update::judge_choice(answers, kernels),
            Round::Updated(kernels) => update::judge_removal(answers, kernels, planned, false),
            Round::Removed(kernels) => update::judge_removal(answers, kernels, planned, true),
        }
    }
}

/// The loader, if ister made it and its menu can be seen on the serial console.
fn loader_with_menu(options: &BootOptions) -> Option<Loader> {
    let boot = options.plan?.boot.as_ref()?;
    // Firmware of UEFI shows it there anyway.
    let is_seen = options.firmware == Firmware::Uefi || boot.kernel_command_line.contains("console=ttyS0");
    is_seen.then_some(boot.loader)
}

/// The monitor's, and what the kernel's command line lacks of the plan's.
fn notes(options: &BootOptions, monitor: &BootMonitor) -> Vec<Note> {
    let mut notes = monitor.notes();
    let planned =
        options.plan.and_then(|plan| plan.boot.as_ref()).map(|boot| boot.kernel_command_line.as_str());
    if let Some((planned, line)) = planned.zip(monitor.facts().command_line.as_deref()) {
        let missing: Vec<&str> =
            words(planned).into_iter().filter(|word| !words(line).contains(word)).collect();
        if !missing.is_empty() {
            let line = format!("the kernel was started without `{}`", missing.join(" "));
            notes.push(Note { kind: NoteKind::NotThePlan, line, at: 0.0 });
        }
    }
    notes
}

/// TCG of QEMU 7.2 leaves arbitrary flags behind `cmpxchg16b`, which Linux 6.12 uses to allocate memory: a double fault in 5 of 14
/// starts, none in 8 without the instruction, and none in 8 with QEMU 10.0. Versions between them were not tried.
fn has_good_cmpxchg16b() -> Result<bool, Failure> {
    let version = emulator_version()?;
    let major = version.split_whitespace().find_map(|word| word.split_once('.')?.0.parse::<u32>().ok());
    Ok(major.is_none_or(|major| major >= 10))
}

/// Panics that an emulator without enough time of its host causes: the timer's interrupts did not come. Source: Linux,
/// arch/x86/kernel/apic/io_apic.c, check_timer.
fn is_of_the_emulator(class: Class, accelerator: Accelerator, lines: &[String]) -> bool {
    class == Class::KernelPanic
        && accelerator == Accelerator::Tcg
        && lines.iter().any(|line| line.contains("IO-APIC + timer doesn't work"))
}

/// To hundredths of a second.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

/// What was typed and belongs into no log.
fn secrets<'o>(options: &'o BootOptions) -> Vec<&'o str> {
    let password = options.login.as_ref().and_then(|login| login.password.as_ref());
    let all = options.passphrases.values().chain(password).map(Secret::expose);
    all.filter(|text| text.len() >= SHORTEST_SECRET).collect()
}

fn hidden(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

//! One attempt to boot an image, and the checks that follow the login prompt.

mod files;
mod look;
mod provision;

use super::accel::Accelerator;
use super::attach::Attached;
use super::checks::CheckResult;
use super::guest::Guest;
use super::health;
use super::lan::Lan;
use super::log::{SHORTEST_SECRET, SerialLog};
use super::machine::Machine;
use super::menu::OlderKernel;
use super::monitor::BootMonitor;
use super::netboot;
use super::run::{BootOptions, SERIAL_LOG};
use super::session::Answer;
use super::ssh::free_port;
use super::update::{self, Kernels};
use super::verdict::{Again, Attempt, Class, Note, NoteKind};
use crate::host::{Context, Failure, Progress};
use crate::image::format::NetworkBoot;
use crate::plan::command_line::words;
use crate::plan::{Firmware, Loader};
use crate::template::Secret;
use files::Parts;
use look::Look;
use provision::Provisioned;
pub(crate) use provision::write_fat_medium;
use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Runs an image until the outcome of the boot is certain.
pub(super) fn attempt(
    options: &BootOptions,
    attached: &Attached,
    progress: &dyn Progress,
) -> Result<Attempt, Failure> {
    let ssh_port = match options.ssh {
        Some(_) => Some(free_port().context(|| "could not find a free TCP port for ssh".to_owned())?),
        None => None,
    };
    let ports = forwarded_ports(options)?;
    let provisioned = options.cloud.map(|cloud| Provisioned::new(cloud, options.cloud_fault)).transpose()?;
    let provisioned = provisioned.as_ref();
    let parts = Parts::of(options, attached, provisioned)?;
    let files = parts.files();
    let secrets = secrets(options);
    let log = serial_log(options, &secrets)?;
    let machine = parts.machine(options, ssh_port, &ports, &files)?;
    let network_boot = attached.network_boot();
    let mut bench = Bench { options, machine, log, provisioned, network_boot, ports: &ports, progress };

    let mut run = bench.run(None)?;
    let elapsed = run.guest.age();
    let menu = options.update.and_then(|_| loader_with_menu(options));
    let upgrade = if options.update.is_some() { update::upgrade(menu.is_some()) } else { Vec::new() };
    let grown = options.grow.iter().map(|_| health::GROWN.to_owned());
    let checks = options.checks.commands(options.ssh.is_some());
    let own = options.commands.iter().cloned();
    let commands: Vec<String> = grown.chain(own).chain(checks).chain(upgrade.clone()).collect();
    let mut look = bench.look(&mut run, &commands);
    look.at_size(options);
    if let Some(provisioned) = provisioned {
        look.at_cloud(options, provisioned, &mut run, progress)?;
        look.at_size(options);
    }
    look.at_checks(options, &ports, &mut run.guest, progress);
    bench.screenshot(&mut run.guest);
    let stages = run.monitor.stages(elapsed);
    let dwelled = run.monitor.prompted().map_or(Duration::ZERO, |prompted| elapsed.saturating_sub(prompted));
    let mut updated = None;
    // The further boots, with the checks of each.
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
        let switched_on;
        (run, switched_on) = bench.again(run, &mut look, &round)?;
        let Some(switched_on) = switched_on else { break };
        again = Some(switched_on);
        if let (Round::Chosen(..), Some(update)) = (&round, &mut updated) {
            update.fallback = Some(look.class == Class::LoginPrompt);
        }
    }
    let WatchedBoot { guest, monitor, .. } = run;
    if is_caused_by_emulator(look.class, options.accelerator.accelerator, &monitor.proof()) {
        look.class = Class::EmulatorStall;
    }
    let said = guest.end();
    let lines = match look.class {
        Class::EmulatorFailed => said,
        _ if look.wrong.is_empty() => monitor.proof(),
        _ => look.wrong,
    };
    let clean = |lines: &[String]| lines.iter().map(|line| hidden(line, &secrets)).collect::<Vec<_>>();
    let checks = look.checks.into_iter();
    let checks = checks.map(|result| CheckResult { problems: clean(&result.problems), ..result });
    let answers = look.answers.iter().map(|answer| Answer { lines: clean(&answer.lines), ..answer.clone() });
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
        answers: answers.collect(),
        checks: checks.collect(),
        cloud_requests: provisioned.map(Provisioned::requests).unwrap_or_default(),
        again,
        update: updated,
    })
}

/// The log in the report, if there is one.
fn serial_log(options: &BootOptions, secrets: &[&str]) -> Result<Option<SerialLog>, Failure> {
    let Some(path) = options.report.map(|directory| directory.join(SERIAL_LOG)) else { return Ok(None) };
    let file = File::create(&path).context(|| format!("could not create `{}`", path.display()))?;
    Ok(Some(SerialLog::new(file, secrets)))
}

/// Free ports of this host for HTTP requests, by the guest's ports.
fn forwarded_ports(options: &BootOptions) -> Result<BTreeMap<u16, u16>, Failure> {
    let free = |guest| {
        let port = free_port().context(|| "could not find a free TCP port for HTTP".to_owned())?;
        Ok((guest, port))
    };
    options.checks.ports().into_iter().map(free).collect()
}

/// The port of an ssh server.
const SSH: u16 = 22;

/// State shared by all boots of an attempt.
struct Bench<'b> {
    options: &'b BootOptions<'b>,
    machine: Machine<'b>,
    log: Option<SerialLog>,
    provisioned: Option<&'b Provisioned>,
    network_boot: Option<&'b NetworkBoot>,
    ports: &'b BTreeMap<u16, u16>,
    progress: &'b dyn Progress,
}

/// A guest whose boot was watched to its end.
struct WatchedBoot {
    /// The port of the host that leads to the guest's ssh server, in a cloud.
    cloud_port: Option<u16>,
    guest: Guest,
    monitor: BootMonitor,
    ended: Class,
}

impl Bench<'_> {
    /// Starts the guest and watches it. `keys` selects an entry in the boot loader's menu.
    fn run(&mut self, keys: Option<OlderKernel>) -> Result<WatchedBoot, Failure> {
        let log = self.log.as_mut().map(SerialLog::share).transpose();
        let log = log.context(|| "could not duplicate the file descriptor of the serial log".to_owned())?;
        let (lan, cloud_port) = match self.provisioned.map(Provisioned::network).transpose()? {
            Some((lan, socket, port)) => (Some((lan, socket)), Some(port)),
            None => (self.network_boot()?, None),
        };
        let mut guest = Guest::start(&self.machine, lan, log, self.progress)?;
        let is_plain = keys.is_none();
        if let Some(keys) = keys {
            guest.choose(keys);
        }
        let mut monitor = BootMonitor::new(self.options.limits());
        let ended = guest.watch(&mut monitor, &self.options.passphrases, self.progress);
        if is_plain && guest.needs_newer_cpu() && !self.machine.cmpxchg16b {
            self.progress.warn(
                "the guest needs x86-64-v2: trying again with all CPU features of this QEMU".to_owned(),
            );
            guest.end();
            self.machine.cmpxchg16b = true;
            return self.run(None);
        }
        Ok(WatchedBoot { cloud_port, guest, monitor, ended: ended.unwrap_or(Class::EmulatorFailed) })
    }

    /// The network segment with the server of a network boot.
    fn network_boot(&self) -> Result<Option<(Lan, UnixStream)>, Failure> {
        let Some(boot) = self.network_boot.filter(|_| self.machine.direct.is_none()) else { return Ok(None) };
        let ssh = self.machine.ssh_port.map(|port| (port, SSH));
        let ports = self.ports.iter().map(|(guest, port)| (*port, *guest));
        netboot::serve(boot, &ssh.into_iter().chain(ports).collect::<Vec<_>>()).map(Some)
    }

    fn look(&self, run: &mut WatchedBoot, commands: &[String]) -> Look {
        let mut look = Look::of(run.ended);
        let ssh_port = self.machine.ssh_port;
        look.around(self.options, commands, ssh_port, &run.monitor, &mut run.guest, self.progress);
        look
    }

    fn screenshot(&self, guest: &mut Guest) {
        if let Some(directory) = self.options.report {
            guest.screenshot(&directory.join("screen.png"), self.progress);
        }
    }

    /// Powers the guest off and boots it again. The result of this boot replaces the previous one. Returns nothing if
    /// the guest did not power off.
    fn again(
        &mut self,
        mut run: WatchedBoot,
        look: &mut Look,
        round: &Round,
    ) -> Result<(WatchedBoot, Option<Again>), Failure> {
        self.progress.begin("powering off");
        let stalls = run.guest.stalls().len();
        let Some(power_off) = run.guest.power_off() else {
            look.class = Class::NoPowerOff;
            look.excuse(&mut run.guest, stalls);
            return Ok((run, None));
        };
        run.guest.wait_for_end();
        run.guest.end();
        let keys = match round {
            Round::Chosen(loader, kernels) => Some(OlderKernel::new(*loader, &kernels.old)),
            _ => None,
        };
        let mut run = self.run(keys)?;
        let elapsed = run.guest.age();
        let commands = round.commands(self.options);
        let mut next = self.look(&mut run, &commands);
        if matches!(round, Round::Again) {
            next.at_checks(self.options, self.ports, &mut run.guest, self.progress);
        }
        if next.class == Class::CheckFailed {
            look.checks = std::mem::take(&mut next.checks);
        }
        if next.class == Class::LoginPrompt
            && let Some(lines) = round.judge(next.last_answers(commands.len()), self.options)
        {
            (next.class, next.wrong) = (Class::UpdateFailed, lines);
        }
        (look.class, look.wrong) = (next.class, next.wrong);
        if !matches!(round, Round::Again) {
            look.answers.extend(next.answers);
        }
        if look.class != Class::LoginPrompt {
            self.screenshot(&mut run.guest);
        }
        let again = Again {
            power_off: rounded(power_off),
            stages: run.monitor.stages(elapsed),
            seconds: rounded(run.monitor.prompted().unwrap_or(elapsed)),
        };
        Ok((run, Some(again)))
    }
}

/// A further boot of the same disk.
enum Round {
    Again,
    /// The new kernel is damaged, and the old one is selected in the boot loader's menu.
    Chosen(Loader, Kernels),
    /// The new kernel runs; the old one is then removed.
    Updated(Kernels),
    /// Only the new kernel is installed.
    Removed(Kernels),
}

impl Round {
    fn commands(&self, options: &BootOptions) -> Vec<String> {
        match self {
            Round::Again => options.checks.commands(options.ssh.is_some()),
            Round::Chosen(..) => update::fix(),
            Round::Updated(kernels) => update::remove(kernels),
            Round::Removed(_) => update::last(),
        }
    }

    /// The problems found in this boot.
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

/// The boot loader, if ister installed it and its menu is visible on the serial console.
fn loader_with_menu(options: &BootOptions) -> Option<Loader> {
    let boot = options.plan?.boot.as_ref()?;
    // UEFI firmware mirrors the menu to the serial console in any case.
    let is_seen = options.firmware == Firmware::Uefi || boot.kernel_command_line.contains("console=ttyS0");
    is_seen.then_some(boot.loader)
}

/// The notes of the monitor, and the options of the plan that the kernel's command line lacks.
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

/// Kernel panics caused by an emulator that gets too little CPU time: the timer interrupts did not arrive. Source:
/// Linux, arch/x86/kernel/apic/io_apic.c, check_timer.
fn is_caused_by_emulator(class: Class, accelerator: Accelerator, lines: &[String]) -> bool {
    class == Class::KernelPanic
        && accelerator == Accelerator::Tcg
        && lines.iter().any(|line| line.contains("IO-APIC + timer doesn't work"))
}

/// Rounds to hundredths of a second.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

/// Typed text that must not appear in a log.
fn secrets<'o>(options: &'o BootOptions) -> Vec<&'o str> {
    let password = options.login.as_ref().and_then(|login| login.password.as_ref());
    let all = options.passphrases.values().chain(password).map(Secret::expose);
    all.filter(|text| text.len() >= SHORTEST_SECRET).collect()
}

fn hidden(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

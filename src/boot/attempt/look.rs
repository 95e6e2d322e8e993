//! Checks in a guest that has reached its login prompt.

use super::super::checks::{CheckOutcome, CheckResult, Judged};
use super::super::guest::Guest;
use super::super::monitor::BootMonitor;
use super::super::run::BootOptions;
use super::super::session::{Answer, Login, Session, SessionError};
use super::super::ssh::{NO_LOGIN, Ssh, run_over_ssh};
use super::super::verdict::Class;
use super::super::{cloud, health, mounts};
use super::WatchedBoot;
use super::provision::Provisioned;
use crate::host::{Failure, Progress};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// cloud-init finishes 25 to 130 s after the prompt under TCG, and later on a busy host.
const REPORT: Duration = Duration::from_secs(400);
/// The report is sent before cloud-init's last message.
const AFTERWARDS: Duration = Duration::from_secs(10);

/// The results of these checks.
pub(super) struct Look {
    pub(super) class: Class,
    /// The lines that prove a problem.
    pub(super) wrong: Vec<String>,
    pub(super) answers: Vec<Answer>,
    pub(super) checks: Vec<CheckResult>,
}

impl Look {
    pub(super) fn of(class: Class) -> Look {
        Look { class, wrong: Vec::new(), answers: Vec::new(), checks: Vec::new() }
    }

    /// Runs all requested checks. Each command is run only once.
    pub(super) fn around(
        &mut self,
        options: &BootOptions,
        commands: &[String],
        ssh_port: Option<u16>,
        monitor: &BootMonitor,
        guest: &mut Guest,
        progress: &dyn Progress,
    ) {
        self.at_host_name(options.host, monitor);
        self.inside(options, commands, monitor, guest, progress);
        if let Some(by) = options.ssh.as_ref().zip(ssh_port) {
            self.over_ssh(options, commands, by, monitor, guest, progress);
        }
        if options.healthy
            && self.class == Class::LoginPrompt
            && let Some(found) = health::judge_notes(&monitor.notes(), options.allowed)
        {
            (self.class, self.wrong) = found;
        }
    }

    /// The answers to the commands that were run last. Later commands over ssh are not included.
    pub(super) fn last_answers(&self, count: usize) -> &[Answer] {
        let answers = match &self.answers[..] {
            [before @ .., mounts, free] if [&mounts.command[..], &free.command[..]] == health::ROOT => before,
            all => all,
        };
        &answers[answers.len().saturating_sub(count)..]
    }

    pub(super) fn at_size(&mut self, options: &BootOptions) {
        let (Class::LoginPrompt, Some(more)) = (self.class, options.grow) else { return };
        let answer = self.answers.iter().find(|answer| answer.command == health::GROWN);
        if let Some(found) = answer.and_then(|answer| health::judge_grown(answer, options.plan, more)) {
            (self.class, self.wrong) = found;
        }
    }

    /// Waits for the report of a cloud's instance, logs in with the key of the metadata, and compares.
    pub(super) fn at_cloud(
        &mut self,
        options: &BootOptions,
        provisioned: &Provisioned,
        run: &mut WatchedBoot,
        progress: &dyn Progress,
    ) -> Result<(), Failure> {
        if self.class != Class::LoginPrompt {
            return Ok(());
        }
        progress.begin("waiting for the report of the instance");
        let stalls = run.guest.stalls().len();
        let mut until = Instant::now() + REPORT;
        let host_key = loop {
            if run.guest.cloud_init_is_done() {
                until = until.min(Instant::now() + AFTERWARDS);
            }
            let home = provisioned.log.lock().expect("no holder panics").phone_home.clone();
            if home.is_some() || Instant::now() >= until {
                break home.map(|home| home.key);
            }
            // This returns immediately if QEMU has exited.
            if run.guest.bytes(Duration::from_millis(500)).is_none() && run.guest.has_died() {
                self.class = Class::EmulatorFailed;
                return Ok(());
            }
        };
        let log = || provisioned.log.lock().expect("no holder panics");
        let cloud = provisioned.cloud;
        let (Some(host_key), Some(port)) = (host_key, run.cloud_port) else {
            (self.class, self.wrong) = cloud::judge_without_login(cloud, &log(), Vec::new());
            self.excuse(&mut run.guest, stalls);
            return Ok(());
        };
        let ssh = provisioned.ssh(&host_key)?;
        progress.begin(format!("logging in as {} over ssh", ssh.user));
        let mut commands: Vec<String> = cloud::COMMANDS.map(str::to_owned).to_vec();
        commands.extend(options.grow.map(|_| health::GROWN.to_owned()));
        match meanwhile(&mut run.guest, || run_over_ssh(&ssh, port, &commands)) {
            Ok(answers) => {
                if let Some(found) = cloud::judge(cloud, &provisioned.instance, &log(), &answers) {
                    (self.class, self.wrong) = found;
                }
                self.answers.extend(answers);
            }
            // The key was accepted before.
            Err(fault) if fault.what != NO_LOGIN => {
                (self.class, self.wrong) = (Class::SshFailed, fault.into_lines())
            }
            Err(fault) => {
                (self.class, self.wrong) = cloud::judge_without_login(cloud, &log(), fault.into_lines());
            }
        }
        self.excuse(&mut run.guest, stalls);
        Ok(())
    }

    /// Evaluates the checks, and removes their commands from the answers.
    pub(super) fn at_checks(
        &mut self,
        options: &BootOptions,
        ports: &BTreeMap<u16, u16>,
        guest: &mut Guest,
        progress: &dyn Progress,
    ) {
        if options.checks.is_empty() {
            return;
        }
        let commands = options.checks.commands(options.ssh.is_some());
        let (asked, others) = std::mem::take(&mut self.answers)
            .into_iter()
            .partition::<Vec<_>, _>(|answer| commands.contains(&answer.command));
        self.answers = others;
        if self.class != Class::LoginPrompt {
            return;
        }
        let requests: Vec<_> = options.checks.http().map(|(index, _, request)| (index, request)).collect();
        if !requests.is_empty() {
            progress.begin("sending HTTP requests to the guest");
        }
        let send =
            || requests.iter().map(|(index, request)| (*index, request.send(ports))).collect::<Vec<_>>();
        let stalls = guest.stalls().len();
        let responses = meanwhile(guest, send);
        let Judged { results, archives } = options.checks.judge(&asked, &responses);
        for (name, archive) in archives {
            let Some(directory) = options.report else { continue };
            if let Err(error) = std::fs::write(directory.join(&name), archive) {
                progress.warn(format!("could not write `{}`: {error}", directory.join(&name).display()));
            }
        }
        let failed = |result: &&CheckResult| result.outcome == CheckOutcome::Failed;
        let wrong = results.iter().filter(failed).flat_map(|result| {
            result.problems.iter().map(move |problem| format!("{}: {problem}", result.check))
        });
        self.wrong = wrong.collect();
        if results.iter().any(|result| failed(&result)) {
            self.class = Class::CheckFailed;
        }
        self.checks = results;
        self.excuse(guest, stalls);
    }

    pub(super) fn at_host_name(&mut self, host: Option<&str>, monitor: &BootMonitor) {
        let (Class::LoginPrompt, Some(host)) = (self.class, host) else { return };
        let is_prompt = |line: &String| line.starts_with(&format!("{host} login:"));
        if !monitor.proof().last().is_some_and(is_prompt) {
            self.class = Class::WrongHost;
        }
    }

    /// Logs in on the console, compares the mounts with the plan, and runs the commands unless ssh does so.
    pub(super) fn inside(
        &mut self,
        options: &BootOptions,
        commands: &[String],
        monitor: &BootMonitor,
        guest: &mut Guest,
        progress: &dyn Progress,
    ) {
        let (Class::LoginPrompt, Some(login)) = (self.class, &options.login) else { return };
        progress.begin(format!("logging in as {}", login.user));
        let stalls = guest.stalls().len();
        let console = guest.console();
        let mut next = |patience: Duration| guest.bytes(patience);
        let mut session = Session::new(&console, &mut next);
        match self.talk(options, commands, monitor, login, &mut session) {
            Ok(None) => {}
            Ok(Some(found)) => (self.class, self.wrong) = found,
            Err(fault) => (self.class, self.wrong) = (Class::LoginFailed, fault.into_lines()),
        }
        self.excuse(guest, stalls);
    }

    /// Attributes a failure after the prompt to the host if the kernel reported new stalls. `stalls` is the number of
    /// stalls reported before.
    pub(super) fn excuse(&mut self, guest: &mut Guest, stalls: usize) {
        if !matches!(
            self.class,
            Class::LoginFailed
                | Class::SshFailed
                | Class::Degraded
                | Class::NoPowerOff
                | Class::CheckFailed
                | Class::MetadataUnused
                | Class::UserDataUnused
                | Class::NoSshKey
                | Class::NoDns
        ) {
            return;
        }
        if guest.has_died() {
            (self.class, self.wrong) = (Class::EmulatorFailed, Vec::new());
        } else if let more @ [_, ..] = &guest.stalls()[stalls..] {
            (self.class, self.wrong) = (Class::EmulatorStall, more.to_vec());
        }
    }

    /// Runs the checks over the console session and returns the problems found.
    pub(super) fn talk(
        &mut self,
        options: &BootOptions,
        commands: &[String],
        monitor: &BootMonitor,
        login: &Login,
        session: &mut Session,
    ) -> Result<Option<(Class, Vec<String>)>, SessionError> {
        session.log_in(login)?;
        let mut wrong = None;
        // With ssh the same checks run over ssh.
        let by_ssh = options.ssh.is_some();
        if options.healthy && !by_ssh {
            for command in health::COMMANDS {
                self.answers.push(session.run(command)?);
            }
            wrong = health::judge(&self.answers, options.plan, options.grow.is_some(), options.host);
        } else if let Some(plan) = options.plan {
            let mounted = session.run(mounts::MOUNTS)?;
            let swaps = session.run(mounts::SWAPS)?;
            let sizes = session.run(mounts::SIZES)?;
            let found =
                mounts::judge(plan, &mounted.lines, &swaps.lines, &sizes.lines, options.grow.is_some());
            wrong = (!found.is_empty()).then_some((Class::WrongMounts, found));
            self.answers.extend([mounted, swaps, sizes]);
        }
        if monitor.doubts_root() {
            let [mounts, free] = [session.run(health::ROOT[0])?, session.run(health::ROOT[1])?];
            wrong = health::judge_root(&mounts, &free).or(wrong);
            self.answers.extend([mounts, free]);
        }
        if !by_ssh {
            for command in commands {
                self.answers.push(session.run(command)?);
            }
        }
        Ok(wrong)
    }

    pub(super) fn over_ssh(
        &mut self,
        options: &BootOptions,
        commands: &[String],
        (ssh, port): (&Ssh, u16),
        monitor: &BootMonitor,
        guest: &mut Guest,
        progress: &dyn Progress,
    ) {
        if self.class != Class::LoginPrompt {
            return;
        }
        progress.begin(format!("logging in as {} over ssh", ssh.user));
        let stalls = guest.stalls().len();
        let health = health::COMMANDS.iter().filter(|_| options.healthy).map(|text| (*text).to_owned());
        let root = health::ROOT.iter().filter(|_| monitor.doubts_root()).map(|text| (*text).to_owned());
        let commands: Vec<String> = health.chain(commands.iter().cloned()).chain(root).collect();
        let said = meanwhile(guest, || run_over_ssh(ssh, port, &commands));
        match said {
            Ok(said) => {
                if options.healthy
                    && let Some(found) =
                        health::judge(&said, options.plan, options.grow.is_some(), options.host)
                {
                    (self.class, self.wrong) = found;
                }
                if monitor.doubts_root()
                    && let [.., mounts, free] = &said[..]
                    && let Some(found) = health::judge_root(mounts, free)
                {
                    (self.class, self.wrong) = found;
                }
                self.answers.extend(said);
            }
            Err(fault) => (self.class, self.wrong) = (Class::SshFailed, fault.into_lines()),
        }
        self.excuse(guest, stalls);
    }
}

/// Does something with the guest while the output of its console is read and logged.
fn meanwhile<T: Send>(guest: &mut Guest, work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = scope.spawn(work);
        while !running.is_finished() {
            // This returns immediately if QEMU has exited.
            if guest.bytes(Duration::from_millis(200)).is_none() {
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        running.join().expect("the thread does not panic")
    })
}

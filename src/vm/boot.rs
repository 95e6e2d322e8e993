//! Running QEMU and feeding the witness.

use super::accel::{Accelerator, Choice};
use super::firmware::find_ovmf;
use super::health;
use super::machine::{DirectKernel, Hardware, Machine, Network, credential};
use super::mounts;
use super::qmp::{Qmp, QmpEvent};
use super::question::answer;
use super::screen::{Font, Picture};
use super::session::{Answer, Login, Session, SessionFault};
use super::ssh::{Ssh, free_port, run_over_ssh};
use super::template_lines::lines_to_look_at;
use super::verdict::{Again, Attempt, Class, Outcome, Verdict};
use super::witness::{Goal, Limits, Stage, Witness};
use crate::format::{self, NetworkBoot};
use crate::layout::SectorSize;
use crate::plan::{Firmware, Plan};
use crate::template::{SourceText, parse};
use crate::tool::{Context, Failure, Progress, inherit, spawn};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

/// What to boot, and how.
pub struct BootOrder<'a> {
    pub image: &'a Path,
    pub firmware: Firmware,
    pub accelerator: Choice,
    pub hardware: Hardware,
    /// The hard cap; nothing means the default for the accelerator.
    pub timeout: Option<Duration>,
    /// Where serial log and screenshot go.
    pub report: Option<&'a Path>,
    /// What opens encrypted volumes, by the name of the mapping.
    pub passphrases: BTreeMap<String, String>,
    /// Who logs in at the prompt.
    pub login: Option<Login>,
    /// Who connects over ssh; commands then run there.
    pub ssh: Option<Ssh>,
    /// What is run then.
    pub commands: Vec<String>,
    pub goal: Goal,
    pub network: Network,
    /// A second disk, which the guest may write to.
    pub second_disk: Option<&'a Path>,
    /// Settings for the instance, a raw image.
    pub seed: Option<&'a Path>,
    /// systemd's credentials.
    pub credentials: Vec<(String, Vec<u8>)>,
    pub direct: Option<DirectKernel>,
    /// The host name that the prompt must have.
    pub host: Option<&'a str>,
    /// Whoever logs in over ssh finds a system in which nothing failed, and the plan's mounts.
    pub healthy: bool,
    /// After the prompt: the power button, and once more.
    pub again: bool,
    /// What the disk says of its logical blocks.
    pub sector_size: SectorSize,
    /// What it was built from, if that is known.
    pub template: Option<&'a SourceText>,
    /// Held against the guest's mounts, if somebody logs in.
    pub plan: Option<&'a Plan>,
}

/// Runs that fail by the host's fault are repeated this often.
const RETRIES: usize = 2;
/// How often disk traffic is asked for.
const POLL: Duration = Duration::from_secs(2);

impl BootOrder<'_> {
    /// What was typed and belongs into no log.
    fn secrets(&self) -> Vec<&str> {
        let password = self.login.as_ref().and_then(|login| login.password.as_deref());
        self.passphrases.values().map(String::as_str).chain(password).filter(|text| text.len() >= 4).collect()
    }

    /// TCG needs about ten times the CPU time of KVM; half of that is waiting in both.
    fn limits(&self) -> Limits {
        let (silence, total) = match self.accelerator.accelerator {
            Accelerator::Kvm => (30, 120),
            Accelerator::Tcg => (90, 600),
        };
        let total = self.timeout.unwrap_or(Duration::from_secs(total));
        Limits { silence: Duration::from_secs(silence).min(total), total, goal: self.goal }
    }
}

/// Boots an image until it is clear how that ends.
pub fn boot(order: &BootOrder, progress: &dyn Progress) -> Result<Verdict, Failure> {
    let attached = attach(order.image)?;
    if let Some(folder) = order.report {
        std::fs::create_dir_all(folder)
            .context(|| format!("could not create the folder `{}`", folder.display()))?;
    }
    if let Some(folder) = order.report {
        // Of an earlier boot: they would be taken for this one's.
        for name in ["serial.log", "screen.png", "verdict.json"] {
            let _ = std::fs::remove_file(folder.join(name));
        }
    }
    let mut earlier = Vec::new();
    let last = loop {
        let attempt = attempt(order, &attached, progress)?;
        if attempt.class.is_infrastructure() && earlier.len() < RETRIES {
            progress.warn(format!(
                "{} at stage {}, not the image's fault; trying again",
                attempt.class, attempt.stage
            ));
            earlier.push(attempt);
            continue;
        }
        break attempt;
    };
    let kept = |name: &str| order.report.map(|folder| folder.join(name)).filter(|path| path.exists());
    let verdict = Verdict {
        version: 1,
        image: order.image.to_owned(),
        outcome: match last.class {
            class if class == order.goal.class() => Outcome::Reached,
            class if class.is_infrastructure() => Outcome::Infrastructure,
            _ => Outcome::Failed,
        },
        firmware: order.firmware,
        accelerator: order.accelerator.accelerator,
        accelerator_reason: order.accelerator.reason.clone(),
        hardware: order.hardware,
        look_at: match order.template {
            Some(source) if last.class != order.goal.class() => {
                lines_to_look_at(last.class, source, &parse(source).1)
            }
            _ => Vec::new(),
        },
        advice: last.class.advice().filter(|_| last.class != order.goal.class()).map(str::to_owned),
        last,
        earlier,
        serial_log: kept("serial.log"),
        screenshot: kept("screen.png"),
    };
    if let Some(folder) = order.report {
        let path = folder.join("verdict.json");
        let text = serde_json::to_string_pretty(&verdict).expect("a verdict is plain data") + "\n";
        std::fs::write(&path, text).context(|| format!("could not write `{}`", path.display()))?;
    }
    Ok(verdict)
}

/// What QEMU opens.
enum Attached {
    /// With the name of its format.
    Named(PathBuf, &'static str),
    /// What a packed image was unpacked to.
    Unnamed(File),
    /// No disk at all.
    Network(NetworkBoot),
}

impl Attached {
    fn disk(&self) -> Result<Option<(PathBuf, &'static str)>, Failure> {
        Ok(match self {
            Attached::Named(path, format) => Some((path.clone(), format)),
            Attached::Unnamed(file) => Some((inherited(file)?, "raw")),
            Attached::Network(_) => None,
        })
    }

    /// What is started without a loader.
    fn kernel(&self) -> Result<Option<DirectKernel>, Failure> {
        let Attached::Network(network) = self else { return Ok(None) };
        Ok(Some(DirectKernel {
            kernel: inherited(&network.kernel)?,
            initrd: Some(inherited(&network.initrd)?),
            command_line: network.command_line.clone(),
        }))
    }
}

/// How QEMU names a file that it inherits.
fn inherited(file: &File) -> Result<PathBuf, Failure> {
    Ok(PathBuf::from(format!("/proc/self/fd/{}", inherit(file)?)))
}

/// What of an image QEMU can open, and the name of its format: QEMU must be told, it would otherwise guess from what a
/// guest can write. Packed ones are unpacked to unnamed files.
///
/// One that refers to other files of the host is refused: whoever made it might read them from inside.
fn attach(image: &Path) -> Result<Attached, Failure> {
    let context = || format!("could not read the image `{}`", image.display());
    let file = File::open(image).context(|| format!("could not open the image `{}`", image.display()))?;
    let kind = format::kind_of(&file).context(context)?;
    if file.metadata().context(context)?.len() == 0 {
        return Err(Failure::new(format!("`{}` is no image: it is empty", image.display())));
    }
    match kind {
        format::Kind::Packed if format::is_network_boot(&file).context(context)? => {
            format::open_network_boot(image, &std::env::temp_dir()).map(Attached::Network)
        }
        format::Kind::Packed => {
            let opened = format::open(image, &std::env::temp_dir())?;
            Ok(Attached::Unnamed(opened.file))
        }
        format::Kind::Image(kind) => {
            format::stands_alone(&file, kind)
                .map_err(|failure| failure.context(format!("`{}` cannot be booted", image.display())))?;
            let path =
                std::path::absolute(image).context(|| format!("could not resolve `{}`", image.display()))?;
            Ok(Attached::Named(path, kind.qemu_name()))
        }
    }
}

enum Seen {
    Serial(Vec<u8>),
    Event(QmpEvent),
    /// QEMU closed the serial console: it has ended.
    Closed,
}

/// Ends QEMU however this function is left.
struct Qemu(Child);

impl Drop for Qemu {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn attempt(order: &BootOrder, attached: &Attached, progress: &dyn Progress) -> Result<Attempt, Failure> {
    let disk = attached.disk()?;
    let kernel = attached.kernel()?;
    let ovmf = match order.firmware {
        Firmware::Uefi => Some(find_ovmf()?),
        Firmware::Bios => None,
    };
    let pair = || UnixStream::pair().context(|| "could not make a socket for QEMU".to_owned());
    let ssh_port = match order.ssh {
        Some(_) => Some(free_port().context(|| "could not find a free port for ssh".to_owned())?),
        None => None,
    };
    let credentials = credential_files(&order.credentials)
        .context(|| "could not write the credentials for the guest".to_owned())?;
    let credential_numbers = credentials.iter().map(inherit).collect::<Result<Vec<_>, _>>()?;
    let (serial, serial_end) = pair()?;
    let (monitor, monitor_end) = pair()?;
    let machine = Machine {
        image: disk.as_ref().map(|(path, format)| (path.as_path(), *format)),
        hardware: order.hardware,
        sector_size: order.sector_size,
        ovmf: ovmf.as_ref(),
        accelerator: order.accelerator.accelerator,
        network: order.network,
        ssh_port,
        second_disk: order.second_disk,
        seed: order.seed,
        credentials: &credential_numbers,
        direct: order.direct.as_ref().or(kernel.as_ref()),
        stays: order.again,
        serial: inherit(&serial_end)?,
        monitor: inherit(&monitor_end)?,
    };
    let log_path = order.report.map(|folder| folder.join("serial.log"));
    let mut log = match &log_path {
        Some(path) => Some(File::create(path).context(|| format!("could not create `{}`", path.display()))?),
        None => None,
    };

    let invocation = machine.invocation();
    let started = Instant::now();
    let mut qemu = Qemu(spawn(&invocation, Stdio::null(), Stdio::null(), Stdio::piped())?);
    drop((serial_end, monitor_end));
    progress.begin("booting: firmware");
    let mut stderr = qemu.0.stderr.take().expect("stderr is piped");
    let said = std::thread::spawn(move || {
        let mut text = Vec::new();
        let _ = stderr.read_to_end(&mut text);
        String::from_utf8_lossy(&text).trim().to_owned()
    });
    let (sender, seen) = channel();
    let console = serial.try_clone().context(|| "could not share the serial console".to_owned())?;
    read_serial(serial, sender.clone());
    let context = || "could not talk to QEMU".to_owned();
    let mut qmp = Qmp::new(monitor, move |event| drop(sender.send(Seen::Event(event)))).context(context)?;

    let mut witness = Witness::new(order.limits());
    let screen = Screen::new().context(|| "could not make a file for the screen".to_owned())?;
    let mut watched = Watched { screen: &screen, seen: &seen, log: &mut log, console: &console, started };
    let ended = watch(order, &mut witness, &mut watched, &mut qmp, progress);
    let elapsed = started.elapsed();
    let mut class = match ended {
        Some(class) => class,
        None => Class::EmulatorFailed,
    };
    let mut answers = Vec::new();
    let mut wrong = Vec::new();
    if let (Class::LoginPrompt, Some(host)) = (class, order.host)
        && !witness.proof().last().is_some_and(|prompt| prompt.starts_with(&format!("{host} login:")))
    {
        class = Class::WrongHost;
    }
    if class == Class::LoginPrompt
        && let Some(login) = &order.login
    {
        progress.begin(format!("logging in as {}", login.user));
        (class, wrong) = look_inside(order, login, &mut watched, &mut answers);
    }
    if class == Class::LoginPrompt
        && let Some((ssh, port)) = order.ssh.as_ref().zip(ssh_port)
    {
        progress.begin(format!("logging in as {} over ssh", ssh.user));
        // Whatever the console says meanwhile is kept.
        let over_ssh = std::thread::scope(|scope| {
            let health = health::COMMANDS.iter().filter(|_| order.healthy).map(|text| (*text).to_owned());
            let commands: Vec<String> = health.chain(order.commands.iter().cloned()).collect();
            let running = scope.spawn(move || run_over_ssh(ssh, port, &commands));
            while !running.is_finished() {
                // Nothing comes at once where QEMU has gone.
                if watched.bytes(Duration::from_millis(200)).is_none() {
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
            running.join()
        });
        match over_ssh.expect("ssh's thread does not panic") {
            Ok(said) => {
                if order.healthy
                    && let Some((what, lines)) = health::judge(&said, order.plan)
                {
                    (class, wrong) = (what, lines);
                }
                answers.extend(said);
            }
            Err(fault) => {
                class = Class::SshFailed;
                wrong = std::iter::once(fault.what).chain(fault.lines).collect();
            }
        }
    }
    if let Some(folder) = order.report {
        screenshot(&mut qmp, &folder.join("screen.png"), progress);
    }
    let first = (witness.stage(), witness.stages(elapsed));
    let mut again = None;
    if class == Class::LoginPrompt && order.again {
        progress.begin("switching off");
        match power_off(&mut qmp, &mut watched) {
            None => class = Class::NoPowerOff,
            Some(seconds) => {
                progress.begin("booting again");
                witness = Witness::new(order.limits());
                watched.started = Instant::now();
                class = match restart(&mut qmp) {
                    Ok(()) => watch(order, &mut witness, &mut watched, &mut qmp, progress),
                    Err(_) => None,
                }
                .unwrap_or(Class::EmulatorFailed);
                let elapsed = watched.started.elapsed();
                again = Some(Again {
                    power_off: rounded(seconds),
                    stages: witness.stages(elapsed),
                    seconds: rounded(elapsed),
                });
                if class != Class::LoginPrompt
                    && let Some(folder) = order.report
                {
                    screenshot(&mut qmp, &folder.join("screen.png"), progress);
                }
            }
        }
    }
    drop(qemu);
    let secrets = order.secrets();
    if let Some(path) = &log_path {
        without_secrets(path, &secrets).context(|| format!("could not write `{}`", path.display()))?;
    }
    let mut lines = if wrong.is_empty() { witness.proof() } else { wrong };
    if class == Class::EmulatorFailed {
        lines = said.join().unwrap_or_default().lines().map(str::to_owned).collect();
        lines.insert(0, invocation.to_string());
    }
    let lines = lines.iter().map(|line| hidden(line, &secrets)).collect();
    // A second boot that failed is what counts; what it reached is where it failed.
    let stage = if again.is_some() { witness.stage() } else { first.0 };
    Ok(Attempt {
        class,
        stage,
        witnessed: witness.witnessed(),
        stages: first.1,
        seconds: rounded(elapsed),
        lines,
        answers,
        again,
    })
}

/// To hundredths of a second.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 100.0).round() / 100.0
}

/// The power button: how long the guest took to end, if it did.
fn power_off(qmp: &mut Qmp, watched: &mut Watched) -> Option<Duration> {
    /// systemd gives a unit 90 s to stop.
    const PATIENCE: Duration = Duration::from_secs(180);
    let pressed = Instant::now();
    qmp.execute("system_powerdown", json!({}), Duration::from_secs(10)).ok()?;
    while let Some(patience) = PATIENCE.checked_sub(pressed.elapsed()) {
        match watched.seen.recv_timeout(patience) {
            Ok(Seen::Serial(bytes)) => watched.keep(&bytes),
            Ok(Seen::Event(event)) if event.name == "SHUTDOWN" => {
                return event.data["guest"].as_bool().filter(|by_guest| *by_guest).map(|_| pressed.elapsed());
            }
            Ok(Seen::Event(_)) => {}
            Ok(Seen::Closed) | Err(_) => return None,
        }
    }
    None
}

/// From the beginning, with the disk as it was left.
fn restart(qmp: &mut Qmp) -> Result<(), String> {
    for command in ["system_reset", "cont"] {
        qmp.execute(command, json!({}), Duration::from_secs(10))?;
    }
    Ok(())
}

/// Without names, so that nobody else opens them.
fn credential_files(credentials: &[(String, Vec<u8>)]) -> std::io::Result<Vec<File>> {
    let write = |(name, value): &(String, Vec<u8>)| {
        let mut file = tempfile::tempfile()?;
        file.write_all(credential(name, value).as_bytes())?;
        Ok(file)
    };
    credentials.iter().map(write).collect()
}

/// A guest may echo what was typed before it turned that off.
fn hidden(text: &str, secrets: &[&str]) -> String {
    secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret, "…"))
}

fn without_secrets(path: &Path, secrets: &[&str]) -> std::io::Result<()> {
    if secrets.is_empty() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&std::fs::read(path)?).into_owned();
    let clean = hidden(&text, secrets);
    if clean == text { Ok(()) } else { std::fs::write(path, clean) }
}

/// Logs in and runs commands; the class says whether all went well, the lines what did not.
fn look_inside(
    order: &BootOrder,
    login: &Login,
    watched: &mut Watched,
    answers: &mut Vec<Answer>,
) -> (Class, Vec<String>) {
    let console = watched.console;
    let mut next = |patience: Duration| watched.bytes(patience);
    let mut session = Session::new(console, &mut next);
    let mut talk = || -> Result<Vec<String>, SessionFault> {
        session.log_in(login)?;
        let mut wrong = Vec::new();
        if let Some(plan) = order.plan {
            let mounted = session.run(mounts::MOUNTS)?;
            let swaps = session.run(mounts::SWAPS)?;
            wrong = mounts::judge(plan, &mounted.lines, &swaps.lines);
            answers.extend([mounted, swaps]);
        }
        if order.ssh.is_none() {
            for command in &order.commands {
                answers.push(session.run(command)?);
            }
        }
        Ok(wrong)
    };
    match talk() {
        Ok(wrong) if wrong.is_empty() => (Class::LoginPrompt, wrong),
        Ok(wrong) => (Class::WrongMounts, wrong),
        Err(fault) => (Class::LoginFailed, std::iter::once(fault.what).chain(fault.lines).collect()),
    }
}

/// Pictures of the guest's screen, as text.
struct Screen {
    /// Unnamed; QEMU writes each picture into it.
    file: File,
    font: Option<Font>,
}

impl Screen {
    fn new() -> std::io::Result<Screen> {
        Ok(Screen { file: tempfile::tempfile()?, font: Font::of_host() })
    }

    fn read(&self, qmp: &mut Qmp) -> Option<Vec<String>> {
        use std::os::fd::AsRawFd;
        let font = self.font.as_ref()?;
        // QEMU opens it by our name for it.
        let name = format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd());
        qmp.execute("screendump", json!({ "filename": name }), Duration::from_secs(10)).ok()?;
        let mut bytes = Vec::new();
        (&self.file).rewind().ok()?;
        (&self.file).read_to_end(&mut bytes).ok()?;
        Some(font.read(&Picture::parse(&bytes)?))
    }
}

/// What comes from the guest, and the way back.
struct Watched<'a> {
    screen: &'a Screen,
    seen: &'a Receiver<Seen>,
    log: &'a mut Option<File>,
    console: &'a UnixStream,
    started: Instant,
}

impl Watched<'_> {
    /// The next bytes of the console; nothing if none come in time.
    fn bytes(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        loop {
            match self.seen.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Seen::Serial(bytes)) => {
                    self.keep(&bytes);
                    return Some(bytes);
                }
                Ok(Seen::Event(_)) => {}
                Ok(Seen::Closed) | Err(_) => return None,
            }
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(log) = self.log {
            let _ = log.write_all(bytes);
        }
    }

    /// Types a line. If QEMU has gone, its end is seen elsewhere.
    fn answer(&self, text: &str) {
        let mut console = self.console;
        let _ = console.write_all(format!("{text}\n").as_bytes());
    }
}

fn read_serial(mut serial: UnixStream, sender: Sender<Seen>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let seen = match serial.read(&mut buffer) {
                Ok(0) | Err(_) => Seen::Closed,
                Ok(count) => Seen::Serial(buffer[..count].to_vec()),
            };
            let closed = matches!(seen, Seen::Closed);
            if sender.send(seen).is_err() || closed {
                return;
            }
        }
    });
}

/// Until the witness is sure. `None`: QEMU ended by itself, without a word of the guest's.
fn watch(
    order: &BootOrder,
    witness: &mut Witness,
    watched: &mut Watched,
    qmp: &mut Qmp,
    progress: &dyn Progress,
) -> Option<Class> {
    let started = watched.started;
    let mut stage = Stage::Firmware;
    let mut asked = Duration::ZERO;
    let mut traffic = 0;
    loop {
        let now = started.elapsed();
        if let Some(class) = witness.decide(now) {
            return Some(class);
        }
        if let Some(question) = witness.question(now) {
            match answer(&question, &order.passphrases) {
                Some(passphrase) => {
                    watched.answer(passphrase);
                    witness.answered(question);
                }
                None => witness.unanswered(now),
            }
        }
        if now >= asked + POLL {
            asked = now;
            if witness.wants_screen(now)
                && let Some(lines) = watched.screen.read(qmp)
            {
                witness.screen(now, lines);
            }
            let blocks =
                qmp.execute("query-blockstats", json!({}), Duration::from_secs(5)).unwrap_or_default();
            let moved = disk_operations(&blocks);
            if moved > traffic {
                traffic = moved;
                witness.disk_moved(now);
            }
        }
        match watched.seen.recv_timeout(witness.patience(now).max(Duration::from_millis(10))) {
            Ok(Seen::Serial(bytes)) => {
                watched.keep(&bytes);
                witness.serial(started.elapsed(), &bytes);
            }
            Ok(Seen::Event(event)) => observe(witness, &event, started.elapsed()),
            Ok(Seen::Closed) => {
                // A guest that switched itself off was heard by QMP already, if it was that.
                while let Ok(seen) = watched.seen.recv_timeout(Duration::from_millis(200)) {
                    if let Seen::Event(event) = seen {
                        observe(witness, &event, started.elapsed());
                    }
                }
                return witness
                    .decide(started.elapsed() + Duration::from_secs(5))
                    .filter(|c| *c != Class::NoProgress);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
        if witness.stage() > stage {
            stage = witness.stage();
            progress.begin(format!("booting: {stage}"));
        }
    }
}

fn observe(witness: &mut Witness, event: &QmpEvent, at: Duration) {
    match event.name.as_str() {
        "RESET" if event.data["guest"].as_bool() == Some(true) => witness.reset(at),
        "SHUTDOWN" if event.data["guest"].as_bool() == Some(true) => witness.shut_down(at),
        "GUEST_PANICKED" => witness.panicked(at),
        _ => {}
    }
}

fn disk_operations(answer: &serde_json::Value) -> u64 {
    let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    devices
        .iter()
        .map(|device| {
            let stats = &device["stats"];
            stats["rd_operations"].as_u64().unwrap_or(0) + stats["wr_operations"].as_u64().unwrap_or(0)
        })
        .sum()
}

fn screenshot(qmp: &mut Qmp, path: &Path, progress: &dyn Progress) {
    let absolute: PathBuf = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let arguments = json!({ "filename": absolute, "format": "png" });
    if let Err(reason) = qmp.execute("screendump", arguments, Duration::from_secs(10)) {
        progress.warn(format!("no screenshot: {reason}"));
    }
}

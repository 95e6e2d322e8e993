//! A running machine: its consoles, QMP connection, power and exit.

mod events;
mod process;
mod screen;

use super::lan::Lan;
use super::log::SerialLog;
use super::machine::{Machine, Network};
use super::menu::OlderKernel;
use super::monitor::{Action, BootMonitor};
use super::patterns::is_stall;
use super::qmp::{Qmp, QmpEvent};
use super::question::answer;
use super::text::Lines;
use super::verdict::{Class, Stage, Witnessed};
use crate::host::{Context, Failure, Jail, Progress, jailed, spawn};
use crate::template::Secret;
use events::{fault, is_end_of_run, is_switched_off, observe};
use process::Process;
use screen::Screen;
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The interval at which disk traffic is polled.
const POLL: Duration = Duration::from_secs(2);
/// Timeout for QMP commands that complete immediately, even on a slow host.
const AT_ONCE: Duration = Duration::from_secs(10);
/// Pieces of output that may be queued; then the guest has to wait.
const MOST_UNREAD: usize = 16 << 10;
/// Send buffer of the serial socket, as far as the host allows it. QEMU writes each byte of the UART separately, and
/// each write takes 768 bytes of the buffer. The UART drops bytes that QEMU cannot write.
const UNREAD_BYTES: usize = 4 << 20;
/// How long output of the guest may arrive after the event that follows it.
const LAST_OUTPUT: Duration = Duration::from_millis(30);
/// Time in which events and output that QEMU sent before its exit can still arrive.
const LAST_EVENTS: Duration = Duration::from_millis(200);
/// Reported stalls that are recorded.
const MOST_STALLS: usize = 100;
/// systemd gives a unit 90 s to stop.
const POWER_OFF: Duration = Duration::from_secs(180);

enum GuestEvent {
    Serial(Vec<u8>),
    Event(QmpEvent),
    /// QEMU closed the serial console: it has exited.
    Closed,
}

/// A QEMU process, which is killed when this is dropped.
pub(super) struct Guest {
    process: Process,
    command: String,
    qmp: Qmp,
    seen: Receiver<GuestEvent>,
    console: Arc<UnixStream>,
    log: Option<SerialLog>,
    lines: Lines,
    /// The first stalls that the guest's kernel reported, because the emulator got too little CPU time.
    stalls: Vec<String>,
    /// A program in the guest needs CPU features that this processor lacks.
    needs_newer_cpu: bool,
    /// cloud-init has reported its end on the console.
    cloud_init_is_done: bool,
    /// The error of the host that prevents the guest from continuing.
    fault: Option<&'static str>,
    /// The guest powered itself off.
    is_off: bool,
    /// QEMU has exited, or is about to.
    is_closed: bool,
    screen: Screen,
    /// The keys to press in the boot loader.
    keys: Option<OlderKernel>,
    /// The output of QEMU itself, available after its exit.
    said: JoinHandle<String>,
    /// The network segment of the guest, which lasts as long as the guest.
    _lan: Option<Lan>,
    started: Instant,
}

impl Guest {
    /// Starts QEMU. Output of the serial console is also written to the log.
    pub(super) fn start(
        machine: &Machine,
        lan: Option<(Lan, UnixStream)>,
        log: Option<SerialLog>,
        progress: &dyn Progress,
    ) -> Result<Guest, Failure> {
        let pair = || UnixStream::pair().context(|| "could not create a socket for QEMU".to_owned());
        let (serial, serial_end) = pair()?;
        let (monitor, monitor_end) = pair()?;
        // Above the host's limit the kernel uses that limit.
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&serial_end, UNREAD_BYTES);
        let screen = Screen::new()?;
        let invocation = machine
            .invocation(
                serial_end.as_raw_fd(),
                monitor_end.as_raw_fd(),
                lan.as_ref().map(|(_, end)| end.as_raw_fd()),
            )
            .inheriting(&serial_end)?
            .inheriting(&monitor_end)?
            .inheriting(&screen.file)?;
        let invocation =
            machine.files.iter().try_fold(invocation, |invocation, file| invocation.inheriting(file))?;
        let network = match machine.network {
            Network::Isolated if lan.is_none() && machine.listens() => Jail::Loopback,
            Network::Isolated => Jail::Nothing,
            Network::Host => Jail::Resolver,
        };
        let invocation = match &lan {
            Some((_, end)) => invocation.inheriting(end)?,
            None => invocation,
        };
        let (jailed, denied) = jailed(&invocation, network);
        if let Some(why) = &denied {
            progress.warn(format!("QEMU runs without its own mount namespace: {why}"));
        }
        let started = Instant::now();
        let mut process = Process(spawn(&jailed, Stdio::null(), Stdio::null(), Stdio::piped())?);
        drop((serial_end, monitor_end));
        let mut stderr = process.0.stderr.take().expect("stderr is piped");
        let said = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            String::from_utf8_lossy(&text).trim().to_owned()
        });
        let (sender, seen) = sync_channel(MOST_UNREAD);
        let console = serial.try_clone().context(|| "could not duplicate the serial console".to_owned())?;
        read_serial(serial, sender.clone());
        let qmp = Qmp::new(monitor, move |event| drop(sender.send(GuestEvent::Event(event))))
            .context(|| "could not connect to the QMP monitor of QEMU".to_owned())?;
        Ok(Guest {
            process,
            command: invocation.to_string(),
            qmp,
            seen,
            console: Arc::new(console),
            log,
            lines: Lines::default(),
            stalls: Vec::new(),
            needs_newer_cpu: false,
            cloud_init_is_done: false,
            fault: None,
            is_off: false,
            is_closed: false,
            screen,
            keys: None,
            said,
            _lan: lan.map(|(lan, _)| lan),
            started,
        })
    }

    /// Selects an older kernel in the boot loader. Must be called before the guest is watched.
    pub(super) fn choose(&mut self, keys: OlderKernel) {
        self.keys = Some(keys);
    }

    /// Time since the guest was powered on.
    pub(super) fn age(&self) -> Duration {
        self.started.elapsed()
    }

    /// The writing end of the serial console.
    pub(super) fn console(&self) -> Arc<UnixStream> {
        Arc::clone(&self.console)
    }

    /// The next bytes of the console, or nothing if none arrive in time or QEMU exits.
    pub(super) fn bytes(&mut self, patience: Duration) -> Option<Vec<u8>> {
        let until = Instant::now() + patience;
        loop {
            let seen = self.seen.recv_timeout(until.saturating_duration_since(Instant::now())).ok()?;
            self.note(&seen);
            match seen {
                GuestEvent::Serial(bytes) => return Some(bytes),
                GuestEvent::Event(_) if self.fault.is_some() => return None,
                GuestEvent::Event(_) => {}
                GuestEvent::Closed => return None,
            }
        }
    }

    fn note(&mut self, seen: &GuestEvent) {
        match seen {
            GuestEvent::Serial(bytes) => self.keep(bytes),
            GuestEvent::Event(event) => {
                self.is_off |= is_switched_off(event);
                self.fault = self.fault.or(fault(event));
            }
            GuestEvent::Closed => self.is_closed = true,
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if let Some(log) = &mut self.log {
            log.keep(bytes);
        }
        let (stalls, wants_more) = (&mut self.stalls, &mut self.needs_newer_cpu);
        let is_done = &mut self.cloud_init_is_done;
        self.lines.feed(bytes, &mut |line| {
            // Source: glibc, sysdeps/x86/get-isa-level.h, "CPU does not support x86-64-v2".
            *wants_more |= line.contains("CPU does not support x86-64-v");
            // Source: cloud-init, cc_final_message, FINAL_MESSAGE_DEF.
            *is_done |= line.contains("Cloud-init v. ") && line.contains(" finished at ");
            if is_stall(line) && stalls.len() < MOST_STALLS {
                stalls.push(line.to_owned());
            }
        });
    }

    /// Whether a program reported that it needs a newer processor.
    pub(super) fn needs_newer_cpu(&self) -> bool {
        self.needs_newer_cpu
    }

    /// Whether cloud-init has finished, so that nothing more is to be expected of it.
    pub(super) fn cloud_init_is_done(&self) -> bool {
        self.cloud_init_is_done
    }

    /// The stalls that the kernel reported since power-on.
    pub(super) fn stalls(&self) -> &[String] {
        &self.stalls
    }

    /// Whether QEMU has exited or cannot continue, although the guest did not power itself off.
    pub(super) fn has_died(&mut self) -> bool {
        self.drain_output(Duration::ZERO);
        !self.is_off && (self.is_closed || self.fault.is_some())
    }

    /// Reads what is queued until nothing arrives for `pause`. Events and the end of the console arrive through two
    /// channels, so after one of them the other has to be awaited.
    fn drain_output(&mut self, pause: Duration) -> Vec<QmpEvent> {
        let mut events = Vec::new();
        while let Ok(seen) = self.seen.recv_timeout(pause) {
            self.note(&seen);
            if let GuestEvent::Event(event) = seen {
                events.push(event);
            }
        }
        events
    }

    /// Watches the guest until the monitor decides. Returns nothing if QEMU exited although the guest did not end.
    pub(super) fn watch(
        &mut self,
        monitor: &mut BootMonitor,
        passphrases: &BTreeMap<String, Secret>,
        progress: &dyn Progress,
    ) -> Option<Class> {
        let mut stage = Stage::Firmware;
        let mut asked = Duration::ZERO;
        let mut traffic = 0;
        let mut waited = Duration::ZERO;
        progress.begin(format!("booting: {stage}"));
        loop {
            let now = self.age();
            if let Some(class) = monitor.decide(now) {
                return Some(class);
            }
            while let Some(action) = monitor.action(now) {
                self.act(action, monitor, passphrases, now);
            }
            if let Some(key) = self.keys.as_mut().and_then(|keys| keys.key(now)) {
                self.press(key);
            }
            if now >= asked + POLL {
                asked = now;
                if monitor.wants_screen(now)
                    && let Some(lines) = self.screen.read(&mut self.qmp)
                {
                    monitor.screen(now, lines);
                }
                let moved = self.disk_operations();
                if moved > traffic {
                    traffic = moved;
                    monitor.disk_moved(now);
                }
                let in_all = self.process.waited_for_cpu();
                monitor.starved(in_all.saturating_sub(waited));
                waited = in_all;
            }
            let keys = self.keys.as_ref().and_then(OlderKernel::patience);
            let patience = monitor.patience(now).min(keys.unwrap_or(Duration::MAX));
            match self.seen.recv_timeout(patience.max(Duration::from_millis(10))) {
                Ok(GuestEvent::Serial(bytes)) => {
                    self.keep(&bytes);
                    monitor.serial(self.age(), &bytes);
                    let now = self.age();
                    self.keys.iter_mut().for_each(|keys| keys.hear(now, &bytes));
                }
                Ok(seen @ GuestEvent::Event(_)) => {
                    self.note(&seen);
                    let mut events = Vec::new();
                    if let GuestEvent::Event(event) = seen {
                        if is_end_of_run(&event) {
                            events = self.hear_before_end(monitor);
                        }
                        events.insert(0, event);
                    }
                    for event in &events {
                        observe(monitor, event, self.age());
                    }
                    if self.fault.is_some() {
                        return None;
                    }
                    if self.is_closed {
                        return self.closed(monitor);
                    }
                }
                Ok(seen @ GuestEvent::Closed) => {
                    self.note(&seen);
                    return self.closed(monitor);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return None,
            }
            if monitor.stage() > stage {
                stage = monitor.stage();
                progress.begin(format!("booting: {stage}"));
            }
        }
    }

    /// The class after QEMU has closed the console.
    fn closed(&mut self, monitor: &mut BootMonitor) -> Option<Class> {
        for event in self.drain_output(LAST_EVENTS) {
            observe(monitor, &event, self.age());
        }
        monitor.ended()
    }

    /// Reads what the guest printed before it reset or powered off. Console and events arrive through two channels, so
    /// the last lines, such as a panic, may follow the event. Returns other events that arrive in the meantime.
    fn hear_before_end(&mut self, monitor: &mut BootMonitor) -> Vec<QmpEvent> {
        let mut events = Vec::new();
        let until = Instant::now() + 4 * LAST_OUTPUT;
        while !self.is_closed && Instant::now() < until {
            let Ok(seen) = self.seen.recv_timeout(LAST_OUTPUT) else { break };
            self.note(&seen);
            match seen {
                GuestEvent::Serial(bytes) => monitor.serial(self.age(), &bytes),
                GuestEvent::Event(event) => events.push(event),
                GuestEvent::Closed => {}
            }
        }
        events
    }

    /// Performs an action of the monitor. If QEMU has exited, the write fails silently and the exit is detected
    /// elsewhere.
    fn act(
        &mut self,
        action: Action,
        monitor: &mut BootMonitor,
        passphrases: &BTreeMap<String, Secret>,
        now: Duration,
    ) {
        match action {
            Action::Unlock(question) => match answer(&question, passphrases) {
                Some(passphrase) => {
                    // The terminal of a boot loader accepts only the carriage return that the Enter key sends, a Linux
                    // terminal accepts both.
                    let end = if monitor.stage() <= Stage::Loader { '\r' } else { '\n' };
                    let _ = (&*self.console).write_all(format!("{passphrase}{end}").as_bytes());
                    monitor.answered(question);
                }
                None => monitor.unanswered(now),
            },
            Action::Enter => self.type_line("", monitor.witnessed()),
            Action::Type(text) => self.type_line(text, monitor.witnessed()),
        }
    }

    /// Types text and Enter on the console where output was seen.
    fn type_line(&mut self, text: &str, witnessed: Witnessed) {
        match witnessed {
            Witnessed::Serial => {
                let _ = (&*self.console).write_all(format!("{text}\r").as_bytes());
            }
            Witnessed::Screen => {
                let names = text.chars().map(|letter| letter.to_string()).chain(["ret".to_owned()]);
                for name in names {
                    self.press(&name);
                }
            }
        }
    }

    /// Presses a key on the guest's keyboard. If QEMU has exited, this is detected elsewhere.
    fn press(&mut self, key: &str) {
        let keys = json!({ "keys": [{ "type": "qcode", "data": key }] });
        let _ = self.qmp.execute("send-key", keys, AT_ONCE);
    }

    /// The number of operations of all disks.
    fn disk_operations(&mut self) -> u64 {
        let answer =
            self.qmp.execute("query-blockstats", json!({}), Duration::from_secs(5)).unwrap_or_default();
        let devices = answer.as_array().map(Vec::as_slice).unwrap_or_default();
        let count = |device: &serde_json::Value, name: &str| device["stats"][name].as_u64().unwrap_or(0);
        devices.iter().map(|device| count(device, "rd_operations") + count(device, "wr_operations")).sum()
    }

    /// Presses the power button, and returns the time until the guest powered off, if it did. QEMU exits with it.
    pub(super) fn power_off(&mut self) -> Option<Duration> {
        let pressed = Instant::now();
        self.qmp.execute("system_powerdown", json!({}), AT_ONCE).ok()?;
        while let Some(patience) = POWER_OFF.checked_sub(pressed.elapsed()) {
            let seen = self.seen.recv_timeout(patience).ok()?;
            self.note(&seen);
            if self.is_closed {
                self.drain_output(LAST_EVENTS);
            }
            if self.is_off {
                return Some(pressed.elapsed());
            }
            if self.is_closed || self.fault.is_some() {
                return None;
            }
        }
        None
    }

    pub(super) fn screenshot(&mut self, path: &Path, progress: &dyn Progress) {
        let taken = self.screen.png(&mut self.qmp).and_then(|bytes| {
            std::fs::write(path, bytes)
                .map_err(|error| format!("could not write `{}`: {error}", path.display()))
        });
        if let Err(reason) = taken {
            progress.warn(format!("no screenshot: {reason}"));
        }
    }

    /// Waits until QEMU has exited by itself and has flushed all output.
    pub(super) fn wait_for_end(&mut self) {
        let until = Instant::now() + AT_ONCE;
        while let Ok(seen) = self.seen.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.note(&seen);
            if self.is_closed {
                break;
            }
        }
        while self.process.0.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends QEMU. Returns its command line, its output, and the error of the host if there was one.
    pub(super) fn end(self) -> Vec<String> {
        drop(self.process);
        let said = self.said.join().unwrap_or_default();
        let said = said.lines().chain(self.fault).map(str::to_owned);
        std::iter::once(self.command).chain(said).collect()
    }
}

fn read_serial(mut serial: UnixStream, sender: SyncSender<GuestEvent>) {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 16 << 10];
        loop {
            let seen = match serial.read(&mut buffer) {
                Ok(0) | Err(_) => GuestEvent::Closed,
                Ok(count) => GuestEvent::Serial(buffer[..count].to_vec()),
            };
            let closed = matches!(seen, GuestEvent::Closed);
            if sender.send(seen).is_err() || closed {
                return;
            }
        }
    });
}

use super::*;
use crate::boot::transcript::{self, Transcript};

const LIMITS: Limits = Limits {
    silence: Duration::from_secs(90),
    total: Duration::from_secs(600),
    goal: Goal::LoginPrompt,
    dwell: Duration::from_secs(5),
    probe: Probe::Password,
};

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn transcripts() -> Vec<Transcript> {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("vm-tests/consoles");
    let read = |name: &std::path::Path| std::fs::read_to_string(name).unwrap();
    let preludes = toml::from_str(&read(&directory.join("preludes.toml"))).unwrap();
    let mut files: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| {
        path.extension().is_some_and(|extension| extension == "toml") && !path.ends_with("preludes.toml")
    });
    files.sort();
    let parse = |path: &std::path::PathBuf| {
        transcript::parse(&read(path), &preludes).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
    };
    files.iter().flat_map(parse).collect()
}

#[test]
fn transcripts_get_the_expected_class() {
    let all = transcripts();
    assert!(all.len() > 200, "{}", all.len());
    let mut wrong = Vec::new();
    for case in &all {
        for piece in [usize::MAX, 1] {
            let limits = Limits { silence: Duration::from_secs(150), ..LIMITS };
            let (class, monitor, now) = case.replay(limits, piece);
            let mut mismatch =
                |what: String| wrong.push(format!("{}: {what}\n{:#?}", case.name, monitor.proof()));
            if !case.want.contains(&class.to_string()) {
                mismatch(format!("{class} at {}, not {}", monitor.stage(), case.want.join(" or ")));
            } else if case.stage.is_some_and(|stage| stage != monitor.stage()) {
                mismatch(format!("at {}", monitor.stage()));
            }
            for kind in &case.notes {
                if !monitor.notes().iter().any(|note| note.kind == *kind) {
                    mismatch(format!("no note {kind}: {:?}", monitor.notes()));
                }
            }
            // A verdict follows soon after its evidence, except that a getty may take longer to respond.
            let patience = Duration::from_secs(case.patience.unwrap_or(30));
            let patience = if class == Class::LoginBroken { patience + PASSWORD } else { patience };
            if now > case.pauses() + patience {
                mismatch(format!("{class} only after {now:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), 2 * all.len(), wrong.join("\n"));
}

/// Feeds the text of a console, then lets `patience` seconds pass.
fn watch(text: &str, patience: u64) -> (Option<Class>, BootMonitor) {
    let mut monitor = BootMonitor::new(LIMITS);
    for (second, line) in text.split_inclusive('\n').enumerate() {
        monitor.serial(at(second as u64), line.as_bytes());
    }
    let end = text.lines().count() as u64 + patience;
    for second in text.lines().count() as u64..end {
        if let Some(class) = monitor.decide(at(second)) {
            return (Some(class), monitor);
        }
    }
    (monitor.decide(at(end)), monitor)
}

/// All actions that the monitor requests now.
fn answer(monitor: &mut BootMonitor, now: Duration) -> Vec<Action> {
    let _ = monitor.decide(now);
    std::iter::from_fn(|| monitor.action(now)).collect()
}

#[test]
fn getty_has_to_respond() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"[    0.000000] Linux version 6.1\r\n\r\nkvm login: ");
    assert_eq!(answer(&mut monitor, at(5)), []);
    assert_eq!(answer(&mut monitor, at(6)), [Action::Enter]);
    assert_eq!(answer(&mut monitor, at(7)), []);
    // Kernel output in the meantime is not a response.
    monitor.serial(at(7), b"[    8.123456] random: crng init done\r\n");
    assert_eq!(answer(&mut monitor, at(7)), []);
    monitor.serial(at(8), b"\r\n\r\nDebian GNU/Linux 12 kvm ttyS0\r\n\r\nkvm login: ");
    // The prompt has to remain.
    assert_eq!(answer(&mut monitor, at(8)), []);
    assert_eq!(answer(&mut monitor, at(9)), [Action::Type(UNKNOWN_USER)]);
    monitor.serial(at(9), b"isterprobe\r\n");
    assert_eq!(monitor.decide(at(9)), None);
    monitor.serial(at(10), b"Password: ");
    assert_eq!(monitor.decide(at(10)), None);
    assert_eq!(monitor.decide(at(11)), Some(Class::LoginPrompt));
    assert_eq!((monitor.probed(), monitor.proof()), (Probed::Password, vec!["kvm login: ".to_owned()]));
    assert_eq!(monitor.prompted(), Some(at(1)));
}

#[test]
fn new_prompt_is_sufficient_for_a_login() {
    let mut monitor = BootMonitor::new(Limits { probe: Probe::Prompt, ..LIMITS });
    monitor.serial(at(1), b"\r\nkvm login: ");
    assert_eq!(answer(&mut monitor, at(6)), [Action::Enter]);
    monitor.serial(at(7), b"\r\nkvm login: ");
    assert_eq!(monitor.decide(at(8)), Some(Class::LoginPrompt));
    assert_eq!(monitor.probed(), Probed::Prompt);
}

#[test]
fn stages_are_recorded() {
    let (_, monitor) = watch(
        "BdsDxe: loading Boot0002 \"UEFI Misc Device\"\r\nBdsDxe: starting Boot0002 \"UEFI Misc Device\" from \
         PciRoot(0x0)\r\n\
         EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\r\n[    0.000000] Linux version 6.1\r\n\
         Loading, please wait...\r\n[    5.1] systemd[1]: Detected virtualization qemu.\r\n\
         Welcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!\r\n\r\nDebian GNU/Linux 12 kvm ttyS0\r\n\r\nkvm login: ",
        1,
    );
    let stages: Vec<Stage> = monitor.stages(at(10)).iter().map(|s| s.stage).collect();
    assert_eq!(
        stages,
        [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::Initramfs, Stage::Init, Stage::Login]
    );
    assert_eq!(monitor.facts().version.as_deref(), Some("6.1"));
}

#[test]
fn power_off_goal_does_not_test_the_getty() {
    let mut monitor = BootMonitor::new(Limits { goal: Goal::PowerOff, ..LIMITS });
    monitor.serial(at(1), b"\r\nkvm login: ");
    assert_eq!(answer(&mut monitor, at(60)), []);
    monitor.shut_down(at(61));
    assert_eq!(monitor.ended(), Some(Class::PoweredOff));
}

#[test]
fn running_system_without_prompt_is_no_getty() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(5), b"[  OK  ] Reached target multi-user.target - Multi-User System.\r\n");
    for second in 6..25 {
        monitor.disk_moved(at(second));
        assert_eq!(monitor.decide(at(second)), None);
    }
    assert_eq!(monitor.decide(at(25)), Some(Class::NoGetty));
}

#[test]
fn job_timer_is_not_progress() {
    for (job, end) in
        [("A start job is running for hang.service", "\r"), ("Job hang.service/start running", "\r\n")]
    {
        let mut monitor = BootMonitor::new(LIMITS);
        monitor.serial(at(1), b"Welcome to Debian!\r\n");
        for second in 2..91 {
            let text = format!("[***   ] {job} ({second}s / no limit){end}");
            // A serial port delivers up to 16 bytes at a time, or a single one.
            for byte in text.as_bytes() {
                monitor.serial(at(second), &[*byte]);
            }
            assert_eq!(monitor.decide(at(second)), None, "{second}");
        }
        assert_eq!(monitor.decide(at(92)), Some(Class::NoProgress));
        let proof = monitor.proof();
        let last = proof.last().unwrap();
        assert!(last.ends_with(&format!("{job} (90s / no limit)")), "{last}");
    }
}

#[test]
fn screen_is_read_without_serial_output() {
    let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"EFI stub: Loaded initrd\r\n");
    assert!(!monitor.wants_screen(at(2)) && monitor.wants_screen(at(7)));
    monitor.screen(at(8), text(&["[    1.000000] Linux version 6.1"]));
    monitor.screen(at(30), text(&["[    9.000000] x", "Welcome to Debian GNU/Linux 12!"]));
    assert_eq!(monitor.stage(), Stage::Init);
    let issue = "Debian GNU/Linux 12 here tty1";
    monitor.screen(at(40), text(&[issue, "", "here login: _"]));
    assert_eq!(answer(&mut monitor, at(44)), []);
    assert_eq!(answer(&mut monitor, at(45)), [Action::Enter]);
    monitor.screen(at(46), text(&[issue, "", "here login:", issue, "", "here login: _"]));
    assert_eq!(answer(&mut monitor, at(46)), [Action::Type(UNKNOWN_USER)]);
    monitor.screen(
        at(48),
        text(&[issue, "", "here login:", issue, "", "here login: isterprobe", "Password: _"]),
    );
    assert_eq!(monitor.decide(at(48)), Some(Class::LoginPrompt));
    assert_eq!((monitor.proof(), monitor.witnessed()), (text(&["here login: "]), Witnessed::Screen));
    // The prompt is followed by kernel output in the same line and below.
    let mut monitor = BootMonitor::new(LIMITS);
    let printed = [
        "here login: [   64.648526] clocksource: timekeeping watchdog on CPU0: hpet wd-wd read-back delay of 116530ns",
        "[   64.664014] clocksource: wd-tsc-wd read-back delay of 153740ns, clock-skew test skipped!",
    ];
    monitor.screen(at(8), text(&[issue, "", printed[0], printed[1]]));
    assert_eq!(answer(&mut monitor, at(13)), [Action::Enter]);
    // Output of GRUB through the BIOS is not kernel output.
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"GRUB loading...\r\nWelcome to GRUB!\r\n\r\n");
    assert!(monitor.wants_screen(at(8)));
    // A kernel that prints to the serial console is judged by that.
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"[    0.000000] Linux version 6.1\r\n");
    assert!(!monitor.wants_screen(at(60)));
    // Text that was already on the screen is not progress, but a panic is an end.
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.screen(at(8), text(&["same"]));
    monitor.screen(at(20), text(&["same", "_"]));
    assert_eq!(monitor.decide(at(98)), Some(Class::NoProgress));
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.screen(at(8), text(&["[    3.141592] Kernel panic - not syncing: Attempted to kill init!"]));
    assert_eq!(monitor.decide(at(10)), Some(Class::KernelPanic));
}

#[test]
fn cpu_starvation_extends_no_output_timeout() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(0), b"[    0.0] Linux version 6.1\r\n");
    monitor.starved(at(60));
    assert_eq!(monitor.decide(at(149)), None);
    assert_eq!(monitor.decide(at(151)), Some(Class::NoProgress));
}

#[test]
fn disk_traffic_extends_no_output_timeout() {
    let (class, mut monitor) = watch("[    0.000000] Linux version 6.1\r\n", 80);
    assert_eq!(class, None);
    monitor.disk_moved(at(85));
    assert_eq!(monitor.decide(at(170)), None);
    assert_eq!(monitor.decide(at(176)), Some(Class::NoProgress));
    assert_eq!(monitor.stage(), Stage::Kernel);
}

#[test]
fn continuous_output_does_not_extend_total_timeout() {
    let mut monitor = BootMonitor::new(LIMITS);
    for second in 0..600 {
        monitor.serial(at(second), b"still here\r\n");
        assert_eq!(monitor.decide(at(second)), None);
    }
    assert_eq!(monitor.decide(at(600)), Some(Class::TooSlow));
}

#[test]
fn stall_is_an_infrastructure_failure() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(5), b"[    0.000000] Linux version 6.1\r\n");
    monitor.serial(at(30), b"[   25.1] rcu: INFO: rcu_preempt self-detected stall on CPU\r\n");
    assert_eq!(monitor.decide(at(60)), None);
    assert_eq!(monitor.decide(at(76)), Some(Class::EmulatorStall));
    assert!(Class::EmulatorStall.is_infrastructure());
}

#[test]
fn recovered_stall_is_ignored() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(30), b"[   25.1] rcu: INFO: rcu_preempt self-detected stall on CPU\r\n");
    // Part of the stall report.
    monitor.serial(at(31), b"[   26.1] Call Trace:\r\n");
    assert_eq!(monitor.stalled, Some(at(30)));
    monitor.serial(at(50), b"[   44.0] systemd[1]: Started a.service.\r\n");
    assert_eq!(monitor.decide(at(50) + LIMITS.silence), Some(Class::NoProgress));
}

#[test]
fn cpu_starvation_extends_total_timeout() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.starved(at(50));
    monitor.disk_moved(LIMITS.total);
    assert_eq!(monitor.decide(LIMITS.total + at(1)), None);
    monitor.disk_moved(LIMITS.total + at(49));
    assert_eq!(monitor.decide(LIMITS.total + at(50)), Some(Class::TooSlow));
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"[  OK  ] Reached target Multi-User System.\r\n");
    monitor.starved(at(30));
    assert_eq!(monitor.decide(at(50)), None);
    assert_eq!(monitor.decide(at(51)), Some(Class::NoGetty));
}

#[test]
fn resets_in_a_row_are_one() {
    let mut monitor = BootMonitor::new(LIMITS);
    for start in [1, 3] {
        monitor.serial(at(start), b"SeaBIOS\r\n");
        for milliseconds in [337, 365, 369, 381, 382] {
            monitor.reset(at(start) + Duration::from_millis(milliseconds));
        }
    }
    assert_eq!(monitor.decide(at(20)), None);
    // A guest that prints nothing between its resets.
    let mut monitor = BootMonitor::new(LIMITS);
    (1..20).for_each(|third| monitor.reset(at(1) + third * Duration::from_millis(333)));
    assert_eq!(monitor.decide(at(20)), Some(Class::ResetLoop));
}

#[test]
fn third_reset_is_a_reset_loop() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.reset(at(1));
    monitor.reset(at(2));
    assert_eq!(monitor.decide(at(10)), None);
    monitor.reset(at(11));
    assert_eq!(monitor.decide(at(13)), Some(Class::ResetLoop));
}

#[test]
fn passphrase_is_typed_once_and_rejection_is_final() {
    let mut monitor = BootMonitor::new(LIMITS);
    monitor.serial(at(1), b"Please unlock disk cryptroot: ");
    assert_eq!(monitor.action(at(1)), None);
    assert_eq!(monitor.action(at(2)), Some(Action::Unlock("cryptroot".into())));
    assert_eq!(monitor.action(at(2)), None);
    monitor.answered("cryptroot".into());
    monitor.serial(at(2), b"x");
    assert_eq!(monitor.action(at(9)), None);
    monitor
        .serial(at(2), b"\r\ncryptsetup: ERROR: cryptroot: cryptsetup failed, bad password or options?\r\n");
    assert_eq!(monitor.decide(at(5)), Some(Class::PassphraseRefused));
}

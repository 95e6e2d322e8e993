use super::*;

const LIMITS: Limits =
    Limits { silence: Duration::from_secs(90), total: Duration::from_secs(600), goal: Goal::LoginPrompt };

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Shows a console's text, then lets `patience` seconds pass.
fn watch(text: &str, patience: u64) -> (Option<Class>, Witness) {
    let mut witness = Witness::new(LIMITS);
    for (second, line) in text.split_inclusive('\n').enumerate() {
        witness.serial(at(second as u64), line.as_bytes());
    }
    let end = text.lines().count() as u64 + patience;
    (witness.decide(at(end)), witness)
}

#[test]
fn a_good_boot_goes_through_its_stages() {
    let (class, witness) = watch(
        "BdsDxe: loading Boot0002 \"UEFI Misc Device\"\r\nBdsDxe: starting Boot0002 \"UEFI Misc Device\" from PciRoot(0x0)\r\n\
         EFI stub: Loaded initrd from LINUX_EFI_INITRD_MEDIA_GUID device path\r\n[    0.000000] Linux version 6.1\r\n\
         Loading, please wait...\r\n[    5.1] systemd[1]: Detected virtualization qemu.\r\n\
         Welcome to \x1b[1mDebian GNU/Linux 12\x1b[0m!\r\n\r\nDebian GNU/Linux 12 kvm ttyS0\r\n\r\nkvm login: ",
        1,
    );
    assert_eq!(class, Some(Class::LoginPrompt));
    assert_eq!(witness.proof(), ["kvm login: "]);
    let stages: Vec<Stage> = witness.stages(at(10)).iter().map(|s| s.stage).collect();
    assert_eq!(
        stages,
        [Stage::Firmware, Stage::Loader, Stage::Kernel, Stage::Initramfs, Stage::Init, Stage::Login]
    );
}

#[test]
fn each_bad_end_has_its_class() {
    for (text, class) in [
        (
            "Booting from Hard Disk...\r\nBoot failed: not a bootable disk\r\n\n\nNo bootable device.\r\n",
            Class::NoBootableDevice,
        ),
        ("BdsDxe: No bootable option or device was found.\r\n", Class::NoBootableDevice),
        ("UEFI Interactive Shell v2.2\r\n\x1b[08;01H\x1b[1mShell> \x1b[0m", Class::NoBootableDevice),
        (
            "Welcome to GRUB!\r\nerror: no such device: 1234.\r\nEntering rescue mode...\r\ngrub rescue> ",
            Class::GrubShell,
        ),
        ("Error loading \\vmlinuz-6.1.0: Unsupported\r\n", Class::LoaderFailed),
        (
            "../src/boot/boot.c:2576@image_start: Error loading \\vmlinuz-6.12: Unsupported\r\n",
            Class::LoaderFailed,
        ),
        ("../src/boot/boot.c:2572@image_start: Error preparing initrd: Not found\r\n", Class::LoaderFailed),
        (
            "../src/boot/boot.c:3024@call_image_start: Error loading EFI binary \\vmlinuz-7.2: Unsupported\r\n",
            Class::LoaderFailed,
        ),
        ("error: file `/boot/vmlinuz' not found.\r\n\nPress any key to continue...", Class::LoaderFailed),
        (
            "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)\r\n",
            Class::KernelPanic,
        ),
        (
            "Gave up waiting for root file system device.\r\nALERT!  PARTUUID=x does not exist.  Dropping to a shell!\r\n\r\n(initramfs) ",
            Class::InitramfsShell,
        ),
        ("You are in emergency mode. After logging in, type \"journalctl -xb\"\r\n", Class::EmergencyShell),
        ("Give root password for maintenance\r\n(or press Control-D to continue): ", Class::EmergencyShell),
    ] {
        let (got, witness) = watch(text, 3);
        assert_eq!(got, Some(class), "{text}");
        assert!(!witness.proof().is_empty(), "{text}");
    }
}

#[test]
fn a_shell_has_the_class_of_what_brought_it() {
    for (text, class, line) in [
        (
            "[FAILED] Failed to start systemd-fsck@dev-…ck on /dev/disk/by-label/second.\r\n\
             [DEPEND] Dependency failed for srv.mount - /srv.\r\nYou are in emergency mode.\r\n",
            Class::FsckFailed,
            "[FAILED] Failed to start systemd-fsck@dev-…ck on /dev/disk/by-label/second.",
        ),
        (
            "Checking in progress on 0 disks (100.0% complete)[FAILED] Failed to start systemd-fs…heck on \
             /dev/disk/by-label/second.\r\n[DEPEND] Dependency failed for srv.mount - /srv.\r\nYou are in emergency mode.\r\n",
            Class::FsckFailed,
            "",
        ),
        (
            "[    0.000000] Kernel command line: root=PARTUUID=26 ro console=ttyS0\r\n\
             [   23.058813] EXT4-fs (vda3): mounted filesystem with ordered data mode. Quota mode: none.\r\n\
             [FAILED] Failed to start systemd-lo…rvice - User Login Management.\r\nkvm login: ",
            Class::RootReadOnly,
            "[FAILED] Failed to start systemd-lo…rvice - User Login Management.",
        ),
        (
            "[ TIME ] Timed out waiting for device dev-x.device - /dev/x.\r\nYou are in emergency mode.\r\n",
            Class::MountFailed,
            "[ TIME ] Timed out waiting for device dev-x.device - /dev/x.",
        ),
        (
            "The root filesystem on /dev/vda3 requires a manual fsck\r\n(initramfs) ",
            Class::FsckFailed,
            "The root filesystem on /dev/vda3 requires a manual fsck",
        ),
        (
            "cp: write error: No space left on device\r\nkvm login: ",
            Class::RootFull,
            "cp: write error: No space left on device",
        ),
        ("Target filesystem doesn't have requested /sbin/init.\r\n", Class::NoInit, ""),
        (
            "    Reboot Into Firmware Interface\r\nBdsDxe: starting Boot0000 \"UiApp\" from Fv(7)\r\n",
            Class::LoaderFailed,
            "    Reboot Into Firmware Interface",
        ),
        (
            "Error preparing initrd: Not Found\r\nUEFI Interactive Shell v2.2\r\nShell> ",
            Class::LoaderFailed,
            "Error preparing initrd: Not Found",
        ),
    ] {
        let (got, witness) = watch(text, 4);
        assert_eq!(got, Some(class), "{text}");
        assert!(line.is_empty() || witness.proof().iter().any(|proof| proof == line), "{text}");
    }
    // What was got over is no cause of what comes later.
    let (got, _) = watch("[ TIME ] Timed out waiting for device dev-x.device\r\nkvm login: ", 4);
    assert_eq!(got, Some(Class::LoginPrompt));
    // Debian's GRUB says ro, and fstab mounts it anew.
    let (got, _) = watch(
        "[    0.0] Kernel command line: root=UUID=26 ro quiet\r\n[    2.0] EXT4-fs (vda3): mounted filesystem\r\n\
         [    4.0] EXT4-fs (vda3): re-mounted. Quota mode: none.\r\n[FAILED] Failed to start a.service - A.\r\nkvm login: ",
        4,
    );
    assert_eq!(got, Some(Class::LoginPrompt));
}

#[test]
fn a_system_that_is_up_and_asks_nobody_has_no_getty() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(5), b"[  OK  ] Reached target multi-user.target - Multi-User System.\r\n");
    for second in 6..65 {
        witness.disk_moved(at(second));
        assert_eq!(witness.decide(at(second)), None);
    }
    assert_eq!(witness.decide(at(65)), Some(Class::NoGetty));
}

#[test]
fn the_clock_of_an_endless_job_is_no_progress() {
    for (job, end) in
        [("A start job is running for hang.service", "\r"), ("Job hang.service/start running", "\r\n")]
    {
        let mut witness = Witness::new(LIMITS);
        witness.serial(at(1), b"Welcome to Debian!\r\n");
        for second in 2..91 {
            let text = format!("[***   ] {job} ({second}s / no limit){end}");
            // A serial port has 16 bytes at a time, or one.
            for byte in text.as_bytes() {
                witness.serial(at(second), &[*byte]);
            }
            assert_eq!(witness.decide(at(second)), None, "{second}");
        }
        assert_eq!(witness.decide(at(92)), Some(Class::NoProgress));
        let proof = witness.proof();
        let last = proof.last().unwrap();
        assert!(last.ends_with(&format!("{job} (90s / no limit)")), "{last}");
    }
}

#[test]
fn a_silent_serial_console_leaves_the_screen() {
    let text = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"EFI stub: Loaded initrd\r\n");
    assert!(!witness.wants_screen(at(2)) && witness.wants_screen(at(7)));
    witness.screen(at(8), text(&["[    1.000000] Linux version 6.1"]));
    witness.screen(at(30), text(&["[    9.000000] x", "Welcome to Debian GNU/Linux 12!"]));
    assert_eq!(witness.stage(), Stage::Init);
    witness.screen(at(40), text(&["Debian GNU/Linux 12 here tty1", "", "here login: _"]));
    assert_eq!(witness.decide(at(41)), Some(Class::LoginPrompt));
    assert_eq!((witness.proof(), witness.witnessed()), (text(&["here login: "]), Witnessed::Screen));
    // Spoken into, and below.
    let mut witness = Witness::new(LIMITS);
    let spoken = [
        "here login: [   64.648526] clocksource: timekeeping watchdog on CPU0: hpet wd-wd read-back delay of 116530ns",
        "[   64.664014] clocksource: wd-tsc-wd read-back delay of 153740ns, clock-skew test skipped!",
    ];
    witness.screen(at(8), text(&["Debian GNU/Linux 12 here tty1", "", spoken[0], spoken[1]]));
    assert_eq!(witness.decide(at(9)), Some(Class::LoginPrompt));
    assert!(witness.proof()[0].starts_with("here login: ["));
    // What GRUB says by BIOS is no kernel.
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"GRUB loading...\r\nWelcome to GRUB!\r\n\r\n");
    assert!(witness.wants_screen(at(8)));
    // A kernel that was heard on the serial console is judged by it.
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"[    0.000000] Linux version 6.1\r\n");
    assert!(!witness.wants_screen(at(60)));
    // What has been on the screen before is no news; a panic is an end.
    let mut witness = Witness::new(LIMITS);
    witness.screen(at(8), text(&["same"]));
    witness.screen(at(20), text(&["same", "_"]));
    assert_eq!(witness.decide(at(98)), Some(Class::NoProgress));
    let mut witness = Witness::new(LIMITS);
    witness.screen(at(8), text(&["[    3.141592] Kernel panic - not syncing: Attempted to kill init!"]));
    assert_eq!(witness.decide(at(10)), Some(Class::KernelPanic));
}

#[test]
fn a_guest_without_a_processor_is_not_silent() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(0), b"[    0.0] Linux version 6.1\r\n");
    witness.starved(at(60));
    assert_eq!(witness.decide(at(149)), None);
    assert_eq!(witness.decide(at(151)), Some(Class::NoProgress));
}

#[test]
fn a_prompt_that_the_kernel_speaks_into_is_one() {
    // In one piece, as a busy host reads it.
    let (got, witness) = watch("Welcome to Debian\r\nkvm login: [   25.1] random: crng init done\r\n", 4);
    assert_eq!(got, Some(Class::LoginPrompt));
    assert_eq!(witness.proof(), ["kvm login: [   25.1] random: crng init done"]);
}

#[test]
fn a_prompt_that_somebody_speaks_into_is_asked_for_again() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"kvm login: ");
    witness.serial(at(1), b"ci-info: no authorized keys\r\n");
    assert_eq!((witness.decide(at(3)), witness.wants_newline(at(3))), (None, false));
    assert!(witness.wants_newline(at(12)));
    assert!(!witness.wants_newline(at(13)), "once");
    witness.serial(at(14), b"\r\nkvm login: ");
    assert_eq!(witness.decide(at(15)), Some(Class::LoginPrompt));
}

#[test]
fn words_about_logins_are_no_prompt() {
    for text in [
        "kvm login: root\r\nPassword: ",
        "Automatic login: disabled on this console\r\n",
        "[   7.1] kernel: a login: b",
        "Last login: Mon Nov 23\r\n",
        "Last login: ",
    ] {
        let (class, _) = watch(text, 3);
        assert_eq!(class, None, "{text}");
    }
}

#[test]
fn a_line_that_begins_like_a_prompt_is_none_in_whatever_pieces_it_comes() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"\r\nServer login: ");
    assert_eq!(witness.decide(at(1)), None);
    witness.serial(at(1) + Duration::from_millis(10), b"FAILED, halting\r\n");
    assert_eq!(witness.decide(at(3)), None);
    assert_eq!(witness.stage(), Stage::Firmware);
    // The kernel may speak behind a prompt: it stays one.
    witness.serial(at(4), b"kvm login: ");
    witness.serial(at(4), b"[   25.1] random: crng init done\r\n");
    assert_eq!(witness.decide(at(5)), Some(Class::LoginPrompt));
}

#[test]
fn a_firmware_menu_is_an_end() {
    let (class, _) = watch("BdsDxe: starting Boot0000 \"UiApp\" from Fv(7CB8)\r\n", 3);
    assert_eq!(class, Some(Class::NoBootableDevice));
    let (class, _) = watch(
        "BdsDxe: starting Boot0002 \"UEFI Misc Device\" from Pci\r\nBdsDxe: starting Boot0000 \"UiApp\" from Fv\r\n",
        3,
    );
    assert_eq!(class, Some(Class::LoaderFailed));
}

#[test]
fn silence_is_judged_and_disk_traffic_is_no_silence() {
    let (class, mut witness) = watch("[    0.000000] Linux version 6.1\r\n", 80);
    assert_eq!(class, None);
    witness.disk_moved(at(85));
    assert_eq!(witness.decide(at(170)), None);
    assert_eq!(witness.decide(at(176)), Some(Class::NoProgress));
    assert_eq!(witness.stage(), Stage::Kernel);
}

#[test]
fn endless_talk_is_too_slow() {
    let mut witness = Witness::new(LIMITS);
    for second in 0..600 {
        witness.serial(at(second), b"still here\r\n");
        assert_eq!(witness.decide(at(second)), None);
    }
    assert_eq!(witness.decide(at(600)), Some(Class::TooSlow));
}

#[test]
fn a_stalled_emulator_is_not_the_images_fault() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(5), b"[    0.000000] Linux version 6.1\r\n");
    witness.serial(at(30), b"[   25.1] rcu: INFO: rcu_preempt self-detected stall on CPU\r\n");
    assert_eq!(witness.decide(at(60)), None);
    assert_eq!(witness.decide(at(76)), Some(Class::EmulatorStall));
    assert!(Class::EmulatorStall.is_infrastructure());
}

#[test]
fn a_stall_that_was_got_over_excuses_nothing() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(30), b"[   25.1] rcu: INFO: rcu_preempt self-detected stall on CPU\r\n");
    // What the kernel says about it.
    witness.serial(at(31), b"[   26.1] Call Trace:\r\n");
    assert_eq!(witness.stalled, Some(at(30)));
    witness.serial(at(50), b"[   44.0] systemd[1]: Started a.service.\r\n");
    assert_eq!(witness.decide(at(50) + LIMITS.silence), Some(Class::NoProgress));
}

#[test]
fn time_without_a_processor_does_not_count() {
    let mut witness = Witness::new(LIMITS);
    witness.starved(at(50));
    witness.disk_moved(LIMITS.total);
    assert_eq!(witness.decide(LIMITS.total + at(1)), None);
    witness.disk_moved(LIMITS.total + at(49));
    assert_eq!(witness.decide(LIMITS.total + at(50)), Some(Class::TooSlow));
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"[  OK  ] Reached target Multi-User System.\r\n");
    witness.starved(at(30));
    witness.disk_moved(at(70));
    assert_eq!(witness.decide(at(90)), None);
    assert_eq!(witness.decide(at(91)), Some(Class::NoGetty));
}

#[test]
fn a_loader_that_resets_into_the_firmware_s_menu_gave_up() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(3), b"BdsDxe: starting Boot0001 \"UEFI Misc Device\" from PciRoot(0x0)\r\n");
    witness.serial(at(4), b"   Reboot Into Firmware Interface   \x1b[18;01H   Boot in 1 s.\r\n");
    witness.reset(at(14));
    witness.serial(at(20), b"BdsDxe: starting Boot0000 \"UiApp\" from Fv(7CB8BDC9)\r\n");
    assert_eq!(witness.decide(at(22)), Some(Class::LoaderFailed));
    assert_eq!(witness.stage(), Stage::Loader);
}

#[test]
fn one_reset_is_firmware_settling_three_are_a_loop() {
    let mut witness = Witness::new(LIMITS);
    witness.reset(at(1));
    witness.reset(at(2));
    assert_eq!(witness.decide(at(10)), None);
    witness.reset(at(11));
    assert_eq!(witness.decide(at(13)), Some(Class::ResetLoop));
}

#[test]
fn a_passphrase_is_asked_for_once_and_a_refusal_is_an_end() {
    let mut witness = Witness::new(LIMITS);
    witness.serial(at(1), b"Please unlock disk cryptroot: ");
    assert_eq!(witness.question(at(1)), None);
    assert_eq!(witness.question(at(2)).as_deref(), Some("cryptroot"));
    assert_eq!(witness.question(at(2)), None);
    witness.answered("cryptroot".into());
    witness.serial(at(2), b"x");
    assert_eq!(witness.question(at(9)), None);
    witness
        .serial(at(2), b"\r\ncryptsetup: ERROR: cryptroot: cryptsetup failed, bad password or options?\r\n");
    assert_eq!(witness.decide(at(5)), Some(Class::PassphraseRefused));
}

#[test]
fn switching_off_is_no_pass() {
    let mut witness = Witness::new(LIMITS);
    witness.shut_down(at(4));
    assert_eq!(witness.decide(at(6)), Some(Class::PoweredOff));
}

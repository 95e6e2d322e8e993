//! What the lines of a console mean: how far a boot is, how it ended, and why.
//!
//! The words are those of OVMF, SeaBIOS, GRUB, systemd-boot, Linux, initramfs-tools, dracut and systemd.

use super::verdict::{Class, Stage};
use regex::Regex;
use std::sync::LazyLock;

/// Each with the pattern of a line; the first that fits counts.
struct Table<M: 'static> {
    meanings: &'static [(M, &'static str)],
    expressions: Vec<Regex>,
}

impl<M: Copy> Table<M> {
    fn new(meanings: &'static [(M, &'static str)]) -> Table<M> {
        Table { meanings, expressions: meanings.iter().map(|(_, pattern)| expression(pattern)).collect() }
    }

    fn find(&self, line: &str) -> Option<M> {
        let place = self.expressions.iter().position(|expression| expression.is_match(line))?;
        Some(self.meanings[place].0)
    }
}

fn expression(pattern: &str) -> Regex {
    Regex::new(pattern).expect("the patterns are tested")
}

/// The stage that a line shows. The first that fits: "Welcome to GRUB!" is not the welcome of an init.
pub fn stage(line: &str) -> Option<Stage> {
    static STAGES: LazyLock<Table<Stage>> = LazyLock::new(|| {
        Table::new(&[
            // OVMF handing over, SeaBIOS handing over, and loaders that name themselves.
            (Stage::Loader, r#"^BdsDxe: starting Boot\w+ "UEFI "#),
            (Stage::Loader, r"^GRUB loading|Welcome to GRUB|^systemd-boot "),
            (Stage::Loader, r"^Booting `|^  Booting `"),
            (Stage::Kernel, r"^EFI stub: |^\[ *0\.0+\] |Linux version \d|^Decompressing Linux"),
            (Stage::Initramfs, r"Run /init as init process|^Loading, please wait|^Begin: |dracut"),
            (Stage::Init, r"systemd\[1\]: |^Welcome to .*!|^INIT: version|as init process$"),
        ])
    });
    STAGES.find(line)
}

/// Whether more of a line may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Finished,
    /// It may be the prompt of somebody who waits for input.
    Open,
}

/// The end that a line is evidence of.
pub fn ending(line: &str, standing: Standing) -> Option<Class> {
    static FINISHED: LazyLock<Table<Class>> = LazyLock::new(|| {
        Table::new(&[
            (
                Class::NoInit,
                r"No init found\. Try passing init=|Target filesystem doesn't have requested /|No working init found",
            ),
            (Class::KernelPanic, r"Kernel panic - not syncing"),
            (
                Class::EmergencyShell,
                r"You are in (emergency|rescue) mode|Cannot open access to console, the root account is locked",
            ),
            (Class::NoBootableDevice, r"^No bootable device|^BdsDxe: No bootable option or device was found"),
            (Class::LoaderFailed, r#"^EFI stub: ERROR: |^BdsDxe: failed to start Boot\w+ "UEFI "#),
            // systemd-boot; from version 257 on with the place in its source.
            (
                Class::LoaderFailed,
                r"^(\.\./src/boot/\S+: )?(No loader found\.|Error (loading|reading|opening|preparing) .*: |Failed to execute .*: )",
            ),
            // What unpacks the kernel gives up.
            (Class::LoaderFailed, r"^ ?-- System halted"),
        ])
    });
    static OPEN: LazyLock<Table<Class>> = LazyLock::new(|| {
        Table::new(&[
            (Class::InitramfsShell, r"^\(initramfs\) ?$|^dracut:/# ?$"),
            (
                Class::EmergencyShell,
                r"Give root password for maintenance|^Press Enter for maintenance|or press Control-D to continue\)",
            ),
            // The UEFI shell: some firmware starts it where it finds nothing to boot, other firmware stops.
            (Class::NoBootableDevice, r"^(Shell|FS\d+:[^>]*)> ?$"),
            (Class::GrubShell, r"^grub( rescue)?> ?$"),
            (Class::LoaderFailed, r"^Press any key to continue\.\.\."),
        ])
    });
    match standing {
        Standing::Finished => FINISHED.find(line),
        Standing::Open => OPEN.find(line),
    }
}

/// What makes a shell of the initramfs or of systemd appear, or the firmware's own programs, said before: then that is the
/// end's class.
pub fn cause(line: &str) -> Option<Class> {
    static CAUSES: LazyLock<Table<Class>> = LazyLock::new(|| {
        Table::new(&[
            // All that systemd-boot has to offer where it finds no entry.
            (Class::LoaderFailed, r"Reboot Into Firmware Interface"),
            (
                Class::FsckFailed,
                r"requires a manual fsck|UNEXPECTED INCONSISTENCY|\[FAILED\] Failed to start (systemd-fs|.*File System Check|.*heck on /dev/)",
            ),
            (
                Class::MountFailed,
                r"Timed out waiting for device|^\[FAILED\] Failed to mount |^\[DEPEND\] Dependency failed for (.*/|.*Local File Systems)",
            ),
        ])
    });
    CAUSES.find(line)
}

/// What a system says that reaches its prompt in spite of it.
pub fn flaw(line: &str) -> Option<Class> {
    static FLAWS: LazyLock<Table<Class>> = LazyLock::new(|| {
        Table::new(&[
            (Class::RootFull, r"No space left on device"),
            (Class::RootReadOnly, r"Read-only file system"),
        ])
    });
    FLAWS.find(line)
}

/// A getty's prompt: host name, "login:", and nothing behind it but what the kernel or systemd may say there. A shell's
/// greeting ("Last login: Mon …") may come in pieces too.
pub fn is_login_prompt(text: &str) -> bool {
    static LOGIN: LazyLock<Regex> =
        LazyLock::new(|| expression(r"^[A-Za-z0-9][A-Za-z0-9._-]* login: (\[.*)?$"));
    LOGIN.is_match(text) && !text.starts_with("Last ")
}

/// The beginning of such a line, however far it has come: it may be the clock of an endless job.
pub fn may_be_clock(text: &str) -> bool {
    static BEGUN: LazyLock<Regex> = LazyLock::new(|| expression(r"^\[[ *]{0,6}(\].*)?$"));
    static WHOLE: LazyLock<Regex> = LazyLock::new(|| expression(r"\([^()]* / [^()]*\)\s*$"));
    BEGUN.is_match(text) && !WHOLE.is_match(text)
}

/// What the console says of the root filesystem.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Root {
    #[default]
    Writable,
    /// The kernel was told to mount it so.
    AskedReadOnly,
    ReadOnly,
}

impl Root {
    /// ext4 says when it is mounted anew, as it is by fstab in a system that begins with `ro`; others say nothing. Source:
    /// Linux, fs/ext4/super.c.
    pub fn after(self, line: &str) -> Root {
        static ASKED: LazyLock<Regex> = LazyLock::new(|| expression(r"Kernel command line: (.* )?ro( |$)"));
        static MOUNTED: LazyLock<Regex> = LazyLock::new(|| expression(r"EXT4-fs \(.*\): mounted filesystem"));
        static REMOUNTED: LazyLock<Regex> = LazyLock::new(|| expression(r"EXT4-fs \(.*\): re-mounted"));
        match self {
            _ if ASKED.is_match(line) => Root::AskedReadOnly,
            Root::AskedReadOnly if MOUNTED.is_match(line) => Root::ReadOnly,
            _ if REMOUNTED.is_match(line) => Root::Writable,
            _ => self,
        }
    }
}

/// A unit did not start.
pub fn is_failed_unit(line: &str) -> bool {
    static FAILED: LazyLock<Regex> = LazyLock::new(|| expression(r"\[FAILED\] Failed to start "));
    FAILED.is_match(line)
}

/// All that was to be started has been. Source: systemd.special(7).
pub fn is_up(line: &str) -> bool {
    static UP: LazyLock<Regex> =
        LazyLock::new(|| expression(r"Reached target .*(Multi-User System|Graphical Interface)"));
    UP.is_match(line)
}

/// The kernel's own clock in front, or what only comes after it.
pub fn is_of_kernel(line: &str) -> bool {
    static KERNEL_SPEAKS: LazyLock<Regex> = LazyLock::new(|| {
        expression(
            r"^\[ *\d+\.\d{6}\] |Linux version \d|^Loading, please wait|^Begin: |^Welcome to .*!$|^\[  OK  \] ",
        )
    });
    // GRUB welcomes, too.
    KERNEL_SPEAKS.is_match(line) && stage(line) != Some(Stage::Loader)
}

/// systemd's clock for a job that nothing ends: it moves, and nothing comes of it.
pub fn is_endless_job(line: &str) -> bool {
    static ENDLESS_JOB: LazyLock<Regex> = LazyLock::new(|| {
        expression(r"(?:A (?:start|stop) job is running for|Job \S+/(?:start|stop) running) .*no limit\)\s*$")
    });
    ENDLESS_JOB.is_match(line)
}

/// OVMF gives up and opens its setup menu.
pub fn is_setup_menu(line: &str) -> bool {
    static SETUP_MENU: LazyLock<Regex> = LazyLock::new(|| expression(r#"^BdsDxe: starting Boot\w+ "UiApp""#));
    SETUP_MENU.is_match(line)
}

/// The guest's CPUs did not get to run: under TCG that is the emulator's doing.
pub fn is_stall(line: &str) -> bool {
    static STALL: LazyLock<Regex> = LazyLock::new(|| {
        expression(r"rcu: INFO: rcu_\w+ (self-)?detected|soft lockup|NMI backtrace|rcu_\w+ kthread starved")
    });
    STALL.is_match(line)
}

//! Keys that select the second entry in a boot loader's hidden menu, as a user would do if a new kernel does not boot.
//! Pure: the output of the console and the time go in, keys come out.

use super::text::Lines;
use crate::plan::Loader;
use std::time::Duration;

/// The name of a key in QMP's `send-key`. Source: QEMU, qapi/ui.json, QKeyCode.
pub(super) type Key = &'static str;

/// The interval at which the key for the menu is pressed: systemd-boot polls the keyboard for 100 ms, GRUB for the
/// configured timeout.
const REPEAT: Duration = Duration::from_millis(100);
/// Time for a menu to draw itself before the next key. A key that arrives earlier is lost, and an emulator on a busy host
/// is slow; an open menu waits.
const DRAWN: Duration = Duration::from_secs(2);

pub(super) struct OlderKernel {
    opens: Key,
    /// Text that only the menu prints.
    version: String,
    lines: Lines,
    step: MenuStep,
    pressed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum MenuStep {
    Opening,
    /// The time at which the menu appeared.
    Shown(Duration),
    Down(Duration),
    Done,
}

impl OlderKernel {
    /// For a boot loader that lists the newest kernel first.
    pub(super) fn new(loader: Loader, version: &str) -> OlderKernel {
        let opens = match loader {
            // Source: systemd-boot(7), "Key bindings": any key without a binding opens the menu.
            Loader::SystemdBoot => "spc",
            // Escape opens it too, but then leaves it for the shell if GRUB's menu was loaded by another configuration
            // file, and UEFI firmware has uses of its own for it. Source: GRUB 2.06, grub-core/kern/term.c,
            // `grub_key_is_interrupt`; grub-core/normal/menu.c, `run_menu`.
            Loader::Grub => "f4",
        };
        OlderKernel {
            opens,
            version: version.to_owned(),
            lines: Lines::default(),
            step: MenuStep::Opening,
            pressed: Duration::ZERO,
        }
    }

    /// Reads output of the serial console.
    pub(super) fn hear(&mut self, now: Duration, bytes: &[u8]) {
        let mut shows = false;
        let version = &self.version;
        let mut look = |line: &str| shows |= line.contains(version.as_str());
        self.lines.feed(bytes, &mut look);
        look(&self.lines.unfinished());
        if shows && self.step == MenuStep::Opening {
            self.step = MenuStep::Shown(now);
        }
    }

    /// The key to press now.
    pub(super) fn key(&mut self, now: Duration) -> Option<Key> {
        match self.step {
            MenuStep::Opening if now >= self.pressed + REPEAT => {
                self.pressed = now;
                Some(self.opens)
            }
            MenuStep::Shown(since) if now >= since + DRAWN => {
                self.step = MenuStep::Down(now);
                Some("down")
            }
            MenuStep::Down(since) if now >= since + DRAWN => {
                self.step = MenuStep::Done;
                Some("ret")
            }
            _ => None,
        }
    }

    /// The time until the next key may be due, or nothing if no more keys are needed.
    pub(super) fn patience(&self) -> Option<Duration> {
        (self.step != MenuStep::Done).then_some(REPEAT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn second_menu_entry_is_started() {
        let mut keys = OlderKernel::new(Loader::SystemdBoot, "6.1.0-1");
        assert_eq!(keys.key(at(100)), Some("spc"));
        assert_eq!(keys.key(at(150)), None);
        assert_eq!(keys.key(at(200)), Some("spc"));
        keys.hear(at(300), b"\x1b[5;3HDebian (6.12.0-2)\x1b[6;3HDebian (6.1.0");
        assert_eq!(keys.key(at(310)), Some("spc"));
        keys.hear(at(320), b"-1)");
        assert_eq!(keys.key(at(2300)), None);
        assert_eq!(keys.key(at(2320)), Some("down"));
        assert_eq!(keys.key(at(4320)), Some("ret"));
        assert_eq!((keys.key(at(9000)), keys.patience()), (None, None));
    }
}

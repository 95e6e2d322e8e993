//! Keys that select the second entry in a boot loader's hidden menu, as a user would do if a new kernel does not boot.
//! Pure: the output of the console and the time go in, keys come out.

use super::text::Lines;
use crate::plan::{Firmware, Loader};
use std::time::Duration;

/// The name of a key in QMP's `send-key`. Source: QEMU, qapi/ui.json, QKeyCode.
pub(super) type Key = &'static str;

/// The interval at which the key for the menu is pressed: systemd-boot polls the keyboard for 100 ms, GRUB for the
/// configured timeout.
const REPEAT: Duration = Duration::from_millis(100);
/// Time for a menu to draw itself before the next key.
const DRAWN: Duration = Duration::from_millis(500);

pub(super) struct OlderKernel {
    opens: Key,
    /// Text after which the key is pressed. Pressed earlier, it would open the firmware's own menu.
    after: Option<&'static str>,
    /// Text that only the menu prints.
    version: String,
    lines: Lines,
    step: MenuStep,
    pressed: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum MenuStep {
    Early,
    Opening,
    /// The time at which the menu appeared.
    Shown(Duration),
    Down(Duration),
    Done,
}

impl OlderKernel {
    /// For a boot loader that lists the newest kernel first.
    pub(super) fn new(loader: Loader, firmware: Firmware, version: &str) -> OlderKernel {
        let (opens, after) = match (loader, firmware) {
            // Source: systemd-boot(7), "Key bindings": any key without a binding opens the menu.
            (Loader::SystemdBoot, _) => ("spc", None),
            // Source: GRUB manual, timeout_style. UEFI firmware uses Escape itself until it starts a program.
            (Loader::Grub, Firmware::Uefi) => ("esc", Some("BdsDxe: starting")),
            (Loader::Grub, Firmware::Bios) => ("esc", None),
        };
        OlderKernel {
            opens,
            after,
            version: version.to_owned(),
            lines: Lines::default(),
            step: if after.is_some() { MenuStep::Early } else { MenuStep::Opening },
            pressed: Duration::ZERO,
        }
    }

    /// Reads output of the serial console.
    pub(super) fn hear(&mut self, now: Duration, bytes: &[u8]) {
        let (mut starts, mut shows) = (false, false);
        let (after, version) = (self.after, &self.version);
        let mut look = |line: &str| {
            starts |= after.is_some_and(|text| line.contains(text));
            shows |= line.contains(version.as_str());
        };
        self.lines.feed(bytes, &mut look);
        look(&self.lines.unfinished());
        match self.step {
            MenuStep::Early if starts => self.step = MenuStep::Opening,
            MenuStep::Opening if shows => self.step = MenuStep::Shown(now),
            _ => {}
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
        let mut keys = OlderKernel::new(Loader::SystemdBoot, Firmware::Uefi, "6.1.0-1");
        assert_eq!(keys.key(at(100)), Some("spc"));
        assert_eq!(keys.key(at(150)), None);
        assert_eq!(keys.key(at(200)), Some("spc"));
        keys.hear(at(300), b"\x1b[5;3HDebian (6.12.0-2)\x1b[6;3HDebian (6.1.0");
        assert_eq!(keys.key(at(310)), Some("spc"));
        keys.hear(at(320), b"-1)");
        assert_eq!(keys.key(at(700)), None);
        assert_eq!(keys.key(at(820)), Some("down"));
        assert_eq!(keys.key(at(1320)), Some("ret"));
        assert_eq!((keys.key(at(5000)), keys.patience()), (None, None));
    }

    #[test]
    fn no_key_is_pressed_before_the_loader_starts() {
        let mut keys = OlderKernel::new(Loader::Grub, Firmware::Uefi, "6.1.0-1");
        assert_eq!(keys.key(at(500)), None);
        keys.hear(at(600), b"BdsDxe: starting Boot0001\r\n");
        assert_eq!(keys.key(at(600)), Some("esc"));
        assert_eq!(OlderKernel::new(Loader::Grub, Firmware::Bios, "1").key(at(100)), Some("esc"));
    }
}

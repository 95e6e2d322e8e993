//! The boot harness: runs an image in QEMU, and reports how far it booted and why it stopped.
//!
//! The harness does not depend on how the image was built, and never writes to it: QEMU works on an unnamed overlay
//! that is deleted with the process. The [`BootMonitor`] decides. It is a pure state machine over the serial console,
//! QMP events and the clock, with patterns that are data. QEMU's exit code alone proves nothing.

mod accel;
mod attach;
mod attempt;
mod checks;
mod cloud;
mod direct;
mod firmware;
mod guest;
mod health;
mod lan;
mod log;
mod machine;
mod menu;
mod monitor;
mod mounts;
mod netboot;
mod network;
mod patterns;
mod qmp;
mod question;
mod run;
mod screen;
mod session;
mod ssh;
mod template_lines;
mod text;
pub mod transcript;
mod update;
mod verdict;

pub use accel::{Accelerator, Choice, choose};
pub(crate) use attempt::write_fat_medium;
pub use checks::{CheckOutcome, CheckResult, Checks};
pub use cloud::{Cloud, CloudFault, CloudRequest};
pub use direct::OwnKernel;
pub use firmware::{FirmwareFile, Guess, emulator_version, firmware_file, guess_firmware};
pub use health::{AllowedNote, is_health_check};
pub use machine::{DirectKernel, DiskBus, Hardware, Network, NetworkCard};
pub use monitor::{Action, BootMonitor, Goal, Limits, Probe};
pub use run::{BootOptions, boot};
pub use session::{Answer, Login};
pub use ssh::Ssh;
pub use text::console_lines;
pub use update::Update;
pub use verdict::{
    Again, Attempt, Class, KernelFacts, Note, NoteKind, OtherFirmware, Outcome, Probed, Stage, StageTime,
    Start, Verdict, Witnessed,
};
